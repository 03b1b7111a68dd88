#include "bench/ours.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/logging.h>
#include <tether/metrics.h>
#include <tether/tls.h>
#include <tether/tracing.h>

static const char *url_of(const bench_options *options, const char *address, char *url, size_t size) {
  snprintf(url, size, "%s://%s", options->tls ? "tls+tcp" : options->tcp ? "tcp" : "ipc", address);
  return url;
}

static void ignore_span(void *data, const tether_span *span) { (void)data, (void)span; }
static void ignore_line(void *data, const char *line, size_t len) { (void)data, (void)line, (void)len; }

/* What the options ask to be known of calls. */
static const tether_interceptor *const *interceptors_of(const bench_options *options) {
  static const tether_interceptor *list[4];
  static tether_tracing tracing;
  static tether_logging logging;
  static tether_metrics *metrics;
  size_t count = 0;
  if (list[0]) return list;
  if (options->metrics && tether_metrics_new(&metrics) != TETHER_OK) bench_fail("no metrics");
  if (options->metrics) list[count++] = tether_metrics_interceptor(metrics);
  tether_tracing_init(&tracing, NULL, ignore_span, NULL);
  if (options->spans) list[count++] = &tracing.interceptor;
  tether_logging_init(&logging, ignore_line, NULL);
  if (options->logs) list[count++] = &logging.interceptor;
  return list;
}

tether_server_options ours_server_options(const bench_options *options) {
  static tether_tls tls;
  if (options->tls) tls = (tether_tls){.cert_file = bench_tls_file("cert"), .key_file = bench_tls_file("key")};
  return (tether_server_options){.interceptors = interceptors_of(options), .tls = options->tls ? &tls : NULL};
}

tether_server *ours_server(const bench_options *options) {
  tether_server *server;
  const tether_server_options ours = ours_server_options(options);
  if (tether_server_open(&ours, &server) != TETHER_OK) bench_fail("no server");
  return server;
}

void ours_serve(const bench_options *options, tether_server *server, void (*on_end)(void)) {
  char url[128];
  if (tether_server_listen(server, url_of(options, options->address, url, sizeof url)) != TETHER_OK)
    bench_fail("the server cannot listen at %s", options->address);
  bench_serve_until_told(tether_server_port(server));
  if (on_end) on_end();
  tether_server_close(server);
}

tether_client *ours_client(const bench_options *options, const char *address) {
  char url[128];
  tether_client *client;
  tether_client_options ours = {.interceptors = interceptors_of(options)};
  tether_tls tls = {0};
  if (options->tls) {
    tls.ca_file = bench_tls_file("cert");
    ours.tls = &tls;
  }
  if (tether_client_open(url_of(options, address, url, sizeof url), &ours, &client) != TETHER_OK)
    bench_fail("no client of %s", address);
  return client;
}

tether_call_options ours_call_options(void) {
  static tether_metadata *metadata;
  if (!metadata) metadata = tether_metadata_new();
  if (tether_metadata_count(metadata) == 0 &&
      tether_metadata_add(metadata, BENCH_METADATA_KEY, BENCH_METADATA_VALUE) != TETHER_OK)
    bench_fail("no metadata");
  return (tether_call_options){
      .metadata = metadata, .wait_for_ready = true, .timeout_ns = BENCH_TIMEOUT_SECONDS * TETHER_SEC};
}

Bench__V1__Payload ours_payload(const bench_options *options) {
  static uint8_t *data;
  if (!data) data = malloc((size_t)options->bytes);
  if (!data) bench_fail("out of memory");
  memset(data, 'x', (size_t)options->bytes);
  Bench__V1__Payload payload = BENCH__V1__PAYLOAD__INIT;
  payload.data = (ProtobufCBinaryData){.data = data, .len = (size_t)options->bytes};
  return payload;
}

void ours_check(tether_call *call, const bench_options *options) {
  if (tether_call_code(call) != TETHER_OK) bench_fail("a call failed: %s", tether_call_message(call));
  if (((const Bench__V1__Payload *)tether_call_reply(call))->data.len != (size_t)options->bytes)
    bench_fail("a wrong reply");
}
