/* The health service: what is said of each service, and that a watcher hears every change and the last word. */
#include "tests/support/rpc_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/health.h>
#include <tether/interceptor.h>
#include <unistd.h>

#include "rpc/server.h"
#include "tests/support/mem_peer.h"
#include "tests/support/wait.h"

#define ECHO "testing.v1.Echo"

struct fixture {
  char dir[64], url[128];
  tether_server *server;
  tether_client *client;
  tether_health *health;
  tether_ctx *ctx;
  struct echo_stats stats;
};

static int open_with(void **state, const tether_server_options *options) {
  struct fixture *f = calloc(1, sizeof *f);
  if (!f) return -1;
  *state = f;
  snprintf(f->dir, sizeof f->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  f->ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  bool opened =
      tether_server_open(options, &f->server) == TETHER_OK && tether_health_new(f->server, &f->health) == TETHER_OK &&
      echo_server_add(f->server, &f->stats) == TETHER_OK && /* later than the health service */
      tether_server_listen(f->server, f->url) == TETHER_OK && tether_client_open(f->url, NULL, &f->client) == TETHER_OK;
  return opened ? 0 : -1;
}

static int setup(void **state) { return open_with(state, NULL); }

static int setup_one_worker(void **state) { return open_with(state, &(tether_server_options){.max_workers = 1}); }

static int teardown(void **state) {
  struct fixture *f = *state;
  tether_client_close(f->client);
  tether_server_close(f->server);
  tether_health_free(f->health);
  tether_ctx_free(f->ctx);
  unlink(f->url + strlen("ipc://"));
  rmdir(f->dir);
  free(f);
  return 0;
}

/* The status, or -1 where there is no such service. */
static int check(struct fixture *f, const char *service) {
  tether_health_status status;
  assert_int_equal(tether_client_wait_ready(f->client, f->ctx), TETHER_OK);
  tether_code code = tether_health_check(f->client, f->ctx, service, &status);
  if (code == TETHER_NOT_FOUND) return -1;
  assert_int_equal(code, TETHER_OK);
  return (int)status;
}

static tether_call *watch(struct fixture *f, const char *service) {
  assert_int_equal(tether_client_wait_ready(f->client, f->ctx), TETHER_OK);
  return tether_health_watch(f->client, f->ctx, service);
}

static void expect_next(tether_call *call, tether_health_status wanted) {
  tether_health_status status;
  assert_int_equal(tether_health_next(call, &status), TETHER_OK);
  assert_string_equal(tether_health_status_name(status), tether_health_status_name(wanted));
}

static void set(struct fixture *f, const char *service, tether_health_status status) {
  assert_int_equal(tether_health_set(f->health, service, status), TETHER_OK);
}

static const tether_health_status all[] = {TETHER_HEALTH_SERVING, TETHER_HEALTH_NOT_SERVING, TETHER_HEALTH_UNKNOWN};

/* ---- Check --------------------------------------------------------------------------------- */

static void a_server_is_serving_from_the_start_and_so_is_what_it_serves(void **state) {
  struct fixture *f = *state;
  assert_int_equal(check(f, ""), TETHER_HEALTH_SERVING);
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_SERVING);
  assert_int_equal(check(f, "grpc.health.v1.Health"), TETHER_HEALTH_SERVING);
}

static void a_service_nobody_knows_is_not_found(void **state) {
  struct fixture *f = *state;
  const char *const names[] = {"testing.v1", "testing.v1.Ech", "testing.v1.Echo/Quick", "testing.v1.Echoes", "/", " "};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) assert_int_equal(check(f, names[i]), -1);
}

static void every_status_that_is_set_is_told(void **state) {
  struct fixture *f = *state;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    set(f, "not.served.Here", all[i]);
    assert_int_equal(check(f, "not.served.Here"), all[i]);
    set(f, ECHO, all[i]);
    assert_int_equal(check(f, ECHO), all[i]);
    set(f, "", all[i]);
    assert_int_equal(check(f, ""), all[i]);
  }
}

