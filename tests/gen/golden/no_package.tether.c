/* Written by protoc-gen-tether. Do not edit.
 * Source: no_package.proto */
#include "no_package.tether.h"

/* ---- Echo ---- */

const tether_method echo_echo_method = {
    .path = "/Echo/Echo",
    .request = &echo_message__descriptor,
    .reply = &echo_message__descriptor,
    .file = &tether_file_no_5fpackage_2eproto,
};

tether_call *echo_client_echo(tether_client *client, const tether_ctx *ctx, const EchoMessage *request,
                              const tether_call_options *options) {
  return tether_call_unary(client, ctx, &echo_echo_method, (const ProtobufCMessage *)request, options);
}

tether_call *echo_client_echo_start(tether_client *client, const tether_ctx *ctx, const EchoMessage *request,
                                    const tether_call_options *options, tether_call_done_fn done, void *data) {
  return tether_call_start(client, ctx, &echo_echo_method, (const ProtobufCMessage *)request, options, done, data);
}

static tether_code echo_echo_thunk(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                                   ProtobufCMessage *reply, const void *service, void *data) {
  const echo_service *table = service;
  if (table->echo == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            echo_echo_method.path);
  }
  return table->echo(ctx, call, (const EchoMessage *)request, (EchoMessage *)reply, data);
}

static const tether_served_method echo_methods[] = {
    {&echo_echo_method, echo_echo_thunk},
};

tether_code echo_register(tether_server *server, const echo_service *service, void *data) {
  return tether_server_add(server, echo_methods, 1, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_no_5fpackage_2eproto[] = {
    10, 16, 110, 111, 95, 112, 97, 99, 107, 97, 103, 101, 46, 112, 114, 111, 116, 111, 34, 40, 10, 11, 69, 99, 104, 111,
    77, 101, 115, 115, 97, 103, 101, 18, 18, 10, 4, 116, 101, 120, 116, 24, 1, 32, 2, 40, 9, 82, 4, 116, 101, 120, 116,
    42, 5, 8, 100, 16, 200, 1, 50, 42, 10, 4, 69, 99, 104, 111, 18, 34, 10, 4, 69, 99, 104, 111, 18, 12, 46, 69, 99,
    104, 111, 77, 101, 115, 115, 97, 103, 101, 26, 12, 46, 69, 99, 104, 111, 77, 101, 115, 115, 97, 103, 101,
};

const tether_file tether_file_no_5fpackage_2eproto = {
    .name = "no_package.proto",
    .descriptor = descriptor_of_no_5fpackage_2eproto,
    .size = sizeof descriptor_of_no_5fpackage_2eproto,
};
