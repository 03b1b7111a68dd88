/* Budgets: what a slow shard does to an answer, and what its deadline does to its query. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char *shard_status(const http_reply *reply, size_t i, const char *what) {
  return json_text(json_array_get(json_object_get(reply->json, "shards"), i), what);
}

static void a_slow_shard_makes_the_answer_partial_within_the_budget(void **state) {
  http_reply reply;
  traced t;
  (void)state;
  traced_init(&t);
  http_get(c.port, "/search?q=editor&timeout=3s&slow=shard-2:60s", t.header, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_true(json_object_get(reply.json, "partial")));
  assert_true(json_array_size(json_object_get(reply.json, "hits")) > 0);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++)
    assert_string_equal(shard_status(&reply, i, "status"), i == 2 ? "late" : "ok");
  assert_non_null(strstr(shard_status(&reply, 2, "cause"), "DEADLINE_EXCEEDED"));
  assert_true(json_real_value(json_object_get(reply.json, "took_ms")) < 3000);
  http_reply_fini(&reply);
}

static void the_slow_shards_query_is_stopped_by_the_deadline(void **state) {
  http_reply reply;
  log_line line;
  char value[256];
  traced t;
  (void)state;
  traced_init(&t);
  http_get(c.port, "/search?q=editor&timeout=1s&slow=shard-1:60s", t.header, &reply);
  http_reply_fini(&reply);
  assert_true(log_wait(&c.shards[1], "query-stopped", t.id, NULL, &line));
  assert_string_equal(log_value(&line, "cause", value), "deadline");
  assert_true(strtod(log_value(&line, "took", value), NULL) < 30000); /* of the 60 s it would have taken */
  assert_true(log_wait(&c.shards[0], "query-end", t.id, "status=OK", &line));
}

static void no_shard_in_time_is_a_504_that_says_why(void **state) {
  http_reply reply;
  log_line lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  traced_init(&t);
  http_get(c.port, "/search?q=editor&timeout=1s&slow=60s", t.header, &reply);
  assert_int_equal(reply.status, 504);
  assert_string_equal(json_text(reply.json, "error.code"), "DEADLINE_EXCEEDED");
  assert_string_equal(json_text(reply.json, "error.cause"), "deadline");
  assert_string_equal(json_text(reply.json, "trace_id"), t.id);
  http_reply_fini(&reply);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
}

static void a_long_budget_lets_a_slow_shard_finish(void **state) {
  http_reply reply;
  (void)state;
  /* Longer than the 2 s that apply to a method without a deadline. */
  http_get(c.port, "/search?q=editor&timeout=25s&slow=shard-0:2300ms", NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_false(json_object_get(reply.json, "partial")));
  assert_true(json_real_value(json_object_get(reply.json, "took_ms")) >= 2300);
  http_reply_fini(&reply);
}

static void the_command_line_client_tells_success_from_failure(void **state) {
  char url[128];
  process p;
  (void)state;
  snprintf(url, sizeof url, "ipc://%s/search.sock", c.dir);
  const char *const good[] = {"search", "--url", url, "--timeout", "5s", "editor", NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", good), 0);
  char *out = file_text(p.out);
  assert_non_null(strstr(out, "PACKAGE"));
  assert_non_null(strstr(out, "\nstatus  OK"));
  assert_non_null(strstr(out, "\ntrace   "));
  free(out);
  const char *const late[] = {"search", "--url", url, "--timeout", "1ms", "editor", NULL};
  const char *const wordless[] = {"search", "--url", url, NULL};
  const char *const commandless[] = {"--url", url, "x", NULL};
  const char *const nobody[] = {"search", "--url", "ipc:///nonexistent/sock", "--timeout", "5s", "editor", NULL};
  const char *const bad[] = {"search", "--url", url, "--", "--", NULL};
  process_run(&p, c.dir, "cli", "tether-cli", late); /* 1 ms may or may not do; it must not hang */
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", wordless), 2);
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", commandless), 2);
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", nobody), 1);
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", bad), 1);
  out = file_text(p.out);
  assert_non_null(strstr(out, "status  INVALID_ARGUMENT"));
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_slow_shard_makes_the_answer_partial_within_the_budget),
      cmocka_unit_test(the_slow_shards_query_is_stopped_by_the_deadline),
      cmocka_unit_test(no_shard_in_time_is_a_504_that_says_why),
      cmocka_unit_test(a_long_budget_lets_a_slow_shard_finish),
      cmocka_unit_test(the_command_line_client_tells_success_from_failure),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