static void a_service_without_a_status_has_the_servers_until_it_gets_one(void **state) {
  struct fixture *f = *state;
  set(f, "", TETHER_HEALTH_NOT_SERVING);
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_NOT_SERVING);
  set(f, ECHO, TETHER_HEALTH_SERVING);
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_SERVING);
  assert_int_equal(check(f, ""), TETHER_HEALTH_NOT_SERVING);
  set(f, ECHO, TETHER_HEALTH_SERVICE_UNKNOWN); /* forgets */
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_NOT_SERVING);
  set(f, "", TETHER_HEALTH_SERVICE_UNKNOWN);
  assert_int_equal(check(f, ""), TETHER_HEALTH_SERVING);
  set(f, "else", TETHER_HEALTH_SERVING);
  set(f, "else", TETHER_HEALTH_SERVICE_UNKNOWN);
  assert_int_equal(check(f, "else"), -1);
}

static void a_status_outside_the_enum_is_refused(void **state) {
  struct fixture *f = *state;
  assert_int_equal(tether_health_set(f->health, "", (tether_health_status)4), TETHER_INVALID_ARGUMENT);
  assert_string_equal(tether_health_status_name((tether_health_status)4), "UNKNOWN");
  assert_string_equal(tether_health_status_name(TETHER_HEALTH_SERVICE_UNKNOWN), "SERVICE_UNKNOWN");
}

static void a_server_whose_workers_are_all_busy_still_answers(void **state) {
  struct fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_int_equal(check(f, ""), TETHER_HEALTH_SERVING);
  TETHER_SCOPED_CALL tether_call *hang =
      testing_v1_echo_client_hang_start(f->client, f->ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  assert_int_equal(check(f, ""), TETHER_HEALTH_SERVING);
  TETHER_SCOPED_CALL tether_call *watching = watch(f, "");
  expect_next(watching, TETHER_HEALTH_SERVING);
  tether_call_cancel(watching, NULL);
  tether_call_cancel(hang, NULL);
}

static void a_server_without_the_service_is_unimplemented(void **state) {
  struct rpc_fixture *f = *state;
  tether_health_status status;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(f->client, ctx), TETHER_OK);
  assert_int_equal(tether_health_check(f->client, ctx, "", &status), TETHER_UNIMPLEMENTED);
  TETHER_SCOPED_CALL tether_call *call = tether_health_watch(f->client, ctx, "");
  assert_int_equal(tether_health_next(call, &status), TETHER_UNIMPLEMENTED);
}

