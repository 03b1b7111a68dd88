/* tests/rpc/unpack_check.h: what must hold for any bytes, compared with protobuf-c on its own. */
#ifndef TETHER_TESTS_RPC_UNPACK_CHECK_H
#define TETHER_TESTS_RPC_UNPACK_CHECK_H

#include <protobuf-c/protobuf-c.h>
#include <tether/base.h>

typedef struct unpack_outcome {
  tether_code code;      /* of tth_unpack */
  size_t unpacked_bytes; /* the validator's bound, if it accepted the bytes */
  size_t steps;
  char why[200];
} unpack_outcome;

/* Validates and unpacks, and checks that
 *   - what the validator accepts fits into exactly the memory it computed,
 *   - tth_unpack accepts nothing that protobuf-c refuses, and refuses what protobuf-c accepts only for a reason that
 *     is ours,
 *   - the message is the one protobuf-c makes with malloc,
 *   - validation took time proportional to the bytes.
 * Returns NULL, or what does not hold. `bytes` go to protobuf-c unchecked, so `len` must be harmless (8 KiB is). */
const char *unpack_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                         unpack_outcome *outcome);

/* The least arena that tth_unpack gets by with, at most `enough`. */
size_t unpack_smallest_arena(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                             size_t enough);

#endif
