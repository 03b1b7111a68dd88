/* Calls, clients and servers that end while others use them: callbacks that cancel, release and start calls, closing
 * and shutting down under load. Every call ends exactly once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/trace.h>

#include "rpc/client.h"
#include "tests/support/ctx_test.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static const Testing__V1__Request *nothing(void) {
  static Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  return &request;
}

/* ---- From callbacks ------------------------------------------------------------------------ */

static void cancel_itself(tether_call *call, void *data) {
  tether_call_cancel(call, NULL); /* nothing happens to a call that has ended */
  atomic_fetch_add((atomic_int *)data, 1);
}

static void a_callback_may_cancel_its_own_call(void **state) {
  struct rpc_fixture *f = *state;
  atomic_int ends = 0;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  for (int i = 1; i <= 100; i++) {
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_quick_start(f->client, ctx, nothing(), NULL, cancel_itself, &ends);
    assert_true(rpc_wait_for(&ends, i));
    rpc_assert_code(call, TETHER_OK);
  }
}

/* Releases the reference that its starter has put there, once it has. */
struct handover {
  _Atomic(tether_call *) call;
  atomic_int ends;
};

static void release_last(tether_call *call, void *data) {
  struct handover *handover = data;
  if (atomic_exchange(&handover->call, call) != NULL) tether_call_unref(call);
  atomic_fetch_add(&handover->ends, 1);
}

static void a_callback_may_release_the_last_reference(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  for (int i = 0; i < 300; i++) {
    struct handover handover = {NULL, 0};
    tether_call *call =
        i % 3 == 0 ? testing_v1_echo_client_hang_start(f->client, ctx, nothing(), NULL, release_last, &handover)
                   : testing_v1_echo_client_quick_start(f->client, ctx, nothing(), NULL, release_last, &handover);
    if (i % 3 == 0) {
      tether_call *extra = tether_call_ref(call);
      atomic_store(&handover.call, call);
      tether_call_cancel(extra, NULL); /* the callback comes on this thread */
      tether_call_unref(extra);
    } else if (atomic_exchange(&handover.call, call) != NULL) {
      tether_call_unref(call); /* the callback was first */
    }
    assert_true(rpc_wait_for(&handover.ends, 1));
  }
}

/* Each call's callback starts the next, until one fails or there are enough. */
struct chain {
  tether_client *client;
  const tether_ctx *ctx;
  int most;
  atomic_int started, ended, failed;
};

static void start_next(tether_call *call, void *data) {
  struct chain *chain = data;
  bool failed = call && tether_call_code(call) != TETHER_OK;
  if (failed) {
    atomic_fetch_add(&chain->failed, 1);
  } else if (atomic_fetch_add(&chain->started, 1) < chain->most) {
    tether_call_unref(
        testing_v1_echo_client_quick_start(chain->client, chain->ctx, nothing(), NULL, start_next, chain));
  } else {
    atomic_fetch_sub(&chain->started, 1);
  }
  if (call) atomic_fetch_add(&chain->ended, 1);
}

static void a_callback_may_start_the_next_call(void **state) {
  struct rpc_fixture *f = *state;
  enum { N = CTX_TEST_ROUNDS(5000) };
  TETHER_SCOPED tether_ctx *ctx = bounded();
  struct chain chain = {.client = f->client, .ctx = ctx, .most = N};
  for (int i = 0; i < 4; i++) start_next(NULL, &chain);
  assert_true(rpc_wait_for(&chain.ended, N));
  assert_int_equal(atomic_load(&chain.failed), 0);
}

/* ---- Closing the client -------------------------------------------------------------------- */

static bool has_ended_200(void *data) { return atomic_load((atomic_int *)data) >= 200; }

