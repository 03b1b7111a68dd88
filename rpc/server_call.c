/* A call at the server.
 *
 * Happy path: HEADERS -> call, context with what is left of the caller's time -> MESSAGE -> request unpacked ->
 * handler, inline or on the pool -> its status and reply leave -> the call's context ends, and with it every call made
 * under it. Where the client streams, the handler starts with HEADERS and messages go to the call's pipe. A handler is
 * never run when the time is over on arrival, the method is unknown, the request does not unpack, or the caller has
 * cancelled meanwhile. `taken` decides between the handler and whoever ends the call without one. When the context
 * ended while the handler ran, its own status is dropped for the context's: that is what the caller, who has left,
 * recorded too. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/encode.h"
#include "rpc/forward.h"
#include "rpc/headers.h"
#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/server.h"
#include "rpc/session_clock.h"
#include "rpc/trace.h"
#include "rpc/unpack.h"
#include "rpc/utf8.h"

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

tether_call *tth_server_call_new(tether_server *server, tth_conn *conn, tth_stream *stream) {
  tether_call *call = tth_call_new(TTH_SERVER);
  if (!call) return NULL;
  call->s.server = server;
  call->conn = tth_conn_ref(conn);
  call->stream = stream;
  call->path = "";
  atomic_fetch_add(&server->calls, 1); /* a shutdown waits for it from here on */
  return call;
}

/* What a connection's calls may hold: in requests, and in replies that have not left. At least one of the largest. */
static size_t held_most(const tether_limits *limits) {
  size_t most = 4 * limits->connection_window_bytes, one = limits->max_unpacked_bytes + TTH_METADATA_MOST;
  return most > one ? most : one;
}

/* ---- Ending -------------------------------------------------------------------------------- */

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
  bool fits = !session || tth_session_unsent(session) + size <= held_most(&call->s.server->limits);
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
  if (session && call->stream && out) {
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
  if (call->s.held_bytes > 0) atomic_fetch_sub(&tth_conn_node_of(call->conn)->held_bytes, call->s.held_bytes);
  tth_call_ended(call);
  tth_server_call_gone(call->s.server, call);
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
}

/* How long the end of a call waits for the calls below it: somebody wants to know of them, and can still hear. */
static int64_t wait_for_below_ns(tether_call *call) {
  if (!call->cause || call->s.told || call->s.lost) return 0;
  int64_t stop_ns = tth_recorder_wait_ns(call->s.recorder, call->s.ended_ns);
  int64_t explain_ns = tth_recorder_explain_wait_ns(call->s.recorder);
  return stop_ns > explain_ns ? stop_ns : explain_ns;
}

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

/* Ends a call that is not taken on. */
static void shed(tether_call *call, const char *why) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, why);
  end_with_cause(call, TETHER_RESOURCE_EXHAUSTED, why, cause);
  tether_cause_unref(cause);
}

/* Ends a call whose handler has not been given it; false: the handler has it. */
static bool end_unhandled(tether_call *call, tether_code code, const char *message) {
  if (atomic_exchange(&call->s.taken, true)) return false;
  tth_server_call_end(call, code, message);
  return true;
}

void tth_server_call_cancel(tether_call *call, const tether_cause *cause) {
  int64_t none = 0;
  atomic_compare_exchange_strong(&call->s.cut_ns, &none, tether_now_ns());
  bool shutdown = tether_cause_get_code(cause) == TETHER_CAUSE_SHUTDOWN;
  tether_ctx_cancel_cause(call->root, cause); /* NULL, and nothing, if a shutdown comes before the headers */
  end_unhandled(call, shutdown ? TETHER_UNAVAILABLE : TETHER_CANCELLED, tether_cause_text(cause));
}

/* A detached call does without its caller, once its request is there. */
static bool goes_on(tether_call *call) { return call->s.detached && atomic_load(&call->s.taken); }

