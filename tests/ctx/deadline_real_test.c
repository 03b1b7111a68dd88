/* Deadlines against the real clock: the few that virtual time cannot stand for. CLOCK_REALTIME is replaced
 * here, so that a test can step it. */
#include "tests/support/ctx_thread.h"

static _Atomic int64_t wall_step_ns;
static atomic_int wall_reads;

/* Takes the place of libc's for the library linked into this program. */
int clock_gettime(clockid_t clock, struct timespec *ts) {
  int result = (int)syscall(SYS_clock_gettime, clock, ts);
  if (result == 0 && clock == CLOCK_REALTIME) {
    atomic_fetch_add(&wall_reads, 1);
    ts->tv_sec += (time_t)(atomic_load(&wall_step_ns) / TETHER_SEC);
  }
  return result;
}

/* rows 57, 61 */
static void waiting_ends_at_the_deadline_and_never_before(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    int64_t before_ns = ctx_real_now_ns();
    tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS + i * 77777);
    assert_true(tether_ctx_deadline_ns(ctx) >= before_ns + TETHER_MS + i * 77777);
    assert_code(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
    assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(ctx));
    assert_expired(ctx, tether_cause_deadline_exceeded());
    tether_ctx_free(ctx);
  }
}

/* row 57 */
static void done_fd_ends_a_poll_at_the_deadline(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 3 * TETHER_MS);
  struct pollfd p = {.events = POLLIN};
  (void)state;
  assert_code(tether_ctx_done_fd(ctx, &p.fd), TETHER_OK);
  assert_int_equal(poll(&p, 1, (int)(CTX_TEST_BOUND_NS / TETHER_MS)), 1);
  assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(ctx));
  assert_expired(ctx, tether_cause_deadline_exceeded());
  tether_ctx_free(ctx);
}

/* row 57 */
static void polled_context_expires_by_itself(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  (void)state;
  while (tether_ctx_err(ctx) == TETHER_OK) {
    if (ctx_real_now_ns() > tether_ctx_deadline_ns(ctx) + CTX_TEST_BOUND_NS) fail();
  }
  assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(ctx));
  assert_expired(ctx, tether_cause_deadline_exceeded());
  tether_ctx_free(ctx);
}

/* row 59 */
static void parents_deadline_ends_a_waiting_child(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_MS);
  tether_ctx *value = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  tether_ctx *child = tether_ctx_with_timeout(value, 1000 * CTX_TEST_HOUR);
  (void)state;
  assert_code(tether_ctx_wait(child, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
  assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(parent));
  assert_expired(child, tether_cause_deadline_exceeded());
  tether_ctx_free(child);
  tether_ctx_free(value);
  tether_ctx_free(parent);
}

/* row 74 */
static void leaf_of_many_layers_of_timeouts_ends(void **state) {
  tether_ctx *layers[40];
  (void)state;
  for (int i = 0; i < 40; i++) {
    layers[i] = tether_ctx_with_timeout(i ? layers[i - 1] : tether_ctx_background(), TETHER_MS);
  }
  assert_code(tether_ctx_wait(layers[39], TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
  for (int i = 39; i >= 0; i--) tether_ctx_free(layers[i]);
}

/* row 76: a day forwards or back on the wall clock is nothing to a deadline */
static void stepping_the_wall_clock_has_no_effect(void **state) {
  const int64_t steps_ns[] = {86400 * TETHER_SEC, -86400 * TETHER_SEC};
  struct timespec wall;
  (void)state;
  atomic_store(&wall_reads, 0);
  for (int i = 0; i < 2; i++) {
    tether_ctx *soon = tether_ctx_with_timeout(tether_ctx_background(), 20 * TETHER_MS);
    tether_ctx *late = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
    int64_t deadline_ns = tether_ctx_deadline_ns(late);
    int fd;
    assert_code(tether_ctx_done_fd(late, &fd), TETHER_OK);
    atomic_store(&wall_step_ns, steps_ns[i]);
    assert_code(tether_ctx_wait(soon, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
    assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(soon));
    assert_live_throughout(late);
    assert_int_equal(tether_ctx_deadline_ns(late), deadline_ns);
    assert_true(tether_ctx_remaining_ns(late) > CTX_TEST_HOUR / 2);
    atomic_store(&wall_step_ns, 0);
    tether_ctx_free(soon);
    tether_ctx_free(late);
  }
  assert_int_equal(atomic_load(&wall_reads), 0); /* nobody looked at it */
  clock_gettime(CLOCK_REALTIME, &wall);
  assert_int_equal(atomic_load(&wall_reads), 1); /* and looking would have been seen */
}

/* row 57: a late-comer with an earlier deadline than the one the timer sleeps for is not kept waiting */
static void earlier_deadline_armed_later_is_in_time(void **state) {
  tether_ctx *late = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  struct ctx_call of_late = {.runs = 0};
  (void)state;
  ctx_call_after(&of_late, late, NULL);
  for (int i = 0; i < 20; i++) {
    tether_ctx *soon = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
    struct ctx_call call = {.runs = 0};
    ctx_call_after(&call, soon, NULL); /* only the timer thread can run it */
    assert_true(ctx_count_wait(&call.runs, 1));
    assert_true(ctx_real_now_ns() >= tether_ctx_deadline_ns(soon));
    tether_after_stop_wait(&call.after);
    tether_ctx_free(soon);
  }
  assert_true(tether_after_stop(&of_late.after));
  tether_ctx_free(late);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(waiting_ends_at_the_deadline_and_never_before),
      behaviour(done_fd_ends_a_poll_at_the_deadline),
      behaviour(polled_context_expires_by_itself),
      behaviour(parents_deadline_ends_a_waiting_child),
      behaviour(leaf_of_many_layers_of_timeouts_ends),
      behaviour(stepping_the_wall_clock_has_no_effect),
      behaviour(earlier_deadline_armed_later_is_in_time),
  };
  return cmocka_run_group_tests_name("deadline in real time", tests, NULL, NULL);
}