static void a_client_closed_under_chains_of_calls_ends_each_once(void **state) {
  struct rpc_fixture *f = *state;
  for (int round = 0; round < 20; round++) {
    struct chain chain = {.ctx = tether_ctx_background(), .most = INT_MAX / 2};
    assert_int_equal(tether_client_open(f->url, NULL, &chain.client), TETHER_OK);
    for (int i = 0; i < 8; i++) start_next(NULL, &chain);
    if (round % 2) assert_true(tst_wait_until(has_ended_200, &chain.ended, RPC_TEST_BOUND_NS));
    tether_client_close(chain.client);
    assert_int_equal(atomic_load(&chain.ended), atomic_load(&chain.started));
    assert_int_equal(atomic_load(&chain.failed), 8);
  }
}

struct starter {
  pthread_t thread;
  tether_client *client;
  unsigned seed;
  atomic_int started, ended;
};

static void count_end(tether_call *call, void *data) {
  (void)call;
  atomic_fetch_add((atomic_int *)data, 1);
}

/* Starts calls, and cancels some at once, some later, some never. */
static void *start_and_cancel(void *data) {
  struct starter *starter = data;
  tether_call *kept[8] = {0};
  for (int i = 0; i < CTX_TEST_ROUNDS(1000); i++) {
    unsigned dice = (unsigned)rand_r(&starter->seed);
    tether_call **slot = &kept[dice % 8];
    if (*slot) tether_call_cancel(*slot, NULL);
    tether_call_unref(*slot);
    atomic_fetch_add(&starter->started, 1);
    *slot = dice & 64 ? testing_v1_echo_client_hang_start(starter->client, tether_ctx_background(), nothing(), NULL,
                                                          count_end, &starter->ended)
                      : testing_v1_echo_client_quick_start(starter->client, tether_ctx_background(), nothing(), NULL,
                                                           count_end, &starter->ended);
    if (dice & 128) tether_call_cancel(*slot, NULL);
  }
  for (int i = 0; i < 8; i++) tether_call_unref(kept[i]);
  return NULL;
}

static void calls_started_and_cancelled_by_many_threads_all_end_when_the_client_closes(void **state) {
  struct rpc_fixture *f = *state;
  for (int round = 0; round < 3; round++) {
    struct starter starters[4];
    tether_client *client;
    assert_int_equal(tether_client_open(f->url, NULL, &client), TETHER_OK);
    for (unsigned i = 0; i < 4; i++) {
      starters[i] = (struct starter){.client = client, .seed = i + 1};
      assert_int_equal(pthread_create(&starters[i].thread, NULL, start_and_cancel, &starters[i]), 0);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(starters[i].thread, NULL), 0);
    tether_client_close(client);
    for (int i = 0; i < 4; i++) assert_int_equal(atomic_load(&starters[i].started), atomic_load(&starters[i].ended));
  }
  assert_true(rpc_wait_for(&f->stats.hanging, 0));
}

struct waiter {
  tether_client *client;
  tether_code code;
};

static void *wait_ready(void *data) {
  struct waiter *waiter = data;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  waiter->code = tether_client_wait_ready(waiter->client, ctx);
  return NULL;
}

static bool is_waited_for(void *data) {
  tether_client *client = data;
  pthread_mutex_lock(&client->mu);
  size_t waiters = client->inside;
  pthread_mutex_unlock(&client->mu);
  return waiters == 1;
}

static void who_waits_for_a_client_that_is_closed_is_told(void **state) {
  (void)state;
  for (int i = 0; i < 30; i++) {
    struct waiter waiter = {0};
    pthread_t thread;
    tether_client_options options = {.backoff_initial_ns = TETHER_MS, .backoff_max_ns = TETHER_MS};
    assert_int_equal(tether_client_open("ipc:///tmp/tether-test-nobody-is-here", &options, &waiter.client), TETHER_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_ready, &waiter), 0);
    assert_true(tst_wait_until(is_waited_for, waiter.client, RPC_TEST_BOUND_NS));
    tether_client_close(waiter.client);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.code, TETHER_CANCELLED);
  }
}

/* ---- Shutting the server down -------------------------------------------------------------- */

struct load {
  pthread_t thread;
  tether_client *client;
  atomic_int *stop;
  int ok, unavailable, other, calls;
};

