/* tether-shard: serves one database of packages.
 *
 *   tether-shard --db packages/shard-0.db --listen ipc:///run/search/shard-0.sock --name shard-0 */
#include "common/log.h"
#include "common/options.h"
#include "common/peers.h"
#include "common/security.h"
#include "common/serve.h"
#include "common/signals.h"
#include "common/slow.h"
#include "shard/service.h"
#include "telemetry/telemetry.h"

static const char *db, *url, *name = "shard";
static int workers = 8, streams;
static int64_t grace_ns = 2 * TETHER_SEC;
static svc_telemetry_options telemetry_options;
static svc_telemetry telemetry;
static shard_service service;

static const svc_option options[] = {
    {"db", "FILE", "database to serve, written by tether-load (required)", SVC_TEXT, &db},
    {"listen", "URL", "where to serve: ipc:///path or tcp://host:port (required)", SVC_TEXT, &url},
    {"name", "NAME", "this shard's name in logs; default shard", SVC_TEXT, &name},
    {"workers", "N", "queries at once, at most 64; default 8", SVC_COUNT, &workers},
    {"streams", "N", "how many of the workers may serve streams at once; default half of them", SVC_COUNT, &streams},
    {"slow", "DURATION", "make every query take this long", SVC_DURATION, &service.slow_ns},
    {"allow-slow", NULL, "let a request ask to be slow (for demonstrations)", SVC_FLAG, &service.allow_slow},
    {"grace", "DURATION", "how long running calls may take at shutdown; default 2s", SVC_DURATION, &grace_ns},
    SVC_OPTION_METRICS(telemetry_options),
    SVC_OPTION_LOG_CALLS(telemetry_options),
    SVC_OPTIONS_TLS,
    SVC_OPTIONS_GUARD,
    {0},
};

int main(int argc, char **argv) {
  int rest = svc_options_parse(options, "tether-shard --db FILE --listen URL [options]", argc, argv);
  if (rest < argc) svc_usage_error(argv, "unexpected argument '%s'", argv[rest]);
  if (!db || !url) svc_usage_error(argv, "--db FILE and --listen URL are required");
  if (workers > SHARD_MAX_READERS) svc_usage_error(argv, "--workers: at most %d", SHARD_MAX_READERS);

  int signals = svc_signals_open();
  svc_log_open(name);
  service.name = name;
  service.max_streams = streams ? streams : (workers + 1) / 2;
  if (!svc_telemetry_open(&telemetry, name, &telemetry_options)) return 1;
  if (!svc_security_open()) return 1;
  if (shard_readers_open(&service.readers, db, workers) != TETHER_OK) return 1;
  svc_log_note("loaded", "%s: %lld packages", db, (long long)service.readers.documents);

  const tether_key *const keys[] = {&svc_slow_key, NULL};
  tether_server_options server_options = {.max_workers = workers, .keys = keys, .interceptors = telemetry.interceptors};
  svc_permit_clients(&server_options);
  svc_security_of_server(&server_options);
  tether_server *server;
  tether_code code = tether_server_open(&server_options, &server);
  if (code == TETHER_OK) code = search_v1_shard_register(server, &shard_service_table, &service);
  if (code != TETHER_OK) {
    svc_log_note("error", "cannot start: %s", tether_code_name(code));
    return 1;
  }
  int status = svc_serve(server, url, signals, grace_ns);
  shard_readers_close(&service.readers);
  svc_telemetry_close(&telemetry);
  svc_security_close();
  return status;
}
