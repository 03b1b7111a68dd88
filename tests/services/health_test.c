/* Health over real processes: what watchers and probes see while services run, drain and die. */
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
#include <tether/health.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

static cluster c;
static tether_ctx *ctx;
static tether_client *client;

static int setup(void **state) {
  (void)state;
  cluster_start(&c);
  ctx = tether_ctx_with_timeout(tether_ctx_background(), PATIENCE_MS * TETHER_MS);
  client = NULL;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  tether_client_close(client);
  tether_ctx_free(ctx);
  return cluster_stop(&c);
}

/* A client of "search", "shard-0" ..., ready. */
static void open_client(const char *name) {
  char url[128];
  const tether_client_options quick = {.backoff_initial_ns = 10 * TETHER_MS, .backoff_max_ns = 100 * TETHER_MS};
  tether_client_close(client);
  snprintf(url, sizeof url, "ipc://%s/%s.sock", c.dir, name);
  assert_int_equal(tether_client_open(url, &quick, &client), TETHER_OK);
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
}

static void expect_next(tether_call *watch, tether_health_status wanted) {
  tether_health_status status;
  tether_code code = tether_health_next(watch, &status);
  if (code != TETHER_OK) print_error("%s: %s\n", tether_code_name(code), tether_call_message(watch));
  assert_int_equal(code, TETHER_OK);
  assert_string_equal(tether_health_status_name(status), tether_health_status_name(wanted));
}

static void every_service_says_that_it_is_serving(void **state) {
  static const char *const services[][2] = {
      {"search", ""},  {"search", "search.v1.Search"}, {"search", "grpc.reflection.v1.ServerReflection"},
      {"shard-0", ""}, {"shard-0", "search.v1.Shard"}, {"shard-3", "search.v1.Shard"}};
  (void)state;
  for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
    tether_health_status status;
    open_client(services[i][0]);
    assert_int_equal(tether_health_check(client, ctx, services[i][1], &status), TETHER_OK);
    assert_int_equal(status, TETHER_HEALTH_SERVING);
    assert_int_equal(tether_health_check(client, ctx, "search.v1.None", &status), TETHER_NOT_FOUND);
  }
}

/* The shard has a query to finish; its watchers know before it is done. */
static void a_watcher_hears_of_a_drain_while_a_query_still_runs(void **state) {
  http_reply reply;
  tether_health_status status;
  log_line line;
  traced t;
  (void)state;
  open_client("shard-0");
  TETHER_SCOPED_CALL tether_call *watch = tether_health_watch(client, ctx, "search.v1.Shard");
  expect_next(watch, TETHER_HEALTH_SERVING);
  traced_init(&t);
  int fd = http_connect(c.port);
  assert_true(http_send(fd, "/search?q=editor&timeout=20s&slow=shard-0:18s", t.header));
  assert_true(log_wait(&c.shards[0], "query-start", t.id, NULL, &line));
  kill(c.shards[0].pid, SIGTERM); /* --grace 300ms */
  expect_next(watch, TETHER_HEALTH_NOT_SERVING);
  assert_int_equal(tether_health_next(watch, &status), TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(watch), "shutting down"));
  assert_int_equal(process_wait(&c.shards[0]), 0);
  http_read(fd, &reply);
  http_reply_fini(&reply);
  close(fd);
}

static void a_watcher_of_a_killed_shard_is_cut_and_finds_the_next_one(void **state) {
  tether_health_status status;
  (void)state;
  open_client("shard-1");
  TETHER_SCOPED_CALL tether_call *watch = tether_health_watch(client, ctx, "");
  expect_next(watch, TETHER_HEALTH_SERVING);
  kill(c.shards[1].pid, SIGKILL);
  assert_int_equal(tether_health_next(watch, &status), TETHER_UNAVAILABLE);
  assert_int_equal(process_wait(&c.shards[1]), 128 + SIGKILL);
  cluster_start_shard(&c, 1);
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *again = tether_health_watch(client, ctx, "");
  expect_next(again, TETHER_HEALTH_SERVING);
  tether_call_cancel(again, NULL);
}

/* `tether-cli health` with these options: its exit code. */
static int probe(const char *name, const char *option, const char *value, char printed[256]) {
  char url[128];
  process p;
  snprintf(url, sizeof url, "ipc://%s/%s.sock", c.dir, name);
  const char *const args[] = {"health", "--url", url, "--timeout", "10s", option, value, NULL};
  int status = process_run(&p, c.dir, "probe", "tether-cli", args);
  char *out = file_text(p.out), *log = file_text(p.log);
  snprintf(printed, 256, "%s%s", out, log);
  free(out);
  free(log);
  return status;
}

static void the_exit_code_of_the_probe_is_the_health(void **state) {
  char printed[256];
  (void)state;
  assert_int_equal(probe("search", NULL, NULL, printed), 0);
  assert_string_equal(printed, "SERVING\n");
  assert_int_equal(probe("shard-2", "--service", "search.v1.Shard", printed), 0);
  assert_int_equal(probe("shard-2", "--service", "search.v1.None", printed), 1);
  assert_non_null(strstr(printed, "NOT_FOUND"));
  kill(c.shards[2].pid, SIGKILL);
  assert_int_equal(process_wait(&c.shards[2]), 128 + SIGKILL);
  assert_int_equal(probe("shard-2", NULL, NULL, printed), 1);
  assert_non_null(strstr(printed, "UNAVAILABLE"));
  assert_int_equal(probe("shard-1", "surplus", NULL, printed), 2);
}

static bool has_line(const process *p, const char *wanted) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    char *text = file_text(p->out);
    bool found = strstr(text, wanted) != NULL;
    free(text);
    if (found) return true;
    nap_ms(10);
  }
  return false;
}

static void a_watch_on_the_command_line_shows_each_change(void **state) {
  char url[128];
  process p;
  (void)state;
  snprintf(url, sizeof url, "ipc://%s/search.sock", c.dir);
  const char *const args[] = {"health", "--url", url, "--watch", NULL};
  process_start(&p, c.dir, "watch", "tether-cli", args);
  assert_true(has_line(&p, "SERVING\n"));
  kill(c.search.pid, SIGTERM);
  assert_int_equal(process_wait(&p), 1);
  char *out = file_text(p.out);
  assert_string_equal(out, "SERVING\nNOT_SERVING\n");
  free(out);
  assert_int_equal(process_wait(&c.search), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_service_says_that_it_is_serving),
      TEST(a_watcher_hears_of_a_drain_while_a_query_still_runs),
      TEST(a_watcher_of_a_killed_shard_is_cut_and_finds_the_next_one),
      TEST(the_exit_code_of_the_probe_is_the_health),
      TEST(a_watch_on_the_command_line_shows_each_change),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
