/* Written by protoc-gen-tether. Do not edit.
 * Source: renamed.proto */
#ifndef TETHER_GENERATED_renamed_2eproto
#define TETHER_GENERATED_renamed_2eproto

#include <tether/rpc.h>

#include "renamed.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_renamed_2eproto;

/* ---- acme.internal.tools.v1.Renamer ---- */

extern const tether_method acme_tools_renamer_rename_method;

TETHER_MUST_USE tether_call *acme_tools_renamer_client_rename(tether_client *client, const tether_ctx *ctx,
                                                              const Acme__Tools__Request__Inner *request,
                                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_tools_renamer_client_rename_start(tether_client *client, const tether_ctx *ctx,
                                                                    const Acme__Tools__Request__Inner *request,
                                                                    const tether_call_options *options,
                                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__Tools__Reply *acme_tools_renamer_rename_reply(const tether_call *call) {
  return (const Acme__Tools__Reply *)tether_call_reply(call);
}

extern const tether_method acme_tools_renamer_fallback_method;

TETHER_MUST_USE tether_call *acme_tools_renamer_client_fallback(tether_client *client, const tether_ctx *ctx,
                                                                const Acme__Tools__Request *request,
                                                                const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_tools_renamer_client_fallback_start(tether_client *client, const tether_ctx *ctx,
                                                                      const Acme__Tools__Request *request,
                                                                      const tether_call_options *options,
                                                                      tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const EchoMessage *acme_tools_renamer_fallback_reply(const tether_call *call) {
  return (const EchoMessage *)tether_call_reply(call);
}

/* The handlers of acme.internal.tools.v1.Renamer.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * acme_tools_renamer_register. */
typedef struct acme_tools_renamer_service {
  tether_code (*rename)(const tether_ctx *ctx, tether_call *call, const Acme__Tools__Request__Inner *request,
                        Acme__Tools__Reply *reply, void *data);
  tether_code (*fallback)(const tether_ctx *ctx, tether_call *call, const Acme__Tools__Request *request,
                          EchoMessage *reply, void *data);
} acme_tools_renamer_service;

/* Serves acme.internal.tools.v1.Renamer with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code acme_tools_renamer_register(tether_server *server,
                                                        const acme_tools_renamer_service *service, void *data);

#ifdef __cplusplus
}
#endif

#endif
