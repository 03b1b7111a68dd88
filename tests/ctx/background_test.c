/* The roots: never done, no deadline, no values. Row 7 (no allocation) is in alloc_count_test.c. */
#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

static const tether_ctx *root(int i) { return i == 0 ? tether_ctx_background() : tether_ctx_todo(); }

/* row 1 */
static void roots_exist(void **state) {
  (void)state;
  assert_non_null(tether_ctx_background());
  assert_non_null(tether_ctx_todo());
}

/* row 2: never ready, whichever way one waits */
static void roots_are_never_done(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    int fd = -2;
    int64_t start_ns = tether_now_ns();
    assert_code(tether_ctx_err(root(i)), TETHER_OK);
    assert_code(tether_ctx_wait(root(i), 0), TETHER_OK);
    assert_code(tether_ctx_wait(root(i), 2 * TETHER_MS), TETHER_OK);
    assert_true(tether_now_ns() - start_ns >= 2 * TETHER_MS);
    assert_code(tether_ctx_done_fd(root(i), &fd), TETHER_OK);
    assert_int_equal(fd, -1);
  }
}

static void *wait_for_ever(void *ctx) {
  tether_code code = tether_ctx_wait(ctx, TETHER_FOREVER);
  dprintf(STDERR_FILENO, "the wait returned %s\n", tether_code_name(code));
  _exit(1);
}

/* In a child, whose end takes the waiter with it. The main thread looks until the waiter sleeps. */
static void block_on_roots(void *unused) {
  (void)unused;
  for (int i = 0; i < 2; i++) {
    struct ctx_thread waiter = {.fn = NULL};
    child_expect(pthread_create(&waiter.thread, NULL, wait_for_ever, (void *)(uintptr_t)root(i)) == 0);
  }
  child_expect(ctx_wait_all_blocked(2));
}

/* row 2 */
static void waiting_for_a_root_without_bound_blocks(void **state) {
  (void)state;
  ctx_child_succeeds(block_on_roots, NULL);
}

/* row 3 */
static void roots_print_as_background_and_todo(void **state) {
  char text[32];
  (void)state;
  assert_int_equal(tether_ctx_text(tether_ctx_background(), text, sizeof text), strlen("background"));
  assert_string_equal(text, "background");
  assert_int_equal(tether_ctx_text(tether_ctx_todo(), text, sizeof text), strlen("todo"));
  assert_string_equal(text, "todo");
}

/* row 4 */
static void roots_have_neither_err_nor_cause(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) assert_live(root(i));
}

static bool count_value(void *data, const tether_key *key, const void *value) {
  (void)key;
  (void)value;
  ++*(int *)data;
  return true;
}

/* row 5 */
static void roots_have_neither_deadline_nor_values(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    int values = 0;
    assert_int_equal(tether_ctx_deadline_ns(root(i)), TETHER_FOREVER);
    assert_int_equal(tether_ctx_remaining_ns(root(i)), TETHER_FOREVER);
    assert_int_equal(tether_ctx_poll_timeout_ms(root(i)), -1);
    assert_null(tether_ctx_value(root(i), ctx_key_user()));
    tether_ctx_values(root(i), count_value, &values);
    assert_int_equal(values, 0);
  }
}

/* row 6 */
static void background_is_one_object_and_not_todo(void **state) {
  (void)state;
  assert_ptr_equal(tether_ctx_background(), tether_ctx_background());
  assert_ptr_equal(tether_ctx_todo(), tether_ctx_todo());
  assert_ptr_not_equal(tether_ctx_background(), tether_ctx_todo());
}

/* row 7: nothing is made, so nothing is counted */
static void roots_are_not_counted_as_live_contexts(void **state) {
  (void)state;
  assert_int_equal(tether_ctx_live_count(), 0);
  assert_live(tether_ctx_background());
  assert_int_equal(tether_ctx_live_count(), 0);
}

/* row 2: neither does ending or releasing one do anything */
static void roots_cannot_be_ended_or_released(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    tether_ctx *mutable = (tether_ctx *)(uintptr_t)root(i);
    assert_ptr_equal(tether_ctx_ref(root(i)), root(i));
    for (int n = 0; n < 3; n++) tether_ctx_unref(root(i));
    tether_ctx_cancel(mutable);
    tether_ctx_free(mutable);
    assert_live(root(i));
    assert_code(tether_ctx_wait(root(i), 0), TETHER_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(roots_exist),
      behaviour(roots_are_never_done),
      behaviour(waiting_for_a_root_without_bound_blocks),
      behaviour(roots_print_as_background_and_todo),
      behaviour(roots_have_neither_err_nor_cause),
      behaviour(roots_have_neither_deadline_nor_values),
      behaviour(background_is_one_object_and_not_todo),
      behaviour(roots_are_not_counted_as_live_contexts),
      behaviour(roots_cannot_be_ended_or_released),
  };
  return cmocka_run_group_tests_name("background", tests, NULL, NULL);
}
