/* The generated functions of streaming methods, against a tether that records how it is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "streaming.tether.h"

/* Last, as generated parameters would hide its names. */
#include "recorder.h"

static void test_a_streaming_method_says_which_way_it_streams(void **state) {
  (void)state;
  assert_int_equal(demo_streaming_counter_twice_method.flags, 0);
  assert_int_equal(demo_streaming_counter_count_method.flags,
                   TETHER_METHOD_IDEMPOTENT | TETHER_METHOD_SERVER_STREAMING);
  assert_true(demo_streaming_counter_count_method.default_timeout_ns == 30 * TETHER_SEC);
  assert_int_equal(demo_streaming_counter_sum_method.flags,
                   TETHER_METHOD_DEADLINE_REQUIRED | TETHER_METHOD_CLIENT_STREAMING);
  assert_int_equal(demo_streaming_counter_running_sum_method.flags,
                   TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING);
  assert_int_equal(demo_streaming_counter_inline_sum_method.flags,
                   TETHER_METHOD_INLINE | TETHER_METHOD_DEADLINE_REQUIRED | TETHER_METHOD_CLIENT_STREAMING |
                       TETHER_METHOD_SERVER_STREAMING);
  assert_string_equal(demo_streaming_counter_sum_method.request->name, "demo.streaming.Number");
  assert_string_equal(demo_streaming_counter_sum_method.reply->name, "demo.streaming.Total");
}

static void test_a_starter_of_a_stream_passes_on_everything_but_what_streams(void **state) {
  (void)state;
  const Demo__Streaming__Number request = DEMO__STREAMING__NUMBER__INIT;
  const tether_call_options options = {.wait_for_ready = true};
  assert_ptr_equal(
      demo_streaming_counter_client_count_start(client, ctx, &request, &options, done_function, &data_place), call);
  assert_ptr_equal(seen.method, &demo_streaming_counter_count_method);
  assert_ptr_equal(seen.request, &request);
  struct {
    tether_call *(*start)(tether_client *, const tether_ctx *, const tether_call_options *, tether_call_done_fn,
                          void *);
    const tether_method *method;
  } const cases[] = {{demo_streaming_counter_client_sum_start, &demo_streaming_counter_sum_method},
                     {demo_streaming_counter_client_running_sum_start, &demo_streaming_counter_running_sum_method}};
  for (size_t i = 0; i < 2; i++) {
    memset(&seen, 0, sizeof seen);
    seen.request = &request.base; /* and not what was there before */
    assert_ptr_equal(cases[i].start(client, ctx, &options, done_function, &data_place), call);
    assert_ptr_equal(seen.client, client);
    assert_ptr_equal(seen.ctx, ctx);
    assert_ptr_equal(seen.method, cases[i].method);
    assert_null(seen.request);
    assert_ptr_equal(seen.options, &options);
    assert_true(seen.done == done_function);
    assert_ptr_equal(seen.data, &data_place);
  }
}

static void test_what_is_sent_on_a_stream_is_passed_on(void **state) {
  (void)state;
  const Demo__Streaming__Number request = DEMO__STREAMING__NUMBER__INIT;
  const Demo__Streaming__Total reply = DEMO__STREAMING__TOTAL__INIT;
  seen.code = TETHER_UNAVAILABLE;
  assert_int_equal(demo_streaming_counter_running_sum_send_request(call, &request), TETHER_UNAVAILABLE);
  assert_ptr_equal(seen.streamed, call);
  assert_ptr_equal(seen.sent, &request);
  assert_int_equal(demo_streaming_counter_running_sum_send_reply(call, &reply), TETHER_UNAVAILABLE);
  assert_ptr_equal(seen.sent, &reply);
  seen.code = TETHER_OK;
  for (int i = 0; i < 2; i++) {
    bool done = i == 0;
    seen.is_done = i == 1;
    assert_int_equal(demo_streaming_counter_running_sum_try_send_request(call, &request, &done), TETHER_OK);
    assert_ptr_equal(seen.sent, &request);
    assert_int_equal(done, i);
    done = i == 0;
    assert_int_equal(demo_streaming_counter_running_sum_try_send_reply(call, &reply, &done), TETHER_OK);
    assert_ptr_equal(seen.sent, &reply);
    assert_int_equal(done, i);
  }
}

static void test_what_is_received_on_a_stream_is_written_on_success(void **state) {
  (void)state;
  const Demo__Streaming__Number number = DEMO__STREAMING__NUMBER__INIT, *request = &number;
  const Demo__Streaming__Total total = DEMO__STREAMING__TOTAL__INIT, *reply = &total;
  assert_int_equal(demo_streaming_counter_running_sum_recv_request(call, &request), TETHER_OK);
  assert_null(request);
  assert_int_equal(demo_streaming_counter_running_sum_recv_reply(call, &reply), TETHER_OK);
  assert_null(reply);
  assert_ptr_equal(seen.streamed, call);
  seen.received = &number.base;
  assert_int_equal(demo_streaming_counter_running_sum_recv_request(call, &request), TETHER_OK);
  assert_ptr_equal(request, &number);
  seen.received = &total.base;
  assert_int_equal(demo_streaming_counter_running_sum_recv_reply(call, &reply), TETHER_OK);
  assert_ptr_equal(reply, &total);
  seen.code = TETHER_DATA_LOSS;
  seen.received = NULL;
  assert_int_equal(demo_streaming_counter_running_sum_recv_request(call, &request), TETHER_DATA_LOSS);
  assert_ptr_equal(request, &number);
  assert_int_equal(demo_streaming_counter_running_sum_recv_reply(call, &reply), TETHER_DATA_LOSS);
  assert_ptr_equal(reply, &total);
}

