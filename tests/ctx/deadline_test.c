/* Deadlines in virtual time: which one counts, when exactly it ends whom, and what it leaves armed. What
 * needs the real clock is in deadline_real_test.c. */
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

/* row 57: not a nanosecond early, and at its time at the latest */
static void deadline_ends_the_context_at_its_time(void **state) {
  const int64_t lengths[] = {1, 999, TETHER_MS, 262143, 262144, 262145, TETHER_SEC + 1, CTX_TEST_HOUR};
  for (int i = 0; i < 8; i++) {
    tether_ctx *ctx = tether_ctx_with_deadline(tether_ctx_background(), tether_now_ns() + lengths[i]);
    tell(state, ctx);
    assert_live(ctx);
    ctx_sim_advance(lengths[i] - 1);
    assert_live(ctx);
    assert_code(tether_ctx_wait(ctx, 0), TETHER_OK);
    ctx_sim_advance(1);
    assert_expired(ctx, tether_cause_deadline_exceeded());
    tether_ctx_free(ctx);
  }
}

/* row 58: a value context is C's pass-through wrapper */
static void deadline_ends_a_pass_through_context_too(void **state) {
  tether_ctx *inner = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx *wrapper = tether_ctx_with_value(inner, ctx_key_user(), "ada");
  tell(state, wrapper);
  ctx_sim_advance(TETHER_MS - 1);
  assert_live(wrapper);
  ctx_sim_advance(1);
  assert_expired(wrapper, tether_cause_deadline_exceeded());
  assert_expired(inner, tether_cause_deadline_exceeded());
  tether_ctx_free(wrapper);
  tether_ctx_free(inner);
}

/* row 59 */
static void parents_earlier_deadline_ends_the_child(void **state) {
  int64_t now_ns = tether_now_ns();
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx *wrapper = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  tether_ctx *by_deadline = tether_ctx_with_deadline(wrapper, now_ns + 1000 * CTX_TEST_HOUR);
  tether_ctx *by_timeout = tether_ctx_with_timeout(wrapper, 1000 * CTX_TEST_HOUR);
  tell(state, by_deadline);
  tell(state, by_timeout);
  ctx_sim_advance(TETHER_MS - 1);
  assert_live(by_deadline);
  assert_live(by_timeout);
  ctx_sim_advance(1);
  assert_expired(by_deadline, tether_cause_deadline_exceeded());
  assert_expired(by_timeout, tether_cause_deadline_exceeded());
  tether_ctx_free(by_timeout);
  tether_ctx_free(by_deadline);
  tether_ctx_free(wrapper);
  tether_ctx_free(parent);
}

/* row 60 */
static void deadline_not_in_the_future_is_over_on_return(void **state) {
  const int64_t before_ns[] = {0, 1, TETHER_MS, CTX_TEST_HOUR};
  for (int i = 0; i < 4; i++) {
    tether_ctx *ctx = tether_ctx_with_deadline(tether_ctx_background(), tether_now_ns() - before_ns[i]);
    tell(state, ctx);
    assert_expired(ctx, tether_cause_deadline_exceeded());
    assert_int_equal(tether_ctx_remaining_ns(ctx), 0);
    tether_ctx_free(ctx);
  }
}

/* row 61 */
static void timeout_is_a_deadline_counted_from_creation(void **state) {
  int64_t created_ns = tether_now_ns();
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_SEC);
  assert_int_equal(tether_ctx_deadline_ns(ctx), created_ns + 5 * TETHER_SEC);
  ctx_sim_advance(2 * TETHER_SEC);
  tell(state, ctx); /* being told later does not start it anew */
  assert_int_equal(tether_ctx_deadline_ns(ctx), created_ns + 5 * TETHER_SEC);
  assert_int_equal(tether_ctx_remaining_ns(ctx), 3 * TETHER_SEC);
  ctx_sim_advance(3 * TETHER_SEC - 1);
  assert_live(ctx);
  ctx_sim_advance(1);
  assert_expired(ctx, tether_cause_deadline_exceeded());
  assert_int_equal(tether_ctx_remaining_ns(ctx), 0);
  tether_ctx_free(ctx);
}

/* row 62 */
static void live_timeout_can_be_cancelled(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_cancelled(ctx, tether_cause_canceled());
  ctx_sim_advance(2 * TETHER_SEC);
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx);
}

/* row 63: also when nobody looked between the expiry and the cancel */
static void cancel_after_expiry_changes_nothing(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tell(state, ctx);
  ctx_sim_advance(TETHER_SEC);
  tether_ctx_cancel(ctx);
  assert_expired(ctx, tether_cause_deadline_exceeded());
  tether_ctx_free(ctx);
}

