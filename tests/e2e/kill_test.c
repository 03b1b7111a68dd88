/* Three server processes in a row, test -> first -> middle -> last, whose last handler waits for its context. One of
 * them is killed. Every handler below must see peer_lost, every caller above UNAVAILABLE, and nothing may stay behind.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/ctx_test.h"
#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define ROUNDS CTX_TEST_ROUNDS(100) /* a process is started in each */

enum { FIRST, MIDDLE, LAST, HOPS };

struct chain {
  char dir[64];
  struct node nodes[HOPS];
};

static int open_chain(void **state, bool tcp) {
  static const char *const names[] = {"first", "middle", "last"};
  struct chain *c = calloc(1, sizeof *c);
  snprintf(c->dir, sizeof c->dir, "/tmp/tether-test-XXXXXX");
  if (!c || !mkdtemp(c->dir)) return -1;
  for (int i = 0; i < HOPS; i++) {
    char url[128];
    snprintf(url, sizeof url, "ipc://%s/%s", c->dir, names[i]);
    if (!node_init(&c->nodes[i], names[i], tcp ? "tcp://127.0.0.1:0" : url) || !node_start(&c->nodes[i])) return -1;
  }
  *state = c;
  return 0;
}

static int setup_ipc(void **state) { return open_chain(state, false); }
static int setup_tcp(void **state) { return open_chain(state, true); }

static int teardown(void **state) {
  struct chain *c = *state;
  char command[128];
  for (int i = 0; i < HOPS; i++) node_fini(&c->nodes[i]);
  snprintf(command, sizeof command, "rm -rf %s", c->dir);
  int failed = system(command);
  free(c);
  return failed;
}

/* Starts the chain of calls and returns when the last handler waits. */
static tether_call *call_chain(struct chain *c, tether_client *client, const tether_ctx *ctx) {
  Testing__V1__Request leaf = TESTING__V1__REQUEST__INIT, middle = TESTING__V1__REQUEST__INIT;
  char *last[] = {c->nodes[LAST].url}, *second[] = {c->nodes[MIDDLE].url};
  middle.targets = last;
  middle.n_targets = 1;
  leaf.targets = second;
  leaf.n_targets = 1;
  leaf.deeper = &middle;
  tether_call *call =
      testing_v1_echo_client_fan_start(client, ctx, &leaf, &(tether_call_options){.wait_for_ready = true}, NULL, NULL);
  assert_true(rpc_wait_for(&c->nodes[LAST].shared->stats.hanging, 1));
  return call;
}

static int lost(struct chain *c, int hop) {
  return atomic_load(&c->nodes[hop].shared->stats.ended[TETHER_CAUSE_PEER_LOST]);
}

/* Bounded by what a handler needs for itself; more would be one per round. */
struct baseline {
  int fds[HOPS], threads[HOPS];
};

static bool is_back(void *data) {
  void **pair = data;
  struct chain *c = pair[0];
  struct baseline *b = pair[1];
  for (int i = 0; i < HOPS; i++)
    if (c->nodes[i].pid && (node_fds(&c->nodes[i]) > b->fds[i] + 4 || node_threads(&c->nodes[i]) > b->threads[i] + 4))
      return false;
  return true;
}

static void kill_rounds(struct chain *c, int victim) {
  struct baseline baseline = {0};
  tether_client_options quick = {.backoff_initial_ns = 5 * TETHER_MS, .backoff_max_ns = 20 * TETHER_MS};
  for (int round = 0; round < ROUNDS; round++) {
    tether_client *client;
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
    assert_int_equal(tether_client_open(c->nodes[FIRST].url, &quick, &client), TETHER_OK);
    tether_call *call = call_chain(c, client, ctx);
    int before[HOPS];
    for (int i = 0; i < HOPS; i++) before[i] = lost(c, i);
    node_stop(&c->nodes[victim], SIGKILL);
    tether_call_wait(call);
    rpc_assert_code(call, TETHER_UNAVAILABLE);
    for (int i = victim + 1; i < HOPS; i++)
      assert_true(rpc_wait_for(&c->nodes[i].shared->stats.ended[TETHER_CAUSE_PEER_LOST], before[i] + 1));
    assert_true(rpc_wait_for(&c->nodes[LAST].shared->stats.hanging, 0));
    tether_call_unref(call);
    tether_client_close(client);
    assert_true(node_start(&c->nodes[victim]));
    if (round == ROUNDS / 2)
      for (int i = 0; i < HOPS; i++) {
        baseline.fds[i] = node_fds(&c->nodes[i]);
        baseline.threads[i] = node_threads(&c->nodes[i]);
      }
  }
  void *pair[] = {c, &baseline};
  assert_true(tst_wait_until(is_back, pair, RPC_TEST_BOUND_NS));
}

static void killing_the_first_ends_the_middle_and_the_last_with_peer_lost(void **state) { kill_rounds(*state, FIRST); }
static void killing_the_middle_ends_the_last_with_peer_lost_and_the_caller_unavailable(void **state) {
  kill_rounds(*state, MIDDLE);
}
static void killing_the_last_ends_the_caller_unavailable(void **state) { kill_rounds(*state, LAST); }

#define OVER_BOTH(test) \
  {#test " over ipc", test, setup_ipc, teardown, NULL}, { #test " over tcp", test, setup_tcp, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      OVER_BOTH(killing_the_first_ends_the_middle_and_the_last_with_peer_lost),
      OVER_BOTH(killing_the_middle_ends_the_last_with_peer_lost_and_the_caller_unavailable),
      OVER_BOTH(killing_the_last_ends_the_caller_unavailable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
