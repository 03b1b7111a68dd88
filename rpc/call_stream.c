/* Sending and receiving on a streaming call, at either side.
 *
 * Happy path, out: message -> frames (encode.c) -> queued on the stream if less than TTH_SEND_HIGH bytes are, and from
 * there as the peer's window allows. In: the connection pushes messages to the call's pipe -> receive takes one,
 * unpacks it on the receiver's thread, and gives the session the credit back. Failures: the end of the call (client) or
 * of its context (handler) wakes whoever waits here, and every later call returns its code. A handler sees a cut before
 * it sees queued messages; a client reads what came before the status, but nothing once it has itself cut the call. */
#include <stdio.h>
#include <string.h>

#include "rpc/encode.h"
#include "rpc/interceptor.h"
#include "rpc/retrying.h"
#include "rpc/unpack.h"

/* Credit is given back in pieces of this size, so that small messages do not each cost a frame. */
#define CONSUMED_STEP (TTH_WINDOW_LEAST / 8)

static bool may(const tether_call *call, tether_method_flags client_side, tether_method_flags server_side) {
  return call->pipe && (call->method->flags & (call->role == TTH_CLIENT ? client_side : server_side));
}

/* What a wrong use gets: the code of a call that failed before it had anything of a stream, else the sentence. */
static tether_code misused(const tether_call *call) {
  bool ended = (atomic_load(&call->state) & TTH_CALL_PHASE) == TTH_CALL_ENDED;
  return ended && !call->pipe && call->code != TETHER_OK ? call->code : TETHER_FAILED_PRECONDITION;
}

/* Whether the call is over for this side, and with what. */
static bool is_over(tether_call *call, tether_code *code) {
  if (call->role == TTH_CLIENT) {
    if ((atomic_load(&call->state) & TTH_CALL_PHASE) != TTH_CALL_ENDED) return false;
    *code = call->code;
    return true;
  }
  *code = tth_code_of_ctx(call->root);
  if (*code == TETHER_OK && !tth_call_is_running(call)) *code = TETHER_CANCELLED; /* finished by another thread */
  return *code != TETHER_OK;
}

/* ---- Sending ------------------------------------------------------------------------------- */

/* The frames of a message, and before the first the initial metadata. */
static tether_code encode(tether_call *call, const ProtobufCMessage *message, tth_out **result) {
  tth_out *out = NULL;
  if (message) {
    tether_code code = tth_encode_message(message, &out);
    if (code != TETHER_OK) return code;
  }
  bool initial = call->role == TTH_SERVER && !call->s.initial_sent;
  if (initial && (!message || tether_metadata_count(call->initial) > 0)) {
    tth_out *first = NULL;
    if (tth_encode_initial(call, &first) != TETHER_OK) {
      tth_out_free(out);
      return TETHER_RESOURCE_EXHAUSTED;
    }
    first->next = out;
    out = first;
  }
  *result = out;
  return TETHER_OK;
}

/* Takes the lock of the connection that the call is on; it may be between two, since it may be tried again. *conn NULL:
 * it is on none, and nothing is locked. */
static tth_session *lock_stream(tether_call *call, tth_conn **conn) {
  while ((*conn = call->conn)) {
    tth_session *session = tth_conn_lock(*conn);
    if (*conn == call->conn) return session;
    tth_conn_unlock(*conn);
  }
  return NULL;
}

/* Queues *out if there is room, or drops it if that is a detached handler's whose caller is gone. TETHER_OK with *out
 * left: there is no room, or no stream (yet, or any more). */
static tether_code attempt(tether_call *call, size_t message_len, tth_out **out) {
  tether_code code = TETHER_OK;
  tth_conn *conn;
  tth_session *session = lock_stream(call, &conn);
  if (!conn) return TETHER_OK;
  if (session && call->stream) {
    const tether_limits *peer = tth_session_peer_limits(session);
    bool initial = call->role == TTH_SERVER && !call->s.initial_sent;
    if (message_len > peer->max_message_bytes ||
        (initial && tether_metadata_size(call->initial) > peer->max_metadata_bytes)) {
      code = TETHER_RESOURCE_EXHAUSTED;
    } else if (call->stream->queued < TTH_SEND_HIGH) {
      if (call->role == TTH_CLIENT && call->c.retrying) tth_retrying_keep(call, *out);
      tth_session_send(session, call->stream, *out);
      *out = NULL;
      if (call->role == TTH_SERVER) call->s.initial_sent = true;
    } else {
      tth_session_want_writable(session, call->stream);
    }
  } else if (call->role == TTH_SERVER && call->s.detached && !call->stream) {
    tth_out_free(*out);
    *out = NULL;
    call->s.initial_sent = true;
  }
  tth_conn_unlock(conn);
  return code;
}

