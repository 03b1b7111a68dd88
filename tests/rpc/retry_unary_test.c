/* Unary calls that are tried again, in virtual time: gRPC's rules (grpc/proposal A6) as one call, its deadline, its
 * callback and its servers see them. */
#include <tether/interceptor.h>
#include <tether/ledger.h>

#include "tests/support/retry_sim.h"

static const char *previous(int i) {
  return tether_metadata_get(tether_call_metadata(attempt_at(i)->call), "grpc-previous-rpc-attempts", NULL);
}

static void a_call_that_failed_is_tried_again_and_ends_once(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_null(previous(0));
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_int_equal(r.calls, 0);
  assert_backoff(BACKOFF, 2);
  assert_string_equal(previous(1), "1");
  attempt_fails(1, TETHER_ABORTED, NULL);
  assert_backoff(2 * BACKOFF, 3);
  assert_string_equal(previous(2), "2");
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 3);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(r.call))->text, "retry");
  assert_string_equal(tether_call_message(r.call), "");
  assert_null(tether_call_trailers(r.call));
  retried_free(&r, client);
}

static int seen_begins, seen_messages, seen_ends;
static unsigned seen_attempts;

static tether_code see_begin(void *data, tether_call *call, void **state) {
  (void)data, (void)call, (void)state;
  seen_begins++;
  return TETHER_OK;
}

static void see_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  (void)data, (void)call, (void)sent, (void)bytes, (void)state;
  seen_messages++;
}

static void see_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)summary, (void)state;
  seen_ends++;
  seen_attempts = tether_call_attempts(call);
}

static void interceptors_see_one_call_and_how_often_it_was_tried(void **state) {
  static const tether_interceptor interceptor = {.begin = see_begin, .message = see_message, .end = see_end};
  static const tether_interceptor *const interceptors[] = {&interceptor, NULL};
  (void)state;
  struct retried r;
  seen_begins = seen_messages = seen_ends = 0;
  tether_client *client = retry_client_with(
      &(tether_client_options){.service_config = RETRY_CONFIG("4", ""), .interceptors = interceptors});
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  assert_int_equal(seen_ends, 0);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  assert_int_equal(seen_begins, 1);
  assert_int_equal(seen_messages, 2); /* the request and the reply */
  assert_int_equal(seen_ends, 1);
  assert_int_equal(seen_attempts, 2);
  retried_free(&r, client);
}

static void other_codes_are_final(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_INTERNAL, NULL);
  assert_retried(&r, TETHER_INTERNAL, 1);
  retried_free(&r, client);
}

static void the_last_attempts_failure_is_the_calls(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("2", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  tst_parked *last = attempt_at(1);
  assert_int_equal(tether_call_add_trailer(last->call, "x-last", "yes", 3), TETHER_OK);
  assert_true(tst_parked_end(last, TETHER_ABORTED));
  park_sim_pump(0);
  assert_retried(&r, TETHER_ABORTED, 2);
  assert_string_equal(tether_call_message(r.call), "retry");
  assert_string_equal(tether_metadata_get(tether_call_trailers(r.call), "x-last", NULL), "yes");
  park_sim_pump(10 * TETHER_SEC);
  assert_arrived(2);
  retried_free(&r, client);
}

static void one_deadline_covers_all_attempts_and_the_waits_between(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  const tether_call_options options = {.timeout_ns = 350 * TETHER_MS, .reserve_ns = -1};
  int64_t begun_ns = tether_now_ns();
  retry_start(&r, client, &tst_park_unary, &options);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  /* What the second attempt is given is what is left. */
  assert_true(attempt_at(1)->remaining_ns <= 350 * TETHER_MS - BACKOFF_LEAST);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  park_sim_pump(begun_ns + 350 * TETHER_MS - tether_now_ns() - 1);
  if (tst_park_arrived(retry_park()) == 2) {
    assert_int_equal(r.calls, 0);
    park_sim_pump(1);
    assert_retried(&r, TETHER_DEADLINE_EXCEEDED, 2);
    assert_string_equal(tether_call_message(r.call),
                        "deadline exceeded after 350 ms, while it waited to be tried again; attempt 2 ended "
                        "UNAVAILABLE: retry");
  } else { /* the second back-off was short */
    park_sim_pump(1);
    assert_retried(&r, TETHER_DEADLINE_EXCEEDED, 3);
  }
  assert_int_equal(tether_cause_get_code(tether_call_cause(r.call)), TETHER_CAUSE_DEADLINE);
  retried_free(&r, client);
}

static void a_cancel_during_the_wait_ends_the_call_at_once(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  uint32_t running = 7;
  assert_int_equal(tether_call_cancel_and_wait(r.call, NULL, TETHER_SEC, &running), TETHER_OK);
  assert_int_equal(running, 0);
  assert_retried(&r, TETHER_CANCELLED, 1);
  park_sim_pump(10 * TETHER_SEC);
  assert_arrived(1);
  retried_free(&r, client);
}

static void a_cancel_during_a_later_attempt_reaches_its_handler(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, NULL, "enough");
  tether_call_cancel(r.call, cause);
  tether_cause_unref(cause);
  park_sim_pump(0);
  assert_retried(&r, TETHER_CANCELLED, 2);
  park_assert_cut(attempt_at(1), TETHER_CAUSE_SIBLING, "enough");
  retried_free(&r, client);
}

