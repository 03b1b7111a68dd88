/* Deadlines and cancellation of calls over a real socket. */
#include <string.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static tether_ctx *within(int64_t timeout_ns) { return tether_ctx_with_timeout(tether_ctx_background(), timeout_ns); }

static void the_handler_sees_what_is_left_of_the_callers_time(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = within(20 * TETHER_SEC);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  int64_t seen = testing_v1_echo_pooled_reply(call)->remaining_ns;
  assert_true(seen > 0 && seen <= 20 * TETHER_SEC);
}

static void no_deadline_is_not_the_same_as_nothing_left(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_pooled(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(testing_v1_echo_pooled_reply(call)->remaining_ns, -1);
}

static void the_earlier_of_the_contexts_deadline_and_the_calls_timeout_applies(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = within(20 * TETHER_SEC);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *shorter =
      testing_v1_echo_client_pooled(f->client, ctx, &request, &(tether_call_options){.timeout_ns = 10 * TETHER_SEC});
  rpc_assert_code(shorter, TETHER_OK);
  assert_true(testing_v1_echo_pooled_reply(shorter)->remaining_ns <= 10 * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *longer =
      testing_v1_echo_client_pooled(f->client, ctx, &request, &(tether_call_options){.timeout_ns = 100 * TETHER_SEC});
  rpc_assert_code(longer, TETHER_OK);
  assert_true(testing_v1_echo_pooled_reply(longer)->remaining_ns <= 20 * TETHER_SEC);
}

static void a_call_whose_context_is_done_already_sends_nothing(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *expired = within(0);
  TETHER_SCOPED_CALL tether_call *late = testing_v1_echo_client_pooled(f->client, expired, &request, NULL);
  rpc_assert_code(late, TETHER_DEADLINE_EXCEEDED);
  TETHER_SCOPED tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(cancelled);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, cancelled, &request, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *good = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(good, TETHER_OK);
  assert_int_equal(atomic_load(&f->stats.started), 1);
}

static void when_the_deadline_passes_caller_and_handler_both_stop_for_it(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *ctx = within(30 * TETHER_MS);
  int64_t before = tether_now_ns();
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(f->client, ctx, &request, NULL);
  assert_true(tether_now_ns() - before >= 30 * TETHER_MS * 7 / 8); /* less the reserve, when the server says it first */
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_DEADLINE);
  assert_true(rpc_wait_for(&f->stats.ended[TETHER_CAUSE_DEADLINE], atomic_load(&f->stats.started)));
  assert_int_equal(atomic_load(&f->stats.hanging), 0);
}

static void a_methods_default_timeout_applies_where_the_call_sets_none(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_has_default(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  TETHER_SCOPED_CALL tether_call *endless = testing_v1_echo_client_has_default_start(
      f->client, tether_ctx_background(), &request, &(tether_call_options){.timeout_ns = TETHER_FOREVER}, NULL, NULL);
  assert_int_equal(tether_ctx_deadline_ns(tether_call_ctx(endless)), TETHER_FOREVER);
  tether_call_cancel(endless, NULL);
  assert_int_equal(tether_call_wait(endless), TETHER_CANCELLED);
}

static void a_method_that_requires_a_deadline_refuses_calls_without_one(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_needs_deadline(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(call, TETHER_INVALID_ARGUMENT);
  /* A client that does not know the option is refused by the server. */
  tether_method method = testing_v1_echo_needs_deadline_method;
  method.flags = 0;
  TETHER_SCOPED_CALL tether_call *sent =
      tether_call_unary(f->client, tether_ctx_background(), &method, &request.base, NULL);
  rpc_assert_code(sent, TETHER_INVALID_ARGUMENT);
  assert_int_equal(atomic_load(&f->stats.started), 0);
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *good = testing_v1_echo_client_needs_deadline(f->client, ctx, &request, NULL);
  rpc_assert_code(good, TETHER_OK);
}

static void a_detached_calls_bound_is_the_deadline_that_its_method_requires(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options detached = {.detached_ns = RPC_TEST_BOUND_NS};
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_needs_deadline(f->client, tether_ctx_background(), &request, &detached);
  rpc_assert_code(call, TETHER_OK);
  int64_t left_ns = testing_v1_echo_needs_deadline_reply(call)->remaining_ns;
  assert_true(left_ns > 0 && left_ns <= RPC_TEST_BOUND_NS);
  tether_method method = testing_v1_echo_needs_deadline_method; /* of a client that leaves it to the server */
  method.flags = 0;
  TETHER_SCOPED_CALL tether_call *sent =
      tether_call_unary(f->client, tether_ctx_background(), &method, &request.base, &detached);
  rpc_assert_code(sent, TETHER_OK);
}

static void cancelling_the_context_ends_the_call_and_its_handler_with_the_same_cause_and_origin(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int code = TETHER_CAUSE_CALLER; code <= TETHER_CAUSE_OTHER; code++) {
    int before = atomic_load(&f->stats.ended[code]);
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
    assert_true(rpc_wait_for(&f->stats.hanging, 1));
    tether_cause *cause = tether_cause_new((tether_cause_code)code, "far-away", "because");
    tether_ctx_cancel_cause(ctx, cause);
    tether_call_wait(call);
    rpc_assert_code(call, code == TETHER_CAUSE_DEADLINE ? TETHER_DEADLINE_EXCEEDED : TETHER_CANCELLED);
    assert_int_equal(tether_cause_get_code(tether_call_cause(call)), code);
    assert_string_equal(tether_cause_origin(tether_call_cause(call)), "far-away");
    tether_cause_unref(cause);
    assert_true(rpc_wait_for(&f->stats.ended[code], before + 1));
    assert_true(rpc_wait_for(&f->stats.hanging, 0));
  }
}

static void cancelling_the_call_leaves_its_context_and_its_siblings_alone(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  tether_call *calls[2];
  for (int i = 0; i < 2; i++) calls[i] = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 2));
  tether_call_cancel(calls[0], NULL);
  tether_call_cancel(calls[0], NULL);
  assert_int_equal(tether_call_wait(calls[0]), TETHER_CANCELLED);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  assert_int_equal(tether_ctx_err(ctx), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *other = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(other, TETHER_OK);
  tether_call_cancel(calls[1], NULL);
  assert_int_equal(tether_call_wait(calls[1]), TETHER_CANCELLED);
  for (int i = 0; i < 2; i++) tether_call_unref(calls[i]);
}

/* Every interleaving of a reply and a cancel ends the call exactly once, and the connection goes on. */
struct race {
  tst_counter done;
};

static void count_done(tether_call *call, void *data) {
  struct race *race = data;
  (void)call;
  tst_counter_add(&race->done, 1);
}

static void a_cancel_that_meets_the_reply_ends_the_call_once(void **state) {
  struct rpc_fixture *f = *state;
  enum { N = 20000 };
  struct race race;
  tst_counter_init(&race.done);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  int odd = 0;
  for (int i = 0; i < N; i++) {
    TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
    tether_call *call = i % 2 ? testing_v1_echo_client_quick_start(f->client, ctx, &request, NULL, count_done, &race)
                              : testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, count_done, &race);
    for (volatile int spin = 0; spin < (i * 7919) % 40000; spin = spin + 1) continue;
    tether_call_cancel(call, NULL);
    tether_code code = tether_call_wait(call);
    if (code != TETHER_OK && code != TETHER_CANCELLED) odd++;
    tether_call_unref(call);
  }
  assert_int_equal(odd, 0);
  assert_true(tst_counter_wait(&race.done, N, RPC_TEST_BOUND_NS));
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *after = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(after, TETHER_OK);
  assert_int_equal(tst_counter_get(&race.done), N);
  tst_counter_fini(&race.done);
}

