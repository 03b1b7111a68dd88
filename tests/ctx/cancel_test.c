/* Cancelling one context: what ends, what does not, what can be derived afterwards. Whole trees are in
 * propagation_test.c, races in concurrency_test.c. */
#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

/* row 8 */
static void new_context_is_live(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, ctx);
  assert_live(ctx);
  assert_live_throughout(ctx);
  assert_int_equal(tether_ctx_deadline_ns(ctx), TETHER_FOREVER);
  tether_ctx_free(ctx);
}

/* row 9 */
static void context_is_done_when_cancel_returns(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx);
}

/* row 10: a value context is C's pass-through wrapper */
static void cancel_reaches_through_a_pass_through_context(void **state) {
  tether_ctx *inner = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *wrapper = tether_ctx_with_value(inner, ctx_key_user(), "ada");
  tether_ctx *child = tether_ctx_with_cancel(wrapper);
  tell(state, child);
  assert_live(wrapper);
  assert_live(child);
  tether_ctx_cancel(inner);
  assert_cancelled(wrapper, tether_cause_canceled());
  assert_cancelled(child, tether_cause_canceled());
  tether_ctx_free(child);
  tether_ctx_free(wrapper);
  tether_ctx_free(inner);
}

static void cancel_it(void *ctx) { tether_ctx_cancel(ctx); }

/* row 11 */
static void cancelling_again_changes_nothing(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_cause *first = tether_cause_new(TETHER_CAUSE_SHED, NULL, "first");
  tether_cause *second = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "second");
  struct ctx_thread other;
  tell(state, ctx);
  tether_ctx_cancel_cause(ctx, first);
  assert_cancelled(ctx, first);
  tether_ctx_cancel(ctx);
  tether_ctx_cancel_cause(ctx, second);
  ctx_thread_start(&other, cancel_it, ctx);
  ctx_thread_join(&other);
  assert_cancelled(ctx, first);
  tether_cause_unref(first);
  tether_cause_unref(second);
  assert_string_equal(tether_cause_text(tether_ctx_cause(ctx)), "first");
  tether_ctx_free(ctx);
}

/* row 11 */
static void cancelling_null_does_nothing(void **state) {
  (void)state;
  tether_ctx_cancel(NULL);
  tether_ctx_cancel_cause(NULL, NULL);
  tether_ctx_free(NULL);
  tether_ctx_unref(NULL);
}

struct work {
  const tether_ctx *ctx;
  struct ctx_latch started, released;
  tether_code err_at_end;
};

static void work_until_released(void *data) {
  struct work *work = data;
  ctx_latch_open(&work->started);
  if (!ctx_latch_wait(&work->released)) return;
  work->err_at_end = tether_ctx_err(work->ctx);
}

