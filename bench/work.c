/* Timing of work inside one process: the batch grows until it takes a millisecond on this thread, then every thread
 * does batches until the time is over. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness.h"

#define BATCH_NS 1000000
#define THREADS_MAX 256

struct crew {
  void (*work)(int64_t times, void *data);
  void *data;
  int64_t batch, end_ns;
  pthread_barrier_t ready;
  _Atomic int64_t done;
};

int64_t bench_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_sleep(double seconds) {
  struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

int bench_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void *member(void *data) {
  struct crew *crew = data;
  int64_t done = 0;
  pthread_barrier_wait(&crew->ready);
  do {
    crew->work(crew->batch, crew->data);
    done += crew->batch;
  } while (bench_now_ns() < crew->end_ns);
  crew->done += done;
  return NULL;
}

static int64_t batch_of(void (*work)(int64_t times, void *data), void *data) {
  for (int64_t batch = 1;; batch *= 2) {
    int64_t begin_ns = bench_now_ns();
    work(batch, data);
    if (bench_now_ns() - begin_ns >= BATCH_NS) return batch;
  }
}

double bench_time_ns(double seconds, int threads, void (*work)(int64_t times, void *data), void *data) {
  struct crew crew = {.work = work, .data = data, .batch = batch_of(work, data)};
  pthread_t ids[THREADS_MAX];
  if (threads > THREADS_MAX || pthread_barrier_init(&crew.ready, NULL, (unsigned)threads) != 0)
    bench_fail("no barrier");
  int64_t begin_ns = bench_now_ns();
  crew.end_ns = begin_ns + (int64_t)(seconds * 1e9);
  for (int i = 1; i < threads; i++)
    if (pthread_create(&ids[i], NULL, member, &crew) != 0) bench_fail("no thread");
  member(&crew);
  for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
  pthread_barrier_destroy(&crew.ready);
  return (double)(bench_now_ns() - begin_ns) / (double)crew.done;
}

/* ---- Figures ------------------------------------------------------------------------------- */

int64_t bench_far_ns(uint64_t *state) {
  *state ^= *state << 13; /* xorshift64 */
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return 60 * INT64_C(1000000000) + (int64_t)(*state % (3540 * UINT64_C(1000000000)));
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

double bench_p99(int64_t *samples, size_t count) {
  qsort(samples, count, sizeof *samples, compare);
  return (double)samples[count * 99 / 100];
}

/* ---- A program of works --------------------------------------------------------------------- */

int bench_work_main(int argc, char **argv, const bench_work *works, size_t count) {
  double seconds = 1;
  size_t chosen = 0;
  const char *family = argc > 1 ? argv[argc - 1] : "";
  if (argc == 4 && strcmp(argv[1], "--seconds") == 0) seconds = strtod(argv[2], NULL);
  for (size_t i = 0; i < count; i++) chosen += strcmp(works[i].family, family) == 0;
  if (chosen == 0 || seconds <= 0) {
    fprintf(stderr, "usage: %s [--seconds S] FAMILY\n", program_invocation_short_name);
    return 2;
  }
  for (size_t i = 0; i < count; i++) {
    if (strcmp(works[i].family, family) != 0) continue;
    printf("%s_ns=%.2f ", works[i].name, works[i].measure(seconds / (double)chosen, works[i].size));
    fflush(stdout);
  }
  putchar('\n');
  return 0;
}
