/* When a group has its answer: all, enough, collect. Members here join and leave from the test's own thread, so
 * that the order of their results is the one written down. */
#include <tether/group.h>

#include "tests/support/ctx_thread.h"

static tether_group *group_with(tether_group_rule_kind rule, int enough) {
  tether_group *group = NULL;
  assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  assert_code(tether_group_set_rule(group, rule, enough), TETHER_OK);
  return group;
}

/* `count` members that join a new group are numbered from 0: here a member's number is its place. */
static void join_members(tether_group *group, unsigned long count) {
  for (unsigned long i = 0; i < count; i++) {
    unsigned long number = 99;
    assert_code(tether_group_join(group, &number), TETHER_OK);
    assert_int_equal(number, i);
  }
}

static void leave(tether_group *group, unsigned long number, tether_code code) {
  tether_group_leave(group, number, code, NULL);
}

/* Ended by the rule, in every way of looking. */
static void assert_ended_by_rule(const tether_group *group, tether_cause_code code, const char *text) {
  const tether_cause *cause = tether_ctx_cause(tether_group_ctx(group));
  assert_string_equal(tether_cause_text(cause), text);
  assert_int_equal(tether_cause_get_code(cause), code);
  assert_string_equal(tether_cause_origin(cause), tether_origin());
  assert_cancelled(tether_group_ctx(group), cause);
}

static void assert_wait_then_free(tether_group *group, tether_code code) {
  assert_code(tether_group_wait(group), code);
  assert_code(tether_group_wait(group), code); /* sticky */
  assert_int_not_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_OK);
  tether_group_free(group);
}

struct waiter {
  struct ctx_thread thread;
  tether_group *group;
  tether_code result;
};

static void wait_for_group(void *data) {
  struct waiter *w = data;
  w->result = tether_group_wait(w->group);
}

static void waiter_start(struct waiter *w, tether_group *group) {
  *w = (struct waiter){.group = group, .result = TETHER_UNKNOWN};
  ctx_thread_start(&w->thread, wait_for_group, w);
  ctx_thread_blocks(&w->thread);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void rule_is_all_until_set(void **state) {
  tether_group *group = NULL;
  assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  leave(group, 0, TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, 2, TETHER_NOT_FOUND);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #2 failed: NOT_FOUND");
  leave(group, 1, TETHER_ABORTED);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #2 failed: NOT_FOUND");
  assert_wait_then_free(group, TETHER_NOT_FOUND);
}

static void failing_member_is_described_in_the_cause(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ALL, 0);
  tell(state, tether_group_ctx(group));
  join_members(group, 4);
  tether_group_leave(group, 1, TETHER_OK, "call /a.B/C to ipc:///well");
  char what[] = "call /a.B/C to ipc:///x";
  tether_group_leave(group, 3, TETHER_UNAVAILABLE, what);
  what[0] = '?'; /* it was copied */
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "call /a.B/C to ipc:///x #3 failed: UNAVAILABLE");
  leave(group, 0, TETHER_CANCELLED);
  leave(group, 2, TETHER_CANCELLED);
  assert_wait_then_free(group, TETHER_UNAVAILABLE);
}

static void group_of_all_succeeds_when_all_do(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ALL, 0);
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  for (unsigned long i = 0; i < 3; i++) leave(group, i, TETHER_OK);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  tether_group_free(group);
}

/* ---- Enough ---------------------------------------------------------------------------------- */