static int setup_without(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown_without(void **state) { return rpc_fixture_close(state); }

static void it_cannot_be_added_twice_or_late(void **state) {
  struct fixture *f = *state;
  tether_health *health;
  tether_server *server;
  assert_int_equal(tether_health_new(f->server, &health), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  tether_health *first;
  assert_int_equal(tether_health_new(server, &first), TETHER_OK);
  assert_int_equal(tether_health_new(server, &health), TETHER_ALREADY_EXISTS);
  tether_server_close(server);
  tether_health_free(first);
  tether_health_free(NULL);
}

/* ---- Watch --------------------------------------------------------------------------------- */

static void a_watcher_hears_every_transition_of_its_service_and_of_no_other(void **state) {
  struct fixture *f = *state;
  static const tether_health_status steps[] = {
      TETHER_HEALTH_SERVING,     TETHER_HEALTH_NOT_SERVING,     TETHER_HEALTH_UNKNOWN, TETHER_HEALTH_NOT_SERVING,
      TETHER_HEALTH_SERVING,     TETHER_HEALTH_UNKNOWN,         TETHER_HEALTH_SERVING, TETHER_HEALTH_SERVICE_UNKNOWN,
      TETHER_HEALTH_NOT_SERVING, TETHER_HEALTH_SERVICE_UNKNOWN, TETHER_HEALTH_UNKNOWN};
  TETHER_SCOPED_CALL tether_call *call = watch(f, "later.Service");
  expect_next(call, TETHER_HEALTH_SERVICE_UNKNOWN);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    set(f, "other.Service", all[i % 3]);
    set(f, "later.Service", steps[i]);
    expect_next(call, steps[i]);
  }
  tether_call_cancel(call, NULL);
}

static void a_status_set_again_is_not_told_again(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED_CALL tether_call *call = watch(f, ECHO);
  expect_next(call, TETHER_HEALTH_SERVING);
  for (int i = 0; i < 100; i++) set(f, ECHO, TETHER_HEALTH_SERVING);
  set(f, ECHO, TETHER_HEALTH_NOT_SERVING);
  expect_next(call, TETHER_HEALTH_NOT_SERVING);
  tether_call_cancel(call, NULL);
}

static void a_watcher_of_a_service_without_a_status_hears_of_the_server(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED_CALL tether_call *call = watch(f, ECHO);
  expect_next(call, TETHER_HEALTH_SERVING);
  set(f, "", TETHER_HEALTH_NOT_SERVING);
  expect_next(call, TETHER_HEALTH_NOT_SERVING);
  set(f, ECHO, TETHER_HEALTH_SERVING);
  expect_next(call, TETHER_HEALTH_SERVING);
  tether_call_cancel(call, NULL);
}

static bool nothing_runs(void *data) {
  tether_server_stats stats;
  return tether_server_get_stats(data, NULL, &stats) == TETHER_OK && stats.running == 0;
}

static void a_watcher_that_leaves_is_let_go(void **state) {
  struct fixture *f = *state;
  enum { WATCHERS = 50 };
  tether_call *calls[WATCHERS];
  for (int i = 0; i < WATCHERS; i++) {
    calls[i] = watch(f, i % 2 ? ECHO : "unknown");
    expect_next(calls[i], i % 2 ? TETHER_HEALTH_SERVING : TETHER_HEALTH_SERVICE_UNKNOWN);
  }
  for (int i = 0; i < WATCHERS; i++) {
    tether_call_cancel(calls[i], NULL);
    tether_call_unref(calls[i]);
    set(f, ECHO, all[i % 3]);
  }
  assert_true(tst_wait_until(nothing_runs, f->server, TST_BOUND_NS));
}

/* Reads nothing while the status changes so often that no window holds it all. */
static void a_slow_watcher_gets_the_last_status_and_costs_no_memory(void **state) {
  struct fixture *f = *state;
  enum { CHANGES = 100001 };
  TETHER_SCOPED_CALL tether_call *call = watch(f, ECHO);
  expect_next(call, TETHER_HEALTH_SERVING);
  for (int i = 0; i < CHANGES; i++) set(f, ECHO, i % 2 ? TETHER_HEALTH_SERVING : TETHER_HEALTH_UNKNOWN);
  set(f, ECHO, TETHER_HEALTH_NOT_SERVING);
  int seen = 0;
  for (tether_health_status status = TETHER_HEALTH_UNKNOWN; status != TETHER_HEALTH_NOT_SERVING; seen++)
    assert_int_equal(tether_health_next(call, &status), TETHER_OK);
  assert_true(seen < CHANGES);
  tether_call_cancel(call, NULL);
}

struct setter {
  struct fixture *f;
  atomic_bool *stop;
  tether_code code;
  pthread_t thread;
};

static void *set_again_and_again(void *data) {
  struct setter *s = data;
  for (unsigned i = 0; !atomic_load(s->stop) && s->code == TETHER_OK; i++)
    s->code = tether_health_set(s->f->health, i % 5 ? ECHO : "", i % 2 ? TETHER_HEALTH_SERVING : TETHER_HEALTH_UNKNOWN);
  return NULL;
}

static void watchers_come_and_go_while_several_threads_set(void **state) {
  struct fixture *f = *state;
  enum { SETTERS = 3, WATCHERS = 20, ROUNDS = 10 };
  atomic_bool stop = false;
  struct setter setters[SETTERS];
  tether_call *calls[WATCHERS];
  for (int i = 0; i < SETTERS; i++) {
    setters[i] = (struct setter){.f = f, .stop = &stop};
    assert_int_equal(pthread_create(&setters[i].thread, NULL, set_again_and_again, &setters[i]), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < WATCHERS; i++) calls[i] = watch(f, ECHO);
    tether_health_status status;
    for (int i = 0; i < WATCHERS; i++) assert_int_equal(tether_health_next(calls[i], &status), TETHER_OK);
    for (int i = 0; i < WATCHERS && round + 1 < ROUNDS; i++) {
      tether_call_cancel(calls[i], NULL);
      tether_call_unref(calls[i]);
    }
  }
  atomic_store(&stop, true);
  for (int i = 0; i < SETTERS; i++) {
    pthread_join(setters[i].thread, NULL);
    assert_int_equal(setters[i].code, TETHER_OK);
  }
  set(f, ECHO, TETHER_HEALTH_NOT_SERVING);
  for (int i = 0; i < WATCHERS; i++) { /* those of the last round, whatever they heard before */
    for (tether_health_status status = TETHER_HEALTH_UNKNOWN; status != TETHER_HEALTH_NOT_SERVING;)
      assert_int_equal(tether_health_next(calls[i], &status), TETHER_OK);
    tether_call_cancel(calls[i], NULL);
    tether_call_unref(calls[i]);
  }
}

/* ---- The end ------------------------------------------------------------------------------- */

static void a_shutdown_of_health_turns_everything_off_for_good_and_ends_nothing(void **state) {
  struct fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *server = watch(f, ""), *echo = watch(f, ECHO), *unknown = watch(f, "unknown");
  set(f, ECHO, TETHER_HEALTH_SERVING);
  expect_next(server, TETHER_HEALTH_SERVING);
  expect_next(echo, TETHER_HEALTH_SERVING);
  expect_next(unknown, TETHER_HEALTH_SERVICE_UNKNOWN);
  tether_health_shutdown(f->health);
  tether_health_shutdown(f->health);
  expect_next(server, TETHER_HEALTH_NOT_SERVING);
  expect_next(echo, TETHER_HEALTH_NOT_SERVING);
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_NOT_SERVING);
  assert_int_equal(check(f, ""), TETHER_HEALTH_NOT_SERVING);
  assert_int_equal(check(f, "unknown"), -1);
  assert_int_equal(tether_health_set(f->health, ECHO, TETHER_HEALTH_SERVING), TETHER_FAILED_PRECONDITION);
  assert_int_equal(check(f, ECHO), TETHER_HEALTH_NOT_SERVING);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, f->ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(tether_call_code(server), TETHER_OK); /* not over */
  tether_call_cancel(server, NULL);
  tether_call_cancel(echo, NULL);
  tether_call_cancel(unknown, NULL);
}

