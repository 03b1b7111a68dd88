/* cli/cli.h: what the commands of tether-cli have in common. */
#ifndef SERVICES_CLI_CLI_H
#define SERVICES_CLI_CLI_H

#include <tether/rpc.h>

#include "common/options.h"
#include "common/security.h"

enum { CLI_FAILED = 1, CLI_INTERRUPTED = 130 };

#define CLI_DEFAULT_TIMEOUT_NS TETHER_SEC

typedef struct cli_command {
  const char *name, *synopsis, *what;
  const svc_option *options;
  void (*check)(int argc, char **argv);                     /* of the words behind the options; does not return if
                                                               they are wrong */
  int (*run)(tether_client *client, int argc, char **argv); /* returns the exit code */
} cli_command;

extern const cli_command cli_search, cli_list, cli_describe, cli_health, cli_orders;

extern const char *cli_url;
extern int64_t cli_timeout_ns; /* 0: not given */

#define CLI_COMMON_OPTIONS                                                                                             \
  {"url", "URL", "the service to ask; default $TETHER_SEARCH_URL", SVC_TEXT, &cli_url},                                \
      {"timeout", "DURATION", "how long to wait at most; default 1s", SVC_DURATION, &cli_timeout_ns}, SVC_OPTIONS_TLS, \
      SVC_OPTION_TOKEN

/* As svc_usage_error. */
void cli_usage_error(const char *format, ...) TETHER_PRINTF(1, 2) __attribute__((noreturn));

/* A context with the time that --timeout or else `default_ns` says, which Ctrl-C cancels: the signal handler may do
 * that directly (tether_ctx_request_cancel). One at a time. */
TETHER_MUST_USE tether_ctx *cli_ctx_new(const tether_ctx *parent, int64_t default_ns);
void cli_ctx_free(tether_ctx *ctx);

/* Prints what a failed call ended with; returns the exit code. */
int cli_print_failure(const char *what, tether_code code, const char *message);

#endif
