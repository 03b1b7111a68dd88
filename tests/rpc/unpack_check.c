#include "tests/rpc/unpack_check.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/unpack.h"
#include "rpc/validate.h"

/* Reasons for which we refuse what protobuf-c accepts. */
static bool reason_is_ours(const char *why) {
  static const char *const ours[] = {
      "invalid UTF-8 in a string",
      "NUL in a string",
      "nested too deep",
      "singular message repeated too often",
      "wrong wire type",   /* of a bool, which protobuf-c does not check */
      "bad varint",        /* more than 64 bits in ten bytes */
      "bad packed varint", /* likewise */
      "bad tag",           /* more than 32 bits in five bytes */
      "field number 0",    /* padded */
  };
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (strncmp(why, ours[i], strlen(ours[i])) == 0) return true;
  return false;
}

static bool same(const ProtobufCMessage *a, const ProtobufCMessage *b) {
  size_t len = protobuf_c_message_get_packed_size(a);
  if (protobuf_c_message_get_packed_size(b) != len) return false;
  uint8_t *packed = malloc(2 * len + 1);
  if (!packed) abort();
  bool equal = protobuf_c_message_pack(a, packed) == len && protobuf_c_message_pack(b, packed + len) == len &&
               memcmp(packed, packed + len, len) == 0;
  free(packed);
  return equal;
}

/* Unpacks into an arena of exactly the memory computed, and compares with protobuf-c's own message (or NULL). */
static const char *compare(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                           const ProtobufCMessage *own, unpack_outcome *outcome) {
  char first[256];
  tth_arena arena;
  ProtobufCMessage *message = NULL;
  const char *problem = NULL;
  tth_arena_init(&arena, first, sizeof first, outcome->unpacked_bytes);
  outcome->code =
      tth_unpack(descriptor, bytes, len, outcome->unpacked_bytes, &arena, outcome->why, sizeof outcome->why, &message);
  if (outcome->code == TETHER_RESOURCE_EXHAUSTED)
    problem = "needs more memory than computed";
  else if (outcome->code == TETHER_OK && !own)
    problem = "accepted, and refused by protobuf-c";
  else if (outcome->code != TETHER_OK && own)
    problem = "refused though valid";
  else if (own && !same(message, own))
    problem = "another message than protobuf-c's";
  tth_arena_fini(&arena);
  return problem;
}

const char *unpack_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                         unpack_outcome *outcome) {
  tth_validate_cost cost;
  *outcome = (unpack_outcome){0};
  outcome->code = tth_validate_counted(descriptor, bytes, len, SIZE_MAX, outcome->why, sizeof outcome->why, &cost);
  outcome->steps = cost.steps;
  outcome->unpacked_bytes = cost.unpacked_bytes;
  ProtobufCMessage *own = protobuf_c_message_unpack(descriptor, NULL, len, bytes);
  const char *problem = NULL;
  /* Two bytes can make a message, for which each field of its type is looked at. */
  if (cost.steps > (len + 2) * (8 + descriptor->n_fields))
    problem = "too many steps";
  else if (outcome->code == TETHER_OK)
    problem = compare(descriptor, bytes, len, own, outcome);
  else if (own && !reason_is_ours(outcome->why))
    problem = "refused, and accepted by protobuf-c";
  protobuf_c_message_free_unpacked(own, NULL);
  return problem;
}

static bool fits(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len, size_t cap) {
  char why[100];
  tth_arena arena;
  ProtobufCMessage *message;
  tth_arena_init(&arena, NULL, 0, cap);
  tether_code code = tth_unpack(descriptor, bytes, len, SIZE_MAX, &arena, why, sizeof why, &message);
  tth_arena_fini(&arena);
  return code == TETHER_OK;
}

size_t unpack_smallest_arena(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                             size_t enough) {
  size_t low = 0, high = enough / TTH_ARENA_ALIGNMENT + 1; /* too little, or nothing; enough */
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (fits(descriptor, bytes, len, middle * TTH_ARENA_ALIGNMENT))
      high = middle;
    else
      low = middle;
  }
  return high * TTH_ARENA_ALIGNMENT;
}
