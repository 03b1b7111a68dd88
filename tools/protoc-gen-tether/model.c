/* model.c: descriptors -> model, and everything that can be wrong with one element on its own. What is wrong between
 * elements (names that meet) is in symbols.c. */
#include "model.h"

#include <string.h>

#include "embed.h"
#include "names.h"

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;
typedef Google__Protobuf__MethodDescriptorProto method_proto;
typedef Google__Protobuf__DescriptorProto message_proto;

/* Field numbers of descriptor.proto, the steps of a path. */
enum {
  FILE_MESSAGE = 4,
  FILE_SERVICE = 6,
  FILE_OPTIONS = 8,
  MESSAGE_FIELD = 2,
  MESSAGE_NESTED = 3,
  SERVICE_METHOD = 2,
  METHOD_OPTIONS = 4,
};

/* What building a file needs at hand. */
struct build {
  struct tth_arena *arena;
  const struct tth_request *request;
  const file_proto *file;
  struct tth_diag *diag;
};

/* The comment above an element, or else the one after it. */
static const char *comment_of(const struct build *build, const struct tth_path *path) {
  const Google__Protobuf__SourceCodeInfo__Location *place = tth_location_find(build->file, path);
  if (place == NULL) return "";
  const char *comment = place->leading_comments ? place->leading_comments : place->trailing_comments;
  return comment ? tth_arena_copy(build->arena, comment, strlen(comment)) : "";
}

/* A full name as protoc-c sees it: (pb_c_file).c_package stands for the package. */
static const char *pbc_name(struct tth_arena *arena, const struct tth_type *type,
                            const struct tth_pbc_options *options) {
  const char *package = type->file->package ? type->file->package : "";
  if (options->c_package == NULL) return type->name + 1;
  const char *rest = type->name + 1 + strlen(package);
  return tth_arena_printf(arena, "%s%s%s", options->c_package, *package ? "" : ".", rest);
}

static struct tth_message build_message(const struct build *build, const char *full_name, struct tth_method *method) {
  const struct tth_type *type = tth_request_type(build->request, full_name);
  struct tth_pbc_options options;
  const char *problem = tth_pbc_options_read(build->arena, type->file->options, &options);
  if (problem == NULL && options.no_generate) problem = "says no_generate: protoc-c writes no such type";
  if (problem != NULL) {
    tth_diag_at(build->diag, method->position, "rpc %s uses %s, but option (pb_c_file) of %s %s", method->name,
                full_name + 1, type->file->name, problem);
  }
  const char *name = pbc_name(build->arena, type, &options);
  return (struct tth_message){
      .type = tth_name_pbc_type(build->arena, name),
      .descriptor = tth_arena_printf(build->arena, "%s__descriptor", tth_name_pbc_lower(build->arena, name)),
  };
}

/* The place of (tether.method) in a method's options, of its field `field` if that has one of its own. */
static struct tth_position option_position(const struct build *build, const struct tth_path *method, uint32_t field,
                                           struct tth_position fallback) {
  struct tth_path path = *method;
  path.steps[path.count++] = METHOD_OPTIONS;
  path.steps[path.count++] = TTH_METHOD_EXTENSION;
  struct tth_position option = tth_position_find(build->file, &path, fallback);
  path.steps[path.count++] = (int32_t)field;
  return tth_position_find(build->file, &path, option);
}

bool tth_shape_streams_requests(enum tth_shape shape) {
  return shape == TTH_CLIENT_STREAMING || shape == TTH_BIDI_STREAMING;
}

bool tth_shape_streams_replies(enum tth_shape shape) {
  return shape == TTH_SERVER_STREAMING || shape == TTH_BIDI_STREAMING;
}

static enum tth_shape shape_of(const method_proto *method) {
  if (method->client_streaming) return method->server_streaming ? TTH_BIDI_STREAMING : TTH_CLIENT_STREAMING;
  return method->server_streaming ? TTH_SERVER_STREAMING : TTH_UNARY;
}

/* What the names of a method must not be. */
static void check_method_names(const struct build *build, const method_proto *proto, const struct tth_method *method) {
  const char *pbc = tth_name_pbc_lower(build->arena, proto->name);
  if (tth_name_is_reserved(pbc)) {
    tth_diag_at(build->diag, method->position,
                "rpc %s becomes the member `%s` in what protoc-c writes, which C reserves; rename it", method->name,
                pbc);
  } else if (!tth_name_is_identifier(method->member)) {
    tth_diag_at(build->diag, method->position, "rpc %s would be `%s` in C, which is no usable name; rename it",
                method->name, method->member);
  }
}

static void build_method(const struct build *build, const struct tth_service *service, const method_proto *proto,
                         const struct tth_path *path, struct tth_method *method) {
  struct tth_arena *arena = build->arena;
  method->position = tth_position_find(build->file, path, service->position);
  method->name = tth_arena_printf(arena, "%s.%s", service->name, proto->name);
  method->path = tth_arena_printf(arena, "/%s/%s", service->name, proto->name);
  const char *snake = tth_name_snake(arena, proto->name);
  method->member = tth_name_is_reserved(snake) ? tth_arena_printf(arena, "%s_", snake) : snake;
  method->prefix = tth_arena_printf(arena, "%s_%s", service->prefix, snake);
  method->client = tth_arena_printf(arena, "%s_client_%s", service->prefix, snake);
  method->comment = comment_of(build, path);
  method->shape = shape_of(proto);
  check_method_names(build, proto, method);
  method->request = build_message(build, proto->input_type, method);
  method->reply = build_message(build, proto->output_type, method);
  uint32_t field;
  const char *problem = tth_method_options_read(arena, proto->options, &method->options, &field);
  if (problem != NULL) {
    tth_diag_at(build->diag, option_position(build, path, field, method->position),
                "option (tether.method) of rpc %s %s", method->name, problem);
  }
}

