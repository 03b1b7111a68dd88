/* The protocol state machine alone: bytes in, events and bytes out, time passed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/session_clock.h"
#include "rpc/session_impl.h"
#include "tether/v1/frames.pb-c.h"

#define SEC TETHER_SEC

static const tether_limits limits = {.max_message_bytes = 100000,
                                     .max_metadata_bytes = 8192,
                                     .max_unpacked_bytes = 400000,
                                     .max_streams = 4,
                                     .max_forward_bytes = 4096};

/* A batch under construction. */
struct bytes {
  uint8_t data[400000];
  size_t len;
};

static void add_frame(struct bytes *b, tth_frame_type type, uint8_t flags, uint32_t stream, const void *payload,
                      size_t len) {
  tth_frame_put(b->data + b->len, (uint32_t)len, type, flags, stream);
  if (len) memcpy(b->data + b->len + TTH_FRAME_HEADER, payload, len);
  b->len += TTH_FRAME_HEADER + len;
}

static void add_hello(struct bytes *b, uint32_t max_streams) {
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_max_streams = true;
  hello.max_streams = max_streams;
  uint8_t payload[64];
  add_frame(b, TTH_HELLO, 0, 0, payload, tether__v1__hello__pack(&hello, payload));
}

static void add_trailers(struct bytes *b, uint32_t stream) {
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  uint8_t payload[64];
  add_frame(b, TTH_TRAILERS, 0, stream, payload, tether__v1__trailers__pack(&trailers, payload));
}

static tth_session *new_session(tth_role role) {
  tth_session *session = tth_session_new(role, &limits);
  assert_non_null(session);
  return session;
}

static tth_event next(tth_session *session) {
  tth_event event;
  tth_session_next_event(session, &event);
  tth_out_free(event.kept);
  event.kept = NULL;
  return event;
}

/* Gives the session a batch that must yield exactly one event. */
static tth_event only_event(tth_session *session, const struct bytes *b) {
  tth_session_input(session, b->data, b->len, 0);
  return next(session);
}

static tth_session *greeted(tth_role role, uint32_t peer_streams) {
  static struct bytes b;
  static uint8_t out[8192];
  tth_session *session = new_session(role);
  b.len = 0;
  add_hello(&b, peer_streams);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_HELLO);
  tth_frame frame = {0};
  size_t len = tth_session_fill(session, 0, out, sizeof out);
  assert_true(tth_frame_get(out, len, &frame));
  assert_int_equal(frame.type, TTH_HELLO);
  return session;
}

static tth_out *request(int64_t deadline_ns, size_t message) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.has_timeout_ns = headers.has_sent_at_ns = deadline_ns != TETHER_FOREVER;
  headers.method = (char *)"/a/b";
  size_t head = tether__v1__headers__get_packed_size(&headers);
  bool sliced = message > TTH_SLICE;
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + head + (sliced ? 0 : TTH_FRAME_HEADER + message), false);
  assert_non_null(out);
  out->deadline_ns = deadline_ns;
  out->reserve_ns = -1;
  tth_frame_put(out->data, (uint32_t)head, TTH_HEADERS, 0, 0);
  tether__v1__headers__pack(&headers, out->data + TTH_FRAME_HEADER);
  if (sliced) {
    out->next = tth_out_new(message, true);
    assert_non_null(out->next);
    memset(out->next->data, 'm', message);
    out->next->flags = TTH_FLAG_END;
  } else {
    tth_frame_put(out->data + TTH_FRAME_HEADER + head, (uint32_t)message, TTH_MESSAGE, TTH_FLAG_END, 0);
    memset(out->data + 2 * TTH_FRAME_HEADER + head, 'm', message);
  }
  return out;
}

static tth_out *plain_trailers(void) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + 2, false);
  assert_non_null(out);
  tth_frame_put(out->data, 2, TTH_TRAILERS, 0, 0);
  memcpy(out->data + TTH_FRAME_HEADER, "\x08\x00", 2);
  return out;
}

/* The frames of one fill, in order, as "type:stream" text. */
static const char *filled(tth_session *session, int64_t now_ns, size_t room) {
  static uint8_t out[400000];
  static char text[65536];
  size_t at = 0, used = 0, len = tth_session_fill(session, now_ns, out, room);
  text[0] = 0;
  while (at < len) {
    tth_frame frame = {0};
    assert_true(tth_frame_get(out + at, len - at, &frame));
    used += (size_t)snprintf(text + used, sizeof text - used, "%d:%u ", frame.type, frame.stream);
    at += TTH_FRAME_HEADER + frame.length;
  }
  return text;
}

static int user_a, user_b, user_c;

static void drop(tth_session *session) {
  while (tth_session_pop_user(session)) continue;
  tth_session_free(session);
}

/* ---- Breaking ------------------------------------------------------------------------------ */

static void assert_breaks(tth_role role, const struct bytes *b) {
  tth_session *session = greeted(role, 4);
  assert_int_equal(only_event(session, b).type, TTH_EVENT_BROKEN);
  assert_int_equal(next(session).type, TTH_EVENT_NONE);
  drop(session);
}

