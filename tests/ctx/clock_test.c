/* An installed clock: virtual time, driven by the program. */
#include <tether/group.h>

#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

/* row 61 */
static void now_is_the_installed_clocks(void **state) {
  int64_t start_ns = tether_now_ns();
  (void)state;
  assert_int_equal(start_ns, 1000 * TETHER_SEC);
  ctx_sim_advance(5);
  assert_int_equal(tether_now_ns(), start_ns + 5);
}

static void clock_cannot_be_replaced_while_a_deadline_is_armed(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  struct ctx_call call = {.runs = 0};
  tether_clock other = {.now_ns = ctx_sim_now, .data = ctx_sim_get()};
  (void)state;
  ctx_call_after(&call, ctx, NULL);
  assert_code(tether_clock_set(NULL), TETHER_FAILED_PRECONDITION);
  assert_code(tether_clock_set(&other), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_now_ns(), 1000 * TETHER_SEC); /* the old one still counts */
  assert_true(tether_after_stop(&call.after));
  tether_ctx_cancel(ctx);
  assert_code(tether_clock_set(&other), TETHER_OK);
  tether_ctx_free(ctx);
}

/* Deadlines that are only polled are not armed, so they do not hold the clock. */
static void clock_can_be_replaced_while_deadlines_are_only_polled(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  (void)state;
  assert_live(ctx);
  assert_code(tether_clock_set(NULL), TETHER_OK);
  assert_code(ctx_sim_setup(state) == 0 ? TETHER_OK : TETHER_UNKNOWN, TETHER_OK);
  tether_ctx_free(ctx);
  *ctx_live_before() = 0;
}

/* row 68: told of the first and of every earlier deadline, and of no later one */
static void wake_at_tells_every_new_earliest_deadline(void **state) {
  struct ctx_sim *sim = ctx_sim_get();
  const int64_t timeouts_ns[] = {50 * TETHER_SEC, 60 * TETHER_SEC, 20 * TETHER_SEC, 30 * TETHER_SEC, 1, TETHER_SEC};
  tether_ctx *all[6];
  struct ctx_call calls[6];
  int64_t earliest_ns = TETHER_FOREVER;
  int wakes = 0;
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < 6; i++) {
    all[i] = tether_ctx_with_timeout(tether_ctx_background(), timeouts_ns[i]);
    ctx_call_after(&calls[i], all[i], NULL);
    if (tether_ctx_deadline_ns(all[i]) < earliest_ns) {
      earliest_ns = tether_ctx_deadline_ns(all[i]);
      assert_int_equal(atomic_load(&sim->wakes), ++wakes);
      assert_int_equal(atomic_load(&sim->wake_ns), earliest_ns);
    }
    assert_int_equal(atomic_load(&sim->wakes), wakes);
  }
  for (int i = 0; i < 6; i++) tether_ctx_free(all[i]);
}

static void clock_without_wake_at_works(void **state) {
  const tether_clock clock = {.now_ns = ctx_sim_now, .data = ctx_sim_get()};
  tether_ctx *ctx;
  struct ctx_call call = {.runs = 0};
  (void)state;
  assert_code(tether_clock_set(&clock), TETHER_OK);
  ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  ctx_call_after(&call, ctx, NULL);
  assert_int_equal(atomic_load(&ctx_sim_get()->wakes), 0);
  ctx_sim_advance(TETHER_SEC);
  assert_int_equal(atomic_load(&call.runs), 1);
  tether_ctx_free(ctx);
}

/* The clock is copied: the caller's struct may go. */
static void clock_is_copied(void **state) {
  tether_clock clock = {.now_ns = ctx_sim_now, .data = ctx_sim_get()};
  (void)state;
  assert_code(tether_clock_set(&clock), TETHER_OK);
  memset(&clock, 0, sizeof clock);
  assert_int_equal(tether_now_ns(), 1000 * TETHER_SEC);
}

struct ordered {
  tether_after after;
  int *count, position;
};

static void note_position(void *data) {
  struct ordered *o = data;
  o->position = (*o->count)++;
}

