/* What one fast reader gets beside two that take 1 MiB a second on the same connection, against what it gets alone. */
#include "bench/stream.h"

#define CHUNK ((size_t)16000)
#define ROUNDS 5

/* Bytes a second of one more download. */
static double rate(tether_client *client, double seconds) {
  stream_mover fast;
  stream_download(&fast, client, CHUNK, false);
  stream_wait(&fast, 4 * STREAM_MIB);
  uint64_t bytes = atomic_load(&fast.bytes);
  int64_t begin_ns = bench_now_ns();
  bench_sleep(seconds);
  double got = (double)(atomic_load(&fast.bytes) - bytes) * TETHER_SEC / (double)(bench_now_ns() - begin_ns);
  stream_stop(&fast);
  return got;
}

static void measure(const bench_options *options, bench_run *run) {
  tether_client *client = ours_client(options, options->address);
  double alone[ROUNDS], beside[ROUNDS];
  bench_count_set(STREAM_PACE, STREAM_MIB);
  for (int i = 0; i < ROUNDS; i++) {
    stream_mover slow[2];
    alone[i] = rate(client, options->seconds / ROUNDS / 2);
    for (int k = 0; k < 2; k++) stream_download(&slow[k], client, CHUNK, true);
    beside[i] = rate(client, options->seconds / ROUNDS / 2);
    for (int k = 0; k < 2; k++) stream_stop(&slow[k]);
  }
  bench_print(run, "alone_rate", stream_median(alone, ROUNDS));
  bench_print(run, "beside_rate", stream_median(beside, ROUNDS));
  tether_client_close(client);
}

int main(int argc, char **argv) {
  return bench_main(argc, argv, &(bench_program){.serve = stream_serve, .measure = measure});
}
