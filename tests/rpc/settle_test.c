/* A client that is closed while the thread that its alarm woke still ends calls that waited for a connection. In
 * virtual time on an in-memory net; the thread stops where it gives up its last hold on a call, in a function of the
 * user's, which nobody waits for but who knows that the thread is not done with the client. */
#include "rpc/client.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"
#include "tests/support/mem_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define URL "mem://c"

static struct scene {
  tst_mem_net *net;
  tether_client *client;
  atomic_bool armed;
  struct ctx_thread alarm, closer;
  struct ctx_latch reached, open;
  bool went_on;
} scene;

/* The clock. Its first reading without the client's lock after the alarm has begun to dial is where the settling thread
 * sets the next alarm, so this one is not waited for any more: the attempt fails here. */
static int64_t now(void *data) {
  (void)data;
  if (atomic_load(&scene.armed) && pthread_mutex_trylock(&scene.client->mu) == 0) {
    bool dialing = scene.client->subchannels[0]->dialing;
    pthread_mutex_unlock(&scene.client->mu);
    if (dialing) {
      atomic_store(&scene.armed, false);
      tst_link_mem_pump(scene.net);
    }
  }
  return ctx_sim_now(ctx_sim_get());
}

/* What the call's context held. */
static void stop_here(void *value) {
  struct scene *s = value;
  ctx_latch_open(&s->reached);
  s->went_on = ctx_latch_wait(&s->open);
}

static const tether_key key = {.name = "held", .free = stop_here};

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

/* Which will try to connect again at an alarm: it had a connection, and lost it at once. */
static tether_client *client_open(void) {
  tst_mem_peer peer;
  tst_frames hello = {0};
  tether_client *client;
  assert_true(tst_mem_peer_listen(&peer, scene.net, URL));
  assert_int_equal(tth_client_open_on(&tst_transport_mem, URL, NULL, &client), TETHER_OK);
  tst_link_mem_pump(scene.net);
  tst_frames_hello(&hello, 8);
  tst_mem_peer_say_frames(&peer, &hello);
  tst_frames_fini(&hello);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  tst_mem_peer_fini(&peer);
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  return client;
}

static void count_end(tether_call *call, void *data) { *(tether_code *)data = tether_call_code(call); }

static void ring(void *data) {
  (void)data;
  (void)ctx_sim_advance(2 * TETHER_SEC);
}

static void close_client(void *data) { tether_client_close(data); }

static bool is_closed_or_waits(void *data) {
  struct ctx_thread *closer = data;
  return ctx_latch_is_open(&closer->finished) || ctx_wait_blocked(atomic_load(&closer->tid));
}

static void a_close_waits_for_the_alarm_that_ends_waiting_calls(void **state) {
  (void)state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_code code = TETHER_OK;
  scene.client = client_open();
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &key, &scene);
  tether_call_unref(testing_v1_echo_client_quick_start(scene.client, ctx, &request, NULL, count_end, &code));
  tether_ctx_free(ctx);
  assert_int_equal(code, TETHER_OK);
  assert_false(ctx_latch_is_open(&scene.reached));
  atomic_store(&scene.armed, true);
  ctx_thread_start(&scene.alarm, ring, NULL);
  assert_true(ctx_latch_wait(&scene.reached));
  assert_int_equal(code, TETHER_UNAVAILABLE);
  ctx_thread_start(&scene.closer, close_client, scene.client);
  assert_true(tst_wait_until(is_closed_or_waits, &scene.closer, TST_BOUND_NS));
  bool closed_early = ctx_latch_is_open(&scene.closer.finished);
  ctx_latch_open(&scene.open);
  ctx_thread_join(&scene.alarm);
  ctx_thread_join(&scene.closer);
  assert_true(scene.went_on);
  assert_false(closed_early);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_close_waits_for_the_alarm_that_ends_waiting_calls, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
