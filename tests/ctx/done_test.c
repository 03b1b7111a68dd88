/* Done is a level: err, cause, wait, done_fd and callbacks agree, for ever, and err is never ahead of the
 * others. Races of the same promise are at the end. */
#include "tests/support/ctx_thread.h"

/* row 31 */
static void err_is_none_until_done(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, ctx);
  for (int i = 0; i < 3; i++) assert_live(ctx);
  assert_live_throughout(ctx);
  tether_ctx_free(ctx);
}

/* row 32 */
static void err_stays_the_same_for_ever(void **state) {
  tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), 0);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "load");
  tell(state, cancelled);
  tell(state, expired);
  tether_ctx_cancel_cause(cancelled, cause);
  for (int i = 0; i < 3; i++) {
    assert_cancelled(cancelled, cause);
    assert_expired(expired, tether_cause_deadline_exceeded());
    tether_ctx_cancel(cancelled);
    tether_ctx_cancel_cause(expired, cause);
  }
  tether_cause_unref(cause);
  tether_ctx_free(cancelled);
  tether_ctx_free(expired);
}

/* row 33: whatever the cause says, err is one of three */
static void err_is_ok_cancelled_or_deadline_exceeded(void **state) {
  for (int code = TETHER_CAUSE_NONE; code <= TETHER_CAUSE_OTHER; code++) {
    tether_cause *cause = tether_cause_new((tether_cause_code)code, NULL, "why");
    tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
    tether_ctx *expired = tether_ctx_with_timeout_cause(tether_ctx_background(), 0, cause);
    tell(state, cancelled);
    assert_code(tether_ctx_err(cancelled), TETHER_OK);
    tether_ctx_cancel_cause(cancelled, cause);
    assert_cancelled(cancelled, cause);
    assert_expired(expired, cause);
    tether_cause_unref(cause);
    tether_ctx_free(cancelled);
    tether_ctx_free(expired);
  }
}

/* row 34 */
static void bounded_wait_returns_ok_when_the_bound_passes_first(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  int64_t start_ns = tether_now_ns();
  (void)state;
  assert_code(tether_ctx_wait(ctx, 3 * TETHER_MS), TETHER_OK);
  assert_true(tether_now_ns() - start_ns >= 3 * TETHER_MS);
  assert_code(tether_ctx_wait(ctx, 0), TETHER_OK);
  assert_code(tether_ctx_wait(ctx, -1), TETHER_OK);
  assert_code(tether_ctx_wait(ctx, INT64_MIN), TETHER_OK);
  tether_ctx_free(ctx);
}

struct waiter {
  struct ctx_thread thread;
  const tether_ctx *ctx;
  tether_code result;
  int64_t bound_ns;
};

static void wait_for_end(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_wait(w->ctx, w->bound_ns);
}

static void sleep_until_end(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_sleep(w->ctx, w->bound_ns);
}

static void poll_until_end(void *data) {
  struct waiter *w = data;
  struct pollfd p = {.events = POLLIN};
  w->result = tether_ctx_done_fd(w->ctx, &p.fd);
  if (w->result == TETHER_OK && poll(&p, 1, -1) == 1) w->result = tether_ctx_err(w->ctx);
}

/* row 34: however many wait, and however they wait, one end releases all */
static void every_waiter_is_released(void **state) {
  void (*const ways[])(void *) = {wait_for_end, sleep_until_end, poll_until_end};
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  struct waiter waiters[12];
  (void)state;
  for (int i = 0; i < 12; i++) {
    waiters[i].ctx = i % 2 ? ctx : child;
    waiters[i].result = TETHER_UNKNOWN;
    waiters[i].bound_ns = i % 4 < 2 ? TETHER_FOREVER : CTX_TEST_HOUR;
    ctx_thread_start(&waiters[i].thread, ways[i % 3], &waiters[i]);
  }
  for (int i = 0; i < 12; i++) ctx_thread_blocks(&waiters[i].thread);
  tether_ctx_cancel(ctx);
  for (int i = 0; i < 12; i++) {
    ctx_thread_join(&waiters[i].thread);
    assert_code(waiters[i].result, TETHER_CANCELLED);
  }
  tether_ctx_free(child);
  tether_ctx_free(ctx);
}

