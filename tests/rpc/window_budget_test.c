/* The budget that streams of a connection share: what long messages and grown windows take of it, that nothing waits
 * for it for ever, and that every way to end gives it back. Two sessions, no I/O. */
#include "tests/support/ctx_test.h"
#include "tests/support/session_pair.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define BASE TTH_WINDOW_LEAST

/* Messages of at most this fit a first window whole: three slices and what is left. */
#define FITS (BASE - 4 - 4 * TTH_FRAME_HEADER)

/* ---- The budget ---------------------------------------------------------------------------- */

static void a_window_doubles_for_a_reader_that_keeps_up_and_is_given_back_at_the_end(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_reading_call(pair);
  for (int i = 0; i < 2000; i++) tst_pair_send(pair, call, TTH_CLIENT, 8000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, 2000);
  assert_int_equal(tst_pair_taken(pair, TTH_SERVER), TTH_WINDOW_MOST - BASE);
  assert_int_equal(call->at[TTH_SERVER]->in.grown, TTH_WINDOW_MOST - BASE);
  tst_pair_end(pair, call, TTH_CLIENT);
  tst_pair_run(pair);
  assert_int_equal(tst_pair_taken(pair, TTH_SERVER), 0); /* nothing more comes */
  tst_pair_hang_up(pair, call);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void a_window_grows_to_the_most_and_not_beyond(void **state) {
  (void)state;
  const tether_limits limits = {.stream_window_bytes = 100 * KIB, .connection_window_bytes = 64 * MIB};
  tst_pair *pair = tst_pair_new(NULL, &limits);
  tst_call *call = tst_pair_reading_call(pair);
  for (int i = 0; i < 2000; i++) tst_pair_send(pair, call, TTH_CLIENT, 8000, false);
  while (tst_pair_fill(pair, TTH_CLIENT, 2 * MIB) + tst_pair_fill(pair, TTH_SERVER, KIB) > 0) {
    tst_pair_deliver(pair, TTH_CLIENT, SIZE_MAX);
    tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
  }
  assert_int_equal(call->at[TTH_SERVER]->in.grown, TTH_WINDOW_MOST - 100 * KIB);
  tst_pair_free(pair);
}

static void a_window_does_not_grow_for_a_slow_reader_or_a_slow_sender(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *slow_reader = tst_pair_call(pair), *slow_sender = tst_pair_reading_call(pair);
  for (int i = 0; i < 500; i++) tst_pair_send(pair, slow_reader, TTH_CLIENT, 8000, false);
  tst_pair_run(pair);
  while (slow_reader->way[TTH_CLIENT].received < 500) {
    tst_pair_read(pair, slow_reader, TTH_SERVER, 1); /* and so most of the window stays unread */
    tst_pair_run(pair);
    tst_pair_send(pair, slow_sender, TTH_CLIENT, 8000, false);
    tst_pair_run(pair);
  }
  assert_int_equal(tst_pair_taken(pair, TTH_SERVER), 0);
  tst_pair_free(pair);
}

static void grown_windows_leave_room_for_the_longest_message(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(4 * MIB + 512 * KIB);
  for (int i = 0; i < 20; i++) {
    tst_call *call = tst_pair_reading_call(pair);
    for (int j = 0; j < 500; j++) tst_pair_send(pair, call, TTH_CLIENT, 8000, false);
    tst_pair_run(pair);
  }
  assert_in_range(tst_pair_taken(pair, TTH_SERVER), 128 * KIB, 512 * KIB);
  tst_call *call = tst_pair_call(pair);
  tst_pair_send(pair, call, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, 1);
  tst_pair_free(pair);
}

static void a_long_message_reserves_room_which_is_given_back_when_it_was_read(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int round = 0; round < 3; round++) {
    tst_pair_send(pair, call, TTH_CLIENT, 3 * MIB, false);
    tst_pair_run(pair);
    assert_int_equal(call->way[TTH_CLIENT].received, round + 1);
    assert_in_range(tst_pair_taken(pair, TTH_SERVER), 3 * MIB - BASE, 3 * MIB + BASE);
    assert_int_equal(tst_pair_read(pair, call, TTH_SERVER, 1), 1);
    assert_int_equal(tst_pair_taken(pair, TTH_SERVER), 0);
    tst_pair_run(pair);
  }
  tst_pair_hang_up(pair, call);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void a_last_message_keeps_what_it_has_of_the_budget_until_it_is_read(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0); /* of one message */
  tst_call *first = tst_pair_call(pair), *second = tst_pair_call(pair);
  tst_pair_send(pair, first, TTH_CLIENT, 4 * MIB, true);
  tst_pair_run(pair);
  tst_pair_send(pair, second, TTH_CLIENT, 4 * MIB, true);
  tst_pair_run(pair);
  assert_int_equal(first->way[TTH_CLIENT].received, 1);
  assert_int_equal(second->way[TTH_CLIENT].received, 0);
  assert_int_equal(tst_pair_read(pair, first, TTH_SERVER, 1), 1);
  tst_pair_run(pair);
  assert_int_equal(second->way[TTH_CLIENT].received, 1);
  tst_pair_hang_up(pair, first);
  tst_pair_hang_up(pair, second); /* unread, its end gives it back */
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

/* A sender always finds half of its window again, so nothing but the budget can hold these up. */
static void fifty_messages_of_4_mib_at_once_arrive_with_a_budget_of_one(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0);
  pair->gather = BASE / 8 - 1;
  uint64_t most = 0;
  for (int i = 0; i < 50; i++) tst_pair_send(pair, tst_pair_reading_call(pair), TTH_CLIENT, 4 * MIB, i % 2);
  for (size_t moved = 1; moved > 0;) {
    moved = tst_pair_fill(pair, TTH_CLIENT, 256 * KIB) + tst_pair_fill(pair, TTH_SERVER, 256 * KIB);
    tst_pair_deliver(pair, TTH_CLIENT, SIZE_MAX);
    tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
    assert_null(tst_pair_wrong(pair));
    if (tst_pair_unread(pair, TTH_SERVER) > most) most = tst_pair_unread(pair, TTH_SERVER);
  }
  for (int i = 0; i < 50; i++) assert_int_equal(pair->calls[i].way[TTH_CLIENT].received, 1);
  assert_in_range(most, 4 * MIB, 4 * MIB + 50 * BASE + 64 * KIB);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void long_messages_are_given_room_in_the_order_in_which_they_began(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0);
  tst_call *calls[4];
  for (int i = 0; i < 4; i++) calls[i] = tst_pair_call(pair);
  tst_pair_run(pair);
  static const int order[] = {2, 0, 3, 1};
  for (int i = 0; i < 4; i++) {
    tst_pair_send(pair, calls[order[i]], TTH_CLIENT, 3 * MIB, false);
    tst_pair_run(pair);
  }
  assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 3);
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 4; j++) assert_int_equal(calls[order[j]]->way[TTH_CLIENT].received, j <= i);
    tst_pair_read(pair, calls[order[i]], TTH_SERVER, 1);
    tst_pair_run(pair);
  }
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void a_stream_of_long_messages_does_not_starve_a_younger_one(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0);
  tst_call *busy = tst_pair_reading_call(pair), *other = tst_pair_reading_call(pair);
  for (int i = 0; i < 8; i++) tst_pair_send(pair, busy, TTH_CLIENT, 4 * MIB, false);
  tst_pair_send(pair, other, TTH_CLIENT, 4 * MIB, false);
  while (other->way[TTH_CLIENT].received == 0) {
    assert_true(tst_pair_fill(pair, TTH_CLIENT, 128 * KIB) + tst_pair_fill(pair, TTH_SERVER, 128 * KIB) > 0);
    tst_pair_deliver(pair, TTH_CLIENT, SIZE_MAX);
    tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
  }
  assert_in_range(busy->way[TTH_CLIENT].received, 1, 2);
  tst_pair_run(pair);
  assert_int_equal(busy->way[TTH_CLIENT].received, 8);
  tst_pair_free(pair);
}

