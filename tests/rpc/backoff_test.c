/* gRPC's connection back-off (doc/connection-backoff.md) in virtual time: 1 s, x 1.6, at most 120 s, each +-20 %, from
 * the start of the attempt, reset by the peer's HELLO; 20 s for an attempt and for the HELLO after it. Attempts are
 * made on an in-memory net, one thread does everything. */
#include "rpc/client.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"

#define URL "mem://c"

static tst_mem_net *net;

/* What the client asked the transport for. */
static struct {
  int count;
  int64_t at_ns, timeout_ns;
} dials;

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dials.count++;
  dials.at_ns = tether_now_ns();
  dials.timeout_ns = timeout_ns;
  tst_transport_mem.dial(dialer, timeout_ns, done, owner);
}

static int setup(void **state) {
  if (ctx_sim_setup(state) != 0) return -1;
  net = tst_mem_net_new(true);
  tst_mem_net_use(net);
  memset(&dials, 0, sizeof dials);
  if (net) tst_link_mem_advance(net, tether_now_ns());
  return net ? 0 : -1;
}

static int teardown(void **state) {
  tst_mem_net_free(net);
  return ctx_sim_teardown(state);
}

/* No timers but those of connecting. */
static tether_client *client_open(const tether_client_options *given) {
  static tth_transport transport;
  tether_client *client;
  tether_client_options options = given ? *given : (tether_client_options){0};
  options.idle_timeout_ns = TETHER_FOREVER;
  transport = tst_transport_mem;
  transport.dial = dial;
  assert_int_equal(tth_client_open_on(&transport, URL, &options, &client), TETHER_OK);
  return client;
}

/* The net's time is the clock's. */
static void pump(void) { tst_link_mem_advance(net, tether_now_ns()); }

/* Moves both times on; nothing is due on the way. */
static int64_t move(int64_t ns) {
  int64_t next_ns = ctx_sim_advance(ns);
  pump();
  return next_ns;
}

/* Lets the attempt under way fail and goes on to the next one; returns the time from start to start. */
static int64_t next_attempt(void) {
  int64_t from_ns = dials.at_ns;
  int count = dials.count;
  pump();
  for (int64_t next_ns = tether_clock_run_due(); dials.count == count;) {
    assert_true(next_ns != TETHER_FOREVER);
    next_ns = ctx_sim_advance(next_ns > tether_now_ns() ? next_ns - tether_now_ns() : 0);
  }
  assert_int_equal(dials.count, count + 1);
  return dials.at_ns - from_ns;
}

static void assert_about(int64_t delay_ns, double expected_s) {
  double seconds = (double)delay_ns / TETHER_SEC;
  if (seconds < 0.799 * expected_s || seconds > 1.201 * expected_s)
    fail_msg("a delay of %.3f s instead of %.3f s +- 20 %%", seconds, expected_s);
}

static void refused_attempts_are_repeated_after_1_s_growing_by_1_6_up_to_120_s(void **state) {
  (void)state;
  tether_client *client = client_open(NULL);
  assert_int_equal(dials.count, 1);
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  double expected_s = 1;
  for (int i = 0; i < 20; i++) {
    assert_about(next_attempt(), expected_s);
    expected_s = expected_s * 1.6 < 120 ? expected_s * 1.6 : 120;
  }
  assert_true(expected_s == 120);
  pump();
  assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
  tether_client_close(client);
}

static void the_delays_are_spread_over_40_percent(void **state) {
  (void)state;
  enum { N = 400 };
  double least = 2, most = 0, sum = 0;
  for (int i = 0; i < N; i++) {
    tether_client *client = client_open(NULL);
    double seconds = (double)next_attempt() / TETHER_SEC;
    if (seconds < least) least = seconds;
    if (seconds > most) most = seconds;
    sum += seconds;
    tether_client_close(client);
  }
  assert_true(least >= 0.8 && least < 0.83);
  assert_true(most <= 1.2 && most > 1.17);
  assert_true(sum / N > 0.97 && sum / N < 1.03);
}

static void options_set_first_and_largest_delay_and_the_connect_timeout(void **state) {
  (void)state;
  tether_client_options options = {
      .backoff_initial_ns = 10 * TETHER_MS, .backoff_max_ns = 20 * TETHER_MS, .connect_timeout_ns = 3 * TETHER_SEC};
  tether_client *client = client_open(&options);
  assert_int_equal(dials.timeout_ns, 3 * TETHER_SEC);
  static const double expected_s[] = {0.010, 0.016, 0.020, 0.020, 0.020};
  for (int i = 0; i < 5; i++) assert_about(next_attempt(), expected_s[i]);
  tether_client_close(client);

  /* Absurd ones do no harm. */
  options = (tether_client_options){.backoff_initial_ns = INT64_MAX - 1, .backoff_max_ns = INT64_MAX};
  client = client_open(&options);
  for (int i = 0; i < 3; i++) pump();
  assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
  tether_client_close(client);
}

