/* gRPC's interop cases (grpc/grpc doc/interop-test-descriptions.md), as far as they do not need compression, Google's
 * authentication or HTTP/2, between our own client and server, over each transport; the same payloads in the same
 * order. Then grpc-java's cases of deadlines and sizes. In blocking form; the streams in callback form are in
 * interop_callback_test.c. */
#include <string.h>

#include "tests/support/interop.h"
#include "tests/support/wait.h"

enum { LARGE_REQUEST = 271828, LARGE_RESPONSE = 314159 };

static const int32_t response_sizes[] = {31415, 9, 2653, 58979};
static const size_t request_sizes[] = {27182, 8, 1828, 45904};

typedef const Grpc__Testing__StreamingOutputCallResponse output_response;

/* ---- Unary --------------------------------------------------------------------------------- */

static void empty_unary(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
  TETHER_SCOPED_CALL tether_call *call = grpc_testing_test_service_client_empty_call(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_non_null(grpc_testing_test_service_empty_call_reply(call));
}

static void call_large_unary(tether_client *client) {
  static const uint8_t expected[LARGE_RESPONSE];
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  struct interop_unary made;
  interop_unary(&made, LARGE_REQUEST, LARGE_RESPONSE);
  TETHER_SCOPED_CALL tether_call *call = grpc_testing_test_service_client_unary_call(client, ctx, &made.request, NULL);
  rpc_assert_code(call, TETHER_OK);
  const Grpc__Testing__Payload *payload = grpc_testing_test_service_unary_call_reply(call)->payload;
  assert_int_equal(payload->type, GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE);
  assert_int_equal(payload->body.len, LARGE_RESPONSE);
  assert_memory_equal(payload->body.data, expected, LARGE_RESPONSE);
}

static void large_unary(void **state) {
  struct interop *f = *state;
  call_large_unary(f->client);
}

static void rpc_soak(void **state) {
  struct interop *f = *state;
  for (int i = 0; i < 10; i++) call_large_unary(f->client);
}

static void channel_soak(void **state) {
  struct interop *f = *state;
  for (int i = 0; i < 10; i++) {
    tether_client *client = interop_client(f, NULL);
    call_large_unary(client);
    tether_client_close(client);
  }
}

/* ---- Streams ------------------------------------------------------------------------------- */

static void client_streaming(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_input_call_start(f->client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < 4; i++) {
    struct interop_input made;
    interop_input(&made, request_sizes[i]);
    assert_int_equal(grpc_testing_test_service_streaming_input_call_send_request(call, &made.request), TETHER_OK);
  }
  tether_call_close_send(call);
  tether_call_wait(call);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(grpc_testing_test_service_streaming_input_call_reply(call)->aggregated_payload_size, 74922);
}

/* The next response of a full duplex, half duplex or streaming output call has so many zeros. */
static void assert_response(tether_call *call, int32_t size) {
  static const uint8_t expected[64 * 1024];
  output_response *response = NULL;
  assert_int_equal(grpc_testing_test_service_full_duplex_call_recv_reply(call, &response), TETHER_OK);
  assert_non_null(response);
  assert_non_null(response->payload);
  assert_int_equal(response->payload->body.len, size);
  assert_memory_equal(response->payload->body.data, expected, (size_t)size);
}

static void assert_no_more(tether_call *call) {
  output_response *response = (output_response *)&response;
  assert_int_equal(grpc_testing_test_service_full_duplex_call_recv_reply(call, &response), TETHER_OK);
  assert_null(response);
  rpc_assert_code(call, TETHER_OK);
}

static void send_output(tether_call *call, size_t payload, size_t count, const int32_t *sizes) {
  struct interop_output made;
  interop_output(&made, payload, count, sizes, 0);
  assert_int_equal(grpc_testing_test_service_full_duplex_call_send_request(call, &made.request), TETHER_OK);
}

static tether_call *start_duplex(struct interop *f, const tether_ctx *ctx, const tether_metadata *metadata) {
  return grpc_testing_test_service_client_full_duplex_call_start(
      f->client, ctx, &(tether_call_options){.metadata = metadata}, NULL, NULL);
}

static void server_streaming(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  struct interop_output made;
  interop_output(&made, 0, 4, response_sizes, 0);
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_streaming_output_call_start(f->client, ctx, &made.request, NULL, NULL, NULL);
  for (int i = 0; i < 4; i++) assert_response(call, response_sizes[i]);
  assert_no_more(call);
}

static void ping_pong(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  for (int i = 0; i < 4; i++) {
    send_output(call, request_sizes[i], 1, &response_sizes[i]);
    assert_response(call, response_sizes[i]);
  }
  tether_call_close_send(call);
  assert_no_more(call);
}

static void empty_stream(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  tether_call_close_send(call);
  assert_no_more(call);
}

/* Not in gRPC's list, though its server has the method: nothing comes before the half-close. */
static void half_duplex(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_half_duplex_call_start(f->client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < 4; i++) send_output(call, request_sizes[i], 1, &response_sizes[i]);
  tether_call_close_send(call);
  for (int i = 0; i < 4; i++) assert_response(call, response_sizes[i]);
  assert_no_more(call);
}

/* ---- Metadata and statuses ----------------------------------------------------------------- */

static void custom_metadata_unary(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  struct interop_unary made;
  interop_unary(&made, LARGE_REQUEST, LARGE_RESPONSE);
  tether_metadata *metadata = interop_metadata();
  TETHER_SCOPED_CALL tether_call *call = grpc_testing_test_service_client_unary_call(
      f->client, ctx, &made.request, &(tether_call_options){.metadata = metadata});
  rpc_assert_code(call, TETHER_OK);
  interop_assert_initial(call);
  interop_assert_trailing(call);
  tether_metadata_free(metadata);
}

static void custom_metadata_full_duplex(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  static const int32_t size = LARGE_RESPONSE / 10;
  tether_metadata *metadata = interop_metadata();
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, metadata);
  tether_metadata_free(metadata);
  assert_int_equal(tether_call_wait_initial(call), TETHER_OK);
  interop_assert_initial(call);
  send_output(call, LARGE_REQUEST, 1, &size);
  assert_response(call, size);
  tether_call_close_send(call);
  assert_no_more(call);
  interop_assert_initial(call);
  interop_assert_trailing(call);
}

