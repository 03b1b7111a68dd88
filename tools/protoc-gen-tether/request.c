/* request.c: bytes -> a checked request.
 *
 *   nesting of the bytes  (protobuf-c unpacks by recursion without a limit)
 *   -> unpack
 *   -> names present and well formed; the files to generate present
 *   -> index of message types
 *   -> the bytes of each file's descriptor, which go into the generated source
 *
 * protoc never sends anything that fails here; what does is not from protoc, or cut short. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "wire.h"

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;

/* protoc itself stops at 32 nested messages. */
enum { MAX_DEPTH = 100 };

/* Field numbers of plugin.proto and descriptor.proto. */
enum { REQUEST_PROTO_FILE = 15, FILE_SOURCE_CODE_INFO = 9 };

/* Whether `data` is well formed and nests at most `depth` messages. */
static bool nests_within(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t len, int depth) {
  if (depth == 0) return false;
  struct tth_wire wire = {data, data + len};
  struct tth_wire_field field;
  while (tth_wire_next(&wire, &field)) {
    const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(descriptor, field.number);
    if (known == NULL || known->type != PROTOBUF_C_TYPE_MESSAGE || field.type != TTH_WIRE_BYTES) continue;
    if (!nests_within(known->descriptor, field.data, field.len, depth - 1)) return false;
  }
  return tth_wire_done(&wire);
}

static const char *check_methods(const Google__Protobuf__ServiceDescriptorProto *service) {
  for (size_t i = 0; i < service->n_method; i++) {
    const Google__Protobuf__MethodDescriptorProto *method = service->method[i];
    if (method->name == NULL || !tth_name_is_identifier(method->name)) return "a method has no proper name";
    if (method->input_type == NULL || method->output_type == NULL) return "a method lacks a type";
  }
  return NULL;
}

static const char *check_file(const file_proto *file) {
  if (file->name == NULL || *file->name == '\0') return "a file has no name";
  if (file->package != NULL && *file->package != '\0' && !tth_name_is_dotted(file->package)) {
    return "a file has no proper package";
  }
  for (size_t i = 0; i < file->n_service; i++) {
    if (file->service[i]->name == NULL || !tth_name_is_identifier(file->service[i]->name)) {
      return "a service has no proper name";
    }
    const char *problem = check_methods(file->service[i]);
    if (problem != NULL) return problem;
  }
  return NULL;
}

/* Adds a message and the ones inside it under `scope` (".demo.v1") to the index. */
static const char *add_types(struct tth_arena *arena, const file_proto *file, const char *scope,
                             message_proto *const *messages, size_t count, struct tth_request *request) {
  for (size_t i = 0; i < count; i++) {
    if (messages[i]->name == NULL || !tth_name_is_identifier(messages[i]->name)) return "a message has no proper name";
    const char *name = tth_arena_printf(arena, "%s.%s", scope, messages[i]->name);
    request->types = tth_realloc(request->types, (request->type_count + 1) * sizeof *request->types);
    request->types[request->type_count++] = (struct tth_type){name, file};
    const char *problem = add_types(arena, file, name, messages[i]->nested_type, messages[i]->n_nested_type, request);
    if (problem != NULL) return problem;
  }
  return NULL;
}

static int compare_types(const void *a, const void *b) {
  return strcmp(((const struct tth_type *)a)->name, ((const struct tth_type *)b)->name);
}

/* Whether every method's types are in the index. */
static bool types_resolve(const struct tth_request *request, const file_proto *file) {
  for (size_t i = 0; i < file->n_service; i++) {
    for (size_t j = 0; j < file->service[i]->n_method; j++) {
      const Google__Protobuf__MethodDescriptorProto *method = file->service[i]->method[j];
      if (tth_request_type(request, method->input_type) == NULL) return false;
      if (tth_request_type(request, method->output_type) == NULL) return false;
    }
  }
  return true;
}

static bool imports_resolve(const struct tth_request *request, const file_proto *file) {
  for (size_t i = 0; i < file->n_dependency; i++) {
    if (tth_request_file(request, file->dependency[i]) == NULL) return false;
  }
  return true;
}

