/* Stopped means stopped: who waits for a cancelled tree learns whether it has stopped, handlers' wasted time is
 * counted, and calls that are detached go on. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { DEPTH_MOST = 3, STUBBORN = 2 };

/* Threads that finish a call when its context ends; static, since they outlive a test that fails. */
static struct finisher {
  tether_call *call;
  const tether_ctx *ctx;
  pthread_t thread;
} finishers[DEPTH_MOST];
static int finisher_count;

static void *finish_when_cut(void *data) {
  struct finisher *finisher = data;
  (void)tether_ctx_wait(finisher->ctx, TETHER_FOREVER);
  tether_ctx_unref(finisher->ctx);
  echo_finish_handed(finisher->call, TETHER_OK);
  return NULL;
}

static void start_finisher(tether_call *call) {
  struct finisher *finisher = &finishers[finisher_count];
  assert_true(finisher_count < DEPTH_MOST);
  finisher->call = call;
  finisher->ctx = tether_ctx_ref(tether_call_ctx(call));
  assert_int_equal(pthread_create(&finisher->thread, NULL, finish_when_cut, finisher), 0);
  finisher_count++;
}

static void join_finishers(void) {
  while (finisher_count > 0) pthread_join(finishers[--finisher_count].thread, NULL);
}

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }

static int teardown(void **state) {
  struct rpc_fixture *f = *state;
  echo_finish_rest(&f->stats); /* with a call its context ends, and with that its finisher */
  join_finishers();
  return rpc_fixture_close(state);
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static tether_call *start(struct rpc_fixture *f, const tether_ctx *ctx, const tether_call_options *options,
                          tether_call **handler) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_handed_client_unary_start(f->client, ctx, &request, options, NULL, NULL);
  *handler = echo_take_handed(&f->stats);
  assert_non_null(*handler);
  return call;
}

static void a_cancel_waits_until_the_whole_tree_below_has_stopped(void **state) {
  struct rpc_fixture *f = *state;
  enum { LEAVES = 5 };
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *a, *leaves[LEAVES];
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  for (int i = 0; i < LEAVES; i++)
    leaves[i] = testing_v1_echo_client_hang_start(f->client, tether_call_ctx(a), &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, LEAVES));
  start_finisher(a);
  uint32_t running = 99;
  assert_int_equal(tether_call_cancel_and_wait(root, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(running, 0);
  assert_int_equal(atomic_load(&f->stats.hanging), 0);
  assert_int_equal(tether_call_code(root), TETHER_CANCELLED);
  join_finishers();
  for (int i = 0; i < LEAVES; i++) tether_call_unref(leaves[i]);
}

static void a_handler_that_does_not_stop_is_told_of_in_time(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *handler;
  TETHER_SCOPED_CALL tether_call *call = start(f, ctx, NULL, &handler);
  uint32_t running = 99;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, 50 * TETHER_MS, &running), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(handler), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  echo_finish_handed(handler, TETHER_OK);
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(running, 0);
}

/* Handlers that stop, one below the other, and below the last some that do not: how many are told of within this time;
 * 0: none in time. */
static uint32_t count_descendants(struct rpc_fixture *f, int depth, int64_t timeout_ns) {
  tether_call *calls[DEPTH_MOST], *above[DEPTH_MOST], *below[STUBBORN], *stubborn[STUBBORN];
  TETHER_SCOPED tether_ctx *ctx = bounded();
  for (int i = 0; i < depth; i++) calls[i] = start(f, i ? tether_call_ctx(above[i - 1]) : ctx, NULL, &above[i]);
  for (int i = 0; i < STUBBORN; i++) below[i] = start(f, tether_call_ctx(above[depth - 1]), NULL, &stubborn[i]);
  for (int i = 0; i < depth; i++) start_finisher(above[i]);
  uint32_t running = 99;
  tether_code code = tether_call_cancel_and_wait(calls[0], NULL, timeout_ns, &running);
  join_finishers();
  for (int i = 0; i < STUBBORN; i++) echo_finish_handed(stubborn[i], TETHER_OK);
  for (int i = 0; i < STUBBORN; i++) tether_call_unref(below[i]);
  for (int i = 0; i < depth; i++) tether_call_unref(calls[i]);
  assert_true(code == TETHER_OK || code == TETHER_DEADLINE_EXCEEDED);
  return code == TETHER_OK ? running : 0;
}

/* Each hop keeps an eighth of the time for the way: the first that is enough on this machine counts. */
static void descendants_that_still_run_are_counted_however_deep(void **state) {
  for (int depth = 1; depth <= DEPTH_MOST; depth++) {
    int64_t timeout_ns = 400 * TETHER_MS;
    while (count_descendants(*state, depth, timeout_ns) != STUBBORN) {
      timeout_ns *= 2;
      assert_true(timeout_ns < RPC_TEST_BOUND_NS);
    }
  }
}

