/* Happy path: a copy of the request is kept as the call starts -> the attempt fails -> its results are dropped, the
 * call leaves its connection and waits on a timer -> a copy of what was kept is dispatched as a new attempt. A stream's
 * messages are kept as they are sent, and sent again once the new stream is open.
 *
 * Failures: without memory for the copy the call is tried once; without memory for the timer, the attempt's failure is
 * the call's. If the context ends meanwhile, its callback ends the call: either it finds the call RUNNING, or whoever
 * makes it RUNNING finds the context done. The timer may fire before the call is RUNNING again: then it leaves the
 * dispatch to the thread that set it (tth_backoff.phase). */
#include "rpc/retrying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client_call.h"
#include "rpc/dispatch.h"
#include "rpc/metadata.h"
#include "rpc/trace.h"

/* tth_backoff.phase */
enum { SETTING = 0, SET, FIRED };

/* ---- Copies of frames ---------------------------------------------------------------------- */

/* Of one out, with room for `extra` bytes behind the first frame's payload. NULL without memory. */
static tth_out *copy_one(const tth_out *out, const uint8_t *extra, size_t extra_len) {
  tth_out *copy = tth_out_new(out->len + extra_len, out->sliced);
  if (!copy) return NULL;
  copy->deadline_ns = out->deadline_ns;
  copy->reserve_ns = out->reserve_ns;
  copy->flags = out->flags;
  size_t first = extra_len ? TTH_FRAME_HEADER + tth_get32(out->data) : out->len;
  memcpy(copy->data, out->data, first);
  if (extra_len == 0) return copy;
  memcpy(copy->data + first, extra, extra_len);
  memcpy(copy->data + first + extra_len, out->data + first, out->len - first);
  tth_frame_put(copy->data, (uint32_t)(first - TTH_FRAME_HEADER + extra_len), TTH_HEADERS, 0, 0);
  return copy;
}

/* The metadata entry of attempts that are not the first, as one more field of Headers. */
static size_t put_previous(uint8_t *to, size_t size, int attempts) {
  char value[12];
  snprintf(value, sizeof value, "%d", attempts);
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  Tether__V1__Entry entry = TETHER__V1__ENTRY__INIT, *entries[] = {&entry};
  entry.key = (char *)TTH_ATTEMPTS_KEY;
  entry.value = (ProtobufCBinaryData){.len = strlen(value), .data = (uint8_t *)value};
  headers.n_metadata = 1;
  headers.metadata = entries;
  size_t len = tether__v1__headers__get_packed_size(&headers);
  return len <= size ? tether__v1__headers__pack(&headers, to) : 0;
}

/* What the next attempt begins with: HEADERS and, unless the client streams, the request. NULL without memory, or when
 * the call has ended. */
static tth_out *copy_request_locked(const tether_call *call) {
  const struct tth_retrying *r = call->c.retrying;
  uint8_t entry[64];
  if (!r->kept) return NULL;
  tth_out *copy = copy_one(r->kept, entry, put_previous(entry, sizeof entry, r->attempts.made));
  bool streams = tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING);
  if (!copy || streams || !r->kept->next) return copy;
  copy->next = copy_one(r->kept->next, NULL, 0); /* a request in slices */
  if (copy->next) return copy;
  tth_out_free(copy);
  return NULL;
}

/* ---- Keeping ------------------------------------------------------------------------------- */

static void forget_locked(tether_client *client, struct tth_retrying *r) {
  r->over = true;
  atomic_fetch_sub(&client->kept_bytes, r->kept_bytes);
  tth_out_free(r->kept);
  r->kept = NULL;
  r->kept_bytes = 0;
}

/* Appends copies of the chain; false: they do not fit, or there is no memory. */
static bool keep_locked(tether_client *client, struct tth_retrying *r, const tth_out *out) {
  for (; out; out = out->next) {
    size_t bytes = sizeof *out + out->len;
    r->kept_bytes += bytes;
    size_t all = atomic_fetch_add(&client->kept_bytes, bytes) + bytes;
    if (r->kept_bytes > client->retry_call_bytes || all > client->retry_bytes) return false;
    *r->kept_end = copy_one(out, NULL, 0);
    if (!*r->kept_end) return false;
    r->kept_end = &(*r->kept_end)->next;
  }
  return true;
}

