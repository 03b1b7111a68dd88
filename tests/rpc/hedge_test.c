/* Hedged calls in virtual time: when attempts leave, whose answer counts, what is refused. Three servers' handlers wait
 * until the test ends them. */
#include "tests/support/hedge_sim.h"

/* ---- Attempts ------------------------------------------------------------------------------ */

static void an_answer_within_the_delay_is_the_only_attempt(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, DELAY);
  park_sim_pump(DELAY - 1);
  end(park_sim_parked(0, 0), TETHER_OK);
  assert_int_equal(r.calls, 1);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(r.call))->text, "hedge");
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 1);
  assert_done(&r, TETHER_OK);
}

static void the_second_attempt_leaves_when_the_delay_is_over_and_not_before(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, DELAY);
  park_sim_pump(DELAY - 1);
  assert_int_equal(attempts(), 1);
  park_sim_pump(1);
  assert_int_equal(attempts(), 2);
  park_sim_pump(DELAY - 1);
  assert_int_equal(attempts(), 2);
  park_sim_pump(1);
  assert_int_equal(attempts(), 3);
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 3); /* that was the last */
  end(park_sim_parked(2, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
}

static void attempts_go_to_the_clients_in_turn_and_five_are_the_most(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 99, DELAY);
  for (int i = 0; i < 10; i++) park_sim_pump(DELAY);
  assert_int_equal(attempts(), TETHER_HEDGE_MOST);
  assert_int_equal(tst_park_arrived(park_sim()->parks[0]), 2);
  assert_int_equal(tst_park_arrived(park_sim()->parks[1]), 2);
  assert_int_equal(tst_park_arrived(park_sim()->parks[2]), 1);
  end(park_sim_parked(1, 1), TETHER_OK);
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("5"));
  assert_done(&r, TETHER_OK);
}

static void without_a_delay_all_attempts_leave_at_once(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 5, 0);
  assert_int_equal(attempts(), 5);
  end(park_sim_parked(1, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
  struct result negative = {0};
  start(&negative, 2, -1);
  assert_int_equal(attempts(), 7);
  end(park_sim_parked(0, 2), TETHER_OK);
  assert_done(&negative, TETHER_OK);
}

static void with_an_endless_delay_only_failures_start_attempts(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, TETHER_FOREVER);
  park_sim_pump(1000 * TETHER_SEC);
  assert_int_equal(attempts(), 1);
  end(park_sim_parked(0, 0), TETHER_UNAVAILABLE);
  assert_int_equal(attempts(), 2);
  end(park_sim_parked(1, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
}

static void one_attempt_is_a_plain_call(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 1, 0);
  park_sim_pump(TETHER_SEC);
  assert_int_equal(attempts(), 1);
  end(park_sim_parked(0, 0), TETHER_UNAVAILABLE);
  assert_done(&r, TETHER_UNAVAILABLE);
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void the_second_answers_first_and_the_firsts_handler_ends_with_cause_hedge_lost(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 2, DELAY);
  park_sim_pump(DELAY);
  end(park_sim_parked(1, 0), TETHER_OK);
  tst_parked *lost = park_sim_parked(0, 0);
  park_assert_cut(lost, TETHER_CAUSE_HEDGE_LOST, LOST_TO("2"));
  assert_string_equal(tether_cause_origin(lost->cause), tether_origin());
  assert_int_equal(lost->err, TETHER_CANCELLED);
  assert_null(tether_call_cause(r.call));
  assert_done(&r, TETHER_OK);
}

static void the_first_answers_after_all_and_the_seconds_handler_ends(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 2, DELAY);
  park_sim_pump(DELAY);
  end(park_sim_parked(0, 0), TETHER_OK);
  park_assert_cut(park_sim_parked(1, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("1"));
  assert_done(&r, TETHER_OK);
}

static void a_non_fatal_answer_starts_the_next_attempt_at_once_and_its_delay_anew(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, DELAY);
  park_sim_pump(DELAY / 2);
  end(park_sim_parked(0, 0), TETHER_UNAVAILABLE);
  assert_int_equal(attempts(), 2);
  park_sim_pump(DELAY - 1); /* the first attempt's delay ends in between, and means nothing any more */
  assert_int_equal(attempts(), 2);
  park_sim_pump(1);
  assert_int_equal(attempts(), 3);
  assert_int_equal(r.calls, 0);
  end(park_sim_parked(2, 0), TETHER_OK);
  park_assert_cut(park_sim_parked(1, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("3"));
  assert_done(&r, TETHER_OK);
}

static void a_non_fatal_answer_does_not_count_while_another_attempt_runs(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 2, 0);
  end(park_sim_parked(1, 0), TETHER_ABORTED);
  assert_int_equal(r.calls, 0);
  end(park_sim_parked(0, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
}

static void a_fatal_answer_ends_the_other_attempts(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, DELAY);
  park_sim_pump(DELAY);
  end(park_sim_parked(1, 0), TETHER_NOT_FOUND);
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("2"));
  assert_string_equal(tether_call_message(r.call), "hedge");
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 2);
  assert_done(&r, TETHER_NOT_FOUND);
}

