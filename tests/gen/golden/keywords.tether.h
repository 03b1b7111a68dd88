/* Written by protoc-gen-tether. Do not edit.
 * Source: keywords.proto */
#ifndef TETHER_GENERATED_keywords_2eproto
#define TETHER_GENERATED_keywords_2eproto

#include <tether/rpc.h>

#include "keywords.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_keywords_2eproto;

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

extern const tether_method int_double_static_try_method;

/* Starts a call of one request and any number of replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_try_start(tether_client *client, const tether_ctx *ctx,
                                                                const Int__Double__Void *request,
                                                                const tether_call_options *options,
                                                                tether_call_done_fn done, void *data);

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_try_recv_reply(
    tether_call *call, const Int__Double__Register **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Int__Double__Register *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_try_try_recv_reply(
    tether_call *call, const Int__Double__Register **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Int__Double__Register *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code int_double_static_try_send_reply(
    tether_call *call, const Int__Double__Register *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code int_double_static_try_try_send_reply(
    tether_call *call, const Int__Double__Register *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method int_double_static_template_method;

/* Starts a call of any number of requests and one reply; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_template_start(tether_client *client, const tether_ctx *ctx,
                                                                     const tether_call_options *options,
                                                                     tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Int__Double__Void *int_double_static_template_reply(const tether_call *call) {
  return (const Int__Double__Void *)tether_call_reply(call);
}

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code int_double_static_template_send_request(
    tether_call *call, const Int__Double__Register__Union *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code int_double_static_template_try_send_request(
    tether_call *call, const Int__Double__Register__Union *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_template_recv_request(
    tether_call *call, const Int__Double__Register__Union **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Int__Double__Register__Union *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_template_try_recv_request(
    tether_call *call, const Int__Double__Register__Union **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Int__Double__Register__Union *)message;
  return code;
}

extern const tether_method int_double_static_this_method;

/* Starts a call of any number of requests and replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *int_double_static_client_this_start(tether_client *client, const tether_ctx *ctx,
                                                                 const tether_call_options *options,
                                                                 tether_call_done_fn done, void *data);

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code int_double_static_this_send_request(
    tether_call *call, const Int__Double__Void *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code int_double_static_this_try_send_request(
    tether_call *call, const Int__Double__Void *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_this_recv_reply(
    tether_call *call, const Int__Double__Register **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Int__Double__Register *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_this_try_recv_reply(
    tether_call *call, const Int__Double__Register **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Int__Double__Register *)message;
  return code;
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_this_recv_request(
    tether_call *call, const Int__Double__Void **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Int__Double__Void *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code int_double_static_this_try_recv_request(
    tether_call *call, const Int__Double__Void **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Int__Double__Void *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code int_double_static_this_send_reply(
    tether_call *call, const Int__Double__Register *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code int_double_static_this_try_send_reply(
    tether_call *call, const Int__Double__Register *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
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
  tether_code (*try)(const tether_ctx *ctx, tether_call *call, const Int__Double__Void *request, void *data);
  tether_code (*template)(const tether_ctx *ctx, tether_call *call, Int__Double__Void *reply, void *data);
  tether_code (*this)(const tether_ctx *ctx, tether_call *call, void *data);
} int_double_static_service;

/* Serves int.double.Static with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code int_double_static_register(tether_server *server, const int_double_static_service *service,
                                                       void *data);

#ifdef __cplusplus
}
#endif

#endif
