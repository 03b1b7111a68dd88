/* A caller that receives its answers itself, stopped where another thread comes in between. */
#include <pthread.h>
#include <stdlib.h>

#include "rpc/client.h"
#include "rpc/link_nng.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* More than it takes until a caller receives itself. */
#define WARM 20

/* ---- The connection, with a stop ------------------------------------------------------------ */

/* What runs in the client's only connection, on whichever thread does the thing. */
static void (*_Atomic after_received)(void); /* a batch was handled */
static void (*_Atomic before_look)(void);    /* a caller that has its connection looks what has come */
static void (*_Atomic after_send)(void);

static const tth_link_ops *real_ops;
static const tth_link_events *real_events;
static tth_link_ops ops;
static void (*real_done)(void *owner, tth_link *link, const char *why);

static void run(void (*_Atomic *hook)(void)) {
  void (*fn)(void) = atomic_load(hook);
  if (fn) fn();
}

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  real_events->received(owner, batch, len);
  run(&after_received);
}

static void link_start(tth_link *link, const tth_link_events *theirs, void *owner) {
  static tth_link_events events;
  real_events = theirs;
  events = *theirs;
  events.received = on_received;
  real_ops->start(link, &events, owner);
}

static bool link_send_now(tth_link *link, const uint8_t *batch, size_t len) {
  bool all = real_ops->send_now(link, batch, len);
  run(&after_send);
  return all;
}

static tth_wait_result link_wait(tth_link *link, bool block) {
  if (!block) run(&before_look);
  return real_ops->wait(link, block);
}

static void on_dialed(void *owner, tth_link *link, const char *why) {
  if (link) {
    real_ops = link->ops;
    ops = *real_ops;
    ops.start = link_start;
    ops.send_now = link_send_now;
    ops.wait = link_wait;
    link->ops = &ops;
  }
  real_done(owner, link, why);
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  real_done = done;
  tth_transport_nng.dial(dialer, timeout_ns, on_dialed, owner);
}

/* ---- Fixture -------------------------------------------------------------------------------- */

static tth_transport transport;
static struct rpc_fixture *fixture;
static _Atomic(pthread_t) watched;
static pthread_t other;
static atomic_int other_code;
static atomic_bool went_on; /* who was stopped, because the other had come */
static tst_latch reached, gone_on;

/* Nobody takes over: who is missed stays missed. */
static int setup(void **state) {
  tth_link_nng_set_lease(3600 * TETHER_SEC);
  after_received = before_look = after_send = NULL;
  went_on = false;
  tst_latch_init(&reached);
  tst_latch_init(&gone_on);
  transport = tth_transport_nng;
  transport.dial = dial;
  if (rpc_fixture_open(state, NULL, NULL) != 0) return -1;
  fixture = *state;
  tether_client_close(fixture->client);
  return tth_client_open_on(&transport, fixture->url, NULL, &fixture->client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  after_received = before_look = after_send = NULL;
  tth_link_nng_set_lease(10 * TETHER_MS);
  int failed = rpc_fixture_close(state);
  tst_latch_fini(&reached);
  tst_latch_fini(&gone_on);
  return failed;
}

typedef tether_call *echo_fn(tether_client *client, const tether_ctx *ctx, const Testing__V1__Request *request,
                             const tether_call_options *options);

static tether_code call(echo_fn *method) {
  static const tether_call_options options = {.wait_for_ready = true};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = method(fixture->client, ctx, &request, &options);
  return tether_call_code(call);
}

static void *call_quick(void *unused) {
  atomic_store(&other_code, (int)call(testing_v1_echo_client_quick));
  return unused;
}

/* ---- Another caller before the leader has gone ---------------------------------------------- */

static void note_sent(void) {
  if (!pthread_equal(watched, pthread_self())) tst_latch_open(&gone_on);
}

/* The leader's answer was handled, and it is about to ask whether it may receive on: another's call leaves here. */
static void let_another_call(void) {
  if (!pthread_equal(watched, pthread_self())) return; /* it does not lead yet */
  atomic_store(&after_received, NULL);
  atomic_store(&after_send, note_sent);
  tst_latch_open(&reached);
  if (pthread_create(&other, NULL, call_quick, NULL) != 0) abort();
  went_on = tst_latch_wait(&gone_on, TST_BOUND_NS);
}

static void a_caller_that_comes_before_the_leader_has_gone_is_answered(void **state) {
  (void)state;
  atomic_store(&watched, pthread_self());
  for (int i = 0; i < WARM; i++) assert_int_equal(call(testing_v1_echo_client_quick), TETHER_OK);
  atomic_store(&after_received, let_another_call);
  for (int i = 0; i < 100 * WARM && !tst_latch_is_open(&reached); i++)
    assert_int_equal(call(testing_v1_echo_client_quick), TETHER_OK);
  assert_true(tst_latch_is_open(&reached));
  assert_int_equal(pthread_join(other, NULL), 0);
  assert_true(went_on);
  assert_int_equal(other_code, TETHER_OK);
}

/* ---- A close between a call's connection and its place there -------------------------------- */

static void stop_before_placed(void) {
  atomic_store(&before_look, NULL);
  tst_latch_open(&reached);
  went_on = tst_latch_wait(&gone_on, TST_BOUND_NS);
}

/* The closing thread has looked for calls, and takes leave of the server. */
static void note_closing(void) {
  if (pthread_equal(watched, pthread_self())) tst_latch_open(&gone_on);
}

static int answered; /* the caller's */

static void *call_until_cut(void *unused) {
  tether_code code = TETHER_OK;
  for (int i = 0; i < 100 * WARM && code == TETHER_OK; i++) {
    if (i == WARM) atomic_store(&before_look, stop_before_placed);
    code = call(testing_v1_echo_client_quick);
    answered += code == TETHER_OK;
  }
  atomic_store(&other_code, (int)code);
  return unused;
}

static void a_call_that_has_its_connection_as_the_client_is_closed_is_cancelled_at_both_ends(void **state) {
  (void)state;
  tether_server_stats stats;
  answered = 0;
  assert_int_equal(pthread_create(&other, NULL, call_until_cut, NULL), 0);
  bool stopped = tst_latch_wait(&reached, TST_BOUND_NS);
  tth_link_nng_set_lease(10 * TETHER_MS); /* for what comes after the last call */
  atomic_store(&watched, pthread_self());
  atomic_store(&after_send, note_closing);
  tether_client_close(fixture->client);
  fixture->client = NULL;
  assert_int_equal(pthread_join(other, NULL), 0);
  assert_true(stopped && went_on);
  assert_int_equal(other_code, TETHER_CANCELLED);
  tether_server_shutdown(fixture->server, RPC_TEST_BOUND_NS);
  assert_int_equal(tether_server_get_stats(fixture->server, NULL, &stats), TETHER_OK);
  for (int i = 0; i < TETHER_CODES; i++) assert_int_equal(stats.ended[i], i == TETHER_OK ? answered : 0);
}

#define U(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      U(a_caller_that_comes_before_the_leader_has_gone_is_answered),
      U(a_call_that_has_its_connection_as_the_client_is_closed_is_cancelled_at_both_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