static void a_first_frame_that_is_not_hello_breaks_the_session(void **state) {
  (void)state;
  static struct bytes b;
  add_frame(&b, TTH_PING, 0, 0, NULL, 0);
  tth_session *session = new_session(TTH_SERVER);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_BROKEN);
  drop(session);
}

static void a_hello_that_does_not_parse_or_has_another_version_breaks_the_session(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } bad[] = {{"\xff\xff\xff", 3}, {"\x08\x02", 2}, {"", 0}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    static struct bytes b;
    b.len = 0;
    add_frame(&b, TTH_HELLO, 0, 0, bad[i].bytes, bad[i].len);
    tth_session *session = new_session(TTH_SERVER);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

static void a_batch_that_is_not_made_of_whole_frames_breaks_the_session(void **state) {
  (void)state;
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_PING, 0, 0, "1234", 4);
  for (size_t cut = 1; cut < 16; cut++) {
    static struct bytes shorter;
    memcpy(shorter.data, b.data, b.len);
    shorter.len = b.len - cut;
    if (shorter.len == 0) continue;
    assert_breaks(TTH_SERVER, &shorter);
  }
}

static void headers_on_a_stream_id_that_is_not_new_break_the_session(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_HEADERS, 0, 0, NULL, 0);
  assert_breaks(TTH_SERVER, &b);
  b.len = 0;
  add_frame(&b, TTH_HEADERS, 0, 5, NULL, 0);
  add_frame(&b, TTH_HEADERS, 0, 4, NULL, 0);
  tth_event event = only_event(session, &b);
  assert_int_equal(event.type, TTH_EVENT_HEADERS);
  event.stream->user = &user_a;
  assert_int_equal(next(session).type, TTH_EVENT_BROKEN);
  drop(session);
}

static void unknown_frame_types_and_frames_of_streams_that_are_gone_are_skipped(void **state) {
  (void)state;
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    tth_session *session = greeted((tth_role)role, 4);
    static struct bytes b;
    b.len = 0;
    add_frame(&b, (tth_frame_type)200, 3, 9, "xyz", 3);
    add_frame(&b, TTH_WINDOW, 0, 9, "xyz", 3);
    add_frame(&b, TTH_MESSAGE, 0, 9, "xyz", 3);
    add_trailers(&b, 9);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
    drop(session);
  }
}

/* ---- Streams ------------------------------------------------------------------------------- */

static void a_client_stream_lives_from_headers_to_trailers(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  tth_stream *stream = tth_session_open(session, &user_a, request(TETHER_FOREVER, 10));
  assert_non_null(stream);
  assert_int_equal(stream->state, TTH_STREAM_QUEUED);
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 ");
  assert_int_equal(stream->state, TTH_STREAM_OPEN);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, 1, "reply", 5);
  add_trailers(&b, 1);
  tth_event event = only_event(session, &b);
  assert_int_equal(event.type, TTH_EVENT_MESSAGE);
  assert_ptr_equal(event.user, &user_a);
  assert_int_equal(event.len, 5);
  assert_int_equal(next(session).type, TTH_EVENT_TRAILERS);
  assert_int_equal(tth_session_stream_count(session), 0);
  drop(session);
}

static void the_timeout_is_written_as_the_bytes_leave_not_when_the_call_was_made(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  assert_non_null(tth_session_open(session, &user_a, request(10 * SEC, 10)));
  static uint8_t out[65536];
  tth_frame frame = {0};
  size_t len = tth_session_fill(session, 4 * SEC, out, sizeof out);
  assert_true(tth_frame_get(out, len, &frame));
  Tether__V1__Headers *headers = tether__v1__headers__unpack(NULL, frame.length, frame.payload);
  assert_non_null(headers);
  assert_true(headers->has_timeout_ns);
  assert_int_equal(headers->timeout_ns, 6 * SEC);
  tether__v1__headers__free_unpacked(headers, NULL);
  drop(session);
}

static void a_call_whose_time_is_over_before_it_could_leave_is_not_sent(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  tth_stream *late = tth_session_open(session, &user_a, request(10 * SEC, 10));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 10)));
  assert_string_equal(filled(session, 10 * SEC, 65536), "2:1 3:1 ");
  (void)tth_session_cancel(session, late, NULL, 0);
  assert_string_equal(filled(session, 10 * SEC, 65536), "");
  drop(session);
}

static void streams_beyond_the_peers_limit_wait_for_a_slot(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 2);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 1)));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 1)));
  assert_non_null(tth_session_open(session, &user_c, request(TETHER_FOREVER, 1)));
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 2:2 3:2 ");
  static struct bytes b;
  b.len = 0;
  add_trailers(&b, 2);
  assert_ptr_equal(only_event(session, &b).user, &user_b);
  assert_string_equal(filled(session, 0, 65536), "2:3 3:3 ");
  drop(session);
}

