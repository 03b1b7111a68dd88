/* What the rows of a ledger say, to the nanosecond, and what a deadline's message makes of them: in virtual time, where
 * nothing takes longer than the test says. */
#include <stdio.h>
#include <string.h>
#include <tether/ledger.h>

#include "rpc/client.h"
#include "tests/support/stream_time.h"

#define MS TETHER_MS
#define TIMEOUT_NS TETHER_SEC

/* A call, and its handler: the test. */
static tether_call *start(const tether_ctx *ctx, const tether_call_options *options) {
  return testing_v1_handed_client_both_start(n->client, ctx, options, NULL, NULL);
}

static const tether_call_options bound = {.timeout_ns = TIMEOUT_NS, .reserve_ns = -1};

/* ---- Rows ---------------------------------------------------------------------------------- */

static void a_row_has_the_times_of_its_call_and_how_it_ended_and_why(void **state) {
  (void)state;
  tether_call *c = start(tether_ctx_background(), &bound);
  move(0);
  tether_call *s = stream_take(&n->stats);
  move(50 * MS);
  TETHER_SCOPED tether_ctx *own = tether_ctx_with_cancel(tether_call_ctx(s));
  tst_mem_delay(n->link, 30 * MS);
  tether_call *below = start(own, &(tether_call_options){.timeout_ns = 700 * MS, .reserve_ns = 100 * MS});
  move(30 * MS);
  tether_call *t = stream_take(&n->stats);
  move(200 * MS);
  tether_cause *why = tether_cause_new(TETHER_CAUSE_SIBLING, "elsewhere/7", "another was quicker");
  tether_ctx_cancel_cause(own, why);
  tether_cause_unref(why);
  move(30 * MS);
  move(15 * MS); /* it does not stop at once */
  stream_finish(t, TETHER_OK, TETHER_CANCELLED);
  move(40 * MS);
  stream_finish(s, TETHER_ABORTED, TETHER_ABORTED);
  move(0);
  rpc_assert_code(c, TETHER_ABORTED);

  const tether_ledger *row = tether_call_ledger(c);
  assert_string_equal(row->method, "/testing.v1.Handed/Both");
  assert_int_equal(row->budget_ns, TIMEOUT_NS);
  assert_true(row->started_ns == 0 && row->waited_ns == 0 && row->queue_ns == 0);
  assert_int_equal(row->own_ns, (50 + 30 + 200 + 30 + 15 + 40) * MS);
  assert_int_equal(row->took_ns, row->own_ns);
  assert_true(row->wasted_ns == 0 && row->cause == TETHER_CAUSE_NONE && row->attempts == 1);
  assert_int_equal(row->child_count, 1);
  row = row->children[0];
  assert_int_equal(row->started_ns, 50 * MS);
  assert_int_equal(row->took_ns, 230 * MS); /* until it was cancelled */
  assert_int_equal(row->code, TETHER_CANCELLED);
  assert_int_equal(row->cause, TETHER_CAUSE_SIBLING);
  assert_string_equal(row->origin, "elsewhere/7");
  assert_string_equal(row->text, "another was quicker");
  assert_true(row->answered && !row->detached); /* after it had ended */
  assert_int_equal(row->budget_ns, (700 - 100 - 30) * MS);
  assert_int_equal(row->own_ns, (200 + 30 + 15) * MS);
  assert_int_equal(row->wasted_ns, 15 * MS);
  tether_call_unref(below);
  tether_call_unref(c);
}

static void a_row_says_that_its_handler_was_detached_and_what_it_had(void **state) {
  (void)state;
  tether_call *c =
      start(tether_ctx_background(), &(tether_call_options){.timeout_ns = TIMEOUT_NS, .detached_ns = 5 * TETHER_SEC});
  move(0);
  tether_call *s = stream_take(&n->stats);
  stream_finish(s, TETHER_ABORTED, TETHER_ABORTED);
  move(0);
  rpc_assert_code(c, TETHER_ABORTED);
  assert_true(tether_call_ledger(c)->detached);
  assert_int_equal(tether_call_ledger(c)->budget_ns, 5 * TETHER_SEC);
  tether_call_unref(c);
  c = start(tether_ctx_background(), NULL);
  move(0);
  stream_finish(stream_take(&n->stats), TETHER_ABORTED, TETHER_ABORTED);
  move(0);
  assert_true(!tether_call_ledger(c)->detached && tether_call_ledger(c)->budget_ns == TETHER_FOREVER);
  tether_call_unref(c);
}

