/* emit_source.c: the generated source. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "emit.h"

static void emit_flags(struct tth_text *out, const struct tth_method *method) {
  const struct tth_method_options *options = &method->options;
  const struct {
    bool set;
    const char *name;
  } flags[] = {
      {options->idempotent, "IDEMPOTENT"},
      {options->runs_inline, "INLINE"},
      {options->deadline_required, "DEADLINE_REQUIRED"},
      {tth_shape_streams_requests(method->shape), "CLIENT_STREAMING"},
      {tth_shape_streams_replies(method->shape), "SERVER_STREAMING"},
  };
  size_t count = 0;
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    if (!flags[i].set) continue;
    const char *before = count == 0 ? "    .flags = " : count == 3 ? " |\n             " : " | "; /* 3 fill a line */
    tth_text_printf(out, "%sTETHER_METHOD_%s", before, flags[i].name);
    count++;
  }
  if (count > 0) tth_text_puts(out, ",\n");
}

/* The shortest text that means this number. */
static void emit_number(struct tth_text *out, double number) {
  char text[40];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  tth_text_puts(out, text);
}

static void emit_retry(struct tth_text *out, const struct tth_retry_options *retry) {
  static const char *const names[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  if (retry->max_attempts == 0) return;
  uint32_t most = retry->max_attempts < 5 ? retry->max_attempts : 5;
  tth_text_printf(
      out, "    .retry =\n        &(const tether_retry_policy){\n            .max_attempts = %" PRIu32 ",\n", most);
  tth_text_printf(out, "            .initial_backoff_ns = INT64_C(%" PRIu32 ") * TETHER_MS,\n",
                  retry->initial_backoff_ms);
  tth_text_printf(out, "            .max_backoff_ns = INT64_C(%" PRIu32 ") * TETHER_MS,\n", retry->max_backoff_ms);
  tth_text_puts(out, "            .backoff_multiplier = ");
  emit_number(out, retry->backoff_multiplier);
  tth_text_puts(out, ",\n");
  const char *before = "            .retryable = ";
  for (size_t code = 0; code < sizeof names / sizeof *names; code++) {
    if (!(retry->codes & 1u << code)) continue;
    tth_text_printf(out, "%s1u << TETHER_%s", before, names[code]);
    before = " |\n                         ";
  }
  tth_text_puts(out, ",\n        },\n");
}

static void emit_method(struct tth_text *out, const struct tth_file *file, const struct tth_service *service,
                        const struct tth_method *method) {
  tth_text_printf(out, "\nconst tether_method %s_method = {\n", method->prefix);
  tth_text_printf(out, "    .path = \"%s\",\n", method->path);
  tth_text_printf(out, "    .request = &%s,\n", method->request.descriptor);
  tth_text_printf(out, "    .reply = &%s,\n", method->reply.descriptor);
  if (method->options.default_timeout_ms > 0) {
    tth_text_printf(out, "    .default_timeout_ns = INT64_C(%" PRIu32 ") * TETHER_MS,\n",
                    method->options.default_timeout_ms);
  }
  emit_flags(out, method);
  emit_retry(out, &method->options.retry);
  tth_text_printf(out, "    .file = &tether_file_%s,\n};\n\n", file->embedded[0].symbol);
  tth_emit_client_source(out, method);
  tth_text_puts(out, "\n");
  tth_emit_thunk(out, service, method);
}

static void emit_register(struct tth_text *out, const struct tth_service *service) {
  struct tth_text open = {0}, table = {0};
  tth_text_printf(&open, "tether_code %s_register(", service->prefix);
  tth_text_printf(&table, "const %s_service *service", service->prefix);
  const char *const arguments[] = {"tether_server *server", table.data, "void *data"};
  tth_text_puts(out, "\n");
  if (service->method_count == 0) {
    tth_emit_call(out, open.data, arguments, 3, ") {");
    tth_text_puts(out, "  return tether_server_add(server, NULL, 0, service, data);\n}\n");
  } else {
    tth_text_printf(out, "static const tether_served_method %s_methods[] = {\n", service->prefix);
    for (size_t i = 0; i < service->method_count; i++) {
      const char *prefix = service->methods[i].prefix;
      tth_text_printf(out, "    {&%s_method, %s_thunk},\n", prefix, prefix);
    }
    tth_text_puts(out, "};\n\n");
    tth_emit_call(out, open.data, arguments, 3, ") {");
    tth_text_printf(out, "  return tether_server_add(server, %s_methods, %zu, service, data);\n}\n", service->prefix,
                    service->method_count);
  }
  tth_text_fini(&open);
  tth_text_fini(&table);
}

void tth_emit_source(struct tth_text *out, const struct tth_file *file) {
  tth_text_puts(out, "/* Written by protoc-gen-tether. Do not edit.\n * Source: ");
  tth_text_printf(out, "%s */\n#include \"%s.tether.h\"\n", file->name, file->stem);
  for (size_t i = 0; i < file->service_count; i++) {
    const struct tth_service *service = &file->services[i];
    tth_text_printf(out, "\n/* ---- %s ---- */\n", service->name);
    for (size_t j = 0; j < service->method_count; j++) emit_method(out, file, service, &service->methods[j]);
    emit_register(out, service);
  }
  tth_emit_descriptors(out, file);
}
