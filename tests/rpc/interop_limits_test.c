/* The rest of gRPC's interop cases, those in which a call is cut or meets a limit, and what grpc-java's list and the
 * wish list of gRPC's own add: cancels, deadlines, sizes, streams at once, long headers. */
#include <string.h>

#include "tests/support/interop.h"
#include "tests/support/wait.h"

static const int32_t one_response = 31415;

typedef const Grpc__Testing__StreamingOutputCallResponse output_response;

static tether_call *start_duplex(struct interop *f, const tether_ctx *ctx, const tether_metadata *metadata) {
  return grpc_testing_test_service_client_full_duplex_call_start(
      f->client, ctx, &(tether_call_options){.metadata = metadata}, NULL, NULL);
}

static tether_code send_output(tether_call *call, size_t payload, size_t count, const int32_t *sizes,
                               int32_t interval_us) {
  struct interop_output made;
  interop_output(&made, payload, count, sizes, interval_us);
  return grpc_testing_test_service_full_duplex_call_send_request(call, &made.request);
}

/* What the call ends with, whatever it still receives. */
static tether_code drain(tether_call *call, int *responses) {
  output_response *response = NULL;
  tether_code code;
  *responses = -1;
  do {
    ++*responses;
    code = grpc_testing_test_service_full_duplex_call_recv_reply(call, &response);
  } while (code == TETHER_OK && response);
  return code;
}

static void assert_usable(struct interop *f) {
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
  TETHER_SCOPED_CALL tether_call *call = grpc_testing_test_service_client_empty_call(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
}

/* ---- Cancel -------------------------------------------------------------------------------- */

static void cancel_after_begin(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_input_call_start(f->client, ctx, NULL, NULL, NULL);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  assert_usable(f);
}

static void cancel_after_first_response(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  assert_int_equal(send_output(call, 27182, 1, &one_response, 0), TETHER_OK);
  output_response *response = NULL;
  assert_int_equal(grpc_testing_test_service_full_duplex_call_recv_reply(call, &response), TETHER_OK);
  assert_int_equal(response->payload->body.len, one_response);
  tether_call_cancel(call, NULL);
  assert_int_equal(grpc_testing_test_service_full_duplex_call_recv_reply(call, &response), TETHER_CANCELLED);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_true(interop_handlers_left(f, 1));
  assert_usable(f);
}

static void cancel_before_start(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  assert_usable(f);
  tether_ctx_cancel(ctx);
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  int responses;
  assert_int_equal(send_output(call, 27182, 1, &one_response, 0), TETHER_CANCELLED);
  assert_int_equal(drain(call, &responses), TETHER_CANCELLED);
  assert_int_equal(responses, 0);
  assert_usable(f);
  assert_int_equal(atomic_load(&f->stats.started), 2); /* nothing was sent */
}

static void cancel_after_headers(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  tether_metadata *metadata = interop_metadata();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, metadata);
  tether_metadata_free(metadata);
  assert_int_equal(tether_call_wait_initial(call), TETHER_OK);
  interop_assert_initial(call);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  interop_assert_initial(call); /* what was seen stays */
  assert_int_equal(tether_metadata_count(tether_call_trailers(call)), 0);
  assert_true(interop_handlers_left(f, 1));
}

/* ---- Deadlines ----------------------------------------------------------------------------- */

static void timeout_on_sleeping_server(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  int responses;
  tether_code sent = send_output(call, 27182, 0, NULL, 0);
  assert_true(sent == TETHER_OK || sent == TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(drain(call, &responses), TETHER_DEADLINE_EXCEEDED);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
}

/* grpc-java: deadlineNotExceeded. */
static void a_deadline_that_is_not_exceeded(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 10 * TETHER_SEC);
  struct interop_output made;
  static const int32_t size = 50;
  interop_output(&made, 0, 1, &size, 0);
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, NULL, NULL);
  int responses;
  assert_int_equal(drain(call, &responses), TETHER_OK);
  assert_int_equal(responses, 1);
}

