/* options.c: reads (tether.method) and (pb_c_file).
 *
 * protoc has checked types and ranges against the .proto that declares the option; what is left to find here is an
 * options.proto of another version, another extension under our number, and values that contradict each other. */
#include "options.h"

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

/* One field of tether.MethodOptions. */
static const char *set_method_option(struct tth_arena *arena, const struct tth_wire_field *field,
                                     struct tth_method_options *read, bool *refuses_idempotent) {
  if (field->number >= 1 && field->number <= 4 && field->type != TTH_WIRE_VARINT) {
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
  bool refuses_idempotent = false;
  const char *problem = gather(&options->base, TTH_METHOD_EXTENSION, &bytes);
  struct tth_wire wire = wire_of(&bytes);
  struct tth_wire_field field;
  while (problem == NULL && tth_wire_next(&wire, &field)) {
    problem = set_method_option(arena, &field, read, &refuses_idempotent);
    if (problem != NULL) *faulty_field = field.number;
  }
  if (problem == NULL && !tth_wire_done(&wire)) problem = "does not parse: another extension uses its number";
  tth_text_fini(&bytes);
  if (problem != NULL) return problem;

  /* The standard option says the same in other words. */
  if (options->has_idempotency_level &&
      options->idempotency_level != GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN) {
    if (refuses_idempotent) return "says idempotent: false, but idempotency_level says the opposite";
    read->idempotent = true;
  }
  return NULL;
}

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
