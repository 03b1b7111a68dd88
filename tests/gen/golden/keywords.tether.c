/* Written by protoc-gen-tether. Do not edit.
 * Source: keywords.proto */
#include "keywords.tether.h"

/* ---- int.double.Static ---- */

const tether_method int_double_static_new_method = {
    .path = "/int.double.Static/New",
    .request = &int__double__void__descriptor,
    .reply = &int__double__register__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_new(tether_client *client, const tether_ctx *ctx,
                                          const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_new_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_new_start(tether_client *client, const tether_ctx *ctx,
                                                const Int__Double__Void *request, const tether_call_options *options,
                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_new_method, (const ProtobufCMessage *)request, options, done,
                           data);
}

static tether_code int_double_static_new_thunk(const tether_ctx *ctx, tether_call *call,
                                               const ProtobufCMessage *request, ProtobufCMessage *reply,
                                               const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->new == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_new_method.path);
  }
  return table->new(ctx, call, (const Int__Double__Void *)request, (Int__Double__Register *)reply, data);
}

const tether_method int_double_static_class_method = {
    .path = "/int.double.Static/class",
    .request = &int__double__register__union__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_class(tether_client *client, const tether_ctx *ctx,
                                            const Int__Double__Register__Union *request,
                                            const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_class_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_class_start(tether_client *client, const tether_ctx *ctx,
                                                  const Int__Double__Register__Union *request,
                                                  const tether_call_options *options, tether_call_done_fn done,
                                                  void *data) {
  return tether_call_start(client, ctx, &int_double_static_class_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_class_thunk(const tether_ctx *ctx, tether_call *call,
                                                 const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                 const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->class == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_class_method.path);
  }
  return table->class(ctx, call, (const Int__Double__Register__Union *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_client_method = {
    .path = "/int.double.Static/CLIENT",
    .request = &int__double__void__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_client(tether_client *client, const tether_ctx *ctx,
                                             const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_client_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_client_start(tether_client *client, const tether_ctx *ctx,
                                                   const Int__Double__Void *request, const tether_call_options *options,
                                                   tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_client_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_client_thunk(const tether_ctx *ctx, tether_call *call,
                                                  const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                  const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->client == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_client_method.path);
  }
  return table->client(ctx, call, (const Int__Double__Void *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_service_method = {
    .path = "/int.double.Static/Service",
    .request = &int__double__void__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_service(tether_client *client, const tether_ctx *ctx,
                                              const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_service_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_service_start(tether_client *client, const tether_ctx *ctx,
                                                    const Int__Double__Void *request,
                                                    const tether_call_options *options, tether_call_done_fn done,
                                                    void *data) {
  return tether_call_start(client, ctx, &int_double_static_service_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_service_thunk(const tether_ctx *ctx, tether_call *call,
                                                   const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                   const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->service == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_service_method.path);
  }
  return table->service(ctx, call, (const Int__Double__Void *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_data_method = {
    .path = "/int.double.Static/data",
    .request = &int__double__void__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_data(tether_client *client, const tether_ctx *ctx,
                                           const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_data_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_data_start(tether_client *client, const tether_ctx *ctx,
                                                 const Int__Double__Void *request, const tether_call_options *options,
                                                 tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_data_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_data_thunk(const tether_ctx *ctx, tether_call *call,
                                                const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->data == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_data_method.path);
  }
  return table->data(ctx, call, (const Int__Double__Void *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_default_method = {
    .path = "/int.double.Static/Default_",
    .request = &int__double__void__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_default(tether_client *client, const tether_ctx *ctx,
                                              const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_default_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_default_start(tether_client *client, const tether_ctx *ctx,
                                                    const Int__Double__Void *request,
                                                    const tether_call_options *options, tether_call_done_fn done,
                                                    void *data) {
  return tether_call_start(client, ctx, &int_double_static_default_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_default_thunk(const tether_ctx *ctx, tether_call *call,
                                                   const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                   const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->default_ == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_default_method.path);
  }
  return table->default_(ctx, call, (const Int__Double__Void *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_int_method = {
    .path = "/int.double.Static/_int",
    .request = &int__double__void__descriptor,
    .reply = &int__double__void__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_int(tether_client *client, const tether_ctx *ctx,
                                          const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_int_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_int_start(tether_client *client, const tether_ctx *ctx,
                                                const Int__Double__Void *request, const tether_call_options *options,
                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_int_method, (const ProtobufCMessage *)request, options, done,
                           data);
}

static tether_code int_double_static_int_thunk(const tether_ctx *ctx, tether_call *call,
                                               const ProtobufCMessage *request, ProtobufCMessage *reply,
                                               const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->int_ == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_int_method.path);
  }
  return table->int_(ctx, call, (const Int__Double__Void *)request, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_table_method = {
    .path = "/int.double.Static/Table",
    .request = &int__double__void__descriptor,
    .reply = &shop__cart__v2__line__price__descriptor,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_table(tether_client *client, const tether_ctx *ctx,
                                            const Int__Double__Void *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &int_double_static_table_method, (const ProtobufCMessage *)request, options);
}

tether_call *int_double_static_client_table_start(tether_client *client, const tether_ctx *ctx,
                                                  const Int__Double__Void *request, const tether_call_options *options,
                                                  tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_table_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code int_double_static_table_thunk(const tether_ctx *ctx, tether_call *call,
                                                 const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                 const void *service, void *data) {
  const int_double_static_service *table = service;
  if (table->table == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_table_method.path);
  }
  return table->table(ctx, call, (const Int__Double__Void *)request, (Shop__Cart__V2__Line__Price *)reply, data);
}

const tether_method int_double_static_try_method = {
    .path = "/int.double.Static/Try",
    .request = &int__double__void__descriptor,
    .reply = &int__double__register__descriptor,
    .flags = TETHER_METHOD_SERVER_STREAMING,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_try_start(tether_client *client, const tether_ctx *ctx,
                                                const Int__Double__Void *request, const tether_call_options *options,
                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &int_double_static_try_method, (const ProtobufCMessage *)request, options, done,
                           data);
}

static tether_code int_double_static_try_thunk(const tether_ctx *ctx, tether_call *call,
                                               const ProtobufCMessage *request, ProtobufCMessage *reply,
                                               const void *service, void *data) {
  (void)reply; /* NULL: the server streams */
  const int_double_static_service *table = service;
  if (table->try == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_try_method.path);
  }
  return table->try(ctx, call, (const Int__Double__Void *)request, data);
}

const tether_method int_double_static_template_method = {
    .path = "/int.double.Static/Template",
    .request = &int__double__register__union__descriptor,
    .reply = &int__double__void__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_template_start(tether_client *client, const tether_ctx *ctx,
                                                     const tether_call_options *options, tether_call_done_fn done,
                                                     void *data) {
  return tether_call_start(client, ctx, &int_double_static_template_method, NULL, options, done, data);
}

static tether_code int_double_static_template_thunk(const tether_ctx *ctx, tether_call *call,
                                                    const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                    const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  const int_double_static_service *table = service;
  if (table->template == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_template_method.path);
  }
  return table->template(ctx, call, (Int__Double__Void *)reply, data);
}

const tether_method int_double_static_this_method = {
    .path = "/int.double.Static/This",
    .request = &int__double__void__descriptor,
    .reply = &int__double__register__descriptor,
    .flags = TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING,
    .file = &tether_file_keywords_2eproto,
};

tether_call *int_double_static_client_this_start(tether_client *client, const tether_ctx *ctx,
                                                 const tether_call_options *options, tether_call_done_fn done,
                                                 void *data) {
  return tether_call_start(client, ctx, &int_double_static_this_method, NULL, options, done, data);
}

static tether_code int_double_static_this_thunk(const tether_ctx *ctx, tether_call *call,
                                                const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                const void *service, void *data) {
  (void)request; /* NULL: the client streams */
  (void)reply; /* NULL: the server streams */
  const int_double_static_service *table = service;
  if (table->this == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            int_double_static_this_method.path);
  }
  return table->this(ctx, call, data);
}

static const tether_served_method int_double_static_methods[] = {
    {&int_double_static_new_method, int_double_static_new_thunk},
    {&int_double_static_class_method, int_double_static_class_thunk},
    {&int_double_static_client_method, int_double_static_client_thunk},
    {&int_double_static_service_method, int_double_static_service_thunk},
    {&int_double_static_data_method, int_double_static_data_thunk},
    {&int_double_static_default_method, int_double_static_default_thunk},
    {&int_double_static_int_method, int_double_static_int_thunk},
    {&int_double_static_table_method, int_double_static_table_thunk},
    {&int_double_static_try_method, int_double_static_try_thunk},
    {&int_double_static_template_method, int_double_static_template_thunk},
    {&int_double_static_this_method, int_double_static_this_thunk},
};

tether_code int_double_static_register(tether_server *server, const int_double_static_service *service, void *data) {
  return tether_server_add(server, int_double_static_methods, 11, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_keywords_2eproto[] = {
    10, 14, 107, 101, 121, 119, 111, 114, 100, 115, 46, 112, 114, 111, 116, 111, 18, 10, 105, 110, 116, 46, 100, 111,
    117, 98, 108, 101, 26, 24, 115, 104, 111, 112, 47, 99, 97, 114, 116, 47, 118, 50, 47, 116, 121, 112, 101, 115, 46,
    112, 114, 111, 116, 111, 34, 6, 10, 4, 118, 111, 105, 100, 34, 19, 10, 8, 114, 101, 103, 105, 115, 116, 101, 114,
    26, 7, 10, 5, 117, 110, 105, 111, 110, 50, 169, 4, 10, 6, 83, 116, 97, 116, 105, 99, 18, 45, 10, 3, 78, 101, 119,
    18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 20, 46, 105, 110, 116, 46,
    100, 111, 117, 98, 108, 101, 46, 114, 101, 103, 105, 115, 116, 101, 114, 18, 53, 10, 5, 99, 108, 97, 115, 115, 18,
    26, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 114, 101, 103, 105, 115, 116, 101, 114, 46, 117, 110,
    105, 111, 110, 26, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 18, 44, 10, 6,
    67, 76, 73, 69, 78, 84, 18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 16,
    46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 18, 45, 10, 7, 83, 101, 114, 118, 105,
    99, 101, 18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 16, 46, 105, 110,
    116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 18, 42, 10, 4, 100, 97, 116, 97, 18, 16, 46, 105, 110,
    116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108,
    101, 46, 118, 111, 105, 100, 18, 46, 10, 8, 68, 101, 102, 97, 117, 108, 116, 95, 18, 16, 46, 105, 110, 116, 46, 100,
    111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118,
    111, 105, 100, 18, 42, 10, 4, 95, 105, 110, 116, 18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46,
    118, 111, 105, 100, 26, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 18, 51, 10,
    5, 84, 97, 98, 108, 101, 18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26,
    24, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 46, 80, 114, 105, 99, 101,
    18, 47, 10, 3, 84, 114, 121, 18, 16, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 118, 111, 105, 100,
    26, 20, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 114, 101, 103, 105, 115, 116, 101, 114, 48, 1, 18,
    58, 10, 8, 84, 101, 109, 112, 108, 97, 116, 101, 18, 26, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46,
    114, 101, 103, 105, 115, 116, 101, 114, 46, 117, 110, 105, 111, 110, 26, 16, 46, 105, 110, 116, 46, 100, 111, 117,
    98, 108, 101, 46, 118, 111, 105, 100, 40, 1, 18, 50, 10, 4, 84, 104, 105, 115, 18, 16, 46, 105, 110, 116, 46, 100,
    111, 117, 98, 108, 101, 46, 118, 111, 105, 100, 26, 20, 46, 105, 110, 116, 46, 100, 111, 117, 98, 108, 101, 46, 114,
    101, 103, 105, 115, 116, 101, 114, 40, 1, 48, 1, 98, 6, 112, 114, 111, 116, 111, 51,
};

static const uint8_t descriptor_of_shop_2fcart_2fv2_2ftypes_2eproto[] = {
    10, 24, 115, 104, 111, 112, 47, 99, 97, 114, 116, 47, 118, 50, 47, 116, 121, 112, 101, 115, 46, 112, 114, 111, 116,
    111, 18, 12, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 34, 178, 2, 10, 4, 76, 105, 110, 101, 18, 18,
    10, 4, 110, 97, 109, 101, 24, 1, 32, 1, 40, 9, 82, 4, 110, 97, 109, 101, 18, 46, 10, 5, 112, 114, 105, 99, 101, 24,
    2, 32, 1, 40, 11, 50, 24, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 46, 80,
    114, 105, 99, 101, 82, 5, 112, 114, 105, 99, 101, 18, 54, 10, 6, 108, 97, 98, 101, 108, 115, 24, 3, 32, 3, 40, 11,
    50, 30, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 46, 76, 97, 98, 101, 108,
    115, 69, 110, 116, 114, 121, 82, 6, 108, 97, 98, 101, 108, 115, 18, 20, 10, 4, 103, 105, 102, 116, 24, 4, 32, 1,
    40, 8, 72, 0, 82, 4, 103, 105, 102, 116, 18, 54, 10, 8, 100, 105, 115, 99, 111, 117, 110, 116, 24, 5, 32, 1, 40,
    11, 50, 24, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 46, 80, 114, 105, 99,
    101, 72, 0, 82, 8, 100, 105, 115, 99, 111, 117, 110, 116, 26, 29, 10, 5, 80, 114, 105, 99, 101, 18, 20, 10, 5, 99,
    101, 110, 116, 115, 24, 1, 32, 1, 40, 3, 82, 5, 99, 101, 110, 116, 115, 26, 57, 10, 11, 76, 97, 98, 101, 108, 115,
    69, 110, 116, 114, 121, 18, 16, 10, 3, 107, 101, 121, 24, 1, 32, 1, 40, 9, 82, 3, 107, 101, 121, 18, 20, 10, 5, 118,
    97, 108, 117, 101, 24, 2, 32, 1, 40, 9, 82, 5, 118, 97, 108, 117, 101, 58, 2, 56, 1, 66, 6, 10, 4, 107, 105, 110,
    100, 98, 6, 112, 114, 111, 116, 111, 51,
};

static const tether_file imported_shop_2fcart_2fv2_2ftypes_2eproto = {
    .name = "shop/cart/v2/types.proto",
    .descriptor = descriptor_of_shop_2fcart_2fv2_2ftypes_2eproto,
    .size = sizeof descriptor_of_shop_2fcart_2fv2_2ftypes_2eproto,
};

static const tether_file *const imports_of_keywords_2eproto[] = {
    &imported_shop_2fcart_2fv2_2ftypes_2eproto,
    NULL,
};

const tether_file tether_file_keywords_2eproto = {
    .name = "keywords.proto",
    .descriptor = descriptor_of_keywords_2eproto,
    .size = sizeof descriptor_of_keywords_2eproto,
    .imports = imports_of_keywords_2eproto,
};
