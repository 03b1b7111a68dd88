/* tether-orders over a real PostgreSQL: orders are placed once or not at all, whoever dies meanwhile, and nothing goes
 * on in the database for a caller who has left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/slow.h"
#include "orders/v1/orders.tether.h"
#include "support/cluster.h"
#include "support/process.h"
#include "tests/support/postgres.h"
#include "tests/support/wait.h"

static tst_postgres postgres;
static PGconn *sql; /* the test's own */
static char dir[64], url[128];
static process service;
static tether_client *client;

/* ---- The database, as the test sees it ------------------------------------------------------ */

static void sql_open(void) {
  PQfinish(sql);
  sql = PQconnectdb(postgres.conninfo);
}

/* A statement's one value, or "". */
static const char *ask(const char *statement) {
  static char value[256];
  PGresult *result = PQexec(sql, statement);
  snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
  if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
    print_error("%s: %s\n", statement, PQerrorMessage(sql));
  PQclear(result);
  return value;
}

static long long ask_number(const char *statement) { return strtoll(ask(statement), NULL, 10); }

#define SERVICE_BACKENDS "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orders-test'"

static bool is_true(void *data) { return strcmp(ask(data), "t") == 0; }

static void wait_true(const char *statement) {
  if (!tst_wait_until(is_true, (void *)statement, TST_BOUND_NS)) fail_msg("never true: %s", statement);
}

#define NOTHING_RUNS \
  "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'orders-test' AND state <> 'idle'"
#define SOMETHING_RUNS \
  "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'orders-test' AND state = 'active'"

/* ---- The service ---------------------------------------------------------------------------- */

/* The database by libpq's service file, as deploy/ has it. */
static bool write_service_file(void) {
  char path[128];
  snprintf(path, sizeof path, "%s/pg_service.conf", dir);
  FILE *file = fopen(path, "we");
  if (!file) return false;
  fputs("[orders]\napplication_name=orders-test\n", file);
  /* "name=value name=value" becomes a line each. */
  for (const char *at = postgres.conninfo; *at; at++) fputc(*at == ' ' ? '\n' : *at, file);
  fputc('\n', file);
  return fclose(file) == 0 && setenv("PGSERVICEFILE", path, 1) == 0;
}

static void service_start(void) {
  const char *const args[] = {"--db",     "service=orders", "--listen",      url, "--name", "orders",
                              "--sample", "--allow-slow",   "--connections", "6", NULL};
  log_line line;
  process_start(&service, dir, "orders", "tether-orders", args);
  if (!log_wait(&service, "ready", NULL, NULL, &line)) fail_msg("tether-orders does not start: %s", service.log);
}

static void service_stop(void) {
  kill(service.pid, SIGTERM);
  int status = process_wait(&service);
  if (status != 0) fail_msg("tether-orders ended with %d: %s", status, service.log);
}

static int setup_all(void **state) {
  (void)state;
  make_dir(dir);
  snprintf(url, sizeof url, "ipc://%s/orders.sock", dir);
  return tst_postgres_open(&postgres) && write_service_file() ? 0 : -1;
}

static int teardown_all(void **state) {
  (void)state;
  process_kill(&service);
  PQfinish(sql);
  tst_postgres_close(&postgres);
  remove_dir(dir);
  return 0;
}

static int setup(void **state) {
  (void)state;
  sql_open();
  service_start();
  ask("TRUNCATE orders, order_lines; UPDATE products SET stock = 1000000 WHERE sku <> 'last-one'");
  ask("UPDATE products SET stock = 1 WHERE sku = 'last-one'");
  return tether_client_open(url, NULL, &client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  tether_client_close(client);
  client = NULL;
  service_stop();
  return 0;
}

/* ---- Placing -------------------------------------------------------------------------------- */

static tether_call *place(const tether_ctx *ctx, const char *key, const char *customer, const char *sku,
                          unsigned quantity, const char *other_sku, unsigned other_quantity) {
  Orders__V1__PlaceOrderRequest request = ORDERS__V1__PLACE_ORDER_REQUEST__INIT;
  Orders__V1__Item items[2] = {ORDERS__V1__ITEM__INIT, ORDERS__V1__ITEM__INIT}, *list[] = {&items[0], &items[1]};
  request.idempotency_key = (char *)key;
  request.customer = (char *)customer;
  items[0].sku = (char *)sku;
  items[0].quantity = quantity;
  items[1].sku = (char *)other_sku;
  items[1].quantity = other_quantity;
  request.items = list;
  request.n_items = other_sku ? 2 : 1;
  return orders_v1_orders_client_place_order(client, ctx, &request, NULL);
}

static void assert_code(const tether_call *call, tether_code code) {
  if (tether_call_code(call) != code)
    fail_msg("%s instead of %s: %s", tether_code_name(tether_call_code(call)), tether_code_name(code),
             tether_call_message(call));
}

static tether_code placed(const char *key, const char *sku, unsigned quantity) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = place(ctx, key, "ada", sku, quantity, NULL, 0);
  return tether_call_code(call);
}

