/* orders/place.c: PlaceOrder, one transaction.
 *
 *   insert the order under its key --+-- new ------> take each product from the stock, add its line --> total, commit
 *                                    +-- known ----> read that order, and compare
 *
 * Two calls with the same key at once: the second waits in its insert until the first has committed or rolled back (or
 * its own context has ended), and then finds the key known or new. Products are taken in one order by all, so that two
 * orders do not wait for each other. If the context ends anywhere in between nothing has happened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orders/service.h"

enum { MAX_KEY = 100, MAX_CUSTOMER = 200, MAX_QUANTITY = 1000000 };

typedef struct placing {
  tether_call *call;
  const Orders__V1__PlaceOrderRequest *request;
  const Orders__V1__Item *items[ORDERS_MAX_LINES]; /* by sku */
  Orders__V1__PlaceOrderReply *reply;
  bool said; /* the status message is set */
} placing;

static int by_sku(const void *a, const void *b) {
  const Orders__V1__Item *const *left = a, *const *right = b;
  return strcmp((*left)->sku, (*right)->sku);
}

static tether_code check(placing *p) {
  const Orders__V1__PlaceOrderRequest *request = p->request;
  size_t key = strlen(request->idempotency_key), customer = strlen(request->customer);
  if (key < 1 || key > MAX_KEY)
    return tether_call_fail(p->call, TETHER_INVALID_ARGUMENT, "idempotency_key must have 1 to %d bytes", MAX_KEY);
  if (customer < 1 || customer > MAX_CUSTOMER)
    return tether_call_fail(p->call, TETHER_INVALID_ARGUMENT, "customer must have 1 to %d bytes", MAX_CUSTOMER);
  if (request->n_items < 1 || request->n_items > ORDERS_MAX_LINES)
    return tether_call_fail(p->call, TETHER_INVALID_ARGUMENT, "an order has 1 to %d items", ORDERS_MAX_LINES);
  for (size_t i = 0; i < request->n_items; i++) p->items[i] = request->items[i];
  qsort(p->items, request->n_items, sizeof p->items[0], by_sku);
  for (size_t i = 0; i < request->n_items; i++) {
    if (p->items[i]->quantity < 1 || p->items[i]->quantity > MAX_QUANTITY)
      return tether_call_fail(p->call, TETHER_INVALID_ARGUMENT, "quantity of '%s' must be 1 to %d", p->items[i]->sku,
                              MAX_QUANTITY);
    if (i > 0 && strcmp(p->items[i - 1]->sku, p->items[i]->sku) == 0)
      return tether_call_fail(p->call, TETHER_INVALID_ARGUMENT, "'%s' is there twice", p->items[i]->sku);
  }
  return TETHER_OK;
}

#define SAY(p, code, ...) ((p)->said = true, tether_call_fail((p)->call, code, __VA_ARGS__))

/* The first value of the first row, copied to `value`; *found tells whether there is one. */
static tether_code ask(tether_pq *pq, const tether_ctx *ctx, const char *sql, int count, const char *const *values,
                       char value[32], bool *found) {
  PGresult *result;
  tether_code code = tether_pq_query(pq, ctx, sql, count, values, &result);
  if (code != TETHER_OK) return code;
  *found = PQntuples(result) > 0;
  if (*found) snprintf(value, 32, "%s", PQgetvalue(result, 0, 0));
  PQclear(result);
  return TETHER_OK;
}

