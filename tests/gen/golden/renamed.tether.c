/* Written by protoc-gen-tether. Do not edit.
 * Source: renamed.proto */
#include "renamed.tether.h"

/* ---- acme.internal.tools.v1.Renamer ---- */

const tether_method acme_tools_renamer_rename_method = {
    .path = "/acme.internal.tools.v1.Renamer/Rename",
    .request = &acme__tools__request__inner__descriptor,
    .reply = &acme__tools__reply__descriptor,
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
