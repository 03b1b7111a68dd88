/* cli/reflect.h: asks a server for the files that define what it serves. */
#ifndef SERVICES_CLI_REFLECT_H
#define SERVICES_CLI_REFLECT_H

#include <google/protobuf/descriptor.pb-c.h>

#include "grpc/reflection/v1/reflection.tether.h"

/* One question on a stream of its own. The answer, read from *call, which is the caller's to release whatever comes.
 * NULL: there is none; what it ended with has been printed, and *status is the exit code. */
const Grpc__Reflection__V1__ServerReflectionResponse *reflect_ask(
    tether_client *client, const tether_ctx *ctx, const Grpc__Reflection__V1__ServerReflectionRequest *request,
    tether_call **call, int *status);

/* A file of the answer, to be freed with google__protobuf__file_descriptor_proto__free_unpacked; NULL if it is none.
 * What a server sends is not trusted: protobuf-c itself follows nesting of any depth. */
Google__Protobuf__FileDescriptorProto *reflect_unpack(const ProtobufCBinaryData *file);

#endif
