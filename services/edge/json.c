#include "edge/json.h"

#include <stdio.h>
#include <tether/trace.h>

static const char *state_name(Search__V1__ShardStatus__State state) {
  switch (state) {
    case SEARCH__V1__SHARD_STATUS__STATE__STATE_OK:
      return "ok";
    case SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE:
      return "late";
    case SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN:
      return "down";
    case SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED:
      return "failed";
    case SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH:
      return "enough";
    default:
      return "unknown";
  }
}

json_t *edge_json_hit(const Search__V1__Hit *hit) {
  return json_pack("{ss ss ss ss sf}", "name", hit->name, "version", hit->version, "section", hit->section, "summary",
                   hit->summary, "score", hit->score);
}

static json_t *hits(const Search__V1__SearchReply *reply) {
  json_t *list = json_array();
  for (size_t i = 0; i < reply->n_hits; i++) json_array_append_new(list, edge_json_hit(reply->hits[i]));
  return list;
}

static json_t *shards(Search__V1__ShardStatus *const *statuses, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    const Search__V1__ShardStatus *shard = statuses[i];
    json_t *entry = json_pack("{ss ss sI sf}", "name", shard->name, "status", state_name(shard->state), "matched",
                              (json_int_t)shard->matched, "took_ms", (double)shard->took_us / 1000);
    if (*shard->cause) json_object_set_new(entry, "cause", json_string(shard->cause));
    json_array_append_new(list, entry);
  }
  return list;
}

json_t *edge_json_search(const Search__V1__SearchReply *reply) {
  return json_pack("{so so sb sI}", "hits", hits(reply), "shards", shards(reply->shards, reply->n_shards), "partial",
                   reply->partial, "matched", (json_int_t)reply->matched);
}

json_t *edge_json_summary(const Search__V1__SearchSummary *summary) {
  return json_pack("{so sb sb}", "shards", shards(summary->shards, summary->n_shards), "partial", summary->partial,
                   "full", summary->full);
}

json_t *edge_json_health(const Search__V1__HealthReply *reply) {
  json_t *list = json_array();
  size_t connected = 0;
  for (size_t i = 0; i < reply->n_shards; i++) {
    const Search__V1__ShardHealth *shard = reply->shards[i];
    if (shard->connected) connected++;
    json_array_append_new(list, json_pack("{ss sb}", "name", shard->name, "connected", shard->connected));
  }
  return json_pack("{ss so}", "status", connected == reply->n_shards ? "ok" : "degraded", "shards", list);
}

static void set_cause(json_t *object, tether_cause_code code, const char *text, const char *origin) {
  json_object_set_new(object, "cause", json_string(tether_cause_code_name(code)));
  json_object_set_new(object, "why", json_string(text));
  json_object_set_new(object, "origin", json_string(origin));
}

json_t *edge_json_error(tether_code code, const char *message, const tether_cause *cause) {
  json_t *error = json_pack("{ss ss}", "code", tether_code_name(code), "message", message);
  if (cause) set_cause(error, tether_cause_get_code(cause), tether_cause_text(cause), tether_cause_origin(cause));
  if (!cause && code == TETHER_DEADLINE_EXCEEDED) /* a hop below gave up in time; its message says which */
    json_object_set_new(error, "cause", json_string("deadline"));
  return json_pack("{so}", "error", error);
}

static json_t *milliseconds(int64_t ns) { return json_real((double)(ns / 1000) / 1000); }

json_t *edge_json_ledger(const tether_ledger *row) {
  json_t *entry = json_pack("{ss ss ss so so so}", "method", row->method, "hop", row->hop, "status",
                            tether_code_name(row->code), "started_ms", milliseconds(row->started_ns), "took_ms",
                            milliseconds(row->took_ns), "waited_ms", milliseconds(row->waited_ns));
  if (row->cause != TETHER_CAUSE_NONE) set_cause(entry, row->cause, row->text, row->origin);
  if (row->late_ns > 0) json_object_set_new(entry, "late_ms", milliseconds(row->late_ns));
  if (!row->answered) return entry;
  if (row->budget_ns != TETHER_FOREVER) json_object_set_new(entry, "budget_ms", milliseconds(row->budget_ns));
  json_object_set_new(entry, "queue_ms", milliseconds(row->queue_ns));
  json_object_set_new(entry, "own_ms", milliseconds(row->own_ns));
  if (row->wasted_ns > 0) json_object_set_new(entry, "wasted_ms", milliseconds(row->wasted_ns));
  json_t *calls = json_array();
  for (size_t i = 0; i < row->child_count; i++) json_array_append_new(calls, edge_json_ledger(row->children[i]));
  json_object_set_new(entry, "calls", calls);
  if (row->cut) json_object_set_new(entry, "cut", json_integer((json_int_t)row->cut));
  return entry;
}

json_t *edge_json_finish(json_t *body, const tether_ctx *ctx, int64_t took_ns) {
  tether_trace trace;
  char text[TETHER_TRACEPARENT_SIZE];
  if (ctx && tether_trace_get(ctx, &trace)) {
    tether_trace_format(&trace, text); /* "00-<32 digits>-..." */
    json_object_set_new(body, "trace_id", json_stringn(text + 3, 32));
  }
  json_object_set_new(body, "took_ms", json_real((double)(took_ns / 1000) / 1000));
  return body;
}