/* row 57: in the order of their deadlines */
static void deadlines_of_one_leap_end_earliest_first(void **state) {
  enum { N = 200 };
  static tether_ctx *all[N];
  static struct ordered ordered[N];
  uint32_t seed = 77;
  int count = 0;
  (void)state;
  for (int i = 0; i < N; i++) {
    int64_t timeout_ns = 1 + (int64_t)(ctx_random(&seed) % 5) * 200000 + (int64_t)(ctx_random(&seed) % 1000);
    if (i % 4 == 0) timeout_ns *= 1000;
    all[i] = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns);
    ordered[i].count = &count;
    ordered[i].position = -1;
    tether_ctx_after_func(all[i], &ordered[i].after, NULL, note_position, &ordered[i]);
  }
  ctx_sim_advance(CTX_TEST_HOUR);
  assert_int_equal(count, N);
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      if (tether_ctx_deadline_ns(all[i]) < tether_ctx_deadline_ns(all[j])) {
        assert_true(ordered[i].position < ordered[j].position);
      }
    }
  }
  for (int i = 0; i < N; i++) tether_ctx_free(all[i]);
}

/* ---- Waiting in virtual time ------------------------------------------------------------------ */

struct waiter {
  struct ctx_thread thread;
  const tether_ctx *ctx;
  int64_t bound_ns;
  tether_code result;
  int64_t woke_ns;
};

static void wait_bounded(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_wait(w->ctx, w->bound_ns);
  w->woke_ns = tether_now_ns();
}

static void sleep_bounded(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_sleep(w->ctx, w->bound_ns);
  w->woke_ns = tether_now_ns();
}

/* Bounds of waits and sleeps are times on the installed clock: they pass when the program says so. */
static void waits_and_sleeps_last_until_virtual_time_has_passed(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct waiter waiters[4] = {{.ctx = ctx, .bound_ns = TETHER_SEC},
                              {.ctx = ctx, .bound_ns = TETHER_SEC},
                              {.ctx = tether_ctx_background(), .bound_ns = TETHER_SEC},
                              {.ctx = tether_ctx_background(), .bound_ns = TETHER_SEC}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    waiters[i].result = TETHER_UNKNOWN;
    ctx_thread_start(&waiters[i].thread, i % 2 ? sleep_bounded : wait_bounded, &waiters[i]);
  }
  for (int i = 0; i < 4; i++) ctx_thread_blocks(&waiters[i].thread);
  ctx_sim_advance(TETHER_SEC - 1);
  for (int i = 0; i < 4; i++) ctx_thread_blocks(&waiters[i].thread);
  ctx_sim_advance(1);
  for (int i = 0; i < 4; i++) {
    ctx_thread_join(&waiters[i].thread);
    assert_code(waiters[i].result, TETHER_OK);
    assert_int_equal(waiters[i].woke_ns, 1001 * TETHER_SEC);
  }
  tether_ctx_free(ctx);
}

/* row 57 */
static void deadline_in_virtual_time_releases_waiting_threads(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  struct waiter waiters[2] = {{.ctx = ctx, .bound_ns = TETHER_FOREVER}, {.ctx = ctx, .bound_ns = CTX_TEST_HOUR}};
  (void)state;
  for (int i = 0; i < 2; i++) {
    waiters[i].result = TETHER_UNKNOWN;
    ctx_thread_start(&waiters[i].thread, wait_bounded, &waiters[i]);
  }
  for (int i = 0; i < 2; i++) ctx_thread_blocks(&waiters[i].thread);
  ctx_sim_advance(TETHER_SEC - 1);
  for (int i = 0; i < 2; i++) ctx_thread_blocks(&waiters[i].thread);
  ctx_sim_advance(1);
  for (int i = 0; i < 2; i++) {
    ctx_thread_join(&waiters[i].thread);
    assert_code(waiters[i].result, TETHER_DEADLINE_EXCEEDED);
  }
  tether_ctx_free(ctx);
}

/* ---- A whole little simulation -------------------------------------------------------------------- */

struct ticker {
  tether_after after;
  tether_ctx *ctx;
  int64_t period_ns;
  int ticks, most;
  bool on_time;
};

static void tick(void *data) {
  struct ticker *t = data;
  if (tether_now_ns() != tether_ctx_deadline_ns(t->ctx)) t->on_time = false;
  tether_ctx_free(t->ctx);
  t->ctx = NULL;
  if (++t->ticks == t->most) return;
  t->ctx = tether_ctx_with_timeout(tether_ctx_background(), t->period_ns);
  tether_ctx_after_func(t->ctx, &t->after, NULL, tick, t);
}

struct told {
  pthread_t runner;
  int runs;
};

static void note_runner(void *data) {
  struct told *told = data;
  told->runner = pthread_self();
  told->runs++;
}

/* A group's member learns that the deadline has passed before the clock's owner looks: the callbacks are the owner's
 * all the same. */