/* With a grace far beyond the test's bound: the watchers do not hold the shutdown up. */
static void a_draining_server_tells_its_watchers_and_lets_them_go(void **state) {
  struct fixture *f = *state;
  TETHER_SCOPED_CALL tether_call *server = watch(f, ""), *echo = watch(f, ECHO), *unknown = watch(f, "unknown");
  set(f, "", TETHER_HEALTH_SERVING);
  expect_next(server, TETHER_HEALTH_SERVING);
  expect_next(echo, TETHER_HEALTH_SERVING);
  expect_next(unknown, TETHER_HEALTH_SERVICE_UNKNOWN);
  int64_t started_ns = tether_now_ns();
  tether_server_shutdown(f->server, 1000 * TETHER_SEC);
  assert_true(tether_now_ns() - started_ns < 500 * TETHER_SEC);
  expect_next(server, TETHER_HEALTH_NOT_SERVING);
  expect_next(echo, TETHER_HEALTH_NOT_SERVING);
  tether_call *const calls[] = {server, echo, unknown};
  for (int i = 0; i < 3; i++) {
    tether_health_status status;
    assert_int_equal(tether_health_next(calls[i], &status), TETHER_UNAVAILABLE);
    assert_non_null(strstr(tether_call_message(calls[i]), "shutting down"));
  }
}

/* An interceptor that stops the thread on which a call's context ends, before the others that are told of it. */
static tst_latch ending, may_go_on;

static void stop_here(void *data) {
  (void)data;
  tst_latch_open(&ending);
  if (!tst_latch_wait(&may_go_on, RPC_TEST_BOUND_NS)) abort();
}