void tth_server_call_lost(tether_call *call, const char *why) {
  char text[256];
  if (!goes_on(call)) {
    snprintf(text, sizeof text, "the caller is gone: %s", why);
    tether_cause *cause = tether_cause_new(TETHER_CAUSE_PEER_LOST, NULL, text);
    call->s.lost = true;
    tth_server_call_cancel(call, cause);
    tether_cause_unref(cause);
  }
  tether_call_unref(call); /* the stream's reference */
}

/* ---- HEADERS ------------------------------------------------------------------------------- */

/* The caller's time, or what this server makes of it. */
static int64_t deadline_of(tether_call *call, const Tether__V1__Headers *headers) {
  const tether_server *server = call->s.server;
  int64_t now_ns = call->s.arrived_ns, deadline_ns = TETHER_FOREVER;
  call->s.detached = headers->has_detach_ns && headers->detach_ns > 0;
  if (call->s.detached)
    deadline_ns = tether_time_add(now_ns, headers->detach_ns);
  else if (headers->has_timeout_ns)
    deadline_ns =
        tth_deadline_of(headers->timeout_ns, headers->has_sent_at_ns ? headers->sent_at_ns : INT64_MIN, now_ns);
  int64_t most_ns = server->max_timeout_ns > 0 ? tether_time_add(now_ns, server->max_timeout_ns) : TETHER_FOREVER;
  return deadline_ns < most_ns ? deadline_ns : most_ns;
}

/* The context: time left, trace, values. Never fails: without memory it is a context that has ended. */
static void make_ctx(tether_call *call, const Tether__V1__Headers *headers) {
  const tether_server *server = call->s.server;
  const tether_ctx *background = tether_ctx_background();
  call->root = call->s.deadline_ns != TETHER_FOREVER ? tether_ctx_with_deadline(background, call->s.deadline_ns)
                                                     : tether_ctx_with_cancel(background);
  call->ctx = call->root;
  const tether_ctx *ctx = tether_ctx_ref(call->root);
  if (headers->traceparent) {
    const tether_ctx *traced = tth_trace_received(ctx, headers->traceparent, headers->tracestate, headers->baggage);
    if (traced) {
      tether_ctx_unref(ctx);
      ctx = traced;
    }
  }
  call->s.recorder = tth_recorder_new(call->s.explain, headers->explain_wait_ns);
  ctx = tth_recorder_attach(ctx, call->s.recorder);
  if (headers->n_forwarded || server->keys)
    ctx = tth_forward_received(ctx, server->keys, headers, server->limits.max_forward_bytes);
  if (ctx == call->root)
    tether_ctx_unref(ctx);
  else
    call->ctx = ctx;
}

/* HEADERS longer than this are not read by hand. */
#define BY_HAND_MOST ((size_t)4096)

/* Reads HEADERS, into `hand` or, of any shape, with protobuf-c. The handler does not have the call yet, so the arena
 * needs no lock. */
static tether_code read_headers(tether_call *call, const tth_event *event, const tether_limits *limits,
                                tth_headers *hand, const Tether__V1__Headers **headers, char *why, size_t why_size) {
  *headers = &hand->base;
  if (event->len <= BY_HAND_MOST && tth_headers_read(event->bytes, event->len, &call->arena, hand)) return TETHER_OK;
  ProtobufCMessage *message;
  tether_code code =
      tth_call_unpack_small(call, &tether__v1__headers__descriptor, event, limits, why, why_size, &message);
  if (code == TETHER_OK) *headers = (const Tether__V1__Headers *)message;
  return code;
}

/* The metadata as a list; false: no memory. */
static bool take_metadata(tether_call *call, const Tether__V1__Headers *headers, bool by_hand) {
  if (headers->n_metadata == 0) return true;
  if (by_hand) {
    call->metadata = tth_metadata_received(&call->arena, headers->n_metadata, headers->metadata);
    return call->metadata;
  }
  call->metadata = tether_metadata_new();
  return call->metadata &&
         tth_metadata_from_entries(call->metadata, headers->n_metadata, headers->metadata) == TETHER_OK;
}

