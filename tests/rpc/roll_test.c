/* Servers are drained and replaced, one after the other, under load: no call fails, by any policy. Over sockets. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc/client.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { SERVERS = 3, CALLERS = 4, ROUNDS = 9 };

struct bank {
  char dir[64], target[512], urls[SERVERS][128];
  tether_server *servers[SERVERS];
  struct echo_stats stats[SERVERS];
};

struct caller {
  pthread_t thread;
  tether_client *client;
  atomic_int *stop;
  atomic_int ok, failed;
  char why[256];
};

static void serve(struct bank *b, int i) {
  assert_int_equal(tether_server_open(NULL, &b->servers[i]), TETHER_OK);
  assert_int_equal(echo_server_add(b->servers[i], &b->stats[i]), TETHER_OK);
  assert_int_equal(tether_server_listen(b->servers[i], b->urls[i]), TETHER_OK);
}

static void *call_on(void *data) {
  struct caller *c = data;
  for (int i = 0; !atomic_load(c->stop); i++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
    TETHER_SCOPED_CALL tether_call *call = i % 2 ? testing_v1_echo_client_quick(c->client, ctx, &request, NULL)
                                                 : testing_v1_echo_client_pooled(c->client, ctx, &request, NULL);
    if (tether_call_code(call) == TETHER_OK) {
      atomic_fetch_add(&c->ok, 1);
    } else if (atomic_fetch_add(&c->failed, 1) == 0) {
      snprintf(c->why, sizeof c->why, "%s: %s", tether_code_name(tether_call_code(call)), tether_call_message(call));
    }
  }
  return NULL;
}

static bool all_have_called(void *data) {
  struct caller *callers = data;
  for (int i = 0; i < CALLERS; i++)
    if (atomic_load(&callers[i].ok) < 20) return false;
  return true;
}

/* To the next server's turn the client has come back to the last one. */
static bool is_connected(void *data) {
  tether_client *client = data;
  pthread_mutex_lock(&client->mu);
  bool first = client->balance.policy == TETHER_PICK_FIRST;
  bool connected = client->balance.ready_count == (first ? 1 : SERVERS);
  pthread_mutex_unlock(&client->mu);
  return connected;
}

static void roll(tether_balancing balancing) {
  struct bank b = {.dir = "/tmp/tether-test-XXXXXX"};
  struct caller callers[CALLERS];
  atomic_int stop = 0;
  tether_client *client;
  const tether_client_options options = {
      .balancing = balancing, .backoff_initial_ns = 5 * TETHER_MS, .backoff_max_ns = 20 * TETHER_MS};
  assert_non_null(mkdtemp(b.dir));
  for (int i = 0; i < SERVERS; i++) {
    snprintf(b.urls[i], sizeof b.urls[i], "ipc://%s/%d", b.dir, i);
    serve(&b, i);
  }
  snprintf(b.target, sizeof b.target, "%s,%s,%s", b.urls[0], b.urls[1], b.urls[2]);
  assert_int_equal(tether_client_open(b.target, &options, &client), TETHER_OK);
  for (int i = 0; i < CALLERS; i++) {
    callers[i] = (struct caller){.client = client, .stop = &stop};
    assert_int_equal(pthread_create(&callers[i].thread, NULL, call_on, &callers[i]), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < CALLERS; i++) atomic_store(&callers[i].ok, 0);
    assert_true(tst_wait_until(all_have_called, callers, RPC_TEST_BOUND_NS));
    assert_true(tst_wait_until(is_connected, client, RPC_TEST_BOUND_NS));
    tether_server_shutdown(b.servers[round % SERVERS], RPC_TEST_BOUND_NS);
    tether_server_close(b.servers[round % SERVERS]);
    serve(&b, round % SERVERS);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
  tether_client_close(client);
  for (int i = 0; i < SERVERS; i++) tether_server_close(b.servers[i]);
  for (int i = 0; i < SERVERS; i++) (void)unlink(b.urls[i] + 6);
  rmdir(b.dir);
  for (int i = 0; i < CALLERS; i++)
    if (atomic_load(&callers[i].failed))
      fail_msg("%d calls failed: %s", atomic_load(&callers[i].failed), callers[i].why);
}

static void no_call_fails_with_pick_first(void **state) {
  (void)state;
  roll(TETHER_PICK_FIRST);
}

static void no_call_fails_with_round_robin(void **state) {
  (void)state;
  roll(TETHER_ROUND_ROBIN);
}

static void no_call_fails_with_the_least_of_two(void **state) {
  (void)state;
  roll(TETHER_LEAST_OF_TWO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_call_fails_with_pick_first),
      cmocka_unit_test(no_call_fails_with_round_robin),
      cmocka_unit_test(no_call_fails_with_the_least_of_two),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
