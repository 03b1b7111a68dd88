/* What a connection brings for a client's call.
 *
 * Happy path: HEADERS -> initial metadata; MESSAGE -> the reply, unpacked into the call, or, of a stream, to its pipe;
 * TRAILERS -> status and trailers: the call ends, and its stream is gone. They come one after the other, on the I/O
 * thread or the one that leads. TRAILERS of a call that has ended otherwise tell what ran below it, and the server is
 * told if its status is not the one on record.
 * Failures: what cannot be taken (too large, malformed, out of order, no memory) ends this call, and the server is told
 * to stop. */
#include <stdio.h>
#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/client_call.h"
#include "rpc/dispatch.h"
#include "rpc/headers.h"
#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/retrying.h"
#include "rpc/unpack.h"

void tth_client_call_refuse(tether_call *call, tether_code code, const char *why) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, why);
  tth_client_call_end(call, code, why, cause);
  tether_cause_unref(cause);
}

/* Takes received entries as a new list; NULL if there are none. */
static tether_code take_entries(size_t count, Tether__V1__Entry *const *entries, tether_metadata **list) {
  tether_metadata *made = count ? tether_metadata_new() : NULL;
  if (!made) return count ? TETHER_RESOURCE_EXHAUSTED : TETHER_OK;
  tether_code code = tth_metadata_from_entries(made, count, entries);
  if (code == TETHER_OK)
    *list = made;
  else
    tether_metadata_free(made);
  return code;
}

/* Of a stream they can be read at once. */
static void publish_initial(tether_call *call) {
  if (!call->pipe) return;
  call->initial = call->c.io_initial; /* readers have waited for what follows */
  tth_pipe_initial(call);
}

static void on_headers(tether_call *call, const tth_event *event, const tether_limits *limits) {
  ProtobufCMessage *message;
  char why[160];
  if (call->c.io_headers) { /* each would take memory until the call has ended */
    tth_client_call_refuse(call, TETHER_INTERNAL, "initial metadata twice, or after a message");
    return;
  }
  call->c.io_headers = true;
  if (call->c.retrying) tth_retrying_commit(call);
  tether_code code =
      tth_call_unpack_small(call, &tether__v1__headers__descriptor, event, limits, why, sizeof why, &message);
  if (code == TETHER_OK) {
    const Tether__V1__Headers *headers = (const Tether__V1__Headers *)message;
    if (tth_entries_size(headers->n_metadata, headers->metadata) > limits->max_metadata_bytes)
      code = TETHER_RESOURCE_EXHAUSTED;
    else
      code = take_entries(headers->n_metadata, headers->metadata, &call->c.io_initial);
    if (code != TETHER_OK) snprintf(why, sizeof why, "the initial metadata is larger than the limit, or out of memory");
  }
  if (code != TETHER_OK)
    tth_client_call_refuse(call, code, why);
  else
    publish_initial(call);
}

static void on_message(tether_call *call, tth_event *event, const tether_limits *limits) {
  char why[160], message[320];
  if (call->c.config && (int64_t)event->len > call->c.config->max_response_bytes) {
    snprintf(message, sizeof message, "a reply of %zu bytes is larger than the service config allows", event->len);
    tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, message);
    return;
  }
  if (tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING)) {
    if (call->c.retrying && !call->c.io_headers) tth_retrying_commit(call);
    call->c.io_headers = true;
    tth_intercept_message(call, false, event->len);
    if (!tth_pipe_push(call, event)) tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, "out of memory");
    return;
  }
  if (call->c.io_reply) {
    tth_client_call_refuse(call, TETHER_INTERNAL, "two replies to a unary call");
    return;
  }
  tether_code code = tth_call_unpack(call, call->method->reply, event->bytes, event->len, limits->max_unpacked_bytes,
                                     why, sizeof why, &call->c.io_reply);
  tth_call_consumed(call, event->cost);
  call->c.reply_bytes = (uint32_t)event->len;
  if (code == TETHER_OK) return;
  snprintf(message, sizeof message, "the reply cannot be unpacked: %s", why);
  tth_client_call_refuse(call, code, message);
}

/* The server's record follows the caller's. */
static void correct_verdict(tether_call *call, uint32_t stream, uint32_t told) {
  if (told == (uint32_t)call->code) return;
  tether_code from = told <= TETHER_UNAUTHENTICATED ? (tether_code)told : TETHER_UNKNOWN;
  tth_session *session = tth_conn_lock(call->conn);
  if (session) tth_session_verdict(session, stream, from, call->code);
  tth_conn_unlock(call->conn);
}

/* Nobody has seen the call: neither side counts it. */
static bool is_unaccepted(const Tether__V1__Trailers *trailers) {
  return trailers && trailers->unaccepted && trailers->code == TETHER_UNAVAILABLE;
}

