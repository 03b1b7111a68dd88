/* The window of a stream: what slow readers do to it, what passes it, and what its sender learns. Two sessions, no
 * I/O. */
#include "tests/support/ctx_test.h"
#include "tests/support/session_pair.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define BASE TTH_WINDOW_LEAST

/* Messages of at most this fit a first window whole: three slices and what is left. */
#define FITS (BASE - 4 - 4 * TTH_FRAME_HEADER)

static size_t cost_of(size_t len) { return TTH_FRAME_HEADER + len; }

/* ---- One stream ---------------------------------------------------------------------------- */

static void a_sender_stops_when_the_window_is_full_and_goes_on_as_the_reader_reads(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 200; i++) tst_pair_send(pair, call, TTH_CLIENT, 1000, false);
  tst_pair_run(pair);
  const tst_way *way = &call->way[TTH_CLIENT];
  assert_int_equal(way->received, BASE / cost_of(1000));
  assert_int_equal(tst_pair_unread(pair, TTH_SERVER), way->received * cost_of(1000));
  tst_pair_run(pair);
  assert_int_equal(way->received, BASE / cost_of(1000));
  while (tst_pair_read(pair, call, TTH_SERVER, 1) > 0) tst_pair_run(pair);
  assert_int_equal(way->received, 200);
  assert_int_equal(call->at[TTH_CLIENT]->queued, 0);
  tst_pair_hang_up(pair, call);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void the_servers_messages_wait_for_the_clients_reader_alike(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  tst_pair_run(pair);
  for (int i = 0; i < 200; i++) tst_pair_send(pair, call, TTH_SERVER, 1000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_SERVER].received, BASE / cost_of(1000));
  while (tst_pair_read(pair, call, TTH_CLIENT, 1) > 0) tst_pair_run(pair);
  assert_int_equal(call->way[TTH_SERVER].received, 200);
  tst_pair_free(pair);
}

static void messages_without_content_are_bounded_by_their_headers(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 20000; i++) tst_pair_send(pair, call, TTH_CLIENT, 0, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, BASE / TTH_FRAME_HEADER);
  tst_pair_free(pair);
}

static void a_larger_first_window_is_announced_and_used(void **state) {
  (void)state;
  const tether_limits limits = {.stream_window_bytes = 256 * KIB};
  tst_pair *pair = tst_pair_new(NULL, &limits);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 400; i++) tst_pair_send(pair, call, TTH_CLIENT, 1000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, 256 * KIB / cost_of(1000));
  tst_pair_send(pair, call, TTH_SERVER, 1000, false);
  for (int i = 0; i < 400; i++) tst_pair_send(pair, call, TTH_SERVER, 1000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_SERVER].received, BASE / cost_of(1000));
  tst_pair_free(pair);
}

static void credit_is_given_back_in_few_frames(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0); /* nothing to grow with */
  tst_call *call = tst_pair_reading_call(pair);
  size_t sent = 0;
  for (int i = 0; i < 5000; i++) {
    tst_pair_send(pair, call, TTH_CLIENT, 1000, false);
    sent += cost_of(1000);
    tst_pair_run(pair);
  }
  assert_int_equal(call->way[TTH_CLIENT].received, 5000);
  assert_in_range(pair->windows_sent[TTH_SERVER], sent / BASE, 2 * sent / BASE + 1);
  unsigned before = pair->windows_sent[TTH_SERVER];
  tst_call *slow = tst_pair_call(pair);
  for (int i = 0; i < 100; i++) { /* each in two slices, and the one before it read between them */
    tst_pair_send(pair, slow, TTH_CLIENT, 18000, false);
    tst_pair_fill(pair, TTH_CLIENT, 64 * KIB);
    tst_pair_deliver(pair, TTH_CLIENT, i == 0 ? 2 : 1);
    tst_pair_read(pair, slow, TTH_SERVER, 1);
    tst_pair_run(pair);
  }
  assert_int_equal(slow->way[TTH_CLIENT].received, 100);
  assert_in_range(pair->windows_sent[TTH_SERVER] - before, 100 * 18000 / BASE, 2 * 100 * 18000 / BASE + 1);
  tst_pair_free(pair);
}

