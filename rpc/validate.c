/* What a peer's bytes must be before protobuf-c may unpack them.
 *
 * One pass over the bytes, with an explicit stack of the messages that are open:
 *
 *   open the outermost message
 *   while one is open:
 *     at its end:  check required fields, hand its figures to the message around it, close it
 *     else:        read a tag, find the field, check the value
 *                    a message:  open it
 *                    else:       step over the value
 *
 * Along the way it adds up what protobuf_c_message_unpack would allocate (rpc/unpack_size.h). The figure is an upper
 * bound: nothing is forgiven for what is freed early, slabs excepted. Those are live only while their message is being
 * unpacked, so what counts is the largest sum along one path of nesting (frame.scratch), known when a message ends.
 *
 * Merging may copy an array once per merge, so the number of merges bounds the work and the memory. What one merge
 * copies is at most all arrays reached through singular messages of the one around it (frame.arrays).
 *
 * Failure: the first thing found ends the pass, with its place as a path of field names. */
#include "rpc/validate.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rpc/unpack_size.h"
#include "rpc/utf8.h"

enum {
  WIRE_VARINT = PROTOBUF_C_WIRE_TYPE_VARINT,
  WIRE_64 = PROTOBUF_C_WIRE_TYPE_64BIT,
  WIRE_BYTES = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
  WIRE_GROUP = 3,
  WIRE_GROUP_END = 4,
  WIRE_32 = PROTOBUF_C_WIRE_TYPE_32BIT,
};

enum {
  SEEN_POOL = 8 * 1024, /* bytes, for one bit per field of every open message */
  PATH_SHOWN = 8,       /* of a place in a deep message, its last so many fields are named */
};

/* A message that is open. */
typedef struct frame {
  const ProtobufCMessageDescriptor *descriptor;
  const ProtobufCFieldDescriptor *field; /* of the message around it; NULL for the outermost */
  const ProtobufCFieldDescriptor *last;  /* found last: the next element is mostly of the same field or the next */
  const uint8_t *end;
  uint8_t *seen;    /* a bit per field of the descriptor */
  size_t members;   /* elements */
  size_t unknown;   /* those of fields not in the descriptor */
  uint64_t scratch; /* the most that slabs of one path of messages inside take */
  uint64_t arrays;  /* what a merge of this message may copy */
  bool merges;      /* into an earlier occurrence */
} frame;

typedef struct walk {
  const uint8_t *start;
  const uint8_t *at;      /* next byte */
  const uint8_t *element; /* where the current element began, for messages to people */
  uint64_t bytes;         /* memory, slabs excepted */
  uint64_t max_bytes;
  size_t steps;
  unsigned merges;
  unsigned depth;
  size_t seen_used;
  tether_code code;
  char *why;
  size_t why_size;
  frame frames[TTH_VALIDATE_DEPTH + 1];
  uint8_t seen[SEEN_POOL];
} walk;

/* One element's field and value. */
typedef struct element {
  uint32_t number;
  unsigned wire;
  const ProtobufCFieldDescriptor *field; /* NULL: unknown */
  const uint8_t *value;                  /* after the length prefix */
  size_t len;
  size_t prefix_len;
} element;

static frame *top(walk *w) { return &w->frames[w->depth]; }

/* ---- Saying what is wrong ------------------------------------------------------------------- */

static void append(walk *w, size_t *used, const char *format, ...) TETHER_PRINTF(3, 4);
static void append(walk *w, size_t *used, const char *format, ...) {
  if (*used >= w->why_size) return;
  va_list args;
  va_start(args, format);
  int n = vsnprintf(w->why + *used, w->why_size - *used, format, args);
  va_end(args);
  if (n > 0) *used += (size_t)n;
}

static void append_field(walk *w, size_t *used, const ProtobufCFieldDescriptor *field) {
  if (field->name)
    append(w, used, ".%s", field->name);
  else /* compiled with optimize_for = CODE_SIZE */
    append(w, used, ".%u", field->id);
}