/* TRAILERS of a call that has ended, or is just being ended, in another way. */
static void on_late_trailers(tether_call *call, uint32_t stream, const Tether__V1__Trailers *trailers) {
  tether_call_wait(call); /* whoever ends it is about to publish */
  if (!trailers) return;
  if (is_unaccepted(trailers)) {
    bool again = call->c.retrying && atomic_load(&call->c.retrying->left) > 0;
    tth_client_count_unaccepted(call->c.client, call->code, again);
    return;
  }
  correct_verdict(call, stream, trailers->code);
  if (!trailers->has_ledger) return;
  call->c.late_hop = trailers->ledger;
  tth_recorder_call_explained(call->c.recorder, call->c.row, &trailers->ledger);
}

/* The status that the server's TRAILERS mean here. */
static tether_code received_code(tether_call *call, const Tether__V1__Trailers *trailers, const char **message) {
  tether_code code = trailers->code <= TETHER_UNAUTHENTICATED ? (tether_code)trailers->code : TETHER_UNKNOWN;
  *message = trailers->message;
  if (code == TETHER_OK && !call->c.io_reply && !tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING)) {
    *message = "the server sent OK and no reply";
    return TETHER_INTERNAL;
  }
  /* A server that cut the call because its time was over may say so either way; the deadline is the truth. */
  if (code == TETHER_CANCELLED && tether_ctx_remaining_ns(call->root) == 0) return TETHER_DEADLINE_EXCEEDED;
  return code;
}

static void on_trailers(tether_call *call, tth_event *event, const tether_limits *limits) {
  Tether__V1__Trailers plain;
  ProtobufCMessage *unpacked = &plain.base;
  char why[160];
  tether_code code = TETHER_OK;
  if (!tth_trailers_read(event->bytes, event->len, &plain))
    code = tth_call_unpack_small(call, &tether__v1__trailers__descriptor, event, limits, why, sizeof why, &unpacked);
  const Tether__V1__Trailers *trailers = code == TETHER_OK ? (const Tether__V1__Trailers *)unpacked : NULL;
  if (trailers && tth_entries_size(trailers->n_metadata, trailers->metadata) > limits->max_metadata_bytes) {
    code = TETHER_RESOURCE_EXHAUSTED;
    snprintf(why, sizeof why, "the trailers are larger than the limit");
  }
  if (is_unaccepted(trailers) && tth_dispatch_refused(call, &event->kept)) return;
  uint32_t gone = is_unaccepted(trailers) ? TTH_GONE_UNSENT : TTH_GONE_ANSWERED;
  uint32_t running = trailers && trailers->has_running ? trailers->running : 0;
  if (!tth_call_try_end(call)) {
    on_late_trailers(call, event->stream_id, trailers);
    tth_client_call_mark_gone(call, gone, running);
    return;
  }
  /* Not as it came: a cancel or the deadline, on any thread, may have ended the call since for its interceptors. */
  if (call->c.io_reply) tth_intercept_message(call, false, call->c.reply_bytes);
  call->c.told_ns = event->told_ns;
  if (trailers && trailers->has_ledger) call->c.hop = trailers->ledger;
  if (trailers && code == TETHER_OK) {
    const char *message;
    call->code = received_code(call, trailers, &message);
    tth_call_set_message(call, message);
    call->cause = tth_cause_from_wire(trailers->cause);
    call->reply = call->c.io_reply;
    if (!call->pipe) call->initial = call->c.io_initial;
    if (take_entries(trailers->n_metadata, trailers->metadata, &call->trailers) != TETHER_OK) {
      call->code = TETHER_RESOURCE_EXHAUSTED;
      tth_call_set_message(call, "out of memory");
    }
  } else {
    call->code = code;
    tth_call_set_message(call, why);
  }
  if (trailers) correct_verdict(call, event->stream_id, trailers->code);
  tth_client_call_note_gone(call, gone, running);
  /* What the server said, and not what became of it here. */
  if (trailers && trailers->code == (uint32_t)call->code && tth_retrying_ended(call)) return;
  /* Unless it is a handler's own status, with a text of its own. */
  bool cut = tether_cause_get_code(call->cause) == TETHER_CAUSE_DEADLINE &&
             strcmp(tether_call_message(call), tether_cause_text(call->cause)) == 0;
  if (call->code == TETHER_DEADLINE_EXCEEDED && (cut || !call->message)) tth_client_call_explain(call);
  tth_client_call_record(call);
  tth_client_call_complete(call);
}

void tth_client_call_event(tether_call *call, tth_event *event, const tether_limits *limits) {
  char message[160];
  switch (event->type) {
    case TTH_EVENT_HEADERS:
      on_headers(call, event, limits);
      break;
    case TTH_EVENT_MESSAGE:
      on_message(call, event, limits);
      break;
    case TTH_EVENT_OVERSIZE:
      snprintf(message, sizeof message, "a reply of %zu bytes is larger than the limit of %zu", event->len,
               limits->max_message_bytes);
      tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, message);
      break;
    case TTH_EVENT_TRAILERS:
      on_trailers(call, event, limits);
      tether_call_unref(call); /* the stream's reference */
      break;
    default:
      break;
  }
}
