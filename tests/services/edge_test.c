/* The edge's HTTP: parameters, replies, traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void a_query_answers_with_hits_of_all_shards(void **state) {
  http_reply reply;
  (void)state;
  http_get(c.port, "/search?q=editor&limit=3&timeout=5s", NULL, &reply);
  assert_int_equal(reply.status, 200);
  json_t *hits = json_object_get(reply.json, "hits");
  assert_int_equal(json_array_size(hits), 3);
  assert_true(json_is_false(json_object_get(reply.json, "partial")));
  assert_int_equal(json_array_size(json_object_get(reply.json, "shards")), CLUSTER_SHARDS);
  assert_true(json_integer_value(json_object_get(reply.json, "matched")) > 3);
  double last = 1e9;
  for (size_t i = 0; i < 3; i++) {
    json_t *hit = json_array_get(hits, i);
    double score = json_real_value(json_object_get(hit, "score"));
    assert_true(score > 0 && score <= last);
    assert_string_not_equal(json_text(hit, "name"), "");
    assert_string_not_equal(json_text(hit, "version"), "");
    last = score;
  }
  http_reply_fini(&reply);
}

static void refused(const char *target, const char *headers, int status, const char *message) {
  http_reply reply;
  http_get(c.port, target, headers, &reply);
  assert_int_equal(reply.status, status);
  if (!strstr(json_text(reply.json, "error.message"), message)) fail_msg("no '%s' in %s", message, reply.body);
  assert_string_not_equal(json_text(reply.json, "error.code"), "");
  http_reply_fini(&reply);
}

static void bad_parameters_are_named_in_a_400(void **state) {
  (void)state;
  refused("/search", NULL, 400, "parameter q");
  refused("/search?q=", NULL, 400, "parameter q");
  refused("/search?q=x&timeout=5", NULL, 400, "timeout '5' is not a duration");
  refused("/search?q=x&timeout=0ms", NULL, 400, "timeout '0ms' is not a duration");
  refused("/search?q=x&timeout=-1s", NULL, 400, "timeout '-1s' is not a duration");
  refused("/search?q=x&timeout=31s", NULL, 400, "above the maximum of 30000.000ms");
  refused("/search?q=x&limit=0", NULL, 400, "limit '0' is not a number from 1 to 100");
  refused("/search?q=x&limit=101", NULL, 400, "limit '101'");
  refused("/search?q=x&limit=1x", NULL, 400, "limit '1x'");
  refused("/search?q=x&limit=-1", NULL, 400, "limit '-1'");
  refused("/search?q=x&limit=18446744073709551617", NULL, 400, "limit '18446744073709551617'");
  refused("/search?q=x&slow=much", NULL, 400, "slow 'much' is not of the form");
  refused("/search?q=x&tiemout=1s", NULL, 400, "unknown parameter 'tiemout'");
  refused("/search?q=%ff", NULL, 400, "not UTF-8");
  refused("/search?q=a%00b", NULL, 400, "NUL");
  refused("/search?q=--", NULL, 400, "no words");
}

static void other_paths_and_methods_are_refused(void **state) {
  char head[256] = "";
  (void)state;
  refused("/", NULL, 404, "/search?q=WORDS");
  refused("/search/x?q=x", NULL, 404, "/search?q=WORDS");
  int fd = http_connect(c.port);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "DELETE /search?q=x HTTP/1.1\r\n\r\n", 31), 31);
  assert_true(read(fd, head, sizeof head - 1) > 0);
  close(fd);
  assert_memory_equal(head, "HTTP/1.1 405 ", 13);
  assert_non_null(strstr(head, "\r\nAllow: GET\r\n"));
}

static void a_connection_serves_one_request_after_another(void **state) {
  http_reply reply;
  (void)state;
  int fd = http_connect(c.port);
  for (int i = 0; i < 3; i++) {
    assert_true(http_send(fd, "/search?q=shell&timeout=5s", NULL));
    http_read(fd, &reply);
    assert_int_equal(reply.status, 200);
    http_reply_fini(&reply);
  }
  close(fd);
}

static void the_clients_trace_is_in_the_reply_and_in_every_log(void **state) {
  http_reply reply;
  log_line line, lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  traced_init(&t);
  http_get(c.port, "/search?q=editor&timeout=5s", t.header, &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(json_text(reply.json, "trace_id"), t.id);
  http_reply_fini(&reply);
  assert_true(log_wait(&c.edge, "request", t.id, "http=200", &line));
  assert_true(log_wait(&c.search, "search-end", t.id, "status=OK", &line));
  assert_true(cluster_wait_shards(&c, "query-end", t.id, lines));
}

static void without_a_valid_traceparent_each_request_starts_a_trace(void **state) {
  static const char *const headers[] = {
      NULL, "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n", "traceparent: rubbish\r\n"};
  char seen[3][64];
  (void)state;
  for (int i = 0; i < 3; i++) {
    http_reply reply;
    http_get(c.port, "/search?q=editor&timeout=5s", headers[i], &reply);
    snprintf(seen[i], sizeof seen[i], "%s", json_text(reply.json, "trace_id"));
    http_reply_fini(&reply);
    assert_int_equal(strlen(seen[i]), 32);
    assert_int_not_equal(strspn(seen[i], "0"), 32);
    for (int j = 0; j < i; j++) assert_string_not_equal(seen[i], seen[j]);
  }
}

static void every_hop_logs_a_smaller_budget(void **state) {
  http_reply reply;
  log_line line, lines[CLUSTER_SHARDS];
  char value[256];
  traced t;
  (void)state;
  traced_init(&t);
  http_get(c.port, "/search?q=editor&timeout=4s", t.header, &reply);
  http_reply_fini(&reply);
  assert_true(cluster_wait_shards(&c, "query-start", t.id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    double budget_ms = strtod(log_value(&lines[i], "budget", value), NULL);
    assert_true(budget_ms > 0 && budget_ms < 3600.001); /* the search service keeps a tenth */
  }
  assert_true(log_wait(&c.search, "search-end", t.id, NULL, &line));
  assert_true(strtod(log_value(&line, "budget", value), NULL) < 4000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_query_answers_with_hits_of_all_shards),
      cmocka_unit_test(bad_parameters_are_named_in_a_400),
      cmocka_unit_test(other_paths_and_methods_are_refused),
      cmocka_unit_test(a_connection_serves_one_request_after_another),
      cmocka_unit_test(the_clients_trace_is_in_the_reply_and_in_every_log),
      cmocka_unit_test(without_a_valid_traceparent_each_request_starts_a_trace),
      cmocka_unit_test(every_hop_logs_a_smaller_budget),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
