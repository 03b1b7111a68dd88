/* Threads in tests: latches, threads that race each other in rounds, and "is that thread blocked yet".
 * Threads record; only the test's own thread asserts. */
#ifndef TESTS_SUPPORT_CTX_THREAD_H
#define TESTS_SUPPORT_CTX_THREAD_H

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "tests/support/ctx_test.h"

/* ---- Latch: closed until opened, then open for ever ---------------------------------------- */

struct ctx_latch {
  atomic_bool open;
};

static inline void ctx_latch_open(struct ctx_latch *latch) { atomic_store(&latch->open, true); }

static inline bool ctx_latch_is_open(struct ctx_latch *latch) { return atomic_load(&latch->open); }

/* False: it did not open within the bound. */
TETHER_MUST_USE static inline bool ctx_latch_wait(struct ctx_latch *latch) {
  int64_t give_up_ns = ctx_real_now_ns() + CTX_TEST_BOUND_NS;
  while (!ctx_latch_is_open(latch)) {
    if (ctx_real_now_ns() > give_up_ns) return false;
    ctx_pause();
  }
  return true;
}

/* Waits until *value reaches at least `goal`; false if it did not within the bound. */
TETHER_MUST_USE static inline bool ctx_count_wait(atomic_int *value, int goal) {
  int64_t give_up_ns = ctx_real_now_ns() + CTX_TEST_BOUND_NS;
  while (atomic_load(value) < goal) {
    if (ctx_real_now_ns() > give_up_ns) return false;
    ctx_pause();
  }
  return true;
}

/* ---- Blocked threads ----------------------------------------------------------------------- */

static inline pid_t ctx_tid(void) { return (pid_t)syscall(SYS_gettid); }

/* Reads "<state> <voluntary switches>" of a thread of this process. */
static inline bool ctx_thread_sample(pid_t tid, char *run_state, long *switches) {
  char path[64], line[256];
  FILE *f;
  snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
  f = fopen(path, "re");
  if (!f) return false;
  *run_state = '?';
  *switches = -1;
  while (fgets(line, sizeof line, f)) {
    sscanf(line, "State: %c", run_state);
    sscanf(line, "voluntary_ctxt_switches: %ld", switches);
  }
  fclose(f);
  return true;
}

/* Waits until the thread sleeps and does not wake between two looks; false if it never settles. */
TETHER_MUST_USE static inline bool ctx_wait_blocked(pid_t tid) {
  int64_t give_up_ns = ctx_real_now_ns() + CTX_TEST_BOUND_NS;
  long last = -2;
  int same = 0;
  while (ctx_real_now_ns() < give_up_ns) {
    char run_state;
    long switches;
    if (!ctx_thread_sample(tid, &run_state, &switches)) return false;
    same = run_state == 'S' && switches == last ? same + 1 : 0;
    if (same == 10) return true;
    last = switches;
    ctx_pause();
  }
  return false;
}

/* Waits until `count` threads besides the main one exist and all of them are blocked. */
TETHER_MUST_USE static inline bool ctx_wait_all_blocked(int count) {
  int64_t give_up_ns = ctx_real_now_ns() + CTX_TEST_BOUND_NS;
  while (ctx_real_now_ns() < give_up_ns) {
    int threads = 0;
    bool blocked = true;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
      pid_t tid = (pid_t)atoi(e->d_name);
      if (tid <= 0 || tid == getpid()) continue;
      threads++;
      blocked = ctx_wait_blocked(tid) && blocked;
    }
    if (dir) closedir(dir);
    if (blocked && threads >= count) return true;
    ctx_pause();
  }
  return false;
}

/* A thread that says who it is before it runs fn, so that the test can watch it block. */
struct ctx_thread {
  pthread_t thread;
  atomic_int tid;
  void (*fn)(void *data);
  void *data;
  struct ctx_latch finished;
};

static inline void *ctx_thread_main(void *arg) {
  struct ctx_thread *t = arg;
  atomic_store(&t->tid, ctx_tid());
  t->fn(t->data);
  ctx_latch_open(&t->finished);
  return NULL;
}

