/* Making calls: one after the other, or a number at once by callbacks or by threads. */
#include "bench/load.h"

#include <stdlib.h>

#define WARMUP_SECONDS 0.3
#define SAMPLES_MAX ((size_t)4 << 20)

bench_run *bench_run_new(const bench_options *options, pid_t server_pid) {
  bench_run *run = calloc(1, sizeof *run);
  if (!run) bench_fail("out of memory");
  run->options = options;
  run->server_pid = server_pid;
  pthread_mutex_init(&run->mu, NULL);
  pthread_cond_init(&run->idle, NULL);
  return run;
}

void bench_run_free(bench_run *run) {
  pthread_cond_destroy(&run->idle);
  pthread_mutex_destroy(&run->mu);
  free(run->samples_ns);
  free(run);
}

void bench_sample(bench_run *run, int64_t ns) {
  if (!run->samples_ns) run->samples_ns = malloc(SAMPLES_MAX * sizeof *run->samples_ns);
  if (!run->samples_ns) bench_fail("out of memory");
  if (run->sample_count < SAMPLES_MAX) run->samples_ns[run->sample_count++] = ns;
}

void bench_one_by_one(bench_run *run, void (*call)(void *data), void *data) {
  int64_t calls = 0, warm_ns = bench_now_ns() + (int64_t)(WARMUP_SECONDS * 1e9);
  for (; bench_now_ns() < warm_ns; calls++) call(data);
  int64_t begin_ns = bench_now_ns(), end_ns = begin_ns + (int64_t)(run->options->seconds * 1e9), before_ns = begin_ns;
  while (before_ns < end_ns) {
    call(data);
    int64_t after_ns = bench_now_ns();
    bench_sample(run, after_ns - before_ns);
    run->measured++;
    before_ns = after_ns;
  }
  run->seconds = (double)(before_ns - begin_ns) / 1e9;
  run->all = calls + run->measured;
}

void bench_load(bench_run *run, void (*start)(void *data), void *data) {
  run->in_flight = run->options->in_flight;
  for (int i = 0; i < run->options->in_flight; i++) start(data);
  bench_sleep(WARMUP_SECONDS);
  int64_t begin_ns = bench_now_ns(), begin = run->all;
  bench_sleep(run->options->seconds);
  run->measured = run->all - begin;
  run->seconds = (double)(bench_now_ns() - begin_ns) / 1e9;
  run->stop = true;
  pthread_mutex_lock(&run->mu);
  while (run->in_flight > 0) pthread_cond_wait(&run->idle, &run->mu);
  pthread_mutex_unlock(&run->mu);
}

bool bench_load_again(bench_run *run) {
  atomic_fetch_add_explicit(&run->all, 1, memory_order_relaxed);
  if (!atomic_load_explicit(&run->stop, memory_order_relaxed)) return true;
  pthread_mutex_lock(&run->mu);
  if (--run->in_flight == 0) pthread_cond_signal(&run->idle);
  pthread_mutex_unlock(&run->mu);
  return false;
}

static void *caller(void *data) {
  bench_run *run = data;
  do run->call(run->data);
  while (bench_load_again(run));
  return NULL;
}

static void start_caller(void *data) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, caller, data) != 0 || pthread_detach(thread) != 0) bench_fail("no thread");
}

void bench_threads(bench_run *run, void (*call)(void *data), void *data) {
  run->call = call;
  run->data = data;
  bench_load(run, start_caller, run);
}
