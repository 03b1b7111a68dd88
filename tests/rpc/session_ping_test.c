/* When a session asks for the peer's clock, what the answers look like, and answers that are not true. */
#include <stdlib.h>

#include "tests/support/ctx_test.h"
#include "tests/support/frames.h"
#include "tests/support/session_net.h"

#define MS TETHER_MS
#define SEC TETHER_SEC

static const tether_limits limits = {
    .max_message_bytes = 100000, .max_metadata_bytes = 8192, .max_unpacked_bytes = 400000, .max_streams = 64};

/* The next event of this batch. */
static tth_event given(tth_session *session, const tst_frames *batch, int64_t now_ns) {
  tth_event event;
  tth_session_input(session, batch->bytes, batch->len, now_ns);
  (void)tth_session_next_event(session, &event);
  return event;
}

/* The stamps of the first frame of this type in one fill; whether there is one. */
static bool stamps_sent(tth_session *session, int64_t now_ns, tth_frame_type type, tth_stamps *stamps) {
  uint8_t out[8192];
  tth_frame frame = {0};
  size_t at = 0, len = tth_session_fill(session, now_ns, out, sizeof out);
  if (!tst_frames_find(out, len, &at, type, 0, &frame)) return false;
  assert_int_equal(frame.length, TTH_STAMPS_SIZE);
  *stamps = tth_stamps_get(frame.payload, frame.length);
  return true;
}

static bool pings(tth_session *session, int64_t now_ns) {
  tth_stamps stamps;
  return stamps_sent(session, now_ns, TTH_PING, &stamps);
}

static tth_session *greeted(tth_role role, int64_t now_ns) {
  tth_session *session = tth_session_new(role, &limits);
  tst_frames batch = {0};
  assert_non_null(session);
  tst_frames_hello(&batch, 64);
  assert_int_equal(given(session, &batch, now_ns).type, TTH_EVENT_HELLO);
  tst_frames_fini(&batch);
  return session;
}

static void drop(tth_session *session) {
  while (tth_session_pop_user(session)) continue;
  tth_session_free(session);
}

/* A PONG with these stamps; the event that comes of it. */
static tth_event_type ponged(tth_session *session, int64_t t1, int64_t t2, int64_t t3, int64_t now_ns) {
  tst_frames batch = {0};
  uint8_t payload[TTH_STAMPS_SIZE];
  tth_stamps_put(payload, &(tth_stamps){.ping_left_ns = t1, .ping_came_ns = t2, .pong_left_ns = t3});
  tst_frames_raw(&batch, TTH_PONG, 0, 0, payload, sizeof payload);
  tth_event event = given(session, &batch, now_ns);
  tst_frames_fini(&batch);
  return event.type;
}

/* Other traffic: something to send. */
static void chat(tth_session *session) { tth_session_verdict(session, 1, TETHER_OK, TETHER_CANCELLED); }

/* ---- On the wire --------------------------------------------------------------------------- */

