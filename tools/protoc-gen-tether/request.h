/* request.h: what protoc sends. Everything read from it has been checked: names are there and are identifiers,
 * files to generate and imports exist, types resolve. */
#ifndef TTH_REQUEST_H
#define TTH_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "plugin.pb-c.h"

/* A message type and the file that defines it. */
struct tth_type {
  const char *name; /* .demo.v1.HelloRequest */
  const Google__Protobuf__FileDescriptorProto *file;
};

/* A file's descriptor as protoc sent it, byte for byte, but for the places of its elements in the source. */
struct tth_raw {
  const uint8_t *data;
  size_t len;
};

struct tth_request {
  Tth__Plugin__Request *message;
  struct tth_raw *raw;    /* one for each proto_file */
  struct tth_type *types; /* sorted by name */
  size_t type_count;
};

/* Unpacks and checks `len` bytes. On failure `*reason` says what is wrong with them. */
bool tth_request_read(struct tth_arena *arena, const uint8_t *data, size_t len, struct tth_request *request,
                      const char **reason);
void tth_request_fini(struct tth_request *request);

/* NULL if there is no such file or type. */
const Google__Protobuf__FileDescriptorProto *tth_request_file(const struct tth_request *request, const char *name);
const struct tth_raw *tth_request_raw(const struct tth_request *request,
                                      const Google__Protobuf__FileDescriptorProto *file);
const struct tth_type *tth_request_type(const struct tth_request *request, const char *name);

#endif
