/* Which cause a context ends with: Go's TestCause table, each row once polled and once told. The cause
 * object itself is in cause_object_test.c. */
#include "tests/support/ctx_thread.h"

struct fixture {
  tether_cause *parent_cause, *child_cause, *slow;
  tether_ctx *parent, *child;
};

static void fixture_open(struct fixture *f, void **state) {
  f->parent_cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "parent");
  f->child_cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "child");
  f->slow = tether_cause_new(TETHER_CAUSE_DEADLINE, NULL, "too slow");
  f->parent = tether_ctx_with_cancel(tether_ctx_background());
  f->child = tether_ctx_with_cancel(f->parent);
  tell(state, f->child);
}

/* Causes go first: a context keeps its own. */
static void fixture_close(struct fixture *f) {
  tether_cause_unref(f->parent_cause);
  tether_cause_unref(f->child_cause);
  tether_cause_unref(f->slow);
  tether_ctx_free(f->child);
  tether_ctx_free(f->parent);
}

/* row 36 */
static void live_context_has_no_cause(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  assert_null(tether_ctx_cause(f.parent));
  assert_null(tether_ctx_cause(f.child));
  assert_null(tether_ctx_cause(tether_ctx_background()));
  fixture_close(&f);
}

/* row 37 */
static void plain_cancel_means_canceled(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel(f.child);
  assert_cancelled(f.child, tether_cause_canceled());
  assert_live(f.parent);
  fixture_close(&f);
}

/* row 38 */
static void cancel_cause_gives_that_very_cause(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  assert_cancelled(f.child, f.child_cause);
  fixture_close(&f);
}

/* row 39 */
static void cancel_cause_null_means_canceled(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.child, NULL);
  assert_cancelled(f.child, tether_cause_canceled());
  fixture_close(&f);
}

/* row 40 */
static void parents_cause_before_the_childs_wins(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  assert_cancelled(f.parent, f.parent_cause);
  assert_cancelled(f.child, f.parent_cause);
  fixture_close(&f);
}

/* row 41 */
static void childs_cause_before_the_parents_stays(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  assert_cancelled(f.parent, f.parent_cause);
  assert_cancelled(f.child, f.child_cause);
  fixture_close(&f);
}

/* row 42 */
static void parents_cause_before_a_plain_cancel_wins(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  tether_ctx_cancel(f.child);
  assert_cancelled(f.parent, f.parent_cause);
  assert_cancelled(f.child, f.parent_cause);
  fixture_close(&f);
}

/* row 43 */
static void plain_cancel_before_the_parents_cause_stays(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel(f.child);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  assert_cancelled(f.parent, f.parent_cause);
  assert_cancelled(f.child, tether_cause_canceled());
  fixture_close(&f);
}

/* row 44 */
static void childs_cause_after_the_parents_plain_cancel_is_dropped(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel(f.parent);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  assert_cancelled(f.parent, tether_cause_canceled());
  assert_cancelled(f.child, tether_cause_canceled());
  fixture_close(&f);
}

/* row 45 */
static void childs_cause_before_the_parents_plain_cancel_stays(void **state) {
  struct fixture f;
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  tether_ctx_cancel(f.parent);
  assert_cancelled(f.parent, tether_cause_canceled());
  assert_cancelled(f.child, f.child_cause);
  fixture_close(&f);
}

/* row 46 */
static void expired_timeout_ignores_a_later_cancel(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 0);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_expired(ctx, tether_cause_deadline_exceeded());
  tether_ctx_free(ctx);
}

/* row 47 */
static void timeout_cancelled_early_is_canceled(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_FOREVER);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx);
}

/* row 48 */
static void expired_timeout_cause_ends_with_its_cause(void **state) {
  struct fixture f;
  tether_ctx *ctx;
  fixture_open(&f, state);
  ctx = tether_ctx_with_timeout_cause(tether_ctx_background(), 0, f.slow);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_expired(ctx, f.slow);
  fixture_close(&f);
  assert_string_equal(tether_cause_text(tether_ctx_cause(ctx)), "too slow");
  tether_ctx_free(ctx);
}

