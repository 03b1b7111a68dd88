/* emit_client.c: what a client calls a method with: stubs that begin a call, and the reader of its one reply. */
#include "emit.h"

/* "<before><name>(tether_client *client..." of both stubs; `before` differs between header and source. */
static void emit_stub(struct tth_text *out, const char *before, const struct tth_method *method, bool blocking,
                      const char *close) {
  struct tth_text open = {0}, request = {0};
  tth_text_printf(&open, "%stether_call *%s%s(", before, method->client, blocking ? "" : "_start");
  tth_text_printf(&request, "const %s *request", method->request.type);
  const char *arguments[6] = {"tether_client *client", "const tether_ctx *ctx"};
  size_t count = 2;
  if (!tth_shape_streams_requests(method->shape)) arguments[count++] = request.data;
  arguments[count++] = "const tether_call_options *options";
  if (!blocking) {
    arguments[count++] = "tether_call_done_fn done";
    arguments[count++] = "void *data";
  }
  tth_emit_call(out, open.data, arguments, count, close);
  tth_text_fini(&open);
  tth_text_fini(&request);
}

static void emit_body(struct tth_text *out, const struct tth_method *method, bool blocking) {
  struct tth_text descriptor = {0};
  tth_text_printf(&descriptor, "&%s_method", method->prefix);
  const char *request = tth_shape_streams_requests(method->shape) ? "NULL" : "(const ProtobufCMessage *)request";
  const char *const arguments[] = {"client", "ctx", descriptor.data, request, "options", "done", "data"};
  tth_emit_call(out, blocking ? "  return tether_call_unary(" : "  return tether_call_start(", arguments,
                blocking ? 5 : 7, ");");
  tth_text_puts(out, "}\n");
  tth_text_fini(&descriptor);
}

void tth_emit_client_header(struct tth_text *out, const struct tth_method *method) {
  static const char *const starts[] = {
      [TTH_UNARY] = "The same without blocking: see tether_call_start.",
      [TTH_CLIENT_STREAMING] =
          "Starts a call of any number of requests and one reply; never blocks. "
          "See tether_call_start.",
      [TTH_SERVER_STREAMING] =
          "Starts a call of one request and any number of replies; never blocks. "
          "See tether_call_start.",
      [TTH_BIDI_STREAMING] =
          "Starts a call of any number of requests and replies; never blocks. "
          "See tether_call_start.",
  };
  tth_emit_comment(out, "", method->comment);
  if (method->shape == TTH_UNARY) emit_stub(out, "TETHER_MUST_USE ", method, true, ");");
  if (method->shape == TTH_UNARY || *method->comment) tth_text_puts(out, "\n");
  tth_text_printf(out, "/* %s */\n", starts[method->shape]);
  emit_stub(out, "TETHER_MUST_USE ", method, false, ");");
  tth_text_puts(out, "\n");
  if (tth_shape_streams_replies(method->shape)) return;
  tth_text_printf(out,
                  "/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */\n"
                  "static inline const %s *%s_reply(const tether_call *call) {\n"
                  "  return (const %s *)tether_call_reply(call);\n}\n\n",
                  method->reply.type, method->prefix, method->reply.type);
}

void tth_emit_client_source(struct tth_text *out, const struct tth_method *method) {
  if (method->shape == TTH_UNARY) {
    emit_stub(out, "", method, true, ") {");
    emit_body(out, method, true);
    tth_text_puts(out, "\n");
  }
  emit_stub(out, "", method, false, ") {");
  emit_body(out, method, false);
}