/* row 64 */
static void later_deadline_than_the_parents_is_the_parents(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *child = tether_ctx_with_timeout(parent, CTX_TEST_HOUR);
  tether_ctx *none = tether_ctx_with_deadline(parent, TETHER_FOREVER);
  tell(state, child);
  tell(state, none);
  assert_int_equal(tether_ctx_deadline_ns(child), tether_ctx_deadline_ns(parent));
  assert_int_equal(tether_ctx_deadline_ns(none), tether_ctx_deadline_ns(parent));
  assert_int_equal(tether_ctx_remaining_ns(child), TETHER_SEC);
  tether_ctx_free(none);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 65 */
static void equal_deadlines_end_parent_and_child(void **state) {
  tether_cause *slow = tether_cause_new(TETHER_CAUSE_DEADLINE, NULL, "slow");
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *child = tether_ctx_with_deadline_cause(parent, tether_ctx_deadline_ns(parent), slow);
  const tether_cause *cause;
  tell(state, child);
  ctx_sim_advance(TETHER_SEC);
  assert_code(tether_ctx_err(child), TETHER_DEADLINE_EXCEEDED);
  cause = tether_ctx_cause(child); /* whose timer is first is open, but the answer stays */
  assert_true(cause == slow || cause == tether_cause_deadline_exceeded());
  assert_expired(child, cause);
  assert_expired(parent, tether_cause_deadline_exceeded());
  tether_cause_unref(slow);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* rows 66, 77 */
static void childs_earlier_deadline_leaves_the_parent_live(void **state) {
  tether_cause *slow = tether_cause_new(TETHER_CAUSE_DEADLINE, NULL, "slow");
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  tether_ctx *child = tether_ctx_with_timeout_cause(parent, TETHER_SEC, slow);
  tell(state, child);
  ctx_sim_advance(TETHER_SEC);
  assert_expired(child, slow);
  assert_live_throughout(parent);
  tether_ctx_cancel(parent);
  assert_expired(child, slow);
  tether_cause_unref(slow);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 67 */
static void deadline_reads_the_same_for_ever(void **state) {
  tether_ctx *cancelled = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  int64_t deadline_ns = tether_now_ns() + TETHER_SEC;
  tell(state, cancelled);
  tell(state, expired);
  tether_ctx_cancel(cancelled);
  assert_int_equal(tether_ctx_deadline_ns(cancelled), deadline_ns);
  assert_int_equal(tether_ctx_remaining_ns(cancelled), TETHER_SEC); /* still tells the time left */
  ctx_sim_advance(CTX_TEST_HOUR);
  assert_expired(expired, NULL);
  assert_int_equal(tether_ctx_deadline_ns(cancelled), deadline_ns);
  assert_int_equal(tether_ctx_deadline_ns(expired), deadline_ns);
  assert_int_equal(tether_ctx_remaining_ns(expired), 0);
  tether_ctx_free(cancelled);
  tether_ctx_free(expired);
}

/* row 69 */
static void under_a_cancelled_parent_no_deadline_counts(void **state) {
  const int64_t timeouts_ns[] = {CTX_TEST_HOUR, 0, -TETHER_SEC};
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "load");
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, parent);
  tether_ctx_cancel_cause(parent, cause);
  for (int i = 0; i < 3; i++) {
    tether_ctx *child = tether_ctx_with_timeout(parent, timeouts_ns[i]);
    assert_cancelled(child, cause);
    tether_ctx_free(child);
  }
  tether_cause_unref(cause);
  tether_ctx_free(parent);
}

/* row 70 */
static void child_of_an_expired_parent_is_expired_whoever_cancels_it(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *child;
  tell(state, parent);
  ctx_sim_advance(TETHER_SEC);
  child = tether_ctx_with_cancel(parent);
  tether_ctx_cancel(child);
  assert_expired(child, tether_cause_deadline_exceeded());
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 71 */
static void zero_and_negative_timeouts_are_expired_on_return(void **state) {
  const int64_t timeouts_ns[] = {0, -1, INT64_MIN, INT64_MIN + 1};
  for (int i = 0; i < 4; i++) {
    tether_ctx *by_timeout = tether_ctx_with_timeout(tether_ctx_background(), timeouts_ns[i]);
    tether_ctx *by_deadline = tether_ctx_with_deadline(tether_ctx_background(), timeouts_ns[i]);
    tell(state, by_timeout);
    assert_expired(by_timeout, tether_cause_deadline_exceeded());
    assert_expired(by_deadline, tether_cause_deadline_exceeded());
    tether_ctx_free(by_timeout);
    tether_ctx_free(by_deadline);
  }
}

/* row 72 */
static void longest_timeouts_are_live_and_cancellable(void **state) {
  const int64_t timeouts_ns[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2};
  for (int i = 0; i < 3; i++) {
    tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), timeouts_ns[i]);
    tether_ctx *end_of_time = tether_ctx_with_deadline(tether_ctx_background(), INT64_MAX - 1 - i);
    tell(state, ctx);
    tell(state, end_of_time);
    assert_live(ctx);
    assert_live(end_of_time);
    assert_int_equal(tether_ctx_deadline_ns(ctx), tether_time_add(tether_now_ns(), timeouts_ns[i]));
    assert_int_equal(tether_ctx_deadline_ns(end_of_time), INT64_MAX - 1 - i);
    ctx_sim_advance(1000 * CTX_TEST_HOUR);
    assert_live(ctx);
    assert_live(end_of_time);
    tether_ctx_cancel(ctx);
    tether_ctx_cancel(end_of_time);
    assert_cancelled(ctx, tether_cause_canceled());
    assert_cancelled(end_of_time, tether_cause_canceled());
    tether_ctx_free(ctx);
    tether_ctx_free(end_of_time);
  }
}

