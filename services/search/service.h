/* search/service.h: the Search service of search.proto. */
#ifndef SERVICES_SEARCH_SERVICE_H
#define SERVICES_SEARCH_SERVICE_H

#include <tether/pool.h>

#include "search/v1/search.tether.h"
#include "search/v1/shard.tether.h"

enum { SEARCH_MAX_SHARDS = 62, SEARCH_DEFAULT_LIMIT = 20, SEARCH_MAX_LIMIT = 100 };

typedef struct search_shard {
  char name[32];
  tether_client *client;
} search_shard;

typedef struct search_service {
  size_t count;
  int64_t reserve_ns;   /* kept of every budget, to deliver the answer */
  tether_pool *mergers; /* run what merges streams */
  search_shard shards[SEARCH_MAX_SHARDS];
} search_service;

/* The table to register, with a search_service as its user data. */
extern const search_v1_search_service search_service_table;

#endif
