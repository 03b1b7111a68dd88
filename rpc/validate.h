/* rpc/validate.h: what a peer's bytes must be before protobuf-c may unpack them.
 *
 * protobuf-c has no limit on nesting, memory or work: a few KiB can overflow its stack, memory grows to over a
 * hundred times the bytes, repeated singular messages cost quadratic time. The validator reads the bytes once with
 * the message's descriptor, allocates nothing, and refuses what would do harm.
 *
 * Refused as TETHER_INTERNAL:
 *   - truncated or overlong varints, tags and lengths, values that run over the end of their message
 *   - field number 0, groups, and the two wire types that do not exist
 *   - a known field with a wire type that is not its own (a repeated number may be packed or not)
 *   - a string that is not UTF-8 (as gRPC's other implementations do) or holds a NUL (which protobuf-c, whose strings
 *     end at the first NUL, would silently cut short)
 *   - a required field without default that is missing
 *   - messages nested more than TTH_VALIDATE_DEPTH deep, the limit of the official implementations
 *   - more than TTH_VALIDATE_MERGES occurrences of singular message fields beyond their first
 * Refused as TETHER_RESOURCE_EXHAUSTED:
 *   - more than max_unpacked_bytes of memory needed by protobuf_c_message_unpack
 * Accepted: unknown fields, padded varints of legal length, fields in any order, and a repeated singular scalar, of
 * which the last counts. */
#ifndef TETHER_RPC_VALIDATE_H
#define TETHER_RPC_VALIDATE_H

#include <protobuf-c/protobuf-c.h>
#include <tether/base.h>

#define TTH_VALIDATE_DEPTH 100 /* messages inside the outermost one */
#define TTH_VALIDATE_MERGES 16 /* in the whole message */

/* What a validation cost, for tests. */
typedef struct tth_validate_cost {
  size_t unpacked_bytes; /* upper bound of what unpacking takes from an arena, temporaries included */
  size_t steps;          /* bytes examined, elements, descriptor entries visited: proportional to the time spent */
} tth_validate_cost;

/* Checks `len` bytes as a message of type `descriptor`. `why` (on failure) is one line for people, naming the place,
 * cut to `why_size`. `unpacked_bytes` is the upper bound of the memory tth_unpack will take from its arena.
 * Takes time proportional to len plus, for each message inside, the number of fields of its type. */
TETHER_MUST_USE tether_code tth_validate(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                                         size_t max_unpacked_bytes, char *why, size_t why_size, size_t *unpacked_bytes);

/* The same; `cost` is written in any case, with what had been counted so far. */
TETHER_MUST_USE tether_code tth_validate_counted(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                                                 size_t len, size_t max_unpacked_bytes, char *why, size_t why_size,
                                                 tth_validate_cost *cost);

#endif
