#include "tests/rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wire_fini(wire *w) {
  free(w->bytes);
  *w = (wire){0};
}

void wire_raw(wire *w, const void *bytes, size_t len) {
  if (len > w->room - w->len) {
    w->room = (w->len + len) * 2;
    w->bytes = realloc(w->bytes, w->room);
    if (!w->bytes) abort();
  }
  if (len > 0) memcpy(w->bytes + w->len, bytes, len);
  w->len += len;
}

void wire_varint(wire *w, uint64_t value) {
  uint8_t bytes[10];
  size_t len = 0;
  for (; value >= 0x80; value >>= 7) bytes[len++] = (uint8_t)(value | 0x80);
  bytes[len++] = (uint8_t)value;
  wire_raw(w, bytes, len);
}

void wire_tag(wire *w, uint32_t number, unsigned wire_type) { wire_varint(w, (uint64_t)number << 3 | wire_type); }

void wire_number(wire *w, uint32_t number, uint64_t value) {
  wire_tag(w, number, 0);
  wire_varint(w, value);
}

void wire_fixed32(wire *w, uint32_t number, uint32_t value) {
  wire_tag(w, number, 5);
  wire_raw(w, &value, sizeof value);
}

void wire_fixed64(wire *w, uint32_t number, uint64_t value) {
  wire_tag(w, number, 1);
  wire_raw(w, &value, sizeof value);
}

void wire_bytes(wire *w, uint32_t number, const void *bytes, size_t len) {
  wire_tag(w, number, 2);
  wire_varint(w, len);
  wire_raw(w, bytes, len);
}
