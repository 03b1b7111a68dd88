/* A client that leaves takes the whole tree of work with it, however it leaves. */
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
#include <sys/socket.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

/* Every shard would work this long; stopped means stopped long before. */
#define LONG_WORK "/search?q=editor&timeout=30s&slow=25s"

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

/* A connection with a request on which all shards are at work. */
static int at_work(traced *t) {
  log_line lines[CLUSTER_SHARDS];
  traced_init(t);
  int fd = http_connect(c.port);
  assert_true(fd >= 0);
  assert_true(http_send(fd, LONG_WORK, t->header));
  assert_true(cluster_wait_shards(&c, "query-start", t->id, lines));
  return fd;
}

static void all_stopped(const traced *t) {
  log_line gone, lines[CLUSTER_SHARDS];
  char value[256];
  int64_t slowest_us = 0;
  assert_true(log_wait(&c.edge, "disconnect", t->id, "http=499", &gone));
  assert_true(cluster_wait_shards(&c, "query-stopped", t->id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    assert_string_equal(log_value(&lines[i], "status", value), "CANCELLED");
    assert_string_equal(log_value(&lines[i], "cause", value), "caller");
    assert_string_equal(log_value(&lines[i], "why", value), "the HTTP client disconnected");
    assert_memory_equal(log_value(&lines[i], "origin", value), "edge/", 5);
    assert_true(strtod(log_value(&lines[i], "took", value), NULL) < 15000); /* not the 25 s */
    int64_t us = log_time_us(&lines[i]) - log_time_us(&gone);
    if (us > slowest_us) slowest_us = us;
  }
  assert_true(log_wait(&c.search, "search-end", t->id, "status=CANCELLED", &gone));
  print_message("the last shard had stopped %.1f ms after the disconnect was seen\n", (double)slowest_us / 1000);
}

static void closing_the_connection_stops_every_shard(void **state) {
  traced t;
  (void)state;
  close(at_work(&t));
  all_stopped(&t);
}

static void resetting_the_connection_stops_every_shard(void **state) {
  traced t;
  (void)state;
  http_reset(at_work(&t));
  all_stopped(&t);
}

static void half_closing_the_connection_stops_every_shard(void **state) {
  http_reply reply;
  traced t;
  (void)state;
  int fd = at_work(&t);
  shutdown(fd, SHUT_WR);
  all_stopped(&t);
  http_read(fd, &reply); /* this side can still be told */
  assert_int_equal(reply.status, 499);
  http_reply_fini(&reply);
  close(fd);
}

static void leaving_after_sending_another_request_stops_every_shard(void **state) {
  traced t;
  (void)state;
  int fd = at_work(&t);
  assert_true(http_send(fd, "/healthz", NULL));
  close(fd);
  all_stopped(&t);
}

static void sending_the_next_request_early_is_no_disconnect(void **state) {
  http_reply reply;
  log_line line;
  traced t;
  (void)state;
  traced_init(&t);
  int fd = http_connect(c.port);
  assert_true(http_send(fd, "/search?q=editor&timeout=20s&slow=300ms", t.header));
  assert_true(log_wait(&c.shards[0], "query-start", t.id, NULL, &line));
  assert_true(http_send(fd, "/healthz", NULL));
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  assert_non_null(json_object_get(reply.json, "hits"));
  http_reply_fini(&reply);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  assert_string_equal(json_text(reply.json, "status"), "ok");
  http_reply_fini(&reply);
  close(fd);
}

static void other_requests_are_not_touched(void **state) {
  http_reply reply;
  traced stays, leaves;
  log_line line;
  (void)state;
  traced_init(&stays);
  int fd = http_connect(c.port);
  assert_true(http_send(fd, "/search?q=editor&timeout=20s&slow=700ms", stays.header));
  assert_true(log_wait(&c.shards[0], "query-start", stays.id, NULL, &line));
  close(at_work(&leaves));
  all_stopped(&leaves);
  http_read(fd, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_false(json_object_get(reply.json, "partial")));
  http_reply_fini(&reply);
  close(fd);
}

/* More at once than a shard has workers: those that wait their turn must go as well, and what comes next must find
 * the workers free. */
static void a_crowd_that_leaves_blocks_nobody(void **state) {
  enum { CROWD = 24 };
  http_reply reply;
  log_line line;
  int fds[CROWD];
  traced t;
  (void)state;
  for (int i = 0; i < CROWD; i++) {
    traced_init(&t);
    fds[i] = http_connect(c.port);
    assert_true(http_send(fds[i], LONG_WORK, t.header));
    if (i == 0) assert_true(log_wait(&c.shards[0], "query-start", t.id, NULL, &line));
  }
  for (int i = 0; i < CROWD; i++) close(fds[i]);
  http_get(c.port, "/search?q=editor&timeout=15s", NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(json_is_false(json_object_get(reply.json, "partial")));
  http_reply_fini(&reply);
}

static void interrupting_the_command_line_client_stops_every_shard(void **state) {
  char url[128];
  log_line lines[CLUSTER_SHARDS];
  process p, slow[CLUSTER_SHARDS];
  const char *args[3 + 2 * CLUSTER_SHARDS] = {"--listen", url};
  char db[CLUSTER_SHARDS][128], at[CLUSTER_SHARDS][128], name[16], value[256];
  process search;
  (void)state;
  /* The command line cannot ask for slowness, so this tree is slow by itself. */
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    snprintf(db[i], sizeof db[i], "%s/db/shard-%d.db", c.dir, i);
    snprintf(at[i], sizeof at[i], "ipc://%s/slow-%d.sock", c.dir, i);
    snprintf(name, sizeof name, "slow-%d", i);
    const char *const shard_args[] = {"--db", db[i], "--listen", at[i], "--slow", "25s", NULL};
    process_start(&slow[i], c.dir, name, "tether-shard", shard_args);
    assert_true(log_wait(&slow[i], "ready", NULL, NULL, &lines[i]));
    args[2 + 2 * i] = "--shard";
    args[3 + 2 * i] = at[i];
  }
  snprintf(url, sizeof url, "ipc://%s/slow.sock", c.dir);
  process_start(&search, c.dir, "slow", "tether-search", args);
  assert_true(log_wait(&search, "ready", NULL, NULL, &lines[0]));
  const char *const cli_args[] = {"search", "--url", url, "--timeout", "30s", "editor", NULL};
  process_start(&p, c.dir, "cli", "tether-cli", cli_args);
  for (int i = 0; i < CLUSTER_SHARDS; i++) assert_true(log_wait(&slow[i], "query-start", NULL, NULL, &lines[i]));
  kill(p.pid, SIGINT);
  assert_int_equal(process_wait(&p), 130);
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    assert_true(log_wait(&slow[i], "query-stopped", NULL, "status=CANCELLED", &lines[i]));
    assert_memory_equal(log_value(&lines[i], "origin", value), "cli/", 4);
    kill(slow[i].pid, SIGTERM);
    assert_int_equal(process_wait(&slow[i]), 0);
  }
  kill(search.pid, SIGTERM);
  assert_int_equal(process_wait(&search), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closing_the_connection_stops_every_shard),
      cmocka_unit_test(resetting_the_connection_stops_every_shard),
      cmocka_unit_test(half_closing_the_connection_stops_every_shard),
      cmocka_unit_test(leaving_after_sending_another_request_stops_every_shard),
      cmocka_unit_test(sending_the_next_request_early_is_no_disconnect),
      cmocka_unit_test(other_requests_are_not_touched),
      cmocka_unit_test(a_crowd_that_leaves_blocks_nobody),
      cmocka_unit_test(interrupting_the_command_line_client_stops_every_shard),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
