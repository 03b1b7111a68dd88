#include "telemetry/telemetry.h"

#include "common/log.h"

bool svc_telemetry_open(svc_telemetry *telemetry, const char *service, const svc_telemetry_options *options) {
  size_t count = 0;
  *telemetry = (svc_telemetry){0};
  tether_code code = tether_metrics_new(&telemetry->metrics);
  if (code == TETHER_OK) code = tether_otlp_open(service, &telemetry->otlp);
  if (code != TETHER_OK) {
    svc_log_note("error", "no metrics or traces: %s", tether_code_name(code));
    return false;
  }
  telemetry->interceptors[count++] = tether_metrics_interceptor(telemetry->metrics);
  if (telemetry->otlp) telemetry->interceptors[count++] = tether_otlp_interceptor(telemetry->otlp);
  if (options->log_calls) {
    tether_logging_init(&telemetry->logging, NULL, NULL);
    telemetry->interceptors[count++] = &telemetry->logging.interceptor;
  }
  return !options->metrics_at || svc_scrape_open(options->metrics_at, telemetry->metrics, &telemetry->scrape);
}

void svc_telemetry_close(svc_telemetry *telemetry) {
  svc_scrape_close(telemetry->scrape);
  tether_otlp_close(telemetry->otlp);
  tether_metrics_free(telemetry->metrics);
}
