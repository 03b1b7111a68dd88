/* Ledgers: what a call brings back about the time it took, and about the calls below it. The test is the handler of
 * every call that is handed to it, so it decides who waits where and how each ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/interceptor.h>
#include <tether/ledger.h>

#include "rpc/client.h"
#include "rpc/recorder.h"
#include "rpc/server.h"
#include "tests/support/mem_names.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static int setup(void **state) { return rpc_fixture_open(state, &(tether_server_options){.max_workers = 1}, NULL); }

static tether_call *take(struct echo_stats *stats) {
  tether_call *handler = echo_take_handed(stats);
  assert_non_null(handler);
  return handler;
}

static int teardown(void **state) { return rpc_fixture_close(state); }

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

/* Starts a call whose handler is the test, and takes the handler's side. */
static tether_call *start(struct rpc_fixture *f, const tether_ctx *ctx, const tether_call_options *options,
                          tether_call **handler) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_handed_client_unary_start(f->client, ctx, &request, options, NULL, NULL);
  *handler = take(&f->stats);
  return call;
}

#define SLOW_NS (400 * TETHER_MS)

static void work(int64_t ns) { (void)tether_ctx_wait(tether_ctx_background(), ns); }

/* For longer than anything has taken in this test yet, on a busy machine too. */
static void work_longest(int64_t began_ns) {
  int64_t before_ns = tether_now_ns() - began_ns;
  work(SLOW_NS > 3 * before_ns ? SLOW_NS : 3 * before_ns);
}

static void a_failed_call_tells_of_every_call_made_below_it(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *a, *b, *c;
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  TETHER_SCOPED_CALL tether_call *good = start(f, tether_call_ctx(a), NULL, &b);
  echo_finish_handed(b, TETHER_OK);
  assert_int_equal(tether_call_wait(good), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *bad = start(f, tether_call_ctx(a), NULL, &c);
  echo_finish_handed(c, TETHER_ABORTED);
  assert_int_equal(tether_call_wait(bad), TETHER_ABORTED);
  echo_finish_handed(a, TETHER_NOT_FOUND);
  assert_int_equal(tether_call_wait(root), TETHER_NOT_FOUND);

  const tether_ledger *row = tether_call_ledger(root);
  assert_non_null(row);
  assert_ptr_equal(tether_call_ledger(root), row);
  assert_string_equal(row->method, testing_v1_handed_unary_method.path);
  assert_string_equal(row->hop, tether_origin());
  assert_true(row->answered && row->connected && !row->detached);
  assert_int_equal(row->code, TETHER_NOT_FOUND);
  assert_true(row->budget_ns > 0 && row->budget_ns <= RPC_TEST_BOUND_NS);
  assert_true(row->took_ns >= row->waited_ns + row->queue_ns + row->own_ns);
  assert_int_equal(row->child_count, 2);
  assert_int_equal(row->cut, 0);
  const tether_ledger *first = row->children[0], *second = row->children[1];
  assert_int_equal(first->code, TETHER_OK);
  assert_int_equal(second->code, TETHER_ABORTED);
  assert_true(first->started_ns >= 0 && second->started_ns >= first->started_ns + first->took_ns);
  assert_true(second->started_ns + second->took_ns <= row->own_ns);
  assert_false(first->answered); /* it succeeded and was not asked */
  assert_true(second->answered);
}

static void a_call_that_succeeds_has_a_ledger_only_if_it_asked(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *silent = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(silent, TETHER_OK);
  assert_null(tether_call_ledger(silent));
  TETHER_SCOPED_CALL tether_call *asked =
      testing_v1_echo_client_quick(f->client, ctx, &request, &(tether_call_options){.explain = true});
  rpc_assert_code(asked, TETHER_OK);
  assert_non_null(tether_call_ledger(asked));
  assert_true(tether_call_ledger(asked)->answered);
}

static void asking_reaches_every_hop(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *a, *b;
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, &(tether_call_options){.explain = true}, &a);
  TETHER_SCOPED_CALL tether_call *below = start(f, tether_call_ctx(a), NULL, &b);
  echo_finish_handed(b, TETHER_OK);
  assert_int_equal(tether_call_wait(below), TETHER_OK);
  echo_finish_handed(a, TETHER_OK);
  assert_int_equal(tether_call_wait(root), TETHER_OK);
  const tether_ledger *row = tether_call_ledger(root);
  assert_int_equal(row->child_count, 1);
  assert_true(row->children[0]->answered);
}

