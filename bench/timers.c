/* Deadlines that somebody waits for, among a million others: what arming and cancelling one costs (in Go:
 * peers/ctx.go), and how late they are. */
#include <pthread.h>
#include <stdlib.h>
#include <tether/ctx.h>
#include <time.h>

#include "bench/harness.h"

#define ONCE 10 /* armed before the first of them is cancelled */

struct armed {
  tether_ctx *ctx;
  tether_after after;
};

static void on_end(void *data) { (void)data; }

static void arm(struct armed *armed, int64_t timeout_ns) {
  armed->ctx = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns);
  tether_ctx_after_func(armed->ctx, &armed->after, NULL, on_end, NULL);
}

static struct armed *arm_others(int count) {
  struct armed *others = calloc((size_t)count, sizeof *others);
  if (!others) bench_fail("out of memory");
  uint64_t state = 1;
  for (int i = 0; i < count; i++) arm(&others[i], bench_far_ns(&state));
  return others;
}

static void release_others(struct armed *others, int count) {
  for (int i = 0; i < count; i++) tether_ctx_free(others[i].ctx);
  free(others);
}

static void arm_work(int64_t times, void *data) {
  (void)data;
  struct armed made[ONCE];
  uint64_t state = (uint64_t)bench_now_ns();
  while (times-- > 0) {
    for (int i = 0; i < ONCE; i++) arm(&made[i], bench_far_ns(&state));
    for (int i = 0; i < ONCE; i++) tether_ctx_free(made[i].ctx);
  }
}

static double armed(double seconds, int size) {
  struct armed *others = arm_others(size);
  double ns = bench_time_ns(seconds, bench_processors(), arm_work, NULL);
  release_others(others, size);
  return ns;
}

/* ---- Lateness ------------------------------------------------------------------------------ */

/* A deadline every millisecond, at a random moment of it, twice: once for a context, once for a thread that does
 * nothing but sleep. What both suffer, the machine did. */

struct due {
  int64_t at_ns, late_ns, slept_late_ns;
  tether_ctx *ctx;
  tether_after after;
};

struct lateness {
  size_t count;
  struct due *dues;
};

static _Atomic int64_t ended;

static void on_due(void *data) {
  struct due *due = data;
  due->late_ns = bench_now_ns() - due->at_ns;
  ended++;
}

static void *sleeper(void *data) {
  const struct lateness *lateness = data;
  for (size_t i = 0; i < lateness->count; i++) {
    struct due *due = &lateness->dues[i];
    struct timespec at = {.tv_sec = due->at_ns / TETHER_SEC, .tv_nsec = due->at_ns % TETHER_SEC};
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) bench_fail("cannot sleep");
    due->slept_late_ns = bench_now_ns() - due->at_ns;
  }
  return NULL;
}

static double late_p99_ns, slept_late_p99_ns;

static void get_p99(const struct lateness *lateness) {
  int64_t *samples = calloc(lateness->count, sizeof *samples);
  if (!samples) bench_fail("out of memory");
  for (size_t i = 0; i < lateness->count; i++) samples[i] = lateness->dues[i].late_ns;
  late_p99_ns = bench_p99(samples, lateness->count);
  for (size_t i = 0; i < lateness->count; i++) samples[i] = lateness->dues[i].slept_late_ns;
  slept_late_p99_ns = bench_p99(samples, lateness->count);
  free(samples);
}

static double late(double seconds, int size) {
  pthread_t thread;
  struct armed *others = arm_others(size);
  struct lateness lateness = {.count = (size_t)(seconds * 2 * 1000) + 1}; /* slept_late needs no time */
  lateness.dues = calloc(lateness.count, sizeof *lateness.dues);
  if (!lateness.dues) bench_fail("out of memory");
  ended = 0;
  uint64_t state = 1;
  int64_t begin_ns = bench_now_ns() + 50 * TETHER_MS;
  for (size_t i = 0; i < lateness.count; i++) {
    struct due *due = &lateness.dues[i];
    due->at_ns = begin_ns + (int64_t)i * TETHER_MS + bench_far_ns(&state) % TETHER_MS;
    due->ctx = tether_ctx_with_deadline(tether_ctx_background(), due->at_ns);
    tether_ctx_after_func(due->ctx, &due->after, NULL, on_due, due);
  }
  if (bench_now_ns() >= begin_ns) bench_fail("too slow: the first deadline passed while others were armed");
  if (pthread_create(&thread, NULL, sleeper, &lateness) != 0) bench_fail("no thread");
  pthread_join(thread, NULL);
  while (ended < (int64_t)lateness.count) tether_ctx_wait(tether_ctx_background(), TETHER_MS);
  get_p99(&lateness);
  for (size_t i = 0; i < lateness.count; i++) tether_ctx_free(lateness.dues[i].ctx);
  free(lateness.dues);
  release_others(others, size);
  return late_p99_ns;
}

static double slept_late(double seconds, int size) {
  (void)seconds;
  (void)size;
  return slept_late_p99_ns;
}

static const bench_work works[] = {
    {"armed", "armed", armed, 1000000},
    {"late", "late_p99", late, 1000000},
    {"late", "slept_late_p99", slept_late, 0}, /* what the one before it measured beside its own */
};

int main(int argc, char **argv) { return bench_work_main(argc, argv, works, sizeof works / sizeof *works); }
