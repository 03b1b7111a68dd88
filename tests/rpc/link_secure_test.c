/* Links over tls+tcp, ws and wss: the same contract, and who is let in. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/supplemental/tls/tls.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/link_nng.h"
#include "tests/support/link_probe.h"
#include "tests/support/tls_peer.h"
#include "tests/support/tls_test.h"

static const tth_transport *const nng = &tth_transport_nng;

/* ---- Who is let in -------------------------------------------------------------------------- */

static const char *try_connect(const char *url, const tether_tls *client, const tether_tls *server) {
  tst_probe here, there;
  tst_probe_init(&here);
  tst_probe_init(&there);
  const char *failure = tst_connect(nng, url, client, server, &here, &there);
  if (!failure) {
    assert_true(tst_probe_end(&here));
    assert_true(tst_probe_end(&there));
  }
  tst_probe_fini(&here);
  tst_probe_fini(&there);
  return failure;
}

static void the_certificates_name_is_checked(void **state) {
  (void)state;
  tether_tls server = tls_of_server(), client = tls_of_client();
  assert_null(try_connect("tls+tcp://localhost:0", &client, &server));
  assert_non_null(strstr(try_connect("tls+tcp://127.0.0.1:0", &client, &server), "TLS"));
  client.server_name = "localhost";
  assert_null(try_connect("tls+tcp://127.0.0.1:0", &client, &server));
  client.server_name = "elsewhere.example";
  assert_non_null(strstr(try_connect("tls+tcp://localhost:0", &client, &server), "TLS"));
}

static void a_certificate_of_another_authority_is_refused(void **state) {
  (void)state;
  tether_tls server = tls_of_server(), client = {.ca_pem = certificates.other_ca};
  assert_non_null(strstr(try_connect("tls+tcp://localhost:0", &client, &server), "TLS"));
}

static void a_client_certificate_can_be_required(void **state) {
  (void)state;
  tether_tls server = tls_of_server(), client = tls_of_client();
  server.ca_pem = certificates.ca;
  server.require_client_cert = true;
  assert_non_null(try_connect("tls+tcp://localhost:0", &client, &server));
  client.cert_pem = certificates.client.pem;
  client.key_pem = certificates.client.key;
  assert_null(try_connect("tls+tcp://localhost:0", &client, &server));
}

static void a_url_of_tls_needs_tls_options(void **state) {
  (void)state;
  tth_dialer *dialer;
  tst_acceptor acceptor;
  assert_int_equal(nng->dialer_new("tls+tcp://localhost:1", NULL, &dialer), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, "tls+tcp://127.0.0.1:0", NULL), TETHER_INVALID_ARGUMENT);
  tst_acceptor_close(&acceptor);
  assert_int_equal(tst_stderr_lines(&caught, "there are no TLS options"), 2);
}

static void plain_bytes_on_a_tls_port_are_closed_with_a_line(void **state) {
  (void)state;
  tether_tls server = tls_of_server();
  tst_acceptor acceptor;
  assert_int_equal(tst_acceptor_open(&acceptor, nng, "tls+tcp://127.0.0.1:0", &server), TETHER_OK);
  int fd = raw_connect_tcp(nng->listener_port(acceptor.listener));
  assert_true(fd >= 0 && raw_write(fd, "GET / HTTP/1.1\r\n\r\n", 18));
  assert_true(raw_is_closed(fd));
  close(fd);
  assert_true(tst_stderr_says(&caught, "no greeting: TLS failed: the peer does not speak TLS"));
  assert_int_equal(tst_counter_get(&acceptor.accepted), 0);
  tst_acceptor_close(&acceptor);
}

/* ---- A peer that has gone before we listen to it ----------------------------------------------- */

struct greeted {
  tst_counter ends;
  char failure[TTH_LINK_NNG_WHY];
};

static void note_greeted(void *owner, tth_nng_link *link, const char *failure) {
  struct greeted *greeted = owner;
  snprintf(greeted->failure, sizeof greeted->failure, "%s", failure ? failure : "");
  tth_link *opened = tth_nng_link_public(link);
  opened->ops->free(opened);
  tst_counter_add(&greeted->ends, 1);
}

static bool has_gone(void *stream) {
  nng_sockaddr address;
  return nng_stream_get_addr(stream, NNG_OPT_REMADDR, &address) != 0;
}