static void callbacks_of_a_deadline_that_a_member_noticed_run_in_run_due(void **state) {
  struct told told = {0};
  tether_after after;
  tether_group *group;
  unsigned long number;
  (void)state;
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  assert_int_equal(tether_group_new(ctx, &group), TETHER_OK);
  assert_int_equal(tether_group_join(group, &number), TETHER_OK);
  tether_ctx_after_func(tether_group_ctx(group), &after, NULL, note_runner, &told);
  atomic_fetch_add(&ctx_sim_get()->now_ns, 6 * TETHER_MS); /* the timer has not run */
  tether_group_leave(group, number, TETHER_DEADLINE_EXCEEDED, NULL);
  assert_int_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(told.runs, 0);
  (void)tether_clock_run_due();
  assert_int_equal(told.runs, 1);
  assert_true(pthread_equal(told.runner, pthread_self()));
  tether_group_free(group);
  tether_ctx_free(ctx);
}

/* row 57: callbacks arm the next deadline; following run_due's answer, each fires exactly in time */
static void event_loop_that_follows_run_due_is_always_in_time(void **state) {
  struct ticker tickers[3] = {{.period_ns = 3 * TETHER_MS, .most = 1000, .on_time = true},
                              {.period_ns = 7 * TETHER_US, .most = 1000, .on_time = true},
                              {.period_ns = TETHER_SEC + 1, .most = 50, .on_time = true}};
  (void)state;
  for (int i = 0; i < 3; i++) {
    tickers[i].ctx = tether_ctx_with_timeout(tether_ctx_background(), tickers[i].period_ns);
    tether_ctx_after_func(tickers[i].ctx, &tickers[i].after, NULL, tick, &tickers[i]);
  }
  for (int64_t next_ns; (next_ns = tether_clock_run_due()) != TETHER_FOREVER;) {
    int64_t ahead_ns = next_ns - tether_now_ns();
    if (ahead_ns > 0) atomic_fetch_add(&ctx_sim_get()->now_ns, ahead_ns);
  }
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tickers[i].ticks, tickers[i].most);
    assert_true(tickers[i].on_time);
  }
  assert_int_equal(tether_now_ns(), 1000 * TETHER_SEC + 50 * (TETHER_SEC + 1));
}

/* row 60: simulations often start at time zero */
static void time_may_start_at_zero(void **state) {
  tether_ctx *ctx, *past;
  struct ctx_call call = {.runs = 0};
  (void)state;
  atomic_store(&ctx_sim_get()->now_ns, 0);
  assert_code(tether_clock_set(&(tether_clock){.now_ns = ctx_sim_now, .data = ctx_sim_get()}), TETHER_OK);
  ctx = tether_ctx_with_timeout(tether_ctx_background(), 10);
  past = tether_ctx_with_deadline(tether_ctx_background(), 0);
  assert_expired(past, NULL);
  ctx_call_after(&call, ctx, NULL);
  ctx_sim_advance(9);
  assert_int_equal(atomic_load(&call.runs), 0);
  ctx_sim_advance(1);
  assert_int_equal(atomic_load(&call.runs), 1);
  tether_ctx_free(past);
  tether_ctx_free(ctx);
}

/* After virtual time, real time works again, timer thread included. */
static void real_time_works_again_afterwards(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_MS);
  struct ctx_call call = {.runs = 0};
  (void)state;
  ctx_call_after(&call, ctx, NULL);
  assert_true(ctx_count_wait(&call.runs, 1));
  assert_true(tether_now_ns() >= tether_ctx_deadline_ns(ctx));
  tether_after_stop_wait(&call.after);
  tether_ctx_free(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_virtual_time(now_is_the_installed_clocks),
      in_virtual_time(clock_cannot_be_replaced_while_a_deadline_is_armed),
      in_virtual_time(clock_can_be_replaced_while_deadlines_are_only_polled),
      in_virtual_time(wake_at_tells_every_new_earliest_deadline),
      in_virtual_time(clock_without_wake_at_works),
      in_virtual_time(clock_is_copied),
      in_virtual_time(deadlines_of_one_leap_end_earliest_first),
      in_virtual_time(waits_and_sleeps_last_until_virtual_time_has_passed),
      in_virtual_time(deadline_in_virtual_time_releases_waiting_threads),
      in_virtual_time(callbacks_of_a_deadline_that_a_member_noticed_run_in_run_due),
      in_virtual_time(event_loop_that_follows_run_due_is_always_in_time),
      in_virtual_time(time_may_start_at_zero),
      behaviour(real_time_works_again_afterwards),
  };
  return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