static void a_server_refuses_streams_beyond_its_limit_and_serves_the_others(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  for (uint32_t id = 1; id <= 6; id++) add_frame(&b, TTH_HEADERS, 0, id, NULL, 0);
  tth_session_input(session, b.data, b.len, 0);
  for (int taken = 0; taken < 4; taken++) {
    tth_event event = next(session);
    assert_int_equal(event.type, TTH_EVENT_HEADERS);
    event.stream->user = &user_a;
  }
  for (int refused = 0; refused < 2; refused++) {
    tth_event event = next(session);
    assert_int_equal(event.type, TTH_EVENT_REFUSED);
    assert_int_equal(event.to, TETHER_UNAVAILABLE);
  }
  assert_int_equal(next(session).type, TTH_EVENT_NONE);
  assert_string_equal(filled(session, 0, 65536), "4:5 4:6 ");
  drop(session);
}

/* ---- Cancel -------------------------------------------------------------------------------- */

static void a_call_cancelled_before_it_left_is_forgotten_and_nothing_is_sent(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  tth_stream *stream = tth_session_open(session, &user_a, request(TETHER_FOREVER, 10));
  (void)tth_session_cancel(session, stream, NULL, 0);
  assert_int_equal(tth_session_stream_count(session), 0);
  assert_int_equal(tth_session_pending(session), 0);
  assert_string_equal(filled(session, 0, 65536), "");
  drop(session);
}

static void a_cancel_overtakes_everything_queued_and_drops_the_rest_of_its_own_message(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  tth_stream *big = tth_session_open(session, &user_a, request(TETHER_FOREVER, 90000));
  tth_stream *other = tth_session_open(session, &user_b, request(TETHER_FOREVER, 90000));
  assert_non_null(other);
  assert_string_equal(filled(session, 0, 40000), "2:1 2:2 3:1 3:2 "); /* two slices have left */
  (void)tth_session_cancel(session, big, NULL, 0);
  assert_string_equal(filled(session, 0, 400000), "5:1 "); /* by itself, so that it is read at once */
  const char *text = filled(session, 0, 400000);
  assert_memory_equal(text, "3:2 ", 4); /* then only the other's slices */
  assert_null(strstr(text, "3:1"));
  drop(session);
}

static void a_cancelled_stream_keeps_its_slot_until_it_is_answered(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 1);
  tth_stream *stream = tth_session_open(session, &user_a, request(TETHER_FOREVER, 1));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 1)));
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 ");
  (void)tth_session_cancel(session, stream, NULL, 0);
  assert_string_equal(filled(session, 0, 65536), "5:1 ");
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, 1, "late", 4);
  add_trailers(&b, 1);
  tth_event late = only_event(session, &b); /* of the message nobody is told */
  assert_int_equal(late.type, TTH_EVENT_TRAILERS);
  assert_ptr_equal(late.user, &user_a);
  assert_string_equal(filled(session, 0, 65536), "2:2 3:2 ");
  drop(session);
}

static void a_cancel_carries_cause_origin_and_text(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 1);
  tth_stream *stream = tth_session_open(session, &user_a, request(TETHER_FOREVER, 1));
  (void)filled(session, 0, 65536);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "node-7", "task #2 failed");
  (void)tth_session_cancel(session, stream, cause, 0);
  tether_cause_unref(cause);
  static uint8_t out[8192];
  tth_frame frame = {0};
  assert_true(tth_frame_get(out, tth_session_fill(session, 0, out, sizeof out), &frame));
  Tether__V1__Cancel *cancel = tether__v1__cancel__unpack(NULL, frame.length, frame.payload);
  assert_non_null(cancel);
  assert_int_equal(cancel->cause->code, TETHER_CAUSE_SIBLING);
  assert_string_equal(cancel->cause->origin, "node-7");
  assert_string_equal(cancel->cause->text, "task #2 failed");
  tether__v1__cancel__free_unpacked(cancel, NULL);
  drop(session);
}

static void a_cancel_that_comes_before_its_headers_leaves_a_tombstone(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_CANCEL, 0, 3, "\x0a\x02\x08\x01", 4);
  add_frame(&b, TTH_HEADERS, 0, 2, NULL, 0);
  add_frame(&b, TTH_HEADERS, 0, 3, NULL, 0);
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, 3, NULL, 0);
  add_frame(&b, TTH_HEADERS, 0, 4, NULL, 0);
  tth_event event = only_event(session, &b);
  assert_int_equal(event.stream->id, 2);
  event.stream->user = &user_a;
  event = next(session);
  assert_int_equal(event.type, TTH_EVENT_REFUSED);
  assert_int_equal(event.to, TETHER_CANCELLED);
  event = next(session);
  assert_int_equal(event.type, TTH_EVENT_HEADERS);
  assert_int_equal(event.stream->id, 4); /* 3 never becomes a call */
  event.stream->user = &user_b;
  assert_string_equal(filled(session, 0, 65536), "4:3 "); /* but it is answered */
  drop(session);
}

static void tombstones_are_bounded(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  for (int round = 0; round < 100; round++) {
    b.len = 0;
    for (uint32_t i = 0; i < 1000; i++) add_frame(&b, TTH_CANCEL, 0, 10 + (uint32_t)round * 1000 + i, NULL, 0);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  }
  assert_int_equal(tth_session_pending(session), 0);
  assert_int_equal(tth_session_stream_count(session), 0);
  drop(session);
}

