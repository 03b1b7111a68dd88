/* rpc/unpack_size.h: what protobuf_c_message_unpack (1.4.1) allocates, in the units of the arena.
 *
 * For one message:
 *   - sizeof_message, and a bitmap of required fields if the type has more than 128 fields
 *   - temporary slabs, an entry per element on the wire: 16 on the stack, then 32, 64, ... on the heap. All of them
 *     are there before the first inner message is looked at, and are freed after the last
 *   - an array per repeated field, at its final size; for packed bools as many entries as there are bytes
 *   - an array of unknown fields, and a copy of each, length prefix included
 *   - a copy of every string and bytes value, also of those that a later one replaces
 * When a singular message occurs again, the two are merged: what is repeated in both is copied into a new array, also
 * in singular messages inside. */
#ifndef TETHER_RPC_UNPACK_SIZE_H
#define TETHER_RPC_UNPACK_SIZE_H

#include "rpc/arena.h"

/* A message without its fields. */
uint64_t tth_unpack_message_bytes(const ProtobufCMessageDescriptor *descriptor);

/* Slabs for that many elements. */
uint64_t tth_unpack_slabs_bytes(size_t members);

/* The array of that many unknown fields, without their values. */
uint64_t tth_unpack_unknown_bytes(size_t fields);

/* An entry of a repeated field's array. */
size_t tth_unpack_entry_bytes(ProtobufCType type);

/* The most that rounding up adds to an array. */
#define TTH_UNPACK_ROUNDING (TTH_ARENA_ALIGNMENT - 1)

#endif
