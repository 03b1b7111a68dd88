/* Written by protoc-gen-tether. Do not edit.
 * Source: no_service.proto */
#include "no_service.tether.h"
