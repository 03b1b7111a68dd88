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
