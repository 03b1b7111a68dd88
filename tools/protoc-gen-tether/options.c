/* options.c: reads (tether.method) and (pb_c_file).
 *
 * protoc has checked types and ranges against the .proto that declares the option; what is left to find here is an
 * options.proto of another version, another extension under our number, and values that contradict each other. */
#include "options.h"

#include <float.h>
#include <string.h>

#include "names.h"
#include "text.h"
#include "wire.h"

enum { PBC_FILE_EXTENSION = 1019 };

/* Gathers every occurrence of extension `number` in `unknown`: to parse them in a row is to merge them. */
static const char *gather(const ProtobufCMessage *message, uint32_t number, struct tth_text *bytes) {
  for (size_t i = 0; i < message->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
    if (field->tag != number) continue;
    struct tth_wire wire = {field->data, field->data + field->len};
    uint64_t len;
    if (field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || !tth_wire_varint(&wire, &len) ||
        len != (uint64_t)(wire.end - wire.at)) {
      return "is not a message: another extension uses its number";
    }
    tth_text_add(bytes, (const char *)wire.at, (size_t)len);
  }
  return NULL;
}

static struct tth_wire wire_of(const struct tth_text *text) {
  const uint8_t *data = text->data ? (const uint8_t *)text->data : (const uint8_t *)"";
  return (struct tth_wire){data, data + text->len};
}

/* ---- (tether.method) ----------------------------------------------------------------------- */

enum { CODES = 17 };

