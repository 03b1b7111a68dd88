/* Written by protoc-gen-tether. Do not edit.
 * Source: streaming.proto */
#include "streaming.tether.h"

/* ---- demo.streaming.Counter ---- */

const tether_method demo_streaming_counter_twice_method = {
    .path = "/demo.streaming.Counter/Twice",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__number__descriptor,
};

tether_call *demo_streaming_counter_client_twice(tether_client *client, const tether_ctx *ctx,
                                                 const Demo__Streaming__Number *request,
                                                 const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_streaming_counter_twice_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_streaming_counter_client_twice_start(tether_client *client, const tether_ctx *ctx,
                                                       const Demo__Streaming__Number *request,
                                                       const tether_call_options *options, tether_call_done_fn done,
                                                       void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_twice_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_streaming_counter_twice_thunk(const tether_ctx *ctx, tether_call *call,
                                                      const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                      const void *service, void *data) {
  const demo_streaming_counter_service *table = service;
  if (table->twice == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_twice_method.path);
  }
  return table->twice(ctx, call, (const Demo__Streaming__Number *)request, (Demo__Streaming__Number *)reply, data);
}

const tether_method demo_streaming_counter_count_method = {
    .path = "/demo.streaming.Counter/Count",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__number__descriptor,
    .default_timeout_ns = INT64_C(30000) * TETHER_MS,
    .flags = TETHER_METHOD_IDEMPOTENT | TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_counter_client_count_start(tether_client *client, const tether_ctx *ctx,
                                                       const Demo__Streaming__Number *request,
                                                       const tether_call_options *options, tether_call_done_fn done,
                                                       void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_count_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_streaming_counter_count_thunk(const tether_ctx *ctx, tether_call *call,
                                                      const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                      const void *service, void *data) {
  (void)reply; /* NULL: the server streams */
  const demo_streaming_counter_service *table = service;
  if (table->count == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_count_method.path);
  }
  return table->count(ctx, call, (const Demo__Streaming__Number *)request, data);
}

const tether_method demo_streaming_counter_sum_method = {
    .path = "/demo.streaming.Counter/Sum",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_DEADLINE_REQUIRED | TETHER_METHOD_CLIENT_STREAMING,
};

tether_call *demo_streaming_counter_client_sum_start(tether_client *client, const tether_ctx *ctx,
                                                     const tether_call_options *options, tether_call_done_fn done,
                                                     void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_sum_method, NULL, options, done, data);
}

static tether_code demo_streaming_counter_sum_thunk(const tether_ctx *ctx, tether_call *call,
                                                    const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                    const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  const demo_streaming_counter_service *table = service;
  if (table->sum == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_sum_method.path);
  }
  return table->sum(ctx, call, (Demo__Streaming__Total *)reply, data);
}

const tether_method demo_streaming_counter_running_sum_method = {
    .path = "/demo.streaming.Counter/RunningSum",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_counter_client_running_sum_start(tether_client *client, const tether_ctx *ctx,
                                                             const tether_call_options *options,
                                                             tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_running_sum_method, NULL, options, done, data);
}

static tether_code demo_streaming_counter_running_sum_thunk(const tether_ctx *ctx, tether_call *call,
                                                            const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                            const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  (void)reply; /* NULL: the server streams */
  const demo_streaming_counter_service *table = service;
  if (table->running_sum == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_running_sum_method.path);
  }
  return table->running_sum(ctx, call, data);
}

const tether_method demo_streaming_counter_inline_sum_method = {
    .path = "/demo.streaming.Counter/InlineSum",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_INLINE | TETHER_METHOD_DEADLINE_REQUIRED | TETHER_METHOD_CLIENT_STREAMING |
             TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_counter_client_inline_sum_start(tether_client *client, const tether_ctx *ctx,
                                                            const tether_call_options *options,
                                                            tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_inline_sum_method, NULL, options, done, data);
}

static tether_code demo_streaming_counter_inline_sum_thunk(const tether_ctx *ctx, tether_call *call,
                                                           const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                           const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  (void)reply; /* NULL: the server streams */
  const demo_streaming_counter_service *table = service;
  if (table->inline_sum == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_inline_sum_method.path);
  }
  return table->inline_sum(ctx, call, data);
}

const tether_method demo_streaming_counter_unserved_method = {
    .path = "/demo.streaming.Counter/Unserved",
    .request = &demo__streaming__number__descriptor,
    .reply = &google__protobuf__empty__descriptor,
    .flags = TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_counter_client_unserved_start(tether_client *client, const tether_ctx *ctx,
                                                          const Demo__Streaming__Number *request,
                                                          const tether_call_options *options, tether_call_done_fn done,
                                                          void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_unserved_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_streaming_counter_unserved_thunk(const tether_ctx *ctx, tether_call *call,
                                                         const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                         const void *service, void *data) {
  (void)reply; /* NULL: the server streams */
  const demo_streaming_counter_service *table = service;
  if (table->unserved == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_unserved_method.path);
  }
  return table->unserved(ctx, call, (const Demo__Streaming__Number *)request, data);
}

const tether_method demo_streaming_counter_unserved_start_method = {
    .path = "/demo.streaming.Counter/UnservedStart",
    .request = &demo__streaming__number__descriptor,
    .reply = &google__protobuf__empty__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING,
};

tether_call *demo_streaming_counter_client_unserved_start_start(tether_client *client, const tether_ctx *ctx,
                                                                const tether_call_options *options,
                                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_unserved_start_method, NULL, options, done, data);
}

