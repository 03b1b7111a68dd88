/* Written by protoc-gen-tether. Do not edit.
 * Source: renamed.proto */
#include "renamed.tether.h"

/* ---- acme.internal.tools.v1.Renamer ---- */

const tether_method acme_tools_renamer_rename_method = {
    .path = "/acme.internal.tools.v1.Renamer/Rename",
    .request = &acme__tools__request__inner__descriptor,
    .reply = &acme__tools__reply__descriptor,
    .file = &tether_file_renamed_2eproto,
};

tether_call *acme_tools_renamer_client_rename(tether_client *client, const tether_ctx *ctx,
                                              const Acme__Tools__Request__Inner *request,
                                              const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_tools_renamer_rename_method, (const ProtobufCMessage *)request, options);
}

tether_call *acme_tools_renamer_client_rename_start(tether_client *client, const tether_ctx *ctx,
                                                    const Acme__Tools__Request__Inner *request,
                                                    const tether_call_options *options, tether_call_done_fn done,
                                                    void *data) {
  return tether_call_start(client, ctx, &acme_tools_renamer_rename_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code acme_tools_renamer_rename_thunk(const tether_ctx *ctx, tether_call *call,
                                                   const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                   const void *service, void *data) {
  const acme_tools_renamer_service *table = service;
  if (table->rename == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_tools_renamer_rename_method.path);
  }
  return table->rename(ctx, call, (const Acme__Tools__Request__Inner *)request, (Acme__Tools__Reply *)reply, data);
}

const tether_method acme_tools_renamer_fallback_method = {
    .path = "/acme.internal.tools.v1.Renamer/Fallback",
    .request = &acme__tools__request__descriptor,
    .reply = &echo_message__descriptor,
    .file = &tether_file_renamed_2eproto,
};

tether_call *acme_tools_renamer_client_fallback(tether_client *client, const tether_ctx *ctx,
                                                const Acme__Tools__Request *request,
                                                const tether_call_options *options) {
  return tether_call_unary(client, ctx, &acme_tools_renamer_fallback_method, (const ProtobufCMessage *)request,
                           options);
}

tether_call *acme_tools_renamer_client_fallback_start(tether_client *client, const tether_ctx *ctx,
                                                      const Acme__Tools__Request *request,
                                                      const tether_call_options *options, tether_call_done_fn done,
                                                      void *data) {
  return tether_call_start(client, ctx, &acme_tools_renamer_fallback_method, (const ProtobufCMessage *)request, options,
                           done, data);
}

static tether_code acme_tools_renamer_fallback_thunk(const tether_ctx *ctx, tether_call *call,
                                                     const ProtobufCMessage *request, ProtobufCMessage *reply,
                                                     const void *service, void *data) {
  const acme_tools_renamer_service *table = service;
  if (table->fallback == NULL) {
    return tether_call_fail(call, TETHER_UNIMPLEMENTED, "%s is not implemented here",
                            acme_tools_renamer_fallback_method.path);
  }
  return table->fallback(ctx, call, (const Acme__Tools__Request *)request, (EchoMessage *)reply, data);
}

static const tether_served_method acme_tools_renamer_methods[] = {
    {&acme_tools_renamer_rename_method, acme_tools_renamer_rename_thunk},
    {&acme_tools_renamer_fallback_method, acme_tools_renamer_fallback_thunk},
};

tether_code acme_tools_renamer_register(tether_server *server, const acme_tools_renamer_service *service, void *data) {
  return tether_server_add(server, acme_tools_renamer_methods, 2, service, data);
}

/* ---- Descriptors ---- */

static const uint8_t descriptor_of_renamed_2eproto[] = {
    10, 13, 114, 101, 110, 97, 109, 101, 100, 46, 112, 114, 111, 116, 111, 18, 22, 97, 99, 109, 101, 46, 105, 110, 116,
    101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 26, 27, 112, 114, 111, 116, 111, 98, 117, 102,
    45, 99, 47, 112, 114, 111, 116, 111, 98, 117, 102, 45, 99, 46, 112, 114, 111, 116, 111, 26, 16, 110, 111, 95, 112,
    97, 99, 107, 97, 103, 101, 46, 112, 114, 111, 116, 111, 34, 56, 10, 7, 82, 101, 113, 117, 101, 115, 116, 18, 18,
    10, 4, 98, 97, 115, 101, 24, 1, 32, 1, 40, 9, 82, 4, 98, 97, 115, 101, 26, 7, 10, 5, 73, 110, 110, 101, 114, 58,
    16, 218, 63, 8, 26, 6, 104, 101, 97, 100, 101, 114, 218, 63, 2, 16, 0, 34, 27, 10, 5, 82, 101, 112, 108, 121, 18,
    18, 10, 4, 116, 101, 120, 116, 24, 1, 32, 1, 40, 9, 82, 4, 116, 101, 120, 116, 50, 148, 1, 10, 7, 82, 101, 110, 97,
    109, 101, 114, 18, 78, 10, 6, 82, 101, 110, 97, 109, 101, 18, 37, 46, 97, 99, 109, 101, 46, 105, 110, 116, 101, 114,
    110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 113, 117, 101, 115, 116, 46, 73, 110, 110, 101,
    114, 26, 29, 46, 97, 99, 109, 101, 46, 105, 110, 116, 101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118,
    49, 46, 82, 101, 112, 108, 121, 18, 57, 10, 8, 70, 97, 108, 108, 98, 97, 99, 107, 18, 31, 46, 97, 99, 109, 101, 46,
    105, 110, 116, 101, 114, 110, 97, 108, 46, 116, 111, 111, 108, 115, 46, 118, 49, 46, 82, 101, 113, 117, 101, 115,
    116, 26, 12, 46, 69, 99, 104, 111, 77, 101, 115, 115, 97, 103, 101, 66, 22, 72, 2, 218, 63, 12, 50, 10, 97, 99, 109,
    101, 46, 84, 111, 111, 108, 115, 218, 63, 2, 32, 1, 98, 6, 112, 114, 111, 116, 111, 51,
};

static const uint8_t descriptor_of_no_5fpackage_2eproto[] = {
    10, 16, 110, 111, 95, 112, 97, 99, 107, 97, 103, 101, 46, 112, 114, 111, 116, 111, 34, 40, 10, 11, 69, 99, 104, 111,
    77, 101, 115, 115, 97, 103, 101, 18, 18, 10, 4, 116, 101, 120, 116, 24, 1, 32, 2, 40, 9, 82, 4, 116, 101, 120, 116,
    42, 5, 8, 100, 16, 200, 1, 50, 42, 10, 4, 69, 99, 104, 111, 18, 34, 10, 4, 69, 99, 104, 111, 18, 12, 46, 69, 99,
    104, 111, 77, 101, 115, 115, 97, 103, 101, 26, 12, 46, 69, 99, 104, 111, 77, 101, 115, 115, 97, 103, 101,
};

static const tether_file imported_no_5fpackage_2eproto = {
    .name = "no_package.proto",
    .descriptor = descriptor_of_no_5fpackage_2eproto,
    .size = sizeof descriptor_of_no_5fpackage_2eproto,
};

static const tether_file *const imports_of_renamed_2eproto[] = {
    &imported_no_5fpackage_2eproto,
    NULL,
};

const tether_file tether_file_renamed_2eproto = {
    .name = "renamed.proto",
    .descriptor = descriptor_of_renamed_2eproto,
    .size = sizeof descriptor_of_renamed_2eproto,
    .imports = imports_of_renamed_2eproto,
};
