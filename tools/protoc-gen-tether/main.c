/* protoc-gen-tether: writes C stubs and service tables for tether from .proto files.
 *
 * protoc runs it (protoc --tether_out=DIR x.proto), hands a CodeGeneratorRequest to standard input and takes a
 * CodeGeneratorResponse from standard output:
 *
 *   stdin -> request.c (bytes checked) -> model.c (names, comments, options) -> symbols.c (names that meet)
 *         -> emit_*.c (text) -> stdout
 *
 * Failure: .proto files at fault make a response with `error` set and exit 0, as the contract says. Input that is no
 * request, and output that cannot be written, make a message on standard error and exit 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "model.h"
#include "request.h"
#include "symbols.h"

enum { FEATURE_PROTO3_OPTIONAL = 1 };

static int fail(const char *what) {
  fprintf(stderr, "protoc-gen-tether: %s\n", what);
  return 1;
}

static bool read_all(FILE *in, struct tth_text *bytes) {
  char chunk[65536];
  size_t len;
  while ((len = fread(chunk, 1, sizeof chunk, in)) > 0) tth_text_add(bytes, chunk, len);
  return !ferror(in);
}

static bool write_response(const Tth__Plugin__Response *response) {
  size_t len = tth__plugin__response__get_packed_size(response);
  uint8_t *bytes = tth_realloc(NULL, len);
  tth__plugin__response__pack(response, bytes);
  bool written = fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0;
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

static int run(struct tth_arena *arena) {
  struct tth_text input = {0};
  struct tth_request request;
  const char *reason = "cannot read standard input";
  bool readable =
      read_all(stdin, &input) && tth_request_read(arena, input.data ? (const uint8_t *)input.data : (const uint8_t *)"",
                                                  input.len, &request, &reason);
  tth_text_fini(&input);
  if (!readable) {
    return fail(
        tth_arena_printf(arena, "what standard input gave cannot be used: %s (protoc runs this program)", reason));
  }
  struct tth_diag diag = {0};
  Tth__Plugin__Response response = TTH__PLUGIN__RESPONSE__INIT;
  response.has_supported_features = true;
  response.supported_features = FEATURE_PROTO3_OPTIONAL;
  generate(arena, &request, &diag, &response);
  bool written = write_response(&response);
  tth_text_fini(&diag.text);
  tth_request_fini(&request);
  return written ? 0 : fail("cannot write to standard output");
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("protoc-gen-tether " TETHER_VERSION);
    return 0;
  }
  if (argc > 1) return fail("takes no arguments: protoc runs it, as in protoc --tether_out=DIR x.proto");
  struct tth_arena arena = {0};
  int status = run(&arena);
  tth_arena_fini(&arena);
  return status;
}
