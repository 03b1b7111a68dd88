#include "tests/support/stream_attack.h"

#include <malloc.h>
#include <string.h>

#include "rpc/large.h"
#include "rpc/server.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"

#define HOLD "/testing.v1.Echo/InlineChat"
#define QUICK "/testing.v1.Echo/Quick"

struct attack attack;

/* Keeps the call, whose messages nobody reads until the test does. */
static tether_code hold(const tether_ctx *ctx, tether_call *call, void *data) {
  (void)ctx, (void)data;
  if (attack.count == (int)(sizeof attack.held / sizeof *attack.held)) return TETHER_RESOURCE_EXHAUSTED;
  attack.held[attack.count++] = call;
  tether_call_defer(call);
  return TETHER_OK;
}

static tether_code quick(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                         Testing__V1__Reply *reply, void *data) {
  (void)ctx, (void)data;
  reply->text = tether_call_strdup(call, request->name);
  return TETHER_OK;
}

size_t attack_allocated_bytes(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0; /* not this malloc's to say */
#else
  tth_large_clear(); /* what is kept for the next has a bound of its own */
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

size_t attack_grown_bytes(void) {
  size_t now = attack_allocated_bytes(), own = attack.peer.heard.room;
  return now > attack.before + own ? now - attack.before - own : 0;
}

static void attack_hello(tst_frames *frames, uint32_t window) {
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_max_streams = hello.has_stream_window_bytes = true;
  hello.max_streams = 1024;
  hello.stream_window_bytes = window;
  tst_frames_add(frames, TTH_HELLO, 0, 0, &hello.base);
}

void attack_connect(uint32_t window) {
  tst_frames frames = {0};
  attack_hello(&frames, window);
  assert_true(tst_mem_peer_dial(&attack.peer, attack.net, "mem://s"));
  tst_mem_peer_say_frames(&attack.peer, &frames);
  tst_frames_fini(&frames);
  attack.before = attack_allocated_bytes();
}

int attack_setup(void **state) {
  static const testing_v1_echo_service service = {.inline_chat = hold, .quick = quick};
  (void)state;
  memset(&attack, 0, sizeof attack);
  attack.net = tst_mem_net_new(true);
  tst_mem_net_use(attack.net);
  return tst_stderr_catch(&attack.caught) &&
                 tth_server_open_on(&tst_transport_mem, NULL, &attack.server) == TETHER_OK &&
                 testing_v1_echo_register(attack.server, &service, NULL) == TETHER_OK &&
                 tether_server_listen(attack.server, "mem://s") == TETHER_OK
             ? 0
             : -1;
}

void attack_finish_all(void) {
  for (int i = 0; i < attack.count; i++) tether_call_finish(attack.held[i], TETHER_OK);
  attack.count = 0;
  tst_link_mem_pump(attack.net);
}

int attack_teardown(void **state) {
  (void)state;
  tst_mem_peer_fini(&attack.peer);
  tst_mem_peer_fini(&attack.other);
  attack_finish_all();
  tether_server_close(attack.server);
  tst_mem_net_free(attack.net);
  tst_stderr_release(&attack.caught);
  return 0;
}

/* ---- What the peer says ---------------------------------------------------------------------- */

void attack_open_stream(tst_frames *frames, uint32_t id) { tst_frames_headers(frames, id, HOLD, TETHER_FOREVER); }

void attack_add_window(tst_frames *frames, uint32_t id, uint32_t bytes) {
  Tether__V1__Window window = TETHER__V1__WINDOW__INIT;
  window.bytes = bytes;
  tst_frames_add(frames, TTH_WINDOW, 0, id, &window.base);
}

void attack_say(tst_frames *frames) {
  for (size_t at = 0, begin = 0; at < frames->len;) { /* in batches that a link takes */
    size_t next = at + TTH_FRAME_HEADER + tth_get32(frames->bytes + at);
    if (next - begin > TTH_BATCH_MAX / 2 || next == frames->len) {
      tst_mem_peer_say(&attack.peer, frames->bytes + begin, next - begin);
      begin = next;
    }
    at = next;
  }
  frames->len = 0;
}

void attack_assert_others_are_served(void) {
  tst_mem_peer *other = &attack.other;
  tst_frames frames = {0};
  attack_hello(&frames, 0);
  tst_frames_headers(&frames, 1, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, NULL, 0);
  assert_true(tst_mem_peer_dial(other, attack.net, "mem://s"));
  tst_mem_peer_say_frames(other, &frames);
  assert_int_equal(tst_mem_peer_code(other, 1), TETHER_OK);
  tst_mem_peer_fini(other);
  if (!attack.peer.closed) {
    enum { LATE = 1 << 30 };
    tst_frames_headers(&frames, LATE, QUICK, TETHER_FOREVER);
    tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, LATE, NULL, 0);
    tst_mem_peer_say_frames(&attack.peer, &frames);
    assert_int_equal(tst_mem_peer_code(&attack.peer, LATE), TETHER_OK);
  }
  tst_frames_fini(&frames);
}
