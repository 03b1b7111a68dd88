/* The end of a server's call.
 *
 * Happy path: the handler returns -> the first who ends the call writes its status -> the call's context ends, and with
 * it every call made under it -> reply and TRAILERS leave. When the context ended while the handler ran, its own status
 * is dropped for the context's: that is what the caller, who has left, recorded too.
 * Failures: a caller that cancelled and wants to know what runs below is answered when that has stopped, or when it
 * waits no longer; what the client does not take, or leaves unread too long, is replaced by a status that says so;
 * without memory even for TRAILERS the connection is closed. */
#include <stdlib.h>

#include "rpc/encode.h"
#include "rpc/interceptor.h"
#include "rpc/server_call.h"
#include "rpc/utf8.h"

/* What the caller is told when the context has ended: the context's status, not the handler's. */
static tether_code final_code(tether_call *call, tether_code code, const char **message, const tether_cause **cause) {
  const tether_ctx *root = call->root;
  if (!root || tether_ctx_err(root) == TETHER_OK) return code;
  *cause = tether_ctx_cause(root);
  *message = tether_cause_text(*cause);
  /* Our own shutdown; a caller that stops for its own has recorded CANCELLED. */
  tether_cause_code why = tether_cause_get_code(*cause);
  bool shutdown = call->s.told && why == TETHER_CAUSE_SHUTDOWN, lost = call->s.lost && why == TETHER_CAUSE_PEER_LOST;
  return shutdown || lost ? TETHER_UNAVAILABLE : tth_code_of_ctx(root);
}

int64_t tth_server_call_wasted_ns(const tether_call *call) {
  int64_t cut_ns = atomic_load(&call->s.cut_ns), from_ns = call->s.deadline_ns;
  if (cut_ns && cut_ns < from_ns) from_ns = cut_ns;
  if (from_ns < call->s.began_ns) from_ns = call->s.began_ns;
  return call->s.began_ns && call->s.ended_ns > from_ns ? call->s.ended_ns - from_ns : 0;
}

/* This hop's row of the ledger. */
static ProtobufCBinaryData pack_ledger(tether_call *call) {
  ProtobufCBinaryData bytes = {0};
  Tether__V1__Hop hop = TETHER__V1__HOP__INIT;
  int64_t began_ns = call->s.began_ns ? call->s.began_ns : call->s.ended_ns;
  hop.name = (char *)tth_utf8_text(tether_origin());
  hop.has_budget_ns = call->s.deadline_ns != TETHER_FOREVER;
  /* A peer may say any time; "over" needs no number. */
  hop.budget_ns = call->s.deadline_ns > call->s.arrived_ns ? call->s.deadline_ns - call->s.arrived_ns : 0;
  hop.has_queue_ns = hop.has_own_ns = true;
  hop.queue_ns = began_ns - call->s.arrived_ns;
  hop.own_ns = call->s.ended_ns - began_ns;
  hop.wasted_ns = tth_server_call_wasted_ns(call);
  hop.has_wasted_ns = hop.wasted_ns > 0;
  hop.has_detached = hop.detached = call->s.detached;
  return tth_recorder_pack(call->s.recorder, &hop, &bytes) ? bytes : (ProtobufCBinaryData){0};
}

/* Encodes the end; trailers larger than the client takes, or a reply, are replaced by saying so. */
static tth_out *encode_end(tether_call *call, const tether_limits *peer) {
  tth_out *out = NULL;
  bool initial_fits = call->s.initial_sent || tether_metadata_size(call->initial) <= peer->max_metadata_bytes;
  if (!initial_fits || tether_metadata_size(call->trailers) > peer->max_metadata_bytes) {
    tether_metadata_free(call->trailers);
    tether_metadata_free(call->initial);
    call->trailers = call->initial = NULL;
    call->code = TETHER_RESOURCE_EXHAUSTED;
    tth_call_set_message(call, "the handler's metadata is larger than the client takes");
  } else if (call->code == TETHER_OK && call->reply &&
             protobuf_c_message_get_packed_size(call->reply) > peer->max_message_bytes) {
    call->code = TETHER_RESOURCE_EXHAUSTED;
    tth_call_set_message(call, "the reply is larger than the client takes");
  }
  tth_end end = {.running = tth_recorder_running(call->s.recorder)};
  if (call->code != TETHER_OK || call->s.explain) end.ledger = pack_ledger(call);
  if (tth_encode_reply(call, &end, &out) != TETHER_OK) out = NULL;
  free(end.ledger.data);
  return out;
}

static void intercept_end(tether_call *call) {
  bool replies = call->code == TETHER_OK && call->reply;
  if (replies) tth_intercept_message(call, true, protobuf_c_message_get_packed_size(call->reply));
  tth_intercept_end(call);
}

static size_t size_of(const tth_out *out) {
  size_t size = 0;
  for (; out; out = out->next) size += out->len;
  return size;
}

/* Replaces a long reply on a connection whose client leaves too much unread already. Short ones are bounded by the
 * streams there may be. */