static tether_code tell_end(void *data, tether_call *call, void **state) {
  (void)data, (void)state;
  tether_after *after = tether_call_alloc(call, sizeof *after);
  if (!after) return TETHER_RESOURCE_EXHAUSTED;
  tether_ctx_after_func(tether_call_ctx(call), after, NULL, stop_here, NULL);
  return TETHER_OK;
}

static void open_latch(void *data) { tst_latch_open(data); }

/* The deadline is noticed by who tells the watcher, before the timer's thread, which alone ends the context, has come
 * to the watcher. */
static void a_watch_that_is_told_of_its_end_late_needs_no_health_any_more(void **state) {
  (void)state;
  static const tether_interceptor stops = {.begin = tell_end};
  static const tether_interceptor *const interceptors[] = {&stops, NULL};
  const tether_server_options options = {.interceptors = interceptors};
  tst_mem_net *net = tst_mem_net_new(true);
  tether_server *server;
  tether_health *health;
  tst_mem_peer peer = {0};
  tst_frames frames = {0};
  tst_latch gone;
  tether_after after;
  tst_latch_init(&ending);
  tst_latch_init(&may_go_on);
  tst_latch_init(&gone);
  tst_mem_net_use(net);
  assert_int_equal(tth_server_open_on(&tst_transport_mem, &options, &server), TETHER_OK);
  assert_int_equal(tether_health_new(server, &health), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "mem://s"), TETHER_OK);
  assert_true(tst_mem_peer_dial(&peer, net, "mem://s"));
  tst_frames_hello(&frames, 0);
  tst_frames_headers(&frames, 1, "/grpc.health.v1.Health/Watch", 200 * TETHER_MS);
  tst_frames_raw(&frames, TTH_MESSAGE, TTH_FLAG_END, 1, "", 0);
  tst_mem_peer_say_frames(&peer, &frames);
  bool ended = tst_latch_wait(&ending, TST_BOUND_NS);
  tether_code code = tether_health_set(health, "", TETHER_HEALTH_NOT_SERVING);
  tst_link_mem_pump(net);
  int answered = tst_mem_peer_code(&peer, 1);
  tst_frames_fini(&frames);
  tst_mem_peer_fini(&peer);
  tether_server_close(server);
  tether_health_free(health);
  tst_latch_open(&may_go_on);
  tether_ctx *behind = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx_after_func(behind, &after, NULL, open_latch, &gone); /* the timer's thread, when it is through */
  assert_true(tst_latch_wait(&gone, TST_BOUND_NS));
  tether_ctx_free(behind);
  tst_mem_net_free(net);
  assert_true(ended);
  assert_int_equal(code, TETHER_OK);
  assert_int_equal(answered, TETHER_DEADLINE_EXCEEDED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_server_is_serving_from_the_start_and_so_is_what_it_serves),
      TEST(a_service_nobody_knows_is_not_found),
      TEST(every_status_that_is_set_is_told),
      TEST(a_service_without_a_status_has_the_servers_until_it_gets_one),
      TEST(a_status_outside_the_enum_is_refused),
      cmocka_unit_test_setup_teardown(a_server_whose_workers_are_all_busy_still_answers, setup_one_worker, teardown),
      cmocka_unit_test_setup_teardown(a_server_without_the_service_is_unimplemented, setup_without, teardown_without),
      TEST(it_cannot_be_added_twice_or_late),
      TEST(a_watcher_hears_every_transition_of_its_service_and_of_no_other),
      TEST(a_status_set_again_is_not_told_again),
      TEST(a_watcher_of_a_service_without_a_status_hears_of_the_server),
      TEST(a_watcher_that_leaves_is_let_go),
      TEST(a_slow_watcher_gets_the_last_status_and_costs_no_memory),
      TEST(watchers_come_and_go_while_several_threads_set),
      TEST(a_shutdown_of_health_turns_everything_off_for_good_and_ends_nothing),
      TEST(a_draining_server_tells_its_watchers_and_lets_them_go),
      cmocka_unit_test(a_watch_that_is_told_of_its_end_late_needs_no_health_any_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