static void a_cancel_that_crosses_the_reply_drops_what_has_not_left_of_it(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_HEADERS, TTH_FLAG_END, 1, NULL, 0);
  tth_event event = only_event(session, &b);
  event.stream->user = &user_a;
  tth_out *reply = tth_out_new(90000, true);
  reply->next = plain_trailers();
  tth_session_finish(session, event.stream, reply);
  assert_string_equal(filled(session, 0, 20000), "3:1 ");
  b.len = 0;
  add_frame(&b, TTH_CANCEL, 0, 1, "\x0a\x02\x08\x01", 4);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  assert_string_equal(filled(session, 0, 400000), "4:1 ");
  assert_int_equal(tth_session_stream_count(session), 0);
  assert_int_equal(tth_session_pending(session), 0);
  drop(session);
}

/* ---- Messages ------------------------------------------------------------------------------ */

static void long_messages_of_several_streams_leave_in_turn(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 40000)));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 40000)));
  assert_string_equal(filled(session, 0, 400000), "2:1 2:2 3:1 3:2 3:1 3:2 3:1 3:2 ");
  assert_int_equal(tth_session_pending(session), 0);
  drop(session);
}

static void slices_are_put_together_and_an_oversize_message_is_refused_by_its_announced_length(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_HEADERS, 0, 1, NULL, 0);
  add_frame(&b, TTH_HEADERS, 0, 2, NULL, 0);
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, "\0\0\0\6abc", 7);
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 2, "\0\1\x86\xa1", 4); /* 100001 */
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_MORE, 2, "zzzz", 4);
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, 1, "def", 3);
  tth_event event = only_event(session, &b);
  event.stream->user = &user_a;
  event = next(session);
  event.stream->user = &user_b;
  event = next(session);
  assert_int_equal(event.type, TTH_EVENT_OVERSIZE);
  assert_ptr_equal(event.user, &user_b);
  assert_int_equal(event.len, 100001);
  event = next(session);
  assert_int_equal(event.type, TTH_EVENT_MESSAGE);
  assert_int_equal(event.len, 6);
  assert_memory_equal(event.bytes, "abcdef", 6);
  assert_true(event.end);
  free(event.owned);
  assert_int_equal(next(session).type, TTH_EVENT_NONE);
  drop(session);
}

static void new_calls_do_not_hold_up_a_long_message_for_ever(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 90000)));
  assert_string_equal(filled(session, 0, 20000), "2:1 3:1 ");
  static struct bytes b;
  for (uint32_t id = 2; id < 20 && tth_session_pending(session) > 0; id++) {
    assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 16000)));
    const char *text = filled(session, 0, 40000);
    if (id < 6) assert_non_null(strstr(text, "3:1 "));
    b.len = 0;
    add_trailers(&b, id);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_TRAILERS);
  }
  assert_int_equal(tth_session_pending(session), 0);
  drop(session);
}