/* row 74 */
static void many_layers_of_timeouts_end_the_leaf_and_keep_its_values(void **state) {
  tether_ctx *layers[60];
  for (int i = 0; i < 60; i += 2) {
    layers[i] = tether_ctx_with_timeout(i ? layers[i - 1] : tether_ctx_background(), TETHER_MS + i % 7);
    layers[i + 1] = tether_ctx_with_value(layers[i], i % 4 ? ctx_key_user() : ctx_key_trace(), &layers[i]);
  }
  tell(state, layers[59]);
  ctx_sim_advance(TETHER_MS - 1);
  assert_live(layers[59]);
  ctx_sim_advance(1);
  assert_expired(layers[59], tether_cause_deadline_exceeded());
  assert_ptr_equal(tether_ctx_value(layers[59], ctx_key_user()), &layers[58]);
  assert_ptr_equal(tether_ctx_value(layers[59], ctx_key_trace()), &layers[56]);
  for (int i = 59; i >= 0; i--) tether_ctx_free(layers[i]);
}

/* row 75 */
static void deadline_shows_through_contexts_without_their_own(void **state) {
  tether_ctx *timer = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *cancel = tether_ctx_with_cancel(timer);
  tether_ctx *value = tether_ctx_with_value(cancel, ctx_key_user(), "ada");
  tell(state, value);
  assert_int_equal(tether_ctx_deadline_ns(cancel), tether_ctx_deadline_ns(timer));
  assert_int_equal(tether_ctx_deadline_ns(value), tether_ctx_deadline_ns(timer));
  tether_ctx_free(value);
  tether_ctx_free(cancel);
  tether_ctx_free(timer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways_in_virtual_time(deadline_ends_the_context_at_its_time),
      both_ways_in_virtual_time(deadline_ends_a_pass_through_context_too),
      both_ways_in_virtual_time(parents_earlier_deadline_ends_the_child),
      both_ways_in_virtual_time(deadline_not_in_the_future_is_over_on_return),
      both_ways_in_virtual_time(timeout_is_a_deadline_counted_from_creation),
      both_ways_in_virtual_time(live_timeout_can_be_cancelled),
      both_ways_in_virtual_time(cancel_after_expiry_changes_nothing),
      both_ways_in_virtual_time(later_deadline_than_the_parents_is_the_parents),
      both_ways_in_virtual_time(equal_deadlines_end_parent_and_child),
      both_ways_in_virtual_time(childs_earlier_deadline_leaves_the_parent_live),
      both_ways_in_virtual_time(deadline_reads_the_same_for_ever),
      both_ways_in_virtual_time(under_a_cancelled_parent_no_deadline_counts),
      both_ways_in_virtual_time(child_of_an_expired_parent_is_expired_whoever_cancels_it),
      both_ways_in_virtual_time(zero_and_negative_timeouts_are_expired_on_return),
      both_ways_in_virtual_time(longest_timeouts_are_live_and_cancellable),
      both_ways_in_virtual_time(many_layers_of_timeouts_end_the_leaf_and_keep_its_values),
      both_ways_in_virtual_time(deadline_shows_through_contexts_without_their_own),
  };
  return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