/* The window is free by less than half when the message begins, and what is there of it cannot be used. */
static void a_message_of_nearly_a_window_arrives_however_little_credit_there_is_when_it_begins(void **state) {
  (void)state;
  for (size_t gather = 0; gather <= BASE / 8 - 1; gather += BASE / 8 - 1) {
    for (size_t before = 0; before < BASE - cost_of(0); before += 1021) {
      for (size_t len = 20 * KIB; len <= 96 * KIB; len += 3001) {
        tst_pair *pair = tst_pair_with_budget(0);
        pair->gather = gather;
        tst_call *call = tst_pair_reading_call(pair);
        for (size_t left = before; left > 0;) {
          size_t piece = left < 8000 ? left : 8000;
          tst_pair_send(pair, call, TTH_CLIENT, piece, false);
          left -= piece;
        }
        tst_pair_run(pair);
        size_t had = call->way[TTH_CLIENT].received;
        tst_pair_send(pair, call, TTH_CLIENT, len, false);
        tst_pair_run(pair);
        if (call->way[TTH_CLIENT].received != had + 1) fail_msg("%zu bytes behind %zu", len, before);
        tst_pair_free(pair);
      }
    }
  }
}

static void a_stream_that_is_not_read_holds_up_itself_alone(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *slow = tst_pair_call(pair), *quick = tst_pair_reading_call(pair);
  for (int i = 0; i < 500; i++) {
    tst_pair_send(pair, slow, TTH_CLIENT, 10000, false);
    tst_pair_send(pair, quick, TTH_CLIENT, 10000, false);
  }
  tst_pair_run(pair);
  assert_int_equal(slow->way[TTH_CLIENT].received, BASE / cost_of(10000));
  assert_int_equal(quick->way[TTH_CLIENT].received, 500);
  for (int i = 0; i < 50; i++) {
    tst_call *unary = tst_pair_call(pair);
    tst_pair_send(pair, unary, TTH_CLIENT, 100, true);
    tst_pair_run(pair);
    tst_pair_send(pair, unary, TTH_SERVER, 100, true);
    tst_pair_hang_up(pair, unary);
    assert_true(unary->trailers && unary->way[TTH_SERVER].ended);
  }
  tst_pair_free(pair);
}

static void control_frames_and_ends_pass_a_stream_that_waits(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *slow = tst_pair_call(pair), *other = tst_pair_call(pair), *headers = NULL;
  for (int i = 0; i < 100; i++) tst_pair_send(pair, slow, TTH_CLIENT, 10000, false);
  tst_pair_send(pair, other, TTH_CLIENT, 10000, false);
  tst_pair_run(pair);
  assert_int_equal(pair->session[TTH_CLIENT]->blocked, 1);
  tst_pair_cancel(pair, other);
  headers = tst_pair_call(pair);
  tst_pair_end(pair, headers, TTH_CLIENT); /* END alone costs nothing */
  tst_pair_run(pair);
  assert_true(other->told && headers->at[TTH_SERVER] && headers->way[TTH_CLIENT].ended);
  tst_pair_cancel(pair, slow);
  tst_pair_run(pair);
  assert_true(slow->told);
  tst_pair_free(pair);
}

static void end_stays_behind_the_messages_of_its_stream(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 10; i++) tst_pair_send(pair, call, TTH_CLIENT, 10000, false);
  tst_pair_end(pair, call, TTH_CLIENT);
  tst_pair_run(pair);
  for (int i = 0; i < 10; i++) tst_pair_send(pair, call, TTH_SERVER, 10000, false);
  tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
  assert_false(call->way[TTH_CLIENT].ended || call->trailers);
  while (tst_pair_read(pair, call, TTH_CLIENT, 1) > 0) tst_pair_run(pair);
  assert_int_equal(call->way[TTH_SERVER].received, 10);
  assert_true(call->trailers);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

/* ---- Unary calls --------------------------------------------------------------------------- */

static void a_unary_call_that_fits_the_first_window_causes_no_window_frame(void **state) {
  (void)state;
  static const size_t lens[] = {0, 100, TTH_SLICE, TTH_SLICE + 1, BASE / 2, BASE / 2 + 1, 60000, FITS};
  tst_pair *pair = tst_pair_with_budget(0);
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    tst_call *call = tst_pair_call(pair);
    tst_pair_send(pair, call, TTH_CLIENT, lens[i], true);
    tst_pair_run(pair);
    tst_pair_send(pair, call, TTH_SERVER, lens[i], true);
    tst_pair_hang_up(pair, call);
    assert_true(call->way[TTH_CLIENT].ended && call->way[TTH_SERVER].ended && call->trailers);
  }
  assert_int_equal(pair->windows_sent[TTH_CLIENT] + pair->windows_sent[TTH_SERVER], 0);
  tst_call *call = tst_pair_call(pair);
  tst_pair_send(pair, call, TTH_CLIENT, FITS + 1, true);
  tst_pair_run(pair);
  assert_int_equal(pair->windows_sent[TTH_SERVER], 1);
  assert_true(call->way[TTH_CLIENT].ended);
  tst_pair_free(pair);
}