/* Waits until the tick has moved on from `tick`; for a try, leaves the mark instead. true: look again. */
static bool wait_for_room(tether_call *call, uint64_t tick, bool block) {
  tth_pipe *pipe = call->pipe;
  tether_code code;
  bool again = true;
  pthread_mutex_lock(&pipe->mu);
  while (block && tick == pipe->send_tick && !is_over(call, &code)) pthread_cond_wait(&pipe->changed, &pipe->mu);
  if (!block && tick == pipe->send_tick && !is_over(call, &code)) {
    pipe->send_refused = true;
    again = false;
  }
  pthread_mutex_unlock(&pipe->mu);
  return again;
}

static tether_code send_out(tether_call *call, tth_out *out, size_t message_len, bool block, bool *done) {
  tth_pipe *pipe = call->pipe;
  tether_code code = TETHER_OK;
  *done = true;
  while (out) {
    pthread_mutex_lock(&pipe->mu);
    uint64_t tick = pipe->send_tick;
    pthread_mutex_unlock(&pipe->mu);
    if (is_over(call, &code)) {
      if (code == TETHER_OK) code = TETHER_FAILED_PRECONDITION;
      break;
    }
    code = attempt(call, message_len, &out);
    if (code != TETHER_OK) break;
    if (out && !wait_for_room(call, tick, block)) {
      *done = false;
      break;
    }
  }
  tth_out_free(out);
  return code;
}

/* A client may be closed, and its interceptors gone, once its calls have ended; a server waits for who may send. */
static void intercept_sent(tether_call *call, size_t len) {
  if (!call->intercept || (call->role == TTH_CLIENT && !tth_client_call_try_stay(call))) return;
  tth_intercept_message(call, true, len);
  if (call->role == TTH_CLIENT) tth_client_call_let_go(call);
}

static tether_code send_message(tether_call *call, const ProtobufCMessage *message, bool block, bool *done) {
  *done = true;
  if (!may(call, TETHER_METHOD_CLIENT_STREAMING, TETHER_METHOD_SERVER_STREAMING)) return misused(call);
  if (atomic_load(&call->pipe->send_closed)) return TETHER_FAILED_PRECONDITION;
  tth_out *out;
  size_t len = protobuf_c_message_get_packed_size(message);
  if (len > call->pipe->max_send_bytes) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = encode(call, message, &out);
  if (code != TETHER_OK) return code;
  code = send_out(call, out, len, block, done);
  if (code == TETHER_OK && *done) intercept_sent(call, len);
  return code;
}

tether_code tether_call_send(tether_call *call, const ProtobufCMessage *message) {
  bool done;
  return send_message(call, message, true, &done);
}

tether_code tether_call_try_send(tether_call *call, const ProtobufCMessage *message, bool *done) {
  return send_message(call, message, false, done);
}

tether_code tether_call_send_initial(tether_call *call) {
  bool done;
  tth_out *out;
  if (call->role != TTH_SERVER || !call->pipe || call->s.initial_sent) return TETHER_FAILED_PRECONDITION;
  tether_code code = encode(call, NULL, &out);
  return code == TETHER_OK ? send_out(call, out, 0, true, &done) : code;
}

/* Sends the half-close if it is owed and there is a stream to send it on; the lock is held. */
static bool send_close_locked(tether_call *call, tth_session *session) {
  if (!session || !call->stream || !atomic_exchange(&call->pipe->close_owed, false) || call->c.half_closed) return true;
  tth_out *out = tth_encode_half_close();
  if (!out) return false;
  tth_session_send(session, call->stream, out);
  call->c.half_closed = true;
  return true;
}

bool tth_client_call_send_close_locked(tether_call *call, tth_session *session) {
  return !call->pipe || send_close_locked(call, session);
}

void tether_call_close_send(tether_call *call) {
  if (call->role != TTH_CLIENT || !may(call, TETHER_METHOD_CLIENT_STREAMING, 0)) return;
  if (atomic_exchange(&call->pipe->send_closed, true)) return;
  atomic_store(&call->pipe->close_owed, true);
  tth_conn *conn;
  tth_session *session = lock_stream(call, &conn);
  if (!conn) return; /* whoever gives the call its connection sees that it is owed */
  bool sent = send_close_locked(call, session);
  tth_conn_unlock(conn);
  if (!sent) tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, "out of memory");
}

/* ---- Receiving ----------------------------------------------------------------------------- */

/* Takes the next message off the queue; *in NULL and TETHER_OK: the end. A handler that hits a message which could not
 * be taken gets its status message set. */
