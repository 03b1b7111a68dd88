/* orders/service.h: the Orders service of orders.proto. */
#ifndef SERVICES_ORDERS_SERVICE_H
#define SERVICES_ORDERS_SERVICE_H

#include <stdatomic.h>
#include <tether/pq.h>

#include "orders/v1/orders.tether.h"

enum { ORDERS_MAX_LINES = 100 };

typedef struct orders_service {
  const char *name;
  tether_pq_pool *pool;
  bool allow_slow; /* reports are slow if the request's context says so (common/slow.h) */
  int max_streams; /* lists at once; fewer than connections, so that slow readers leave some to others */
  atomic_int streams;
} orders_service;

/* The table to register, with an orders_service as its user data. */
extern const orders_v1_orders_service orders_service_table;

/* The handlers; see orders.proto. */
tether_code orders_place(const tether_ctx *ctx, tether_call *call, const Orders__V1__PlaceOrderRequest *request,
                         Orders__V1__PlaceOrderReply *reply, void *data);
tether_code orders_get(const tether_ctx *ctx, tether_call *call, const Orders__V1__GetOrderRequest *request,
                       Orders__V1__Order *reply, void *data);
tether_code orders_list(const tether_ctx *ctx, tether_call *call, const Orders__V1__ListOrdersRequest *request,
                        void *data);
tether_code orders_report(const tether_ctx *ctx, tether_call *call, const Orders__V1__ReportRequest *request,
                          Orders__V1__ReportReply *reply, void *data);

/* Creates the tables if they are not there; with `sample`, also some products. The reason of a failure is logged. */
TETHER_MUST_USE tether_code orders_schema_create(orders_service *service, const tether_ctx *ctx, bool sample);

/* What the client of a call is told about a statement that failed with `code`: what it may act on (retry, deadline),
 * and not how the database is built, which goes to the log. `pq` may be NULL: no connection. */
TETHER_MUST_USE tether_code orders_fail(const tether_ctx *ctx, tether_call *call, const tether_pq *pq,
                                        tether_code code);

/* Fills in an order by its number, memory from the call. TETHER_NOT_FOUND: there is none. */
TETHER_MUST_USE tether_code orders_read(tether_pq *pq, const tether_ctx *ctx, tether_call *call, const char *id,
                                        Orders__V1__Order *order);

#endif
