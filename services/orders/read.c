/* orders/read.c: GetOrder, ListOrders and Report.
 *
 * A list is sent while it is read: rows come one by one from the database (libpq's single-row mode), those of one order
 * are next to each other, and an order is sent when its last row has come. The send blocks while the client is behind,
 * then nothing is read, and PostgreSQL waits too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/slow.h"
#include "orders/service.h"

enum { DEFAULT_CUSTOMERS = 20, MAX_CUSTOMERS = 1000 };

/* A row is a line of an order, with the order's own fields. */
#define ORDER_ROWS                                                                                       \
  "SELECT o.id, o.customer, o.total_cents, (extract(epoch FROM o.placed_at) * 1000000)::bigint, l.sku, " \
  "l.quantity, l.price_cents FROM orders o JOIN order_lines l ON l.order_id = o.id "

enum column { ID, CUSTOMER, TOTAL, PLACED_AT, SKU, QUANTITY, PRICE };

static uint64_t number(const PGresult *result, int row, enum column column) {
  return strtoull(PQgetvalue(result, row, (int)column), NULL, 10);
}

/* ---- One order ------------------------------------------------------------------------------ */

static Orders__V1__Line *copy_line(tether_call *call, const PGresult *result, int row) {
  Orders__V1__Line *line = tether_call_alloc(call, sizeof *line);
  if (!line) return NULL;
  orders__v1__line__init(line);
  line->sku = tether_call_strdup(call, PQgetvalue(result, row, SKU));
  line->quantity = (uint32_t)number(result, row, QUANTITY);
  line->price_cents = number(result, row, PRICE);
  return line->sku ? line : NULL;
}

tether_code orders_read(tether_pq *pq, const tether_ctx *ctx, tether_call *call, const char *id,
                        Orders__V1__Order *order) {
  PGresult *result;
  tether_code code = tether_pq_query(pq, ctx, ORDER_ROWS "WHERE o.id = $1 ORDER BY l.sku", 1, &id, &result);
  if (code != TETHER_OK) return code;
  int rows = PQntuples(result);
  if (rows > 0) {
    order->id = number(result, 0, ID);
    order->customer = tether_call_strdup(call, PQgetvalue(result, 0, CUSTOMER));
    order->total_cents = number(result, 0, TOTAL);
    order->placed_at_us = (int64_t)number(result, 0, PLACED_AT);
    order->lines = tether_call_alloc(call, (size_t)rows * sizeof(Orders__V1__Line *));
    if (!order->customer || !order->lines) code = TETHER_RESOURCE_EXHAUSTED;
    for (int i = 0; code == TETHER_OK && i < rows; i++) {
      order->lines[i] = copy_line(call, result, i);
      if (order->lines[i])
        order->n_lines++;
      else
        code = TETHER_RESOURCE_EXHAUSTED;
    }
  } else {
    code = TETHER_NOT_FOUND;
  }
  PQclear(result);
  return code;
}

tether_code orders_get(const tether_ctx *ctx, tether_call *call, const Orders__V1__GetOrderRequest *request,
                       Orders__V1__Order *reply, void *data) {
  orders_service *service = data;
  char id[32];
  tether_pq *pq;
  if (request->id > INT64_MAX) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "no order has such a number");
  snprintf(id, sizeof id, "%llu", (unsigned long long)request->id);
  tether_code code = tether_pq_pool_take(service->pool, ctx, &pq);
  if (code != TETHER_OK) return orders_fail(ctx, call, NULL, code);
  code = orders_read(pq, ctx, call, id, reply);
  if (code == TETHER_NOT_FOUND)
    code = tether_call_fail(call, code, "there is no order %s", id);
  else if (code != TETHER_OK)
    code = orders_fail(ctx, call, pq, code);
  tether_pq_pool_give(service->pool, pq);
  return code;
}

/* ---- All orders ----------------------------------------------------------------------------- */

/* An order that is being put together; its strings belong to the rows it is from. */
typedef struct gathering {
  Orders__V1__Order order;
  Orders__V1__Line lines[ORDERS_MAX_LINES];
  Orders__V1__Line *pointers[ORDERS_MAX_LINES];
  PGresult *rows[ORDERS_MAX_LINES];
} gathering;

static void begin(gathering *g, const PGresult *row) {
  orders__v1__order__init(&g->order);
  g->order.id = number(row, 0, ID);
  g->order.customer = PQgetvalue(row, 0, CUSTOMER);
  g->order.total_cents = number(row, 0, TOTAL);
  g->order.placed_at_us = (int64_t)number(row, 0, PLACED_AT);
  g->order.lines = g->pointers;
}

static void drop(gathering *g) {
  for (size_t i = 0; i < g->order.n_lines; i++) PQclear(g->rows[i]);
  g->order.n_lines = 0;
}

/* Sends what has been gathered, if anything. */
static tether_code flush(gathering *g, tether_call *call) {
  tether_code code = g->order.n_lines ? orders_v1_orders_list_orders_send_reply(call, &g->order) : TETHER_OK;
  drop(g);
  return code;
}

