/* Written by protoc-gen-tether. Do not edit.
 * Source: no_service.proto */
#include "no_service.tether.h"

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_no_5fservice_2eproto[] = {
    10, 16, 110, 111, 95, 115, 101, 114, 118, 105, 99, 101, 46, 112, 114, 111, 116, 111, 18, 7, 100, 101, 109, 111, 46,
    118, 49, 34, 31, 10, 5, 65, 108, 111, 110, 101, 18, 22, 10, 6, 110, 117, 109, 98, 101, 114, 24, 1, 32, 1, 40, 5,
    82, 6, 110, 117, 109, 98, 101, 114, 98, 6, 112, 114, 111, 116, 111, 51,
};

const tether_file tether_file_no_5fservice_2eproto = {
    .name = "no_service.proto",
    .descriptor = descriptor_of_no_5fservice_2eproto,
    .size = sizeof descriptor_of_no_5fservice_2eproto,
};
