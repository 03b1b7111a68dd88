/* cli/proto_text.h: the files a server sent, and what is in them as .proto text. */
#ifndef SERVICES_CLI_PROTO_TEXT_H
#define SERVICES_CLI_PROTO_TEXT_H

#include <google/protobuf/descriptor.pb-c.h>
#include <stdio.h>
#include <tether/rpc.h>

/* The file that a symbol is in, then everything it imports. */
typedef struct proto_files {
  Google__Protobuf__FileDescriptorProto **files;
  const ProtobufCBinaryData *raw; /* the same as they came */
  size_t count;
  tether_call *call; /* they are read from */
} proto_files;

/* Asks the server for the files of a symbol. false: what is wrong has been printed, *status is the exit code. */
bool proto_files_of(tether_client *client, const tether_ctx *ctx, const char *symbol, proto_files *files, int *status);
void proto_files_fini(proto_files *files);

/* NULL if the symbol is no service. */
const Google__Protobuf__ServiceDescriptorProto *proto_find_service(const proto_files *files, const char *symbol);

/* Prints the service, message or enum that the symbol is, or is a part of. false: it is none. */
bool proto_print(FILE *out, const proto_files *files, const char *symbol);

#endif
