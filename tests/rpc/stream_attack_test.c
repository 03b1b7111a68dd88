/* Peers that abuse windows: they ignore them, overflow them, grant nothing or crumbs. What the server holds stays
 * bounded, and the connection breaks or goes on as docs/protocol.md says; others are served all the while. */
#include "tests/support/stream_attack.h"

#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"

#define FLOOD CTX_TEST_ROUNDS(100000)

/* A message that costs this much credit, in one frame. */
static void add_message(tst_frames *frames, uint32_t id, size_t cost) {
  static const uint8_t body[TTH_SLICE + 16];
  uint8_t field[4] = {0x12, 0x80, 0x80, 0}; /* a body of as many bytes as follow, the varint in three bytes */
  size_t len = cost - TTH_FRAME_HEADER, rest = len - sizeof field;
  uint8_t *payload = test_malloc(len);
  field[1] = (uint8_t)(0x80 | (rest & 0x7f));
  field[2] = (uint8_t)(0x80 | (rest >> 7 & 0x7f));
  field[3] = (uint8_t)(rest >> 14);
  memcpy(payload, field, sizeof field);
  memcpy(payload + sizeof field, body, rest);
  tst_frames_raw(frames, TTH_MESSAGE, 0, id, payload, len);
  test_free(payload);
}

/* The peer was cut off, with this line, and its handlers with it. */
static void assert_broken(const char *why) {
  assert_true(attack.peer.closed);
  assert_int_equal(tst_stderr_lines(&attack.caught, why), 1);
  for (int i = 0; i < attack.count; i++)
    assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_call_ctx(attack.held[i]))), TETHER_CAUSE_PEER_LOST);
  attack_assert_others_are_served();
}

/* ---- More than the window -------------------------------------------------------------------- */

static void a_byte_more_than_the_window_costs_the_connection_all_of_it_does_not(void **state) {
  (void)state;
  for (size_t excess = 0; excess < 2; excess++) {
    tst_frames frames = {0};
    attack_connect(0);
    attack_open_stream(&frames, 1);
    for (int i = 0; i < 4; i++) add_message(&frames, 1, WINDOW / 4);
    attack_open_stream(&frames, 2);
    for (int i = 0; i < 3; i++) add_message(&frames, 2, WINDOW / 4);
    add_message(&frames, 2, WINDOW / 4 + excess);
    attack_say(&frames);
    if (excess == 0) assert_false(attack.peer.closed);
    if (excess == 0) attack_assert_others_are_served();
    if (excess > 0) assert_broken("more than the window allows");
    assert_true(attack_grown_bytes() < 2 * (WINDOW + ATTACK_STREAM_BYTES) + ATTACK_CONN_BYTES);
    tst_mem_peer_fini(&attack.peer);
    attack_finish_all();
    tst_frames_fini(&frames);
  }
}

static void a_peer_that_takes_no_notice_of_windows_is_cut_off_at_once(void **state) {
  (void)state;
  static const uint8_t flags[] = {0, TTH_FLAG_FIRST | TTH_FLAG_MORE};
  for (int i = 0; i < 2; i++) {
    tst_frames frames = {0};
    uint8_t first[TTH_SLICE] = {0, 0x40, 0, 0}; /* 4 MiB are announced */
    attack_connect(0);
    attack_open_stream(&frames, 1);
    tst_frames_raw(&frames, TTH_MESSAGE, flags[i], 1, first, sizeof first);
    attack_say(&frames);
    size_t most = 0, sent = 0;
    for (; sent < 100 * MIB && !attack.peer.closed; sent += 10 * TTH_SLICE) {
      for (int n = 0; n < 10; n++) tst_frames_raw(&frames, TTH_MESSAGE, i ? TTH_FLAG_MORE : 0, 1, first, sizeof first);
      tst_mem_peer_say_frames(&attack.peer, &frames);
      if (attack_grown_bytes() > most) most = attack_grown_bytes();
    }
    /* with the length of a long message announced, all of it may come */
    assert_true(sent <= (i ? 4 * MIB + 20 * TTH_SLICE : WINDOW + 20 * TTH_SLICE));
    assert_true(most < (i ? 8 * MIB : WINDOW) + ATTACK_CONN_BYTES);
    assert_true(attack.peer.closed);
    attack_assert_others_are_served();
    tst_mem_peer_fini(&attack.peer);
    attack_finish_all();
    tst_frames_fini(&frames);
  }
}

