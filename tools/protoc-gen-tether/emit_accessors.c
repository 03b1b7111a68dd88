/* emit_accessors.c: the typed functions that send and receive. */
#include "accessors.h"
#include "emit.h"

/* The generic function writes a pointer to ProtobufCMessage, and must not write it into the caller's pointer to
 * another type: so it passes through a local. */
static void emit_recv_body(struct tth_text *out, const struct tth_accessor *accessor, const char *type,
                           const char *name) {
  tth_text_printf(out,
                  "  const ProtobufCMessage *message = NULL;\n"
                  "  tether_code code = %s(call, &message%s);\n"
                  "  if (code == TETHER_OK%s) *%s = (const %s *)message;\n"
                  "  return code;\n}\n\n",
                  accessor->generic, accessor->tries ? ", done" : "", accessor->tries ? " && *done" : "", name, type);
}

static void emit_accessor(struct tth_text *out, const struct tth_method *method, const struct tth_accessor *accessor) {
  const char *type = accessor->of_requests ? method->request.type : method->reply.type;
  const char *name = accessor->of_requests ? "request" : "reply";
  tth_text_printf(out, "/* %s */\nTETHER_MUST_USE static inline tether_code %s_%s(\n", accessor->comment,
                  method->prefix, accessor->suffix);
  tth_text_printf(out, "    tether_call *call, const %s *%s%s%s) {\n", type, accessor->sends ? "" : "*", name,
                  accessor->tries ? ", bool *done" : "");
  if (accessor->sends) {
    tth_text_printf(out, "  return %s(call, (const ProtobufCMessage *)%s%s);\n}\n\n", accessor->generic, name,
                    accessor->tries ? ", done" : "");
  } else {
    emit_recv_body(out, accessor, type, name);
  }
}

void tth_emit_accessors(struct tth_text *out, const struct tth_method *method) {
  for (const struct tth_accessor *accessor = NULL; (accessor = tth_accessor_next(method->shape, accessor)) != NULL;) {
    emit_accessor(out, method, accessor);
  }
}