/* row 49 */
static void timeout_cause_cancelled_early_does_not_use_its_cause(void **state) {
  struct fixture f;
  tether_ctx *ctx;
  fixture_open(&f, state);
  ctx = tether_ctx_with_timeout_cause(tether_ctx_background(), CTX_TEST_HOUR, f.slow);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx);
  fixture_close(&f);
}

/* row 50 */
static void expired_child_keeps_its_cause_when_the_parent_is_cancelled(void **state) {
  struct fixture f;
  tether_ctx *ctx;
  fixture_open(&f, state);
  ctx = tether_ctx_with_timeout_cause(f.parent, 0, f.slow);
  tell(state, ctx);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  assert_expired(ctx, f.slow);
  assert_cancelled(f.parent, f.parent_cause);
  tether_ctx_free(ctx);
  fixture_close(&f);
}

/* row 51 */
static void live_timeout_cause_takes_the_parents_cause(void **state) {
  struct fixture f;
  tether_ctx *ctx;
  fixture_open(&f, state);
  ctx = tether_ctx_with_timeout_cause(f.parent, CTX_TEST_HOUR, f.slow);
  tell(state, ctx);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  assert_cancelled(ctx, f.parent_cause);
  tether_ctx_free(ctx);
  fixture_close(&f);
}

/* row 52 */
static void without_cancel_has_no_cause_whatever_is_above(void **state) {
  struct fixture f;
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), 0);
  fixture_open(&f, state);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  const tether_ctx *above[] = {tether_ctx_background(), f.parent, expired};
  for (int i = 0; i < 3; i++) {
    tether_ctx *ctx = tether_ctx_without_cancel(above[i]);
    tell(state, ctx);
    assert_live(ctx);
    tether_ctx_free(ctx);
  }
  tether_ctx_free(expired);
  fixture_close(&f);
}

struct cause_race {
  tether_ctx *parent, *child;
  tether_cause *cause;
  bool told, exact;
};

static void cause_race_prepare(void *data) {
  struct cause_race *r = data;
  int fd;
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->child = tether_ctx_with_cancel(r->parent);
  r->cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "exactly this");
  r->exact = !r->told || tether_ctx_done_fd(r->child, &fd) == TETHER_OK;
}

static void cause_race_cancel(void *data) {
  struct cause_race *r = data;
  tether_ctx_cancel_cause(r->parent, r->cause);
}

static void cause_race_poll(void *data) {
  struct cause_race *r = data;
  const tether_cause *seen;
  while (!(seen = tether_ctx_cause(r->child))) continue;
  if (seen != r->cause || tether_ctx_err(r->child) != TETHER_CANCELLED) r->exact = false;
}

static void cause_race_poll_parent(void *data) {
  struct cause_race *r = data;
  const tether_cause *seen;
  while (!(seen = tether_ctx_cause(r->parent))) continue;
  if (seen != r->cause || strcmp(tether_cause_text(seen), "exactly this") != 0) r->exact = false;
}

static bool cause_race_check(void *data) {
  struct cause_race *r = data;
  tether_cause_unref(r->cause);
  tether_ctx_free(r->child);
  tether_ctx_free(r->parent);
  return r->exact;
}

