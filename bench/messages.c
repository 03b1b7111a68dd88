/* One stream: the server sends messages of the request's size as fast as it can, the client reads them. */
#include <string.h>

#include "bench/ours.h"

#define WARMUP_SECONDS 0.3

static tether_code repeat(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request, void *data) {
  tether_code code = TETHER_OK;
  (void)ctx;
  (void)data;
  while (code == TETHER_OK) code = bench_v1_echo_repeat_send_reply(call, request);
  return code;
}

static void serve(const bench_options *options) {
  static const bench_v1_echo_service service = {.repeat = repeat};
  tether_server *server = ours_server(options);
  if (bench_v1_echo_register(server, &service, NULL) != TETHER_OK) bench_fail("no service");
  ours_serve(options, server, NULL);
}

/* Reads for so long; returns how many messages that were. */
static int64_t read_for(tether_call *call, const bench_options *options, double seconds, double *took_seconds) {
  const Bench__V1__Payload *message;
  int64_t count = 0, begin_ns = bench_now_ns(), end_ns = begin_ns + (int64_t)(seconds * 1e9), now_ns = begin_ns;
  for (; now_ns < end_ns; now_ns = bench_now_ns()) {
    for (int i = 0; i < 64; i++, count++)
      if (bench_v1_echo_repeat_recv_reply(call, &message) != TETHER_OK || !message ||
          message->data.len != (size_t)options->bytes)
        bench_fail("a stream that ended, or a wrong message");
  }
  *took_seconds = (double)(now_ns - begin_ns) / 1e9;
  return count;
}

static void measure(const bench_options *options, bench_run *run) {
  double seconds;
  tether_client *client = ours_client(options, options->address);
  tether_call_options call_options = ours_call_options();
  call_options.timeout_ns = (int64_t)(options->seconds * 1e9) + BENCH_TIMEOUT_SECONDS * TETHER_SEC;
  Bench__V1__Payload request = ours_payload(options);
  TETHER_SCOPED_CALL tether_call *call =
      bench_v1_echo_client_repeat_start(client, tether_ctx_background(), &request, &call_options, NULL, NULL);
  (void)read_for(call, options, WARMUP_SECONDS, &seconds);
  int64_t count = read_for(call, options, options->seconds, &seconds);
  bench_print(run, "rate", (double)count / seconds);
  tether_call_cancel(call, NULL);
  tether_client_close(client);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