static void assert_blamed(tether_call *call, size_t depth, tether_phase phase) {
  const tether_ledger *row = tether_call_ledger(call), *blamed;
  tether_phase found;
  int64_t spent_ns;
  assert_non_null(row);
  tether_ledger_blame(row, &blamed, &found, &spent_ns);
  for (size_t i = 0; i < depth; i++) row = row->children[0];
  assert_ptr_equal(blamed, row);
  assert_int_equal(found, phase);
  assert_true(spent_ns > 0);
}

static void the_handler_that_was_slow_is_blamed_not_the_one_that_waited_for_it(void **state) {
  struct rpc_fixture *f = *state;
  for (size_t slow = 0; slow < 2; slow++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    int64_t began_ns = tether_now_ns();
    tether_call *a, *b;
    TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
    if (slow == 0) work_longest(began_ns);
    TETHER_SCOPED_CALL tether_call *below = start(f, tether_call_ctx(a), NULL, &b);
    if (slow == 1) work_longest(began_ns);
    echo_finish_handed(b, TETHER_ABORTED);
    assert_int_equal(tether_call_wait(below), TETHER_ABORTED);
    echo_finish_handed(a, TETHER_ABORTED);
    assert_int_equal(tether_call_wait(root), TETHER_ABORTED);
    assert_blamed(root, slow, TETHER_PHASE_HANDLER);
  }
}

static void time_in_the_servers_queue_is_told_apart(void **state) {
  struct rpc_fixture *f = *state; /* with one worker */
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED tether_ctx *hold = tether_ctx_with_cancel(tether_ctx_background());
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *holder =
      testing_v1_echo_client_hang_start(f->client, hold, &request, NULL, NULL, NULL);
  assert_non_null(holder);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  request.code = TETHER_ABORTED;
  request.name = (char *)"";
  TETHER_SCOPED_CALL tether_call *queued =
      testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, NULL, NULL);
  for (int i = 0; i < 3000 && tth_server_calls(f->server) < 2; i++) work(10 * TETHER_MS);
  work(200 * TETHER_MS);
  tether_ctx_cancel(hold);
  assert_int_equal(tether_call_wait(queued), TETHER_ABORTED);
  assert_blamed(queued, 0, TETHER_PHASE_QUEUED_THERE);
  assert_true(tether_call_ledger(queued)->queue_ns >= 150 * TETHER_MS);
}

