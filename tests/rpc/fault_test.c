/* A client and a server whose connection fails in every phase of a call: what the caller is told, and what the handler
 * sees as the cause. In memory, in virtual time; only pooled handlers have threads. */
#include <stdio.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/link_mem.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define URL "mem://s"

static struct fault {
  tst_mem_net *net;
  tether_server *server;
  tether_client *client;
  struct echo_stats stats;
  tth_link *link;   /* the client's newest */
  tth_link *theirs; /* the server's end of one that vanished; NULL: none */
  void (*dialed)(void *owner, tth_link *link, const char *why);
} f;

/* The transport in memory, with a look at the client's links. */
static void note_link(void *owner, tth_link *link, const char *why) {
  f.link = link;
  f.dialed(owner, link, why);
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  f.dialed = done;
  tst_transport_mem.dial(dialer, timeout_ns, note_link, owner);
}

static tth_link *server_link(void) { return tst_mem_other_end(f.link); }

/* Moves both times on. */
static void move(int64_t ns) {
  ctx_sim_advance(ns);
  tst_link_mem_advance(f.net, tether_now_ns());
}
static void pump(void) { move(0); }

static void break_link(void) {
  tth_link *link = f.link;
  f.link = NULL; /* unless another comes */
  if (link) tst_mem_break(link);
  pump();
}

static void break_theirs(void) {
  if (f.theirs) tst_mem_break(f.theirs);
  f.theirs = NULL;
}

static int setup(void **state) {
  static tth_transport transport;
  if (ctx_sim_setup(state) != 0) return -1;
  memset(&f, 0, sizeof f);
  transport = tst_transport_mem;
  transport.dial = dial;
  f.net = tst_mem_net_new(true);
  tst_mem_net_use(f.net);
  bool open = tth_server_open_on(&transport, NULL, &f.server) == TETHER_OK &&
              echo_server_add(f.server, &f.stats) == TETHER_OK && tether_server_listen(f.server, URL) == TETHER_OK &&
              tth_client_open_on(&transport, URL, NULL, &f.client) == TETHER_OK;
  return open ? 0 : -1;
}

static bool no_calls(void *data) {
  (void)data;
  pump(); /* handlers answer from their own threads */
  return tth_server_calls(f.server) == 0;
}

static int teardown(void **state) {
  break_theirs();
  bool idle = tst_wait_until(no_calls, NULL, RPC_TEST_BOUND_NS);
  while (f.link) break_link(); /* one that lasted is replaced at once */
  tether_client_close(f.client);
  tether_server_close(f.server);
  tst_mem_net_free(f.net);
  return ctx_sim_teardown(state) == 0 && idle ? 0 : -1;
}

static tether_call *start_quick(const tether_ctx *ctx) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"fault";
  return testing_v1_echo_client_quick_start(f.client, ctx, &request, NULL, NULL, NULL);
}

static tether_call *start_hang(const tether_ctx *ctx) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  return testing_v1_echo_client_hang_start(f.client, ctx, &request, NULL, NULL, NULL);
}

static tether_ctx *within(int64_t ns) { return tether_ctx_with_timeout(tether_ctx_background(), ns); }

static void assert_ready(void) {
  pump();
  assert_int_equal(tether_client_connectivity(f.client), TETHER_READY);
}

static void assert_serves(void) {
  TETHER_SCOPED tether_ctx *ctx = within(TETHER_SEC);
  assert_ready();
  TETHER_SCOPED_CALL tether_call *call = start_quick(ctx);
  pump();
  rpc_assert_code(call, TETHER_OK);
}

static void assert_lost(const tether_call *call) {
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_PEER_LOST);
}

static bool running(const tether_call *call) {
  return !tether_call_cause(call) && tether_call_code(call) == TETHER_OK && !tether_call_reply(call);
}

/* ---- The connection is lost ---------------------------------------------------------------- */

static void before_hello_the_call_fails_and_nothing_ran(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *call = start_quick(tether_ctx_background());
  while (!f.link) assert_true(tst_link_mem_step(f.net));
  assert_true(running(call));
  break_link();
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_int_equal(tether_client_connectivity(f.client), TETHER_TRANSIENT_FAILURE);
  assert_int_equal(atomic_load(&f.stats.started), 0);
  move(2 * TETHER_SEC);
  assert_serves();
}

static void between_calls_the_next_call_waits_for_the_next_connection(void **state) {
  (void)state;
  assert_ready();
  break_link();
  TETHER_SCOPED_CALL tether_call *call = start_quick(tether_ctx_background());
  pump();
  assert_true(running(call));
  move(2 * TETHER_SEC);
  rpc_assert_code(call, TETHER_OK);
}

