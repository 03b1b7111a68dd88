/* Codes, the two standard causes, and saturating time: what the other tests take for granted. */
#include "tests/support/ctx_test.h"

/* row 128 */
static void standard_causes_have_gos_texts(void **state) {
  (void)state;
  assert_string_equal(tether_cause_text(tether_cause_canceled()), "context canceled");
  assert_string_equal(tether_cause_text(tether_cause_deadline_exceeded()), "context deadline exceeded");
}

/* row 128 */
static void standard_causes_are_single_objects(void **state) {
  tether_ctx *ends[4];
  (void)state;
  assert_ptr_equal(tether_cause_canceled(), tether_cause_canceled());
  assert_ptr_equal(tether_cause_deadline_exceeded(), tether_cause_deadline_exceeded());
  assert_ptr_not_equal(tether_cause_canceled(), tether_cause_deadline_exceeded());
  for (int i = 0; i < 4; i++) {
    ends[i] =
        i < 2 ? tether_ctx_with_cancel(tether_ctx_background()) : tether_ctx_with_timeout(tether_ctx_background(), 0);
    tether_ctx_cancel(ends[i]);
  }
  assert_ptr_equal(tether_ctx_cause(ends[0]), tether_ctx_cause(ends[1]));
  assert_ptr_equal(tether_ctx_cause(ends[2]), tether_ctx_cause(ends[3]));
  for (int i = 0; i < 4; i++) tether_ctx_free(ends[i]);
}

/* row 129: Go asks err.Timeout(); here the code tells */
static void only_the_deadlines_cause_is_a_timeout(void **state) {
  (void)state;
  assert_int_equal(tether_cause_get_code(tether_cause_deadline_exceeded()), TETHER_CAUSE_DEADLINE);
  assert_int_equal(tether_cause_get_code(tether_cause_canceled()), TETHER_CAUSE_CALLER);
}

/* row 130: net.Error's place is taken by gRPC's codes, which tell a timeout from a cancel by number */
static void errs_have_grpcs_codes(void **state) {
  tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), 0);
  (void)state;
  tether_ctx_cancel(cancelled);
  assert_int_equal(tether_ctx_err(cancelled), 1);
  assert_int_equal(tether_ctx_err(expired), 4);
  tether_ctx_free(cancelled);
  tether_ctx_free(expired);
}

/* row 130 */
static void every_code_has_grpcs_name(void **state) {
  const char *const names[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  (void)state;
  for (int i = 0; i < 17; i++) assert_string_equal(tether_code_name((tether_code)i), names[i]);
  assert_string_equal(tether_code_name((tether_code)17), "UNKNOWN");
  assert_string_equal(tether_code_name((tether_code)-1), "UNKNOWN");
  assert_string_equal(tether_code_name((tether_code)1000000), "UNKNOWN");
}

/* row 72: grpc/grpc-go#2374, a huge timeout that became the year 1726 */
static void sums_of_times_saturate(void **state) {
  const int64_t cases[][3] = {
      {1, 2, 3},
      {-1, -2, -3},
      {INT64_MAX, 1, INT64_MAX},
      {1, INT64_MAX, INT64_MAX},
      {INT64_MAX, INT64_MAX, INT64_MAX},
      {INT64_MAX - 5, 5, INT64_MAX},
      {INT64_MAX - 5, 4, INT64_MAX - 1},
      {INT64_MIN, -1, INT64_MIN},
      {-1, INT64_MIN, INT64_MIN},
      {INT64_MIN, INT64_MIN, INT64_MIN},
      {INT64_MIN, INT64_MAX, -1},
      {INT64_MAX, INT64_MIN, -1},
      {0, INT64_MIN, INT64_MIN},
      {0, INT64_MAX, INT64_MAX},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_true(tether_time_add(cases[i][0], cases[i][1]) == cases[i][2]);
  }
}

/* row 76: the clock is the monotonic one */
static void now_is_the_monotonic_clock(void **state) {
  int64_t before_ns = ctx_real_now_ns(), now_ns = tether_now_ns(), after_ns = ctx_real_now_ns();
  (void)state;
  assert_true(before_ns <= now_ns && now_ns <= after_ns);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(standard_causes_have_gos_texts),
      behaviour(standard_causes_are_single_objects),
      behaviour(only_the_deadlines_cause_is_a_timeout),
      behaviour(errs_have_grpcs_codes),
      behaviour(every_code_has_grpcs_name),
      behaviour(sums_of_times_saturate),
      behaviour(now_is_the_monotonic_clock),
  };
  return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
