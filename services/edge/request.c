/* edge/request.c: one HTTP request that became a remote call.
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
 * Everything runs on the HTTP thread except on_call_done, which only posts mail. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <tether/trace.h>

#include "common/log.h"
#include "common/slow.h"
#include "edge/edge.h"
#include "edge/json.h"
#include "edge/params.h"
#include "search/v1/search.tether.h"

enum { HTTP_CLIENT_CLOSED_REQUEST = 499 };

struct edge_request {
  edge_mail mail; /* first: on_mail casts */
  edge *edge;
  edge_request *prev, *next;
  struct evhttp_request *http; /* NULL once answered */
  tether_ctx *trace_ctx, *value_ctx, *ctx;
  tether_call *call;
  int64_t started_ns;
  json_t *(*render)(const tether_call *call);
};

/* ---- Replying ------------------------------------------------------------------------------- */

void edge_end_if_idle(edge *e) {
  if (e->draining && !e->requests && e->replying <= 0) event_base_loopexit(e->base, NULL);
}

static void on_written(struct evhttp_request *http, void *data) {
  edge *e = data;
  (void)http;
  e->replying--;
  edge_end_if_idle(e);
}

static void send_json(edge *e, struct evhttp_request *http, int status, json_t *body) {
  struct evbuffer *out = evhttp_request_get_output_buffer(http);
  char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9));
  json_decref(body);
  evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/json");
  evbuffer_add_printf(out, "%s\n", text ? text : "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\"}}");
  free(text);
  e->replying++;
  evhttp_request_set_on_complete_cb(http, on_written, e);
  evhttp_send_reply(http, status, NULL, NULL);
}

static void log_request(struct evhttp_request *http, const tether_ctx *ctx, int status, tether_code code,
                        const tether_cause *cause, int64_t started_ns) {
  svc_log line;
  svc_log_begin(&line, status == HTTP_CLIENT_CLOSED_REQUEST ? "disconnect" : "request", ctx);
  svc_log_text(&line, "method", "GET");
  svc_log_text(&line, "uri", evhttp_request_get_uri(http));
  svc_log_number(&line, "http", status);
  svc_log_outcome(&line, code, cause);
  svc_log_duration(&line, "took", tether_now_ns() - started_ns);
  svc_log_end(&line);
}

/* For requests that never became a call. */
static void refuse(edge *e, struct evhttp_request *http, int status, tether_code code, const char *message) {
  int64_t now_ns = tether_now_ns();
  log_request(http, NULL, status, code, NULL, now_ns);
  send_json(e, http, status, edge_json_finish(edge_json_error(code, message, NULL), NULL, 0));
}

/* After this the request has no HTTP side any more. */
static void answer(edge_request *r, int status, json_t *body) {
  struct evhttp_request *http = r->http;
  struct bufferevent *bufev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(http));
  r->http = NULL;
  edge_hangup_unwatch(&r->edge->hangup, bufferevent_getfd(bufev));
  send_json(r->edge, http, status, edge_json_finish(body, r->ctx, tether_now_ns() - r->started_ns));
}

static int http_status(tether_code code) {
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

static void release(edge_request *r) {
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

static void on_mail(edge_mail *mail) {
  edge_request *r = (edge_request *)mail;
  if (r->http) {
    tether_code code = tether_call_code(r->call);
    const tether_cause *cause = tether_call_cause(r->call);
    json_t *body = code == TETHER_OK ? r->render(r->call) : edge_json_error(code, tether_call_message(r->call), cause);
    int status = body ? http_status(code) : 500;
    log_request(r->http, r->ctx, status, code, cause, r->started_ns);
    answer(r, status, body);
  }
  release(r);
}

/* On a thread of tether's. The request stays alive until its mail is delivered. */
static void on_call_done(tether_call *call, void *data) {
  edge_request *r = data;
  (void)call;
  edge_mailbox_post(&r->edge->mailbox, &r->mail);
}

void edge_on_hangup(void *request) {
  edge_request *r = request;
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "the HTTP client disconnected");
  log_request(r->http, r->ctx, HTTP_CLIENT_CLOSED_REQUEST, TETHER_CANCELLED, cause, r->started_ns);
  tether_ctx_cancel_cause(r->ctx, cause);
  /* Nobody reads it, except one who only half-closed; it also makes evhttp close the connection. */
  answer(r, HTTP_CLIENT_CLOSED_REQUEST, edge_json_error(TETHER_CANCELLED, "the client disconnected", cause));
  tether_cause_unref(cause);
}

void edge_cancel_all(edge *e) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "the edge is shutting down");
  for (edge_request *r = e->requests; r; r = r->next) tether_ctx_cancel_cause(r->ctx, cause);
  tether_cause_unref(cause);
}