/* ---- Wasted work ---------------------------------------------------------------------------- */

static int64_t wasted_by(const tether_method *method) {
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(n->server, method ? method->path : NULL, &stats), TETHER_OK);
  return stats.wasted_ns;
}

static void work_after_the_end_of_its_context_is_counted_for_its_method_alone(void **state) {
  (void)state;
  for (int cancelled = 0; cancelled < 2; cancelled++) {
    tether_call *c = start(tether_ctx_background(), &bound);
    move(0);
    tether_call *s = stream_take(&n->stats);
    move(400 * MS);
    if (cancelled)
      tether_call_cancel(c, NULL);
    else
      move(600 * MS);
    move(0);
    move((cancelled ? 7 : 20) * MS);
    stream_finish(s, TETHER_OK, cancelled ? TETHER_CANCELLED : TETHER_DEADLINE_EXCEEDED);
    move(0);
    tether_call_unref(c);
    assert_int_equal(wasted_by(&testing_v1_handed_both_method), (cancelled ? 27 : 20) * MS);
  }
  assert_int_equal(wasted_by(&testing_v1_handed_unary_method), 0);
  assert_int_equal(wasted_by(&testing_v1_echo_quick_method), 0);
  assert_int_equal(wasted_by(NULL), 27 * MS);
}

/* ---- What a deadline says ------------------------------------------------------------------- */

static void assert_says(tether_call *c, const char *text) {
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
  if (strncmp(tether_call_message(c), text, strlen(text)) != 0) fail_msg("%s: not: %s", tether_call_message(c), text);
  tether_call_unref(c);
}

static void time_before_there_is_a_connection_is_connecting(void **state) {
  (void)state;
  tether_client *client;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://nobody", NULL, &client), TETHER_OK);
  tether_call *c = testing_v1_handed_client_both_start(
      client, tether_ctx_background(), &(tether_call_options){.timeout_ns = TIMEOUT_NS, .wait_for_ready = true}, NULL,
      NULL);
  move(TIMEOUT_NS);
  assert_says(c, "deadline exceeded after 1000 ms, 1000 ms of it connecting (/testing.v1.Handed/Both at mem://nobody)");
  tether_client_close(client);
}

static void time_at_the_sender_is_queued_here(void **state) {
  (void)state;
  tst_mem_room(n->link, 0); /* one batch at a time */
  tst_mem_hold(n->link, true);
  tether_call *first = start(tether_ctx_background(), &bound), *c = start(tether_ctx_background(), &bound);
  move(TIMEOUT_NS);
  assert_says(c, "deadline exceeded after 1000 ms, 1000 ms of it queued here (/testing.v1.Handed/Both at ");
  assert_says(first,
              "deadline exceeded after 1000 ms, 1000 ms of it waiting for an answer (/testing.v1.Handed/Both at ");
  tst_mem_hold(n->link, false);
  move(0);
}

/* Its handler has `work_ns` of the time and passes a deadline on; the rest is on the way there. */
static tether_call *slow_way(int64_t way_ns, int64_t work_ns) {
  tst_mem_delay(n->link, way_ns);
  tether_call *c = start(tether_ctx_background(), &bound);
  move(way_ns);
  tether_call *s = stream_take(&n->stats);
  move(work_ns);
  stream_finish(s, TETHER_DEADLINE_EXCEEDED, TETHER_DEADLINE_EXCEEDED);
  move(0);
  return c;
}