static void test_what_was_not_received_yet_is_not_the_end(void **state) {
  (void)state;
  const Demo__Streaming__Number number = DEMO__STREAMING__NUMBER__INIT, *request = &number;
  const Demo__Streaming__Total total = DEMO__STREAMING__TOTAL__INIT, *reply = &total;
  bool done = true;
  assert_int_equal(demo_streaming_counter_running_sum_try_recv_request(call, &request, &done), TETHER_OK);
  assert_false(done);
  assert_ptr_equal(request, &number);
  done = true;
  assert_int_equal(demo_streaming_counter_running_sum_try_recv_reply(call, &reply, &done), TETHER_OK);
  assert_false(done);
  assert_ptr_equal(reply, &total);
  seen.is_done = true;
  assert_int_equal(demo_streaming_counter_running_sum_try_recv_request(call, &request, &done), TETHER_OK);
  assert_true(done);
  assert_null(request);
  seen.received = &total.base;
  reply = NULL;
  assert_int_equal(demo_streaming_counter_running_sum_try_recv_reply(call, &reply, &done), TETHER_OK);
  assert_ptr_equal(reply, &total);
  seen.code = TETHER_CANCELLED;
  seen.received = NULL;
  assert_int_equal(demo_streaming_counter_running_sum_try_recv_reply(call, &reply, &done), TETHER_CANCELLED);
  assert_true(done);
  assert_ptr_equal(reply, &total);
}

/* Handlers that show through their code that they got everything. */
static tether_code count(const tether_ctx *x, tether_call *c, const Demo__Streaming__Number *request, void *data) {
  return x == ctx && c == call && data == &data_place ? (tether_code)request->value : TETHER_INTERNAL;
}

static tether_code sum(const tether_ctx *x, tether_call *c, Demo__Streaming__Total *reply, void *data) {
  reply->sum = 42;
  return x == ctx && c == call && data == &data_place ? TETHER_ABORTED : TETHER_INTERNAL;
}

static tether_code running_sum(const tether_ctx *x, tether_call *c, void *data) {
  return x == ctx && c == call && data == &data_place ? TETHER_DATA_LOSS : TETHER_INTERNAL;
}

static void test_a_thunk_of_a_stream_hands_on_what_does_not_stream(void **state) {
  (void)state;
  const demo_streaming_counter_service service = {.count = count, .sum = sum, .running_sum = running_sum};
  assert_int_equal(demo_streaming_counter_register(server, &service, &data_place), TETHER_ALREADY_EXISTS);
  assert_int_equal(seen.method_count, 8);
  Demo__Streaming__Number request = DEMO__STREAMING__NUMBER__INIT;
  Demo__Streaming__Total reply = DEMO__STREAMING__TOTAL__INIT;
  request.value = TETHER_OUT_OF_RANGE;
  const tether_served_method *methods = seen.methods;
  assert_ptr_equal(methods[1].method, &demo_streaming_counter_count_method);
  assert_int_equal(methods[1].handler(ctx, call, &request.base, NULL, &service, &data_place), TETHER_OUT_OF_RANGE);
  assert_ptr_equal(methods[2].method, &demo_streaming_counter_sum_method);
  assert_int_equal(methods[2].handler(ctx, call, NULL, &reply.base, &service, &data_place), TETHER_ABORTED);
  assert_int_equal(reply.sum, 42);
  assert_ptr_equal(methods[3].method, &demo_streaming_counter_running_sum_method);
  assert_int_equal(methods[3].handler(ctx, call, NULL, NULL, &service, &data_place), TETHER_DATA_LOSS);
  assert_null(seen.failed);
}

static void test_a_streaming_member_left_null_is_unimplemented(void **state) {
  (void)state;
  const demo_streaming_register_service service = {.default_ = NULL};
  assert_int_equal(demo_streaming_register_register(server, &service, NULL), TETHER_ALREADY_EXISTS);
  assert_int_equal(seen.method_count, 3);
  const char *const names[] = {"/demo.streaming.Register/Default_ is", "/demo.streaming.Register/_int is",
                               "/demo.streaming.Register/RETURN_ is"};
  for (size_t i = 0; i < 3; i++) {
    seen.failed = NULL;
    assert_int_equal(seen.methods[i].handler(ctx, call, NULL, NULL, &service, NULL), TETHER_UNIMPLEMENTED);
    assert_ptr_equal(seen.failed, call);
    assert_non_null(strstr(seen.message, names[i]));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_streaming_method_says_which_way_it_streams, forget),
      cmocka_unit_test_setup(test_a_starter_of_a_stream_passes_on_everything_but_what_streams, forget),
      cmocka_unit_test_setup(test_what_is_sent_on_a_stream_is_passed_on, forget),
      cmocka_unit_test_setup(test_what_is_received_on_a_stream_is_written_on_success, forget),
      cmocka_unit_test_setup(test_what_was_not_received_yet_is_not_the_end, forget),
      cmocka_unit_test_setup(test_a_thunk_of_a_stream_hands_on_what_does_not_stream, forget),
      cmocka_unit_test_setup(test_a_streaming_member_left_null_is_unimplemented, forget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
