/* Written by protoc-gen-tether. Do not edit.
 * Source: shop/cart/v2/types.proto */
#ifndef TETHER_GENERATED_shop_2fcart_2fv2_2ftypes_2eproto
#define TETHER_GENERATED_shop_2fcart_2fv2_2ftypes_2eproto

#include <tether/rpc.h>

#include "shop/cart/v2/types.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_shop_2fcart_2fv2_2ftypes_2eproto;

#ifdef __cplusplus
}
#endif

#endif