/* What is wrong with the headers of a call; TETHER_OK if nothing is. */
static tether_code check_headers(tether_call *call, const Tether__V1__Headers *headers, bool by_hand,
                                 const tether_limits *limits, char *why, size_t why_size) {
  if (tth_entries_size(headers->n_metadata, headers->metadata) > limits->max_metadata_bytes) {
    snprintf(why, why_size, "the metadata is larger than the limit of %zu bytes", limits->max_metadata_bytes);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  if (!take_metadata(call, headers, by_hand)) {
    snprintf(why, why_size, "out of memory");
    return TETHER_RESOURCE_EXHAUSTED;
  }
  if (headers->method) call->path = headers->method; /* in the arena */
  tth_route *route = tth_server_route(call->s.server, call->path);
  if (!route || !route->handler) {
    snprintf(why, why_size, "no method %.200s is served here", *call->path ? call->path : "(none)");
    return TETHER_UNIMPLEMENTED;
  }
  call->s.route = route;
  call->method = route->method;
  call->path = route->method->path;
  call->s.handler = route->handler;
  call->s.service = route->service;
  call->s.data = route->data;
  if (call->s.deadline_ns <= call->s.arrived_ns) {
    snprintf(why, why_size, "the deadline had passed on arrival");
    return TETHER_DEADLINE_EXCEEDED;
  }
  bool required = call->s.server->deadline_required || (call->method->flags & TETHER_METHOD_DEADLINE_REQUIRED);
  if (required && !headers->has_timeout_ns && !call->s.detached) {
    snprintf(why, why_size, "%s requires a deadline and the call has none", call->path);
    return TETHER_INVALID_ARGUMENT;
  }
  return TETHER_OK;
}

/* ---- The handler --------------------------------------------------------------------------- */

static void run_handler(tether_call *call) {
  if (tether_ctx_err(call->root) != TETHER_OK) {
    tth_server_call_end(call, TETHER_CANCELLED, NULL);
    return;
  }
  call->s.began_ns = tether_now_ns();
  tth_recorder_start(call->s.recorder, call->s.began_ns);
  atomic_fetch_add_explicit(&call->s.route->started, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&call->s.route->running, 1, memory_order_relaxed);
  /* The handler may finish a deferred call before it returns. */
  tether_call_ref(call);
  tether_code code = call->s.handler(call->ctx, call, call->request, call->reply, call->s.service, call->s.data);
  if (!call->s.deferred) {
    bool known = code >= TETHER_OK && code <= TETHER_UNAUTHENTICATED;
    tth_server_call_end(call, known ? code : TETHER_UNKNOWN, code == TETHER_OK ? NULL : call->s.fail_message);
  }
  tether_call_unref(call);
}

static void run_task(tether_task *task) {
  tether_call *call = CONTAINER(task, tether_call, s.task);
  bool sheds = call->s.server->sheds;
  const char *why = sheds ? tth_server_call_starts(call) : NULL;
  if (why)
    shed(call, why);
  else
    run_handler(call);
  if (sheds) tth_server_call_returned(call);
  tether_call_unref(call);
}

/* The context of a stream ended: a cut, or the handler's own return. */
static void on_ctx_done(void *data) {
  tether_call *call = data;
  tth_pipe_wake(call);
  tether_call_unref(call);
}

/* The time was over, or something else ended the context, before the request was there. */
static void on_unfed(void *data) {
  tether_call *call = data;
  end_unhandled(call, TETHER_DEADLINE_EXCEEDED, "the deadline passed before the request had come");
  tether_call_unref(call);
}

/* Its request is not in the batch with its headers, and may never come: the deadline ends it all the same. */
static void expect_request(tether_call *call) {
  tether_call_ref(call);
  call->s.expecting = true;
  tether_ctx_after_func(call->root, &call->s.after, NULL, on_unfed, call);
}

/* The request has come. False: too late, on_unfed has run or does. */
static bool stop_expecting(tether_call *call) {
  if (!tether_after_stop(&call->s.after)) return false;
  tether_call_unref(call);
  return true;
}

/* Gives the call, with its request of so many bytes if it has one, to its handler, unless it has ended. */
static void dispatch(tether_call *call, size_t request_bytes) {
  if (atomic_exchange(&call->s.taken, true)) return;
  if (call->request) tth_intercept_message(call, false, request_bytes); /* from here on nobody ends it beside this */
  if (call->s.expecting && !stop_expecting(call)) {
    tth_server_call_end(call, TETHER_CANCELLED, NULL);
    return;
  }
  if (call->pipe) {
    tether_call_ref(call); /* until the context ends, which it does with the call at the latest */
    tether_ctx_after_func(call->root, &call->s.after, NULL, on_ctx_done, call);
  }
  if (call->method->flags & TETHER_METHOD_INLINE) {
    run_handler(call);
    return;
  }
  tether_call_ref(call);
  if (call->s.server->sheds) tth_server_call_queued(call);
  call->s.task.run = run_task;
  tether_executor *pool = tether_pool_executor(call->s.server->pool);
  pool->submit(pool, &call->s.task);
}

/* What the handler will need besides the request. */
static tether_code equip(tether_call *call, const tether_limits *limits) {
  if (tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING)) {
    call->pipe = tth_pipe_new(limits->max_unpacked_bytes);
    if (!call->pipe) return TETHER_RESOURCE_EXHAUSTED;
  }
  if (tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING)) return TETHER_OK;
  call->reply = tether_call_alloc(call, call->method->reply->sizeof_message);
  if (!call->reply) return TETHER_RESOURCE_EXHAUSTED;
  protobuf_c_message_init(call->method->reply, call->reply);
  return TETHER_OK;
}