static void a_long_request_gives_its_reservation_back_before_the_handler_has_finished(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_with_budget(0);
  for (int i = 0; i < 20; i++) {
    tst_call *call = tst_pair_call(pair);
    tst_pair_send(pair, call, TTH_CLIENT, 4 * MIB, true);
    tst_pair_run(pair);
    assert_true(call->way[TTH_CLIENT].ended && call->at[TTH_SERVER]);
    assert_int_equal(tst_pair_read(pair, call, TTH_SERVER, 1), 1); /* as the call unpacks it */
    tst_pair_assert_settled(pair);
  }
  tst_pair_free(pair);
}

/* ---- Output -------------------------------------------------------------------------------- */

static void output_that_waits_for_credit_is_not_pending(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  tst_pair_send(pair, call, TTH_CLIENT, 16000, false);
  assert_true(tth_session_pending(pair->session[TTH_CLIENT]) > 16000);
  for (int i = 0; i < 9; i++) tst_pair_send(pair, call, TTH_CLIENT, 16000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, 4);
  assert_int_equal(tth_session_pending(pair->session[TTH_CLIENT]), 0);
  assert_int_equal(call->at[TTH_CLIENT]->queued, 6 * cost_of(16000));
  tst_pair_send(pair, call, TTH_CLIENT, 16000, false);
  assert_int_equal(tth_session_pending(pair->session[TTH_CLIENT]), 0);
  tst_pair_read(pair, call, TTH_SERVER, 4);
  size_t pending = tth_session_pending(pair->session[TTH_SERVER]); /* a WINDOW is owed */
  assert_in_range(pending, TTH_FRAME_HEADER, 100);
  assert_true(tth_session_min_fill(pair->session[TTH_SERVER]) >= pending);
  assert_int_equal(tst_pair_fill(pair, TTH_SERVER, 0) > 0, true);
  tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
  assert_int_equal(tth_session_pending(pair->session[TTH_CLIENT]), 7 * cost_of(16000));
  tst_pair_free(pair);
}

static void windows_leave_before_messages(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 10; i++) tst_pair_send(pair, call, TTH_CLIENT, 16000, false);
  tst_pair_run(pair);
  for (int i = 0; i < 10; i++) tst_pair_send(pair, call, TTH_SERVER, 16000, false);
  tst_pair_read(pair, call, TTH_SERVER, SIZE_MAX);
  tst_pair_fill(pair, TTH_SERVER, 0);
  tth_frame first = {0};
  assert_true(tth_frame_get(pair->wire[TTH_SERVER].bytes, pair->wire[TTH_SERVER].len, &first));
  assert_int_equal(first.type, TTH_WINDOW);
  assert_int_equal(first.stream, 1);
  tst_pair_run(pair);
  tst_pair_free(pair);
}

static void a_window_that_is_owed_is_not_sent_after_end(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  for (int i = 0; i < 4; i++) tst_pair_send(pair, call, TTH_CLIENT, 16000, false);
  tst_pair_end(pair, call, TTH_CLIENT);
  tst_pair_fill(pair, TTH_CLIENT, 256 * KIB);
  tst_pair_deliver(pair, TTH_CLIENT, 5);
  tst_pair_read(pair, call, TTH_SERVER, 4);
  assert_true(tth_session_pending(pair->session[TTH_SERVER]) > 0);
  tst_pair_deliver(pair, TTH_CLIENT, 1);
  assert_true(call->way[TTH_CLIENT].ended);
  assert_int_equal(tth_session_pending(pair->session[TTH_SERVER]), 0);
  tst_pair_free(pair);
}

static void the_owner_is_told_when_little_is_queued(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tth_session *session = pair->session[TTH_CLIENT];
  tst_call *call = tst_pair_call(pair);
  tth_session_want_writable(session, call->at[TTH_CLIENT]); /* nothing but HEADERS: at once */
  tth_session_want_writable(session, call->at[TTH_CLIENT]);
  assert_ptr_equal(tth_session_next_writable(session), call);
  assert_null(tth_session_next_writable(session));
  while (call->at[TTH_CLIENT]->queued < TTH_SEND_HIGH) tst_pair_send(pair, call, TTH_CLIENT, 15000, false);
  tst_pair_run(pair);
  assert_int_equal(call->writable[TTH_CLIENT], 0); /* did not ask */
  while (call->at[TTH_CLIENT]->queued < TTH_SEND_HIGH) tst_pair_send(pair, call, TTH_CLIENT, 15000, false);
  tth_session_want_writable(session, call->at[TTH_CLIENT]);
  tst_pair_run(pair);
  assert_int_equal(call->writable[TTH_CLIENT], 0); /* not read: nothing can leave */
  while (call->writable[TTH_CLIENT] == 0) {
    assert_true(call->at[TTH_CLIENT]->queued > TTH_SEND_LOW);
    assert_int_equal(tst_pair_read(pair, call, TTH_SERVER, 1), 1);
    tst_pair_run(pair);
  }
  assert_true(call->at[TTH_CLIENT]->queued <= TTH_SEND_LOW);
  assert_int_equal(call->writable[TTH_CLIENT], 1);
  tst_pair_free(pair);
}

