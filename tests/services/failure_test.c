/* Processes that die or are told to stop. Each test has a cluster of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
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

static const char *shard_status(const http_reply *reply, size_t i, const char *what) {
  return json_text(json_array_get(json_object_get(reply->json, "shards"), i), what);
}

/* A connection with a request on which all shards work for `slow`. */
static int at_work(traced *t, const char *target) {
  log_line lines[CLUSTER_SHARDS];
  traced_init(t);
  int fd = http_connect(c.port);
  assert_true(fd >= 0);
  assert_true(http_send(fd, target, t->header));
  assert_true(cluster_wait_shards(&c, "query-start", t->id, lines));
  return fd;
}

static void a_shard_that_is_down_makes_the_answer_partial_until_it_is_back(void **state) {
  http_reply reply;
  (void)state;
  process_kill(&c.shards[3]);
  assert_true(cluster_wait_health(&c, "\"status\":\"degraded\"", true));
  http_get(c.port, "/search?q=editor&timeout=5s", NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_true(json_object_get(reply.json, "partial")));
  for (size_t i = 0; i < CLUSTER_SHARDS; i++)
    assert_string_equal(shard_status(&reply, i, "status"), i == 3 ? "down" : "ok");
  assert_string_not_equal(shard_status(&reply, 3, "cause"), "");
  http_reply_fini(&reply);

  cluster_start_shard(&c, 3);
  assert_true(cluster_wait_health(&c, "\"status\":\"ok\"", true));
  http_get(c.port, "/search?q=editor&timeout=5s", NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_false(json_object_get(reply.json, "partial")));
  http_reply_fini(&reply);
}

static void a_shard_killed_at_work_is_down_in_the_answer(void **state) {
  http_reply reply;
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=20s&slow=500ms");
  process_kill(&c.shards[1]);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(shard_status(&reply, 1, "status"), "down");
  assert_string_equal(shard_status(&reply, 2, "status"), "ok");
  http_reply_fini(&reply);
  close(fd);
}

static void no_shard_at_all_is_a_503(void **state) {
  http_reply reply;
  (void)state;
  for (int i = 0; i < CLUSTER_SHARDS; i++) process_kill(&c.shards[i]);
  assert_true(cluster_wait_health(&c, "true", false));
  http_get(c.port, "/search?q=editor&timeout=5s", NULL, &reply);
  assert_int_equal(reply.status, 503);
  assert_string_equal(json_text(reply.json, "error.code"), "UNAVAILABLE");
  http_reply_fini(&reply);
}

static void a_search_service_killed_at_work_ends_the_request_and_the_shards_work(void **state) {
  http_reply reply;
  log_line lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=30s&slow=25s");
  process_kill(&c.search);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 503);
  http_reply_fini(&reply);
  close(fd);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) assert_non_null(strstr(lines[i].text, "cause=peer_lost"));
}

static void an_edge_killed_at_work_stops_every_shard(void **state) {
  log_line lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=30s&slow=25s");
  process_kill(&c.edge);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  close(fd);
}

static void a_terminated_edge_answers_what_it_has_and_takes_no_more(void **state) {
  http_reply reply;
  log_line line;
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=20s&slow=500ms");
  kill(c.edge.pid, SIGTERM);
  assert_true(log_wait(&c.edge, "shutdown", NULL, NULL, &line));
  assert_int_equal(http_connect(c.port), -1);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  http_reply_fini(&reply);
  close(fd);
  assert_int_equal(process_wait(&c.edge), 0);
  assert_true(log_find(&c.edge, "stopped", NULL, NULL, &line));
}

static void a_terminated_edge_does_not_wait_for_ever(void **state) {
  http_reply reply;
  log_line lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=30s&slow=25s");
  kill(c.edge.pid, SIGTERM);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 503);
  assert_string_equal(json_text(reply.json, "error.cause"), "shutdown");
  http_reply_fini(&reply);
  close(fd);
  assert_int_equal(process_wait(&c.edge), 0);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) assert_non_null(strstr(lines[i].text, "cause=shutdown"));
}

/* The reply to a client that has gone is not waited for. */
static void a_client_that_left_does_not_delay_a_terminated_edge(void **state) {
  log_line line, lines[CLUSTER_SHARDS];
  traced t;
  (void)state;
  http_reset(at_work(&t, "/search?q=editor&timeout=30s&slow=25s"));
  assert_true(log_wait(&c.edge, "disconnect", t.id, NULL, &line));
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  kill(c.edge.pid, SIGTERM);
  assert_int_equal(process_wait(&c.edge), 0);
  assert_true(log_find(&c.edge, "stopped", NULL, NULL, &line));
  assert_false(log_find(&c.edge, "shutdown", NULL, "cancelling", &line));
}

static void a_terminated_shard_stops_its_query_after_the_grace(void **state) {
  http_reply reply;
  log_line line;
  traced t;
  (void)state;
  int fd = at_work(&t, "/search?q=editor&timeout=20s&slow=shard-0:18s");
  kill(c.shards[0].pid, SIGTERM); /* --grace 300ms */
  assert_int_equal(process_wait(&c.shards[0]), 0);
  assert_true(log_find(&c.shards[0], "query-stopped", t.id, "cause=shutdown", &line));
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(shard_status(&reply, 0, "status"), "down");
  http_reply_fini(&reply);
  close(fd);
}

static void everything_idle_ends_at_once_when_terminated(void **state) {
  (void)state;
  kill(c.edge.pid, SIGTERM);
  assert_int_equal(process_wait(&c.edge), 0);
  kill(c.search.pid, SIGINT);
  assert_int_equal(process_wait(&c.search), 0);
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    kill(c.shards[i].pid, SIGTERM);
    assert_int_equal(process_wait(&c.shards[i]), 0);
  }
}

static void bad_options_say_what_is_wrong(void **state) {
  static const struct {
    const char *program, *args[4], *message;
  } rows[] = {
      {"tether-shard", {"--wrong"}, "unknown option '--wrong'"},
      {"tether-shard", {"--slow", "fast"}, "--slow: 'fast' is not a duration"},
      {"tether-shard", {"--workers=0"}, "--workers: '0' is not a number from 1 to 4096"},
      {"tether-shard", {"--db"}, "--db needs a value (FILE)"},
      {"tether-shard", {"--allow-slow=yes"}, "--allow-slow takes no value"},
      {"tether-search", {"--listen", "ipc:///x"}, "at least one --shard"},
      {"tether-edge", {"surplus"}, "unexpected argument 'surplus'"},
      {"tether-load", {"--shards", "4"}, "--to DIR is missing"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    process p;
    const char *const *args = rows[i].args;
    assert_int_equal(process_run(&p, c.dir, "usage", rows[i].program, args), 2);
    char *text = file_text(p.log);
    if (!strstr(text, rows[i].message)) fail_msg("no '%s' in: %s", rows[i].message, text);
    free(text);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_shard_that_is_down_makes_the_answer_partial_until_it_is_back),
      TEST(a_shard_killed_at_work_is_down_in_the_answer),
      TEST(no_shard_at_all_is_a_503),
      TEST(a_search_service_killed_at_work_ends_the_request_and_the_shards_work),
      TEST(an_edge_killed_at_work_stops_every_shard),
      TEST(a_terminated_edge_answers_what_it_has_and_takes_no_more),
      TEST(a_terminated_edge_does_not_wait_for_ever),
      TEST(a_client_that_left_does_not_delay_a_terminated_edge),
      TEST(a_terminated_shard_stops_its_query_after_the_grace),
      TEST(everything_idle_ends_at_once_when_terminated),
      TEST(bad_options_say_what_is_wrong),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