static void enough_successes_end_the_rest(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  tell(state, tether_group_ctx(group));
  join_members(group, 5);
  leave(group, 4, TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, 1, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 2 of 5 members succeeded");
  leave(group, 0, TETHER_CANCELLED);
  leave(group, 2, TETHER_CANCELLED);
  leave(group, 3, TETHER_OK); /* was done already */
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 2 of 5 members succeeded");
  assert_wait_then_free(group, TETHER_OK);
}

static void first_success_is_enough_when_one_is(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 1);
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  leave(group, 1, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 1 of 2 members succeeded");
  leave(group, 0, TETHER_CANCELLED);
  assert_wait_then_free(group, TETHER_OK);
}

static void failures_are_tolerated_while_enough_can_succeed(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  struct waiter waiter;
  tell(state, tether_group_ctx(group));
  join_members(group, 5);
  leave(group, 0, TETHER_ABORTED);
  waiter_start(&waiter, group);
  leave(group, 1, TETHER_NOT_FOUND);
  leave(group, 2, TETHER_UNAVAILABLE); /* two are left, two are wanted */
  assert_live(tether_group_ctx(group));
  leave(group, 3, TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, 4, TETHER_OK);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 2 of 5 members succeeded");
  assert_wait_then_free(group, TETHER_OK);
}

/* Nobody can know that no other will join. */
static void failures_end_nothing_before_the_group_is_closed(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 1);
  unsigned long number;
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  for (unsigned long i = 0; i < 3; i++) leave(group, i, TETHER_ABORTED);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_join(group, &number), TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, number, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 1 of 4 members succeeded");
  assert_wait_then_free(group, TETHER_OK);
}

static void failure_that_leaves_too_few_ends_the_rest_while_somebody_waits(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 3);
  struct waiter waiter;
  tell(state, tether_group_ctx(group));
  join_members(group, 5);
  leave(group, 0, TETHER_OK);
  waiter_start(&waiter, group);
  leave(group, 3, TETHER_NOT_FOUND);
  leave(group, 1, TETHER_ABORTED);
  assert_live(tether_group_ctx(group));
  tether_group_leave(group, 4, TETHER_UNAVAILABLE, "call /a.B/C to ipc:///x");
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "call /a.B/C to ipc:///x #4 failed: UNAVAILABLE");
  ctx_thread_blocks(&waiter.thread); /* one is still out */
  leave(group, 2, TETHER_CANCELLED);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_NOT_FOUND); /* the first, not the one that made it hopeless */
  assert_wait_then_free(group, TETHER_NOT_FOUND);
}

static void failures_before_the_wait_end_the_rest_when_it_begins(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  struct waiter waiter;
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  leave(group, 2, TETHER_NOT_FOUND);
  leave(group, 0, TETHER_ABORTED);
  assert_live(tether_group_ctx(group));
  waiter_start(&waiter, group);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #0 failed: ABORTED");
  leave(group, 1, TETHER_CANCELLED);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_NOT_FOUND);
  tether_group_free(group);
}

/* Whether the wait begins before or after the last of them: the context tells the same. */
static void wait_for_a_group_that_has_failed_says_so_in_the_cause(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 1);
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  leave(group, 0, TETHER_NOT_FOUND);
  leave(group, 1, TETHER_ABORTED);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_wait(group), TETHER_NOT_FOUND);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #1 failed: ABORTED");
  assert_wait_then_free(group, TETHER_NOT_FOUND);
}

static void record_code(tether_code code, void *data) { *(tether_code *)data = code; }

static void done_callback_closes_the_group_as_wait_does(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  tether_code result = TETHER_UNKNOWN;
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  leave(group, 0, TETHER_NOT_FOUND);
  assert_code(tether_group_on_done(group, record_code, &result), TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, 1, TETHER_ABORTED);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #1 failed: ABORTED");
  assert_code(result, TETHER_UNKNOWN);
  leave(group, 2, TETHER_CANCELLED);
  assert_code(result, TETHER_NOT_FOUND);
  assert_wait_then_free(group, TETHER_NOT_FOUND);
}

static void failures_before_the_done_callback_end_the_rest_when_it_is_set(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  tether_code result = TETHER_UNKNOWN;
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  leave(group, 1, TETHER_NOT_FOUND);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_on_done(group, record_code, &result), TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #1 failed: NOT_FOUND");
  assert_code(result, TETHER_UNKNOWN);
  leave(group, 0, TETHER_OK); /* one is not two */
  assert_code(result, TETHER_NOT_FOUND);
  tether_group_free(group);
}

