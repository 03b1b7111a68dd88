/* diag.h: what is wrong with the .proto files, each with its place.
 *
 * Problems gather, so that one run reports all of them, a line each:
 *   demo.proto:12:3: rpc demo.v1.Greeter.Register becomes the member `register` ... */
#ifndef TTH_DIAG_H
#define TTH_DIAG_H

#include <google/protobuf/descriptor.pb-c.h>
#include <stdbool.h>

#include "arena.h"
#include "text.h"

struct tth_position {
  const char *file;
  int line; /* from 1; 0: unknown */
  int column;
};

struct tth_diag {
  struct tth_text text; /* empty: no problem */
};

/* Adds a problem. */
void tth_diag_at(struct tth_diag *diag, struct tth_position position, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "file:12:3", or "file" when the place is unknown. */
char *tth_position_text(struct tth_arena *arena, struct tth_position position);

/* An element of a file as source_code_info numbers it: field numbers of descriptor.proto and indices. protoc nests
 * at most 32 messages. */
enum { TTH_PATH_MAX = 72 };
struct tth_path {
  int32_t steps[TTH_PATH_MAX];
  size_t count;
};

/* The element's place, NULL if the file has none for it. */
const Google__Protobuf__SourceCodeInfo__Location *tth_location_find(const Google__Protobuf__FileDescriptorProto *file,
                                                                    const struct tth_path *path);

/* The same as a position, and the position of the first place at or inside `path`; else `fallback`. */
struct tth_position tth_position_find(const Google__Protobuf__FileDescriptorProto *file, const struct tth_path *path,
                                      struct tth_position fallback);

#endif
