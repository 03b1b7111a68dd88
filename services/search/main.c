/* tether-search: asks all shards and merges their answers.
 *
 *   tether-search --listen ipc:///run/search/search.sock \
 *       --shard ipc:///run/search/shard-0.sock --shard ipc:///run/search/shard-1.sock */
#include <stdio.h>

#include "common/log.h"
#include "common/options.h"
#include "common/peers.h"
#include "common/security.h"
#include "common/serve.h"
#include "common/signals.h"
#include "search/service.h"
#include "telemetry/telemetry.h"

enum { MERGERS = 4 }; /* threads; they only move messages */

static const char *url;
static svc_list shard_urls;
static int64_t grace_ns = 2 * TETHER_SEC;
static svc_telemetry_options telemetry_options;
static svc_telemetry telemetry;
static search_service service = {.reserve_ns = 20 * TETHER_MS};

static const svc_option options[] = {
    {"listen", "URL", "where to serve: ipc:///path or tcp://host:port (required)", SVC_TEXT, &url},
    {"shard", "URL", "a shard to ask, or its replicas: URL,URL or dns:///NAME:PORT; one for each (required)", SVC_LIST,
     &shard_urls},
    {"reserve", "DURATION", "kept of each budget to deliver the answer; default 20ms, at most a tenth", SVC_DURATION,
     &service.reserve_ns},
    {"grace", "DURATION", "how long running calls may take at shutdown; default 2s", SVC_DURATION, &grace_ns},
    SVC_OPTION_METRICS(telemetry_options),
    SVC_OPTION_LOG_CALLS(telemetry_options),
    SVC_OPTIONS_TLS,
    SVC_OPTION_TOKEN,
    SVC_OPTIONS_GUARD,
    {0},
};

static tether_code open_shards(void) {
  tether_client_options client_options = svc_client_options(telemetry.interceptors);
  svc_security_of_client(&client_options);
  for (size_t i = 0; i < shard_urls.count; i++) {
    search_shard *shard = &service.shards[i];
    snprintf(shard->name, sizeof shard->name, "shard-%zu", i);
    tether_code code = tether_client_open(shard_urls.items[i], &client_options, &shard->client);
    if (code != TETHER_OK) {
      svc_log_note("error", "cannot use --shard %s: %s", shard_urls.items[i], tether_code_name(code));
      return code;
    }
    svc_security_watch_client(shard->client);
    service.count++;
  }
  return TETHER_OK;
}

static void close_shards(void) {
  for (size_t i = 0; i < service.count; i++) tether_client_close(service.shards[i].client);
}

int main(int argc, char **argv) {
  int rest = svc_options_parse(options, "tether-search --listen URL --shard URL... [options]", argc, argv);
  if (rest < argc) svc_usage_error(argv, "unexpected argument '%s'", argv[rest]);
  if (!url || shard_urls.count == 0) svc_usage_error(argv, "--listen URL and at least one --shard URL are required");
  if (shard_urls.count > SEARCH_MAX_SHARDS) svc_usage_error(argv, "--shard: at most %d", SEARCH_MAX_SHARDS);

  int signals = svc_signals_open();
  svc_log_open("search");
  if (!svc_security_open()) return 1;
  tether_server *server = NULL;
  bool told = svc_telemetry_open(&telemetry, "search", &telemetry_options);
  tether_server_options server_options = {.interceptors = telemetry.interceptors};
  svc_permit_clients(&server_options);
  svc_security_of_server(&server_options);
  tether_code code = told ? open_shards() : TETHER_FAILED_PRECONDITION;
  if (code == TETHER_OK) code = tether_pool_open(MERGERS, &service.mergers);
  if (code == TETHER_OK) code = tether_server_open(&server_options, &server);
  if (code == TETHER_OK) code = search_v1_search_register(server, &search_service_table, &service);
  int status = 1;
  if (code == TETHER_OK)
    status = svc_serve(server, url, signals, grace_ns);
  else
    tether_server_close(server);
  tether_pool_close(service.mergers); /* after the last stream, which the server has waited for */
  close_shards();
  svc_telemetry_close(&telemetry);
  svc_security_close();
  return status;
}
