/* Groups, after Go's errgroup: failing together, waiting together. Limits are in group_limit_test.c. */
#include <tether/group.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

static tether_code return_code(const tether_ctx *ctx, void *data) {
  (void)ctx;
  return *(const tether_code *)data;
}

static tether_code count_run(const tether_ctx *ctx, void *data) {
  (void)ctx;
  atomic_fetch_add((atomic_int *)data, 1);
  return TETHER_OK;
}

static tether_group *group_of(const tether_ctx *parent) {
  tether_group *group = NULL;
  assert_code(tether_group_new(parent, &group), TETHER_OK);
  assert_non_null(group);
  return group;
}

/* A task that says it has begun and lasts until the test lets it go. */
struct gate {
  struct ctx_latch begun, released;
  tether_code result;
  const tether_ctx *ctx;
};

static tether_code pass_gate(const tether_ctx *ctx, void *data) {
  struct gate *gate = data;
  gate->ctx = ctx;
  ctx_latch_open(&gate->begun);
  if (!ctx_latch_wait(&gate->released)) return TETHER_INTERNAL;
  return gate->result;
}

struct group_waiter {
  struct ctx_thread thread;
  tether_group *group;
  tether_code result;
};

static void wait_for_group(void *data) {
  struct group_waiter *w = data;
  w->result = tether_group_wait(w->group);
}

/* rows E1, E4 */
static void empty_group_waits_for_nothing(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  (void)state;
  assert_code(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
  tether_group_free(NULL);
}

/* rows E1, E3: no limit: a hundred tasks that all wait for each other are all started */
static void tasks_run_concurrently(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  static struct gate gates[100];
  (void)state;
  memset(gates, 0, sizeof gates);
  for (int i = 0; i < 100; i++) assert_code(tether_group_go(group, pass_gate, &gates[i]), TETHER_OK);
  for (int i = 0; i < 100; i++) assert_true(ctx_latch_wait(&gates[i].begun));
  for (int i = 0; i < 100; i++) ctx_latch_open(&gates[i].released);
  assert_code(tether_group_wait(group), TETHER_OK);
  for (int i = 0; i < 100; i++) assert_ptr_equal(gates[i].ctx, tether_group_ctx(group));
  tether_group_free(group);
}

/* row E2: the context is derived: it has the parent's values and deadline, and ends with it */
static void groups_context_is_derived_from_its_parent(void **state) {
  tether_ctx *timer = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  tether_ctx *parent = tether_ctx_with_value(timer, ctx_key_user(), "ada");
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "closing");
  tether_group *group = group_of(parent);
  const tether_ctx *ctx = tether_group_ctx(group);
  tell(state, ctx);
  assert_live(ctx);
  assert_string_equal(tether_ctx_value(ctx, ctx_key_user()), "ada");
  assert_int_equal(tether_ctx_deadline_ns(ctx), tether_ctx_deadline_ns(timer));
  tether_ctx_cancel_cause(timer, cause);
  assert_cancelled(ctx, cause);
  tether_cause_unref(cause);
  assert_code(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
  tether_ctx_free(parent);
  tether_ctx_free(timer);
}

static void group_of_null(void *unused) {
  tether_group *group;
  (void)unused;
  child_expect(tether_group_new(NULL, &group) == TETHER_OK);
}

/* row E2 */
static void group_of_null_aborts(void **state) {
  (void)state;
  ctx_child_aborts(group_of_null, NULL, "cannot create context from NULL parent");
}

/* row E4: wait is for every task, and its result is the first failure in time */
static void wait_returns_the_first_failure_after_every_task(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct gate gates[3] = {{.result = TETHER_ABORTED}, {.result = TETHER_NOT_FOUND}, {.result = TETHER_OK}};
  struct group_waiter waiter = {.group = group, .result = TETHER_UNKNOWN};
  (void)state;
  for (int i = 0; i < 3; i++) assert_code(tether_group_go(group, pass_gate, &gates[i]), TETHER_OK);
  ctx_thread_start(&waiter.thread, wait_for_group, &waiter);
  ctx_latch_open(&gates[1].released);
  assert_code(tether_ctx_wait(tether_group_ctx(group), TETHER_FOREVER), TETHER_CANCELLED);
  ctx_thread_blocks(&waiter.thread); /* two tasks are still out */
  ctx_latch_open(&gates[0].released);
  ctx_thread_blocks(&waiter.thread);
  ctx_latch_open(&gates[2].released);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_NOT_FOUND);
  tether_group_free(group);
}

