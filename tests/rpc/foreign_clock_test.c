/* Closing and shutting down while a clock is installed that has nothing to do with the machine's: it counts from its
 * own start, as an event loop's does, or from 1970. Their waits are bounded in real time all the same. */
#include <tether/clock.h>

#include "rpc/client.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define FROM_1970 (1800000000 * TETHER_SEC)

static int64_t begun_ns, origin_ns;

static int64_t now(void *data) {
  (void)data;
  return origin_ns + tst_now_ns() - begun_ns;
}

static int setup_from(void **state, int64_t at_ns) {
  const tether_clock clock = {.now_ns = now};
  begun_ns = tst_now_ns();
  origin_ns = at_ns;
  return tether_clock_set(&clock) == TETHER_OK ? rpc_fixture_open(state, NULL, NULL) : -1;
}

static int setup_own(void **state) { return setup_from(state, 0); }
static int setup_1970(void **state) { return setup_from(state, FROM_1970); }

static int teardown(void **state) {
  int left = rpc_fixture_close(state);
  return tether_clock_set(NULL) == TETHER_OK ? left : -1;
}

struct shutdown {
  struct ctx_thread thread;
  tether_server *server;
  int64_t grace_ns;
};

static void shut_down(void *data) {
  struct shutdown *s = data;
  tether_server_shutdown(s->server, s->grace_ns);
}

/* A call with a handler that somebody else finishes. */
static tether_call *start(struct rpc_fixture *f, tether_call **handler) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call =
      testing_v1_handed_client_unary_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  *handler = echo_take_handed(&f->stats);
  assert_non_null(*handler);
  return call;
}

static bool is_cut(void *data) { return tether_ctx_err(tether_call_ctx(data)) != TETHER_OK; }

static void a_shutdown_with_grace_lets_a_handler_finish(void **state) {
  struct rpc_fixture *f = *state;
  struct shutdown s = {.server = f->server, .grace_ns = RPC_TEST_BOUND_NS};
  tether_call *handler, *call = start(f, &handler);
  ctx_thread_start(&s.thread, shut_down, &s);
  ctx_thread_blocks(&s.thread);
  bool cut = is_cut(handler);
  echo_finish_handed(handler, TETHER_OK);
  ctx_thread_join(&s.thread);
  assert_false(cut);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  tether_call_unref(call);
}

static void a_shutdown_without_grace_cuts_a_handler(void **state) {
  struct rpc_fixture *f = *state;
  struct shutdown s = {.server = f->server};
  tether_call *handler, *call = start(f, &handler);
  ctx_thread_start(&s.thread, shut_down, &s);
  bool cut = tst_wait_until(is_cut, handler, TST_BOUND_NS);
  echo_finish_handed(handler, TETHER_OK);
  ctx_thread_join(&s.thread);
  assert_true(cut);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  tether_call_unref(call);
}

/* ---- A server that answers nothing --------------------------------------------------------- */

struct closing {
  struct ctx_thread thread;
  tst_mem_net *net;
};

static void close_client(void *data) { tether_client_close(data); }

static bool is_closed(void *data) {
  struct closing *closing = data;
  tst_link_mem_pump(closing->net);
  return ctx_latch_is_open(&closing->thread.finished);
}

static void a_close_waits_for_a_silent_server_no_longer_than_it_may(void **state) {
  struct closing closing = {.net = tst_mem_net_new(true)};
  tst_mem_peer peer;
  tst_frames hello = {0};
  tether_client *client;
  (void)state;
  tst_mem_net_use(closing.net);
  assert_true(tst_mem_peer_listen(&peer, closing.net, "mem://silent"));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://silent", NULL, &client), TETHER_OK);
  tst_link_mem_pump(closing.net);
  tst_frames_hello(&hello, 8);
  tst_mem_peer_say_frames(&peer, &hello);
  tst_frames_fini(&hello);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  ctx_thread_start(&closing.thread, close_client, client);
  assert_true(tst_wait_until(is_closed, &closing, TST_BOUND_NS));
  ctx_thread_join(&closing.thread);
  tst_mem_peer_fini(&peer);
  tst_mem_net_free(closing.net);
}

#define CASES(name)                                                            \
  {#name " (a clock that has just begun)", name, setup_own, teardown, NULL}, { \
#name " (a clock from 1970)", name, setup_1970, teardown, NULL             \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASES(a_shutdown_with_grace_lets_a_handler_finish),
      CASES(a_shutdown_without_grace_cuts_a_handler),
      CASES(a_close_waits_for_a_silent_server_no_longer_than_it_may),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
