/* tests/rpc/wire.h: writing protobuf's wire format by hand, right or wrong. */
#ifndef TETHER_TESTS_RPC_WIRE_H
#define TETHER_TESTS_RPC_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* A growing byte string. {0} is the empty one; wire_fini releases its memory. */
typedef struct wire {
  uint8_t *bytes;
  size_t len;
  size_t room;
} wire;

void wire_fini(wire *w);

void wire_raw(wire *w, const void *bytes, size_t len);
void wire_varint(wire *w, uint64_t value);
void wire_tag(wire *w, uint32_t number, unsigned wire_type);

/* Whole fields: a varint, 4 or 8 bytes, or a length and that many bytes. */
void wire_number(wire *w, uint32_t number, uint64_t value);
void wire_fixed32(wire *w, uint32_t number, uint32_t value);
void wire_fixed64(wire *w, uint32_t number, uint64_t value);
void wire_bytes(wire *w, uint32_t number, const void *bytes, size_t len);

#endif
