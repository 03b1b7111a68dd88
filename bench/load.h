/* bench/load.h: a measurement under way, private to the harness. */
#ifndef TETHER_BENCH_LOAD_H
#define TETHER_BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "bench/harness.h"

struct bench_run {
  const bench_options *options;
  pid_t server_pid;                   /* of the first server */
  int64_t client_bytes, server_bytes; /* at bench_memory_before */
  bool printed;                       /* anything */
  double seconds;                     /* measured */
  int64_t measured;                   /* calls in that time */
  _Atomic int64_t all;                /* calls, warm-up included */

  int64_t *samples_ns;
  size_t sample_count;

  _Atomic bool stop;
  pthread_mutex_t mu;
  pthread_cond_t idle;
  int in_flight; /* under mu: chains of calls that have not ended */

  void (*call)(void *data); /* of bench_threads */
  void *data;
};

bench_run *bench_run_new(const bench_options *options, pid_t server_pid);
void bench_run_free(bench_run *run);

#endif
