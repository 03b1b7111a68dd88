/* Spans of calls for a collector: the tracing interceptor, with OpenTelemetry's names and samplers, and the exporter.
 */
#include <stdlib.h>
#include <string.h>

#include "modules/otlp/exporter.h"

struct tether_otlp {
  otlp_config config;
  otlp_exporter exporter;
  tether_tracing tracing;
};

/* ---- Sampling ------------------------------------------------------------------------------ */

static bool samples(void *data, const tether_trace *parent, const uint8_t trace_id[16]) {
  const otlp_config *config = &((const tether_otlp *)data)->config;
  if (config->parent_based && parent) return parent->flags & 1;
  if (config->sampler != OTLP_RATIO) return config->sampler == OTLP_ALWAYS_ON;
  uint64_t number = 0; /* of the id's random half, so that all processes of a trace agree */
  for (int i = 8; i < 16; i++) number = number << 8 | trace_id[i];
  return number >> 1 < config->ratio;
}

bool tether_otlp_samples(const tether_otlp *otlp, const tether_trace *parent, const uint8_t trace_id[16]) {
  return otlp && samples((void *)otlp, parent, trace_id);
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* What is an error of the server, and not of what it was asked (OpenTelemetry's rule for gRPC). */
static bool is_server_error(tether_code code) {
  const unsigned errors = 1u << TETHER_UNKNOWN | 1u << TETHER_DEADLINE_EXCEEDED | 1u << TETHER_UNIMPLEMENTED |
                          1u << TETHER_INTERNAL | 1u << TETHER_UNAVAILABLE | 1u << TETHER_DATA_LOSS;
  return errors >> code & 1;
}

static void add_text(tether_otlp_attribute *attributes, size_t *count, const char *key, const char *text) {
  if (text && *text) attributes[(*count)++] = (tether_otlp_attribute){.key = key, .text = text};
}

static void add_number(tether_otlp_attribute *attributes, size_t *count, const char *key, int64_t number) {
  attributes[(*count)++] = (tether_otlp_attribute){.key = key, .number = number};
}

static size_t describe(const tether_span *span, tether_otlp_attribute *a) {
  const tether_call *call = span->call;
  const tether_cause *cause = tether_call_cause(call);
  const char *code = tether_code_name(tether_call_code(call)), *path = tether_call_path(call);
  size_t n = 0;
  add_text(a, &n, "rpc.system.name", "tether");
  add_text(a, &n, "rpc.method", path + (*path == '/'));
  add_text(a, &n, "rpc.response.status_code", code);
  if (tether_call_code(call) != TETHER_OK) add_text(a, &n, "error.type", code);
  add_text(a, &n, "network.peer.address", tether_call_peer(call));
  if (cause) add_text(a, &n, "tether.cause", tether_cause_code_name(tether_cause_get_code(cause)));
  if (cause) add_text(a, &n, "tether.cause.origin", tether_cause_origin(cause));
  if (span->summary->budget_ns != TETHER_FOREVER) add_number(a, &n, "tether.budget_ns", span->summary->budget_ns);
  if (tether_call_is_server(call)) {
    add_number(a, &n, "tether.queue_ns", span->summary->queue_ns);
    if (span->summary->wasted_ns > 0) add_number(a, &n, "tether.wasted_ns", span->summary->wasted_ns);
  } else {
    add_number(a, &n, "tether.attempts", tether_call_attempts(call));
  }
  return n;
}

static void on_span(void *data, const tether_span *of) {
  tether_otlp_attribute attributes[TETHER_OTLP_ATTRIBUTES];
  const tether_call *call = of->call;
  const char *path = tether_call_path(call);
  bool server = tether_call_is_server(call);
  tether_code code = tether_call_code(call);
  tether_otlp_span span = {.name = path + (*path == '/'),
                           .kind = server ? TETHER_SPAN_SERVER : TETHER_SPAN_CLIENT,
                           .trace = of->trace,
                           .start_unix_ns = of->start_unix_ns,
                           .end_unix_ns = of->end_unix_ns,
                           .failed = server ? is_server_error(code) : code != TETHER_OK,
                           .message = tether_call_message(call),
                           .attributes = attributes,
                           .attribute_count = describe(of, attributes)};
  memcpy(span.parent_id, of->parent_id, sizeof span.parent_id);
  tether_otlp_add(data, &span);
}

/* ---- Life ---------------------------------------------------------------------------------- */

tether_code tether_otlp_open(const char *service, tether_otlp **result) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return TETHER_RESOURCE_EXHAUSTED;
  tether_otlp *otlp = calloc(1, sizeof *otlp);
  tether_code code = otlp ? tth_otlp_config_read(&otlp->config, service) : TETHER_RESOURCE_EXHAUSTED;
  bool on = code == TETHER_OK && otlp->config.on;
  if (on) code = tth_otlp_exporter_open(&otlp->exporter, &otlp->config);
  if (on && code == TETHER_OK) {
    tether_tracing_init(&otlp->tracing, samples, on_span, otlp);
    *result = otlp;
    return TETHER_OK;
  }
  if (otlp) tth_otlp_config_fini(&otlp->config);
  free(otlp);
  curl_global_cleanup();
  if (code == TETHER_OK) *result = NULL;
  return code;
}

void tether_otlp_close(tether_otlp *otlp) {
  if (!otlp) return;
  tth_otlp_exporter_close(&otlp->exporter);
  tth_otlp_config_fini(&otlp->config);
  free(otlp);
  curl_global_cleanup();
}

const tether_interceptor *tether_otlp_interceptor(const tether_otlp *otlp) {
  return otlp ? &otlp->tracing.interceptor : NULL;
}

void tether_otlp_add(tether_otlp *otlp, const tether_otlp_span *span) {
  if (otlp) tth_otlp_exporter_add(&otlp->exporter, tth_otlp_record_new(span));
}

void tether_otlp_get_stats(const tether_otlp *otlp, tether_otlp_stats *stats) {
  *stats = (tether_otlp_stats){0};
  if (!otlp) return;
  stats->exported = atomic_load(&otlp->exporter.exported);
  stats->dropped = atomic_load(&otlp->exporter.dropped);
  stats->waiting = atomic_load(&otlp->exporter.waiting);
}
