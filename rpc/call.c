/* The call object: lifetime, memory, results. What moves it is in client_call*.c and server_call*.c. */
#include "rpc/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/futex.h"
#include "rpc/hedge.h"
#include "rpc/retrying.h"
#include "rpc/reuse.h"
#include "rpc/unpack.h"
#include "rpc/utf8.h"

/* Room for a message of at most this many bytes; a status message is for people. */
#define MESSAGE_MAX 1024

/* What a client gets when not even a call could be allocated. */
static tether_call no_memory = {
    .refs = 1,
    .state = TTH_CALL_ENDED,
    .code = TETHER_RESOURCE_EXHAUSTED,
    .message = (char *)"out of memory",
    .path = "",
};

tether_call *tth_call_no_memory(void) { return &no_memory; }

tether_call *tth_call_new(tth_role role) {
  tether_call *call = tth_reuse_get(TTH_REUSE_CALL, sizeof *call);
  if (!call) return NULL;
  memset(call, 0, offsetof(tether_call, inline_memory));
  call->refs = 1;
  call->role = role;
  pthread_mutex_init(&call->arena_mu, NULL);
  tth_arena_init(&call->arena, call->inline_memory, sizeof call->inline_memory, SIZE_MAX);
  return call;
}

tether_call *tether_call_ref(tether_call *call) {
  if (call != &no_memory) atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
  return call;
}

void tether_call_unref(tether_call *call) {
  if (!call || call == &no_memory || atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1) return;
  if (call->role == TTH_SERVER) {
    free(call->s.fail_message);
    tether_cause_unref(call->s.fail_cause);
    tth_recorder_unref(call->s.recorder);
    tether_ctx_free(call->s.wait_ctx);
  } else {
    tth_recorder_unref(call->c.recorder);
    tth_out_free(call->c.out);
    if (call->c.retrying) tth_retrying_free(call->c.retrying);
    if (call->c.answer) call->initial = call->trailers = NULL; /* its own */
    tether_call_unref(call->c.answer);
    tth_hedge_unref(call->c.hedge);
    if (call->c.io_initial != call->initial) tether_metadata_free(call->c.io_initial);
  }
  if (call->ctx != call->root) tether_ctx_unref(call->ctx);
  tether_ctx_free(call->root);
  tether_cause_unref(call->cause);
  tether_metadata_free(call->metadata);
  tether_metadata_free(call->initial);
  tether_metadata_free(call->trailers);
  tth_pipe_free(call->pipe);
  tth_conn_unref(call->conn);
  if (call->role == TTH_CLIENT && call->c.moves) {
    for (unsigned i = 0; i < call->c.moves->count; i++) tth_conn_unref(call->c.moves->from[i]);
    free(call->c.moves);
  }
  tth_arena_fini(&call->arena);
  pthread_mutex_destroy(&call->arena_mu);
  free(call->message);
  tth_reuse_put(TTH_REUSE_CALL, call);
}

bool tth_call_try_end(tether_call *call) {
  uint32_t state = atomic_load(&call->state);
  while ((state & TTH_CALL_PHASE) == TTH_CALL_RUNNING)
    if (atomic_compare_exchange_weak(&call->state, &state, state | TTH_CALL_ENDING)) return true;
  return false;
}

void tth_call_ended(tether_call *call) {
  uint32_t state = atomic_exchange(&call->state, TTH_CALL_ENDED);
  if (state & TTH_CALL_WAITERS) tth_futex_wake_all(&call->state);
  if (state & TTH_CALL_LED && !pthread_equal(call->c.leader, pthread_self())) tth_conn_poke(call->c.leads);
  if (call->pipe) tth_pipe_wake(call);
}

bool tth_call_begin_leading(tether_call *call) {
  uint32_t state = atomic_load(&call->state);
  while ((state & TTH_CALL_PHASE) != TTH_CALL_ENDED) {
    if (state & TTH_CALL_RETRIED) return false;
    if (state & TTH_CALL_LED) return true;
    call->c.leader = pthread_self();
    if (atomic_compare_exchange_weak(&call->state, &state, state | TTH_CALL_LED)) return true;
  }
  return false;
}

void tth_call_let_leader_go(tether_call *call) {
  uint32_t state = atomic_load(&call->state);
  while (!atomic_compare_exchange_weak(&call->state, &state, (state & ~(uint32_t)TTH_CALL_LED) | TTH_CALL_RETRIED))
    continue;
  if (state & TTH_CALL_LED && !pthread_equal(call->c.leader, pthread_self())) tth_conn_poke(call->c.leads);
}

void tth_call_run_again(tether_call *call) {
  uint32_t state = atomic_load(&call->state);
  while (!atomic_compare_exchange_weak(&call->state, &state, (state & ~(uint32_t)TTH_CALL_PHASE) | TTH_CALL_RUNNING))
    continue;
}

