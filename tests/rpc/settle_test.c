/* A client that is closed while a thread that the timer woke still works for it, and no call or connection says so. In
 * virtual time on an in-memory net. The thread stops where it runs code of the user's: the clock, or what frees a
 * value. */
#include "rpc/client.h"
#include "rpc/retrying.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define URL "mem://c"

static struct scene {
  tst_mem_net *net;
  tether_client *client;
  tether_call *call;
  void (*_Atomic asked)(void); /* when the clock is */
  struct ctx_thread alarm, closer;
  struct ctx_latch reached, open;
  bool went_on;
  int phase; /* of the call's back-off, while the timer is set */
} scene;

static int64_t now(void *data) {
  (void)data;
  void (*asked)(void) = atomic_load(&scene.asked);
  if (asked) asked();
  return ctx_sim_now(ctx_sim_get());
}

static void stop_here(void) {
  ctx_latch_open(&scene.reached);
  scene.went_on = ctx_latch_wait(&scene.open);
}

static int setup(void **state) {
  const tether_clock clock = {.now_ns = now};
  memset(&scene, 0, sizeof scene);
  if (ctx_sim_setup(state) != 0 || tether_clock_set(&clock) != TETHER_OK) return -1;
  scene.net = tst_mem_net_new(true);
  tst_mem_net_use(scene.net);
  return 0;
}

static int teardown(void **state) {
  tst_mem_net_free(scene.net);
  return ctx_sim_teardown(state);
}

static void ring(void *data) { (void)ctx_sim_advance(*(const int64_t *)data); }
static void close_client(void *data) { tether_client_close(data); }

static bool is_closed_or_waits(void *data) {
  struct ctx_thread *closer = data;
  return ctx_latch_is_open(&closer->finished) || ctx_wait_blocked(atomic_load(&closer->tid));
}

/* Lets the timer's thread run until it is stopped. */
static void ring_alarm(int64_t *after_ns) {
  ctx_thread_start(&scene.alarm, ring, after_ns);
  assert_true(ctx_latch_wait(&scene.reached));
}

/* Closes the client, for which that thread has to be let go first. */
static void check_close_waits(void) {
  ctx_thread_start(&scene.closer, close_client, scene.client);
  assert_true(tst_wait_until(is_closed_or_waits, &scene.closer, TST_BOUND_NS));
  bool closed_early = ctx_latch_is_open(&scene.closer.finished);
  ctx_latch_open(&scene.open);
  ctx_thread_join(&scene.alarm);
  ctx_thread_join(&scene.closer);
  assert_true(scene.went_on);
  assert_false(closed_early);
}

static void note_end(tether_call *call, void *data) { *(tether_code *)data = tether_call_code(call); }

/* ---- The client's alarm -------------------------------------------------------------------- */

static void open_to(tst_mem_peer *peer, const tether_client_options *options) {
  tst_frames hello = {0};
  assert_true(tst_mem_peer_listen(peer, scene.net, URL));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, URL, options, &scene.client), TETHER_OK);
  tst_link_mem_pump(scene.net);
  tst_frames_hello(&hello, 8);
  tst_mem_peer_say_frames(peer, &hello);
  tst_frames_fini(&hello);
  assert_int_equal(tether_client_connectivity(scene.client), TETHER_READY);
}

/* Which will try to connect again at an alarm: it had a connection, and lost it at once. */
static void open_and_lose(void) {
  tst_mem_peer peer;
  open_to(&peer, NULL);
  tst_mem_peer_fini(&peer);
  assert_int_equal(tether_client_connectivity(scene.client), TETHER_CONNECTING);
}

/* The first reading of the clock without the client's lock after the alarm has begun to dial is where the thread sets
 * the next alarm, so that this one is not waited for any more: the attempt fails here. */
static void fail_the_attempt(void) {
  if (pthread_mutex_trylock(&scene.client->mu) != 0) return;
  bool dialing = scene.client->subchannels[0]->dialing;
  pthread_mutex_unlock(&scene.client->mu);
  if (!dialing) return;
  atomic_store(&scene.asked, NULL);
  tst_link_mem_pump(scene.net);
}

static void on_value_free(void *value) {
  (void)value;
  stop_here();
}