/* Each would need what the other has, had they kept it. */
static void streams_that_wait_for_more_keep_nothing_from_each_other(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(4 * MIB + 64 * KIB);
  tst_call *a = tst_pair_call(pair), *b = tst_pair_call(pair);
  tst_pair_send(pair, a, TTH_CLIENT, 2 * MIB, false);
  tst_pair_send(pair, b, TTH_CLIENT, 2 * MIB, false);
  tst_pair_run(pair);
  tst_pair_send(pair, a, TTH_CLIENT, 4 * MIB, false);
  tst_pair_send(pair, b, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(a->way[TTH_CLIENT].received + b->way[TTH_CLIENT].received, 2);
  assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 2);
  tst_pair_read(pair, a, TTH_SERVER, 1);
  tst_pair_read(pair, b, TTH_SERVER, 1);
  tst_pair_run(pair);
  assert_int_equal(a->way[TTH_CLIENT].received, 2);
  tst_pair_read(pair, a, TTH_SERVER, 1);
  tst_pair_run(pair);
  assert_int_equal(b->way[TTH_CLIENT].received, 2);
  tst_pair_free(pair);
}

static void a_slow_reader_holds_the_room_of_one_long_message_not_of_many(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(12 * MIB);
  tst_call *slow = tst_pair_call(pair), *quick = tst_pair_reading_call(pair);
  for (int i = 0; i < 4; i++) tst_pair_send(pair, slow, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(slow->way[TTH_CLIENT].received, 1);
  assert_in_range(tst_pair_taken(pair, TTH_SERVER), 4 * MIB - BASE, 4 * MIB + BASE);
  for (int i = 0; i < 4; i++) tst_pair_send(pair, quick, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(quick->way[TTH_CLIENT].received, 4);
  while (tst_pair_read(pair, slow, TTH_SERVER, 1) > 0) tst_pair_run(pair);
  assert_int_equal(slow->way[TTH_CLIENT].received, 4);
  tst_pair_free(pair);
}

/* The budget is taken; what fits the first window does not need it. */
static void short_messages_pass_while_long_ones_wait_for_the_budget(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0);
  tst_call *holder = tst_pair_call(pair), *waiting = tst_pair_call(pair), *unary = tst_pair_call(pair);
  tst_pair_send(pair, holder, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  tst_pair_send(pair, waiting, TTH_CLIENT, 4 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 1);
  tst_pair_send(pair, unary, TTH_CLIENT, FITS, true);
  while (tst_pair_fill(pair, TTH_CLIENT, 0) > 0) {
    tst_pair_deliver(pair, TTH_CLIENT, SIZE_MAX);
    assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 1);
  }
  assert_true(unary->way[TTH_CLIENT].ended);
  tst_call *half = tst_pair_call(pair);
  tst_pair_send(pair, half, TTH_CLIENT, 15 * KIB, false);
  tst_pair_send(pair, half, TTH_CLIENT, 15 * KIB, false);
  tst_pair_send(pair, half, TTH_CLIENT, 15 * KIB, false);
  tst_pair_send(pair, half, TTH_CLIENT, 50 * KIB, false);
  tst_pair_run(pair);
  assert_int_equal(half->way[TTH_CLIENT].received, 3);
  assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 2);
  tst_pair_read(pair, half, TTH_SERVER, 3); /* which makes room enough without the budget */
  assert_int_equal(pair->session[TTH_SERVER]->waiting.count, 1);
  tst_pair_run(pair);
  assert_int_equal(half->way[TTH_CLIENT].received, 4);
  tst_pair_free(pair);
}

