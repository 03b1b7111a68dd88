/* edge/params.h: the parameters of GET /search. */
#ifndef SERVICES_EDGE_PARAMS_H
#define SERVICES_EDGE_PARAMS_H

#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct search_params {
  const char *query;
  int64_t timeout_ns;
  uint32_t limit;
  const char *slow; /* NULL: none (common/slow.h) */

  struct evkeyvalq pairs; /* owns the strings */
  char error[256];
} search_params;

/* Reads the part of the URL after '?' (may be NULL). False: params->error says what is wrong. Either way release with
 * search_params_fini. */
bool search_params_init(search_params *params, const char *raw, int64_t default_timeout_ns, int64_t max_timeout_ns);
void search_params_fini(search_params *params);

#endif
