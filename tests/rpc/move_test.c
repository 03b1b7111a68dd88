/* Calls that a server has certainly not accepted go to another connection by themselves; what a server may have
 * accepted does not. In virtual time, with peers that say what the test has them say. */
#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

/* A client of a and b; a is connected and takes calls. */
static tether_client *client_of_a(void) {
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a,mem://b", NULL);
  tst_bank_pump();
  tst_bank_hello(0);
  tst_bank_up(1);
  return client;
}

static void to_b(void) {
  tst_bank_move(2 * TETHER_SEC); /* a's delay, after which it may be asked first */
  if (tst_bank_is_connected(1)) tst_bank_hello(1);
}

static void end(tether_call *call) {
  tst_bank_trailers(1, 1, TETHER_NOT_FOUND);
  rpc_assert_code(call, TETHER_NOT_FOUND);
  tether_call_unref(call);
}

static void a_call_queued_behind_the_servers_limit_moves_when_the_server_drains(void **state) {
  (void)state;
  tst_bank_streams(1);
  tether_client *client = client_of_a();
  tether_call *accepted = tst_bank_call(client, false), *queued = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0), 1);
  tst_bank_goaway(0, 1);
  to_b();
  assert_int_equal(tst_bank_calls(1), 1);
  end(queued);
  tst_bank_trailers(0, 1, TETHER_ABORTED); /* the accepted one finishes where it is */
  rpc_assert_code(accepted, TETHER_ABORTED);
  tether_call_unref(accepted);
  assert_false(tst_bank_is_connected(0)); /* which has no more use then */
  tst_bank_close(client);
}

static void a_call_queued_at_a_server_that_dies_moves_and_an_accepted_one_is_lost(void **state) {
  (void)state;
  tst_bank_streams(1);
  tether_client *client = client_of_a();
  tether_call *sent = tst_bank_call(client, false), *queued = tst_bank_call(client, false);
  tst_bank_down(0);
  rpc_assert_code(sent, TETHER_UNAVAILABLE); /* nobody knows what became of it */
  assert_int_equal(tether_cause_get_code(tether_call_cause(sent)), TETHER_CAUSE_PEER_LOST);
  tether_call_unref(sent);
  to_b();
  assert_int_equal(tst_bank_calls(1), 1);
  end(queued);
  tst_bank_close(client);
}

static void a_call_that_has_left_moves_if_the_goaway_says_it_was_not_accepted(void **state) {
  (void)state;
  tether_client *client = client_of_a();
  tether_call *accepted = tst_bank_call(client, false), *late = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0), 2);
  tst_bank_goaway(0, 1 + (uint32_t)INT32_MAX); /* a drain begins: nothing is refused yet */
  to_b();
  assert_int_equal(tst_bank_calls(1), 0);
  tst_bank_goaway(0, 1);
  assert_int_equal(tst_bank_calls(1), 1);
  end(late);
  tst_bank_trailers(0, 1, TETHER_ABORTED);
  rpc_assert_code(accepted, TETHER_ABORTED);
  tether_call_unref(accepted);
  tst_bank_close(client);
}

/* How the client counts: so many calls that never left or were not accepted, and none besides. */
static void assert_unsent(tether_client *client, uint64_t count) {
  tether_client_stats stats;
  tether_client_get_stats(client, &stats);
  assert_int_equal(stats.unsent, count);
  for (int code = 0; code < TETHER_CODES; code++) assert_int_equal(stats.ended[code], 0);
}

static void a_refused_call_moves_once(void **state) {
  (void)state;
  tether_client *client = client_of_a();
  TETHER_SCOPED_CALL tether_call *call = tst_bank_call(client, false);
  tst_bank_refuse(0, 1);
  assert_int_equal(tst_bank_calls(0), 2); /* the same is picked: it is the only one there */
  tst_bank_refuse(0, 2);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_int_equal(tether_call_attempts(call), 0);
  assert_unsent(client, 1);
  tst_bank_close(client);
}

