/* Written by protoc-gen-tether. Do not edit.
 * Source: shop/cart/v2/cart.proto */
#include "shop/cart/v2/cart.tether.h"

/* ---- shop.cart.v2.Cart ---- */

const tether_method shop_cart_v2_cart_add_method = {
    .path = "/shop.cart.v2.Cart/Add",
    .request = &shop__cart__v2__line__descriptor,
    .reply = &shop__cart__v2__line__price__descriptor,
    .file = &tether_file_shop_2fcart_2fv2_2fcart_2eproto,
};

tether_call *shop_cart_v2_cart_client_add(tether_client *client, const tether_ctx *ctx,
                                          const Shop__Cart__V2__Line *request, const tether_call_options *options) {
  return tether_call_unary(client, ctx, &shop_cart_v2_cart_add_method, (const ProtobufCMessage *)request, options);
}

tether_call *shop_cart_v2_cart_client_add_start(tether_client *client, const tether_ctx *ctx,
                                                const Shop__Cart__V2__Line *request, const tether_call_options *options,
                                                tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &shop_cart_v2_cart_add_method, (const ProtobufCMessage *)request, options, done,
                           data);
}

static tether_code shop_cart_v2_cart_add_thunk(const tether_ctx *ctx, tether_call *call,
                                               const ProtobufCMessage *request, ProtobufCMessage *reply,
                                               const void *service, void *data) {
  const shop_cart_v2_cart_service *table = service;
  if (table->add == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            shop_cart_v2_cart_add_method.path);
  }
  return table->add(ctx, call, (const Shop__Cart__V2__Line *)request, (Shop__Cart__V2__Line__Price *)reply, data);
}

const tether_method shop_cart_v2_cart_clear_method = {
    .path = "/shop.cart.v2.Cart/Clear",
    .request = &google__protobuf__empty__descriptor,
    .reply = &google__protobuf__empty__descriptor,
    .flags = TETHER_METHOD_IDEMPOTENT | TETHER_METHOD_INLINE,
    .file = &tether_file_shop_2fcart_2fv2_2fcart_2eproto,
};

tether_call *shop_cart_v2_cart_client_clear(tether_client *client, const tether_ctx *ctx,
                                            const Google__Protobuf__Empty *request,
                                            const tether_call_options *options) {
  return tether_call_unary(client, ctx, &shop_cart_v2_cart_clear_method, (const ProtobufCMessage *)request, options);
}

