/* Written by protoc-gen-tether. Do not edit.
 * Source: no_service.proto */
#ifndef TETHER_GENERATED_no_5fservice_2eproto
#define TETHER_GENERATED_no_5fservice_2eproto

#include <tether/rpc.h>

#include "no_service.pb-c.h"

#endif
