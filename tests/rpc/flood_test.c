/* Floods: a peer that sends without end, reading or not, makes a server or client hold a bounded amount, whatever it
 * floods with, and others are served meanwhile. In memory and on one thread; memory is what malloc has handed out. */
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/client.h"
#include "rpc/large.h"
#include "rpc/server.h"
#include "tests/support/ctx_test.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define FLOOD CTX_TEST_ROUNDS(100000)
#define PER_BATCH 1000
#define QUICK "/testing.v1.Echo/Quick"
#define STUBBORN "/flood/Stubborn"
#define DEAF "/flood/Deaf" /* streams in, and does not read */
#define STREAMS 10
#define LONGEST ((size_t)4 << 20)

/* What one connection may make the other side hold, whatever it sends short of whole messages. */
#define GROWTH_BYTES ((size_t)1024 * 1024)

static tst_mem_net *net;

struct victim {
  tether_server *server;
  struct echo_stats stats;
  tst_mem_peer peer, other; /* other: see assert_others_are_served */
  tst_latch go_on;          /* what a stubborn handler waits for */
  atomic_int stubborn;
};
static struct victim victim;

static tether_code be_stubborn(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                               ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)call, (void)request, (void)reply, (void)service, (void)data;
  atomic_fetch_add(&victim.stubborn, 1);
  return tst_latch_wait(&victim.go_on, RPC_TEST_BOUND_NS) ? TETHER_OK : TETHER_INTERNAL;
}

static const tether_method stubborn_method = {
    .path = STUBBORN, .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor};
static const tether_method deaf_method = {.path = DEAF,
                                          .request = &testing__v1__request__descriptor,
                                          .reply = &testing__v1__reply__descriptor,
                                          .flags = TETHER_METHOD_CLIENT_STREAMING};
static const tether_served_method stubborn[] = {{&stubborn_method, be_stubborn}, {&deaf_method, be_stubborn}};

static int setup(void **state) {
  (void)state;
  static const tether_server_options options = {.limits = {.max_streams = STREAMS, .connection_window_bytes = LONGEST}};
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  victim = (struct victim){0};
  tst_latch_init(&victim.go_on);
  bool open = tth_server_open_on(&tst_transport_mem, &options, &victim.server) == TETHER_OK &&
              echo_server_add(victim.server, &victim.stats) == TETHER_OK &&
              tether_server_add(victim.server, stubborn, 2, NULL, NULL) == TETHER_OK &&
              tether_server_listen(victim.server, "mem://s") == TETHER_OK &&
              tst_mem_peer_dial(&victim.peer, net, "mem://s");
  if (!open) return -1;
  tst_frames hello = {0};
  tst_frames_hello(&hello, 0);
  tst_mem_peer_say_frames(&victim.peer, &hello);
  tst_frames_fini(&hello);
  return 0;
}

/* Another connection is served. */
static void assert_others_are_served(void) {
  tst_mem_peer *other = &victim.other;
  tst_frames frames = {0};
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, NULL, 0);
  assert_true(tst_mem_peer_dial(other, net, "mem://s"));
  tst_mem_peer_say_frames(other, &frames);
  assert_int_equal(tst_mem_peer_code(other, 1), TETHER_OK);
  tst_mem_peer_fini(other);
  tst_frames_fini(&frames);
}

static int teardown(void **state) {
  (void)state;
  tst_mem_peer_fini(&victim.peer);
  tst_mem_peer_fini(&victim.other);
  tst_latch_open(&victim.go_on);
  tether_server_close(victim.server);
  tst_latch_fini(&victim.go_on);
  tst_mem_net_free(net);
  return 0;
}

