/* Unary calls with a deadline and a metadata entry: one at a time, blocking; or many, by callbacks or by threads, on
 * one connection or several. */
#include <stdatomic.h>
#include <tether/trace.h>

#include "bench/ours.h"

#define CONNECTIONS_MOST 64

struct caller {
  bench_run *run;
  const bench_options *run_options;
  tether_client *clients[CONNECTIONS_MOST];
  int client_count;
  _Atomic unsigned turn;
  const tether_ctx *root; /* of every call's context */
  tether_call_options options;
  Bench__V1__Payload request;
  tether_call *(*call)(tether_client *, const tether_ctx *, const Bench__V1__Payload *, const tether_call_options *);
  tether_call *(*start)(tether_client *, const tether_ctx *, const Bench__V1__Payload *, const tether_call_options *,
                        tether_call_done_fn, void *);
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
  tether_server *server = ours_server(options);
  if (bench_v1_echo_register(server, &service, NULL) != TETHER_OK) bench_fail("no service");
  ours_serve(options, server, NULL);
}

static tether_client *next_client(struct caller *caller) {
  if (caller->client_count == 1) return caller->clients[0];
  unsigned turn = atomic_fetch_add_explicit(&caller->turn, 1, memory_order_relaxed);
  return caller->clients[turn % (unsigned)caller->client_count];
}

static void call_once(void *data) {
  struct caller *caller = data;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(caller->root, BENCH_TIMEOUT_SECONDS * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = caller->call(next_client(caller), ctx, &caller->request, &caller->options);
  ours_check(call, caller->run_options);
}

static void call_ended(tether_call *call, void *data);

static void call_start(void *data) {
  struct caller *caller = data;
  tether_call_unref(
      caller->start(next_client(caller), caller->root, &caller->request, &caller->options, call_ended, caller));
}

static void call_ended(tether_call *call, void *data) {
  struct caller *caller = data;
  ours_check(call, caller->run_options);
  if (bench_load_again(caller->run)) call_start(caller);
}

static void measure(const bench_options *options, bench_run *run) {
  struct caller caller = {.run = run,
                          .run_options = options,
                          .root = tether_ctx_background(),
                          .call = bench_v1_echo_client_unary,
                          .start = bench_v1_echo_client_unary_start};
  caller.client_count = options->connections > 0 ? options->connections : 1;
  if (caller.client_count > CONNECTIONS_MOST) bench_fail("too many connections");
  for (int i = 0; i < caller.client_count; i++) caller.clients[i] = ours_client(options, options->address);
  tether_ctx *traced = options->trace ? tether_trace_start(tether_ctx_background(), true, NULL) : NULL;
  if (traced) caller.root = traced;
  caller.options = ours_call_options();
  caller.options.explain = options->explain;
  caller.request = ours_payload(options);
  if (options->pooled) {
    caller.call = bench_v1_echo_client_pooled;
    caller.start = bench_v1_echo_client_pooled_start;
  }
  if (options->in_flight > 1 && !options->threads) {
    bench_load(run, call_start, &caller);
  } else {
    caller.options.timeout_ns = 0; /* the context has it */
    if (options->threads)
      bench_threads(run, call_once, &caller);
    else
      bench_one_by_one(run, call_once, &caller);
  }
  for (int i = 0; i < caller.client_count; i++) tether_client_close(caller.clients[i]);
  tether_ctx_free(traced);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