static void closing_the_client_ends_a_call_that_waits(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  park_sim_close_client(client);
  assert_retried(&r, TETHER_CANCELLED, 1);
  assert_string_equal(tether_call_message(r.call), "the client was closed");
  tether_call_unref(r.call);
}

static void the_server_says_when(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, "3000");
  park_sim_pump(3000 * TETHER_MS - 1);
  assert_arrived(1);
  park_sim_pump(1);
  assert_arrived(2);
  attempt_fails(1, TETHER_UNAVAILABLE, "0");
  assert_arrived(3);
  attempt_fails(2, TETHER_UNAVAILABLE, NULL); /* the back-off begins anew */
  assert_backoff(BACKOFF, 4);
  attempt_fails(3, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 4);
  retried_free(&r, client);
}

static void the_server_says_that_it_is_not_to_be_tried_again(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, "-1");
  assert_retried(&r, TETHER_UNAVAILABLE, 1);
  assert_string_equal(tether_metadata_get(tether_call_trailers(r.call), "grpc-retry-pushback-ms", NULL), "-1");
  retried_free(&r, client);
}

static void initial_metadata_commits_the_call(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_int_equal(tether_call_add_initial(attempt_at(0)->call, "x-first", "1", 1), TETHER_OK);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 1);
  retried_free(&r, client);
}

static void a_request_that_is_too_long_to_keep_is_sent_once(void **state) {
  (void)state;
  struct retried r = {0};
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = RETRY_CONFIG("5", ""), .retry_call_bytes = 20000});
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  static uint8_t body[30000];
  request.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
  r.call = tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, NULL, retried_done, &r);
  park_sim_pump(0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 1);
  retried_free(&r, client);
}

static void a_request_in_slices_is_sent_again_whole(void **state) {
  (void)state;
  struct retried r = {0};
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  static uint8_t body[100000];
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 31);
  request.name = (char *)"long";
  request.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
  r.call = tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, NULL, retried_done, &r);
  park_sim_pump(0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  const Testing__V1__Request *got = (const Testing__V1__Request *)attempt_at(1)->call->request;
  assert_int_equal(got->body.len, sizeof body);
  assert_memory_equal(got->body.data, body, sizeof body);
  assert_string_equal(got->name, "long");
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  assert_int_equal(atomic_load(&client->kept_bytes), 0);
  retried_free(&r, client);
}

static void what_all_calls_keep_is_bounded(void **state) {
  (void)state;
  struct retried a, b;
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = RETRY_CONFIG("5", ""), .retry_bytes = 200});
  retry_start(&a, client, &tst_park_unary, NULL);
  assert_in_range(atomic_load(&client->kept_bytes), 1, 200);
  retry_start(&b, client, &tst_park_unary, NULL);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  assert_retried(&b, TETHER_UNAVAILABLE, 1);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 3);
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&a, TETHER_OK, 2);
  tether_call_unref(b.call);
  retried_free(&a, client);
}

/* ---- Connections --------------------------------------------------------------------------- */

