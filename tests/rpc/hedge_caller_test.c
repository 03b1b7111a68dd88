/* Hedged calls in virtual time: under the caller's context, with its options, as members of groups. */
#include <tether/ledger.h>

#include "tests/support/hedge_sim.h"

/* ---- The caller's context and options ------------------------------------------------------ */

static void all_attempts_run_under_one_deadline(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(3, DELAY);
  (void)state;
  start_with(&r, &hedging, tether_ctx_background(),
             &(tether_call_options){.timeout_ns = 2 * DELAY + 5, .reserve_ns = -1});
  park_sim_pump(DELAY);
  park_sim_pump(DELAY);
  assert_int_equal(attempts(), 3);
  for (int i = 0; i < 3; i++) assert_int_equal(park_sim_parked(i, 0)->remaining_ns, (2 - i) * DELAY + 5);
  park_sim_pump(4);
  assert_int_equal(r.calls, 0);
  park_sim_pump(1);
  for (int i = 0; i < 3; i++) park_assert_cut(park_sim_parked(i, 0), TETHER_CAUSE_DEADLINE, NULL);
  assert_int_equal(tether_cause_get_code(tether_call_cause(r.call)), TETHER_CAUSE_DEADLINE);
  assert_done(&r, TETHER_DEADLINE_EXCEEDED);
}

static void the_callers_deadline_comes_before_the_delay_and_no_second_attempt_is_made(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(3, DELAY);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), DELAY / 2);
  (void)state;
  start_with(&r, &hedging, ctx, NULL);
  park_sim_pump(DELAY / 2);
  assert_done(&r, TETHER_DEADLINE_EXCEEDED);
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 1);
}

static void the_methods_default_timeout_is_one_for_all_attempts(void **state) {
  tether_method method = tst_park_unary;
  struct result r = {0};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_hedging hedging = hedging_of(2, DELAY);
  (void)state;
  method.default_timeout_ns = DELAY + 7;
  tether_call_hedged_start(&hedging, tether_ctx_background(), &method, &request.base, NULL, note, &r);
  park_sim_pump(0);
  park_sim_pump(DELAY);
  assert_int_equal(park_sim_parked(1, 0)->remaining_ns, 7);
  park_sim_pump(7);
  assert_done(&r, TETHER_DEADLINE_EXCEEDED);
}

static void cancelling_the_callers_context_ends_every_attempt_with_its_cause(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(3, DELAY);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  start_with(&r, &hedging, ctx, NULL);
  park_sim_pump(DELAY);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, "user", "gave up");
  tether_ctx_cancel_cause(ctx, cause);
  assert_int_equal(r.calls, 1); /* does not wait for the net */
  park_sim_pump(0);
  for (int i = 0; i < 2; i++) {
    park_assert_cut(park_sim_parked(i, 0), TETHER_CAUSE_OTHER, "gave up");
    assert_string_equal(tether_cause_origin(park_sim_parked(i, 0)->cause), "user");
  }
  assert_ptr_equal(tether_call_cause(r.call), cause);
  tether_cause_unref(cause);
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 2);
  assert_done(&r, TETHER_CANCELLED);
}

/* A code that the context's end gives is not worth another attempt, whatever the set says. */
static void the_end_of_the_context_is_final_even_if_every_code_is_non_fatal(void **state) {
  struct result r = {0};
  tether_hedging hedging = hedging_of(5, DELAY);
  (void)state;
  hedging.non_fatal = UINT32_MAX;
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.timeout_ns = DELAY / 2});
  park_sim_pump(DELAY / 2);
  assert_done(&r, TETHER_DEADLINE_EXCEEDED);
  park_sim_pump(10 * DELAY);
  assert_int_equal(attempts(), 1);
  struct result ok = {0};
  hedging.max_attempts = 2;
  start_with(&ok, &hedging, tether_ctx_background(), NULL);
  end(park_sim_parked(0, 1), TETHER_OK); /* and so is success */
  assert_done(&ok, TETHER_OK);
}