static void a_call_that_was_never_sent_has_nothing_to_stop(void **state) {
  (void)state;
  tether_client *client;
  assert_int_equal(tether_client_open("ipc:///tmp/tether-nobody-there.sock", NULL, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick_start(
      client, ctx, &request, &(tether_call_options){.wait_for_ready = true}, NULL, NULL);
  uint32_t running = 99;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(running, 0);
  tether_client_close(client);
}

struct killer {
  struct node *node;
  tether_call *call;
};

static void *kill_node(void *data) {
  struct killer *killer = data;
  (void)tether_ctx_wait(tether_call_ctx(killer->call),
                        TETHER_FOREVER); /* the cancel has been sent, or is about to be */
  node_stop(killer->node, SIGKILL);
  return NULL;
}

static void a_server_that_dies_cannot_say_what_it_did(void **state) {
  (void)state;
  struct node node;
  tether_client *client;
  assert_true(node_init(&node, "dies", "tcp://127.0.0.1:0"));
  assert_true(node_start(&node));
  assert_int_equal(tether_client_open(node.url, NULL, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang_start(client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&node.shared->stats.hanging, 1));
  assert_true(node_pause(&node));
  struct killer killer = {.node = &node, .call = call};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, kill_node, &killer), 0);
  uint32_t running;
  tether_code code = tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running);
  pthread_join(thread, NULL);
  assert_int_equal(code, TETHER_UNAVAILABLE);
  tether_client_close(client);
  node_fini(&node);
}

static void work_after_the_end_of_its_context_is_counted_as_wasted(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *handler;
  tether_server_stats stats;
  TETHER_SCOPED_CALL tether_call *call = start(f, ctx, NULL, &handler);
  const char *path = testing_v1_handed_unary_method.path;
  assert_int_equal(tether_server_get_stats(f->server, path, &stats), TETHER_OK);
  assert_int_equal(stats.started, 1);
  assert_int_equal(stats.running, 1);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(handler), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  (void)tether_ctx_wait(tether_ctx_background(), 30 * TETHER_MS);
  echo_finish_handed(handler, TETHER_OK);
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(tether_server_get_stats(f->server, path, &stats), TETHER_OK);
  assert_int_equal(stats.running, 0);
  assert_true(stats.wasted_ns >= 25 * TETHER_MS);
  assert_int_equal(tether_server_get_stats(f->server, "/no.Such/Method", &stats), TETHER_NOT_FOUND);
}

/* ---- What a deadline means ----------------------------------------------------------------- */

static void a_detached_handler_goes_on_when_its_caller_leaves(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *handler;
  TETHER_SCOPED_CALL tether_call *call =
      start(f, ctx, &(tether_call_options){.detached_ns = 3600 * TETHER_SEC}, &handler);
  int64_t left_ns = tether_ctx_remaining_ns(tether_call_ctx(handler));
  assert_true(left_ns > RPC_TEST_BOUND_NS && left_ns <= 3600 * TETHER_SEC);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *behind = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(behind, TETHER_OK); /* the CANCEL before it has been read */
  assert_int_equal(tether_ctx_err(tether_call_ctx(handler)), TETHER_OK);
  echo_finish_handed(handler, TETHER_OK);
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
}

static void a_detached_handler_ends_at_its_own_bound(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *handler;
  TETHER_SCOPED_CALL tether_call *call =
      start(f, ctx, &(tether_call_options){.detached_ns = 500 * TETHER_MS}, &handler);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(handler), RPC_TEST_BOUND_NS), TETHER_DEADLINE_EXCEEDED);
  echo_finish_handed(handler, TETHER_OK);
  assert_int_equal(tether_call_wait(call), TETHER_DEADLINE_EXCEEDED);
}

static int setup_clamping(void **state) {
  return rpc_fixture_open(state, &(tether_server_options){.max_timeout_ns = 20 * TETHER_MS}, NULL);
}

static void a_server_may_bound_calls_without_a_deadline(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *none =
      testing_v1_echo_client_hang(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(none, TETHER_DEADLINE_EXCEEDED);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *later = testing_v1_echo_client_hang(f->client, ctx, &request, NULL);
  rpc_assert_code(later, TETHER_DEADLINE_EXCEEDED);
  const tether_call_options detached = {.detached_ns = 3600 * TETHER_SEC};
  TETHER_SCOPED_CALL tether_call *longer = testing_v1_echo_client_hang(f->client, ctx, &request, &detached);
  rpc_assert_code(longer, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_ctx_err(ctx), TETHER_OK); /* it was the server's bound, not this one */
}

static int setup_refusing(void **state) {
  return rpc_fixture_open(state, &(tether_server_options){.deadline_required = true}, NULL);
}

static void a_server_may_refuse_calls_without_a_deadline(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *none =
      testing_v1_echo_client_quick(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(none, TETHER_INVALID_ARGUMENT);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *some = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(some, TETHER_OK);
  const tether_call_options detached = {.detached_ns = 3600 * TETHER_SEC}; /* a bound it has */
  TETHER_SCOPED_CALL tether_call *other =
      testing_v1_echo_client_quick(f->client, tether_ctx_background(), &request, &detached);
  rpc_assert_code(other, TETHER_OK);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_cancel_waits_until_the_whole_tree_below_has_stopped),
      CASE(a_handler_that_does_not_stop_is_told_of_in_time),
      CASE(descendants_that_still_run_are_counted_however_deep),
      cmocka_unit_test(a_call_that_was_never_sent_has_nothing_to_stop),
      cmocka_unit_test(a_server_that_dies_cannot_say_what_it_did),
      CASE(work_after_the_end_of_its_context_is_counted_as_wasted),
      CASE(a_detached_handler_goes_on_when_its_caller_leaves),
      CASE(a_detached_handler_ends_at_its_own_bound),
      cmocka_unit_test_setup_teardown(a_server_may_bound_calls_without_a_deadline, setup_clamping, teardown),
      cmocka_unit_test_setup_teardown(a_server_may_refuse_calls_without_a_deadline, setup_refusing, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