static void an_order_with_the_same_key_is_placed_once(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *first = place(tether_ctx_background(), "k", "ada", "rope", 3, "anvil", 2);
  TETHER_SCOPED_CALL tether_call *again = place(tether_ctx_background(), "k", "ada", "rope", 3, "anvil", 2);
  TETHER_SCOPED_CALL tether_call *other = place(tether_ctx_background(), "k", "ada", "rope", 4, "anvil", 2);
  assert_code(first, TETHER_OK);
  assert_code(again, TETHER_OK);
  assert_code(other, TETHER_ALREADY_EXISTS);
  const Orders__V1__PlaceOrderReply *reply = orders_v1_orders_place_order_reply(first);
  const Orders__V1__PlaceOrderReply *repeated = orders_v1_orders_place_order_reply(again);
  assert_false(reply->repeated);
  assert_true(repeated->repeated);
  assert_int_equal(reply->order->id, repeated->order->id);
  assert_int_equal(reply->order->total_cents, 3 * 450 + 2 * 9900);
  assert_int_equal(repeated->order->n_lines, 2);
  assert_string_equal(repeated->order->lines[0]->sku, "anvil");
  assert_int_equal(ask_number("SELECT stock FROM products WHERE sku = 'rope'"), 999997);

  Orders__V1__GetOrderRequest request = ORDERS__V1__GET_ORDER_REQUEST__INIT;
  request.id = reply->order->id;
  TETHER_SCOPED_CALL tether_call *got =
      orders_v1_orders_client_get_order(client, tether_ctx_background(), &request, NULL);
  assert_code(got, TETHER_OK);
  assert_string_equal(orders_v1_orders_get_order_reply(got)->customer, "ada");
  request.id += 1000;
  TETHER_SCOPED_CALL tether_call *none =
      orders_v1_orders_client_get_order(client, tether_ctx_background(), &request, NULL);
  assert_code(none, TETHER_NOT_FOUND);
}

static void what_is_not_there_is_not_sold_and_an_order_is_all_or_nothing(void **state) {
  (void)state;
  TETHER_SCOPED_CALL tether_call *many = place(tether_ctx_background(), "a", "ada", "anvil", 5, "last-one", 2);
  TETHER_SCOPED_CALL tether_call *none = place(tether_ctx_background(), "b", "ada", "anvil", 5, "unobtainium", 1);
  assert_code(many, TETHER_FAILED_PRECONDITION);
  assert_non_null(strstr(tether_call_message(many), "only 1 left"));
  assert_code(none, TETHER_NOT_FOUND);
  assert_int_equal(ask_number("SELECT stock FROM products WHERE sku = 'anvil'"), 1000000);
  assert_int_equal(ask_number("SELECT count(*) FROM orders"), 0);
}

