/* Hedged calls, one behaviour at a time, in virtual time: three servers whose handlers wait until the test ends them.
 */
#include <tether/hedge.h>
#include <tether/ledger.h>

#include "rpc/metadata.h"
#include "tests/support/park_sim.h"

enum { SECOND = 1u << TETHER_UNAVAILABLE | 1u << TETHER_ABORTED }; /* codes worth a second attempt */

#define DELAY (20 * TETHER_MS)

/* What `done` was called with. */
struct result {
  int calls;
  tether_call *call;
};

/* Every call noted, released with the scene, so that a test that fails leaves nothing behind. */
static tether_call *noted[8];
static size_t noted_count;
static bool over; /* the test, and with it its results */

static void note(tether_call *call, void *data) {
  struct result *r = data;
  if (over) return;
  r->calls++;
  r->call = tether_call_ref(call);
  assert_true(noted_count < sizeof noted / sizeof *noted);
  noted[noted_count++] = r->call;
}

static int setup(void **state) {
  over = false;
  return park_sim_setup(state);
}

static int teardown(void **state) {
  over = true;
  while (noted_count > 0) tether_call_unref(noted[--noted_count]);
  return park_sim_teardown(state);
}

static tether_hedging hedging_of(int max_attempts, int64_t delay_ns) {
  return (tether_hedging){.max_attempts = max_attempts,
                          .delay_ns = delay_ns,
                          .non_fatal = SECOND,
                          .clients = park_sim()->clients,
                          .client_count = PARKS};
}

static void start_with(struct result *r, const tether_hedging *hedging, const tether_ctx *ctx,
                       const tether_call_options *options) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"hedge";
  tether_call_hedged_start(hedging, ctx, &tst_park_unary, &request.base, options, note, r);
  park_sim_pump(0);
}

static void start(struct result *r, int max_attempts, int64_t delay_ns) {
  const tether_hedging hedging = hedging_of(max_attempts, delay_ns);
  start_with(r, &hedging, tether_ctx_background(), NULL);
}

/* How many attempts have arrived, at all servers. */
static int attempts(void) {
  int sum = 0;
  for (int i = 0; i < PARKS; i++) sum += tst_park_arrived(park_sim()->parks[i]);
  return sum;
}

static void end(tst_parked *parked, tether_code code) {
  assert_true(tst_parked_end(parked, code));
  park_sim_pump(0);
}

/* `done` has been called, once, with this code. */
#define assert_done(r, code) assert_done_at(r, code, __FILE__, __LINE__)
static void assert_done_at(struct result *r, tether_code code, const char *file, int line) {
  _assert_int_equal(r->calls, 1, file, line);
  rpc_assert_code_at(r->call, code, file, line);
}

#define LOST_TO(n) "attempt " n " of /testing.v1.Park/Unary answered first"

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

/* ---- The caller's context and options ------------------------------------------------------ */

static void all_attempts_run_under_one_deadline(void **state) {
  struct result r = {0};
  const tether_hedging hedging = hedging_of(3, DELAY);
  (void)state;
  start_with(&r, &hedging, tether_ctx_background(), &(tether_call_options){.timeout_ns = 2 * DELAY + 5});
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

#define CASE(test) \
  { #test, test, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(an_answer_within_the_delay_is_the_only_attempt),
      CASE(the_second_attempt_leaves_when_the_delay_is_over_and_not_before),
      CASE(attempts_go_to_the_clients_in_turn_and_five_are_the_most),
      CASE(without_a_delay_all_attempts_leave_at_once),
      CASE(with_an_endless_delay_only_failures_start_attempts),
      CASE(one_attempt_is_a_plain_call),
      CASE(the_second_answers_first_and_the_firsts_handler_ends_with_cause_hedge_lost),
      CASE(the_first_answers_after_all_and_the_seconds_handler_ends),
      CASE(a_non_fatal_answer_starts_the_next_attempt_at_once_and_its_delay_anew),
      CASE(a_non_fatal_answer_does_not_count_while_another_attempt_runs),
      CASE(a_fatal_answer_ends_the_other_attempts),
      CASE(when_every_attempt_fails_the_last_failure_is_the_answer),
      CASE(failures_alone_use_up_the_attempts_without_any_delay),
      CASE(a_server_that_cannot_be_reached_is_worth_another_attempt),
      CASE(an_attempt_that_waits_for_a_connection_is_hedged_by_one_that_has_one),
      CASE(a_method_that_is_not_idempotent_is_refused),
      CASE(a_streaming_method_is_refused),
      CASE(no_client_or_no_attempt_is_refused),
      CASE(all_attempts_run_under_one_deadline),
      CASE(the_callers_deadline_comes_before_the_delay_and_no_second_attempt_is_made),
      CASE(the_methods_default_timeout_is_one_for_all_attempts),
      CASE(cancelling_the_callers_context_ends_every_attempt_with_its_cause),
      CASE(the_end_of_the_context_is_final_even_if_every_code_is_non_fatal),
      CASE(under_a_context_that_has_ended_nothing_is_sent),
      CASE(request_metadata_and_clients_are_copied),
      CASE(the_answer_brings_its_ledger_if_that_was_asked_for),
      CASE(a_detached_attempt_goes_on_when_it_has_lost),
      CASE(a_hedged_call_is_one_member_of_a_group_and_fails_with_it),
      CASE(a_hedged_calls_failure_ends_the_rest_of_its_group),
      CASE(losing_attempts_are_no_failures_of_the_group),
      CASE(a_group_that_takes_no_more_members_refuses_a_hedged_call),
      CASE(a_refused_hedged_call_is_a_failed_member_of_its_group),
      CASE(the_callback_may_start_another_hedged_call),
      CASE(without_a_callback_the_attempts_run_all_the_same),
      CASE(the_blocking_form_returns_the_answer_that_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