/* row 34: a waiter whose bound passed is forgotten, the others are not */
static void a_waiter_that_gave_up_does_not_disturb_the_others(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct waiter patient = {.ctx = ctx, .bound_ns = TETHER_FOREVER};
  (void)state;
  ctx_thread_start(&patient.thread, wait_for_end, &patient);
  ctx_thread_blocks(&patient.thread);
  for (int i = 0; i < 100; i++) assert_code(tether_ctx_wait(ctx, 10 * TETHER_US), TETHER_OK);
  tether_ctx_cancel(ctx);
  ctx_thread_join(&patient.thread);
  assert_code(patient.result, TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

/* row 34 */
static void sleep_returns_ok_after_the_whole_sleep(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  const tether_ctx *all[] = {ctx, tether_ctx_background()};
  (void)state;
  for (int i = 0; i < 2; i++) {
    int64_t start_ns = tether_now_ns();
    assert_code(tether_ctx_sleep(all[i], 3 * TETHER_MS), TETHER_OK);
    assert_true(tether_now_ns() - start_ns >= 3 * TETHER_MS);
    assert_code(tether_ctx_sleep(all[i], 0), TETHER_OK);
    assert_code(tether_ctx_sleep(all[i], -1), TETHER_OK);
  }
  tether_ctx_free(ctx);
}

/* row 32 */
static void sleep_under_an_ended_context_returns_its_err_at_once(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_code(tether_ctx_sleep(ctx, CTX_TEST_HOUR), TETHER_CANCELLED);
  assert_code(tether_ctx_sleep(ctx, 0), TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

/* ---- Err is never ahead of the rest ---------------------------------------------------------- */

struct err_race {
  tether_ctx *root, *ctx;
  struct ctx_call call;
  int fd;
  bool agreed;
};

static void err_race_prepare(void *data) {
  struct err_race *r = data;
  r->root = tether_ctx_with_cancel(tether_ctx_background());
  r->ctx = tether_ctx_with_cancel(r->root);
  r->agreed = tether_ctx_done_fd(r->ctx, &r->fd) == TETHER_OK;
}

static void err_race_cancel(void *data) {
  struct err_race *r = data;
  tether_ctx_cancel(r->root);
}

static void err_race_poll(void *data) {
  struct err_race *r = data;
  while (tether_ctx_err(r->ctx) == TETHER_OK) continue;
  if (!ctx_fd_readable(r->fd)) r->agreed = false;
  if (tether_ctx_wait(r->ctx, TETHER_FOREVER) != TETHER_CANCELLED) r->agreed = false;
  if (tether_ctx_cause(r->ctx) != tether_cause_canceled()) r->agreed = false;
  if (tether_ctx_poll_timeout_ms(r->ctx) != 0) r->agreed = false;
}

static bool err_race_check(void *data) {
  struct err_race *r = data;
  tether_ctx_free(r->ctx);
  tether_ctx_free(r->root);
  return r->agreed;
}

/* row 34: Go's regression #75533 */
static void when_err_turns_every_waiting_form_is_already_released(void **state) {
  struct err_race r = {.root = NULL};
  struct ctx_race race = {
      .prepare = err_race_prepare, .actors = {err_race_cancel, err_race_poll}, .check = err_race_check, .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

struct wait_race {
  tether_ctx *ctx;
  tether_code results[3];
};

static void wait_race_prepare(void *data) {
  struct wait_race *r = data;
  r->ctx = tether_ctx_with_cancel(tether_ctx_background());
}

static void wait_race_cancel(void *data) { tether_ctx_cancel(((struct wait_race *)data)->ctx); }

static void wait_race_wait(void *data) {
  struct wait_race *r = data;
  r->results[0] = tether_ctx_wait(r->ctx, TETHER_FOREVER);
}

static void wait_race_wait_bounded(void *data) {
  struct wait_race *r = data;
  do {
    r->results[1] = tether_ctx_wait(r->ctx, TETHER_US);
  } while (r->results[1] == TETHER_OK);
}

static bool wait_race_check(void *data) {
  struct wait_race *r = data;
  tether_ctx_free(r->ctx);
  return r->results[0] == TETHER_CANCELLED && r->results[1] == TETHER_CANCELLED;
}

/* row 34: no wake-up is lost between looking and sleeping */
static void waiting_while_another_cancels_always_ends(void **state) {
  struct wait_race r = {.ctx = NULL};
  struct ctx_race race = {.prepare = wait_race_prepare,
                          .actors = {wait_race_cancel, wait_race_wait, wait_race_wait_bounded},
                          .check = wait_race_check,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(err_is_none_until_done),
      both_ways(err_stays_the_same_for_ever),
      both_ways(err_is_ok_cancelled_or_deadline_exceeded),
      behaviour(bounded_wait_returns_ok_when_the_bound_passes_first),
      behaviour(every_waiter_is_released),
      behaviour(a_waiter_that_gave_up_does_not_disturb_the_others),
      behaviour(sleep_returns_ok_after_the_whole_sleep),
      both_ways(sleep_under_an_ended_context_returns_its_err_at_once),
      behaviour(when_err_turns_every_waiting_form_is_already_released),
      behaviour(waiting_while_another_cancels_always_ends),
  };
  return cmocka_run_group_tests_name("done", tests, NULL, NULL);
}
