/* Callers that block, one call after the other, receive their answers themselves. They must notice everything that they
 * would if others received for them, and nobody else's callbacks may run on their stacks. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc/client.h"
#include "rpc/link_nng.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* More than it takes until a caller receives itself. */
#define WARM 20

/* A thing that must come at once has this long, for busy machines and sanitizers. */
#define SOON_NS (5 * TETHER_SEC)

/* ---- Who receives --------------------------------------------------------------------------- */

/* Links of nng that count what is received by the thread the test asks about. */
static struct slot {
  const tth_link_events *events;
  void *owner;
} slots[256];
static atomic_int slots_used;
static const tth_link_ops *_Atomic real_ops;
static _Atomic(pthread_t) watched;
static atomic_int by_watched, by_others;

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  const struct slot *slot = owner;
  atomic_fetch_add(pthread_equal(watched, pthread_self()) ? &by_watched : &by_others, 1);
  slot->events->received(slot->owner, batch, len);
}
static void on_sent(void *owner) { ((struct slot *)owner)->events->sent(((struct slot *)owner)->owner); }
static void on_closed(void *owner, const char *why) {
  const struct slot *slot = owner;
  slot->events->closed(slot->owner, why);
}
static void on_burst(void *owner, bool begins) {
  const struct slot *slot = owner;
  slot->events->burst(slot->owner, begins);
}
static bool on_may_pull(void *owner, bool led) {
  const struct slot *slot = owner;
  return slot->events->may_pull(slot->owner, led);
}
static void on_unled(void *owner) { ((struct slot *)owner)->events->unled(((struct slot *)owner)->owner); }

static const tth_link_events events = {.received = on_received,
                                       .sent = on_sent,
                                       .closed = on_closed,
                                       .burst = on_burst,
                                       .may_pull = on_may_pull,
                                       .unled = on_unled};

static void link_start(tth_link *link, const tth_link_events *theirs, void *owner) {
  struct slot *slot = &slots[atomic_fetch_add(&slots_used, 1) % 256];
  *slot = (struct slot){.events = theirs, .owner = owner};
  real_ops->start(link, &events, slot);
}

static tth_link_ops counting_ops;
static tth_transport counting;
static void (*dialed)(void *owner, tth_link *link, const char *why);

static void on_dialed(void *owner, tth_link *link, const char *why) {
  static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
  if (link) {
    pthread_mutex_lock(&once);
    if (!real_ops) {
      counting_ops = *link->ops;
      counting_ops.start = link_start;
      real_ops = link->ops;
    }
    pthread_mutex_unlock(&once);
    link->ops = &counting_ops;
  }
  dialed(owner, link, why);
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dialed = done;
  tth_transport_nng.dial(dialer, timeout_ns, on_dialed, owner);
}

/* ---- Fixture -------------------------------------------------------------------------------- */

static tether_ctx *within(int64_t timeout_ns) { return tether_ctx_with_timeout(tether_ctx_background(), timeout_ns); }

static Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

static tether_code quick(tether_client *client) {
  static const tether_call_options options = {.wait_for_ready = true};
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, &options);
  if (tether_call_code(call) != TETHER_OK) print_error("%s\n", tether_call_message(call));
  return tether_call_code(call);
}

/* Until this thread receives its answers itself. On a busy machine that may take more than one attempt. */
static void warm_up(tether_client *client) {
  for (int attempt = 0; attempt < 100; attempt++) {
    for (int i = 0; i < WARM; i++) assert_int_equal(quick(client), TETHER_OK);
    atomic_store(&watched, pthread_self());
    int before = by_watched;
    assert_int_equal(quick(client), TETHER_OK);
    if (by_watched > before) return;
  }
  fail_msg("the caller never received its own answer");
}

