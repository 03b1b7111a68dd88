/* shard/service.h: the Shard service of shard.proto. */
#ifndef SERVICES_SHARD_SERVICE_H
#define SERVICES_SHARD_SERVICE_H

#include <stdatomic.h>

#include "search/v1/shard.tether.h"
#include "shard/readers.h"

typedef struct shard_service {
  const char *name;
  shard_readers readers;
  int64_t slow_ns; /* every query takes at least this long */
  bool allow_slow; /* and longer if the request's context says so (common/slow.h) */
  int max_streams; /* at once; fewer than workers, so that slow readers leave some to others */
  atomic_int streams;
} shard_service;

/* The table to register, with a shard_service as its user data. */
extern const search_v1_shard_service shard_service_table;

#endif
