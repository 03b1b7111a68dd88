/* The generator on bytes that are no request, or not one that protoc would send. A run ends one of two ways: status 0
 * and a whole response, with files or with an error and never both; or status 1, nothing written, and a reason. What
 * is generated is C in which nothing of the input stands but names, and words inside comments and strings. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "plugin.pb-c.h"
#include "tests/fuzz/fuzz.h"

/* Where a comment or string that begins at `at` ends; `at` itself if none does there. */
static const char *skip_words(const char *at) {
  if (strncmp(at, "/*", 2) == 0) {
    const char *end = strstr(at + 2, "*/");
    if (!end) fuzz_fail("a comment that does not end: %.80s", at);
    return end + 2;
  }
  if (*at != '"') return at;
  for (const char *p = at + 1; *p && *p != '\n'; p++) {
    if (*p == '"') return p + 1;
    if (*p == '\\' && p[1]) p++;
  }
  fuzz_fail("a string that does not end: %.80s", at);
}

/* Outside of comments and strings there are printable characters and balanced brackets alone. */
static void check_code(const char *code) {
  char open[64];
  size_t depth = 0;
  for (const char *at = code; *at;) {
    const char *after = skip_words(at);
    if (after != at) {
      at = after;
      continue;
    }
    if (*at != '\n' && !(*at >= ' ' && *at <= '~')) fuzz_fail("a stray byte %d in code: %.80s", *at, at);
    if (strchr("({[", *at)) {
      FUZZ_CHECK(depth < sizeof open);
      open[depth++] = *at;
    } else if (strchr(")}]", *at)) {
      FUZZ_CHECK(depth > 0 && strchr("(){}[]", open[depth - 1])[1] == *at);
      depth--;
    }
    at++;
  }
  FUZZ_CHECK(depth == 0);
}

static void check_file(const Tth__Plugin__Response__File *file) {
  FUZZ_CHECK(file->name && file->content && *file->content);
  size_t len = strlen(file->name);
  FUZZ_CHECK(len > 9 &&
             (strcmp(file->name + len - 9, ".tether.h") == 0 || strcmp(file->name + len - 9, ".tether.c") == 0));
  FUZZ_CHECK(file->name[0] != '/' && !strstr(file->name, "../"));
  check_code(file->content);
}

static void check_response(const char *bytes, size_t len) {
  Tth__Plugin__Response *response = tth__plugin__response__unpack(NULL, len, (const uint8_t *)bytes);
  FUZZ_CHECK(response && (response->error != NULL) != (response->n_file > 0));
  for (size_t i = 0; i < response->n_file; i++) check_file(response->file[i]);
  tth__plugin__response__free_unpacked(response, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  char *output = NULL, *reason = NULL;
  size_t output_len = 0, reason_len = 0;
  /* fmemopen refuses the size 0. */
  FILE *in = size > 0 ? fmemopen((void *)input, size, "rb") : fopen("/dev/null", "rb");
  FILE *out = open_memstream(&output, &output_len), *errors = open_memstream(&reason, &reason_len);
  FUZZ_CHECK(in && out && errors);
  int status = tth_plugin_run(in, out, errors);
  fclose(in);
  fclose(out);
  fclose(errors);
  if (status == 0) {
    FUZZ_CHECK(reason_len == 0);
    check_response(output, output_len);
  } else {
    FUZZ_CHECK(status == 1 && output_len == 0 && strncmp(reason, "protoc-gen-tether: ", 19) == 0);
  }
  free(output);
  free(reason);
  return 0;
}
