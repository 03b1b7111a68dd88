/* A server with gRPC's health service, made and asked with the installed library alone: no .proto, no generated code.
 */
#include <stdio.h>
#include <tether/health.h>

int main(void) {
  tether_server *server;
  tether_client *client;
  tether_health *health;
  tether_health_status status;
  char url[64];
  if (tether_server_open(NULL, &server) != TETHER_OK) return 1;
  if (tether_health_new(server, &health) != TETHER_OK) return 1;
  if (tether_server_listen(server, "tcp://127.0.0.1:0") != TETHER_OK) return 1;
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
  if (tether_client_open(url, NULL, &client) != TETHER_OK) return 1;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_SEC);
  if (tether_client_wait_ready(client, ctx) != TETHER_OK) return 1;
  if (tether_health_check(client, ctx, "grpc.health.v1.Health", &status) != TETHER_OK) return 1;
  puts(tether_health_status_name(status));
  tether_client_close(client);
  tether_server_close(server);
  tether_health_free(health);
  return status == TETHER_HEALTH_SERVING ? 0 : 1;
}
