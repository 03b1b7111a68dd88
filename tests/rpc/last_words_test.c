/* A connection that is about to close, and what is still to be said and heard on it: the verdicts on its last calls,
 * and why it closes. */
#include <pthread.h>
#include <string.h>

#include "rpc/conn.h"
#include "rpc/session_clock.h"
#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* The last frame of this type that a peer has heard. */
static bool heard(const tst_mem_peer *peer, tth_frame_type type, tth_frame *last) {
  tth_frame frame;
  bool found = false;
  for (size_t at = 0; tst_frames_find(peer->heard.bytes, peer->heard.len, &at, type, type == TTH_VERDICT, &frame);) {
    *last = frame;
    found = true;
  }
  return found;
}

static void put_pong(tst_frames *frames, const tth_frame *ping) {
  tst_frames_raw(frames, TTH_PONG, 0, 0, ping->payload, ping->length);
}

static void answer_ping(tst_mem_peer *peer) {
  tth_frame ping = {0};
  tst_frames frames = {0};
  assert_true(heard(peer, TTH_PING, &ping));
  put_pong(&frames, &ping);
  tst_mem_peer_say_frames(peer, &frames);
  tst_frames_fini(&frames);
}

/* ---- The client ------------------------------------------------------------------------------ */

/* The server's answer crosses the cancel, and is the last on a connection that the server drains; the client's link is
 * still busy with the cancel. */
static void a_client_that_was_told_to_go_does_so_once_its_verdicts_are_read(void **state) {
  (void)state;
  tst_bank_up(0);
  tether_client *client = tst_bank_client("mem://a", NULL);
  tst_bank_pump();
  tst_bank_hello(0);
  tst_mem_peer *peer = &tst_bank_now.peers[0];
  TETHER_SCOPED_CALL tether_call *call = tst_bank_call(client, false);
  tth_link *link = tst_mem_other_end(peer->link);
  tst_mem_room(link, 0);
  tst_mem_hold(link, true);
  tether_call_cancel(call, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  tst_bank_goaway(0, 1);
  tst_bank_trailers(0, 1, TETHER_OK);
  tst_mem_hold(link, false);
  tst_bank_pump();
  tth_frame verdict = {0};
  assert_true(heard(peer, TTH_VERDICT, &verdict));
  assert_true(tst_bank_is_connected(0));
  answer_ping(peer);
  assert_false(tst_bank_is_connected(0));
  tst_bank_close(client);
}

static void *close_client(void *client) {
  tether_client_close(client);
  return NULL;
}

static tst_mem_peer *server;

static bool has_come(void *data) {
  tth_frame frame;
  (void)tst_link_mem_pump(server->net);
  return heard(server, *(tth_frame_type *)data, &frame) || server->closed;
}

static void forget(void) { server->heard.len = 0; }

/* The server's last answer and its answer to the PING come in one batch. */
static void a_client_that_is_closed_goes_once_its_verdicts_are_read(void **state) {
  (void)state;
  tst_mem_peer peer = {0};
  server = &peer;
  tst_mem_net *net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  assert_true(tst_mem_peer_listen(&peer, net, "mem://a"));
  tether_client *client;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://a", NULL, &client), TETHER_OK);
  (void)tst_link_mem_pump(net);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 8);
  tst_mem_peer_say_frames(&peer, &frames);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  (void)tst_link_mem_pump(net);
  forget();
  pthread_t closing;
  assert_int_equal(pthread_create(&closing, NULL, close_client, client), 0);
  tth_frame_type awaited = TTH_PING;
  assert_true(tst_wait_until(has_come, &awaited, TST_BOUND_NS));
  tth_frame ping = {0};
  assert_true(heard(&peer, TTH_PING, &ping));
  tst_frames_trailers(&frames, 1, TETHER_ABORTED);
  put_pong(&frames, &ping);
  forget();
  tst_mem_peer_say_frames(&peer, &frames);
  awaited = TTH_VERDICT;
  assert_true(tst_wait_until(has_come, &awaited, TST_BOUND_NS));
  tth_frame verdict = {0};
  assert_true(heard(&peer, TTH_VERDICT, &verdict));
  if (heard(&peer, TTH_PING, &ping)) {
    put_pong(&frames, &ping);
    tst_mem_peer_say_frames(&peer, &frames);
  }
  assert_true(peer.closed);
  pthread_join(closing, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  tether_call_unref(call);
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&peer);
  tst_mem_net_free(net);
}

/* ---- The server ------------------------------------------------------------------------------ */

static bool closed;

static tether_call *no_call(void *owner, tth_conn *conn, tth_stream *stream) {
  (void)owner, (void)conn, (void)stream;
  return NULL;
}
static void no_event(void *owner, tth_conn *conn, tth_event *event) { (void)owner, (void)conn, (void)event; }
static void no_lost(void *owner, tth_conn *conn, tether_call *call, tth_out *unsent, const char *why) {
  (void)owner, (void)conn, (void)call, (void)unsent, (void)why;
}
static void on_closed(void *owner, tth_conn *conn, const char *why) {
  (void)owner, (void)why;
  closed = true;
  tth_conn_unref(conn);
}

static void peer_received(void *owner, const uint8_t *batch, size_t len) { (void)owner, (void)batch, (void)len; }
static void peer_sent(void *owner) { (void)owner; }
static void peer_closed(void *owner, const char *why) { (void)owner, (void)why; }

/* Answers the PING at the moment at which it leaves. */
static void answer_at_once(void *data, uint8_t *batch, size_t len) {
  tth_link *peer = data;
  tth_frame ping;
  size_t at = 0;
  if (!tst_frames_find(batch, len, &at, TTH_PING, 0, &ping)) return;
  tst_frames frames = {0};
  put_pong(&frames, &ping);
  peer->ops->send(peer, frames.bytes, frames.len);
  tst_frames_fini(&frames);
}

static void a_peer_that_is_turned_away_and_answers_at_once_is_closed_at_once(void **state) {
  (void)state;
  static const tth_conn_ops ops = {.new_call = no_call, .event = no_event, .lost = no_lost, .closed = on_closed};
  static const tth_link_events events = {.received = peer_received, .sent = peer_sent, .closed = peer_closed};
  static const tst_mem_watch watch = {
      .sends = answer_at_once, .receives = peer_received, .sent = peer_sent, .closed = peer_closed};
  const tether_limits limits = tth_limits_of(NULL);
  tst_mem_net *net = tst_mem_net_new(true);
  tth_link *ours, *peer;
  tst_link_pair(net, &ours, &peer);
  peer->ops->start(peer, &events, NULL);
  tth_conn *conn = tth_conn_new(ours, TTH_SERVER, &limits, &ops, NULL);
  assert_non_null(conn);
  closed = false;
  tth_conn_start(conn);
  (void)tst_link_mem_pump(net);
  tst_mem_watch_link(ours, &watch, peer);
  tth_conn_ref(conn);
  tth_conn_throw_out(conn, "too many connections");
  tth_conn_unref(conn);
  (void)tst_link_mem_pump(net);
  assert_true(closed);
  peer->ops->free(peer);
  tst_mem_net_free(net);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(a_client_that_was_told_to_go_does_so_once_its_verdicts_are_read),
      cmocka_unit_test(a_client_that_is_closed_goes_once_its_verdicts_are_read),
      cmocka_unit_test(a_peer_that_is_turned_away_and_answers_at_once_is_closed_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
