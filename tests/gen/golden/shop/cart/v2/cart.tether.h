/* Written by protoc-gen-tether. Do not edit.
 * Source: shop/cart/v2/cart.proto */
#ifndef TETHER_GENERATED_shop_2fcart_2fv2_2fcart_2eproto
#define TETHER_GENERATED_shop_2fcart_2fv2_2fcart_2eproto

#include <tether/rpc.h>

#include "shop/cart/v2/cart.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_shop_2fcart_2fv2_2fcart_2eproto;

/* ---- shop.cart.v2.Cart ---- */

/* A file in folders, whose methods take types of other files. */

extern const tether_method shop_cart_v2_cart_add_method;

TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_add(tether_client *client, const tether_ctx *ctx,
                                                          const Shop__Cart__V2__Line *request,
                                                          const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_add_start(tether_client *client, const tether_ctx *ctx,
                                                                const Shop__Cart__V2__Line *request,
                                                                const tether_call_options *options,
                                                                tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Shop__Cart__V2__Line__Price *shop_cart_v2_cart_add_reply(const tether_call *call) {
  return (const Shop__Cart__V2__Line__Price *)tether_call_reply(call);
}

extern const tether_method shop_cart_v2_cart_clear_method;

TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_clear(tether_client *client, const tether_ctx *ctx,
                                                            const Google__Protobuf__Empty *request,
                                                            const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_clear_start(tether_client *client, const tether_ctx *ctx,
                                                                  const Google__Protobuf__Empty *request,
                                                                  const tether_call_options *options,
                                                                  tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Google__Protobuf__Empty *shop_cart_v2_cart_clear_reply(const tether_call *call) {
  return (const Google__Protobuf__Empty *)tether_call_reply(call);
}

extern const tether_method shop_cart_v2_cart_rename_method;

TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_rename(tether_client *client, const tether_ctx *ctx,
                                                             const Acme__Tools__Request__Inner *request,
                                                             const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *shop_cart_v2_cart_client_rename_start(tether_client *client, const tether_ctx *ctx,
                                                                   const Acme__Tools__Request__Inner *request,
                                                                   const tether_call_options *options,
                                                                   tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__Tools__Reply *shop_cart_v2_cart_rename_reply(const tether_call *call) {
  return (const Acme__Tools__Reply *)tether_call_reply(call);
}

/* The handlers of shop.cart.v2.Cart.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * shop_cart_v2_cart_register. */
typedef struct shop_cart_v2_cart_service {
  tether_code (*add)(const tether_ctx *ctx, tether_call *call, const Shop__Cart__V2__Line *request,
                     Shop__Cart__V2__Line__Price *reply, void *data);
  tether_code (*clear)(const tether_ctx *ctx, tether_call *call, const Google__Protobuf__Empty *request,
                       Google__Protobuf__Empty *reply, void *data);
  tether_code (*rename)(const tether_ctx *ctx, tether_call *call, const Acme__Tools__Request__Inner *request,
                        Acme__Tools__Reply *reply, void *data);
} shop_cart_v2_cart_service;

/* Serves shop.cart.v2.Cart with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code shop_cart_v2_cart_register(tether_server *server, const shop_cart_v2_cart_service *service,
                                                       void *data);

/* ---- shop.cart.v2.Checkout ---- */

/* A second service in one file, with a method of the same name. */

extern const tether_method shop_cart_v2_checkout_add_method;

TETHER_MUST_USE tether_call *shop_cart_v2_checkout_client_add(tether_client *client, const tether_ctx *ctx,
                                                              const Shop__Cart__V2__Cart2 *request,
                                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *shop_cart_v2_checkout_client_add_start(tether_client *client, const tether_ctx *ctx,
                                                                    const Shop__Cart__V2__Cart2 *request,
                                                                    const tether_call_options *options,
                                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Shop__Cart__V2__Cart2 *shop_cart_v2_checkout_add_reply(const tether_call *call) {
  return (const Shop__Cart__V2__Cart2 *)tether_call_reply(call);
}

/* The handlers of shop.cart.v2.Checkout.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * shop_cart_v2_checkout_register. */
typedef struct shop_cart_v2_checkout_service {
  tether_code (*add)(const tether_ctx *ctx, tether_call *call, const Shop__Cart__V2__Cart2 *request,
                     Shop__Cart__V2__Cart2 *reply, void *data);
} shop_cart_v2_checkout_service;

/* Serves shop.cart.v2.Checkout with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code shop_cart_v2_checkout_register(tether_server *server,
                                                           const shop_cart_v2_checkout_service *service, void *data);

#ifdef __cplusplus
}
#endif

#endif
