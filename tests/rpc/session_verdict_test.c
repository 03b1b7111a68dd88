/* What a session does for calls that have ended at one side: VERDICT, and calls that were cancelled and hear of the
 * rest. */
#include <stdlib.h>

#include "rpc/session.h"
#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"

#define SEC TETHER_SEC

static const tether_limits limits = {
    .max_message_bytes = 100000, .max_metadata_bytes = 8192, .max_unpacked_bytes = 400000, .max_streams = 4};

static int user_a, user_b, user_c;

/* The first event of this batch, whose bytes may be gone afterwards. */
static tth_event given(tth_session *session, tst_frames *batch) {
  tth_event event;
  tth_session_input(session, batch->bytes, batch->len, 0);
  (void)tth_session_next_event(session, &event);
  event.bytes = NULL;
  tth_out_free(event.kept);
  event.kept = NULL;
  tst_frames_fini(batch);
  return event;
}

static tth_session *greeted(tth_role role) {
  tth_session *session = tth_session_new(role, &limits);
  tst_frames batch = {0};
  uint8_t out[8192];
  assert_non_null(session);
  tst_frames_hello(&batch, 2);
  assert_int_equal(given(session, &batch).type, TTH_EVENT_HELLO);
  assert_true(tth_session_fill(session, 0, out, sizeof out) > 0);
  return session;
}

/* A server that has answered the streams up to `last`; a client skips what that takes. */
static tth_session *answered(tth_role role, uint32_t last) {
  tth_session *session = greeted(role);
  tst_frames batch = {0};
  tth_event event;
  uint8_t out[8192];
  tst_frames_headers(&batch, last, "/a.B/C", TETHER_FOREVER);
  tth_session_input(session, batch.bytes, batch.len, 0);
  if (tth_session_next_event(session, &event)) {
    tth_out *end = tth_out_new(TTH_FRAME_HEADER, false);
    assert_non_null(end);
    tth_frame_put(end->data, 0, TTH_TRAILERS, 0, 0);
    tth_session_finish(session, event.stream, end);
    assert_true(tth_session_fill(session, 0, out, sizeof out) > 0);
  }
  tst_frames_fini(&batch);
  return session;
}

static void drop(tth_session *session) {
  while (tth_session_pop_user(session)) continue;
  tth_session_free(session);
}

/* The first frame of one fill; its payload is copied to `payload`. false: nothing was sent. */
static bool first_sent(tth_session *session, int64_t now_ns, tth_frame *frame, uint8_t payload[2048]) {
  static uint8_t out[65536];
  size_t len = tth_session_fill(session, now_ns, out, sizeof out);
  if (len == 0) return false;
  assert_true(tth_frame_get(out, len, frame));
  assert_true(frame->length <= 2048);
  memcpy(payload, frame->payload, frame->length);
  return true;
}

static tth_stream *open_call(tth_session *session, void *user) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER, false);
  assert_non_null(out);
  tth_frame_put(out->data, 0, TTH_HEADERS, TTH_FLAG_END, 0);
  tth_stream *stream = tth_session_open(session, user, out);
  assert_non_null(stream);
  return stream;
}

/* One that leaves now. */
static tth_stream *sent_call(tth_session *session, void *user, int64_t now_ns) {
  tth_stream *stream = open_call(session, user);
  tth_frame frame = {0};
  uint8_t payload[2048];
  assert_true(first_sent(session, now_ns, &frame, payload));
  assert_int_equal(frame.type, TTH_HEADERS);
  assert_int_equal(stream->state, TTH_STREAM_OPEN);
  return stream;
}

static tth_event trailers(tth_session *session, uint32_t stream) {
  tst_frames batch = {0};
  tst_frames_trailers(&batch, stream, TETHER_OK);
  return given(session, &batch);
}

/* ---- VERDICT ------------------------------------------------------------------------------- */