static void a_refusal_that_crosses_the_cancel_takes_the_call_off_the_count(void **state) {
  (void)state;
  tether_client *client = client_of_a();
  TETHER_SCOPED_CALL tether_call *call = tst_bank_call(client, false);
  tether_client_stats stats;
  tether_call_cancel(call, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  tether_client_get_stats(client, &stats);
  assert_int_equal(stats.ended[TETHER_CANCELLED], 1);
  tst_bank_refuse(0, 1);
  assert_unsent(client, 1);
  const tst_frames *heard = &tst_bank_now.peers[0].heard; /* no VERDICT: it could be meant for another's UNAVAILABLE */
  tth_frame frame = {0};
  for (size_t pos = 0; pos < heard->len; pos += TTH_FRAME_HEADER + frame.length) {
    assert_true(tth_frame_get(heard->bytes + pos, heard->len - pos, &frame));
    assert_int_not_equal(frame.type, TTH_VERDICT);
  }
  tst_bank_close(client);
}

static void a_moving_call_keeps_its_deadline_and_its_cancel(void **state) {
  (void)state;
  tst_bank_streams(0);
  tether_client *client = client_of_a();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.timeout_ns = 60 * TETHER_SEC, .wait_for_ready = true};
  tether_call *expires =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, &options, NULL, NULL);
  tether_call *cancelled = tst_bank_call(client, true);
  tst_bank_goaway(0, 0);
  tst_bank_down(1);
  tether_call_cancel(cancelled, NULL);
  rpc_assert_code(cancelled, TETHER_CANCELLED);
  tether_call_unref(cancelled);
  tst_bank_move(60 * TETHER_SEC);
  rpc_assert_code(expires, TETHER_DEADLINE_EXCEEDED);
  tether_call_unref(expires);
  tst_bank_close(client);
}

/* Else a server that greets and goes, again and again, would have each call keep all those connections. */
static void a_call_that_is_given_back_without_end_ends(void **state) {
  (void)state;
  tst_bank_streams(0);
  const tether_client_options options = {.backoff_initial_ns = TETHER_MS, .backoff_max_ns = TETHER_MS};
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  TETHER_SCOPED_CALL tether_call *call = tst_bank_call(client, true);
  for (int i = 0; i < TTH_MOVES_MOST; i++) {
    assert_true(tth_call_is_running(call));
    tst_bank_goaway(0, 0);
    tst_bank_down(0);
    tst_bank_serve(0);
  }
  tst_bank_goaway(0, 0);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_unsent(client, 1);
  tst_bank_close(client);
}

static tether_call *other;

static void cancel_the_other(tether_call *call, void *data) {
  (void)call, (void)data;
  tether_call_cancel(other, NULL);
}

/* Two wait on a connection that is lost; the first, which has been given back too often, ends, and who hears of it
 * cancels the second before the connection has come to it. To the handler that made them, nothing runs below then. */
static void a_call_cancelled_while_its_lost_connection_gives_others_back_is_gone_once(void **state) {
  (void)state;
  tst_bank_streams(0);
  const tether_client_options options = {.backoff_initial_ns = TETHER_MS, .backoff_max_ns = TETHER_MS};
  const tether_call_options patient = {.wait_for_ready = true};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tth_recorder *recorder = tth_recorder_new(false, 0);
  const tether_ctx *ctx = tth_recorder_attach(tether_ctx_with_cancel(tether_ctx_background()), recorder);
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  tether_call *first = testing_v1_echo_client_quick_start(client, ctx, &request, &patient, cancel_the_other, NULL);
  for (int i = 0; i < TTH_MOVES_MOST; i++) {
    tst_bank_goaway(0, 0);
    tst_bank_down(0);
    tst_bank_serve(0);
  }
  other = testing_v1_echo_client_quick_start(client, ctx, &request, &patient, NULL, NULL);
  assert_int_equal(tth_recorder_running(recorder), 2);
  tst_bank_down(0);
  rpc_assert_code(first, TETHER_UNAVAILABLE);
  rpc_assert_code(other, TETHER_CANCELLED);
  assert_int_equal(tth_recorder_running(recorder), 0);
  assert_unsent(client, 2);
  tether_call_unref(first);
  tether_call_unref(other);
  tst_bank_close(client);
  tether_ctx_unref(ctx);
  tth_recorder_unref(recorder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(a_call_queued_behind_the_servers_limit_moves_when_the_server_drains),
      TST_BANK_CASE(a_call_queued_at_a_server_that_dies_moves_and_an_accepted_one_is_lost),
      TST_BANK_CASE(a_call_that_has_left_moves_if_the_goaway_says_it_was_not_accepted),
      TST_BANK_CASE(a_refused_call_moves_once),
      TST_BANK_CASE(a_refusal_that_crosses_the_cancel_takes_the_call_off_the_count),
      TST_BANK_CASE(a_moving_call_keeps_its_deadline_and_its_cancel),
      TST_BANK_CASE(a_call_that_is_given_back_without_end_ends),
      TST_BANK_CASE(a_call_cancelled_while_its_lost_connection_gives_others_back_is_gone_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
