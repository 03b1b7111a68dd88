/* common/slow.h: makes one request slow on purpose, to watch deadlines and cancellation at work.
 *
 * A request-scoped value in the context, put there by the edge ("/search?q=editor&slow=shard-3:500ms") and read by the
 * shards that were started with --allow-slow. The search service in between does not know of it: the key says that the
 * value goes on over every hop, and tether carries it. */
#ifndef SERVICES_COMMON_SLOW_H
#define SERVICES_COMMON_SLOW_H

#include <tether/ctx.h>

/* The value is a string: "500ms" for every shard, "shard-3:500ms" for one. */
extern const tether_key svc_slow_key;

/* NULL if `text` is such a string, else what is wrong with it. */
const char *svc_slow_check(const char *text);

/* How slow the context wants this shard to be; 0 if it says nothing about it. */
int64_t svc_slow_ns(const tether_ctx *ctx, const char *shard);

#endif
