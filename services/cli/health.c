/* cli/health.c: asks a server's health service: for people, and as a probe (the exit code). */
#include <stdio.h>
#include <tether/health.h>

#include "cli/cli.h"

static const char *service = "";
static bool watch;

static const svc_option options[] = {
    CLI_COMMON_OPTIONS,
    {"service", "NAME", "the service to ask about; default the server as a whole", SVC_TEXT, &service},
    {"watch", NULL, "show every change, for as long as --timeout says; default for ever", SVC_FLAG, &watch},
    {0},
};

static void check(int argc, char **argv) {
  if (argc > 0) cli_usage_error("unexpected argument '%s'", argv[0]);
}

static int check_once(tether_client *client, const tether_ctx *ctx) {
  tether_health_status status;
  tether_code code = tether_health_check(client, ctx, service, &status);
  if (code != TETHER_OK) return cli_print_failure(cli_url, code, "");
  puts(tether_health_status_name(status));
  return status == TETHER_HEALTH_SERVING ? 0 : CLI_FAILED;
}

/* To the end of the watch, which is its own doing only if the time was up. */
static int watch_on(tether_client *client, const tether_ctx *ctx) {
  tether_health_status status = TETHER_HEALTH_UNKNOWN;
  TETHER_SCOPED_CALL tether_call *call = tether_health_watch(client, ctx, service);
  tether_code code;
  while ((code = tether_health_next(call, &status)) == TETHER_OK) {
    puts(tether_health_status_name(status));
    if (fflush(stdout) != 0) return CLI_FAILED; /* nobody reads on */
  }
  if (code == TETHER_DEADLINE_EXCEEDED && tether_ctx_err(ctx) == code)
    return status == TETHER_HEALTH_SERVING ? 0 : CLI_FAILED;
  return cli_print_failure(cli_url, code, tether_call_message(call));
}

static int run(tether_client *client, int argc, char **argv) {
  (void)argc, (void)argv;
  tether_ctx *ctx = cli_ctx_new(tether_ctx_background(), watch ? TETHER_FOREVER : CLI_DEFAULT_TIMEOUT_NS);
  int status = watch ? watch_on(client, ctx) : check_once(client, ctx);
  cli_ctx_free(ctx);
  return status;
}

const cli_command cli_health = {.name = "health",
                                .synopsis = "tether-cli health [options]",
                                .what = "asks whether a server, or a service of it, is serving: exit code 0 if so",
                                .options = options,
                                .check = check,
                                .run = run};