static void a_verdict_reaches_the_server_whatever_has_become_of_the_stream(void **state) {
  (void)state;
  tth_session *client = greeted(TTH_CLIENT), *server = answered(TTH_SERVER, TETHER_CODES * TETHER_CODES);
  for (int from = 0; from < TETHER_CODES; from++) {
    for (int to = 0; to < TETHER_CODES; to++) {
      uint32_t stream = (uint32_t)(from * TETHER_CODES + to + 1);
      tth_frame frame = {0};
      uint8_t payload[2048];
      tst_frames batch = {0};
      tth_session_verdict(client, stream, (tether_code)from, (tether_code)to);
      assert_true(first_sent(client, 0, &frame, payload));
      assert_int_equal(frame.type, TTH_VERDICT);
      assert_int_equal(frame.stream, stream);
      tst_frames_raw(&batch, TTH_VERDICT, 0, stream, payload, frame.length);
      tth_event event = given(server, &batch);
      assert_int_equal(event.type, TTH_EVENT_VERDICT);
      assert_int_equal(event.from, from);
      assert_int_equal(event.to, to);
      assert_null(event.user);
      assert_null(event.stream);
    }
  }
  drop(client);
  drop(server);
}

static void a_verdict_leaves_before_messages(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT);
  tth_stream *stream = sent_call(session, &user_a, 0);
  tth_out *out = tth_out_new(30000, true);
  tth_frame frame = {0};
  uint8_t payload[2048];
  assert_non_null(out);
  memset(out->data, 'm', out->len);
  tth_session_send(session, stream, out);
  tth_session_verdict(session, 7, TETHER_OK, TETHER_CANCELLED);
  assert_true(first_sent(session, 0, &frame, payload));
  assert_int_equal(frame.type, TTH_VERDICT);
  drop(session);
}

