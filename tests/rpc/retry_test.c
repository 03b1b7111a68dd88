/* The rules of gRPC's retries (grpc/proposal A6), decision by decision, without a call. */
#include "rpc/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIDDLE (UINT32_MAX / 2) /* jitter of (almost) none */

static const tether_retry_policy policy = {.max_attempts = 4,
                                           .initial_backoff_ns = 100 * TETHER_MS,
                                           .max_backoff_ns = TETHER_SEC,
                                           .backoff_multiplier = 4,
                                           .retryable = 1u << TETHER_UNAVAILABLE | 1u << TETHER_ABORTED};

static tth_throttle unthrottled;

static tether_metadata *trailers_of(const char *first, const char *second) {
  tether_metadata *trailers = tether_metadata_new();
  assert_int_equal(tether_metadata_add(trailers, "other", "5"), TETHER_OK);
  if (first) assert_int_equal(tether_metadata_add(trailers, TTH_PUSHBACK_KEY, first), TETHER_OK);
  if (second) assert_int_equal(tether_metadata_add(trailers, TTH_PUSHBACK_KEY, second), TETHER_OK);
  return trailers;
}

static tth_retry fail_with(tth_attempts *attempts, const char *pushback, int64_t *delay_ns) {
  tether_metadata *trailers = trailers_of(pushback, NULL);
  tth_retry retry = tth_retry_decide(attempts, &unthrottled, TETHER_UNAVAILABLE, trailers, MIDDLE, delay_ns);
  tether_metadata_free(trailers);
  return retry;
}

/* Jitter in the middle is off by rounding alone. */
#define assert_about(ns, wanted_ns) assert_in_range((ns) + TETHER_US, (wanted_ns), (wanted_ns) + 2 * TETHER_US)

static void only_codes_of_the_policy_are_retried(void **state) {
  (void)state;
  for (int code = 0; code < TETHER_CODES; code++) {
    tth_attempts attempts = {.policy = &policy}, without = {0};
    int64_t delay_ns = -1;
    bool named = code == TETHER_UNAVAILABLE || code == TETHER_ABORTED;
    assert_int_equal(tth_retry_decide(&attempts, &unthrottled, (tether_code)code, NULL, 0, &delay_ns),
                     named ? TTH_RETRY : TTH_RETRY_FINAL);
    assert_int_equal(delay_ns >= 0, named);
    assert_int_equal(tth_retry_decide(&without, &unthrottled, (tether_code)code, NULL, 0, &delay_ns), TTH_RETRY_FINAL);
  }
}

static void there_are_as_many_attempts_as_the_policy_says_and_five_at_most(void **state) {
  (void)state;
  for (int most = 2; most < 10; most++) {
    tether_retry_policy many = policy;
    many.max_attempts = most;
    tth_attempts attempts = {.policy = &many};
    int64_t delay_ns;
    int made = 1;
    while (tth_retry_decide(&attempts, &unthrottled, TETHER_ABORTED, NULL, 7, &delay_ns) == TTH_RETRY) made++;
    assert_int_equal(made, most < 5 ? most : 5);
    assert_int_equal(attempts.made, made);
  }
}

static void the_delay_grows_to_its_maximum(void **state) {
  (void)state;
  tth_attempts attempts = {.policy = &policy};
  int64_t delay_ns;
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY);
  assert_about(delay_ns, 100 * TETHER_MS);
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY);
  assert_about(delay_ns, 400 * TETHER_MS);
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY);
  assert_about(delay_ns, TETHER_SEC);
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY_EXHAUSTED);
}

static void the_delay_is_a_fifth_more_or_less(void **state) {
  (void)state;
  int64_t least_ns = INT64_MAX, most_ns = 0;
  uint32_t random = 1;
  for (int i = 0; i < 10000; i++) {
    tth_attempts attempts = {.policy = &policy};
    int64_t delay_ns;
    random = random * 1664525 + 1013904223;
    assert_int_equal(tth_retry_decide(&attempts, &unthrottled, TETHER_ABORTED, NULL, random, &delay_ns), TTH_RETRY);
    if (delay_ns < least_ns) least_ns = delay_ns;
    if (delay_ns > most_ns) most_ns = delay_ns;
  }
  assert_in_range(least_ns, 80 * TETHER_MS, 81 * TETHER_MS);
  assert_in_range(most_ns, 119 * TETHER_MS, 120 * TETHER_MS);
}

static void delays_do_not_overflow(void **state) {
  (void)state;
  static const tether_retry_policy endless = {.max_attempts = 5,
                                              .initial_backoff_ns = INT64_MAX,
                                              .max_backoff_ns = INT64_MAX,
                                              .backoff_multiplier = 1e300,
                                              .retryable = 1u << TETHER_ABORTED},
                                   vanishing = {.max_attempts = 5,
                                                .initial_backoff_ns = 1,
                                                .max_backoff_ns = 1,
                                                .backoff_multiplier = 1e-300,
                                                .retryable = 1u << TETHER_ABORTED};
  tth_attempts long_ones = {.policy = &endless}, short_ones = {.policy = &vanishing};
  for (int i = 0; i < 4; i++) {
    int64_t delay_ns = -1;
    assert_int_equal(tth_retry_decide(&long_ones, &unthrottled, TETHER_ABORTED, NULL, UINT32_MAX, &delay_ns),
                     TTH_RETRY);
    assert_true(delay_ns == INT64_MAX);
    assert_int_equal(tth_retry_decide(&short_ones, &unthrottled, TETHER_ABORTED, NULL, 0, &delay_ns), TTH_RETRY);
    assert_true(delay_ns == 0);
  }
}