static void a_deadline_that_meets_the_reply_ends_the_call_once(void **state) {
  struct rpc_fixture *f = *state;
  enum { N = 5000 };
  struct race race;
  tst_counter_init(&race.done);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  int odd = 0;
  for (int i = 0; i < N; i++) {
    TETHER_SCOPED tether_ctx *ctx = within((i % 600) * TETHER_US);
    tether_call *call = testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, count_done, &race);
    tether_code code = tether_call_wait(call);
    if (code != TETHER_OK && code != TETHER_DEADLINE_EXCEEDED) odd++;
    tether_call_unref(call);
  }
  assert_int_equal(odd, 0);
  assert_true(tst_counter_wait(&race.done, N, RPC_TEST_BOUND_NS));
  tst_counter_fini(&race.done);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH(the_handler_sees_what_is_left_of_the_callers_time),
      WITH(no_deadline_is_not_the_same_as_nothing_left),
      WITH(the_earlier_of_the_contexts_deadline_and_the_calls_timeout_applies),
      WITH(a_call_whose_context_is_done_already_sends_nothing),
      WITH(when_the_deadline_passes_caller_and_handler_both_stop_for_it),
      WITH(a_methods_default_timeout_applies_where_the_call_sets_none),
      WITH(a_method_that_requires_a_deadline_refuses_calls_without_one),
      WITH(a_detached_calls_bound_is_the_deadline_that_its_method_requires),
      WITH(cancelling_the_context_ends_the_call_and_its_handler_with_the_same_cause_and_origin),
      WITH(cancelling_the_call_leaves_its_context_and_its_siblings_alone),
      WITH(a_cancel_that_meets_the_reply_ends_the_call_once),
      WITH(a_deadline_that_meets_the_reply_ends_the_call_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