static void a_call_that_found_no_server_was_connecting_all_the_time(void **state) {
  (void)state;
  tether_client *client;
  assert_int_equal(tether_client_open("ipc:///tmp/tether-nobody-there.sock", NULL, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_MS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick(client, ctx, &request, &(tether_call_options){.wait_for_ready = true});
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_blamed(call, 0, TETHER_PHASE_CONNECTING);
  assert_non_null(strstr(tether_call_message(call), "connecting"));
  tether_client_close(client);
}

/* The name server does not answer the handler's client. */
static void a_hop_that_could_not_resolve_its_servers_name_is_blamed_for_that(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *a;
  tether_client *client;
  tth_transport transport = tth_transport_nng;
  transport.resolver = &tst_resolver_mem;
  tst_names_now = (tst_names){0};
  assert_int_equal(tth_client_open_on(&transport, "dns:///silent.example:7000", NULL, &client), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.timeout_ns = SLOW_NS};
  TETHER_SCOPED_CALL tether_call *below = testing_v1_echo_client_quick(client, tether_call_ctx(a), &request, &options);
  rpc_assert_code(below, TETHER_DEADLINE_EXCEEDED);
  echo_finish_handed(a, TETHER_ABORTED);
  assert_int_equal(tether_call_wait(root), TETHER_ABORTED);
  const tether_ledger *row = tether_call_ledger(root)->children[0], *blamed;
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(row, &blamed, &phase, &spent_ns);
  assert_int_equal(phase, TETHER_PHASE_RESOLVING);
  assert_true(spent_ns >= SLOW_NS && spent_ns == row->took_ns && row->resolving_ns == row->waited_ns);
  tether_client_close(client);
}

static void more_calls_than_a_ledger_takes_are_counted(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *a;
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < TTH_RECORDER_LEGS + 24; i++) { /* the last are the ones that fail */
    request.code = i < TTH_RECORDER_LEGS + 20 ? TETHER_OK : TETHER_ABORTED;
    request.name = (char *)"";
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, tether_call_ctx(a), &request, NULL);
    rpc_assert_code(call, (tether_code)request.code);
  }
  echo_finish_handed(a, TETHER_ABORTED);
  assert_int_equal(tether_call_wait(root), TETHER_ABORTED);
  const tether_ledger *row = tether_call_ledger(root);
  assert_int_equal(row->child_count + row->cut, TTH_RECORDER_LEGS + 24);
  assert_true(row->child_count <= TTH_RECORDER_LEGS);
  size_t failed = 0;
  for (size_t i = 0; i < row->child_count; i++) failed += row->children[i]->code == TETHER_ABORTED;
  assert_int_equal(failed, 4);
}

static void the_waterfall_has_a_line_for_each_call_and_names_what_took_the_time(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  int64_t began_ns = tether_now_ns();
  tether_call *a, *b;
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  TETHER_SCOPED_CALL tether_call *below = start(f, tether_call_ctx(a), NULL, &b);
  work_longest(began_ns);
  echo_finish_handed(b, TETHER_ABORTED);
  assert_int_equal(tether_call_wait(below), TETHER_ABORTED);
  echo_finish_handed(a, TETHER_ABORTED);
  assert_int_equal(tether_call_wait(root), TETHER_ABORTED);
  char text[4096], cut[40];
  size_t len = tether_ledger_text(tether_call_ledger(root), 40, text, sizeof text);
  assert_int_equal(len, strlen(text));
  int lines = 0;
  for (const char *at = text; (at = strchr(at, '\n')); at++) lines++;
  assert_int_equal(lines, 4);
  assert_non_null(strstr(text, "##"));
  assert_non_null(strstr(text, "in the handler, /testing.v1.Handed/Unary at"));
  assert_int_equal(tether_ledger_text(tether_call_ledger(root), 40, cut, sizeof cut), len);
  assert_int_equal(strlen(cut), sizeof cut - 1);
}

/* ---- Answers that come after the end ------------------------------------------------------- */

/* A call that ran out of time, with a call below it; neither handler has returned. */
struct overdue {
  tether_call *root, *below; /* at their callers */
  tether_call *a, *b;        /* at their handlers */
};

/* The root's time is over when the test says so, and has been at the handlers for the most part. */
static struct overdue start_overdue(struct rpc_fixture *f, bool explain) {
  struct overdue o;
  int64_t began_ns = tether_now_ns();
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  o.root = start(f, ctx, &(tether_call_options){.explain = explain}, &o.a);
  o.below = start(f, tether_call_ctx(o.a), NULL, &o.b);
  assert_int_equal(tether_call_wait_ledger(o.root, 0), TETHER_FAILED_PRECONDITION);
  work_longest(began_ns);
  tether_ctx_cancel_cause(ctx, tether_cause_deadline_exceeded());
  assert_int_equal(tether_call_wait(o.root), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_call_wait(o.below), TETHER_DEADLINE_EXCEEDED);
  return o;
}