static void time_on_the_way_is_in_flight_and_the_handlers_own_is_in_the_handler(void **state) {
  (void)state;
  assert_says(slow_way(600 * MS, 300 * MS),
              "deadline exceeded after 900 ms, 600 ms of it in flight (/testing.v1.Handed/Both at ");
  assert_says(slow_way(100 * MS, 700 * MS),
              "deadline exceeded after 800 ms, 700 ms of it in the handler (/testing.v1.Handed/Both at ");
}

static void a_call_that_arrives_too_late_was_in_flight_and_its_end_has_a_cause(void **state) {
  (void)state;
  tst_mem_delay(n->link, 800 * MS);
  tether_call *c =
      start(tether_ctx_background(), &(tether_call_options){.timeout_ns = TIMEOUT_NS, .reserve_ns = 300 * MS});
  move(800 * MS);
  const tether_cause *cause = tether_call_cause(c);
  assert_int_equal(tether_cause_get_code(cause), TETHER_CAUSE_DEADLINE);
  assert_string_equal(tether_cause_text(cause), "the deadline had passed on arrival");
  assert_string_equal(tether_cause_origin(cause), tether_origin());
  assert_int_equal(atomic_load(&n->stats.handed), 0);
  assert_says(c, "deadline exceeded after 800 ms, 800 ms of it in flight (/testing.v1.Handed/Both at ");
}

static void the_hop_that_was_slow_reports_before_those_above_give_up(void **state) {
  (void)state;
  tether_call *c = start(tether_ctx_background(), &(tether_call_options){.timeout_ns = TIMEOUT_NS});
  move(0);
  tether_call *s = stream_take(&n->stats);
  move(100 * MS);
  tether_call *below = start(tether_call_ctx(s), NULL);
  move(0);
  tether_call *t = stream_take(&n->stats);
  move(898 * MS - 1);
  assert_int_equal(tether_ctx_err(tether_call_ctx(t)), TETHER_OK);
  move(1);
  assert_int_equal(tether_ctx_err(tether_call_ctx(t)), TETHER_DEADLINE_EXCEEDED); /* twice 1 ms was kept back */
  assert_int_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_OK);
  stream_finish(t, TETHER_DEADLINE_EXCEEDED, TETHER_DEADLINE_EXCEEDED);
  move(0);
  assert_says(below, "deadline exceeded after 898 ms, 898 ms of it in the handler (/testing.v1.Handed/Both at ");
  assert_int_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_OK);
  stream_finish(s, TETHER_DEADLINE_EXCEEDED, TETHER_DEADLINE_EXCEEDED);
  move(0);
  assert_int_equal(tether_ctx_err(tether_call_ctx(c)), TETHER_OK);
  assert_says(c, "deadline exceeded after 998 ms, 898 ms of it in the handler (/testing.v1.Handed/Both at ");
}

static void time_after_the_deadline_is_no_part_of_it_however_late_that_was_noticed(void **state) {
  (void)state;
  tst_mem_delay(n->link, 100 * MS);
  tether_call *c = start(tether_ctx_background(), &bound);
  move(100 * MS);
  tether_call *s = stream_take(&n->stats);
  tether_call *below = start(tether_call_ctx(s), &(tether_call_options){.reserve_ns = -1});
  move(100 * MS);
  tether_call *t = stream_take(&n->stats);
  move(500 * MS);
  move(2000 * MS); /* the process stood still: nobody has looked at the time */
  stream_finish(t, TETHER_OK, TETHER_DEADLINE_EXCEEDED);
  move(0);
  stream_finish(s, TETHER_OK, TETHER_DEADLINE_EXCEEDED);
  move(0);
  const tether_ledger *row = tether_call_ledger(c), *blamed;
  assert_int_equal(row->took_ns, 2700 * MS);
  assert_int_equal(row->late_ns, 1700 * MS);
  assert_int_equal(row->wasted_ns, 1700 * MS);
  assert_int_equal(row->child_count, 1);
  assert_int_equal(row->children[0]->took_ns, 2600 * MS);
  assert_int_equal(row->children[0]->late_ns, 1700 * MS);
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(row, &blamed, &phase, &spent_ns);
  assert_ptr_equal(blamed, row->children[0]);
  assert_int_equal(phase, TETHER_PHASE_HANDLER);
  assert_int_equal(spent_ns, 800 * MS);
  assert_says(below,
              "deadline exceeded after 2600 ms, 900 ms of it waiting for an answer (/testing.v1.Handed/Both at ");
  assert_says(c, "deadline exceeded after 2700 ms, 1000 ms of it waiting for an answer (/testing.v1.Handed/Both at ");
}

