/* A server that drains under load: every call that was sent is answered. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define CLIENTS 4
#define IN_FLIGHT 16
#define ROUNDS 20

/* A client that keeps calls going. */
struct load {
  tether_client *client;
  atomic_bool stop;
  atomic_int under_way, ended;
};

static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

static void start(struct load *load);

static void on_done(tether_call *call, void *data) {
  struct load *load = data;
  (void)call;
  atomic_fetch_add(&load->ended, 1);
  if (atomic_load(&load->stop))
    atomic_fetch_sub(&load->under_way, 1);
  else
    start(load);
}

static void *run(void *data) {
  struct load *load = data;
  for (int i = 0; i < IN_FLIGHT; i++) {
    atomic_fetch_add(&load->under_way, 1);
    start(load);
  }
  return NULL;
}

/* Half of the calls are answered by the pool, half on the I/O thread. Without a connection calls wait, so the callback
 * does not come back at once. */
static void start(struct load *load) {
  const tether_call_options options = {.wait_for_ready = true, .timeout_ns = RPC_TEST_BOUND_NS};
  bool pooled = atomic_load(&load->ended) % 2;
  tether_call *call = pooled ? testing_v1_echo_client_pooled_start(load->client, tether_ctx_background(), &request,
                                                                   &options, on_done, load)
                             : testing_v1_echo_client_quick_start(load->client, tether_ctx_background(), &request,
                                                                  &options, on_done, load);
  tether_call_unref(call);
}

static bool has_ended_some(void *data) {
  struct load *loads = data;
  for (int i = 0; i < CLIENTS; i++)
    if (atomic_load(&loads[i].ended) < 200) return false;
  return true;
}

static bool is_over(void *data) { return atomic_load(&((struct load *)data)->under_way) == 0; }

/* The server that serves next; the one before has drained. */
static void open_server(struct rpc_fixture *f) {
  assert_int_equal(tether_server_open(NULL, &f->server), TETHER_OK);
  assert_int_equal(echo_server_add(f->server, &f->stats), TETHER_OK);
  assert_int_equal(tether_server_listen(f->server, f->url), TETHER_OK);
}

static void a_drain_under_load_loses_no_call_that_was_sent(void **state) {
  (void)state;
  struct rpc_fixture *f;
  static struct load loads[CLIENTS];
  pthread_t threads[CLIENTS];
  uint64_t served = 0, answered = 0;
  const tether_client_options client = {.backoff_initial_ns = 10 * TETHER_MS, .backoff_max_ns = 50 * TETHER_MS};
  assert_int_equal(rpc_fixture_open((void **)&f, NULL, NULL), 0);
  for (int i = 0; i < CLIENTS; i++) {
    loads[i] = (struct load){0};
    assert_int_equal(tether_client_open(f->url, &client, &loads[i].client), TETHER_OK);
    assert_int_equal(pthread_create(&threads[i], NULL, run, &loads[i]), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < CLIENTS; i++) atomic_store(&loads[i].ended, 0);
    assert_true(tst_wait_until(has_ended_some, loads, RPC_TEST_BOUND_NS));
    tether_server_stats stats;
    tether_server_shutdown(f->server, RPC_TEST_BOUND_NS);
    assert_int_equal(tether_server_get_stats(f->server, NULL, &stats), TETHER_OK);
    served += stats.ended[TETHER_OK];
    for (int code = 1; code < TETHER_CODES; code++) assert_int_equal(stats.ended[code], 0);
    tether_server_close(f->server);
    open_server(f);
  }
  for (int i = 0; i < CLIENTS; i++) {
    tether_client_stats stats;
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&loads[i].stop, true);
    assert_true(tst_wait_until(is_over, &loads[i], RPC_TEST_BOUND_NS));
    tether_client_get_stats(loads[i].client, &stats);
    answered += stats.ended[TETHER_OK];
    for (int code = 1; code < TETHER_CODES; code++) assert_int_equal(stats.ended[code], 0);
    tether_client_close(loads[i].client);
  }
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(f->server, NULL, &stats), TETHER_OK);
  assert_int_equal(served + stats.ended[TETHER_OK], answered);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_drain_under_load_loses_no_call_that_was_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
