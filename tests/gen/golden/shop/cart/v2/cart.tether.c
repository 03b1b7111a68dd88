/* Written by protoc-gen-tether. Do not edit.
 * Source: shop/cart/v2/cart.proto */
#include "shop/cart/v2/cart.tether.h"

/* ---- shop.cart.v2.Cart ---- */

const tether_method shop_cart_v2_cart_add_method = {
    .path = "/shop.cart.v2.Cart/Add",
    .request = &shop__cart__v2__line__descriptor,
    .reply = &shop__cart__v2__line__price__descriptor,
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