static void a_lost_connection_is_a_failure_like_others(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  const tether_call_options options = {.wait_for_ready = true};
  retry_start(&r, client, &tst_park_unary, &options);
  assert_arrived(1);
  tst_mem_break(retry_dial()->link);
  park_sim_pump(0);
  park_assert_cut(attempt_at(0), TETHER_CAUSE_PEER_LOST, NULL);
  park_sim_pump(2 * TETHER_SEC); /* the client connects anew */
  assert_arrived(2);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

static void without_a_connection_attempts_fail_here(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("3", ""));
  tst_mem_net_unreachable(park_sim()->net, true);
  tst_mem_break(retry_dial()->link);
  park_sim_pump(30 * TETHER_SEC);
  assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
  tether_client_stats before, after;
  tether_client_get_stats(client, &before);
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_int_equal(r.calls, 0);
  park_sim_pump(BACKOFF_MOST);
  assert_int_equal(r.calls, 0);
  park_sim_pump(2 * BACKOFF_MOST);
  assert_retried(&r, TETHER_UNAVAILABLE, 0);
  assert_non_null(strstr(tether_call_message(r.call), "no connection to mem://a"));
  tether_client_get_stats(client, &after);
  assert_int_equal(after.unsent - before.unsent, 3);
  assert_int_equal(after.retries - before.retries, 0); /* nothing has left */
  tst_mem_net_unreachable(park_sim()->net, false);
  retried_free(&r, client);
}

static void a_call_may_wait_for_a_connection_more_than_once(void **state) {
  (void)state;
  static const tether_client_options options = {.service_config = RETRY_CONFIG("3", "")};
  const tether_call_options patient = {.wait_for_ready = true};
  tether_client *client = NULL;
  struct retried r, other;
  retry_dial()->transport = tst_transport_mem;
  retry_dial()->transport.dial = retry_dials;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"waits";
  assert_int_equal(tth_client_open_on(&retry_dial()->transport, "mem://a", &options, &client), TETHER_OK);
  r = other = (struct retried){0};
  r.call =
      tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, &patient, retried_done, &r);
  other.call = tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, &patient,
                                 retried_done, &other);
  assert_ptr_equal(client->wait_first, r.call); /* both wait, this one before the other */
  park_sim_pump(0);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&other, TETHER_OK, 1);
  tether_call_unref(other.call);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  tst_mem_net_unreachable(park_sim()->net, true);
  tst_mem_break(retry_dial()->link);
  park_sim_pump(0);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_ptr_equal(client->wait_first, r.call);
  assert_ptr_equal(client->wait_last, r.call);
  tst_mem_net_unreachable(park_sim()->net, false);
  for (int i = 0; i < 60 && tst_park_arrived(retry_park()) < 3; i++) park_sim_pump(TETHER_SEC);
  assert_null(client->wait_first);
  attempt_fails(2, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

/* ---- Counters, throttle, groups ------------------------------------------------------------- */

static void every_attempt_is_counted_as_the_server_counts_it(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("3", ""));
  tether_client_stats stats;
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  attempt_fails(1, TETHER_ABORTED, NULL);
  assert_backoff(2 * BACKOFF, 3);
  attempt_fails(2, TETHER_OK, NULL);
  tether_client_get_stats(client, &stats);
  for (int code = 0; code < TETHER_CODES; code++)
    assert_int_equal(stats.ended[code], code == TETHER_OK || code == TETHER_UNAVAILABLE || code == TETHER_ABORTED);
  assert_int_equal(stats.unsent, 0);
  assert_int_equal(stats.retries, 2);
  retried_free(&r, client);
}

static uint64_t retries_of(tether_client *client) {
  tether_client_stats stats;
  tether_client_get_stats(client, &stats);
  return stats.retries;
}

