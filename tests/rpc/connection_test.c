/* Connections that come and go: fail fast, wait for ready, reconnect, back-off, server shutdown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static tether_ctx *within(int64_t timeout_ns) { return tether_ctx_with_timeout(tether_ctx_background(), timeout_ns); }

/* A client of an address where nobody listens yet. */
struct lonely {
  char dir[64], url[128];
  struct echo_stats stats;
  tether_client *client;
  tether_server *server;
};

static void serve(struct lonely *l) {
  assert_int_equal(tether_server_open(NULL, &l->server), TETHER_OK);
  assert_int_equal(echo_server_add(l->server, &l->stats), TETHER_OK);
  assert_int_equal(tether_server_listen(l->server, l->url), TETHER_OK);
}

static int setup(void **state) {
  struct lonely *l = calloc(1, sizeof *l);
  snprintf(l->dir, sizeof l->dir, "/tmp/tether-test-XXXXXX");
  if (!l || !mkdtemp(l->dir)) return -1;
  snprintf(l->url, sizeof l->url, "ipc://%s/s", l->dir);
  tether_client_options options = {.backoff_initial_ns = 20 * TETHER_MS, .backoff_max_ns = 50 * TETHER_MS};
  *state = l;
  return tether_client_open(l->url, &options, &l->client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  struct lonely *l = *state;
  char path[128];
  tether_client_close(l->client);
  tether_server_close(l->server);
  snprintf(path, sizeof path, "%s/s", l->dir);
  unlink(path);
  rmdir(l->dir);
  free(l);
  return 0;
}

static void a_call_while_nobody_listens_fails_fast_and_says_why(void **state) {
  struct lonely *l = *state;
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(l->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(call), l->url));
}

static void a_call_that_waits_for_ready_succeeds_once_a_server_comes(void **state) {
  struct lonely *l = *state;
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"patience";
  tether_call_options patient = {.wait_for_ready = true};
  TETHER_SCOPED_CALL tether_call *fast = testing_v1_echo_client_quick(l->client, ctx, &request, NULL);
  rpc_assert_code(fast, TETHER_UNAVAILABLE); /* one attempt has failed */
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(l->client, ctx, &request, &patient, NULL, NULL);
  serve(l);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(call)->text, "hello patience");
}

static void a_call_that_waits_for_ready_still_obeys_its_deadline(void **state) {
  struct lonely *l = *state;
  TETHER_SCOPED tether_ctx *ctx = within(30 * TETHER_MS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick(l->client, ctx, &request, &(tether_call_options){.wait_for_ready = true});
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_non_null(strstr(tether_call_message(call), "connecting"));
}

static void closing_the_client_ends_waiting_calls(void **state) {
  struct lonely *l = *state;
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick_start(
      l->client, ctx, &request, &(tether_call_options){.wait_for_ready = true}, NULL, NULL);
  tether_client_close(l->client);
  l->client = NULL;
  rpc_assert_code(call, TETHER_CANCELLED);
}

static void a_closed_server_ends_calls_unavailable_with_cause_shutdown_and_a_new_one_is_found(void **state) {
  struct lonely *l = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int round = 0; round < 5; round++) {
    TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
    serve(l);
    assert_int_equal(tether_client_wait_ready(l->client, ctx), TETHER_OK);
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_hang_start(l->client, ctx, &request, NULL, NULL, NULL);
    assert_true(rpc_wait_for(&l->stats.hanging, 1));
    tether_server_close(l->server);
    l->server = NULL;
    tether_call_wait(call);
    rpc_assert_code(call, TETHER_UNAVAILABLE);
    assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_SHUTDOWN);
    assert_int_equal(atomic_load(&l->stats.ended[TETHER_CAUSE_SHUTDOWN]), round + 1);
  }
}

static void a_graceful_shutdown_lets_accepted_calls_finish_and_refuses_new_ones(void **state) {
  struct lonely *l = *state;
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  serve(l);
  assert_int_equal(tether_client_wait_ready(l->client, ctx), TETHER_OK);
  TETHER_SCOPED tether_ctx *short_ctx = within(2 * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_hang_start(l->client, short_ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&l->stats.started, 1));
  tether_server_shutdown(l->server, RPC_TEST_BOUND_NS); /* returns when the call has ended by its own deadline */
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(atomic_load(&l->stats.ended[TETHER_CAUSE_SHUTDOWN]), 0);
  TETHER_SCOPED_CALL tether_call *refused = testing_v1_echo_client_quick(l->client, ctx, &request, NULL);
  rpc_assert_code(refused, TETHER_UNAVAILABLE);
}

static void an_impossible_url_is_refused_at_once(void **state) {
  (void)state;
  tether_client *client;
  tether_server *server;
  static const char *const urls[] = {"",       "nonsense",          "ftp://host",
                                     "tcp://", "tcp://host:port:x", "tls+tcp://127.0.0.1:1"};
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  for (size_t i = 0; i < sizeof urls / sizeof *urls - 1; i++) {
    assert_int_equal(tether_client_open(urls[i], NULL, &client), TETHER_INVALID_ARGUMENT);
    assert_int_equal(tether_server_listen(server, urls[i]), TETHER_INVALID_ARGUMENT);
  }
  assert_int_equal(tether_server_listen(server, "tls+tcp://127.0.0.1:0"), TETHER_INVALID_ARGUMENT); /* no certificate */
  tether_server_close(server);
}

static void two_servers_cannot_share_an_address(void **state) {
  struct lonely *l = *state;
  tether_server *second;
  serve(l);
  assert_int_equal(tether_server_open(NULL, &second), TETHER_OK);
  assert_int_equal(tether_server_listen(second, l->url), TETHER_UNAVAILABLE);
  tether_server_close(second);
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick(l->client, ctx, &request, &(tether_call_options){.wait_for_ready = true});
  rpc_assert_code(call, TETHER_OK); /* the first still serves */
}

static void services_are_added_before_listening_and_each_path_once(void **state) {
  struct lonely *l = *state;
  struct echo_stats stats;
  assert_int_equal(tether_server_open(NULL, &l->server), TETHER_OK);
  assert_int_equal(echo_server_add(l->server, &stats), TETHER_OK);
  assert_int_equal(echo_server_add(l->server, &stats), TETHER_ALREADY_EXISTS);
  assert_int_equal(tether_server_listen(l->server, "tcp://127.0.0.1:0"), TETHER_OK);
  assert_true(tether_server_port(l->server) > 0);
  assert_int_equal(echo_server_add(l->server, &stats), TETHER_FAILED_PRECONDITION);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH(a_call_while_nobody_listens_fails_fast_and_says_why),
      WITH(a_call_that_waits_for_ready_succeeds_once_a_server_comes),
      WITH(a_call_that_waits_for_ready_still_obeys_its_deadline),
      WITH(closing_the_client_ends_waiting_calls),
      WITH(a_closed_server_ends_calls_unavailable_with_cause_shutdown_and_a_new_one_is_found),
      WITH(a_graceful_shutdown_lets_accepted_calls_finish_and_refuses_new_ones),
      WITH(an_impossible_url_is_refused_at_once),
      WITH(two_servers_cannot_share_an_address),
      WITH(services_are_added_before_listening_and_each_path_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
