/* A program that knows the library only as installed: one call that succeeds and one that the method's default timeout
 * ends, of which the handler hears. */
#include <stdio.h>
#include <string.h>

#include "greeter.tether.h"

static tether_code stopped_with; /* written by the handler; read after the server is closed */

static tether_code say_hello(const tether_ctx *ctx, tether_call *call, const Outside__V1__HelloRequest *request,
                             Outside__V1__HelloReply *reply, void *data) {
  (void)data;
  if (strcmp(request->name, "sleeper") == 0) return stopped_with = tether_ctx_wait(ctx, TETHER_FOREVER);
  reply->text = tether_call_printf(call, "hello %s", request->name);
  return reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

static tether_code greet(tether_client *client, const tether_ctx *ctx, char *name, const tether_call_options *options) {
  Outside__V1__HelloRequest request = OUTSIDE__V1__HELLO_REQUEST__INIT;
  request.name = name;
  TETHER_SCOPED_CALL tether_call *call = outside_v1_greeter_client_say_hello(client, ctx, &request, options);
  const Outside__V1__HelloReply *reply = outside_v1_greeter_say_hello_reply(call);
  printf("%s: %s\n", tether_code_name(tether_call_code(call)), reply ? reply->text : tether_call_message(call));
  return tether_call_code(call);
}

int main(void) {
  static const outside_v1_greeter_service service = {.say_hello = say_hello};
  static const tether_call_options patient = {.timeout_ns = 30 * TETHER_SEC};
  tether_server *server;
  tether_client *client;
  char url[64];
  if (tether_server_open(NULL, &server) != TETHER_OK) return 1;
  if (outside_v1_greeter_register(server, &service, NULL) != TETHER_OK) return 1;
  if (tether_server_listen(server, "tcp://127.0.0.1:0") != TETHER_OK) return 1;
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(server));
  if (tether_client_open(url, NULL, &client) != TETHER_OK) return 1;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_SEC);
  if (tether_client_wait_ready(client, ctx) != TETHER_OK) return 1;
  tether_code answered = greet(client, ctx, "world", &patient);
  tether_code cut = greet(client, ctx, "sleeper", NULL);
  tether_client_close(client);
  tether_server_close(server);
  return answered == TETHER_OK && cut == TETHER_DEADLINE_EXCEEDED && stopped_with != TETHER_OK ? 0 : 1;
}