static void a_retry_counts_if_it_has_left(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("5", ""));
  const tether_call_options patient = {.wait_for_ready = true};
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  tether_call_cancel(r.call, NULL); /* in its back-off */
  assert_retried(&r, TETHER_CANCELLED, 1);
  tether_call_unref(r.call);
  assert_int_equal(retries_of(client), 0);

  retry_start(&r, client, &tst_park_unary, &patient);
  attempt_fails(1, TETHER_UNAVAILABLE, NULL);
  tst_mem_net_unreachable(park_sim()->net, true);
  tst_mem_break(retry_dial()->link);
  park_sim_pump(0);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_ptr_equal(client->wait_first, r.call);
  tether_call_cancel(r.call, NULL); /* while it waits for a connection */
  assert_retried(&r, TETHER_CANCELLED, 1);
  tether_call_unref(r.call);
  assert_int_equal(retries_of(client), 0);

  tst_mem_net_unreachable(park_sim()->net, false);
  retry_start(&r, client, &tst_park_unary, &patient);
  for (int i = 0; i < 60 && tst_park_arrived(retry_park()) < 3; i++) park_sim_pump(TETHER_SEC);
  attempt_fails(2, TETHER_UNAVAILABLE, NULL);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_arrived(4);
  tether_call_cancel(r.call, NULL); /* at the server */
  assert_retried(&r, TETHER_CANCELLED, 2);
  assert_int_equal(retries_of(client), 1);
  retried_free(&r, client);
}

static void the_throttle_stops_retries_and_successes_bring_them_back(void **state) {
  (void)state;
  tether_client *client =
      retry_client(RETRY_CONFIG("2", ", \"retryThrottling\": {\"maxTokens\": 4, \"tokenRatio\": 1}"));
  tether_client_stats stats;
  tst_park_at_once(retry_park(), TETHER_UNAVAILABLE);
  struct retried r[4];
  for (int i = 0; i < 4; i++) retry_start(&r[i], client, &tst_park_unary, NULL);
  assert_int_equal(r[0].calls, 0); /* 3 tokens of 4 */
  for (int i = 1; i < 4; i++) assert_retried(&r[i], TETHER_UNAVAILABLE, 1);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_retried(&r[0], TETHER_UNAVAILABLE, 2);
  assert_arrived(5);
  tether_client_get_stats(client, &stats);
  assert_int_equal(stats.throttled, 4); /* the second attempt's failure too */
  tst_park_at_once(retry_park(), TETHER_OK);
  for (int i = 0; i < 4; i++) {
    tether_call_unref(r[i].call);
    retry_start(&r[i], client, &tst_park_unary, NULL);
    assert_retried(&r[i], TETHER_OK, 1);
    tether_call_unref(r[i].call);
  }
  tst_park_at_once(retry_park(), TETHER_UNAVAILABLE);
  retry_start(&r[0], client, &tst_park_unary, NULL);
  assert_int_equal(r[0].calls, 0);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_retried(&r[0], TETHER_UNAVAILABLE, 2);
  tst_park_at_once(retry_park(), -1);
  retried_free(&r[0], client);
}

static void a_group_knows_of_one_call(void **state) {
  (void)state;
  struct retried r;
  tether_group *group;
  tether_client *client = retry_client(RETRY_CONFIG("3", ""));
  assert_int_equal(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  retry_start_in(group, &r, client);
  park_sim_pump(0);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_int_equal(tether_ctx_err(tether_group_ctx(group)), TETHER_OK);
  assert_backoff(BACKOFF, 2);
  attempt_fails(1, TETHER_OK, NULL);
  assert_retried(&r, TETHER_OK, 2);
  assert_int_equal(tether_group_wait(group), TETHER_OK);
  tether_group_free(group);
  retried_free(&r, client);
}

static void a_deadline_says_that_attempts_took_most_of_the_time_if_they_did(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("3", ""));
  int64_t deadline_ns = tether_now_ns() + TETHER_SEC;
  retry_start(&r, client, &tst_park_unary, &(tether_call_options){.timeout_ns = TETHER_SEC, .reserve_ns = -1});
  park_sim_pump(700 * TETHER_MS);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_backoff(BACKOFF, 2);
  park_sim_pump(deadline_ns - tether_now_ns());
  assert_retried(&r, TETHER_DEADLINE_EXCEEDED, 2);
  char wanted[64];
  const tether_ledger *blamed;
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(tether_call_ledger(r.call), &blamed, &phase, &spent_ns);
  assert_int_equal(phase, TETHER_PHASE_RETRYING);
  snprintf(wanted, sizeof wanted, "%d ms of it in attempts that failed (", (int)(spent_ns / TETHER_MS));
  assert_non_null(strstr(tether_call_message(r.call), wanted));
  assert_non_null(strstr(tether_call_message(r.call), "; attempt 1 ended UNAVAILABLE: retry"));
  retried_free(&r, client);
}

