/* shard/service.c: one query.
 *
 *   query-start --> index_reader_search --+--> query-end      it ran to its end
 *                                         +--> query-stopped  the context ended first; after_stop says how much
 *                                                             later the query had ended too
 *
 * The handler does nothing about cancellation itself: index/reader.c ties the SQLite query to the context, and what
 * the handler returns when its context has ended is tether's business. */
#include "shard/service.h"

#include "common/log.h"
#include "common/slow.h"

enum { DEFAULT_LIMIT = 20, MAX_LIMIT = 100 };

typedef struct hits {
  tether_call *call; /* owns the memory of the hits */
  Search__V1__Hit *list[MAX_LIMIT];
  size_t count;
} hits;

static tether_code keep_hit(void *data, const index_hit *found) {
  hits *h = data;
  Search__V1__Hit *hit = tether_call_alloc(h->call, sizeof *hit);
  if (!hit) return TETHER_RESOURCE_EXHAUSTED;
  search__v1__hit__init(hit);
  hit->name = tether_call_strdup(h->call, found->name);
  hit->version = tether_call_strdup(h->call, found->version);
  hit->section = tether_call_strdup(h->call, found->section);
  hit->summary = tether_call_strdup(h->call, found->summary);
  hit->score = found->score;
  h->list[h->count++] = hit;
  return hit->name && hit->version && hit->section && hit->summary ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

static void log_start(const tether_ctx *ctx, const tether_call *call, const char *query) {
  svc_log line;
  svc_log_begin(&line, "query-start", ctx);
  svc_log_text(&line, "method", tether_call_path(call));
  svc_log_text(&line, "query", query);
  svc_log_end(&line);
}

static void log_end(const tether_ctx *ctx, const tether_call *call, tether_code code, const index_result *result) {
  svc_log line;
  bool stopped = code == TETHER_CANCELLED || code == TETHER_DEADLINE_EXCEEDED;
  svc_log_begin(&line, stopped ? "query-stopped" : "query-end", ctx);
  svc_log_text(&line, "method", tether_call_path(call));
  svc_log_outcome(&line, code, tether_ctx_cause(ctx));
  svc_log_number(&line, "matched", result->matched);
  svc_log_duration(&line, "took", result->took_ns);
  if (stopped) svc_log_duration(&line, "after_stop", result->stop_delay_ns);
  svc_log_end(&line);
}

static tether_code fill_reply(tether_call *call, const shard_service *service, const hits *h,
                              const index_result *result, Search__V1__ShardSearchReply *reply) {
  reply->stats = tether_call_alloc(call, sizeof *reply->stats);
  reply->hits = tether_call_alloc(call, (h->count + 1) * sizeof(Search__V1__Hit *));
  if (!reply->stats || !reply->hits) return TETHER_RESOURCE_EXHAUSTED;
  search__v1__shard_stats__init(reply->stats);
  reply->stats->documents = (uint64_t)service->readers.documents;
  reply->stats->matched = (uint64_t)result->matched;
  reply->stats->took_us = (uint64_t)(result->took_ns / TETHER_US);
  for (size_t i = 0; i < h->count; i++) reply->hits[i] = h->list[i];
  reply->n_hits = h->count;
  return TETHER_OK;
}

static tether_code search(const tether_ctx *ctx, tether_call *call, const Search__V1__ShardSearchRequest *request,
                          Search__V1__ShardSearchReply *reply, void *data) {
  shard_service *service = data;
  index_query query;
  const char *wrong = index_query_parse(request->query, &query);
  if (wrong) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "%s", wrong);
  if (request->limit > MAX_LIMIT)
    return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "limit %u is above %d", request->limit, MAX_LIMIT);
  int limit = request->limit ? (int)request->limit : DEFAULT_LIMIT;
  int64_t slow_ns = service->allow_slow ? svc_slow_ns(ctx, service->name) : 0;
  if (slow_ns < service->slow_ns) slow_ns = service->slow_ns;

  index_reader *reader = shard_readers_take(&service->readers);
  if (!reader) return tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "all database connections are in use");
  log_start(ctx, call, request->query);
  hits found = {.call = call};
  index_result result;
  const index_search ask = {.query = &query, .limit = limit, .slow_ns = slow_ns};
  tether_code code = index_reader_search(reader, ctx, &ask, keep_hit, &found, &result);
  shard_readers_give_back(&service->readers, reader);
  log_end(ctx, call, code, &result);
  return code == TETHER_OK ? fill_reply(call, service, &found, &result, reply) : code;
}

const search_v1_shard_service shard_service_table = {.search = search};
