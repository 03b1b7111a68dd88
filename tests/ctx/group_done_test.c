/* Groups that tell their end to a function instead of a waiter (on_done), and what else may happen while a member
 * leaves: cancelled threads, forks. */
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

/* What on_done calls; what it does besides is for each test to say. */
struct ending {
  tether_group *group;
  bool frees, waits;
  struct ctx_latch *holds; /* it does not return before this is open */
  struct ctx_latch begun;
  atomic_int calls;
  atomic_int tid;
  tether_code code, err, waited;
  const tether_cause *cause;
  bool held;
};

static void note_ending(tether_code code, void *data) {
  struct ending *e = data;
  e->code = code;
  e->err = tether_ctx_err(tether_group_ctx(e->group));
  e->cause = tether_ctx_cause(tether_group_ctx(e->group));
  atomic_store(&e->tid, ctx_tid());
  if (e->waits) e->waited = tether_group_wait(e->group);
  if (e->frees) tether_group_free(e->group);
  ctx_latch_open(&e->begun);
  if (e->holds != NULL) e->held = ctx_latch_wait(e->holds);
  atomic_fetch_add(&e->calls, 1);
}

struct waiter {
  struct ctx_thread thread;
  tether_group *group;
  struct ending *ending;
  tether_code result;
  int calls; /* of the ending, when it returned */
};

static void wait_for_group(void *data) {
  struct waiter *w = data;
  w->result = tether_group_wait(w->group);
  if (w->ending != NULL) w->calls = atomic_load(&w->ending->calls);
}

static void free_group(void *data) {
  struct waiter *w = data;
  tether_group_free(w->group);
  w->calls = atomic_load(&w->ending->calls);
}

/* ---- on_done --------------------------------------------------------------------------------- */

static void on_done_of_an_empty_group_calls_at_once(void **state) {
  struct ending ending = {.group = group_of(tether_ctx_background())};
  tell(state, tether_group_ctx(ending.group));
  assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
  assert_int_equal(atomic_load(&ending.calls), 1);
  assert_int_equal(atomic_load(&ending.tid), ctx_tid());
  assert_code(ending.code, TETHER_OK);
  assert_code(ending.err, TETHER_CANCELLED);
  assert_ptr_equal(ending.cause, tether_cause_canceled());
  tether_group_free(ending.group);
  assert_int_equal(atomic_load(&ending.calls), 1);
}

static void on_done_calls_on_the_thread_of_the_last_member(void **state) {
  struct ending ending = {.group = group_of(tether_ctx_background())};
  struct gate gate = {.result = TETHER_NOT_FOUND};
  (void)state;
  const unsigned long number = join(ending.group);
  assert_code(tether_group_go(ending.group, pass_gate, &gate), TETHER_OK);
  assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
  tether_group_leave(ending.group, number, TETHER_OK, NULL);
  assert_live(tether_group_ctx(ending.group));
  assert_int_equal(atomic_load(&ending.calls), 0);
  ctx_latch_open(&gate.released);
  assert_true(ctx_count_wait(&ending.calls, 1));
  assert_int_not_equal(atomic_load(&ending.tid), ctx_tid());
  assert_code(ending.code, TETHER_NOT_FOUND);
  assert_code(ending.err, TETHER_CANCELLED);
  assert_int_equal(tether_cause_get_code(ending.cause), TETHER_CAUSE_SIBLING);
  tether_group_free(ending.group);
}

static void group_may_be_freed_from_inside_on_done(void **state) {
  (void)state;
  for (int members = 0; members < 3; members++) {
    struct ending ending = {.group = group_of(tether_ctx_background()), .frees = true, .waits = members == 1};
    struct gate gate = {.result = TETHER_OK};
    unsigned long number = 0;
    if (members == 1) number = join(ending.group);
    if (members == 2) assert_code(tether_group_go(ending.group, pass_gate, &gate), TETHER_OK);
    assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
    if (members == 1) tether_group_leave(ending.group, number, TETHER_ABORTED, NULL);
    ctx_latch_open(&gate.released);
    assert_true(ctx_count_wait(&ending.calls, 1));
    assert_code(ending.code, members == 1 ? TETHER_ABORTED : TETHER_OK);
    if (members == 1) assert_code(ending.waited, TETHER_ABORTED); /* from inside: at once */
  }
}

