/* edge/routes.c: what is served, and which call it becomes. */
#include <string.h>

#include "edge/json.h"
#include "edge/params.h"
#include "edge/request.h"
#include "search/v1/search.tether.h"

/* The context has the deadline; the method's default would cut longer ones. */
static tether_call_options call_options(const edge_request *r) {
  return (tether_call_options){.timeout_ns = TETHER_FOREVER, .explain = r->explain};
}

static json_t *render_search(const tether_call *call) { return edge_json_search(search_v1_search_search_reply(call)); }
static json_t *render_health(const tether_call *call) { return edge_json_health(search_v1_search_health_reply(call)); }

/* ---- Replies in one piece ------------------------------------------------------------------- */

static void deliver(edge_mail *mail) {
  edge_request *r = (edge_request *)mail;
  if (r->http && tether_call_code(r->call) != TETHER_OK) {
    edge_request_fail(r);
  } else if (r->http) {
    json_t *body = r->render(r->call);
    int status = body ? 200 : 500;
    edge_request_log(r, status, TETHER_OK, NULL);
    edge_request_answer(r, status, body);
  }
  edge_request_release(r);
}

/* On a thread of tether's. The request stays alive until its mail is delivered. */
static void on_call_done(tether_call *call, void *data) {
  edge_request *r = data;
  (void)call;
  edge_mailbox_post(&r->edge->mailbox, &r->mail);
}

static void search(edge_request *r, const search_params *params) {
  Search__V1__SearchRequest ask = SEARCH__V1__SEARCH_REQUEST__INIT;
  ask.query = (char *)params->query;
  ask.limit = params->limit;
  r->render = render_search;
  r->mail.deliver = deliver;
  const tether_call_options options = call_options(r);
  r->call = search_v1_search_client_search_start(r->edge->search, r->ctx, &ask, &options, on_call_done, r);
}

static void health(edge *e, struct evhttp_request *http) {
  Search__V1__HealthRequest ask = SEARCH__V1__HEALTH_REQUEST__INIT;
  edge_request *r = edge_request_begin(e, http, TETHER_SEC, NULL);
  if (!r) return;
  r->render = render_health;
  r->mail.deliver = deliver;
  const tether_call_options options = call_options(r);
  r->call = search_v1_search_client_health_start(e->search, r->ctx, &ask, &options, on_call_done, r);
}

/* ---- Streams -------------------------------------------------------------------------------- */

static void search_stream(edge_request *r, const search_params *params) {
  Search__V1__SearchStreamRequest ask = SEARCH__V1__SEARCH_STREAM_REQUEST__INIT;
  ask.query = (char *)params->query;
  ask.limit = params->limit;
  const tether_call_options options = call_options(r);
  r->call = search_v1_search_client_search_stream_start(r->edge->search, r->ctx, &ask, &options, NULL, NULL);
  edge_stream_begin(r, params->format);
}

/* ---- Choosing ------------------------------------------------------------------------------- */

static void search_in_any_form(edge *e, struct evhttp_request *http, const char *raw) {
  search_params params;
  const char *accept = evhttp_find_header(evhttp_request_get_input_headers(http), "Accept");
  edge_request *r = NULL;
  if (search_params_init(&params, raw, accept, e->default_timeout_ns, e->max_timeout_ns))
    r = edge_request_begin(e, http, params.timeout_ns, params.slow);
  else
    edge_refuse(e, http, params.status, TETHER_INVALID_ARGUMENT, params.error);
  if (r) r->explain = params.explain;
  if (r && params.format == EDGE_JSON)
    search(r, &params);
  else if (r)
    search_stream(r, &params);
  search_params_fini(&params);
}

static void refuse_method(edge *e, struct evhttp_request *http) {
  evhttp_add_header(evhttp_request_get_output_headers(http), "Allow", "GET");
  edge_refuse(e, http, 405, TETHER_UNIMPLEMENTED, "only GET is served");
}

void edge_on_http(struct evhttp_request *http, void *data) {
  edge *e = data;
  const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
  const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
  if (!path) path = "/";
  if (evhttp_request_get_command(http) != EVHTTP_REQ_GET)
    refuse_method(e, http);
  else if (strcmp(path, "/search") == 0)
    search_in_any_form(e, http, evhttp_uri_get_query(uri));
  else if (strcmp(path, "/healthz") == 0)
    health(e, http);
  else if (strcmp(path, "/metrics") == 0)
    edge_reply_metrics(e, http);
  else
    edge_refuse(e, http, 404, TETHER_NOT_FOUND,
                "there are /search?q=WORDS&timeout=200ms&limit=20, /healthz and /metrics");
}
