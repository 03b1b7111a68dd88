/* edge/span.h: the span of an HTTP request, which is the root of what is done for it here and below. */
#ifndef SERVICES_EDGE_SPAN_H
#define SERVICES_EDGE_SPAN_H

#include <event2/http.h>
#include <tether/otlp.h>

typedef struct edge_span {
  tether_trace trace;
  uint8_t parent_id[8];
  bool recorded, sent;
} edge_span;

/* A context with the trace that the request's headers have, or a new one; if traces are exported, the calls made under
 * it are children of the request's own span. Never NULL. */
tether_ctx *edge_span_begin(edge_span *span, const tether_otlp *otlp, struct evhttp_request *http);

/* Sends it, once. */
void edge_span_end(edge_span *span, tether_otlp *otlp, struct evhttp_request *http, int status, int64_t took_ns);

#endif
