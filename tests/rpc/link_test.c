/* Links between ourselves and with plain nng pair sockets, over ipc and tcp. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/link_test.h"

#define LARGE ((size_t)500 * 1000)

static const char *url_of(const link_fixture *f, bool ipc) { return ipc ? f->ipc_url : "tcp://127.0.0.1:0"; }

static void connect_pair(const link_fixture *f, bool ipc, tst_probe *client, tst_probe *server) {
  tst_probe_init(client);
  tst_probe_init(server);
  const char *failure = tst_connect(nng, url_of(f, ipc), NULL, NULL, client, server);
  if (failure) fail_msg("%s", failure);
}

static void end_pair(tst_probe *client, tst_probe *server) {
  assert_true(tst_probe_end(client));
  assert_true(tst_counter_wait(&server->closed, 1, TST_BOUND_NS));
  assert_fine(client);
  assert_fine(server);
  tst_probe_fini(client);
  tst_probe_fini(server);
}

/* ---- Ourselves ------------------------------------------------------------------------------ */

static void carry(link_fixture *f, bool ipc) {
  static const size_t sizes[] = {1, 7, 8, 9, 100, 4096, 16384, 65536, 100000, TTH_BATCH_MAX};
  tst_probe client, server;
  connect_pair(f, ipc, &client, &server);
  int64_t count = 0;
  for (unsigned round = 0; round < 5; round++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++, count += 3) {
      assert_true(tst_probe_send_all(&client, 3, sizes[i]));
      assert_true(tst_probe_send_all(&server, 3, sizes[i]));
    }
  }
  assert_true(tst_counter_wait(&server.batches, count, TST_BOUND_NS));
  assert_true(tst_counter_wait(&client.batches, count, TST_BOUND_NS));
  end_pair(&client, &server);
}

static void batches_of_all_sizes_arrive_whole_and_in_order_over_ipc(void **state) { carry(*state, true); }
static void batches_of_all_sizes_arrive_whole_and_in_order_over_tcp(void **state) { carry(*state, false); }

static void many_small_batches_arrive(void **state) {
  tst_probe client, server;
  connect_pair(*state, true, &client, &server);
  assert_true(tst_probe_send_all(&client, 5000, 60));
  assert_true(tst_counter_wait(&server.batches, 5000, TST_BOUND_NS));
  end_pair(&client, &server);
}

static void peers_have_names(void **state) {
  tst_probe client, server;
  char expected[32];
  connect_pair(*state, false, &client, &server);
  assert_non_null(strstr(client.link->ops->peer(client.link), "127.0.0.1:"));
  assert_non_null(strstr(server.link->ops->peer(server.link), "127.0.0.1:"));
  end_pair(&client, &server);
  tst_probe_init(&client);
  tst_probe_init(&server);
  if (!tst_connect(nng, "tcp://[::1]:0", NULL, NULL, &client, &server)) { /* where there is IPv6 */
    assert_non_null(strstr(server.link->ops->peer(server.link), "[::1]:"));
    end_pair(&client, &server);
  }
  connect_pair(*state, true, &client, &server);
  snprintf(expected, sizeof expected, "pid %d", (int)getpid());
  assert_string_equal(server.link->ops->peer(server.link), expected);
  end_pair(&client, &server);
}

/* ---- nng's pair sockets --------------------------------------------------------------------- */

typedef struct pair_peer {
  nng_socket socket;
  tst_latch gone; /* its connection has ended */
} pair_peer;

static void pipe_gone(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  (void)pipe;
  (void)event;
  tst_latch_open(&((pair_peer *)arg)->gone);
}

static void pair_open(pair_peer *peer) {
  tst_latch_init(&peer->gone);
  assert_int_equal(nng_pair0_open(&peer->socket), 0);
  assert_int_equal(nng_socket_set_ms(peer->socket, NNG_OPT_RECVTIMEO, TST_BOUND_NS / TETHER_MS), 0);
  assert_int_equal(nng_socket_set_ms(peer->socket, NNG_OPT_SENDTIMEO, TST_BOUND_NS / TETHER_MS), 0);
  assert_int_equal(nng_pipe_notify(peer->socket, NNG_PIPE_EV_REM_POST, pipe_gone, peer), 0);
}

