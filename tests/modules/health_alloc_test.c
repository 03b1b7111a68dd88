/* The Nth allocation of the process fails, for every N, while statuses are set and watched: nothing crashes or leaks,
 * what fails says so and has changed nothing, and as soon as there is memory again everything works as if nothing had
 * been. */
#include "tests/support/rpc_test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/health.h>
#include <unistd.h>

#include "tests/support/alloc_fault.h"

static char dir[64], url[128];

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

/* What a set that failed left is what was there. */
static tether_health_status set_or_keep(tether_health *health, const char *service, tether_health_status was,
                                        tether_health_status wanted) {
  tether_code code = tether_health_set(health, service, wanted);
  if (code != TETHER_OK) assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  return code == TETHER_OK ? wanted : was;
}

/* The connection may be on its way to its end, for want of memory before. */
static void expect_status(tether_client *client, const char *service, tether_health_status wanted) {
  tether_health_status status;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_code code;
  do {
    assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
    code = tether_health_check(client, ctx, service, &status);
  } while (code == TETHER_UNAVAILABLE);
  if (wanted == TETHER_HEALTH_SERVICE_UNKNOWN) {
    assert_int_equal(code, TETHER_NOT_FOUND);
    return;
  }
  assert_int_equal(code, TETHER_OK);
  assert_int_equal(status, wanted);
}

/* Returns how many allocations there were. */
static int live(tether_health *health, tether_client *client, int from) {
  tether_health_status a = TETHER_HEALTH_SERVICE_UNKNOWN, heard = TETHER_HEALTH_UNKNOWN, b = a;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
  tst_alloc_fail(from, 2);
  TETHER_SCOPED_CALL tether_call *watch = tether_health_watch(client, ctx, "a.Service");
  a = set_or_keep(health, "a.Service", a, TETHER_HEALTH_NOT_SERVING);
  b = set_or_keep(health, "another.Service", b, TETHER_HEALTH_SERVING);
  tether_code code = tether_health_next(watch, &heard);
  while (code == TETHER_OK && heard != a) code = tether_health_next(watch, &heard);
  int made = tst_alloc_count();
  tst_alloc_fail(INT_MAX, 0);
  if (code != TETHER_OK && code != TETHER_UNAVAILABLE && code != TETHER_CANCELLED)
    assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  expect_status(client, "a.Service", a);
  expect_status(client, "another.Service", b);
  TETHER_SCOPED_CALL tether_call *again = tether_health_watch(client, ctx, "a.Service");
  assert_int_equal(tether_health_next(again, &heard), TETHER_OK);
  assert_int_equal(heard, a);
  tether_call_cancel(watch, NULL);
  tether_call_cancel(again, NULL);
  return made;
}

static void statuses_are_set_and_watched(void **state) {
  (void)state;
  int from = 0, made;
  do {
    const tether_client_options options = {.backoff_initial_ns = TETHER_MS, .backoff_max_ns = 10 * TETHER_MS};
    tether_server *server;
    tether_client *client;
    tether_health *health;
    assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
    assert_int_equal(tether_health_new(server, &health), TETHER_OK);
    assert_int_equal(tether_server_listen(server, url), TETHER_OK);
    assert_int_equal(tether_client_open(url, &options, &client), TETHER_OK);
    made = live(health, client, from);
    tether_client_close(client);
    tether_server_close(server);
    tether_health_free(health);
  } while (made > from++ && from < 500);
  assert_true(from > 10 && from < 500);
}

static void one_is_made(void **state) {
  (void)state;
  tether_server *server;
  tether_health *health = NULL;
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  tether_code code = TETHER_RESOURCE_EXHAUSTED;
  int from = 0;
  for (; code != TETHER_OK && from < 20; from++) {
    tst_alloc_fail(from, 1);
    code = tether_health_new(server, &health);
    tst_alloc_fail(INT_MAX, 0);
    if (code != TETHER_OK) assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  }
  assert_int_equal(code, TETHER_OK);
  assert_true(from > 1);
  tether_server_close(server);
  tether_health_free(health);
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/s", dir);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  unlink(url + strlen("ipc://"));
  return rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_is_made), cmocka_unit_test(statuses_are_set_and_watched)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