static void a_verdict_that_does_not_parse_or_names_no_status_breaks_the_session(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } bad[] = {
      {"", 0},                 /* neither */
      {"\x08\x00", 2},         /* from alone */
      {"\x10\x01", 2},         /* to alone */
      {"\x08\x00\x10", 3},     /* cut short */
      {"\x08\x11\x10\x00", 4}, /* 17 */
      {"\x08\x00\x10\x11", 4},
      {"\x08\xff\xff\xff\xff\x0f\x10\x00", 8}, /* 2^32 - 1 */
      {"\x08\x00\x10\xff\xff\xff\xff\x0f", 8},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x00", 13}, /* -1 */
      {"\xff\xff\xff\xff", 4},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tth_session *session = answered(TTH_SERVER, 1);
    tst_frames batch = {0};
    tst_frames_raw(&batch, TTH_VERDICT, 0, 1, bad[i].bytes, bad[i].len);
    assert_int_equal(given(session, &batch).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

static void a_verdict_of_unreasonable_length_breaks_the_session_unread(void **state) {
  (void)state;
  static uint8_t bytes[5000] = {0x08, 0x00, 0x10, 0x01}; /* then an unknown field that takes the rest */
  bytes[4] = 0x1a;
  bytes[5] = ((sizeof bytes - 7) & 0x7f) | 0x80;
  bytes[6] = (sizeof bytes - 7) >> 7;
  static const size_t lens[] = {4, sizeof bytes};
  for (size_t i = 0; i < 2; i++) {
    tth_session *session = answered(TTH_SERVER, 1);
    tst_frames batch = {0};
    tst_frames_raw(&batch, TTH_VERDICT, 0, 1, bytes, lens[i]);
    assert_int_equal(given(session, &batch).type, i == 0 ? TTH_EVENT_VERDICT : TTH_EVENT_BROKEN);
    drop(session);
  }
}

/* Such a server hears nothing else any more. */
static void a_verdict_reaches_a_server_that_waits_for_its_last_word_to_be_read(void **state) {
  (void)state;
  tth_session *session = answered(TTH_SERVER, 1);
  tst_frames batch = {0};
  tth_session_throw_out(session, "too_many_pings", 0);
  tst_frames_headers(&batch, 2, "/a.B/C", TETHER_FOREVER);
  tst_frames_raw(&batch, TTH_VERDICT, 0, 1, "\x08\x00\x10\x01", 4);
  assert_int_equal(given(session, &batch).type, TTH_EVENT_VERDICT);
  drop(session);
}

static void unknown_fields_of_a_verdict_are_ignored(void **state) {
  (void)state;
  tth_session *session = answered(TTH_SERVER, 1);
  tst_frames batch = {0};
  tst_frames_raw(&batch, TTH_VERDICT, 0, 1, "\x08\x04\x10\x01\x18\x2a\x22\x03new", 11);
  tth_event event = given(session, &batch);
  assert_int_equal(event.type, TTH_EVENT_VERDICT);
  assert_int_equal(event.from, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(event.to, TETHER_CANCELLED);
  drop(session);
}

static void a_verdict_on_a_stream_that_was_not_answered_breaks_the_session(void **state) {
  (void)state;
  static const uint32_t streams[] = {0, 6, 7, UINT32_MAX / 2}; /* none's, one that is open, one that never was */
  for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
    tth_session *session = answered(TTH_SERVER, 5);
    tst_frames batch = {0};
    tst_frames_headers(&batch, 6, "/a.B/C", TETHER_FOREVER);
    assert_int_equal(given(session, &batch).type, TTH_EVENT_HEADERS);
    tst_frames_raw(&batch, TTH_VERDICT, 0, 5, "\x08\x00\x10\x01", 4);
    assert_int_equal(given(session, &batch).type, TTH_EVENT_VERDICT);
    tst_frames_raw(&batch, TTH_VERDICT, 0, streams[i], "\x08\x00\x10\x01", 4);
    assert_int_equal(given(session, &batch).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

static void a_client_skips_verdicts_right_or_wrong(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT);
  tst_frames batch = {0};
  tst_frames_raw(&batch, TTH_VERDICT, 0, 1, "\x08\x00\x10\x01", 4);
  tst_frames_raw(&batch, TTH_VERDICT, 0, 1, "\xff", 1);
  assert_int_equal(given(session, &batch).type, TTH_EVENT_NONE);
  drop(session);
}

/* ---- Calls that were cancelled ------------------------------------------------------------- */

static void a_cancelled_call_still_hears_of_its_trailers_and_of_nothing_else(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT);
  tth_stream *stream = sent_call(session, &user_a, 3 * SEC);
  uint32_t id = stream->id;
  assert_true(tth_session_cancel(session, stream, NULL, 0));
  tst_frames batch = {0};
  tst_frames_raw(&batch, TTH_HEADERS, 0, id, "", 0);
  tst_frames_raw(&batch, TTH_MESSAGE, TTH_FLAG_END, id, "late", 4);
  assert_int_equal(given(session, &batch).type, TTH_EVENT_NONE);
  tth_event event = trailers(session, id);
  assert_int_equal(event.type, TTH_EVENT_TRAILERS);
  assert_ptr_equal(event.user, &user_a);
  assert_null(event.stream);
  assert_int_equal(event.stream_id, id);
  assert_int_equal(event.left_ns, 3 * SEC);
  assert_int_equal(tth_session_stream_count(session), 0);
  assert_int_equal(trailers(session, id).type, TTH_EVENT_NONE); /* once */
  drop(session);
}

static void a_call_cancelled_before_it_left_hears_nothing(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT);
  tth_stream *stream = open_call(session, &user_a);
  tth_frame frame = {0};
  uint8_t payload[2048];
  assert_int_equal(stream->left_ns, 0);
  assert_false(tth_session_cancel(session, stream, NULL, 0));
  assert_false(first_sent(session, SEC, &frame, payload));
  assert_int_equal(trailers(session, 1).type, TTH_EVENT_NONE);
  assert_null(tth_session_pop_user(session));
  drop(session);
}

static void trailers_tell_when_the_call_left_not_when_it_was_queued(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT); /* whose peer takes two at once */
  (void)sent_call(session, &user_a, 1 * SEC);
  (void)sent_call(session, &user_b, 2 * SEC);
  tth_stream *third = open_call(session, &user_c);
  tth_frame frame = {0};
  uint8_t payload[2048];
  assert_false(first_sent(session, 3 * SEC, &frame, payload));
  assert_int_equal(third->left_ns, 0);
  tth_event event = trailers(session, 1);
  assert_ptr_equal(event.user, &user_a);
  assert_int_equal(event.left_ns, 1 * SEC);
  assert_true(first_sent(session, 5 * SEC, &frame, payload));
  event = trailers(session, 3);
  assert_ptr_equal(event.user, &user_c);
  assert_int_equal(event.left_ns, 5 * SEC);
  assert_int_equal(trailers(session, 2).left_ns, 2 * SEC);
  drop(session);
}

static void when_the_connection_is_lost_cancelled_calls_are_handed_back_too_each_once(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT);
  tth_stream *cancelled = sent_call(session, &user_a, 0);
  (void)sent_call(session, &user_b, 0);
  (void)open_call(session, &user_c);
  assert_true(tth_session_cancel(session, cancelled, NULL, 0));
  unsigned seen[3] = {0};
  for (void *user; (user = tth_session_pop_user(session));) seen[user == &user_a ? 0 : user == &user_b ? 1 : 2]++;
  for (int i = 0; i < 3; i++) assert_int_equal(seen[i], 1);
  tth_session_free(session);
}

