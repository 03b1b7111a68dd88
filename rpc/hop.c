/* Shortening a Hop.
 *
 * Happy path: once over the fields for what is not legs, which is copied, once for what the legs of failed calls take,
 * and once to write legs in their order. A leg that does not fit whole gets what there is left, for its own fields and
 * its Hop, shortened; nothing that comes after it and has its outcome fits then.
 * Failures: a peer's bytes may be anything. What does not parse is not handed up, and neither is a row without the Hop
 * that belongs to it: it would say that its server has not answered. */
#include "rpc/hop.h"

#include <string.h>

#include "rpc/recorder.h"

/* The tag of Leg.code. */
#define LEG_CODE 0x38

/* A tag of one byte, and 32 bits. */
#define CUT_MOST ((size_t)6)

struct field {
  const uint8_t *begin, *end; /* with its tag */
  uint64_t tag;
  uint64_t value;         /* of a varint */
  const uint8_t *payload; /* of bytes, up to `end` */
};

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
    uint8_t byte = *(*at)++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

size_t tth_hop_put_varint(uint8_t *to, uint64_t value) {
  size_t len = 0;
  for (; value >= 0x80; value >>= 7) to[len++] = (uint8_t)(value | 0x80);
  to[len++] = (uint8_t)value;
  return len;
}

/* Reads a field and moves on behind it; false: it is none. */
static bool get_field(const uint8_t **at, const uint8_t *end, struct field *field) {
  *field = (struct field){.begin = *at};
  if (!get_varint(at, end, &field->tag)) return false;
  uint64_t len = 0;
  switch (field->tag & 7) {
    case 0:
      if (!get_varint(at, end, &field->value)) return false;
      break;
    case 1:
      len = 8;
      break;
    case 2:
      if (!get_varint(at, end, &len)) return false;
      break;
    case 5:
      len = 4;
      break;
    default:
      return false;
  }
  if (len > (uint64_t)(end - *at)) return false;
  field->payload = *at;
  *at += len;
  field->end = *at;
  return true;
}

static size_t size_of(const struct field *field) { return (size_t)(field->end - field->begin); }

static size_t copy(uint8_t *to, const struct field *field) {
  memcpy(to, field->begin, size_of(field));
  return size_of(field);
}

static bool has_failed(const struct field *leg) {
  struct field field;
  uint64_t code = TETHER_OK;
  for (const uint8_t *at = leg->payload; at < leg->end;) {
    if (!get_field(&at, leg->end, &field)) return false;
    if (field.tag == LEG_CODE) code = field.value;
  }
  return code != TETHER_OK;
}

static size_t shorten(const uint8_t *bytes, size_t len, uint8_t *to, size_t room, int depth);

/* Writes the leg with its Hop shortened, to `to`; 0: it does not fit. */
static size_t shorten_leg(const struct field *leg, uint8_t *to, size_t room, int depth) {
  struct field field, hop = {0};
  size_t len = TTH_HOP_OVERHEAD; /* its own tag and length come before it at the end */
  for (const uint8_t *at = leg->payload; at < leg->end;) {
    if (!get_field(&at, leg->end, &field)) return 0;
    if (field.tag == TTH_LEG_HOP) hop = field;
    if (field.tag == TTH_LEG_HOP) continue;
    if (size_of(&field) > room - len) return 0;
    len += copy(to + len, &field);
  }
  if (!hop.begin || room - len <= TTH_HOP_OVERHEAD) return 0;
  uint8_t *inner = to + len + TTH_HOP_OVERHEAD;
  size_t inner_len =
      shorten(hop.payload, (size_t)(hop.end - hop.payload), inner, room - len - TTH_HOP_OVERHEAD, depth + 1);
  if (inner_len == 0) return 0;
  to[len++] = TTH_LEG_HOP;
  len += tth_hop_put_varint(to + len, inner_len);
  memmove(to + len, inner, inner_len);
  len += inner_len;
  size_t own_len = len - TTH_HOP_OVERHEAD, at = 0;
  to[at++] = TTH_HOP_LEG;
  at += tth_hop_put_varint(to + at, own_len);
  memmove(to + at, to + TTH_HOP_OVERHEAD, own_len);
  return at + own_len;
}

/* Takes the leg off what legs of its outcome may take yet; one that is larger takes all. false: it does not fit whole.
 */
static bool take(size_t *left, size_t size) {
  bool fits = size <= *left;
  *left = fits ? *left - size : 0;
  return fits;
}

/* A Hop that is being written, with room for one more `cut`. */
struct short_hop {
  uint8_t *to;
  size_t len;
  size_t failed_left, good_left; /* what legs of calls that failed may take yet, and the others */
  uint32_t cut;
};

/* What is not legs, and what there is for legs; false: as tth_hop_shorten's 0. */
static bool put_own(struct short_hop *hop, const uint8_t *bytes, const uint8_t *end, size_t room) {
  struct field field;
  for (const uint8_t *at = bytes; at < end;) {
    if (!get_field(&at, end, &field)) return false;
    if (field.tag == TTH_HOP_CUT) hop->cut = (uint32_t)field.value;
    if (field.tag == TTH_HOP_CUT || field.tag == TTH_HOP_LEG) continue;
    if (size_of(&field) > room - hop->len) return false;
    hop->len += copy(hop->to + hop->len, &field);
  }
  hop->failed_left = hop->good_left = room - hop->len;
  for (const uint8_t *at = bytes; at < end;) {
    (void)get_field(&at, end, &field);
    if (field.tag == TTH_HOP_LEG && has_failed(&field)) (void)take(&hop->good_left, size_of(&field));
  }
  return true;
}

static void put_leg(struct short_hop *hop, const struct field *leg, int depth) {
  size_t *left = has_failed(leg) ? &hop->failed_left : &hop->good_left, room = *left, len = 0;
  if (take(left, size_of(leg)))
    len = copy(hop->to + hop->len, leg);
  else if (room > TTH_HOP_OVERHEAD)
    len = shorten_leg(leg, hop->to + hop->len, room, depth);
  hop->len += len;
  if (len == 0 && hop->cut < UINT32_MAX) hop->cut++;
}

static size_t shorten(const uint8_t *bytes, size_t len, uint8_t *to, size_t room, int depth) {
  struct short_hop hop = {.to = to};
  const uint8_t *end = bytes + len;
  struct field field;
  if (depth >= TTH_LEDGER_DEPTH || room <= CUT_MOST || !put_own(&hop, bytes, end, room - CUT_MOST)) return 0;
  for (const uint8_t *at = bytes; at < end;) {
    (void)get_field(&at, end, &field);
    if (field.tag == TTH_HOP_LEG) put_leg(&hop, &field, depth);
  }
  if (hop.cut == 0) return hop.len;
  to[hop.len++] = TTH_HOP_CUT;
  return hop.len + tth_hop_put_varint(to + hop.len, hop.cut);
}

size_t tth_hop_shorten(const uint8_t *bytes, size_t len, uint8_t *to, size_t room) {
  return shorten(bytes, len, to, room, 0);
}
