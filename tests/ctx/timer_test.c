/* What deadlines leave armed, seen through tether_clock_run_due's answer: exactly the timers somebody
 * waits for, and none after the end. */
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

static void be_told(const tether_ctx *ctx) {
  int fd;
  assert_code(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
}

/* The next armed deadline, without moving time. */
static int64_t next_armed(void) { return tether_clock_run_due(); }

/* run_due may answer a time before the armed deadline, never one after it, and not the past. */
static void assert_armed_for(int64_t deadline_ns) {
  int64_t next_ns = next_armed();
  assert_true(next_ns <= deadline_ns);
  assert_true(next_ns > tether_now_ns());
}

/* row 64 */
static void polled_deadline_arms_nothing(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *child = tether_ctx_with_timeout(ctx, TETHER_MS);
  (void)state;
  assert_live(child);
  assert_int_equal(next_armed(), TETHER_FOREVER);
  ctx_sim_advance(TETHER_SEC);
  assert_code(tether_ctx_err(child), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(atomic_load(&ctx_sim_get()->wakes), 0);
  tether_ctx_free(child);
  tether_ctx_free(ctx);
}

/* row 64: the later deadline of the child arms no timer of its own */
static void later_deadline_than_the_parents_arms_no_second_timer(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  tether_ctx *child = tether_ctx_with_timeout(parent, CTX_TEST_HOUR);
  (void)state;
  be_told(child);
  assert_armed_for(tether_ctx_deadline_ns(parent));
  assert_int_equal(atomic_load(&ctx_sim_get()->wakes), 1);
  ctx_sim_advance(TETHER_SEC);
  assert_expired(child, tether_cause_deadline_exceeded());
  assert_int_equal(next_armed(), TETHER_FOREVER);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 66 */
static void fired_timer_is_gone(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_timeout(parent, TETHER_SEC);
  (void)state;
  be_told(child);
  assert_armed_for(tether_ctx_deadline_ns(child));
  assert_int_equal(ctx_sim_advance(TETHER_SEC), TETHER_FOREVER);
  assert_expired(child, tether_cause_deadline_exceeded());
  assert_live_throughout(parent);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 68 */
static void cancel_removes_the_timer_at_once(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  (void)state;
  be_told(ctx);
  assert_armed_for(tether_ctx_deadline_ns(ctx));
  tether_ctx_cancel(ctx);
  assert_int_equal(next_armed(), TETHER_FOREVER);
  tether_ctx_free(ctx);
}

/* row 68 */
static void parents_cancel_removes_the_childrens_timers(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *children[50];
  (void)state;
  for (int i = 0; i < 50; i++) {
    children[i] = tether_ctx_with_timeout(parent, (i + 1) * TETHER_SEC);
    be_told(children[i]);
  }
  assert_armed_for(tether_ctx_deadline_ns(children[0]));
  tether_ctx_cancel(parent);
  assert_int_equal(next_armed(), TETHER_FOREVER);
  for (int i = 0; i < 50; i++) tether_ctx_free(children[i]);
  tether_ctx_free(parent);
}

/* row 68: go#60144, where stopped timers kept their contexts */
static void release_removes_the_timer_and_the_context(void **state) {
  size_t before = tether_ctx_live_count();
  (void)state;
  for (int i = 0; i < 1000; i++) {
    tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), (i % 50 + 1) * TETHER_SEC);
    be_told(ctx);
    tether_ctx_unref(ctx); /* not even cancelled */
  }
  assert_int_equal(tether_ctx_live_count(), before);
  assert_int_equal(next_armed(), TETHER_FOREVER);
}

struct arm_race {
  tether_ctx *parent, *child;
  struct ctx_call call;
  bool clean;
};

static void arm_race_prepare(void *data) {
  struct arm_race *r = data;
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->child = tether_ctx_with_timeout(r->parent, TETHER_SEC);
  memset(&r->call, 0, sizeof r->call);
}

static void arm_race_cancel(void *data) { tether_ctx_cancel(((struct arm_race *)data)->parent); }

static void arm_race_register(void *data) {
  struct arm_race *r = data;
  ctx_call_after(&r->call, r->child, NULL);
}

static bool arm_race_check(void *data) {
  struct arm_race *r = data;
  r->clean =
      atomic_load(&r->call.runs) == 1 && tether_ctx_err(r->child) == TETHER_CANCELLED && next_armed() == TETHER_FOREVER;
  tether_ctx_free(r->child);
  tether_ctx_free(r->parent);
  return r->clean;
}

/* row 73 */
static void parent_cancelled_while_the_child_registers_leaves_no_timer(void **state) {
  struct arm_race r = {.parent = NULL};
  struct ctx_race race = {
      .prepare = arm_race_prepare, .actors = {arm_race_cancel, arm_race_register}, .check = arm_race_check, .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

/* row 57: a thousand deadlines over many orders of magnitude, each at its time, whatever else is armed */
static void every_one_of_many_deadlines_fires_at_its_time(void **state) {
  enum { N = 1000 };
  static tether_ctx *all[N];
  static struct ctx_call calls[N];
  uint32_t seed = 4711;
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < N; i++) {
    int64_t timeout_ns = ((int64_t)ctx_random(&seed) << 8) >> (ctx_random(&seed) % 34);
    all[i] = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns + 1);
    ctx_call_after(&calls[i], all[i], NULL);
  }
  for (;;) {
    int64_t next_ns = next_armed(), now_ns = tether_now_ns();
    for (int i = 0; i < N; i++) {
      bool due = tether_ctx_deadline_ns(all[i]) <= now_ns;
      assert_int_equal(atomic_load(&calls[i].runs), due ? 1 : 0);
      if (!due) assert_true(next_ns <= tether_ctx_deadline_ns(all[i]));
    }
    if (next_ns == TETHER_FOREVER) break;
    assert_true(next_ns > now_ns);
    ctx_sim_advance(next_ns - now_ns);
  }
  for (int i = 0; i < N; i++) {
    assert_int_equal(atomic_load(&calls[i].runs), 1);
    tether_ctx_free(all[i]);
  }
}

/* row 57: one leap over all of them ends all of them, in one call */
static void one_leap_of_time_ends_everything_due(void **state) {
  enum { N = 1000 };
  static tether_ctx *all[N];
  static struct ctx_call calls[N];
  uint32_t seed = 1;
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < N; i++) {
    all[i] = tether_ctx_with_timeout(tether_ctx_background(), (int64_t)(ctx_random(&seed) % 1000000) * TETHER_MS + 1);
    ctx_call_after(&calls[i], all[i], NULL);
  }
  assert_int_equal(ctx_sim_advance(1000001 * TETHER_MS), TETHER_FOREVER);
  for (int i = 0; i < N; i++) {
    assert_int_equal(atomic_load(&calls[i].runs), 1);
    assert_code(tether_ctx_err(all[i]), TETHER_DEADLINE_EXCEEDED);
    tether_ctx_free(all[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_virtual_time(polled_deadline_arms_nothing),
      in_virtual_time(later_deadline_than_the_parents_arms_no_second_timer),
      in_virtual_time(fired_timer_is_gone),
      in_virtual_time(cancel_removes_the_timer_at_once),
      in_virtual_time(parents_cancel_removes_the_childrens_timers),
      in_virtual_time(release_removes_the_timer_and_the_context),
      in_virtual_time(parent_cancelled_while_the_child_registers_leaves_no_timer),
      in_virtual_time(every_one_of_many_deadlines_fires_at_its_time),
      in_virtual_time(one_leap_of_time_ends_everything_due),
  };
  return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