/* A pair socket and a link of ours, connected. */
static void marry(link_fixture *f, bool ipc, bool socket_dials, pair_peer *peer, tst_probe *probe) {
  char url[128];
  int port;
  tst_probe_init(probe);
  pair_open(peer);
  if (socket_dials) {
    tst_acceptor acceptor;
    assert_int_equal(tst_acceptor_open(&acceptor, nng, url_of(f, ipc), NULL), TETHER_OK);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", nng->listener_port(acceptor.listener));
    assert_int_equal(nng_dial(peer->socket, ipc ? f->ipc_url : url, NULL, 0), 0);
    tth_link *link = tst_acceptor_take(&acceptor);
    assert_non_null(link);
    tst_probe_start(probe, link);
    tst_acceptor_close(&acceptor);
    return;
  }
  nng_listener listener;
  tth_dialer *dialer;
  assert_int_equal(nng_listen(peer->socket, url_of(f, ipc), &listener, 0), 0);
  if (!ipc) assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
  if (!ipc) snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
  assert_int_equal(nng->dialer_new(ipc ? f->ipc_url : url, NULL, &dialer), TETHER_OK);
  tth_link *link = tst_dial(dialer, TST_BOUND_NS, nng, NULL);
  assert_non_null(link);
  tst_probe_start(probe, link);
  nng->dialer_free(dialer);
}

static void exchange(pair_peer *peer, tst_probe *probe) {
  static uint8_t batch[LARGE];
  uint32_t seq = 0;
  for (unsigned i = 0; i < 120; i++) {
    size_t len = i % 10 == 9 ? LARGE : 1 + i * 13, got = sizeof batch;
    assert_true(tst_probe_send_all(probe, 1, len));
    assert_int_equal(nng_recv(peer->socket, batch, &got, 0), 0);
    assert_int_equal(got, len);
    assert_true(tst_batch_is(batch, got, seq));
    tst_batch_fill(batch, len, seq++);
    assert_int_equal(nng_send(peer->socket, batch, len, 0), 0);
  }
  assert_true(tst_counter_wait(&probe->batches, 120, TST_BOUND_NS));
  assert_fine(probe);
}

static void pair_case(link_fixture *f, bool ipc, bool socket_dials, bool socket_closes_first) {
  pair_peer peer;
  tst_probe probe;
  marry(f, ipc, socket_dials, &peer, &probe);
  exchange(&peer, &probe);
  if (socket_closes_first) {
    nng_close(peer.socket);
    assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
    assert_string_equal(probe.why, "closed by the peer");
  } else {
    assert_true(tst_probe_end(&probe));
    assert_true(tst_latch_wait(&peer.gone, TST_BOUND_NS));
    nng_close(peer.socket);
  }
  assert_fine(&probe);
  tst_probe_fini(&probe);
  tst_latch_fini(&peer.gone);
}

static void a_pair_socket_can_dial_us_over_ipc(void **state) { pair_case(*state, true, true, true); }
static void a_pair_socket_can_dial_us_over_tcp(void **state) { pair_case(*state, false, true, false); }
static void we_can_dial_a_pair_socket_over_ipc(void **state) { pair_case(*state, true, false, false); }
static void we_can_dial_a_pair_socket_over_tcp(void **state) { pair_case(*state, false, false, true); }

/* ---- The end of a link ---------------------------------------------------------------------- */

static void a_link_may_be_freed_inside_closed(void **state) {
  for (int i = 0; i < 50; i++) {
    tst_probe client, server;
    connect_pair(*state, i % 2 == 0, &client, &server);
    client.free_in_closed = server.free_in_closed = true;
    tst_probe_send(&client, 1000);
    tst_probe_close(&server);
    assert_true(tst_counter_wait(&server.closed, 1, TST_BOUND_NS));
    assert_true(tst_counter_wait(&client.closed, 1, TST_BOUND_NS));
    assert_fine(&client);
    assert_fine(&server);
    tst_probe_fini(&client);
    tst_probe_fini(&server);
  }
}

