/* A client of several addresses: which it connects to, which its calls go to, what state that makes, and what happens
 * when nobody calls; in virtual time. */
#include <pthread.h>
#include <string.h>

#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

static void assert_state(tether_client *client, tether_connectivity state) {
  assert_int_equal(tether_client_connectivity(client), state);
}

static void end(tether_call *call) {
  tether_call_cancel(call, NULL);
  tst_bank_pump();
  tether_call_unref(call);
}

/* ---- Pick first ---------------------------------------------------------------------------- */

static void pick_first_takes_the_first_address_that_is_there(void **state) {
  (void)state;
  tst_bank_up(1);
  tst_bank_up(2);
  tether_client *client = tst_bank_client("mem://a,mem://b,mem://c", NULL);
  assert_state(client, TETHER_CONNECTING);
  tst_bank_pump(); /* a is refused, and it is b's turn at once */
  assert_state(client, TETHER_CONNECTING);
  tst_bank_hello(1);
  assert_state(client, TETHER_READY);
  assert_false(tst_bank_is_connected(2));
  tether_call *calls[3];
  for (int i = 0; i < 3; i++) calls[i] = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(1), 3);
  for (int i = 0; i < 3; i++) end(calls[i]);
  tst_bank_close(client);
}

static void pick_first_does_not_wait_long_for_one_that_is_silent(void **state) {
  (void)state;
  tst_bank_up(0);
  tst_bank_up(1);
  tether_client *client = tst_bank_client("mem://a,mem://b", NULL);
  tst_bank_pump();
  assert_true(tst_bank_is_connected(0)); /* and says nothing */
  tst_bank_move(250 * TETHER_MS - 1);
  assert_false(tst_bank_is_connected(1));
  tst_bank_move(1);
  assert_true(tst_bank_is_connected(1));
  tst_bank_hello(1);
  assert_state(client, TETHER_READY);
  assert_false(tst_bank_is_connected(0)); /* given up: there is one connection */
  tst_bank_close(client);
}

static void pick_first_begins_anew_when_its_connection_is_lost(void **state) {
  (void)state;
  tst_bank_up(1);
  tether_client *client = tst_bank_client("mem://a,mem://b", NULL);
  tst_bank_pump();
  tst_bank_hello(1);
  tst_bank_up(0);
  tst_bank_move(10 * TETHER_SEC);
  assert_false(tst_bank_is_connected(0)); /* what works is kept */
  tst_bank_down(1);
  assert_state(client, TETHER_CONNECTING);
  tst_bank_hello(0);
  assert_state(client, TETHER_READY);
  tst_bank_close(client);
}

/* ---- The others ---------------------------------------------------------------------------- */

static tether_client *client_of_three(tether_balancing policy) {
  const tether_client_options options = {.balancing = policy};
  for (int i = 0; i < 3; i++) tst_bank_up(i);
  tether_client *client = tst_bank_client("mem://a,mem://b,mem://c,mem://b", &options);
  tst_bank_pump();
  for (int i = 0; i < 3; i++) tst_bank_hello(i);
  assert_state(client, TETHER_READY);
  return client;
}

static void round_robin_calls_each_in_turn(void **state) {
  (void)state;
  enum { N = 21 };
  tether_call *calls[N];
  tether_client *client = client_of_three(TETHER_ROUND_ROBIN);
  for (int i = 0; i < N; i++) calls[i] = tst_bank_call(client, false);
  for (int i = 0; i < 3; i++) assert_int_equal(tst_bank_calls(i), N / 3);
  for (int i = 0; i < N; i++) end(calls[i]);
  tst_bank_close(client);
}

static void round_robin_goes_on_with_those_that_are_left_and_takes_back_who_returns(void **state) {
  (void)state;
  tether_call *calls[12];
  tether_client *client = client_of_three(TETHER_ROUND_ROBIN);
  tst_bank_down(1);
  assert_state(client, TETHER_READY);
  for (int i = 0; i < 6; i++) calls[i] = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0), 3);
  assert_int_equal(tst_bank_calls(2), 3);
  tst_bank_serve(1);
  for (int i = 6; i < 12; i++) calls[i] = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(1), 2);
  for (int i = 0; i < 12; i++) end(calls[i]);
  tst_bank_close(client);
}