static void finish_overdue(struct overdue *o) {
  tether_call_unref(o->root);
  tether_call_unref(o->below);
}

static void a_call_without_an_answer_says_that_it_waited_for_one_and_from_whom(void **state) {
  struct rpc_fixture *f = *state;
  struct overdue o = start_overdue(f, false);
  assert_blamed(o.root, 0, TETHER_PHASE_WAITING);
  char wanted[128];
  snprintf(wanted, sizeof wanted, "waiting for an answer (/testing.v1.Handed/Unary at %s)", tether_origin());
  assert_non_null(strstr(tether_call_message(o.root), wanted));
  assert_false(tether_call_ledger(o.root)->answered);
  assert_int_equal(tether_call_wait_ledger(o.root, TETHER_MS), TETHER_DEADLINE_EXCEEDED);
  echo_finish_handed(o.b, TETHER_OK);
  echo_finish_handed(o.a, TETHER_OK);
  assert_int_equal(tether_call_wait_ledger(o.root, RPC_TEST_BOUND_NS), TETHER_OK);
  finish_overdue(&o);
}

static void an_answer_that_comes_after_the_end_makes_the_ledger_complete(void **state) {
  struct rpc_fixture *f = *state;
  struct overdue o = start_overdue(f, true);
  const tether_ledger *before = tether_call_ledger(o.root);
  echo_finish_handed(o.b, TETHER_OK);
  assert_int_equal(tether_call_wait_ledger(o.below, RPC_TEST_BOUND_NS), TETHER_OK);
  echo_finish_handed(o.a, TETHER_OK);
  assert_int_equal(tether_call_wait_ledger(o.root, RPC_TEST_BOUND_NS), TETHER_OK);
  const tether_ledger *row = tether_call_ledger(o.root);
  assert_true(row->answered && !before->answered); /* which is still there */
  assert_int_equal(row->child_count, 1);
  assert_true(row->children[0]->answered);
  assert_blamed(o.root, 1, TETHER_PHASE_HANDLER);
  assert_ptr_equal(tether_call_ledger(o.root), row);
  finish_overdue(&o);
}

/* false: it took so long that the server need not have waited. */
static bool is_kept_for_those_below(struct rpc_fixture *f) {
  struct overdue o = start_overdue(f, true);
  int64_t began_ns = tether_now_ns();
  echo_finish_handed(o.a, TETHER_OK);
  bool kept = tether_call_wait_ledger(o.root, 20 * TETHER_MS) == TETHER_DEADLINE_EXCEEDED;
  echo_finish_handed(o.b, TETHER_OK);
  bool in_time = tether_now_ns() - began_ns < 500 * TETHER_MS; /* of a second */
  assert_int_equal(tether_call_wait_ledger(o.root, RPC_TEST_BOUND_NS), TETHER_OK);
  assert_true(!in_time || (kept && tether_call_ledger(o.root)->children[0]->answered));
  finish_overdue(&o);
  return in_time;
}

static void a_server_keeps_the_answer_to_an_explained_call_until_it_has_those_below(void **state) {
  int tries = 0;
  while (!is_kept_for_those_below(*state)) assert_true(++tries < 20);
}

static void but_not_for_longer_than_a_second_nor_for_a_call_that_did_not_ask(void **state) {
  struct rpc_fixture *f = *state;
  for (int explain = 0; explain < 2; explain++) {
    struct overdue o = start_overdue(f, explain);
    echo_finish_handed(o.a, TETHER_OK);
    assert_int_equal(tether_call_wait_ledger(o.root, RPC_TEST_BOUND_NS), TETHER_OK);
    const tether_ledger *row = tether_call_ledger(o.root);
    assert_true(row->answered && !row->children[0]->answered);
    assert_blamed(o.root, 1, TETHER_PHASE_WAITING);
    echo_finish_handed(o.b, TETHER_OK);
    finish_overdue(&o);
  }
}