static void members_that_join_during_the_wait_count(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  struct waiter waiter;
  unsigned long number;
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  waiter_start(&waiter, group);
  assert_code(tether_group_join(group, &number), TETHER_OK);
  leave(group, 0, TETHER_ABORTED); /* two are left, thanks to the third */
  assert_live(tether_group_ctx(group));
  leave(group, 1, TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, number, TETHER_OK);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 2 of 3 members succeeded");
  tether_group_free(group);
}

/* A member that runs may start others, so too few alone are not hopeless: a failure makes them so. */
static void too_few_members_without_a_failure_end_nothing(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 3);
  struct waiter waiter;
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  waiter_start(&waiter, group);
  leave(group, 0, TETHER_OK);
  assert_live(tether_group_ctx(group));
  leave(group, 1, TETHER_OK);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_FAILED_PRECONDITION);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  tether_group_free(group);
  group = group_with(TETHER_GROUP_ENOUGH, 1);
  assert_wait_then_free(group, TETHER_FAILED_PRECONDITION); /* no member at all */
}

static void later_round_counts_what_was_before(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 2);
  unsigned long number;
  (void)state;
  join_members(group, 2);
  leave(group, 0, TETHER_OK);
  leave(group, 1, TETHER_ABORTED);
  assert_code(tether_group_wait(group), TETHER_ABORTED);
  assert_code(tether_group_join(group, &number), TETHER_OK);
  assert_int_equal(number, 2);
  leave(group, number, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_SIBLING, "task #1 failed: ABORTED");
  assert_wait_then_free(group, TETHER_OK);
}

static void parents_end_makes_a_group_fail_that_wants_enough(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "closing");
  tether_group *group = NULL;
  assert_code(tether_group_new(parent, &group), TETHER_OK);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ENOUGH, 2), TETHER_OK);
  tell(state, tether_group_ctx(group));
  join_members(group, 3);
  leave(group, 0, TETHER_OK);
  tether_ctx_cancel_cause(parent, cause);
  leave(group, 1, TETHER_CANCELLED);
  leave(group, 2, TETHER_CANCELLED);
  assert_code(tether_group_wait(group), TETHER_CANCELLED);
  assert_cancelled(tether_group_ctx(group), cause);
  tether_group_free(group);
  tether_cause_unref(cause);
  tether_ctx_free(parent);
}

/* ---- Collect --------------------------------------------------------------------------------- */

static void collecting_group_ends_nothing(void **state) {
  tether_group *group = group_with(TETHER_GROUP_COLLECT, 0);
  struct waiter waiter;
  tell(state, tether_group_ctx(group));
  join_members(group, 4);
  leave(group, 0, TETHER_ABORTED);
  waiter_start(&waiter, group);
  leave(group, 1, TETHER_OK);
  leave(group, 2, TETHER_NOT_FOUND);
  assert_live(tether_group_ctx(group));
  ctx_thread_blocks(&waiter.thread);
  leave(group, 3, TETHER_UNAVAILABLE);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_OK); /* there is something */
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  assert_wait_then_free(group, TETHER_OK);
}

static void collecting_group_without_a_success_returns_the_first_failure(void **state) {
  tether_group *group = group_with(TETHER_GROUP_COLLECT, 0);
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  leave(group, 1, TETHER_NOT_FOUND);
  leave(group, 0, TETHER_ABORTED);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_wait(group), TETHER_NOT_FOUND);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  tether_group_free(group);
}

static void collecting_from_nobody_succeeds(void **state) {
  (void)state;
  assert_wait_then_free(group_with(TETHER_GROUP_COLLECT, 0), TETHER_OK);
}