static size_t allocated_bytes(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0; /* not this malloc's to say */
#else
  tth_large_clear(); /* what is kept for the next has a bound of its own */
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

/* What the peer sends is not read by anybody until the end of the test. */
static void stop_reading(void) {
  tst_mem_hold(tst_mem_other_end(victim.peer.link), true);
  tst_mem_room(tst_mem_other_end(victim.peer.link), 0);
}

typedef void (*add_fn)(tst_frames *frames, uint32_t i);

/* Sends FLOOD frames, or until cut off; the server's memory stays bounded all the while. Returns how many it took. */
static uint32_t flood(tst_mem_peer *peer, add_fn add, uint32_t first) {
  tst_frames frames = {0};
  uint32_t i = 0;
  size_t before = allocated_bytes();
  while (i < FLOOD && !peer->closed && !peer->stuck) {
    for (uint32_t n = 0; n < PER_BATCH; n++) add(&frames, first + i++);
    tst_mem_peer_say_frames(peer, &frames);
    peer->heard.len = 0;
    size_t now = allocated_bytes();
    if (now > before + GROWTH_BYTES + frames.room + peer->heard.room)
      fail_msg("%zu bytes more after %u frames", now - before, i);
  }
  tst_frames_fini(&frames);
  return i;
}

static void add_ping(tst_frames *frames, uint32_t i) {
  uint8_t stamps[32] = {(uint8_t)i};
  tst_frames_raw(frames, TTH_PING, 0, 0, stamps, sizeof stamps);
}

static bool is_thrown_out(void *data) {
  (void)data;
  (void)tst_link_mem_pump(net);
  return victim.peer.closed;
}

static void pings_are_answered_by_the_end_of_the_connection(void **state) {
  (void)state;
  assert_true(flood(&victim.peer, add_ping, 0) >= FLOOD);
  assert_false(victim.peer.closed); /* until it has read why, or a second has passed */
  assert_others_are_served();
  assert_true(tst_wait_until(is_thrown_out, NULL, TST_BOUND_NS));
}

static void pings_whose_answers_nobody_reads_end_alike(void **state) {
  (void)state;
  stop_reading();
  assert_true(flood(&victim.peer, add_ping, 0) >= FLOOD);
  assert_others_are_served();
  tst_mem_hold(tst_mem_other_end(victim.peer.link), false);
  assert_true(tst_wait_until(is_thrown_out, NULL, TST_BOUND_NS));
}

static void add_unknown_cancel(tst_frames *frames, uint32_t i) { tst_frames_cancel(frames, i, TETHER_CAUSE_CALLER); }

static void cancels_of_unknown_streams(void **state) {
  (void)state;
  assert_true(flood(&victim.peer, add_unknown_cancel, 1) >= FLOOD);
  assert_false(victim.peer.closed);
  assert_others_are_served();
}

static void add_cancel(tst_frames *frames, uint32_t i) {
  (void)i;
  tst_frames_cancel(frames, 1, TETHER_CAUSE_CALLER);
}

static void cancels_of_a_call_whose_handler_does_not_stop(void **state) {
  (void)state;
  tst_frames frames = {0};
  tst_frames_headers(&frames, 1, STUBBORN, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, NULL, 0);
  tst_mem_peer_say_frames(&victim.peer, &frames);
  assert_true(rpc_wait_for(&victim.stubborn, 1));
  assert_true(flood(&victim.peer, add_cancel, 0) >= FLOOD);
  assert_false(victim.peer.closed);
  assert_others_are_served();
  tst_frames_fini(&frames);
}

static void add_headers(tst_frames *frames, uint32_t i) { tst_frames_headers(frames, i, QUICK, TETHER_FOREVER); }

static void calls_beyond_the_limit_are_refused_as_long_as_the_answers_are_read(void **state) {
  (void)state;
  assert_true(flood(&victim.peer, add_headers, 1) >= FLOOD);
  assert_false(victim.peer.closed);
  assert_int_equal(tth_server_calls(victim.server), 10);
  tst_frames frames = {0};
  tst_frames_headers(&frames, UINT32_C(1) << 30, QUICK, TETHER_FOREVER);
  tst_mem_peer_say_frames(&victim.peer, &frames);
  assert_int_equal(tst_mem_peer_code(&victim.peer, UINT32_C(1) << 30), TETHER_UNAVAILABLE);
  tst_frames_fini(&frames);
  assert_others_are_served();
}

static void calls_beyond_the_limit_whose_answers_nobody_reads_cost_the_connection(void **state) {
  (void)state;
  stop_reading();
  tst_mem_room(victim.peer.link, 0);
  assert_true(flood(&victim.peer, add_headers, 1) < FLOOD);
  assert_int_equal(tth_server_calls(victim.server), 0);
  assert_others_are_served();
}

/* Rapid reset: a call and its cancel, again and again. Slots are freed by answers alone. */
static void add_call_and_cancel(tst_frames *frames, uint32_t i) {
  tst_frames_headers(frames, i, STUBBORN, TETHER_FOREVER);
  tst_frames_raw(frames, TTH_MESSAGE, TTH_FLAG_END, i, NULL, 0);
  tst_frames_cancel(frames, i, TETHER_CAUSE_CALLER);
}

/* The thread that has answered, which frees the slot, lets go of its call a little later. */
static bool is_within_the_limit(void *data) {
  (void)data;
  return tth_server_calls(victim.server) <= 10;
}

static void calls_cancelled_at_once_never_run_more_handlers_than_the_limit(void **state) {
  (void)state;
  assert_true(flood(&victim.peer, add_call_and_cancel, 1) >= FLOOD);
  assert_true(tst_wait_until(is_within_the_limit, NULL, TST_BOUND_NS));
  assert_true(atomic_load(&victim.stubborn) <= 10 || tst_latch_is_open(&victim.go_on));
  assert_others_are_served();
}

static void begin_message(uint32_t total) {
  uint8_t first[5];
  tst_frames frames = {0};
  tth_put32(first, total);
  first[4] = 0x12; /* the body, of whatever length */
  tst_frames_headers(&frames, 1, QUICK, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_FIRST | TTH_FLAG_MORE, 1, first, sizeof first);
  tst_mem_peer_say_frames(&victim.peer, &frames);
  tst_frames_fini(&frames);
}

static void add_crumb(tst_frames *frames, uint32_t i) {
  (void)i;
  tst_frames_raw(frames, TTH_MESSAGE, TTH_FLAG_MORE, 1, "x", 1);
}

static void add_nothing(tst_frames *frames, uint32_t i) {
  (void)i;
  tst_frames_raw(frames, TTH_MESSAGE, TTH_FLAG_MORE, 1, NULL, 0);
}

static void crumbs_of_a_message_that_never_ends(void **state) {
  (void)state;
  begin_message(4 << 20);
  assert_true(flood(&victim.peer, add_crumb, 0) >= FLOOD);
  assert_true(flood(&victim.peer, add_nothing, 0) >= FLOOD);
  assert_false(victim.peer.closed);
  assert_others_are_served();
}

static void a_message_that_is_announced_too_long_is_refused_at_once_and_the_rest_skipped(void **state) {
  (void)state;
  begin_message((4 << 20) + 1);
  assert_int_equal(tst_mem_peer_code(&victim.peer, 1), TETHER_RESOURCE_EXHAUSTED);
  assert_true(flood(&victim.peer, add_crumb, 0) >= FLOOD);
  assert_false(victim.peer.closed);
  assert_others_are_served();
}

/* What WINDOW frames that were heard add to each stream's credit; forgets them. */
static void hear_windows(uint64_t *credits) {
  tst_frames *heard = &victim.peer.heard;
  for (uint32_t id = 1; id <= STREAMS; id++) {
    tth_frame frame;
    size_t at = 0;
    while (tst_frames_find(heard->bytes, heard->len, &at, TTH_WINDOW, id, &frame)) {
      Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame.length, frame.payload);
      assert_non_null(window);
      credits[id] += window->bytes;
      tether__v1__window__free_unpacked(window, NULL);
    }
  }
  heard->len = 0;
}