/* ---- WINDOW ---------------------------------------------------------------------------------- */

static void credit_up_to_the_most_is_taken_and_a_byte_more_costs_the_connection(void **state) {
  (void)state;
  tst_frames frames = {0};
  attack_connect(0);
  attack_open_stream(&frames, 1);
  attack_add_window(&frames, 1, INT32_MAX - (uint32_t)WINDOW);
  attack_say(&frames);
  assert_false(attack.peer.closed);
  attack_add_window(&frames, 1, 0);
  attack_say(&frames);
  assert_false(attack.peer.closed);
  attack_add_window(&frames, 1, 1);
  attack_say(&frames);
  assert_broken("a window beyond 2^31");
  tst_frames_fini(&frames);
}

static void a_window_that_wraps_or_does_not_parse_costs_the_connection(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    tst_frames frames = {0};
    attack_connect(0);
    attack_open_stream(&frames, 1);
    if (i == 0) attack_add_window(&frames, 1, UINT32_MAX);
    if (i == 1) tst_frames_raw(&frames, TTH_WINDOW, 0, 1, "\x08\x80", 2);
    if (i == 2) tst_frames_raw(&frames, TTH_WINDOW, 0, 1, "\x0a\x05", 2);
    attack_say(&frames);
    assert_true(attack.peer.closed);
    attack_assert_others_are_served();
    tst_mem_peer_fini(&attack.peer);
    attack_finish_all();
    tst_frames_fini(&frames);
  }
}

static void windows_for_unknown_streams_and_of_nothing_change_nothing_however_many(void **state) {
  (void)state;
  tst_frames frames = {0};
  attack_connect(0);
  attack_open_stream(&frames, 1);
  attack_say(&frames);
  size_t heard = attack.peer.heard.len;
  for (uint32_t i = 0; i < FLOOD;) {
    for (int n = 0; n < 1000; n++, i++) {
      uint32_t id = i % 4 == 0 ? 0 : i % 4 == 1 ? 1 : i;
      attack_add_window(&frames, id, id == 1 ? 0 : INT32_MAX);
    }
    attack_say(&frames);
    assert_false(attack.peer.closed);
    assert_true(attack_grown_bytes() < frames.room + ATTACK_STREAM_BYTES + ATTACK_CONN_BYTES);
  }
  assert_int_equal(attack.peer.heard.len, heard);
  attack_assert_others_are_served();
  tst_frames_fini(&frames);
}

/* ---- Grants that do not come ----------------------------------------------------------------- */

/* The handler sends until there is no room. Returns how many messages there was room for. */
static unsigned send_until_refused(tether_call *call, size_t len) {
  static uint8_t body[256 * 1024];
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  reply.body = (ProtobufCBinaryData){.data = body, .len = len};
  bool done = true;
  unsigned count = 0;
  for (;; count++) {
    assert_int_equal(testing_v1_echo_inline_chat_try_send_reply(call, &reply, &done), TETHER_OK);
    if (!done) break;
    tst_link_mem_pump(attack.net);
  }
  return count;
}

/* MESSAGE frames heard on a stream, and what they cost. */
static size_t heard_messages(uint32_t id, size_t *cost) {
  size_t at = 0, count = 0;
  tth_frame frame;
  *cost = 0;
  while (tst_frames_find(attack.peer.heard.bytes, attack.peer.heard.len, &at, TTH_MESSAGE, id, &frame)) {
    *cost += TTH_FRAME_HEADER + frame.length;
    count++;
  }
  return count;
}

