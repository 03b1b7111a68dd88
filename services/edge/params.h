/* edge/params.h: the parameters of GET /search. */
#ifndef SERVICES_EDGE_PARAMS_H
#define SERVICES_EDGE_PARAMS_H

#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "edge/format.h"

typedef struct search_params {
  const char *query;
  int64_t timeout_ns;
  uint32_t limit; /* 0: all there are */
  edge_format format;
  const char *slow; /* NULL: none (common/slow.h) */
  bool explain;     /* show where the time went */

  struct evkeyvalq pairs; /* owns the strings */
  const char *limit_text;
  int status; /* of the refusal: 400 or 406 */
  char error[256];
} search_params;

/* Reads the part of the URL after '?' and the Accept header (both may be NULL). False: params->error says what is
 * wrong. Either way release with search_params_fini. */
bool search_params_init(search_params *params, const char *raw, const char *accept, int64_t default_timeout_ns,
                        int64_t max_timeout_ns);
void search_params_fini(search_params *params);

#endif