static int setup(void **state) {
  static const tether_client_options options = {.backoff_initial_ns = 10 * TETHER_MS, .backoff_max_ns = 20 * TETHER_MS};
  request.name = (char *)"x";
  counting = tth_transport_nng;
  counting.dial = dial;
  if (rpc_fixture_open(state, NULL, NULL) != 0) return -1;
  struct rpc_fixture *f = *state;
  tether_client_close(f->client);
  return tth_client_open_on(&counting, f->url, &options, &f->client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  tth_link_nng_set_lease(10 * TETHER_MS);
  return rpc_fixture_close(state);
}

/* Nobody takes over: who is missed stays missed. */
static int setup_without_help(void **state) {
  tth_link_nng_set_lease(3600 * TETHER_SEC);
  return setup(state);
}

/* A thread with one blocking call under way, which hangs until it is cut. */
struct hanging {
  tether_client *client;
  tether_ctx *ctx;
  pthread_t thread;
  tether_code code;
  int64_t ended_ns;
};

static void *hang(void *data) {
  struct hanging *h = data;
  for (int i = 0; i < WARM; i++)
    if (quick(h->client) != TETHER_OK) return NULL;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(h->client, h->ctx, &request, NULL);
  h->code = tether_call_code(call);
  h->ended_ns = tether_now_ns();
  return NULL;
}

static void hang_start(struct hanging *h, struct rpc_fixture *f, int64_t timeout_ns) {
  *h = (struct hanging){.client = f->client, .ctx = within(timeout_ns)};
  assert_int_equal(pthread_create(&h->thread, NULL, hang, h), 0);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  atomic_store(&watched, h->thread);
}

static void hang_join(struct hanging *h, tether_code code) {
  assert_int_equal(pthread_join(h->thread, NULL), 0);
  assert_int_equal(h->code, code);
  tether_ctx_free(h->ctx);
}

static void assert_soon(int64_t since_ns, int64_t until_ns) {
  if (until_ns - since_ns > SOON_NS) fail_msg("%lld ms late", (long long)((until_ns - since_ns) / TETHER_MS));
}

/* ---- Leading -------------------------------------------------------------------------------- */

static void a_lone_blocking_caller_receives_its_answers_itself(void **state) {
  struct rpc_fixture *f = *state;
  warm_up(f->client);
}

static void calls_that_are_far_apart_succeed(void **state) {
  struct rpc_fixture *f = *state;
  for (int i = 0; i < 20; i++) {
    warm_up(f->client);
    usleep(i % 4 * 8000); /* the transport may take over between two calls, or while one begins */
  }
}

/* ---- What a leader must notice -------------------------------------------------------------- */

static void its_deadline(void **state) {
  struct rpc_fixture *f = *state;
  for (int i = 0; i < 5; i++) {
    warm_up(f->client);
    int64_t deadline_ns = tether_now_ns() + 20 * TETHER_MS;
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_deadline(tether_ctx_background(), deadline_ns);
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
    assert_soon(deadline_ns, tether_now_ns());
  }
}

static void a_cancel(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  int64_t now_ns = tether_now_ns();
  tether_ctx_cancel(h.ctx);
  hang_join(&h, TETHER_CANCELLED);
  assert_soon(now_ns, h.ended_ns);
}

static void that_its_client_is_closed(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  int64_t now_ns = tether_now_ns();
  tether_client_close(f->client);
  f->client = NULL;
  hang_join(&h, TETHER_CANCELLED);
  assert_soon(now_ns, h.ended_ns);
}

static void that_its_connection_is_lost(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  int64_t now_ns = tether_now_ns();
  tether_server_shutdown(f->server, 0);
  hang_join(&h, TETHER_UNAVAILABLE);
  assert_soon(now_ns, h.ended_ns);
}

static void *shut_down(void *data) {
  tether_server_shutdown(data, 100 * TETHER_MS);
  return NULL;
}

static void that_its_server_goes_away(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  pthread_t stopper;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  int64_t now_ns = tether_now_ns();
  assert_int_equal(pthread_create(&stopper, NULL, shut_down, f->server), 0);
  while (tether_client_connectivity(f->client) == TETHER_READY && tether_now_ns() - now_ns < RPC_TEST_BOUND_NS)
    usleep(1000);
  assert_int_not_equal(tether_client_connectivity(f->client), TETHER_READY);
  hang_join(&h, TETHER_UNAVAILABLE);
  assert_soon(now_ns, h.ended_ns);
  pthread_join(stopper, NULL);
}

/* ---- Others beside a leader ----------------------------------------------------------------- */

struct other {
  _Atomic(pthread_t) thread;
  tst_latch ended;
};

static void note_thread(tether_call *call, void *data) {
  struct other *other = data;
  (void)call;
  atomic_store(&other->thread, pthread_self());
  tst_latch_open(&other->ended);
}

static void callbacks_of_others_run_elsewhere_and_at_once(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  for (int i = 0; i < 10; i++) {
    hang_start(&h, f, RPC_TEST_BOUND_NS);
    for (int k = 0; k < 5; k++) {
      struct other other = {0};
      tst_latch_init(&other.ended);
      tether_call_unref(
          testing_v1_echo_client_quick_start(f->client, tether_ctx_background(), &request, NULL, note_thread, &other));
      bool ended = tst_latch_wait(&other.ended, SOON_NS);
      if (!ended && !tst_latch_wait(&other.ended, RPC_TEST_BOUND_NS)) fail_msg("never called back");
      assert_true(ended);
      assert_false(pthread_equal(other.thread, h.thread));
      tst_latch_fini(&other.ended);
    }
    tether_ctx_cancel(h.ctx);
    hang_join(&h, TETHER_CANCELLED);
    assert_true(rpc_wait_for(&f->stats.hanging, 0));
  }
}

static void other_blocking_callers_are_answered_at_once(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  for (int i = 0; i < 2 * WARM; i++) {
    int64_t now_ns = tether_now_ns();
    assert_int_equal(quick(f->client), TETHER_OK);
    assert_soon(now_ns, tether_now_ns());
  }
  tether_ctx_cancel(h.ctx);
  hang_join(&h, TETHER_CANCELLED);
}

static void streams_beside_a_leader_go_on(void **state) {
  struct rpc_fixture *f = *state;
  struct hanging h;
  hang_start(&h, f, RPC_TEST_BOUND_NS);
  TETHER_SCOPED tether_ctx *ctx = within(SOON_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < WARM; i++) {
    const Testing__V1__Reply *reply;
    assert_int_equal(testing_v1_echo_chat_send_request(call, &request), TETHER_OK);
    assert_int_equal(testing_v1_echo_chat_recv_reply(call, &reply), TETHER_OK);
    assert_non_null(reply);
  }
  tether_call_close_send(call);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  tether_ctx_cancel(h.ctx);
  hang_join(&h, TETHER_CANCELLED);
}

/* ---- Between two calls ---------------------------------------------------------------------- */

static void server_again(struct rpc_fixture *f) {
  char path[128];
  tether_server_close(f->server);
  snprintf(path, sizeof path, "%s/s", f->dir);
  unlink(path);
  assert_int_equal(tether_server_open(NULL, &f->server), TETHER_OK);
  assert_int_equal(echo_server_add(f->server, &f->stats), TETHER_OK);
  assert_int_equal(tether_server_listen(f->server, f->url), TETHER_OK);
}

static void a_server_that_was_replaced_between_two_calls_costs_no_call(void **state) {
  struct rpc_fixture *f = *state;
  for (int i = 0; i < 3; i++) {
    warm_up(f->client);
    server_again(f);
    assert_int_equal(quick(f->client), TETHER_OK);
  }
}

static void a_lost_connection_is_seen_though_nobody_calls(void **state) {
  struct rpc_fixture *f = *state;
  warm_up(f->client);
  int64_t now_ns = tether_now_ns();
  tether_server_close(f->server);
  f->server = NULL;
  while (tether_client_connectivity(f->client) == TETHER_READY && tether_now_ns() - now_ns < SOON_NS) usleep(1000);
  assert_int_not_equal(tether_client_connectivity(f->client), TETHER_READY);
}

/* ---- All of it ------------------------------------------------------------------------------ */

enum { BLOCKING = 3, STORM_CALLS = 300 };

struct storm {
  struct rpc_fixture *f;
  _Atomic int64_t worst_ns; /* of calls that need no time, and of how late cuts were */
  atomic_int wrong, open, running;
};

static void storm_note(struct storm *storm, int64_t since_ns) {
  int64_t took_ns = tether_now_ns() - since_ns, worst_ns = storm->worst_ns;
  while (took_ns > worst_ns && !atomic_compare_exchange_weak(&storm->worst_ns, &worst_ns, took_ns)) continue;
}

/* Codes that a call may end with while connections come and go. */
static bool is_fair(tether_code code) { return code == TETHER_OK || code == TETHER_UNAVAILABLE; }

static void *storm_blocking(void *data) {
  struct storm *storm = data;
  static const tether_call_options options = {.wait_for_ready = true};
  for (int i = 0; i < STORM_CALLS; i++) {
    int64_t now_ns = tether_now_ns();
    if (i % 16 == 15) {
      TETHER_SCOPED tether_ctx *ctx = within(2 * TETHER_MS);
      TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(storm->f->client, ctx, &request, &options);
      if (tether_call_code(call) != TETHER_DEADLINE_EXCEEDED && !is_fair(tether_call_code(call))) storm->wrong++;
    } else {
      TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
      TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(storm->f->client, ctx, &request, &options);
      if (!is_fair(tether_call_code(call))) storm->wrong++;
    }
    storm_note(storm, now_ns);
    if (i % 50 == 49) usleep(25000); /* nobody leads for a while */
  }
  storm->running--;
  return NULL;
}

static void storm_ended(tether_call *call, void *data) {
  struct storm *storm = data;
  if (!is_fair(tether_call_code(call))) storm->wrong++;
  storm->open--;
}

/* One chat, cut at some point. */
static void storm_chat(struct storm *storm, unsigned random) {
  static const tether_call_options options = {.wait_for_ready = true};
  TETHER_SCOPED tether_ctx *ctx = within(RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_chat_start(storm->f->client, ctx, &options, NULL, NULL);
  tether_code code = TETHER_OK;
  for (unsigned i = 0; i < random % 8 && code == TETHER_OK; i++) {
    const Testing__V1__Reply *reply = NULL;
    code = testing_v1_echo_chat_send_request(call, &request);
    if (code == TETHER_OK) code = testing_v1_echo_chat_recv_reply(call, &reply);
  }
  if (random & 8)
    tether_call_close_send(call);
  else
    tether_ctx_cancel(ctx);
  code = tether_call_wait(call);
  if (code != TETHER_CANCELLED && !is_fair(code)) storm->wrong++;
}

static void *storm_others(void *data) {
  struct storm *storm = data;
  static const tether_call_options options = {.wait_for_ready = true};
  for (unsigned i = 0, random = 1; storm->running > 0; i++) {
    random = random * 1664525 + 1013904223;
    usleep((random >> 16) % 4000);
    int64_t now_ns = tether_now_ns();
    if (i % 4 == 0) {
      storm_chat(storm, random >> 8);
      storm_note(storm, now_ns);
      continue;
    }
    for (unsigned k = 0; k < random >> 29; k++) {
      storm->open++;
      tether_call_unref(testing_v1_echo_client_quick_start(storm->f->client, tether_ctx_background(), &request,
                                                           &options, storm_ended, storm));
    }
  }
  return NULL;
}

static void run_storm(struct rpc_fixture *f, int threads, bool others, bool restarts) {
  struct storm storm = {.f = f, .running = threads};
  pthread_t blocking[BLOCKING], other;
  for (int i = 0; i < threads; i++) assert_int_equal(pthread_create(&blocking[i], NULL, storm_blocking, &storm), 0);
  if (others) assert_int_equal(pthread_create(&other, NULL, storm_others, &storm), 0);
  for (int i = 0; restarts && i < 3 && storm.running > 0; i++) {
    usleep(30000);
    server_again(f);
  }
  for (int i = 0; i < threads; i++) pthread_join(blocking[i], NULL);
  if (others) pthread_join(other, NULL);
  assert_true(rpc_wait_for(&storm.open, 0));
  assert_int_equal(storm.wrong, 0);
  assert_soon(0, storm.worst_ns);
}

static void calls_that_are_alone_end(void **state) { run_storm(*state, 1, false, false); }
static void calls_beside_callbacks_and_streams_end(void **state) { run_storm(*state, 1, true, false); }
static void calls_of_several_callers_end(void **state) { run_storm(*state, BLOCKING, true, false); }
static void calls_end_while_servers_are_replaced(void **state) {
  run_storm(*state, 1, false, true);
  run_storm(*state, 2, true, true);
}

#define U(name) cmocka_unit_test_setup_teardown(name, setup_without_help, teardown)
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      T(a_lone_blocking_caller_receives_its_answers_itself),
      T(calls_that_are_far_apart_succeed),
      U(its_deadline),
      U(a_cancel),
      U(that_its_client_is_closed),
      U(that_its_connection_is_lost),
      U(that_its_server_goes_away),
      U(callbacks_of_others_run_elsewhere_and_at_once),
      U(other_blocking_callers_are_answered_at_once),
      U(streams_beside_a_leader_go_on),
      U(a_server_that_was_replaced_between_two_calls_costs_no_call),
      T(a_lost_connection_is_seen_though_nobody_calls),
      T(calls_that_are_alone_end),
      U(calls_that_are_alone_end),
      T(calls_beside_callbacks_and_streams_end),
      U(calls_beside_callbacks_and_streams_end),
      T(calls_of_several_callers_end),
      U(calls_of_several_callers_end),
      T(calls_end_while_servers_are_replaced),
      U(calls_end_while_servers_are_replaced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
