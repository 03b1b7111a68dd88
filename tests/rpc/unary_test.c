/* Unary calls over a real socket: replies, sizes, statuses, metadata, forms of a call. */
#include <stdio.h>
#include <string.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define MIB ((size_t)1 << 20)

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static int setup_small_limits(void **state) {
  static const tether_server_options server = {
      .limits = {.max_message_bytes = 1000, .max_metadata_bytes = 500, .max_streams = 2}};
  return rpc_fixture_open(state, &server, NULL);
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static Testing__V1__Request named(const char *name) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)name;
  return request;
}

static void a_call_brings_its_reply_back(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("world");
  TETHER_SCOPED_CALL tether_call *quick = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(quick, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(quick)->text, "hello world");
  assert_string_equal(tether_call_message(quick), "");
  assert_null(tether_call_cause(quick));
  TETHER_SCOPED_CALL tether_call *pooled = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(pooled, TETHER_OK);
  assert_string_equal(testing_v1_echo_pooled_reply(pooled)->text, "hello world");
}

static void a_handler_may_reply_later_from_another_thread(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_later(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(testing_v1_echo_later_reply(call)->text, "later");
}

static void an_empty_request_and_a_reply_of_zero_bytes_survive(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_int_equal(protobuf_c_message_get_packed_size(&request.base), 0);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
}

static void messages_of_every_size_up_to_4_mib_come_through_whole(void **state) {
  struct rpc_fixture *f = *state;
  static const size_t sizes[] = {1, 16300, 16384, 16385, 271828, MIB, 4 * MIB - 200};
  uint8_t *body = test_malloc(4 * MIB);
  for (size_t i = 0; i < 4 * MIB; i++) body[i] = (uint8_t)(i * 31 + (i >> 12));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    Testing__V1__Request request = named("");
    request.body = (ProtobufCBinaryData){.data = body, .len = sizes[i]};
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    const Testing__V1__Reply *reply = testing_v1_echo_pooled_reply(call);
    assert_int_equal(reply->body.len, sizes[i]);
    assert_memory_equal(reply->body.data, body, sizes[i]);
  }
  test_free(body);
}

/* The limit is on the message's bytes: exactly 4 MiB passes, one more does not (gRPC's behaviour). */
static void a_request_one_byte_over_the_limit_is_resource_exhausted(void **state) {
  struct rpc_fixture *f = *state;
  uint8_t *body = test_calloc(1, 4 * MIB);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = 4 * MIB - 5};
  assert_int_equal(protobuf_c_message_get_packed_size(&request.base), 4 * MIB);
  request.reply_bytes = 0;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  request.body.len++;
  TETHER_SCOPED_CALL tether_call *over = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(over, TETHER_RESOURCE_EXHAUSTED);
  assert_int_equal(atomic_load(&f->stats.started), 0);
  request.body.len--;
  TETHER_SCOPED_CALL tether_call *exact = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_call_cancel(exact, NULL);
  assert_int_equal(tether_call_wait(exact), TETHER_CANCELLED);
  test_free(body);
}

static void a_reply_over_the_limit_is_resource_exhausted_and_the_connection_lives(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  request.reply_bytes = (uint32_t)(4 * MIB + 1);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  request.reply_bytes = 0;
  TETHER_SCOPED_CALL tether_call *after = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(after, TETHER_OK);
}

static void limits_are_configurable_and_the_client_learns_them(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  uint8_t body[1001] = {0};
  Testing__V1__Request request = named("");
  request.body = (ProtobufCBinaryData){.data = body, .len = 1001};
  TETHER_SCOPED_CALL tether_call *big = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(big, TETHER_RESOURCE_EXHAUSTED);

  request = named("");
  tether_metadata *metadata = tether_metadata_new();
  char value[469] = {0};
  memset(value, 'x', sizeof value - 1);
  assert_int_equal(tether_metadata_add(metadata, "k", value), TETHER_OK); /* 1 + 468 + 32 = 501 */
  TETHER_SCOPED_CALL tether_call *heavy =
      testing_v1_echo_client_pooled(f->client, ctx, &request, &(tether_call_options){.metadata = metadata});
  rpc_assert_code(heavy, TETHER_RESOURCE_EXHAUSTED);
  tether_metadata_free(metadata);
  assert_int_equal(atomic_load(&f->stats.started), 0);
}

static void calls_beyond_the_peers_stream_limit_wait_and_all_succeed(void **state) {
  struct rpc_fixture *f = *state; /* the server takes 2 at once */
  enum { N = 20 };
  tether_call *calls[N];
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("x");
  for (int i = 0; i < N; i++)
    calls[i] = testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, NULL, NULL);
  for (int i = 0; i < N; i++) {
    tether_call_wait(calls[i]);
    rpc_assert_code(calls[i], TETHER_OK);
    tether_call_unref(calls[i]);
  }
}

