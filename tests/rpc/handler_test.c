/* Handlers and the calls around them: what they started ends with them, a cancelled call is never begun, replies may
 * come late, a status is always text, a slow handler holds up nobody. */
#include <stdio.h>
#include <string.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* A service of test handlers beside Echo, at the same server. */
static struct {
  tether_client *self; /* of the server the handlers run in */
  atomic_int entered, inside, most;
  tst_latch go_on;
  tether_call *deferred; /* and not finished; set before `entered` grows */
  tether_call *children[3];
} h;

static tether_code return_early(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                                ProtobufCMessage *reply, const void *service, void *data) {
  struct echo_stats *stats = data;
  Testing__V1__Request nothing = TESTING__V1__REQUEST__INIT;
  (void)call, (void)request, (void)reply, (void)service;
  for (int i = 0; i < 3; i++)
    h.children[i] = testing_v1_echo_client_hang_start(h.self, ctx, &nothing, NULL, NULL, NULL);
  return rpc_wait_for(&stats->hanging, 3) ? TETHER_OK : TETHER_INTERNAL;
}

/* Waits for the latch, whatever its context says. */
static tether_code occupy(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                          ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)call, (void)request, (void)reply, (void)service, (void)data;
  int inside = atomic_fetch_add(&h.inside, 1) + 1;
  for (int most = atomic_load(&h.most); inside > most && !atomic_compare_exchange_weak(&h.most, &most, inside);)
    continue;
  atomic_fetch_add(&h.entered, 1);
  bool opened = tst_latch_wait(&h.go_on, RPC_TEST_BOUND_NS);
  atomic_fetch_sub(&h.inside, 1);
  return opened ? TETHER_OK : TETHER_INTERNAL;
}

static tether_code defer(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                         ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)request, (void)reply, (void)service, (void)data;
  tether_call_defer(call);
  h.deferred = call;
  atomic_fetch_add(&h.entered, 1);
  return TETHER_INTERNAL; /* ignored */
}

/* Fails with the bytes of the request's body as message. */
static tether_code fail_with(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                             ProtobufCMessage *reply, const void *service, void *data) {
  const Testing__V1__Request *text = (const Testing__V1__Request *)request;
  (void)ctx, (void)reply, (void)service, (void)data;
  return tether_call_fail(call, TETHER_ABORTED, "%.*s", (int)text->body.len, (const char *)text->body.data);
}

#define METHOD(name, bits)                                                                   \
  {                                                                                          \
    .path = "/handler/" name, .flags = (bits), .request = &testing__v1__request__descriptor, \
    .reply = &testing__v1__reply__descriptor                                                 \
  }
static const tether_method methods[] = {METHOD("ReturnEarly", 0), METHOD("Occupy", 0), METHOD("Defer", 0),
                                        METHOD("DeferInline", TETHER_METHOD_INLINE),
                                        METHOD("FailWith", TETHER_METHOD_INLINE)};
static const tether_served_method served[] = {{&methods[0], return_early},
                                              {&methods[1], occupy},
                                              {&methods[2], defer},
                                              {&methods[3], defer},
                                              {&methods[4], fail_with}};
enum { RETURN_EARLY, OCCUPY, DEFER, DEFER_INLINE, FAIL_WITH, METHODS };

static int open_with(void **state, int workers) {
  struct rpc_fixture *f;
  tether_server_options options = {.max_workers = workers};
  memset(&h, 0, sizeof h);
  tst_latch_init(&h.go_on);
  /* Methods must be added before the first listen, so not by the fixture. */
  f = *state = test_calloc(1, sizeof *f);
  if (tether_server_open(&options, &f->server) != TETHER_OK || echo_server_add(f->server, &f->stats) != TETHER_OK ||
      tether_server_add(f->server, served, METHODS, NULL, &f->stats) != TETHER_OK ||
      tether_server_listen(f->server, "tcp://127.0.0.1:0") != TETHER_OK)
    return -1;
  snprintf(f->url, sizeof f->url, "tcp://127.0.0.1:%u", tether_server_port(f->server));
  return tether_client_open(f->url, NULL, &f->client) == TETHER_OK &&
                 tether_client_open(f->url, NULL, &h.self) == TETHER_OK
             ? 0
             : -1;
}

