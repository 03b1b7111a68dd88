/* Written by protoc-gen-tether. Do not edit.
 * Source: streaming.proto */
#include "streaming.tether.h"

/* ---- demo.streaming.Counter ---- */

const tether_method demo_streaming_counter_twice_method = {
    .path = "/demo.streaming.Counter/Twice",
    .request = &demo__streaming__number__descriptor,
    .reply = &demo__streaming__number__descriptor,
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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
    .file = &tether_file_streaming_2eproto,
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

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_streaming_2eproto[] = {
    10, 15, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 112, 114, 111, 116, 111, 18, 14, 100, 101, 109, 111, 46,
    115, 116, 114, 101, 97, 109, 105, 110, 103, 26, 27, 103, 111, 111, 103, 108, 101, 47, 112, 114, 111, 116, 111, 98,
    117, 102, 47, 101, 109, 112, 116, 121, 46, 112, 114, 111, 116, 111, 26, 20, 116, 101, 116, 104, 101, 114, 47, 111,
    112, 116, 105, 111, 110, 115, 46, 112, 114, 111, 116, 111, 34, 30, 10, 6, 78, 117, 109, 98, 101, 114, 18, 20, 10,
    5, 118, 97, 108, 117, 101, 24, 1, 32, 1, 40, 3, 82, 5, 118, 97, 108, 117, 101, 34, 47, 10, 5, 84, 111, 116, 97, 108,
    18, 16, 10, 3, 115, 117, 109, 24, 1, 32, 1, 40, 3, 82, 3, 115, 117, 109, 18, 20, 10, 5, 99, 111, 117, 110, 116, 24,
    2, 32, 1, 40, 5, 82, 5, 99, 111, 117, 110, 116, 50, 160, 4, 10, 7, 67, 111, 117, 110, 116, 101, 114, 18, 55, 10,
    5, 84, 119, 105, 99, 101, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78,
    117, 109, 98, 101, 114, 26, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117,
    109, 98, 101, 114, 18, 69, 10, 5, 67, 111, 117, 110, 116, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101,
    97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 26, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97,
    109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 34, 10, 162, 212, 24, 6, 8, 176, 234, 1, 16, 1, 48, 1, 18, 62,
    10, 3, 83, 117, 109, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117,
    109, 98, 101, 114, 26, 21, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 84, 111, 116,
    97, 108, 34, 6, 162, 212, 24, 2, 32, 1, 40, 1, 18, 63, 10, 10, 82, 117, 110, 110, 105, 110, 103, 83, 117, 109, 18,
    22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 26, 21,
    46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 84, 111, 116, 97, 108, 40, 1, 48, 1,
    18, 72, 10, 9, 73, 110, 108, 105, 110, 101, 83, 117, 109, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101,
    97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 26, 21, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97,
    109, 105, 110, 103, 46, 84, 111, 116, 97, 108, 34, 8, 162, 212, 24, 4, 24, 1, 32, 1, 40, 1, 48, 1, 18, 60, 10, 8,
    85, 110, 115, 101, 114, 118, 101, 100, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110,
    103, 46, 78, 117, 109, 98, 101, 114, 26, 22, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117,
    102, 46, 69, 109, 112, 116, 121, 48, 1, 18, 65, 10, 13, 85, 110, 115, 101, 114, 118, 101, 100, 83, 116, 97, 114,
    116, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114,
    26, 22, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117, 102, 46, 69, 109, 112, 116, 121,
    40, 1, 18, 73, 10, 19, 85, 110, 115, 101, 114, 118, 101, 100, 83, 101, 110, 100, 82, 101, 113, 117, 101, 115, 116,
    18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 26,
    22, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117, 102, 46, 69, 109, 112, 116, 121, 40,
    1, 48, 1, 50, 190, 1, 10, 8, 82, 101, 103, 105, 115, 116, 101, 114, 18, 59, 10, 8, 68, 101, 102, 97, 117, 108, 116,
    95, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114,
    26, 21, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46, 84, 111, 116, 97, 108, 48, 1,
    18, 55, 10, 4, 95, 105, 110, 116, 18, 22, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103,
    46, 78, 117, 109, 98, 101, 114, 26, 21, 46, 100, 101, 109, 111, 46, 115, 116, 114, 101, 97, 109, 105, 110, 103, 46,
    84, 111, 116, 97, 108, 40, 1, 18, 60, 10, 7, 82, 69, 84, 85, 82, 78, 95, 18, 22, 46, 100, 101, 109, 111, 46, 115,
    116, 114, 101, 97, 109, 105, 110, 103, 46, 78, 117, 109, 98, 101, 114, 26, 21, 46, 100, 101, 109, 111, 46, 115, 116,
    114, 101, 97, 109, 105, 110, 103, 46, 84, 111, 116, 97, 108, 40, 1, 48, 1, 98, 6, 112, 114, 111, 116, 111, 51,
};

static const uint8_t descriptor_of_google_2fprotobuf_2fempty_2eproto[] = {
    10, 27, 103, 111, 111, 103, 108, 101, 47, 112, 114, 111, 116, 111, 98, 117, 102, 47, 101, 109, 112, 116, 121, 46,
    112, 114, 111, 116, 111, 18, 15, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117, 102, 34, 7,
    10, 5, 69, 109, 112, 116, 121, 66, 125, 10, 19, 99, 111, 109, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111,
    116, 111, 98, 117, 102, 66, 10, 69, 109, 112, 116, 121, 80, 114, 111, 116, 111, 80, 1, 90, 46, 103, 111, 111, 103,
    108, 101, 46, 103, 111, 108, 97, 110, 103, 46, 111, 114, 103, 47, 112, 114, 111, 116, 111, 98, 117, 102, 47, 116,
    121, 112, 101, 115, 47, 107, 110, 111, 119, 110, 47, 101, 109, 112, 116, 121, 112, 98, 248, 1, 1, 162, 2, 3, 71,
    80, 66, 170, 2, 30, 71, 111, 111, 103, 108, 101, 46, 80, 114, 111, 116, 111, 98, 117, 102, 46, 87, 101, 108, 108,
    75, 110, 111, 119, 110, 84, 121, 112, 101, 115, 98, 6, 112, 114, 111, 116, 111, 51,
};

static const tether_file imported_google_2fprotobuf_2fempty_2eproto = {
    .name = "google/protobuf/empty.proto",
    .descriptor = descriptor_of_google_2fprotobuf_2fempty_2eproto,
    .size = sizeof descriptor_of_google_2fprotobuf_2fempty_2eproto,
};

static const tether_file *const imports_of_streaming_2eproto[] = {
    &imported_google_2fprotobuf_2fempty_2eproto,
    NULL,
};

const tether_file tether_file_streaming_2eproto = {
    .name = "streaming.proto",
    .descriptor = descriptor_of_streaming_2eproto,
    .size = sizeof descriptor_of_streaming_2eproto,
    .imports = imports_of_streaming_2eproto,
};
