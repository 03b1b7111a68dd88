/* The environment, as https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
 * .../protocol/exporter/ describe it. An empty variable is as good as none. A bad value is reported and its default
 * used, but for the endpoint, without which nothing can be sent where it belongs. */
#include "modules/otlp/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "modules/otlp/record.h"

#define DEFAULT_ENDPOINT "http://localhost:4318"

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

/* The variable for traces alone, or else the one for all signals. */
static const char *either(const char *traces, const char *all) {
  const char *value = variable(traces);
  return value ? value : variable(all);
}

static void bad(const char *name, const char *value, const char *instead) {
  fprintf(stderr, "tether-otlp: %s='%s' is not understood; using %s\n", name, value, instead);
}

/* A whole number from 1 on, in milliseconds or spans. */
static int64_t number(const char *name, int64_t otherwise) {
  const char *value = variable(name);
  if (!value) return otherwise;
  char *end, text[32];
  long long parsed = strtoll(value, &end, 10);
  if (parsed > 0 && parsed <= INT64_C(1000000000) && !*end) return parsed;
  snprintf(text, sizeof text, "%lld", (long long)otherwise);
  bad(name, value, text);
  return otherwise;
}

/* ---- Lists --------------------------------------------------------------------------------- */

/* Calls fn for each "key=value" of a list with commas, percent-decoded and without blanks around; false if there is no
 * memory. */
static bool each_pair(const char *name, const char *list, bool (*fn)(void *data, const char *key, const char *value),
                      void *data) {
  char *copy = strdup(list), *rest = copy;
  bool memory = copy;
  for (char *pair; memory && (pair = strsep(&rest, ","));) {
    pair += strspn(pair, " \t");
    for (size_t len = strlen(pair); len && (pair[len - 1] == ' ' || pair[len - 1] == '\t'); len--) pair[len - 1] = '\0';
    char *value = strchr(pair, '=');
    if (!*pair) continue;
    if (!value || value == pair) {
      fprintf(stderr, "tether-otlp: %s has an entry that is not of the form key=value; leaving it out\n", name);
      continue;
    }
    *value++ = '\0';
    char *key_text = curl_easy_unescape(NULL, pair, 0, NULL), *value_text = curl_easy_unescape(NULL, value, 0, NULL);
    memory = key_text && value_text && fn(data, key_text, value_text);
    curl_free(key_text);
    curl_free(value_text);
  }
  free(copy);
  return memory;
}

/* What could end a header is left out, with a word about it but not of it: headers hold credentials. */
static bool add_header(void *data, const char *key, const char *value) {
  struct curl_slist **headers = data;
  char line[4096];
  int len = snprintf(line, sizeof line, "%s: %s", key, value);
  if (len >= (int)sizeof line || strpbrk(line, "\r\n")) {
    fprintf(stderr,
            "tether-otlp: a header of OTEL_EXPORTER_OTLP_HEADERS is too long or has a line break; leaving it out\n");
    return true;
  }
  struct curl_slist *grown = curl_slist_append(*headers, line);
  if (grown) *headers = grown;
  return grown;
}

static bool add_attribute(void *data, const char *key, const char *value) {
  json_t *attribute =
      json_pack("{s:o, s:{s:o}}", "key", tth_otlp_string(key), "value", "stringValue", tth_otlp_string(value));
  return attribute && json_array_append_new(data, attribute) == 0;
}

static bool find_service(void *data, const char *key, const char *value) {
  (void)value;
  if (strcmp(key, "service.name") == 0) *(bool *)data = true;
  return true;
}

static bool read_resource(otlp_config *config, const char *service) {
  const char *list = variable("OTEL_RESOURCE_ATTRIBUTES"), *name = variable("OTEL_SERVICE_NAME");
  json_t *attributes = json_array();
  bool named = false, memory = attributes;
  if (memory && list && !name) memory = each_pair("OTEL_RESOURCE_ATTRIBUTES", list, find_service, &named);
  if (memory && !named) memory = add_attribute(attributes, "service.name", name ? name : service);
  if (memory) memory = add_attribute(attributes, "telemetry.sdk.name", "tether");
  if (memory) memory = add_attribute(attributes, "telemetry.sdk.language", "c");
  if (memory && list) memory = each_pair("OTEL_RESOURCE_ATTRIBUTES", list, add_attribute, attributes);
  /* OTEL_SERVICE_NAME takes precedence: the list's own comes later and would count too. */
  for (size_t i = json_array_size(attributes); memory && name && i-- > 1;) {
    const char *key = json_string_value(json_object_get(json_array_get(attributes, i), "key"));
    if (strcmp(key, "service.name") == 0) json_array_remove(attributes, i);
  }
  config->resource = memory ? json_pack("{s:O}", "attributes", attributes) : NULL;
  json_decref(attributes);
  return config->resource;
}