/* A fixed64 that holds a double. */
static double double_of(const uint8_t *data) {
  uint64_t bits = 0;
  double value;
  for (int i = 7; i >= 0; i--) bits = bits << 8 | data[i];
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* One field of tether.RetryPolicy. */
static const char *set_retry_option(struct tth_arena *arena, const struct tth_wire_field *field,
                                    struct tth_retry_options *retry) {
  unsigned type = field->number == 4 ? TTH_WIRE_FIXED64 : TTH_WIRE_VARINT;
  if (field->number < 1 || field->number > 5 || field->type != type) {
    return tth_arena_printf(arena, "has an unknown field %u in retry: its options.proto is of another version",
                            field->number);
  }
  if (field->number <= 3 && field->varint > UINT32_MAX) return "has a number out of range in retry";
  switch (field->number) {
    case 1:
      retry->max_attempts = (uint32_t)field->varint;
      return field->varint >= 2 ? NULL : "has a retry with max_attempts below 2";
    case 2:
      retry->initial_backoff_ms = (uint32_t)field->varint;
      return NULL;
    case 3:
      retry->max_backoff_ms = (uint32_t)field->varint;
      return NULL;
    case 4:
      retry->backoff_multiplier = double_of(field->data);
      return NULL;
    default:
      if (field->varint >= CODES) return "has a retry with a status code that does not exist";
      retry->codes |= 1u << field->varint;
      return NULL;
  }
}

/* It may be set piece by piece, so what is missing shows at the end. */
static const char *read_retry(struct tth_arena *arena, const struct tth_wire_field *field,
                              struct tth_retry_options *retry) {
  struct tth_wire wire = {field->data, field->data + field->len};
  struct tth_wire_field inner;
  const char *problem = NULL;
  while (problem == NULL && tth_wire_next(&wire, &inner)) problem = set_retry_option(arena, &inner, retry);
  return problem != NULL || tth_wire_done(&wire) ? problem : "does not parse: another extension uses its number";
}

static const char *check_retry(const struct tth_retry_options *retry) {
  if (retry->max_attempts < 2) return "has a retry without max_attempts";
  if (retry->initial_backoff_ms == 0 || retry->max_backoff_ms == 0) {
    return "has a retry without initial_backoff_ms and max_backoff_ms above 0";
  }
  if (!(retry->backoff_multiplier > 0 && retry->backoff_multiplier <= DBL_MAX)) {
    return "has a retry without a backoff_multiplier above 0";
  }
  return retry->codes != 0 ? NULL : "has a retry without retryable_status_codes";
}

/* One field of tether.MethodOptions. */
static const char *set_method_option(struct tth_arena *arena, const struct tth_wire_field *field,
                                     struct tth_method_options *read, bool *refuses_idempotent, bool *retries) {
  unsigned type = field->number == 5 ? TTH_WIRE_BYTES : TTH_WIRE_VARINT;
  if (field->number >= 1 && field->number <= 5 && field->type != type) {
    return tth_arena_printf(arena, "has a field %u of a type it should not have", field->number);
  }
  switch (field->number) {
    case 1:
      if (field->varint > UINT32_MAX) return "has a default_timeout_ms out of range";
      read->default_timeout_ms = (uint32_t)field->varint;
      return NULL;
    case 2:
      read->idempotent = field->varint != 0;
      *refuses_idempotent = !read->idempotent;
      return NULL;
    case 3:
      read->runs_inline = field->varint != 0;
      return NULL;
    case 4:
      read->deadline_required = field->varint != 0;
      return NULL;
    case 5:
      *retries = true;
      return read_retry(arena, field, &read->retry);
    default:
      return tth_arena_printf(arena, "has an unknown field %u: its options.proto is of another version", field->number);
  }
}

const char *tth_method_options_read(struct tth_arena *arena, const Google__Protobuf__MethodOptions *options,
                                    struct tth_method_options *read, uint32_t *faulty_field) {
  *read = (struct tth_method_options){0};
  *faulty_field = 0;
  if (options == NULL) return NULL;
  struct tth_text bytes = {0};
  bool refuses_idempotent = false, retries = false;
  const char *problem = gather(&options->base, TTH_METHOD_EXTENSION, &bytes);
  struct tth_wire wire = wire_of(&bytes);
  struct tth_wire_field field;
  while (problem == NULL && tth_wire_next(&wire, &field)) {
    problem = set_method_option(arena, &field, read, &refuses_idempotent, &retries);
    if (problem != NULL) *faulty_field = field.number;
  }
  if (problem == NULL && !tth_wire_done(&wire)) problem = "does not parse: another extension uses its number";
  tth_text_fini(&bytes);
  if (problem == NULL && retries) {
    problem = check_retry(&read->retry);
    if (problem != NULL) *faulty_field = 5;
  }
  if (problem != NULL) return problem;

  /* The standard option says the same in other words. */
  if (options->has_idempotency_level &&
      options->idempotency_level != GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN) {
    if (refuses_idempotent) return "says idempotent: false, but idempotency_level says the opposite";
    read->idempotent = true;
  }
  return NULL;
}

/* ---- (pb_c_file) --------------------------------------------------------------------------- */

const char *tth_pbc_options_read(struct tth_arena *arena, const Google__Protobuf__FileOptions *options,
                                 struct tth_pbc_options *read) {
  *read = (struct tth_pbc_options){0};
  if (options == NULL) return NULL;
  struct tth_text bytes = {0};
  const char *problem = gather(&options->base, PBC_FILE_EXTENSION, &bytes);
  struct tth_wire wire = wire_of(&bytes);
  struct tth_wire_field field;
  while (problem == NULL && tth_wire_next(&wire, &field)) {
    if (field.number == 1 && field.type == TTH_WIRE_VARINT) read->no_generate = field.varint != 0;
    if (field.number == 6 && field.type == TTH_WIRE_BYTES) {
      read->c_package = tth_arena_copy(arena, (const char *)field.data, field.len);
    }
  }
  if (problem == NULL && !tth_wire_done(&wire)) problem = "does not parse: another extension uses its number";
  if (problem == NULL && read->c_package != NULL && *read->c_package && !tth_name_is_dotted(read->c_package)) {
    problem = "has a c_package that is no package name";
  }
  tth_text_fini(&bytes);
  return problem;
}