static void while_the_request_is_on_its_way_the_call_is_lost_and_no_handler_runs(void **state) {
  (void)state;
  assert_ready();
  tst_mem_hold(f.link, true);
  TETHER_SCOPED_CALL tether_call *call = start_quick(tether_ctx_background());
  pump();
  break_link();
  assert_lost(call);
  assert_int_equal(atomic_load(&f.stats.started), 0);
}

static void while_half_of_a_long_request_has_arrived_the_call_is_lost_and_no_handler_runs(void **state) {
  (void)state;
  enum { LONG = 1 << 20 };
  assert_ready();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body.data = test_calloc(1, LONG);
  request.body.len = LONG;
  tst_mem_room(f.link, 0); /* a batch at a time */
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(f.client, tether_ctx_background(), &request, NULL, NULL, NULL);
  uint64_t before = tst_mem_stats_of(server_link()).bytes_received;
  while (tst_mem_stats_of(server_link()).bytes_received - before < LONG / 2) assert_true(tst_link_mem_step(f.net));
  assert_int_equal(tth_server_calls(f.server), 1);
  break_link();
  assert_lost(call);
  assert_int_equal(atomic_load(&f.stats.started), 0);
  test_free(request.body.data);
}

static void while_the_handler_runs_both_sides_learn_that_the_peer_is_lost(void **state) {
  (void)state;
  assert_ready();
  TETHER_SCOPED_CALL tether_call *call = start_hang(tether_ctx_background());
  pump();
  assert_true(rpc_wait_for(&f.stats.hanging, 1));
  break_link();
  assert_lost(call);
  assert_true(rpc_wait_for(&f.stats.ended[TETHER_CAUSE_PEER_LOST], 1));
}

static void while_the_reply_is_on_its_way_the_call_is_lost_though_it_ran(void **state) {
  (void)state;
  assert_ready();
  tst_mem_hold(server_link(), true);
  TETHER_SCOPED_CALL tether_call *call = start_quick(tether_ctx_background());
  pump();
  assert_int_equal(atomic_load(&f.stats.started), 1);
  break_link();
  assert_lost(call);
}

