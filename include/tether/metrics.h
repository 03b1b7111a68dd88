/* tether/metrics.h: counters and histograms of calls, in the text format of Prometheus.
 *
 *   tether_metrics *metrics;
 *   if (tether_metrics_new(&metrics) != TETHER_OK) ...
 *   const tether_interceptor *const interceptors[] = {tether_metrics_interceptor(metrics), NULL};
 *   ... the interceptors of any number of clients and servers ...
 *   tether_metrics_write(metrics, append_to_reply, reply);
 *
 * docs/observability.md lists what there is; names are OpenTelemetry's where it has one. Labels are bounded: methods
 * come from the program's own tables, calls to a method that is not served are counted under `_OTHER` (as are all
 * beyond TETHER_METRICS_METHODS of them), and peers are no label. Recording takes no lock: some atomic additions on one
 * of several copies of each counter. */
#ifndef TETHER_METRICS_H
#define TETHER_METRICS_H

#include <tether/interceptor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many methods are told apart. */
#define TETHER_METRICS_METHODS 512

typedef struct tether_metrics tether_metrics;

/* Metrics that nothing has been recorded in. TETHER_RESOURCE_EXHAUSTED: no memory. free takes NULL; the clients and
 * servers that record in them must have been closed. */
TETHER_API TETHER_MUST_USE tether_code tether_metrics_new(tether_metrics **metrics);
TETHER_API void tether_metrics_free(tether_metrics *metrics);

/* What records, for the lists of clients and servers alike. First in the list it also counts what others refuse as
 * begun. Lives as long as the metrics. */
TETHER_API const tether_interceptor *tether_metrics_interceptor(const tether_metrics *metrics);

/* Writes all there is, in pieces, through `write`; the piece is borrowed during the call. Allocates nothing. Any
 * thread, also while calls record: a histogram's count and buckets always agree, different numbers may be some calls
 * apart. */
TETHER_API void tether_metrics_write(const tether_metrics *metrics,
                                     void (*write)(void *data, const char *text, size_t len), void *data);

#ifdef __cplusplus
}
#endif
#endif