/* ---- The rest ------------------------------------------------------------------------------ */

static bool is_http(const char *url) {
  CURLU *parsed = curl_url();
  char *scheme = NULL;
  bool good = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
  curl_free(scheme);
  curl_url_cleanup(parsed);
  return good;
}

static tether_code read_url(otlp_config *config) {
  const char *name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", *given = variable(name), *path = "";
  if (!given) {
    name = "OTEL_EXPORTER_OTLP_ENDPOINT";
    given = variable(name);
    if (!given) given = DEFAULT_ENDPOINT;
    path = given[strlen(given) - 1] == '/' ? "v1/traces" : "/v1/traces";
  }
  if (!is_http(given)) {
    fprintf(stderr, "tether-otlp: %s is not of the form http://host:port or https://host:port\n", name);
    return TETHER_INVALID_ARGUMENT;
  }
  if (asprintf(&config->url, "%s%s", given, path) >= 0) return TETHER_OK;
  config->url = NULL;
  return TETHER_RESOURCE_EXHAUSTED;
}

static tether_code read_headers(otlp_config *config) {
  const char *list = either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
  if (!add_header(&config->headers, "Content-Type", "application/json")) return TETHER_RESOURCE_EXHAUSTED;
  if (!list || each_pair("OTEL_EXPORTER_OTLP_HEADERS", list, add_header, &config->headers)) return TETHER_OK;
  return TETHER_RESOURCE_EXHAUSTED;
}

static void read_sampler(otlp_config *config) {
  static const struct {
    const char *name;
    otlp_sampler sampler;
    bool parent_based;
  } samplers[] = {
      {"parentbased_always_on", OTLP_ALWAYS_ON, true}, {"parentbased_always_off", OTLP_ALWAYS_OFF, true},
      {"parentbased_traceidratio", OTLP_RATIO, true},  {"always_on", OTLP_ALWAYS_ON, false},
      {"always_off", OTLP_ALWAYS_OFF, false},          {"traceidratio", OTLP_RATIO, false},
  };
  const char *name = variable("OTEL_TRACES_SAMPLER"), *argument = variable("OTEL_TRACES_SAMPLER_ARG");
  size_t i = 0, count = sizeof samplers / sizeof samplers[0];
  while (name && i < count && strcmp(name, samplers[i].name) != 0) i++;
  if (i == count) {
    bad("OTEL_TRACES_SAMPLER", name, samplers[0].name);
    i = 0;
  }
  config->sampler = samplers[i].sampler;
  config->parent_based = samplers[i].parent_based;
  double ratio = 1;
  char *end;
  if (config->sampler == OTLP_RATIO && argument) {
    ratio = strtod(argument, &end);
    if (*end || !(ratio >= 0 && ratio <= 1)) {
      bad("OTEL_TRACES_SAMPLER_ARG", argument, "1.0");
      ratio = 1;
    }
  }
  config->ratio = (uint64_t)(ratio * 9223372036854775808.0);
}

static bool is_asked_for(void) {
  const char *off = variable("OTEL_SDK_DISABLED"), *exporter = variable("OTEL_TRACES_EXPORTER");
  if (off && strcasecmp(off, "true") == 0) return false;
  if (!exporter) return either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
  if (strcmp(exporter, "otlp") != 0 && strcmp(exporter, "none") != 0) bad("OTEL_TRACES_EXPORTER", exporter, "none");
  return strcmp(exporter, "otlp") == 0;
}

static void read_numbers(otlp_config *config) {
  const char *protocol = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
  if (protocol && strcmp(protocol, "http/json") != 0) bad("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "http/json");
  const char *own = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
  config->timeout_ns = number(variable(own) ? own : "OTEL_EXPORTER_OTLP_TIMEOUT", 10000) * TETHER_MS;
  config->delay_ns = number("OTEL_BSP_SCHEDULE_DELAY", 5000) * TETHER_MS;
  config->export_ns = number("OTEL_BSP_EXPORT_TIMEOUT", 30000) * TETHER_MS;
  config->queue_most = (size_t)number("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
  config->batch_most = (size_t)number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512);
  if (config->batch_most > config->queue_most) config->batch_most = config->queue_most;
}

tether_code tth_otlp_config_read(otlp_config *config, const char *service) {
  *config = (otlp_config){.on = is_asked_for()};
  if (!config->on) return TETHER_OK;
  read_sampler(config);
  read_numbers(config);
  tether_code code = read_url(config);
  if (code == TETHER_OK) code = read_headers(config);
  if (code == TETHER_OK && !read_resource(config, service)) code = TETHER_RESOURCE_EXHAUSTED;
  return code;
}

void tth_otlp_config_fini(otlp_config *config) {
  free(config->url);
  curl_slist_free_all(config->headers);
  json_decref(config->resource);
}
