/* Hedging by service config, in virtual time: one tether_call, several attempts, gRPC's rules (grpc/proposal A6) for
 * delays, codes, pushback and the throttle. */
#include "tests/support/retry_sim.h"

#define DELAY (50 * TETHER_MS)
#define HEDGE_CONFIG(attempts, more)                                                          \
  "{\"methodConfig\": [{\"name\": [{\"service\": \"testing.v1.Park\"}], \"hedgingPolicy\": {" \
  "\"maxAttempts\": " attempts                                                                \
  ", \"hedgingDelay\": \"0.05s\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]"                 \
  "}}]" more "}"

static const char *previous(int i) {
  return tether_metadata_get(tether_call_metadata(attempt_at(i)->call), "grpc-previous-rpc-attempts", NULL);
}

static void the_first_answer_is_the_calls(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_arrived(1);
  park_sim_pump(DELAY - 1);
  assert_arrived(1);
  park_sim_pump(1);
  assert_arrived(2);
  assert_null(previous(0));
  assert_string_equal(previous(1), "1");
  park_sim_pump(DELAY);
  assert_arrived(3);
  assert_string_equal(previous(2), "2");
  park_sim_pump(10 * DELAY);
  assert_arrived(3);
  assert_int_equal(tether_call_add_initial(attempt_at(1)->call, "x-first", "1", 1), TETHER_OK);
  assert_int_equal(tether_call_add_trailer(attempt_at(1)->call, "x-last", "2", 1), TETHER_OK);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(r.call))->text, "retry");
  assert_string_equal(tether_metadata_get(tether_call_initial_metadata(r.call), "x-first", NULL), "1");
  assert_string_equal(tether_metadata_get(tether_call_trailers(r.call), "x-last", NULL), "2");
  assert_true(strlen(tether_call_peer(r.call)) > 0);
  park_assert_cut(attempt_at(0), TETHER_CAUSE_HEDGE_LOST, "attempt 2 of /testing.v1.Park/Unary answered first");
  park_assert_cut(attempt_at(2), TETHER_CAUSE_HEDGE_LOST, NULL);
  retried_free(&r, client);
}

static void a_non_fatal_code_starts_the_next_attempt_at_once(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY / 2);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_arrived(2);
  park_sim_pump(DELAY - 1); /* the delay counts from there */
  assert_arrived(2);
  park_sim_pump(1);
  assert_arrived(3);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_int_equal(r.calls, 0);
  attempt_fails(2, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 3);
  assert_string_equal(tether_call_message(r.call), "retry");
  retried_free(&r, client);
}

static void any_other_code_ends_the_call(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY);
  attempt_fails(1, TETHER_INTERNAL, NULL);
  assert_retried(&r, TETHER_INTERNAL, 2);
  park_assert_cut(attempt_at(0), TETHER_CAUSE_HEDGE_LOST, NULL);
  retried_free(&r, client);
}

static void the_server_holds_the_next_attempt_back(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, "500");
  park_sim_pump(500 * TETHER_MS - 1); /* the delay does not start it */
  assert_arrived(1);
  park_sim_pump(1);
  assert_arrived(2);
  park_sim_pump(DELAY); /* later ones follow as ever */
  assert_arrived(3);
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  retried_free(&r, client);
}

static void the_server_stops_further_attempts(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY);
  attempt_fails(0, TETHER_UNAVAILABLE, "-1");
  park_sim_pump(10 * DELAY);
  assert_arrived(2);
  assert_int_equal(r.calls, 0); /* the one under way still counts */
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 2);
  retried_free(&r, client);
}

static void the_context_ends_a_call_whose_next_attempt_is_held_back(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("4", ""));
  const tether_call_options options = {.timeout_ns = 300 * TETHER_MS, .reserve_ns = -1};
  retry_start(&r, client, &tst_park_unary, &options);
  attempt_fails(0, TETHER_UNAVAILABLE, "500");
  park_sim_pump(300 * TETHER_MS - 1);
  assert_int_equal(r.calls, 0);
  park_sim_pump(1);
  assert_retried(&r, TETHER_DEADLINE_EXCEEDED, 1);
  assert_arrived(1);
  retried_free(&r, client);
}

static void without_tokens_only_the_first_attempt_is_sent(void **state) {
  (void)state;
  struct retried r, first;
  tether_client *client =
      retry_client(HEDGE_CONFIG("2", ", \"retryThrottling\": {\"maxTokens\": 2, \"tokenRatio\": 1}"));
  retry_start(&first, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL); /* 1 of 2: not above half */
  assert_retried(&first, TETHER_UNAVAILABLE, 1);
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(10 * DELAY);
  assert_arrived(2);
  assert_int_equal(r.calls, 0);
  attempt_fails(1, TETHER_OK, NULL); /* brings a token back */
  assert_retried(&r, TETHER_OK, 1);
  tether_call_unref(r.call);
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY);
  assert_arrived(4);
  attempt_fails(3, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  tether_call_unref(first.call);
  retried_free(&r, client);
}

