#include "tests/support/interop_server.h"

#include <stdio.h>
#include <stdlib.h>

typedef Grpc__Testing__StreamingOutputCallRequest output_request;

/* Sent back as it came; on a stream the initial metadata leave at once, before any message. */
static tether_code echo_metadata(tether_call *call) {
  const tether_metadata *metadata = tether_call_metadata(call);
  size_t len = 0;
  tether_code code = TETHER_OK;
  const char *initial = tether_metadata_get(metadata, INTEROP_ECHO_INITIAL, &len);
  if (initial) code = tether_call_add_initial(call, INTEROP_ECHO_INITIAL, initial, len);
  const char *trailing = tether_metadata_get(metadata, INTEROP_ECHO_TRAILING, &len);
  if (trailing && code == TETHER_OK) code = tether_call_add_trailer(call, INTEROP_ECHO_TRAILING, trailing, len);
  return code;
}

/* The status that a request asks for. */
static tether_code echo_status(tether_call *call, const Grpc__Testing__EchoStatus *status) {
  if (!status || status->code == 0) return TETHER_OK;
  return tether_call_fail(call, (tether_code)status->code, "%s", status->message);
}

static tether_code leave(void *data, tether_code code) {
  atomic_fetch_add(&((struct interop_stats *)data)->ended, 1);
  return code;
}

static tether_code enter(void *data, tether_call *call) {
  atomic_fetch_add(&((struct interop_stats *)data)->started, 1);
  return echo_metadata(call);
}

static tether_code empty_call(const tether_ctx *ctx, tether_call *call, const Grpc__Testing__Empty *request,
                              Grpc__Testing__Empty *reply, void *data) {
  (void)ctx, (void)request, (void)reply;
  return leave(data, enter(data, call));
}

static tether_code unary_call(const tether_ctx *ctx, tether_call *call, const Grpc__Testing__SimpleRequest *request,
                              Grpc__Testing__SimpleResponse *reply, void *data) {
  (void)ctx;
  tether_code code = enter(data, call);
  if (code == TETHER_OK) code = echo_status(call, request->response_status);
  if (code == TETHER_OK && request->expect_compressed && request->expect_compressed->value)
    code = tether_call_fail(call, TETHER_INVALID_ARGUMENT, "the request is not compressed");
  if (code == TETHER_OK && request->response_size < 0)
    code = tether_call_fail(call, TETHER_INVALID_ARGUMENT, "a response of %d bytes", request->response_size);
  if (code == TETHER_OK) {
    size_t len = (size_t)request->response_size;
    Grpc__Testing__Payload *payload = tether_call_alloc(call, sizeof *payload);
    uint8_t *body = tether_call_alloc(call, len ? len : 1);
    if (!payload || !body) return leave(data, TETHER_RESOURCE_EXHAUSTED);
    grpc__testing__payload__init(payload);
    payload->body = (ProtobufCBinaryData){.data = body, .len = len};
    reply->payload = payload;
  }
  return leave(data, code);
}

/* ---- Streams ------------------------------------------------------------------------------- */

/* One response of so many bytes, so long after the one before. */
static tether_code respond(const tether_ctx *ctx, tether_call *call, int32_t size, int32_t interval_us) {
  Grpc__Testing__StreamingOutputCallResponse response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
  Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
  if (size < 0) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "a response of %d bytes", size);
  tether_code code = interval_us > 0 ? tether_ctx_sleep(ctx, interval_us * TETHER_US) : TETHER_OK;
  if (code != TETHER_OK) return code;
  payload.body = (ProtobufCBinaryData){.data = calloc(1, size ? (size_t)size : 1), .len = (size_t)size};
  if (!payload.body.data) return TETHER_RESOURCE_EXHAUSTED;
  response.payload = &payload;
  code = grpc_testing_test_service_full_duplex_call_send_reply(call, &response);
  free(payload.body.data);
  return code;
}

static tether_code serve(const tether_ctx *ctx, tether_call *call, const output_request *request) {
  tether_code code = echo_status(call, request->response_status);
  for (size_t i = 0; i < request->n_response_parameters && code == TETHER_OK; i++)
    code = respond(ctx, call, request->response_parameters[i]->size, request->response_parameters[i]->interval_us);
  return code;
}

static tether_code streaming_output_call(const tether_ctx *ctx, tether_call *call, const output_request *request,
                                         void *data) {
  tether_code code = enter(data, call);
  if (code == TETHER_OK) code = serve(ctx, call, request);
  return leave(data, code);
}

static tether_code streaming_input_call(const tether_ctx *ctx, tether_call *call,
                                        Grpc__Testing__StreamingInputCallResponse *reply, void *data) {
  (void)ctx;
  const Grpc__Testing__StreamingInputCallRequest *request = NULL;
  tether_code code = enter(data, call);
  while (code == TETHER_OK) {
    code = grpc_testing_test_service_streaming_input_call_recv_request(call, &request);
    if (code != TETHER_OK || !request) break;
    if (request->payload) reply->aggregated_payload_size += (int32_t)request->payload->body.len;
  }
  return leave(data, code);
}

static tether_code full_duplex_call(const tether_ctx *ctx, tether_call *call, void *data) {
  const output_request *request = NULL;
  tether_code code = enter(data, call);
  if (code == TETHER_OK && tether_metadata_get(tether_call_metadata(call), INTEROP_ECHO_INITIAL, NULL))
    code = tether_call_send_initial(call);
  while (code == TETHER_OK) {
    code = grpc_testing_test_service_full_duplex_call_recv_request(call, &request);
    if (code != TETHER_OK || !request) break;
    code = serve(ctx, call, request);
  }
  return leave(data, code);
}

/* What is to be sent once all requests are there. */
struct planned {
  int32_t size, interval_us;
};

enum { PLANNED_MOST = 1000 };

/* Adds what a request asks for to the plan. */
static tether_code plan(tether_call *call, const output_request *request, struct planned *planned, size_t *count) {
  if (request->n_response_parameters > PLANNED_MOST - *count)
    return tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "more than %d responses", PLANNED_MOST);
  for (size_t i = 0; i < request->n_response_parameters; i++) {
    const Grpc__Testing__ResponseParameters *wanted = request->response_parameters[i];
    planned[(*count)++] = (struct planned){.size = wanted->size, .interval_us = wanted->interval_us};
  }
  return echo_status(call, request->response_status);
}

static tether_code half_duplex_call(const tether_ctx *ctx, tether_call *call, void *data) {
  const output_request *request = NULL;
  size_t count = 0;
  struct planned *planned = tether_call_alloc(call, PLANNED_MOST * sizeof *planned);
  tether_code code = enter(data, call);
  if (!planned) code = TETHER_RESOURCE_EXHAUSTED;
  while (code == TETHER_OK) {
    code = grpc_testing_test_service_half_duplex_call_recv_request(call, &request);
    if (code != TETHER_OK || !request) break;
    code = plan(call, request, planned, &count);
  }
  for (size_t i = 0; i < count && code == TETHER_OK; i++)
    code = respond(ctx, call, planned[i].size, planned[i].interval_us);
  return leave(data, code);
}

tether_code interop_server_add(tether_server *server, struct interop_stats *stats) {
  static const grpc_testing_test_service_service service = {
      .empty_call = empty_call,
      .unary_call = unary_call,
      .streaming_output_call = streaming_output_call,
      .streaming_input_call = streaming_input_call,
      .full_duplex_call = full_duplex_call,
      .half_duplex_call = half_duplex_call,
  };
  return grpc_testing_test_service_register(server, &service, stats);
}
