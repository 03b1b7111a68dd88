/* cli/orders.c: places orders, and shows them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/slow.h"
#include "orders/v1/orders.tether.h"

enum { MAX_ITEMS = 100 };

static const char *key, *customer, *slow;

static const svc_option options[] = {
    CLI_COMMON_OPTIONS,
    {"key", "KEY", "place: the order's idempotency key; the same key never places a second order", SVC_TEXT, &key},
    {"customer", "NAME", "place: who orders (required); list: whose orders, default all", SVC_TEXT, &customer},
    {"slow", "DURATION", "report: make it slow, if the service was started with --allow-slow", SVC_TEXT, &slow},
    {0},
};

/* ---- Words ---------------------------------------------------------------------------------- */

static Orders__V1__Item items[MAX_ITEMS], *item_list[MAX_ITEMS];
static unsigned long long id;

static unsigned long long number(const char *text, const char *what, unsigned long long max) {
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  if (end == text || *end || errno || *text == '-' || n < 1 || n > max) cli_usage_error("'%s' is no %s", text, what);
  return n;
}

/* SKU=QUANTITY */
static void parse_item(int i, char *word) {
  char *equals = strrchr(word, '=');
  if (!equals || equals == word) cli_usage_error("'%s' is not SKU=QUANTITY", word);
  *equals = '\0';
  orders__v1__item__init(&items[i]);
  items[i].sku = word;
  items[i].quantity = (uint32_t)number(equals + 1, "quantity from 1 to 1000000", 1000000);
  item_list[i] = &items[i];
}

static void check(int argc, char **argv) {
  if (argc < 1) cli_usage_error("what to do is missing: place, get, list or report");
  if (strcmp(argv[0], "place") == 0) {
    if (!key || !customer) cli_usage_error("place needs --key and --customer");
    if (argc < 2 || argc - 1 > MAX_ITEMS) cli_usage_error("place needs 1 to %d SKU=QUANTITY", MAX_ITEMS);
    for (int i = 1; i < argc; i++) parse_item(i - 1, argv[i]);
  } else if (strcmp(argv[0], "get") == 0) {
    if (argc != 2) cli_usage_error("get needs the number of one order");
    id = number(argv[1], "number of an order", INT64_MAX);
  } else if (strcmp(argv[0], "list") == 0 || strcmp(argv[0], "report") == 0) {
    if (argc > 1) cli_usage_error("unexpected argument '%s'", argv[1]);
  } else {
    cli_usage_error("'%s' is none of place, get, list and report", argv[0]);
  }
  if (slow && svc_slow_check(slow)) cli_usage_error("--slow '%s' is %s", slow, svc_slow_check(slow));
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static void print_cents(unsigned long long cents) { printf(" %llu.%02llu", cents / 100, cents % 100); }

static void print_order(const Orders__V1__Order *order) {
  printf("order %llu of %s:", (unsigned long long)order->id, order->customer);
  for (size_t i = 0; i < order->n_lines; i++) printf(" %s=%u", order->lines[i]->sku, order->lines[i]->quantity);
  fputs(" for", stdout);
  print_cents(order->total_cents);
  putchar('\n');
}

static int end_of(const char *what, const tether_call *call) {
  tether_code code = tether_call_code(call);
  return code == TETHER_OK ? 0 : cli_print_failure(what, code, tether_call_message(call));
}

static int place(tether_client *client, const tether_ctx *ctx, int argc) {
  Orders__V1__PlaceOrderRequest request = ORDERS__V1__PLACE_ORDER_REQUEST__INIT;
  request.idempotency_key = (char *)key;
  request.customer = (char *)customer;
  request.n_items = (size_t)(argc - 1);
  request.items = item_list;
  TETHER_SCOPED_CALL tether_call *call = orders_v1_orders_client_place_order(client, ctx, &request, NULL);
  const Orders__V1__PlaceOrderReply *reply = orders_v1_orders_place_order_reply(call);
  if (reply) {
    if (reply->repeated) fputs("placed before: ", stdout);
    print_order(reply->order);
  }
  return end_of("place", call);
}

static int get(tether_client *client, const tether_ctx *ctx) {
  Orders__V1__GetOrderRequest request = ORDERS__V1__GET_ORDER_REQUEST__INIT;
  request.id = id;
  TETHER_SCOPED_CALL tether_call *call = orders_v1_orders_client_get_order(client, ctx, &request, NULL);
  const Orders__V1__Order *reply = orders_v1_orders_get_order_reply(call);
  if (reply) print_order(reply);
  return end_of("get", call);
}

static int list(tether_client *client, tether_ctx *ctx) {
  Orders__V1__ListOrdersRequest request = ORDERS__V1__LIST_ORDERS_REQUEST__INIT;
  const Orders__V1__Order *order;
  if (customer) request.customer = (char *)customer;
  TETHER_SCOPED_CALL tether_call *call =
      orders_v1_orders_client_list_orders_start(client, ctx, &request, NULL, NULL, NULL);
  while (orders_v1_orders_list_orders_recv_reply(call, &order) == TETHER_OK && order) {
    print_order(order);
    if (fflush(stdout) != 0) tether_ctx_cancel(ctx); /* nobody reads on */
  }
  return end_of("list", call);
}

static int report(tether_client *client, const tether_ctx *ctx) {
  Orders__V1__ReportRequest request = ORDERS__V1__REPORT_REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = orders_v1_orders_client_report(client, ctx, &request, NULL);
  const Orders__V1__ReportReply *reply = orders_v1_orders_report_reply(call);
  for (size_t i = 0; reply && i < reply->n_customers; i++) {
    const Orders__V1__Spending *one = reply->customers[i];
    printf("%s %llu", one->customer, (unsigned long long)one->orders);
    print_cents(one->total_cents);
    putchar('\n');
  }
  return end_of("report", call);
}

static int run(tether_client *client, int argc, char **argv) {
  TETHER_SCOPED tether_ctx *slow_ctx = tether_ctx_with_value(tether_ctx_background(), &svc_slow_key, slow);
  tether_ctx *ctx = cli_ctx_new(slow_ctx, 10 * TETHER_SEC);
  int status;
  if (strcmp(argv[0], "place") == 0)
    status = place(client, ctx, argc);
  else if (strcmp(argv[0], "get") == 0)
    status = get(client, ctx);
  else if (strcmp(argv[0], "list") == 0)
    status = list(client, ctx);
  else
    status = report(client, ctx);
  cli_ctx_free(ctx);
  return status;
}

const cli_command cli_orders = {
    .name = "orders",
    .synopsis = "tether-cli orders [options] place SKU=QUANTITY... | get NUMBER | list | report",
    .what = "places orders, and shows them",
    .options = options,
    .check = check,
    .run = run};
