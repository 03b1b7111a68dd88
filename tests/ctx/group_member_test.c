/* Members of groups that are not tasks: joining and leaving. How a group tells its end is in group_done_test.c. */
#include <tether/group.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

static tether_group *group_of(const tether_ctx *parent) {
  tether_group *group = NULL;
  assert_code(tether_group_new(parent, &group), TETHER_OK);
  return group;
}

static unsigned long join(tether_group *group) {
  unsigned long number = 99;
  assert_code(tether_group_join(group, &number), TETHER_OK);
  return number;
}

/* A task that lasts until the test lets it go. */
struct gate {
  struct ctx_latch released;
  tether_code result;
};

static tether_code pass_gate(const tether_ctx *ctx, void *data) {
  struct gate *gate = data;
  (void)ctx;
  return ctx_latch_wait(&gate->released) ? gate->result : TETHER_INTERNAL;
}

static tether_code count_run(const tether_ctx *ctx, void *data) {
  (void)ctx;
  atomic_fetch_add((atomic_int *)data, 1);
  return TETHER_OK;
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

/* ---- Joining and leaving --------------------------------------------------------------------- */

static void wait_waits_for_members_and_tasks(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct waiter waiter = {.group = group, .result = TETHER_UNKNOWN};
  struct gate gate = {.result = TETHER_OK};
  (void)state;
  const unsigned long first = join(group);
  assert_code(tether_group_go(group, pass_gate, &gate), TETHER_OK);
  const unsigned long third = join(group);
  assert_int_equal(first, 0);
  assert_int_equal(third, 2); /* the task is #1 */
  ctx_thread_start(&waiter.thread, wait_for_group, &waiter);
  ctx_thread_blocks(&waiter.thread);
  tether_group_leave(group, third, TETHER_OK, NULL);
  ctx_thread_blocks(&waiter.thread);
  ctx_latch_open(&gate.released);
  ctx_thread_blocks(&waiter.thread);
  assert_live(tether_group_ctx(group));
  tether_group_leave(group, first, TETHER_OK, NULL);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_OK);
  tether_group_free(group);
}

static void failing_task_ends_members_and_keeps_its_number(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct gate gate = {.result = TETHER_DATA_LOSS};
  (void)state;
  const unsigned long member = join(group);
  assert_code(tether_group_go(group, pass_gate, &gate), TETHER_OK);
  ctx_latch_open(&gate.released);
  assert_code(tether_ctx_wait(tether_group_ctx(group), CTX_TEST_BOUND_NS), TETHER_CANCELLED);
  assert_string_equal(tether_cause_text(tether_ctx_cause(tether_group_ctx(group))), "task #1 failed: DATA_LOSS");
  tether_group_leave(group, member, TETHER_CANCELLED, NULL);
  assert_code(tether_group_wait(group), TETHER_DATA_LOSS);
  tether_group_free(group);
}

static void limit_counts_tasks_only(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct gate gate = {.result = TETHER_OK};
  bool started = true;
  (void)state;
  assert_code(tether_group_set_limit(group, 0), TETHER_OK);
  unsigned long numbers[3] = {join(group), join(group), 0};
  assert_code(tether_group_set_limit(group, 1), TETHER_OK); /* members do not stand in the way */
  assert_code(tether_group_try_go(group, pass_gate, &gate, &started), TETHER_OK);
  assert_true(started);
  numbers[2] = join(group);
  assert_code(tether_group_set_limit(group, 2), TETHER_FAILED_PRECONDITION);
  for (int i = 0; i < 3; i++) tether_group_leave(group, numbers[i], TETHER_OK, NULL); /* frees no slot */
  assert_code(tether_group_try_go(group, pass_gate, &gate, &started), TETHER_OK);
  assert_false(started);
  ctx_latch_open(&gate.released);
  assert_code(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
}

static void member_may_join_and_leave_under_an_ended_context(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_group *group = group_of(parent);
  struct waiter waiter = {.group = group, .result = TETHER_UNKNOWN};
  (void)state;
  tether_ctx_cancel(parent);
  const unsigned long number = join(group);
  ctx_thread_start(&waiter.thread, wait_for_group, &waiter);
  ctx_thread_blocks(&waiter.thread);
  tether_group_leave(group, number, TETHER_ABORTED, NULL);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_ABORTED);
  tether_group_free(group);
  tether_ctx_free(parent);
}

