/* What calls hold whose requests do not come, or come all at once: slots end with the deadline, memory has a bound. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/server.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define MIB ((size_t)1 << 20)

static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

/* ---- Headers alone ------------------------------------------------------------------------- */

static struct bare {
  tst_mem_net *net;
  tether_server *server;
  struct echo_stats stats;
  tst_mem_peer peer;
} bare;

static int setup_bare(void **state) {
  (void)state;
  memset(&bare, 0, sizeof bare);
  bare.net = tst_mem_net_new(true);
  tst_mem_net_use(bare.net);
  bool open = tth_server_open_on(&tst_transport_mem, &(tether_server_options){.limits = {.max_streams = 4}},
                                 &bare.server) == TETHER_OK &&
              echo_server_add(bare.server, &bare.stats) == TETHER_OK &&
              tether_server_listen(bare.server, "mem://s") == TETHER_OK &&
              tst_mem_peer_dial(&bare.peer, bare.net, "mem://s");
  if (!open) return -1;
  tst_frames hello = {0};
  tst_frames_hello(&hello, 0);
  tst_mem_peer_say_frames(&bare.peer, &hello);
  tst_frames_fini(&hello);
  return 0;
}

static int teardown_bare(void **state) {
  (void)state;
  tst_mem_peer_fini(&bare.peer);
  tether_server_close(bare.server);
  tst_mem_net_free(bare.net);
  return 0;
}

static void say_headers(uint32_t stream, const char *path, int64_t timeout_ns) {
  tst_frames frames = {0};
  tst_frames_headers(&frames, stream, path, timeout_ns);
  tst_mem_peer_say_frames(&bare.peer, &frames);
  tst_frames_fini(&frames);
}

static void say_message(uint32_t stream, uint8_t flags) {
  tst_frames frames = {0};
  uint8_t length[4] = {0, 0, 0, 100};
  bool slice = flags & TTH_FLAG_MORE;
  tst_frames_raw(&frames, TTH_MESSAGE, flags, stream, slice ? length : NULL, slice ? sizeof length : 0);
  tst_mem_peer_say_frames(&bare.peer, &frames);
  tst_frames_fini(&frames);
}

static uint32_t waited_for;

static bool is_answered(void *data) {
  (void)data;
  (void)tst_link_mem_pump(bare.net);
  return tst_mem_peer_code(&bare.peer, waited_for) >= 0;
}

static void assert_answered(uint32_t stream, int code) {
  waited_for = stream;
  assert_true(tst_wait_until(is_answered, NULL, TST_BOUND_NS));
  assert_int_equal(tst_mem_peer_code(&bare.peer, stream), code);
}

static bool has_no_calls(void *data) {
  (void)data;
  return tth_server_calls(bare.server) == 0;
}

/* The thread that has answered lets go of its call after the answer. */
static void assert_no_calls(void) { assert_true(tst_wait_until(has_no_calls, NULL, TST_BOUND_NS)); }

static void headers_without_a_message_hold_their_slot_no_longer_than_their_deadline(void **state) {
  (void)state;
  for (uint32_t round = 0; round < 5; round++) {
    uint32_t first = 1 + 4 * round;
    say_headers(first, "/testing.v1.Echo/Pooled", 30 * TETHER_MS);
    say_headers(first + 1, "/testing.v1.Echo/Quick", 30 * TETHER_MS);
    say_headers(first + 2, "/testing.v1.Echo/Download", 30 * TETHER_MS);
    say_headers(first + 3, "/testing.v1.Echo/Upload", 30 * TETHER_MS); /* its handler waits */
    for (uint32_t i = 0; i < 4; i++) assert_answered(first + i, TETHER_DEADLINE_EXCEEDED);
  }
  assert_no_calls();
}

static void nor_do_messages_that_never_end(void **state) {
  (void)state;
  say_headers(1, "/testing.v1.Echo/Pooled", 30 * TETHER_MS);
  say_message(1, TTH_FLAG_FIRST | TTH_FLAG_MORE);
  assert_answered(1, TETHER_DEADLINE_EXCEEDED);
  assert_no_calls();
}

static void a_request_that_comes_later_is_served(void **state) {
  (void)state;
  say_headers(1, "/testing.v1.Echo/Pooled", RPC_TEST_BOUND_NS);
  say_headers(2, "/testing.v1.Echo/Download", RPC_TEST_BOUND_NS);
  assert_int_equal(tth_server_calls(bare.server), 2);
  say_message(1, TTH_FLAG_END);
  say_message(2, TTH_FLAG_END);
  assert_answered(1, TETHER_OK);
  assert_answered(2, TETHER_OK);
}

