/* Servers that abuse windows towards a client: they take no notice of its windows, overflow its credit, grant nothing,
 * never end. The call ends or can be cancelled, memory stays bounded. In memory and on one thread. */
#include <malloc.h>

#include "rpc/client.h"
#include "tests/support/ctx_test.h"
#include "tests/support/mem_peer.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"

#define MIB ((size_t)1024 * 1024)
#define WINDOW TTH_WINDOW_LEAST
#define LEN 8000

static struct attack {
  tst_mem_net *net;
  tst_mem_peer peer;
  tether_client *client;
  tst_stderr caught;
} a;

/* ---- The client, and its server by hand ------------------------------------------------------ */

static int setup(void **state) {
  (void)state;
  memset(&a, 0, sizeof a);
  a.net = tst_mem_net_new(true);
  tst_mem_net_use(a.net);
  if (!tst_stderr_catch(&a.caught) || !tst_mem_peer_listen(&a.peer, a.net, "mem://c") ||
      tth_client_open_on(&tst_transport_mem, "mem://c", NULL, &a.client) != TETHER_OK)
    return -1;
  tst_frames frames = {0};
  tst_frames_hello(&frames, 1024);
  tst_link_mem_pump(a.net);
  tst_mem_peer_say_frames(&a.peer, &frames);
  tst_frames_fini(&frames);
  return tether_client_connectivity(a.client) == TETHER_READY ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  tst_mem_peer_fini(&a.peer);
  tether_client_close(a.client);
  tst_mem_net_free(a.net);
  tst_stderr_release(&a.caught);
  return 0;
}

static tether_call *start(void) {
  tether_call *call = testing_v1_echo_client_inline_chat_start(a.client, tether_ctx_background(), NULL, NULL, NULL);
  tst_link_mem_pump(a.net);
  return call;
}

static size_t allocated_bytes(void) {
#if defined(CTX_TEST_SANITIZED)
  return 0; /* not this malloc's to say */
#else
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

static void assert_lost(tether_call *call, const char *why) {
  const Testing__V1__Reply *reply = NULL;
  bool done;
  assert_true(a.peer.closed);
  assert_int_equal(tst_stderr_lines(&a.caught, why), 1);
  assert_int_equal(testing_v1_echo_inline_chat_try_recv_reply(call, &reply, &done), TETHER_UNAVAILABLE);
  assert_true(done);
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_PEER_LOST);
}

static void add_window(tst_frames *frames, uint32_t id, uint32_t bytes) {
  Tether__V1__Window window = TETHER__V1__WINDOW__INIT;
  window.bytes = bytes;
  tst_frames_add(frames, TTH_WINDOW, 0, id, &window.base);
}

static void add_reply(tst_frames *frames, uint32_t id, size_t len) {
  static uint8_t body[LEN];
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  reply.body = (ProtobufCBinaryData){.data = body, .len = len};
  tst_frames_add(frames, TTH_MESSAGE, 0, id, &reply.base);
}

static unsigned send_until_refused(tether_call *call) {
  static uint8_t body[LEN];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = LEN};
  bool done = true;
  unsigned count = 0;
  for (;; count++) {
    assert_int_equal(testing_v1_echo_inline_chat_try_send_request(call, &request, &done), TETHER_OK);
    if (!done) break;
    tst_link_mem_pump(a.net);
  }
  return count;
}