/* row E5 */
static void first_failure_ends_the_context_with_its_task_in_the_cause(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct gate waiting = {.result = TETHER_OK};
  tether_code failure = TETHER_NOT_FOUND, later = TETHER_ABORTED;
  int index = -1, end = 0;
  tell(state, tether_group_ctx(group));
  assert_code(tether_group_go(group, pass_gate, &waiting), TETHER_OK);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_go(group, return_code, &failure), TETHER_OK);
  assert_code(tether_ctx_wait(tether_group_ctx(group), TETHER_FOREVER), TETHER_CANCELLED);
  const tether_cause *cause = tether_ctx_cause(tether_group_ctx(group));
  assert_int_equal(tether_cause_get_code(cause), TETHER_CAUSE_SIBLING);
  assert_string_equal(tether_cause_origin(cause), tether_origin());
  assert_int_equal(sscanf(tether_cause_text(cause), "task #%d failed: NOT_FOUND%n", &index, &end), 1);
  assert_int_equal(index, 1); /* counted from 0 */
  assert_int_equal(strlen(tether_cause_text(cause)), end);
  assert_code(tether_group_go(group, return_code, &later), TETHER_OK);
  ctx_latch_open(&waiting.released);
  assert_code(tether_group_wait(group), TETHER_NOT_FOUND);
  assert_cancelled(tether_group_ctx(group), cause);
  tether_group_free(group);
}

/* row E6 */
static void wait_always_ends_the_context(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  tether_code ok = TETHER_OK;
  tell(state, tether_group_ctx(group));
  assert_code(tether_group_go(group, return_code, &ok), TETHER_OK);
  assert_live(tether_group_ctx(group));
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  tether_group_free(group);
}

/* row E7 */
static void failure_is_sticky(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  tether_code failure = TETHER_DATA_LOSS, ok = TETHER_OK, other = TETHER_ABORTED;
  (void)state;
  assert_code(tether_group_go(group, return_code, &failure), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_DATA_LOSS);
  assert_code(tether_group_go(group, return_code, &ok), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_DATA_LOSS);
  assert_code(tether_group_go(group, return_code, &other), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_DATA_LOSS);
  tether_group_free(group);
}

static tether_code note_err(const tether_ctx *ctx, void *data) {
  *(tether_code *)data = tether_ctx_err(ctx);
  return TETHER_OK;
}

/* row E8: a group used again works, but under a context that is over, and so is what is derived from it */
static void group_used_again_runs_under_an_ended_context(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  tether_code seen = TETHER_UNKNOWN;
  (void)state;
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_code(tether_group_go(group, note_err, &seen), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_code(seen, TETHER_CANCELLED);
  tether_ctx *derived = tether_ctx_with_cancel(tether_group_ctx(group));
  assert_cancelled(derived, tether_cause_canceled());
  tether_ctx_free(derived);
  tether_group_free(group);
}

/* row E9 */
static void after_the_parents_end_wait_still_waits_for_the_tasks(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_group *group = group_of(parent);
  struct gate gate = {.result = TETHER_OK};
  struct group_waiter waiter = {.group = group, .result = TETHER_UNKNOWN};
  (void)state;
  assert_code(tether_group_go(group, pass_gate, &gate), TETHER_OK);
  tether_ctx_cancel(parent);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  ctx_thread_start(&waiter.thread, wait_for_group, &waiter);
  ctx_thread_blocks(&waiter.thread);
  ctx_latch_open(&gate.released);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_OK); /* only what the tasks returned */
  tether_group_free(group);
  tether_ctx_free(parent);
}

/* row E10 */
static void go_after_a_failure_still_starts_the_task(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  tether_code failure = TETHER_ABORTED, seen = TETHER_UNKNOWN;
  bool started = false;
  atomic_int runs = 0;
  (void)state;
  assert_code(tether_group_go(group, return_code, &failure), TETHER_OK);
  assert_code(tether_ctx_wait(tether_group_ctx(group), TETHER_FOREVER), TETHER_CANCELLED);
  assert_code(tether_group_go(group, note_err, &seen), TETHER_OK);
  assert_code(tether_group_try_go(group, count_run, &runs, &started), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_ABORTED);
  assert_true(started);
  assert_int_equal(atomic_load(&runs), 1);
  assert_code(seen, TETHER_CANCELLED);
  tether_group_free(group);
}

struct starter {
  tether_group *group;
  atomic_int runs;
  atomic_int left;
  tether_code failed;
};

static tether_code start_two_more(const tether_ctx *ctx, void *data) {
  struct starter *s = data;
  (void)ctx;
  atomic_fetch_add(&s->runs, 1);
  for (int i = 0; i < 2; i++) {
    if (atomic_fetch_sub(&s->left, 1) <= 0) continue;
    tether_code code = tether_group_go(s->group, start_two_more, s);
    if (code != TETHER_OK) return code;
  }
  return TETHER_OK;
}

/* row E20: a task may start more, for it counts itself meanwhile */
static void wait_waits_for_tasks_started_by_tasks(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    struct starter s = {.group = group_of(tether_ctx_background()), .left = 100};
    assert_code(tether_group_go(s.group, start_two_more, &s), TETHER_OK);
    assert_code(tether_group_wait(s.group), TETHER_OK);
    assert_int_equal(atomic_load(&s.runs), 101);
    tether_group_free(s.group);
  }
}

static tether_code abort_task(const tether_ctx *ctx, void *data) {
  (void)ctx;
  (void)data;
  dprintf(STDERR_FILENO, "the task's own message\n");
  abort();
}