static void slices_that_contradict_themselves_break_the_session(void **state) {
  (void)state;
  static const struct {
    struct {
      uint8_t flags;
      const char *bytes;
      size_t len;
    } slices[2];
  } bad[] = {
      {{{TTH_FLAG_MORE, "abc", 3}}},                                                  /* no first slice */
      {{{TTH_FLAG_FIRST | TTH_FLAG_MORE, "\0\0\0\2abc", 7}}},                         /* longer than announced */
      {{{TTH_FLAG_FIRST | TTH_FLAG_MORE, "\0\0\0\6abc", 7}, {TTH_FLAG_END, "d", 1}}}, /* shorter */
      {{{TTH_FLAG_FIRST | TTH_FLAG_MORE, "\0\0\0\6abc", 7}, {TTH_FLAG_FIRST, "\0\0\0\1a", 5}}}, /* one inside another */
      {{{TTH_FLAG_FIRST | TTH_FLAG_MORE, "\0\0", 2}}},                                          /* no length */
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tth_session *session = greeted(TTH_SERVER, 0);
    static struct bytes b;
    b.len = 0;
    add_frame(&b, TTH_HEADERS, 0, 1, NULL, 0);
    for (int j = 0; j < 2 && bad[i].slices[j].bytes; j++)
      add_frame(&b, TTH_MESSAGE, bad[i].slices[j].flags, 1, bad[i].slices[j].bytes, bad[i].slices[j].len);
    tth_event event = only_event(session, &b);
    event.stream->user = &user_a;
    assert_int_equal(next(session).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

/* ---- Windows and END ----------------------------------------------------------------------- */

static void add_window(struct bytes *b, uint32_t stream, uint32_t more) {
  Tether__V1__Window window = TETHER__V1__WINDOW__INIT;
  window.bytes = more;
  uint8_t payload[16];
  add_frame(b, TTH_WINDOW, 0, stream, payload, tether__v1__window__pack(&window, payload));
}

/* A session with stream 1 open, at the server with `flags` on its HEADERS. */
static tth_session *with_stream(tth_role role, uint8_t flags, tth_stream **stream) {
  tth_session *session = greeted(role, 4);
  if (role == TTH_CLIENT) {
    *stream = tth_session_open(session, &user_a, request(TETHER_FOREVER, 1));
    assert_string_equal(filled(session, 0, 65536), "2:1 3:1 ");
    return session;
  }
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_HEADERS, flags, 1, NULL, 0);
  tth_event event = only_event(session, &b);
  assert_int_equal(event.type, TTH_EVENT_HEADERS);
  assert_int_equal(event.end, flags == TTH_FLAG_END);
  *stream = event.stream;
  event.stream->user = &user_a;
  return session;
}

static void messages_beyond_the_window_break_the_session(void **state) {
  (void)state;
  static const uint8_t zeros[16000];
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    for (int sliced = 0; sliced < 2; sliced++) {
      tth_stream *stream;
      tth_session *session = with_stream((tth_role)role, 0, &stream);
      static struct bytes b;
      b.len = 0;
      if (sliced) add_frame(&b, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, "\0\1\x86\xa0", 4); /* 100000 */
      for (int i = 0; i < 5; i++) add_frame(&b, TTH_MESSAGE, sliced ? TTH_FLAG_MORE : 0, 1, zeros, sizeof zeros);
      tth_session_input(session, b.data, b.len, 0);
      tth_event event = next(session);
      for (int i = 0; i < 4 && !sliced; i++, event = next(session)) {
        assert_int_equal(event.type, TTH_EVENT_MESSAGE);
        assert_int_equal(event.cost, TTH_FRAME_HEADER + sizeof zeros);
      }
      assert_int_equal(event.type, TTH_EVENT_BROKEN); /* also if WINDOW is owed: it has not left */
      assert_string_equal((const char *)event.bytes, "more than the window allows");
      drop(session);
    }
  }
}

static void a_stream_that_is_skipped_cannot_break_its_window(void **state) {
  (void)state;
  static const uint8_t zeros[16000];
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    tth_stream *stream;
    tth_session *session = with_stream((tth_role)role, 0, &stream);
    static struct bytes b;
    b.len = 0;
    if (role == TTH_CLIENT) (void)tth_session_cancel(session, stream, NULL, 0);
    if (role == TTH_SERVER) {
      add_frame(&b, TTH_CANCEL, 0, 1, "\x0a\x02\x08\x01", 4);
      assert_int_equal(only_event(session, &b).type, TTH_EVENT_CANCEL);
      b.len = 0;
    }
    for (int i = 0; i < 10; i++) add_frame(&b, TTH_MESSAGE, 0, 1, zeros, sizeof zeros);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
    drop(session);
  }
}

static void a_window_that_does_not_parse_or_overflows_breaks_the_session(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } bad[] = {{"", 0}, {"xyz", 3}, {"\x08\xff", 2}, {"\x08\x80\x80\x80\x80\x08", 6}, {"\x08\xff\xff\xff\xff\x0f", 6}};
  static struct bytes b;
  tth_stream *stream;
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
      tth_session *session = with_stream((tth_role)role, 0, &stream);
      b.len = 0;
      add_frame(&b, TTH_WINDOW, 0, 1, bad[i].bytes, bad[i].len);
      assert_int_equal(only_event(session, &b).type, TTH_EVENT_BROKEN);
      drop(session);
    }
    tth_session *session = with_stream((tth_role)role, 0, &stream);
    b.len = 0;
    add_window(&b, 1, INT32_MAX - 65536); /* the server has the whole first window left, the client all but 13 */
    add_window(&b, 0, INT32_MAX);
    add_window(&b, 1, 0);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
    b.len = 0;
    add_window(&b, 1, 14);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

static void the_first_window_is_the_peers_word_but_at_least_64_kib_and_less_than_2_gib(void **state) {
  (void)state;
  static const struct {
    uint32_t said;
    size_t meant; /* 0: breaks */
  } cases[] = {{0, 65536}, {65535, 65536}, {65537, 65537}, {INT32_MAX, INT32_MAX}, {(uint32_t)INT32_MAX + 1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    static struct bytes b;
    uint8_t payload[64];
    Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
    hello.version = 1;
    hello.has_stream_window_bytes = i > 0;
    hello.stream_window_bytes = cases[i].said;
    b.len = 0;
    add_frame(&b, TTH_HELLO, 0, 0, payload, tether__v1__hello__pack(&hello, payload));
    tth_session *session = new_session(TTH_CLIENT);
    assert_int_equal(only_event(session, &b).type, cases[i].meant ? TTH_EVENT_HELLO : TTH_EVENT_BROKEN);
    if (cases[i].meant) assert_int_equal(tth_session_peer_limits(session)->stream_window_bytes, cases[i].meant);
    drop(session);
  }
}

static void credit_stays_below_2_gib_however_long_the_message(void **state) {
  (void)state;
  tether_limits wide = limits;
  wide.max_message_bytes = UINT32_MAX; /* which protobuf does not have, nor we */
  tth_session *session = tth_session_new(TTH_SERVER, &wide);
  static uint8_t slice[4 + TTH_SLICE], out[8192];
  static struct bytes b;
  b.len = 0;
  add_hello(&b, 0);
  add_frame(&b, TTH_HEADERS, 0, 1, NULL, 0);
  tth_put32(slice, INT32_MAX);
  add_frame(&b, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, slice, sizeof slice);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_HELLO);
  next(session).stream->user = &user_a;
  assert_int_equal(next(session).type, TTH_EVENT_NONE);
  size_t len = tth_session_fill(session, 0, out, sizeof out), at = 0;
  tth_frame frame = {0};
  do {
    assert_true(tth_frame_get(out + at, len - at, &frame));
    at += TTH_FRAME_HEADER + frame.length;
  } while (frame.type != TTH_WINDOW);
  Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame.length, frame.payload);
  assert_non_null(window);
  assert_int_equal(window->bytes, INT32_MAX - 65536 + sizeof slice + TTH_FRAME_HEADER);
  tether__v1__window__free_unpacked(window, NULL);
  drop(session);
}

