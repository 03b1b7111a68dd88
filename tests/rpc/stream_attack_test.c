/* Peers that abuse windows: they ignore them, overflow them, grant nothing or crumbs, begin messages everywhere. What
 * the other side holds stays bounded, and the connection breaks or goes on as docs/protocol.md says; others are served
 * all the while. In memory and on one thread; memory is what malloc has handed out. */
#include <malloc.h>
#include <stdio.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/ctx_test.h"
#include "tests/support/mem_peer.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define WINDOW TTH_WINDOW_LEAST
#define FLOOD CTX_TEST_ROUNDS(100000)
#define HOLD "/testing.v1.Echo/InlineChat"
#define QUICK "/testing.v1.Echo/Quick"

/* What a server holds for each stream beside its messages: call, context, pipe; and for a connection. */
#define STREAM_BYTES (8 * KIB)
#define CONN_BYTES (2 * MIB)

static struct attack {
  tst_mem_net *net;
  tether_server *server;
  tst_mem_peer peer;
  tst_stderr caught;
  size_t before; /* bytes allocated once the peer is connected */
  tether_call *held[1024];
  int count;
} a;

/* ---- The victim ------------------------------------------------------------------------------ */

/* Keeps the call, whose messages nobody reads until the test does. */
static tether_code hold(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)ctx, (void)data;
  if (a.count == (int)(sizeof a.held / sizeof *a.held)) return TETHER_RESOURCE_EXHAUSTED;
  a.held[a.count++] = call;
  tether_call_defer(call);
  return TETHER_OK;
}

static tether_code quick(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                         Testing__V1__Reply *reply, void *data) {
  (void)ctx, (void)data;
  reply->text = tether_call_strdup(call, request->name);
  return TETHER_OK;
}

static size_t allocated_bytes(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0; /* not this malloc's to say */
#else
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

/* What the peer made the process hold; what the test itself keeps of the conversation aside. */
static size_t grown_bytes(void) {
  size_t now = allocated_bytes(), own = a.peer.heard.room;
  return now > a.before + own ? now - a.before - own : 0;
}

static void hello(tst_frames *frames, uint32_t window) {
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_max_streams = hello.has_stream_window_bytes = true;
  hello.max_streams = 1024;
  hello.stream_window_bytes = window;
  tst_frames_add(frames, TTH_HELLO, 0, 0, &hello.base);
}

static void connect_peer(uint32_t window) {
  tst_frames frames = {0};
  hello(&frames, window);
  assert_true(tst_mem_peer_dial(&a.peer, a.net, "mem://s"));
  tst_mem_peer_say_frames(&a.peer, &frames);
  tst_frames_fini(&frames);
  a.before = allocated_bytes();
}

static int setup(void **state) {
  static const testing_v1_echo_service service = {.inline_chat = hold, .quick = quick};
  (void)state;
  memset(&a, 0, sizeof a);
  a.net = tst_mem_net_new(true);
  tst_mem_net_use(a.net);
  return tst_stderr_catch(&a.caught) && tth_server_open_on(&tst_transport_mem, NULL, &a.server) == TETHER_OK &&
                 testing_v1_echo_register(a.server, &service, NULL) == TETHER_OK &&
                 tether_server_listen(a.server, "mem://s") == TETHER_OK
             ? 0
             : -1;
}

static void finish_all(void) {
  for (int i = 0; i < a.count; i++) tether_call_finish(a.held[i], TETHER_OK);
  a.count = 0;
  tst_link_mem_pump(a.net);
}

static int teardown(void **state) {
  (void)state;
  tst_mem_peer_fini(&a.peer);
  finish_all();
  tether_server_close(a.server);
  tst_mem_net_free(a.net);
  tst_stderr_release(&a.caught);
  return 0;
}

/* ---- What the peer says ---------------------------------------------------------------------- */

static void open_stream(tst_frames *frames, uint32_t id) { tst_frames_headers(frames, id, HOLD, TETHER_FOREVER); }

static void add_window(tst_frames *frames, uint32_t id, uint32_t bytes) {
  Tether__V1__Window window = TETHER__V1__WINDOW__INIT;
  window.bytes = bytes;
  tst_frames_add(frames, TTH_WINDOW, 0, id, &window.base);
}

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

static void say(tst_frames *frames) {
  for (size_t at = 0, begin = 0; at < frames->len;) { /* in batches that a link takes */
    size_t next = at + TTH_FRAME_HEADER + tth_get32(frames->bytes + at);
    if (next - begin > TTH_BATCH_MAX / 2 || next == frames->len) {
      tst_mem_peer_say(&a.peer, frames->bytes + begin, next - begin);
      begin = next;
    }
    at = next;
  }
  frames->len = 0;
}

/* On a connection of their own, and on the peer's if it is still there. */
static void assert_others_are_served(void) {
  tst_mem_peer other;
  tst_frames frames = {0};
  hello(&frames, 0);
  tst_frames_headers(&frames, 1, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, NULL, 0);
  assert_true(tst_mem_peer_dial(&other, a.net, "mem://s"));
  tst_mem_peer_say_frames(&other, &frames);
  assert_int_equal(tst_mem_peer_code(&other, 1), TETHER_OK);
  tst_mem_peer_fini(&other);
  if (!a.peer.closed) {
    enum { LATE = 1 << 30 };
    tst_frames_headers(&frames, LATE, QUICK, TETHER_FOREVER);
    tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, LATE, NULL, 0);
    tst_mem_peer_say_frames(&a.peer, &frames);
    assert_int_equal(tst_mem_peer_code(&a.peer, LATE), TETHER_OK);
  }
  tst_frames_fini(&frames);
}

