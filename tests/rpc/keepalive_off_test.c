/* A server that asks nobody for signs of life, so that after HELLO its connections have nothing to wait for: what is
 * bounded in time is so all the same. In virtual time. */
#include "rpc/server.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"

static void who_asks_too_often_and_does_not_read_why_is_closed_after_a_second(void **state) {
  (void)state;
  const tether_server_options options = {.keepalive = {.time_ns = TETHER_FOREVER}};
  tst_mem_net *net = tst_mem_net_new(true);
  tether_server *server;
  tst_mem_peer peer = {0};
  tst_frames frames = {0};
  tst_mem_net_use(net);
  assert_int_equal(tth_server_open_on(&tst_transport_mem, &options, &server), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "mem://s"), TETHER_OK);
  assert_true(tst_mem_peer_dial(&peer, net, "mem://s"));
  tst_frames_hello(&frames, 0);
  tst_mem_peer_say_frames(&peer, &frames);
  (void)ctx_sim_advance(60 * TETHER_SEC);
  tst_link_mem_pump(net);
  bool stayed = !peer.closed;
  for (int i = 0; i < 20; i++) tst_frames_raw(&frames, TTH_PING, 0, 0, "", 0);
  tst_mem_peer_say_frames(&peer, &frames);
  (void)ctx_sim_advance(2 * TETHER_SEC);
  tst_link_mem_pump(net);
  bool closed = peer.closed;
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&peer);
  tether_server_close(server);
  tst_mem_net_free(net);
  assert_true(stayed);
  assert_true(closed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_virtual_time(who_asks_too_often_and_does_not_read_why_is_closed_after_a_second),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
