/* search/fanout.h: one request to all shards at once: what a search in one reply and a stream have in common. */
#ifndef SERVICES_SEARCH_FANOUT_H
#define SERVICES_SEARCH_FANOUT_H

#include "search/answer.h"

typedef struct fanout {
  tether_call *call; /* the client's; its handler has returned (tether_call_defer) */
  tether_ctx *ctx;   /* for the shards' calls: the handler's, with a slightly earlier deadline */
  int64_t started_ns;
  size_t count;
  shard_answer answers[SEARCH_MAX_SHARDS];
} fanout;

/* Options of the shards' calls: the context has the deadline; the methods' defaults would cut longer ones. */
#define FANOUT_CALL_OPTIONS .timeout_ns = TETHER_FOREVER

/* Sets all but the answers' calls. */
void fanout_init(fanout *f, const search_service *service, const tether_ctx *ctx, tether_call *call);

/* When every shard's call has ended: logs how it went, releases what the fan-out holds, finishes the client's call with
 * the code. */
void fanout_finish(fanout *f, tether_code code, uint64_t hits);

/* Releases a fan-out that never started. */
void fanout_fini(fanout *f);

#endif