static void a_bad_order_is_refused_with_the_reason(void **state) {
  (void)state;
  const tether_ctx *ctx = tether_ctx_background();
  const struct {
    tether_call *call;
    const char *reason;
  } bad[] = {
      {place(ctx, "", "ada", "rope", 1, NULL, 0), "idempotency_key"},
      {place(ctx, "k", "", "rope", 1, NULL, 0), "customer"},
      {place(ctx, "k", "ada", "rope", 0, NULL, 0), "quantity"},
      {place(ctx, "k", "ada", "rope", 1000001, NULL, 0), "quantity"},
      {place(ctx, "k", "ada", "rope", 1, "rope", 2), "twice"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_code(bad[i].call, TETHER_INVALID_ARGUMENT);
    assert_non_null(strstr(tether_call_message(bad[i].call), bad[i].reason));
    tether_call_unref(bad[i].call);
  }
}

/* ---- Lists and reports ---------------------------------------------------------------------- */

static void fill(int orders) {
  char statement[512];
  snprintf(statement, sizeof statement,
           "INSERT INTO orders(idempotency_key, customer, total_cents) SELECT 'f' || n, 'c' || n %% 7, n"
           " FROM generate_series(1, %d) n",
           orders);
  ask(statement);
  ask("INSERT INTO order_lines SELECT id, sku, 1, 2 FROM orders, products");
}

static void a_list_has_every_order_with_its_lines(void **state) {
  (void)state;
  Orders__V1__ListOrdersRequest request = ORDERS__V1__LIST_ORDERS_REQUEST__INIT;
  const Orders__V1__Order *order;
  uint64_t last = 0;
  int count = 0;
  fill(500);
  TETHER_SCOPED_CALL tether_call *call =
      orders_v1_orders_client_list_orders_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
  while (orders_v1_orders_list_orders_recv_reply(call, &order) == TETHER_OK && order) {
    assert_true(order->id > last);
    assert_int_equal(order->n_lines, 4);
    last = order->id;
    count++;
  }
  assert_code(call, TETHER_OK);
  assert_int_equal(count, 500);
}

static void a_reader_who_leaves_stops_the_query(void **state) {
  (void)state;
  Orders__V1__ListOrdersRequest request = ORDERS__V1__LIST_ORDERS_REQUEST__INIT;
  const Orders__V1__Order *order;
  fill(50000); /* more than all buffers between the table and the reader hold */
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  TETHER_SCOPED_CALL tether_call *call =
      orders_v1_orders_client_list_orders_start(client, ctx, &request, NULL, NULL, NULL);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(orders_v1_orders_list_orders_recv_reply(call, &order), TETHER_OK);
    assert_non_null(order);
  }
  wait_true(SOMETHING_RUNS); /* held back, not finished */
  tether_ctx_cancel(ctx);
  wait_true(NOTHING_RUNS);
}

static tether_call *slow_report(const tether_ctx *parent, tether_ctx **made) {
  Orders__V1__ReportRequest request = ORDERS__V1__REPORT_REQUEST__INIT;
  *made = tether_ctx_with_value(parent, &svc_slow_key, "10m");
  return orders_v1_orders_client_report_start(client, *made, &request, NULL, NULL, NULL);
}

static void a_report_stops_in_the_database_at_the_deadline_and_when_it_is_cancelled(void **state) {
  (void)state;
  tether_ctx *slow;
  fill(10);
  TETHER_SCOPED tether_ctx *brief = tether_ctx_with_timeout(tether_ctx_background(), 200 * TETHER_MS);
  tether_call *call = slow_report(brief, &slow);
  assert_int_equal(tether_call_wait(call), TETHER_DEADLINE_EXCEEDED);
  wait_true(NOTHING_RUNS);
  tether_call_unref(call);
  tether_ctx_free(slow);

  call = slow_report(tether_ctx_background(), &slow);
  wait_true(SOMETHING_RUNS);
  uint32_t running = 1;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, TST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(running, 0);
  assert_string_equal(ask(NOTHING_RUNS), "t"); /* the handler has returned, so the database has stopped */
  tether_call_unref(call);
  tether_ctx_free(slow);

  Orders__V1__ReportRequest request = ORDERS__V1__REPORT_REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *quick =
      orders_v1_orders_client_report(client, tether_ctx_background(), &request, NULL);
  assert_code(quick, TETHER_OK);
  assert_int_equal(orders_v1_orders_report_reply(quick)->n_customers, 7);
}

/* ---- Deaths --------------------------------------------------------------------------------- */

static void cli_start(process *p, const char *const words[]) {
  const char *args[16] = {"orders", "--url", url, "--timeout", "10m"};
  for (int i = 0; words[i]; i++) args[5 + i] = words[i];
  process_start(p, dir, "cli", "tether-cli", args);
}

static void a_client_killed_within_a_report_leaves_nothing_running(void **state) {
  (void)state;
  process cli;
  cli_start(&cli, (const char *const[]){"--slow", "10m", "report", NULL});
  wait_true(SOMETHING_RUNS);
  process_kill(&cli);
  wait_true(NOTHING_RUNS);
  assert_int_equal(placed("k", "rope", 1), TETHER_OK);
}

/* What a service's transaction waits for, on a connection of its own: within a transaction pg_stat_activity stands
 * still. */