/* ---- Events -------------------------------------------------------------------------------- */

static void on_end(tether_call *call) {
  if (call->pipe && tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING))
    tth_pipe_no_more(call);
  else
    end_unhandled(call, TETHER_INTERNAL, "a call without its request message");
}

static void on_headers(tether_call *call, const tth_event *event, const tether_limits *limits) {
  tth_server_call_added(call->s.server, call); /* not when it was made: the connection's lock was held */
  char why[320];
  tth_headers hand;
  const Tether__V1__Headers *headers;
  call->s.arrived_ns = event->came_ns; /* what it has waited behind others of its batch is its own time */
  call->s.deadline_ns = TETHER_FOREVER;
  tether_code code = read_headers(call, event, limits, &hand, &headers, why, sizeof why);
  if (code != TETHER_OK) {
    end_unhandled(call, code, why);
    return;
  }
  call->s.explain = headers->explain;
  call->s.deadline_ns = deadline_of(call, headers);
  code = check_headers(call, headers, headers == &hand.base, limits, why, sizeof why);
  const char *refused = why;
  if (code == TETHER_OK) make_ctx(call, headers);
  if (code == TETHER_OK && call->s.server->interceptors) code = tth_intercept_begin(call, &refused);
  if (code != TETHER_OK) {
    end_unhandled(call, code, refused);
    return;
  }
  code = equip(call, limits);
  if (code != TETHER_OK) {
    end_unhandled(call, code, "out of memory");
    return;
  }
  const char *full = call->s.server->sheds ? tth_server_call_arrives(call) : NULL;
  if (full) {
    if (!atomic_exchange(&call->s.taken, true)) shed(call, full);
    return;
  }
  bool streams = tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING);
  if (!event->whole && !event->end && !streams && call->s.deadline_ns != TETHER_FOREVER) expect_request(call);
  if (event->end) on_end(call);
  if (streams) dispatch(call, 0);
}

