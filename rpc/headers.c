/* Reading: the payload is copied to the arena once, and its texts are ended in place: the byte behind a text is the
 * next field's tag, which has been read when it is overwritten. A field that comes twice, unknown fields, lengths of
 * three bytes and more, and texts that are not UTF-8 are not ours: protobuf-c knows what they mean.
 *
 * Writing: the fields in the order of their numbers, as protobuf-c does. */
#include "rpc/headers.h"

#include <string.h>

#include "rpc/utf8.h"

enum {
  TAG_TIMEOUT = 0x09,
  TAG_SENT_AT = 0x11,
  TAG_METHOD = 0x1a,
  TAG_METADATA = 0x22,
  TAG_FORWARDED = 0x2a,
  TAG_TRACEPARENT = 0x32,
  TAG_TRACESTATE = 0x3a,
  TAG_BAGGAGE = 0x42,
  TAG_EXPLAIN = 0x48,
  TAG_DETACH = 0x50,
  TAG_EXPLAIN_WAIT = 0x58,
  TAG_KEY = 0x0a,
  TAG_VALUE = 0x12,
};

/* ---- Reading ------------------------------------------------------------------------------- */

typedef struct reader {
  uint8_t *at, *end;
} reader;

static bool get_fixed64(reader *r, int64_t *value) {
  uint64_t bits = 0;
  if (r->end - r->at < 8) return false;
  for (int i = 0; i < 8; i++) bits |= (uint64_t)r->at[i] << (8 * i);
  r->at += 8;
  *value = (int64_t)bits;
  return true;
}

/* A length of one or two bytes, and that many bytes behind it. */
static bool get_bytes(reader *r, uint8_t **bytes, size_t *len) {
  if (r->at == r->end) return false;
  *len = *r->at++;
  if (*len & 0x80) {
    if (r->at == r->end || *r->at & 0x80) return false;
    *len = (*len & 0x7f) | (size_t)*r->at++ << 7;
  }
  if (*len > (size_t)(r->end - r->at)) return false;
  *bytes = r->at;
  r->at += *len;
  return true;
}

static bool get_text(reader *r, char **text, uint8_t **nul) {
  uint8_t *bytes;
  size_t len;
  if (*text || !get_bytes(r, &bytes, &len) || tth_utf8_prefix(bytes, len) != len) return false;
  *text = (char *)bytes;
  *nul = bytes + len;
  return true;
}

/* A key, a value, and nothing else. */
static bool get_entry(reader *r, Tether__V1__Entry *entry, uint8_t **nul) {
  uint8_t *bytes, *value, *key_end;
  size_t len, value_len;
  char *key = NULL;
  if (!get_bytes(r, &bytes, &len)) return false;
  reader inner = {.at = bytes, .end = bytes + len};
  if (len == 0 || *inner.at++ != TAG_KEY || !get_text(&inner, &key, &key_end)) return false;
  if (inner.at == inner.end || *inner.at++ != TAG_VALUE || !get_bytes(&inner, &value, &value_len)) return false;
  if (inner.at != inner.end) return false;
  *key_end = 0;
  tether__v1__entry__init(entry);
  entry->key = key;
  entry->value = (ProtobufCBinaryData){.data = value, .len = value_len};
  *nul = value + value_len;
  return true;
}

/* One field; *nul is what it wants ended, once the next tag has been read. */
static bool get_field(reader *r, uint8_t tag, tth_headers *headers, size_t *used, uint8_t **nul) {
  Tether__V1__Headers *base = &headers->base;
  switch (tag) {
    case TAG_TIMEOUT:
      if (base->has_timeout_ns) return false;
      base->has_timeout_ns = true;
      return get_fixed64(r, &base->timeout_ns);
    case TAG_SENT_AT:
      if (base->has_sent_at_ns) return false;
      base->has_sent_at_ns = true;
      return get_fixed64(r, &base->sent_at_ns);
    case TAG_METHOD:
      return get_text(r, &base->method, nul);
    case TAG_METADATA:
    case TAG_FORWARDED: {
      if (*used == TTH_HEADERS_ENTRIES) return false;
      Tether__V1__Entry *entry = &headers->entries[(*used)++];
      if (tag == TAG_METADATA)
        headers->metadata[base->n_metadata++] = entry;
      else
        headers->forwarded[base->n_forwarded++] = entry;
      return get_entry(r, entry, nul);
    }
    case TAG_TRACEPARENT:
      return get_text(r, &base->traceparent, nul);
    case TAG_TRACESTATE:
      return get_text(r, &base->tracestate, nul);
    case TAG_BAGGAGE:
      return get_text(r, &base->baggage, nul);
    case TAG_EXPLAIN:
      if (base->has_explain || r->at == r->end || *r->at > 1) return false;
      base->has_explain = true;
      base->explain = *r->at++;
      return true;
    default: /* the others are rare */
      return false;
  }
}