static int setup_one_worker(void **state) {
  return stream_time_open(state, &(tether_server_options){.max_workers = 1});
}

static bool has_ended(void *data) {
  tst_link_mem_pump(n->net); /* what a worker's thread has sent */
  return tether_call_code(data) != TETHER_OK;
}

/* Has the only worker until it is cancelled. */
static tether_call *hold_the_worker(void) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *holder =
      testing_v1_echo_client_hang_start(n->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  move(0);
  assert_true(rpc_wait_for(&n->stats.hanging, 1));
  return holder;
}

static void time_in_the_servers_queue_is_queued_there(void **state) {
  (void)state;
  tether_call *holder = hold_the_worker();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.code = TETHER_DEADLINE_EXCEEDED;
  tether_call *c =
      testing_v1_echo_client_pooled_start(n->client, tether_ctx_background(), &request, &bound, NULL, NULL);
  move(0);
  move(900 * MS);
  tether_call_cancel(holder, NULL);
  move(0);
  assert_true(tst_wait_until(has_ended, c, TST_BOUND_NS));
  assert_says(c, "deadline exceeded after 900 ms, 900 ms of it queued there (/testing.v1.Echo/Pooled at ");
  tether_call_unref(holder);
}

static bool is_answered(void *data) {
  tst_link_mem_pump(n->net);
  return tether_call_ledger(data)->answered;
}

static void time_in_a_queue_after_the_deadline_is_no_part_of_it_either(void **state) {
  (void)state;
  tether_call *holder = hold_the_worker();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tst_mem_delay(n->link, 300 * MS);
  tether_call *c =
      testing_v1_echo_client_pooled_start(n->client, tether_ctx_background(), &request, &bound, NULL, NULL);
  move(300 * MS);
  move(2700 * MS); /* the process stood still */
  tether_call_cancel(holder, NULL);
  move(300 * MS);
  assert_true(tst_wait_until(has_ended, holder, TST_BOUND_NS) && tst_wait_until(is_answered, c, TST_BOUND_NS));
  const tether_ledger *row = tether_call_ledger(c), *blamed;
  assert_int_equal(row->budget_ns, 700 * MS);
  assert_int_equal(row->queue_ns, 3000 * MS);
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(row, &blamed, &phase, &spent_ns);
  assert_int_equal(phase, TETHER_PHASE_QUEUED_THERE);
  assert_int_equal(spent_ns, 700 * MS);
  tether_call_unref(c);
  tether_call_unref(holder);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stream_time_setup, stream_time_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_row_has_the_times_of_its_call_and_how_it_ended_and_why),
      CASE(a_row_says_that_its_handler_was_detached_and_what_it_had),
      CASE(work_after_the_end_of_its_context_is_counted_for_its_method_alone),
      CASE(time_before_there_is_a_connection_is_connecting),
      CASE(time_at_the_sender_is_queued_here),
      CASE(time_on_the_way_is_in_flight_and_the_handlers_own_is_in_the_handler),
      CASE(a_call_that_arrives_too_late_was_in_flight_and_its_end_has_a_cause),
      CASE(the_hop_that_was_slow_reports_before_those_above_give_up),
      CASE(time_after_the_deadline_is_no_part_of_it_however_late_that_was_noticed),
      cmocka_unit_test_setup_teardown(time_in_the_servers_queue_is_queued_there, setup_one_worker,
                                      stream_time_teardown),
      cmocka_unit_test_setup_teardown(time_in_a_queue_after_the_deadline_is_no_part_of_it_either, setup_one_worker,
                                      stream_time_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
