/* What comes back before the thread that sent has gone on: an answer's TRAILERS leave, and the client says the next
 * thing while the server's thread stands still behind the send. Whatever that relies on must have been done before. On
 * a manual net, so on one thread: the watch of a link acts at the moment of sending. */
#include <string.h>

#include "rpc/client.h"
#include "rpc/server_call.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define KIB ((size_t)1 << 10)

static struct scene {
  tst_mem_net *net;
  tether_server *server;
  struct echo_stats stats;
  tst_mem_peer peer;
  tst_frames next;  /* what the client says as TRAILERS leave */
  _Atomic int busy; /* workers, then; -1: there were no TRAILERS */
} scene;

static void on_sends(void *data, uint8_t *batch, size_t len) {
  tth_frame frame;
  size_t at = 0;
  (void)data;
  if (!tst_frames_find(batch, len, &at, TTH_TRAILERS, 1, &frame)) return;
  scene.busy = scene.server->admission.busy;
  if (scene.next.len) tst_mem_peer_say_frames(&scene.peer, &scene.next);
}

static void hears(void *data, const uint8_t *batch, size_t len) { (void)data, (void)batch, (void)len; }
static void sent(void *data) { (void)data; }
static void closes(void *data, const char *why) { (void)data, (void)why; }

static void begin(const tether_server_options *options) {
  static const tst_mem_watch watch = {.sends = on_sends, .receives = hears, .sent = sent, .closed = closes};
  memset(&scene, 0, sizeof scene);
  scene.busy = -1;
  scene.net = tst_mem_net_new(true);
  tst_mem_net_use(scene.net);
  assert_int_equal(tth_server_open_on(&tst_transport_mem, options, &scene.server), TETHER_OK);
  assert_int_equal(echo_server_add(scene.server, &scene.stats), TETHER_OK);
  assert_int_equal(tether_server_listen(scene.server, "mem://s"), TETHER_OK);
  assert_true(tst_mem_peer_dial(&scene.peer, scene.net, "mem://s"));
  tst_mem_watch_link(tst_mem_other_end(scene.peer.link), &watch, NULL);
  tst_frames hello = {0};
  tst_frames_hello(&hello, 0);
  tst_mem_peer_say_frames(&scene.peer, &hello);
  tst_frames_fini(&hello);
}

static void end(void) {
  tst_frames_fini(&scene.next);
  tst_mem_peer_fini(&scene.peer);
  tether_server_close(scene.server);
  tst_mem_net_free(scene.net);
}

/* A whole call, with a body of so many bytes. */
static void put_call(tst_frames *frames, uint32_t stream, const char *path, size_t len) {
  static uint8_t body[64 * KIB];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = len};
  tst_frames_headers(frames, stream, path, TETHER_FOREVER);
  tst_frames_add(frames, TTH_MESSAGE, TTH_FLAG_END, stream, &request.base);
}

static tether_call *handed(uint32_t stream, size_t len) {
  tst_frames frames = {0};
  put_call(&frames, stream, testing_v1_handed_unary_method.path, len);
  tst_mem_peer_say_frames(&scene.peer, &frames);
  tst_frames_fini(&frames);
  tether_call *call = echo_take_handed(&scene.stats);
  assert_non_null(call);
  return call;
}

static void a_call_that_follows_an_answer_has_the_place_of_the_one_answered(void **state) {
  (void)state;
  begin(&(tether_server_options){.max_calls = 1});
  put_call(&scene.next, 3, testing_v1_echo_quick_method.path, 0);
  tether_call_finish(handed(1, 0), TETHER_OK);
  (void)tst_link_mem_pump(scene.net);
  assert_int_equal(tst_mem_peer_code(&scene.peer, 1), TETHER_OK);
  assert_int_equal(tst_mem_peer_code(&scene.peer, 3), TETHER_OK);
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(scene.server, NULL, &stats), TETHER_OK);
  assert_int_equal(stats.sheds, 0);
  assert_int_equal(scene.server->admission.calls, 0);
  end();
}

static void a_request_that_follows_an_answer_has_the_room_of_the_one_answered(void **state) {
  (void)state;
  begin(&(tether_server_options){.limits = {.max_message_bytes = 64 * KIB, .connection_window_bytes = 64 * KIB}});
  size_t one = 48 * KIB, most = tth_server_held_most(&scene.server->limits);
  put_call(&scene.next, 101, testing_v1_echo_quick_method.path, one);
  tether_call *first = handed(1, one), *others[64];
  size_t count = 0, held = tth_conn_node_of(first->conn)->held_bytes;
  assert_true(held >= one);
  for (; (count + 2) * held <= most; count++) others[count] = handed((uint32_t)(2 + count), one);
  tether_call_finish(first, TETHER_OK);
  (void)tst_link_mem_pump(scene.net);
  assert_int_equal(tst_mem_peer_code(&scene.peer, 101), TETHER_OK);
  for (size_t i = 0; i < count; i++) tether_call_finish(others[i], TETHER_OK);
  end();
}

static bool is_answered(void *data) {
  (void)data;
  (void)tst_link_mem_pump(scene.net);
  return tst_mem_peer_code(&scene.peer, 1) >= 0;
}