/* The peer was cut off, with this line, and its handlers with it. */
static void assert_broken(const char *why) {
  assert_true(a.peer.closed);
  assert_int_equal(tst_stderr_lines(&a.caught, why), 1);
  for (int i = 0; i < a.count; i++)
    assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_call_ctx(a.held[i]))), TETHER_CAUSE_PEER_LOST);
  assert_others_are_served();
}

/* ---- More than the window -------------------------------------------------------------------- */

static void a_byte_more_than_the_window_costs_the_connection_all_of_it_does_not(void **state) {
  (void)state;
  for (size_t excess = 0; excess < 2; excess++) {
    tst_frames frames = {0};
    connect_peer(0);
    open_stream(&frames, 1);
    for (int i = 0; i < 4; i++) add_message(&frames, 1, WINDOW / 4);
    open_stream(&frames, 2);
    for (int i = 0; i < 3; i++) add_message(&frames, 2, WINDOW / 4);
    add_message(&frames, 2, WINDOW / 4 + excess);
    say(&frames);
    if (excess == 0) assert_false(a.peer.closed);
    if (excess == 0) assert_others_are_served();
    if (excess > 0) assert_broken("more than the window allows");
    assert_true(grown_bytes() < 2 * (WINDOW + STREAM_BYTES) + CONN_BYTES);
    tst_mem_peer_fini(&a.peer);
    finish_all();
    tst_frames_fini(&frames);
  }
}

static void a_peer_that_takes_no_notice_of_windows_is_cut_off_at_once(void **state) {
  (void)state;
  static const uint8_t flags[] = {0, TTH_FLAG_FIRST | TTH_FLAG_MORE};
  for (int i = 0; i < 2; i++) {
    tst_frames frames = {0};
    uint8_t first[TTH_SLICE] = {0, 0x40, 0, 0}; /* 4 MiB are announced */
    connect_peer(0);
    open_stream(&frames, 1);
    tst_frames_raw(&frames, TTH_MESSAGE, flags[i], 1, first, sizeof first);
    say(&frames);
    size_t most = 0, sent = 0;
    for (; sent < 100 * MIB && !a.peer.closed; sent += 10 * TTH_SLICE) {
      for (int n = 0; n < 10; n++) tst_frames_raw(&frames, TTH_MESSAGE, i ? TTH_FLAG_MORE : 0, 1, first, sizeof first);
      tst_mem_peer_say_frames(&a.peer, &frames);
      if (grown_bytes() > most) most = grown_bytes();
    }
    /* with the length of a long message announced, all of it may come */
    assert_true(sent <= (i ? 4 * MIB + 20 * TTH_SLICE : WINDOW + 20 * TTH_SLICE));
    assert_true(most < (i ? 8 * MIB : WINDOW) + CONN_BYTES);
    assert_true(a.peer.closed);
    assert_others_are_served();
    tst_mem_peer_fini(&a.peer);
    finish_all();
    tst_frames_fini(&frames);
  }
}

/* ---- WINDOW ---------------------------------------------------------------------------------- */

