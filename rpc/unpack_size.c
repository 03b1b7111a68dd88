#include "rpc/unpack_size.h"

/* Sizes of protobuf-c's internals, which no header gives. */
enum {
  SLAB_FIRST = 16,   /* elements on the stack */
  BITMAP_FIRST = 16, /* bytes on the stack */
};

struct scanned_member {
  uint32_t tag;
  uint8_t wire_type, length_prefix_len;
  const void *field;
  size_t len;
  const uint8_t *data;
};
_Static_assert(sizeof(struct scanned_member) * 2 * SLAB_FIRST >= TTH_ARENA_BLOCK_MIN, "the arena gives slabs back");

uint64_t tth_unpack_message_bytes(const ProtobufCMessageDescriptor *descriptor) {
  size_t bitmap = ((size_t)descriptor->n_fields + 7) / 8;
  return (uint64_t)tth_arena_cost(descriptor->sizeof_message) + (bitmap > BITMAP_FIRST ? tth_arena_cost(bitmap) : 0);
}

uint64_t tth_unpack_slabs_bytes(size_t members) {
  uint64_t bytes = 0;
  for (size_t slab = SLAB_FIRST, room = SLAB_FIRST; room < members; room += slab) {
    slab *= 2;
    bytes += tth_arena_cost(slab * sizeof(struct scanned_member));
  }
  return bytes;
}

uint64_t tth_unpack_unknown_bytes(size_t fields) {
  return fields > 0 ? tth_arena_cost(fields * sizeof(ProtobufCMessageUnknownField)) : 0;
}

size_t tth_unpack_entry_bytes(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
      return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
      return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
      return sizeof(protobuf_c_boolean);
    default:
      return 4;
  }
}