static void a_stream_that_is_gone_is_not_named_writable(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *cancelled = tst_pair_call(pair), *ended = tst_pair_call(pair), *finished = tst_pair_call(pair);
  tst_pair_run(pair);
  tth_session_want_writable(pair->session[TTH_CLIENT], cancelled->at[TTH_CLIENT]);
  tth_session_want_writable(pair->session[TTH_CLIENT], ended->at[TTH_CLIENT]);
  tth_session_want_writable(pair->session[TTH_SERVER], finished->at[TTH_SERVER]);
  tst_pair_cancel(pair, cancelled);
  tst_pair_end(pair, ended, TTH_SERVER);
  tst_pair_end(pair, finished, TTH_SERVER);
  assert_int_equal(pair->session[TTH_SERVER]->writable.count, 0);
  tst_pair_fill(pair, TTH_SERVER, 0);
  tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
  assert_true(ended->trailers);
  assert_int_equal(pair->session[TTH_CLIENT]->writable.count, 0);
  assert_null(tth_session_next_writable(pair->session[TTH_CLIENT]));
  tst_pair_free(pair);
}

static void what_is_sent_on_a_call_that_has_not_left_follows_it(void **state) {
  (void)state;
  const tether_limits limits = {.max_streams = 1};
  tst_pair *pair = tst_pair_new(NULL, &limits);
  tst_call *first = tst_pair_call(pair), *second = tst_pair_call(pair);
  tst_pair_run(pair);
  assert_int_equal(second->at[TTH_CLIENT]->state, TTH_STREAM_QUEUED);
  tst_pair_send(pair, second, TTH_CLIENT, 100, false);
  tst_pair_send(pair, second, TTH_CLIENT, 100 * KIB, false);
  tst_pair_end(pair, second, TTH_CLIENT);
  tst_pair_run(pair);
  assert_null(second->at[TTH_SERVER]);
  tst_pair_hang_up(pair, first);
  assert_int_equal(second->way[TTH_CLIENT].received, 2);
  assert_true(second->way[TTH_CLIENT].ended);
  tst_pair_hang_up(pair, second);
  tst_pair_assert_settled(pair);
  tst_pair_free(pair);
}

static void a_ping_waits_for_streams_that_wait_for_credit(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = tst_pair_call(pair);
  tst_pair_run(pair);
  for (int i = 0; i < 10; i++) tst_pair_send(pair, call, TTH_SERVER, 16000, false);
  tst_pair_end(pair, call, TTH_SERVER);
  tth_session_ping(pair->session[TTH_SERVER]);
  tst_pair_run(pair);
  assert_true(pair->session[TTH_SERVER]->ping_owed);
  assert_int_equal(tth_session_pending(pair->session[TTH_SERVER]), 0);
  while (tst_pair_read(pair, call, TTH_CLIENT, 1) > 0) tst_pair_run(pair);
  assert_true(call->trailers);
  assert_false(pair->session[TTH_SERVER]->ping_owed);
  tst_pair_free(pair);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_sender_stops_when_the_window_is_full_and_goes_on_as_the_reader_reads),
      cmocka_unit_test(the_servers_messages_wait_for_the_clients_reader_alike),
      cmocka_unit_test(messages_without_content_are_bounded_by_their_headers),
      cmocka_unit_test(a_larger_first_window_is_announced_and_used),
      cmocka_unit_test(credit_is_given_back_in_few_frames),
      cmocka_unit_test(a_message_of_nearly_a_window_arrives_however_little_credit_there_is_when_it_begins),
      cmocka_unit_test(a_stream_that_is_not_read_holds_up_itself_alone),
      cmocka_unit_test(control_frames_and_ends_pass_a_stream_that_waits),
      cmocka_unit_test(end_stays_behind_the_messages_of_its_stream),
      cmocka_unit_test(a_unary_call_that_fits_the_first_window_causes_no_window_frame),
      cmocka_unit_test(a_long_request_gives_its_reservation_back_before_the_handler_has_finished),
      cmocka_unit_test(output_that_waits_for_credit_is_not_pending),
      cmocka_unit_test(windows_leave_before_messages),
      cmocka_unit_test(a_window_that_is_owed_is_not_sent_after_end),
      cmocka_unit_test(the_owner_is_told_when_little_is_queued),
      cmocka_unit_test(a_stream_that_is_gone_is_not_named_writable),
      cmocka_unit_test(what_is_sent_on_a_call_that_has_not_left_follows_it),
      cmocka_unit_test(a_ping_waits_for_streams_that_wait_for_credit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