static void others_that_wait_or_free_wait_for_on_done(void **state) {
  (void)state;
  for (int frees = 0; frees < 2; frees++) {
    struct ctx_latch hold = {false};
    struct ending ending = {.group = group_of(tether_ctx_background()), .holds = &hold};
    struct waiter waiter = {.group = ending.group, .ending = &ending};
    struct gate gate = {.result = TETHER_OK};
    assert_code(tether_group_go(ending.group, pass_gate, &gate), TETHER_OK);
    assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
    ctx_latch_open(&gate.released);
    assert_true(ctx_latch_wait(&ending.begun));
    ctx_thread_start(&waiter.thread, frees ? free_group : wait_for_group, &waiter);
    ctx_thread_blocks(&waiter.thread);
    ctx_latch_open(&hold);
    ctx_thread_join(&waiter.thread);
    assert_true(ending.held);
    assert_int_equal(waiter.calls, 1);
    if (!frees) tether_group_free(ending.group);
  }
}

/* As a remote call does: it leaves when the group's context ends, on the thread that ended it. */
struct caller {
  tether_after after;
  tether_group *group;
  unsigned long number;
};

static void leave_cancelled(void *data) {
  struct caller *c = data;
  tether_group_leave(c->group, c->number, TETHER_CANCELLED, "call");
}

static void on_done_that_ends_the_context_is_told_by_those_it_ended(void **state) {
  struct ending ending = {.group = group_of(tether_ctx_background()), .frees = true};
  struct caller callers[2];
  (void)state;
  assert_code(tether_group_set_rule(ending.group, TETHER_GROUP_ENOUGH, 3), TETHER_OK);
  const unsigned long number = join(ending.group);
  for (int i = 0; i < 2; i++) {
    callers[i] = (struct caller){.group = ending.group, .number = join(ending.group)};
    tether_ctx_after_func(tether_group_ctx(ending.group), &callers[i].after, NULL, leave_cancelled, &callers[i]);
  }
  tether_group_leave(ending.group, number, TETHER_NOT_FOUND, NULL);
  assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
  assert_int_equal(atomic_load(&ending.calls), 1);
  assert_code(ending.code, TETHER_NOT_FOUND);
}

static void after_on_done_nobody_joins(void **state) {
  struct ending ending = {.group = group_of(tether_ctx_background())}, other = {.group = ending.group};
  unsigned long number = 99;
  bool started = false;
  atomic_int runs = 0;
  (void)state;
  const unsigned long member = join(ending.group);
  assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
  for (int left = 0; left < 2; left++) {
    assert_code(tether_group_join(ending.group, &number), TETHER_FAILED_PRECONDITION);
    assert_code(tether_group_go(ending.group, count_run, &runs), TETHER_FAILED_PRECONDITION);
    assert_code(tether_group_try_go(ending.group, count_run, &runs, &started), TETHER_FAILED_PRECONDITION);
    assert_code(tether_group_on_done(ending.group, note_ending, &other), TETHER_FAILED_PRECONDITION);
    if (left == 0) tether_group_leave(ending.group, member, TETHER_OK, NULL);
  }
  assert_int_equal(number, 99);
  assert_false(started);
  tether_group_free(ending.group);
  assert_int_equal(atomic_load(&ending.calls), 1);
  assert_int_equal(atomic_load(&other.calls), 0);
  assert_int_equal(atomic_load(&runs), 0);
}

struct goer {
  struct ctx_thread thread;
  tether_group *group;
  atomic_int runs;
  tether_code result;
};

static void go_once(void *data) {
  struct goer *g = data;
  g->result = tether_group_go(g->group, count_run, &g->runs);
}

static void on_done_refuses_a_blocked_go(void **state) {
  struct ending ending = {.group = group_of(tether_ctx_background())};
  struct goer goer = {.group = ending.group, .result = TETHER_UNKNOWN};
  (void)state;
  assert_code(tether_group_set_limit(ending.group, 0), TETHER_OK);
  const unsigned long number = join(ending.group);
  ctx_thread_start(&goer.thread, go_once, &goer);
  ctx_thread_blocks(&goer.thread);
  assert_code(tether_group_on_done(ending.group, note_ending, &ending), TETHER_OK);
  ctx_thread_join(&goer.thread);
  assert_code(goer.result, TETHER_FAILED_PRECONDITION);
  tether_group_leave(ending.group, number, TETHER_OK, NULL);
  tether_group_free(ending.group);
  assert_int_equal(atomic_load(&ending.calls), 1);
  assert_int_equal(atomic_load(&goer.runs), 0);
}

/* ---- pthread_cancel -------------------------------------------------------------------------- */

static void reach_cancellation_point(void *data) {
  pthread_testcancel();
  atomic_fetch_add((atomic_int *)data, 1);
}

static void reach_cancellation_point_when_done(tether_code code, void *data) {
  (void)code;
  reach_cancellation_point(data);
}

static void *leave_with_a_cancel_pending(void *data) {
  tether_group *group = data;
  pthread_cancel(pthread_self()); /* strikes at the next cancellation point */
  tether_group_leave(group, 0, TETHER_ABORTED, NULL);
  pthread_testcancel();
  return NULL; /* not reached */
}

