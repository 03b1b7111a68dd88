#include "tests/rpc/random_message.h"

#include <stdbool.h>
#include <string.h>

/* splitmix64 */
uint64_t random_next(random_message *r) {
  uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

static unsigned below(random_message *r, unsigned n) { return (unsigned)(random_next(r) % n); }

/* Small numbers as often as large ones. */
static uint64_t number(random_message *r) {
  unsigned shift = below(r, 64);
  return random_next(r) >> shift;
}

static void text(random_message *r, wire *w) {
  unsigned n = below(r, 4) == 0 ? below(r, 900) : below(r, 20);
  bool plain = below(r, 2);
  for (unsigned i = 0; i < n; i++) {
    static const char *const others[] = {"é", "߿", "ࠀ", "€", "퟿", "\uFFFD", "𐀀", "\U0010FFFF", "~", "\x01"};
    char letter[2] = {(char)('a' + below(r, 26)), 0};
    const char *piece = plain ? letter : others[below(r, sizeof others / sizeof *others)];
    wire_raw(w, piece, strlen(piece));
  }
}

static void octets(random_message *r, wire *w) {
  unsigned n = below(r, 8) == 0 ? below(r, 2000) : below(r, 24);
  for (unsigned i = 0; i < n; i++) wire_raw(w, &(uint8_t){(uint8_t)random_next(r)}, 1);
}

static unsigned wire_type(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
      return 5;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
      return 2;
    default:
      return 0;
  }
}

/* A scalar's value without its tag. */
static void scalar(random_message *r, ProtobufCType type, wire *w) {
  uint64_t value = random_next(r);
  if (wire_type(type) == 5)
    wire_raw(w, &value, 4);
  else if (wire_type(type) == 1)
    wire_raw(w, &value, 8);
  else
    wire_varint(w, type == PROTOBUF_C_TYPE_BOOL ? below(r, 2) : number(r));
}

/* One element of a field. */
static void element(random_message *r, const ProtobufCFieldDescriptor *field, wire *w) {
  wire value = {0};
  switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
      text(r, &value);
      break;
    case PROTOBUF_C_TYPE_BYTES:
      octets(r, &value);
      break;
    case PROTOBUF_C_TYPE_MESSAGE: {
      unsigned depth = r->depth;
      if (depth > 0) r->depth--;
      random_message_write(r, field->descriptor, &value);
      r->depth = depth;
      break;
    }
    default:
      wire_tag(w, field->id, wire_type(field->type));
      scalar(r, field->type, w);
      return;
  }
  wire_bytes(w, field->id, value.bytes, value.len);
  wire_fini(&value);
}

static void packed(random_message *r, const ProtobufCFieldDescriptor *field, unsigned n, wire *w) {
  wire values = {0};
  for (unsigned i = 0; i < n; i++) scalar(r, field->type, &values);
  wire_bytes(w, field->id, values.bytes, values.len);
  wire_fini(&values);
}

static void unknown(random_message *r, wire *w) {
  uint32_t id = 100000 + below(r, 1000);
  switch (below(r, 4)) {
    case 0:
      wire_number(w, id, number(r));
      break;
    case 1:
      wire_fixed32(w, id, (uint32_t)random_next(r));
      break;
    case 2:
      wire_fixed64(w, id, random_next(r));
      break;
    default: {
      wire value = {0};
      octets(r, &value);
      wire_bytes(w, id, value.bytes, value.len);
      wire_fini(&value);
    }
  }
}

/* Whether protobuf-c may fail to merge two messages of the type, which a oneof that is set in neither makes it do. */
static bool has_oneof(const ProtobufCMessageDescriptor *d, unsigned depth) {
  if (depth == 0) return false;
  for (unsigned i = 0; i < d->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &d->fields[i];
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) return true;
    if (field->label != PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE &&
        has_oneof(field->descriptor, depth - 1))
      return true;
  }
  return false;
}

static void singular(random_message *r, const ProtobufCFieldDescriptor *field, wire *w) {
  bool message = field->type == PROTOBUF_C_TYPE_MESSAGE;
  bool twice = below(r, 10) == 0;
  if (twice && message && !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
    twice = r->merges > 0 && !has_oneof(field->descriptor, 4);
    r->merges -= twice;
  }
  element(r, field, w);
  if (twice) element(r, field, w);
}

static void repeated(random_message *r, const ProtobufCFieldDescriptor *field, wire *w) {
  unsigned n = below(r, 8) == 0 ? below(r, 8 * r->size + 1) : below(r, r->size + 1);
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) n = r->depth > 0 ? n / 4 : 0;
  while (n > 0) {
    unsigned run = 1 + below(r, n);
    n -= run;
    if (wire_type(field->type) != 2 && below(r, 4))
      packed(r, field, below(r, 10) ? run : 0, w);
    else
      for (unsigned i = 0; i < run; i++) element(r, field, w);
  }
}

void random_message_write(random_message *r, const ProtobufCMessageDescriptor *descriptor, wire *w) {
  unsigned n = descriptor->n_fields;
  unsigned start = n > 0 && below(r, 2) ? below(r, n) : 0;
  unsigned sparse = 1 + below(r, 6);
  for (unsigned i = 0; i < n; i++) {
    const ProtobufCFieldDescriptor *field = &descriptor->fields[(start + i) % n];
    if (field->label == PROTOBUF_C_LABEL_REQUIRED) {
      singular(r, field, w);
      continue;
    }
    if (below(r, sparse)) continue;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && r->depth == 0) continue;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
      repeated(r, field, w);
    else
      singular(r, field, w);
  }
  if (below(r, 4) == 0)
    for (unsigned i = 1 + below(r, r->size); i > 0; i--) unknown(r, w);
}