static void collecting_group_keeps_what_came_before_its_deadline(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  tether_group *group = NULL;
  assert_code(tether_group_new(parent, &group), TETHER_OK);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_COLLECT, 0), TETHER_OK);
  tell(state, tether_group_ctx(group));
  join_members(group, 2);
  leave(group, 0, TETHER_OK);
  const tether_code code = tether_ctx_wait(tether_group_ctx(group), TETHER_FOREVER);
  leave(group, 1, code);
  assert_code(code, TETHER_DEADLINE_EXCEEDED);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_expired(tether_group_ctx(group), tether_cause_deadline_exceeded());
  tether_group_free(group);
  tether_ctx_free(parent);
}

/* ---- Setting a rule -------------------------------------------------------------------------- */

static void rule_with_a_number_that_does_not_fit_is_refused(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 1);
  (void)state;
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ENOUGH, 0), TETHER_INVALID_ARGUMENT);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ENOUGH, -1), TETHER_INVALID_ARGUMENT);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ALL, 1), TETHER_INVALID_ARGUMENT);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_COLLECT, 1), TETHER_INVALID_ARGUMENT);
  assert_code(tether_group_set_rule(group, (tether_group_rule_kind)3, 0), TETHER_INVALID_ARGUMENT);
  assert_code(tether_group_set_rule(group, (tether_group_rule_kind)-1, 0), TETHER_INVALID_ARGUMENT);
  join_members(group, 1); /* the rule set first holds */
  leave(group, 0, TETHER_OK);
  assert_ended_by_rule(group, TETHER_CAUSE_ENOUGH, "enough: 1 of 1 members succeeded");
  tether_group_free(group);
}

static void rule_may_change_until_the_first_member(void **state) {
  tether_group *group = group_with(TETHER_GROUP_ENOUGH, 7);
  tether_code result = TETHER_UNKNOWN;
  (void)state;
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ALL, 0), TETHER_OK);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_COLLECT, 0), TETHER_OK);
  join_members(group, 1);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ALL, 0), TETHER_FAILED_PRECONDITION);
  leave(group, 0, TETHER_ABORTED);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ALL, 0), TETHER_FAILED_PRECONDITION);
  assert_live(tether_group_ctx(group));
  tether_group_free(group);
  group = group_with(TETHER_GROUP_COLLECT, 0);
  assert_code(tether_group_on_done(group, record_code, &result), TETHER_OK);
  assert_code(tether_group_set_rule(group, TETHER_GROUP_ENOUGH, 1), TETHER_FAILED_PRECONDITION);
  tether_group_free(group);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(rule_is_all_until_set),
      both_ways(failing_member_is_described_in_the_cause),
      both_ways(group_of_all_succeeds_when_all_do),
      both_ways(enough_successes_end_the_rest),
      both_ways(first_success_is_enough_when_one_is),
      both_ways(failures_are_tolerated_while_enough_can_succeed),
      both_ways(failures_end_nothing_before_the_group_is_closed),
      both_ways(failure_that_leaves_too_few_ends_the_rest_while_somebody_waits),
      both_ways(failures_before_the_wait_end_the_rest_when_it_begins),
      both_ways(wait_for_a_group_that_has_failed_says_so_in_the_cause),
      both_ways(done_callback_closes_the_group_as_wait_does),
      both_ways(failures_before_the_done_callback_end_the_rest_when_it_is_set),
      both_ways(members_that_join_during_the_wait_count),
      both_ways(too_few_members_without_a_failure_end_nothing),
      behaviour(later_round_counts_what_was_before),
      both_ways(parents_end_makes_a_group_fail_that_wants_enough),
      both_ways(collecting_group_ends_nothing),
      both_ways(collecting_group_without_a_success_returns_the_first_failure),
      behaviour(collecting_from_nobody_succeeds),
      both_ways(collecting_group_keeps_what_came_before_its_deadline),
      behaviour(rule_with_a_number_that_does_not_fit_is_refused),
      behaviour(rule_may_change_until_the_first_member),
  };
  return cmocka_run_group_tests_name("group rule", tests, NULL, NULL);
}