/* It stops where it gives up its hold on the call, the last, which has ended. */
static void a_close_waits_for_the_alarm_that_ends_waiting_calls(void **state) {
  (void)state;
  static const tether_key key = {.name = "held", .free = on_value_free};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_code code = TETHER_OK;
  int64_t after_ns = 2 * TETHER_SEC;
  open_and_lose();
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &key, &scene);
  tether_call_unref(testing_v1_echo_client_quick_start(scene.client, ctx, &request, NULL, note_end, &code));
  tether_ctx_free(ctx);
  assert_int_equal(code, TETHER_OK);
  assert_false(ctx_latch_is_open(&scene.reached));
  atomic_store(&scene.asked, fail_the_attempt);
  ring_alarm(&after_ns);
  assert_int_equal(code, TETHER_UNAVAILABLE);
  check_close_waits();
}

/* ---- Idleness ------------------------------------------------------------------------------ */

static void let_a_while_pass(void) {
  atomic_store(&scene.asked, NULL);
  (void)ctx_sim_advance(61 * TETHER_SEC);
}

struct waiting {
  struct ctx_thread thread;
  tether_ctx *ctx;
  tether_code code;
};

static void wait_ready(void *data) {
  struct waiting *w = data;
  w->code = tether_client_wait_ready(scene.client, w->ctx);
}

/* Nobody has called for long when the wait begins, and the alarm that sees to it rings right then. */
static void a_client_does_not_go_idle_under_who_begins_to_wait_for_it(void **state) {
  (void)state;
  const tether_client_options options = {.idle_timeout_ns = 60 * TETHER_SEC};
  tst_mem_peer peer;
  struct waiting w = {.ctx = tether_ctx_with_timeout(tether_ctx_background(), 1000 * TETHER_SEC)};
  open_to(&peer, &options);
  atomic_store(&scene.asked, let_a_while_pass); /* the clock is asked when the wait registers with its context */
  ctx_thread_start(&w.thread, wait_ready, &w);
  bool ended = ctx_latch_wait(&w.thread.finished);
  tether_ctx_cancel(w.ctx);
  ctx_thread_join(&w.thread);
  tst_mem_peer_fini(&peer);
  tether_client_close(scene.client);
  tether_ctx_free(w.ctx);
  assert_true(ended);
  assert_null(atomic_load(&scene.asked));
  assert_int_equal(w.code, TETHER_OK);
}

/* ---- A retry's timer ----------------------------------------------------------------------- */

static const char config[] =
    "{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"0.1s\","
    "\"maxBackoff\": \"1s\", \"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}]}";

/* The timer has rung for the call, which is about to be sent again. */
static void stop_before_the_retry(void) {
  const tth_backoff *backoff = &scene.call->c.retrying->backoffs[0];
  if (atomic_load(&backoff->phase) == scene.phase) return;
  atomic_store(&scene.asked, NULL);
  stop_here();
}

static void a_close_waits_for_the_timer_that_tries_a_call_again(void **state) {
  (void)state;
  const tether_client_options options = {.service_config = config};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_code code = TETHER_OK;
  int64_t after_ns = 200 * TETHER_MS;
  assert_int_equal(tth_client_open_on(&tst_transport_mem, URL, &options, &scene.client), TETHER_OK);
  tst_link_mem_pump(scene.net);
  assert_int_equal(tether_client_connectivity(scene.client), TETHER_TRANSIENT_FAILURE);
  scene.call =
      testing_v1_echo_client_quick_start(scene.client, tether_ctx_background(), &request, NULL, note_end, &code);
  assert_int_equal(code, TETHER_OK);
  assert_non_null(scene.call->c.retrying);
  assert_int_equal(scene.call->c.retrying->backoff_count, 1);
  scene.phase = atomic_load(&scene.call->c.retrying->backoffs[0].phase);
  atomic_store(&scene.asked, stop_before_the_retry);
  ring_alarm(&after_ns);
  tether_call_cancel(scene.call, NULL);
  assert_int_equal(code, TETHER_CANCELLED);
  check_close_waits();
  tether_call_unref(scene.call);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_close_waits_for_the_alarm_that_ends_waiting_calls),
      CASE(a_client_does_not_go_idle_under_who_begins_to_wait_for_it),
      CASE(a_close_waits_for_the_timer_that_tries_a_call_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