/* The request comes as the time ends, in every order. */
static void a_request_that_comes_with_the_deadline_ends_its_call_once(void **state) {
  (void)state;
  for (uint32_t i = 1; i <= 300; i++) {
    int64_t at_ns = tst_now_ns() + (int64_t)(1 + i % 3) * TETHER_MS / 2;
    say_headers(i, i % 2 ? "/testing.v1.Echo/Pooled" : "/testing.v1.Echo/Download", at_ns - tst_now_ns());
    while (tst_now_ns() < at_ns) continue;
    say_message(i, TTH_FLAG_END);
    waited_for = i;
    assert_true(tst_wait_until(is_answered, NULL, TST_BOUND_NS));
    int code = tst_mem_peer_code(&bare.peer, i);
    assert_true(code == TETHER_OK || code == TETHER_DEADLINE_EXCEEDED);
    bare.peer.heard.len = 0;
  }
  assert_no_calls();
}

static void a_cancel_or_a_lost_connection_ends_a_call_whose_request_has_not_come(void **state) {
  (void)state;
  say_headers(1, "/testing.v1.Echo/Pooled", RPC_TEST_BOUND_NS);
  say_headers(2, "/testing.v1.Echo/Pooled", RPC_TEST_BOUND_NS);
  tst_frames frames = {0};
  tst_frames_cancel(&frames, 1, TETHER_CAUSE_CALLER);
  tst_mem_peer_say_frames(&bare.peer, &frames);
  tst_frames_fini(&frames);
  assert_answered(1, TETHER_CANCELLED);
  tst_mem_break(bare.peer.link);
  (void)tst_link_mem_pump(bare.net);
  assert_no_calls();
}

/* ---- Requests held ------------------------------------------------------------------------- */

enum { MANY = 12, REFUSED = 8 };

static bool has_refused(void *data) {
  tether_client_stats stats;
  tether_client_get_stats(data, &stats);
  return stats.ended[TETHER_RESOURCE_EXHAUSTED] == REFUSED;
}

static void a_connections_requests_hold_no_more_than_their_bound(void **state) {
  (void)state;
  struct rpc_fixture *f;
  const tether_limits small = {.max_message_bytes = MIB, .max_unpacked_bytes = 2 * MIB, .connection_window_bytes = MIB};
  assert_int_equal(rpc_fixture_open((void **)&f, &(tether_server_options){.limits = small}, NULL), 0);
  static uint8_t body[MIB - 1024];
  Testing__V1__Request large = TESTING__V1__REQUEST__INIT;
  large.body = (ProtobufCBinaryData){.data = body, .len = sizeof body};
  tether_call *calls[MANY];
  for (int i = 0; i < MANY; i++)
    calls[i] = testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), &large, NULL, NULL, NULL);
  /* 4 MiB hold four of these; the rest is refused. */
  assert_true(tst_wait_until(has_refused, f->client, RPC_TEST_BOUND_NS));
  assert_true(rpc_wait_for(&f->stats.hanging, MANY - REFUSED));
  TETHER_SCOPED_CALL tether_call *small_one =
      testing_v1_echo_client_quick(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(small_one, TETHER_OK);
  uint32_t running;
  for (int i = 0; i < MANY; i++)
    assert_int_equal(tether_call_cancel_and_wait(calls[i], NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  for (int i = 0; i < 50; i++) { /* what is given back can be had again */
    TETHER_SCOPED_CALL tether_call *again =
        testing_v1_echo_client_pooled(f->client, tether_ctx_background(), &large, NULL);
    rpc_assert_code(again, TETHER_OK);
  }
  for (int i = 0; i < MANY; i++) tether_call_unref(calls[i]);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

#define BARE(name) cmocka_unit_test_setup_teardown(name, setup_bare, teardown_bare)

int main(void) {
  const struct CMUnitTest tests[] = {
      BARE(headers_without_a_message_hold_their_slot_no_longer_than_their_deadline),
      BARE(nor_do_messages_that_never_end),
      BARE(a_request_that_comes_later_is_served),
      BARE(a_request_that_comes_with_the_deadline_ends_its_call_once),
      BARE(a_cancel_or_a_lost_connection_ends_a_call_whose_request_has_not_come),
      cmocka_unit_test(a_connections_requests_hold_no_more_than_their_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
