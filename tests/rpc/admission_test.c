/* Which calls are taken on: what is known of recent calls, the rules that follow from it, and a server that sheds. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rpc/admission.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define MS TETHER_MS
#define SEC TETHER_SEC

/* ---- Recent -------------------------------------------------------------------------------- */

static void assert_about(int64_t value, int64_t wanted) { assert_in_range(value, wanted - wanted / 5, wanted); }

static void quantiles_are_rounded_down_by_at_most_a_fifth(void **state) {
  (void)state;
  for (int64_t took_ns = 100 * TETHER_US; took_ns < 1800 * SEC; took_ns += took_ns / 7 + 1) {
    tth_recent recent = {0};
    for (int i = 0; i < TTH_RECENT_LEAST; i++) tth_recent_add(&recent, took_ns, SEC);
    assert_about(tth_recent_quantile(&recent, 50), took_ns);
  }
  tth_recent recent = {0};
  for (int i = 0; i < 100; i++) tth_recent_add(&recent, i < 90 ? 2 * MS : 50 * MS, SEC);
  assert_about(tth_recent_quantile(&recent, 10), 2 * MS);
  assert_about(tth_recent_quantile(&recent, 89), 2 * MS);
  assert_about(tth_recent_quantile(&recent, 90), 50 * MS);
}

static void extremes_have_their_place(void **state) {
  (void)state;
  tth_recent recent = {0};
  for (int i = 0; i < 20; i++) tth_recent_add(&recent, i % 2 ? INT64_MAX : -5, SEC);
  assert_int_equal(tth_recent_quantile(&recent, 10), TETHER_US);
  assert_true(tth_recent_quantile(&recent, 90) > 1800 * SEC);
}

static void of_few_nothing_is_said(void **state) {
  (void)state;
  tth_recent recent = {0};
  for (int i = 0; i < TTH_RECENT_LEAST - 1; i++) tth_recent_add(&recent, MS, SEC);
  assert_int_equal(tth_recent_quantile(&recent, 50), 0);
  tth_recent_add(&recent, MS, SEC);
  assert_about(tth_recent_quantile(&recent, 50), MS);
}

static void what_is_long_ago_is_forgotten(void **state) {
  (void)state;
  tth_recent recent = {0};
  for (int i = 0; i < 1000; i++) tth_recent_add(&recent, 100 * MS, SEC);
  for (int i = 0; i < 600; i++) tth_recent_add(&recent, MS, SEC); /* by others that came */
  assert_about(tth_recent_quantile(&recent, 90), MS);
  for (int i = 0; i < 200; i++) tth_recent_add(&recent, 100 * MS, SEC);
  for (int i = 0; i < 60; i++) tth_recent_add(&recent, MS, SEC + i * SEC); /* by time */
  assert_int_equal(tth_recent_quantile(&recent, 90), 0);                   /* one a second is too few */
  for (int i = 0; i < 200; i++) tth_recent_add(&recent, 100 * MS, 100 * SEC);
  tth_recent_add(&recent, MS, 100 * SEC + TTH_RECENT_FORGET_NS + 1);
  assert_int_equal(recent.count, 1);
}

/* ---- The rules ----------------------------------------------------------------------------- */

/* A method whose handlers took 10 ms, one in ten 40 ms, and waited 20 ms. */
static void known(tth_need *need) {
  tth_need_init(need);
  for (int i = 0; i < 200; i++) tth_need_ran(need, 20 * MS, i % 8 ? 10 * MS : 40 * MS, SEC);
}

static void without_news_every_call_is_taken_on(void **state) {
  (void)state;
  tth_admission admission = {.by_deadline = true, .workers = 1, .busy = 1, .queued = 100};
  tth_need need;
  tth_need_init(&need);
  assert_null(tth_admission_arrives(&admission, &need, 1, true, SEC));
  tth_need_fini(&need);
  known(&need);
  assert_non_null(tth_admission_arrives(&admission, &need, 1, true, SEC));
  assert_null(tth_admission_arrives(&admission, &need, 1, true, 2 * SEC + TTH_RECENT_FORGET_NS));
  tth_need_fini(&need);
}