static void run_aborting_task(void *unused) {
  tether_group *group;
  (void)unused;
  child_expect(tether_group_new(tether_ctx_background(), &group) == TETHER_OK);
  child_expect(tether_group_go(group, abort_task, NULL) == TETHER_OK);
  child_expect(tether_group_wait(group) == TETHER_OK); /* not reached */
}

/* row E21 */
static void task_that_aborts_aborts_the_process(void **state) {
  (void)state;
  ctx_child_aborts(run_aborting_task, NULL, "the task's own message");
}

/* ---- Row E22: threads that end by other ways than returning ------------------------------------------ */

static tether_code exit_thread(const tether_ctx *ctx, void *data) {
  (void)ctx;
  (void)data;
  pthread_exit(NULL);
}

/* row E22 */
static void task_that_exits_its_thread_counts_as_finished_well(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  (void)state;
  assert_code(tether_group_set_limit(group, 2), TETHER_OK);
  for (int i = 0; i < 20; i++) assert_code(tether_group_go(group, exit_thread, NULL), TETHER_OK); /* slots freed */
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_cancelled(tether_group_ctx(group), tether_cause_canceled());
  tether_group_free(group);
}

struct cancellable {
  pthread_t thread;
  struct ctx_latch begun;
  int fd;
};

static tether_code block_in_read(const tether_ctx *ctx, void *data) {
  struct cancellable *c = data;
  char byte;
  (void)ctx;
  c->thread = pthread_self();
  ctx_latch_open(&c->begun);
  while (read(c->fd, &byte, 1) != 1) continue; /* a cancellation point */
  return TETHER_INTERNAL;
}

/* row E22 */
static void task_cancelled_by_pthread_cancel_counts_as_finished_well(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct cancellable c = {.fd = -1};
  int fds[2];
  (void)state;
  assert_int_equal(pipe(fds), 0);
  c.fd = fds[0];
  assert_code(tether_group_set_limit(group, 1), TETHER_OK);
  assert_code(tether_group_go(group, block_in_read, &c), TETHER_OK);
  assert_true(ctx_latch_wait(&c.begun));
  assert_int_equal(pthread_cancel(c.thread), 0);
  assert_code(tether_group_wait(group), TETHER_OK);
  close(fds[0]);
  close(fds[1]);
  tether_group_free(group);
}

static tether_code fail_with_a_cancel_pending(const tether_ctx *ctx, void *data) {
  (void)ctx;
  (void)data;
  pthread_cancel(pthread_self()); /* strikes at the next cancellation point, which is not in here */
  return TETHER_ABORTED;
}

static void cancellation_point(void *data) {
  atomic_fetch_add((atomic_int *)data, 1);
  pthread_testcancel();
}

/* row E22: a cancel that strikes while the group ends its context must not lose the slot or the failure */
static void pending_pthread_cancel_does_not_lose_the_task(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct group_waiter waiter = {.group = group, .result = TETHER_UNKNOWN};
  tether_after after;
  atomic_int calls = 0;
  (void)state;
  tether_ctx_after_func(tether_group_ctx(group), &after, NULL, cancellation_point, &calls);
  assert_code(tether_group_go(group, fail_with_a_cancel_pending, NULL), TETHER_OK);
  ctx_thread_start(&waiter.thread, wait_for_group, &waiter);
  ctx_thread_join(&waiter.thread); /* bounded: a lost task would be waited for for ever */
  assert_code(waiter.result, TETHER_ABORTED);
  assert_int_equal(atomic_load(&calls), 1);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_group_ctx(group))), TETHER_CAUSE_SIBLING);
  tether_group_free(group);
}

/* row E4: free waits as well */
static void free_waits_for_the_tasks(void **state) {
  atomic_int runs = 0;
  (void)state;
  for (int round = 0; round < 200; round++) {
    tether_group *group = group_of(tether_ctx_background());
    for (int i = 0; i < 4; i++) assert_code(tether_group_go(group, count_run, &runs), TETHER_OK);
    tether_group_free(group);
    assert_int_equal(atomic_load(&runs), 4 * (round + 1));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(empty_group_waits_for_nothing),
      behaviour(tasks_run_concurrently),
      both_ways(groups_context_is_derived_from_its_parent),
      behaviour(group_of_null_aborts),
      behaviour(wait_returns_the_first_failure_after_every_task),
      both_ways(first_failure_ends_the_context_with_its_task_in_the_cause),
      both_ways(wait_always_ends_the_context),
      behaviour(failure_is_sticky),
      behaviour(group_used_again_runs_under_an_ended_context),
      behaviour(after_the_parents_end_wait_still_waits_for_the_tasks),
      behaviour(go_after_a_failure_still_starts_the_task),
      behaviour(wait_waits_for_tasks_started_by_tasks),
      behaviour(task_that_aborts_aborts_the_process),
      behaviour(task_that_exits_its_thread_counts_as_finished_well),
      behaviour(task_cancelled_by_pthread_cancel_counts_as_finished_well),
      behaviour(pending_pthread_cancel_does_not_lose_the_task),
      behaviour(free_waits_for_the_tasks),
  };
  return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
