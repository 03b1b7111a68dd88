/* edge/request.h: the life of an HTTP request that became a remote call, whatever the form of its reply. */
#ifndef SERVICES_EDGE_REQUEST_H
#define SERVICES_EDGE_REQUEST_H

#include <jansson.h>

#include "edge/edge.h"
#include "edge/span.h"
#include "edge/stream.h"

enum { HTTP_CLIENT_CLOSED_REQUEST = 499 };

struct edge_request {
  edge_mail mail; /* first: its delivery casts */
  edge *edge;
  edge_request *prev, *next;
  struct evhttp_request *http; /* NULL once answered, or gone */
  tether_ctx *trace_ctx, *value_ctx, *ctx;
  tether_call *call;
  int64_t started_ns;
  edge_span span;
  json_t *(*render)(const tether_call *call); /* NULL: the reply is a stream */
  bool explain;                               /* the client asked where the time went */
  edge_stream stream;
};

/* Makes a request with its context; `slow` may be NULL. NULL, and the client has been told, without memory. */
edge_request *edge_request_begin(edge *e, struct evhttp_request *http, int64_t timeout_ns, const char *slow);

/* Releases it; its call has ended, its HTTP side is gone, and no mail of it is under way. */
void edge_request_release(edge_request *r);

/* For requests that never became a call. */
void edge_refuse(edge *e, struct evhttp_request *http, int status, tether_code code, const char *message);

/* Answers with the edge's metrics. */
void edge_reply_metrics(edge *e, struct evhttp_request *http);

/* Answers in one piece. After this the request has no HTTP side any more. */
void edge_request_answer(edge_request *r, int status, json_t *body);

/* Adds "ledger" if the client asked for it and the call has one. */
void edge_request_explain(const edge_request *r, json_t *body);

/* Answers with what the call ended with. NULL body: there was no memory for it. */
void edge_request_fail(edge_request *r);

/* Takes the HTTP side from the request: it is not watched any more, and counts as being written until it is written or
 * lost. */
struct evhttp_request *edge_request_detach(edge_request *r);

/* Logs the request, with how many hits of a stream were sent, and ends its span. */
void edge_request_log(edge_request *r, int status, tether_code code, const tether_cause *cause);

/* The HTTP status for what a call ended with. */
int edge_http_status(tether_code code);

#endif
