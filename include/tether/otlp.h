/* tether/otlp.h: sends spans to an OpenTelemetry collector, by OTLP over HTTP in JSON. In libtether-otlp.
 *
 *   tether_otlp *otlp;
 *   if (tether_otlp_open("orders", &otlp) != TETHER_OK) return 1;
 *   const tether_interceptor *interceptors[2] = {0};
 *   if (otlp) interceptors[0] = tether_otlp_interceptor(otlp);
 *   ... clients and servers with these interceptors ...
 *   tether_otlp_close(otlp);
 *
 * It is off unless the environment asks for it, with OpenTelemetry's own variables (docs/observability.md lists them):
 * OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 is enough. Spans wait in a bounded queue for a thread that sends
 * them. What does not fit, or cannot be delivered, is dropped and counted; no call ever waits for a collector. */
#ifndef TETHER_OTLP_H
#define TETHER_OTLP_H

#include <tether/tracing.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_otlp tether_otlp;

/* Reads the environment, and starts the thread that sends. `service` names the process unless OTEL_SERVICE_NAME or
 * OTEL_RESOURCE_ATTRIBUTES does. *otlp is NULL if traces are not asked for; the functions below take that.
 * TETHER_INVALID_ARGUMENT: an endpoint that is no http or https URL (standard error says which variable; of other
 *   variables a bad value is reported there and its default is used, as OpenTelemetry asks).
 * TETHER_RESOURCE_EXHAUSTED: no memory, or no thread. Reads getenv: before other threads change the environment. */
TETHER_API TETHER_MUST_USE tether_code tether_otlp_open(const char *service, tether_otlp **otlp);

/* How long tether_otlp_close goes on sending. */
#define TETHER_OTLP_CLOSE_NS (5 * TETHER_SEC)

/* Sends what waits, for at most TETHER_OTLP_CLOSE_NS and a second, drops the rest, and releases. After the clients and
 * servers that use it. Blocks. */
TETHER_API void tether_otlp_close(tether_otlp *otlp);

/* Makes a span of each sampled call, for the lists of clients and servers alike. NULL for NULL. */
TETHER_API const tether_interceptor *tether_otlp_interceptor(const tether_otlp *otlp);

/* Whether a span with this parent (NULL: a root) is to be recorded, by the sampler of the environment; false for NULL.
 * For what is no call. */
TETHER_API bool tether_otlp_samples(const tether_otlp *otlp, const tether_trace *parent, const uint8_t trace_id[16]);

typedef enum tether_span_kind {
  TETHER_SPAN_INTERNAL = 1,
  TETHER_SPAN_SERVER = 2,
  TETHER_SPAN_CLIENT = 3,
} tether_span_kind;

typedef struct tether_otlp_attribute {
  const char *key;  /* static */
  const char *text; /* NULL: it is a number */
  int64_t number;
} tether_otlp_attribute;

/* How many attributes a span may have. */
#define TETHER_OTLP_ATTRIBUTES 16

/* A span of something that is no call, such as an HTTP request. */
typedef struct tether_otlp_span {
  const char *name;
  tether_span_kind kind;
  tether_trace trace;   /* its own, see tether_trace_span */
  uint8_t parent_id[8]; /* all zero: a root */
  int64_t start_unix_ns, end_unix_ns;
  bool failed;
  const char *message; /* of a failed one; NULL: none */
  const tether_otlp_attribute *attributes;
  size_t attribute_count; /* more than TETHER_OTLP_ATTRIBUTES are left out */
} tether_otlp_span;

/* Queues a copy of the span, whatever its sampled flag says; texts are cut at 256 bytes. Never blocks. Any thread. */
TETHER_API void tether_otlp_add(tether_otlp *otlp, const tether_otlp_span *span);

typedef struct tether_otlp_stats {
  uint64_t exported; /* spans that the collector took */
  uint64_t dropped;  /* the queue was full, there was no memory, or the collector did not take them */
  uint64_t waiting;  /* now */
} tether_otlp_stats;

/* All zero for NULL. Any thread. */
TETHER_API void tether_otlp_get_stats(const tether_otlp *otlp, tether_otlp_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
