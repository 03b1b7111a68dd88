/* Written by protoc-gen-tether. Do not edit.
 * Source: greeter.proto */
#ifndef TETHER_GENERATED_greeter_2eproto
#define TETHER_GENERATED_greeter_2eproto

#include <tether/rpc.h>

#include "greeter.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_greeter_2eproto;

/* ---- demo.v1.Greeter ---- */

/* Greets people.
 *
 * Every method here is safe to call again. */

extern const tether_method demo_v1_greeter_say_hello_method;

/* Says hello.
 *   * indented text keeps its shape */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_say_hello(tether_client *client, const tether_ctx *ctx,
                                                              const Demo__V1__HelloRequest *request,
                                                              const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_say_hello_start(tether_client *client, const tether_ctx *ctx,
                                                                    const Demo__V1__HelloRequest *request,
                                                                    const tether_call_options *options,
                                                                    tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__V1__HelloReply *demo_v1_greeter_say_hello_reply(const tether_call *call) {
  return (const Demo__V1__HelloReply *)tether_call_reply(call);
}

extern const tether_method demo_v1_greeter_say_nothing_method;

/* A comment behind. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_say_nothing(tether_client *client, const tether_ctx *ctx,
                                                                const Demo__V1__HelloRequest *request,
                                                                const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_say_nothing_start(tether_client *client, const tether_ctx *ctx,
                                                                      const Demo__V1__HelloRequest *request,
                                                                      const tether_call_options *options,
                                                                      tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__V1__HelloReply *demo_v1_greeter_say_nothing_reply(const tether_call *call) {
  return (const Demo__V1__HelloReply *)tether_call_reply(call);
}

extern const tether_method demo_v1_greeter_delete_method;

/* A block comment,
 * of two lines. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_delete(tether_client *client, const tether_ctx *ctx,
                                                           const Demo__V1__HelloRequest *request,
                                                           const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_delete_start(tether_client *client, const tether_ctx *ctx,
                                                                 const Demo__V1__HelloRequest *request,
                                                                 const tether_call_options *options,
                                                                 tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__V1__HelloReply *demo_v1_greeter_delete_reply(const tether_call *call) {
  return (const Demo__V1__HelloReply *)tether_call_reply(call);
}

extern const tether_method demo_v1_greeter_peek_method;

TETHER_MUST_USE tether_call *demo_v1_greeter_client_peek(tether_client *client, const tether_ctx *ctx,
                                                         const Demo__V1__HelloRequest *request,
                                                         const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_v1_greeter_client_peek_start(tether_client *client, const tether_ctx *ctx,
                                                               const Demo__V1__HelloRequest *request,
                                                               const tether_call_options *options,
                                                               tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__V1__HelloReply *demo_v1_greeter_peek_reply(const tether_call *call) {
  return (const Demo__V1__HelloReply *)tether_call_reply(call);
}

/* The handlers of demo.v1.Greeter.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * demo_v1_greeter_register. */
typedef struct demo_v1_greeter_service {
  /* Says hello.
   *   * indented text keeps its shape */
  tether_code (*say_hello)(const tether_ctx *ctx, tether_call *call, const Demo__V1__HelloRequest *request,
                           Demo__V1__HelloReply *reply, void *data);
  /* A comment behind. */
  tether_code (*say_nothing)(const tether_ctx *ctx, tether_call *call, const Demo__V1__HelloRequest *request,
                             Demo__V1__HelloReply *reply, void *data);
  /* A block comment,
   * of two lines. */
  tether_code (*delete)(const tether_ctx *ctx, tether_call *call, const Demo__V1__HelloRequest *request,
                        Demo__V1__HelloReply *reply, void *data);
  tether_code (*peek)(const tether_ctx *ctx, tether_call *call, const Demo__V1__HelloRequest *request,
                      Demo__V1__HelloReply *reply, void *data);
} demo_v1_greeter_service;

/* Serves demo.v1.Greeter with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code demo_v1_greeter_register(tether_server *server, const demo_v1_greeter_service *service,
                                                     void *data);

#ifdef __cplusplus
}
#endif

#endif