/* ---- Streams that end ---------------------------------------------------------------------- */

/* One call holds the whole budget, half of its message here; another waits. */
static tst_call *half_a_message(tst_pair *pair, tth_role sender, tst_call **next) {
  tth_role receiver = sender == TTH_CLIENT ? TTH_SERVER : TTH_CLIENT;
  tst_call *first = tst_pair_call(pair);
  *next = tst_pair_call(pair);
  tst_pair_run(pair);
  tst_pair_send(pair, first, sender, 4 * MIB, false);
  while (first->at[receiver]->in.unread < MIB) {
    tst_pair_fill(pair, sender, 64 * KIB);
    tst_pair_deliver(pair, sender, SIZE_MAX);
    tst_pair_fill(pair, receiver, 64 * KIB);
    tst_pair_deliver(pair, receiver, SIZE_MAX);
  }
  tst_pair_send(pair, *next, sender, 4 * MIB, false);
  for (int i = 0; i < 4; i++) {
    tst_pair_fill(pair, sender, 0);
    tst_pair_deliver(pair, sender, SIZE_MAX);
  }
  assert_int_equal(pair->session[receiver]->waiting.count, 1);
  return first;
}

static void a_stream_that_ends_in_the_middle_of_a_message_lets_the_next_one_on(void **state) {
  (void)state;
  const tether_limits limits = {.max_message_bytes = 4 * MIB}; /* and a budget of one such message */
  for (int cancel = 0; cancel < 2; cancel++) {
    for (int sender = TTH_CLIENT; sender <= TTH_SERVER; sender++) {
      tth_role receiver = sender == TTH_CLIENT ? TTH_SERVER : TTH_CLIENT;
      tst_pair *pair = tst_pair_new(&limits, &limits);
      tst_call *next, *first = half_a_message(pair, (tth_role)sender, &next);
      if (cancel) {
        tst_pair_cancel(pair, first);
      } else {
        tth_session_drop_output(pair->session[TTH_SERVER], first->at[TTH_SERVER]);
        tst_pair_end(pair, first, TTH_SERVER);
      }
      tst_pair_run(pair);
      assert_true(cancel ? first->told : first->trailers);
      assert_int_equal(first->way[sender].received, 0);
      assert_int_equal(next->way[sender].received, 1);
      assert_int_equal(tst_pair_read(pair, next, receiver, 1), 1);
      tst_pair_run(pair);
      tst_pair_assert_settled(pair);
      tst_pair_free(pair);
    }
  }
}

