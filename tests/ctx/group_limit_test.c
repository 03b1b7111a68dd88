/* Limits of groups: never more than that many at once, and what blocks when. */
#include <tether/group.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

static tether_group *group_with_limit(int limit) {
  tether_group *group = NULL;
  assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  assert_code(tether_group_set_limit(group, limit), TETHER_OK);
  return group;
}

static tether_code count_run(const tether_ctx *ctx, void *data) {
  (void)ctx;
  atomic_fetch_add((atomic_int *)data, 1);
  return TETHER_OK;
}

struct gate {
  struct ctx_latch released;
  atomic_int runs;
};

static tether_code pass_gate(const tether_ctx *ctx, void *data) {
  struct gate *gate = data;
  (void)ctx;
  atomic_fetch_add(&gate->runs, 1);
  return ctx_latch_wait(&gate->released) ? TETHER_OK : TETHER_INTERNAL;
}

struct meter {
  atomic_int now, most, runs;
};

static tether_code measure(const tether_ctx *ctx, void *data) {
  struct meter *m = data;
  int now = atomic_fetch_add(&m->now, 1) + 1, most = atomic_load(&m->most);
  (void)ctx;
  while (now > most && !atomic_compare_exchange_weak(&m->most, &most, now)) continue;
  sched_yield();
  atomic_fetch_sub(&m->now, 1);
  atomic_fetch_add(&m->runs, 1);
  return TETHER_OK;
}

/* row E12 */
static void never_more_tasks_at_once_than_the_limit(void **state) {
  tether_group *group = group_with_limit(10);
  struct meter m = {.now = 0};
  (void)state;
  for (int i = 0; i < 1025; i++) assert_code(tether_group_go(group, measure, &m), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&m.runs), 1025);
  assert_true(atomic_load(&m.most) <= 10);
  tether_group_free(group);
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

/* rows E3, E12: returns at once unless the limit blocks it */
static void go_blocks_at_the_limit_until_a_task_ends(void **state) {
  tether_group *group = group_with_limit(2);
  struct gate gates[2] = {{.runs = 0}, {.runs = 0}};
  struct goer goer = {.group = group, .result = TETHER_UNKNOWN};
  (void)state;
  for (int i = 0; i < 2; i++) assert_code(tether_group_go(group, pass_gate, &gates[i]), TETHER_OK);
  ctx_thread_start(&goer.thread, go_once, &goer);
  ctx_thread_blocks(&goer.thread);
  assert_int_equal(atomic_load(&goer.runs), 0);
  ctx_latch_open(&gates[1].released);
  ctx_thread_join(&goer.thread);
  assert_code(goer.result, TETHER_OK);
  ctx_latch_open(&gates[0].released);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&goer.runs), 1);
  tether_group_free(group);
}

/* row E11 */
static void blocked_go_does_not_watch_the_context(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_group *group = NULL;
  struct gate gate = {.runs = 0};
  (void)state;
  assert_code(tether_group_new(parent, &group), TETHER_OK);
  assert_code(tether_group_set_limit(group, 1), TETHER_OK);
  struct goer goer = {.group = group, .result = TETHER_UNKNOWN};
  assert_code(tether_group_go(group, pass_gate, &gate), TETHER_OK);
  ctx_thread_start(&goer.thread, go_once, &goer);
  ctx_thread_blocks(&goer.thread);
  tether_ctx_cancel(parent);
  ctx_thread_blocks(&goer.thread);
  assert_int_equal(atomic_load(&goer.runs), 0);
  ctx_latch_open(&gate.released);
  ctx_thread_join(&goer.thread);
  assert_code(goer.result, TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&goer.runs), 1);
  tether_group_free(group);
  tether_ctx_free(parent);
}

/* rows E13, E17 */
static void without_a_limit_try_go_always_starts(void **state) {
  tether_group *group = group_with_limit(-7);
  struct gate gate = {.runs = 0};
  (void)state;
  for (int i = 0; i < 50; i++) {
    bool started = false;
    assert_code(tether_group_try_go(group, pass_gate, &gate, &started), TETHER_OK);
    assert_true(started);
  }
  assert_true(ctx_count_wait(&gate.runs, 50));
  ctx_latch_open(&gate.released);
  assert_code(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
}

/* row E14 */
static void with_limit_zero_try_go_never_starts(void **state) {
  tether_group *group = group_with_limit(0);
  atomic_int runs = 0;
  (void)state;
  for (int i = 0; i < 1024; i++) {
    bool started = true;
    assert_code(tether_group_try_go(group, count_run, &runs, &started), TETHER_OK);
    assert_false(started);
  }
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&runs), 0);
  tether_group_free(group);
}

static void *go_for_ever(void *group) {
  atomic_int runs = 0;
  tether_code code = tether_group_go(group, count_run, &runs);
  dprintf(STDERR_FILENO, "go returned %s\n", tether_code_name(code));
  _exit(1);
}

static void block_at_limit_zero(void *unused) {
  tether_group *group;
  pthread_t thread;
  (void)unused;
  child_expect(tether_group_new(tether_ctx_background(), &group) == TETHER_OK);
  child_expect(tether_group_set_limit(group, 0) == TETHER_OK);
  child_expect(pthread_create(&thread, NULL, go_for_ever, group) == 0);
  child_expect(ctx_wait_all_blocked(1));
}

/* row E14: in a child, which ends with the thread blocked */
static void with_limit_zero_go_blocks(void **state) {
  (void)state;
  ctx_child_succeeds(block_at_limit_zero, NULL);
}