static void a_free_worker_may_try_what_the_quick_ones_make(void **state) {
  (void)state;
  tth_admission admission = {.by_deadline = true, .workers = 2, .busy = 1};
  tth_need need;
  known(&need);
  assert_null(tth_admission_arrives(&admission, &need, 10 * MS, true, SEC));
  assert_non_null(tth_admission_arrives(&admission, &need, 5 * MS, true, SEC));
  assert_null(tth_admission_starts(&admission, &need, 10 * MS, SEC));
  assert_non_null(tth_admission_starts(&admission, &need, 5 * MS, SEC));
  tth_need_fini(&need);
}

static void who_has_to_wait_needs_time_for_that_too(void **state) {
  (void)state;
  tth_admission admission = {.by_deadline = true, .workers = 2, .busy = 2};
  tth_need need;
  known(&need);
  assert_null(tth_admission_arrives(&admission, &need, 60 * MS, true, SEC));
  assert_non_null(tth_admission_arrives(&admission, &need, 45 * MS, true, SEC)); /* would do without the wait */
  assert_null(tth_admission_arrives(&admission, &need, 45 * MS, false, SEC));    /* inline: it does not wait */
  admission.queued = 1; /* and of who has waited those run that will make it */
  assert_null(tth_admission_starts(&admission, &need, 40 * MS, SEC));
  assert_non_null(tth_admission_starts(&admission, &need, 30 * MS, SEC));
  tth_need_fini(&need);
}

static void the_queue_is_no_longer_than_can_be_served(void **state) {
  (void)state;
  tth_admission admission = {.by_deadline = true, .workers = 2, .busy = 2};
  tth_need need;
  int64_t expected_ns[1000];
  int taken = 0;
  known(&need);
  while (taken < 1000 && !tth_admission_arrives(&admission, &need, 200 * MS, true, SEC))
    expected_ns[taken++] = tth_admission_queued(&admission, &need);
  assert_in_range(taken, 10, 40); /* (200 - 40) ms of 2 workers, about 13 ms each */
  while (taken > 0) tth_admission_unqueued(&admission, expected_ns[--taken]);
  assert_int_equal(admission.queued, 0);
  assert_int_equal(admission.queued_ns, 0);
  assert_null(tth_admission_arrives(&admission, &need, 200 * MS, true, SEC));
  tth_need_fini(&need);
}

static void calls_that_were_dropped_after_a_long_wait_count(void **state) {
  (void)state;
  tth_admission admission = {.by_deadline = true, .workers = 1, .busy = 1};
  tth_need need;
  known(&need);
  assert_null(tth_admission_arrives(&admission, &need, 200 * MS, true, SEC));
  for (int i = 0; i < 200; i++) tth_need_dropped(&need, 250 * MS, SEC);
  assert_non_null(tth_admission_arrives(&admission, &need, 200 * MS, true, SEC));
  tth_need_fini(&need);
}

/* ---- A server ------------------------------------------------------------------------------ */

static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

static void assert_shed(const tether_call *call) {
  rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  assert_non_null(tether_call_cause(call));
  assert_int_equal(tether_cause_get_code(tether_call_cause(call)), TETHER_CAUSE_SHED);
  assert_non_null(strstr(tether_call_message(call), "shed"));
}

static uint64_t sheds(struct rpc_fixture *f, const char *path) {
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(f->server, path, &stats), TETHER_OK);
  return stats.sheds;
}

static void beyond_the_limit_of_calls_the_rest_is_shed(void **state) {
  (void)state;
  struct rpc_fixture *f;
  assert_int_equal(rpc_fixture_open((void **)&f, &(tether_server_options){.max_calls = 3}, NULL), 0);
  tether_call *held[3];
  for (int i = 0; i < 3; i++)
    held[i] = testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 3));
  for (int i = 0; i < 10; i++) {
    TETHER_SCOPED_CALL tether_call *more =
        testing_v1_echo_client_quick(f->client, tether_ctx_background(), &request, NULL);
    assert_shed(more);
  }
  assert_int_equal(sheds(f, NULL), 10);
  assert_int_equal(sheds(f, "/testing.v1.Echo/Quick"), 10);
  assert_int_equal(sheds(f, "/testing.v1.Echo/Hang"), 0);
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(held[0], NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *one =
      testing_v1_echo_client_quick(f->client, tether_ctx_background(), &request, NULL);
  rpc_assert_code(one, TETHER_OK);
  for (int i = 0; i < 3; i++) tether_call_unref(held[i]);
  assert_int_equal(rpc_fixture_close((void **)&f), 0);
}