/* A stream to `port`, over which a byte has been said. */
static nng_stream *dial_and_speak(uint16_t port, tth_tls *tls, tth_nng_kind *kind) {
  char url[64];
  nng_stream_dialer *dialer;
  tth_nng_tls secured;
  nng_aio *aio;
  nng_iov byte = {(void *)(uintptr_t) "x", 1};
  snprintf(url, sizeof url, "tls+tcp://localhost:%u", port);
  assert_int_equal(tth_nng_dialer_alloc(url, tls, &dialer, kind, &secured), TETHER_OK);
  assert_int_equal(nng_aio_alloc(&aio, NULL, NULL), 0);
  nng_stream_dialer_dial(dialer, aio);
  nng_aio_wait(aio);
  assert_int_equal(nng_aio_result(aio), 0);
  nng_stream *stream = nng_aio_get_output(aio, 0);
  nng_aio_set_iov(aio, 1, &byte);
  nng_stream_send(stream, aio);
  nng_aio_wait(aio);
  assert_int_equal(nng_aio_result(aio), 0);
  nng_aio_free(aio);
  nng_stream_dialer_free(dialer);
  tth_nng_tls_close(&secured);
  return stream;
}

/* nng has forgotten it then, and no receive ends any more, not even by its time. */
static void a_peer_that_left_before_the_greeting_is_noticed(void **state) {
  (void)state;
  uint16_t port;
  tth_tls *tls;
  tth_nng_kind kind;
  struct greeted greeted = {.failure = ""};
  const tether_tls options = tls_of_client();
  assert_true(tst_tls_open(&options, true, &tls));
  tst_tls_server *server = tst_tls_server_open(certificates.cert, certificates.key, 0, &port);
  nng_stream *stream = dial_and_speak(port, tls, &kind);
  assert_true(tst_tls_server_close(server));
  assert_true(tst_wait_until(has_gone, stream, TST_BOUND_NS));
  tst_counter_init(&greeted.ends);
  tth_nng_link *link = tth_nng_link_new(stream, kind);
  assert_non_null(link);
  tth_nng_link_greet(link, NULL, TETHER_FOREVER, note_greeted, &greeted);
  assert_true(tst_counter_wait(&greeted.ends, 1, TST_BOUND_NS));
  assert_non_null(strstr(greeted.failure, "no greeting: TLS: closed by the peer after the handshake"));
  tst_counter_fini(&greeted.ends);
  tth_tls_unref(tls);
}

/* ---- The contract --------------------------------------------------------------------------- */

static void carry(const char *url) {
  static const size_t sizes[] = {1, 100, 4087, 4088, 4096, 16384, 65536, TTH_BATCH_MAX};
  tether_tls server = tls_of_server(), client = tls_of_client();
  for (int round = 0; round < 3; round++) {
    tst_probe here, there;
    tst_probe_init(&here);
    tst_probe_init(&there);
    const char *failure = tst_connect(nng, url, &client, &server, &here, &there);
    if (failure) fail_msg("%s", failure);
    int64_t count = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++, count += 5) {
      assert_true(tst_probe_send_all(&here, 5, sizes[i]));
      assert_true(tst_probe_send_all(&there, 5, sizes[i]));
    }
    assert_true(tst_counter_wait(&there.batches, count, TST_BOUND_NS));
    assert_true(tst_counter_wait(&here.batches, count, TST_BOUND_NS));
    assert_true(tst_probe_end(round % 2 ? &here : &there));
    assert_true(tst_counter_wait(round % 2 ? &there.closed : &here.closed, 1, TST_BOUND_NS));
    if (atomic_load(&here.complaint)) fail_msg("%s", atomic_load(&here.complaint));
    if (atomic_load(&there.complaint)) fail_msg("%s", atomic_load(&there.complaint));
    tst_probe_fini(&here);
    tst_probe_fini(&there);
  }
}

static void batches_arrive_over_tls(void **state) {
  (void)state;
  carry("tls+tcp://localhost:0");
}

static void batches_arrive_over_ws(void **state) {
  (void)state;
  carry("ws://localhost:0/tether");
}

static void batches_arrive_over_wss(void **state) {
  (void)state;
  carry("wss://localhost:0/tether");
}