tether_code tether_call_wait(tether_call *call) {
  uint32_t state = atomic_load(&call->state);
  while ((state & TTH_CALL_PHASE) != TTH_CALL_ENDED) {
    if (!(state & TTH_CALL_WAITERS)) {
      if (!atomic_compare_exchange_weak(&call->state, &state, state | TTH_CALL_WAITERS)) continue;
      state |= TTH_CALL_WAITERS;
    }
    tth_futex_wait(&call->state, state);
    state = atomic_load(&call->state);
  }
  return call->code;
}

/* A copy that is UTF-8, since a status that is not would not be read: cut between characters, '?' for what is none. */
static char *text_copy(const char *text) {
  char *copy = strndup(text, MESSAGE_MAX);
  if (!copy) return NULL;
  size_t len = strlen(copy);
  if (len == MESSAGE_MAX)
    while (len > MESSAGE_MAX - 3 && ((unsigned char)text[len] & 0xC0) == 0x80) len--;
  copy[len] = 0;
  for (size_t at = 0; (at += tth_utf8_prefix((uint8_t *)copy + at, len - at)) < len;) copy[at] = '?';
  return copy;
}

void tth_call_set_message(tether_call *call, const char *text) {
  free(call->message);
  call->message = text && *text ? text_copy(text) : NULL;
}

tether_code tether_call_code(const tether_call *call) { return call->code; }
const char *tether_call_message(const tether_call *call) { return call->message ? call->message : ""; }
const tether_cause *tether_call_cause(const tether_call *call) { return call->cause; }
const ProtobufCMessage *tether_call_reply(const tether_call *call) {
  return call->code == TETHER_OK ? call->reply : NULL;
}
const tether_metadata *tether_call_initial_metadata(const tether_call *call) { return call->initial; }
const tether_metadata *tether_call_trailers(const tether_call *call) { return call->trailers; }
const tether_metadata *tether_call_metadata(const tether_call *call) { return call->metadata; }
const char *tether_call_path(const tether_call *call) { return call->path; }
const char *tether_call_peer(const tether_call *call) { return call->conn ? tth_conn_peer(call->conn) : ""; }

const tether_identity *tether_call_identity(const tether_call *call) {
  return call->conn ? tth_conn_identity(call->conn) : &tth_identity_none;
}

const tether_ctx *tether_call_ctx(const tether_call *call) { return call->ctx ? call->ctx : tether_ctx_background(); }

void *tether_call_alloc(tether_call *call, size_t size) {
  if (call == &no_memory) return NULL;
  pthread_mutex_lock(&call->arena_mu);
  void *memory = tth_arena_alloc(&call->arena, size);
  pthread_mutex_unlock(&call->arena_mu);
  return memory;
}

char *tether_call_strdup(tether_call *call, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = tether_call_alloc(call, size);
  return copy ? memcpy(copy, text, size) : NULL;
}

char *tether_call_printf(tether_call *call, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = len < 0 ? NULL : tether_call_alloc(call, (size_t)len + 1);
  if (!text) return NULL;
  va_start(args, format);
  vsnprintf(text, (size_t)len + 1, format, args);
  va_end(args);
  return text;
}

void tth_call_consumed(tether_call *call, size_t cost) {
  if (cost == 0) return;
  tth_session *session = tth_conn_lock(call->conn);
  if (session && call->stream) tth_session_consumed(session, call->stream, cost);
  tth_conn_unlock(call->conn);
}

tether_code tth_call_unpack(tether_call *call, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                            size_t len, size_t max_unpacked_bytes, char *why, size_t why_size,
                            ProtobufCMessage **message) {
  pthread_mutex_lock(&call->arena_mu);
  tether_code code = tth_unpack(descriptor, bytes, len, max_unpacked_bytes, &call->arena, why, why_size, message);
  pthread_mutex_unlock(&call->arena_mu);
  return code;
}

/* What comes on top of metadata in a frame: method, message, cause, trace. */
#define SMALL_EXTRA ((size_t)16 * 1024)

tether_code tth_call_unpack_small(tether_call *call, const ProtobufCMessageDescriptor *descriptor,
                                  const tth_event *event, const tether_limits *limits, char *why, size_t why_size,
                                  ProtobufCMessage **message) {
  /* On the wire an entry takes less than it counts, in memory some times more. */
  size_t bytes = limits->max_metadata_bytes + limits->max_forward_bytes + SMALL_EXTRA;
  if (event->len <= bytes)
    return tth_call_unpack(call, descriptor, event->bytes, event->len, 8 * bytes, why, why_size, message);
  snprintf(why, why_size, "larger than the limit for metadata");
  return TETHER_RESOURCE_EXHAUSTED;
}

tether_code tth_code_of_ctx(const tether_ctx *ctx) {
  tether_code code = tether_ctx_err(ctx);
  if (code != TETHER_OK && tether_cause_get_code(tether_ctx_cause(ctx)) == TETHER_CAUSE_DEADLINE)
    return TETHER_DEADLINE_EXCEEDED;
  return code;
}
