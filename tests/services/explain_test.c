/* Where a request's time went: explain=1 at the edge, --explain on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/edge/json.h"
#include "support/cluster.h"
#include "support/http.h"

static cluster c;

static int setup(void **state) {
  (void)state;
  cluster_start(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  return cluster_stop(&c);
}

static double ms(const json_t *row, const char *key) { return json_real_value(json_object_get(row, key)); }

static void the_ledger_has_a_row_for_the_search_and_one_for_each_shard(void **state) {
  http_reply reply;
  (void)state;
  http_get(c.port, "/search?q=editor&timeout=5s&explain=1", NULL, &reply);
  assert_int_equal(reply.status, 200);
  json_t *search = json_object_get(reply.json, "ledger");
  assert_string_equal(json_text(search, "method"), "/search.v1.Search/Search");
  assert_string_equal(json_text(search, "status"), "OK");
  assert_true(ms(search, "budget_ms") > 0 && ms(search, "budget_ms") <= 5000);
  json_t *calls = json_object_get(search, "calls");
  assert_int_equal(json_array_size(calls), CLUSTER_SHARDS);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++) {
    json_t *shard = json_array_get(calls, i);
    assert_string_equal(json_text(shard, "method"), "/search.v1.Shard/Search");
    assert_true(ms(shard, "started_ms") >= 0 && ms(shard, "took_ms") >= ms(shard, "own_ms"));
    assert_true(ms(shard, "started_ms") + ms(shard, "own_ms") <= ms(search, "own_ms") + 1);
  }
  http_reply_fini(&reply);
}

static void nobody_gets_a_ledger_who_did_not_ask(void **state) {
  http_reply reply;
  (void)state;
  http_get(c.port, "/search?q=editor&timeout=5s", NULL, &reply);
  assert_null(json_object_get(reply.json, "ledger"));
  http_reply_fini(&reply);
  http_get(c.port, "/search?q=editor&explain=maybe", NULL, &reply);
  assert_int_equal(reply.status, 400);
  assert_non_null(strstr(json_text(reply.json, "error.message"), "explain 'maybe' is neither 0 nor 1"));
  http_reply_fini(&reply);
}

static void the_slow_shard_stands_out(void **state) {
  http_reply reply;
  (void)state;
  http_get(c.port, "/search?q=editor&timeout=2s&slow=shard-2:300ms&explain=1", NULL, &reply);
  assert_int_equal(reply.status, 200);
  json_t *calls = json_object_get(json_object_get(reply.json, "ledger"), "calls");
  double slowest = 0;
  const char *name = "";
  for (size_t i = 0; i < json_array_size(calls); i++) {
    json_t *shard = json_array_get(calls, i);
    if (ms(shard, "own_ms") <= slowest) continue;
    slowest = ms(shard, "own_ms");
    name = json_text(shard, "hop");
  }
  assert_true(slowest >= 250);
  assert_non_null(strstr(name, "shard-2"));
  http_reply_fini(&reply);
}

/* Nobody is in time: the answer is an error, and says where the time went all the same. */
static void an_error_has_its_ledger_too_and_why_each_call_ended(void **state) {
  http_reply reply;
  (void)state;
  http_get(c.port, "/search?q=editor&timeout=1s&slow=60s&explain=1", NULL, &reply);
  assert_int_equal(reply.status, 504);
  json_t *search = json_object_get(reply.json, "ledger");
  assert_string_equal(json_text(search, "method"), "/search.v1.Search/Search");
  assert_string_equal(json_text(search, "status"), "DEADLINE_EXCEEDED");
  json_t *calls = json_object_get(search, "calls");
  for (size_t i = 0; i < json_array_size(calls); i++) {
    json_t *shard = json_array_get(calls, i);
    assert_string_equal(json_text(shard, "status"), "DEADLINE_EXCEEDED");
    assert_string_equal(json_text(shard, "cause"), "deadline");
    assert_true(*json_text(shard, "why") && *json_text(shard, "origin"));
  }
  http_reply_fini(&reply);
}

static void calls_that_a_ledger_does_not_hold_are_counted(void **state) {
  (void)state;
  const tether_ledger row = {.method = "/a.B/C",
                             .hop = "b",
                             .answered = true,
                             .budget_ns = TETHER_FOREVER,
                             .origin = "",
                             .text = "",
                             .cut = 3};
  json_t *entry = edge_json_ledger(&row);
  assert_int_equal(json_integer_value(json_object_get(entry, "cut")), 3);
  assert_int_equal(json_array_size(json_object_get(entry, "calls")), 0);
  json_decref(entry);
}

static void the_command_line_draws_it_and_names_the_shard_that_was_slow(void **state) {
  char url[128];
  process p;
  (void)state;
  snprintf(url, sizeof url, "ipc://%s/search.sock", c.dir);
  const char *const explain[] = {"search",     "--url",     url,   "--explain", "--slow",
                                 "shard-2:2s", "--timeout", "60s", "editor",    NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", explain), 0);
  char *out = file_text(p.out);
  assert_non_null(strstr(out, "\n/search.v1.Search/Search "));
  int rows = 0;
  for (const char *at = out; (at = strstr(at, "\n  /search.v1.Shard/Search ")); at++) rows++;
  assert_int_equal(rows, CLUSTER_SHARDS);
  const char *blame = strstr(out, "\nmost of it: ");
  assert_non_null(blame);
  if (!strstr(blame, " ms in the handler, /search.v1.Shard/Search at shard-2")) fail_msg("%s", out);
  free(out);
  const char *const silent[] = {"search", "--url", url, "--timeout", "5s", "editor", NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", silent), 0);
  out = file_text(p.out);
  assert_null(strstr(out, "most of it"));
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ledger_has_a_row_for_the_search_and_one_for_each_shard),
      cmocka_unit_test(nobody_gets_a_ledger_who_did_not_ask),
      cmocka_unit_test(the_slow_shard_stands_out),
      cmocka_unit_test(an_error_has_its_ledger_too_and_why_each_call_ended),
      cmocka_unit_test(calls_that_a_ledger_does_not_hold_are_counted),
      cmocka_unit_test(the_command_line_draws_it_and_names_the_shard_that_was_slow),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
