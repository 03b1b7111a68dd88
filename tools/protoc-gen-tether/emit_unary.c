/* emit_unary.c: stubs, table members and thunks of unary methods. */
#include "emit.h"

/* "<before><name>(const tether_ctx..." of both stubs; `before` differs between header and source. */
static void emit_stub(struct tth_text *out, const char *before, const struct tth_method *method, bool blocking,
                      const char *close) {
  struct tth_text open = {0}, request = {0};
  tth_text_printf(&open, "%stether_call *%s%s(", before, method->client, blocking ? "" : "_start");
  tth_text_printf(&request, "const %s *request", method->request.type);
  const char *const arguments[] = {"tether_client *client",
                                   "const tether_ctx *ctx",
                                   request.data,
                                   "const tether_call_options *options",
                                   "tether_call_done_fn done",
                                   "void *data"};
  tth_emit_call(out, open.data, arguments, blocking ? 4 : 6, close);
  tth_text_fini(&open);
  tth_text_fini(&request);
}

static void client_header(struct tth_text *out, const struct tth_method *method) {
  tth_emit_comment(out, "", method->comment);
  emit_stub(out, "TETHER_MUST_USE ", method, true, ");");
  tth_text_puts(out, "\n/* The same without blocking: see tether_call_start. */\n");
  emit_stub(out, "TETHER_MUST_USE ", method, false, ");");
  tth_text_printf(out,
                  "\n/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */\n"
                  "static inline const %s *%s_reply(const tether_call *call) {\n"
                  "  return (const %s *)tether_call_reply(call);\n}\n\n",
                  method->reply.type, method->prefix, method->reply.type);
}

static void emit_body(struct tth_text *out, const struct tth_method *method, bool blocking) {
  struct tth_text descriptor = {0};
  tth_text_printf(&descriptor, "&%s_method", method->prefix);
  const char *const arguments[] = {"client",  "ctx",  descriptor.data, "(const ProtobufCMessage *)request",
                                   "options", "done", "data"};
  tth_emit_call(out, blocking ? "  return tether_call_unary(" : "  return tether_call_start(", arguments,
                blocking ? 5 : 7, ");");
  tth_text_puts(out, "}\n");
  tth_text_fini(&descriptor);
}

static void client_source(struct tth_text *out, const struct tth_method *method) {
  emit_stub(out, "", method, true, ") {");
  emit_body(out, method, true);
  tth_text_puts(out, "\n");
  emit_stub(out, "", method, false, ") {");
  emit_body(out, method, false);
}

static void table_member(struct tth_text *out, const struct tth_method *method) {
  struct tth_text open = {0}, request = {0}, reply = {0};
  tth_text_printf(&open, "  tether_code (*%s)(", method->member);
  tth_text_printf(&request, "const %s *request", method->request.type);
  tth_text_printf(&reply, "%s *reply", method->reply.type);
  const char *const arguments[] = {"const tether_ctx *ctx", "tether_call *call", request.data, reply.data,
                                   "void *data"};
  tth_emit_call(out, open.data, arguments, 5, ");");
  tth_text_fini(&open);
  tth_text_fini(&request);
  tth_text_fini(&reply);
}

static void thunk(struct tth_text *out, const struct tth_service *service, const struct tth_method *method) {
  struct tth_text open = {0}, call = {0}, request = {0}, reply = {0};
  tth_text_printf(&open, "static tether_code %s_thunk(", method->prefix);
  const char *const parameters[] = {"const tether_ctx *ctx",   "tether_call *call",   "const ProtobufCMessage *request",
                                    "ProtobufCMessage *reply", "const void *service", "void *data"};
  tth_emit_call(out, open.data, parameters, 6, ") {");
  tth_text_printf(out, "  const %s_service *table = service;\n  if (table->%s == NULL) {\n", service->prefix,
                  method->member);
  tth_text_printf(out,
                  "    return tether_call_fail(call, TETHER_UNIMPLEMENTED, \"%%s is not implemented here\",\n"
                  "                            %s_method.path);\n  }\n",
                  method->prefix);
  tth_text_printf(&call, "  return table->%s(", method->member);
  tth_text_printf(&request, "(const %s *)request", method->request.type);
  tth_text_printf(&reply, "(%s *)reply", method->reply.type);
  const char *const arguments[] = {"ctx", "call", request.data, reply.data, "data"};
  tth_emit_call(out, call.data, arguments, 5, ");");
  tth_text_puts(out, "}\n");
  tth_text_fini(&open);
  tth_text_fini(&call);
  tth_text_fini(&request);
  tth_text_fini(&reply);
}

const struct tth_shape_emitter *tth_emit_shape(enum tth_shape shape) {
  static const struct tth_shape_emitter emitters[] = {
      [TTH_UNARY] = {client_header, client_source, table_member, thunk},
  };
  return &emitters[shape];
}