static void under_a_context_that_has_ended_nothing_is_sent(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(3, 0);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  tether_ctx_cancel(ctx);
  start_with(&r, &hedging, ctx, NULL);
  assert_done(&r, TETHER_CANCELLED);
  assert_int_equal(attempts(), 0);
}

static void request_metadata_and_clients_are_copied(void **state) {
  struct result r = {0};
  char name[] = "first";
  tether_client *clients[] = {park_sim()->clients[0], park_sim()->clients[1]};
  tether_hedging hedging = hedging_of(2, DELAY);
  hedging.clients = clients;
  hedging.client_count = 2;
  tether_metadata *metadata = tether_metadata_new();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  (void)state;
  request.name = name;
  assert_int_equal(tether_metadata_add(metadata, "x-other", "kept"), TETHER_OK);
  tether_call_options options = {.metadata = metadata};
  tether_call_hedged_start(&hedging, tether_ctx_background(), &tst_park_unary, &request.base, &options, note, &r);
  memset(name, 'x', sizeof name - 1);
  memset(&hedging, 0xff, sizeof hedging);
  clients[1] = NULL;
  tether_metadata_free(metadata);
  park_sim_pump(0);
  park_sim_pump(DELAY);
  tst_parked *second = park_sim_parked(1, 0);
  assert_string_equal(second->name, "first");
  assert_string_equal(tether_metadata_get(tether_call_metadata(second->call), "x-other", NULL), "kept");
  end(second, TETHER_OK);
  assert_done(&r, TETHER_OK);
}

static void the_answer_brings_its_ledger_if_that_was_asked_for(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(2, DELAY);
  (void)state;
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.explain = true});
  park_sim_pump(DELAY);
  park_sim_pump(DELAY);
  end(park_sim_parked(1, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
  const tether_ledger *ledger = tether_call_ledger(r.call);
  assert_non_null(ledger);
  assert_string_equal(ledger->method, tst_park_unary.path);
  assert_true(ledger->answered);
  assert_int_equal(ledger->took_ns, DELAY); /* of the second attempt */
}

static void a_detached_attempt_goes_on_when_it_has_lost(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(2, 0);
  (void)state;
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.detached_ns = TETHER_SEC});
  end(park_sim_parked(1, 0), TETHER_OK);
  assert_done(&r, TETHER_OK);
  assert_int_equal(tst_park_gone(park_sim()->parks[0]), 0);
  park_sim_pump(TETHER_SEC);
  park_assert_cut(park_sim_parked(0, 0), TETHER_CAUSE_DEADLINE, NULL); /* its own */
}

/* ---- In a group ---------------------------------------------------------------------------- */

struct group_result {
  int calls;
  tether_code code;
};

static void note_group(tether_code code, void *data) {
  struct group_result *r = data;
  if (over) return;
  r->calls++;
  r->code = code;
}

static void a_hedged_call_is_one_member_of_a_group_and_fails_with_it(void **state) {
  struct result r = {0}, plain = {0};
  struct group_result all = {0};
  tether_group *group;
  const tether_hedging hedging = hedging_of(2, 0);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  tether_call_options options = {.group = group};
  tether_call_unref(tether_call_start(park_sim()->clients[2], tether_group_ctx(group), &tst_park_unary, &request.base,
                                      &options, note, &plain));
  start_with(&r, &hedging, tether_group_ctx(group), &options);
  assert_int_equal(tether_group_on_done(group, note_group, &all), TETHER_OK);
  assert_int_equal(attempts(), 3);
  end(park_sim_parked(2, 0), TETHER_DATA_LOSS);
  for (int i = 0; i < 2; i++)
    park_assert_cut(park_sim_parked(i, 0), TETHER_CAUSE_SIBLING,
                    "call /testing.v1.Park/Unary to mem://c #0 failed: DATA_LOSS");
  assert_int_equal(all.calls, 1);
  assert_int_equal(all.code, TETHER_DATA_LOSS);
  assert_done(&r, TETHER_CANCELLED);
  assert_done(&plain, TETHER_DATA_LOSS);
  tether_group_free(group);
}

