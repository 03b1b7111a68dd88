/* tether-cli: asks services from the command line.
 *
 *   tether-cli search --url ipc:///run/search/search.sock --timeout 200ms text editor
 *   tether-cli search --url ipc:///run/search/search.sock --stream 'lib*' | head
 *   tether-cli list --url ipc:///run/search/shard-0.sock
 *   tether-cli describe --url ipc:///run/search/shard-0.sock search.v1.Shard
 *   tether-cli health --url ipc:///run/search/shard-0.sock --watch
 *   tether-cli orders --url ipc:///run/orders/orders.sock --key k1 --customer ada place anvil=2 rope=10
 *
 * Ctrl-C cancels the call, and with it everything below it. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/log.h"

const char *cli_url;
int64_t cli_timeout_ns;

static const cli_command *const commands[] = {&cli_search, &cli_list, &cli_describe, &cli_health, &cli_orders};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static char **arguments;
static tether_ctx *volatile interrupted_ctx;

void cli_usage_error(const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  svc_usage_error(arguments, "%s", text);
}

static void on_sigint(int number) {
  (void)number;
  tether_ctx_request_cancel(interrupted_ctx);
}

tether_ctx *cli_ctx_new(const tether_ctx *parent, int64_t default_ns) {
  tether_ctx *ctx = tether_ctx_with_timeout(parent, cli_timeout_ns ? cli_timeout_ns : default_ns);
  if (tether_ctx_enable_request_cancel(ctx) == TETHER_OK) {
    interrupted_ctx = ctx;
    signal(SIGINT, on_sigint);
  }
  return ctx;
}

void cli_ctx_free(tether_ctx *ctx) {
  signal(SIGINT, SIG_DFL); /* before the context goes */
  tether_ctx_free(ctx);
}

int cli_print_failure(const char *what, tether_code code, const char *message) {
  fprintf(stderr, "%s: %s: %s%s%s\n", arguments[0], what, tether_code_name(code), *message ? ": " : "", message);
  return code == TETHER_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

static void print_help(void) {
  puts("usage: tether-cli COMMAND [options] ...\n");
  for (int i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->what);
  puts("\n'tether-cli COMMAND --help' tells more.");
  exit(0);
}

static const cli_command *find_command(int argc, char **argv) {
  if (argc < 2) cli_usage_error("the command is missing");
  if (strcmp(argv[1], "--help") == 0) print_help();
  for (int i = 0; i < COMMANDS; i++)
    if (strcmp(argv[1], commands[i]->name) == 0) return commands[i];
  cli_usage_error("there is no command '%s'", argv[1]);
}

int main(int argc, char **argv) {
  arguments = argv;
  cli_url = getenv("TETHER_SEARCH_URL");
  const cli_command *command = find_command(argc, argv);
  int rest = 1 + svc_options_parse(command->options, command->synopsis, argc - 1, argv + 1);
  argc -= rest;
  argv += rest;
  if (command->check) command->check(argc, argv);
  if (!cli_url) cli_usage_error("--url URL is missing, and TETHER_SEARCH_URL is not set");

  svc_log_open("cli");
  tether_client *client;
  tether_client_options options = {.limits = {0}};
  if (!svc_security_open()) return CLI_FAILED;
  svc_security_of_client(&options);
  tether_code code = tether_client_open(cli_url, &options, &client);
  if (code != TETHER_OK) return cli_print_failure(cli_url, code, "it cannot be used");
  int status = command->run(client, argc, argv);
  tether_client_close(client);
  svc_security_close();
  return status;
}
