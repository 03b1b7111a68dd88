/* emit.h: model -> text of the generated files. */
#ifndef TTH_EMIT_H
#define TTH_EMIT_H

#include "model.h"
#include "text.h"

/* a/b.tether.h and a/b.tether.c. */
void tth_emit_header(struct tth_text *out, const struct tth_file *file);
void tth_emit_source(struct tth_text *out, const struct tth_file *file);

/* The parts of a method, whatever its shape: stubs and the reader of the reply; functions that send and receive, of
 * both sides; the member of the service table; the handler in untyped form. */
void tth_emit_client_header(struct tth_text *out, const struct tth_method *method);
void tth_emit_client_source(struct tth_text *out, const struct tth_method *method);
void tth_emit_accessors(struct tth_text *out, const struct tth_method *method);
void tth_emit_table_member(struct tth_text *out, const struct tth_method *method);
void tth_emit_thunk(struct tth_text *out, const struct tth_service *service, const struct tth_method *method);

/* What the source says of its .proto file and the ones it imports: their descriptors, and a tether_file. */
void tth_emit_descriptors(struct tth_text *out, const struct tth_file *file);

/* A comment as written in C, indented, with whatever could end it or upset a compiler made harmless. Nothing for
 * an empty one. */
void tth_emit_comment(struct tth_text *out, const char *indent, const char *comment);

/* `open` and the arguments, filled into lines of at most 120 columns, then `close`:
 *   open(first, second,
 *        third)close */
void tth_emit_call(struct tth_text *out, const char *open, const char *const *arguments, size_t count,
                   const char *close);

#endif