static void least_of_two_spares_the_one_that_is_busy(void **state) {
  (void)state;
  enum { BUSY = 8, N = 60 };
  tether_call *busy[BUSY], *calls[N];
  const tether_client_options options = {.balancing = TETHER_LEAST_OF_TWO};
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a,mem://b,mem://c", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  for (int i = 0; i < BUSY; i++) busy[i] = tst_bank_call(client, false); /* while it is alone */
  assert_int_equal(tst_bank_calls(0), BUSY);
  tst_bank_serve(1);
  tst_bank_serve(2);
  for (int i = 0; i < N; i++) {
    int before[3];
    for (int at = 0; at < 3; at++) before[at] = tst_bank_calls(at);
    calls[i] = tst_bank_call(client, false);
    for (int at = 0; at < 3; at++) /* answered at once */
      if (tst_bank_calls(at) > before[at]) tst_bank_trailers(at, (uint32_t)before[at] + 1, TETHER_NOT_FOUND);
    rpc_assert_code(calls[i], TETHER_NOT_FOUND);
    tether_call_unref(calls[i]);
  }
  assert_int_equal(tst_bank_calls(0), BUSY); /* whoever it was compared with had fewer */
  assert_int_equal(tst_bank_calls(1) + tst_bank_calls(2), N);
  assert_in_range(tst_bank_calls(1), N / 6, N - N / 6);
  for (int i = 0; i < BUSY; i++) end(busy[i]);
  tst_bank_close(client);
}

static void all_failed_is_failure_until_one_is_there(void **state) {
  (void)state;
  const tether_client_options options = {.balancing = TETHER_ROUND_ROBIN};
  tether_client *client = tst_bank_client("mem://a,mem://b", &options);
  TETHER_SCOPED_CALL tether_call *hasty = tst_bank_call(client, false);
  assert_state(client, TETHER_TRANSIENT_FAILURE);
  rpc_assert_code(hasty, TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(hasty), "mem://"));
  tether_call *patient = tst_bank_call(client, true);
  tst_bank_serve(1);
  assert_state(client, TETHER_READY);
  assert_int_equal(tst_bank_calls(1), 1);
  end(patient);
  tst_bank_close(client);
}

static void each_address_has_its_own_back_off(void **state) {
  (void)state;
  const tether_client_options options = {.balancing = TETHER_ROUND_ROBIN};
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a,mem://b", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  for (int i = 0; i < 60; i++) tst_bank_move(10 * TETHER_SEC);
  tst_bank_down(0);
  const tth_subchannel *lost = client->subchannels[0], *absent = client->subchannels[1];
  assert_true(absent->attempt_ns - absent->attempted_ns >= 60 * TETHER_SEC);
  assert_int_equal(lost->attempted_ns, tether_now_ns()); /* at once: its connection had lasted */
  assert_true(lost->attempt_ns - lost->attempted_ns <= 2 * TETHER_SEC);
  tst_bank_close(client);
}

/* ---- Idle ---------------------------------------------------------------------------------- */

static void a_lazy_client_connects_with_its_first_call(void **state) {
  (void)state;
  const tether_client_options options = {.lazy = true};
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", &options);
  tst_bank_move(TETHER_SEC);
  assert_state(client, TETHER_IDLE);
  assert_false(tst_bank_is_connected(0));
  tether_call *call = tst_bank_call(client, false);
  assert_state(client, TETHER_CONNECTING);
  tst_bank_hello(0);
  assert_int_equal(tst_bank_calls(0), 1);
  end(call);
  tst_bank_close(client);

  client = tst_bank_client("mem://a", &options); /* or when it is told to */
  tst_bank_down(0);
  tst_bank_up(0);
  tether_client_connect(client);
  tst_bank_pump();
  tst_bank_hello(0);
  assert_state(client, TETHER_READY);
  tst_bank_close(client);
}

