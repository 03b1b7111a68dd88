/* without_cancel: the values of its source, none of its ends. Row 92's NULL parent is in cancel_test.c. */
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

/* row 89 */
static void without_cancel_keeps_values_and_nothing_else(void **state) {
  tether_ctx *source = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  tether_ctx *value = tether_ctx_with_value(source, ctx_key_user(), "ada");
  tether_ctx *ctx = tether_ctx_without_cancel(value);
  int fd = -2;
  (void)state;
  assert_int_equal(tether_ctx_deadline_ns(ctx), TETHER_FOREVER);
  assert_int_equal(tether_ctx_remaining_ns(ctx), TETHER_FOREVER);
  assert_int_equal(tether_ctx_poll_timeout_ms(ctx), -1);
  assert_code(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
  assert_int_equal(fd, -1);
  assert_live(ctx);
  assert_code(tether_ctx_wait(ctx, 0), TETHER_OK);
  assert_string_equal(tether_ctx_value(ctx, ctx_key_user()), "ada");
  tether_ctx_free(ctx);
  tether_ctx_free(value);
  tether_ctx_free(source);
}

/* row 90 */
static void end_of_the_source_does_not_reach_it(void **state) {
  for (int when = 0; when < 2; when++) {
    tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
    tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), TETHER_SEC);
    tether_ctx *under[2];
    tell(state, cancelled);
    tell(state, expired);
    for (int after = 0; after < 2; after++) {
      if (after == when) {
        under[0] = tether_ctx_without_cancel(cancelled);
        under[1] = tether_ctx_without_cancel(expired);
      }
      if (after == 0) {
        tether_ctx_cancel(cancelled);
        ctx_sim_advance(TETHER_SEC);
        assert_expired(expired, NULL);
      }
    }
    for (int i = 0; i < 2; i++) {
      tether_ctx *child = tether_ctx_with_cancel(under[i]);
      tell(state, child);
      assert_live(under[i]);
      assert_live_throughout(child);
      tether_ctx_free(child);
      tether_ctx_free(under[i]);
    }
    tether_ctx_free(cancelled);
    tether_ctx_free(expired);
  }
}

/* row 91 */
static void only_their_own_triggers_end_contexts_under_it(void **state) {
  tether_ctx *source = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx *without = tether_ctx_without_cancel(source);
  tether_ctx *cancel = tether_ctx_with_cancel(without);
  tether_ctx *timer = tether_ctx_with_timeout(without, TETHER_SEC);
  tell(state, cancel);
  tell(state, timer);
  tell(state, source);
  assert_int_equal(tether_ctx_deadline_ns(cancel), TETHER_FOREVER);
  assert_int_equal(tether_ctx_remaining_ns(timer), TETHER_SEC);
  ctx_sim_advance(TETHER_MS);
  assert_expired(source, NULL);
  assert_live_throughout(timer);
  tether_ctx_cancel(cancel);
  assert_cancelled(cancel, tether_cause_canceled());
  ctx_sim_advance(TETHER_SEC);
  assert_expired(timer, tether_cause_deadline_exceeded());
  assert_live(without);
  tether_ctx_free(timer);
  tether_ctx_free(cancel);
  tether_ctx_free(without);
  tether_ctx_free(source);
}

/* row 90: it has no end of its own either */
static void without_cancel_cannot_be_cancelled(void **state) {
  tether_ctx *source = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *without = tether_ctx_without_cancel(source);
  const tether_ctx *held = tether_ctx_ref(without);
  (void)state;
  tether_ctx_cancel(without);
  assert_live(without);
  tether_ctx_free(without);
  assert_live(held);
  assert_live_throughout(source);
  tether_ctx_unref(held);
  tether_ctx_free(source);
}

/* row 92 */
static void without_cancel_prints_as_a_suffix(void **state) {
  tether_ctx *ctx = tether_ctx_without_cancel(tether_ctx_background());
  char text[64];
  (void)state;
  tether_ctx_text(ctx, text, sizeof text);
  assert_string_equal(text, "background.without_cancel");
  tether_ctx_free(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(without_cancel_keeps_values_and_nothing_else),
      both_ways_in_virtual_time(end_of_the_source_does_not_reach_it),
      both_ways_in_virtual_time(only_their_own_triggers_end_contexts_under_it),
      behaviour(without_cancel_cannot_be_cancelled),
      behaviour(without_cancel_prints_as_a_suffix),
  };
  return cmocka_run_group_tests_name("without_cancel", tests, NULL, NULL);
}