/* A peer that keeps to the windows, begins a message on every stream, and finishes none. */
static void messages_begun_on_every_stream_fill_the_windows_and_the_budget_and_no_more(void **state) {
  (void)state;
  static uint8_t slice[4 + TTH_SLICE];
  uint64_t credits[STREAMS + 1], sent[STREAMS + 1] = {0}, all = 0;
  tst_frames frames = {0};
  tth_put32(slice, LONGEST);
  for (uint32_t id = 1; id <= STREAMS; id++) {
    credits[id] = TTH_WINDOW_LEAST;
    tst_frames_headers(&frames, id, QUICK, TETHER_FOREVER);
  }
  tst_mem_peer_say_frames(&victim.peer, &frames);
  size_t before = allocated_bytes();
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t id = 1; id <= STREAMS; id++) {
      bool first = sent[id] == 0;
      size_t len = TTH_SLICE + (first ? 4 : 0);
      if (credits[id] < TTH_FRAME_HEADER + len || sent[id] + 2 * TTH_SLICE > LONGEST) continue;
      uint8_t flags = first ? TTH_FLAG_FIRST | TTH_FLAG_MORE : TTH_FLAG_MORE;
      tst_frames_raw(&frames, TTH_MESSAGE, flags, id, slice + (first ? 0 : 4), len);
      tst_mem_peer_say_frames(&victim.peer, &frames);
      credits[id] -= TTH_FRAME_HEADER + len;
      sent[id] += TTH_SLICE;
      all += TTH_SLICE;
      moved = true;
    }
    hear_windows(credits);
    size_t now = allocated_bytes(); /* a message's memory doubles as it comes */
    if (now > before + LONGEST + STREAMS * 2 * TTH_WINDOW_LEAST + GROWTH_BYTES)
      fail_msg("%zu bytes more for %llu sent", now - before, (unsigned long long)all);
  }
  assert_false(victim.peer.closed);
  assert_in_range(all, LONGEST, LONGEST + STREAMS * TTH_WINDOW_LEAST);
  assert_others_are_served();
  tst_frames_fini(&frames);
}

