/* rpc/unpack.h: bytes from a peer become a message. */
#ifndef TETHER_RPC_UNPACK_H
#define TETHER_RPC_UNPACK_H

#include "rpc/arena.h"

/* Validates `bytes` (rpc/validate.h) and unpacks them into `arena`, of which they take at most
 * `max_unpacked_bytes`. The message is the arena's: not to be given to protobuf_c_message_free_unpacked.
 *
 * TETHER_INTERNAL: not a message of this type, or one protobuf-c cannot represent.
 * TETHER_RESOURCE_EXHAUSTED: would need more memory than allowed, than the arena's cap leaves, or than there is.
 * On failure `why` is one line for people, cut to `why_size`; what the arena gave out stays in it until its end.
 * Needs about 128 KiB of stack for the deepest message. */
TETHER_MUST_USE tether_code tth_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                                       size_t max_unpacked_bytes, tth_arena *arena, char *why, size_t why_size,
                                       ProtobufCMessage **message);

#endif
