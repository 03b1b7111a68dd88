/* index/reader.h: searches one shard's database, and stops the moment the caller's context ends. */
#ifndef SERVICES_INDEX_READER_H
#define SERVICES_INDEX_READER_H

#include <tether/ctx.h>

#include "index/query.h"

/* One SQLite connection and its prepared statements. Used by one thread at a time. */
typedef struct index_reader index_reader;

/* Opens a database that tether-load wrote, read-only. TETHER_NOT_FOUND: no such file, or not such a database (the
 * reason goes to standard error). */
TETHER_MUST_USE tether_code index_reader_open(const char *path, index_reader **reader);
void index_reader_close(index_reader *reader);

/* Packages in this shard. */
int64_t index_reader_documents(const index_reader *reader);

typedef struct index_hit {
  const char *name, *version, *section, *summary; /* valid during the callback */
  double score;
} index_hit;

/* Takes one hit. Anything but TETHER_OK ends the search, which returns that code. May block: SQLite waits meanwhile. */
typedef tether_code (*index_hit_fn)(void *data, const index_hit *hit);

typedef struct index_search {
  const index_query *query;
  int limit;       /* the best so many, best first; 0: all, each as soon as it is found, in no order of rank */
  int64_t slow_ns; /* first so much work inside SQLite, as a slow disk would, interruptible like any other query */
} index_search;

typedef struct index_result {
  int64_t matched;       /* packages that matched, shown or not; when the search was stopped: so far */
  int64_t took_ns;       /* from start to end or stop */
  int64_t stop_delay_ns; /* from the end of the context to the end of the query; 0 if it was not stopped */
} index_result;

/* Runs the query and gives every hit to fn. Returns TETHER_OK; tether_ctx_err(ctx) if the context ended first; what fn
 * returned if it ended the search; TETHER_RESOURCE_EXHAUSTED without memory; TETHER_INTERNAL for an error of the
 * database (logged). *result is always written. */
TETHER_MUST_USE tether_code index_reader_search(index_reader *reader, const tether_ctx *ctx, const index_search *search,
                                                index_hit_fn fn, void *data, index_result *result);

#endif