/* deadlineExceeded; the unary method that never answers is Echo's. */
static void a_deadline_exceeded_unary(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_MS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  int64_t before_ns = tether_now_ns();
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(f->client, ctx, &request, NULL);
  assert_true(tether_now_ns() - before_ns >= 30 * TETHER_MS * 7 / 8); /* less the reserve */
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
}

/* deadlineExceededServerStreaming: what came before stays received. */
static void a_deadline_exceeded_server_streaming(void **state) {
  struct interop *f = *state;
  assert_usable(f);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 300 * TETHER_MS);
  struct interop_output made;
  static const int32_t sizes[] = {50, 50};
  interop_output(&made, 0, 2, sizes, 0);
  made.parameters[1].interval_us = 30 * 1000 * 1000;
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, NULL, NULL);
  int responses;
  assert_int_equal(drain(call, &responses), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(responses, 1);
  assert_true(interop_handlers_left(f, 2)); /* its sleep ended too */
}

static void a_deadline_in_the_past(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), -10 * TETHER_SEC);
  Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
  int responses;
  TETHER_SCOPED_CALL tether_call *unary = grpc_testing_test_service_client_empty_call(f->client, ctx, &request, NULL);
  rpc_assert_code(unary, TETHER_DEADLINE_EXCEEDED);
  TETHER_SCOPED_CALL tether_call *stream = start_duplex(f, ctx, NULL);
  assert_int_equal(drain(stream, &responses), TETHER_DEADLINE_EXCEEDED);
  assert_usable(f);
  assert_int_equal(atomic_load(&f->stats.started), 1);
}

/* ---- Sizes --------------------------------------------------------------------------------- */

enum { LONG = 50000 };

/* Asks for one response of LONG bytes with a client that takes `limit`. */
static tether_code receive_with_limit(interop_transport transport, size_t limit) {
  struct interop *f = NULL;
  struct interop_output made;
  static const int32_t size = LONG;
  int responses;
  assert_int_equal(interop_open((void **)&f, transport, NULL, &(tether_limits){.max_message_bytes = limit}), 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  interop_output(&made, 0, 1, &size, 0);
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, NULL, NULL);
  tether_code code = drain(call, &responses);
  assert_int_equal(responses, code == TETHER_OK);
  assert_usable(f);
  assert_int_equal(interop_teardown((void **)&f), 0);
  return code;
}

