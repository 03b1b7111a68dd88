#include "embed.h"

#include <string.h>

#include "names.h"

typedef Google__Protobuf__FileDescriptorProto file_proto;

static bool is_left_out(const char *name) {
  static const char *const left_out[] = {"google/protobuf/descriptor.proto", "protobuf-c/protobuf-c.proto",
                                         "tether/options.proto"};
  for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
    if (strcmp(name, left_out[i]) == 0) return true;
  }
  return false;
}

static bool has(const struct tth_file *model, const char *name) {
  for (size_t i = 0; i < model->embedded_count; i++) {
    if (strcmp(model->embedded[i].name, name) == 0) return true;
  }
  return false;
}

static void add(struct tth_arena *arena, const struct tth_request *request, const file_proto *file,
                struct tth_file *model) {
  model->embedded[model->embedded_count++] = (struct tth_embedded){
      .name = file->name, .symbol = tth_name_file(arena, file->name), .descriptor = *tth_request_raw(request, file)};
}

void tth_embed(struct tth_arena *arena, const struct tth_request *request, const file_proto *file,
               struct tth_file *model) {
  /* The file itself even if it is one of those: then somebody generates exactly that. */
  model->embedded = tth_arena_alloc(arena, request->message->n_proto_file * sizeof *model->embedded);
  add(arena, request, file, model);
  for (size_t done = 0; done < model->embedded_count; done++) {
    const file_proto *next = tth_request_file(request, model->embedded[done].name);
    for (size_t i = 0; i < next->n_dependency; i++) {
      const char *name = next->dependency[i];
      if (!is_left_out(name) && !has(model, name)) add(arena, request, tth_request_file(request, name), model);
    }
  }
}
