#include "cli/proto_text.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/reflect.h"

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;
typedef Google__Protobuf__MethodDescriptorProto method_proto;

/* ---- Files --------------------------------------------------------------------------------- */

void proto_files_fini(proto_files *files) {
  for (size_t i = 0; i < files->count; i++)
    google__protobuf__file_descriptor_proto__free_unpacked(files->files[i], NULL);
  free(files->files);
  tether_call_unref(files->call);
}

static bool unpack_all(const Grpc__Reflection__V1__FileDescriptorResponse *sent, proto_files *files) {
  files->files = calloc(sent->n_file_descriptor_proto + 1, sizeof *files->files);
  files->raw = sent->file_descriptor_proto;
  while (files->files && files->count < sent->n_file_descriptor_proto) {
    file_proto *file = reflect_unpack(&files->raw[files->count]);
    if (!file) return false;
    files->files[files->count++] = file;
  }
  return files->count > 0;
}

bool proto_files_of(tether_client *client, const tether_ctx *ctx, const char *symbol, proto_files *files, int *status) {
  Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  *files = (proto_files){0};
  request.message_request_case =
      GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
  request.file_containing_symbol = (char *)symbol;
  const Grpc__Reflection__V1__ServerReflectionResponse *response =
      reflect_ask(client, ctx, &request, &files->call, status);
  bool sent =
      response && response->message_response_case ==
                      GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
  if (sent && unpack_all(response->file_descriptor_response, files)) return true;
  if (response) *status = cli_print_failure(cli_url, TETHER_INTERNAL, "the answer has no usable descriptors");
  proto_files_fini(files);
  return false;
}

/* ---- Finding ------------------------------------------------------------------------------- */

/* What a server leaves out is shown as such. */
static const char *text(const char *string) { return string && *string ? string : "?"; }

/* What follows "scope." in the symbol, NULL if it is not in that scope. */
static const char *inside(const char *symbol, const char *scope) {
  size_t len = scope ? strlen(scope) : 0;
  if (len == 0) return symbol;
  return strncmp(symbol, scope, len) == 0 && symbol[len] == '.' ? symbol + len + 1 : NULL;
}

/* Whether the symbol is the element called `name`, or is in it. */
static bool is_or_is_inside(const char *symbol, const char *name) {
  return strcmp(symbol, text(name)) == 0 || inside(symbol, text(name));
}

static const service_proto *service_of(const file_proto *file, const char *rest) {
  for (size_t i = 0; rest && i < file->n_service; i++)
    if (is_or_is_inside(rest, file->service[i]->name)) return file->service[i];
  return NULL;
}

const service_proto *proto_find_service(const proto_files *files, const char *symbol) {
  const char *rest = inside(symbol, files->files[0]->package);
  const service_proto *service = service_of(files->files[0], rest);
  return service && strcmp(rest, text(service->name)) == 0 ? service : NULL;
}

/* ---- Printing ------------------------------------------------------------------------------ */

static const char *const type_names[] = {NULL,      "double",   "float",    "int64",  "uint64", "int32", "fixed64",
                                         "fixed32", "bool",     "string",   "group",  NULL,     "bytes", "uint32",
                                         NULL,      "sfixed32", "sfixed64", "sint32", "sint64"};

/* Names of types begin with a dot, which says that they are whole. */
static const char *type_of(const field_proto *field) {
  size_t type = (size_t)field->type;
  const char *name = type < sizeof type_names / sizeof type_names[0] ? type_names[type] : NULL;
  if (name) return name;
  return field->type_name && *field->type_name == '.' ? field->type_name + 1 : text(field->type_name);
}

/* The entry type of a map field, NULL if it is none. */
static const message_proto *map_entry_of(const message_proto *message, const field_proto *field) {
  const char *name = field->type_name ? strrchr(field->type_name, '.') : NULL;
  for (size_t i = 0; name && i < message->n_nested_type; i++) {
    const message_proto *nested = message->nested_type[i];
    bool entry = nested->options && nested->options->map_entry && nested->n_field == 2;
    if (entry && strcmp(text(nested->name), name + 1) == 0) return nested;
  }
  return NULL;
}

static const char *label_of(const field_proto *field, bool proto3) {
  if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED) return "repeated ";
  if (field->has_oneof_index && !field->proto3_optional) return "";
  if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED) return "required ";
  return proto3 && !field->proto3_optional ? "" : "optional ";
}

static void print_field(FILE *out, int indent, const message_proto *message, const field_proto *field, bool proto3) {
  const message_proto *entry = map_entry_of(message, field);
  fprintf(out, "%*s", indent, "");
  if (entry)
    fprintf(out, "map<%s, %s>", type_of(entry->field[0]), type_of(entry->field[1]));
  else
    fprintf(out, "%s%s", label_of(field, proto3), type_of(field));
  fprintf(out, " %s = %d;\n", text(field->name), field->number);
}