static int setup(void **state) { return open_with(state, 0); }
static int setup_two_workers(void **state) { return open_with(state, 2); }

static void finish_deferred(tether_code code) {
  tether_call *call = h.deferred;
  h.deferred = NULL;
  tether_call_finish(call, code);
}

static int teardown(void **state) {
  struct rpc_fixture *f = *state;
  tst_latch_open(&h.go_on);
  tether_client_close(f->client);
  tether_client_close(h.self);
  if (h.deferred) finish_deferred(TETHER_ABORTED); /* of a test that failed */
  tether_server_close(f->server);
  tst_latch_fini(&h.go_on);
  test_free(f);
  return 0;
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static tether_call *start(struct rpc_fixture *f, const tether_ctx *ctx, int method) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  return tether_call_start(f->client, ctx, &methods[method], &request.base, NULL, NULL, NULL);
}

/* ---- Ends ---------------------------------------------------------------------------------- */

static void calls_a_handler_leaves_running_end_with_it_and_their_handlers_see_why(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call = start(f, ctx, RETURN_EARLY);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_true(rpc_wait_for(&f->stats.hanging, 0));
  assert_int_equal(atomic_load(&f->stats.ended[TETHER_CAUSE_CALLER]), 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tether_call_wait(h.children[i]), TETHER_CANCELLED);
    assert_int_equal(tether_cause_get_code(tether_call_cause(h.children[i])), TETHER_CAUSE_CALLER);
    assert_string_equal(tether_cause_origin(tether_call_cause(h.children[i])), tether_origin());
    tether_call_unref(h.children[i]);
  }
}

static void a_call_cancelled_while_all_workers_are_busy_is_answered_and_never_begun(void **state) {
  struct rpc_fixture *f = *state; /* two workers */
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *busy[2];
  for (int i = 0; i < 2; i++) busy[i] = start(f, ctx, OCCUPY);
  assert_true(rpc_wait_for(&h.entered, 2));
  TETHER_SCOPED_CALL tether_call *late = start(f, ctx, OCCUPY);
  TETHER_SCOPED_CALL tether_call *next = start(f, ctx, OCCUPY);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *after = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(after, TETHER_OK); /* so the server has the others */
  tether_call_cancel(late, NULL);
  rpc_assert_code(late, TETHER_CANCELLED);
  TETHER_SCOPED_CALL tether_call *again = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(again, TETHER_OK); /* and the cancel */
  tst_latch_open(&h.go_on);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(tether_call_wait(busy[i]), TETHER_OK);
    tether_call_unref(busy[i]);
  }
  assert_int_equal(tether_call_wait(next), TETHER_OK);
  assert_int_equal(atomic_load(&h.entered), 3);
}

static void a_slow_handler_holds_up_nobody_as_long_as_there_are_workers(void **state) {
  struct rpc_fixture *f = *state; /* 64 workers */
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *slow[63];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < 63; i++) slow[i] = start(f, ctx, OCCUPY);
  assert_true(rpc_wait_for(&h.entered, 63));
  for (int i = 0; i < 20; i++) {
    TETHER_SCOPED_CALL tether_call *pooled = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
    rpc_assert_code(pooled, TETHER_OK);
  }
  tst_latch_open(&h.go_on);
  for (int i = 0; i < 63; i++) {
    assert_int_equal(tether_call_wait(slow[i]), TETHER_OK);
    tether_call_unref(slow[i]);
  }
}