static void a_hedged_calls_failure_ends_the_rest_of_its_group(void **state) {
  struct result r = {0}, plain = {0};
  struct group_result all = {0};
  tether_group *group;
  const tether_hedging hedging = hedging_of(2, 0);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  tether_call_options options = {.group = group};
  start_with(&r, &hedging, tether_group_ctx(group), &options);
  tether_call_unref(tether_call_start(park_sim()->clients[2], tether_group_ctx(group), &tst_park_unary, &request.base,
                                      &options, note, &plain));
  park_sim_pump(0);
  end(park_sim_parked(0, 0), TETHER_UNAVAILABLE); /* worth another attempt, which runs */
  assert_int_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_OK);
  end(park_sim_parked(1, 0), TETHER_UNAVAILABLE);
  park_assert_cut(park_sim_parked(2, 0), TETHER_CAUSE_SIBLING,
                  "hedged call /testing.v1.Park/Unary #0 failed: UNAVAILABLE");
  assert_int_equal(tether_group_on_done(group, note_group, &all), TETHER_OK);
  assert_int_equal(all.code, TETHER_UNAVAILABLE);
  assert_done(&r, TETHER_UNAVAILABLE);
  assert_done(&plain, TETHER_CANCELLED);
  tether_group_free(group);
}

static void losing_attempts_are_no_failures_of_the_group(void **state) {
  struct result r = {0};
  tether_group *group;
  const tether_hedging hedging = hedging_of(3, 0);
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  start_with(&r, &hedging, tether_group_ctx(group), &(tether_call_options){.group = group});
  end(park_sim_parked(0, 0), TETHER_UNAVAILABLE);
  end(park_sim_parked(2, 0), TETHER_OK);
  park_assert_cut(park_sim_parked(1, 0), TETHER_CAUSE_HEDGE_LOST, LOST_TO("3"));
  assert_int_equal(tether_group_wait(group), TETHER_OK);
  assert_done(&r, TETHER_OK);
  tether_group_free(group);
}

static void a_group_that_takes_no_more_members_refuses_a_hedged_call(void **state) {
  struct result r = {0};
  struct group_result all = {0};
  tether_group *group;
  const tether_hedging hedging = hedging_of(2, 0);
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  assert_int_equal(tether_group_on_done(group, note_group, &all), TETHER_OK);
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.group = group});
  assert_int_equal(attempts(), 0);
  assert_done(&r, TETHER_FAILED_PRECONDITION); /* as of a plain call */
  tether_group_free(group);
}

static void a_refused_hedged_call_is_a_failed_member_of_its_group(void **state) {
  struct result r = {0};
  tether_group *group;
  const tether_hedging hedging = hedging_of(0, 0);
  (void)state;
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  start_with(&r, &hedging, tether_group_ctx(group), &(tether_call_options){.group = group});
  assert_done(&r, TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_group_wait(group), TETHER_INVALID_ARGUMENT);
  tether_group_free(group);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_hedges(all_attempts_run_under_one_deadline),
      with_hedges(the_callers_deadline_comes_before_the_delay_and_no_second_attempt_is_made),
      with_hedges(the_methods_default_timeout_is_one_for_all_attempts),
      with_hedges(cancelling_the_callers_context_ends_every_attempt_with_its_cause),
      with_hedges(the_end_of_the_context_is_final_even_if_every_code_is_non_fatal),
      with_hedges(under_a_context_that_has_ended_nothing_is_sent),
      with_hedges(request_metadata_and_clients_are_copied),
      with_hedges(the_answer_brings_its_ledger_if_that_was_asked_for),
      with_hedges(a_detached_attempt_goes_on_when_it_has_lost),
      with_hedges(a_hedged_call_is_one_member_of_a_group_and_fails_with_it),
      with_hedges(a_hedged_calls_failure_ends_the_rest_of_its_group),
      with_hedges(losing_attempts_are_no_failures_of_the_group),
      with_hedges(a_group_that_takes_no_more_members_refuses_a_hedged_call),
      with_hedges(a_refused_hedged_call_is_a_failed_member_of_its_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