/* Sends one request of LONG bytes to a server that takes `limit`. */
static tether_code send_with_limit(interop_transport transport, size_t limit) {
  struct interop *f = NULL;
  struct interop_input made;
  assert_int_equal(interop_open((void **)&f, transport, &(tether_limits){.max_message_bytes = limit}, NULL), 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  interop_input(&made, LONG);
  assert_usable(f); /* the client knows the limit */
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_input_call_start(f->client, ctx, NULL, NULL, NULL);
  tether_code code = grpc_testing_test_service_streaming_input_call_send_request(call, &made.request);
  tether_call_close_send(call);
  assert_int_equal(tether_call_wait(call), TETHER_OK); /* a message that was not sent is no failure of the call */
  assert_int_equal(grpc_testing_test_service_streaming_input_call_reply(call)->aggregated_payload_size,
                   code == TETHER_OK ? LONG : 0);
  assert_int_equal(interop_teardown((void **)&f), 0);
  return code;
}

static void a_response_of_the_limit_passes_and_one_byte_more_does_not(void **state) {
  interop_transport transport = *(const interop_transport *)*state;
  static uint8_t bytes[LONG];
  Grpc__Testing__StreamingOutputCallResponse response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
  Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
  payload.body = (ProtobufCBinaryData){.data = bytes, .len = LONG};
  response.payload = &payload;
  size_t exact = protobuf_c_message_get_packed_size(&response.base);
  assert_int_equal(receive_with_limit(transport, exact), TETHER_OK);
  assert_int_equal(receive_with_limit(transport, exact - 1), TETHER_RESOURCE_EXHAUSTED);
}

static void a_request_of_the_limit_passes_and_one_byte_more_does_not(void **state) {
  interop_transport transport = *(const interop_transport *)*state;
  struct interop_input made;
  interop_input(&made, LONG);
  size_t exact = protobuf_c_message_get_packed_size(&made.request.base);
  assert_int_equal(send_with_limit(transport, exact), TETHER_OK);
  assert_int_equal(send_with_limit(transport, exact - 1), TETHER_RESOURCE_EXHAUSTED);
}

/* A wish of gRPC's list; the default limit is 8 KiB, so both sides allow more. */
static void headers_of_63_kilobytes(void **state) {
  interop_transport transport = *(const interop_transport *)*state;
  enum { HEADER = 63 * 1024 };
  static char value[HEADER + 1];
  struct interop *f = NULL;
  const tether_limits limits = {.max_metadata_bytes = 64 * 1024};
  assert_int_equal(interop_open((void **)&f, transport, &limits, &limits), 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  tether_metadata *metadata = tether_metadata_new();
  memset(value, 'h', HEADER);
  assert_int_equal(tether_metadata_add(metadata, INTEROP_ECHO_INITIAL, value), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, metadata);
  tether_metadata_free(metadata);
  assert_int_equal(tether_call_wait_initial(call), TETHER_OK);
  assert_string_equal(tether_metadata_get(tether_call_initial_metadata(call), INTEROP_ECHO_INITIAL, NULL), value);
  tether_call_close_send(call);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  assert_int_equal(interop_teardown((void **)&f), 0);
}

/* ---- Streams at once ----------------------------------------------------------------------- */

/* gRPC's HTTP/2 case: ten calls at a limit of one all succeed. */
static void max_streams(void **state) {
  interop_transport transport = *(const interop_transport *)*state;
  enum { N = 10 };
  struct interop *f = NULL;
  tether_call *calls[N];
  assert_int_equal(interop_open((void **)&f, transport, &(tether_limits){.max_streams = 1}, NULL), 0);
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  for (int i = 0; i < N; i++) {
    calls[i] = start_duplex(f, ctx, NULL);
    assert_int_equal(send_output(calls[i], 27182, 1, &one_response, 0), TETHER_OK); /* most of them are queued */
    tether_call_close_send(calls[i]);
  }
  for (int i = 0; i < N; i++) {
    int responses;
    assert_int_equal(drain(calls[i], &responses), TETHER_OK);
    assert_int_equal(responses, 1);
    tether_call_unref(calls[i]);
  }
  assert_int_equal(interop_teardown((void **)&f), 0);
}

/* A test that opens servers of its own, with limits. */
#define ALONE(name)                                                    \
  {#name " (ipc)", name, NULL, NULL, interop_over(INTEROP_IPC)},       \
      {#name " (tcp)", name, NULL, NULL, interop_over(INTEROP_TCP)}, { \
#name " (tls+tcp)", name, NULL, NULL, interop_over(INTEROP_TLS)    \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      INTEROP(cancel_after_begin),
      INTEROP(cancel_after_first_response),
      INTEROP(cancel_before_start),
      INTEROP(cancel_after_headers),
      INTEROP(timeout_on_sleeping_server),
      INTEROP(a_deadline_that_is_not_exceeded),
      INTEROP(a_deadline_exceeded_unary),
      INTEROP(a_deadline_exceeded_server_streaming),
      INTEROP(a_deadline_in_the_past),
      ALONE(a_response_of_the_limit_passes_and_one_byte_more_does_not),
      ALONE(a_request_of_the_limit_passes_and_one_byte_more_does_not),
      ALONE(headers_of_63_kilobytes),
      ALONE(max_streams),
  };
  return cmocka_run_group_tests(tests, interop_group_setup, interop_group_teardown);
}