static void a_handler_that_passes_a_deadline_on_without_a_text_leaves_it_to_the_ledger(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *a, *b;
  TETHER_SCOPED_CALL tether_call *root = start(f, ctx, NULL, &a);
  TETHER_SCOPED_CALL tether_call *below = start(f, tether_call_ctx(a), NULL, &b);
  echo_finish_handed(b, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_call_wait(below), TETHER_DEADLINE_EXCEEDED);
  echo_finish_handed(a, TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(tether_call_wait(root), TETHER_DEADLINE_EXCEEDED);
  assert_non_null(strstr(tether_call_message(root), "(/testing.v1.Handed/Unary at "));
}

/* ---- Told late ------------------------------------------------------------------------------ */

/* Keeps the thread that has taken the answer from the connection until the deadline has ended the call. */
static void outlast(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  tether_code *seen = data;
  (void)bytes, (void)state;
  if (!sent) *seen = tether_call_wait(call);
}

static void open_latch(void *data) { tst_latch_open(data); }

/* The timer's thread, which has ended the call, lets go of it before it comes to what is due later. */
static void wait_for_the_timer(void) {
  tst_latch passed;
  tether_after after;
  tst_latch_init(&passed);
  TETHER_SCOPED tether_ctx *later = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx_after_func(later, &after, NULL, open_latch, &passed);
  assert_true(tst_latch_wait(&passed, TST_BOUND_NS));
  tether_after_stop_wait(&after);
  tst_latch_fini(&passed);
}

static void an_answer_that_waits_here_for_its_reader_was_not_connecting(void **state) {
  (void)state;
  tether_code seen = TETHER_OK;
  const tether_interceptor slow = {.message = outlast, .data = &seen}, *const interceptors[] = {&slow, NULL};
  tst_mem_net *net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  tst_mem_peer peer = {0};
  assert_true(tst_mem_peer_listen(&peer, net, "mem://quick"));
  tether_client *client;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://quick",
                                      &(tether_client_options){.interceptors = interceptors}, &client),
                   TETHER_OK);
  tst_link_mem_pump(net);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 10);
  tst_mem_peer_say_frames(&peer, &frames);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 100 * TETHER_MS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_download_start(client, ctx, &request, NULL, NULL, NULL);
  tst_link_mem_pump(net);
  tst_frames_raw(&frames, TTH_MESSAGE, 0, 1, NULL, 0);
  tst_frames_trailers(&frames, 1, TETHER_OK);
  tst_mem_peer_say_frames(&peer, &frames);
  tst_frames_fini(&frames);
  assert_int_equal(seen, TETHER_DEADLINE_EXCEEDED);
  const char *message = tether_call_message(call), *phase = tether_phase_text(TETHER_PHASE_WAITING);
  if (!strstr(message, phase)) fail_msg("%s: not %s", message, phase);
  tether_call_unref(call);
  wait_for_the_timer();
  tst_mem_peer_fini(&peer);
  tst_link_mem_pump(net);
  tether_client_close(client);
  tst_mem_net_free(net);
}

/* ---- From a hostile server ----------------------------------------------------------------- */

/* A Hop with one leg, whose hop it is, and so on; most of it is the innermost. */
static ProtobufCBinaryData nested(int depth) {
  uint8_t *bytes = calloc(1, 64 * 1024);
  size_t len = 0;
  assert_non_null(bytes);
  for (int i = 0; i < depth; i++) {
    Tether__V1__Leg leg = TETHER__V1__LEG__INIT, *legs[] = {&leg};
    Tether__V1__Hop hop = TETHER__V1__HOP__INIT;
    leg.has_hop = true;
    leg.hop = (ProtobufCBinaryData){.len = len, .data = bytes};
    hop.n_legs = 1;
    hop.legs = legs;
    uint8_t *outer = malloc(64 * 1024);
    assert_non_null(outer);
    len = tether__v1__hop__pack(&hop, outer);
    free(bytes);
    bytes = outer;
  }
  return (ProtobufCBinaryData){.len = len, .data = bytes};
}