static const char *const special_text =
    "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP \xf0\x9f\x98\x88\t\n";

static void assert_unary_status(struct interop *f, int32_t code, const char *message) {
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  struct interop_unary made;
  interop_unary(&made, 0, 0);
  made.status.code = code;
  made.status.message = (char *)message;
  made.request.response_status = &made.status;
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_unary_call(f->client, ctx, &made.request, NULL);
  rpc_assert_code(call, (tether_code)code);
  assert_string_equal(tether_call_message(call), message);
  assert_null(tether_call_reply(call));
}

static void assert_duplex_status(struct interop *f, int32_t code, const char *message) {
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  struct interop_output made;
  interop_output(&made, 0, 0, NULL, 0);
  made.status.code = code;
  made.status.message = (char *)message;
  made.request.response_status = &made.status;
  TETHER_SCOPED_CALL tether_call *call = start_duplex(f, ctx, NULL);
  assert_int_equal(grpc_testing_test_service_full_duplex_call_send_request(call, &made.request), TETHER_OK);
  tether_call_close_send(call);
  output_response *response = NULL;
  assert_int_equal(grpc_testing_test_service_full_duplex_call_recv_reply(call, &response), code);
  rpc_assert_code(call, (tether_code)code);
  assert_string_equal(tether_call_message(call), message);
}

static void status_code_and_message(void **state) {
  assert_unary_status(*state, TETHER_UNKNOWN, "test status message");
  assert_duplex_status(*state, TETHER_UNKNOWN, "test status message");
}

static void special_status_message(void **state) {
  assert_unary_status(*state, TETHER_UNKNOWN, special_text);
  assert_duplex_status(*state, TETHER_UNKNOWN, special_text);
}

static void unimplemented_method(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_test_service_client_unimplemented_call(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNIMPLEMENTED);
}

static void unimplemented_service(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      grpc_testing_unimplemented_service_client_unimplemented_call(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNIMPLEMENTED);
}

static void unimplemented_stream(void **state) {
  struct interop *f = *state;
  TETHER_SCOPED tether_ctx *ctx = interop_ctx();
  tether_method method = grpc_testing_test_service_full_duplex_call_method;
  method.path = "/grpc.testing.UnimplementedService/UnimplementedStream";
  TETHER_SCOPED_CALL tether_call *call = tether_call_start(f->client, ctx, &method, NULL, NULL, NULL, NULL);
  const ProtobufCMessage *message = NULL;
  assert_int_equal(tether_call_recv(call, &message), TETHER_UNIMPLEMENTED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      INTEROP(empty_unary),
      INTEROP(large_unary),
      INTEROP(rpc_soak),
      INTEROP(channel_soak),
      INTEROP(client_streaming),
      INTEROP(server_streaming),
      INTEROP(ping_pong),
      INTEROP(empty_stream),
      INTEROP(half_duplex),
      INTEROP(custom_metadata_unary),
      INTEROP(custom_metadata_full_duplex),
      INTEROP(status_code_and_message),
      INTEROP(special_status_message),
      INTEROP(unimplemented_method),
      INTEROP(unimplemented_service),
      INTEROP(unimplemented_stream),
  };
  return cmocka_run_group_tests(tests, interop_group_setup, interop_group_teardown);
}
