/* cli/list.c: which services a server has, or which methods a service. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/proto_text.h"
#include "cli/reflect.h"

static const svc_option options[] = {CLI_COMMON_OPTIONS, {0}};

static void check(int argc, char **argv) {
  if (argc > 1) cli_usage_error("unexpected argument '%s'", argv[1]);
}

static int list_services(tether_client *client, const tether_ctx *ctx) {
  Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  tether_call *call;
  int status = 0;
  request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
  request.list_services = "";
  const Grpc__Reflection__V1__ServerReflectionResponse *response = reflect_ask(client, ctx, &request, &call, &status);
  if (response && response->message_response_case ==
                      GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE) {
    for (size_t i = 0; i < response->list_services_response->n_service; i++)
      puts(response->list_services_response->service[i]->name);
  } else if (response) {
    status = cli_print_failure(cli_url, TETHER_INTERNAL, "the answer is to another question");
  }
  tether_call_unref(call);
  return status;
}

static int list_methods(tether_client *client, const tether_ctx *ctx, const char *service) {
  int status = 0;
  proto_files files;
  if (!proto_files_of(client, ctx, service, &files, &status)) return status;
  const Google__Protobuf__ServiceDescriptorProto *found = proto_find_service(&files, service);
  for (size_t i = 0; found && i < found->n_method; i++) puts(found->method[i]->name);
  if (!found) status = cli_print_failure(service, TETHER_NOT_FOUND, "it is not a service");
  proto_files_fini(&files);
  return status;
}

static int run(tether_client *client, int argc, char **argv) {
  tether_ctx *ctx = cli_ctx_new(tether_ctx_background(), CLI_DEFAULT_TIMEOUT_NS);
  int status = argc == 0 ? list_services(client, ctx) : list_methods(client, ctx, argv[0]);
  cli_ctx_free(ctx);
  return status;
}

const cli_command cli_list = {.name = "list",
                              .synopsis = "tether-cli list [options] [SERVICE]",
                              .what = "lists the services of a server, or the methods of a service",
                              .options = options,
                              .check = check,
                              .run = run};