static void expect_ledger(tst_mem_peer *peer, tether_client *client, uint32_t stream, ProtobufCBinaryData bytes,
                          size_t depth) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  tst_link_mem_pump(peer->net);
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  trailers.code = TETHER_ABORTED;
  trailers.has_ledger = true;
  trailers.ledger = bytes;
  uint8_t payload[64 * 1024];
  size_t len = tether__v1__trailers__pack(&trailers, payload);
  tst_frames frames = {0};
  tst_frames_raw(&frames, TTH_TRAILERS, 0, stream, payload, len);
  tst_mem_peer_say_frames(peer, &frames);
  tst_frames_fini(&frames);
  assert_int_equal(tether_call_wait(call), TETHER_ABORTED);
  const tether_ledger *row = tether_call_ledger(call);
  assert_non_null(row);
  size_t deep = 0;
  for (; row->child_count; row = row->children[0]) deep++;
  assert_int_equal(deep, depth);
  char text[8192];
  assert_true(tether_ledger_text(tether_call_ledger(call), 40, text, sizeof text) > 0);
  free(bytes.data);
}

static void a_ledger_that_makes_no_sense_costs_only_itself(void **state) {
  (void)state;
  tst_mem_net *net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  tst_mem_peer peer = {0};
  assert_true(tst_mem_peer_listen(&peer, net, "mem://liar"));
  tether_client *client;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://liar", NULL, &client), TETHER_OK);
  tst_link_mem_pump(net);
  tst_frames frames = {0};
  tst_frames_hello(&frames, 10);
  tst_mem_peer_say_frames(&peer, &frames);
  tst_frames_fini(&frames);
  uint8_t *garbage = malloc(100);
  assert_non_null(garbage);
  memset(garbage, 0xff, 100);
  expect_ledger(&peer, client, 1, (ProtobufCBinaryData){.len = 100, .data = garbage}, 0);
  expect_ledger(&peer, client, 2, nested(5), 5);
  expect_ledger(&peer, client, 3, nested(500), TTH_LEDGER_DEPTH);
  tst_mem_peer_fini(&peer);
  tst_link_mem_pump(net);
  tether_client_close(client);
  tst_mem_net_free(net);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_failed_call_tells_of_every_call_made_below_it),
      CASE(a_call_that_succeeds_has_a_ledger_only_if_it_asked),
      CASE(asking_reaches_every_hop),
      CASE(the_handler_that_was_slow_is_blamed_not_the_one_that_waited_for_it),
      CASE(time_in_the_servers_queue_is_told_apart),
      cmocka_unit_test(a_call_that_found_no_server_was_connecting_all_the_time),
      CASE(a_hop_that_could_not_resolve_its_servers_name_is_blamed_for_that),
      CASE(more_calls_than_a_ledger_takes_are_counted),
      CASE(the_waterfall_has_a_line_for_each_call_and_names_what_took_the_time),
      CASE(a_call_without_an_answer_says_that_it_waited_for_one_and_from_whom),
      CASE(an_answer_that_comes_after_the_end_makes_the_ledger_complete),
      CASE(a_server_keeps_the_answer_to_an_explained_call_until_it_has_those_below),
      CASE(but_not_for_longer_than_a_second_nor_for_a_call_that_did_not_ask),
      CASE(a_handler_that_passes_a_deadline_on_without_a_text_leaves_it_to_the_ledger),
      cmocka_unit_test(an_answer_that_waits_here_for_its_reader_was_not_connecting),
      cmocka_unit_test(a_ledger_that_makes_no_sense_costs_only_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