static void the_ledger_tells_of_attempts(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("3", ""));
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"parent";
  tether_call *parent = tether_call_start(park_sim()->clients[1], tether_ctx_background(), &tst_park_unary,
                                          &request.base, NULL, NULL, NULL);
  park_sim_pump(0);
  tst_parked *handler = park_sim_parked(1, 0);
  r = (struct retried){0};
  r.call =
      tether_call_start(client, tether_call_ctx(handler->call), &tst_park_unary, &request.base, NULL, retried_done, &r);
  park_sim_pump(0);
  park_sim_pump(10 * TETHER_MS);
  attempt_fails(0, TETHER_ABORTED, NULL);
  assert_backoff(BACKOFF, 2);
  park_sim_pump(5 * TETHER_MS);
  attempt_fails(1, TETHER_INTERNAL, NULL);
  assert_retried(&r, TETHER_INTERNAL, 2);
  assert_true(tst_parked_end(handler, TETHER_NOT_FOUND));
  park_sim_pump(0);
  const tether_ledger *row = tether_call_ledger(r.call), *blamed;
  const tether_ledger *rows[] = {row, tether_call_ledger(parent)->children[0]};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(rows[i]->attempts, 2);
    assert_int_equal(rows[i]->before, TETHER_ABORTED);
    assert_in_range(rows[i]->retried_ns, 10 * TETHER_MS + BACKOFF_LEAST, 10 * TETHER_MS + BACKOFF_MOST + 2 * TETHER_MS);
    assert_true(rows[i]->retried_ns <= rows[i]->waited_ns && rows[i]->waited_ns < rows[i]->took_ns);
  }
  assert_int_equal(tether_call_ledger(parent)->attempts, 1);
  assert_int_equal(tether_call_ledger(parent)->retried_ns, 0);
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(row, &blamed, &phase, &spent_ns);
  assert_ptr_equal(blamed, row);
  assert_int_equal(phase, TETHER_PHASE_RETRYING);
  assert_true(spent_ns == row->retried_ns);
  char text[1024];
  tether_ledger_text(row, 40, text, sizeof text);
  assert_non_null(strstr(text, "sent 2 times, before ABORTED"));
  assert_non_null(strstr(text, "|!!!!!!!!!!"));
  assert_non_null(strstr(text, "! attempts that failed"));
  tether_ledger_text(tether_call_ledger(parent), 40, text, sizeof text);
  assert_non_null(strstr(text, "sent 2 times, before ABORTED"));
  tether_call_unref(parent);
  retried_free(&r, client);
}

/* ---- Where policies come from --------------------------------------------------------------- */

static const tether_retry_policy own_policy = {.max_attempts = 2,
                                               .initial_backoff_ns = TETHER_SEC,
                                               .max_backoff_ns = TETHER_SEC,
                                               .backoff_multiplier = 1,
                                               .retryable = 1u << TETHER_INTERNAL};

static tether_method with_own_policy(void) {
  tether_method method = tst_park_unary;
  method.retry = &own_policy;
  return method;
}

static void a_method_has_its_own_policy_where_the_config_has_none(void **state) {
  (void)state;
  static tether_method method;
  method = with_own_policy();
  static const char *const configs[] = {NULL, "{}", "{\"methodConfig\": [{\"name\": [{}], \"timeout\": \"100s\"}]}"};
  for (int i = 0; i < 3; i++) {
    struct retried r;
    tether_client *client = retry_client(configs[i]);
    retry_start(&r, client, &method, NULL);
    attempt_fails(2 * i, TETHER_INTERNAL, NULL);
    assert_backoff(TETHER_SEC, 2 * i + 2);
    attempt_fails(2 * i + 1, TETHER_OK, NULL);
    assert_retried(&r, TETHER_OK, 2);
    retried_free(&r, client);
  }
}

