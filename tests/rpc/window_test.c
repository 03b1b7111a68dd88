/* Flow control: what slow readers, long messages and ends do to windows and to the connection's budget, and that
 * nothing waits for ever. Two sessions, no I/O. */
#include "tests/support/ctx_test.h"
#include "tests/support/session_pair.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define BASE TTH_WINDOW_LEAST

/* Messages of at most this fit a first window whole: three slices and what is left. */
#define FITS (BASE - 4 - 4 * TTH_FRAME_HEADER)

static size_t cost_of(size_t len) { return TTH_FRAME_HEADER + len; }

/* A pair whose server has this budget. */
static tst_pair *with_budget(size_t bytes) {
  const tether_limits limits = {.max_message_bytes = 4 * MIB, .connection_window_bytes = bytes};
  return tst_pair_new(NULL, &limits);
}

static tst_call *reading_call(tst_pair *pair) {
  tst_call *call = tst_pair_call(pair);
  call->reads[TTH_CLIENT] = call->reads[TTH_SERVER] = true;
  return call;
}

/* Nothing is on its way, nobody waits, and the budget is whole. */
static void assert_settled(const tst_pair *pair) {
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    assert_int_equal(tst_pair_taken(pair, (tth_role)role), 0);
    assert_int_equal(pair->session[role]->waiting.count, 0);
    assert_int_equal(tth_session_pending(pair->session[role]), 0);
  }
}

/* Both sides end the call; nothing is left of it. */
static void end(tst_pair *pair, tst_call *call) {
  if (call->at[TTH_CLIENT] && !call->way[TTH_CLIENT].end_sent) tst_pair_end(pair, call, TTH_CLIENT);
  if (call->at[TTH_SERVER]) tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
}

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
  end(pair, call);
  assert_settled(pair);
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
  tst_pair *pair = with_budget(0); /* nothing to grow with */
  tst_call *call = reading_call(pair);
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
        tst_pair *pair = with_budget(0);
        pair->gather = gather;
        tst_call *call = reading_call(pair);
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
  tst_call *slow = tst_pair_call(pair), *quick = reading_call(pair);
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
    end(pair, unary);
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
  assert_settled(pair);
  tst_pair_free(pair);
}

/* ---- Unary calls --------------------------------------------------------------------------- */

static void a_unary_call_that_fits_the_first_window_causes_no_window_frame(void **state) {
  (void)state;
  static const size_t lens[] = {0, 100, TTH_SLICE, TTH_SLICE + 1, BASE / 2, BASE / 2 + 1, 60000, FITS};
  tst_pair *pair = with_budget(0);
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    tst_call *call = tst_pair_call(pair);
    tst_pair_send(pair, call, TTH_CLIENT, lens[i], true);
    tst_pair_run(pair);
    tst_pair_send(pair, call, TTH_SERVER, lens[i], true);
    end(pair, call);
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
  tst_pair *pair = with_budget(0);
  for (int i = 0; i < 20; i++) {
    tst_call *call = tst_pair_call(pair);
    tst_pair_send(pair, call, TTH_CLIENT, 4 * MIB, true);
    tst_pair_run(pair);
    assert_true(call->way[TTH_CLIENT].ended && call->at[TTH_SERVER]);
    assert_settled(pair);
  }
  tst_pair_free(pair);
}

/* ---- The budget ---------------------------------------------------------------------------- */

static void a_window_doubles_for_a_reader_that_keeps_up_and_is_given_back_at_the_end(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tst_call *call = reading_call(pair);
  for (int i = 0; i < 2000; i++) tst_pair_send(pair, call, TTH_CLIENT, 8000, false);
  tst_pair_run(pair);
  assert_int_equal(call->way[TTH_CLIENT].received, 2000);
  assert_int_equal(tst_pair_taken(pair, TTH_SERVER), TTH_WINDOW_MOST - BASE);
  assert_int_equal(call->at[TTH_SERVER]->in.grown, TTH_WINDOW_MOST - BASE);
  tst_pair_end(pair, call, TTH_CLIENT);
  tst_pair_run(pair);
  assert_int_equal(tst_pair_taken(pair, TTH_SERVER), 0); /* nothing more comes */
  end(pair, call);
  assert_settled(pair);
  tst_pair_free(pair);
}