static void build_service(const struct build *build, const service_proto *proto, int32_t index,
                          struct tth_service *service) {
  struct tth_arena *arena = build->arena;
  const char *package = build->file->package ? build->file->package : "";
  struct tth_path path = {{FILE_SERVICE, index}, 2};
  service->position = tth_position_find(build->file, &path, (struct tth_position){.file = build->file->name});
  service->name = tth_arena_printf(arena, "%s%s%s", package, *package ? "." : "", proto->name);
  struct tth_pbc_options options; /* build_file has reported what is wrong with them */
  (void)tth_pbc_options_read(arena, build->file->options, &options);
  if (options.c_package != NULL) package = options.c_package;
  service->prefix = tth_name_snake(arena, tth_arena_printf(arena, "%s.%s", package, proto->name));
  service->comment = comment_of(build, &path);
  if (!tth_name_is_identifier(service->prefix)) {
    tth_diag_at(build->diag, service->position, "service %s would be `%s` in C, which is no usable name; rename it",
                service->name, service->prefix);
  }
  service->method_count = proto->n_method;
  service->methods = tth_arena_alloc(arena, proto->n_method * sizeof *service->methods);
  for (size_t i = 0; i < proto->n_method; i++) {
    struct tth_path method = {{FILE_SERVICE, index, SERVICE_METHOD, (int32_t)i}, 4};
    build_method(build, service, proto->method[i], &method, &service->methods[i]);
  }
}

/* protoc asks for FEATURE_PROTO3_OPTIONAL before it hands over such a file; we grant it to be able to say where the
 * trouble is: protoc-c refuses the whole file without a line. */
static void refuse_proto3_optional(const struct build *build, const message_proto *message, const char *scope,
                                   struct tth_path path) {
  if (path.count + 2 > TTH_PATH_MAX) return;
  for (size_t i = 0; i < message->n_field; i++) {
    if (!message->field[i]->proto3_optional) continue;
    struct tth_path field = path;
    field.steps[field.count++] = MESSAGE_FIELD;
    field.steps[field.count++] = (int32_t)i;
    tth_diag_at(build->diag, tth_position_find(build->file, &field, (struct tth_position){.file = build->file->name}),
                "field %s.%s is a proto3 optional, which protoc-c cannot compile; use a oneof with one member", scope,
                message->field[i]->name ? message->field[i]->name : "?");
  }
  for (size_t i = 0; i < message->n_nested_type; i++) {
    struct tth_path nested = path;
    nested.steps[nested.count++] = MESSAGE_NESTED;
    nested.steps[nested.count++] = (int32_t)i;
    refuse_proto3_optional(build, message->nested_type[i],
                           tth_arena_printf(build->arena, "%s.%s", scope, message->nested_type[i]->name), nested);
  }
}

/* Names below are built from the file's: protoc puts them together with the output directory unchecked, and they
 * stand in comments and #include lines. */
static bool stays_inside(const char *name) {
  for (const char *c = name; *c; c++) {
    if ((unsigned char)*c < ' ' || strchr("\x7f\\\"*", *c) != NULL) return false;
  }
  for (const char *piece = name;; piece++) {
    size_t len = strcspn(piece, "/");
    if (len == 0 || (len == 1 && *piece == '.') || (len == 2 && strncmp(piece, "..", 2) == 0)) return false;
    piece += len;
    if (*piece == '\0') return true;
  }
}

static void build_file(const struct build *build, struct tth_file *model) {
  const file_proto *file = build->file;
  struct tth_position top = {.file = file->name};
  struct tth_path options_path = {{FILE_OPTIONS}, 1};
  struct tth_pbc_options options;
  if (!stays_inside(file->name)) {
    tth_diag_at(build->diag, top,
                "no output can be written for a file of this name: it could break out of the output directory or "
                "of a comment");
  }
  if (file->syntax != NULL && strcmp(file->syntax, "proto2") != 0 && strcmp(file->syntax, "proto3") != 0) {
    tth_diag_at(build->diag, top, "syntax \"%s\" is not supported", file->syntax);
  }
  const char *problem = tth_pbc_options_read(build->arena, file->options, &options);
  if (problem == NULL && options.no_generate && file->n_service > 0) {
    problem = "says no_generate, but its services need what protoc-c would write";
  }
  if (problem != NULL) {
    tth_diag_at(build->diag, tth_position_find(file, &options_path, top), "option (pb_c_file) %s", problem);
  }
  model->has_messages = !options.no_generate;
  for (size_t i = 0; i < file->n_message_type; i++) {
    const message_proto *message = file->message_type[i];
    const char *dot = file->package && *file->package ? "." : "";
    const char *name = tth_arena_printf(build->arena, "%s%s%s", file->package ? file->package : "", dot, message->name);
    refuse_proto3_optional(build, message, name, (struct tth_path){{FILE_MESSAGE, (int32_t)i}, 2});
  }
  for (size_t i = 0; i < file->n_service; i++) {
    build_service(build, file->service[i], (int32_t)i, &model->services[i]);
  }
}

void tth_model_build(struct tth_arena *arena, const struct tth_request *request, const file_proto *file,
                     struct tth_diag *diag, struct tth_file *model) {
  struct build build = {arena, request, file, diag};
  *model = (struct tth_file){
      .name = file->name,
      .stem = tth_name_strip_proto(arena, file->name),
      .services = tth_arena_alloc(arena, file->n_service * sizeof *model->services),
      .service_count = file->n_service,
  };
  build_file(&build, model);
  tth_embed(arena, request, file, model);
}
