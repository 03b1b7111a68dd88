#include <stdio.h>

#include "common/log.h"
#include "orders/service.h"

/* In order; several services may start at once, so one after the other under a lock. */
static const char *const statements[] = {
    "SELECT pg_advisory_xact_lock(7467657468)",
    "CREATE TABLE IF NOT EXISTS products(sku text PRIMARY KEY, price_cents bigint NOT NULL CHECK (price_cents >= 0),"
    " stock bigint NOT NULL CHECK (stock >= 0))",
    "CREATE TABLE IF NOT EXISTS orders(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " idempotency_key text NOT NULL UNIQUE, customer text NOT NULL, total_cents bigint NOT NULL,"
    " placed_at timestamptz NOT NULL DEFAULT now())",
    "CREATE INDEX IF NOT EXISTS orders_customer ON orders(customer, id)",
    "CREATE TABLE IF NOT EXISTS order_lines(order_id bigint REFERENCES orders, sku text REFERENCES products,"
    " quantity bigint NOT NULL CHECK (quantity > 0), price_cents bigint NOT NULL, PRIMARY KEY (order_id, sku))",
};

static const char sample_sql[] =
    "INSERT INTO products(sku, price_cents, stock) VALUES ('anvil', 9900, 1000000), ('rocket', 129900, 1000000),"
    " ('rope', 450, 1000000), ('last-one', 100, 1) ON CONFLICT DO NOTHING";

static tether_code run(tether_pq *pq, const tether_ctx *ctx, const char *sql) {
  PGresult *result = NULL;
  tether_code code = tether_pq_query(pq, ctx, sql, 0, NULL, &result);
  PQclear(result);
  return code;
}

static tether_code create(tether_pq *pq, const tether_ctx *ctx, void *data) {
  const bool *sample = data;
  tether_code code = TETHER_OK;
  for (size_t i = 0; code == TETHER_OK && i < sizeof statements / sizeof statements[0]; i++)
    code = run(pq, ctx, statements[i]);
  if (code == TETHER_OK && *sample) code = run(pq, ctx, sample_sql);
  return code;
}

tether_code orders_schema_create(orders_service *service, const tether_ctx *ctx, bool sample) {
  tether_pq *pq;
  tether_code code = tether_pq_pool_take(service->pool, ctx, &pq);
  if (code != TETHER_OK) {
    svc_log_note("error", "no database: %s", tether_code_name(code));
    return code;
  }
  code = tether_pq_transaction(pq, ctx, NULL, create, &sample);
  if (code != TETHER_OK)
    svc_log_note("error", "the tables cannot be made: %s: %s", tether_code_name(code), tether_pq_message(pq));
  tether_pq_pool_give(service->pool, pq);
  return code;
}
