/* Connections whose peer has vanished, over real sockets: a proxy swallows what both sides say and closes nothing. And
 * how often a peer may be asked, how many connections there may be, and how old and idle they may get. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/byte_proxy.h"
#include "tests/support/frames.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define TIME_NS (200 * TETHER_MS)

static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

/* A server, and what stands between it and a client. */
struct fixture {
  struct rpc_fixture *rpc;
  byte_proxy *proxy;
  char path[80], url[96];
  tether_client *client; /* through the proxy */
};

static void begin(struct fixture *f, const tether_server_options *server, const tether_client_options *client) {
  *f = (struct fixture){0};
  assert_int_equal(rpc_fixture_open((void **)&f->rpc, server, NULL), 0);
  snprintf(f->path, sizeof f->path, "%s/proxy", f->rpc->dir);
  snprintf(f->url, sizeof f->url, "ipc://%s", f->path);
  f->proxy = byte_proxy_open(f->path, f->rpc->url + strlen("ipc://"), 1, (byte_proxy_faults){0});
  assert_non_null(f->proxy);
  assert_int_equal(tether_client_open(f->url, client, &f->client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(f->client, ctx), TETHER_OK);
}

static void end(struct fixture *f) {
  tether_client_close(f->client);
  byte_proxy_close(f->proxy);
  unlink(f->path);
  assert_int_equal(rpc_fixture_close((void **)&f->rpc), 0);
}

static tether_call *start_hang(struct fixture *f) {
  tether_call *call = testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->rpc->stats.hanging, 1));
  return call;
}

/* ---- Half-open ----------------------------------------------------------------------------- */

static void a_client_notices_that_its_server_has_vanished(void **state) {
  (void)state;
  struct fixture f;
  begin(&f, &(tether_server_options){.permit_keepalive_time_ns = 1},
        &(tether_client_options){.keepalive = {.time_ns = TIME_NS, .timeout_ns = TIME_NS}});
  TETHER_SCOPED_CALL tether_call *call = start_hang(&f);
  int64_t since_ns = tst_now_ns();
  byte_proxy_swallow(f.proxy);
  assert_int_equal(tether_call_wait(call), TETHER_UNAVAILABLE);
  assert_true(tst_now_ns() - since_ns >= TIME_NS); /* not without having asked */
  assert_non_null(strstr(tether_call_message(call), "keepalive"));
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_PEER_LOST);
  end(&f);
}

static void a_server_notices_that_its_client_has_vanished(void **state) {
  (void)state;
  struct fixture f;
  begin(&f, &(tether_server_options){.keepalive = {.time_ns = TIME_NS, .timeout_ns = TIME_NS}}, NULL);
  TETHER_SCOPED_CALL tether_call *call = start_hang(&f);
  byte_proxy_swallow(f.proxy);
  assert_true(rpc_wait_for(&f.rpc->stats.ended[TETHER_CAUSE_PEER_LOST], 1));
  tether_call_cancel(call, NULL);
  end(&f);
}

static bool is_not_ready(void *data) { return tether_client_connectivity(data) != TETHER_READY; }

static void a_client_that_may_ask_without_calls_notices_without_calls(void **state) {
  (void)state;
  struct fixture f;
  begin(
      &f, &(tether_server_options){.permit_keepalive_time_ns = 1, .permit_keepalive_without_calls = true},
      &(tether_client_options){.keepalive = {.time_ns = TIME_NS, .timeout_ns = TIME_NS, .permit_without_calls = true}});
  byte_proxy_swallow(f.proxy);
  assert_true(tst_wait_until(is_not_ready, f.client, RPC_TEST_BOUND_NS));
  end(&f);
}

static void quiet_connections_whose_peers_live_live_on(void **state) {
  (void)state;
  struct fixture f;
  const tether_keepalive often = {.time_ns = 20 * TETHER_MS, .timeout_ns = RPC_TEST_BOUND_NS};
  begin(&f, &(tether_server_options){.keepalive = often, .permit_keepalive_time_ns = 1},
        &(tether_client_options){.keepalive = often});
  TETHER_SCOPED_CALL tether_call *call = start_hang(&f);
  assert_int_equal(tether_ctx_sleep(tether_ctx_background(), 600 * TETHER_MS), TETHER_OK); /* thirty questions */
  assert_int_equal(atomic_load(&f.rpc->stats.hanging), 1);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  assert_true(rpc_wait_for(&f.rpc->stats.ended[TETHER_CAUSE_CALLER], 1));
  end(&f);
}

static void a_client_that_asks_too_often_is_told_so_and_loses_its_connection(void **state) {
  (void)state;
  struct fixture f;
  tst_stderr caught;
  begin(&f, NULL, &(tether_client_options){.keepalive = {.time_ns = 10 * TETHER_MS, .timeout_ns = RPC_TEST_BOUND_NS}});
  assert_true(tst_stderr_catch(&caught));
  TETHER_SCOPED_CALL tether_call *call = start_hang(&f);
  tether_code code = tether_call_wait(call);
  bool said = tst_stderr_says(&caught, "too_many_pings");
  tst_stderr_release(&caught);
  assert_int_equal(code, TETHER_UNAVAILABLE);
  assert_true(said);
  end(&f);
}

/* ---- Limits of connections ----------------------------------------------------------------- */

