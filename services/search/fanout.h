/* search/fanout.h: one query to all shards at once. */
#ifndef SERVICES_SEARCH_FANOUT_H
#define SERVICES_SEARCH_FANOUT_H

#include "search/service.h"

/* Starts the query on every shard of `service` and returns; `call`, whose handler must return after this, is finished
 * when the last shard has answered or the budget has run out. */
TETHER_MUST_USE tether_code fanout_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                                         const Search__V1__SearchRequest *request);

#endif