/* Calls until told to stop, or the server takes no more. */
static void *make_load(void *data) {
  struct load *load = data;
  tether_call *calls[16];
  while (!atomic_load(load->stop) && load->unavailable == 0) {
    for (int i = 0; i < 16; i++)
      calls[i] =
          i % 2
              ? testing_v1_echo_client_quick_start(load->client, tether_ctx_background(), nothing(), NULL, NULL, NULL)
              : testing_v1_echo_client_pooled_start(load->client, tether_ctx_background(), nothing(), NULL, NULL, NULL);
    for (int i = 0; i < 16; i++, load->calls++) {
      tether_code code = tether_call_wait(calls[i]);
      ++*(code == TETHER_OK ? &load->ok : code == TETHER_UNAVAILABLE ? &load->unavailable : &load->other);
      tether_call_unref(calls[i]);
    }
  }
  return NULL;
}

static bool has_started_100(void *data) { return atomic_load(&((struct echo_stats *)data)->started) >= 100; }

/* Within the grace every call that began is answered: as many replies come as handlers ran. */
static void shut_down_under_load(int64_t grace_ns) {
  for (int round = 0; round < 15; round++) {
    struct echo_stats stats = {0};
    struct load loads[3];
    atomic_int stop = 0;
    tether_server *server;
    char url[64];
    int ok = 0;
    assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
    assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
    assert_int_equal(tether_server_listen(server, "tcp://127.0.0.1:0"), TETHER_OK);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
    for (int i = 0; i < 3; i++) {
      loads[i] = (struct load){.stop = &stop};
      tether_client_options options = {.backoff_initial_ns = 20 * TETHER_MS};
      assert_int_equal(tether_client_open(url, &options, &loads[i].client), TETHER_OK);
      assert_int_equal(pthread_create(&loads[i].thread, NULL, make_load, &loads[i]), 0);
    }
    assert_true(tst_wait_until(has_started_100, &stats, RPC_TEST_BOUND_NS));
    tether_server_shutdown(server, grace_ns);
    atomic_store(&stop, 1);
    int started = atomic_load(&stats.started);
    tether_server_close(server);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(pthread_join(loads[i].thread, NULL), 0);
      tether_client_close(loads[i].client);
      assert_int_equal(loads[i].other, 0);
      ok += loads[i].ok;
    }
    if (grace_ns > 0) assert_int_equal(ok, started);
    assert_int_equal(atomic_load(&stats.started), started);
  }
}

static void a_shutdown_with_grace_answers_every_call_it_has_accepted(void **state) {
  (void)state;
  shut_down_under_load(RPC_TEST_BOUND_NS);
}

/* It finds calls at every stage, those whose headers are being read included. */
static void a_shutdown_without_grace_ends_every_call_that_is_coming(void **state) {
  (void)state;
  shut_down_under_load(0);
}

static void a_shutdown_without_grace_ends_hanging_handlers_and_their_calls(void **state) {
  struct rpc_fixture *f = *state;
  tether_call *calls[30];
  for (int i = 0; i < 30; i++)
    calls[i] = testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), nothing(), NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 30));
  tether_server_shutdown(f->server, 20 * TETHER_MS);
  assert_int_equal(atomic_load(&f->stats.hanging), 0);
  assert_int_equal(atomic_load(&f->stats.ended[TETHER_CAUSE_SHUTDOWN]), 30);
  for (int i = 0; i < 30; i++) {
    tether_call_wait(calls[i]);
    rpc_assert_code(calls[i], TETHER_UNAVAILABLE);
    tether_call_unref(calls[i]);
  }
  assert_int_equal(tether_server_listen(f->server, "tcp://127.0.0.1:0"), TETHER_FAILED_PRECONDITION);
}

/* ---- Many ---------------------------------------------------------------------------------- */

struct user {
  pthread_t thread;
  const char *url;
  int good;
};

