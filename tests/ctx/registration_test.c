/* Who is registered with whom. These tests look inside the context: a forgotten registration is a leak
 * that nothing outside shows until it has grown. */
#include "tests/support/ctx_registrations.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

static void be_told(const tether_ctx *ctx) {
  int fd;
  assert_code(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
}

/* rows 14, 103: value contexts are not registered, what is under them hangs on the next one above */
static void parent_knows_its_cancelable_children_and_callbacks_only(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *cancel_child = tether_ctx_with_cancel(parent);
  tether_ctx *value_child = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  tether_ctx *timer_child = tether_ctx_with_timeout(value_child, CTX_TEST_HOUR);
  struct ctx_call call = {.runs = 0};
  (void)state;
  be_told(cancel_child);
  be_told(value_child);
  be_told(timer_child);
  ctx_call_after(&call, parent, NULL);
  assert_int_equal(ctx_registrations(parent), 3);
  tether_ctx_cancel(parent);
  assert_int_equal(ctx_registrations(parent), 0); /* row 15 */
  tether_ctx_free(timer_child);
  tether_ctx_free(value_child);
  tether_ctx_free(cancel_child);
  tether_ctx_free(parent);
}

/* row 15 */
static void cancelled_parent_knows_nobody(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *before = tether_ctx_with_cancel(parent), *after;
  (void)state;
  be_told(before);
  assert_int_equal(ctx_registrations(parent), 1);
  tether_ctx_cancel(parent);
  after = tether_ctx_with_cancel(parent);
  be_told(after);
  assert_int_equal(ctx_registrations(parent), 0);
  tether_ctx_free(before);
  tether_ctx_free(after);
  tether_ctx_free(parent);
}

/* rows 17, 103 */
static void ended_child_is_forgotten_at_once(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *cancel_child = tether_ctx_with_cancel(parent);
  tether_ctx *timer_child = tether_ctx_with_timeout(parent, CTX_TEST_HOUR);
  struct ctx_call call = {.runs = 0};
  (void)state;
  be_told(cancel_child);
  assert_int_equal(ctx_registrations(parent), 1);
  tether_ctx_cancel(cancel_child);
  assert_int_equal(ctx_registrations(parent), 0);
  be_told(timer_child);
  assert_int_equal(ctx_registrations(parent), 1);
  tether_ctx_cancel(timer_child);
  assert_int_equal(ctx_registrations(parent), 0);
  ctx_call_after(&call, parent, NULL);
  assert_int_equal(ctx_registrations(parent), 1);
  assert_true(tether_after_stop(&call.after));
  assert_int_equal(ctx_registrations(parent), 0);
  tether_ctx_free(cancel_child);
  tether_ctx_free(timer_child);
  tether_ctx_free(parent);
}

/* row 17: conr2d/eo#10, a child released without cancel */
static void released_child_is_forgotten_at_once(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  for (int i = 0; i < 100; i++) {
    tether_ctx *children[3];
    for (int n = 0; n < 3; n++) {
      children[n] = tether_ctx_with_cancel(parent);
      be_told(children[n]);
    }
    assert_int_equal(ctx_registrations(parent), 3);
    for (int n = 0; n < 3; n++) tether_ctx_unref(children[(n + i) % 3]);
    assert_int_equal(ctx_registrations(parent), 0);
  }
  tether_ctx_free(parent);
}

/* rows 66, 77 */
static void expired_child_is_forgotten(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_timeout(parent, TETHER_SEC);
  (void)state;
  be_told(child);
  assert_int_equal(ctx_registrations(parent), 1);
  ctx_sim_advance(TETHER_SEC);
  assert_expired(child, NULL);
  assert_int_equal(ctx_registrations(parent), 0);
  assert_live(parent);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 18 */
static void child_of_a_root_is_registered_nowhere(void **state) {
  const tether_ctx *roots[] = {tether_ctx_background(), tether_ctx_todo()};
  (void)state;
  for (int i = 0; i < 2; i++) {
    tether_ctx *child = tether_ctx_with_cancel(roots[i]);
    be_told(child);
    assert_int_equal(ctx_registrations(roots[i]), 0);
    tether_ctx_cancel(child);
    tether_ctx_free(child);
  }
}

static bool has_own_timer(const tether_ctx *ctx) { return (ctx->flags & TTH_OWN_DEADLINE) != 0; }

/* rows 64, 65: later than the parent's means none of its own; equal still means its own, as in Go */
static void deadline_not_after_the_parents_is_the_childs_own(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
  const int64_t deadline_ns = tether_ctx_deadline_ns(parent);
  (void)state;
  assert_true(has_own_timer(parent));
  for (int64_t later_ns = -1; later_ns <= 1; later_ns++) {
    tether_ctx *child = tether_ctx_with_deadline(parent, deadline_ns + later_ns);
    assert_int_equal(has_own_timer(child), later_ns <= 0);
    tether_ctx_free(child);
  }
  tether_ctx_free(parent);
}

/* row 91 */
static void nothing_is_registered_above_without_cancel(void **state) {
  tether_ctx *source = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *without = tether_ctx_without_cancel(source);
  tether_ctx *child = tether_ctx_with_cancel(without);
  (void)state;
  be_told(child);
  be_told(without);
  assert_int_equal(ctx_registrations(source), 0);
  tether_ctx_free(child);
  tether_ctx_free(without);
  tether_ctx_free(source);
}

/* row 18: and no context at all before somebody has to be told (rule 6) */
static void context_that_is_only_polled_is_registered_nowhere(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_timeout(parent, CTX_TEST_HOUR);
  tether_ctx *leaf = tether_ctx_with_cancel(child);
  (void)state;
  assert_live(leaf);
  assert_true(tether_ctx_remaining_ns(leaf) > 0);
  assert_false(ctx_is_registered(leaf));
  assert_false(ctx_is_registered(child));
  assert_false(ctx_is_registered(parent));
  be_told(child);
  assert_false(ctx_is_registered(leaf));
  assert_true(ctx_is_registered(child));
  assert_true(ctx_is_registered(parent));
  tether_ctx_free(leaf);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(parent_knows_its_cancelable_children_and_callbacks_only),
      behaviour(cancelled_parent_knows_nobody),
      behaviour(ended_child_is_forgotten_at_once),
      behaviour(released_child_is_forgotten_at_once),
      in_virtual_time(expired_child_is_forgotten),
      behaviour(child_of_a_root_is_registered_nowhere),
      behaviour(deadline_not_after_the_parents_is_the_childs_own),
      behaviour(nothing_is_registered_above_without_cancel),
      behaviour(context_that_is_only_polled_is_registered_nowhere),
  };
  return cmocka_run_group_tests_name("registration", tests, NULL, NULL);
}
