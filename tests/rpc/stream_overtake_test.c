/* What passes 100 MB of queued data: a CANCEL leaves with the first batch after it, whatever waits, and so do WINDOW
 * and the first frames of new streams and calls. The order of frames alone is looked at, in memory and on one thread.
 */
#include "rpc/client.h"
#include "tests/support/ctx_test.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"

#define UPLOADS 25
#define LONG ((size_t)4 * 1024 * 1024 - 64)

static struct overtake {
  tst_mem_net *net;
  tst_mem_peer peer;
  tether_client *client;
  tether_call *first; /* stream 1 */
  tether_call *uploads[UPLOADS];
} o;

static int setup(void **state) {
  (void)state;
  memset(&o, 0, sizeof o);
  o.net = tst_mem_net_new(true);
  tst_mem_net_use(o.net);
  if (!tst_mem_peer_listen(&o.peer, o.net, "mem://c") ||
      tth_client_open_on(&tst_transport_mem, "mem://c", NULL, &o.client) != TETHER_OK)
    return -1;
  tst_link_mem_pump(o.net);
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  tst_frames frames = {0};
  hello.version = 1;
  hello.has_max_streams = hello.has_stream_window_bytes = true;
  hello.max_streams = 1024;
  hello.stream_window_bytes = INT32_MAX; /* no window holds anything back */
  tst_frames_add(&frames, TTH_HELLO, 0, 0, &hello.base);
  tst_mem_peer_say_frames(&o.peer, &frames);
  tst_frames_fini(&frames);
  o.first = testing_v1_echo_client_inline_chat_start(o.client, tether_ctx_background(), NULL, NULL, NULL);
  tst_link_mem_pump(o.net);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  tst_mem_peer_fini(&o.peer);
  for (int i = 0; i < UPLOADS; i++) tether_call_unref(o.uploads[i]);
  tether_call_unref(o.first);
  tether_client_close(o.client);
  tst_mem_net_free(o.net);
  return 0;
}

/* From now on one batch at most is on its way, and stays there. */
static void stop_net(void) {
  tth_link *clients = tst_mem_other_end(o.peer.link);
  tst_mem_room(clients, 0);
  tst_mem_hold(clients, true);
}

/* Queues 100 MB: unary requests, or one long message on each of as many streams. */
static void queue_uploads(bool streams) {
  uint8_t *body = test_calloc(1, LONG);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = LONG};
  for (int i = 0; i < UPLOADS; i++) {
    bool done = true;
    if (streams) {
      o.uploads[i] = testing_v1_echo_client_inline_chat_start(o.client, tether_ctx_background(), NULL, NULL, NULL);
      assert_int_equal(testing_v1_echo_inline_chat_try_send_request(o.uploads[i], &request, &done), TETHER_OK);
      assert_true(done);
    } else {
      o.uploads[i] = testing_v1_echo_client_quick_start(o.client, tether_ctx_background(), &request, NULL, NULL, NULL);
    }
  }
  test_free(body);
}

static size_t queued(void) {
  tth_session *session = tth_conn_lock(o.client->subchannels[0]->conn);
  size_t bytes = session ? tth_session_pending(session) : 0;
  tth_conn_unlock(o.client->subchannels[0]->conn);
  return bytes;
}

/* Lets the batch arrive that is on its way, and the next one leave and arrive. Returns where that begins in what the
 * peer has heard. */
static size_t next_batch(void) {
  tth_link *peers = o.peer.link;
  tst_mem_hold(tst_mem_other_end(peers), false);
  for (int arrived = 0; arrived < 2;) {
    uint64_t before = tst_mem_stats_of(peers).batches_received;
    size_t len = o.peer.heard.len;
    assert_true(tst_link_mem_step(o.net));
    if (tst_mem_stats_of(peers).batches_received == before) continue;
    if (++arrived == 2) return len;
  }
  return 0;
}

static void assert_cancel_leads(void) {
  tth_frame frame;
  size_t at = next_batch();
  assert_true(tth_frame_get(o.peer.heard.bytes + at, o.peer.heard.len - at, &frame));
  assert_int_equal(frame.type, TTH_CANCEL);
  assert_int_equal(frame.stream, 1);
  at = 0;
  assert_true(tst_frames_find(o.peer.heard.bytes, o.peer.heard.len, &at, TTH_CANCEL, 1, &frame));
  assert_true(queued() > (UPLOADS - 1) * LONG); /* nearly all of it is still here */
}

static void a_cancel_leaves_before_a_hundred_megabytes_of_queued_requests(void **state) {
  (void)state;
  stop_net();
  queue_uploads(false);
  assert_true(queued() > (UPLOADS - 1) * LONG);
  tether_call_cancel(o.first, NULL);
  assert_cancel_leads();
}

static void a_cancel_leaves_before_a_hundred_megabytes_queued_on_streams(void **state) {
  (void)state;
  stop_net();
  queue_uploads(true);
  assert_true(queued() > (UPLOADS - 1) * LONG);
  tether_call_cancel(o.first, NULL);
  assert_cancel_leads();
}

/* The end of a context is a cancel too, and takes along what the stream itself had queued. */
static void the_end_of_a_context_leaves_before_what_is_queued_and_drops_the_streams_own(void **state) {
  (void)state;
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  uint8_t *body = test_calloc(1, LONG);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = LONG};
  TETHER_SCOPED_CALL tether_call *second = testing_v1_echo_client_inline_chat_start(o.client, ctx, NULL, NULL, NULL);
  tst_link_mem_pump(o.net);
  stop_net();
  bool done = false;
  assert_int_equal(testing_v1_echo_inline_chat_try_send_request(second, &request, &done), TETHER_OK);
  assert_true(done);
  queue_uploads(true);
  size_t before = queued();
  tether_ctx_free(ctx);
  assert_true(queued() < before - LONG / 2);
  size_t at = next_batch();
  tth_frame frame;
  assert_true(tth_frame_get(o.peer.heard.bytes + at, o.peer.heard.len - at, &frame));
  assert_int_equal(frame.type, TTH_CANCEL);
  assert_int_equal(frame.stream, 2);
  test_free(body);
}

/* A short call is served in turn with the long ones: it waits for a slice of each at most. */
static void a_short_call_leaves_with_the_next_batch(void **state) {
  (void)state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  stop_net();
  queue_uploads(true);
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(o.client, tether_ctx_background(), &request, NULL, NULL, NULL);
  size_t at = next_batch();
  tth_frame frame;
  assert_true(tst_frames_find(o.peer.heard.bytes, o.peer.heard.len, &at, TTH_MESSAGE, UPLOADS + 2, &frame));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_cancel_leaves_before_a_hundred_megabytes_of_queued_requests),
      CASE(a_cancel_leaves_before_a_hundred_megabytes_queued_on_streams),
      CASE(the_end_of_a_context_leaves_before_what_is_queued_and_drops_the_streams_own),
      CASE(a_short_call_leaves_with_the_next_batch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