static void a_call_queued_on_the_stream_limit_still_obeys_its_deadline_and_is_never_sent(void **state) {
  struct rpc_fixture *f = *state; /* the server takes 2 at once */
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("x");
  tether_call *hanging[2];
  for (int i = 0; i < 2; i++)
    hanging[i] = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 2));
  TETHER_SCOPED_CALL tether_call *queued =
      testing_v1_echo_client_pooled(f->client, ctx, &request, &(tether_call_options){.timeout_ns = 20 * TETHER_MS});
  rpc_assert_code(queued, TETHER_DEADLINE_EXCEEDED);
  assert_non_null(strstr(tether_call_message(queued), "queued here"));
  for (int i = 0; i < 2; i++) {
    tether_call_cancel(hanging[i], NULL);
    assert_int_equal(tether_call_wait(hanging[i]), TETHER_CANCELLED);
    tether_call_unref(hanging[i]);
  }
  TETHER_SCOPED_CALL tether_call *after = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(after, TETHER_OK);
  assert_int_equal(atomic_load(&f->stats.started), 3); /* not the queued one */
}

static void a_status_and_its_unicode_message_come_back_as_set(void **state) {
  struct rpc_fixture *f = *state;
  const char *text = "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP \xf0\x9f\x98\x88\t\n";
  for (uint32_t code = 1; code <= 16; code++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    Testing__V1__Request request = named(text);
    request.code = code;
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
    rpc_assert_code(call, (tether_code)code);
    assert_string_equal(tether_call_message(call), text);
    assert_null(tether_call_reply(call));
  }
}

static void a_status_number_outside_the_enum_becomes_unknown(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("odd");
  request.code = 77;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNKNOWN);
  assert_string_equal(tether_call_message(call), "odd");
}

static void a_method_without_handler_and_an_unknown_path_are_unimplemented(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  TETHER_SCOPED_CALL tether_call *unserved = testing_v1_echo_client_unserved(f->client, ctx, &request, NULL);
  rpc_assert_code(unserved, TETHER_UNIMPLEMENTED);
  static const char *const paths[] = {"/testing.v1.Echo/quick", "/testing.v1.Nobody/Quick", "Quick", ""};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    tether_method method = testing_v1_echo_quick_method;
    method.path = paths[i];
    TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, &method, &request.base, NULL);
    rpc_assert_code(call, TETHER_UNIMPLEMENTED);
  }
}

static void metadata_goes_out_and_comes_back_before_and_after_the_reply(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  tether_metadata *metadata = tether_metadata_new();
  assert_int_equal(tether_metadata_add(metadata, "X-Initial-One", "a"), TETHER_OK);
  assert_int_equal(tether_metadata_add(metadata, "x-initial-one", "b"), TETHER_OK);
  assert_int_equal(tether_metadata_add(metadata, "x-initial-empty", ""), TETHER_OK);
  assert_int_equal(tether_metadata_add_bin(metadata, "x-trailing-bin", "\xab\x00\xff", 3), TETHER_OK);
  for (uint32_t code = 0; code <= 5; code += 5) {
    request.code = code; /* trailers come with errors too; initial metadata set by the handler does as well */
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_quick(f->client, ctx, &request, &(tether_call_options){.metadata = metadata});
    rpc_assert_code(call, (tether_code)code);
    const tether_metadata *initial = tether_call_initial_metadata(call), *trailers = tether_call_trailers(call);
    assert_int_equal(tether_metadata_count(initial), 3);
    assert_string_equal(tether_metadata_at(initial, 0).key, "x-initial-one");
    assert_string_equal(tether_metadata_at(initial, 0).value, "a");
    assert_string_equal(tether_metadata_at(initial, 1).value, "b");
    assert_string_equal(tether_metadata_get(initial, "X-INITIAL-EMPTY", NULL), "");
    size_t len = 0;
    const char *bytes = tether_metadata_get(trailers, "x-trailing-bin", &len);
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "\xab\x00\xff", 3);
  }
  tether_metadata_free(metadata);
}