/* Ends the walk. Returns false, for the caller to return. */
static bool fail(walk *w, const element *e, tether_code code, const char *what) {
  const char *name = w->frames[0].descriptor->name;
  size_t used = 0;
  w->code = code;
  append(w, &used, "%s at byte %zu of %s", what, (size_t)(w->element - w->start), name && *name ? name : "the message");
  unsigned from = w->depth > PATH_SHOWN ? w->depth - PATH_SHOWN : 0;
  if (from > 0) append(w, &used, "...");
  for (unsigned i = from + 1; i <= w->depth; i++) append_field(w, &used, w->frames[i].field);
  if (e && e->field)
    append_field(w, &used, e->field);
  else if (e)
    append(w, &used, ".%u", e->number);
  return false;
}

static bool malformed(walk *w, const element *e, const char *what) { return fail(w, e, TETHER_INTERNAL, what); }

/* Counts memory. */
static bool charge(walk *w, const element *e, uint64_t bytes) {
  w->bytes += bytes;
  if (w->bytes <= w->max_bytes) return true;
  return fail(w, e, TETHER_RESOURCE_EXHAUSTED, "unpacked message too large");
}

/* ---- Reading ---------------------------------------------------------------------------------- */

/* The length of the varint at `at`: 0 if it is cut off or does not fit 64 bits. */
static size_t varint_length(const uint8_t *at, const uint8_t *end) {
  size_t most = (size_t)(end - at);
  if (most > 10) most = 10;
  for (size_t i = 0; i < most; i++)
    if ((at[i] & 0x80) == 0) return i == 9 && at[i] > 1 ? 0 : i + 1;
  return 0;
}

/* Reads a varint of at most five bytes and 32 bits, which tags and lengths are. */
static bool read_short(walk *w, uint32_t *value) {
  const uint8_t *end = top(w)->end;
  uint64_t bits = 0;
  for (unsigned i = 0; i < 5 && w->at < end; i++) {
    uint8_t byte = *w->at++;
    w->steps++;
    bits |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte & 0x80) continue;
    *value = (uint32_t)bits;
    return bits <= UINT32_MAX;
  }
  return false;
}

static const ProtobufCFieldDescriptor *find_field(walk *w, uint32_t number) {
  frame *f = top(w);
  const ProtobufCMessageDescriptor *d = f->descriptor;
  if (f->last) {
    if (f->last->id == number) return f->last;
    if (f->last + 1 < d->fields + d->n_fields && f->last[1].id == number) return ++f->last;
  }
  /* The last range that starts at or before the number; ranges[n] is a sentinel that ends the one before. */
  unsigned low = 0, high = d->n_field_ranges;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    w->steps++;
    if ((uint32_t)d->field_ranges[middle].start_value <= number)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0) return NULL;
  const ProtobufCIntRange *range = &d->field_ranges[low - 1];
  uint32_t index = number - (uint32_t)range->start_value;
  if (index >= range[1].orig_index - range->orig_index) return NULL;
  return f->last = &d->fields[range->orig_index + index];
}

/* Reads the tag and finds the value. */
static bool read_element(walk *w, element *e) {
  const uint8_t *end = top(w)->end;
  uint32_t tag, len;
  w->element = w->at;
  *e = (element){0};
  if (!read_short(w, &tag)) return malformed(w, NULL, "bad tag");
  e->number = tag >> 3;
  e->wire = tag & 7;
  if (e->number == 0) return malformed(w, NULL, "field number 0");
  e->field = find_field(w, e->number);
  switch (e->wire) {
    case WIRE_VARINT:
      e->len = varint_length(w->at, end);
      if (e->len == 0) return malformed(w, e, "bad varint");
      w->steps += e->len;
      break;
    case WIRE_64:
      e->len = 8;
      break;
    case WIRE_32:
      e->len = 4;
      break;
    case WIRE_BYTES: {
      const uint8_t *prefix = w->at;
      if (!read_short(w, &len) || len > INT_MAX) return malformed(w, e, "bad length");
      e->len = len;
      e->prefix_len = (size_t)(w->at - prefix);
      break;
    }
    case WIRE_GROUP:
    case WIRE_GROUP_END:
      return malformed(w, e, "group (not supported)");
    default:
      return malformed(w, e, "unknown wire type");
  }
  if (e->len > (size_t)(end - w->at)) return malformed(w, e, "value runs over the end");
  e->value = w->at;
  return true;
}