static void end_alone_is_an_event_and_not_a_message(void **state) {
  (void)state;
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    tth_stream *stream;
    tth_session *session = with_stream((tth_role)role, 0, &stream);
    static struct bytes b;
    b.len = 0;
    add_frame(&b, TTH_MESSAGE, 0, 1, "one", 3);
    add_frame(&b, TTH_MESSAGE, TTH_FLAG_END | TTH_FLAG_BARE, 1, NULL, 0);
    tth_event event = only_event(session, &b);
    assert_int_equal(event.type, TTH_EVENT_MESSAGE);
    assert_false(event.end);
    event = next(session);
    assert_int_equal(event.type, TTH_EVENT_END);
    assert_ptr_equal(event.user, &user_a);
    assert_ptr_equal(event.stream, stream);
    assert_int_equal(next(session).type, TTH_EVENT_NONE);
    drop(session);
  }
}

static void a_bare_frame_that_is_not_just_end_breaks_the_session(void **state) {
  (void)state;
  static const struct {
    uint8_t flags;
    size_t len;
    bool inside; /* a message in slices */
  } bad[] = {
      {TTH_FLAG_BARE, 0, false},
      {TTH_FLAG_BARE | TTH_FLAG_END, 1, false},
      {TTH_FLAG_BARE | TTH_FLAG_END | TTH_FLAG_MORE, 0, false},
      {TTH_FLAG_BARE | TTH_FLAG_END | TTH_FLAG_FIRST, 0, false},
      {TTH_FLAG_BARE | TTH_FLAG_END, 0, true},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tth_stream *stream;
    tth_session *session = with_stream(TTH_SERVER, 0, &stream);
    static struct bytes b;
    b.len = 0;
    if (bad[i].inside) add_frame(&b, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, "\0\0\0\6abc", 7);
    add_frame(&b, TTH_MESSAGE, bad[i].flags, 1, "x", bad[i].len);
    assert_int_equal(only_event(session, &b).type, TTH_EVENT_BROKEN);
    drop(session);
  }
}

static void a_message_after_end_breaks_the_session(void **state) {
  (void)state;
  static const uint8_t ends[] = {TTH_FLAG_END, TTH_FLAG_END | TTH_FLAG_BARE};
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    for (size_t first = 0; first < sizeof ends + 1; first++) {
      for (size_t then = 0; then < sizeof ends + 1; then++) {
        if (first == sizeof ends && role == TTH_CLIENT) continue;
        tth_stream *stream;
        tth_session *session = with_stream((tth_role)role, first == sizeof ends ? TTH_FLAG_END : 0, &stream);
        static struct bytes b;
        b.len = 0;
        if (first < sizeof ends) add_frame(&b, TTH_MESSAGE, ends[first], 1, NULL, 0);
        add_frame(&b, TTH_MESSAGE, then < sizeof ends ? ends[then] : 0, 1, NULL, 0);
        tth_session_input(session, b.data, b.len, 0);
        if (first < sizeof ends) assert_true(next(session).type != TTH_EVENT_BROKEN);
        assert_int_equal(next(session).type, TTH_EVENT_BROKEN);
        drop(session);
      }
    }
  }
}

/* ---- The rest ------------------------------------------------------------------------------ */

static void only_the_latest_ping_is_answered(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static struct bytes b;
  b.len = 0;
  for (int i = 0; i < 10000; i++) add_frame(&b, TTH_PING, 0, 0, "stamp-1", 7);
  add_frame(&b, TTH_PING, 0, 0, "stamp-2", 7);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  static uint8_t out[8192];
  tth_frame frame = {0};
  size_t len = tth_session_fill(session, 0, out, sizeof out);
  assert_true(tth_frame_get(out, len, &frame));
  assert_int_equal(frame.type, TTH_PONG);
  assert_memory_equal(frame.payload, "stamp-2", 7);
  assert_int_equal(len, TTH_FRAME_HEADER + frame.length);
  drop(session);
}