static void a_handler_that_sets_more_metadata_than_the_client_takes_ends_resource_exhausted(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  tether_client *frugal;
  assert_int_equal(tether_client_open(f->url, &(tether_client_options){.limits = {.max_metadata_bytes = 100}}, &frugal),
                   TETHER_OK);
  tether_metadata *metadata = tether_metadata_new();
  char value[100] = {0};
  memset(value, 'y', sizeof value - 1);
  assert_int_equal(tether_metadata_add(metadata, "x-trailing", value), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick(frugal, ctx, &request, &(tether_call_options){.metadata = metadata});
  rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  tether_metadata_free(metadata);
  tether_client_close(frugal);
}

struct callback {
  tst_counter calls;
  tether_code code;
  char text[32];
};

static void on_done(tether_call *call, void *data) {
  struct callback *callback = data;
  callback->code = tether_call_code(call);
  if (callback->code == TETHER_OK)
    snprintf(callback->text, sizeof callback->text, "%s", testing_v1_echo_quick_reply(call)->text);
  tst_counter_add(&callback->calls, 1);
}

static void the_callback_form_calls_back_exactly_once_with_the_reply(void **state) {
  struct rpc_fixture *f = *state;
  struct callback callback = {0};
  tst_counter_init(&callback.calls);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("cb");
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick_start(f->client, ctx, &request, NULL, on_done, &callback);
  assert_true(tst_counter_wait(&callback.calls, 1, RPC_TEST_BOUND_NS));
  assert_int_equal(callback.code, TETHER_OK);
  assert_string_equal(callback.text, "hello cb");
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  tether_call_cancel(call, NULL); /* nothing happens to a call that has ended */
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(tst_counter_get(&callback.calls), 1);
  tst_counter_fini(&callback.calls);
}

static void closing_the_client_ends_its_calls_cancelled_and_tells_the_server(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = named("");
  tether_client *client;
  assert_int_equal(tether_client_open(f->url, NULL, &client), TETHER_OK);
  tether_call *call = testing_v1_echo_client_hang_start(client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_client_close(client);
  rpc_assert_code(call, TETHER_CANCELLED);
  tether_call_unref(call);
  assert_true(rpc_wait_for(&f->stats.hanging, 0));
  assert_int_equal(atomic_load(&f->stats.ended[TETHER_CAUSE_CALLER]), 1);
}

struct many {
  struct rpc_fixture *f;
  int failed;
};

static void *call_many(void *data) {
  struct many *many = data;
  for (int i = 0; i < 500; i++) {
    TETHER_SCOPED tether_ctx *ctx = bounded();
    char name[32];
    snprintf(name, sizeof name, "%p-%d", data, i);
    Testing__V1__Request request = named(name);
    tether_call *call = i % 2 ? testing_v1_echo_client_quick(many->f->client, ctx, &request, NULL)
                              : testing_v1_echo_client_pooled(many->f->client, ctx, &request, NULL);
    const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(call);
    if (!reply || strcmp(reply->text + 6, name) != 0) many->failed++;
    tether_call_unref(call);
  }
  return NULL;
}

static void many_threads_share_a_client_and_each_gets_its_own_reply(void **state) {
  struct many many[8];
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) {
    many[i] = (struct many){.f = *state};
    assert_int_equal(pthread_create(&threads[i], NULL, call_many, &many[i]), 0);
  }
  int failed = 0;
  for (int i = 0; i < 8; i++) {
    pthread_join(threads[i], NULL);
    failed += many[i].failed;
  }
  assert_int_equal(failed, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_SMALL_LIMITS(test) cmocka_unit_test_setup_teardown(test, setup_small_limits, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH(a_call_brings_its_reply_back),
      WITH(a_handler_may_reply_later_from_another_thread),
      WITH(an_empty_request_and_a_reply_of_zero_bytes_survive),
      WITH(messages_of_every_size_up_to_4_mib_come_through_whole),
      WITH(a_request_one_byte_over_the_limit_is_resource_exhausted),
      WITH(a_reply_over_the_limit_is_resource_exhausted_and_the_connection_lives),
      WITH_SMALL_LIMITS(limits_are_configurable_and_the_client_learns_them),
      WITH_SMALL_LIMITS(calls_beyond_the_peers_stream_limit_wait_and_all_succeed),
      WITH_SMALL_LIMITS(a_call_queued_on_the_stream_limit_still_obeys_its_deadline_and_is_never_sent),
      WITH(a_status_and_its_unicode_message_come_back_as_set),
      WITH(a_status_number_outside_the_enum_becomes_unknown),
      WITH(a_method_without_handler_and_an_unknown_path_are_unimplemented),
      WITH(metadata_goes_out_and_comes_back_before_and_after_the_reply),
      WITH(a_handler_that_sets_more_metadata_than_the_client_takes_ends_resource_exhausted),
      WITH(the_callback_form_calls_back_exactly_once_with_the_reply),
      WITH(closing_the_client_ends_its_calls_cancelled_and_tells_the_server),
      WITH(many_threads_share_a_client_and_each_gets_its_own_reply),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