/* ---- Types -------------------------------------------------------------------------------------- */

static unsigned wire_type(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
      return WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
      return WIRE_BYTES;
    default:
      return WIRE_VARINT;
  }
}

/* ---- Messages ----------------------------------------------------------------------------------- */

/* Opens a message that is the value of `e`, or the outermost one (e NULL). */
static bool open_message(walk *w, const element *e, const ProtobufCMessageDescriptor *descriptor, const uint8_t *end,
                         bool merges) {
  size_t seen_size = ((size_t)descriptor->n_fields + 7) / 8;
  if (e && w->depth == TTH_VALIDATE_DEPTH) return malformed(w, e, "nested too deep");
  if (seen_size > SEEN_POOL - w->seen_used) return fail(w, e, TETHER_RESOURCE_EXHAUSTED, "too many fields nested");
  if (e) w->depth++;
  *top(w) = (frame){.descriptor = descriptor, .field = e ? e->field : NULL, .end = end, .merges = merges};
  top(w)->seen = memset(w->seen + w->seen_used, 0, seen_size);
  w->seen_used += seen_size;
  w->steps += seen_size;
  return charge(w, NULL, tth_unpack_message_bytes(descriptor));
}

static bool seen(const frame *f, size_t index) { return f->seen[index / 8] >> (index % 8) & 1; }

static bool check_required(walk *w) {
  const frame *f = top(w);
  const ProtobufCMessageDescriptor *d = f->descriptor;
  w->steps += d->n_fields;
  for (unsigned i = 0; i < d->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &d->fields[i];
    if (field->label == PROTOBUF_C_LABEL_REQUIRED && !field->default_value && !seen(f, i))
      return malformed(w, &(element){.field = field}, "missing required field");
  }
  return true;
}

/* Closes the innermost message, at whose end the walk is. */
static bool close_message(walk *w) {
  frame *f = top(w);
  w->element = w->at;
  if (!check_required(w)) return false;
  if (!charge(w, NULL, tth_unpack_unknown_bytes(f->unknown))) return false;
  uint64_t scratch = f->scratch + tth_unpack_slabs_bytes(f->members);
  w->seen_used -= ((size_t)f->descriptor->n_fields + 7) / 8;
  if (w->depth == 0) return charge(w, NULL, scratch);
  frame *outer = f - 1;
  if (outer->scratch < scratch) outer->scratch = scratch;
  if (f->field->label != PROTOBUF_C_LABEL_REPEATED) outer->arrays += f->arrays;
  w->depth--;
  return !f->merges || charge(w, NULL, outer->arrays);
}

/* ---- Elements ----------------------------------------------------------------------------------- */

/* Checks packed numbers and counts them. */
static bool read_packed(walk *w, const element *e, size_t *count) {
  const uint8_t *at = e->value, *end = e->value + e->len;
  unsigned wire = wire_type(e->field->type);
  if (wire == WIRE_32 || wire == WIRE_64) {
    size_t size = wire == WIRE_32 ? 4 : 8;
    *count = e->len / size;
    return e->len % size == 0 || malformed(w, e, "packed numbers cut off");
  }
  w->steps += e->len;
  for (*count = 0; at < end; ++*count) {
    size_t len = varint_length(at, end);
    if (len == 0) return malformed(w, e, "bad packed varint");
    at += len;
  }
  /* protobuf-c makes room for as many bools as there are bytes. */
  if (e->field->type == PROTOBUF_C_TYPE_BOOL) *count = e->len;
  return true;
}

/* Counts `count` more elements in the array of a repeated field. */
static bool grow_array(walk *w, const element *e, size_t count, bool first) {
  uint64_t bytes = (uint64_t)count * tth_unpack_entry_bytes(e->field->type) + (first ? TTH_UNPACK_ROUNDING : 0);
  top(w)->arrays += bytes;
  return charge(w, e, bytes);
}

