/* A call at the server, and what its connection brings for it.
 *
 * Happy path: HEADERS -> call, context with what is left of the caller's time -> MESSAGE -> request unpacked ->
 * handler (server_call_run.c) -> its status and reply leave (server_call_end.c). Where the client streams, the handler
 * starts with HEADERS and messages go to the call's pipe.
 * Failures: the time is over on arrival, the method is unknown, the request does not unpack, the connection's calls
 * hold too much: the call ends here, without its handler. A cancel, or the loss of the connection, ends the call's
 * context, and the call itself if no handler has it. */
#include <stdio.h>

#include "rpc/cause_wire.h"
#include "rpc/forward.h"
#include "rpc/headers.h"
#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/server_call.h"
#include "rpc/session_clock.h"
#include "rpc/trace.h"
#include "rpc/unpack.h"

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

size_t tth_server_held_most(const tether_limits *limits) {
  size_t most = 4 * limits->connection_window_bytes, one = limits->max_unpacked_bytes + TTH_METADATA_MOST;
  return most > one ? most : one;
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

static void on_end(tether_call *call) {
  if (call->pipe && tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING))
    tth_pipe_no_more(call);
  else
    tth_server_call_end_unhandled(call, TETHER_INTERNAL, "a call without its request message");
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
    tth_server_call_end_unhandled(call, code, why);
    return;
  }
  call->s.explain = headers->explain;
  call->s.deadline_ns = deadline_of(call, headers);
  code = check_headers(call, headers, headers == &hand.base, limits, why, sizeof why);
  const char *refused = why;
  if (code == TETHER_OK) {
    make_ctx(call, headers);
    refused = "out of memory";
    code = equip(call, limits);
  }
  if (code == TETHER_OK) {
    tth_server_call_read(call->s.server, call); /* from here on a shutdown may end it, on another thread */
    if (call->s.server->interceptors) code = tth_intercept_begin(call, &refused);
  }
  if (code != TETHER_OK) {
    tth_server_call_end_unhandled(call, code, refused);
    return;
  }
  const char *full = call->s.server->sheds ? tth_server_call_arrives(call) : NULL;
  if (full) {
    if (!atomic_exchange(&call->s.taken, true)) tth_server_call_shed(call, full);
    return;
  }
  bool streams = tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING);
  if (!event->whole && !event->end && !streams && call->s.deadline_ns != TETHER_FOREVER) tth_server_call_expect(call);
  if (event->end) on_end(call);
  if (streams) tth_server_call_run(call, 0);
}

/* ---- Messages ------------------------------------------------------------------------------ */

/* Requests that do not fit into their calls count for their connection. False: it holds too much. */
static bool hold(tether_call *call, const tether_limits *limits) {
  size_t bytes = call->arena.used_bytes, most = tth_server_held_most(limits);
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
    tth_server_call_end_unhandled(call, code, why);
  else if (event->end)
    tth_server_call_run(call, event->len);
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
  if (!tth_server_call_end_unhandled(call, TETHER_RESOURCE_EXHAUSTED, why) && call->pipe)
    tth_pipe_fault(call, TETHER_RESOURCE_EXHAUSTED, why);
}

/* ---- Cancel and loss ----------------------------------------------------------------------- */

void tth_server_call_cancel(tether_call *call, const tether_cause *cause) {
  int64_t none = 0;
  atomic_compare_exchange_strong(&call->s.cut_ns, &none, tether_now_ns());
  bool shutdown = tether_cause_get_code(cause) == TETHER_CAUSE_SHUTDOWN;
  tether_ctx_cancel_cause(call->root, cause); /* NULL, and nothing, if it has ended with its headers */
  tth_server_call_end_unhandled(call, shutdown ? TETHER_UNAVAILABLE : TETHER_CANCELLED, tether_cause_text(cause));
}

/* A detached call does without its caller, once its request is there. */
static bool goes_on(tether_call *call) { return call->s.detached && atomic_load(&call->s.taken); }

static void on_cancel(tether_call *call, const tth_event *event, const tether_limits *limits) {
  ProtobufCMessage *message = NULL;
  char why[160];
  tether_cause *cause = NULL;
  if (goes_on(call)) { /* the caller has recorded its leaving */
    if (call->pipe) tth_pipe_alone(call);
    return;
  }
  if (tth_call_unpack_small(call, &tether__v1__cancel__descriptor, event, limits, why, sizeof why, &message) ==
      TETHER_OK) {
    const Tether__V1__Cancel *cancel = (const Tether__V1__Cancel *)message;
    cause = tth_cause_from_wire(cancel->cause);
    if (cancel->wait_ns > 0) tth_recorder_set_wait(call->s.recorder, tether_time_add(tether_now_ns(), cancel->wait_ns));
  }
  tth_server_call_cancel(call, cause ? cause : tether_cause_canceled());
  tether_cause_unref(cause);
}

void tth_server_call_lost(tether_call *call, const char *why) {
  char text[256];
  if (!goes_on(call)) {
    snprintf(text, sizeof text, "the caller is gone: %s", why);
    tether_cause *cause = tether_cause_new(TETHER_CAUSE_PEER_LOST, NULL, text);
    call->s.lost = true;
    tth_server_call_cancel(call, cause);
    tether_cause_unref(cause);
  } else if (call->pipe) {
    tth_pipe_alone(call);
  }
  tether_call_unref(call); /* the stream's reference */
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
