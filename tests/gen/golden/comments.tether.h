/* Written by protoc-gen-tether. Do not edit.
 * Source: comments.proto */
#ifndef TETHER_GENERATED_comments_2eproto
#define TETHER_GENERATED_comments_2eproto

#include <tether/rpc.h>

#include "comments.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_comments_2eproto;

/* ---- demo.comments.Hostile ---- */

/* Ends early: * / int injected; / * and begins again / * twice / ** / * / * / // * * / */

extern const tether_method demo_comments_hostile_closing_method;

/* * / */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_closing(tether_client *client, const tether_ctx *ctx,
                                                                  const Demo__Comments__Nothing *request,
                                                                  const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_closing_start(tether_client *client, const tether_ctx *ctx,
                                                                        const Demo__Comments__Nothing *request,
                                                                        const tether_call_options *options,
                                                                        tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_closing_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_trigraph_method;

/* A trigraph that escapes the newline ?? /
 * and a backslash that does \ */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_trigraph(tether_client *client, const tether_ctx *ctx,
                                                                   const Demo__Comments__Nothing *request,
                                                                   const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_trigraph_start(tether_client *client, const tether_ctx *ctx,
                                                                         const Demo__Comments__Nothing *request,
                                                                         const tether_call_options *options,
                                                                         tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_trigraph_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_direction_method;

/* Turns the text around: ? and back ?, isolated ? and ?. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_direction(tether_client *client, const tether_ctx *ctx,
                                                                    const Demo__Comments__Nothing *request,
                                                                    const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_direction_start(tether_client *client, const tether_ctx *ctx,
                                                                          const Demo__Comments__Nothing *request,
                                                                          const tether_call_options *options,
                                                                          tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_direction_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_blank_method;

TETHER_MUST_USE tether_call *demo_comments_hostile_client_blank(tether_client *client, const tether_ctx *ctx,
                                                                const Demo__Comments__Nothing *request,
                                                                const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_blank_start(tether_client *client, const tether_ctx *ctx,
                                                                      const Demo__Comments__Nothing *request,
                                                                      const tether_call_options *options,
                                                                      tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_blank_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_percent_method;

/* 	A tab, 100% of "quotes", %s and %n, $dollars$, Grüße, 漢字. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_percent(tether_client *client, const tether_ctx *ctx,
                                                                  const Demo__Comments__Nothing *request,
                                                                  const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_percent_start(tether_client *client, const tether_ctx *ctx,
                                                                        const Demo__Comments__Nothing *request,
                                                                        const tether_call_options *options,
                                                                        tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_percent_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_hollow_method;

TETHER_MUST_USE tether_call *demo_comments_hostile_client_hollow(tether_client *client, const tether_ctx *ctx,
                                                                 const Demo__Comments__Nothing *request,
                                                                 const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_hollow_start(tether_client *client, const tether_ctx *ctx,
                                                                       const Demo__Comments__Nothing *request,
                                                                       const tether_call_options *options,
                                                                       tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_hollow_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

extern const tether_method demo_comments_hostile_javadoc_method;

/* Javadoc */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_javadoc(tether_client *client, const tether_ctx *ctx,
                                                                  const Demo__Comments__Nothing *request,
                                                                  const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_comments_hostile_client_javadoc_start(tether_client *client, const tether_ctx *ctx,
                                                                        const Demo__Comments__Nothing *request,
                                                                        const tether_call_options *options,
                                                                        tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Comments__Nothing *demo_comments_hostile_javadoc_reply(const tether_call *call) {
  return (const Demo__Comments__Nothing *)tether_call_reply(call);
}

/* The handlers of demo.comments.Hostile.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * demo_comments_hostile_register. */
typedef struct demo_comments_hostile_service {
  /* * / */
  tether_code (*closing)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                         Demo__Comments__Nothing *reply, void *data);
  /* A trigraph that escapes the newline ?? /
   * and a backslash that does \ */
  tether_code (*trigraph)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                          Demo__Comments__Nothing *reply, void *data);
  /* Turns the text around: ? and back ?, isolated ? and ?. */
  tether_code (*direction)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                           Demo__Comments__Nothing *reply, void *data);
  tether_code (*blank)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                       Demo__Comments__Nothing *reply, void *data);
  /* 	A tab, 100% of "quotes", %s and %n, $dollars$, Grüße, 漢字. */
  tether_code (*percent)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                         Demo__Comments__Nothing *reply, void *data);
  tether_code (*hollow)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                        Demo__Comments__Nothing *reply, void *data);
  /* Javadoc */
  tether_code (*javadoc)(const tether_ctx *ctx, tether_call *call, const Demo__Comments__Nothing *request,
                         Demo__Comments__Nothing *reply, void *data);
} demo_comments_hostile_service;

/* Serves demo.comments.Hostile with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code demo_comments_hostile_register(tether_server *server,
                                                           const demo_comments_hostile_service *service, void *data);

#ifdef __cplusplus
}
#endif

#endif