static void a_cancel_reaches_all_attempts(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY);
  assert_arrived(2);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "not wanted");
  tether_call_cancel(r.call, cause);
  assert_retried(&r, TETHER_CANCELLED, 2);
  assert_string_equal(tether_cause_text(tether_call_cause(r.call)), "not wanted");
  park_sim_pump(0);
  for (int i = 0; i < 2; i++) park_assert_cut(attempt_at(i), TETHER_CAUSE_CALLER, "not wanted");
  tether_cause_unref(cause);
  /* Both have been answered since. */
  uint32_t running = 7;
  assert_int_equal(tether_call_cancel_and_wait(r.call, NULL, TETHER_SEC, &running), TETHER_OK);
  assert_int_equal(running, 0);
  park_sim_pump(10 * DELAY);
  assert_arrived(2);
  retried_free(&r, client);
}

static void one_deadline_covers_all_attempts(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("2", ""));
  const tether_call_options options = {.timeout_ns = 3 * DELAY, .reserve_ns = -1};
  retry_start(&r, client, &tst_park_unary, &options);
  park_sim_pump(DELAY);
  assert_int_equal(attempt_at(1)->remaining_ns, 2 * DELAY);
  park_sim_pump(2 * DELAY - 1);
  assert_int_equal(r.calls, 0);
  park_sim_pump(1);
  assert_retried(&r, TETHER_DEADLINE_EXCEEDED, 2);
  retried_free(&r, client);
}

static void closing_the_client_ends_the_call_first(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(DELAY);
  park_sim_close_client(client);
  assert_retried(&r, TETHER_CANCELLED, 2);
  assert_string_equal(tether_call_message(r.call), "the client was closed");
  tether_call_unref(r.call);
}

static void only_unary_idempotent_methods_are_hedged(void **state) {
  (void)state;
  static tether_method careful;
  careful = tst_park_unary;
  careful.flags &= ~(unsigned)TETHER_METHOD_IDEMPOTENT;
  struct retried r;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  const tether_method *const methods[] = {&careful, &tst_park_download};
  for (int i = 0; i < 2; i++) {
    retry_start(&r, client, methods[i], NULL);
    park_sim_pump(10 * DELAY);
    assert_arrived(i + 1);
    attempt_fails(i, TETHER_UNAVAILABLE, NULL);
    assert_retried(&r, TETHER_UNAVAILABLE, 1);
    if (i == 0) tether_call_unref(r.call);
  }
  retried_free(&r, client);
}

static void a_client_without_retries_does_not_hedge(void **state) {
  (void)state;
  struct retried r;
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = HEDGE_CONFIG("3", ""), .no_retries = true});
  retry_start(&r, client, &tst_park_unary, NULL);
  park_sim_pump(10 * DELAY);
  assert_arrived(1);
  attempt_fails(0, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 1);
  retried_free(&r, client);
}

static void a_group_knows_of_one_call(void **state) {
  (void)state;
  struct retried r;
  tether_group *group;
  tether_client *client = retry_client(HEDGE_CONFIG("3", ""));
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  retry_start_in(group, &r, client);
  park_sim_pump(DELAY);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_int_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_OK);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  assert_int_equal(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
  retried_free(&r, client);
}

/* The callback may release the last reference but the one it borrows. */
static void on_done_release(tether_call *call, void *data) {
  tether_call **held = data;
  assert_ptr_equal(call, *held);
  tether_call_unref(*held);
  *held = NULL;
}

static void the_callback_gets_the_call_itself_and_may_release_it(void **state) {
  (void)state;
  tether_client *client = retry_client(HEDGE_CONFIG("2", ""));
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"released";
  tether_call *held = NULL;
  held =
      tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, NULL, on_done_release, &held);
  park_sim_pump(DELAY);
  attempt_fails(1, TETHER_OK, NULL);
  assert_null(held);
  park_sim_close_client(client);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(the_first_answer_is_the_calls),
      in_park_sim(a_non_fatal_code_starts_the_next_attempt_at_once),
      in_park_sim(any_other_code_ends_the_call),
      in_park_sim(the_server_holds_the_next_attempt_back),
      in_park_sim(the_server_stops_further_attempts),
      in_park_sim(the_context_ends_a_call_whose_next_attempt_is_held_back),
      in_park_sim(without_tokens_only_the_first_attempt_is_sent),
      in_park_sim(a_cancel_reaches_all_attempts),
      in_park_sim(one_deadline_covers_all_attempts),
      in_park_sim(closing_the_client_ends_the_call_first),
      in_park_sim(only_unary_idempotent_methods_are_hedged),
      in_park_sim(a_client_without_retries_does_not_hedge),
      in_park_sim(a_group_knows_of_one_call),
      in_park_sim(the_callback_gets_the_call_itself_and_may_release_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
