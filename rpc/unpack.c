/* Bytes from a peer become a message.
 *
 * The validator bounds depth, work and memory before protobuf-c, which bounds none of them, sees the bytes. While
 * protobuf-c works, the arena's cap is lowered to what this message may take; that is the second line of
 * defence, should a version of protobuf-c need more than the validator computed.
 *
 * protobuf-c says no more than NULL when it fails. After validation that means memory, which the arena remembers
 * having refused, or that it cannot merge: two occurrences of a singular message that has a oneof set in neither. */
#include "rpc/unpack.h"

#include <stdio.h>

#include "rpc/validate.h"

tether_code tth_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                       size_t max_unpacked_bytes, tth_arena *arena, char *why, size_t why_size,
                       ProtobufCMessage **message) {
  size_t unpacked_bytes = 0;
  tether_code code = tth_validate(descriptor, bytes, len, max_unpacked_bytes, why, why_size, &unpacked_bytes);
  if (code != TETHER_OK) return code;

  size_t cap_bytes = arena->cap_bytes;
  if (arena->used_bytes <= cap_bytes && max_unpacked_bytes < cap_bytes - arena->used_bytes)
    arena->cap_bytes = arena->used_bytes + max_unpacked_bytes;
  arena->refused = false;
  ProtobufCAllocator allocator = tth_arena_allocator(arena);
  ProtobufCMessage *unpacked = protobuf_c_message_unpack(descriptor, &allocator, len, bytes);
  arena->cap_bytes = cap_bytes;
  if (unpacked) {
    *message = unpacked;
    return TETHER_OK;
  }
  if (arena->refused) {
    snprintf(why, why_size, "no memory to unpack a message of %zu bytes, which takes up to %zu", len, unpacked_bytes);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  snprintf(why, why_size, "protobuf-c cannot represent the message (%zu bytes)", len);
  return TETHER_INTERNAL;
}
