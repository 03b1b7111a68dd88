/* emit_header.c: the generated header. */
#include "emit.h"

static void emit_method(struct tth_text *out, const struct tth_method *method) {
  tth_text_printf(out, "extern const tether_method %s_method;\n\n", method->prefix);
  tth_emit_client_header(out, method);
  tth_emit_accessors(out, method);
}

static void emit_service(struct tth_text *out, const struct tth_service *service) {
  tth_text_printf(out, "\n/* ---- %s ---- */\n\n", service->name);
  tth_emit_comment(out, "", service->comment);
  if (*service->comment) tth_text_puts(out, "\n");
  for (size_t i = 0; i < service->method_count; i++) emit_method(out, &service->methods[i]);

  tth_text_printf(
      out,
      "/* The handlers of %s.\n"
      " * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to\n"
      " * %s_register. */\n"
      "typedef struct %s_service {\n",
      service->name, service->prefix, service->prefix);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct tth_method *method = &service->methods[i];
    tth_emit_comment(out, "  ", method->comment);
    tth_emit_table_member(out, method);
  }
  if (service->method_count == 0) tth_text_puts(out, "  char has_no_methods;\n");
  tth_text_printf(out, "} %s_service;\n\n", service->prefix);

  tth_text_printf(out,
                  "/* Serves %s with these handlers.\n"
                  " * `service` must outlive the server. Returns as tether_server_add. */\n",
                  service->name);
  struct tth_text open = {0}, table = {0};
  tth_text_printf(&open, "TETHER_MUST_USE tether_code %s_register(", service->prefix);
  tth_text_printf(&table, "const %s_service *service", service->prefix);
  const char *const arguments[] = {"tether_server *server", table.data, "void *data"};
  tth_emit_call(out, open.data, arguments, 3, ");");
  tth_text_fini(&open);
  tth_text_fini(&table);
}

void tth_emit_header(struct tth_text *out, const struct tth_file *file) {
  const char *symbol = file->embedded[0].symbol;
  tth_text_puts(out, "/* Written by protoc-gen-tether. Do not edit.\n * Source: ");
  tth_text_printf(out, "%s */\n#ifndef TETHER_GENERATED_%s\n#define TETHER_GENERATED_%s\n\n", file->name, symbol,
                  symbol);
  tth_text_puts(out, "#include <tether/rpc.h>\n");
  if (file->has_messages) tth_text_printf(out, "\n#include \"%s.pb-c.h\"\n", file->stem);
  tth_text_puts(out, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
  tth_text_printf(out, "/* This file as protoc describes it. */\nextern const tether_file tether_file_%s;\n", symbol);
  for (size_t i = 0; i < file->service_count; i++) emit_service(out, &file->services[i]);
  tth_text_puts(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