static tether_code take(tether_call *call, bool block, tth_in **in, bool *done) {
  tth_pipe *pipe = call->pipe;
  tether_code code = TETHER_OK;
  char why[sizeof pipe->fault_why] = "";
  *done = true;
  *in = NULL;
  pthread_mutex_lock(&pipe->mu);
  for (;;) {
    bool over = is_over(call, &code), server = call->role == TTH_SERVER;
    if (over && server) break;
    if (pipe->first) {
      *in = pipe->first;
      pipe->first = (*in)->next;
      if (!pipe->first) pipe->last_next = &pipe->first;
      code = TETHER_OK;
      break;
    }
    if (pipe->fault != TETHER_OK) {
      code = pipe->fault;
      memcpy(why, pipe->fault_why, sizeof why);
      break;
    }
    if (over || (server && pipe->no_more)) break;
    if (!block) {
      pipe->recv_refused = true;
      *done = false;
      break;
    }
    pthread_cond_wait(&pipe->changed, &pipe->mu);
  }
  pthread_mutex_unlock(&pipe->mu);
  return *why ? tether_call_fail(call, code, "a request of the stream cannot be taken: %s", why) : code;
}

/* Gives credit back for a message that was taken. */
static void consumed(tether_call *call, size_t cost) {
  tth_pipe *pipe = call->pipe;
  pipe->consumed += cost;
  if (pipe->consumed < CONSUMED_STEP) return;
  tth_call_consumed(call, pipe->consumed);
  pipe->consumed = 0;
}

/* A message that cannot be taken ends what can be received, and a client's call if its status has not come already. */
static tether_code refuse(tether_call *call, tether_code code, const char *why) {
  char text[256];
  tth_pipe_cut(call->pipe);
  tth_pipe_fault(call, code, why);
  if (call->role == TTH_SERVER) return tether_call_fail(call, code, "a request of the stream cannot be taken: %s", why);
  snprintf(text, sizeof text, "a reply cannot be unpacked: %s", why);
  tth_client_call_refuse(call, code, text);
  return code;
}

static tether_code receive(tether_call *call, const ProtobufCMessage **message, bool block, bool *done) {
  tth_pipe *pipe = call->pipe;
  *done = true;
  if (!may(call, TETHER_METHOD_SERVER_STREAMING, TETHER_METHOD_CLIENT_STREAMING)) return misused(call);
  tth_in *in;
  tether_code code = take(call, block, &in, done);
  if (code == TETHER_OK && in) {
    char why[128];
    const ProtobufCMessageDescriptor *type = call->role == TTH_CLIENT ? call->method->reply : call->method->request;
    ProtobufCMessage *unpacked = NULL;
    tth_arena_fini(&pipe->arena);
    tth_arena_init(&pipe->arena, pipe->arena_memory, sizeof pipe->arena_memory, SIZE_MAX);
    code = tth_unpack(type, in->bytes, in->len, pipe->max_unpacked_bytes, &pipe->arena, why, sizeof why, &unpacked);
    if (code != TETHER_OK) code = refuse(call, code, why);
    consumed(call, in->cost);
    if (code == TETHER_OK) *message = unpacked;
    in->next = NULL;
    tth_in_free(in);
  } else if (code == TETHER_OK && *done) {
    *message = NULL;
  }
  return code;
}

tether_code tether_call_recv(tether_call *call, const ProtobufCMessage **message) {
  bool done;
  return receive(call, message, true, &done);
}

tether_code tether_call_try_recv(tether_call *call, const ProtobufCMessage **message, bool *done) {
  return receive(call, message, false, done);
}

tether_code tether_call_wait_initial(tether_call *call) {
  tth_pipe *pipe = call->pipe;
  if (call->role != TTH_CLIENT) return TETHER_FAILED_PRECONDITION;
  if (!pipe) return tether_call_wait(call);
  tether_code code = TETHER_OK;
  pthread_mutex_lock(&pipe->mu);
  while (!pipe->initial_known && !is_over(call, &code)) pthread_cond_wait(&pipe->changed, &pipe->mu);
  if (pipe->initial_known) code = TETHER_OK;
  pthread_mutex_unlock(&pipe->mu);
  return code;
}

void tether_call_on_ready(tether_call *call, tether_call_ready_fn ready, void *data) {
  tth_pipe *pipe = call->pipe;
  if (!pipe) return;
  pthread_mutex_lock(&pipe->mu);
  pipe->ready = ready;
  pipe->ready_data = data;
  bool tell = call->role == TTH_CLIENT && (pipe->initial_known || pipe->over) && !pipe->initial_told;
  if (tell) pipe->initial_told = true;
  pthread_mutex_unlock(&pipe->mu);
  if (tell) ready(call, TETHER_HAS_INITIAL, data);
}
