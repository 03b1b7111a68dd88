/* Written by protoc-gen-tether. Do not edit.
 * Source: keywords.proto */
#ifndef TETHER_GENERATED_keywords_2eproto
#define TETHER_GENERATED_keywords_2eproto

#include <tether/rpc.h>

#include "keywords.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- int.double.Static ---- */

/* Every name here is reserved in C or C++, or close to it. */

extern const tether_method int_double_static_new_method;

TETHER_MUST_USE tether_call *int_double_static_client_new(tether_client *client, const tether_ctx *ctx,
                                                          const Int__Double__Void *request,
                                                          const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_new_start(tether_client *client, const tether_ctx *ctx,
                                                                const Int__Double__Void *request,
                                                                const tether_call_options *options,
                                                                tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Register *int_double_static_new_reply(const tether_call *call) {
  return (const Int__Double__Register *)tether_call_reply(call);
}

extern const tether_method int_double_static_class_method;

TETHER_MUST_USE tether_call *int_double_static_client_class(tether_client *client, const tether_ctx *ctx,
                                                            const Int__Double__Register__Union *request,
                                                            const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_class_start(tether_client *client, const tether_ctx *ctx,
                                                                  const Int__Double__Register__Union *request,
                                                                  const tether_call_options *options,
                                                                  tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_class_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_client_method;

TETHER_MUST_USE tether_call *int_double_static_client_client(tether_client *client, const tether_ctx *ctx,
                                                             const Int__Double__Void *request,
                                                             const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_client_start(tether_client *client, const tether_ctx *ctx,
                                                                   const Int__Double__Void *request,
                                                                   const tether_call_options *options,
                                                                   tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_client_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_service_method;

TETHER_MUST_USE tether_call *int_double_static_client_service(tether_client *client, const tether_ctx *ctx,
                                                              const Int__Double__Void *request,
                                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_service_start(tether_client *client, const tether_ctx *ctx,
                                                                    const Int__Double__Void *request,
                                                                    const tether_call_options *options,
                                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_service_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_data_method;

TETHER_MUST_USE tether_call *int_double_static_client_data(tether_client *client, const tether_ctx *ctx,
                                                           const Int__Double__Void *request,
                                                           const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_data_start(tether_client *client, const tether_ctx *ctx,
                                                                 const Int__Double__Void *request,
                                                                 const tether_call_options *options,
                                                                 tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_data_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_default_method;

TETHER_MUST_USE tether_call *int_double_static_client_default(tether_client *client, const tether_ctx *ctx,
                                                              const Int__Double__Void *request,
                                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_default_start(tether_client *client, const tether_ctx *ctx,
                                                                    const Int__Double__Void *request,
                                                                    const tether_call_options *options,
                                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_default_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_int_method;

TETHER_MUST_USE tether_call *int_double_static_client_int(tether_client *client, const tether_ctx *ctx,
                                                          const Int__Double__Void *request,
                                                          const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_int_start(tether_client *client, const tether_ctx *ctx,
                                                                const Int__Double__Void *request,
                                                                const tether_call_options *options,
                                                                tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_int_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

extern const tether_method int_double_static_table_method;

TETHER_MUST_USE tether_call *int_double_static_client_table(tether_client *client, const tether_ctx *ctx,
                                                            const Int__Double__Void *request,
                                                            const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_table_start(tether_client *client, const tether_ctx *ctx,
                                                                  const Int__Double__Void *request,
                                                                  const tether_call_options *options,
                                                                  tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Shop__Cart__V2__Line__Price *int_double_static_table_reply(const tether_call *call) {
  return (const Shop__Cart__V2__Line__Price *)tether_call_reply(call);
}

/* The handlers of int.double.Static.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * int_double_static_register. */
typedef struct int_double_static_service {
  tether_code (*new)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                     Int__Double__Register *reply, void *data);
  tether_code (*class)(const tether_ctx *ctx, tether_call *call, const Int__Double__Register__Union *request,
                       Int__Double__Void *reply, void *data);
  tether_code (*client)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                        Int__Double__Void *reply, void *data);
  tether_code (*service)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                         Int__Double__Void *reply, void *data);
  tether_code (*data)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                      Int__Double__Void *reply, void *data);
  tether_code (*default_)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                          Int__Double__Void *reply, void *data);
  tether_code (*int_)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                      Int__Double__Void *reply, void *data);
  tether_code (*table)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request,
                       Shop__Cart__V2__Line__Price *reply, void *data);
} int_double_static_service;

/* Serves int.double.Static with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code int_double_static_register(tether_server *server, const int_double_static_service *service,
                                                       void *data);

#ifdef __cplusplus
}
#endif

#endif
