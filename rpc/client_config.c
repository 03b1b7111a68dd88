/* What a client's policies come from: its service config, and the limits of retries. */
#include <stdio.h>
#include <string.h>

#include "rpc/client.h"

#define RETRY_CALL_BYTES ((size_t)256 << 10)
#define RETRY_BYTES ((size_t)16 << 20)

static tether_code read_config(tether_client *client, const tether_client_options *options) {
  const char *text = options->service_config, *file = options->service_config_file;
  char why[TTH_SERVICE_CONFIG_WHY] = "";
  tether_code code = TETHER_OK;
  if (text && file) {
    snprintf(why, sizeof why, "a text and a file are given; only one of them is allowed");
    code = TETHER_INVALID_ARGUMENT;
  } else if (text) {
    code = tth_service_config_parse(text, strlen(text), why, &client->config);
  } else if (file) {
    code = tth_service_config_load(file, why, &client->config);
  }
  if (*why) fprintf(stderr, "tether: service config for %s: %s\n", client->target, why);
  return code;
}

tether_code tth_client_configure(tether_client *client, const tether_client_options *options) {
  client->no_retries = options->no_retries;
  client->retry_call_bytes = options->retry_call_bytes ? options->retry_call_bytes : RETRY_CALL_BYTES;
  client->retry_bytes = options->retry_bytes ? options->retry_bytes : RETRY_BYTES;
  client->backoffs = tether_ctx_with_cancel(tether_ctx_background());
  if (tether_ctx_err(client->backoffs) != TETHER_OK) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = read_config(client, options);
  if (code != TETHER_OK) return code;
  tth_throttle_init(&client->throttle, tth_service_config_throttling(client->config));
  if (options->balancing == TETHER_PICK_FIRST) client->balance.policy = tth_service_config_balancing(client->config);
  return TETHER_OK;
}
