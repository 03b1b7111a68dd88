/* Written by protoc-gen-tether. Do not edit.
 * Source: keywords.proto */
#include "keywords.tether.h"

/* ---- int.double.Static ---- */

const tether_method int_double_static_new_method = {
    .path = "/int.double.Static/New",
    .request = &int__double__void__descriptor,
    .reply = &int__double__register__descriptor,
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
