/* Interceptors of clients and servers: each call has one begin and one end, in order and in reverse, on both sides,
 * whatever kind of call or handler it is and however it ends; connections are told too. */
#include "tests/support/wait.h"
#include "tests/support/witness.h"

/* ---- Order --------------------------------------------------------------------------------- */

#define ALL_IN_ORDER "c<1 c<2 c<3 s<1 s<2 s<3 s>3 s>2 s>1 c>3 c>2 c>1 "

/* Also that whoever has its answer finds the call's end seen on both sides. */
static void begin_in_order_and_end_in_reverse_for_inline_pooled_and_deferred_handlers(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const unary_fn forms[] = {testing_v1_echo_client_quick, testing_v1_echo_client_pooled, testing_v1_echo_client_later};
  Testing__V1__Request request = request_of("x");
  for (int i = 0; i < 3; i++) {
    TETHER_SCOPED_CALL tether_call *call = forms[i](f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    assert_order(ALL_IN_ORDER);
    assert_one_each(i + 1);
  }
  assert_true(t.server[0].summary.handled);
  assert_true(t.server[0].summary.queue_ns >= 0);
  assert_int_equal(t.client[0].attempts, 1);
  assert_true(t.client[0].summary.budget_ns > 0 && t.client[0].summary.budget_ns <= RPC_TEST_BOUND_NS);
  assert_true(t.server[0].summary.budget_ns > 0 && t.server[0].summary.budget_ns <= RPC_TEST_BOUND_NS);
  assert_true(t.client[0].summary.ended_ns >= t.client[0].summary.started_ns);
  assert_string_equal(t.server[2].path, "/testing.v1.Echo/Later");
}

static void note_done(tether_call *call, void *data) {
  (void)call;
  note(false, '!', '!');
  atomic_store((atomic_int *)data, 1);
}

static void a_callback_call_has_ended_for_its_interceptors_before_it_calls_back(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  atomic_int done = 0;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, note_done, &done);
  assert_true(rpc_wait_for(&done, 1));
  assert_order(ALL_IN_ORDER "c!! ");
}

/* A caller that receives its own answers runs the hooks, and begins calls of others there. */
static void many_blocking_calls_in_a_row_have_one_begin_and_one_end_each(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  for (int i = 0; i < 200; i++) {
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
  }
  assert_one_each(200);
}

static void messages_are_seen_once_with_their_size(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("0123456789");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  size_t out = testing__v1__request__get_packed_size(&request);
  size_t in = protobuf_c_message_get_packed_size(tether_call_reply(call));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(t.client[i].sent, 1);
    assert_int_equal(t.client[i].received, 1);
    assert_int_equal(t.server[i].sent, 1);
    assert_int_equal(t.server[i].received, 1);
    assert_int_equal(t.client[i].sent_bytes, out);
    assert_int_equal(t.server[i].received_bytes, out);
    assert_int_equal(t.client[i].received_bytes, in);
    assert_int_equal(t.server[i].sent_bytes, in);
  }
}

typedef tether_call *(*chat_fn)(tether_client *client, const tether_ctx *ctx, const tether_call_options *options,
                                tether_call_done_fn done, void *data);

static void streams_begin_and_end_once_and_each_message_is_seen_at_both_ends(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const chat_fn forms[] = {testing_v1_echo_client_chat_start, testing_v1_echo_client_inline_chat_start,
                           testing_v1_echo_client_later_chat_start};
  for (int form = 0; form < 3; form++) {
    TETHER_SCOPED_CALL tether_call *call = forms[form](f->client, ctx, NULL, NULL, NULL);
    const ProtobufCMessage *reply;
    for (int i = 0; i < 5; i++) {
      Testing__V1__Request request = request_of("hello");
      assert_int_equal(tether_call_send(call, &request.base), TETHER_OK);
      assert_int_equal(tether_call_recv(call, &reply), TETHER_OK);
      assert_non_null(reply);
    }
    tether_call_close_send(call);
    assert_int_equal(tether_call_recv(call, &reply), TETHER_OK);
    assert_null(reply);
    assert_order(ALL_IN_ORDER);
    assert_one_each(form + 1);
    size_t messages = 5 * (size_t)(form + 1);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(t.client[i].sent, messages);
      assert_int_equal(t.server[i].received, messages);
      assert_int_equal(t.client[i].received, messages);
      assert_int_equal(t.server[i].sent, messages);
      assert_int_equal(t.client[i].sent_bytes, t.server[i].received_bytes);
      assert_int_equal(t.client[i].received_bytes, t.server[i].sent_bytes);
    }
  }
}

/* ---- Ends without a handler ---------------------------------------------------------------- */

