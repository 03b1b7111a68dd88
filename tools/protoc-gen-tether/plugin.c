/* plugin.c: bytes of a request in, bytes of a response out.
 *
 *   request.c (bytes checked) -> model.c (names, comments, options) -> symbols.c (names that meet)
 *   -> emit_*.c (text) -> response
 *
 * Failure: .proto files at fault make a response with `error` set and status 0, as protoc's contract says. Input that
 * is no request, and output that cannot be written, make a message on `errors` and status 1. */
#include "plugin.h"

#include <stdlib.h>

#include "emit.h"
#include "model.h"
#include "request.h"
#include "symbols.h"

enum { FEATURE_PROTO3_OPTIONAL = 1 };

static bool read_all(FILE *in, struct tth_text *bytes) {
  char chunk[65536];
  size_t len;
  while ((len = fread(chunk, 1, sizeof chunk, in)) > 0) tth_text_add(bytes, chunk, len);
  return !ferror(in);
}

static bool write_response(const Tth__Plugin__Response *response, FILE *out) {
  size_t len = tth__plugin__response__get_packed_size(response);
  uint8_t *bytes = tth_realloc(NULL, len);
  tth__plugin__response__pack(response, bytes);
  bool written = fwrite(bytes, 1, len, out) == len && fflush(out) == 0;
  free(bytes);
  return written;
}

/* Writes `text` down as a file of the response. */
static Tth__Plugin__Response__File *make_file(struct tth_arena *arena, const char *stem, const char *suffix,
                                              struct tth_text *text) {
  Tth__Plugin__Response__File *file = tth_arena_alloc(arena, sizeof *file);
  tth__plugin__response__file__init(file);
  file->name = tth_arena_printf(arena, "%s%s", stem, suffix);
  file->content = tth_arena_copy(arena, text->data, text->len);
  tth_text_fini(text);
  return file;
}

static void generate(struct tth_arena *arena, const struct tth_request *request, struct tth_diag *diag,
                     Tth__Plugin__Response *response) {
  size_t count = request->message->n_file_to_generate;
  struct tth_file *files = tth_arena_alloc(arena, count * sizeof *files);
  const char *parameter = request->message->parameter;
  if (parameter != NULL && *parameter != '\0') {
    tth_diag_at(diag, (struct tth_position){.file = "--tether_opt"}, "unknown parameter \"%s\"; there are none",
                parameter);
  }
  for (size_t i = 0; i < count; i++) {
    const char *name = request->message->file_to_generate[i];
    tth_model_build(arena, request, tth_request_file(request, name), diag, &files[i]);
  }
  tth_symbols_check(arena, files, count, diag);
  if (diag->text.len > 0) {
    response->error = diag->text.data;
    return;
  }
  response->file = tth_arena_alloc(arena, 2 * count * sizeof *response->file);
  for (size_t i = 0; i < count; i++) {
    struct tth_text header = {0}, source = {0};
    tth_emit_header(&header, &files[i]);
    tth_emit_source(&source, &files[i]);
    response->file[response->n_file++] = make_file(arena, files[i].stem, ".tether.h", &header);
    response->file[response->n_file++] = make_file(arena, files[i].stem, ".tether.c", &source);
  }
}

static int run(struct tth_arena *arena, FILE *in, FILE *out, FILE *errors) {
  struct tth_text input = {0};
  struct tth_request request;
  const char *reason = "it cannot be read";
  bool usable =
      read_all(in, &input) && tth_request_read(arena, input.data ? (const uint8_t *)input.data : (const uint8_t *)"",
                                               input.len, &request, &reason);
  tth_text_fini(&input);
  if (!usable) {
    fprintf(errors, "protoc-gen-tether: standard input is of no use: %s. protoc runs this program.\n", reason);
    return 1;
  }
  struct tth_diag diag = {0};
  Tth__Plugin__Response response = TTH__PLUGIN__RESPONSE__INIT;
  response.has_supported_features = true;
  response.supported_features = FEATURE_PROTO3_OPTIONAL;
  generate(arena, &request, &diag, &response);
  bool written = write_response(&response, out);
  if (!written) fputs("protoc-gen-tether: cannot write to standard output\n", errors);
  tth_text_fini(&diag.text);
  tth_request_fini(&request);
  return written ? 0 : 1;
}

int tth_plugin_run(FILE *in, FILE *out, FILE *errors) {
  struct tth_arena arena = {0};
  int status = run(&arena, in, out, errors);
  tth_arena_fini(&arena);
  return status;
}