struct tth_retrying *tth_retrying_new(const tether_retry_policy *policy, int64_t now_ns) {
  struct tth_retrying *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->attempts.policy = policy;
  r->attempt_ns = now_ns;
  r->kept_end = &r->kept;
  pthread_mutex_init(&r->mu, NULL);
  return r;
}

void tth_retrying_free(struct tth_retrying *r) {
  if (!r) return;
  for (int i = 0; i < r->backoff_count; i++) tether_ctx_free(r->backoffs[i].ctx);
  for (int i = 0; i < r->conn_count; i++) tth_conn_unref(r->conns[i]);
  pthread_mutex_destroy(&r->mu);
  free(r);
}

void tth_retrying_keep(tether_call *call, const tth_out *out) {
  struct tth_retrying *r = call->c.retrying;
  pthread_mutex_lock(&r->mu);
  if (!r->over && !keep_locked(call->c.client, r, out)) forget_locked(call->c.client, r);
  pthread_mutex_unlock(&r->mu);
}

void tth_retrying_commit(tether_call *call) {
  struct tth_retrying *r = call->c.retrying;
  pthread_mutex_lock(&r->mu);
  if (!r->over) forget_locked(call->c.client, r);
  pthread_mutex_unlock(&r->mu);
}

static bool is_kept(struct tth_retrying *r) {
  pthread_mutex_lock(&r->mu);
  bool kept = !r->over && r->kept;
  pthread_mutex_unlock(&r->mu);
  return kept;
}

bool tth_retrying_replay_locked(tether_call *call, tth_session *session) {
  struct tth_retrying *r = call->c.retrying;
  bool complete = true;
  if (!tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING) || r->attempts.made == 0) return true;
  pthread_mutex_lock(&r->mu);
  for (const tth_out *out = r->kept ? r->kept->next : NULL; out && complete; out = out->next) {
    tth_out *copy = copy_one(out, NULL, 0);
    complete = copy;
    if (copy) tth_session_send(session, call->stream, copy);
  }
  pthread_mutex_unlock(&r->mu);
  if (atomic_load(&call->pipe->send_closed)) atomic_store(&call->pipe->close_owed, true);
  return complete;
}

/* ---- The wait ------------------------------------------------------------------------------ */

static void try_again(tether_call *call) {
  struct tth_retrying *r = call->c.retrying;
  pthread_mutex_lock(&r->mu);
  tth_out *out = copy_request_locked(call);
  pthread_mutex_unlock(&r->mu);
  r->attempt_ns = tether_now_ns();
  atomic_store(&r->waiting, false);
  call->c.whole = false;
  if (out)
    tth_dispatch(call, out);
  else
    tth_client_call_end(call, r->last_code, r->last_message, NULL);
}

/* The wait has ended, and the call is RUNNING. */
static void go_on(tether_call *call, const tether_ctx *ctx) {
  if (tether_ctx_err(ctx) == TETHER_DEADLINE_EXCEEDED)
    try_again(call);
  else
    tth_client_call_end(call, TETHER_CANCELLED, "the client was closed", NULL);
}

static void on_backoff_over(void *data) {
  tth_backoff *backoff = data;
  tether_call *call = backoff->call;
  /* The call may have ended, and its client be gone; or end now, and its client is not to go before we are done. */
  if (atomic_exchange(&backoff->phase, FIRED) == SET && tth_client_call_try_stay(call)) {
    go_on(call, backoff->ctx);
    tth_client_call_let_go(call);
  }
  tether_call_unref(call);
}

/* The attempt's results; the call has no others yet. */
static void drop_results(tether_call *call) {
  struct tth_retrying *r = call->c.retrying;
  r->last_code = call->code;
  snprintf(r->last_message, sizeof r->last_message, "%s", tether_call_message(call));
  call->code = TETHER_OK;
  tth_call_set_message(call, NULL);
  tether_cause_unref(call->cause);
  call->cause = NULL;
  tether_metadata_free(call->trailers);
  call->trailers = NULL;
  call->c.hop = (ProtobufCBinaryData){0};
}