static void a_committed_call_is_not_retried(void **state) {
  (void)state;
  tth_attempts attempts = {.policy = &policy, .committed = true};
  int64_t delay_ns;
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY_COMMITTED);
  assert_int_equal(fail_with(&attempts, "0", &delay_ns), TTH_RETRY_COMMITTED);
}

static void pushback_says_when_and_begins_the_delays_anew(void **state) {
  (void)state;
  tth_attempts attempts = {.policy = &policy};
  int64_t delay_ns;
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY);
  assert_int_equal(fail_with(&attempts, "12345", &delay_ns), TTH_RETRY);
  assert_true(delay_ns == 12345 * TETHER_MS);
  assert_int_equal(fail_with(&attempts, NULL, &delay_ns), TTH_RETRY);
  assert_about(delay_ns, 100 * TETHER_MS);
  assert_int_equal(fail_with(&attempts, "0", &delay_ns), TTH_RETRY_EXHAUSTED); /* it does not add attempts */
}

static void pushback_that_is_no_number_of_milliseconds_forbids_the_retry(void **state) {
  (void)state;
  static const char *const never[] = {
      "-1", "", "x", "1x", "+1", "01", "00", "-0", " 1", "1 ", "2147483648", "99999999999999999999", "1.5"};
  static const char *const after[] = {"0", "1", "2147483647"};
  int64_t delay_ns;
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    tth_attempts attempts = {.policy = &policy};
    assert_int_equal(fail_with(&attempts, never[i], &delay_ns), TTH_RETRY_PUSHBACK);
  }
  for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
    tth_attempts attempts = {.policy = &policy};
    assert_int_equal(fail_with(&attempts, after[i], &delay_ns), TTH_RETRY);
  }
  tether_metadata *twice = trailers_of("1", "1");
  assert_int_equal(tth_pushback_read(twice, &delay_ns), TTH_PUSHBACK_NEVER);
  tether_metadata_free(twice);
  assert_int_equal(tth_pushback_read(NULL, &delay_ns), TTH_PUSHBACK_NONE);
}

static void pushback_does_not_make_other_codes_retryable(void **state) {
  (void)state;
  tth_attempts attempts = {.policy = &policy};
  tether_metadata *trailers = trailers_of("5", NULL);
  int64_t delay_ns;
  assert_int_equal(tth_retry_decide(&attempts, &unthrottled, TETHER_INTERNAL, trailers, 0, &delay_ns), TTH_RETRY_FINAL);
  tether_metadata_free(trailers);
}

/* ---- The throttle -------------------------------------------------------------------------- */

static tth_throttle throttle_of(uint32_t max_milli, uint32_t ratio_milli) {
  tth_throttle throttle;
  tth_throttle_init(&throttle, (tth_throttling){.max_milli = max_milli, .ratio_milli = ratio_milli});
  return throttle;
}

static tth_retry fail_once(tth_throttle *throttle, tether_code code) {
  tth_attempts attempts = {.policy = &policy};
  int64_t delay_ns;
  return tth_retry_decide(&attempts, throttle, code, NULL, 0, &delay_ns);
}

static void retries_stop_with_half_of_the_tokens_gone(void **state) {
  (void)state;
  tth_throttle throttle = throttle_of(10000, 100);
  for (int i = 0; i < 4; i++) assert_int_equal(fail_once(&throttle, TETHER_UNAVAILABLE), TTH_RETRY);
  assert_int_equal(fail_once(&throttle, TETHER_UNAVAILABLE), TTH_RETRY_THROTTLED); /* 5 of 10: not above half */
  for (int i = 0; i < 100; i++) assert_int_equal(fail_once(&throttle, TETHER_UNAVAILABLE), TTH_RETRY_THROTTLED);
  assert_int_equal(atomic_load(&throttle.milli), 0);
}

static void successes_bring_tokens_back(void **state) {
  (void)state;
  tth_throttle throttle = throttle_of(10000, 100);
  for (int i = 0; i < 6; i++) (void)fail_once(&throttle, TETHER_ABORTED);
  for (int i = 0; i < 10; i++) assert_int_equal(fail_once(&throttle, TETHER_OK), TTH_RETRY_FINAL);
  assert_false(tth_throttle_allows(&throttle)); /* 5: not above half */
  assert_int_equal(fail_once(&throttle, TETHER_OK), TTH_RETRY_FINAL);
  assert_true(tth_throttle_allows(&throttle));
  for (int i = 0; i < 1000; i++) tth_throttle_succeeded(&throttle);
  assert_int_equal(atomic_load(&throttle.milli), 10000); /* never more than the maximum */
  throttle = throttle_of(1000, 1000000);
  tth_throttle_failed(&throttle);
  tth_throttle_succeeded(&throttle);
  assert_int_equal(atomic_load(&throttle.milli), 1000);
}

