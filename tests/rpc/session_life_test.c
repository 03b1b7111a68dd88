/* How long a session lives, told the time by hand: keepalive, PINGs that come too often, age, idleness, drains. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"
#include "tests/support/session_net.h"

#define MS TETHER_MS
#define SEC TETHER_SEC
#define HOUR (3600 * SEC)
#define NEVER TETHER_FOREVER

static const tether_limits limits = {
    .max_message_bytes = 100000, .max_metadata_bytes = 8192, .max_unpacked_bytes = 400000, .max_streams = 64};

static const tth_life_limits lives_for_ever = {
    .keepalive_ns = NEVER, .keepalive_timeout_ns = NEVER, .hello_ns = NEVER, .idle_ns = NEVER, .age_grace_ns = NEVER};

/* ---- A session, and what it says and is told ------------------------------------------------ */

static tth_session *session;
static tst_frames said; /* by the last `fill` */

static tth_event given(const tst_frames *batch, int64_t now_ns) {
  tth_event event;
  tth_session_input(session, batch->bytes, batch->len, now_ns);
  (void)tth_session_next_event(session, &event);
  return event;
}

static void fill(int64_t now_ns) {
  static uint8_t out[8192];
  said = (tst_frames){.bytes = out, .len = tth_session_fill(session, now_ns, out, sizeof out)};
}

static bool says(tth_frame_type type, tth_frame *frame) {
  size_t at = 0;
  return tst_frames_find(said.bytes, said.len, &at, type, 0, frame);
}

static bool asks(int64_t now_ns, int64_t *stamp_ns) {
  tth_frame frame;
  fill(now_ns);
  bool asked = says(TTH_PING, &frame);
  if (asked) *stamp_ns = tth_stamps_get(frame.payload, frame.length).ping_left_ns;
  return asked;
}

static void said_goaway(uint32_t *last_stream, char why[64]) {
  tth_frame frame;
  assert_true(says(TTH_GOAWAY, &frame));
  Tether__V1__Goaway *goaway = tether__v1__goaway__unpack(NULL, frame.length, frame.payload);
  assert_non_null(goaway);
  *last_stream = goaway->last_stream;
  snprintf(why, 64, "%s", goaway->message);
  tether__v1__goaway__free_unpacked(goaway, NULL);
}

/* Begins at 1 s, greeted. */
static void begin(tth_role role, const tth_life_limits *life, int64_t age_ns) {
  tst_frames batch = {0};
  session = tth_session_new(role, &limits);
  assert_non_null(session);
  tth_session_live(session, life, age_ns, SEC);
  tst_frames_hello(&batch, 64);
  assert_int_equal(given(&batch, SEC).type, TTH_EVENT_HELLO);
  tst_frames_fini(&batch);
  fill(SEC);
}

static void drop(void) {
  while (tth_session_pop_user(session)) continue;
  tth_session_free(session);
}

static tth_event ping(int64_t now_ns) {
  tst_frames batch = {0};
  uint8_t stamps[TTH_STAMPS_SIZE] = {1};
  tst_frames_raw(&batch, TTH_PING, 0, 0, stamps, sizeof stamps);
  tth_event event = given(&batch, now_ns);
  tst_frames_fini(&batch);
  fill(now_ns);
  return event;
}

static tth_event_type pong(int64_t stamp_ns, int64_t now_ns) {
  tst_frames batch = {0};
  uint8_t payload[TTH_STAMPS_SIZE];
  tth_stamps_put(payload, &(tth_stamps){.ping_left_ns = stamp_ns});
  tst_frames_raw(&batch, TTH_PONG, 0, 0, payload, sizeof payload);
  tth_event event = given(&batch, now_ns);
  tst_frames_fini(&batch);
  return event.type;
}

static int a_user;

static tth_event request(uint32_t id, int64_t now_ns) {
  tst_frames batch = {0};
  tst_frames_headers(&batch, id, "/a/b", NEVER);
  tth_event event = given(&batch, now_ns);
  tst_frames_fini(&batch);
  return event;
}

