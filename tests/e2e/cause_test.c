/* Why a call was cut, as handlers four processes away from the reason see it: code, origin and text arrive unchanged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/chain_node.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { HOPS = 4 };

static struct chain {
  char dir[64];
  struct chain_node nodes[HOPS];
} chain;

static int setup(void **state) {
  (void)state;
  snprintf(chain.dir, sizeof chain.dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(chain.dir)) return -1;
  for (int i = 0; i < HOPS; i++) {
    char name[32];
    snprintf(name, sizeof name, "hop-%d", i);
    if (!chain_node_open(&chain.nodes[i], chain.dir, name, 0)) return -1;
  }
  return 0;
}

static int teardown(void **state) {
  char command[128];
  (void)state;
  chain_close_clients();
  for (int i = 0; i < HOPS; i++) chain_node_close(&chain.nodes[i]);
  snprintf(command, sizeof command, "rm -rf %s", chain.dir);
  return system(command);
}

/* A call over all hops, of which the last works until its context ends; made by a thread of its own. */
struct caller {
  struct ctx_thread thread;
  tether_ctx *ctx;
  tether_code code;
  char why[256]; /* as chain_shared's */
};

static void call(void *data) {
  struct caller *caller = data;
  Testing__V1__Step steps[HOPS];
  char urls[HOPS][160];
  for (int i = 0; i < HOPS; i++) {
    testing__v1__step__init(&steps[i]);
    snprintf(urls[i], sizeof urls[i], "%s" CHAIN_WIDE, chain.nodes[i].url);
    steps[i].url = urls[i];
    steps[i].then = i + 1 < HOPS ? &steps[i + 1] : NULL;
  }
  steps[HOPS - 1].work_ns = -1;
  TETHER_SCOPED_CALL tether_call *made = chain_pass(caller->ctx, &steps[0], false);
  const tether_cause *cause = tether_call_cause(made);
  caller->code = tether_call_code(made);
  snprintf(caller->why, sizeof caller->why, "%s, from %s: %s", tether_cause_code_name(tether_cause_get_code(cause)),
           tether_cause_origin(cause), tether_cause_text(cause));
}

static void start(struct caller *caller) {
  caller->ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * RPC_TEST_BOUND_NS);
  for (int i = 0; i < HOPS; i++) atomic_store(&chain.nodes[i].shared->cut, 0);
  atomic_int *inside = &chain.nodes[HOPS - 1].shared->inside;
  assert_true(rpc_wait_for(inside, 0)); /* the one before has returned, too */
  ctx_thread_start(&caller->thread, call, caller);
  assert_true(rpc_wait_for(inside, 1));
}

static void finish(struct caller *caller) {
  ctx_thread_join(&caller->thread);
  tether_ctx_free(caller->ctx);
}

static void assert_cut(int first, const char *why) {
  for (int i = first; i < HOPS; i++) {
    assert_true(rpc_wait_for(&chain.nodes[i].shared->cut, 1));
    assert_string_equal(chain.nodes[i].shared->why, why);
  }
}

static void a_cancels_cause_is_the_same_at_every_hop(void **state) {
  (void)state;
  for (int code = TETHER_CAUSE_CALLER; code <= TETHER_CAUSE_ENOUGH; code++) {
    if (code == TETHER_CAUSE_DEADLINE) continue; /* of which each hop may be the first to know by itself */
    struct caller caller = {0};
    char wanted[256];
    start(&caller);
    tether_cause *cause = tether_cause_newf((tether_cause_code)code, "reason %d, \xe2\x98\xba and \n", code);
    tether_ctx_cancel_cause(caller.ctx, cause);
    snprintf(wanted, sizeof wanted, "%s, from %s: %s", tether_cause_code_name((tether_cause_code)code), tether_origin(),
             tether_cause_text(cause));
    tether_cause_unref(cause);
    assert_cut(0, wanted);
    finish(&caller);
    assert_int_equal(caller.code, TETHER_CANCELLED);
    assert_string_equal(caller.why, wanted);
  }
}

static void the_origin_of_a_loss_is_whoever_noticed_it(void **state) {
  (void)state;
  struct caller caller = {0};
  static const char begin[] = "peer_lost, from hop-1: the caller is gone: ";
  start(&caller);
  chain_node_kill(&chain.nodes[0]);
  assert_true(rpc_wait_for(&chain.nodes[1].shared->cut, 1));
  char why[256];
  snprintf(why, sizeof why, "%s", chain.nodes[1].shared->why);
  assert_memory_equal(why, begin, sizeof begin - 1);
  assert_cut(1, why);
  finish(&caller);
  assert_int_equal(caller.code, TETHER_UNAVAILABLE);
}

/* And upwards, as each handler passes it on. */
static void a_failures_cause_is_the_same_at_the_caller(void **state) {
  (void)state;
  struct caller caller = {0};
  static const char begin[] = "peer_lost, from hop-2: the connection to ";
  start(&caller);
  chain_node_kill(&chain.nodes[HOPS - 1]);
  finish(&caller);
  assert_int_equal(caller.code, TETHER_UNAVAILABLE);
  assert_memory_equal(caller.why, begin, sizeof begin - 1);
}

int main(int argc, char **argv) {
  chain_node_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_cancels_cause_is_the_same_at_every_hop, setup, teardown),
      cmocka_unit_test_setup_teardown(the_origin_of_a_loss_is_whoever_noticed_it, setup, teardown),
      cmocka_unit_test_setup_teardown(a_failures_cause_is_the_same_at_the_caller, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
