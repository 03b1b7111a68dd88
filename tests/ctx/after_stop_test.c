/* Stopping a callback: try-stop never waits, stop-and-wait returns when the callback is over, and from
 * inside the callback both return at once. */
#include <tether/pool.h>

#include "tests/support/ctx_thread.h"

/* rows 97, 100 */
static void stopped_callback_never_runs(void **state) {
  bool (*const stops[])(tether_after *) = {tether_after_stop, tether_after_stop_wait};
  for (int i = 0; i < 2; i++) {
    tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    struct ctx_call call = {.runs = 0};
    tell(state, ctx);
    ctx_call_after(&call, ctx, NULL);
    assert_true(stops[i](&call.after));
    assert_false(tether_after_stop(&call.after));
    assert_false(tether_after_stop_wait(&call.after));
    tether_ctx_cancel(ctx);
    assert_int_equal(atomic_load(&call.runs), 0);
    assert_false(stops[i](&call.after));
    tether_ctx_free(ctx);
  }
}

/* row 97: a stopped registration may be used again */
static void stopped_registration_can_be_registered_again(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call call = {.runs = 0};
  (void)state;
  for (int i = 0; i < 10; i++) {
    ctx_call_after(&call, ctx, NULL);
    assert_true(tether_after_stop(&call.after));
  }
  ctx_call_after(&call, ctx, NULL);
  tether_ctx_cancel(ctx);
  assert_int_equal(atomic_load(&call.runs), 1);
  tether_ctx_free(ctx);
}

/* ---- A callback that blocks until the test lets it go --------------------------------------- */

struct slow {
  tether_after after;
  tether_ctx *ctx;
  struct ctx_latch started, released;
  atomic_int finished;
  struct ctx_thread canceller, stopper;
  atomic_int wrongly_stopped; /* stop-and-wait said true, or returned before fn was over */
};

static void run_slowly(void *data) {
  struct slow *s = data;
  ctx_latch_open(&s->started);
  if (!ctx_latch_wait(&s->released)) return;
  atomic_store(&s->finished, 1);
}

static void cancel_slow(void *data) { tether_ctx_cancel(((struct slow *)data)->ctx); }

static void stop_wait_slow(void *data) {
  struct slow *s = data;
  if (tether_after_stop_wait(&s->after) || !atomic_load(&s->finished)) atomic_fetch_add(&s->wrongly_stopped, 1);
}

static void slow_open(struct slow *s, tether_executor *executor) {
  memset(s, 0, sizeof *s);
  s->ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_after_func(s->ctx, &s->after, executor, run_slowly, s);
}

/* row 101: stop never waits for a callback that runs */
static void stop_of_a_running_callback_returns_false_at_once(void **state) {
  struct slow s;
  (void)state;
  slow_open(&s, NULL);
  ctx_thread_start(&s.canceller, cancel_slow, &s);
  assert_true(ctx_latch_wait(&s.started));
  assert_false(tether_after_stop(&s.after)); /* only the next line lets the callback end */
  assert_int_equal(atomic_load(&s.finished), 0);
  ctx_latch_open(&s.released);
  ctx_thread_join(&s.canceller);
  assert_false(tether_after_stop(&s.after));
  tether_ctx_free(s.ctx);
}

/* row 101: stop-and-wait does */
static void stop_wait_returns_when_the_running_callback_is_over(void **state) {
  struct slow s;
  (void)state;
  slow_open(&s, NULL);
  ctx_thread_start(&s.canceller, cancel_slow, &s);
  assert_true(ctx_latch_wait(&s.started));
  ctx_thread_start(&s.stopper, stop_wait_slow, &s);
  ctx_thread_blocks(&s.stopper);
  ctx_latch_open(&s.released);
  ctx_thread_join(&s.stopper);
  assert_int_equal(atomic_load(&s.wrongly_stopped), 0);
  ctx_thread_join(&s.canceller);
  tether_ctx_free(s.ctx);
}

/* row 101 */
static void two_threads_may_stop_and_wait_for_the_same_callback(void **state) {
  struct slow s;
  struct ctx_thread second;
  (void)state;
  slow_open(&s, NULL);
  ctx_thread_start(&s.canceller, cancel_slow, &s);
  assert_true(ctx_latch_wait(&s.started));
  ctx_thread_start(&s.stopper, stop_wait_slow, &s);
  ctx_thread_blocks(&s.stopper);
  ctx_thread_start(&second, stop_wait_slow, &s);
  ctx_thread_blocks(&second);
  ctx_latch_open(&s.released);
  ctx_thread_join(&s.stopper);
  ctx_thread_join(&second);
  assert_int_equal(atomic_load(&s.wrongly_stopped), 0);
  ctx_thread_join(&s.canceller);
  tether_ctx_free(s.ctx);
}