/* Takes the row. */
static tether_code gather(gathering *g, tether_call *call, PGresult *row) {
  tether_code code = TETHER_OK;
  bool other = g->order.n_lines > 0 && number(row, 0, ID) != g->order.id;
  if (other || g->order.n_lines == ORDERS_MAX_LINES) code = flush(g, call);
  if (code != TETHER_OK) {
    PQclear(row);
    return code;
  }
  if (g->order.n_lines == 0) begin(g, row);
  Orders__V1__Line *line = &g->lines[g->order.n_lines];
  orders__v1__line__init(line);
  line->sku = PQgetvalue(row, 0, SKU);
  line->quantity = (uint32_t)number(row, 0, QUANTITY);
  line->price_cents = number(row, 0, PRICE);
  g->pointers[g->order.n_lines] = line;
  g->rows[g->order.n_lines++] = row;
  return TETHER_OK;
}

/* *sent: what ended it was the call, not the database. */
static tether_code send_rows(tether_pq *pq, const tether_ctx *ctx, tether_call *call, const char *customer,
                             bool *sent) {
  static const char sql[] = ORDER_ROWS "WHERE $1 = '' OR o.customer = $1 ORDER BY o.id, l.sku";
  PGconn *conn = tether_pq_conn(pq);
  if (!PQsendQueryParams(conn, sql, 1, NULL, &customer, NULL, NULL, 0)) return TETHER_UNAVAILABLE;
  PQsetSingleRowMode(conn);
  gathering *g = calloc(1, sizeof *g);
  PGresult *row = NULL;
  tether_code code = g ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
  while (code == TETHER_OK && !*sent && (code = tether_pq_result(pq, ctx, &row)) == TETHER_OK && row) {
    if (PQresultStatus(row) == PGRES_SINGLE_TUPLE) {
      code = gather(g, call, row);
      *sent = code != TETHER_OK;
    } else {
      PQclear(row);
    }
  }
  if (code == TETHER_OK) {
    code = flush(g, call);
    *sent = true;
  }
  if (g) drop(g);
  free(g);
  return code;
}

static tether_code list(orders_service *service, const tether_ctx *ctx, tether_call *call, const char *customer) {
  tether_pq *pq;
  bool sent = false;
  tether_code code = tether_pq_pool_take(service->pool, ctx, &pq);
  if (code != TETHER_OK) return orders_fail(ctx, call, NULL, code);
  code = send_rows(pq, ctx, call, customer, &sent);
  if (code != TETHER_OK && !sent) code = orders_fail(ctx, call, pq, code);
  tether_pq_pool_give(service->pool, pq); /* stops the query, if the client has left before its end */
  return code;
}

tether_code orders_list(const tether_ctx *ctx, tether_call *call, const Orders__V1__ListOrdersRequest *request,
                        void *data) {
  orders_service *service = data;
  tether_code code;
  if (atomic_fetch_add(&service->streams, 1) < service->max_streams)
    code = list(service, ctx, call, request->customer);
  else
    code = tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "%d lists are being read already", service->max_streams);
  atomic_fetch_sub(&service->streams, 1);
  return code;
}

/* ---- The report ----------------------------------------------------------------------------- */

static tether_code fill_report(tether_call *call, const PGresult *result, Orders__V1__ReportReply *reply) {
  int rows = PQntuples(result);
  reply->customers = tether_call_alloc(call, (size_t)(rows + 1) * sizeof(Orders__V1__Spending *));
  if (!reply->customers) return TETHER_RESOURCE_EXHAUSTED;
  for (int i = 0; i < rows; i++) {
    Orders__V1__Spending *one = tether_call_alloc(call, sizeof *one);
    if (!one) return TETHER_RESOURCE_EXHAUSTED;
    orders__v1__spending__init(one);
    one->customer = tether_call_strdup(call, PQgetvalue(result, i, 0));
    one->orders = strtoull(PQgetvalue(result, i, 1), NULL, 10);
    one->total_cents = strtoull(PQgetvalue(result, i, 2), NULL, 10);
    if (!one->customer) return TETHER_RESOURCE_EXHAUSTED;
    reply->customers[reply->n_customers++] = one;
  }
  return TETHER_OK;
}

tether_code orders_report(const tether_ctx *ctx, tether_call *call, const Orders__V1__ReportRequest *request,
                          Orders__V1__ReportReply *reply, void *data) {
  orders_service *service = data;
  char limit[16], slow[32];
  tether_pq *pq;
  PGresult *result;
  if (request->limit > MAX_CUSTOMERS)
    return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "limit %u is above %d", request->limit, MAX_CUSTOMERS);
  snprintf(limit, sizeof limit, "%u", request->limit ? request->limit : DEFAULT_CUSTOMERS);
  int64_t slow_ns = service->allow_slow ? svc_slow_ns(ctx, service->name) : 0;
  snprintf(slow, sizeof slow, "%.6f", (double)slow_ns / (double)TETHER_SEC);
  const char *const values[] = {limit, slow};
  tether_code code = tether_pq_pool_take(service->pool, ctx, &pq);
  if (code != TETHER_OK) return orders_fail(ctx, call, NULL, code);
  code = tether_pq_query(pq, ctx,
                         "SELECT customer, count(*), sum(total_cents) FROM orders, pg_sleep($2::float8)"
                         " GROUP BY customer ORDER BY 3 DESC, 1 LIMIT $1::int",
                         2, values, &result);
  if (code == TETHER_OK) {
    code = fill_report(call, result, reply);
    PQclear(result);
  } else {
    code = orders_fail(ctx, call, pq, code);
  }
  tether_pq_pool_give(service->pool, pq);
  return code;
}