static void the_client_vanishes_and_the_handler_ends_with_its_deadline(void **state) {
  (void)state;
  assert_ready();
  TETHER_SCOPED tether_ctx *ctx = within(5 * TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = start_hang(ctx);
  pump();
  assert_true(rpc_wait_for(&f.stats.hanging, 1));
  f.theirs = server_link();
  tst_mem_vanish(f.link);
  f.link = NULL;
  pump();
  assert_lost(call);
  assert_int_equal(atomic_load(&f.stats.hanging), 1);
  move(5 * TETHER_SEC);
  assert_true(rpc_wait_for(&f.stats.ended[TETHER_CAUSE_DEADLINE], 1));
  break_theirs();
}

/* ---- The connection is cut and heals ------------------------------------------------------- */

static void partition(bool cut) {
  tst_mem_hold(f.link, cut);
  tst_mem_hold(server_link(), cut);
  pump();
}

static void in_a_partition_both_sides_end_with_the_deadline_and_the_connection_goes_on(void **state) {
  (void)state;
  assert_ready();
  TETHER_SCOPED tether_ctx *ctx = within(TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = start_hang(ctx);
  pump();
  assert_true(rpc_wait_for(&f.stats.hanging, 1));
  partition(true);
  move(TETHER_SEC - 1);
  assert_true(running(call));
  move(1);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_DEADLINE);
  assert_non_null(strstr(tether_call_message(call), "waiting for an answer"));
  assert_true(rpc_wait_for(&f.stats.ended[TETHER_CAUSE_DEADLINE], 1));
  partition(false);
  assert_serves();
}

static void a_request_that_arrives_after_its_caller_gave_up_is_cancelled_with_the_deadline(void **state) {
  (void)state;
  assert_ready();
  partition(true);
  TETHER_SCOPED tether_ctx *ctx = within(TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *call = start_hang(ctx);
  move(TETHER_SEC);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(atomic_load(&f.stats.started), 0);
  partition(false);
  assert_true(tst_wait_until(no_calls, NULL, RPC_TEST_BOUND_NS));
  assert_int_equal(atomic_load(&f.stats.started), atomic_load(&f.stats.ended[TETHER_CAUSE_DEADLINE]));
  assert_serves();
}

static void a_request_that_could_not_leave_before_its_deadline_never_does(void **state) {
  (void)state;
  assert_ready();
  tst_mem_room(f.link, 0);
  partition(true);
  TETHER_SCOPED tether_ctx *ctx = within(TETHER_SEC);
  TETHER_SCOPED_CALL tether_call *first = start_quick(tether_ctx_background()); /* is on its way, and all that fits */
  TETHER_SCOPED_CALL tether_call *call = start_quick(ctx);
  move(TETHER_SEC);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_non_null(strstr(tether_call_message(call), "queued here"));
  partition(false);
  rpc_assert_code(first, TETHER_OK);
  assert_serves();
  assert_int_equal(atomic_load(&f.stats.started), 2);
}

static void a_cancel_follows_its_request_through_a_partition_with_its_cause(void **state) {
  (void)state;
  assert_ready();
  TETHER_SCOPED_CALL tether_call *call = start_hang(tether_ctx_background());
  pump();
  assert_true(rpc_wait_for(&f.stats.hanging, 1));
  partition(true);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "here", "enough");
  tether_call_cancel(call, cause);
  tether_cause_unref(cause);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_int_equal(atomic_load(&f.stats.hanging), 1);
  partition(false);
  assert_true(rpc_wait_for(&f.stats.ended[TETHER_CAUSE_SIBLING], 1));
  assert_serves();
}

static void a_cancel_that_crosses_the_reply_wins_and_the_connection_goes_on(void **state) {
  (void)state;
  assert_ready();
  tst_mem_hold(server_link(), true);
  TETHER_SCOPED_CALL tether_call *call = start_quick(tether_ctx_background());
  pump();
  tether_call_cancel(call, NULL);
  tst_mem_hold(server_link(), false);
  pump();
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_null(tether_call_reply(call));
  assert_serves();
}

/* ---- Slow connections ---------------------------------------------------------------------- */

static void a_deadline_shorter_than_the_way_there_and_back_is_exceeded_one_longer_is_met(void **state) {
  (void)state;
  assert_ready();
  tst_mem_delay(f.link, 30 * TETHER_MS);
  tst_mem_delay(server_link(), 30 * TETHER_MS);
  TETHER_SCOPED tether_ctx *soon = within(59 * TETHER_MS), *later = within(61 * TETHER_MS);
  TETHER_SCOPED_CALL tether_call *late = start_quick(soon);
  TETHER_SCOPED_CALL tether_call *met = start_quick(later);
  for (int i = 0; i < 61; i++) move(TETHER_MS);
  rpc_assert_code(late, TETHER_DEADLINE_EXCEEDED);
  rpc_assert_code(met, TETHER_OK);
}

static void calls_of_any_order_of_arrival_get_their_own_replies(void **state) {
  (void)state;
  enum { N = 50 };
  tether_call *calls[N];
  assert_ready();
  tst_mem_net_shuffle(f.net, 7);
  tst_mem_room(f.link, 0);
  for (int i = 0; i < N; i++) {
    char name[16];
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    snprintf(name, sizeof name, "%d", i);
    request.name = name;
    calls[i] = i % 2
                   ? testing_v1_echo_client_quick_start(f.client, tether_ctx_background(), &request, NULL, NULL, NULL)
                   : testing_v1_echo_client_pooled_start(f.client, tether_ctx_background(), &request, NULL, NULL, NULL);
  }
  assert_true(tst_wait_until(no_calls, NULL, RPC_TEST_BOUND_NS));
  for (int i = 0; i < N; i++) {
    char text[32];
    while (running(calls[i])) pump();
    rpc_assert_code(calls[i], TETHER_OK);
    snprintf(text, sizeof text, "hello %d", i);
    assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(calls[i]))->text, text);
    tether_call_unref(calls[i]);
  }
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(before_hello_the_call_fails_and_nothing_ran),
      CASE(between_calls_the_next_call_waits_for_the_next_connection),
      CASE(while_the_request_is_on_its_way_the_call_is_lost_and_no_handler_runs),
      CASE(while_half_of_a_long_request_has_arrived_the_call_is_lost_and_no_handler_runs),
      CASE(while_the_handler_runs_both_sides_learn_that_the_peer_is_lost),
      CASE(while_the_reply_is_on_its_way_the_call_is_lost_though_it_ran),
      CASE(the_client_vanishes_and_the_handler_ends_with_its_deadline),
      CASE(in_a_partition_both_sides_end_with_the_deadline_and_the_connection_goes_on),
      CASE(a_request_that_arrives_after_its_caller_gave_up_is_cancelled_with_the_deadline),
      CASE(a_request_that_could_not_leave_before_its_deadline_never_does),
      CASE(a_cancel_follows_its_request_through_a_partition_with_its_cause),
      CASE(a_cancel_that_crosses_the_reply_wins_and_the_connection_goes_on),
      CASE(a_deadline_shorter_than_the_way_there_and_back_is_exceeded_one_longer_is_met),
      CASE(calls_of_any_order_of_arrival_get_their_own_replies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