/* A call comes to the server. NULL: there is none. */
static tth_stream *call(uint32_t id, int64_t now_ns) {
  tth_event event = request(id, now_ns);
  if (event.type == TTH_EVENT_HEADERS) event.stream->user = &a_user;
  return event.type == TTH_EVENT_HEADERS ? event.stream : NULL;
}

static void answer(tth_stream *stream, int64_t now_ns) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + 2, false);
  assert_non_null(out);
  tth_frame_put(out->data, 2, TTH_TRAILERS, 0, 0);
  memcpy(out->data + TTH_FRAME_HEADER, "\x08\x00", 2);
  tth_session_finish(session, stream, out);
  fill(now_ns);
}

/* What the tick says, and when it wants the next. */
static void ticks(int64_t now_ns, tth_tick wanted, int64_t wanted_next_ns) {
  int64_t next_ns = -1;
  assert_int_equal(tth_session_tick(session, now_ns, &next_ns), wanted);
  if (wanted < TTH_TICK_CLOSE) assert_int_equal(next_ns, wanted_next_ns);
}

/* ---- Keepalive ----------------------------------------------------------------------------- */

static void a_silent_peer_is_asked_and_then_taken_for_gone(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 10 * SEC;
  life.keepalive_timeout_ns = 4 * SEC;
  int64_t stamp_ns = 0;
  begin(TTH_SERVER, &life, NEVER);
  ticks(SEC, TTH_TICK_NOTHING, 11 * SEC);
  ticks(11 * SEC - 1, TTH_TICK_NOTHING, 11 * SEC);
  assert_false(asks(11 * SEC - 1, &stamp_ns));
  ticks(11 * SEC, TTH_TICK_NOTHING, 15 * SEC);
  assert_true(asks(11 * SEC, &stamp_ns));
  assert_int_equal(pong(stamp_ns, 12 * SEC), TTH_EVENT_NONE);
  ticks(15 * SEC, TTH_TICK_NOTHING, 22 * SEC); /* the answer was a sign of life */
  ticks(22 * SEC, TTH_TICK_NOTHING, 26 * SEC);
  assert_true(asks(22 * SEC, &stamp_ns));
  ticks(26 * SEC - 1, TTH_TICK_NOTHING, 26 * SEC);
  ticks(26 * SEC, TTH_TICK_DEAD, 0);
  assert_non_null(strstr(tth_session_why(session), "keepalive"));
  drop();
}

static void whatever_comes_is_a_sign_of_life(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 10 * SEC;
  life.keepalive_timeout_ns = 4 * SEC;
  int64_t stamp_ns = 0;
  begin(TTH_SERVER, &life, NEVER);
  assert_non_null(call(1, 5 * SEC));
  ticks(11 * SEC, TTH_TICK_NOTHING, 15 * SEC);
  assert_false(asks(11 * SEC, &stamp_ns));
  ticks(15 * SEC, TTH_TICK_NOTHING, 19 * SEC);
  assert_true(asks(15 * SEC, &stamp_ns));
  assert_non_null(call(2, 18 * SEC)); /* though it does not answer */
  ticks(19 * SEC, TTH_TICK_NOTHING, 28 * SEC);
  drop();
}

static void a_client_without_calls_asks_only_if_it_is_to(void **state) {
  (void)state;
  int64_t stamp_ns = 0;
  for (int without_calls = 0; without_calls <= 1; without_calls++) {
    tth_life_limits life = lives_for_ever;
    life.keepalive_ns = 10 * SEC;
    life.keepalive_timeout_ns = 4 * SEC;
    life.without_calls = without_calls;
    begin(TTH_CLIENT, &life, NEVER);
    ticks(11 * SEC, TTH_TICK_NOTHING, without_calls ? 15 * SEC : 21 * SEC);
    assert_int_equal(asks(11 * SEC, &stamp_ns), without_calls);
    drop();
  }
}

