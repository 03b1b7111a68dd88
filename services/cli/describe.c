/* cli/describe.c: shows what a symbol is, as .proto text, or writes its files as a descriptor set for protoc. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/proto_text.h"

static const char *set_path;

static const svc_option options[] = {
    CLI_COMMON_OPTIONS,
    {"set", "FILE", "write the file and its imports for protoc --descriptor_set_in=FILE", SVC_TEXT, &set_path},
    {0},
};

static void check(int argc, char **argv) {
  if (argc == 0) cli_usage_error("what to describe is missing: package.Service, package.Message, ...");
  if (argc > 1) cli_usage_error("unexpected argument '%s'", argv[1]);
}

/* A FileDescriptorSet is one bytes field after the other. */
static bool write_set(const proto_files *files) {
  FILE *out = fopen(set_path, "wbe");
  if (!out) return false;
  for (size_t i = files->count; i-- > 0;) { /* imports first, as protoc has them */
    const ProtobufCBinaryData *raw = &files->raw[i];
    fputc(1 << 3 | 2, out);
    size_t left = raw->len;
    for (; left > 0x7f; left >>= 7) fputc((int)(left & 0x7f) | 0x80, out);
    fputc((int)left, out);
    fwrite(raw->data, 1, raw->len, out);
  }
  bool failed = ferror(out);
  return fclose(out) == 0 && !failed;
}

static int describe(const proto_files *files, const char *symbol) {
  if (set_path && !write_set(files)) {
    fprintf(stderr, "tether-cli: cannot write %s: %s\n", set_path, strerror(errno));
    return CLI_FAILED;
  }
  if (set_path || proto_print(stdout, files, symbol)) return 0;
  return cli_print_failure(symbol, TETHER_NOT_FOUND, "it is neither in a service nor in a message or enum");
}

static int run(tether_client *client, int argc, char **argv) {
  (void)argc;
  int status = 0;
  proto_files files;
  tether_ctx *ctx = cli_ctx_new(tether_ctx_background(), CLI_DEFAULT_TIMEOUT_NS);
  if (proto_files_of(client, ctx, argv[0], &files, &status)) {
    status = describe(&files, argv[0]);
    proto_files_fini(&files);
  }
  cli_ctx_free(ctx);
  return status;
}

const cli_command cli_describe = {.name = "describe",
                                  .synopsis = "tether-cli describe [options] SYMBOL",
                                  .what = "shows a service, message or enum of a server",
                                  .options = options,
                                  .check = check,
                                  .run = run};
