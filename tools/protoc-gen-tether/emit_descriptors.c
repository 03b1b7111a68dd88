/* emit_descriptors.c: the descriptors as arrays of numbers (a string would be longer than ISO C's 4095 bytes), and what
 * points to them. */
#include <string.h>

#include "emit.h"

enum { COLUMNS = 120 };

/* A string literal. Names of imports are not held to what names of files to generate are. */
static void emit_string(struct tth_text *out, const char *string) {
  tth_text_puts(out, "\"");
  for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
    if (*c < ' ' || *c >= 0x7f || strchr("\"\\?", *c) != NULL) {
      tth_text_printf(out, "\\%03o", *c);
    } else {
      tth_text_printf(out, "%c", *c);
    }
  }
  tth_text_puts(out, "\"");
}

static void emit_bytes(struct tth_text *out, const struct tth_embedded *file) {
  tth_text_printf(out, "\nstatic const uint8_t descriptor_of_%s[] = {", file->symbol);
  size_t line = 0;
  for (size_t i = 0; i < file->descriptor.len; i++) {
    if (i == 0 || out->len - line > COLUMNS - 5) {
      tth_text_puts(out, "\n   ");
      line = out->len - 3;
    }
    tth_text_printf(out, " %d,", file->descriptor.data[i]);
  }
  tth_text_puts(out, "\n};\n");
}

static void emit_file(struct tth_text *out, const char *before, const struct tth_embedded *file, const char *imports) {
  tth_text_printf(out, "%s_%s = {\n    .name = ", before, file->symbol);
  emit_string(out, file->name);
  tth_text_printf(out, ",\n    .descriptor = descriptor_of_%s,\n    .size = sizeof descriptor_of_%s,\n%s};\n",
                  file->symbol, file->symbol, imports);
}

void tth_emit_descriptors(struct tth_text *out, const struct tth_file *file) {
  const struct tth_embedded *self = &file->embedded[0];
  struct tth_text imports = {0};
  tth_text_puts(out, "\n/* ---- Descriptors ---- */\n");
  for (size_t i = 0; i < file->embedded_count; i++) emit_bytes(out, &file->embedded[i]);
  tth_text_puts(out, "\n");
  for (size_t i = 1; i < file->embedded_count; i++) {
    emit_file(out, "static const tether_file imported", &file->embedded[i], "");
    tth_text_puts(out, "\n");
  }
  if (file->embedded_count > 1) {
    tth_text_printf(out, "static const tether_file *const imports_of_%s[] = {\n", self->symbol);
    for (size_t i = 1; i < file->embedded_count; i++)
      tth_text_printf(out, "    &imported_%s,\n", file->embedded[i].symbol);
    tth_text_puts(out, "    NULL,\n};\n\n");
    tth_text_printf(&imports, "    .imports = imports_of_%s,\n", self->symbol);
  }
  emit_file(out, "const tether_file tether_file", self, imports.len > 0 ? imports.data : "");
  tth_text_fini(&imports);
}