static void a_pair_socket_can_dial_us_over_tls(void **state) {
  (void)state;
  char url[64];
  uint8_t batch[200];
  size_t len = sizeof batch;
  nng_socket socket;
  nng_dialer dialer;
  nng_tls_config *config;
  tst_acceptor acceptor;
  tst_probe probe;
  tether_tls server = tls_of_server();
  tst_probe_init(&probe);
  assert_int_equal(tst_acceptor_open(&acceptor, nng, "tls+tcp://127.0.0.1:0", &server), TETHER_OK);
  snprintf(url, sizeof url, "tls+tcp://localhost:%u", nng->listener_port(acceptor.listener));
  assert_int_equal(nng_pair0_open(&socket), 0);
  assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, TST_BOUND_NS / TETHER_MS), 0);
  assert_int_equal(nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT), 0);
  assert_int_equal(nng_tls_config_ca_chain(config, certificates.ca, NULL), 0);
  assert_int_equal(nng_tls_config_server_name(config, "localhost"), 0);
  assert_int_equal(nng_dialer_create(&dialer, socket, url), 0);
  assert_int_equal(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config), 0);
  assert_int_equal(nng_dialer_start(dialer, 0), 0);
  tth_link *link = tst_acceptor_take(&acceptor);
  assert_non_null(link);
  tst_probe_start(&probe, link);
  assert_true(tst_probe_send_all(&probe, 1, len));
  assert_int_equal(nng_recv(socket, batch, &len, 0), 0);
  assert_true(tst_batch_is(batch, len, 0));
  nng_close(socket);
  nng_tls_config_free(config);
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  tst_probe_fini(&probe);
  tst_acceptor_close(&acceptor);
}

/* Configurations that a program makes with nng itself come to the same TLS, and mean what nng's manual says. */
static void we_can_dial_a_pair_socket_over_tls(void **state) {
  (void)state;
  char url[64], why[TST_WHY_SIZE];
  uint8_t batch[200];
  int port;
  nng_socket socket;
  nng_listener listener;
  nng_tls_config *config;
  tth_tls *tls, *without;
  tth_dialer *dialer;
  tst_probe probe;
  tether_tls options = tls_of_client();
  assert_true(tst_tls_open(&options, true, &without));
  options.cert_pem = certificates.client.pem;
  options.key_pem = certificates.client.key;
  assert_true(tst_tls_open(&options, true, &tls));
  assert_int_equal(nng->dialer_new("tls+tcp://localhost:1", tls, &dialer), TETHER_OK); /* brings our TLS along */
  nng->dialer_free(dialer);
  assert_string_equal(nng_tls_engine_name(), "tether-openssl");
  assert_int_equal(nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER), 0);
  assert_int_equal(nng_tls_config_own_cert(config, certificates.cert, "no key", NULL), NNG_ECRYPTO);
  assert_int_equal(nng_tls_config_ca_chain(config, "no certificate", NULL), NNG_ECRYPTO);
  assert_int_equal(nng_tls_config_version(config, NNG_TLS_1_3, NNG_TLS_1_2), NNG_ENOTSUP);
  assert_int_equal(nng_tls_config_own_cert(config, certificates.cert, certificates.key, NULL), 0);
  assert_int_equal(nng_tls_config_ca_chain(config, certificates.ca, NULL), 0);
  assert_int_equal(nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED), 0);
  assert_int_equal(nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_2), 0);
  assert_int_equal(nng_pair0_open(&socket), 0);
  assert_int_equal(nng_listener_create(&listener, socket, "tls+tcp://127.0.0.1:0"), 0);
  assert_int_equal(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config), 0);
  assert_int_equal(nng_listener_start(listener, 0), 0);
  assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
  snprintf(url, sizeof url, "tls+tcp://localhost:%d", port);
  assert_int_equal(nng->dialer_new(url, without, &dialer), TETHER_OK);
  assert_null(tst_dial(dialer, TST_BOUND_NS, nng, why)); /* auth_mode REQUIRED */
  nng->dialer_free(dialer);
  assert_int_equal(nng->dialer_new(url, tls, &dialer), TETHER_OK);
  tth_link *link = tst_dial(dialer, TST_BOUND_NS, nng, why);
  if (!link) fail_msg("%s", why);
  tst_probe_init(&probe);
  tst_probe_start(&probe, link);
  tst_batch_fill(batch, sizeof batch, 0);
  assert_int_equal(nng_send(socket, batch, sizeof batch, 0), 0);
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS));
  assert_true(tst_probe_end(&probe));
  tst_probe_fini(&probe);
  nng->dialer_free(dialer);
  nng_close(socket);
  nng_tls_config_free(config);
  tth_tls_unref(tls);
  tth_tls_unref(without);
}

static void a_stuck_send_can_be_closed(const char *url) {
  tether_tls server = tls_of_server(), client = tls_of_client();
  tst_probe here, there;
  tst_latch hold;
  tst_latch_init(&hold);
  tst_probe_init(&here);
  tst_probe_init(&there);
  there.hold_open = &hold; /* reads nothing more after its first batch */
  const char *failure = tst_connect(nng, url, &client, &server, &here, &there);
  if (failure) fail_msg("%s", failure);
  int64_t sent = 0;
  do tst_probe_send(&here, TTH_BATCH_MAX);
  while (tst_counter_wait(&here.sent, ++sent, 300 * TETHER_MS));
  assert_true(tst_probe_end(&here));
  assert_int_equal(tst_counter_get(&here.sent), sent - 1);
  tst_latch_open(&hold);
  assert_true(tst_counter_wait(&there.closed, 1, TST_BOUND_NS));
  tst_probe_fini(&here);
  tst_probe_fini(&there);
  tst_latch_fini(&hold);
}

