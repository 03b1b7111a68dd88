/* telemetry/telemetry.h: what a service tells of its calls: metrics, spans, and, if asked, a log line each. */
#ifndef SERVICES_TELEMETRY_TELEMETRY_H
#define SERVICES_TELEMETRY_TELEMETRY_H

#include <tether/logging.h>
#include <tether/metrics.h>
#include <tether/otlp.h>

#include "common/options.h"
#include "telemetry/scrape.h"

typedef struct svc_telemetry {
  tether_metrics *metrics;
  tether_otlp *otlp; /* NULL: the environment asks for no traces (tether/otlp.h) */
  tether_logging logging;
  svc_scrape *scrape;                        /* NULL: metrics are not served from here */
  const tether_interceptor *interceptors[4]; /* for every client and server of the process */
} svc_telemetry;

/* The command-line options of all services: where to serve metrics, whether to log calls. */
typedef struct svc_telemetry_options {
  const char *metrics_at; /* NULL: nowhere */
  bool log_calls;
} svc_telemetry_options;
#define SVC_OPTION_METRICS(options) \
  { "metrics", "HOST:PORT", "where to serve /metrics over HTTP; default nowhere", SVC_TEXT, &(options).metrics_at }
#define SVC_OPTION_LOG_CALLS(options) \
  { "log-calls", NULL, "log a line for each call", SVC_FLAG, &(options).log_calls }

/* Makes all that. false: logged why. To be closed in any case, after every client and server. */
bool svc_telemetry_open(svc_telemetry *telemetry, const char *service, const svc_telemetry_options *options);
void svc_telemetry_close(svc_telemetry *telemetry);

#endif
