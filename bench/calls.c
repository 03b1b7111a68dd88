/* bench-calls IN_FLIGHT CALLS: so many unary calls, server and client in this one process, over an ipc socket; each
 * with 100 bytes, a deadline and a metadata entry. With 1 in flight the caller blocks. Prints nothing:
 * tools/check-instructions counts what it takes. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.tether.h"

#define TIMEOUT_NS (600 * TETHER_SEC) /* for valgrind */

static struct {
  tether_client *client;
  Bench__V1__Payload request;
  tether_call_options options;
  _Atomic long to_start, open;
  pthread_mutex_t mu;
  pthread_cond_t none_open;
} run = {.request = BENCH__V1__PAYLOAD__INIT, .mu = PTHREAD_MUTEX_INITIALIZER, .none_open = PTHREAD_COND_INITIALIZER};

static void fail(const char *what) {
  fprintf(stderr, "bench-calls: %s\n", what);
  exit(1);
}

static tether_code echo(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)data;
  if (tether_ctx_deadline_ns(ctx) == TETHER_FOREVER || tether_metadata_count(tether_call_metadata(call)) != 1)
    return TETHER_INTERNAL;
  reply->data = request->data;
  return TETHER_OK;
}

static void check(tether_call *call) {
  if (tether_call_code(call) != TETHER_OK) fail(tether_call_message(call));
}

static void start(void);

static void ended(tether_call *call, void *data) {
  (void)data;
  check(call);
  if (atomic_fetch_sub(&run.to_start, 1) > 0) {
    start();
  } else if (atomic_fetch_sub(&run.open, 1) == 1) {
    pthread_mutex_lock(&run.mu);
    pthread_cond_signal(&run.none_open);
    pthread_mutex_unlock(&run.mu);
  }
}

static void start(void) {
  tether_call_unref(
      bench_v1_echo_client_unary_start(run.client, tether_ctx_background(), &run.request, &run.options, ended, NULL));
}

static void run_blocking(long calls) {
  run.options.timeout_ns = 0;
  for (long i = 0; i < calls; i++) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TIMEOUT_NS);
    TETHER_SCOPED_CALL tether_call *call = bench_v1_echo_client_unary(run.client, ctx, &run.request, &run.options);
    check(call);
  }
}

static void run_in_flight(long in_flight, long calls) {
  run.to_start = calls - in_flight;
  run.open = in_flight;
  for (long i = 0; i < in_flight; i++) start();
  pthread_mutex_lock(&run.mu);
  while (run.open > 0) pthread_cond_wait(&run.none_open, &run.mu);
  pthread_mutex_unlock(&run.mu);
}

int main(int argc, char **argv) {
  static const bench_v1_echo_service service = {.unary = echo, .pooled = echo};
  static uint8_t payload[100];
  long in_flight = argc == 3 ? atol(argv[1]) : 0, calls = argc == 3 ? atol(argv[2]) : 0;
  char dir[] = "/tmp/bench-calls-XXXXXX", path[64], url[80];
  if (in_flight < 1 || calls < in_flight) fail("usage: bench-calls IN_FLIGHT CALLS");
  if (!mkdtemp(dir)) fail("no directory for a socket");
  snprintf(path, sizeof path, "%s/s", dir);
  snprintf(url, sizeof url, "ipc://%s", path);
  tether_server *server;
  if (tether_server_open(NULL, &server) != TETHER_OK || bench_v1_echo_register(server, &service, NULL) != TETHER_OK ||
      tether_server_listen(server, url) != TETHER_OK)
    fail("no server");
  tether_metadata *metadata = tether_metadata_new();
  if (!metadata || tether_metadata_add(metadata, "x-bench", "some text of no length") != TETHER_OK) fail("no metadata");
  if (tether_client_open(url, NULL, &run.client) != TETHER_OK ||
      tether_client_wait_ready(run.client, tether_ctx_background()) != TETHER_OK)
    fail("no client");
  run.request.data = (ProtobufCBinaryData){.data = payload, .len = sizeof payload};
  run.options = (tether_call_options){.metadata = metadata, .timeout_ns = TIMEOUT_NS};
  if (in_flight == 1)
    run_blocking(calls);
  else
    run_in_flight(in_flight, calls);
  tether_client_close(run.client);
  tether_server_close(server);
  tether_metadata_free(metadata);
  unlink(path);
  rmdir(dir);
}