static void when_every_attempt_fails_the_last_failure_is_the_answer(void **state) {
  struct result r = {0};
  (void)state;
  start(&r, 3, 0);
  end(park_sim_parked(1, 0), TETHER_UNAVAILABLE);
  end(park_sim_parked(0, 0), TETHER_ABORTED);
  assert_int_equal(r.calls, 0);
  end(park_sim_parked(2, 0), TETHER_UNAVAILABLE);
  assert_done(&r, TETHER_UNAVAILABLE);
}

static void failures_alone_use_up_the_attempts_without_any_delay(void **state) {
  struct result r = {0};
  (void)state;
  for (int i = 0; i < PARKS; i++) tst_park_at_once(park_sim()->parks[i], TETHER_UNAVAILABLE);
  start(&r, 5, DELAY);
  assert_int_equal(attempts(), 5);
  assert_done(&r, TETHER_UNAVAILABLE);
}

static void a_server_that_cannot_be_reached_is_worth_another_attempt(void **state) {
  struct park_sim *sim = park_sim();
  struct result r = {0};
  tether_client *nobody;
  (void)state;
  assert_int_equal(tth_client_open_on(sim->transport, "mem://nobody", NULL, &nobody), TETHER_OK);
  park_sim_pump(0);
  tether_client *const clients[] = {nobody, sim->clients[0]};
  tether_hedging hedging = hedging_of(2, DELAY);
  hedging.clients = clients;
  hedging.client_count = 2;
  start_with(&r, &hedging, tether_ctx_background(), NULL);
  end(park_sim_parked(0, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
  park_sim_close_client(nobody);
}

static void an_attempt_that_waits_for_a_connection_is_hedged_by_one_that_has_one(void **state) {
  struct park_sim *sim = park_sim();
  struct result r = {0};
  tether_client *nobody;
  (void)state;
  assert_int_equal(tth_client_open_on(sim->transport, "mem://nobody", NULL, &nobody), TETHER_OK);
  park_sim_pump(0);
  tether_client *const clients[] = {nobody, sim->clients[0]};
  tether_hedging hedging = hedging_of(2, DELAY);
  hedging.clients = clients;
  hedging.client_count = 2;
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.wait_for_ready = true});
  assert_int_equal(attempts(), 0);
  park_sim_pump(DELAY);
  end(park_sim_parked(0, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
  park_sim_close_client(nobody);
}

/* ---- What is refused ----------------------------------------------------------------------- */

static void refused(const tether_hedging *hedging, const tether_method *method, const char *why) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  struct result r = {0};
  tether_call_hedged_start(hedging, tether_ctx_background(), method, &request.base, NULL, note, &r);
  assert_int_equal(r.calls, 1); /* before it returns */
  assert_string_equal(tether_call_message(r.call), why);
  assert_string_equal(tether_call_path(r.call), method->path);
  assert_done(&r, TETHER_INVALID_ARGUMENT);
  tether_call *call = tether_call_hedged(hedging, tether_ctx_background(), method, &request.base, NULL);
  rpc_assert_code(call, TETHER_INVALID_ARGUMENT);
  tether_call_unref(call);
  park_sim_pump(TETHER_SEC);
  assert_int_equal(attempts(), 0);
}

static void a_method_that_is_not_idempotent_is_refused(void **state) {
  tether_method once = tst_park_unary;
  const tether_hedging hedging = hedging_of(2, 0);
  (void)state;
  once.flags &= ~(unsigned)TETHER_METHOD_IDEMPOTENT;
  refused(&hedging, &once, "the method is not declared idempotent: a hedged call may run it more than once");
}

static void a_streaming_method_is_refused(void **state) {
  const tether_hedging hedging = hedging_of(2, 0);
  (void)state;
  refused(&hedging, &tst_park_download, "a streaming method cannot be hedged");
  refused(&hedging, &tst_park_upload, "a streaming method cannot be hedged");
  refused(&hedging, &tst_park_chat, "a streaming method cannot be hedged");
}

static void no_client_or_no_attempt_is_refused(void **state) {
  tether_hedging hedging = hedging_of(0, 0);
  (void)state;
  refused(&hedging, &tst_park_unary, "hedging needs a client and an attempt");
  hedging.max_attempts = -1;
  refused(&hedging, &tst_park_unary, "hedging needs a client and an attempt");
  hedging = (tether_hedging){.max_attempts = 2};
  refused(&hedging, &tst_park_unary, "hedging needs a client and an attempt");
}

/* ---- The callback -------------------------------------------------------------------------- */

struct chained {
  struct result first, second;
};

static void start_another(tether_call *call, void *data) {
  struct chained *c = data;
  if (over) return;
  note(call, &c->first);
  const tether_hedging hedging = hedging_of(2, 0);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"another";
  tether_call_hedged_start(&hedging, tether_ctx_background(), &tst_park_unary, &request.base, NULL, note, &c->second);
}

static void the_callback_may_start_another_hedged_call(void **state) {
  struct chained c = {0};
  const tether_hedging hedging = hedging_of(2, 0);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  (void)state;
  tether_call_hedged_start(&hedging, tether_ctx_background(), &tst_park_unary, &request.base, NULL, start_another, &c);
  park_sim_pump(0);
  end(park_sim_parked(1, 0), TETHER_OK);
  assert_done(&c.first, TETHER_OK);
  end(tst_park_find(park_sim()->parks[0], "another"), TETHER_OK);
  assert_done(&c.second, TETHER_OK);
}

static void without_a_callback_the_attempts_run_all_the_same(void **state) {
  const tether_hedging hedging = hedging_of(2, DELAY);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  (void)state;
  tether_call_hedged_start(&hedging, tether_ctx_background(), &tst_park_unary, &request.base, NULL, NULL, NULL);
  park_sim_pump(0);
  park_sim_pump(DELAY);
  end(park_sim_parked(0, 0), TETHER_OK);
  park_assert_cut(park_sim_parked(1, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("1"));
}

/* ---- Blocking ------------------------------------------------------------------------------ */

struct blocking {
  struct ctx_thread thread;
  tether_call *call;
};

static void call_hedged(void *data) {
  struct blocking *b = data;
  const tether_hedging hedging = hedging_of(2, DELAY);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"blocking";
  b->call = tether_call_hedged(&hedging, tether_ctx_background(), &tst_park_unary, &request.base, NULL);
}

static void the_blocking_form_returns_the_answer_that_counts(void **state) {
  struct blocking b;
  (void)state;
  ctx_thread_start(&b.thread, call_hedged, &b);
  ctx_thread_blocks(&b.thread);
  park_sim_pump(0);
  park_sim_pump(DELAY);
  ctx_thread_blocks(&b.thread);
  end(park_sim_parked(1, 0), TETHER_OK);
  ctx_thread_join(&b.thread);
  rpc_assert_code(b.call, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(b.call))->text, "blocking");
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("2"));
  tether_call_unref(b.call);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_hedges(an_answer_within_the_delay_is_the_only_attempt),
      with_hedges(the_second_attempt_leaves_when_the_delay_is_over_and_not_before),
      with_hedges(attempts_go_to_the_clients_in_turn_and_five_are_the_most),
      with_hedges(without_a_delay_all_attempts_leave_at_once),
      with_hedges(with_an_endless_delay_only_failures_start_attempts),
      with_hedges(one_attempt_is_a_plain_call),
      with_hedges(the_second_answers_first_and_the_firsts_handler_ends_with_cause_hedge_lost),
      with_hedges(the_first_answers_after_all_and_the_seconds_handler_ends),
      with_hedges(a_non_fatal_answer_starts_the_next_attempt_at_once_and_its_delay_anew),
      with_hedges(a_non_fatal_answer_does_not_count_while_another_attempt_runs),
      with_hedges(a_fatal_answer_ends_the_other_attempts),
      with_hedges(when_every_attempt_fails_the_last_failure_is_the_answer),
      with_hedges(failures_alone_use_up_the_attempts_without_any_delay),
      with_hedges(a_server_that_cannot_be_reached_is_worth_another_attempt),
      with_hedges(an_attempt_that_waits_for_a_connection_is_hedged_by_one_that_has_one),
      with_hedges(a_method_that_is_not_idempotent_is_refused),
      with_hedges(a_streaming_method_is_refused),
      with_hedges(no_client_or_no_attempt_is_refused),
      with_hedges(the_callback_may_start_another_hedged_call),
      with_hedges(without_a_callback_the_attempts_run_all_the_same),
      with_hedges(the_blocking_form_returns_the_answer_that_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