static void stamps_are_big_endian_and_written_as_the_bytes_leave(void **state) {
  (void)state;
  tth_session *client = greeted(TTH_CLIENT, 1), *server = greeted(TTH_SERVER, 1);
  uint8_t out[8192];
  tth_frame frame = {0};
  tst_frames batch = {0};
  size_t at = 0, len = tth_session_fill(client, 0x0102030405060708, out, sizeof out);
  assert_true(tst_frames_find(out, len, &at, TTH_PING, 0, &frame));
  assert_memory_equal(frame.payload, "\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
  tst_frames_raw(&batch, TTH_PING, 0, 0, frame.payload, frame.length);
  assert_int_equal(given(server, &batch, 0x1112131415161718).type, TTH_EVENT_NONE);
  len = tth_session_fill(server, 0x2122232425262728, out, sizeof out);
  at = 0;
  assert_true(tst_frames_find(out, len, &at, TTH_PONG, 0, &frame));
  assert_memory_equal(frame.payload,
                      "\1\2\3\4\5\6\7\10\x11\x12\x13\x14\x15\x16\x17\x18\x21\x22\x23\x24\x25\x26\x27\x28", 24);
  assert_memory_equal(frame.payload + 24, "\0\0\0\0\0\0\0\0", 8);
  tst_frames_fini(&batch);
  drop(client);
  drop(server);
}

static void questions_and_answers_leave_before_what_is_queued(void **state) {
  (void)state;
  static const tth_role roles[] = {TTH_CLIENT, TTH_SERVER};
  static const tth_frame_type types[] = {TTH_PING, TTH_PONG};
  for (int i = 0; i < 2; i++) {
    tth_session *session = greeted(roles[i], SEC);
    tst_frames batch = {0};
    uint8_t out[8192];
    tth_frame frame = {0};
    if (roles[i] == TTH_SERVER) {
      tst_frames_raw(&batch, TTH_PING, 0, 0, "", 0);
      assert_int_equal(given(session, &batch, SEC).type, TTH_EVENT_NONE);
    }
    size_t len = tth_session_fill(session, SEC, out, sizeof out);
    assert_true(tth_frame_get(out, len, &frame));
    assert_int_equal(frame.type, TTH_HELLO);
    size_t at = TTH_FRAME_HEADER + frame.length;
    assert_true(tth_frame_get(out + at, len - at, &frame));
    assert_int_equal(frame.type, types[i]);
    tst_frames_fini(&batch);
    drop(session);
  }
}

/* ---- When ---------------------------------------------------------------------------------- */

/* A client that has asked its first questions and got true answers, 1 ms each way; the time it is. */
static int64_t settled(tth_session **session) {
  int64_t now_ns = 100 * SEC;
  tth_stamps stamps;
  *session = greeted(TTH_CLIENT, now_ns);
  for (int i = 0; i < TTH_CLOCK_BURST; i++) {
    assert_true(tth_session_pending(*session) > 0);
    assert_true(stamps_sent(*session, now_ns, TTH_PING, &stamps));
    int64_t there_ns = now_ns + 5000 * SEC + MS;
    now_ns += 2 * MS;
    assert_int_equal(ponged(*session, stamps.ping_left_ns, there_ns, there_ns, now_ns), TTH_EVENT_NONE);
  }
  assert_int_equal(tth_session_pending(*session), 0);
  assert_int_equal(tth_peer_clock_at(&(*session)->clock, now_ns), now_ns + 5000 * SEC);
  return now_ns;
}

static void a_client_asks_at_once_and_again_on_each_answer_four_times_in_all(void **state) {
  (void)state;
  tth_session *session;
  int64_t now_ns = settled(&session);
  assert_false(pings(session, now_ns));
  drop(session);
}

static void a_client_asks_nothing_before_the_peers_hello(void **state) {
  (void)state;
  tth_session *session = tth_session_new(TTH_CLIENT, &limits);
  assert_false(pings(session, SEC));
  chat(session);
  assert_false(pings(session, 10 * SEC));
  drop(session);
}

static void a_server_asks_nothing(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, SEC);
  for (int i = 1; i < 20; i++) {
    chat(session);
    assert_false(pings(session, i * SEC));
  }
  drop(session);
}

static void a_quiet_connection_stays_quiet(void **state) {
  (void)state;
  tth_session *session;
  int64_t now_ns = settled(&session);
  for (int i = 0; i < 1000; i++) {
    now_ns += 60 * SEC;
    assert_int_equal(tth_session_pending(session), 0);
    assert_false(pings(session, now_ns));
  }
  drop(session);
}

static void with_other_traffic_a_client_asks_a_second_after_the_last_answer(void **state) {
  (void)state;
  tth_session *session;
  int64_t answered_ns = settled(&session);
  for (int i = 0; i < 10; i++) {
    tth_stamps stamps;
    chat(session);
    assert_false(pings(session, answered_ns + SEC - 1));
    assert_false(pings(session, answered_ns + SEC)); /* nothing else to send */
    chat(session);
    assert_true(stamps_sent(session, answered_ns + SEC, TTH_PING, &stamps));
    chat(session);
    assert_false(pings(session, answered_ns + SEC + MS)); /* one at a time */
    answered_ns += SEC + 2 * MS;
    (void)ponged(session, stamps.ping_left_ns, answered_ns + 5000 * SEC - MS, answered_ns + 5000 * SEC, answered_ns);
  }
  drop(session);
}

