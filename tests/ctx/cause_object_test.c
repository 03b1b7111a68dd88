/* The cause as an object: small, typed, immutable, shared by reference. */
#include <stdio.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

/* NULL is "none" to every reader */
static void null_reads_as_none(void **state) {
  (void)state;
  assert_int_equal(tether_cause_get_code(NULL), TETHER_CAUSE_NONE);
  assert_string_equal(tether_cause_origin(NULL), "");
  assert_string_equal(tether_cause_text(NULL), "");
  assert_null(tether_cause_ref(NULL));
  tether_cause_unref(NULL);
}

static void cause_keeps_copies_of_what_it_was_made_of(void **state) {
  char origin[] = "search/7", text[] = "index is gone";
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_PEER_LOST, origin, text);
  (void)state;
  origin[0] = text[0] = 'X';
  assert_int_equal(tether_cause_get_code(cause), TETHER_CAUSE_PEER_LOST);
  assert_string_equal(tether_cause_origin(cause), "search/7");
  assert_string_equal(tether_cause_text(cause), "index is gone");
  tether_cause_unref(cause);
}

static void missing_origin_is_this_process_and_missing_text_is_empty(void **state) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, NULL);
  (void)state;
  assert_string_equal(tether_cause_origin(cause), tether_origin());
  assert_string_equal(tether_cause_text(cause), "");
  tether_cause_unref(cause);
}

static void formatted_cause_has_its_text_and_this_process_as_origin(void **state) {
  tether_cause *cause = tether_cause_newf(TETHER_CAUSE_SIBLING, "task #%d failed: %s", 3, "ABORTED");
  (void)state;
  assert_int_equal(tether_cause_get_code(cause), TETHER_CAUSE_SIBLING);
  assert_string_equal(tether_cause_origin(cause), tether_origin());
  assert_string_equal(tether_cause_text(cause), "task #3 failed: ABORTED");
  tether_cause_unref(cause);
}

static void fill(char *s, size_t length, char c) {
  memset(s, c, length);
  s[length] = '\0';
}

static void long_origins_and_texts_are_cut(void **state) {
  static char origin[300], text[2000];
  (void)state;
  for (int over = -1; over <= 1; over++) {
    size_t origin_length = (size_t)(255 + over), text_length = (size_t)(1023 + over);
    tether_cause *plain, *formatted;
    fill(origin, origin_length, 'o');
    fill(text, text_length, 't');
    plain = tether_cause_new(TETHER_CAUSE_OTHER, origin, text);
    formatted = tether_cause_newf(TETHER_CAUSE_OTHER, "%s", text);
    assert_int_equal(strlen(tether_cause_origin(plain)), origin_length < 255 ? origin_length : 255);
    assert_int_equal(strlen(tether_cause_text(plain)), text_length < 1023 ? text_length : 1023);
    assert_string_equal(tether_cause_text(formatted), tether_cause_text(plain));
    assert_memory_equal(tether_cause_text(plain), text, strlen(tether_cause_text(plain)));
    tether_cause_unref(plain);
    tether_cause_unref(formatted);
  }
}

/* a reference taken on any thread keeps the cause */
static void shared_cause_lives_until_the_last_unref(void **state) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "shared");
  tether_cause *refs[100];
  (void)state;
  for (int i = 0; i < 100; i++) {
    refs[i] = tether_cause_ref(cause);
    assert_ptr_equal(refs[i], cause);
  }
  tether_cause_unref(cause);
  for (int i = 0; i < 100; i++) {
    assert_string_equal(tether_cause_text(refs[i]), "shared");
    tether_cause_unref(refs[i]);
  }
}

/* row 128 */
static void standard_causes_survive_any_unref(void **state) {
  tether_cause *cause = tether_cause_ref(tether_cause_canceled());
  (void)state;
  assert_ptr_equal(cause, tether_cause_canceled());
  for (int i = 0; i < 5; i++) tether_cause_unref(cause);
  cause = tether_cause_ref(tether_cause_deadline_exceeded());
  assert_ptr_equal(cause, tether_cause_deadline_exceeded());
  for (int i = 0; i < 5; i++) tether_cause_unref(cause);
  assert_string_equal(tether_cause_text(tether_cause_canceled()), "context canceled");
  assert_string_equal(tether_cause_text(tether_cause_deadline_exceeded()), "context deadline exceeded");
}

static void every_cause_code_has_a_lower_case_name(void **state) {
  const char *const names[] = {"none",      "caller",   "deadline", "sibling", "hedge_lost",
                               "peer_lost", "shutdown", "shed",     "other",   "enough"};
  (void)state;
  for (int i = 0; i < 10; i++) assert_string_equal(tether_cause_code_name((tether_cause_code)i), names[i]);
  assert_string_equal(tether_cause_code_name((tether_cause_code)10), "other");
  assert_string_equal(tether_cause_code_name((tether_cause_code)-1), "other");
  assert_string_equal(tether_cause_code_name((tether_cause_code)12345), "other");
}

static void set_origin(void *unused) {
  char name[] = "edge-1", shown[64], longer[100];
  tether_cause *before = tether_cause_new(TETHER_CAUSE_OTHER, NULL, NULL), *after;
  (void)unused;
  tether_origin_set(name);
  name[0] = 'X';
  child_expect(strcmp(tether_origin(), "edge-1") == 0);
  after = tether_cause_new(TETHER_CAUSE_OTHER, NULL, NULL);
  child_expect(strcmp(tether_cause_origin(after), "edge-1") == 0);
  child_expect(strcmp(tether_cause_origin(before), "edge-1") != 0);
  fill(longer, 99, 'n');
  fill(shown, 63, 'n');
  tether_origin_set(longer);
  child_expect(strcmp(tether_origin(), shown) == 0);
  tether_cause_unref(before);
  tether_cause_unref(after);
}

/* in a child, for an origin cannot be unset */
static void origin_is_what_the_program_set_cut_at_63_bytes(void **state) {
  (void)state;
  ctx_child_succeeds(set_origin, NULL);
}

static void origin_is_program_and_pid_until_set(void **state) {
  char expected[128];
  (void)state;
  snprintf(expected, sizeof expected, "%s/%d", program_invocation_short_name, (int)getpid());
  assert_string_equal(tether_origin(), expected);
}

static void origin_in_child(void *unused) {
  char expected[128];
  (void)unused;
  snprintf(expected, sizeof expected, "%s/%d", program_invocation_short_name, (int)getpid());
  child_expect(strcmp(tether_origin(), expected) == 0);
}

/* a child is another process, also when its parent had already asked */
static void origin_of_a_forked_child_has_the_childs_pid(void **state) {
  (void)state;
  assert_non_null(tether_origin());
  ctx_child_succeeds(origin_in_child, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(null_reads_as_none),
      behaviour(cause_keeps_copies_of_what_it_was_made_of),
      behaviour(missing_origin_is_this_process_and_missing_text_is_empty),
      behaviour(formatted_cause_has_its_text_and_this_process_as_origin),
      behaviour(long_origins_and_texts_are_cut),
      behaviour(shared_cause_lives_until_the_last_unref),
      behaviour(standard_causes_survive_any_unref),
      behaviour(every_cause_code_has_a_lower_case_name),
      behaviour(origin_is_what_the_program_set_cut_at_63_bytes),
      behaviour(origin_is_program_and_pid_until_set),
      behaviour(origin_of_a_forked_child_has_the_childs_pid),
  };
  return cmocka_run_group_tests_name("cause object", tests, NULL, NULL);
}