static void credit_up_to_the_most_is_taken_and_a_byte_more_costs_the_connection(void **state) {
  (void)state;
  tst_frames frames = {0};
  connect_peer(0);
  open_stream(&frames, 1);
  add_window(&frames, 1, INT32_MAX - (uint32_t)WINDOW);
  say(&frames);
  assert_false(a.peer.closed);
  add_window(&frames, 1, 0);
  say(&frames);
  assert_false(a.peer.closed);
  add_window(&frames, 1, 1);
  say(&frames);
  assert_broken("a window beyond 2^31");
  tst_frames_fini(&frames);
}

static void a_window_that_wraps_or_does_not_parse_costs_the_connection(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    tst_frames frames = {0};
    connect_peer(0);
    open_stream(&frames, 1);
    if (i == 0) add_window(&frames, 1, UINT32_MAX);
    if (i == 1) tst_frames_raw(&frames, TTH_WINDOW, 0, 1, "\x08\x80", 2);
    if (i == 2) tst_frames_raw(&frames, TTH_WINDOW, 0, 1, "\x0a\x05", 2);
    say(&frames);
    assert_true(a.peer.closed);
    assert_others_are_served();
    tst_mem_peer_fini(&a.peer);
    finish_all();
    tst_frames_fini(&frames);
  }
}

static void windows_for_unknown_streams_and_of_nothing_change_nothing_however_many(void **state) {
  (void)state;
  tst_frames frames = {0};
  connect_peer(0);
  open_stream(&frames, 1);
  say(&frames);
  size_t heard = a.peer.heard.len;
  for (uint32_t i = 0; i < FLOOD;) {
    for (int n = 0; n < 1000; n++, i++) {
      uint32_t id = i % 4 == 0 ? 0 : i % 4 == 1 ? 1 : i;
      add_window(&frames, id, id == 1 ? 0 : INT32_MAX);
    }
    say(&frames);
    assert_false(a.peer.closed);
    assert_true(grown_bytes() < frames.room + STREAM_BYTES + CONN_BYTES);
  }
  assert_int_equal(a.peer.heard.len, heard);
  assert_others_are_served();
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
    tst_link_mem_pump(a.net);
  }
  return count;
}

/* MESSAGE frames heard on a stream, and what they cost. */
static size_t heard_messages(uint32_t id, size_t *cost) {
  size_t at = 0, count = 0;
  tth_frame frame;
  *cost = 0;
  while (tst_frames_find(a.peer.heard.bytes, a.peer.heard.len, &at, TTH_MESSAGE, id, &frame)) {
    *cost += TTH_FRAME_HEADER + frame.length;
    count++;
  }
  return count;
}

static void a_peer_that_grants_nothing_gets_one_window_and_others_go_on_beside_it(void **state) {
  (void)state;
  enum { STREAMS = 100, LEN = 8000 };
  tst_frames frames = {0};
  size_t cost;
  connect_peer(0);
  for (uint32_t id = 1; id <= STREAMS; id++) open_stream(&frames, id);
  say(&frames);
  assert_int_equal(a.count, STREAMS);
  for (int i = 0; i < STREAMS; i++)
    assert_true(send_until_refused(a.held[i], LEN) <= (WINDOW + TTH_SEND_HIGH) / LEN + 1);
  for (uint32_t id = 1; id <= STREAMS; id++) {
    assert_int_equal(heard_messages(id, &cost), WINDOW / (LEN + 4 + TTH_FRAME_HEADER));
    assert_true(cost <= WINDOW);
  }
  assert_true(grown_bytes() < STREAMS * (TTH_SEND_HIGH + LEN + STREAM_BYTES) + CONN_BYTES);
  assert_others_are_served();
  /* Cancelled, they end, though what is queued could not leave. */
  for (uint32_t id = 1; id <= STREAMS; id++) tst_frames_cancel(&frames, id, TETHER_CAUSE_CALLER);
  say(&frames);
  for (int i = 0; i < STREAMS; i++) assert_int_equal(tether_ctx_err(tether_call_ctx(a.held[i])), TETHER_CANCELLED);
  finish_all();
  for (uint32_t id = 1; id <= STREAMS; id++) assert_int_equal(tst_mem_peer_code(&a.peer, id), TETHER_CANCELLED);
  assert_true(grown_bytes() < CONN_BYTES);
  tst_frames_fini(&frames);
}

