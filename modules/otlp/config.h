/* otlp/config.h: what OpenTelemetry's environment variables say of traces. */
#ifndef TETHER_MODULES_OTLP_CONFIG_H
#define TETHER_MODULES_OTLP_CONFIG_H

#include <curl/curl.h>
#include <jansson.h>
#include <tether/base.h>

typedef enum otlp_sampler { OTLP_ALWAYS_ON, OTLP_ALWAYS_OFF, OTLP_RATIO } otlp_sampler;

typedef struct otlp_config {
  bool on;
  char *url;
  struct curl_slist *headers;
  json_t *resource; /* {"attributes": [...]} */
  otlp_sampler sampler;
  bool parent_based;
  uint64_t ratio;     /* of 2^63 */
  int64_t timeout_ns; /* of one request */
  int64_t delay_ns, export_ns;
  size_t queue_most, batch_most;
} otlp_config;

/* Reads it; errors as tether_otlp_open. What was read is to be released in any case. */
TETHER_MUST_USE tether_code tth_otlp_config_read(otlp_config *config, const char *service);
void tth_otlp_config_fini(otlp_config *config);

#endif