static void print_oneof(FILE *out, int indent, const message_proto *message, int32_t index, bool proto3) {
  fprintf(out, "%*soneof %s {\n", indent, "", text(message->oneof_decl[index]->name));
  for (size_t i = 0; i < message->n_field; i++) {
    const field_proto *field = message->field[i];
    if (field->has_oneof_index && field->oneof_index == index) print_field(out, indent + 2, message, field, proto3);
  }
  fprintf(out, "%*s}\n", indent, "");
}

static void print_enum(FILE *out, int indent, const enum_proto *type) {
  fprintf(out, "%*senum %s {\n", indent, "", text(type->name));
  for (size_t i = 0; i < type->n_value; i++)
    fprintf(out, "%*s%s = %d;\n", indent + 2, "", text(type->value[i]->name), type->value[i]->number);
  fprintf(out, "%*s}\n", indent, "");
}

static bool begins_oneof(const message_proto *message, size_t i) {
  const field_proto *field = message->field[i];
  for (size_t j = 0; j < i; j++)
    if (message->field[j]->has_oneof_index && message->field[j]->oneof_index == field->oneof_index) return false;
  return true;
}

static void print_message(FILE *out, int indent, const message_proto *message, bool proto3) {
  fprintf(out, "%*smessage %s {\n", indent, "", text(message->name));
  for (size_t i = 0; i < message->n_enum_type; i++) print_enum(out, indent + 2, message->enum_type[i]);
  for (size_t i = 0; i < message->n_nested_type; i++) {
    const message_proto *nested = message->nested_type[i];
    if (!nested->options || !nested->options->map_entry) print_message(out, indent + 2, nested, proto3);
  }
  for (size_t i = 0; i < message->n_field; i++) {
    const field_proto *field = message->field[i];
    bool grouped = field->has_oneof_index && !field->proto3_optional && field->oneof_index >= 0 &&
                   (size_t)field->oneof_index < message->n_oneof_decl;
    if (!grouped)
      print_field(out, indent + 2, message, field, proto3);
    else if (begins_oneof(message, i))
      print_oneof(out, indent + 2, message, field->oneof_index, proto3);
  }
  fprintf(out, "%*s}\n", indent, "");
}

static const char *without_dot(const char *type) { return type && *type == '.' ? type + 1 : text(type); }

static void print_service(FILE *out, const service_proto *service) {
  fprintf(out, "service %s {\n", text(service->name));
  for (size_t i = 0; i < service->n_method; i++) {
    const method_proto *method = service->method[i];
    fprintf(out, "  rpc %s(%s%s) returns (%s%s);\n", text(method->name), method->client_streaming ? "stream " : "",
            without_dot(method->input_type), method->server_streaming ? "stream " : "",
            without_dot(method->output_type));
  }
  fputs("}\n", out);
}

/* The innermost message or enum that `rest` is, or is a part of. */
static void print_type(FILE *out, const message_proto *message, const char *rest, bool proto3) {
  while ((rest = inside(rest, text(message->name)))) {
    for (size_t i = 0; i < message->n_enum_type; i++) {
      if (!is_or_is_inside(rest, message->enum_type[i]->name)) continue;
      print_enum(out, 0, message->enum_type[i]);
      return;
    }
    const message_proto *deeper = NULL;
    for (size_t i = 0; i < message->n_nested_type && !deeper; i++)
      if (is_or_is_inside(rest, message->nested_type[i]->name)) deeper = message->nested_type[i];
    if (!deeper) break;
    message = deeper;
  }
  print_message(out, 0, message, proto3);
}

bool proto_print(FILE *out, const proto_files *files, const char *symbol) {
  const file_proto *file = files->files[0];
  const char *rest = inside(symbol, file->package);
  bool proto3 = file->syntax && strcmp(file->syntax, "proto3") == 0;
  fprintf(out, "// %s\n", text(file->name));
  const service_proto *service = service_of(file, rest);
  if (service) {
    print_service(out, service);
    return true;
  }
  for (size_t i = 0; rest && i < file->n_message_type; i++) {
    if (!is_or_is_inside(rest, file->message_type[i]->name)) continue;
    print_type(out, file->message_type[i], rest, proto3);
    return true;
  }
  for (size_t i = 0; rest && i < file->n_enum_type; i++) {
    if (!is_or_is_inside(rest, file->enum_type[i]->name)) continue;
    print_enum(out, 0, file->enum_type[i]);
    return true;
  }
  return false;
}