static inline void ctx_thread_start(struct ctx_thread *t, void (*fn)(void *data), void *data) {
  memset(t, 0, sizeof *t);
  t->fn = fn;
  t->data = data;
  assert_int_equal(pthread_create(&t->thread, NULL, ctx_thread_main, t), 0);
}

/* Waits, bounded, until the thread blocks inside fn. */
static inline void ctx_thread_blocks(struct ctx_thread *t) {
  assert_true(ctx_count_wait(&t->tid, 1));
  assert_true(ctx_wait_blocked(atomic_load(&t->tid)));
  assert_false(ctx_latch_is_open(&t->finished));
}

/* Fails, rather than hangs, when the thread does not end. */
static inline void ctx_thread_join(struct ctx_thread *t) {
  assert_true(ctx_latch_wait(&t->finished));
  assert_int_equal(pthread_join(t->thread, NULL), 0);
}

/* ---- Races --------------------------------------------------------------------------------- */

/* Rounds in which all actors start together: prepare, every actor at once (the first on the calling
 * thread), check. check returns false when the round broke a promise; the race then ends. */
#define CTX_RACE_ACTORS 8

struct ctx_race {
  void (*prepare)(void *data);
  void (*actors[CTX_RACE_ACTORS])(void *data); /* up to the first NULL */
  bool (*check)(void *data);
  void *data;
  /* the harness's own */
  int count;
  atomic_int arrived, phase, next, sleepers;
  atomic_bool stop;
};

/* All actors meet. They spin, for the starts must lie close together; on a busy machine they sleep. */
static inline void ctx_race_meet(struct ctx_race *race) {
  int phase = atomic_load(&race->phase), spins = 0;
  if (atomic_fetch_add(&race->arrived, 1) + 1 == race->count) {
    atomic_store(&race->arrived, 0);
    atomic_store(&race->phase, phase + 1);
    if (atomic_load(&race->sleepers) > 0) {
      syscall(SYS_futex, &race->phase, FUTEX_WAKE_PRIVATE, CTX_RACE_ACTORS, NULL, NULL, 0);
    }
    return;
  }
  while (atomic_load(&race->phase) == phase) {
    if (++spins < 220) {
      if (spins > 200) sched_yield();
      continue;
    }
    atomic_fetch_add(&race->sleepers, 1);
    syscall(SYS_futex, &race->phase, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
    atomic_fetch_sub(&race->sleepers, 1);
  }
}

static inline void *ctx_race_actor(void *arg) {
  struct ctx_race *race = arg;
  int self = atomic_fetch_add(&race->next, 1);
  for (;;) {
    ctx_race_meet(race);
    if (atomic_load(&race->stop)) return NULL;
    race->actors[self](race->data);
    ctx_race_meet(race);
  }
}

/* The first round that broke a promise, or -1. */
TETHER_MUST_USE static inline int ctx_race_run(struct ctx_race *race, int rounds) {
  pthread_t threads[CTX_RACE_ACTORS];
  int broken = -1;
  for (race->count = 0; race->count < CTX_RACE_ACTORS && race->actors[race->count]; race->count++) continue;
  atomic_store(&race->next, 1);
  for (int i = 1; i < race->count; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, ctx_race_actor, race), 0);
  }
  for (int round = 0; round < rounds && broken < 0; round++) {
    race->prepare(race->data);
    ctx_race_meet(race);
    race->actors[0](race->data);
    ctx_race_meet(race);
    if (!race->check(race->data)) broken = round;
  }
  atomic_store(&race->stop, true);
  ctx_race_meet(race);
  for (int i = 1; i < race->count; i++) pthread_join(threads[i], NULL);
  return broken;
}

/* ---- A callback that records --------------------------------------------------------------- */

struct ctx_call {
  tether_after after;
  atomic_int runs;
  atomic_int tid; /* of the last run */
};

static inline void ctx_call_run(void *data) {
  struct ctx_call *call = data;
  atomic_store(&call->tid, ctx_tid());
  atomic_fetch_add(&call->runs, 1);
}

static inline void ctx_call_after(struct ctx_call *call, const tether_ctx *ctx, tether_executor *executor) {
  tether_ctx_after_func(ctx, &call->after, executor, ctx_call_run, call);
}

#endif