static tth_out *request(int64_t deadline_ns) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + 18, false);
  assert_non_null(out);
  out->deadline_ns = deadline_ns;
  tth_frame_put(out->data, 18, TTH_HEADERS, TTH_FLAG_END, 0);
  memset(out->data + TTH_FRAME_HEADER, 0, 18); /* where the time that is left is written */
  return out;
}

static void calls_that_cannot_leave_are_no_other_traffic(void **state) {
  (void)state;
  static int user;
  tth_session *session;
  int64_t now_ns = settled(&session);
  assert_non_null(tth_session_open(session, &user, request(now_ns + MS)));
  assert_false(pings(session, now_ns + SEC)); /* its time is over */
  drop(session);
  now_ns = settled(&session);
  assert_non_null(tth_session_open(session, &user, request(TETHER_FOREVER)));
  assert_true(pings(session, now_ns + SEC)); /* and one that does */
  drop(session);
  now_ns = settled(&session);
  for (uint32_t i = 0; i < limits.max_streams; i++)
    assert_non_null(tth_session_open(session, &user, request(TETHER_FOREVER)));
  assert_false(pings(session, now_ns));
  assert_non_null(tth_session_open(session, &user, request(TETHER_FOREVER)));
  assert_false(pings(session, now_ns + SEC)); /* no slot */
  chat(session);
  assert_true(pings(session, now_ns + SEC));
  drop(session);
}

static void a_peer_that_does_not_answer_is_asked_once(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, SEC);
  assert_true(pings(session, SEC));
  for (int i = 2; i < 100; i++) {
    chat(session);
    assert_false(pings(session, i * SEC));
  }
  drop(session);
}

/* ---- Answers that are not true ------------------------------------------------------------- */

static void stamps_that_cannot_be_true_teach_nothing(void **state) {
  (void)state;
  static const struct {
    int64_t t2, t3;
  } bad[] = {
      {0, 0}, /* a peer that does not stamp */
      {-1, -1},
      {INT64_MIN, INT64_MIN},
      {INT64_MIN, INT64_MAX},
      {INT64_MAX, INT64_MAX},
      {INT64_MAX, INT64_MIN},
      {INT64_MAX / 4, INT64_MAX / 4 + 1},
      {500 * SEC, 500 * SEC - 1},          /* answered before it came */
      {500 * SEC, 500 * SEC + 2 * MS + 1}, /* spent longer there than it was away */
      {1, INT64_MAX / 4},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t now_ns = 100 * SEC;
    tth_session *session = greeted(TTH_CLIENT, now_ns);
    tth_stamps stamps;
    for (int n = 0; n < TTH_CLOCK_BURST; n++) {
      assert_true(stamps_sent(session, now_ns, TTH_PING, &stamps));
      now_ns += 2 * MS;
      assert_int_equal(ponged(session, stamps.ping_left_ns, bad[i].t2, bad[i].t3, now_ns), TTH_EVENT_NONE);
    }
    assert_false(pings(session, now_ns));
    assert_int_equal(tth_peer_clock_at(&session->clock, now_ns), INT64_MIN);
    /* Nor do they unteach. */
    int64_t settled_ns;
    tth_session *other;
    settled_ns = settled(&other) + SEC;
    chat(other);
    assert_true(stamps_sent(other, settled_ns, TTH_PING, &stamps));
    (void)ponged(other, stamps.ping_left_ns, bad[i].t2, bad[i].t3, settled_ns + 2 * MS);
    assert_int_equal(tth_peer_clock_at(&other->clock, settled_ns), settled_ns + 5000 * SEC);
    drop(session);
    drop(other);
  }
}

