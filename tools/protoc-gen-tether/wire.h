/* wire.h: reads protobuf's wire format field by field, without a descriptor.
 *
 *   struct tth_wire wire = {data, data + len};
 *   struct tth_wire_field field;
 *   while (tth_wire_next(&wire, &field)) ...
 *   if (!tth_wire_done(&wire)) the bytes are malformed */
#ifndef TTH_WIRE_H
#define TTH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TTH_WIRE_VARINT = 0, TTH_WIRE_FIXED64 = 1, TTH_WIRE_BYTES = 2, TTH_WIRE_FIXED32 = 5 };

struct tth_wire {
  const uint8_t *at;
  const uint8_t *end;
};

struct tth_wire_field {
  uint32_t number;
  unsigned type;       /* TTH_WIRE_... */
  uint64_t varint;     /* of TTH_WIRE_VARINT */
  const uint8_t *data; /* of the other types */
  size_t len;
};

/* Reads the next field. False at the end, and at the first malformed byte, where it stays. Groups count as
 * malformed: nothing read here uses them. */
bool tth_wire_next(struct tth_wire *wire, struct tth_wire_field *field);

/* Whether everything has been read. */
bool tth_wire_done(const struct tth_wire *wire);

/* Reads one varint. */
bool tth_wire_varint(struct tth_wire *wire, uint64_t *value);

#endif