/* row 98: on a pool, the cancel returns while the callback runs, and stop-and-wait waits for it */
static void stop_wait_waits_for_a_callback_on_an_executor(void **state) {
  tether_pool *pool;
  struct slow s;
  (void)state;
  assert_code(tether_pool_open(1, &pool), TETHER_OK);
  slow_open(&s, tether_pool_executor(pool));
  tether_ctx_cancel(s.ctx);
  assert_true(ctx_latch_wait(&s.started));
  assert_int_equal(atomic_load(&s.finished), 0);
  assert_false(tether_after_stop(&s.after));
  ctx_thread_start(&s.stopper, stop_wait_slow, &s);
  ctx_thread_blocks(&s.stopper);
  ctx_latch_open(&s.released);
  ctx_thread_join(&s.stopper);
  assert_int_equal(atomic_load(&s.wrongly_stopped), 0);
  tether_ctx_free(s.ctx);
  tether_pool_close(pool);
}

struct held_task {
  tether_executor executor;
  _Atomic(tether_task *) task;
};

static void hold_submit(tether_executor *executor, tether_task *task) {
  atomic_store(&((struct held_task *)executor)->task, task);
}

/* row 101: submitted but not begun is too late to stop: the wait lasts until it has run */
static void stop_wait_waits_for_a_callback_that_is_only_queued(void **state) {
  struct held_task held = {.executor = {hold_submit}};
  struct slow s;
  (void)state;
  slow_open(&s, &held.executor);
  ctx_latch_open(&s.released); /* will not block once it runs */
  tether_ctx_cancel(s.ctx);
  assert_false(tether_after_stop(&s.after));
  ctx_thread_start(&s.stopper, stop_wait_slow, &s);
  ctx_thread_blocks(&s.stopper);
  tether_task *task = atomic_load(&held.task);
  assert_non_null(task);
  task->run(task);
  ctx_thread_join(&s.stopper);
  assert_int_equal(atomic_load(&s.wrongly_stopped), 0);
  tether_ctx_free(s.ctx);
}

struct self_stopper {
  tether_after after;
  int runs;
  bool tried, waited;
};

static void stop_itself(void *data) {
  struct self_stopper *s = data;
  s->runs++;
  s->tried = tether_after_stop(&s->after);
  s->waited = tether_after_stop_wait(&s->after);
}

/* row 101: where GLib's disconnect deadlocks */
static void stopping_from_inside_the_callback_returns_false_at_once(void **state) {
  struct held_task held = {.executor = {hold_submit}};
  for (int i = 0; i < 3; i++) {
    tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    struct self_stopper s = {.tried = true, .waited = true};
    tell(state, ctx);
    if (i == 2) tether_ctx_cancel(ctx);
    tether_ctx_after_func(ctx, &s.after, i == 1 ? &held.executor : NULL, stop_itself, &s);
    tether_ctx_cancel(ctx);
    if (i == 1) {
      tether_task *task = atomic_load(&held.task);
      task->run(task);
    }
    assert_int_equal(s.runs, 1);
    assert_false(s.tried);
    assert_false(s.waited);
    tether_ctx_free(ctx);
  }
}

struct neighbours {
  tether_after first, second;
  int first_runs, second_runs;
  bool stopped_second, stopped_first;
};

static void stop_second(void *data) {
  struct neighbours *n = data;
  n->first_runs++;
  n->stopped_second = tether_after_stop_wait(&n->second);
}

static void stop_first(void *data) {
  struct neighbours *n = data;
  n->second_runs++;
  n->stopped_first = tether_after_stop_wait(&n->first);
}

/* row 99: scylladb/seastar#1078, dotnet/coreclr#20145: whichever runs first stops the other for good */
static void callback_may_stop_its_neighbour(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct neighbours n = {.first_runs = 0};
  (void)state;
  tether_ctx_after_func(ctx, &n.first, NULL, stop_second, &n);
  tether_ctx_after_func(ctx, &n.second, NULL, stop_first, &n);
  tether_ctx_cancel(ctx);
  assert_int_equal(n.first_runs + n.second_runs, 1);
  assert_true(n.first_runs ? n.stopped_second : n.stopped_first);
  tether_ctx_free(ctx);
}