/* Requests that do not fit into their calls count for their connection. False: it holds too much. */
static bool hold(tether_call *call, const tether_limits *limits) {
  size_t bytes = call->arena.used_bytes, most = held_most(limits);
  if (bytes <= TTH_CALL_INLINE) return true;
  _Atomic size_t *held = &tth_conn_node_of(call->conn)->held_bytes;
  if (atomic_fetch_add_explicit(held, bytes, memory_order_relaxed) + bytes <= most) {
    call->s.held_bytes = bytes;
    return true;
  }
  atomic_fetch_sub_explicit(held, bytes, memory_order_relaxed);
  return false;
}

/* The one request of a method whose client does not stream. */
static void on_request(tether_call *call, const tth_event *event, const tether_limits *limits) {
  char reason[160], why[256] = "a second request where one belongs";
  if (atomic_load(&call->s.taken)) return; /* ended, or refused with its headers */
  tether_code code = TETHER_INTERNAL;
  if (!call->request) {
    code = tth_call_unpack(call, call->method->request, event->bytes, event->len, limits->max_unpacked_bytes, reason,
                           sizeof reason, &call->request);
    tth_call_consumed(call, event->cost);
    if (code != TETHER_OK) {
      snprintf(why, sizeof why, "the request cannot be unpacked: %s", reason);
    } else if (!hold(call, limits)) {
      code = TETHER_RESOURCE_EXHAUSTED;
      snprintf(why, sizeof why, "the calls on this connection hold as much in requests as they may");
    }
  }
  if (code != TETHER_OK)
    end_unhandled(call, code, why);
  else if (event->end)
    dispatch(call, event->len);
}

static void on_message(tether_call *call, tth_event *event, const tether_limits *limits) {
  if (!call->pipe || !tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING)) {
    on_request(call, event, limits);
    return;
  }
  tth_intercept_message(call, false, event->len);
  if (!tth_pipe_push(call, event)) tth_pipe_fault(call, TETHER_RESOURCE_EXHAUSTED, "out of memory");
}

static void on_oversize(tether_call *call, size_t len, const tether_limits *limits) {
  char why[160];
  snprintf(why, sizeof why, "a request of %zu bytes is larger than the limit of %zu", len, limits->max_message_bytes);
  if (!end_unhandled(call, TETHER_RESOURCE_EXHAUSTED, why) && call->pipe)
    tth_pipe_fault(call, TETHER_RESOURCE_EXHAUSTED, why);
}

static void on_cancel(tether_call *call, const tth_event *event, const tether_limits *limits) {
  ProtobufCMessage *message = NULL;
  char why[160];
  tether_cause *cause = NULL;
  if (goes_on(call)) return; /* the caller has recorded its leaving */
  if (tth_call_unpack_small(call, &tether__v1__cancel__descriptor, event, limits, why, sizeof why, &message) ==
      TETHER_OK) {
    const Tether__V1__Cancel *cancel = (const Tether__V1__Cancel *)message;
    cause = tth_cause_from_wire(cancel->cause);
    if (cancel->wait_ns > 0) tth_recorder_set_wait(call->s.recorder, tether_time_add(tether_now_ns(), cancel->wait_ns));
  }
  tth_server_call_cancel(call, cause ? cause : tether_cause_canceled());
  tether_cause_unref(cause);
}

void tth_server_call_event(tether_call *call, tth_event *event, const tether_limits *limits) {
  switch (event->type) {
    case TTH_EVENT_HEADERS:
      on_headers(call, event, limits);
      break;
    case TTH_EVENT_MESSAGE:
      on_message(call, event, limits);
      break;
    case TTH_EVENT_CANCEL:
      on_cancel(call, event, limits);
      break;
    case TTH_EVENT_END:
      on_end(call);
      break;
    case TTH_EVENT_OVERSIZE:
      on_oversize(call, event->len, limits);
      break;
    default:
      break;
  }
}