static void a_link_can_be_closed_while_a_send_is_stuck(void **state) {
  (void)state;
  a_stuck_send_can_be_closed("tls+tcp://localhost:0");
  a_stuck_send_can_be_closed("ws://localhost:0/tether");
}

/* ---- A peer that is killed ------------------------------------------------------------------ */

static void child_accepted(void *owner, tth_link *link) {
  static tst_probe probe;
  (void)owner;
  tst_probe_init(&probe);
  tst_probe_start(&probe, link);
  tst_probe_send(&probe, 10);
}

/* This program with a URL: a server that waits to be killed. Says its port. Its certificate is in its environment. */
static int child_main(const char *url) {
  tether_tls options = {.cert_pem = getenv("SERVER_CERT"), .key_pem = getenv("SERVER_KEY")};
  tth_tls *tls;
  tth_listener *listener;
  if (!tst_tls_open(&options, false, &tls) || nng->listen(url, tls, child_accepted, NULL, &listener) != TETHER_OK)
    return 1;
  printf("%u\n", nng->listener_port(listener));
  fflush(stdout);
  for (;;) pause();
}

/* Killed while a batch is being handled, when nng itself forgets the end of the connection. */
static void killed(const char *scheme, const char *path) {
  char url[128], port[16] = "";
  int out[2];
  assert_int_equal(pipe(out), 0);
  snprintf(url, sizeof url, "%s://localhost:0%s", scheme, path);
  pid_t child = fork();
  if (child == 0) {
    dup2(out[1], STDOUT_FILENO);
    if (setenv("SERVER_CERT", certificates.cert, 1) || setenv("SERVER_KEY", certificates.key, 1)) _exit(127);
    execl("/proc/self/exe", "link_secure_test", url, (char *)NULL);
    _exit(127);
  }
  assert_true(read(out[0], port, sizeof port - 1) > 0);
  snprintf(url, sizeof url, "%s://localhost:%d%s", scheme, (int)strtol(port, NULL, 10), path);
  tether_tls options = tls_of_client();
  tth_tls *tls;
  tth_dialer *dialer;
  tst_probe probe;
  assert_true(tst_tls_open(&options, true, &tls));
  tst_latch hold;
  tst_latch_init(&hold);
  tst_probe_init(&probe);
  probe.hold_open = &hold;
  assert_int_equal(nng->dialer_new(url, tls, &dialer), TETHER_OK);
  tth_tls_unref(tls);
  tth_link *link = tst_dial(dialer, TST_BOUND_NS, nng, NULL);
  assert_non_null(link);
  tst_probe_start(&probe, link);
  assert_true(tst_counter_wait(&probe.batches, 1, TST_BOUND_NS));
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_false(tst_counter_wait(&probe.closed, 1, 100 * TETHER_MS)); /* nng's threads see the end meanwhile */
  tst_latch_open(&hold);
  assert_true(tst_counter_wait(&probe.closed, 1, TST_BOUND_NS));
  if (atomic_load(&probe.complaint)) fail_msg("%s", atomic_load(&probe.complaint));
  tst_probe_fini(&probe);
  tst_latch_fini(&hold);
  nng->dialer_free(dialer);
  close(out[0]);
  close(out[1]);
}

static void a_peer_killed_while_we_handle_a_batch_closes_the_link(void **state) {
  (void)state;
  killed("tls+tcp", "");
  killed("ws", "/tether");
  killed("wss", "/tether");
}

int main(int argc, char **argv) {
  if (argc > 1) return child_main(argv[1]);
  const struct CMUnitTest tests[] = {
      with_certificates(the_certificates_name_is_checked),
      with_certificates(a_certificate_of_another_authority_is_refused),
      with_certificates(a_client_certificate_can_be_required),
      with_certificates(a_url_of_tls_needs_tls_options),
      with_certificates(plain_bytes_on_a_tls_port_are_closed_with_a_line),
      with_certificates(a_peer_that_left_before_the_greeting_is_noticed),
      with_certificates(batches_arrive_over_tls),
      with_certificates(batches_arrive_over_ws),
      with_certificates(batches_arrive_over_wss),
      with_certificates(a_pair_socket_can_dial_us_over_tls),
      with_certificates(we_can_dial_a_pair_socket_over_tls),
      with_certificates(a_link_can_be_closed_while_a_send_is_stuck),
      with_certificates(a_peer_killed_while_we_handle_a_batch_closes_the_link),
  };
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