static tether_code take_item(tether_pq *pq, const tether_ctx *ctx, placing *p, const char *order,
                             const Orders__V1__Item *item) {
  char quantity[16], value[32];
  bool found;
  snprintf(quantity, sizeof quantity, "%u", item->quantity);
  const char *const values[] = {order, item->sku, quantity};
  tether_code code = ask(pq, ctx,
                         "WITH taken AS (UPDATE products SET stock = stock - $3::bigint"
                         "  WHERE sku = $2 AND stock >= $3::bigint RETURNING price_cents)"
                         " INSERT INTO order_lines(order_id, sku, quantity, price_cents)"
                         "  SELECT $1::bigint, $2, $3::bigint, price_cents FROM taken RETURNING price_cents",
                         3, values, value, &found);
  if (code != TETHER_OK || found) return code;
  code = ask(pq, ctx, "SELECT stock FROM products WHERE sku = $1", 1, &values[1], value, &found);
  if (code != TETHER_OK) return code;
  if (!found) return SAY(p, TETHER_NOT_FOUND, "there is no product '%s'", item->sku);
  return SAY(p, TETHER_FAILED_PRECONDITION, "of '%s' there are only %s left", item->sku, value);
}

static tether_code add_new(tether_pq *pq, const tether_ctx *ctx, placing *p, const char *order) {
  char value[32];
  bool found;
  tether_code code = TETHER_OK;
  for (size_t i = 0; code == TETHER_OK && i < p->request->n_items; i++)
    code = take_item(pq, ctx, p, order, p->items[i]);
  if (code != TETHER_OK) return code;
  return ask(pq, ctx,
             "UPDATE orders SET total_cents = (SELECT sum(quantity * price_cents) FROM order_lines WHERE order_id = id)"
             " WHERE id = $1 RETURNING id",
             1, &order, value, &found);
}

static bool is_same(const placing *p, const Orders__V1__Order *order) {
  if (strcmp(order->customer, p->request->customer) != 0 || order->n_lines != p->request->n_items) return false;
  for (size_t i = 0; i < order->n_lines; i++)
    if (strcmp(order->lines[i]->sku, p->items[i]->sku) != 0 || order->lines[i]->quantity != p->items[i]->quantity)
      return false;
  return true;
}

static tether_code place(tether_pq *pq, const tether_ctx *ctx, void *data) {
  placing *p = data;
  char order[32];
  bool is_new;
  const char *const values[] = {p->request->idempotency_key, p->request->customer};
  tether_code code = ask(pq, ctx,
                         "INSERT INTO orders(idempotency_key, customer, total_cents) VALUES ($1, $2, 0)"
                         " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id",
                         2, values, order, &is_new);
  if (code == TETHER_OK && is_new) code = add_new(pq, ctx, p, order);
  if (code == TETHER_OK && !is_new) {
    bool found;
    code = ask(pq, ctx, "SELECT id FROM orders WHERE idempotency_key = $1", 1, values, order, &found);
    if (code == TETHER_OK && !found) code = TETHER_ABORTED; /* removed in between: orders are not, but by hand */
  }
  if (code == TETHER_OK) code = orders_read(pq, ctx, p->call, order, p->reply->order);
  if (code != TETHER_OK) return code;
  p->reply->repeated = !is_new;
  if (!is_new && !is_same(p, p->reply->order))
    return SAY(p, TETHER_ALREADY_EXISTS, "the idempotency key belongs to order %s, which is not the same", order);
  return TETHER_OK;
}

tether_code orders_place(const tether_ctx *ctx, tether_call *call, const Orders__V1__PlaceOrderRequest *request,
                         Orders__V1__PlaceOrderReply *reply, void *data) {
  orders_service *service = data;
  placing p = {.call = call, .request = request, .reply = reply};
  tether_pq *pq;
  tether_code code = check(&p);
  if (code != TETHER_OK) return code;
  reply->order = tether_call_alloc(call, sizeof *reply->order);
  if (!reply->order) return TETHER_RESOURCE_EXHAUSTED;
  orders__v1__order__init(reply->order);
  code = tether_pq_pool_take(service->pool, ctx, &pq);
  if (code != TETHER_OK) return orders_fail(ctx, call, NULL, code);
  code = tether_pq_transaction(pq, ctx, NULL, place, &p);
  if (code != TETHER_OK && !p.said) code = orders_fail(ctx, call, pq, code);
  tether_pq_pool_give(service->pool, pq);
  return code;
}