static void a_client_that_nobody_uses_closes_its_connections_until_the_next_call(void **state) {
  (void)state;
  const tether_client_options options = {.balancing = TETHER_ROUND_ROBIN, .idle_timeout_ns = 60 * TETHER_SEC};
  tst_bank_up(0);
  tst_bank_up(1);
  tether_client *client = tst_bank_client("mem://a,mem://b", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  tst_bank_hello(1);
  tether_call *call = tst_bank_call(client, false);
  for (int i = 0; i < 5; i++) tst_bank_move(60 * TETHER_SEC);
  assert_state(client, TETHER_READY); /* a call in flight is use */
  int at = tst_bank_calls(0) ? 0 : 1;
  tst_bank_trailers(at, 1, TETHER_ABORTED);
  rpc_assert_code(call, TETHER_ABORTED);
  tether_call_unref(call);
  tst_bank_move(60 * TETHER_SEC);
  tst_bank_move(60 * TETHER_SEC);
  assert_state(client, TETHER_IDLE);
  assert_false(tst_bank_is_connected(0));
  assert_false(tst_bank_is_connected(1));
  for (int i = 0; i < 2; i++) tst_bank_down(i);
  for (int i = 0; i < 2; i++) tst_bank_up(i);
  tst_bank_move(3600 * TETHER_SEC);
  assert_false(tst_bank_is_connected(0));
  call = tst_bank_call(client, false);
  tst_bank_hello(0);
  tst_bank_hello(1);
  assert_int_equal(tst_bank_calls(0) + tst_bank_calls(1), 1);
  end(call);
  tst_bank_close(client);
}

/* ---- Waiting ------------------------------------------------------------------------------- */

struct watcher {
  pthread_t thread;
  tether_client *client;
  tether_code code;
  tether_connectivity seen;
};

static void *watch(void *data) {
  struct watcher *w = data;
  w->code = tether_client_wait_change(w->client, tether_ctx_background(), TETHER_CONNECTING, &w->seen);
  return NULL;
}

static void a_change_of_state_is_told_to_who_waits_for_it(void **state) {
  (void)state;
  struct watcher w = {.code = TETHER_UNKNOWN};
  tst_bank_up(0);
  w.client = tst_bank_client("mem://a", NULL);
  tst_bank_pump();
  assert_int_equal(pthread_create(&w.thread, NULL, watch, &w), 0);
  tst_bank_hello(0);
  pthread_join(w.thread, NULL);
  assert_int_equal(w.code, TETHER_OK);
  assert_int_equal(w.seen, TETHER_READY);
  TETHER_SCOPED tether_ctx *over = tether_ctx_with_timeout(tether_ctx_background(), 0);
  w.seen = TETHER_SHUTDOWN;
  assert_int_equal(tether_client_wait_change(w.client, over, TETHER_READY, &w.seen), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(w.seen, TETHER_SHUTDOWN); /* written on success only */
  tst_bank_close(w.client);
}

/* ---- Targets ------------------------------------------------------------------------------- */

static void a_target_that_cannot_work_is_refused(void **state) {
  (void)state;
  tether_client *client;
  const tether_client_options bad = {.balancing = (tether_balancing)9};
  assert_int_equal(tether_client_open("tcp://127.0.0.1:1,", NULL, &client), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_client_open("tcp://127.0.0.1:1,nonsense", NULL, &client), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_client_open("", NULL, &client), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_client_open("tcp://127.0.0.1:1", &bad, &client), TETHER_INVALID_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(pick_first_takes_the_first_address_that_is_there),
      TST_BANK_CASE(pick_first_does_not_wait_long_for_one_that_is_silent),
      TST_BANK_CASE(pick_first_begins_anew_when_its_connection_is_lost),
      TST_BANK_CASE(round_robin_calls_each_in_turn),
      TST_BANK_CASE(round_robin_goes_on_with_those_that_are_left_and_takes_back_who_returns),
      TST_BANK_CASE(least_of_two_spares_the_one_that_is_busy),
      TST_BANK_CASE(all_failed_is_failure_until_one_is_there),
      TST_BANK_CASE(each_address_has_its_own_back_off),
      TST_BANK_CASE(a_lazy_client_connects_with_its_first_call),
      TST_BANK_CASE(a_client_that_nobody_uses_closes_its_connections_until_the_next_call),
      TST_BANK_CASE(a_change_of_state_is_told_to_who_waits_for_it),
      cmocka_unit_test(a_target_that_cannot_work_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