static void a_client_with_a_call_notices_a_dead_server_within_time_and_timeout_of_the_next_tick(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 10 * SEC;
  life.keepalive_timeout_ns = 4 * SEC;
  int64_t stamp_ns = 0;
  begin(TTH_CLIENT, &life, NEVER);
  ticks(11 * SEC, TTH_TICK_NOTHING, 21 * SEC);
  tth_out *out = tth_out_new(TTH_FRAME_HEADER, false);
  assert_non_null(out);
  tth_frame_put(out->data, 0, TTH_HEADERS, TTH_FLAG_END, 0);
  assert_non_null(tth_session_open(session, &a_user, out));
  fill(12 * SEC);
  ticks(21 * SEC, TTH_TICK_NOTHING, 25 * SEC);
  assert_true(asks(21 * SEC, &stamp_ns));
  ticks(25 * SEC, TTH_TICK_DEAD, 0);
  drop();
}

static void before_the_peers_hello_keepalive_is_on_already(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 10 * SEC;
  session = tth_session_new(TTH_CLIENT, &limits);
  assert_non_null(session);
  tth_session_live(session, &life, NEVER, SEC);
  ticks(SEC, TTH_TICK_NOTHING, 11 * SEC);
  drop();
}

static void a_question_of_keepalive_teaches_the_clock_too(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 10 * SEC;
  life.keepalive_timeout_ns = 4 * SEC;
  life.without_calls = true;
  int64_t stamp_ns = 0, next_ns;
  begin(TTH_CLIENT, &life, NEVER); /* and its first question about the clock is not answered */
  assert_int_equal(tth_session_tick(session, 11 * SEC, &next_ns), TTH_TICK_NOTHING);
  assert_true(asks(11 * SEC, &stamp_ns));
  assert_int_equal(pong(stamp_ns, 12 * SEC), TTH_EVENT_NONE);
  assert_true(asks(12 * SEC, &stamp_ns)); /* the burst goes on */
  drop();
}

static void who_does_not_greet_in_time_is_closed(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.hello_ns = 5 * SEC;
  session = tth_session_new(TTH_SERVER, &limits);
  assert_non_null(session);
  tth_session_live(session, &life, NEVER, SEC);
  ticks(SEC, TTH_TICK_NOTHING, 6 * SEC);
  ticks(6 * SEC, TTH_TICK_DEAD, 0);
  drop();
}

/* ---- Too many PINGs ------------------------------------------------------------------------ */

/* How many PINGs, one every `every_ns`, are answered before it is too much; at most 100. */
static int permitted(int64_t every_ns, bool with_call, bool without_calls) {
  tth_life_limits life = lives_for_ever;
  life.permit_ns = 300 * SEC;
  life.permit_without_calls = without_calls;
  begin(TTH_SERVER, &life, NEVER);
  if (with_call) assert_non_null(call(1, SEC));
  int count = 0;
  while (count < 100 && ping(2 * SEC + count * every_ns).type == TTH_EVENT_NONE) count++;
  if (count < 100) {
    uint32_t last;
    char why[64];
    said_goaway(&last, why);
    assert_string_equal(why, "too_many_pings");
    assert_int_equal(last, with_call);
  }
  drop();
  return count;
}

static void pings_that_come_too_often_end_the_connection_with_the_reason(void **state) {
  (void)state;
  assert_int_equal(permitted(0, true, false), 7); /* the first, gRPC's two strikes, and four about the clock */
  assert_int_equal(permitted(299 * SEC, true, false), 7);
  assert_int_equal(permitted(300 * SEC, true, false), 100);
  assert_int_equal(permitted(300 * SEC, false, false), 7);
  assert_int_equal(permitted(300 * SEC, false, true), 100);
  assert_int_equal(permitted(2 * HOUR, false, false), 100);
}

static void frames_of_streams_forgive_pings(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.permit_ns = 300 * SEC;
  begin(TTH_SERVER, &life, NEVER);
  for (uint32_t i = 1; i <= 20; i++) {
    tth_stream *stream = call(i, i * SEC);
    for (int pings = 0; pings < 3; pings++) assert_int_equal(ping(i * SEC).type, TTH_EVENT_NONE);
    answer(stream, i * SEC);
    for (int pings = 0; pings < 3; pings++) assert_int_equal(ping(i * SEC).type, TTH_EVENT_NONE);
  }
  drop();
}