static bool check_string(walk *w, const element *e) {
  size_t good = tth_utf8_prefix(e->value, e->len);
  w->steps += good;
  if (good == e->len) return charge(w, e, tth_arena_cost(e->len + 1));
  return malformed(w, e, e->value[good] == 0 ? "NUL in a string" : "invalid UTF-8 in a string");
}

static bool check_message(walk *w, const element *e, bool first) {
  bool replaces = e->field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF; /* protobuf-c frees the old one instead of merging */
  bool merges = !first && !replaces && e->field->label != PROTOBUF_C_LABEL_REPEATED;
  if (merges && ++w->merges > TTH_VALIDATE_MERGES) return malformed(w, e, "singular message repeated too often");
  return open_message(w, e, e->field->descriptor, e->value + e->len, merges);
}

/* Checks the value of a known field and steps over it, or into it. */
static bool check_known(walk *w, const element *e) {
  frame *f = top(w);
  ProtobufCType type = e->field->type;
  size_t index = (size_t)(e->field - f->descriptor->fields), count = 1;
  bool first = !seen(f, index);
  f->seen[index / 8] |= (uint8_t)(1u << (index % 8));
  bool repeated = e->field->label == PROTOBUF_C_LABEL_REPEATED;
  unsigned wire = wire_type(type);
  if (repeated && e->wire == WIRE_BYTES && wire != WIRE_BYTES) {
    if (!read_packed(w, e, &count)) return false;
  } else if (e->wire != wire) {
    return malformed(w, e, "wrong wire type");
  }
  if (repeated && !grow_array(w, e, count, first)) return false;
  if (type == PROTOBUF_C_TYPE_MESSAGE) return check_message(w, e, first);
  w->at += e->len;
  if (type == PROTOBUF_C_TYPE_STRING) return check_string(w, e);
  if (type == PROTOBUF_C_TYPE_BYTES && e->len > 0) return charge(w, e, tth_arena_cost(e->len));
  return true;
}

static bool check_element(walk *w) {
  element e;
  w->steps++;
  if (!read_element(w, &e)) return false;
  top(w)->members++;
  if (e.field) return check_known(w, &e);
  top(w)->unknown++;
  w->at += e.len;
  return charge(w, &e, tth_arena_cost(e.prefix_len + e.len));
}

static bool check(walk *w, const ProtobufCMessageDescriptor *descriptor, size_t len) {
  w->frames[0].descriptor = descriptor;
  if (len > INT_MAX) return fail(w, NULL, TETHER_RESOURCE_EXHAUSTED, "message of 2 GiB or more");
  if (!open_message(w, NULL, descriptor, w->start + len, false)) return false;
  for (;;) {
    bool outermost = w->depth == 0;
    if (w->at < top(w)->end) {
      if (!check_element(w)) return false;
    } else if (!close_message(w) || outermost) {
      return w->code == TETHER_OK;
    }
  }
}

tether_code tth_validate_counted(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                                 size_t max_unpacked_bytes, char *why, size_t why_size, tth_validate_cost *cost) {
  walk w; /* not initialised as a whole: it is large and most of it stays unused */
  w.start = w.at = w.element = len > 0 ? bytes : (const uint8_t *)"";
  w.bytes = 0;
  w.max_bytes = max_unpacked_bytes;
  w.steps = 0;
  w.merges = w.depth = 0;
  w.seen_used = 0;
  w.code = TETHER_OK;
  w.why = why;
  w.why_size = why_size;
  check(&w, descriptor, len);
  *cost = (tth_validate_cost){.unpacked_bytes = w.bytes > SIZE_MAX ? SIZE_MAX : (size_t)w.bytes, .steps = w.steps};
  return w.code;
}

tether_code tth_validate(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t len,
                         size_t max_unpacked_bytes, char *why, size_t why_size, size_t *unpacked_bytes) {
  tth_validate_cost cost;
  tether_code code = tth_validate_counted(descriptor, bytes, len, max_unpacked_bytes, why, why_size, &cost);
  if (code == TETHER_OK) *unpacked_bytes = cost.unpacked_bytes;
  return code;
}
