/* emit_handler.c: what a server runs a method with: its member of the service table, and the thunk that finds it. */
#include "emit.h"

void tth_emit_table_member(struct tth_text *out, const struct tth_method *method) {
  struct tth_text open = {0}, request = {0}, reply = {0};
  tth_text_printf(&open, "  tether_code (*%s)(", method->member);
  tth_text_printf(&request, "const %s *request", method->request.type);
  tth_text_printf(&reply, "%s *reply", method->reply.type);
  const char *arguments[5] = {"const tether_ctx *ctx", "tether_call *call"};
  size_t count = 2;
  if (!tth_shape_streams_requests(method->shape)) arguments[count++] = request.data;
  if (!tth_shape_streams_replies(method->shape)) arguments[count++] = reply.data;
  arguments[count++] = "void *data";
  tth_emit_call(out, open.data, arguments, count, ");");
  tth_text_fini(&open);
  tth_text_fini(&request);
  tth_text_fini(&reply);
}

/* The thunk's call of the handler: what is a stream, is no argument. */
static void emit_dispatch(struct tth_text *out, const struct tth_method *method) {
  struct tth_text call = {0}, request = {0}, reply = {0};
  tth_text_printf(&call, "  return table->%s(", method->member);
  tth_text_printf(&request, "(const %s *)request", method->request.type);
  tth_text_printf(&reply, "(%s *)reply", method->reply.type);
  const char *arguments[5] = {"ctx", "call"};
  size_t count = 2;
  if (!tth_shape_streams_requests(method->shape)) arguments[count++] = request.data;
  if (!tth_shape_streams_replies(method->shape)) arguments[count++] = reply.data;
  arguments[count++] = "data";
  tth_emit_call(out, call.data, arguments, count, ");");
  tth_text_fini(&call);
  tth_text_fini(&request);
  tth_text_fini(&reply);
}

void tth_emit_thunk(struct tth_text *out, const struct tth_service *service, const struct tth_method *method) {
  struct tth_text open = {0};
  tth_text_printf(&open, "static tether_code %s_thunk(", method->prefix);
  const char *const parameters[] = {"const tether_ctx *ctx",   "tether_call *call",   "const ProtobufCMessage *request",
                                    "ProtobufCMessage *reply", "const void *service", "void *data"};
  tth_emit_call(out, open.data, parameters, 6, ") {");
  if (tth_shape_streams_requests(method->shape))
    tth_text_puts(out, "  (void)request; /* NULL: the client streams */\n");
  if (tth_shape_streams_replies(method->shape)) tth_text_puts(out, "  (void)reply; /* NULL: the server streams */\n");
  tth_text_printf(out, "  const %s_service *table = service;\n  if (table->%s == NULL) {\n", service->prefix,
                  method->member);
  tth_text_printf(out,
                  "    return tether_call_fail(call, TETHER_UNIMPLEMENTED, \"%%s is not implemented here\",\n"
                  "                            %s_method.path);\n  }\n",
                  method->prefix);
  emit_dispatch(out, method);
  tth_text_puts(out, "}\n");
  tth_text_fini(&open);
}
