/* Unary calls with a deadline and a metadata entry: one at a time, blocking, or many by callback. */
#include <stdio.h>
#include <string.h>

#include "bench.tether.h"
#include "bench/harness.h"

struct caller {
  bench_run *run;
  tether_client *client;
  tether_call_options options;
  Bench__V1__Payload request;
  uint8_t data[BENCH_PAYLOAD_BYTES];
};

static const char *url_of(const bench_options *options, char *url, size_t size) {
  snprintf(url, size, "ipc://%s", options->address);
  return url;
}

static tether_code echo(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)data;
  if (tether_ctx_deadline_ns(ctx) == TETHER_FOREVER) return tether_call_fail(call, TETHER_INTERNAL, "no deadline");
  if (!tether_metadata_get(tether_call_metadata(call), BENCH_METADATA_KEY, NULL))
    return tether_call_fail(call, TETHER_INTERNAL, "no metadata");
  reply->data = request->data;
  return TETHER_OK;
}

static void serve(const bench_options *options) {
  static const bench_v1_echo_service service = {.unary = echo};
  char url[128];
  tether_server *server;
  if (tether_server_open(NULL, &server) != TETHER_OK || bench_v1_echo_register(server, &service, NULL) != TETHER_OK ||
      tether_server_listen(server, url_of(options, url, sizeof url)) != TETHER_OK)
    bench_fail("the server cannot listen at %s", options->address);
  bench_serve_until_told();
  tether_server_close(server);
}

static void check(tether_call *call) {
  if (tether_call_code(call) != TETHER_OK) bench_fail("a call failed: %s", tether_call_message(call));
  if (bench_v1_echo_unary_reply(call)->data.len != BENCH_PAYLOAD_BYTES) bench_fail("a wrong reply");
}

static void call_once(void *data) {
  struct caller *caller = data;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), BENCH_TIMEOUT_SECONDS * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call =
      bench_v1_echo_client_unary(caller->client, ctx, &caller->request, &caller->options);
  check(call);
}

static void call_ended(tether_call *call, void *data);

static void call_start(void *data) {
  struct caller *caller = data;
  tether_call_unref(bench_v1_echo_client_unary_start(caller->client, tether_ctx_background(), &caller->request,
                                                     &caller->options, call_ended, caller));
}

static void call_ended(tether_call *call, void *data) {
  struct caller *caller = data;
  check(call);
  if (bench_load_again(caller->run)) call_start(caller);
}

static void measure(const bench_options *options, bench_run *run) {
  char url[128];
  struct caller caller = {.run = run, .request = BENCH__V1__PAYLOAD__INIT};
  memset(caller.data, 'x', sizeof caller.data);
  caller.request.data = (ProtobufCBinaryData){.data = caller.data, .len = sizeof caller.data};
  tether_metadata *metadata = tether_metadata_new();
  if (tether_metadata_add(metadata, BENCH_METADATA_KEY, BENCH_METADATA_VALUE) != TETHER_OK) bench_fail("no metadata");
  caller.options = (tether_call_options){.metadata = metadata, .wait_for_ready = true};
  if (tether_client_open(url_of(options, url, sizeof url), NULL, &caller.client) != TETHER_OK) bench_fail("no client");
  if (options->in_flight == 1) {
    bench_one_by_one(run, call_once, &caller);
  } else {
    caller.options.timeout_ns = BENCH_TIMEOUT_SECONDS * TETHER_SEC;
    bench_load(run, call_start, &caller);
  }
  tether_client_close(caller.client);
  tether_metadata_free(metadata);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
