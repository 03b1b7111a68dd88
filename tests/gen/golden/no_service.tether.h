/* Written by protoc-gen-tether. Do not edit.
 * Source: no_service.proto */
#ifndef TETHER_GENERATED_no_5fservice_2eproto
#define TETHER_GENERATED_no_5fservice_2eproto

#include <tether/rpc.h>

#include "no_service.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_no_5fservice_2eproto;

#ifdef __cplusplus
}
#endif

#endif