static void a_message_over_the_limit_is_skipped_and_takes_nothing(void **state) {
  (void)state;
  const tether_limits limits = {.max_message_bytes = MIB};
  tst_pair *pair = tst_pair_new(NULL, &limits);
  tst_call *call = tst_pair_call(pair), *next = tst_pair_call(pair);
  tst_pair_send(pair, call, TTH_CLIENT, MIB + 1, false);
  tst_pair_send(pair, next, TTH_CLIENT, MIB, false);
  tst_pair_run(pair);
  assert_true(call->oversize[TTH_SERVER]);
  assert_int_equal(next->way[TTH_CLIENT].received, 1);
  assert_int_equal(call->at[TTH_SERVER]->in.unread, 0);
  tst_pair_read(pair, next, TTH_SERVER, 1);
  tst_pair_assert_settled(pair);
  tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
  assert_true(call->trailers);
  tst_pair_free(pair);
}

static void what_a_cancelled_handler_holds_is_counted_until_it_is_read_or_the_handler_ends(void **state) {
  (void)state;
  for (int reads = 0; reads < 2; reads++) {
    tst_pair *pair = tst_pair_with_budget(0);
    tst_call *call = tst_pair_call(pair);
    tst_pair_send(pair, call, TTH_CLIENT, 4 * MIB, false);
    tst_pair_run(pair);
    tst_pair_cancel(pair, call);
    tst_pair_run(pair);
    assert_true(call->told);
    assert_in_range(tst_pair_taken(pair, TTH_SERVER), 4 * MIB - BASE, 4 * MIB + BASE);
    if (reads)
      tst_pair_read(pair, call, TTH_SERVER, 1);
    else
      tst_pair_end(pair, call, TTH_SERVER);
    assert_int_equal(tst_pair_taken(pair, TTH_SERVER), 0);
    tst_pair_run(pair);
    tst_pair_assert_settled(pair);
    tst_pair_free(pair);
  }
}

static void streams_that_end_with_messages_unread_give_everything_back(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  for (int i = 0; i < 100; i++) {
    tst_call *call = tst_pair_call(pair);
    for (int j = 0; j < 5; j++) tst_pair_send(pair, call, TTH_CLIENT, 100 * KIB, false);
    tst_pair_run(pair);
    for (int j = 0; j < 5; j++) tst_pair_send(pair, call, TTH_SERVER, 100 * KIB, false);
    tst_pair_run(pair);
    if (i % 2) tst_pair_cancel(pair, call);
    tst_pair_run(pair);
    tst_pair_hang_up(pair, call);
    if (!(i % 2)) { /* the client has not read: TRAILERS wait behind the messages */
      assert_false(call->trailers);
      while (tst_pair_read(pair, call, TTH_CLIENT, 1) > 0) tst_pair_run(pair);
      assert_true(call->trailers);
    }
    tst_pair_assert_settled(pair);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_SERVER]), 0);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_CLIENT]), 0);
  }
  tst_pair_free(pair);
}

/* ---- Cuts ---------------------------------------------------------------------------------- */

/* A server's stream that has sent half of a long message to a client that does not read, and has more queued. */
static tst_call *stuck_reply(tst_pair *pair) {
  tst_call *call = tst_pair_call(pair);
  tst_pair_run(pair);
  tst_pair_send(pair, call, TTH_SERVER, 3 * MIB, false);
  tst_pair_send(pair, call, TTH_SERVER, 3 * MIB, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_SERVER].received, 1);
  assert_true(call->at[TTH_SERVER]->blocked);
  assert_non_null(call->at[TTH_CLIENT]->message);
  return call;
}

