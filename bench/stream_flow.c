/* Slow readers: one stream each way whose sender has no end and whose reader takes 1 MiB a second. How much the
 * processes grow, and what calls and messages beside them take, against the idle connection. Then the readers read as
 * fast as they can, for as long again: how much comes through, and how much the processes grow by that. */
#include "bench/stream.h"

#define CHUNK ((size_t)16000)
#define PACE STREAM_MIB
#define TRIPS_MOST 100000

typedef struct trips {
  double call_us, message_us;
} trips;

static void once(tether_client *client) {
  const Bench__V1__Chunk chunk = stream_chunk(100);
  TETHER_SCOPED_CALL tether_call *call = bench_v1_flow_client_once(client, tether_ctx_background(), &chunk, NULL);
  if (tether_call_code(call) != TETHER_OK) bench_fail("a call failed: %s", tether_call_message(call));
}

static void message(tether_call *chat) {
  const Bench__V1__Chunk chunk = stream_chunk(100), *reply = NULL;
  if (bench_v1_flow_chat_send_request(chat, &chunk) != TETHER_OK ||
      bench_v1_flow_chat_recv_reply(chat, &reply) != TETHER_OK || !reply)
    bench_fail("a chat failed");
}

/* Medians over some seconds. */
static trips measure_trips(tether_client *client, double seconds) {
  static double calls[TRIPS_MOST], messages[TRIPS_MOST];
  size_t n = 0;
  tether_call *chat = bench_v1_flow_client_chat_start(client, tether_ctx_background(), NULL, NULL, NULL);
  for (int64_t end_ns = bench_now_ns() + (int64_t)(seconds * TETHER_SEC); bench_now_ns() < end_ns && n < TRIPS_MOST;
       n++) {
    int64_t t0 = bench_now_ns();
    once(client);
    int64_t t1 = bench_now_ns();
    message(chat);
    calls[n] = (double)(t1 - t0) / 1000;
    messages[n] = (double)(bench_now_ns() - t1) / 1000;
    bench_sleep(0.0002);
  }
  tether_call_close_send(chat);
  tether_call_wait(chat);
  tether_call_unref(chat);
  return (trips){stream_median(calls, n), stream_median(messages, n)};
}

static void start(stream_mover *up, stream_mover *down, tether_client *client, int64_t pace) {
  bench_count_set(STREAM_PACE, pace);
  stream_upload(up, client, CHUNK);
  stream_download(down, client, CHUNK, true);
}

static void measure(const bench_options *options, bench_run *run) {
  tether_client *client = ours_client(options, options->address);
  stream_mover up, down;
  double client_bytes, server_bytes;
  start(&up, &down, client, 0); /* what stays once it is there: threads, arenas, buffers */
  stream_wait(&up, 64 * STREAM_MIB);
  stream_wait(&down, 64 * STREAM_MIB);
  stream_stop(&up);
  stream_stop(&down);
  trips idle = measure_trips(client, options->seconds / 2);
  bench_print(run, "idle_call_us", idle.call_us);
  bench_print(run, "idle_message_us", idle.message_us);

  stream_memory_start();
  start(&up, &down, client, PACE);
  trips slow = measure_trips(client, options->seconds);
  stream_memory_stop(&client_bytes, &server_bytes);
  bench_print(run, "slow_call_us", slow.call_us);
  bench_print(run, "slow_message_us", slow.message_us);
  bench_print(run, "slow_client_bytes", client_bytes);
  bench_print(run, "slow_server_bytes", server_bytes);
  bench_print(run, "slow_bytes", (double)(atomic_load(&up.bytes) + atomic_load(&down.bytes)));

  stream_memory_start();
  uint64_t before = atomic_load(&up.bytes) + atomic_load(&down.bytes);
  bench_count_set(STREAM_PACE, 0);
  bench_sleep(options->seconds);
  uint64_t moved = atomic_load(&up.bytes) + atomic_load(&down.bytes) - before;
  stream_memory_stop(&client_bytes, &server_bytes);
  bench_print(run, "fast_client_bytes", client_bytes);
  bench_print(run, "fast_server_bytes", server_bytes);
  bench_print(run, "fast_bytes", (double)moved);
  stream_stop(&up);
  stream_stop(&down);
  tether_client_close(client);
}

int main(int argc, char **argv) {
  return bench_main(argc, argv, &(bench_program){.serve = stream_serve, .measure = measure});
}