static void free_registration_of_other(void *data) {
  struct ctx_call **other = data;
  if (*other && tether_after_stop(&(*other)->after)) {
    free(*other);
    *other = NULL;
  }
}

/* row 97: after stop returned true the memory is the caller's again */
static void stopped_registration_may_be_freed(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call *other = calloc(1, sizeof *other);
  tether_after after[2];
  (void)state;
  assert_non_null(other);
  tether_ctx_after_func(ctx, &after[0], NULL, free_registration_of_other, &other);
  ctx_call_after(other, ctx, NULL);
  tether_ctx_after_func(ctx, &after[1], NULL, free_registration_of_other, &other);
  tether_ctx_cancel(ctx);
  if (other) assert_int_equal(atomic_load(&other->runs), 1);
  free(other);
  tether_ctx_free(ctx);
}

/* ---- Races --------------------------------------------------------------------------------- */

struct stop_race {
  tether_ctx *ctx;
  struct ctx_call *call;
  tether_executor *executor;
  bool stopped, stopped_again, wait;
  int runs_when_stopped;
};

static void stop_race_prepare(void *data) {
  struct stop_race *r = data;
  r->ctx = tether_ctx_with_cancel(tether_ctx_background());
  r->call = calloc(1, sizeof *r->call);
  r->stopped_again = false;
  if (r->call) ctx_call_after(r->call, r->ctx, r->executor);
}

static void stop_race_cancel(void *data) { tether_ctx_cancel(((struct stop_race *)data)->ctx); }

static void stop_race_stop(void *data) {
  struct stop_race *r = data;
  r->stopped = r->wait ? tether_after_stop_wait(&r->call->after) : tether_after_stop(&r->call->after);
  if (!r->wait) return;
  r->runs_when_stopped = atomic_load(&r->call->runs);
  free(r->call); /* allowed after stop-and-wait, whatever it returned */
}

static void stop_race_stop_too(void *data) {
  struct stop_race *r = data;
  r->stopped_again = tether_after_stop(&r->call->after);
}

static bool stop_race_check(void *data) {
  struct stop_race *r = data;
  int runs = r->wait ? r->runs_when_stopped : atomic_load(&r->call->runs);
  if (!r->wait) free(r->call);
  tether_ctx_free(r->ctx);
  return runs + (r->stopped ? 1 : 0) + (r->stopped_again ? 1 : 0) == 1;
}

/* rows 97, 100, 101: run, or stopped by exactly one */
static void callback_either_runs_or_was_stopped_by_one_caller(void **state) {
  struct stop_race r = {.wait = false};
  struct ctx_race race = {.prepare = stop_race_prepare,
                          .actors = {stop_race_cancel, stop_race_stop, stop_race_stop_too},
                          .check = stop_race_check,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

/* row 101 */
static void registration_may_be_freed_after_stop_wait(void **state) {
  struct stop_race r = {.wait = true};
  struct ctx_race race = {
      .prepare = stop_race_prepare, .actors = {stop_race_cancel, stop_race_stop}, .check = stop_race_check, .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

/* rows 98, 101 */
static void registration_on_an_executor_may_be_freed_after_stop_wait(void **state) {
  struct stop_race r = {.wait = true};
  struct ctx_race race = {
      .prepare = stop_race_prepare, .actors = {stop_race_cancel, stop_race_stop}, .check = stop_race_check, .data = &r};
  tether_pool *pool;
  (void)state;
  assert_code(tether_pool_open(2, &pool), TETHER_OK);
  r.executor = tether_pool_executor(pool);
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(20000)), -1);
  tether_pool_close(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(stopped_callback_never_runs),
      behaviour(stopped_registration_can_be_registered_again),
      behaviour(stop_of_a_running_callback_returns_false_at_once),
      behaviour(stop_wait_returns_when_the_running_callback_is_over),
      behaviour(two_threads_may_stop_and_wait_for_the_same_callback),
      behaviour(stop_wait_waits_for_a_callback_on_an_executor),
      behaviour(stop_wait_waits_for_a_callback_that_is_only_queued),
      both_ways(stopping_from_inside_the_callback_returns_false_at_once),
      behaviour(callback_may_stop_its_neighbour),
      behaviour(stopped_registration_may_be_freed),
      behaviour(callback_either_runs_or_was_stopped_by_one_caller),
      behaviour(registration_may_be_freed_after_stop_wait),
      behaviour(registration_on_an_executor_may_be_freed_after_stop_wait),
  };
  return cmocka_run_group_tests_name("after stop", tests, NULL, NULL);
}