static void only_failures_of_the_policy_take_tokens(void **state) {
  (void)state;
  tth_throttle throttle = throttle_of(10000, 1);
  for (int code = 1; code < TETHER_CODES; code++)
    if (!(policy.retryable & 1u << code)) (void)fail_once(&throttle, (tether_code)code);
  assert_int_equal(atomic_load(&throttle.milli), 10000);
  (void)fail_once(&throttle, TETHER_ABORTED);
  assert_int_equal(atomic_load(&throttle.milli), 9000);
}

static void a_server_that_wants_no_retries_takes_tokens_whatever_the_code(void **state) {
  (void)state;
  tth_throttle throttle = throttle_of(10000, 1);
  tether_metadata *trailers = trailers_of("-1", NULL);
  int64_t delay_ns;
  tth_attempts without = {0};
  assert_int_equal(tth_retry_decide(&without, &throttle, TETHER_INTERNAL, trailers, 0, &delay_ns), TTH_RETRY_FINAL);
  assert_int_equal(atomic_load(&throttle.milli), 9000);
  tth_attempts attempts = {.policy = &policy};
  assert_int_equal(tth_retry_decide(&attempts, &throttle, TETHER_ABORTED, trailers, 0, &delay_ns), TTH_RETRY_PUSHBACK);
  assert_int_equal(atomic_load(&throttle.milli), 8000);
  tether_metadata_free(trailers);
}

static void failures_count_also_where_no_retry_was_possible(void **state) {
  (void)state;
  tth_throttle throttle = throttle_of(10000, 1);
  int64_t delay_ns;
  tth_attempts committed = {.policy = &policy, .committed = true}, last = {.policy = &policy, .made = 3};
  assert_int_equal(tth_retry_decide(&committed, &throttle, TETHER_ABORTED, NULL, 0, &delay_ns), TTH_RETRY_COMMITTED);
  assert_int_equal(tth_retry_decide(&last, &throttle, TETHER_ABORTED, NULL, 0, &delay_ns), TTH_RETRY_EXHAUSTED);
  assert_int_equal(atomic_load(&throttle.milli), 8000);
}

/* Random outcomes against the rules written down a second time, in whole numbers. */
static void whatever_happens_the_tokens_are_those_of_the_rules(void **state) {
  (void)state;
  uint32_t random = 42;
  for (int seed = 0; seed < 200; seed++) {
    random = random * 1664525 + 1013904223;
    uint32_t max = 1 + (random >> 8) % 20000, ratio = 1 + (random >> 4) % 3000;
    int64_t tokens = max;
    tth_throttle throttle = throttle_of(max, ratio);
    for (int i = 0; i < 300; i++) {
      random = random * 1664525 + 1013904223;
      tether_code code = (tether_code)((random >> 16) % TETHER_CODES);
      tth_retry retry = fail_once(&throttle, random >> 31 ? TETHER_OK : code);
      if (random >> 31 || code == TETHER_OK) {
        tokens = tokens + ratio > max ? max : tokens + ratio;
        assert_int_equal(retry, TTH_RETRY_FINAL);
      } else if (policy.retryable & 1u << code) {
        tokens = tokens > 1000 ? tokens - 1000 : 0;
        assert_int_equal(retry, 2 * tokens > max ? TTH_RETRY : TTH_RETRY_THROTTLED);
      } else {
        assert_int_equal(retry, TTH_RETRY_FINAL);
      }
      assert_int_equal(atomic_load(&throttle.milli), tokens);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(only_codes_of_the_policy_are_retried),
      cmocka_unit_test(there_are_as_many_attempts_as_the_policy_says_and_five_at_most),
      cmocka_unit_test(the_delay_grows_to_its_maximum),
      cmocka_unit_test(the_delay_is_a_fifth_more_or_less),
      cmocka_unit_test(delays_do_not_overflow),
      cmocka_unit_test(a_committed_call_is_not_retried),
      cmocka_unit_test(pushback_says_when_and_begins_the_delays_anew),
      cmocka_unit_test(pushback_that_is_no_number_of_milliseconds_forbids_the_retry),
      cmocka_unit_test(pushback_does_not_make_other_codes_retryable),
      cmocka_unit_test(retries_stop_with_half_of_the_tokens_gone),
      cmocka_unit_test(successes_bring_tokens_back),
      cmocka_unit_test(only_failures_of_the_policy_take_tokens),
      cmocka_unit_test(a_server_that_wants_no_retries_takes_tokens_whatever_the_code),
      cmocka_unit_test(failures_count_also_where_no_retry_was_possible),
      cmocka_unit_test(whatever_happens_the_tokens_are_those_of_the_rules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