static tether_ctx *start_trace(struct evhttp_request *http) {
  struct evkeyvalq *headers = evhttp_request_get_input_headers(http);
  const char *traceparent = evhttp_find_header(headers, "traceparent");
  if (!traceparent) return tether_trace_start(tether_ctx_background(), true, NULL);
  return tether_trace_continue(tether_ctx_background(), traceparent, evhttp_find_header(headers, "tracestate"),
                               evhttp_find_header(headers, "baggage"));
}

/* NULL, and the client has been told, without memory. */
static edge_request *begin(edge *e, struct evhttp_request *http, int64_t timeout_ns, const char *slow) {
  edge_request *r = calloc(1, sizeof *r);
  if (!r) {
    refuse(e, http, 503, TETHER_RESOURCE_EXHAUSTED, "out of memory");
    return NULL;
  }
  r->mail.deliver = on_mail;
  r->edge = e;
  r->http = http;
  r->started_ns = tether_now_ns();
  r->trace_ctx = start_trace(http);
  if (slow) r->value_ctx = tether_ctx_with_value(r->trace_ctx, &svc_slow_key, slow);
  r->ctx = tether_ctx_with_timeout(slow ? r->value_ctx : r->trace_ctx, timeout_ns);
  r->next = e->requests;
  if (r->next) r->next->prev = r;
  e->requests = r;
  struct bufferevent *bufev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(http));
  edge_hangup_watch(&e->hangup, bufferevent_getfd(bufev), r);
  return r;
}

/* ---- Routes --------------------------------------------------------------------------------- */

/* The context has the deadline; the method's default would cut longer ones. */
static const tether_call_options call_options = {.timeout_ns = TETHER_FOREVER};

static json_t *render_search(const tether_call *call) { return edge_json_search(search_v1_search_search_reply(call)); }
static json_t *render_health(const tether_call *call) { return edge_json_health(search_v1_search_health_reply(call)); }

static void search(edge *e, struct evhttp_request *http, const char *raw) {
  search_params params;
  if (!search_params_init(&params, raw, e->default_timeout_ns, e->max_timeout_ns)) {
    refuse(e, http, 400, TETHER_INVALID_ARGUMENT, params.error);
    search_params_fini(&params);
    return;
  }
  edge_request *r = begin(e, http, params.timeout_ns, params.slow);
  if (r) {
    Search__V1__SearchRequest ask = SEARCH__V1__SEARCH_REQUEST__INIT;
    ask.query = (char *)params.query;
    ask.limit = params.limit;
    r->render = render_search;
    r->call = search_v1_search_client_search_start(e->search, r->ctx, &ask, &call_options, on_call_done, r);
  }
  search_params_fini(&params);
}

static void health(edge *e, struct evhttp_request *http) {
  Search__V1__HealthRequest ask = SEARCH__V1__HEALTH_REQUEST__INIT;
  edge_request *r = begin(e, http, TETHER_SEC, NULL);
  if (!r) return;
  r->render = render_health;
  r->call = search_v1_search_client_health_start(e->search, r->ctx, &ask, &call_options, on_call_done, r);
}

static void refuse_method(edge *e, struct evhttp_request *http) {
  evhttp_add_header(evhttp_request_get_output_headers(http), "Allow", "GET");
  refuse(e, http, 405, TETHER_UNIMPLEMENTED, "only GET is served");
}

void edge_on_http(struct evhttp_request *http, void *data) {
  edge *e = data;
  const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
  const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
  if (!path) path = "/";
  if (evhttp_request_get_command(http) != EVHTTP_REQ_GET)
    refuse_method(e, http);
  else if (strcmp(path, "/search") == 0)
    search(e, http, evhttp_uri_get_query(uri));
  else if (strcmp(path, "/healthz") == 0)
    health(e, http);
  else
    refuse(e, http, 404, TETHER_NOT_FOUND, "there are /search?q=WORDS&timeout=200ms&limit=20 and /healthz");
}
