#include "tests/support/alloc_sim.h"

#include <limits.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/wait.h"

struct echo_stats tst_alloc_stats;

static tst_mem_net *net;

int tst_alloc_sim_setup(void **state) {
  tst_alloc_exempt(false);
  tst_alloc_fail(INT_MAX, 0);
  if (ctx_sim_setup(state) != 0) return -1;
  memset(&tst_alloc_stats, 0, sizeof tst_alloc_stats);
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  return net ? 0 : -1;
}

int tst_alloc_sim_teardown(void **state) {
  tst_alloc_exempt(true);
  tst_mem_net_free(net);
  return ctx_sim_teardown(state);
}

bool tst_alloc_sim_open(const tether_server_options *server_options, const tether_client_options *client_options,
                        tether_server **server, tether_client **client) {
  *client = NULL;
  *server = NULL;
  tether_code code = tth_server_open_on(&tst_transport_alloc, server_options, server);
  if (code == TETHER_OK) code = echo_server_add(*server, &tst_alloc_stats);
  if (code == TETHER_OK) code = tether_server_listen(*server, "mem://s");
  if (code == TETHER_OK) code = tth_client_open_on(&tst_transport_alloc, "mem://s", client_options, client);
  if (code != TETHER_OK) assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  return code == TETHER_OK;
}

struct closing {
  tether_client *client;
  tether_server *server;
  atomic_int running;
};

static void *run_closing(void *data) {
  struct closing *closing = data;
  tether_client_close(closing->client);
  tether_server_close(closing->server);
  atomic_store(&closing->running, 0);
  return NULL;
}

void tst_alloc_sim_close(tether_client *client, tether_server *server) {
  struct closing closing = {.client = client, .server = server, .running = 1};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, run_closing, &closing), 0);
  assert_true(tst_alloc_sim_comes_true(tst_alloc_sim_is_zero, &closing.running));
  assert_int_equal(pthread_join(thread, NULL), 0);
}

void tst_alloc_sim_pump(int64_t ns) {
  bool before = tst_alloc_exempt(true);
  ctx_sim_advance(ns);
  tst_link_mem_advance(net, tether_now_ns());
  tst_alloc_exempt(before);
}

bool tst_alloc_sim_comes_true(bool (*condition)(void *data), void *data) {
  int64_t end_ns = tst_now_ns() + RPC_TEST_BOUND_NS;
  while (!condition(data)) {
    if (tst_now_ns() >= end_ns) return false;
    ctx_pause();
  }
  return true;
}

bool tst_alloc_sim_is_zero(void *data) {
  tst_alloc_sim_pump(0);
  return atomic_load((atomic_int *)data) == 0;
}