static tether_code quick(tether_client *client) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, NULL);
  return tether_call_code(call);
}

/* A plain peer that greets and, if `hello`, says so; it may have been turned away by then. */
static int raw_hello(const char *url, bool hello) {
  int fd = raw_connect_ipc(url + strlen("ipc://"));
  assert_true(fd >= 0 && raw_greet(fd));
  tst_frames frames = {0};
  tst_frames_hello(&frames, 0);
  uint8_t head[9] = {1, 0, 0, 0, 0, 0, 0, 0, (uint8_t)frames.len};
  bool sent = hello && raw_write(fd, head, sizeof head) && raw_write(fd, frames.bytes, frames.len);
  (void)sent;
  tst_frames_fini(&frames);
  return fd;
}

struct count {
  tether_server *server;
  uint32_t wanted;
};

static bool has_connections(void *data) {
  const struct count *count = data;
  tether_server_stats stats;
  return tether_server_get_stats(count->server, NULL, &stats) == TETHER_OK && stats.connections == count->wanted;
}

static void connections_beyond_the_limit_are_told_so_and_cost_the_others_nothing(void **state) {
  (void)state;
  struct rpc_fixture *f;
  assert_int_equal(rpc_fixture_open((void **)&f, &(tether_server_options){.max_connections = 2}, NULL), 0);
  assert_int_equal(quick(f->client), TETHER_OK);
  int fds[100];
  fds[0] = raw_hello(f->url, true);
  assert_true(tst_wait_until(has_connections, &(struct count){f->server, 2}, RPC_TEST_BOUND_NS));
  for (int i = 1; i < 100; i++) fds[i] = raw_hello(f->url, true);
  uint8_t said[4096] = {0};
  size_t len = 0;
  for (ssize_t n = 1; n > 0 && len<sizeof said; len += n> 0 ? (size_t)n : 0)
    n = read(fds[1], said + len, sizeof said - len); /* until it is closed, though this peer does not answer */
  assert_non_null(memmem(said, len, "too many connections", strlen("too many connections")));
  for (int i = 2; i < 100; i++) assert_true(raw_is_closed(fds[i]));
  assert_int_equal(quick(f->client), TETHER_OK);
  close(fds[0]);
  assert_true(tst_wait_until(has_connections, &(struct count){f->server, 1}, RPC_TEST_BOUND_NS));
  tether_client *late;
  assert_int_equal(tether_client_open(f->url, NULL, &late), TETHER_OK);
  assert_int_equal(quick(late), TETHER_OK);
  tether_client_close(late);
  for (int i = 1; i < 100; i++) close(fds[i]);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

static void who_greets_or_says_hello_too_late_is_closed(void **state) {
  (void)state;
  struct rpc_fixture *f;
  const tether_server_options options = {.handshake_timeout_ns = 200 * TETHER_MS};
  assert_int_equal(rpc_fixture_open((void **)&f, &options, NULL), 0);
  int64_t since_ns = tst_now_ns();
  int silent = raw_connect_ipc(f->url + strlen("ipc://"));
  assert_true(silent >= 0 && raw_is_closed(silent));
  assert_true(tst_now_ns() - since_ns < 9 * TETHER_SEC); /* not the transport's own 10 s */
  close(silent);
  int fd = raw_hello(f->url, false);
  assert_true(raw_is_closed(fd));
  close(fd);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

/* Also of a peer that answers nothing. */
static void idle_connections_are_closed(void **state) {
  (void)state;
  struct rpc_fixture *f;
  const tether_server_options options = {.max_connection_idle_ns = 50 * TETHER_MS};
  assert_int_equal(rpc_fixture_open((void **)&f, &options, NULL), 0);
  int fd = raw_hello(f->url, true);
  assert_true(raw_is_closed(fd));
  close(fd);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

static void connections_that_grow_old_are_replaced_and_no_call_that_was_sent_is_lost(void **state) {
  (void)state;
  struct rpc_fixture *f;
  const tether_server_options server = {.max_connection_age_ns = 20 * TETHER_MS};
  const tether_client_options client = {.backoff_initial_ns = TETHER_MS};
  assert_int_equal(rpc_fixture_open((void **)&f, &server, &client), 0);
  tether_client_stats stats;
  int64_t until_ns = tst_now_ns() + TETHER_SEC;
  int ended = 0;
  for (; tst_now_ns() < until_ns; ended++) (void)quick(f->client);
  tether_client_get_stats(f->client, &stats);
  assert_int_equal(stats.ended[TETHER_OK] + stats.unsent, ended);
  assert_true(stats.ended[TETHER_OK] > 0);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_client_notices_that_its_server_has_vanished),
      cmocka_unit_test(a_server_notices_that_its_client_has_vanished),
      cmocka_unit_test(a_client_that_may_ask_without_calls_notices_without_calls),
      cmocka_unit_test(quiet_connections_whose_peers_live_live_on),
      cmocka_unit_test(a_client_that_asks_too_often_is_told_so_and_loses_its_connection),
      cmocka_unit_test(connections_beyond_the_limit_are_told_so_and_cost_the_others_nothing),
      cmocka_unit_test(who_greets_or_says_hello_too_late_is_closed),
      cmocka_unit_test(idle_connections_are_closed),
      cmocka_unit_test(connections_that_grow_old_are_replaced_and_no_call_that_was_sent_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