/* Handlers that take as long as the test says. */
static _Atomic int64_t handler_ns;
static atomic_int begun;

static tether_code take_a_while(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *asked,
                                Testing__V1__Reply *reply, void *data) {
  (void)call;
  (void)asked;
  (void)reply;
  (void)data;
  atomic_fetch_add(&begun, 1);
  return tether_ctx_sleep(ctx, atomic_load(&handler_ns));
}

struct shedding {
  tether_server *server;
  tether_client *client;
  char url[64];
};

static void open_shedding(struct shedding *s) {
  static const testing_v1_echo_service service = {.pooled = take_a_while};
  static int number;
  const tether_server_options options = {.max_workers = 1, .deadline_admission = true};
  snprintf(s->url, sizeof s->url, "ipc:///tmp/tether-admission-%d-%d", (int)getpid(), number++);
  assert_int_equal(tether_server_open(&options, &s->server), TETHER_OK);
  assert_int_equal(testing_v1_echo_register(s->server, &service, NULL), TETHER_OK);
  assert_int_equal(tether_server_listen(s->server, s->url), TETHER_OK);
  assert_int_equal(tether_client_open(s->url, NULL, &s->client), TETHER_OK);
  atomic_store(&begun, 0);
}

static void close_shedding(struct shedding *s) {
  tether_client_close(s->client);
  tether_server_close(s->server);
  unlink(s->url + strlen("ipc://"));
}

static tether_call *call_for(struct shedding *s, int64_t timeout_ns) {
  const tether_call_options options = {.timeout_ns = timeout_ns, .reserve_ns = -1, .wait_for_ready = true};
  return testing_v1_echo_client_pooled_start(s->client, tether_ctx_background(), &request, &options, NULL, NULL);
}

static uint64_t shed_by(struct shedding *s) {
  tether_server_stats stats;
  assert_int_equal(tether_server_get_stats(s->server, NULL, &stats), TETHER_OK);
  return stats.sheds;
}

static void a_call_without_the_time_that_others_needed_is_shed_on_arrival(void **state) {
  (void)state;
  struct shedding s;
  open_shedding(&s);
  atomic_store(&handler_ns, 20 * MS);
  for (int i = 0; i < 2 * TTH_RECENT_LEAST; i++) {
    TETHER_SCOPED_CALL tether_call *call = call_for(&s, RPC_TEST_BOUND_NS);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
  }
  TETHER_SCOPED_CALL tether_call *late = call_for(&s, 10 * MS);
  /* On a busy machine its time may be over before it arrives. */
  tether_code code = tether_call_wait(late);
  assert_true(code == TETHER_RESOURCE_EXHAUSTED || code == TETHER_DEADLINE_EXCEEDED);
  if (code == TETHER_RESOURCE_EXHAUSTED) assert_shed(late);
  assert_int_equal(atomic_load(&begun), 2 * TTH_RECENT_LEAST);
  TETHER_SCOPED_CALL tether_call *in_time = call_for(&s, RPC_TEST_BOUND_NS);
  assert_int_equal(tether_call_wait(in_time), TETHER_OK);
  close_shedding(&s);
}

static void calls_without_a_deadline_are_never_shed_by_it(void **state) {
  (void)state;
  struct shedding s;
  open_shedding(&s);
  atomic_store(&handler_ns, 2 * MS);
  tether_call *calls[200];
  for (int i = 0; i < 200; i++) calls[i] = call_for(&s, TETHER_FOREVER);
  for (int i = 0; i < 200; i++) {
    assert_int_equal(tether_call_wait(calls[i]), TETHER_OK);
    tether_call_unref(calls[i]);
  }
  assert_int_equal(shed_by(&s), 0);
  close_shedding(&s);
}