static void who_is_thrown_out_is_not_heard_any_more_and_closed_when_it_has_read_why(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.permit_ns = 300 * SEC;
  int64_t stamp_ns = 0;
  begin(TTH_SERVER, &life, NEVER);
  tth_event event = {0};
  for (int i = 0; i < 8 && event.type != TTH_EVENT_THROWN; i++) {
    event = ping(SEC);
    tth_frame frame;
    if (says(TTH_PING, &frame)) stamp_ns = tth_stamps_get(frame.payload, frame.length).ping_left_ns;
  }
  assert_int_equal(event.type, TTH_EVENT_THROWN);
  assert_null(call(1, SEC));
  fill(SEC);
  assert_int_equal(said.len, 0); /* no answer either */
  ticks(SEC, TTH_TICK_NOTHING, 2 * SEC);
  assert_int_equal(pong(stamp_ns, SEC), TTH_EVENT_PONG);
  ticks(2 * SEC, TTH_TICK_CLOSE, 0);
  drop();
}

/* ---- Drains -------------------------------------------------------------------------------- */

static void a_drain_accepts_what_was_on_its_way_and_then_names_the_last_stream(void **state) {
  (void)state;
  uint32_t last;
  char why[64];
  int64_t stamp_ns = 0;
  begin(TTH_SERVER, &lives_for_ever, NEVER);
  tth_stream *first = call(1, SEC);
  tth_session_drain(session, "graceful_stop", 2 * SEC);
  assert_true(asks(2 * SEC, &stamp_ns)); /* in the same batch, behind GOAWAY */
  said_goaway(&last, why);
  assert_string_equal(why, "graceful_stop");
  assert_true((int32_t)(last - 1000000) > 0);
  tth_stream *second = call(2, 3 * SEC);
  assert_non_null(second);
  assert_int_equal(pong(stamp_ns, 3 * SEC), TTH_EVENT_DRAINED);
  fill(3 * SEC);
  said_goaway(&last, why);
  assert_int_equal(last, 2);
  tth_event refused = request(3, 4 * SEC);
  assert_int_equal(refused.type, TTH_EVENT_REFUSED);
  assert_int_equal(refused.to, TETHER_UNAVAILABLE);
  answer(first, 4 * SEC);
  answer(second, 4 * SEC);
  drop();
}

static void a_drain_whose_question_is_not_answered_goes_on_after_five_seconds(void **state) {
  (void)state;
  uint32_t last;
  char why[64];
  begin(TTH_SERVER, &lives_for_ever, NEVER);
  tth_session_drain(session, "graceful_stop", 2 * SEC);
  fill(2 * SEC);
  ticks(2 * SEC, TTH_TICK_NOTHING, 7 * SEC);
  assert_int_equal(pong(0, 6 * SEC), TTH_EVENT_NONE); /* an older question's */
  assert_false(tth_session_going_away(session));
  ticks(7 * SEC, TTH_TICK_NOTHING, NEVER);
  assert_true(tth_session_going_away(session));
  fill(7 * SEC);
  said_goaway(&last, why);
  assert_int_equal(last, 0);
  drop();
}

static void a_later_questions_answer_ends_the_wait_as_well(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.keepalive_ns = 3 * SEC;
  life.keepalive_timeout_ns = 60 * SEC;
  int64_t first_ns = 0, later_ns = 0, next_ns;
  begin(TTH_SERVER, &life, NEVER);
  tth_session_drain(session, "graceful_stop", 2 * SEC);
  assert_true(asks(2 * SEC, &first_ns));
  assert_int_equal(tth_session_tick(session, 5 * SEC, &next_ns), TTH_TICK_NOTHING);
  assert_true(asks(5 * SEC, &later_ns)); /* the peer answers the latest only */
  assert_int_equal(pong(later_ns, 6 * SEC), TTH_EVENT_DRAINED);
  drop();
}