static void add_empty_message(tst_frames *frames, uint32_t i) {
  (void)i;
  tst_frames_raw(frames, TTH_MESSAGE, 0, 1, NULL, 0);
}

static void messages_that_nobody_reads_cost_the_connection_when_the_window_is_full(void **state) {
  (void)state;
  tst_frames frames = {0};
  tst_frames_headers(&frames, 1, DEAF, TETHER_FOREVER);
  tst_mem_peer_say_frames(&victim.peer, &frames);
  assert_true(rpc_wait_for(&victim.stubborn, 1));
  assert_true(flood(&victim.peer, add_empty_message, 0) < FLOOD);
  assert_true(victim.peer.closed);
  assert_others_are_served();
  tst_frames_fini(&frames);
}

/* ---- At a client --------------------------------------------------------------------------- */

static void add_initial(tst_frames *frames, uint32_t i) {
  uint8_t unknown[256]; /* fields nobody knows unfold the most */
  (void)i;
  for (size_t at = 0; at < sizeof unknown; at += 2) memcpy(unknown + at, "\x78\x01", 2);
  tst_frames_raw(frames, TTH_HEADERS, 0, 1, unknown, sizeof unknown);
}

static void add_goaway(tst_frames *frames, uint32_t i) {
  (void)i;
  tst_frames_raw(frames, TTH_GOAWAY, 0, 0, "\x08\x01", 2);
}

static void add_unknown_trailers(tst_frames *frames, uint32_t i) { tst_frames_trailers(frames, i, TETHER_OK); }

static tether_code flood_client(add_fn add, uint32_t first) {
  tst_mem_peer peer;
  tether_client *client;
  tst_frames frames = {0};
  assert_true(tst_mem_peer_listen(&peer, net, "mem://c"));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://c", NULL, &client), TETHER_OK);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  tst_link_mem_pump(net);
  tst_frames_hello(&frames, 8);
  tst_mem_peer_say_frames(&peer, &frames);
  assert_true(flood(&peer, add, first) >= FLOOD);
  assert_false(peer.closed);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, NULL, 0);
  tst_frames_trailers(&frames, 1, TETHER_OK);
  tst_mem_peer_say_frames(&peer, &frames);
  tether_code code = tether_call_wait(call);
  tether_call_unref(call);
  tst_mem_peer_fini(&peer);
  tether_client_close(client);
  tst_frames_fini(&frames);
  return code;
}

static void a_client_under_floods_keeps_its_call_or_ends_it(void **state) {
  (void)state;
  assert_int_equal(flood_client(add_ping, 0), TETHER_OK);
  assert_int_equal(flood_client(add_unknown_trailers, 2), TETHER_OK);
  assert_int_equal(flood_client(add_goaway, 0), TETHER_OK);
  assert_int_equal(flood_client(add_initial, 0), TETHER_INTERNAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(pings_are_answered_by_the_end_of_the_connection),
      CASE(pings_whose_answers_nobody_reads_end_alike),
      CASE(cancels_of_unknown_streams),
      CASE(cancels_of_a_call_whose_handler_does_not_stop),
      CASE(calls_beyond_the_limit_are_refused_as_long_as_the_answers_are_read),
      CASE(calls_beyond_the_limit_whose_answers_nobody_reads_cost_the_connection),
      CASE(calls_cancelled_at_once_never_run_more_handlers_than_the_limit),
      CASE(crumbs_of_a_message_that_never_ends),
      CASE(a_message_that_is_announced_too_long_is_refused_at_once_and_the_rest_skipped),
      CASE(messages_begun_on_every_stream_fill_the_windows_and_the_budget_and_no_more),
      CASE(messages_that_nobody_reads_cost_the_connection_when_the_window_is_full),
      CASE(a_client_under_floods_keeps_its_call_or_ends_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
