/* What the services share: durations, queries, log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <string.h>
#include <tether/ctx.h>

#include "common/duration.h"
#include "common/log.h"
#include "common/slow.h"
#include "index/query.h"

static void durations_are_read_with_their_unit(void **state) {
  static const struct {
    const char *text;
    int64_t ns;
  } good[] = {{"200ms", 200 * TETHER_MS},
              {"1.5s", 1500 * TETHER_MS},
              {"2m", 120 * TETHER_SEC},
              {"1h", 3600 * TETHER_SEC},
              {"750us", 750 * TETHER_US},
              {"0ms", 0},
              {"5ns", 5},
              {".5s", 500 * TETHER_MS}};
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    int64_t ns = -1;
    assert_true(svc_duration_parse(good[i].text, &ns));
    assert_int_equal(ns, good[i].ns);
  }
}

static void what_is_no_duration_is_refused(void **state) {
  static const char *const bad[] = {"",
                                    "5",
                                    "ms",
                                    "-1s",
                                    "1 s",
                                    "1sec",
                                    "infs",
                                    "0x1p3s",
                                    "1e3s",
                                    "1.2.3s",
                                    "nans",
                                    ".s",
                                    "200MS",
                                    "101h",
                                    "99999999999999999999s",
                                    "11111111111111111111111111111111111ms"};
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    int64_t ns = 77;
    assert_false(svc_duration_parse(bad[i], &ns));
    assert_int_equal(ns, 77);
  }
}

static void a_query_is_split_into_words(void **state) {
  index_query query;
  char match[INDEX_MATCH_SIZE];
  (void)state;
  assert_null(index_query_parse("  libfoo-dev AND \"x* OR naïve", &query));
  assert_int_equal(query.count, 6);
  index_query_match(&query, match);
  assert_string_equal(match, "\"libfoo\" \"dev\" \"AND\" \"x\"* \"OR\" \"naïve\"");
}

static void the_longest_query_fits_and_a_longer_one_is_refused(void **state) {
  char text[INDEX_QUERY_MAX_BYTES + 2], match[INDEX_MATCH_SIZE];
  index_query query;
  (void)state;
  memset(text, 'a', sizeof text);
  text[INDEX_QUERY_MAX_BYTES] = '\0';
  assert_null(index_query_parse(text, &query));
  index_query_match(&query, match);
  assert_int_equal(strlen(match), INDEX_QUERY_MAX_BYTES + 2);
  text[INDEX_QUERY_MAX_BYTES] = 'a';
  text[INDEX_QUERY_MAX_BYTES + 1] = '\0';
  assert_non_null(index_query_parse(text, &query));
  assert_null(index_query_parse("1* 2* 3* 4* 5* 6* 7* 8* 9* a* b* c* d* e* f* g*", &query));
  index_query_match(&query, match);
  assert_non_null(strstr(match, "\"g\"*"));
  assert_non_null(index_query_parse("1 2 3 4 5 6 7 8 9 a b c d e f g h", &query));
  assert_non_null(index_query_parse(" -- \"", &query));
}

static void a_client_cannot_forge_a_log_line(void **state) {
  svc_log line;
  (void)state;
  svc_log_begin(&line, "request", NULL);
  size_t before = line.len;
  svc_log_text(&line, "uri", "/x\" status=OK\ntime=1 \\");
  line.text[line.len] = '\0';
  assert_string_equal(line.text + before, " uri=\"/x\\\" status=OK\\x0atime=1 \\\\\"");
}

static void a_log_line_too_long_is_cut(void **state) {
  char text[4000];
  svc_log line;
  (void)state;
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  svc_log_begin(&line, "request", NULL);
  for (int i = 0; i < 3; i++) svc_log_text(&line, "uri", text);
  assert_int_equal(line.len, sizeof line.text - 1); /* room for the newline */
}

static void slowness_is_for_all_shards_or_for_one(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *all = tether_ctx_with_value(tether_ctx_background(), &svc_slow_key, "20ms");
  TETHER_SCOPED tether_ctx *one = tether_ctx_with_value(tether_ctx_background(), &svc_slow_key, "shard-1:20ms");
  assert_int_equal(svc_slow_ns(all, "shard-7"), 20 * TETHER_MS);
  assert_int_equal(svc_slow_ns(one, "shard-1"), 20 * TETHER_MS);
  assert_int_equal(svc_slow_ns(one, "shard-10"), 0);
  assert_int_equal(svc_slow_ns(one, "shard-"), 0);
  assert_int_equal(svc_slow_ns(tether_ctx_background(), "shard-1"), 0);
}

static void slowness_that_is_no_duration_does_not_travel(void **state) {
  (void)state;
  assert_null(svc_slow_key.decode((const uint8_t *)"fast", 4));
  assert_null(svc_slow_key.decode((const uint8_t *)"1\0s", 3));
  char *text = svc_slow_key.decode((const uint8_t *)"shard-1:5ms", 11);
  assert_string_equal(text, "shard-1:5ms");
  svc_slow_key.free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations_are_read_with_their_unit),
      cmocka_unit_test(what_is_no_duration_is_refused),
      cmocka_unit_test(a_query_is_split_into_words),
      cmocka_unit_test(the_longest_query_fits_and_a_longer_one_is_refused),
      cmocka_unit_test(a_client_cannot_forge_a_log_line),
      cmocka_unit_test(a_log_line_too_long_is_cut),
      cmocka_unit_test(slowness_is_for_all_shards_or_for_one),
      cmocka_unit_test(slowness_that_is_no_duration_does_not_travel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