/* row 12 */
static void cancel_does_not_wait_for_work(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct work work = {.ctx = ctx};
  struct ctx_thread worker;
  tell(state, ctx);
  ctx_thread_start(&worker, work_until_released, &work);
  assert_true(ctx_latch_wait(&work.started));
  tether_ctx_cancel(ctx); /* would never return if it waited: only the next line lets the work end */
  ctx_latch_open(&work.released);
  ctx_thread_join(&worker);
  assert_code(work.err_at_end, TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

/* row 16 */
static void child_of_background_ends_alone(void **state) {
  tether_ctx *child = tether_ctx_with_cancel(tether_ctx_background());
  tell(state, child);
  tether_ctx_cancel(child);
  assert_cancelled(child, tether_cause_canceled());
  assert_live(tether_ctx_background());
  tether_ctx_free(child);
}

/* row 16 */
static void cancelled_child_leaves_its_parent_live(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_cancel(parent);
  tell(state, child);
  tether_ctx_cancel(child);
  assert_cancelled(child, tether_cause_canceled());
  assert_live_throughout(parent);
  tether_ctx_free(child);
  assert_live_throughout(parent);
  tether_ctx_free(parent);
}

/* row 19 */
static void value_context_of_a_cancelled_parent_is_done(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child;
  tell(state, parent);
  tether_ctx_cancel(parent);
  child = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  assert_cancelled(child, tether_cause_canceled());
  assert_string_equal(tether_ctx_value(child, ctx_key_user()), "ada");
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* row 20 */
static void child_of_a_cancelled_parent_is_born_done(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "closing");
  tether_ctx *child;
  tell(state, parent);
  tether_ctx_cancel_cause(parent, cause);
  child = tether_ctx_with_cancel(parent);
  assert_cancelled(child, cause);
  tether_cause_unref(cause);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

/* ---- Row 22: a NULL parent aborts with a message ------------------------------------------------ */

static void keep(tether_ctx *ctx) { dprintf(STDERR_FILENO, "derived %p from NULL\n", (void *)ctx); }

static void derive_from_null(void *data) {
  const tether_ctx *null = NULL;
  switch (*(int *)data) {
    case 0:
      keep(tether_ctx_with_cancel(null));
      break;
    case 1:
      keep(tether_ctx_with_deadline(null, TETHER_FOREVER));
      break;
    case 2:
      keep(tether_ctx_with_deadline_cause(null, TETHER_FOREVER, NULL));
      break;
    case 3:
      keep(tether_ctx_with_timeout(null, TETHER_SEC));
      break;
    case 4:
      keep(tether_ctx_with_timeout_cause(null, TETHER_SEC, NULL));
      break;
    case 5:
      keep(tether_ctx_with_value(null, ctx_key_user(), "ada"));
      break;
    case 6:
      keep(tether_ctx_without_cancel(null));
      break;
    case 7:
      keep(tether_ctx_merge(null, tether_ctx_background()));
      break;
    case 8:
      keep(tether_ctx_merge(tether_ctx_background(), null));
      break;
  }
}

/* rows 22, 92 */
static void deriving_from_null_aborts_with_a_message(void **state) {
  (void)state;
  for (int i = 0; i <= 8; i++) ctx_child_aborts(derive_from_null, &i, "cannot create context from NULL parent");
}

/* row 26 */
static void done_fd_is_the_same_at_every_call(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  int first = -2, again = -2;
  (void)state;
  assert_code(tether_ctx_done_fd(ctx, &first), TETHER_OK);
  assert_code(tether_ctx_done_fd(ctx, &again), TETHER_OK);
  assert_true(first >= 0);
  assert_int_equal(again, first);
  tether_ctx_cancel(ctx);
  assert_code(tether_ctx_done_fd(ctx, &again), TETHER_OK);
  assert_int_equal(again, first);
  tether_ctx_free(ctx);
}

/* row 27: asked for only after the end, done_fd is readable from the start */
static void contexts_ended_before_anyone_asked_are_readable_at_once(void **state) {
  tether_ctx *a = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *b = tether_ctx_with_cancel(tether_ctx_background());
  int fds[2] = {-2, -2}, again = -2;
  (void)state;
  tether_ctx_cancel(a);
  tether_ctx_cancel(b);
  assert_code(tether_ctx_done_fd(a, &fds[0]), TETHER_OK);
  assert_code(tether_ctx_done_fd(b, &fds[1]), TETHER_OK);
  assert_true(ctx_fd_readable(fds[0]) && ctx_fd_readable(fds[1]));
  tether_ctx_free(a);
  assert_code(tether_ctx_done_fd(b, &again), TETHER_OK);
  assert_int_equal(again, fds[1]);
  assert_true(ctx_fd_readable(fds[1]));
  tether_ctx_free(b);
}

/* row 28 */
static void value_context_has_its_parents_done_fd(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *value = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  int of_value = -2, of_parent = -3;
  (void)state;
  assert_code(tether_ctx_done_fd(value, &of_value), TETHER_OK);
  assert_code(tether_ctx_done_fd(parent, &of_parent), TETHER_OK);
  assert_int_equal(of_value, of_parent);
  tether_ctx_free(value);
  tether_ctx_free(parent);
}

/* row 28: a value context is its maker's to cancel only where it stands for its parent */
static void freeing_a_value_context_leaves_its_parent_live(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *value = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  tell(state, value);
  tether_ctx_free(value);
  assert_live_throughout(parent);
  tether_ctx_free(parent);
}

/* row 9: free is the "defer cancel()": those who still hold a reference see the end */
static void free_cancels_for_whoever_still_holds_the_context(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  const tether_ctx *held = tether_ctx_ref(ctx);
  tell(state, child);
  assert_ptr_equal(held, ctx);
  tether_ctx_free(ctx);
  assert_cancelled(held, tether_cause_canceled());
  assert_cancelled(child, tether_cause_canceled());
  tether_ctx_unref(held);
  tether_ctx_free(child);
}

static tether_code scoped(const tether_ctx **seen) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  *seen = tether_ctx_ref(ctx);
  return tether_ctx_err(ctx);
}

/* row 9 */
static void scoped_context_is_cancelled_at_the_end_of_its_scope(void **state) {
  const tether_ctx *seen;
  (void)state;
  assert_code(scoped(&seen), TETHER_OK);
  assert_cancelled(seen, tether_cause_canceled());
  tether_ctx_unref(seen);
}

/* row 16: unref alone releases without ending the others */
static void unref_of_a_live_context_ends_nothing(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_cancel(parent);
  tell(state, child);
  tether_ctx_unref(parent); /* the child still holds it */
  assert_live_throughout(child);
  tether_ctx_free(child);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(new_context_is_live),
      both_ways(context_is_done_when_cancel_returns),
      both_ways(cancel_reaches_through_a_pass_through_context),
      both_ways(cancelling_again_changes_nothing),
      behaviour(cancelling_null_does_nothing),
      both_ways(cancel_does_not_wait_for_work),
      both_ways(child_of_background_ends_alone),
      both_ways(cancelled_child_leaves_its_parent_live),
      both_ways(value_context_of_a_cancelled_parent_is_done),
      both_ways(child_of_a_cancelled_parent_is_born_done),
      behaviour(deriving_from_null_aborts_with_a_message),
      behaviour(done_fd_is_the_same_at_every_call),
      behaviour(contexts_ended_before_anyone_asked_are_readable_at_once),
      behaviour(value_context_has_its_parents_done_fd),
      both_ways(freeing_a_value_context_leaves_its_parent_live),
      both_ways(free_cancels_for_whoever_still_holds_the_context),
      behaviour(scoped_context_is_cancelled_at_the_end_of_its_scope),
      both_ways(unref_of_a_live_context_ends_nothing),
  };
  return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}
