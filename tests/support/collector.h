/* A collector of spans: an HTTP server that takes OTLP in JSON, and can be slow, busy or broken. */
#ifndef TESTS_SUPPORT_COLLECTOR_H
#define TESTS_SUPPORT_COLLECTOR_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct collector {
  uint16_t port;
  int fd;
  pthread_t thread;
  atomic_int status;   /* of its replies; first 200 */
  atomic_bool silent;  /* it takes requests and does not answer before this is false again, or it closes */
  atomic_bool keeps;   /* it takes further requests on a connection, and no other connection meanwhile */
  atomic_int requests; /* received whole */
  atomic_int connections;
  atomic_bool closing;
  pthread_mutex_t mu;
  /* under mu */
  json_t *spans;   /* array; each with "service", its resource's service.name, added. Only of requests answered 200 */
  json_t *last;    /* the last request */
  char head[4096]; /* the last request's line and headers */
} collector;

/* Listens on a port of 127.0.0.1. false: errno says why. */
bool collector_open(collector *c);
void collector_close(collector *c);

/* "http://127.0.0.1:PORT". */
const char *collector_url(const collector *c, char url[64]);

/* Waits until there are so many spans, requests; false after 20 s. */
bool collector_wait_spans(collector *c, size_t count);
bool collector_wait_requests(collector *c, int count);

/* A copy of the span of this name and kind (OpenTelemetry's number), and, unless NULL, of this service and trace (hex),
 * to be released; NULL if there is none. */
json_t *collector_span(collector *c, const char *name, int kind, const char *service, const char *trace);

/* The value of a span's attribute, as text; "" if it has none. Valid while the span is. */
const char *span_attribute(const json_t *span, const char *key);
/* A member of the span: "spanId", "traceId", "parentSpanId"; "" if it is not there. */
const char *span_text(const json_t *span, const char *member);

#endif