static void a_ping_leaves_behind_everything_else_and_its_answer_is_an_event(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 4);
  tth_session_ping(session);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 20000)));
  assert_string_equal(filled(session, 0, 18000), "2:1 3:1 ");
  static uint8_t out[18000];
  size_t len = tth_session_fill(session, 7 * SEC, out, sizeof out), ping = len - TTH_STAMPS_SIZE - TTH_FRAME_HEADER;
  assert_int_equal(out[4], TTH_MESSAGE);
  assert_int_equal(TTH_FRAME_HEADER + tth_get32(out), ping);
  assert_int_equal(out[ping + 4], TTH_PING);
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_PONG, 0, 0, NULL, 0);
  add_frame(&b, TTH_PONG, 0, 0, "another's stamps", 16);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  b.len = 0;
  add_frame(&b, TTH_PONG, 0, 0, out + ping + TTH_FRAME_HEADER, TTH_STAMPS_SIZE);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_PONG);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  drop(session);
}

static void after_goaway_a_client_opens_nothing_and_gets_its_unsent_calls_back(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 1);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 1)));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 1)));
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 ");
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_GOAWAY, 0, 0, "\x08\x01", 2);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_GOAWAY);
  tth_out *out, *none = NULL;
  assert_ptr_equal(tth_session_take_back(session, 1, &out), &user_b);
  assert_non_null(out);
  assert_null(tth_session_take_back(session, 1, &none));
  assert_null(none);
  tth_out_free(out);
  b.len = 0;
  add_trailers(&b, 1);
  assert_ptr_equal(only_event(session, &b).user, &user_a); /* accepted ones finish */
  drop(session);
}

static void what_has_left_comes_back_whole_if_the_goaway_says_that_it_was_not_accepted(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 2);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 1)));
  assert_non_null(tth_session_open(session, &user_b, request(TETHER_FOREVER, 1)));
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 2:2 3:2 ");
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_GOAWAY, 0, 0, "\x08\x01", 2); /* the first was */
  tth_event event = only_event(session, &b);
  assert_int_equal(event.type, TTH_EVENT_GOAWAY);
  assert_int_equal(event.stream_id, 1);
  tth_out *out, *again = NULL, *expected = request(TETHER_FOREVER, 1);
  assert_ptr_equal(tth_session_take_back(session, 1, &out), &user_b);
  assert_null(tth_session_take_back(session, 1, &again));
  assert_int_equal(out->len, expected->len);
  assert_memory_equal(out->data, expected->data, out->len);
  assert_int_equal(out->sent, 0);
  tth_out_free(out);
  tth_out_free(expected);
  b.len = 0;
  add_trailers(&b, 2); /* crossed */
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_NONE);
  drop(session);
}

/* A call of 60 KiB, which fits its window and leaves. Returns what it takes to keep it. */
static size_t open_large(tth_session *session) {
  tth_out *out = request(TETHER_FOREVER, (size_t)60 * 1024);
  size_t size = tth_out_size(out) + tth_out_size(out->next);
  assert_non_null(tth_session_open(session, &user_a, out));
  while (*filled(session, 0, 65536)) continue;
  assert_true(session->kept <= TTH_KEEP_ALL);
  return size;
}

/* A server that takes requests and answers none: what it has been sent is not kept without end. */
static void a_call_that_goes_beyond_what_a_connection_may_keep_is_not_given_back(void **state) {
  (void)state;
  enum { CALLS = 300 };
  tth_session *session = greeted(TTH_CLIENT, CALLS + 1);
  static struct bytes b;
  size_t size = 0;
  for (int i = 0; i < CALLS; i++) size = open_large(session);
  b.len = 0;
  add_trailers(&b, 1); /* makes room for one more */
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_TRAILERS);
  (void)open_large(session);
  b.len = 0;
  add_frame(&b, TTH_GOAWAY, 0, 0, "\x08\x01", 2);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_GOAWAY);
  size_t back = 0;
  for (tth_out *out; tth_session_take_back(session, 1, &out); back++) {
    assert_int_equal(tth_out_size(out) + tth_out_size(out->next), size);
    tth_out_free(out);
  }
  assert_int_equal(back, TTH_KEEP_ALL / size);
  assert_true(back < CALLS);
  assert_int_equal(tth_session_stream_count(session), CALLS - back);
  assert_int_equal(session->kept, 0);
  drop(session);
}

static void a_call_that_something_came_for_is_not_given_back(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, 1);
  assert_non_null(tth_session_open(session, &user_a, request(TETHER_FOREVER, 1)));
  assert_string_equal(filled(session, 0, 65536), "2:1 3:1 ");
  static struct bytes b;
  b.len = 0;
  add_frame(&b, TTH_HEADERS, 0, 1, "", 0);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_HEADERS);
  tth_out *out;
  assert_null(tth_session_take_back(session, 0, &out));
  drop(session);
}

static void stream_ids_go_on_after_2_to_the_32(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, 0);
  static const uint32_t ids[] = {0x40000000, 0x80000000, 0xc0000000, 0xffffffff, 1, 2};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    static struct bytes b;
    b.len = 0;
    add_frame(&b, TTH_HEADERS, TTH_FLAG_END, ids[i], NULL, 0);
    tth_event event = only_event(session, &b);
    assert_int_equal(event.type, TTH_EVENT_HEADERS);
    event.stream->user = &user_a;
    tth_session_finish(session, event.stream, plain_trailers());
    (void)filled(session, 0, 65536);
  }
  drop(session);
}

