/* search/stream.h: the hits of all shards, each as it comes. */
#ifndef SERVICES_SEARCH_STREAM_H
#define SERVICES_SEARCH_STREAM_H

#include "search/service.h"

/* Starts the query on every shard of `service` and returns; `call`, whose handler must return after this, gets the hits
 * as they come and is finished after the last, or with the one that makes the page full. */
TETHER_MUST_USE tether_code stream_start(const search_service *service, const tether_ctx *ctx, tether_call *call,
                                         const Search__V1__SearchStreamRequest *request);

#endif