static void leave_more_often_than_join(void *unused) {
  tether_group *group;
  unsigned long number;
  (void)unused;
  child_expect(tether_group_new(tether_ctx_background(), &group) == TETHER_OK);
  child_expect(tether_group_join(group, &number) == TETHER_OK);
  tether_group_leave(group, number, TETHER_OK, NULL);
  tether_group_leave(group, number, TETHER_OK, NULL);
}

static void leaving_more_often_than_joining_aborts(void **state) {
  (void)state;
  ctx_child_aborts(leave_more_often_than_join, NULL, "member #0 left its group without having joined");
}

struct visitor {
  tether_after after;
  tether_group *group;
  tether_code joined, went;
  atomic_int runs;
};

/* A callback of the group's context that uses the group: it would block for ever under the group's lock. */
static void visit(void *data) {
  struct visitor *v = data;
  unsigned long number = 0;
  v->joined = tether_group_join(v->group, &number);
  if (v->joined == TETHER_OK) tether_group_leave(v->group, number, TETHER_ABORTED, NULL);
  v->went = tether_group_go(v->group, count_run, &v->runs);
}

static void contexts_callbacks_may_use_the_group(void **state) {
  (void)state;
  for (int enough = 0; enough < 2; enough++) {
    struct visitor visitor = {.group = group_of(tether_ctx_background())};
    if (enough) assert_code(tether_group_set_rule(visitor.group, TETHER_GROUP_ENOUGH, 1), TETHER_OK);
    tether_ctx_after_func(tether_group_ctx(visitor.group), &visitor.after, NULL, visit, &visitor);
    tether_group_leave(visitor.group, join(visitor.group), enough ? TETHER_OK : TETHER_NOT_FOUND, NULL);
    assert_code(visitor.joined, TETHER_OK);
    assert_code(visitor.went, TETHER_OK);
    assert_code(tether_group_wait(visitor.group), enough ? TETHER_OK : TETHER_NOT_FOUND);
    assert_int_equal(atomic_load(&visitor.runs), 1);
    tether_group_free(visitor.group);
  }
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void must_not_be_called(tether_code code, void *data) {
  (void)code;
  (void)data;
  child_expect(false);
}

static void use_inherited_group(void *data) {
  tether_group *group = data;
  unsigned long number = 99;
  bool started = false;
  atomic_int runs = 0;
  child_expect(tether_group_join(group, &number) == TETHER_FAILED_PRECONDITION && number == 99);
  child_expect(tether_group_set_rule(group, TETHER_GROUP_COLLECT, 0) == TETHER_FAILED_PRECONDITION);
  child_expect(tether_group_on_done(group, must_not_be_called, NULL) == TETHER_FAILED_PRECONDITION);
  child_expect(tether_group_go(group, count_run, &runs) == TETHER_FAILED_PRECONDITION);
  child_expect(tether_group_try_go(group, count_run, &runs, &started) == TETHER_FAILED_PRECONDITION);
  for (unsigned long i = 0; i < 5; i++) tether_group_leave(group, i, TETHER_OK, NULL);
  child_expect(tether_group_wait(group) == TETHER_NOT_FOUND); /* what was known before */
  tether_group_free(group);
}

static void group_does_nothing_more_in_the_child_of_a_fork(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  (void)state;
  unsigned long numbers[2] = {join(group), join(group)};
  tether_group_leave(group, numbers[1], TETHER_NOT_FOUND, NULL);
  ctx_child_succeeds(use_inherited_group, group);
  tether_group_leave(group, numbers[0], TETHER_OK, NULL);
  assert_code(tether_group_wait(group), TETHER_NOT_FOUND);
  tether_group_free(group);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(wait_waits_for_members_and_tasks),
      behaviour(failing_task_ends_members_and_keeps_its_number),
      behaviour(limit_counts_tasks_only),
      behaviour(member_may_join_and_leave_under_an_ended_context),
      behaviour(leaving_more_often_than_joining_aborts),
      behaviour(contexts_callbacks_may_use_the_group),
      behaviour(group_does_nothing_more_in_the_child_of_a_fork),
  };
  return cmocka_run_group_tests_name("group member", tests, NULL, NULL);
}
