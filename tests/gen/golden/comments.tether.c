/* Written by protoc-gen-tether. Do not edit.
 * Source: comments.proto */
#include "comments.tether.h"

/* ---- demo.comments.Hostile ---- */

const tether_method demo_comments_hostile_closing_method = {
    .path = "/demo.comments.Hostile/Closing",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_closing(tether_client *client, const tether_ctx *ctx,
                                                  const Demo__Comments__Nothing *request,
                                                  const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_closing_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_closing_start(tether_client *client, const tether_ctx *ctx,
                                                        const Demo__Comments__Nothing *request,
                                                        const tether_call_options *options, tether_call_done_fn done,
                                                        void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_closing_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_closing_thunk(const tether_ctx *ctx, tether_call *call,
                                                       const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                       const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->closing == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_closing_method.path);
  }
  return table->closing(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_trigraph_method = {
    .path = "/demo.comments.Hostile/Trigraph",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_trigraph(tether_client *client, const tether_ctx *ctx,
                                                   const Demo__Comments__Nothing *request,
                                                   const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_trigraph_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_trigraph_start(tether_client *client, const tether_ctx *ctx,
                                                         const Demo__Comments__Nothing *request,
                                                         const tether_call_options *options, tether_call_done_fn done,
                                                         void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_trigraph_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_trigraph_thunk(const tether_ctx *ctx, tether_call *call,
                                                        const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                        const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->trigraph == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_trigraph_method.path);
  }
  return table->trigraph(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_direction_method = {
    .path = "/demo.comments.Hostile/Direction",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_direction(tether_client *client, const tether_ctx *ctx,
                                                    const Demo__Comments__Nothing *request,
                                                    const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_direction_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_direction_start(tether_client *client, const tether_ctx *ctx,
                                                          const Demo__Comments__Nothing *request,
                                                          const tether_call_options *options, tether_call_done_fn done,
                                                          void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_direction_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_direction_thunk(const tether_ctx *ctx, tether_call *call,
                                                         const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                         const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->direction == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_direction_method.path);
  }
  return table->direction(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_blank_method = {
    .path = "/demo.comments.Hostile/Blank",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_blank(tether_client *client, const tether_ctx *ctx,
                                                const Demo__Comments__Nothing *request,
                                                const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_blank_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_blank_start(tether_client *client, const tether_ctx *ctx,
                                                      const Demo__Comments__Nothing *request,
                                                      const tether_call_options *options, tether_call_done_fn done,
                                                      void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_blank_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code demo_comments_hostile_blank_thunk(const tether_ctx *ctx, tether_call *call,
                                                     const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                     const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->blank == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_blank_method.path);
  }
  return table->blank(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_percent_method = {
    .path = "/demo.comments.Hostile/Percent",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_percent(tether_client *client, const tether_ctx *ctx,
                                                  const Demo__Comments__Nothing *request,
                                                  const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_percent_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_percent_start(tether_client *client, const tether_ctx *ctx,
                                                        const Demo__Comments__Nothing *request,
                                                        const tether_call_options *options, tether_call_done_fn done,
                                                        void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_percent_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_percent_thunk(const tether_ctx *ctx, tether_call *call,
                                                       const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                       const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->percent == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_percent_method.path);
  }
  return table->percent(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_hollow_method = {
    .path = "/demo.comments.Hostile/Hollow",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_hollow(tether_client *client, const tether_ctx *ctx,
                                                 const Demo__Comments__Nothing *request,
                                                 const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_hollow_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_hollow_start(tether_client *client, const tether_ctx *ctx,
                                                       const Demo__Comments__Nothing *request,
                                                       const tether_call_options *options, tether_call_done_fn done,
                                                       void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_hollow_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_hollow_thunk(const tether_ctx *ctx, tether_call *call,
                                                      const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                      const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->hollow == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_hollow_method.path);
  }
  return table->hollow(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

const tether_method demo_comments_hostile_javadoc_method = {
    .path = "/demo.comments.Hostile/Javadoc",
    .request = &demo__comments__nothing__descriptor,
    .reply = &demo__comments__nothing__descriptor,
    .file = &tether_file_comments_2eproto,
};

tether_call *demo_comments_hostile_client_javadoc(tether_client *client, const tether_ctx *ctx,
                                                  const Demo__Comments__Nothing *request,
                                                  const tether_call_options *options) {
  return tether_call_unary(client, ctx, &demo_comments_hostile_javadoc_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *demo_comments_hostile_client_javadoc_start(tether_client *client, const tether_ctx *ctx,
                                                        const Demo__Comments__Nothing *request,
                                                        const tether_call_options *options, tether_call_done_fn done,
                                                        void *data) {
  return tether_call_start(client, ctx, &demo_comments_hostile_javadoc_method, (const ProtobufCMessage *)request,
                           options, done, data);
}

static tether_code demo_comments_hostile_javadoc_thunk(const tether_ctx *ctx, tether_call *call,
                                                       const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                       const void *service, void *data) {
  const demo_comments_hostile_service *table = service;
  if (table->javadoc == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            demo_comments_hostile_javadoc_method.path);
  }
  return table->javadoc(ctx, call, (const Demo__Comments__Nothing *)request, (Demo__Comments__Nothing *)reply, data);
}

static const tether_served_method demo_comments_hostile_methods[] = {
    {&demo_comments_hostile_closing_method, demo_comments_hostile_closing_thunk},
    {&demo_comments_hostile_trigraph_method, demo_comments_hostile_trigraph_thunk},
    {&demo_comments_hostile_direction_method, demo_comments_hostile_direction_thunk},
    {&demo_comments_hostile_blank_method, demo_comments_hostile_blank_thunk},
    {&demo_comments_hostile_percent_method, demo_comments_hostile_percent_thunk},
    {&demo_comments_hostile_hollow_method, demo_comments_hostile_hollow_thunk},
    {&demo_comments_hostile_javadoc_method, demo_comments_hostile_javadoc_thunk},
};

tether_code demo_comments_hostile_register(tether_server *server, const demo_comments_hostile_service *service,
                                           void *data) {
  return tether_server_add(server, demo_comments_hostile_methods, 7, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_comments_2eproto[] = {
    10, 14, 99, 111, 109, 109, 101, 110, 116, 115, 46, 112, 114, 111, 116, 111, 18, 13, 100, 101, 109, 111, 46, 99, 111,
    109, 109, 101, 110, 116, 115, 34, 9, 10, 7, 78, 111, 116, 104, 105, 110, 103, 50, 166, 3, 10, 7, 72, 111, 115, 116,
    105, 108, 101, 18, 57, 10, 7, 67, 108, 111, 115, 105, 110, 103, 18, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109,
    109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 26, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109,
    109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 18, 58, 10, 8, 84, 114, 105, 103, 114, 97, 112, 104,
    18, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103,
    26, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103,
    18, 59, 10, 9, 68, 105, 114, 101, 99, 116, 105, 111, 110, 18, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109,
    101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 26, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109,
    101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 18, 55, 10, 5, 66, 108, 97, 110, 107, 18, 22, 46, 100,
    101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 26, 22, 46, 100,
    101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 18, 57, 10, 7, 80,
    101, 114, 99, 101, 110, 116, 18, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111,
    116, 104, 105, 110, 103, 26, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111,
    116, 104, 105, 110, 103, 18, 56, 10, 6, 72, 111, 108, 108, 111, 119, 18, 22, 46, 100, 101, 109, 111, 46, 99, 111,
    109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 26, 22, 46, 100, 101, 109, 111, 46, 99, 111,
    109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103, 18, 57, 10, 7, 74, 97, 118, 97, 100, 111, 99,
    18, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103,
    26, 22, 46, 100, 101, 109, 111, 46, 99, 111, 109, 109, 101, 110, 116, 115, 46, 78, 111, 116, 104, 105, 110, 103,
    98, 6, 112, 114, 111, 116, 111, 51,
};

const tether_file tether_file_comments_2eproto = {
    .name = "comments.proto",
    .descriptor = descriptor_of_comments_2eproto,
    .size = sizeof descriptor_of_comments_2eproto,
};