static void a_link_may_be_closed_inside_received(void **state) {
  tst_probe client, server;
  connect_pair(*state, true, &client, &server);
  server.close_in_received = true;
  tst_probe_send(&client, 10);
  assert_true(tst_counter_wait(&server.closed, 1, TST_BOUND_NS));
  assert_int_equal(tst_counter_get(&server.batches), 1);
  assert_string_equal(server.why, "closed");
  end_pair(&client, &server);
}

typedef struct sender {
  tst_probe probe;
  pthread_t thread;
} sender;

/* Sends small batches until the link has ended. */
static void *send_until_closed(void *arg) {
  tst_probe *probe = arg;
  for (int64_t sent = 0; tst_counter_get(&probe->closed) == 0;) {
    tst_probe_send(probe, 64);
    sent++;
    while (!tst_counter_wait(&probe->sent, sent, TETHER_MS) && tst_counter_get(&probe->closed) == 0) continue;
  }
  return NULL;
}

/* A close that meets operations just beginning on nng's threads must not lose the end of any of them. */
static void closing_beside_traffic_ends_both_links(void **state) {
  for (unsigned i = 0; i < 300; i++) {
    sender client, server;
    connect_pair(*state, i % 2 == 0, &client.probe, &server.probe);
    pthread_create(&client.thread, NULL, send_until_closed, &client.probe);
    pthread_create(&server.thread, NULL, send_until_closed, &server.probe);
    bool flowing = tst_counter_wait(&server.probe.batches, 1 + i % 7, TST_BOUND_NS);
    client.probe.link->ops->close(client.probe.link);
    bool ended = tst_counter_wait(&client.probe.closed, 1, TST_BOUND_NS) &&
                 tst_counter_wait(&server.probe.closed, 1, TST_BOUND_NS);
    if (!ended) abort(); /* the threads use this frame */
    pthread_join(client.thread, NULL);
    pthread_join(server.thread, NULL);
    assert_true(flowing);
    assert_fine(&client.probe);
    assert_fine(&server.probe);
    tst_probe_fini(&client.probe);
    tst_probe_fini(&server.probe);
  }
}

/* A send that the peer never reads must not keep a link from closing. */
static void a_link_can_be_closed_while_a_send_is_stuck(void **state) {
  link_fixture *f = *state;
  for (int i = 0; i < 2; i++) {
    tst_acceptor acceptor;
    tst_probe probe;
    tst_probe_init(&probe);
    assert_int_equal(tst_acceptor_open(&acceptor, nng, url_of(f, i), NULL), TETHER_OK);
    int fd = i ? raw_connect_ipc(f->ipc_path) : raw_connect_tcp(nng->listener_port(acceptor.listener));
    assert_true(fd >= 0 && raw_greet(fd));
    tst_probe_start(&probe, tst_acceptor_take(&acceptor));
    int64_t sent = 0; /* until the socket is full */
    do tst_probe_send(&probe, TTH_BATCH_MAX);
    while (tst_counter_wait(&probe.sent, ++sent, 200 * TETHER_MS));
    assert_true(tst_probe_end(&probe));
    assert_int_equal(tst_counter_get(&probe.sent), sent - 1);
    assert_fine(&probe);
    tst_probe_fini(&probe);
    close(fd);
    tst_acceptor_close(&acceptor);
  }
}

static void closing_twice_or_before_start_ends_once(void **state) {
  link_fixture *f = *state;
  tst_acceptor acceptor;
  tth_dialer *dialer;
  tst_probe probe;
  tst_probe_init(&probe);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_OK);
  assert_int_equal(nng->dialer_new(f->ipc_url, NULL, &dialer), TETHER_OK);
  tth_link *link = tst_dial(dialer, TST_BOUND_NS, nng, NULL);
  assert_non_null(link);
  link->ops->close(link);
  link->ops->close(link);
  tst_probe_start(&probe, link);
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  tst_probe_send(&probe, 10); /* of no effect */
  tst_probe_close(&probe);
  assert_int_equal(tst_counter_get(&probe.closed), 1);
  assert_int_equal(tst_counter_get(&probe.sent), 0);
  assert_fine(&probe);
  tst_probe_fini(&probe);
  link = tst_dial(dialer, TST_BOUND_NS, nng, NULL); /* never started */
  assert_non_null(link);
  link->ops->free(link);
  nng->dialer_free(dialer);
  tst_acceptor_close(&acceptor);
}