static const char *check(struct tth_arena *arena, struct tth_request *request) {
  const Tth__Plugin__Request *message = request->message;
  for (size_t i = 0; i < message->n_proto_file; i++) {
    const file_proto *file = message->proto_file[i];
    const char *problem = check_file(file);
    if (problem != NULL) return problem;
    const char *scope = file->package && *file->package ? tth_arena_printf(arena, ".%s", file->package) : "";
    problem = add_types(arena, file, scope, file->message_type, file->n_message_type, request);
    if (problem != NULL) return problem;
  }
  if (request->type_count > 0) qsort(request->types, request->type_count, sizeof *request->types, compare_types);
  for (size_t i = 0; i < message->n_proto_file; i++) {
    if (!imports_resolve(request, message->proto_file[i])) return "an imported file is missing";
    if (!types_resolve(request, message->proto_file[i])) return "a method's type is missing";
  }
  if (message->n_file_to_generate == 0) return "it names no file to generate";
  for (size_t i = 0; i < message->n_file_to_generate; i++) {
    if (tth_request_file(request, message->file_to_generate[i]) == NULL) return "a file to generate is missing";
  }
  return NULL;
}

/* The descriptor without source_code_info: what protoc itself leaves out of a descriptor set unless asked. */
static struct tth_raw copy_raw(struct tth_arena *arena, const struct tth_wire_field *file) {
  uint8_t *copy = tth_arena_alloc(arena, file->len);
  struct tth_raw raw = {copy, 0};
  struct tth_wire wire = {file->data, file->data + file->len};
  struct tth_wire_field field;
  for (const uint8_t *from = wire.at; tth_wire_next(&wire, &field); from = wire.at) {
    if (field.number == FILE_SOURCE_CODE_INFO) continue;
    memcpy(copy + raw.len, from, (size_t)(wire.at - from));
    raw.len += (size_t)(wire.at - from);
  }
  return raw;
}

static void read_raw(struct tth_arena *arena, const uint8_t *data, size_t len, struct tth_request *request) {
  struct tth_wire wire = {data, data + len};
  struct tth_wire_field field;
  request->raw = tth_arena_alloc(arena, request->message->n_proto_file * sizeof *request->raw);
  for (size_t i = 0; i < request->message->n_proto_file && tth_wire_next(&wire, &field);) {
    if (field.number == REQUEST_PROTO_FILE) request->raw[i++] = copy_raw(arena, &field);
  }
}

bool tth_request_read(struct tth_arena *arena, const uint8_t *data, size_t len, struct tth_request *request,
                      const char **reason) {
  *request = (struct tth_request){0};
  if (!nests_within(&tth__plugin__request__descriptor, data, len, MAX_DEPTH)) {
    *reason = "it is not a well-formed CodeGeneratorRequest";
    return false;
  }
  request->message = tth__plugin__request__unpack(NULL, len, data);
  *reason = request->message ? check(arena, request) : "it is not a CodeGeneratorRequest";
  if (*reason == NULL) {
    read_raw(arena, data, len, request);
    return true;
  }
  tth_request_fini(request);
  return false;
}

void tth_request_fini(struct tth_request *request) {
  free(request->types);
  tth__plugin__request__free_unpacked(request->message, NULL);
  *request = (struct tth_request){0};
}

const file_proto *tth_request_file(const struct tth_request *request, const char *name) {
  for (size_t i = 0; i < request->message->n_proto_file; i++) {
    if (strcmp(request->message->proto_file[i]->name, name) == 0) return request->message->proto_file[i];
  }
  return NULL;
}

const struct tth_raw *tth_request_raw(const struct tth_request *request, const file_proto *file) {
  size_t i = 0;
  while (request->message->proto_file[i] != file) i++;
  return &request->raw[i];
}

const struct tth_type *tth_request_type(const struct tth_request *request, const char *name) {
  if (request->type_count == 0) return NULL;
  struct tth_type key = {name, NULL};
  return bsearch(&key, request->types, request->type_count, sizeof key, compare_types);
}
