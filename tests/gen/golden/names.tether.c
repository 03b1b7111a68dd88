/* Written by protoc-gen-tether. Do not edit.
 * Source: names.proto */
#include "names.tether.h"

/* ---- acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service ---- */

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/GetHTTPFeature",
    .request = &acme__shop_v2__api_v1__httpstuff__httprequest__info__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__httprequest__info__inner_msg__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_get_http_feature(tether_client *client,
                                                                                         const tether_ctx *ctx,
                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *request,
                                                                                         const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_get_http_feature_start(tether_client *client,
                                                                                               const tether_ctx *ctx,
                                                                                               const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *request,
                                                                                               const tether_call_options *options,
                                                                                               tether_call_done_fn done,
                                                                                               void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_thunk(const tether_ctx *ctx,
                                                                                              tether_call *call,
                                                                                              const ProtobufCMessage *request,
                                                                                              ProtobufCMessage *reply,
                                                                                              const void *service,
                                                                                              void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->get_http_feature == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method.path);
  }
  return table->get_http_feature(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *)request,
                                 (Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg *)reply, data);
}

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/HTTP2Ping",
    .request = &acme__shop_v2__api_v1__httpstuff__httprequest__info__inner_msg__deepest_one__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__httprequest__info__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_http2_ping(tether_client *client,
                                                                                   const tether_ctx *ctx,
                                                                                   const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *request,
                                                                                   const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_http2_ping_start(tether_client *client,
                                                                                         const tether_ctx *ctx,
                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *request,
                                                                                         const tether_call_options *options,
                                                                                         tether_call_done_fn done,
                                                                                         void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_thunk(const tether_ctx *ctx,
                                                                                        tether_call *call,
                                                                                        const ProtobufCMessage *request,
                                                                                        ProtobufCMessage *reply,
                                                                                        const void *service,
                                                                                        void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->http2_ping == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method.path);
  }
  return table->http2_ping(ctx, call,
                           (const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *)request,
                           (Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *)reply, data);
}

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/sha256Sum",
    .request = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_sha256_sum(tether_client *client,
                                                                                   const tether_ctx *ctx,
                                                                                   const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                   const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_sha256_sum_start(tether_client *client,
                                                                                         const tether_ctx *ctx,
                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                         const tether_call_options *options,
                                                                                         tether_call_done_fn done,
                                                                                         void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_thunk(const tether_ctx *ctx,
                                                                                        tether_call *call,
                                                                                        const ProtobufCMessage *request,
                                                                                        ProtobufCMessage *reply,
                                                                                        const void *service,
                                                                                        void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->sha256_sum == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method.path);
  }
  return table->sha256_sum(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)request,
                           (Acme__ShopV2__ApiV1__HTTPStuff__Lower *)reply, data);
}

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/A_B",
    .request = &acme__shop_v2__api_v1__httpstuff____private__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__x9y8_z__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_a_b(tether_client *client,
                                                                            const tether_ctx *ctx,
                                                                            const Acme__ShopV2__ApiV1__HTTPStuff__Private *request,
                                                                            const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_a_b_start(tether_client *client,
                                                                                  const tether_ctx *ctx,
                                                                                  const Acme__ShopV2__ApiV1__HTTPStuff__Private *request,
                                                                                  const tether_call_options *options,
                                                                                  tether_call_done_fn done,
                                                                                  void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_thunk(const tether_ctx *ctx,
                                                                                 tether_call *call,
                                                                                 const ProtobufCMessage *request,
                                                                                 ProtobufCMessage *reply,
                                                                                 const void *service, void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->a_b == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method.path);
  }
  return table->a_b(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__Private *)request,
                    (Acme__ShopV2__ApiV1__HTTPStuff__X9y8Z *)reply, data);
}

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/_leading__twice_",
    .request = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_leading_twice(tether_client *client,
                                                                                      const tether_ctx *ctx,
                                                                                      const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                      const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_leading_twice_start(tether_client *client,
                                                                                            const tether_ctx *ctx,
                                                                                            const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                            const tether_call_options *options,
                                                                                            tether_call_done_fn done,
                                                                                            void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_thunk(const tether_ctx *ctx,
                                                                                           tether_call *call,
                                                                                           const ProtobufCMessage *request,
                                                                                           ProtobufCMessage *reply,
                                                                                           const void *service,
                                                                                           void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->leading_twice == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method.path);
  }
  return table->leading_twice(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)request,
                              (Acme__ShopV2__ApiV1__HTTPStuff__Lower *)reply, data);
}