static void a_thousand_streams_in_any_order_are_found_again(void **state) {
  (void)state;
  static tether_limits wide;
  wide = limits;
  wide.max_streams = 1000;
  tth_session *session = tth_session_new(TTH_SERVER, &wide);
  static struct bytes b;
  static int users[1001];
  b.len = 0;
  add_hello(&b, 0);
  for (uint32_t id = 1; id <= 1000; id++) add_frame(&b, TTH_HEADERS, 0, id * 97, NULL, 0);
  assert_int_equal(only_event(session, &b).type, TTH_EVENT_HELLO);
  tth_stream *streams[1001];
  for (uint32_t id = 1; id <= 1000; id++) {
    tth_event event = next(session);
    streams[id] = event.stream;
    event.stream->user = &users[id];
  }
  for (uint32_t id = 1; id <= 1000; id += 2) tth_session_finish(session, streams[id], plain_trailers());
  while (*filled(session, 0, 65536)) continue;
  assert_int_equal(tth_session_stream_count(session), 500);
  for (uint32_t id = 2; id <= 1000; id += 2) {
    b.len = 0;
    add_frame(&b, TTH_MESSAGE, TTH_FLAG_END, id * 97, "x", 1);
    assert_ptr_equal(only_event(session, &b).user, &users[id]);
  }
  drop(session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_first_frame_that_is_not_hello_breaks_the_session),
      cmocka_unit_test(a_hello_that_does_not_parse_or_has_another_version_breaks_the_session),
      cmocka_unit_test(a_batch_that_is_not_made_of_whole_frames_breaks_the_session),
      cmocka_unit_test(headers_on_a_stream_id_that_is_not_new_break_the_session),
      cmocka_unit_test(unknown_frame_types_and_frames_of_streams_that_are_gone_are_skipped),
      cmocka_unit_test(a_client_stream_lives_from_headers_to_trailers),
      cmocka_unit_test(the_timeout_is_written_as_the_bytes_leave_not_when_the_call_was_made),
      cmocka_unit_test(a_call_whose_time_is_over_before_it_could_leave_is_not_sent),
      cmocka_unit_test(streams_beyond_the_peers_limit_wait_for_a_slot),
      cmocka_unit_test(a_server_refuses_streams_beyond_its_limit_and_serves_the_others),
      cmocka_unit_test(a_call_cancelled_before_it_left_is_forgotten_and_nothing_is_sent),
      cmocka_unit_test(a_cancel_overtakes_everything_queued_and_drops_the_rest_of_its_own_message),
      cmocka_unit_test(a_cancelled_stream_keeps_its_slot_until_it_is_answered),
      cmocka_unit_test(a_cancel_carries_cause_origin_and_text),
      cmocka_unit_test(a_cancel_that_comes_before_its_headers_leaves_a_tombstone),
      cmocka_unit_test(tombstones_are_bounded),
      cmocka_unit_test(a_cancel_that_crosses_the_reply_drops_what_has_not_left_of_it),
      cmocka_unit_test(long_messages_of_several_streams_leave_in_turn),
      cmocka_unit_test(slices_are_put_together_and_an_oversize_message_is_refused_by_its_announced_length),
      cmocka_unit_test(new_calls_do_not_hold_up_a_long_message_for_ever),
      cmocka_unit_test(slices_that_contradict_themselves_break_the_session),
      cmocka_unit_test(messages_beyond_the_window_break_the_session),
      cmocka_unit_test(a_stream_that_is_skipped_cannot_break_its_window),
      cmocka_unit_test(a_window_that_does_not_parse_or_overflows_breaks_the_session),
      cmocka_unit_test(the_first_window_is_the_peers_word_but_at_least_64_kib_and_less_than_2_gib),
      cmocka_unit_test(credit_stays_below_2_gib_however_long_the_message),
      cmocka_unit_test(end_alone_is_an_event_and_not_a_message),
      cmocka_unit_test(a_bare_frame_that_is_not_just_end_breaks_the_session),
      cmocka_unit_test(a_message_after_end_breaks_the_session),
      cmocka_unit_test(only_the_latest_ping_is_answered),
      cmocka_unit_test(a_ping_leaves_behind_everything_else_and_its_answer_is_an_event),
      cmocka_unit_test(after_goaway_a_client_opens_nothing_and_gets_its_unsent_calls_back),
      cmocka_unit_test(what_has_left_comes_back_whole_if_the_goaway_says_that_it_was_not_accepted),
      cmocka_unit_test(a_call_that_something_came_for_is_not_given_back),
      cmocka_unit_test(a_call_that_goes_beyond_what_a_connection_may_keep_is_not_given_back),
      cmocka_unit_test(stream_ids_go_on_after_2_to_the_32),
      cmocka_unit_test(a_thousand_streams_in_any_order_are_found_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