static void the_configs_policy_wins(void **state) {
  (void)state;
  static tether_method method;
  method = with_own_policy();
  struct retried r;
  tether_client *client = retry_client(RETRY_CONFIG("4", ""));
  retry_start(&r, client, &method, NULL);
  attempt_fails(0, TETHER_INTERNAL, NULL);
  assert_retried(&r, TETHER_INTERNAL, 1);
  retried_free(&r, client);
}

static void a_client_may_have_no_retries(void **state) {
  (void)state;
  struct retried r;
  tether_client *client =
      retry_client_with(&(tether_client_options){.service_config = RETRY_CONFIG("4", ""), .no_retries = true});
  retry_start(&r, client, &tst_park_unary, NULL);
  attempt_fails(0, TETHER_UNAVAILABLE, NULL);
  assert_retried(&r, TETHER_UNAVAILABLE, 1);
  retried_free(&r, client);
}

static void the_configs_timeout_shortens_and_never_extends(void **state) {
  (void)state;
  static const struct {
    int64_t option_ns, default_ns, expected_ns;
  } cases[] = {{0, 0, TETHER_SEC},
               {100 * TETHER_MS, 0, 100 * TETHER_MS},
               {5 * TETHER_SEC, 0, TETHER_SEC},
               {TETHER_FOREVER, 0, TETHER_SEC},
               {0, 10 * TETHER_MS, TETHER_SEC}}; /* it replaces the method's default */
  static tether_method method;
  tether_client *client = retry_client("{\"methodConfig\": [{\"name\": [{}], \"timeout\": \"1s\"}]}");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct retried r;
    method = tst_park_unary;
    method.default_timeout_ns = cases[i].default_ns;
    const tether_call_options options = {.timeout_ns = cases[i].option_ns, .reserve_ns = -1};
    retry_start(&r, client, &method, &options);
    park_sim_pump(cases[i].expected_ns - 1);
    assert_int_equal(r.calls, 0);
    park_sim_pump(1);
    assert_int_equal(r.code, TETHER_DEADLINE_EXCEEDED);
    tether_call_unref(r.call);
  }
  park_sim_close_client(client);
}

static void the_config_makes_calls_wait_and_bounds_their_messages(void **state) {
  (void)state;
  struct retried r;
  tether_client *client = retry_client(
      "{\"methodConfig\": [{\"name\": [{}], \"waitForReady\": true, \"maxRequestMessageBytes\": 40,"
      " \"maxResponseMessageBytes\": 10}]}");
  tst_park_at_once(retry_park(), TETHER_OK);
  retry_start(&r, client, &tst_park_unary, NULL); /* 7 bytes each way */
  assert_retried(&r, TETHER_OK, 1);
  tether_call_unref(r.call);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"a name of 41 bytes makes a larger message";
  r.call = tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, NULL, retried_done, &r);
  rpc_assert_code(r.call, TETHER_RESOURCE_EXHAUSTED);
  assert_string_equal(tether_call_message(r.call), "the request is larger than the service config allows");
  tether_call_unref(r.call);
  request.name = (char *)"twenty bytes of name";
  r.call = tether_call_start(client, tether_ctx_background(), &tst_park_unary, &request.base, NULL, retried_done, &r);
  park_sim_pump(0);
  rpc_assert_code(r.call, TETHER_RESOURCE_EXHAUSTED);
  assert_string_equal(tether_call_message(r.call), "a reply of 22 bytes is larger than the service config allows");
  tether_call_unref(r.call);
  tst_mem_net_unreachable(park_sim()->net, true);
  tst_mem_break(retry_dial()->link);
  park_sim_pump(30 * TETHER_SEC);
  assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
  retry_start(&r, client, &tst_park_unary, NULL);
  assert_int_equal(r.calls, 0);
  tst_mem_net_unreachable(park_sim()->net, false);
  park_sim_pump(150 * TETHER_SEC);
  assert_retried(&r, TETHER_OK, 1);
  tst_park_at_once(retry_park(), -1);
  retried_free(&r, client);
}

