/* embed.h: which descriptors go into the source generated for a file: its own and those of everything it imports,
 * directly or not, so that a server can show all of them (reflection), whoever compiled the imports and how.
 *
 * Left out: the files that define what options look like. libtether-reflection has them, and they would make every
 * generated source some 30 KB longer. */
#ifndef TTH_EMBED_H
#define TTH_EMBED_H

#include "model.h"

/* Sets the model's `embedded`. */
void tth_embed(struct tth_arena *arena, const struct tth_request *request,
               const Google__Protobuf__FileDescriptorProto *file, struct tth_file *model);

#endif
