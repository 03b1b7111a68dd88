/* Unary calls with a deadline and a metadata entry: one at a time, blocking; or many, by callbacks or by threads. */
#include "bench/ours.h"

struct caller {
  bench_run *run;
  const bench_options *run_options;
  tether_client *client;
  tether_call_options options;
  Bench__V1__Payload request;
  tether_call *(*call)(tether_client *, const tether_ctx *, const Bench__V1__Payload *, const tether_call_options *);
};

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
  static const bench_v1_echo_service service = {.unary = echo, .pooled = echo};
  tether_server *server;
  if (tether_server_open(NULL, &server) != TETHER_OK || bench_v1_echo_register(server, &service, NULL) != TETHER_OK)
    bench_fail("no server");
  ours_serve(options, server, NULL);
}

static void call_once(void *data) {
  struct caller *caller = data;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), BENCH_TIMEOUT_SECONDS * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = caller->call(caller->client, ctx, &caller->request, &caller->options);
  ours_check(call, caller->run_options);
}

static void call_ended(tether_call *call, void *data);

static void call_start(void *data) {
  struct caller *caller = data;
  tether_call_unref(bench_v1_echo_client_unary_start(caller->client, tether_ctx_background(), &caller->request,
                                                     &caller->options, call_ended, caller));
}

static void call_ended(tether_call *call, void *data) {
  struct caller *caller = data;
  ours_check(call, caller->run_options);
  if (bench_load_again(caller->run)) call_start(caller);
}

static void measure(const bench_options *options, bench_run *run) {
  struct caller caller = {.run = run, .run_options = options, .call = bench_v1_echo_client_unary};
  caller.client = ours_client(options, options->address);
  caller.options = ours_call_options();
  caller.request = ours_payload(options);
  if (options->pooled) caller.call = bench_v1_echo_client_pooled;
  if (options->in_flight > 1 && !options->threads) {
    bench_load(run, call_start, &caller);
  } else {
    caller.options.timeout_ns = 0; /* the context has it */
    if (options->threads)
      bench_threads(run, call_once, &caller);
    else
      bench_one_by_one(run, call_once, &caller);
  }
  tether_client_close(caller.client);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