tether_call *shop_cart_v2_cart_client_clear_start(tether_client *client, const tether_ctx *ctx,
                                                  const Google__Protobuf__Empty *request,
                                                  const tether_call_options *options, tether_call_done_fn done,
                                                  void *data) {
  return tether_call_start(client, ctx, &shop_cart_v2_cart_clear_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code shop_cart_v2_cart_clear_thunk(const tether_ctx *ctx, tether_call *call,
                                                 const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                 const void *service, void *data) {
  const shop_cart_v2_cart_service *table = service;
  if (table->clear == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            shop_cart_v2_cart_clear_method.path);
  }
  return table->clear(ctx, call, (const Google__Protobuf__Empty *)request, (Google__Protobuf__Empty *)reply, data);
}

const tether_method shop_cart_v2_cart_rename_method = {
    .path = "/shop.cart.v2.Cart/Rename",
    .request = &acme__tools__request__inner__descriptor,
    .reply = &acme__tools__reply__descriptor,
    .file = &tether_file_shop_2fcart_2fv2_2fcart_2eproto,
};

tether_call *shop_cart_v2_cart_client_rename(tether_client *client, const tether_ctx *ctx,
                                             const Acme__Tools__Request__Inner *request,
                                             const tether_call_options *options) {
  return tether_call_unary(client, ctx, &shop_cart_v2_cart_rename_method, (const ProtobufCMessage *)request, options);
}

tether_call *shop_cart_v2_cart_client_rename_start(tether_client *client, const tether_ctx *ctx,
                                                   const Acme__Tools__Request__Inner *request,
                                                   const tether_call_options *options, tether_call_done_fn done,
                                                   void *data) {
  return tether_call_start(client, ctx, &shop_cart_v2_cart_rename_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code shop_cart_v2_cart_rename_thunk(const tether_ctx *ctx, tether_call *call,
                                                  const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                  const void *service, void *data) {
  const shop_cart_v2_cart_service *table = service;
  if (table->rename == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            shop_cart_v2_cart_rename_method.path);
  }
  return table->rename(ctx, call, (const Acme__Tools__Request__Inner *)request, (Acme__Tools__Reply *)reply, data);
}

static const tether_served_method shop_cart_v2_cart_methods[] = {
    {&shop_cart_v2_cart_add_method, shop_cart_v2_cart_add_thunk},
    {&shop_cart_v2_cart_clear_method, shop_cart_v2_cart_clear_thunk},
    {&shop_cart_v2_cart_rename_method, shop_cart_v2_cart_rename_thunk},
};

tether_code shop_cart_v2_cart_register(tether_server *server, const shop_cart_v2_cart_service *service, void *data) {
  return tether_server_add(server, shop_cart_v2_cart_methods, 3, service, data);
}

/* ---- shop.cart.v2.Checkout ---- */

const tether_method shop_cart_v2_checkout_add_method = {
    .path = "/shop.cart.v2.Checkout/Add",
    .request = &shop__cart__v2__cart2__descriptor,
    .reply = &shop__cart__v2__cart2__descriptor,
    .file = &tether_file_shop_2fcart_2fv2_2fcart_2eproto,
};

tether_call *shop_cart_v2_checkout_client_add(tether_client *client, const tether_ctx *ctx,
                                              const Shop__Cart__V2__Cart2 *request,
                                              const tether_call_options *options) {
  return tether_call_unary(client, ctx, &shop_cart_v2_checkout_add_method, (const ProtobufCMessage *)request, options);
}

tether_call *shop_cart_v2_checkout_client_add_start(tether_client *client, const tether_ctx *ctx,
                                                    const Shop__Cart__V2__Cart2 *request,
                                                    const tether_call_options *options, tether_call_done_fn done,
                                                    void *data) {
  return tether_call_start(client, ctx, &shop_cart_v2_checkout_add_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code shop_cart_v2_checkout_add_thunk(const tether_ctx *ctx, tether_call *call,
                                                   const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                   const void *service, void *data) {
  const shop_cart_v2_checkout_service *table = service;
  if (table->add == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            shop_cart_v2_checkout_add_method.path);
  }
  return table->add(ctx, call, (const Shop__Cart__V2__Cart2 *)request, (Shop__Cart__V2__Cart2 *)reply, data);
}

static const tether_served_method shop_cart_v2_checkout_methods[] = {
    {&shop_cart_v2_checkout_add_method, shop_cart_v2_checkout_add_thunk},
};

tether_code shop_cart_v2_checkout_register(tether_server *server, const shop_cart_v2_checkout_service *service,
                                           void *data) {
  return tether_server_add(server, shop_cart_v2_checkout_methods, 1, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_shop_2fcart_2fv2_2fcart_2eproto[] = {
    10, 23, 115, 104, 111, 112, 47, 99, 97, 114, 116, 47, 118, 50, 47, 99, 97, 114, 116, 46, 112, 114, 111, 116, 111,
    18, 12, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 26, 24, 115, 104, 111, 112, 47, 99, 97, 114, 116,
    47, 118, 50, 47, 116, 121, 112, 101, 115, 46, 112, 114, 111, 116, 111, 26, 13, 114, 101, 110, 97, 109, 101, 100,
    46, 112, 114, 111, 116, 111, 26, 27, 103, 111, 111, 103, 108, 101, 47, 112, 114, 111, 116, 111, 98, 117, 102, 47,
    101, 109, 112, 116, 121, 46, 112, 114, 111, 116, 111, 26, 20, 116, 101, 116, 104, 101, 114, 47, 111, 112, 116, 105,
    111, 110, 115, 46, 112, 114, 111, 116, 111, 34, 49, 10, 5, 67, 97, 114, 116, 50, 18, 40, 10, 5, 108, 105, 110, 101,
    115, 24, 1, 32, 3, 40, 11, 50, 18, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101,
    82, 5, 108, 105, 110, 101, 115, 50, 210, 1, 10, 4, 67, 97, 114, 116, 18, 51, 10, 3, 65, 100, 100, 18, 18, 46, 115,
    104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 26, 24, 46, 115, 104, 111, 112, 46, 99,
    97, 114, 116, 46, 118, 50, 46, 76, 105, 110, 101, 46, 80, 114, 105, 99, 101, 18, 69, 10, 5, 67, 108, 101, 97, 114,
    18, 22, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117, 102, 46, 69, 109, 112, 116, 121,
    26, 22, 46, 103, 111, 111, 103, 108, 101, 46, 112, 114, 111, 116, 111, 98, 117, 102, 46, 69, 109, 112, 116, 121,
    34, 12, 162, 212, 24, 2, 16, 1, 162, 212, 24, 2, 24, 1, 18, 78, 10, 6, 82, 101, 110, 97, 109, 101, 18, 37, 46, 97,
    99, 109, 101, 46, 105, 110, 116, 101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 113,
    117, 101, 115, 116, 46, 73, 110, 110, 101, 114, 26, 29, 46, 97, 99, 109, 101, 46, 105, 110, 116, 101, 114, 110, 97,
    108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 112, 108, 121, 50, 59, 10, 8, 67, 104, 101, 99, 107,
    111, 117, 116, 18, 47, 10, 3, 65, 100, 100, 18, 19, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46,
    67, 97, 114, 116, 50, 26, 19, 46, 115, 104, 111, 112, 46, 99, 97, 114, 116, 46, 118, 50, 46, 67, 97, 114, 116, 50,
    80, 0, 98, 6, 112, 114, 111, 116, 111, 51,
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

static const uint8_t descriptor_of_renamed_2eproto[] = {
    10, 13, 114, 101, 110, 97, 109, 101, 100, 46, 112, 114, 111, 116, 111, 18, 22, 97, 99, 109, 101, 46, 105, 110, 116,
    101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 26, 27, 112, 114, 111, 116, 111, 98, 117, 102,
    45, 99, 47, 112, 114, 111, 116, 111, 98, 117, 102, 45, 99, 46, 112, 114, 111, 116, 111, 26, 16, 110, 111, 95, 112,
    97, 99, 107, 97, 103, 101, 46, 112, 114, 111, 116, 111, 34, 56, 10, 7, 82, 101, 113, 117, 101, 115, 116, 18, 18,
    10, 4, 98, 97, 115, 101, 24, 1, 32, 1, 40, 9, 82, 4, 98, 97, 115, 101, 26, 7, 10, 5, 73, 110, 110, 101, 114, 58,
    16, 218, 63, 8, 26, 6, 104, 101, 97, 100, 101, 114, 218, 63, 2, 16, 0, 34, 27, 10, 5, 82, 101, 112, 108, 121, 18,
    18, 10, 4, 116, 101, 120, 116, 24, 1, 32, 1, 40, 9, 82, 4, 116, 101, 120, 116, 50, 148, 1, 10, 7, 82, 101, 110, 97,
    109, 101, 114, 18, 78, 10, 6, 82, 101, 110, 97, 109, 101, 18, 37, 46, 97, 99, 109, 101, 46, 105, 110, 116, 101, 114,
    110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 113, 117, 101, 115, 116, 46, 73, 110, 110, 101,
    114, 26, 29, 46, 97, 99, 109, 101, 46, 105, 110, 116, 101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118,
    49, 46, 82, 101, 112, 108, 121, 18, 57, 10, 8, 70, 97, 108, 108, 98, 97, 99, 107, 18, 31, 46, 97, 99, 109, 101, 46,
    105, 110, 116, 101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 113, 117, 101, 115,
    116, 26, 12, 46, 69, 99, 104, 111, 77, 101, 115, 115, 97, 103, 101, 66, 22, 72, 2, 218, 63, 12, 50, 10, 97, 99, 109,
    101, 46, 84, 111, 111, 108, 115, 218, 63, 2, 32, 1, 98, 6, 112, 114, 111, 116, 111, 51,
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

static const uint8_t descriptor_of_no_5fpackage_2eproto[] = {
    10, 16, 110, 111, 95, 112, 97, 99, 107, 97, 103, 101, 46, 112, 114, 111, 116, 111, 34, 40, 10, 11, 69, 99, 104, 111,
    77, 101, 115, 115, 97, 103, 101, 18, 18, 10, 4, 116, 101, 120, 116, 24, 1, 32, 2, 40, 9, 82, 4, 116, 101, 120, 116,
    42, 5, 8, 100, 16, 200, 1, 50, 42, 10, 4, 69, 99, 104, 111, 18, 34, 10, 4, 69, 99, 104, 111, 18, 12, 46, 69, 99,
    104, 111, 77, 101, 115, 115, 97, 103, 101, 26, 12, 46, 69, 99, 104, 111, 77, 101, 115, 115, 97, 103, 101,
};

static const tether_file imported_shop_2fcart_2fv2_2ftypes_2eproto = {
    .name = "shop/cart/v2/types.proto",
    .descriptor = descriptor_of_shop_2fcart_2fv2_2ftypes_2eproto,
    .size = sizeof descriptor_of_shop_2fcart_2fv2_2ftypes_2eproto,
};

static const tether_file imported_renamed_2eproto = {
    .name = "renamed.proto",
    .descriptor = descriptor_of_renamed_2eproto,
    .size = sizeof descriptor_of_renamed_2eproto,
};

static const tether_file imported_google_2fprotobuf_2fempty_2eproto = {
    .name = "google/protobuf/empty.proto",
    .descriptor = descriptor_of_google_2fprotobuf_2fempty_2eproto,
    .size = sizeof descriptor_of_google_2fprotobuf_2fempty_2eproto,
};

static const tether_file imported_no_5fpackage_2eproto = {
    .name = "no_package.proto",
    .descriptor = descriptor_of_no_5fpackage_2eproto,
    .size = sizeof descriptor_of_no_5fpackage_2eproto,
};

static const tether_file *const imports_of_shop_2fcart_2fv2_2fcart_2eproto[] = {
    &imported_shop_2fcart_2fv2_2ftypes_2eproto,
    &imported_renamed_2eproto,
    &imported_google_2fprotobuf_2fempty_2eproto,
    &imported_no_5fpackage_2eproto,
    NULL,
};

const tether_file tether_file_shop_2fcart_2fv2_2fcart_2eproto = {
    .name = "shop/cart/v2/cart.proto",
    .descriptor = descriptor_of_shop_2fcart_2fv2_2fcart_2eproto,
    .size = sizeof descriptor_of_shop_2fcart_2fv2_2fcart_2eproto,
    .imports = imports_of_shop_2fcart_2fv2_2fcart_2eproto,
};
