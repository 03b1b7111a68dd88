/* tether-orders: serves orders that are kept in PostgreSQL.
 *
 *   tether-orders --db "host=/run/postgresql dbname=orders" --listen ipc:///run/orders/orders.sock --sample
 *
 * libpq reads --db, and with it the environment: PGSERVICEFILE and so on. */
#include "common/log.h"
#include "common/options.h"
#include "common/security.h"
#include "common/serve.h"
#include "common/signals.h"
#include "common/slow.h"
#include "orders/service.h"
#include "telemetry/telemetry.h"

static const char *db, *url, *name = "orders";
static int connections = 8, streams;
static bool sample;
static int64_t grace_ns = 2 * TETHER_SEC, start_ns = 10 * TETHER_SEC;
static svc_telemetry_options telemetry_options;
static svc_telemetry telemetry;
static orders_service service;

static const svc_option options[] = {
    {"db", "CONNINFO", "the database, as libpq describes it (required)", SVC_TEXT, &db},
    {"listen", "URL", "where to serve: ipc:///path or tcp://host:port (required)", SVC_TEXT, &url},
    {"name", "NAME", "its name in logs; default orders", SVC_TEXT, &name},
    {"connections", "N", "to the database, and calls at once; default 8", SVC_COUNT, &connections},
    {"streams", "N", "how many of them may serve lists at once; default half of them", SVC_COUNT, &streams},
    {"sample", NULL, "put some products into the stock, if they are not there", SVC_FLAG, &sample},
    {"allow-slow", NULL, "let a request ask for a slow report (for demonstrations)", SVC_FLAG, &service.allow_slow},
    {"grace", "DURATION", "how long running calls may take at shutdown; default 2s", SVC_DURATION, &grace_ns},
    {"start", "DURATION", "how long to wait for the database at the start; default 10s", SVC_DURATION, &start_ns},
    SVC_OPTION_METRICS(telemetry_options),
    SVC_OPTION_LOG_CALLS(telemetry_options),
    SVC_OPTIONS_TLS,
    SVC_OPTIONS_GUARD,
    {0},
};

static void log_database(void *data, const char *text) {
  (void)data;
  svc_log_note("database", "%s", text);
}

static tether_code open_database(void) {
  const tether_pq_options with = {
      .conninfo = db, .max_connections = connections, .log = log_database, .settle_ns = 5 * TETHER_SEC};
  tether_code code = tether_pq_pool_open(&with, &service.pool);
  if (code != TETHER_OK) {
    svc_log_note("error", "--db is no connection string: %s", tether_code_name(code)); /* it may hold a password */
    return code;
  }
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), start_ns);
  return orders_schema_create(&service, ctx, sample);
}

int main(int argc, char **argv) {
  int rest = svc_options_parse(options, "tether-orders --db CONNINFO --listen URL [options]", argc, argv);
  if (rest < argc) svc_usage_error(argv, "unexpected argument '%s'", argv[rest]);
  if (!db || !url) svc_usage_error(argv, "--db CONNINFO and --listen URL are required");

  int signals = svc_signals_open();
  svc_log_open(name);
  service.name = name;
  service.max_streams = streams ? streams : (connections + 1) / 2;
  if (!svc_telemetry_open(&telemetry, name, &telemetry_options)) return 1;
  if (!svc_security_open()) return 1;
  if (open_database() != TETHER_OK) return 1;

  const tether_key *const keys[] = {&svc_slow_key, NULL};
  tether_server_options server_options = {
      .max_workers = connections, .keys = keys, .interceptors = telemetry.interceptors};
  svc_security_of_server(&server_options);
  tether_server *server;
  tether_code code = tether_server_open(&server_options, &server);
  if (code == TETHER_OK) code = orders_v1_orders_register(server, &orders_service_table, &service);
  if (code != TETHER_OK) {
    svc_log_note("error", "cannot start: %s", tether_code_name(code));
    return 1;
  }
  int status = svc_serve(server, url, signals, grace_ns);
  tether_pq_pool_close(service.pool);
  svc_telemetry_close(&telemetry);
  svc_security_close();
  return status;
}