static PGconn *hold_rope(void) {
  PGconn *holder = PQconnectdb(postgres.conninfo);
  PQclear(PQexec(holder, "BEGIN"));
  PQclear(PQexec(holder, "UPDATE products SET stock = stock WHERE sku = 'rope'"));
  assert_int_equal(PQtransactionStatus(holder), PQTRANS_INTRANS);
  return holder;
}

#define WAITS_FOR_LOCK                                                               \
  "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'orders-test'" \
  " AND wait_event_type = 'Lock'"

static void a_client_killed_within_a_transaction_has_ordered_nothing(void **state) {
  (void)state;
  process cli;
  PGconn *holder = hold_rope();
  cli_start(&cli, (const char *const[]){"--key", "k", "--customer", "ada", "place", "anvil=2", "rope=1", NULL});
  wait_true(WAITS_FOR_LOCK);
  process_kill(&cli);
  wait_true(NOTHING_RUNS); /* with the lock still held: it has not just gone on */
  PQfinish(holder);
  assert_int_equal(ask_number("SELECT count(*) FROM orders"), 0);
  assert_int_equal(ask_number("SELECT stock FROM products WHERE sku = 'anvil'"), 1000000);
  assert_int_equal(placed("k", "rope", 1), TETHER_OK);
}

static void a_service_killed_within_a_transaction_has_ordered_nothing(void **state) {
  (void)state;
  process cli;
  PGconn *holder = hold_rope();
  cli_start(&cli, (const char *const[]){"--key", "k", "--customer", "ada", "place", "anvil=2", "rope=1", NULL});
  wait_true(WAITS_FOR_LOCK);
  process_kill(&service);
  process_kill(&cli);
  wait_true("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'orders-test'");
  PQfinish(holder);
  assert_int_equal(ask_number("SELECT count(*) FROM orders"), 0);
  service_start();
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
  assert_int_equal(placed("k", "rope", 1), TETHER_OK);
}

/* ---- The database restarts under load ------------------------------------------------------- */

enum { CUSTOMERS = 4, ORDERS_EACH = 60 };

struct customer {
  pthread_t thread;
  int number, placed;
  atomic_bool *give_up;
};

/* Asks again with the same key until the order is placed. */
static void *order_all(void *data) {
  struct customer *c = data;
  for (int i = 0; i < ORDERS_EACH; i++) {
    char key[32];
    tether_code code = TETHER_UNKNOWN;
    snprintf(key, sizeof key, "%d-%d", c->number, i);
    while (code != TETHER_OK && !atomic_load(c->give_up)) {
      code = placed(key, i % 2 ? "rope" : "anvil", 1);
      if (code != TETHER_OK) nap_ms(5);
    }
    c->placed += code == TETHER_OK;
  }
  return NULL;
}

static void a_database_that_restarts_under_load_loses_and_doubles_nothing(void **state) {
  (void)state;
  struct customer customers[CUSTOMERS];
  atomic_bool give_up = false;
  for (int i = 0; i < CUSTOMERS; i++) {
    customers[i] = (struct customer){.number = i, .give_up = &give_up};
    assert_int_equal(pthread_create(&customers[i].thread, NULL, order_all, &customers[i]), 0);
  }
  bool restarted = true;
  const int how[] = {SIGINT, SIGQUIT, SIGINT};
  for (size_t i = 0; restarted && i < sizeof how / sizeof *how; i++) {
    char enough[96];
    snprintf(enough, sizeof enough, "SELECT count(*) >= %zu FROM orders", (i + 1) * 30);
    restarted = tst_wait_until(is_true, enough, TST_BOUND_NS) && tst_postgres_stop(&postgres, how[i]) &&
                tst_postgres_start(&postgres);
    sql_open();
  }
  if (!restarted) atomic_store(&give_up, true);
  for (int i = 0; i < CUSTOMERS; i++) assert_int_equal(pthread_join(customers[i].thread, NULL), 0);
  assert_true(restarted);
  for (int i = 0; i < CUSTOMERS; i++) assert_int_equal(customers[i].placed, ORDERS_EACH);
  assert_int_equal(ask_number("SELECT count(*) FROM orders"), CUSTOMERS * ORDERS_EACH);
  assert_int_equal(ask_number("SELECT sum(1000000 - stock) FROM products WHERE sku IN ('rope', 'anvil')"),
                   CUSTOMERS * ORDERS_EACH);
}

/* ---- Cancels in a loop ---------------------------------------------------------------------- */

