/* One verdict: client and server record the same status for the same call, however reply, deadline and cancel cross. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tether/clock.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { CALLS = 4000, THREADS = 4 };
#else
enum { CALLS = 25000, THREADS = 4 };
#endif

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

struct counted {
  struct rpc_fixture *f;
  tether_client_stats client;
  tether_server_stats server;
};

static bool agree(void *data) {
  struct counted *c = data;
  tether_client_get_stats(c->f->client, &c->client);
  if (tether_server_get_stats(c->f->server, NULL, &c->server) != TETHER_OK) return false;
  return memcmp(c->client.ended, c->server.ended, sizeof c->client.ended) == 0;
}

/* Both sides agree once the last TRAILERS and corrections have arrived. */
static struct counted assert_agreed(struct rpc_fixture *f) {
  struct counted c = {.f = f};
  if (tst_wait_until(agree, &c, TST_BOUND_NS)) return c;
  for (int i = 0; i < TETHER_CODES; i++)
    if (c.client.ended[i] != c.server.ended[i])
      print_error("%s: client %llu, server %llu\n", tether_code_name((tether_code)i),
                  (unsigned long long)c.client.ended[i], (unsigned long long)c.server.ended[i]);
  fail();
  return c;
}

static void the_servers_record_follows_a_caller_that_left_before_the_reply_came(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_handed_client_unary_start(f->client, ctx, &request, NULL, NULL, NULL);
  tether_call *handler = echo_take_handed(&f->stats);
  assert_non_null(handler);
  echo_finish_handed(handler, TETHER_OK); /* the reply is on its way while the caller leaves */
  tether_call_cancel(call, NULL);
  tether_code code = tether_call_wait(call);
  struct counted c = assert_agreed(f);
  assert_int_equal(c.server.ended[code], 1);
}

static void a_reply_that_cannot_be_taken_counts_as_the_caller_saw_it(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  static tether_method wrong; /* the same path, with a reply of another type */
  wrong = testing_v1_echo_quick_method;
  wrong.reply = &testing__v1__mistake__descriptor;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"text where a number belongs";
  TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, &wrong, &request.base, NULL);
  rpc_assert_code(call, TETHER_INTERNAL);
  struct counted c = assert_agreed(f);
  assert_int_equal(c.server.ended[TETHER_INTERNAL], 1);
}

/* A server on a net of its own. */
static tether_server *serve_on(tst_mem_net **net, const tether_server_options *options, struct echo_stats *stats) {
  tether_server *server;
  *net = tst_mem_net_new(true);
  tst_mem_net_use(*net);
  assert_int_equal(tth_server_open_on(&tst_transport_mem, options, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "mem://s"), TETHER_OK);
  return server;
}

/* A peer that has called once, which went well. */
static void greet_and_call(tst_mem_peer *peer, tst_mem_net *net) {
  tst_frames frames = {0};
  assert_true(tst_mem_peer_dial(peer, net, "mem://s"));
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, testing_v1_echo_quick_method.path, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(peer, &frames);
  assert_int_equal(tst_mem_peer_code(peer, 1), TETHER_OK);
  tst_frames_fini(&frames);
}

static void a_client_moves_only_what_it_was_answered_itself(void **state) {
  (void)state;
  tst_mem_net *net;
  struct echo_stats stats = {0};
  tether_server *server = serve_on(&net, NULL, &stats);
  tether_server_stats counted;
  tst_mem_peer honest = {0}, hostile = {0};
  greet_and_call(&honest, net);
  greet_and_call(&hostile, net);
  tst_frames frames = {0};
  for (int i = 0; i < 5; i++) tst_frames_raw(&frames, TTH_VERDICT, 0, 1, "\x08\x00\x10\x0d", 4); /* OK to INTERNAL */
  tst_mem_peer_say_frames(&hostile, &frames);
  assert_false(hostile.closed);
  assert_int_equal(tether_server_get_stats(server, NULL, &counted), TETHER_OK);
  assert_int_equal(counted.ended[TETHER_OK], 1);
  assert_int_equal(counted.ended[TETHER_INTERNAL], 1);
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&honest);
  tst_mem_peer_fini(&hostile);
  tether_server_close(server);
  tst_mem_net_free(net);
}

/* Answers TRAILERS as they leave. */
static void correct_at_once(void *data, uint8_t *batch, size_t len) {
  tst_mem_peer *peer = data;
  tst_frames frames = {0};
  tth_frame frame;
  size_t at = 0;
  if (!tst_frames_find(batch, len, &at, TTH_TRAILERS, 1, &frame)) return;
  tst_frames_raw(&frames, TTH_VERDICT, 0, 1, "\x08\x00\x10\x01", 4); /* OK to CANCELLED */
  tst_mem_peer_say_frames(peer, &frames);
  tst_frames_fini(&frames);
}

static void hears(void *data, const uint8_t *batch, size_t len) { (void)data, (void)batch, (void)len; }
static void sent(void *data) { (void)data; }
static void closes(void *data, const char *why) { (void)data, (void)why; }