static void no_more_handlers_run_at_once_than_there_are_workers_and_all_get_their_turn(void **state) {
  struct rpc_fixture *f = *state; /* two workers */
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tether_call *calls[40];
  for (int i = 0; i < 40; i++) calls[i] = start(f, ctx, OCCUPY);
  assert_true(rpc_wait_for(&h.entered, 2));
  tst_latch_open(&h.go_on);
  for (int i = 0; i < 40; i++) {
    assert_int_equal(tether_call_wait(calls[i]), TETHER_OK);
    tether_call_unref(calls[i]);
  }
  assert_int_equal(atomic_load(&h.entered), 40);
  assert_int_equal(atomic_load(&h.most), 2);
}

/* ---- Deferred ------------------------------------------------------------------------------ */

static void a_deferred_reply_is_valid_until_finish_and_the_handlers_return_is_ignored(void **state) {
  struct rpc_fixture *f = *state;
  for (int method = DEFER; method <= DEFER_INLINE; method++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    TETHER_SCOPED_CALL tether_call *call = start(f, ctx, method);
    assert_true(rpc_wait_for(&h.entered, method - DEFER + 1));
    finish_deferred(TETHER_OK);
    assert_int_equal(tether_call_wait(call), TETHER_OK);
  }
}

/* Finishes a call with this, and the cause `given` unless it is NULL; returns the cause that its caller is told. */
static const tether_cause *finish_with(struct rpc_fixture *f, tether_code code, const tether_cause *given,
                                       tether_call **call) {
  TETHER_SCOPED tether_ctx *ctx = bounded();
  int before = atomic_load(&h.entered);
  *call = start(f, ctx, DEFER);
  assert_true(rpc_wait_for(&h.entered, before + 1));
  tether_call_set_cause(h.deferred, tether_cause_canceled()); /* what comes later counts */
  tether_call_set_cause(h.deferred, given);
  finish_deferred(tether_call_fail(h.deferred, code, "said"));
  assert_int_equal(tether_call_wait(*call), code);
  assert_string_equal(tether_call_message(*call), "said");
  return tether_call_cause(*call);
}

static void a_failure_carries_the_cause_that_its_handler_gives(void **state) {
  struct rpc_fixture *f = *state;
  static const tether_cause_code codes[] = {TETHER_CAUSE_SHED, TETHER_CAUSE_DEADLINE};
  static const tether_code with[] = {TETHER_RESOURCE_EXHAUSTED, TETHER_DEADLINE_EXCEEDED};
  for (int i = 0; i < 2; i++) {
    tether_cause *given = tether_cause_new(codes[i], "far away", "a reason");
    tether_call *call;
    const tether_cause *told = finish_with(f, with[i], given, &call);
    tether_cause_unref(given);
    assert_int_equal(tether_cause_get_code(told), codes[i]);
    assert_string_equal(tether_cause_origin(told), "far away");
    assert_string_equal(tether_cause_text(told), "a reason");
    tether_call_unref(call);
    assert_null(finish_with(f, with[i], NULL, &call));
    tether_call_unref(call);
  }
}

static void a_deferred_call_whose_caller_left_is_told_why_and_may_finish_late(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call = start(f, ctx, DEFER);
  assert_true(rpc_wait_for(&h.entered, 1));
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_HEDGE_LOST, NULL, "the other was faster");
  tether_call_cancel(call, cause);
  tether_cause_unref(cause);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(h.deferred), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(tether_call_ctx(h.deferred))), TETHER_CAUSE_HEDGE_LOST);
  tether_call *deferred = tether_call_ref(h.deferred);
  finish_deferred(TETHER_OK);
  assert_int_equal(tether_call_code(deferred), TETHER_CANCELLED); /* what the caller recorded too */
  tether_call_unref(deferred);
}