static void a_call_to_a_method_that_is_not_served_ends_without_a_begin(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  static const tether_method unknown = {.path = "/no.such/Method",
                                        .request = &testing__v1__request__descriptor,
                                        .reply = &testing__v1__reply__descriptor};
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, &unknown, &request.base, NULL);
  rpc_assert_code(call, TETHER_UNIMPLEMENTED);
  assert_order("c<1 c<2 c<3 s>3 s>2 s>1 c>3 c>2 c>1 ");
  assert_string_equal(t.server[1].path, "/no.such/Method");
  assert_false(t.server[1].served);
  assert_true(t.server[1].stateless);
}

static void a_call_whose_context_has_ended_ends_without_a_begin(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_order("c>3 c>2 c>1 ");
}

static void a_cancelled_call_ends_cancelled_on_both_sides(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  assert_true(rpc_wait_for(&t.server[0].ends, 1));
  assert_one_each(1);
  assert_int_equal(t.server[0].code, TETHER_CANCELLED);
  assert_int_equal(t.client[0].attempts, 1);
}

static void calls_cut_by_closing_end_once(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  tether_call *calls[10];
  for (int i = 0; i < 10; i++) calls[i] = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 10));
  tether_server_close(f->server);
  f->server = NULL;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(tether_call_wait(calls[i]), TETHER_UNAVAILABLE);
    tether_call_unref(calls[i]);
  }
  assert_one_each(10);
}

/* ---- Connections --------------------------------------------------------------------------- */

static atomic_int connections[2][2]; /* by side: opened, closed */

static void count_connection(void *data, bool server, bool opened, const char *peer) {
  (void)data;
  if (peer) atomic_fetch_add(&connections[server][!opened], 1);
}

static void connections_are_seen_when_they_can_be_used_and_when_they_have_gone(void **state) {
  static const tether_interceptor counter = {.connection = count_connection};
  static const tether_interceptor *const list[] = {&counter, NULL};
  const tether_server_options server = {.interceptors = list};
  const tether_client_options client = {.interceptors = list};
  struct rpc_fixture *f;
  (void)state;
  assert_int_equal(rpc_fixture_open((void **)&f, &server, &client), 0);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  for (int side = 0; side < 2; side++) {
    assert_int_equal(atomic_load(&connections[side][0]), 1);
    assert_int_equal(atomic_load(&connections[side][1]), 0);
  }
  rpc_fixture_close((void **)&f);
  for (int side = 0; side < 2; side++) {
    assert_int_equal(atomic_load(&connections[side][0]), 1);
    assert_int_equal(atomic_load(&connections[side][1]), 1);
  }
}

/* ---- A shutdown meanwhile ------------------------------------------------------------------ */

static tst_latch entered, go_on;

static void stay(tether_call *call) {
  (void)call;
  tst_latch_open(&entered);
  if (!tst_latch_wait(&go_on, RPC_TEST_BOUND_NS)) t.server[1].mixed_up = true;
}

static void *shut_down(void *server) {
  tether_server_shutdown(server, 0);
  return NULL;
}

static bool has_ended(void *data) {
  tether_server_stats stats;
  return tether_server_get_stats(data, NULL, &stats) == TETHER_OK && stats.ended[TETHER_UNAVAILABLE] == 1;
}

static void a_shutdown_while_interceptors_begin_stops_the_rest_and_ends_them_once(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tst_latch_init(&entered);
  tst_latch_init(&go_on);
  t.server[1].meddle = stay;
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(tst_latch_wait(&entered, RPC_TEST_BOUND_NS));
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, shut_down, f->server), 0);
  bool ended = tst_wait_until(has_ended, f->server, RPC_TEST_BOUND_NS);
  int early = atomic_load(&t.server[0].ends);
  tst_latch_open(&go_on);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(ended);
  assert_int_equal(early, 0);
  assert_int_equal(tether_call_wait(call), TETHER_UNAVAILABLE);
  assert_int_equal(atomic_load(&t.server[2].begins), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(atomic_load(&t.server[i].ends), 1);
  assert_int_equal(t.server[0].code, TETHER_UNAVAILABLE);
  assert_int_equal(atomic_load(&f->stats.started), 0);
  tst_latch_fini(&entered);
  tst_latch_fini(&go_on);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_witnesses(begin_in_order_and_end_in_reverse_for_inline_pooled_and_deferred_handlers),
      with_witnesses(a_callback_call_has_ended_for_its_interceptors_before_it_calls_back),
      with_witnesses(many_blocking_calls_in_a_row_have_one_begin_and_one_end_each),
      with_witnesses(messages_are_seen_once_with_their_size),
      with_witnesses(streams_begin_and_end_once_and_each_message_is_seen_at_both_ends),
      with_witnesses(a_call_to_a_method_that_is_not_served_ends_without_a_begin),
      with_witnesses(a_call_whose_context_has_ended_ends_without_a_begin),
      with_witnesses(a_cancelled_call_ends_cancelled_on_both_sides),
      with_witnesses(calls_cut_by_closing_end_once),
      with_witnesses(connections_are_seen_when_they_can_be_used_and_when_they_have_gone),
      with_witnesses(a_shutdown_while_interceptors_begin_stops_the_rest_and_ends_them_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