static void bound_unsent(tether_call *call, tth_out **out) {
  size_t size = size_of(*out);
  if (size <= TTH_SLICE || call->code != TETHER_OK) return;
  const tth_session *session = tth_conn_lock(call->conn);
  bool fits = !session || tth_session_unsent(session) + size <= tth_server_held_most(&call->s.server->limits);
  tth_conn_unlock(call->conn);
  if (fits) return;
  tth_out_free(*out);
  call->code = TETHER_RESOURCE_EXHAUSTED;
  tth_call_set_message(call, "the client leaves as much unread on this connection as it may");
  *out = encode_end(call, tth_conn_peer_limits(call->conn));
}

/* Sends the end, and lets go. */
static void complete(tether_call *call) {
  tth_out *out = encode_end(call, tth_conn_peer_limits(call->conn));
  bound_unsent(call, &out);
  if (call->s.server->interceptors) intercept_end(call);
  bool unref = false;
  tth_session *session = tth_conn_lock(call->conn);
  bool leaves = session && call->stream && out;
  /* Now: once it has left, a VERDICT may come at any time. A caller whose connection is lost has recorded that, and not
   * what the handler made of it. */
  tth_server_call_answers(call->s.server, call, leaves || call->cause ? call->code : TETHER_UNAVAILABLE);
  if (leaves) {
    if (call->cause) tth_session_drop_output(session, call->stream); /* nobody waits for it */
    tth_session_finish(session, call->stream, out);
    call->stream = NULL;
    out = NULL;
    unref = true;
  }
  bool stuck = session && call->stream; /* no memory even for trailers: the client learns it from the close */
  tth_conn_unlock(call->conn);
  if (stuck) tth_conn_close(call->conn);
  tth_out_free(out);
  tth_call_ended(call);
  tth_server_call_gone(call->s.server);
  if (unref) tether_call_unref(call);
}

/* ---- A cancel that waits for the tree below ------------------------------------------------ */

static void on_below_closed(void *data) {
  tether_call *call = data;
  if (tether_after_stop(&call->s.wait_after)) tether_call_unref(call); /* the timer's reference */
  complete(call);
  tether_call_unref(call);
}

static void on_wait_over(void *data) {
  tether_call *call = data;
  tth_recorder_give_up(call->s.recorder);
  tether_call_unref(call);
}

/* Completes the call when the calls made under it are gone too, or when the caller waits no longer. */
static void complete_after_below(tether_call *call, int64_t wait_ns) {
  call->s.wait_ctx = tether_ctx_with_timeout(tether_ctx_background(), wait_ns);
  tether_call_ref(call);
  tether_call_ref(call);
  tether_ctx_after_func(call->s.wait_ctx, &call->s.wait_after, NULL, on_wait_over, call);
  tth_recorder_when_closed(call->s.recorder, on_below_closed, call);
  /* The time may have been over when there was nothing yet to give up. The caller's reference keeps the call. */
  if (tether_ctx_err(call->s.wait_ctx) != TETHER_OK) tth_recorder_give_up(call->s.recorder);
}

/* How long the end of a call waits for the calls below it: somebody wants to know of them, and can still hear. */
static int64_t wait_for_below_ns(tether_call *call) {
  if (!call->cause || call->s.told || call->s.lost) return 0;
  int64_t stop_ns = tth_recorder_wait_ns(call->s.recorder, call->s.ended_ns);
  int64_t explain_ns = tth_recorder_explain_wait_ns(call->s.recorder);
  return stop_ns > explain_ns ? stop_ns : explain_ns;
}

/* ---- Ending -------------------------------------------------------------------------------- */

/* `given` is the cause if the context has not ended. */
static void end_with_cause(tether_call *call, tether_code code, const char *message, const tether_cause *given) {
  if (!tth_call_try_end(call)) return;
  const tether_cause *cause = NULL;
  call->code = final_code(call, code, &message, &cause);
  if (cause || given) call->cause = tether_cause_ref(cause ? cause : given);
  tth_call_set_message(call, message);
  call->s.ended_ns = tether_now_ns();
  if (call->s.began_ns) {
    atomic_fetch_add_explicit(&call->s.route->wasted_ns, tth_server_call_wasted_ns(call), memory_order_relaxed);
    atomic_fetch_sub_explicit(&call->s.route->running, 1, memory_order_relaxed);
    if (call->s.server->sheds) tth_server_call_took(call);
  }
  /* Whatever the handler started under its context ends with it. */
  tether_ctx_cancel(call->root);
  int64_t wait_ns = wait_for_below_ns(call);
  if (wait_ns > 0)
    complete_after_below(call, wait_ns);
  else
    complete(call);
}

void tth_server_call_end(tether_call *call, tether_code code, const char *message) {
  end_with_cause(call, code, message, NULL);
}

void tth_server_call_shed(tether_call *call, const char *why) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, why);
  end_with_cause(call, TETHER_RESOURCE_EXHAUSTED, why, cause);
  tether_cause_unref(cause);
}

bool tth_server_call_end_unhandled(tether_call *call, tether_code code, const char *message) {
  if (atomic_exchange(&call->s.taken, true)) return false;
  bool late = code == TETHER_DEADLINE_EXCEEDED;
  tether_cause *cause = late ? tether_cause_new(TETHER_CAUSE_DEADLINE, NULL, message) : NULL;
  end_with_cause(call, code, message, cause);
  tether_cause_unref(cause);
  return true;
}