static void credit_in_crumbs_moves_whole_slices_and_costs_no_batches(void **state) {
  (void)state;
  enum { LEN = 120 * 1024, SLICES = 8 };
  tst_frames frames = {0};
  size_t cost;
  connect_peer(0);
  open_stream(&frames, 1);
  say(&frames);
  tth_link *servers = tst_mem_other_end(a.peer.link);
  assert_int_equal(send_until_refused(a.held[0], LEN), 1);
  uint64_t batches = tst_mem_stats_of(servers).batches_sent;
  assert_int_equal(heard_messages(1, &cost), 3); /* what the first window covers of it */
  size_t granted = 0, whole = LEN + 4 /* fields */ + 4 /* length */ + SLICES * TTH_FRAME_HEADER;
  for (; WINDOW + granted < whole; granted++) {
    add_window(&frames, 1, 1);
    say(&frames);
  }
  assert_int_equal(heard_messages(1, &cost), SLICES);
  assert_int_equal(cost, whole);
  assert_in_range(tst_mem_stats_of(servers).batches_sent - batches, 1, SLICES);
  assert_others_are_served();
  tst_frames_fini(&frames);
}

static void a_peer_that_grants_everything_and_reads_nothing_is_held_by_the_link(void **state) {
  (void)state;
  enum { STREAMS = 50, LEN = 8000 };
  tst_frames frames = {0};
  connect_peer(INT32_MAX);
  for (uint32_t id = 1; id <= STREAMS; id++) open_stream(&frames, id);
  say(&frames);
  tth_link *servers = tst_mem_other_end(a.peer.link);
  tst_mem_hold(servers, true);
  tst_mem_room(servers, 64 * KIB);
  for (int i = 0; i < STREAMS; i++) assert_true(send_until_refused(a.held[i], LEN) < 100);
  assert_true(grown_bytes() < STREAMS * (TTH_SEND_HIGH + LEN + STREAM_BYTES) + CONN_BYTES);
  tst_mem_hold(servers, false);
  tst_link_mem_pump(a.net);
  assert_others_are_served();
  tst_frames_fini(&frames);
}

/* ---- Half messages --------------------------------------------------------------------------- */

/* As much of a long message on each stream as there is credit for, as long as any is given. */
static void half_a_message_on_every_stream_fills_the_windows_and_the_budget_and_no_more(void **state) {
  (void)state;
  enum { STREAMS = 1000 };
  static size_t sent[STREAMS + 1], credit[STREAMS + 1];
  tst_frames frames = {0};
  uint8_t slice[TTH_SLICE] = {0, 0x40, 0, 0};
  size_t seen = 0, total = 0, bound = STREAMS * WINDOW + 64 * MIB;
  connect_peer(0);
  for (uint32_t id = 1; id <= STREAMS; id++) {
    open_stream(&frames, id);
    sent[id] = 0;
    credit[id] = WINDOW;
  }
  say(&frames);
  for (bool more = true; more;) {
    more = false;
    for (uint32_t id = 1; id <= STREAMS; id++) {
      /* the last slice never comes */
      while (credit[id] >= sizeof slice + TTH_FRAME_HEADER && sent[id] + 2 * sizeof slice < 4 * MIB) {
        tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_MORE | (sent[id] ? 0 : TTH_FLAG_FIRST), id, slice, sizeof slice);
        credit[id] -= sizeof slice + TTH_FRAME_HEADER;
        sent[id] += sizeof slice;
        total += sizeof slice;
        more = true;
      }
      if (frames.len > MIB) say(&frames);
    }
    say(&frames);
    tth_frame frame;
    for (; seen < a.peer.heard.len; seen += TTH_FRAME_HEADER + frame.length) {
      if (!tth_frame_get(a.peer.heard.bytes + seen, a.peer.heard.len - seen, &frame)) break;
      if (frame.type != TTH_WINDOW) continue;
      Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame.length, frame.payload);
      credit[frame.stream] += window->bytes;
      tether__v1__window__free_unpacked(window, NULL);
    }
  }
  assert_false(a.peer.closed);
  print_message("%d streams hold %zu MiB of half messages, in %zu MiB\n", STREAMS, total / MIB, grown_bytes() / MIB);
  assert_true(total <= bound);
  assert_true(total > bound / 2);
  /* a message's memory is at most twice what has come of it */
  assert_true(grown_bytes() < 2 * bound + STREAMS * STREAM_BYTES + CONN_BYTES + frames.room);
  assert_others_are_served();
  /* and it all comes back */
  for (uint32_t id = 1; id <= STREAMS; id++) tst_frames_cancel(&frames, id, TETHER_CAUSE_CALLER);
  say(&frames);
  finish_all();
  assert_true(grown_bytes() < CONN_BYTES + frames.room);
  tst_frames_fini(&frames);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
      CASE(half_a_message_on_every_stream_fills_the_windows_and_the_budget_and_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