const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/X",
    .request = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_x(tether_client *client, const tether_ctx *ctx,
                                                                          const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                          const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_x_start(tether_client *client,
                                                                                const tether_ctx *ctx,
                                                                                const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                const tether_call_options *options,
                                                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_x_thunk(const tether_ctx *ctx, tether_call *call,
                                                                               const ProtobufCMessage *request,
                                                                               ProtobufCMessage *reply,
                                                                               const void *service, void *data) {
  const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *table = service;
  if (table->x == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method.path);
  }
  return table->x(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)request,
                  (Acme__ShopV2__ApiV1__HTTPStuff__Lower *)reply, data);
}

static const tether_served_method acme_shop_v2_api_v1_http_stuff_http_feature_service_methods[] = {
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_thunk},
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_thunk},
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_thunk},
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_thunk},
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_thunk},
    {&acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method, acme_shop_v2_api_v1_http_stuff_http_feature_service_x_thunk},
};

tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_register(tether_server *server,
                                                                         const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *service,
                                                                         void *data) {
  return tether_server_add(server, acme_shop_v2_api_v1_http_stuff_http_feature_service_methods, 6, service, data);
}

/* ---- acme.shopV2.api_v1.HTTPStuff.lowercase ---- */

const tether_method acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method = {
    .path = "/acme.shopV2.api_v1.HTTPStuff.lowercase/ALLCAPS",
    .request = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .reply = &acme__shop_v2__api_v1__httpstuff__lower__descriptor,
    .file = &tether_file_names_2eproto,
};

tether_call *acme_shop_v2_api_v1_http_stuff_lowercase_client_allcaps(tether_client *client, const tether_ctx *ctx,
                                                                     const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                     const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method,
                           (const ProtobufCMessage *)request, options);
}

tether_call *acme_shop_v2_api_v1_http_stuff_lowercase_client_allcaps_start(tether_client *client, const tether_ctx *ctx,
                                                                           const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                           const tether_call_options *options,
                                                                           tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method,
                           (const ProtobufCMessage *)request, options, done, data);
}

static tether_code acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_thunk(const tether_ctx *ctx, tether_call *call,
                                                                          const ProtobufCMessage *request,
                                                                          ProtobufCMessage *reply, const void *service,
                                                                          void *data) {
  const acme_shop_v2_api_v1_http_stuff_lowercase_service *table = service;
  if (table->allcaps == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method.path);
  }
  return table->allcaps(ctx, call, (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)request,
                        (Acme__ShopV2__ApiV1__HTTPStuff__Lower *)reply, data);
}

static const tether_served_method acme_shop_v2_api_v1_http_stuff_lowercase_methods[] = {
    {&acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method, acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_thunk},
};

tether_code acme_shop_v2_api_v1_http_stuff_lowercase_register(tether_server *server,
                                                              const acme_shop_v2_api_v1_http_stuff_lowercase_service *service,
                                                              void *data) {
  return tether_server_add(server, acme_shop_v2_api_v1_http_stuff_lowercase_methods, 1, service, data);
}

/* ---- acme.shopV2.api_v1.HTTPStuff.Empty ---- */

