/* common/options.h: command-line options from a table, with the usage text made from the same table.
 *
 *   static const char *url = "ipc:///run/x.sock";
 *   static const svc_option options[] = {
 *       {"listen", "URL", "where to serve", SVC_TEXT, &url},
 *       {NULL},
 *   };
 *   int rest = svc_options_parse(options, "tether-shard [options]", argc, argv);
 */
#ifndef SERVICES_COMMON_OPTIONS_H
#define SERVICES_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SVC_EXIT_USAGE = 2 };

typedef enum svc_option_kind {
  SVC_FLAG,     /* bool: present or not */
  SVC_TEXT,     /* const char *: points into argv */
  SVC_DURATION, /* int64_t, nanoseconds */
  SVC_COUNT,    /* int, 1 to 4096 */
  SVC_LIST,     /* svc_list: the option may be given several times */
} svc_option_kind;

typedef struct svc_list {
  const char *items[64];
  size_t count;
} svc_list;

typedef struct svc_option {
  const char *name; /* without the dashes; NULL ends the table */
  const char *arg;  /* what the usage text calls the value; NULL for flags */
  const char *help;
  svc_option_kind kind;
  void *value; /* holds the default, gets the result */
} svc_option;

/* Reads `--name value` and `--name=value` up to the first other argument, whose index it returns. --help prints
 * the usage and exits with 0; a bad option prints what is wrong and exits with SVC_EXIT_USAGE. */
int svc_options_parse(const svc_option *options, const char *synopsis, int argc, char **argv);

/* Prints "<program>: <what>", and how to get help, and exits with SVC_EXIT_USAGE. */
void svc_usage_error(char **argv, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

#endif