static void a_window_grows_to_the_most_and_not_beyond(void **state) {
  (void)state;
  const tether_limits limits = {.stream_window_bytes = 100 * KIB, .connection_window_bytes = 64 * MIB};
  tst_pair *pair = tst_pair_new(NULL, &limits);
  tst_call *call = reading_call(pair);
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
  tst_call *slow_reader = tst_pair_call(pair), *slow_sender = reading_call(pair);
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
  tst_pair *pair = with_budget(4 * MIB + 512 * KIB);
  for (int i = 0; i < 20; i++) {
    tst_call *call = reading_call(pair);
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
  end(pair, call);
  assert_settled(pair);
  tst_pair_free(pair);
}

/* A sender always finds half of its window again, so nothing but the budget can hold these up. */
static void fifty_messages_of_4_mib_at_once_arrive_with_a_budget_of_one(void **state) {
  (void)state;
  tst_pair *pair = with_budget(0);
  pair->gather = BASE / 8 - 1;
  uint64_t most = 0;
  for (int i = 0; i < 50; i++) tst_pair_send(pair, reading_call(pair), TTH_CLIENT, 4 * MIB, i % 2);
  for (size_t moved = 1; moved > 0;) {
    moved = tst_pair_fill(pair, TTH_CLIENT, 256 * KIB) + tst_pair_fill(pair, TTH_SERVER, 256 * KIB);
    tst_pair_deliver(pair, TTH_CLIENT, SIZE_MAX);
    tst_pair_deliver(pair, TTH_SERVER, SIZE_MAX);
    assert_null(tst_pair_wrong(pair));
    if (tst_pair_unread(pair, TTH_SERVER) > most) most = tst_pair_unread(pair, TTH_SERVER);
  }
  for (int i = 0; i < 50; i++) assert_int_equal(pair->calls[i].way[TTH_CLIENT].received, 1);
  assert_in_range(most, 4 * MIB, 4 * MIB + 50 * BASE + 64 * KIB);
  assert_settled(pair);
  tst_pair_free(pair);
}

static void long_messages_are_given_room_in_the_order_in_which_they_began(void **state) {
  (void)state;
  tst_pair *pair = with_budget(0);
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
  assert_settled(pair);
  tst_pair_free(pair);
}

static void a_stream_of_long_messages_does_not_starve_a_younger_one(void **state) {
  (void)state;
  tst_pair *pair = with_budget(0);
  tst_call *busy = reading_call(pair), *other = reading_call(pair);
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
  tst_pair *pair = with_budget(4 * MIB + 64 * KIB);
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
  tst_pair *pair = with_budget(12 * MIB);
  tst_call *slow = tst_pair_call(pair), *quick = reading_call(pair);
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
  tst_pair *pair = with_budget(0);
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
      assert_settled(pair);
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
  assert_settled(pair);
  tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
  assert_true(call->trailers);
  tst_pair_free(pair);
}

static void what_a_cancelled_handler_holds_is_counted_until_it_is_read_or_the_handler_ends(void **state) {
  (void)state;
  for (int reads = 0; reads < 2; reads++) {
    tst_pair *pair = with_budget(0);
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
    assert_settled(pair);
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
    end(pair, call);
    if (!(i % 2)) { /* the client has not read: TRAILERS wait behind the messages */
      assert_false(call->trailers);
      while (tst_pair_read(pair, call, TTH_CLIENT, 1) > 0) tst_pair_run(pair);
      assert_true(call->trailers);
    }
    assert_settled(pair);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_SERVER]), 0);
    assert_int_equal(tth_session_stream_count(pair->session[TTH_CLIENT]), 0);
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
  end(pair, first);
  assert_int_equal(second->way[TTH_CLIENT].received, 2);
  assert_true(second->way[TTH_CLIENT].ended);
  end(pair, second);
  assert_settled(pair);
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
  assert_settled(pair);
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
    assert_settled(pair);
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
    assert_settled(pair);
    tst_pair_free(pair);
  }
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
      cmocka_unit_test(a_window_doubles_for_a_reader_that_keeps_up_and_is_given_back_at_the_end),
      cmocka_unit_test(a_window_grows_to_the_most_and_not_beyond),
      cmocka_unit_test(a_window_does_not_grow_for_a_slow_reader_or_a_slow_sender),
      cmocka_unit_test(grown_windows_leave_room_for_the_longest_message),
      cmocka_unit_test(a_long_message_reserves_room_which_is_given_back_when_it_was_read),
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
      cmocka_unit_test(output_that_waits_for_credit_is_not_pending),
      cmocka_unit_test(windows_leave_before_messages),
      cmocka_unit_test(a_window_that_is_owed_is_not_sent_after_end),
      cmocka_unit_test(the_owner_is_told_when_little_is_queued),
      cmocka_unit_test(a_stream_that_is_gone_is_not_named_writable),
      cmocka_unit_test(what_is_sent_on_a_call_that_has_not_left_follows_it),
      cmocka_unit_test(a_ping_waits_for_streams_that_wait_for_credit),
      cmocka_unit_test(trailers_may_follow_half_a_message_when_the_rest_was_dropped),
      cmocka_unit_test(a_cancel_frees_a_reply_that_waits_for_credit),
      cmocka_unit_test(a_cancel_takes_the_message_away_before_trailers_that_wait_with_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