static void a_cancel_says_how_long_the_caller_waits_if_it_does(void **state) {
  (void)state;
  static const int64_t waits[] = {0, 1, 5 * SEC, INT64_MAX};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    tth_session *session = greeted(TTH_CLIENT);
    tth_frame frame = {0};
    uint8_t payload[2048];
    assert_true(tth_session_cancel(session, sent_call(session, &user_a, 0), NULL, waits[i]));
    assert_true(first_sent(session, 0, &frame, payload));
    assert_int_equal(frame.type, TTH_CANCEL);
    Tether__V1__Cancel *cancel = tether__v1__cancel__unpack(NULL, frame.length, payload);
    assert_non_null(cancel);
    assert_int_equal(cancel->has_wait_ns, waits[i] > 0);
    if (waits[i] > 0) assert_int_equal(cancel->wait_ns, waits[i]);
    tether__v1__cancel__free_unpacked(cancel, NULL);
    drop(session);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_verdict_reaches_the_server_whatever_has_become_of_the_stream),
      cmocka_unit_test(a_verdict_leaves_before_messages),
      cmocka_unit_test(a_verdict_that_does_not_parse_or_names_no_status_breaks_the_session),
      cmocka_unit_test(a_verdict_of_unreasonable_length_breaks_the_session_unread),
      cmocka_unit_test(a_verdict_reaches_a_server_that_waits_for_its_last_word_to_be_read),
      cmocka_unit_test(unknown_fields_of_a_verdict_are_ignored),
      cmocka_unit_test(a_verdict_on_a_stream_that_was_not_answered_breaks_the_session),
      cmocka_unit_test(a_client_skips_verdicts_right_or_wrong),
      cmocka_unit_test(a_cancelled_call_still_hears_of_its_trailers_and_of_nothing_else),
      cmocka_unit_test(a_call_cancelled_before_it_left_hears_nothing),
      cmocka_unit_test(trailers_tell_when_the_call_left_not_when_it_was_queued),
      cmocka_unit_test(when_the_connection_is_lost_cancelled_calls_are_handed_back_too_each_once),
      cmocka_unit_test(a_cancel_says_how_long_the_caller_waits_if_it_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