static void calls_cancelled_in_a_loop_never_get_or_cost_another_s_answer(void **state) {
  (void)state;
  Orders__V1__GetOrderRequest request = ORDERS__V1__GET_ORDER_REQUEST__INIT;
  int stopped = 0;
  fill(100);
  const uint64_t first = (uint64_t)ask_number("SELECT min(id) FROM orders");
  for (unsigned i = 0; i < 1000; i++) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), i * 7919 % 1500 * TETHER_US);
    request.id = first + i % 100;
    TETHER_SCOPED_CALL tether_call *cut = orders_v1_orders_client_get_order(client, ctx, &request, NULL);
    if (tether_call_code(cut) == TETHER_OK)
      assert_int_equal(orders_v1_orders_get_order_reply(cut)->id, request.id);
    else
      assert_code(cut, TETHER_DEADLINE_EXCEEDED);
    stopped += tether_call_code(cut) != TETHER_OK;
    request.id = first + (i + 50) % 100;
    const tether_call_options patient = {.timeout_ns = TST_BOUND_NS}; /* instead of the method's own */
    TETHER_SCOPED_CALL tether_call *whole =
        orders_v1_orders_client_get_order(client, tether_ctx_background(), &request, &patient);
    assert_code(whole, TETHER_OK);
    assert_int_equal(orders_v1_orders_get_order_reply(whole)->id, request.id);
  }
  assert_true(stopped > 0);
  wait_true(NOTHING_RUNS);
  assert_true(ask_number(SERVICE_BACKENDS) <= 6);
}

/* ---- The command line ----------------------------------------------------------------------- */

static int cli(const char *const words[], char printed[1024]) {
  process p;
  cli_start(&p, words);
  int status = process_wait(&p);
  char *out = file_text(p.out), *errors = file_text(p.log);
  snprintf(printed, 1024, "%s%s", out, errors);
  free(out);
  free(errors);
  return status;
}

static void the_command_line_places_and_shows_orders(void **state) {
  (void)state;
  char text[1024];
  const char *const order[] = {"--key", "k", "--customer", "ada", "place", "anvil=2", "rope=10", NULL};
  assert_int_equal(cli(order, text), 0);
  assert_non_null(strstr(text, "of ada: anvil=2 rope=10 for 243.00"));
  assert_int_equal(cli(order, text), 0);
  assert_non_null(strstr(text, "placed before: order"));
  assert_int_equal(cli((const char *const[]){"list", NULL}, text), 0);
  assert_non_null(strstr(text, "of ada"));
  assert_int_equal(cli((const char *const[]){"report", NULL}, text), 0);
  assert_string_equal(text, "ada 1 243.00\n");
  assert_int_equal(cli((const char *const[]){"get", "999999", NULL}, text), 1);
  assert_non_null(strstr(text, "NOT_FOUND"));
  assert_int_equal(cli((const char *const[]){"place", "anvil", NULL}, text), 2);
}

static void without_a_database_the_service_says_so_and_ends(void **state) {
  (void)state;
  process p;
  const char *const args[] = {"--db", "host=/nowhere", "--listen", "ipc:///nowhere/socket", NULL};
  log_line line;
  assert_int_equal(process_run(&p, dir, "orders-alone", "tether-orders", args), 1);
  assert_true(log_find(&p, "database", NULL, "/nowhere", &line));
}

#define TEST(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  if (!tst_postgres_is_installed()) return TST_POSTGRES_SKIP;
  const struct CMUnitTest tests[] = {
      TEST(an_order_with_the_same_key_is_placed_once),
      TEST(what_is_not_there_is_not_sold_and_an_order_is_all_or_nothing),
      TEST(a_bad_order_is_refused_with_the_reason),
      TEST(a_list_has_every_order_with_its_lines),
      TEST(a_reader_who_leaves_stops_the_query),
      TEST(a_report_stops_in_the_database_at_the_deadline_and_when_it_is_cancelled),
      TEST(a_client_killed_within_a_report_leaves_nothing_running),
      TEST(a_client_killed_within_a_transaction_has_ordered_nothing),
      TEST(a_service_killed_within_a_transaction_has_ordered_nothing),
      TEST(a_database_that_restarts_under_load_loses_and_doubles_nothing),
      TEST(calls_cancelled_in_a_loop_never_get_or_cost_another_s_answer),
      TEST(the_command_line_places_and_shows_orders),
      cmocka_unit_test(without_a_database_the_service_says_so_and_ends),
  };
  return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