static void a_verdict_counts_even_before_the_thread_that_answered_has_gone_on(void **state) {
  (void)state;
  static const tst_mem_watch watch = {.sends = correct_at_once, .receives = hears, .sent = sent, .closed = closes};
  tst_mem_net *net;
  struct echo_stats stats = {0};
  tether_server *server = serve_on(&net, NULL, &stats);
  tether_server_stats counted;
  tst_mem_peer peer = {0};
  tst_frames frames = {0};
  assert_true(tst_mem_peer_dial(&peer, net, "mem://s"));
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, testing_v1_handed_unary_method.path, TETHER_FOREVER);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(&peer, &frames);
  tether_call *handler = echo_take_handed(&stats);
  assert_non_null(handler);
  tst_mem_watch_link(tst_mem_other_end(peer.link), &watch, &peer);
  echo_finish_handed(handler, TETHER_OK);
  tst_link_mem_pump(net);
  assert_int_equal(tst_mem_peer_code(&peer, 1), TETHER_OK);
  assert_int_equal(tether_server_get_stats(server, NULL, &counted), TETHER_OK);
  assert_int_equal(counted.ended[TETHER_OK], 0);
  assert_int_equal(counted.ended[TETHER_CANCELLED], 1);
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&peer);
  tether_server_close(server);
  tst_mem_net_free(net);
}

static void a_call_cancelled_before_it_came_is_counted_and_one_that_is_not_accepted_apart(void **state) {
  (void)state;
  tst_mem_net *net;
  struct echo_stats stats = {0};
  const tether_server_options options = {.limits = {.max_streams = 1}};
  tether_server *server = serve_on(&net, &options, &stats);
  tether_server_stats counted;
  tst_mem_peer peer = {0};
  tst_frames frames = {0};
  greet_and_call(&peer, net);
  tst_frames_raw(&frames, TTH_CANCEL, 0, 2, "", 0);
  for (uint32_t id = 2; id <= 4; id++) /* 3 waits for its message */
    tst_frames_headers(&frames, id, testing_v1_echo_quick_method.path, TETHER_FOREVER);
  tst_mem_peer_say_frames(&peer, &frames);
  assert_int_equal(tst_mem_peer_code(&peer, 2), TETHER_CANCELLED);
  assert_int_equal(tst_mem_peer_code(&peer, 3), -1);
  assert_int_equal(tst_mem_peer_code(&peer, 4), TETHER_UNAVAILABLE);
  assert_int_equal(tether_server_get_stats(server, NULL, &counted), TETHER_OK);
  assert_int_equal(counted.ended[TETHER_CANCELLED], 1);
  assert_int_equal(counted.ended[TETHER_UNAVAILABLE], 0);
  assert_int_equal(counted.unaccepted, 1);
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&peer);
  tether_server_close(server);
  tst_mem_net_free(net);
}

static void leave_connection(tether_call *call, void *data) {
  (void)data;
  tth_conn_leave(call->conn);
}

/* Two answers come in one batch. While the first is told, the connection is left, as when its address is gone; on the
 * second there is still a word to say. */
static void a_connection_that_is_left_while_answers_are_told_stays_until_their_verdicts_are_said(void **state) {
  (void)state;
  enum { ANSWERED = 3 };
  tst_mem_net *net;
  struct echo_stats stats = {0};
  tether_server *server = serve_on(&net, NULL, &stats);
  tether_client *client;
  tether_server_stats counted;
  tether_call *calls[ANSWERED], *handlers[ANSWERED];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options patient = {.wait_for_ready = true};
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://s", NULL, &client), TETHER_OK);
  for (int i = 0; i < ANSWERED; i++)
    calls[i] = testing_v1_handed_client_unary_start(client, tether_ctx_background(), &request, &patient,
                                                    i == 1 ? leave_connection : NULL, NULL);
  tst_link_mem_pump(net);
  for (int i = 0; i < ANSWERED; i++) assert_non_null(handlers[i] = echo_take_handed(&stats));
  for (int i = 0; i < ANSWERED; i++) echo_finish_handed(handlers[i], TETHER_OK); /* the first leaves alone */
  tether_call_cancel(calls[2], NULL);
  tst_link_mem_pump(net);
  assert_int_equal(tether_server_get_stats(server, NULL, &counted), TETHER_OK);
  assert_int_equal(counted.ended[TETHER_OK], 2);
  assert_int_equal(counted.ended[TETHER_CANCELLED], 1);
  for (int i = 0; i < ANSWERED; i++) tether_call_unref(calls[i]);
  tether_client_close(client);
  tether_server_close(server);
  tst_mem_net_free(net);
}

static int64_t clock_ns = 1000 * TETHER_SEC;

static int64_t now(void *data) {
  (void)data;
  return clock_ns;
}

static void count_end(tether_call *call, void *data) {
  (void)call;
  ++*(int *)data;
}

static void cancel(tether_call *call) { tether_call_cancel(call, NULL); }

static void cancel_and_wait(tether_call *call) {
  uint32_t running = 99;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, TETHER_SEC, &running), TETHER_OK);
  assert_int_equal(running, 0);
}