/* Takes the call off its connection, and counts the attempt. */
static void leave_attempt(tether_call *call) {
  struct tth_retrying *r = call->c.retrying;
  tether_client *client = call->c.client;
  bool sent = atomic_load(&call->c.gone) != TTH_GONE_UNSENT;
  tth_client_count(client, r->last_code, sent, atomic_load(&r->left) > 0);
  if (sent) atomic_fetch_add(&r->left, 1);
  atomic_fetch_add(&r->running, atomic_load(&call->c.running));
  tth_client_call_tell_gone(call);
  if (r->entries++ == 0) call->c.metadata_bytes += strlen(TTH_ATTEMPTS_KEY) + 1 + TTH_ENTRY_OVERHEAD;
  tth_conn *conn = call->conn;
  if (conn) {
    r->conns[r->conn_count++] = conn;
    (void)tth_conn_lock(conn);
    call->conn = NULL;
    call->c.opened = call->c.half_closed = false;
    tth_conn_unlock(conn);
  }
  call->c.left_ns = 0;
  call->c.lone = false; /* another thread will send it */
  atomic_store(&call->c.running, 0);
  atomic_store(&r->waiting, true);
  atomic_store(&call->c.gone, TTH_GONE_NOT_YET);
}

/* false: there is no timer, for want of memory or since the client is being closed. */
static bool back_off(tether_call *call, int64_t delay_ns) {
  struct tth_retrying *r = call->c.retrying;
  tether_ctx *ctx = tether_ctx_with_timeout(call->c.client->backoffs, delay_ns);
  tether_code err = tether_ctx_err(ctx);
  if (err != TETHER_OK && err != TETHER_DEADLINE_EXCEEDED) {
    tether_ctx_free(ctx);
    return false;
  }
  tth_backoff *backoff = &r->backoffs[r->backoff_count++];
  *backoff = (tth_backoff){.call = call, .ctx = ctx};
  tth_call_let_leader_go(call);
  drop_results(call);
  leave_attempt(call);
  tether_call_ref(call); /* the timer's */
  tether_ctx_after_func(ctx, &backoff->after, NULL, on_backoff_over, backoff);
  tether_call_ref(call); /* for here: whoever ends it may release it */
  tth_call_run_again(call);
  if (atomic_exchange(&backoff->phase, SET) == FIRED) go_on(call, ctx);
  if (tether_ctx_err(call->root) != TETHER_OK) tth_client_call_expire(call); /* its callback may have come too early */
  tether_call_unref(call);
  return true;
}

/* ---- The decision -------------------------------------------------------------------------- */

bool tth_retrying_ended(tether_call *call) {
  tether_client *client = call->c.client;
  struct tth_retrying *r = call->c.retrying;
  int64_t delay_ns;
  if (call->c.attempt_of) return false;
  if (!r) { /* it counts all the same */
    tth_attempts without = {0};
    bool counts = client->throttle.max_milli > 0;
    if (counts) (void)tth_retry_decide(&without, &client->throttle, call->code, call->trailers, 0, &delay_ns);
    return false;
  }
  uint32_t random;
  tth_random(&random, sizeof random);
  if (!is_kept(r) || call->c.io_headers || call->c.io_reply) r->attempts.committed = true;
  tth_retry retry = tth_retry_decide(&r->attempts, &client->throttle, call->code, call->trailers, random, &delay_ns);
  if (retry == TTH_RETRY_THROTTLED) atomic_fetch_add_explicit(&client->throttled, 1, memory_order_relaxed);
  /* Also if the context has ended since: that then ends the call (back_off), which this attempt was not to end. */
  return retry == TTH_RETRY && back_off(call, delay_ns);
}

void tth_retrying_stop(tether_call *call) {
  struct tth_retrying *r = call->c.retrying;
  tth_backoff *last = r->backoff_count > 0 ? &r->backoffs[r->backoff_count - 1] : NULL;
  tth_retrying_commit(call);
  if (!last || !tether_after_stop(&last->after)) return;
  tether_ctx_free(last->ctx);
  last->ctx = NULL;
  tether_call_unref(call);
}