static void a_peer_that_grants_nothing_gets_one_window_and_others_go_on_beside_it(void **state) {
  (void)state;
  enum { SOME = 100, LEN = 8000 };
  tst_frames frames = {0};
  size_t cost;
  attack_connect(0);
  for (uint32_t id = 1; id <= SOME; id++) attack_open_stream(&frames, id);
  attack_say(&frames);
  assert_int_equal(attack.count, SOME);
  for (int i = 0; i < SOME; i++)
    assert_true(send_until_refused(attack.held[i], LEN) <= (WINDOW + TTH_SEND_HIGH) / LEN + 1);
  for (uint32_t id = 1; id <= SOME; id++) {
    assert_int_equal(heard_messages(id, &cost), WINDOW / (LEN + 4 + TTH_FRAME_HEADER));
    assert_true(cost <= WINDOW);
  }
  assert_true(attack_grown_bytes() < SOME * (TTH_SEND_HIGH + LEN + ATTACK_STREAM_BYTES) + ATTACK_CONN_BYTES);
  attack_assert_others_are_served();
  /* Cancelled, they end, though what is queued could not leave. */
  for (uint32_t id = 1; id <= SOME; id++) tst_frames_cancel(&frames, id, TETHER_CAUSE_CALLER);
  attack_say(&frames);
  for (int i = 0; i < SOME; i++) assert_int_equal(tether_ctx_err(tether_call_ctx(attack.held[i])), TETHER_CANCELLED);
  attack_finish_all();
  for (uint32_t id = 1; id <= SOME; id++) assert_int_equal(tst_mem_peer_code(&attack.peer, id), TETHER_CANCELLED);
  assert_true(attack_grown_bytes() < ATTACK_CONN_BYTES);
  tst_frames_fini(&frames);
}

static void credit_in_crumbs_moves_whole_slices_and_costs_no_batches(void **state) {
  (void)state;
  enum { LEN = 120 * 1024, SLICES = 8 };
  tst_frames frames = {0};
  size_t cost;
  attack_connect(0);
  attack_open_stream(&frames, 1);
  attack_say(&frames);
  tth_link *servers = tst_mem_other_end(attack.peer.link);
  assert_int_equal(send_until_refused(attack.held[0], LEN), 1);
  uint64_t batches = tst_mem_stats_of(servers).batches_sent;
  assert_int_equal(heard_messages(1, &cost), 3); /* what the first window covers of it */
  size_t granted = 0, whole = LEN + 4 /* fields */ + 4 /* length */ + SLICES * TTH_FRAME_HEADER;
  for (; WINDOW + granted < whole; granted++) {
    attack_add_window(&frames, 1, 1);
    attack_say(&frames);
  }
  assert_int_equal(heard_messages(1, &cost), SLICES);
  assert_int_equal(cost, whole);
  assert_in_range(tst_mem_stats_of(servers).batches_sent - batches, 1, SLICES);
  attack_assert_others_are_served();
  tst_frames_fini(&frames);
}

static void a_peer_that_grants_everything_and_reads_nothing_is_held_by_the_link(void **state) {
  (void)state;
  enum { SOME = 50, LEN = 8000 };
  tst_frames frames = {0};
  attack_connect(INT32_MAX);
  for (uint32_t id = 1; id <= SOME; id++) attack_open_stream(&frames, id);
  attack_say(&frames);
  tth_link *servers = tst_mem_other_end(attack.peer.link);
  tst_mem_hold(servers, true);
  tst_mem_room(servers, 64 * KIB);
  for (int i = 0; i < SOME; i++) assert_true(send_until_refused(attack.held[i], LEN) < 100);
  assert_true(attack_grown_bytes() < SOME * (TTH_SEND_HIGH + LEN + ATTACK_STREAM_BYTES) + ATTACK_CONN_BYTES);
  tst_mem_hold(servers, false);
  tst_link_mem_pump(attack.net);
  attack_assert_others_are_served();
  tst_frames_fini(&frames);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, attack_setup, attack_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_byte_more_than_the_window_costs_the_connection_all_of_it_does_not),
      CASE(a_peer_that_takes_no_notice_of_windows_is_cut_off_at_once),
      CASE(credit_up_to_the_most_is_taken_and_a_byte_more_costs_the_connection),
      CASE(a_window_that_wraps_or_does_not_parse_costs_the_connection),
      CASE(windows_for_unknown_streams_and_of_nothing_change_nothing_however_many),
      CASE(a_peer_that_grants_nothing_gets_one_window_and_others_go_on_beside_it),
      CASE(credit_in_crumbs_moves_whole_slices_and_costs_no_batches),
      CASE(a_peer_that_grants_everything_and_reads_nothing_is_held_by_the_link),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
