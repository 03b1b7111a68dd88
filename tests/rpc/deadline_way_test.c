/* The handler's deadline is the caller's, however long the way: through client, link and server, in virtual time. */
#include "tests/support/stream_time.h"

#define MS TETHER_MS
#define TIMEOUT_NS TETHER_SEC

static tether_call *start(int64_t reserve_ns) {
  const tether_call_options options = {.timeout_ns = TIMEOUT_NS, .reserve_ns = reserve_ns};
  return testing_v1_handed_client_both_start(n->client, tether_ctx_background(), &options, NULL, NULL);
}

/* How much earlier than the caller's the handler's deadline is. Ends the call. */
static int64_t earlier_by(tether_call *c) {
  tether_call *s = stream_take(&n->stats);
  int64_t by_ns = tether_ctx_deadline_ns(tether_call_ctx(c)) - tether_ctx_deadline_ns(tether_call_ctx(s));
  stream_finish(s, TETHER_OK, TETHER_OK);
  move(0);
  rpc_assert_code(c, TETHER_OK);
  tether_call_unref(c);
  return by_ns;
}

static void the_time_on_the_way_is_charged_to_the_call(void **state) {
  (void)state;
  tst_mem_delay(n->link, 200 * MS);
  tether_call *c = start(-1);
  move(200 * MS);
  assert_int_equal(earlier_by(c), 0);
}

static void so_is_the_time_in_a_queue_on_the_way(void **state) {
  (void)state;
  tst_mem_hold(n->link, true);
  tether_call *c = start(-1);
  move(300 * MS);
  tst_mem_hold(n->link, false);
  move(0);
  assert_int_equal(earlier_by(c), 0);
}

static void and_the_time_behind_other_batches_at_the_sender(void **state) {
  (void)state;
  tst_mem_room(n->link, 0); /* one batch at a time, */
  tst_mem_hold(n->link, true);
  tether_call *first = start(-1); /* which is this one's */
  tether_call *c = start(-1);
  move(300 * MS);
  tst_mem_hold(n->link, false);
  move(0);
  assert_int_equal(earlier_by(first), 0);
  assert_int_equal(earlier_by(c), 0);
}

static void the_reserve_comes_off(void **state) {
  (void)state;
  static const struct {
    int64_t option_ns, reserve_ns;
  } cases[] = {{0, 1 * MS}, /* the round trip took no time */ {30 * MS, 30 * MS}, {2 * TIMEOUT_NS, TIMEOUT_NS / 2}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tether_call *c = start(cases[i].option_ns);
    move(0);
    assert_int_equal(earlier_by(c), cases[i].reserve_ns);
  }
}

static void a_server_that_has_the_reserve_answers_before_the_caller_gives_up(void **state) {
  (void)state;
  tether_call *c = start(10 * MS);
  move(0);
  tether_call *s = stream_take(&n->stats);
  move(TIMEOUT_NS - 10 * MS - 1);
  assert_int_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_OK);
  move(1);
  assert_int_equal(tether_ctx_err(tether_call_ctx(s)), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_ctx_err(tether_call_ctx(c)), TETHER_OK);
  stream_finish(s, TETHER_OK, TETHER_DEADLINE_EXCEEDED);
  move(0);
  rpc_assert_code(c, TETHER_DEADLINE_EXCEEDED);
  assert_true(tether_now_ns() < tether_ctx_deadline_ns(tether_call_ctx(c)));
  tether_call_unref(c);
}

/* A call whose handler returns `late_ns` after its deadline. */
static void answer_late(int64_t late_ns, bool cancelled) {
  tether_call *c = start(0);
  move(0);
  tether_call *s = stream_take(&n->stats);
  if (cancelled) tether_call_cancel(c, NULL);
  move(0);
  move(tether_ctx_deadline_ns(tether_call_ctx(s)) + late_ns - tether_now_ns());
  stream_finish(s, TETHER_OK, cancelled ? TETHER_CANCELLED : TETHER_DEADLINE_EXCEEDED);
  move(0);
  rpc_assert_code(c, cancelled ? TETHER_CANCELLED : TETHER_DEADLINE_EXCEEDED);
  tether_call_unref(c);
}

static void answers_that_come_late_make_the_reserve_grow(void **state) {
  (void)state;
  answer_late(20 * MS, false);
  tether_call *c = start(0);
  move(0);
  assert_int_equal(earlier_by(c), 60 * MS); /* 20, and four times the deviation of 10 */
}

static void what_was_cancelled_before_its_deadline_says_nothing_of_the_reserve(void **state) {
  (void)state;
  answer_late(20 * MS, true);
  tether_call *c = start(0);
  move(0);
  assert_int_equal(earlier_by(c), MS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, stream_time_setup, stream_time_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(the_time_on_the_way_is_charged_to_the_call),
      CASE(so_is_the_time_in_a_queue_on_the_way),
      CASE(and_the_time_behind_other_batches_at_the_sender),
      CASE(the_reserve_comes_off),
      CASE(a_server_that_has_the_reserve_answers_before_the_caller_gives_up),
      CASE(answers_that_come_late_make_the_reserve_grow),
      CASE(what_was_cancelled_before_its_deadline_says_nothing_of_the_reserve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