/* What a peer has said before it closes is received even if our send to it fails meanwhile. */
static void a_failed_send_does_not_lose_what_the_peer_said_last(void **state) {
  link_fixture *f = *state;
  static const uint8_t message[] = {1, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'};
  tst_acceptor acceptor;
  tst_probe probe;
  tst_latch hold;
  tst_latch_init(&hold);
  tst_probe_init(&probe);
  probe.unchecked = true;
  probe.hold_open = &hold;
  assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_OK);
  int fd = raw_connect_ipc(f->ipc_path);
  assert_true(fd >= 0 && raw_greet(fd));
  tst_probe_start(&probe, tst_acceptor_take(&acceptor));
  assert_true(raw_write(fd, message, sizeof message));
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS)); /* held in `received` now */
  assert_true(raw_write(fd, message, sizeof message));
  close(fd);
  tst_probe_send(&probe, 100);
  assert_false(tst_counter_wait(&probe.sent, 1, 50 * TETHER_MS));
  tst_latch_open(&hold);
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  assert_int_equal(tst_counter_get(&probe.batches), 2);
  assert_fine(&probe);
  tst_probe_fini(&probe);
  tst_latch_fini(&hold);
  tst_acceptor_close(&acceptor);
}

/* ---- A peer that is killed ------------------------------------------------------------------ */

static void child_accepted(void *owner, tth_link *link) {
  static tst_probe probe;
  (void)owner;
  tst_probe_init(&probe);
  tst_probe_start(&probe, link);
  tst_probe_send(&probe, 10);
}

/* This program with an address: a server that says something to everybody and waits to be killed. */
static int child_main(const char *url) {
  tth_listener *listener;
  if (nng->listen(url, NULL, child_accepted, NULL, &listener) != TETHER_OK) return 1;
  for (;;) pause();
}

static tth_link *dial_until_there(tth_dialer *dialer) {
  tth_link *link = NULL;
  int64_t end_ns = tst_now_ns() + TST_BOUND_NS;
  while (!link && tst_now_ns() < end_ns) link = tst_dial(dialer, TETHER_SEC, nng, NULL);
  return link;
}

static void a_killed_peer_closes_the_link(void **state) {
  link_fixture *f = *state;
  tst_probe probe;
  tth_dialer *dialer;
  pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "link_test", f->ipc_url, (char *)NULL);
    _exit(127);
  }
  tst_probe_init(&probe);
  assert_int_equal(nng->dialer_new(f->ipc_url, NULL, &dialer), TETHER_OK);
  tth_link *link = dial_until_there(dialer);
  assert_non_null(link);
  tst_probe_start(&probe, link);
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS));
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  assert_fine(&probe);
  tst_probe_fini(&probe);
  nng->dialer_free(dialer);
  /* The dead server's socket file is in nobody's way. */
  struct stat status;
  tst_acceptor acceptor;
  assert_int_equal(stat(f->ipc_path, &status), 0);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, f->ipc_url, NULL), TETHER_OK);
  tst_acceptor_close(&acceptor);
}

int main(int argc, char **argv) {
  if (argc > 1) return child_main(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(batches_of_all_sizes_arrive_whole_and_in_order_over_ipc, link_setup,
                                      link_teardown),
      cmocka_unit_test_setup_teardown(batches_of_all_sizes_arrive_whole_and_in_order_over_tcp, link_setup,
                                      link_teardown),
      cmocka_unit_test_setup_teardown(many_small_batches_arrive, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(peers_have_names, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_pair_socket_can_dial_us_over_ipc, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_pair_socket_can_dial_us_over_tcp, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(we_can_dial_a_pair_socket_over_ipc, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(we_can_dial_a_pair_socket_over_tcp, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_link_may_be_freed_inside_closed, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_link_may_be_closed_inside_received, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(closing_beside_traffic_ends_both_links, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_link_can_be_closed_while_a_send_is_stuck, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(closing_twice_or_before_start_ends_once, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_failed_send_does_not_lose_what_the_peer_said_last, link_setup, link_teardown),
      cmocka_unit_test_setup_teardown(a_killed_peer_closes_the_link, link_setup, link_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