static void the_config_balances_and_a_retry_may_go_to_another_server(void **state) {
  (void)state;
  static const tether_client_options options = {
      .service_config = RETRY_CONFIG("3", ", \"loadBalancingConfig\": [{\"round_robin\": {}}]")};
  struct retried r;
  tether_client *client = NULL;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://a,mem://b", &options, &client), TETHER_OK);
  park_sim_pump(0);
  retry_start(&r, client, &tst_park_unary, NULL);
  int first = tst_park_arrived(park_sim()->parks[0]) ? 0 : 1;
  assert_true(tst_parked_end(park_sim_parked(first, 0), TETHER_UNAVAILABLE));
  park_sim_pump(0);
  park_sim_pump(BACKOFF_MOST + TETHER_MS);
  assert_true(tst_parked_end(park_sim_parked(!first, 0), TETHER_OK));
  park_sim_pump(0);
  assert_retried(&r, TETHER_OK, 2);
  retried_free(&r, client);
}

static void the_programs_choice_of_balancing_wins(void **state) {
  (void)state;
  static const struct {
    const char *config;
    tether_balancing option, expected;
  } cases[] = {{"{\"loadBalancingPolicy\": \"round_robin\"}", TETHER_PICK_FIRST, TETHER_ROUND_ROBIN},
               {"{\"loadBalancingPolicy\": \"round_robin\"}", TETHER_LEAST_OF_TWO, TETHER_LEAST_OF_TWO},
               {"{\"loadBalancingPolicy\": \"least_request\"}", TETHER_PICK_FIRST, TETHER_LEAST_OF_TWO},
               {"{}", TETHER_ROUND_ROBIN, TETHER_ROUND_ROBIN}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tether_client *client =
        retry_client_with(&(tether_client_options){.service_config = cases[i].config, .balancing = cases[i].option});
    assert_int_equal(client->balance.policy, cases[i].expected);
    park_sim_close_client(client);
  }
}

static void a_bad_config_is_refused_by_open(void **state) {
  (void)state;
  static const tether_client_options bad[] = {{.service_config = "{"},
                                              {.service_config = "{\"methodConfig\": 1}"},
                                              {.service_config_file = "/nonexistent"},
                                              {.service_config = "{}", .service_config_file = "/dev/null"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tether_client *client = NULL;
    assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://a", &bad[i], &client), TETHER_INVALID_ARGUMENT);
    assert_null(client);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_park_sim(a_call_that_failed_is_tried_again_and_ends_once),
      in_park_sim(interceptors_see_one_call_and_how_often_it_was_tried),
      in_park_sim(other_codes_are_final),
      in_park_sim(the_last_attempts_failure_is_the_calls),
      in_park_sim(one_deadline_covers_all_attempts_and_the_waits_between),
      in_park_sim(a_cancel_during_the_wait_ends_the_call_at_once),
      in_park_sim(a_cancel_during_a_later_attempt_reaches_its_handler),
      in_park_sim(closing_the_client_ends_a_call_that_waits),
      in_park_sim(the_server_says_when),
      in_park_sim(the_server_says_that_it_is_not_to_be_tried_again),
      in_park_sim(initial_metadata_commits_the_call),
      in_park_sim(a_request_that_is_too_long_to_keep_is_sent_once),
      in_park_sim(a_request_in_slices_is_sent_again_whole),
      in_park_sim(what_all_calls_keep_is_bounded),
      in_park_sim(a_lost_connection_is_a_failure_like_others),
      in_park_sim(without_a_connection_attempts_fail_here),
      in_park_sim(a_call_may_wait_for_a_connection_more_than_once),
      in_park_sim(every_attempt_is_counted_as_the_server_counts_it),
      in_park_sim(a_retry_counts_if_it_has_left),
      in_park_sim(the_throttle_stops_retries_and_successes_bring_them_back),
      in_park_sim(a_group_knows_of_one_call),
      in_park_sim(a_deadline_says_that_attempts_took_most_of_the_time_if_they_did),
      in_park_sim(the_ledger_tells_of_attempts),
      in_park_sim(a_method_has_its_own_policy_where_the_config_has_none),
      in_park_sim(the_configs_policy_wins),
      in_park_sim(a_client_may_have_no_retries),
      in_park_sim(the_configs_timeout_shortens_and_never_extends),
      in_park_sim(the_config_makes_calls_wait_and_bounds_their_messages),
      in_park_sim(the_config_balances_and_a_retry_may_go_to_another_server),
      in_park_sim(the_programs_choice_of_balancing_wins),
      in_park_sim(a_bad_config_is_refused_by_open),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
