/* Written by protoc-gen-tether. Do not edit.
 * Source: names.proto */
#ifndef TETHER_GENERATED_names_2eproto
#define TETHER_GENERATED_names_2eproto

#include <tether/rpc.h>

#include "names.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_names_2eproto;

/* ---- acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service ---- */

/* Mixed case, digits and underscores. */

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_get_http_feature(tether_client *client,
                                                                                                         const tether_ctx *ctx,
                                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *request,
                                                                                                         const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_get_http_feature_start(tether_client *client,
                                                                                                               const tether_ctx *ctx,
                                                                                                               const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *request,
                                                                                                               const tether_call_options *options,
                                                                                                               tether_call_done_fn done,
                                                                                                               void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg *acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg *)tether_call_reply(call);
}

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_http2_ping(tether_client *client,
                                                                                                   const tether_ctx *ctx,
                                                                                                   const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *request,
                                                                                                   const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_http2_ping_start(tether_client *client,
                                                                                                         const tether_ctx *ctx,
                                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *request,
                                                                                                         const tether_call_options *options,
                                                                                                         tether_call_done_fn done,
                                                                                                         void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *)tether_call_reply(call);
}

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_sha256_sum(tether_client *client,
                                                                                                   const tether_ctx *ctx,
                                                                                                   const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                                   const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_sha256_sum_start(tether_client *client,
                                                                                                         const tether_ctx *ctx,
                                                                                                         const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                                         const tether_call_options *options,
                                                                                                         tether_call_done_fn done,
                                                                                                         void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__Lower *acme_shop_v2_api_v1_http_stuff_http_feature_service_sha256_sum_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)tether_call_reply(call);
}

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_a_b(tether_client *client,
                                                                                            const tether_ctx *ctx,
                                                                                            const Acme__ShopV2__ApiV1__HTTPStuff__Private *request,
                                                                                            const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_a_b_start(tether_client *client,
                                                                                                  const tether_ctx *ctx,
                                                                                                  const Acme__ShopV2__ApiV1__HTTPStuff__Private *request,
                                                                                                  const tether_call_options *options,
                                                                                                  tether_call_done_fn done,
                                                                                                  void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__X9y8Z *acme_shop_v2_api_v1_http_stuff_http_feature_service_a_b_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__X9y8Z *)tether_call_reply(call);
}

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_leading_twice(tether_client *client,
                                                                                                      const tether_ctx *ctx,
                                                                                                      const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                                      const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_leading_twice_start(tether_client *client,
                                                                                                            const tether_ctx *ctx,
                                                                                                            const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                                            const tether_call_options *options,
                                                                                                            tether_call_done_fn done,
                                                                                                            void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__Lower *acme_shop_v2_api_v1_http_stuff_http_feature_service_leading_twice_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)tether_call_reply(call);
}

extern const tether_method acme_shop_v2_api_v1_http_stuff_http_feature_service_x_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_x(tether_client *client,
                                                                                          const tether_ctx *ctx,
                                                                                          const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                          const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_http_feature_service_client_x_start(tether_client *client,
                                                                                                const tether_ctx *ctx,
                                                                                                const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                                const tether_call_options *options,
                                                                                                tether_call_done_fn done,
                                                                                                void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__Lower *acme_shop_v2_api_v1_http_stuff_http_feature_service_x_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)tether_call_reply(call);
}

/* The handlers of acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * acme_shop_v2_api_v1_http_stuff_http_feature_service_register. */
typedef struct acme_shop_v2_api_v1_http_stuff_http_feature_service_service {
  tether_code (*get_http_feature)(const tether_ctx *ctx, tether_call *call,
                                  const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *request,
                                  Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg *reply, void *data);
  tether_code (*http2_ping)(const tether_ctx *ctx, tether_call *call,
                            const Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo__InnerMsg__DeepestOne *request,
                            Acme__ShopV2__ApiV1__HTTPStuff__HTTPRequestInfo *reply, void *data);
  tether_code (*sha256_sum)(const tether_ctx *ctx, tether_call *call,
                            const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                            Acme__ShopV2__ApiV1__HTTPStuff__Lower *reply, void *data);
  tether_code (*a_b)(const tether_ctx *ctx, tether_call *call, const Acme__ShopV2__ApiV1__HTTPStuff__Private *request,
                     Acme__ShopV2__ApiV1__HTTPStuff__X9y8Z *reply, void *data);
  tether_code (*leading_twice)(const tether_ctx *ctx, tether_call *call,
                               const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                               Acme__ShopV2__ApiV1__HTTPStuff__Lower *reply, void *data);
  tether_code (*x)(const tether_ctx *ctx, tether_call *call, const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                   Acme__ShopV2__ApiV1__HTTPStuff__Lower *reply, void *data);
} acme_shop_v2_api_v1_http_stuff_http_feature_service_service;

/* Serves acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code acme_shop_v2_api_v1_http_stuff_http_feature_service_register(tether_server *server,
                                                                                         const acme_shop_v2_api_v1_http_stuff_http_feature_service_service *service,
                                                                                         void *data);

/* ---- acme.shopV2.api_v1.HTTPStuff.lowercase ---- */

extern const tether_method acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_method;

TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_lowercase_client_allcaps(tether_client *client,
                                                                                     const tether_ctx *ctx,
                                                                                     const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                     const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *acme_shop_v2_api_v1_http_stuff_lowercase_client_allcaps_start(tether_client *client,
                                                                                           const tether_ctx *ctx,
                                                                                           const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                                                                                           const tether_call_options *options,
                                                                                           tether_call_done_fn done,
                                                                                           void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Acme__ShopV2__ApiV1__HTTPStuff__Lower *acme_shop_v2_api_v1_http_stuff_lowercase_allcaps_reply(const tether_call *call) {
  return (const Acme__ShopV2__ApiV1__HTTPStuff__Lower *)tether_call_reply(call);
}

/* The handlers of acme.shopV2.api_v1.HTTPStuff.lowercase.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * acme_shop_v2_api_v1_http_stuff_lowercase_register. */
typedef struct acme_shop_v2_api_v1_http_stuff_lowercase_service {
  tether_code (*allcaps)(const tether_ctx *ctx, tether_call *call, const Acme__ShopV2__ApiV1__HTTPStuff__Lower *request,
                         Acme__ShopV2__ApiV1__HTTPStuff__Lower *reply, void *data);
} acme_shop_v2_api_v1_http_stuff_lowercase_service;

/* Serves acme.shopV2.api_v1.HTTPStuff.lowercase with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code acme_shop_v2_api_v1_http_stuff_lowercase_register(tether_server *server,
                                                                              const acme_shop_v2_api_v1_http_stuff_lowercase_service *service,
                                                                              void *data);

/* ---- acme.shopV2.api_v1.HTTPStuff.Empty ---- */

/* No methods at all. */

/* The handlers of acme.shopV2.api_v1.HTTPStuff.Empty.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * acme_shop_v2_api_v1_http_stuff_empty_register. */
typedef struct acme_shop_v2_api_v1_http_stuff_empty_service {
  char has_no_methods;
} acme_shop_v2_api_v1_http_stuff_empty_service;

/* Serves acme.shopV2.api_v1.HTTPStuff.Empty with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code acme_shop_v2_api_v1_http_stuff_empty_register(tether_server *server,
                                                                          const acme_shop_v2_api_v1_http_stuff_empty_service *service,
                                                                          void *data);

#ifdef __cplusplus
}
#endif

#endif
