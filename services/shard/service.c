/* shard/service.c: one query, answered at its end or hit by hit.
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
  svc_log_outcome(&line, code, stopped ? tether_ctx_cause(ctx) : NULL);
  svc_log_number(&line, "matched", result->matched);
  svc_log_duration(&line, "took", result->took_ns);
  if (stopped) svc_log_duration(&line, "after_stop", result->stop_delay_ns);
  svc_log_end(&line);
}

/* ---- Running a query ------------------------------------------------------------------------ */

static tether_code run(shard_service *service, const tether_ctx *ctx, tether_call *call, const char *text, int limit,
                       index_hit_fn fn, void *data, index_result *result) {
  index_query query;
  const char *wrong = index_query_parse(text, &query);
  if (wrong) return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "%s", wrong);
  int64_t slow_ns = service->allow_slow ? svc_slow_ns(ctx, service->name) : 0;
  if (slow_ns < service->slow_ns) slow_ns = service->slow_ns;

  index_reader *reader = shard_readers_take(&service->readers);
  if (!reader) return tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "all database connections are in use");
  log_start(ctx, call, text);
  const index_search ask = {.query = &query, .limit = limit, .slow_ns = slow_ns};
  tether_code code = index_reader_search(reader, ctx, &ask, fn, data, result);
  shard_readers_give_back(&service->readers, reader);
  log_end(ctx, call, code, result);
  return code;
}

static void fill_stats(const shard_service *service, const index_result *result, Search__V1__ShardStats *stats) {
  search__v1__shard_stats__init(stats);
  stats->documents = (uint64_t)service->readers.documents;
  stats->matched = (uint64_t)result->matched;
  stats->took_us = (uint64_t)(result->took_ns / TETHER_US);
}

/* ---- Search: the best hits, in one reply ---------------------------------------------------- */

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

static tether_code search(const tether_ctx *ctx, tether_call *call, const Search__V1__ShardSearchRequest *request,
                          Search__V1__ShardSearchReply *reply, void *data) {
  shard_service *service = data;
  if (request->limit > MAX_LIMIT)
    return tether_call_fail(call, TETHER_INVALID_ARGUMENT, "limit %u is above %d", request->limit, MAX_LIMIT);
  int limit = request->limit ? (int)request->limit : DEFAULT_LIMIT;
  hits found = {.call = call};
  index_result result = {0};
  tether_code code = run(service, ctx, call, request->query, limit, keep_hit, &found, &result);
  if (code != TETHER_OK) return code;
  reply->stats = tether_call_alloc(call, sizeof *reply->stats);
  reply->hits = tether_call_alloc(call, (found.count + 1) * sizeof(Search__V1__Hit *));
  if (!reply->stats || !reply->hits) return TETHER_RESOURCE_EXHAUSTED;
  fill_stats(service, &result, reply->stats);
  for (size_t i = 0; i < found.count; i++) reply->hits[i] = found.list[i];
  reply->n_hits = found.count;
  return TETHER_OK;
}

/* ---- SearchStream: every hit, when it is found ---------------------------------------------- */

/* Blocks while the reader is behind, and so holds SQLite back. */
static tether_code send_hit(void *data, const index_hit *found) {
  Search__V1__Hit hit = SEARCH__V1__HIT__INIT;
  Search__V1__ShardSearchStreamReply part = SEARCH__V1__SHARD_SEARCH_STREAM_REPLY__INIT;
  hit.name = (char *)found->name;
  hit.version = (char *)found->version;
  hit.section = (char *)found->section;
  hit.summary = (char *)found->summary;
  hit.score = found->score;
  part.part_case = SEARCH__V1__SHARD_SEARCH_STREAM_REPLY__PART_HIT;
  part.hit = &hit;
  return search_v1_shard_search_stream_send_reply(data, &part);
}

static tether_code send_all(shard_service *service, const tether_ctx *ctx, tether_call *call, const char *query) {
  Search__V1__ShardStats stats;
  Search__V1__ShardSearchStreamReply last = SEARCH__V1__SHARD_SEARCH_STREAM_REPLY__INIT;
  index_result result = {0};
  tether_code code = run(service, ctx, call, query, 0, send_hit, call, &result);
  if (code != TETHER_OK) return code;
  fill_stats(service, &result, &stats);
  last.part_case = SEARCH__V1__SHARD_SEARCH_STREAM_REPLY__PART_STATS;
  last.stats = &stats;
  return search_v1_shard_search_stream_send_reply(call, &last);
}

static tether_code search_stream(const tether_ctx *ctx, tether_call *call,
                                 const Search__V1__ShardSearchStreamRequest *request, void *data) {
  shard_service *service = data;
  tether_code code;
  if (atomic_fetch_add(&service->streams, 1) < service->max_streams)
    code = send_all(service, ctx, call, request->query);
  else
    code = tether_call_fail(call, TETHER_RESOURCE_EXHAUSTED, "%d streams are being read already", service->max_streams);
  atomic_fetch_sub(&service->streams, 1);
  return code;
}

const search_v1_shard_service shard_service_table = {.search = search, .search_stream = search_stream};
