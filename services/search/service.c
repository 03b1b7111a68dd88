#include "search/service.h"

#include "index/query.h"
#include "search/stream.h"
#include "search/unary.h"

/* Checks the request here: what no shard would take is refused once, not by every shard. */
static tether_code search(const tether_ctx *ctx, tether_call *call, const Search__V1__SearchRequest *request,
                          Search__V1__SearchReply *reply, void *data) {
  index_query query;
  const char *wrong = index_query_parse(request->query, &query);
  (void)reply; /* unary_start gets it from the call */
  if (wrong) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "%s", wrong);
  if (request->limit > SEARCH_MAX_LIMIT)
    return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "limit %u is above %d", request->limit, SEARCH_MAX_LIMIT);
  return unary_start(data, ctx, call, request);
}

static tether_code search_stream(const tether_ctx *ctx, tether_call *call,
                                 const Search__V1__SearchStreamRequest *request, void *data) {
  index_query query;
  const char *wrong = index_query_parse(request->query, &query);
  if (wrong) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "%s", wrong);
  return stream_start(data, ctx, call, request);
}

/* Inline: runs on the I/O thread, so it only looks. */
static tether_code health(const tether_ctx *ctx, tether_call *call, const Search__V1__HealthRequest *request,
                          Search__V1__HealthReply *reply, void *data) {
  const search_service *service = data;
  (void)ctx, (void)request;
  Search__V1__ShardHealth *all = tether_call_alloc(call, service->count * sizeof *all);
  reply->shards = tether_call_alloc(call, service->count * sizeof(Search__V1__ShardHealth *));
  if (!all || !reply->shards) return TETHER_RESOURCE_EXHAUSTED;
  for (size_t i = 0; i < service->count; i++) {
    search__v1__shard_health__init(&all[i]);
    all[i].name = (char *)service->shards[i].name;
    all[i].connected = tether_client_connectivity(service->shards[i].client) == TETHER_READY;
    reply->shards[i] = &all[i];
  }
  reply->n_shards = service->count;
  return TETHER_OK;
}

const search_v1_search_service search_service_table = {
    .search = search, .search_stream = search_stream, .health = health};
