#include "edge/span.h"

#include <string.h>
#include <time.h>

tether_ctx *edge_span_begin(edge_span *span, const tether_otlp *otlp, struct evhttp_request *http) {
  const struct evkeyvalq *headers = evhttp_request_get_input_headers(http);
  const char *traceparent = evhttp_find_header(headers, "traceparent");
  const char *state = evhttp_find_header(headers, "tracestate"), *baggage = evhttp_find_header(headers, "baggage");
  const tether_ctx *background = tether_ctx_background();
  char text[TETHER_TRACEPARENT_SIZE];
  tether_trace parent;
  bool has_parent = tether_trace_parse(traceparent, &parent);
  if (!otlp)
    return traceparent ? tether_trace_continue(background, traceparent, state, baggage)
                       : tether_trace_start(background, true, NULL);
  span->trace = tether_trace_span(has_parent ? &parent : NULL);
  span->recorded = tether_otlp_samples(otlp, has_parent ? &parent : NULL, span->trace.trace_id);
  span->trace.flags = (uint8_t)((span->trace.flags & ~1) | span->recorded);
  if (has_parent) memcpy(span->parent_id, parent.span_id, sizeof span->parent_id);
  tether_trace_format(&span->trace, text);
  return tether_trace_continue(background, text, has_parent ? state : NULL, has_parent ? baggage : NULL);
}

void edge_span_end(edge_span *span, tether_otlp *otlp, struct evhttp_request *http, int status, int64_t took_ns) {
  if (!span->recorded || span->sent) return;
  span->sent = true;
  const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
  const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
  const tether_otlp_attribute attributes[] = {
      {.key = "http.request.method", .text = "GET"},
      {.key = "url.path", .text = path ? path : "/"},
      {.key = "http.response.status_code", .number = status},
  };
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t end_ns = now.tv_sec * TETHER_SEC + now.tv_nsec;
  char name[64] = "GET ";
  strncat(name, path ? path : "/", sizeof name - 1 - strlen(name));
  tether_otlp_span whole = {.name = name,
                            .kind = TETHER_SPAN_SERVER,
                            .trace = span->trace,
                            .start_unix_ns = end_ns - took_ns,
                            .end_unix_ns = end_ns,
                            .failed = status >= 500,
                            .attributes = attributes,
                            .attribute_count = sizeof attributes / sizeof attributes[0]};
  memcpy(whole.parent_id, span->parent_id, sizeof whole.parent_id);
  tether_otlp_add(otlp, &whole);
}
