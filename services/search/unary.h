/* search/unary.h: the best hits of all shards, in one reply. */
#ifndef SERVICES_SEARCH_UNARY_H
#define SERVICES_SEARCH_UNARY_H

#include "search/service.h"

/* Starts the query on every shard of `service` and returns; `call`, whose handler must return after this, is finished
 * when the last shard has answered or the budget has run out. */
TETHER_MUST_USE tether_code unary_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                                        const Search__V1__SearchRequest *request);

#endif