static void a_deferred_call_may_finish_after_its_connection_is_gone(void **state) {
  struct rpc_fixture *f = *state;
  tether_client *client;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_int_equal(tether_client_open(f->url, NULL, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call =
      tether_call_start(client, ctx, &methods[DEFER], &request.base, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&h.entered, 1));
  tether_client_close(client);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(h.deferred), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  finish_deferred(TETHER_OK);
}

/* ---- Statuses ------------------------------------------------------------------------------ */

static void a_status_message_is_cut_between_characters_and_is_always_text(void **state) {
  struct rpc_fixture *f = *state;
  char text[1100], expected[1100];
  static const char *const tails[] = {"\xc3\xa9", "\xe2\x98\xba", "\xf0\x9f\x98\x88"};
  TETHER_SCOPED tether_ctx *ctx = bounded();
  for (size_t length = 1018; length <= 1026; length++) {
    for (size_t i = 0; i < 3; i++) {
      Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
      memset(text, 'm', length);
      strcpy(text + length, tails[i]);
      request.body = (ProtobufCBinaryData){.data = (uint8_t *)text, .len = strlen(text)};
      strcpy(expected, text);
      if (strlen(text) > 1024) expected[length < 1024 ? length : 1024] = 0;
      TETHER_SCOPED_CALL tether_call *call =
          tether_call_unary(f->client, ctx, &methods[FAIL_WITH], &request.base, NULL);
      rpc_assert_code(call, TETHER_ABORTED);
      assert_string_equal(tether_call_message(call), expected);
    }
  }
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = (uint8_t *)"a\xff\xc3(\xe2\x98z", .len = 7};
  TETHER_SCOPED_CALL tether_call *bad = tether_call_unary(f->client, ctx, &methods[FAIL_WITH], &request.base, NULL);
  rpc_assert_code(bad, TETHER_ABORTED);
  assert_string_equal(tether_call_message(bad),
                      "a?"
                      "?("
                      "?"
                      "?z");
}

/* Text that is not UTF-8 would make the frame unreadable, and with it the cause. */
static void a_cause_whose_text_is_no_text_arrives_all_the_same(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "\xc3(", "\xff");
  tether_call_cancel(call, cause);
  tether_cause_unref(cause);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_true(rpc_wait_for(&f->stats.ended[TETHER_CAUSE_SIBLING], 1));
}

static void processes_whose_names_are_no_text_can_talk(void **state) {
  tether_origin_set("\xff\xfe"); /* before there are threads */
  assert_int_equal(setup(state), 0);
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  teardown(state);
  tether_origin_set(NULL);
}

static void a_path_served_twice_is_refused_and_nothing_is_added(void **state) {
  (void)state;
  static const tether_served_method twice[] = {{&methods[0], occupy}, {&methods[1], occupy}, {&methods[0], occupy}};
  tether_server *server;
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(tether_server_add(server, twice, 3, NULL, NULL), TETHER_ALREADY_EXISTS);
  assert_int_equal(tether_server_add(server, twice, 2, NULL, NULL), TETHER_OK);
  assert_int_equal(tether_server_add(server, twice + 1, 1, NULL, NULL), TETHER_ALREADY_EXISTS);
  tether_server_close(server);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_TWO_WORKERS(name) cmocka_unit_test_setup_teardown(name, setup_two_workers, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(calls_a_handler_leaves_running_end_with_it_and_their_handlers_see_why),
      CASE_TWO_WORKERS(a_call_cancelled_while_all_workers_are_busy_is_answered_and_never_begun),
      CASE(a_slow_handler_holds_up_nobody_as_long_as_there_are_workers),
      CASE_TWO_WORKERS(no_more_handlers_run_at_once_than_there_are_workers_and_all_get_their_turn),
      CASE(a_deferred_reply_is_valid_until_finish_and_the_handlers_return_is_ignored),
      CASE(a_failure_carries_the_cause_that_its_handler_gives),
      CASE(a_deferred_call_whose_caller_left_is_told_why_and_may_finish_late),
      CASE(a_deferred_call_may_finish_after_its_connection_is_gone),
      CASE(a_status_message_is_cut_between_characters_and_is_always_text),
      CASE(a_cause_whose_text_is_no_text_arrives_all_the_same),
      cmocka_unit_test(processes_whose_names_are_no_text_can_talk),
      cmocka_unit_test(a_path_served_twice_is_refused_and_nothing_is_added),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