/* row E15: what panics in Go is refused here; also when the limit before was none, which Go overlooks */
static void limit_cannot_change_while_tasks_run(void **state) {
  const int limits[] = {3, -1};
  (void)state;
  for (int i = 0; i < 2; i++) {
    tether_group *group = group_with_limit(limits[i]);
    struct gate gate = {.runs = 0};
    bool started = false;
    assert_code(tether_group_go(group, pass_gate, &gate), TETHER_OK);
    assert_true(ctx_count_wait(&gate.runs, 1));
    assert_code(tether_group_set_limit(group, 0), TETHER_FAILED_PRECONDITION);
    assert_code(tether_group_set_limit(group, -1), TETHER_FAILED_PRECONDITION);
    assert_code(tether_group_try_go(group, pass_gate, &gate, &started), TETHER_OK); /* the old one holds */
    assert_true(started);
    ctx_latch_open(&gate.released);
    assert_code(tether_group_wait(group), TETHER_OK);
    tether_group_free(group);
  }
}

/* row E16 */
static void limit_may_change_after_wait(void **state) {
  tether_group *group = group_with_limit(1);
  atomic_int runs = 0;
  bool started = true;
  (void)state;
  assert_code(tether_group_go(group, count_run, &runs), TETHER_OK);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_code(tether_group_set_limit(group, 0), TETHER_OK);
  assert_code(tether_group_try_go(group, count_run, &runs, &started), TETHER_OK);
  assert_false(started);
  assert_code(tether_group_set_limit(group, -1), TETHER_OK);
  assert_code(tether_group_try_go(group, count_run, &runs, &started), TETHER_OK);
  assert_true(started);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&runs), 2);
  tether_group_free(group);
}

/* row E17 */
static void try_go_starts_up_to_the_limit_and_never_blocks(void **state) {
  tether_group *group = group_with_limit(3);
  struct gate gate = {.runs = 0};
  (void)state;
  for (int i = 0; i < 6; i++) {
    bool started = i >= 3;
    assert_code(tether_group_try_go(group, pass_gate, &gate, &started), TETHER_OK);
    assert_int_equal(started, i < 3);
  }
  ctx_latch_open(&gate.released);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&gate.runs), 3);
  tether_group_free(group);
}

/* row E18: when wait returns, every slot is free again */
static void slots_are_free_when_wait_returns(void **state) {
  tether_group *group = group_with_limit(1);
  atomic_int runs = 0;
  (void)state;
  for (int i = 0; i < 2000; i++) {
    bool started = false;
    assert_code(tether_group_try_go(group, count_run, &runs, &started), TETHER_OK);
    assert_true(started);
    assert_code(tether_group_wait(group), TETHER_OK);
    assert_int_equal(atomic_load(&runs), i + 1);
  }
  tether_group_free(group);
}

struct inside {
  tether_group *group;
  atomic_int runs;
  bool started;
  tether_code code;
};

static tether_code try_go_inside(const tether_ctx *ctx, void *data) {
  struct inside *in = data;
  (void)ctx;
  in->started = true;
  in->code = tether_group_try_go(in->group, count_run, &in->runs, &in->started);
  return TETHER_OK;
}

/* row E19: at the limit a task that starts another finds no slot, for it has the last one itself */
static void try_go_inside_a_task_at_the_limit_starts_nothing(void **state) {
  struct inside in = {.group = group_with_limit(1)};
  (void)state;
  assert_code(tether_group_go(in.group, try_go_inside, &in), TETHER_OK);
  assert_code(tether_group_wait(in.group), TETHER_OK);
  assert_code(in.code, TETHER_OK);
  assert_false(in.started);
  tether_group_free(in.group);
}

static tether_code go_inside(const tether_ctx *ctx, void *data) {
  struct inside *in = data;
  (void)ctx;
  in->code = tether_group_go(in->group, count_run, &in->runs);
  dprintf(STDERR_FILENO, "go returned %s\n", tether_code_name(in->code));
  _exit(1);
}

static void deadlock_at_the_limit(void *unused) {
  struct inside in = {.group = NULL};
  (void)unused;
  child_expect(tether_group_new(tether_ctx_background(), &in.group) == TETHER_OK);
  child_expect(tether_group_set_limit(in.group, 1) == TETHER_OK);
  child_expect(tether_group_go(in.group, go_inside, &in) == TETHER_OK);
  child_expect(ctx_wait_all_blocked(1));
}

/* row E19: go there waits for itself; in a child, which ends with the thread blocked */
static void go_inside_a_task_at_the_limit_blocks(void **state) {
  (void)state;
  ctx_child_succeeds(deadlock_at_the_limit, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(never_more_tasks_at_once_than_the_limit),
      behaviour(go_blocks_at_the_limit_until_a_task_ends),
      behaviour(blocked_go_does_not_watch_the_context),
      behaviour(without_a_limit_try_go_always_starts),
      behaviour(with_limit_zero_try_go_never_starts),
      behaviour(with_limit_zero_go_blocks),
      behaviour(limit_cannot_change_while_tasks_run),
      behaviour(limit_may_change_after_wait),
      behaviour(try_go_starts_up_to_the_limit_and_never_blocks),
      behaviour(slots_are_free_when_wait_returns),
      behaviour(try_go_inside_a_task_at_the_limit_starts_nothing),
      behaviour(go_inside_a_task_at_the_limit_blocks),
  };
  return cmocka_run_group_tests_name("group limit", tests, NULL, NULL);
}
