/* Written by protoc-gen-tether. Do not edit.
 * Source: shop/cart/v2/types.proto */
#include "shop/cart/v2/types.tether.h"
