/* Peers that fill a server's memory as far as it lets them: long messages on every stream, whole or not, and everything
 * granted but nothing read. The bounds of docs/protocol.md hold, others are served, and it all comes back. */
#include "tests/support/stream_attack.h"

#include <stdio.h>

#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"

/* ---- Long messages everywhere ---------------------------------------------------------------- */

#define STREAMS 1000
#define LONG (4 * MIB)

/* What the peer may send and has sent on its streams. */
static struct {
  size_t credit[STREAMS + 1], sent[STREAMS + 1], total;
  size_t seen; /* of what it has heard */
} flow;

/* Takes notice of the WINDOWs heard. */
static void read_windows(void) {
  tth_frame frame;
  for (; tth_frame_get(attack.peer.heard.bytes + flow.seen, attack.peer.heard.len - flow.seen, &frame);
       flow.seen += TTH_FRAME_HEADER + frame.length) {
    if (frame.type != TTH_WINDOW) continue;
    Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame.length, frame.payload);
    flow.credit[frame.stream] += window->bytes;
    tether__v1__window__free_unpacked(window, NULL);
  }
}

/* The next slice of the one long message on this stream, if there is credit: false if not, or if it was the last. The
 * last has END, or never comes. */
static bool add_slice(tst_frames *frames, uint32_t id, bool whole) {
  static const uint8_t slice[TTH_SLICE] = {0, LONG >> 16, 0, 0};
  size_t end = LONG + 4, left = end - flow.sent[id], len = left < sizeof slice ? left : sizeof slice;
  bool last = len == left;
  if (len == 0 || (last && !whole) || flow.credit[id] < len + TTH_FRAME_HEADER) return false;
  int flags = (last ? TTH_FLAG_END : TTH_FLAG_MORE) | (flow.sent[id] ? 0 : TTH_FLAG_FIRST);
  tst_frames_raw(frames, TTH_MESSAGE, (uint8_t)flags, id, slice, len);
  flow.credit[id] -= len + TTH_FRAME_HEADER;
  flow.sent[id] += len;
  flow.total += len;
  return true;
}

/* As much of a long message on each stream as there is credit for, as long as any is given. */
static void fill_all_streams(tst_frames *frames, bool whole) {
  memset(&flow, 0, sizeof flow);
  for (uint32_t id = 1; id <= STREAMS; id++) {
    attack_open_stream(frames, id);
    flow.credit[id] = WINDOW;
  }
  for (bool more = true; more; read_windows()) {
    more = false;
    for (uint32_t id = 1; id <= STREAMS; id++) {
      while (add_slice(frames, id, whole)) more = true;
      if (frames->len > MIB) attack_say(frames);
    }
    attack_say(frames);
  }
}

static void long_messages_on_every_stream(bool whole) {
  tst_frames frames = {0};
  size_t bound = STREAMS * WINDOW + 64 * MIB;
  attack_connect(0);
  fill_all_streams(&frames, whole);
  assert_false(attack.peer.closed);
  print_message("%d streams hold %zu MiB that nobody reads, in %zu MiB\n", STREAMS, flow.total / MIB,
                attack_grown_bytes() / MIB);
  assert_true(flow.total <= bound);
  assert_true(flow.total > bound / 2);
  /* a message's memory is at most twice what has come of it */
  assert_true(attack_grown_bytes() < 2 * bound + STREAMS * ATTACK_STREAM_BYTES + ATTACK_CONN_BYTES + frames.room);
  attack_assert_others_are_served();
  /* and it all comes back */
  for (uint32_t id = 1; id <= STREAMS; id++) tst_frames_cancel(&frames, id, TETHER_CAUSE_CALLER);
  attack_say(&frames);
  attack_finish_all();
  assert_true(attack_grown_bytes() < ATTACK_CONN_BYTES + frames.room);
  tst_frames_fini(&frames);
}

static void half_a_message_on_every_stream_fills_the_windows_and_the_budget_and_no_more(void **state) {
  (void)state;
  long_messages_on_every_stream(false);
}

static void a_whole_last_message_on_every_stream_does_not_either(void **state) {
  (void)state;
  long_messages_on_every_stream(true);
}

/* ---- Nothing read, over a real socket -------------------------------------------------------- */

static int open_fixture(void **state) { return rpc_fixture_open(state, NULL, NULL); }

/* One batch, as ipc frames it. */
static bool write_batch(int fd, const tst_frames *frames) {
  uint8_t head[9] = {1};
  tth_put32(head + 5, (uint32_t)frames->len);
  return raw_write(fd, head, sizeof head) && raw_write(fd, frames->bytes, frames->len);
}

static void add_download(tst_frames *frames, uint32_t id) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.width = UINT32_MAX;
  request.reply_bytes = 16000;
  tst_frames_headers(frames, id, "/testing.v1.Echo/Download", TETHER_FOREVER);
  tst_frames_add(frames, TTH_MESSAGE, TTH_FLAG_END, id, &request.base);
}

static void a_socket_that_grants_everything_and_is_not_read_holds_what_is_queued_and_no_more(void **state) {
  enum { DOWNLOADS = 20 };
  struct rpc_fixture *f = *state;
  tst_frames frames = {0};
  int fd = raw_connect_ipc(f->url + strlen("ipc://"));
  assert_true(fd >= 0 && raw_greet(fd));
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_stream_window_bytes = true;
  hello.stream_window_bytes = INT32_MAX;
  tst_frames_add(&frames, TTH_HELLO, 0, 0, &hello.base);
  for (uint32_t id = 1; id <= DOWNLOADS; id++) add_download(&frames, id);
  size_t before = attack_allocated_bytes();
  assert_true(write_batch(fd, &frames));
  assert_true(rpc_wait_for(&f->stats.started, DOWNLOADS));
  size_t bound = before + DOWNLOADS * (TTH_SEND_HIGH + 3 * 16000 + ATTACK_STREAM_BYTES) + ATTACK_CONN_BYTES;
  for (int i = 0; i < 200; i++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.name = (char *)"other";
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    assert_true(attack_allocated_bytes() < bound || attack_allocated_bytes() == 0);
    ctx_pause();
  }
  close(fd);
  assert_true(rpc_wait_for(&f->stats.ended[TETHER_CAUSE_PEER_LOST], DOWNLOADS));
  tst_frames_fini(&frames);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, attack_setup, attack_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(half_a_message_on_every_stream_fills_the_windows_and_the_budget_and_no_more),
      CASE(a_whole_last_message_on_every_stream_does_not_either),
      cmocka_unit_test_setup_teardown(a_socket_that_grants_everything_and_is_not_read_holds_what_is_queued_and_no_more,
                                      open_fixture, rpc_fixture_close),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