static void an_idle_connection_is_drained_and_closed(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.idle_ns = 10 * SEC;
  uint32_t last;
  char why[64];
  int64_t stamp_ns = 0, next_ns;
  begin(TTH_SERVER, &life, NEVER);
  ticks(SEC, TTH_TICK_NOTHING, 11 * SEC);
  tth_stream *stream = call(1, 10 * SEC);
  ticks(11 * SEC, TTH_TICK_NOTHING, 21 * SEC);
  ticks(21 * SEC, TTH_TICK_NOTHING, 31 * SEC); /* busy */
  answer(stream, 25 * SEC);
  ticks(31 * SEC, TTH_TICK_NOTHING, 35 * SEC);
  ticks(35 * SEC, TTH_TICK_NOTHING, 40 * SEC);
  assert_true(asks(35 * SEC, &stamp_ns));
  said_goaway(&last, why);
  assert_string_equal(why, "max_idle");
  assert_int_equal(pong(stamp_ns, 36 * SEC), TTH_EVENT_DRAINED);
  assert_int_equal(tth_session_tick(session, 40 * SEC, &next_ns), TTH_TICK_LEAVE);
  assert_int_equal(next_ns, 41 * SEC);
  ticks(41 * SEC, TTH_TICK_CLOSE, 0);
  drop();
}

static void an_old_connection_is_drained_and_its_calls_have_a_grace(void **state) {
  (void)state;
  tth_life_limits life = lives_for_ever;
  life.age_grace_ns = 20 * SEC;
  uint32_t last;
  char why[64];
  int64_t stamp_ns = 0;
  begin(TTH_SERVER, &life, 60 * SEC);
  assert_non_null(call(1, 2 * SEC));
  ticks(2 * SEC, TTH_TICK_NOTHING, 61 * SEC);
  ticks(61 * SEC, TTH_TICK_NOTHING, 66 * SEC);
  assert_true(asks(61 * SEC, &stamp_ns));
  said_goaway(&last, why);
  assert_string_equal(why, "max_age");
  assert_int_equal(pong(stamp_ns, 62 * SEC), TTH_EVENT_DRAINED);
  ticks(80 * SEC, TTH_TICK_NOTHING, 81 * SEC);
  ticks(81 * SEC, TTH_TICK_CLOSE, 0);
  drop();
}

static void what_is_off_wants_no_timer(void **state) {
  (void)state;
  begin(TTH_SERVER, &lives_for_ever, NEVER);
  ticks(1000 * HOUR, TTH_TICK_NOTHING, NEVER);
  assert_non_null(call(1, 1000 * HOUR));
  ticks(2000 * HOUR, TTH_TICK_NOTHING, NEVER);
  drop();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_silent_peer_is_asked_and_then_taken_for_gone),
      cmocka_unit_test(whatever_comes_is_a_sign_of_life),
      cmocka_unit_test(a_client_without_calls_asks_only_if_it_is_to),
      cmocka_unit_test(a_client_with_a_call_notices_a_dead_server_within_time_and_timeout_of_the_next_tick),
      cmocka_unit_test(before_the_peers_hello_keepalive_is_on_already),
      cmocka_unit_test(a_question_of_keepalive_teaches_the_clock_too),
      cmocka_unit_test(who_does_not_greet_in_time_is_closed),
      cmocka_unit_test(pings_that_come_too_often_end_the_connection_with_the_reason),
      cmocka_unit_test(frames_of_streams_forgive_pings),
      cmocka_unit_test(who_is_thrown_out_is_not_heard_any_more_and_closed_when_it_has_read_why),
      cmocka_unit_test(a_drain_accepts_what_was_on_its_way_and_then_names_the_last_stream),
      cmocka_unit_test(a_drain_whose_question_is_not_answered_goes_on_after_five_seconds),
      cmocka_unit_test(a_later_questions_answer_ends_the_wait_as_well),
      cmocka_unit_test(an_idle_connection_is_drained_and_closed),
      cmocka_unit_test(an_old_connection_is_drained_and_its_calls_have_a_grace),
      cmocka_unit_test(what_is_off_wants_no_timer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
