#include "diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *tth_position_text(struct tth_arena *arena, struct tth_position position) {
  if (position.line == 0) return tth_arena_printf(arena, "%s", position.file);
  return tth_arena_printf(arena, "%s:%d:%d", position.file, position.line, position.column);
}

void tth_diag_at(struct tth_diag *diag, struct tth_position position, const char *format, ...) {
  struct tth_arena scratch = {0};
  tth_text_printf(&diag->text, "%s%s: ", diag->text.len ? "\n" : "", tth_position_text(&scratch, position));
  tth_arena_fini(&scratch);
  va_list args;
  va_start(args, format);
  tth_text_vprintf(&diag->text, format, args);
  va_end(args);
}

typedef Google__Protobuf__SourceCodeInfo__Location location;

static bool starts_with(const location *place, const struct tth_path *path) {
  return place->n_path >= path->count && memcmp(place->path, path->steps, path->count * sizeof *path->steps) == 0;
}

const location *tth_location_find(const Google__Protobuf__FileDescriptorProto *file, const struct tth_path *path) {
  size_t count = file->source_code_info ? file->source_code_info->n_location : 0;
  for (size_t i = 0; i < count; i++) {
    const location *place = file->source_code_info->location[i];
    if (place->n_path == path->count && starts_with(place, path)) return place;
  }
  return NULL;
}

struct tth_position tth_position_find(const Google__Protobuf__FileDescriptorProto *file, const struct tth_path *path,
                                      struct tth_position fallback) {
  size_t count = file->source_code_info ? file->source_code_info->n_location : 0;
  for (size_t i = 0; i < count; i++) {
    const location *place = file->source_code_info->location[i];
    bool known = place->n_span >= 3 && place->span[0] >= 0 && place->span[0] < INT32_MAX && place->span[1] >= 0 &&
                 place->span[1] < INT32_MAX;
    if (known && starts_with(place, path)) {
      return (struct tth_position){fallback.file, place->span[0] + 1, place->span[1] + 1};
    }
  }
  return fallback;
}