static void check_noticed(tether_client *client, void (*cancel_it)(tether_call *call)) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options patient = {.wait_for_ready = true};
  int ends = 0;
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_group *group;
  unsigned long member;
  assert_int_equal(tether_group_new(ctx, &group), TETHER_OK);
  assert_int_equal(tether_group_join(group, &member), TETHER_OK);
  const tether_ctx *under = tether_group_ctx(group);
  tether_call *call = testing_v1_echo_client_quick_start(client, under, &request, &patient, count_end, &ends);
  clock_ns += 2 * TETHER_MS;
  tether_group_leave(group, member, TETHER_DEADLINE_EXCEEDED, NULL);
  assert_int_equal(tether_ctx_err(under), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(ends, 0); /* callbacks are the timer's */
  cancel_it(call);
  assert_int_equal(ends, 1);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  (void)tether_clock_run_due();
  assert_int_equal(ends, 1);
  tether_call_unref(call);
  tether_group_free(group);
  tether_ctx_free(ctx);
}

static void a_cancel_ends_a_call_whose_deadline_has_been_noticed_and_not_been_told(void **state) {
  (void)state;
  const tether_clock clock = {.now_ns = now};
  assert_int_equal(tether_clock_set(&clock), TETHER_OK);
  tst_mem_net *net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  tether_client *client;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, "mem://nobody", NULL, &client), TETHER_OK);
  check_noticed(client, cancel);
  check_noticed(client, cancel_and_wait);
  tether_client_close(client);
  tst_mem_net_free(net);
  assert_int_equal(tether_clock_set(NULL), TETHER_OK);
}

struct racer {
  struct rpc_fixture *f;
  uint64_t random;
  unsigned codes[TETHER_CODES];
  pthread_t thread;
};

static uint32_t draw(struct racer *racer, uint32_t below) {
  racer->random = racer->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(racer->random >> 33) % below;
}

/* Calls whose deadlines and cancels fall close to their replies. */
static void *race(void *data) {
  struct racer *racer = data;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < CALLS; i++) {
    TETHER_SCOPED tether_ctx *ctx =
        tether_ctx_with_timeout(tether_ctx_background(), draw(racer, 2) ? draw(racer, 400) * TETHER_US : TETHER_SEC);
    TETHER_SCOPED_CALL tether_call *call =
        draw(racer, 2) ? testing_v1_echo_client_quick_start(racer->f->client, ctx, &request, NULL, NULL, NULL)
                       : testing_v1_echo_client_pooled_start(racer->f->client, ctx, &request, NULL, NULL, NULL);
    if (draw(racer, 2)) {
      for (uint32_t spin = draw(racer, 20000); spin > 0; spin--) __asm__ volatile("");
      tether_call_cancel(call, NULL);
    }
    racer->codes[tether_call_wait(call)]++;
  }
  return NULL;
}

static void both_sides_agree_on_calls_whose_end_is_a_race(void **state) {
  struct rpc_fixture *f = *state;
  struct racer racers[THREADS];
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(f->client, ctx), TETHER_OK);
  const char *seed = getenv("TETHER_SEED");
  for (int i = 0; i < THREADS; i++) {
    racers[i] = (struct racer){.f = f, .random = (seed ? strtoull(seed, NULL, 0) : 1) + (uint64_t)i};
    assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
  }
  uint64_t ended = 0;
  unsigned codes[TETHER_CODES] = {0};
  for (int i = 0; i < THREADS; i++) {
    pthread_join(racers[i].thread, NULL);
    for (int j = 0; j < TETHER_CODES; j++) codes[j] += racers[i].codes[j];
  }
  struct counted c = assert_agreed(f);
  for (int j = 0; j < TETHER_CODES; j++) ended += c.client.ended[j];
  assert_int_equal(ended + c.client.unsent, THREADS * CALLS); /* each ended once */
  print_message("OK %u, CANCELLED %u, DEADLINE_EXCEEDED %u; %llu never sent\n", codes[TETHER_OK],
                codes[TETHER_CANCELLED], codes[TETHER_DEADLINE_EXCEEDED], (unsigned long long)c.client.unsent);
  assert_true(codes[TETHER_OK] > 0 && codes[TETHER_CANCELLED] > 0 && codes[TETHER_DEADLINE_EXCEEDED] > 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(the_servers_record_follows_a_caller_that_left_before_the_reply_came),
      CASE(a_reply_that_cannot_be_taken_counts_as_the_caller_saw_it),
      cmocka_unit_test(a_cancel_ends_a_call_whose_deadline_has_been_noticed_and_not_been_told),
      cmocka_unit_test(a_client_moves_only_what_it_was_answered_itself),
      cmocka_unit_test(a_verdict_counts_even_before_the_thread_that_answered_has_gone_on),
      cmocka_unit_test(a_call_cancelled_before_it_came_is_counted_and_one_that_is_not_accepted_apart),
      cmocka_unit_test(a_connection_that_is_left_while_answers_are_told_stays_until_their_verdicts_are_said),
      CASE(both_sides_agree_on_calls_whose_end_is_a_race),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