static size_t heard_cost(uint32_t id) {
  size_t at = 0, cost = 0;
  tth_frame frame;
  while (tst_frames_find(a.peer.heard.bytes, a.peer.heard.len, &at, TTH_MESSAGE, id, &frame))
    cost += TTH_FRAME_HEADER + frame.length;
  return cost;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_server_that_takes_no_notice_of_the_window_is_cut_off_and_the_calls_are_lost(void **state) {
  (void)state;
  tst_frames frames = {0};
  TETHER_SCOPED_CALL tether_call *flooded = start();
  TETHER_SCOPED_CALL tether_call *other = start();
  size_t before = allocated_bytes(), said = 0;
  for (; said < 100 * MIB && !a.peer.closed; said += 10 * LEN) {
    for (int i = 0; i < 10; i++) add_reply(&frames, 1, LEN);
    tst_mem_peer_say_frames(&a.peer, &frames);
  }
  assert_true(said <= WINDOW + 20 * LEN);
  assert_true(allocated_bytes() < before + WINDOW + MIB);
  rpc_assert_code(flooded, TETHER_UNAVAILABLE);
  rpc_assert_code(other, TETHER_UNAVAILABLE);
  assert_int_equal(tst_stderr_lines(&a.caught, "more than the window allows"), 1);
  tst_frames_fini(&frames);
}

/* What came before it counted is dropped: the call was cut. */
static void credit_that_overflows_costs_the_connection(void **state) {
  (void)state;
  tst_frames frames = {0};
  TETHER_SCOPED_CALL tether_call *call = start();
  add_reply(&frames, 1, 10);
  add_window(&frames, 1, INT32_MAX - (uint32_t)WINDOW + 1);
  tst_mem_peer_say_frames(&a.peer, &frames);
  assert_lost(call, "a window beyond 2^31");
  tst_frames_fini(&frames);
}

static void replies_to_calls_that_are_over_are_skipped_however_many(void **state) {
  (void)state;
  tst_frames frames = {0};
  TETHER_SCOPED_CALL tether_call *call = start();
  tether_call_cancel(call, NULL);
  tst_link_mem_pump(a.net);
  size_t before = allocated_bytes();
  for (int round = 0; round < 500; round++) {
    for (int i = 0; i < 20; i++) {
      add_reply(&frames, 1, LEN);
      add_window(&frames, 1, 1000);
      add_reply(&frames, 7, LEN); /* never opened */
      add_window(&frames, 7, INT32_MAX);
    }
    tst_mem_peer_say_frames(&a.peer, &frames);
    assert_false(a.peer.closed);
  }
  assert_true(allocated_bytes() < before + frames.room + MIB);
  tst_frames_trailers(&frames, 1, TETHER_CANCELLED);
  tst_mem_peer_say_frames(&a.peer, &frames);
  tth_session *session = tth_conn_lock(a.client->subchannels[0]->conn);
  size_t streams = session ? tth_session_stream_count(session) : SIZE_MAX;
  tth_conn_unlock(a.client->subchannels[0]->conn);
  assert_int_equal(streams, 0);
  tst_frames_fini(&frames);
}

static void a_server_that_grants_nothing_gets_one_window_and_a_cancel_passes_what_is_queued(void **state) {
  (void)state;
  enum { CALLS = 50 };
  tether_call *calls[CALLS];
  size_t before = allocated_bytes();
  for (uint32_t i = 0; i < CALLS; i++) {
    calls[i] = start();
    assert_true(send_until_refused(calls[i]) <= (WINDOW + TTH_SEND_HIGH) / LEN + 1);
    assert_true(heard_cost(i + 1) <= WINDOW);
  }
  /* What has left is kept too, in case the server turns out not to have accepted the call (rpc/session_keep.c). */
  size_t each = WINDOW + TTH_SEND_HIGH + LEN + 8 * 1024;
  assert_true(allocated_bytes() < before + CALLS * each + a.peer.heard.room + MIB);
  for (int i = 0; i < CALLS; i++) tether_call_cancel(calls[i], NULL);
  tst_link_mem_pump(a.net);
  for (uint32_t i = 0; i < CALLS; i++) {
    size_t at = 0;
    tth_frame frame;
    assert_true(tst_frames_find(a.peer.heard.bytes, a.peer.heard.len, &at, TTH_CANCEL, i + 1, &frame));
    assert_false(tst_frames_find(a.peer.heard.bytes, a.peer.heard.len, &at, TTH_MESSAGE, i + 1, &frame));
    rpc_assert_code(calls[i], TETHER_CANCELLED);
    tether_call_unref(calls[i]);
  }
  assert_true(allocated_bytes() < before + a.peer.heard.room + MIB);
}

/* TRAILERS in the middle of everything: what is queued for that stream is dropped, others go on. */
static void a_status_while_the_sender_is_blocked_frees_what_is_queued(void **state) {
  (void)state;
  tst_frames frames = {0};
  TETHER_SCOPED_CALL tether_call *call = start();
  TETHER_SCOPED_CALL tether_call *other = start();
  (void)send_until_refused(call);
  tst_frames_trailers(&frames, 1, TETHER_ABORTED);
  add_window(&frames, 1, 1000000);
  add_reply(&frames, 2, 10);
  tst_mem_peer_say_frames(&a.peer, &frames);
  rpc_assert_code(call, TETHER_ABORTED);
  assert_true(heard_cost(1) <= WINDOW);
  const Testing__V1__Reply *reply = NULL;
  bool done = false;
  assert_int_equal(testing_v1_echo_inline_chat_try_recv_reply(other, &reply, &done), TETHER_OK);
  assert_non_null(reply);
  tether_call_cancel(other, NULL);
  tst_frames_fini(&frames);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_server_that_takes_no_notice_of_the_window_is_cut_off_and_the_calls_are_lost),
      CASE(credit_that_overflows_costs_the_connection),
      CASE(replies_to_calls_that_are_over_are_skipped_however_many),
      CASE(a_server_that_grants_nothing_gets_one_window_and_a_cancel_passes_what_is_queued),
      CASE(a_status_while_the_sender_is_blocked_frees_what_is_queued),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