static void answers_to_no_question_are_skipped(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, SEC);
  tth_stamps stamps;
  assert_int_equal(ponged(session, 0, 7 * SEC, 7 * SEC, SEC), TTH_EVENT_NONE);
  assert_true(stamps_sent(session, SEC, TTH_PING, &stamps));
  for (int64_t off = -3; off <= 3; off++)
    if (off != 0)
      assert_int_equal(ponged(session, stamps.ping_left_ns + off, 7 * SEC, 7 * SEC, SEC + 1), TTH_EVENT_NONE);
  assert_false(pings(session, SEC + 1)); /* still waits for its answer */
  assert_int_equal(ponged(session, stamps.ping_left_ns, 7 * SEC, 7 * SEC, SEC + 2), TTH_EVENT_NONE);
  assert_true(pings(session, SEC + 2));
  assert_int_equal(ponged(session, stamps.ping_left_ns, 7 * SEC, 7 * SEC, SEC + 3), TTH_EVENT_NONE); /* again */
  assert_false(pings(session, SEC + 3));
  drop(session);
}

static void short_and_long_payloads_are_no_harm(void **state) {
  (void)state;
  static const uint8_t bytes[100] = {0xff, 1, 2, 3};
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    tth_session *session = greeted((tth_role)role, SEC);
    for (size_t len = 0; len <= sizeof bytes; len++) {
      tst_frames batch = {0};
      tst_frames_raw(&batch, TTH_PONG, 0, 0, bytes, len);
      tst_frames_raw(&batch, TTH_PING, 0, 0, bytes, len);
      assert_int_equal(given(session, &batch, SEC).type, TTH_EVENT_NONE);
      tst_frames_fini(&batch);
      tth_stamps stamps;
      assert_int_equal(stamps_sent(session, SEC, TTH_PONG, &stamps), len <= TTH_STAMPS_SIZE);
    }
    drop(session);
  }
}

static uint64_t seed = 1;
static uint64_t random64(void) {
  uint64_t bits = 0;
  for (int i = 0; i < 4; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    bits = bits << 16 | (seed >> 40 & 0xffff);
  }
  return bits >> random() % 64;
}

static void whatever_the_stamps_the_peer_is_asked_seldom_and_calls_leave_with_time_left(void **state) {
  (void)state;
  int64_t now_ns = 100 * SEC, from_ns = now_ns;
  tth_session *session = greeted(TTH_CLIENT, now_ns);
  tth_stamps stamps = {0};
  unsigned asked = 0, known = 0;
  for (int i = 0; i < 200000; i++) {
    now_ns += (int64_t)(random64() % (20 * MS));
    if (i % 3 == 0) chat(session);
    if (stamps_sent(session, now_ns, TTH_PING, &stamps)) asked++;
    uint64_t t2 = random64(), t3 = i % 2 ? random64() : t2 + random64() % (2 * MS);
    assert_int_equal(ponged(session, stamps.ping_left_ns, (int64_t)t2, (int64_t)t3, now_ns), TTH_EVENT_NONE);
    int64_t sent_ns = tth_peer_clock_at(&session->clock, now_ns);
    known += sent_ns != INT64_MIN;
    assert_true(tth_peer_clock_timeout(&session->clock, 1 + (int64_t)(random64() >> 1), 0) > 0);
  }
  assert_true(known > 1000);
  assert_true(asked <= (now_ns - from_ns) / SEC + TTH_CLOCK_BURST * (1 + (now_ns - from_ns) / (10 * SEC)));
  drop(session);
}

/* ---- The barrier --------------------------------------------------------------------------- */

static void only_the_barriers_own_answer_is_the_event(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, SEC);
  tth_stamps asked, barrier;
  assert_true(stamps_sent(session, SEC, TTH_PING, &asked));
  tth_session_ping(session);
  assert_true(stamps_sent(session, SEC, TTH_PING, &barrier)); /* within the same nanosecond */
  assert_true(barrier.ping_left_ns != asked.ping_left_ns);
  assert_int_equal(ponged(session, asked.ping_left_ns, 5, 5, SEC), TTH_EVENT_NONE);
  assert_int_equal(ponged(session, 0, 5, 5, SEC), TTH_EVENT_NONE);
  assert_int_equal(ponged(session, barrier.ping_left_ns, 0, 0, SEC), TTH_EVENT_PONG); /* stamped or not */
  assert_int_equal(ponged(session, barrier.ping_left_ns, 0, 0, SEC), TTH_EVENT_NONE); /* once */
  drop(session);
}