/* row 53 */
static void first_cause_seen_by_another_thread_is_the_one_given(void **state) {
  struct cause_race r = {.told = told(state)};
  struct ctx_race race = {.prepare = cause_race_prepare,
                          .actors = {cause_race_cancel, cause_race_poll},
                          .check = cause_race_check,
                          .data = &r};
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
  race = (struct ctx_race){.prepare = cause_race_prepare,
                           .actors = {cause_race_cancel, cause_race_poll_parent},
                           .check = cause_race_check,
                           .data = &r};
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

/* row 54 */
static void value_context_shows_the_cause_of_the_nearest_cancelable_ancestor(void **state) {
  struct fixture f;
  tether_ctx *outer, *inner;
  fixture_open(&f, state);
  outer = tether_ctx_with_value(f.child, ctx_key_user(), "ada");
  inner = tether_ctx_with_value(outer, ctx_key_trace(), "t1");
  tell(state, inner);
  tether_ctx_cancel_cause(f.child, f.child_cause);
  tether_ctx_cancel_cause(f.parent, f.parent_cause);
  assert_cancelled(outer, f.child_cause);
  assert_cancelled(inner, f.child_cause);
  tether_ctx_free(inner);
  tether_ctx_free(outer);
  fixture_close(&f);
}

/* row 55: a cause is not wrapped in, or equal to, the standard one, even with the same code and text */
static void own_cause_is_not_canceled(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "context canceled");
  tell(state, ctx);
  assert_ptr_not_equal(cause, tether_cause_canceled());
  tether_ctx_cancel_cause(ctx, cause);
  assert_cancelled(ctx, cause);
  assert_ptr_not_equal(tether_ctx_cause(ctx), tether_cause_canceled());
  tether_cause_unref(cause);
  tether_ctx_free(ctx);
}

/* row 56 */
static void deadline_cause_is_dropped_when_the_parents_earlier_deadline_fires(void **state) {
  struct fixture f;
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_MS);
  tether_ctx *child;
  fixture_open(&f, state);
  child = tether_ctx_with_deadline_cause(parent, tether_now_ns() + CTX_TEST_HOUR, f.slow);
  tell(state, child);
  assert_code(tether_ctx_wait(child, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
  assert_expired(child, tether_cause_deadline_exceeded());
  assert_expired(parent, tether_cause_deadline_exceeded());
  tether_ctx_free(child);
  tether_ctx_free(parent);
  fixture_close(&f);
}

/* rows 38, 48: the contexts hold the cause, their maker need not, and descendants may outlive all others */
static void cause_lives_as_long_as_any_context_shows_it(void **state) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *leaf = tether_ctx_with_cancel(root);
  tether_ctx *value = tether_ctx_with_value(leaf, ctx_key_user(), "ada");
  tether_cause *cause = tether_cause_newf(TETHER_CAUSE_OTHER, "reason %d", 42);
  tell(state, leaf);
  tether_ctx_cancel_cause(root, cause);
  tether_cause_unref(cause);
  tether_ctx_free(root);
  tether_ctx_free(leaf);
  assert_string_equal(tether_cause_text(tether_ctx_cause(value)), "reason 42");
  cause = tether_cause_ref(tether_ctx_cause(value));
  tether_ctx_free(value);
  assert_string_equal(tether_cause_text(cause), "reason 42");
  tether_cause_unref(cause);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(live_context_has_no_cause),
      both_ways(plain_cancel_means_canceled),
      both_ways(cancel_cause_gives_that_very_cause),
      both_ways(cancel_cause_null_means_canceled),
      both_ways(parents_cause_before_the_childs_wins),
      both_ways(childs_cause_before_the_parents_stays),
      both_ways(parents_cause_before_a_plain_cancel_wins),
      both_ways(plain_cancel_before_the_parents_cause_stays),
      both_ways(childs_cause_after_the_parents_plain_cancel_is_dropped),
      both_ways(childs_cause_before_the_parents_plain_cancel_stays),
      both_ways(expired_timeout_ignores_a_later_cancel),
      both_ways(timeout_cancelled_early_is_canceled),
      both_ways(expired_timeout_cause_ends_with_its_cause),
      both_ways(timeout_cause_cancelled_early_does_not_use_its_cause),
      both_ways(expired_child_keeps_its_cause_when_the_parent_is_cancelled),
      both_ways(live_timeout_cause_takes_the_parents_cause),
      both_ways(without_cancel_has_no_cause_whatever_is_above),
      both_ways(first_cause_seen_by_another_thread_is_the_one_given),
      both_ways(value_context_shows_the_cause_of_the_nearest_cancelable_ancestor),
      both_ways(own_cause_is_not_canceled),
      both_ways(deadline_cause_is_dropped_when_the_parents_earlier_deadline_fires),
      both_ways(cause_lives_as_long_as_any_context_shows_it),
  };
  return cmocka_run_group_tests_name("cause", tests, NULL, NULL);
}
