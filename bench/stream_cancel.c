/* How long a cancel takes to the other process: on an idle connection, behind 25 uploads of 4 MiB in calls, and as many
 * on streams. The server's I/O thread is held meanwhile, so that all of it is queued when the call is cancelled. */
#include "bench/stream.h"

#define UPLOADS 25
#define LONG ((size_t)4 * 1024 * 1024 - 64)
#define ROUNDS_MOST 1000

typedef enum load { IDLE, CALLS, STREAMS, LOADS } load;

static const tether_call_options when_ready = {.wait_for_ready = true};

static void start_uploads(tether_client *client, tether_call **calls, bool streams) {
  const Bench__V1__Chunk chunk = stream_chunk(LONG);
  const tether_ctx *ctx = tether_ctx_background();
  for (int i = 0; i < UPLOADS; i++) {
    bool done = true;
    if (!streams) {
      calls[i] = bench_v1_flow_client_sink_start(client, ctx, &chunk, NULL, NULL, NULL);
      continue;
    }
    calls[i] = bench_v1_flow_client_upload_start(client, ctx, NULL, NULL, NULL);
    if (bench_v1_flow_upload_try_send_request(calls[i], &chunk, &done) != TETHER_OK || !done) bench_fail("no room");
    tether_call_close_send(calls[i]);
  }
}

static void end(tether_call *call, tether_code code) {
  if (tether_call_wait(call) != code) bench_fail("a call ended: %s", tether_call_message(call));
  tether_call_unref(call);
}

static double cancel_once_us(tether_client *client, load beside) {
  const Bench__V1__Chunk chunk = stream_chunk(1);
  const tether_ctx *ctx = tether_ctx_background();
  tether_call *uploads[UPLOADS];
  tether_call *waiting = bench_v1_flow_client_wait_start(client, ctx, &chunk, &when_ready, NULL, NULL);
  bench_count_wait(STREAM_INSIDE, 1);
  bench_count_set(STREAM_PACE, 1);
  tether_call *stalling = bench_v1_flow_client_stall_start(client, ctx, &chunk, NULL, NULL, NULL);
  bench_count_wait(STREAM_INSIDE, 2);
  if (beside != IDLE) start_uploads(client, uploads, beside == STREAMS);
  tether_call_cancel(waiting, NULL);
  int64_t begin_ns = bench_now_ns();
  bench_count_set(STREAM_PACE, 0);
  end(stalling, TETHER_OK);
  for (int i = 0; beside != IDLE && i < UPLOADS; i++) end(uploads[i], TETHER_OK);
  end(waiting, TETHER_CANCELLED);
  while (bench_count(STREAM_INSIDE) > 0) bench_sleep(0.0001);
  return (double)(bench_count(STREAM_CUT_NS) - begin_ns) / 1000;
}

static void measure(const bench_options *options, bench_run *run) {
  static double took[LOADS][ROUNDS_MOST];
  static const char *const names[LOADS] = {"idle_us", "calls_us", "streams_us"};
  size_t rounds = 0;
  tether_client *client = ours_client(options, options->address);
  int64_t end_ns = bench_now_ns() + (int64_t)(options->seconds * TETHER_SEC);
  for (; rounds < 3 || (bench_now_ns() < end_ns && rounds < ROUNDS_MOST); rounds++)
    for (int beside = 0; beside < LOADS; beside++) took[beside][rounds] = cancel_once_us(client, (load)beside);
  for (int beside = 0; beside < LOADS; beside++) bench_print(run, names[beside], stream_median(took[beside], rounds));
  tether_client_close(client);
}

int main(int argc, char **argv) {
  return bench_main(argc, argv, &(bench_program){.serve = stream_serve, .measure = measure});
}