static void pthread_cancel_does_not_strike_a_member_that_leaves(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  tether_after after;
  atomic_int calls = 0;
  pthread_t thread;
  void *how = NULL;
  (void)state;
  assert_int_equal(join(group), 0);
  tether_ctx_after_func(tether_group_ctx(group), &after, NULL, reach_cancellation_point, &calls);
  assert_code(tether_group_on_done(group, reach_cancellation_point_when_done, &calls), TETHER_OK);
  assert_int_equal(pthread_create(&thread, NULL, leave_with_a_cancel_pending, group), 0);
  assert_int_equal(pthread_join(thread, &how), 0);
  assert_ptr_equal(how, PTHREAD_CANCELED); /* but only after it */
  assert_int_equal(atomic_load(&calls), 2);
  tether_group_free(group);
}

/* ---- fork ------------------------------------------------------------------------------------ */

struct forker {
  tether_after after;
  pid_t child;
  atomic_int runs;
};

static void fork_here(void *data) {
  struct forker *f = data;
  atomic_fetch_add(&f->runs, 1);
  f->child = fork();
}

static void fork_when_done(tether_code code, void *data) {
  (void)code;
  fork_here(data);
}

/* Parent and child come back from the same call; in the child it must not touch what other threads had. */
static bool child_came_back_well(const struct forker *f) {
  int status = -1;
  while (waitpid(f->child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Of the context's, as a member leaves, or as wait returns; and on_done's. */
static void callbacks_may_fork(void **state) {
  enum { LEAVING, WAITING, DELIVERING, PLACES };
  (void)state;
  for (int place = 0; place < PLACES; place++) {
    tether_group *group = group_of(tether_ctx_background());
    struct forker forker = {.child = -1};
    const tether_code failure = place == LEAVING ? TETHER_NOT_FOUND : TETHER_OK;
    tether_code told = TETHER_OK, waited = failure;
    unsigned long numbers[2] = {join(group), join(group)};
    if (place == DELIVERING)
      told = tether_group_on_done(group, fork_when_done, &forker);
    else
      tether_ctx_after_func(tether_group_ctx(group), &forker.after, NULL, fork_here, &forker);
    tether_group_leave(group, numbers[0], failure, NULL); /* may come back twice, as may the following */
    if (place != LEAVING) tether_group_leave(group, numbers[1], TETHER_OK, NULL);
    if (place == WAITING) waited = tether_group_wait(group);
    if (forker.child == 0) {
      alarm((unsigned)(CTX_TEST_BOUND_NS / TETHER_SEC));
      child_expect(tether_group_wait(group) == failure);
      tether_group_free(group);
      _exit(0);
    }
    assert_true(forker.child > 0);
    assert_true(child_came_back_well(&forker));
    assert_code(told, TETHER_OK);
    assert_code(waited, failure);
    if (place == LEAVING) tether_group_leave(group, numbers[1], TETHER_OK, NULL);
    assert_code(tether_group_wait(group), failure);
    assert_int_equal(atomic_load(&forker.runs), 1);
    tether_group_free(group);
  }
}

static void count_done(tether_code code, void *data) {
  (void)code;
  atomic_fetch_add((atomic_int *)data, 1);
}

static void on_done_calls_in_the_parent_of_a_fork_only(void **state) {
  tether_group *group = group_of(tether_ctx_background());
  struct forker forker = {.child = -1};
  atomic_int done = 0;
  (void)state;
  const unsigned long number = join(group);
  tether_ctx_after_func(tether_group_ctx(group), &forker.after, NULL, fork_here, &forker);
  assert_code(tether_group_on_done(group, count_done, &done), TETHER_OK);
  tether_group_leave(group, number, TETHER_NOT_FOUND, NULL);
  if (forker.child == 0) {
    alarm((unsigned)(CTX_TEST_BOUND_NS / TETHER_SEC));
    tether_group_free(group);
    child_expect(atomic_load(&done) == 0);
    _exit(0);
  }
  assert_true(forker.child > 0);
  assert_true(child_came_back_well(&forker));
  assert_int_equal(atomic_load(&done), 1);
  tether_group_free(group);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(on_done_of_an_empty_group_calls_at_once),
      behaviour(on_done_calls_on_the_thread_of_the_last_member),
      behaviour(group_may_be_freed_from_inside_on_done),
      behaviour(others_that_wait_or_free_wait_for_on_done),
      behaviour(on_done_that_ends_the_context_is_told_by_those_it_ended),
      behaviour(after_on_done_nobody_joins),
      behaviour(on_done_refuses_a_blocked_go),
      behaviour(pthread_cancel_does_not_strike_a_member_that_leaves),
      behaviour(callbacks_may_fork),
      behaviour(on_done_calls_in_the_parent_of_a_fork_only),
  };
  return cmocka_run_group_tests_name("group done", tests, NULL, NULL);
}
