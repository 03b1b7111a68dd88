/* A server with reflection, asked what it serves, with the installed library alone. */
#include <stdio.h>
#include <string.h>
#include <tether/reflection.h>

#include "reflection.tether.h"

static const char *first_service(tether_client *client, char name[64]) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_SEC);
  Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  const Grpc__Reflection__V1__ServerReflectionResponse *reply = NULL;
  request.list_services = (char *)"*";
  TETHER_SCOPED_CALL tether_call *call =
      grpc_reflection_v1_server_reflection_client_server_reflection_info_start(client, ctx, NULL, NULL, NULL);
  name[0] = '\0';
  if (grpc_reflection_v1_server_reflection_server_reflection_info_send_request(call, &request) == TETHER_OK &&
      grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(call, &reply) == TETHER_OK && reply &&
      reply->list_services_response && reply->list_services_response->n_service > 0)
    snprintf(name, 64, "%s", reply->list_services_response->service[0]->name);
  return name;
}

int main(void) {
  tether_server *server;
  tether_client *client;
  tether_reflection *reflection;
  char url[64], name[64];
  if (tether_server_open(NULL, &server) != TETHER_OK) return 1;
  if (tether_reflection_new(server, &reflection) != TETHER_OK) return 1;
  if (tether_server_listen(server, "tcp://127.0.0.1:0") != TETHER_OK) return 1;
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
  if (tether_client_open(url, NULL, &client) != TETHER_OK) return 1;
  puts(first_service(client, name));
  tether_client_close(client);
  tether_server_close(server);
  tether_reflection_free(reflection);
  return strcmp(name, "grpc.reflection.v1.ServerReflection") == 0 ? 0 : 1;
}