static void trailers_may_follow_half_a_message_when_the_rest_was_dropped(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = stuck_reply(pair);
  tth_session_want_writable(pair->session[TTH_SERVER], call->at[TTH_SERVER]);
  tth_session_drop_output(pair->session[TTH_SERVER], call->at[TTH_SERVER]);
  assert_int_equal(call->at[TTH_SERVER]->queued, 0);
  assert_ptr_equal(tth_session_next_writable(pair->session[TTH_SERVER]), call);
  tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
  assert_true(call->trailers);
  assert_int_equal(call->way[TTH_SERVER].received, 1);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void a_cancel_frees_a_reply_that_waits_for_credit(void **state) {
  (void)state;
  for (int finished = 0; finished < 2; finished++) {
    tst_pair *pair = tst_pair_new(NULL, NULL);
    tst_call *call = stuck_reply(pair);
    if (finished) tst_pair_end(pair, call, TTH_SERVER);
    tst_pair_cancel(pair, call);
    tst_pair_run(pair);
    if (!finished) {
      assert_true(call->told);
      assert_int_equal(call->at[TTH_SERVER]->queued, 0);
      tst_pair_send(pair, call, TTH_SERVER, 1000, false); /* a handler that has not noticed */
      assert_int_equal(call->at[TTH_SERVER]->queued, 0);
      tst_pair_end(pair, call, TTH_SERVER);
      tst_pair_run(pair);
    }
    assert_int_equal(tth_session_stream_count(pair->session[TTH_CLIENT]), 0);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_SERVER]), 0);
    tst_pair_assert_settled(pair);
    tst_pair_free(pair);
  }
}

/* The last message and TRAILERS leave as one piece, which waits for the message's credit. */
static void finish_with_message(tst_pair *pair, tst_call *call) {
  tth_out *out = tth_out_new(2 * TTH_FRAME_HEADER + 16000 + 2, false);
  assert_non_null(out);
  tth_frame_put(out->data, 16000, TTH_MESSAGE, TTH_FLAG_END, 0);
  memset(out->data + TTH_FRAME_HEADER, 'm', 16000);
  tth_frame_put(out->data + TTH_FRAME_HEADER + 16000, 2, TTH_TRAILERS, 0, 0);
  memcpy(out->data + 2 * TTH_FRAME_HEADER + 16000, "\x08\x00", 2);
  tth_session_finish(pair->session[TTH_SERVER], call->at[TTH_SERVER], out);
  call->at[TTH_SERVER] = NULL;
}

static void a_cancel_takes_the_message_away_before_trailers_that_wait_with_it(void **state) {
  (void)state;
  for (int finished = 0; finished < 2; finished++) {
    tst_pair *pair = tst_pair_new(NULL, NULL);
    tst_call *call = tst_pair_call(pair);
    tst_pair_run(pair);
    for (int i = 0; i < 4; i++) tst_pair_send(pair, call, TTH_SERVER, 16000, false);
    tst_pair_run(pair);
    if (finished) finish_with_message(pair, call);
    tst_pair_run(pair);
    assert_false(call->trailers);
    tst_pair_cancel(pair, call);
    tst_pair_run(pair);
    if (!finished) finish_with_message(pair, call);
    tst_pair_run(pair);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_CLIENT]), 0);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_SERVER]), 0);
    tst_pair_assert_settled(pair);
    tst_pair_free(pair);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_window_doubles_for_a_reader_that_keeps_up_and_is_given_back_at_the_end),
      cmocka_unit_test(a_window_grows_to_the_most_and_not_beyond),
      cmocka_unit_test(a_window_does_not_grow_for_a_slow_reader_or_a_slow_sender),
      cmocka_unit_test(grown_windows_leave_room_for_the_longest_message),
      cmocka_unit_test(a_long_message_reserves_room_which_is_given_back_when_it_was_read),
      cmocka_unit_test(a_last_message_keeps_what_it_has_of_the_budget_until_it_is_read),
      cmocka_unit_test(fifty_messages_of_4_mib_at_once_arrive_with_a_budget_of_one),
      cmocka_unit_test(long_messages_are_given_room_in_the_order_in_which_they_began),
      cmocka_unit_test(a_stream_of_long_messages_does_not_starve_a_younger_one),
      cmocka_unit_test(streams_that_wait_for_more_keep_nothing_from_each_other),
      cmocka_unit_test(a_slow_reader_holds_the_room_of_one_long_message_not_of_many),
      cmocka_unit_test(short_messages_pass_while_long_ones_wait_for_the_budget),
      cmocka_unit_test(a_stream_that_ends_in_the_middle_of_a_message_lets_the_next_one_on),
      cmocka_unit_test(a_message_over_the_limit_is_skipped_and_takes_nothing),
      cmocka_unit_test(what_a_cancelled_handler_holds_is_counted_until_it_is_read_or_the_handler_ends),
      cmocka_unit_test(streams_that_end_with_messages_unread_give_everything_back),
      cmocka_unit_test(trailers_may_follow_half_a_message_when_the_rest_was_dropped),
      cmocka_unit_test(a_cancel_frees_a_reply_that_waits_for_credit),
      cmocka_unit_test(a_cancel_takes_the_message_away_before_trailers_that_wait_with_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