bool tth_headers_read(const uint8_t *bytes, size_t len, tth_arena *arena, tth_headers *headers) {
  uint8_t *copy = tth_arena_alloc(arena, len + 1);
  if (!copy) return false;
  if (len) memcpy(copy, bytes, len);
  reader r = {.at = copy, .end = copy + len};
  size_t used = 0;
  tether__v1__headers__init(&headers->base);
  headers->base.metadata = headers->metadata;
  headers->base.forwarded = headers->forwarded;
  for (uint8_t *nul = NULL; r.at < r.end;) {
    uint8_t *to_end = nul, tag = *r.at++;
    nul = NULL;
    if (to_end) *to_end = 0; /* where the tag was, or behind the payload */
    if (!get_field(&r, tag, headers, &used, &nul)) return false;
    if (nul && r.at == r.end) *nul = 0;
  }
  return true;
}

bool tth_trailers_read(const uint8_t *bytes, size_t len, Tether__V1__Trailers *trailers) {
  if (len != TTH_TRAILERS_PLAIN || bytes[0] != 0x08 || bytes[1] & 0x80) return false;
  tether__v1__trailers__init(trailers);
  trailers->code = bytes[1];
  return true;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static size_t varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) size++;
  return size;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = (uint8_t)(value | 0x80);
  *to++ = (uint8_t)value;
  return to;
}

static uint8_t *put_fixed64(uint8_t *to, uint8_t tag, int64_t value) {
  *to++ = tag;
  for (int i = 0; i < 8; i++) *to++ = (uint8_t)((uint64_t)value >> (8 * i));
  return to;
}

static size_t bytes_size(size_t len) { return 1 + varint_size(len) + len; }

static uint8_t *put_bytes(uint8_t *to, uint8_t tag, const void *bytes, size_t len) {
  *to++ = tag;
  to = put_varint(to, len);
  if (len) memcpy(to, bytes, len);
  return to + len;
}

static size_t text_size(const char *text) { return text ? bytes_size(strlen(text)) : 0; }

static uint8_t *put_text(uint8_t *to, uint8_t tag, const char *text) {
  return text ? put_bytes(to, tag, text, strlen(text)) : to;
}

static size_t entry_size(const Tether__V1__Entry *entry) {
  return bytes_size(strlen(entry->key)) + bytes_size(entry->value.len);
}

static size_t entries_size(size_t count, Tether__V1__Entry *const *entries) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += bytes_size(entry_size(entries[i]));
  return size;
}

static uint8_t *put_entries(uint8_t *to, uint8_t tag, size_t count, Tether__V1__Entry *const *entries) {
  for (size_t i = 0; i < count; i++) {
    const Tether__V1__Entry *entry = entries[i];
    *to++ = tag;
    to = put_varint(to, entry_size(entry));
    to = put_text(to, TAG_KEY, entry->key);
    to = put_bytes(to, TAG_VALUE, entry->value.data, entry->value.len);
  }
  return to;
}

size_t tth_headers_size(const Tether__V1__Headers *headers) {
  size_t size = (headers->has_timeout_ns ? 9u : 0u) + (headers->has_sent_at_ns ? 9u : 0u);
  size += text_size(headers->method);
  size += entries_size(headers->n_metadata, headers->metadata);
  size += entries_size(headers->n_forwarded, headers->forwarded);
  size += text_size(headers->traceparent) + text_size(headers->tracestate) + text_size(headers->baggage);
  if (headers->has_explain) size += 2;
  if (headers->has_detach_ns) size += 1 + varint_size((uint64_t)headers->detach_ns);
  if (headers->has_explain_wait_ns) size += 1 + varint_size((uint64_t)headers->explain_wait_ns);
  return size;
}

size_t tth_headers_put(const Tether__V1__Headers *headers, uint8_t *to) {
  uint8_t *at = to;
  if (headers->has_timeout_ns) at = put_fixed64(at, TAG_TIMEOUT, headers->timeout_ns);
  if (headers->has_sent_at_ns) at = put_fixed64(at, TAG_SENT_AT, headers->sent_at_ns);
  at = put_text(at, TAG_METHOD, headers->method);
  at = put_entries(at, TAG_METADATA, headers->n_metadata, headers->metadata);
  at = put_entries(at, TAG_FORWARDED, headers->n_forwarded, headers->forwarded);
  at = put_text(at, TAG_TRACEPARENT, headers->traceparent);
  at = put_text(at, TAG_TRACESTATE, headers->tracestate);
  at = put_text(at, TAG_BAGGAGE, headers->baggage);
  if (headers->has_explain) {
    *at++ = TAG_EXPLAIN;
    *at++ = headers->explain ? 1 : 0;
  }
  if (headers->has_detach_ns) {
    *at++ = TAG_DETACH;
    at = put_varint(at, (uint64_t)headers->detach_ns);
  }
  if (headers->has_explain_wait_ns) {
    *at++ = TAG_EXPLAIN_WAIT;
    at = put_varint(at, (uint64_t)headers->explain_wait_ns);
  }
  return (size_t)(at - to);
}
