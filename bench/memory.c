/* What a call in flight costs in memory (--in-flight N), or an idle connection (--connections N), at both sides: how
 * much the processes grow by N of them, divided by N. With --tls each connection has credentials of its own. */
#include <pthread.h>
#include <stdlib.h>

#include "bench/ours.h"

/* ---- Server -------------------------------------------------------------------------------- */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static tether_call **held; /* under mu */
static size_t held_count;

static tether_code echo(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)ctx;
  (void)call;
  (void)data;
  reply->data = request->data;
  return TETHER_OK;
}

static tether_code hold(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  const bench_options *options = data;
  (void)ctx;
  (void)request;
  (void)reply;
  pthread_mutex_lock(&mu);
  if (held_count < (size_t)options->in_flight) {
    (void)tether_call_defer(call);
    held[held_count++] = call;
  }
  pthread_mutex_unlock(&mu);
  bench_count_add(BENCH_HELD, 1);
  return TETHER_RESOURCE_EXHAUSTED; /* ignored once deferred */
}

static void finish(void) {
  pthread_mutex_lock(&mu);
  size_t count = held_count;
  pthread_mutex_unlock(&mu);
  for (size_t i = 0; i < count; i++) tether_call_finish(held[i], TETHER_CANCELLED);
}

static void serve(const bench_options *options) {
  static const bench_v1_echo_service service = {.unary = echo, .hold = hold};
  tether_server *server;
  held = calloc((size_t)options->in_flight, sizeof *held);
  tether_server_options server_options = ours_server_options(options);
  server_options.limits.max_streams = (uint32_t)options->in_flight + 1;
  if (!held || tether_server_open(&server_options, &server) != TETHER_OK ||
      bench_v1_echo_register(server, &service, (void *)options) != TETHER_OK)
    bench_fail("no server");
  ours_serve(options, server, finish);
}

/* ---- Client -------------------------------------------------------------------------------- */

static tether_client *connect_and_call(const bench_options *options) {
  tether_client *client = ours_client(options, options->address);
  const tether_call_options call_options = ours_call_options();
  const Bench__V1__Payload request = ours_payload(options);
  TETHER_SCOPED_CALL tether_call *call =
      bench_v1_echo_client_unary(client, tether_ctx_background(), &request, &call_options);
  ours_check(call, options);
  return client;
}

static void of_calls(const bench_options *options, bench_run *run, tether_client *client) {
  int count = options->in_flight;
  tether_call_options call_options = ours_call_options();
  call_options.timeout_ns = 600 * TETHER_SEC;
  const Bench__V1__Payload request = ours_payload(options);
  tether_call **calls = calloc((size_t)count, sizeof *calls);
  if (!calls) bench_fail("out of memory");
  bench_memory_before(run);
  for (int i = 0; i < count; i++)
    calls[i] = bench_v1_echo_client_hold_start(client, tether_ctx_background(), &request, &call_options, NULL, NULL);
  bench_count_wait(BENCH_HELD, count);
  bench_memory_after(run, count);
  for (int i = 0; i < count; i++) {
    tether_call_cancel(calls[i], NULL);
    tether_call_unref(calls[i]);
  }
  free(calls);
}

static void of_connections(const bench_options *options, bench_run *run) {
  int count = options->connections;
  tether_client **clients = calloc((size_t)count, sizeof *clients);
  if (!clients) bench_fail("out of memory");
  bench_memory_before(run);
  for (int i = 0; i < count; i++) clients[i] = connect_and_call(options);
  bench_memory_after(run, count);
  for (int i = 0; i < count; i++) tether_client_close(clients[i]);
  free(clients);
}

static void measure(const bench_options *options, bench_run *run) {
  tether_client *client = connect_and_call(options); /* what there is once does not count */
  if (options->connections > 0)
    of_connections(options, run);
  else
    of_calls(options, run, client);
  tether_client_close(client);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