tether_code acme_shop_v2_api_v1_http_stuff_empty_register(tether_server *server,
                                                          const acme_shop_v2_api_v1_http_stuff_empty_service *service,
                                                          void *data) {
  return tether_server_add(server, NULL, 0, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_names_2eproto[] = {
    10, 11, 110, 97, 109, 101, 115, 46, 112, 114, 111, 116, 111, 18, 28, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86,
    50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 34, 45, 10, 16, 72, 84, 84, 80, 82,
    101, 113, 117, 101, 115, 116, 95, 73, 110, 102, 111, 26, 25, 10, 8, 73, 110, 110, 101, 114, 77, 115, 103, 26, 13,
    10, 11, 100, 101, 101, 112, 101, 115, 116, 95, 111, 110, 101, 34, 7, 10, 5, 108, 111, 119, 101, 114, 34, 10, 10,
    8, 95, 80, 114, 105, 118, 97, 116, 101, 34, 7, 10, 5, 88, 57, 121, 56, 90, 50, 235, 4, 10, 19, 72, 84, 84, 80, 70,
    101, 97, 116, 117, 114, 101, 95, 83, 101, 114, 118, 105, 99, 101, 18, 121, 10, 14, 71, 101, 116, 72, 84, 84, 80,
    70, 101, 97, 116, 117, 114, 101, 18, 46, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105,
    95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 72, 84, 84, 80, 82, 101, 113, 117, 101, 115, 116, 95,
    73, 110, 102, 111, 26, 55, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46,
    72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 72, 84, 84, 80, 82, 101, 113, 117, 101, 115, 116, 95, 73, 110, 102, 111,
    46, 73, 110, 110, 101, 114, 77, 115, 103, 18, 128, 1, 10, 9, 72, 84, 84, 80, 50, 80, 105, 110, 103, 18, 67, 46, 97,
    99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102,
    102, 46, 72, 84, 84, 80, 82, 101, 113, 117, 101, 115, 116, 95, 73, 110, 102, 111, 46, 73, 110, 110, 101, 114, 77,
    115, 103, 46, 100, 101, 101, 112, 101, 115, 116, 95, 111, 110, 101, 26, 46, 46, 97, 99, 109, 101, 46, 115, 104, 111,
    112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 72, 84, 84, 80, 82, 101,
    113, 117, 101, 115, 116, 95, 73, 110, 102, 111, 18, 85, 10, 9, 115, 104, 97, 50, 53, 54, 83, 117, 109, 18, 35, 46,
    97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117,
    102, 102, 46, 108, 111, 119, 101, 114, 26, 35, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112,
    105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 108, 111, 119, 101, 114, 18, 82, 10, 3, 65, 95,
    66, 18, 38, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84,
    80, 83, 116, 117, 102, 102, 46, 95, 80, 114, 105, 118, 97, 116, 101, 26, 35, 46, 97, 99, 109, 101, 46, 115, 104,
    111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 88, 57, 121, 56,
    90, 18, 92, 10, 16, 95, 108, 101, 97, 100, 105, 110, 103, 95, 95, 116, 119, 105, 99, 101, 95, 18, 35, 46, 97, 99,
    109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102,
    46, 108, 111, 119, 101, 114, 26, 35, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95,
    118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 108, 111, 119, 101, 114, 18, 77, 10, 1, 88, 18, 35, 46,
    97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117,
    102, 102, 46, 108, 111, 119, 101, 114, 26, 35, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112,
    105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 108, 111, 119, 101, 114, 50, 96, 10, 9, 108, 111,
    119, 101, 114, 99, 97, 115, 101, 18, 83, 10, 7, 65, 76, 76, 67, 65, 80, 83, 18, 35, 46, 97, 99, 109, 101, 46, 115,
    104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84, 84, 80, 83, 116, 117, 102, 102, 46, 108, 111, 119,
    101, 114, 26, 35, 46, 97, 99, 109, 101, 46, 115, 104, 111, 112, 86, 50, 46, 97, 112, 105, 95, 118, 49, 46, 72, 84,
    84, 80, 83, 116, 117, 102, 102, 46, 108, 111, 119, 101, 114, 50, 7, 10, 5, 69, 109, 112, 116, 121, 98, 6, 112, 114,
    111, 116, 111, 51,
};

const tether_file tether_file_names_2eproto = {
    .name = "names.proto",
    .descriptor = descriptor_of_names_2eproto,
    .size = sizeof descriptor_of_names_2eproto,
};