static tether_code demo_streaming_counter_unserved_start_thunk(const tether_ctx *ctx, tether_call *call,
                                                               const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                               const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  const demo_streaming_counter_service *table = service;
  if (table->unserved_start == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_unserved_start_method.path);
  }
  return table->unserved_start(ctx, call, (Google__Protobuf__Empty *)reply, data);
}

const tether_method demo_streaming_counter_unserved_send_request_method = {
    .path = "/demo.streaming.Counter/UnservedSendRequest",
    .request = &demo__streaming__number__descriptor,
    .reply = &google__protobuf__empty__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_counter_client_unserved_send_request_start(tether_client *client, const tether_ctx *ctx,
                                                                       const tether_call_options *options,
                                                                       tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &demo_streaming_counter_unserved_send_request_method, NULL, options, done,
                           data);
}

static tether_code demo_streaming_counter_unserved_send_request_thunk(const tether_ctx *ctx, tether_call *call,
                                                                      const ProtobufCMessage *request,
                                                                      ProtobufCMessage *reply, const void *service,
                                                                      void *data) {
  (void)request; /* NULL: the client streams */
  (void)reply; /* NULL: the server streams */
  const demo_streaming_counter_service *table = service;
  if (table->unserved_send_request == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_counter_unserved_send_request_method.path);
  }
  return table->unserved_send_request(ctx, call, data);
}

static const tether_served_method demo_streaming_counter_methods[] = {
    {&demo_streaming_counter_twice_method, demo_streaming_counter_twice_thunk},
    {&demo_streaming_counter_count_method, demo_streaming_counter_count_thunk},
    {&demo_streaming_counter_sum_method, demo_streaming_counter_sum_thunk},
    {&demo_streaming_counter_running_sum_method, demo_streaming_counter_running_sum_thunk},
    {&demo_streaming_counter_inline_sum_method, demo_streaming_counter_inline_sum_thunk},
    {&demo_streaming_counter_unserved_method, demo_streaming_counter_unserved_thunk},
    {&demo_streaming_counter_unserved_start_method, demo_streaming_counter_unserved_start_thunk},
    {&demo_streaming_counter_unserved_send_request_method, demo_streaming_counter_unserved_send_request_thunk},
};

tether_code demo_streaming_counter_register(tether_server *server, const demo_streaming_counter_service *service,
                                            void *data) {
  return tether_server_add(server, demo_streaming_counter_methods, 8, service, data);
}

/* ---- demo.streaming.Register ---- */

const tether_method demo_streaming_register_default_method = {
    .path = "/demo.streaming.Register/Default_",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_register_client_default_start(tether_client *client, const tether_ctx *ctx,
                                                          const Demo__Streaming__Number *request,
                                                          const tether_call_options *options, tether_call_done_fn done,
                                                          void *data) {
  return tether_call_start(client, ctx, &demo_streaming_register_default_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_streaming_register_default_thunk(const tether_ctx *ctx, tether_call *call,
                                                         const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                         const void *service, void *data) {
  (void)reply; /* NULL: the server streams */
  const demo_streaming_register_service *table = service;
  if (table->default_ == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_register_default_method.path);
  }
  return table->default_(ctx, call, (const Demo__Streaming__Number *)request, data);
}

const tether_method demo_streaming_register_int_method = {
    .path = "/demo.streaming.Register/_int",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING,
};

tether_call *demo_streaming_register_client_int_start(tether_client *client, const tether_ctx *ctx,
                                                      const tether_call_options *options, tether_call_done_fn done,
                                                      void *data) {
  return tether_call_start(client, ctx, &demo_streaming_register_int_method, NULL, options, done, data);
}

static tether_code demo_streaming_register_int_thunk(const tether_ctx *ctx, tether_call *call,
                                                     const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                     const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  const demo_streaming_register_service *table = service;
  if (table->int_ == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_register_int_method.path);
  }
  return table->int_(ctx, call, (Demo__Streaming__Total *)reply, data);
}

const tether_method demo_streaming_register_return_method = {
    .path = "/demo.streaming.Register/RETURN_",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__total__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING,
};

tether_call *demo_streaming_register_client_return_start(tether_client *client, const tether_ctx *ctx,
                                                         const tether_call_options *options, tether_call_done_fn done,
                                                         void *data) {
  return tether_call_start(client, ctx, &demo_streaming_register_return_method, NULL, options, done, data);
}

static tether_code demo_streaming_register_return_thunk(const tether_ctx *ctx, tether_call *call,
                                                        const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                        const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  (void)reply; /* NULL: the server streams */
  const demo_streaming_register_service *table = service;
  if (table->return_ == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_streaming_register_return_method.path);
  }
  return table->return_(ctx, call, data);
}

static const tether_served_method demo_streaming_register_methods[] = {
    {&demo_streaming_register_default_method, demo_streaming_register_default_thunk},
    {&demo_streaming_register_int_method, demo_streaming_register_int_thunk},
    {&demo_streaming_register_return_method, demo_streaming_register_return_thunk},
};

tether_code demo_streaming_register_register(tether_server *server, const demo_streaming_register_service *service,
                                             void *data) {
  return tether_server_add(server, demo_streaming_register_methods, 3, service, data);
}
