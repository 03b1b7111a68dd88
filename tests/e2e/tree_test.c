/* A call tree over three processes: 1 x 10 x 10 handlers. When the root's context ends, so does every leaf's. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { HOPS = 3, WIDTH = 10, LEAVES = WIDTH * WIDTH };

struct tree {
  struct node nodes[HOPS];
  tether_client *client;
};

static int setup(void **state) {
  static const char *const names[] = {"trunk", "branches", "leaves"};
  struct tree *t = calloc(1, sizeof *t);
  for (int i = 0; t && i < HOPS; i++)
    if (!node_init(&t->nodes[i], names[i], "tcp://127.0.0.1:0") || !node_start(&t->nodes[i])) return -1;
  *state = t;
  return t && tether_client_open(t->nodes[0].url, NULL, &t->client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  struct tree *t = *state;
  tether_client_close(t->client);
  int bad = 0;
  for (int i = 0; i < HOPS; i++) {
    bad |= node_stop(&t->nodes[i], SIGTERM); /* a clean exit, sanitizers included */
    node_fini(&t->nodes[i]);
  }
  free(t);
  return bad;
}

static tether_call *plant(struct tree *t, const tether_ctx *ctx) {
  Testing__V1__Request trunk = TESTING__V1__REQUEST__INIT, branch = TESTING__V1__REQUEST__INIT;
  char *branches[] = {t->nodes[1].url}, *leaves[] = {t->nodes[2].url};
  branch.targets = leaves;
  branch.n_targets = 1;
  branch.width = WIDTH;
  trunk.targets = branches;
  trunk.n_targets = 1;
  trunk.width = WIDTH;
  trunk.deeper = &branch;
  return testing_v1_echo_client_fan_start(t->client, ctx, &trunk, &(tether_call_options){.wait_for_ready = true}, NULL,
                                          NULL);
}

static tether_call *grow(struct tree *t, const tether_ctx *ctx) {
  tether_call *call = plant(t, ctx);
  assert_true(rpc_wait_for(&t->nodes[2].shared->stats.hanging, LEAVES));
  return call;
}

static void cancelling_the_root_ends_every_leaf_with_the_roots_cause(void **state) {
  struct tree *t = *state;
  enum { ROUNDS = 20 };
  int64_t slowest = 0;
  for (int round = 1; round <= ROUNDS; round++) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    tether_call *call = grow(t, ctx);
    tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "root", "enough");
    int64_t cancelled_ns = tether_now_ns();
    tether_ctx_cancel_cause(ctx, cause);
    tether_cause_unref(cause);
    tether_call_wait(call);
    rpc_assert_code(call, TETHER_CANCELLED);
    tether_call_unref(call);
    assert_true(rpc_wait_for(&t->nodes[2].shared->stats.ended[TETHER_CAUSE_OTHER], round * LEAVES));
    assert_true(rpc_wait_for(&t->nodes[1].shared->stats.ended[TETHER_CAUSE_OTHER], round * WIDTH));
    int64_t took = atomic_load(&t->nodes[2].shared->stats.last_end_ns) - cancelled_ns;
    if (took > slowest) slowest = took;
  }
  print_message("root cancel to last of %d leaves done, slowest of %d: %.1f ms\n", LEAVES, ROUNDS,
                (double)slowest / 1e6);
}

/* Until the tree has grown, or its deadline has come before. */
static bool grows_within(struct tree *t, const tether_ctx *ctx) {
  while (tether_ctx_err(ctx) == TETHER_OK) {
    if (atomic_load(&t->nodes[2].shared->stats.hanging) == LEAVES) return true;
    if (tether_ctx_sleep(ctx, TETHER_MS) != TETHER_OK) return false;
  }
  return false;
}

/* With the first deadline, from 2 s on, that leaves this machine the time to grow the whole tree. */
static void the_roots_deadline_ends_every_leaf(void **state) {
  struct tree *t = *state;
  bool grown = false;
  for (int64_t timeout_ns = 2 * TETHER_SEC; !grown && timeout_ns < 2 * RPC_TEST_BOUND_NS; timeout_ns *= 2) {
    int before = atomic_load(&t->nodes[2].shared->stats.ended[TETHER_CAUSE_DEADLINE]);
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns);
    tether_call *call = plant(t, ctx);
    grown = grows_within(t, ctx);
    tether_call_wait(call);
    rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
    tether_call_unref(call);
    assert_true(rpc_wait_for(&t->nodes[2].shared->stats.hanging, 0));
    if (grown) assert_true(rpc_wait_for(&t->nodes[2].shared->stats.ended[TETHER_CAUSE_DEADLINE], before + LEAVES));
  }
  assert_true(grown);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(cancelling_the_root_ends_every_leaf_with_the_roots_cause, setup, teardown),
      cmocka_unit_test_setup_teardown(the_roots_deadline_ends_every_leaf, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