static void *use_own_client(void *data) {
  struct user *user = data;
  tether_client *client;
  if (tether_client_open(user->url, NULL, &client) != TETHER_OK) return NULL;
  for (int i = 0; i < 20; i++) {
    char name[32], text[48];
    TETHER_SCOPED tether_ctx *ctx = bounded();
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    snprintf(name, sizeof name, "%p/%d", data, i);
    snprintf(text, sizeof text, "hello %s", name);
    request.name = name;
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(client, ctx, &request, NULL);
    const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
    user->good += reply && strcmp(reply->text, text) == 0;
  }
  tether_client_close(client);
  return NULL;
}

static void sixty_four_threads_each_with_a_client_are_served(void **state) {
  struct rpc_fixture *f = *state;
  struct user users[64];
  for (int i = 0; i < 64; i++) {
    users[i] = (struct user){.url = f->url};
    assert_int_equal(pthread_create(&users[i].thread, NULL, use_own_client, &users[i]), 0);
  }
  for (int i = 0; i < 64; i++) assert_int_equal(pthread_join(users[i].thread, NULL), 0);
  for (int i = 0; i < 64; i++) assert_int_equal(users[i].good, 20);
}

enum { LONG = 700000 };

static size_t encode_long(const void *value, uint8_t *buf, size_t size) {
  if (size >= LONG) memset(buf, *(const char *)value, LONG);
  return LONG;
}

/* HEADERS are one frame, and a frame has to fit into a batch. */
static void headers_larger_than_a_frame_cost_their_call_alone(void **state) {
  static const tether_key key = {.name = "x-long", .forward = TETHER_FORWARD_ONE_HOP, .encode = encode_long};
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED tether_ctx *laden = tether_ctx_with_value(ctx, &key, "b");
  TETHER_SCOPED_CALL tether_call *hanging =
      testing_v1_echo_client_hang_start(f->client, ctx, nothing(), NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, laden, nothing(), NULL);
  rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  TETHER_SCOPED_CALL tether_call *after = testing_v1_echo_client_quick(f->client, ctx, nothing(), NULL);
  rpc_assert_code(after, TETHER_OK);
  assert_int_equal(atomic_load(&f->stats.hanging), 1);
  tether_call_cancel(hanging, NULL);
  assert_int_equal(tether_call_wait(hanging), TETHER_CANCELLED);
}

/* A trace is never worth a failed call: what the server would refuse is left out. */
static void baggage_too_long_or_not_utf8_is_left_out_and_the_call_goes_on(void **state) {
  struct rpc_fixture *f = *state;
  char *baggage = test_malloc(LONG + 1);
  memset(baggage, 'b', LONG);
  baggage[LONG] = 0;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED tether_ctx *laden = tether_trace_start(ctx, true, baggage);
  TETHER_SCOPED tether_ctx *latin1 = tether_trace_start(ctx, true, "name=caf\xe9");
  test_free(baggage);
  TETHER_SCOPED_CALL tether_call *first = testing_v1_echo_client_quick(f->client, laden, nothing(), NULL);
  rpc_assert_code(first, TETHER_OK);
  TETHER_SCOPED_CALL tether_call *second = testing_v1_echo_client_quick(f->client, latin1, nothing(), NULL);
  rpc_assert_code(second, TETHER_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_callback_may_cancel_its_own_call),
      CASE(a_callback_may_release_the_last_reference),
      CASE(a_callback_may_start_the_next_call),
      CASE(a_client_closed_under_chains_of_calls_ends_each_once),
      CASE(calls_started_and_cancelled_by_many_threads_all_end_when_the_client_closes),
      cmocka_unit_test(who_waits_for_a_client_that_is_closed_is_told),
      cmocka_unit_test(a_shutdown_with_grace_answers_every_call_it_has_accepted),
      cmocka_unit_test(a_shutdown_without_grace_ends_every_call_that_is_coming),
      CASE(a_shutdown_without_grace_ends_hanging_handlers_and_their_calls),
      CASE(sixty_four_threads_each_with_a_client_are_served),
      CASE(headers_larger_than_a_frame_cost_their_call_alone),
      CASE(baggage_too_long_or_not_utf8_is_left_out_and_the_call_goes_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
