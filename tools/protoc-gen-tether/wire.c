#include "wire.h"

bool tth_wire_varint(struct tth_wire *wire, uint64_t *value) {
  uint64_t sum = 0;
  const uint8_t *at = wire->at;
  for (unsigned shift = 0; shift < 64 && at < wire->end; shift += 7, at++) {
    sum |= (uint64_t)(*at & 0x7f) << shift;
    if (*at < 0x80) {
      wire->at = at + 1;
      *value = sum;
      return true;
    }
  }
  return false;
}

/* Reads what follows a tag. */
static bool read_value(struct tth_wire *wire, struct tth_wire_field *field) {
  uint64_t len;
  switch (field->type) {
    case TTH_WIRE_VARINT:
      return tth_wire_varint(wire, &field->varint);
    case TTH_WIRE_FIXED64:
      len = 8;
      break;
    case TTH_WIRE_FIXED32:
      len = 4;
      break;
    case TTH_WIRE_BYTES:
      if (!tth_wire_varint(wire, &len)) return false;
      break;
    default:
      return false;
  }
  if (len > (uint64_t)(wire->end - wire->at)) return false;
  field->data = wire->at;
  field->len = (size_t)len;
  wire->at += len;
  return true;
}

bool tth_wire_next(struct tth_wire *wire, struct tth_wire_field *field) {
  struct tth_wire ahead = *wire;
  struct tth_wire_field read = {0};
  uint64_t tag;
  if (!tth_wire_varint(&ahead, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
  read.number = (uint32_t)(tag >> 3);
  read.type = (unsigned)(tag & 7);
  if (!read_value(&ahead, &read)) return false;
  *wire = ahead;
  *field = read;
  return true;
}

bool tth_wire_done(const struct tth_wire *wire) { return wire->at == wire->end; }
