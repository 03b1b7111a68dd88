/* Written by protoc-gen-tether. Do not edit.
 * Source: greeter.proto */
#include "greeter.tether.h"

/* ---- demo.v1.Greeter ---- */

const tether_method demo_v1_greeter_say_hello_method = {
    .path = "/demo.v1.Greeter/SayHello",
    .request = &demo__v1__hello_request__descriptor,
    .reply = &demo__v1__hello_reply__descriptor,
    .default_timeout_ns = INT64_C(200) * TETHER_MS,
    .flags = TETHER_METHOD_IDEMPOTENT,
    .retry =
        &(const tether_retry_policy){
            .max_attempts = 3,
            .initial_backoff_ns = INT64_C(20) * TETHER_MS,
            .max_backoff_ns = INT64_C(4294967295) * TETHER_MS,
            .backoff_multiplier = 1.6,
            .retryable = 1u << TETHER_UNAVAILABLE,
        },
    .file = &tether_file_greeter_2eproto,
};

tether_call *demo_v1_greeter_client_say_hello(tether_client *client, const tether_ctx *ctx,
                                              const Demo__V1__HelloRequest *request,
                                              const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_v1_greeter_say_hello_method, (const ProtobufCMessage *)request, options);
}

tether_call *demo_v1_greeter_client_say_hello_start(tether_client *client, const tether_ctx *ctx,
                                                    const Demo__V1__HelloRequest *request,
                                                    const tether_call_options *options, tether_call_done_fn done,
                                                    void *data) {
  return tether_call_start(client, ctx, &demo_v1_greeter_say_hello_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code demo_v1_greeter_say_hello_thunk(const tether_ctx *ctx, tether_call *call,
                                                   const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                   const void *service, void *data) {
  const demo_v1_greeter_service *table = service;
  if (table->say_hello == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_v1_greeter_say_hello_method.path);
  }
  return table->say_hello(ctx, call, (const Demo__V1__HelloRequest *)request, (Demo__V1__HelloReply *)reply, data);
}

const tether_method demo_v1_greeter_say_nothing_method = {
    .path = "/demo.v1.Greeter/SayNothing",
    .request = &demo__v1__hello_request__descriptor,
    .reply = &demo__v1__hello_reply__descriptor,
    .file = &tether_file_greeter_2eproto,
};

tether_call *demo_v1_greeter_client_say_nothing(tether_client *client, const tether_ctx *ctx,
                                                const Demo__V1__HelloRequest *request,
                                                const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_v1_greeter_say_nothing_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_v1_greeter_client_say_nothing_start(tether_client *client, const tether_ctx *ctx,
                                                      const Demo__V1__HelloRequest *request,
                                                      const tether_call_options *options, tether_call_done_fn done,
                                                      void *data) {
  return tether_call_start(client, ctx, &demo_v1_greeter_say_nothing_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code demo_v1_greeter_say_nothing_thunk(const tether_ctx *ctx, tether_call *call,
                                                     const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                     const void *service, void *data) {
  const demo_v1_greeter_service *table = service;
  if (table->say_nothing == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_v1_greeter_say_nothing_method.path);
  }
  return table->say_nothing(ctx, call, (const Demo__V1__HelloRequest *)request, (Demo__V1__HelloReply *)reply, data);
}

const tether_method demo_v1_greeter_delete_method = {
    .path = "/demo.v1.Greeter/Delete",
    .request = &demo__v1__hello_request__descriptor,
    .reply = &demo__v1__hello_reply__descriptor,
    .default_timeout_ns = INT64_C(4294967295) * TETHER_MS,
    .flags = TETHER_METHOD_INLINE | TETHER_METHOD_DEADLINE_REQUIRED,
    .file = &tether_file_greeter_2eproto,
};

tether_call *demo_v1_greeter_client_delete(tether_client *client, const tether_ctx *ctx,
                                           const Demo__V1__HelloRequest *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_v1_greeter_delete_method, (const ProtobufCMessage *)request, options);
}

tether_call *demo_v1_greeter_client_delete_start(tether_client *client, const tether_ctx *ctx,
                                                 const Demo__V1__HelloRequest *request,
                                                 const tether_call_options *options, tether_call_done_fn done,
                                                 void *data) {
  return tether_call_start(client, ctx, &demo_v1_greeter_delete_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code demo_v1_greeter_delete_thunk(const tether_ctx *ctx, tether_call *call,
                                                const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                const void *service, void *data) {
  const demo_v1_greeter_service *table = service;
  if (table->delete == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_v1_greeter_delete_method.path);
  }
  return table->delete(ctx, call, (const Demo__V1__HelloRequest *)request, (Demo__V1__HelloReply *)reply, data);
}

const tether_method demo_v1_greeter_peek_method = {
    .path = "/demo.v1.Greeter/Peek",
    .request = &demo__v1__hello_request__descriptor,
    .reply = &demo__v1__hello_reply__descriptor,
    .flags = TETHER_METHOD_IDEMPOTENT,
    .retry =
        &(const tether_retry_policy){
            .max_attempts = 5,
            .initial_backoff_ns = INT64_C(1) * TETHER_MS,
            .max_backoff_ns = INT64_C(1) * TETHER_MS,
            .backoff_multiplier = 1,
            .retryable = 1u << TETHER_RESOURCE_EXHAUSTED |
                         1u << TETHER_ABORTED,
        },
    .file = &tether_file_greeter_2eproto,
};

tether_call *demo_v1_greeter_client_peek(tether_client *client, const tether_ctx *ctx,
                                         const Demo__V1__HelloRequest *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_v1_greeter_peek_method, (const ProtobufCMessage *)request, options);
}

tether_call *demo_v1_greeter_client_peek_start(tether_client *client, const tether_ctx *ctx,
                                               const Demo__V1__HelloRequest *request,
                                               const tether_call_options *options, tether_call_done_fn done,
                                               void *data) {
  return tether_call_start(client, ctx, &demo_v1_greeter_peek_method, (const ProtobufCMessage *)request, options, done,
                           data);
}

static tether_code demo_v1_greeter_peek_thunk(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                                              ProtobufCMessage *reply, const void *service, void *data) {
  const demo_v1_greeter_service *table = service;
  if (table->peek == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_v1_greeter_peek_method.path);
  }
  return table->peek(ctx, call, (const Demo__V1__HelloRequest *)request, (Demo__V1__HelloReply *)reply, data);
}

static const tether_served_method demo_v1_greeter_methods[] = {
    {&demo_v1_greeter_say_hello_method, demo_v1_greeter_say_hello_thunk},
    {&demo_v1_greeter_say_nothing_method, demo_v1_greeter_say_nothing_thunk},
    {&demo_v1_greeter_delete_method, demo_v1_greeter_delete_thunk},
    {&demo_v1_greeter_peek_method, demo_v1_greeter_peek_thunk},
};

tether_code demo_v1_greeter_register(tether_server *server, const demo_v1_greeter_service *service, void *data) {
  return tether_server_add(server, demo_v1_greeter_methods, 4, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_greeter_2eproto[] = {
    10, 13, 103, 114, 101, 101, 116, 101, 114, 46, 112, 114, 111, 116, 111, 18, 7, 100, 101, 109, 111, 46, 118, 49, 26,
    20, 116, 101, 116, 104, 101, 114, 47, 111, 112, 116, 105, 111, 110, 115, 46, 112, 114, 111, 116, 111, 34, 34, 10,
    12, 72, 101, 108, 108, 111, 82, 101, 113, 117, 101, 115, 116, 18, 18, 10, 4, 110, 97, 109, 101, 24, 1, 32, 1, 40,
    9, 82, 4, 110, 97, 109, 101, 34, 32, 10, 10, 72, 101, 108, 108, 111, 82, 101, 112, 108, 121, 18, 18, 10, 4, 116,
    101, 120, 116, 24, 1, 32, 1, 40, 9, 82, 4, 116, 101, 120, 116, 50, 229, 2, 10, 7, 71, 114, 101, 101, 116, 101, 114,
    18, 92, 10, 8, 83, 97, 121, 72, 101, 108, 108, 111, 18, 21, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108,
    108, 111, 82, 101, 113, 117, 101, 115, 116, 26, 19, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111,
    82, 101, 112, 108, 121, 34, 36, 162, 212, 24, 5, 8, 200, 1, 16, 1, 162, 212, 24, 23, 42, 21, 8, 3, 16, 20, 24, 255,
    255, 255, 255, 15, 33, 154, 153, 153, 153, 153, 153, 249, 63, 40, 14, 18, 56, 10, 10, 83, 97, 121, 78, 111, 116,
    104, 105, 110, 103, 18, 21, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82, 101, 113, 117, 101,
    115, 116, 26, 19, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82, 101, 112, 108, 121, 18, 76,
    10, 6, 68, 101, 108, 101, 116, 101, 18, 21, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82,
    101, 113, 117, 101, 115, 116, 26, 19, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82, 101, 112,
    108, 121, 34, 22, 162, 212, 24, 2, 24, 1, 162, 212, 24, 2, 32, 1, 162, 212, 24, 6, 8, 255, 255, 255, 255, 15, 18,
    116, 10, 4, 80, 101, 101, 107, 18, 21, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82, 101,
    113, 117, 101, 115, 116, 26, 19, 46, 100, 101, 109, 111, 46, 118, 49, 46, 72, 101, 108, 108, 111, 82, 101, 112, 108,
    121, 34, 64, 144, 2, 1, 162, 212, 24, 2, 32, 0, 162, 212, 24, 4, 42, 2, 8, 100, 162, 212, 24, 4, 42, 2, 16, 1, 162,
    212, 24, 4, 42, 2, 24, 1, 162, 212, 24, 11, 42, 9, 33, 0, 0, 0, 0, 0, 0, 240, 63, 162, 212, 24, 4, 42, 2, 40, 10,
    162, 212, 24, 4, 42, 2, 40, 8, 98, 6, 112, 114, 111, 116, 111, 51,
};

const tether_file tether_file_greeter_2eproto = {
    .name = "greeter.proto",
    .descriptor = descriptor_of_greeter_2eproto,
    .size = sizeof descriptor_of_greeter_2eproto,
};
