/* Written by protoc-gen-tether. Do not edit.
 * Source: no_package.proto */
#ifndef TETHER_GENERATED_no_5fpackage_2eproto
#define TETHER_GENERATED_no_5fpackage_2eproto

#include <tether/rpc.h>

#include "no_package.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_no_5fpackage_2eproto;

/* ---- Echo ---- */

extern const tether_method echo_echo_method;

TETHER_MUST_USE tether_call *echo_client_echo(tether_client *client, const tether_ctx *ctx, const EchoMessage *request,
                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *echo_client_echo_start(tether_client *client, const tether_ctx *ctx,
                                                    const EchoMessage *request, const tether_call_options *options,
                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const EchoMessage *echo_echo_reply(const tether_call *call) {
  return (const EchoMessage *)tether_call_reply(call);
}

/* The handlers of Echo.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * echo_register. */
typedef struct echo_service {
  tether_code (*echo)(const tether_ctx *ctx, tether_call *call, const EchoMessage *request, EchoMessage *reply,
                      void *data);
} echo_service;

/* Serves Echo with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code echo_register(tether_server *server, const echo_service *service, void *data);

#ifdef __cplusplus
}
#endif

#endif
