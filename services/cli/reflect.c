#include "cli/reflect.h"

#include <stdio.h>

#include "cli/cli.h"

/* protoc itself stops at 32 nested messages. */
enum { MAX_DEPTH = 64 };

const Grpc__Reflection__V1__ServerReflectionResponse *reflect_ask(
    tether_client *client, const tether_ctx *ctx, const Grpc__Reflection__V1__ServerReflectionRequest *request,
    tether_call **call, int *status) {
  const Grpc__Reflection__V1__ServerReflectionResponse *response = NULL;
  *call = grpc_reflection_v1_server_reflection_client_server_reflection_info_start(client, ctx, NULL, NULL, NULL);
  tether_code code = grpc_reflection_v1_server_reflection_server_reflection_info_send_request(*call, request);
  if (code == TETHER_OK) {
    tether_call_close_send(*call);
    code = grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(*call, &response);
  }
  if (code == TETHER_OK && response &&
      response->message_response_case ==
          GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE) {
    int number = response->error_response->error_code;
    bool known = number > TETHER_OK && number < TETHER_CODES;
    *status = cli_print_failure(cli_url, known ? (tether_code)number : TETHER_UNKNOWN,
                                response->error_response->error_message);
    return NULL;
  }
  if (code == TETHER_OK && response) return response;
  *status = cli_print_failure(cli_url, code == TETHER_OK ? TETHER_INTERNAL : code,
                              code == TETHER_OK ? "the stream ended without an answer" : tether_call_message(*call));
  return NULL;
}

/* ---- Descriptors --------------------------------------------------------------------------- */

typedef struct bytes {
  const uint8_t *at, *end;
} bytes;

static bool read_varint(bytes *in, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
    uint8_t byte = *in->at++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

/* Whether the bytes are well formed and nest at most `depth` messages of the descriptor's. Descriptors have no groups.
 */
static bool nests_within(const ProtobufCMessageDescriptor *type, bytes in, int depth) {
  while (depth > 0 && in.at < in.end) {
    uint64_t tag, value = 0;
    if (!read_varint(&in, &tag) || tag > UINT32_MAX) return false;
    switch (tag & 7) {
      case 0:
        if (!read_varint(&in, &value)) return false;
        continue;
      case 1:
        value = 8;
        break;
      case 2:
        if (!read_varint(&in, &value)) return false;
        break;
      case 5:
        value = 4;
        break;
      default:
        return false;
    }
    if (value > (uint64_t)(in.end - in.at)) return false;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    bool message = (tag & 7) == 2 && field && field->type == PROTOBUF_C_TYPE_MESSAGE;
    if (message && !nests_within(field->descriptor, (bytes){in.at, in.at + value}, depth - 1)) return false;
    in.at += value;
  }
  return depth > 0;
}

Google__Protobuf__FileDescriptorProto *reflect_unpack(const ProtobufCBinaryData *file) {
  const bytes in = {file->data, file->data + file->len};
  if (!nests_within(&google__protobuf__file_descriptor_proto__descriptor, in, MAX_DEPTH)) return NULL;
  return google__protobuf__file_descriptor_proto__unpack(NULL, file->len, file->data);
}