static void behind_the_barrier_the_clock_is_not_asked_for_the_peer_answers_the_latest(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_CLIENT, SEC);
  tth_stamps asked, barrier;
  assert_true(stamps_sent(session, SEC, TTH_PING, &asked));
  tth_session_ping(session);
  assert_true(stamps_sent(session, 2 * SEC, TTH_PING, &barrier));
  (void)ponged(session, asked.ping_left_ns, 5, 5, 3 * SEC); /* in the burst the next would leave now */
  assert_int_equal(tth_session_pending(session), 0);
  for (int i = 4; i < 20; i++) {
    chat(session);
    assert_false(pings(session, i * SEC));
  }
  assert_int_equal(ponged(session, barrier.ping_left_ns, 0, 0, 20 * SEC), TTH_EVENT_PONG);
  drop(session);
}

static void a_question_and_the_barrier_in_one_batch_leave_in_this_order(void **state) {
  (void)state;
  tst_host client = {SEC, 0}, server = {5 * SEC, 0};
  for (int64_t wait_ns = 0; wait_ns < 20 * MS; wait_ns += MS) { /* in every phase of the burst */
    tst_net net = {0};
    tst_line *line = tst_net_connect(&net, &client, &server, 2 * MS, 2 * MS);
    tst_net_run(&net, wait_ns);
    assert_false(line->answered);
    line->held[TTH_SERVER] = true; /* so that questions and barrier meet at the server */
    tst_net_run(&net, 5 * MS);
    tth_session_ping(line->session[TTH_CLIENT]);
    tst_net_run(&net, 5 * MS);
    line->held[TTH_SERVER] = false;
    tst_net_run(&net, 20 * MS);
    assert_true(line->answered);
    tst_net_fini(&net);
  }
}

static void a_servers_barrier_works_alike(void **state) {
  (void)state;
  tth_session *session = greeted(TTH_SERVER, SEC);
  tth_stamps barrier;
  tth_session_ping(session);
  assert_true(stamps_sent(session, SEC, TTH_PING, &barrier));
  assert_int_equal(ponged(session, barrier.ping_left_ns + 1, 5, 5, SEC), TTH_EVENT_NONE);
  assert_int_equal(ponged(session, barrier.ping_left_ns, 5, 5, SEC), TTH_EVENT_PONG);
  drop(session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(stamps_are_big_endian_and_written_as_the_bytes_leave),
      cmocka_unit_test(questions_and_answers_leave_before_what_is_queued),
      cmocka_unit_test(a_client_asks_at_once_and_again_on_each_answer_four_times_in_all),
      cmocka_unit_test(a_client_asks_nothing_before_the_peers_hello),
      cmocka_unit_test(a_server_asks_nothing),
      cmocka_unit_test(a_quiet_connection_stays_quiet),
      cmocka_unit_test(with_other_traffic_a_client_asks_a_second_after_the_last_answer),
      cmocka_unit_test(calls_that_cannot_leave_are_no_other_traffic),
      cmocka_unit_test(a_peer_that_does_not_answer_is_asked_once),
      cmocka_unit_test(stamps_that_cannot_be_true_teach_nothing),
      cmocka_unit_test(answers_to_no_question_are_skipped),
      cmocka_unit_test(short_and_long_payloads_are_no_harm),
      cmocka_unit_test(whatever_the_stamps_the_peer_is_asked_seldom_and_calls_leave_with_time_left),
      cmocka_unit_test(only_the_barriers_own_answer_is_the_event),
      cmocka_unit_test(behind_the_barrier_the_clock_is_not_asked_for_the_peer_answers_the_latest),
      cmocka_unit_test(a_question_and_the_barrier_in_one_batch_leave_in_this_order),
      cmocka_unit_test(a_servers_barrier_works_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