static void a_worker_is_free_before_its_answer_leaves(void **state) {
  (void)state;
  begin(&(tether_server_options){.deadline_admission = true, .max_workers = 1});
  tst_frames frames = {0};
  put_call(&frames, 1, testing_v1_echo_pooled_method.path, 0);
  tst_mem_peer_say_frames(&scene.peer, &frames);
  tst_frames_fini(&frames);
  assert_true(tst_wait_until(is_answered, NULL, TST_BOUND_NS));
  assert_int_equal(scene.busy, 0);
  end();
}

/* ---- A connection that is lost before the answer can leave ---------------------------------- */

/* The caller has recorded UNAVAILABLE. */
static void assert_recorded_as_lost(uint64_t count) {
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(scene.server, NULL, &stats), TETHER_OK);
  assert_int_equal(stats.ended[TETHER_OK], 0);
  assert_int_equal(stats.ended[TETHER_UNAVAILABLE], count);
}

static void a_detached_handler_that_outlives_its_connection_counts_as_its_caller_saw_it(void **state) {
  (void)state;
  begin(NULL);
  tst_frames frames = {0};
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.method = (char *)testing_v1_handed_unary_method.path;
  headers.has_detach_ns = true;
  headers.detach_ns = 3600 * TETHER_SEC;
  tst_frames_add(&frames, TTH_HEADERS, 0, 1, &headers.base);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(&scene.peer, &frames);
  tst_frames_fini(&frames);
  tether_call *call = echo_take_handed(&scene.stats);
  assert_non_null(call);
  tst_mem_break(scene.peer.link);
  (void)tst_link_mem_pump(scene.net);
  assert_int_equal(tether_ctx_err(tether_call_ctx(call)), TETHER_OK);
  tether_call_finish(call, TETHER_OK);
  assert_recorded_as_lost(1);
  end();
}

static void finish_well(void *data) { tether_call_finish(data, TETHER_OK); }

static void a_handler_that_ends_while_the_loss_is_being_told_counts_as_its_caller_saw_it(void **state) {
  (void)state;
  begin(NULL);
  tether_call *calls[2] = {handed(1, 0), handed(2, 0)};
  tether_after after[2];
  for (int i = 0; i < 2; i++) { /* whichever is told first, the other's handler returns then */
    tether_call_ref(calls[i]);
    tether_ctx_after_func(tether_call_ctx(calls[i]), &after[i], NULL, finish_well, calls[1 - i]);
  }
  tst_mem_break(scene.peer.link);
  (void)tst_link_mem_pump(scene.net);
  assert_recorded_as_lost(2);
  for (int i = 0; i < 2; i++) tether_call_unref(calls[i]);
  end();
}

/* ---- A wait that is over before it has begun ------------------------------------------------ */

/* The answer to a call that was cut waits for those of the calls below, here 1 ns, and these never come. */
static void a_wait_for_the_tree_below_ends_however_short_it_is(void **state) {
  (void)state;
  begin(NULL);
  tst_mem_peer leaf = {0};
  tether_client *client;
  assert_true(tst_mem_peer_listen(&leaf, scene.net, "mem://leaf"));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://leaf", NULL, &client), TETHER_OK);
  (void)tst_link_mem_pump(scene.net);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 8);
  tst_mem_peer_say_frames(&leaf, &frames);
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.method = (char *)testing_v1_handed_unary_method.path;
  headers.has_explain = headers.explain = headers.has_explain_wait_ns = true;
  headers.explain_wait_ns = 1;
  tst_frames_add(&frames, TTH_HEADERS, 0, 1, &headers.base);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(&scene.peer, &frames);
  tether_call *handler = echo_take_handed(&scene.stats);
  assert_non_null(handler);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *below = testing_v1_echo_client_quick_start(client, tether_call_ctx(handler), &request, NULL, NULL, NULL);
  (void)tst_link_mem_pump(scene.net);
  tst_frames_cancel(&frames, 1, TETHER_CAUSE_CALLER);
  tst_mem_peer_say_frames(&scene.peer, &frames);
  rpc_assert_code(below, TETHER_CANCELLED);
  tether_call_finish(handler, TETHER_OK);
  bool answered = tst_wait_until(is_answered, NULL, TST_BOUND_NS / 10);
  tether_call_unref(below);
  tst_mem_peer_fini(&leaf);
  (void)tst_link_mem_pump(scene.net);
  tether_client_close(client);
  tst_frames_fini(&frames);
  end();
  assert_true(answered);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_call_that_follows_an_answer_has_the_place_of_the_one_answered),
      cmocka_unit_test(a_request_that_follows_an_answer_has_the_room_of_the_one_answered),
      cmocka_unit_test(a_worker_is_free_before_its_answer_leaves),
      cmocka_unit_test(a_detached_handler_that_outlives_its_connection_counts_as_its_caller_saw_it),
      cmocka_unit_test(a_handler_that_ends_while_the_loss_is_being_told_counts_as_its_caller_saw_it),
      cmocka_unit_test(a_wait_for_the_tree_below_ends_however_short_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