static void an_attempt_may_take_20_s_which_count_as_delay(void **state) {
  (void)state;
  tst_mem_net_unreachable(net, true);
  tether_client *client = client_open(NULL);
  assert_int_equal(dials.timeout_ns, 20 * TETHER_SEC);
  pump();
  assert_int_equal(move(19 * TETHER_SEC), TETHER_FOREVER); /* no timer of ours while the transport tries */
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  move(TETHER_SEC); /* timed out: and the next at once */
  assert_int_equal(dials.count, 2);
  assert_int_equal(dials.at_ns, tether_now_ns());
  tether_client_close(client);
}

/* ---- HELLO --------------------------------------------------------------------------------- */

static void say_hello(tst_mem_peer *peer) {
  tst_frames frames = {0};
  tst_frames_hello(&frames, 8);
  tst_mem_peer_say_frames(peer, &frames);
  tst_frames_fini(&frames);
}

static void hello_resets_the_delay_and_a_connection_that_lasted_is_replaced_at_once(void **state) {
  (void)state;
  tst_mem_peer peer;
  tether_client *client = client_open(NULL);
  for (int i = 0; i < 8; i++) next_attempt();
  assert_true(tst_mem_peer_listen(&peer, net, URL)); /* from now on somebody is there */
  pump();
  say_hello(&peer);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  assert_int_equal(tether_clock_run_due(), TETHER_FOREVER);
  tst_mem_peer_fini(&peer); /* lost at once: a first delay */
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  assert_about(next_attempt(), 1);
  assert_about(next_attempt(), 1.6);

  assert_true(tst_mem_peer_listen(&peer, net, URL));
  pump();
  say_hello(&peer);
  move(2 * TETHER_SEC);
  int count = dials.count;
  tst_mem_peer_fini(&peer);
  assert_int_equal(dials.count, count + 1);
  assert_int_equal(dials.at_ns, tether_now_ns());
  tether_client_close(client);
}

static void a_connection_without_hello_does_not_reset_the_delay(void **state) {
  (void)state;
  tst_mem_peer peer;
  tether_client *client = client_open(NULL);
  double expected_s = 1;
  for (int i = 0; i < 4; i++, expected_s *= 1.6) {
    assert_true(tst_mem_peer_listen(&peer, net, URL));
    pump();
    assert_non_null(peer.link);
    tst_mem_peer_fini(&peer);
    assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
    assert_about(next_attempt(), expected_s);
  }
  tether_client_close(client);
}

static void a_peer_that_says_no_hello_for_20_s_is_given_up(void **state) {
  (void)state;
  tst_mem_peer peer;
  assert_true(tst_mem_peer_listen(&peer, net, URL));
  tether_client *client = client_open(NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *hasty =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  tether_call_options patience = {.wait_for_ready = true};
  TETHER_SCOPED_CALL tether_call *patient =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, &patience, NULL, NULL);
  pump();
  move(20 * TETHER_SEC - 1);
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  assert_false(peer.closed);
  move(1);
  assert_true(peer.closed);
  rpc_assert_code(hasty, TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(hasty), "HELLO"));
  assert_int_equal(dials.count, 2); /* more than the delay has passed */
  tst_mem_peer_fini(&peer);
  assert_true(tst_mem_peer_listen(&peer, net, URL));
  next_attempt();
  pump();
  say_hello(&peer); /* the patient call leaves */
  size_t at = 0;
  tth_frame frame;
  assert_true(tst_frames_find(peer.heard.bytes, peer.heard.len, &at, TTH_HEADERS, 1, &frame));
  tether_call_cancel(patient, NULL);
  rpc_assert_code(patient, TETHER_CANCELLED);
  tst_mem_peer_fini(&peer);
  tether_client_close(client);
}

/* ---- Calls meanwhile ----------------------------------------------------------------------- */