/* Many more calls at once than can be served in their time: nobody is served late, the rest is shed, and what was taken
 * on was worth it. */
static void a_queue_beyond_what_can_be_served_is_shed_and_the_rest_served(void **state) {
  (void)state;
  struct shedding s;
  open_shedding(&s);
  atomic_store(&handler_ns, 10 * MS);
  for (int i = 0; i < 2 * TTH_RECENT_LEAST; i++) {
    TETHER_SCOPED_CALL tether_call *call = call_for(&s, RPC_TEST_BOUND_NS);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
  }
  enum { MANY = 500 };
  tether_call *calls[MANY];
  int ended[TETHER_CODES] = {0};
  for (int i = 0; i < MANY; i++) calls[i] = call_for(&s, SEC);
  for (int i = 0; i < MANY; i++) {
    ended[tether_call_wait(calls[i])]++;
    if (tether_call_code(calls[i]) == TETHER_RESOURCE_EXHAUSTED) assert_shed(calls[i]);
    tether_call_unref(calls[i]);
  }
  print_message("of %d calls %d were served and %d shed, %d too late\n", MANY, ended[TETHER_OK],
                ended[TETHER_RESOURCE_EXHAUSTED], ended[TETHER_DEADLINE_EXCEEDED]);
  assert_int_equal(ended[TETHER_OK] + ended[TETHER_RESOURCE_EXHAUSTED] + ended[TETHER_DEADLINE_EXCEEDED], MANY);
  assert_true(ended[TETHER_RESOURCE_EXHAUSTED] >= MANY / 2); /* a second has 100 handlers' times at most */
  assert_true(ended[TETHER_OK] > 0);
  /* The caller's time may have been over before it learnt of it. */
  assert_in_range(shed_by(&s), ended[TETHER_RESOURCE_EXHAUSTED], MANY - ended[TETHER_OK]);
  close_shedding(&s);
}

static void a_method_that_was_slow_is_tried_again(void **state) {
  (void)state;
  struct shedding s;
  open_shedding(&s);
  atomic_store(&handler_ns, 50 * MS);
  for (int i = 0; i < TTH_RECENT_LEAST; i++) {
    TETHER_SCOPED_CALL tether_call *call = call_for(&s, RPC_TEST_BOUND_NS);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
  }
  atomic_store(&handler_ns, 0);
  tether_code code = TETHER_UNKNOWN;
  for (int64_t end_ns = tst_now_ns() + RPC_TEST_BOUND_NS; code != TETHER_OK && tst_now_ns() < end_ns;) {
    TETHER_SCOPED_CALL tether_call *call = call_for(&s, 30 * MS);
    code = tether_call_wait(call);
  }
  assert_int_equal(code, TETHER_OK);
  close_shedding(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantiles_are_rounded_down_by_at_most_a_fifth),
      cmocka_unit_test(extremes_have_their_place),
      cmocka_unit_test(of_few_nothing_is_said),
      cmocka_unit_test(what_is_long_ago_is_forgotten),
      cmocka_unit_test(without_news_every_call_is_taken_on),
      cmocka_unit_test(a_free_worker_may_try_what_the_quick_ones_make),
      cmocka_unit_test(who_has_to_wait_needs_time_for_that_too),
      cmocka_unit_test(the_queue_is_no_longer_than_can_be_served),
      cmocka_unit_test(calls_that_were_dropped_after_a_long_wait_count),
      cmocka_unit_test(beyond_the_limit_of_calls_the_rest_is_shed),
      cmocka_unit_test(a_call_without_the_time_that_others_needed_is_shed_on_arrival),
      cmocka_unit_test(calls_without_a_deadline_are_never_shed_by_it),
      cmocka_unit_test(a_queue_beyond_what_can_be_served_is_shed_and_the_rest_served),
      cmocka_unit_test(a_method_that_was_slow_is_tried_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
