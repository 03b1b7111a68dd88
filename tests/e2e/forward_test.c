/* Values over three processes go exactly where their keys say, within the byte budget of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/chain_node.h"
#include "tests/support/rpc_test.h"

enum { FIRST, MIDDLE, LAST, HOPS };

struct chain {
  char dir[64];
  struct chain_node nodes[HOPS];
};

static int open_chain(void **state, unsigned middle_like) {
  static const char *const names[HOPS] = {"first", "middle", "last"};
  static struct chain chain;
  struct chain *c = &chain;
  snprintf(c->dir, sizeof c->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(c->dir)) return -1;
  for (int i = 0; i < HOPS; i++)
    if (!chain_node_open(&c->nodes[i], c->dir, names[i], i == MIDDLE ? middle_like : 0)) return -1;
  *state = c;
  return 0;
}

static int setup(void **state) { return open_chain(state, CHAIN_KNOWS_LESS); }
static int setup_small(void **state) { return open_chain(state, CHAIN_KNOWS_LESS | CHAIN_SMALL_BUDGET); }

static int teardown(void **state) {
  struct chain *c = *state;
  char command[128];
  chain_close_clients();
  for (int i = 0; i < HOPS; i++) chain_node_close(&c->nodes[i]);
  snprintf(command, sizeof command, "rm -rf %s", c->dir);
  return system(command);
}

/* A call over all hops, under these values by chain_keys' order; NULL: none. */
static void run(struct chain *c, const char *const values[CHAIN_KEYS]) {
  Testing__V1__Step steps[HOPS];
  char urls[HOPS][160];
  TETHER_SCOPED tether_ctx *bounded = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  const tether_ctx *ctx = tether_ctx_ref(bounded);
  for (int i = 0; i < CHAIN_KEYS; i++) {
    if (!values[i]) continue;
    const tether_ctx *with = tether_ctx_with_value(ctx, chain_keys[i], values[i]);
    tether_ctx_unref(ctx);
    ctx = with;
  }
  for (int i = 0; i < HOPS; i++) {
    testing__v1__step__init(&steps[i]);
    snprintf(urls[i], sizeof urls[i], "%s" CHAIN_WIDE, c->nodes[i].url);
    steps[i].url = urls[i];
    steps[i].then = i + 1 < HOPS ? &steps[i + 1] : NULL;
  }
  TETHER_SCOPED_CALL tether_call *call = chain_pass(ctx, &steps[0], false);
  rpc_assert_code(call, TETHER_OK);
  tether_ctx_unref(ctx);
}

static void assert_seen(const struct chain *c, const char *const expected[HOPS][CHAIN_KEYS]) {
  for (int i = 0; i < HOPS; i++)
    for (int j = 0; j < CHAIN_KEYS; j++) assert_string_equal(c->nodes[i].shared->seen[j], expected[i][j]);
}

static void values_go_exactly_where_their_keys_say(void **state) {
  struct chain *c = *state;
  static const char *const values[CHAIN_KEYS] = {"l", "1", "everywhere", "opaque", "s3cret"};
  static const char *const expected[HOPS][CHAIN_KEYS] = {
      /* local, one hop, all, unknown to some, secret */
      {"-", "1", "everywhere", "opaque", "-"},
      {"-", "-", "everywhere", "-", "-"}, /* it has no key for one, and passes it on */
      {"-", "-", "everywhere", "opaque", "-"},
  };
  run(c, values);
  assert_seen(c, expected);
}

static void what_is_beyond_the_callers_budget_stays_and_the_rest_goes(void **state) {
  struct chain *c = *state;
  char big[5000];
  memset(big, 'b', sizeof big - 1);
  big[sizeof big - 1] = 0;
  const char *const values[CHAIN_KEYS] = {NULL, "1", big, "small", NULL};
  static const char *const expected[HOPS][CHAIN_KEYS] = {
      {"-", "1", "-", "small", "-"},
      {"-", "-", "-", "-", "-"},
      {"-", "-", "-", "small", "-"},
  };
  run(c, values);
  assert_seen(c, expected);
}

static void each_process_keeps_its_own_budget(void **state) {
  struct chain *c = *state;
  char half[CHAIN_BUDGET];
  memset(half, 'h', sizeof half - 1);
  half[sizeof half - 1] = 0; /* with its key and overhead it is more than the middle passes on */
  half[48] = 0;
  const char *const values[CHAIN_KEYS] = {NULL, NULL, half, "0123456789012345678901234567890123456789012345678", NULL};
  run(c, values);
  const struct chain_shared *first = c->nodes[FIRST].shared, *last = c->nodes[LAST].shared;
  assert_string_equal(first->seen[CHAIN_ALL], half);
  assert_string_equal(first->seen[CHAIN_UNKNOWN], values[CHAIN_UNKNOWN]);
  /* 5 + 48 + 32 and 17 + 49 + 32 bytes: both fit 200. */
  assert_string_equal(last->seen[CHAIN_ALL], half);
  assert_string_equal(last->seen[CHAIN_UNKNOWN], values[CHAIN_UNKNOWN]);
  char long_text[160];
  memset(long_text, 'x', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  const char *const more[CHAIN_KEYS] = {NULL, NULL, half, long_text, NULL};
  run(c, more); /* 85 and 208 bytes: the second is more than the middle passes on */
  assert_memory_equal(first->seen[CHAIN_UNKNOWN], long_text, sizeof first->seen[CHAIN_UNKNOWN] - 1);
  assert_string_equal(last->seen[CHAIN_ALL], half);
  assert_string_equal(last->seen[CHAIN_UNKNOWN], "-");
}

int main(int argc, char **argv) {
  chain_node_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(values_go_exactly_where_their_keys_say, setup, teardown),
      cmocka_unit_test_setup_teardown(what_is_beyond_the_callers_budget_stays_and_the_rest_goes, setup, teardown),
      cmocka_unit_test_setup_teardown(each_process_keeps_its_own_budget, setup_small, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
