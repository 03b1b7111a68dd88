/* edge/request.c: one HTTP request that became a remote call. This is the picture of one that is answered in one piece;
 * edge/stream.c has the other.
 *
 *            /search, /healthz                    call ended (mailbox)
 *   evhttp ---------------------> IN PROGRESS ----------------------------> replied, released
 *                                      |                                        ^
 *                                      | client gone (hangup)                   | call ended (mailbox)
 *                                      +--> context cancelled, logged as 499 ---+
 *
 * The root context of the whole tree of work is made here, with the trace the client sent, its timeout, and what it
 * asked for. Cancelling it stops every handler in every process below.
 *
 * Everything runs on the HTTP thread. */
#include "edge/request.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/slow.h"
#include "edge/json.h"

/* ---- Replying ------------------------------------------------------------------------------- */

void edge_end_if_idle(edge *e) {
  if (e->draining && !e->requests && e->replying <= 0) event_base_loopexit(e->base, NULL);
}

static void reply_over(edge *e) {
  e->replying--;
  edge_end_if_idle(e);
}

static void on_written(struct evhttp_request *http, void *data) {
  evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
  reply_over(data);
}

static void on_lost(struct evhttp_connection *connection, void *data) {
  (void)connection;
  reply_over(data);
}

/* The reply is handed over to evhttp. */
static void count_reply(edge *e, struct evhttp_request *http) {
  e->replying++;
  evhttp_request_set_on_complete_cb(http, on_written, e);
  evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_lost, e);
}

static void send_json(struct evhttp_request *http, int status, json_t *body) {
  struct evbuffer *out = evhttp_request_get_output_buffer(http);
  char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9));
  json_decref(body);
  evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/json");
  evbuffer_add_printf(out, "%s\n", text ? text : "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\"}}");
  free(text);
  evhttp_send_reply(http, status, NULL, NULL);
}

static void begin_log(svc_log *line, struct evhttp_request *http, const tether_ctx *ctx, int status) {
  svc_log_begin(line, status == HTTP_CLIENT_CLOSED_REQUEST ? "disconnect" : "request", ctx);
  svc_log_text(line, "method", "GET");
  svc_log_text(line, "uri", evhttp_request_get_uri(http));
  svc_log_number(line, "http", status);
}

void edge_request_log(edge_request *r, int status, tether_code code, const tether_cause *cause) {
  svc_log line;
  begin_log(&line, r->http, r->ctx, status);
  svc_log_outcome(&line, code, cause);
  if (!r->render) edge_stream_log(&line, r);
  int64_t took_ns = tether_now_ns() - r->started_ns;
  svc_log_duration(&line, "took", took_ns);
  svc_log_end(&line);
  edge_span_end(&r->span, r->edge->telemetry.otlp, r->http, status, took_ns);
}

void edge_refuse(edge *e, struct evhttp_request *http, int status, tether_code code, const char *message) {
  svc_log line;
  begin_log(&line, http, NULL, status);
  svc_log_outcome(&line, code, NULL);
  svc_log_end(&line);
  count_reply(e, http);
  send_json(http, status, edge_json_finish(edge_json_error(code, message, NULL), NULL, 0));
}

void edge_reply_metrics(edge *e, struct evhttp_request *http) {
  count_reply(e, http);
  svc_scrape_reply(http, e->telemetry.metrics);
}

struct evhttp_request *edge_request_detach(edge_request *r) {
  struct evhttp_request *http = r->http;
  struct bufferevent *bufev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(http));
  edge_hangup_unwatch(&r->edge->hangup, bufferevent_getfd(bufev));
  count_reply(r->edge, http);
  r->http = NULL;
  return http;
}

void edge_request_explain(const edge_request *r, json_t *body) {
  const tether_ledger *ledger = r->explain && r->call ? tether_call_ledger(r->call) : NULL;
  if (body && ledger) json_object_set_new(body, "ledger", edge_json_ledger(ledger));
}

void edge_request_answer(edge_request *r, int status, json_t *body) {
  edge_request_explain(r, body);
  send_json(edge_request_detach(r), status, edge_json_finish(body, r->ctx, tether_now_ns() - r->started_ns));
}

void edge_request_fail(edge_request *r) {
  tether_code code = tether_call_code(r->call);
  const tether_cause *cause = tether_call_cause(r->call);
  edge_request_log(r, edge_http_status(code), code, cause);
  edge_request_answer(r, edge_http_status(code), edge_json_error(code, tether_call_message(r->call), cause));
}

int edge_http_status(tether_code code) {
  switch (code) {
    case TETHER_OK:
      return 200;
    case TETHER_INVALID_ARGUMENT:
      return 400;
    case TETHER_DEADLINE_EXCEEDED:
      return 504;
    case TETHER_UNAVAILABLE:
    case TETHER_RESOURCE_EXHAUSTED:
    case TETHER_CANCELLED: /* by us: a client that cancels gets no answer */
      return 503;
    default:
      return 502;
  }
}

/* ---- The life of a request ------------------------------------------------------------------ */

void edge_request_release(edge_request *r) {
  edge *e = r->edge;
  if (r->prev)
    r->prev->next = r->next;
  else
    e->requests = r->next;
  if (r->next) r->next->prev = r->prev;
  tether_call_unref(r->call);
  tether_ctx_free(r->ctx);
  tether_ctx_free(r->value_ctx);
  tether_ctx_free(r->trace_ctx);
  free(r);
  edge_end_if_idle(e);
}

void edge_on_hangup(void *request) {
  edge_request *r = request;
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "the HTTP client disconnected");
  edge_request_log(r, HTTP_CLIENT_CLOSED_REQUEST, TETHER_CANCELLED, cause);
  tether_ctx_cancel_cause(r->ctx, cause);
  /* Nobody reads it, except one who only half-closed; it also makes evhttp close the connection. */
  json_t *body = edge_json_error(TETHER_CANCELLED, "the client disconnected", cause);
  tether_cause_unref(cause);
  if (r->render)
    edge_request_answer(r, HTTP_CLIENT_CLOSED_REQUEST, body);
  else
    edge_stream_hangup(r, body);
}

void edge_cancel_all(edge *e) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "the edge is shutting down");
  for (edge_request *r = e->requests; r; r = r->next) tether_ctx_cancel_cause(r->ctx, cause);
  tether_cause_unref(cause);
}

edge_request *edge_request_begin(edge *e, struct evhttp_request *http, int64_t timeout_ns, const char *slow) {
  edge_request *r = calloc(1, sizeof *r);
  if (!r) {
    edge_refuse(e, http, 503, TETHER_RESOURCE_EXHAUSTED, "out of memory");
    return NULL;
  }
  r->edge = e;
  r->http = http;
  r->started_ns = tether_now_ns();
  r->trace_ctx = edge_span_begin(&r->span, e->telemetry.otlp, http);
  if (slow) r->value_ctx = tether_ctx_with_value(r->trace_ctx, &svc_slow_key, slow);
  r->ctx = tether_ctx_with_timeout(slow ? r->value_ctx : r->trace_ctx, timeout_ns);
  r->next = e->requests;
  if (r->next) r->next->prev = r;
  e->requests = r;
  struct bufferevent *bufev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(http));
  edge_hangup_watch(&e->hangup, bufferevent_getfd(bufev), r);
  return r;
}