static void between_attempts_calls_fail_at_once_or_wait_until_their_deadline(void **state) {
  (void)state;
  tether_client *client = client_open(NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *first =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  pump(); /* refused */
  rpc_assert_code(first, TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(first), "connection refused"));
  TETHER_SCOPED_CALL tether_call *hasty =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  rpc_assert_code(hasty, TETHER_UNAVAILABLE);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 300 * TETHER_MS);
  tether_call_options patience = {.wait_for_ready = true};
  TETHER_SCOPED_CALL tether_call *patient =
      testing_v1_echo_client_quick_start(client, ctx, &request, &patience, NULL, NULL);
  move(299 * TETHER_MS);
  assert_null(tether_call_cause(patient));
  move(TETHER_MS);
  rpc_assert_code(patient, TETHER_DEADLINE_EXCEEDED);
  assert_non_null(strstr(tether_call_message(patient), "connecting"));
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_DEADLINE_EXCEEDED);
  tether_client_close(client);
}

/* What the callbacks of lost calls find. */
struct finding {
  tether_client *client;
  int count;
  tether_connectivity states[3];
  tether_call *next; /* started by the first */
};

static void look(tether_call *call, void *data) {
  struct finding *found = data;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  rpc_assert_code(call, TETHER_UNAVAILABLE); /* on the test's thread: so is all of this net */
  found->states[found->count++] = tether_client_connectivity(found->client);
  if (found->count > 1) return;
  found->next = testing_v1_echo_client_quick_start(found->client, tether_ctx_background(), &request, NULL, NULL, NULL);
}

/* So a wait for READY after such a call is one for the next connection, and a call after that does not fail. */
static void a_lost_call_finds_its_client_no_longer_ready_and_the_next_call_waits(void **state) {
  (void)state;
  tst_mem_peer peer;
  assert_true(tst_mem_peer_listen(&peer, net, URL));
  struct finding found = {.client = client_open(NULL)};
  pump();
  say_hello(&peer);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *lost[3];
  for (int i = 0; i < 3; i++)
    lost[i] = testing_v1_echo_client_quick_start(found.client, tether_ctx_background(), &request, NULL, look, &found);
  pump();
  assert_int_equal(tether_client_connectivity(found.client), TETHER_READY);
  tst_mem_peer_fini(&peer);
  assert_int_equal(found.count, 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(found.states[i], TETHER_CONNECTING);
    tether_call_unref(lost[i]);
  }
  assert_true(tth_call_is_running(found.next));
  assert_true(tst_mem_peer_listen(&peer, net, URL));
  next_attempt();
  pump();
  say_hello(&peer);
  size_t at = 0;
  tth_frame frame;
  assert_true(tst_frames_find(peer.heard.bytes, peer.heard.len, &at, TTH_HEADERS, 1, &frame));
  tether_call_cancel(found.next, NULL);
  tether_call_unref(found.next);
  tst_mem_peer_fini(&peer);
  tether_client_close(found.client);
}

/* A server that says GOAWAY and does not close: its connections do not pile up at the client. */
static void a_server_that_says_goaway_again_and_again_is_dialled_no_faster_and_leaves_no_connections(void **state) {
  (void)state;
  tst_mem_peer peer;
  assert_true(tst_mem_peer_listen(&peer, net, URL));
  tether_client *client = client_open(NULL);
  for (int i = 0; i < 5; i++) {
    pump();
    tst_frames frames = {0};
    tst_frames_hello(&frames, 8);
    tst_frames_raw(&frames, TTH_GOAWAY, 0, 0, "\x08\x00", 2);
    tst_mem_peer_say_frames(&peer, &frames);
    tst_frames_fini(&frames);
    assert_true(peer.closed); /* by the client, which has no calls there */
    tst_mem_peer_fini(&peer);
    assert_true(tst_mem_peer_listen(&peer, net, URL));
    assert_about(next_attempt(), 1);
  }
  pump();
  tst_mem_peer_fini(&peer);
  tether_client_close(client);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(refused_attempts_are_repeated_after_1_s_growing_by_1_6_up_to_120_s),
      CASE(the_delays_are_spread_over_40_percent),
      CASE(options_set_first_and_largest_delay_and_the_connect_timeout),
      CASE(an_attempt_may_take_20_s_which_count_as_delay),
      CASE(hello_resets_the_delay_and_a_connection_that_lasted_is_replaced_at_once),
      CASE(a_connection_without_hello_does_not_reset_the_delay),
      CASE(a_peer_that_says_no_hello_for_20_s_is_given_up),
      CASE(between_attempts_calls_fail_at_once_or_wait_until_their_deadline),
      CASE(a_lost_call_finds_its_client_no_longer_ready_and_the_next_call_waits),
      CASE(a_server_that_says_goaway_again_and_again_is_dialled_no_faster_and_leaves_no_connections),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
