#include "search/merge.h"

#include <stdlib.h>
#include <string.h>

typedef Search__V1__Hit hit;

Search__V1__ShardStatus__State answer_state(const tether_call *call) {
  switch (tether_call_code(call)) {
    case TETHER_OK:
      return SEARCH__V1__SHARD_STATUS__STATE__STATE_OK;
    case TETHER_DEADLINE_EXCEEDED:
      return SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE;
    case TETHER_UNAVAILABLE:
      return SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN;
    default:
      return SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED;
  }
}

/* The reply may be sent after the shards' calls are released, so nothing in it points into them. */
static char *why(tether_call *into, const tether_call *call) {
  const tether_cause *cause = tether_call_cause(call);
  const char *message = tether_call_message(call);
  const char *code = tether_code_name(tether_call_code(call));
  if (*message || !cause) return tether_call_printf(into, "%s: %s", code, message);
  return tether_call_printf(into, "%s: %s (from %s)", code, tether_cause_text(cause), tether_cause_origin(cause));
}

static Search__V1__ShardStatus *make_status(tether_call *into, const shard_answer *answer) {
  Search__V1__ShardStatus *status = tether_call_alloc(into, sizeof *status);
  if (!status) return NULL;
  search__v1__shard_status__init(status);
  status->name = (char *)answer->shard->name; /* lives as long as the process */
  status->state = answer_state(answer->call);
  status->took_us = (uint64_t)(answer->took_ns / TETHER_US);
  if (status->state == SEARCH__V1__SHARD_STATUS__STATE__STATE_OK) {
    const Search__V1__ShardSearchReply *reply = search_v1_shard_search_reply(answer->call);
    status->matched = reply->stats ? reply->stats->matched : 0;
    return status;
  }
  status->cause = why(into, answer->call);
  return status->cause ? status : NULL;
}

static int by_score(const void *a, const void *b) {
  const hit *x = *(hit *const *)a, *y = *(hit *const *)b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  return strcmp(x->name, y->name);
}

static hit *copy_hit(tether_call *into, const hit *from) {
  hit *copy = tether_call_alloc(into, sizeof *copy);
  if (!copy) return NULL;
  search__v1__hit__init(copy);
  copy->name = tether_call_strdup(into, from->name);
  copy->version = tether_call_strdup(into, from->version);
  copy->section = tether_call_strdup(into, from->section);
  copy->summary = tether_call_strdup(into, from->summary);
  copy->score = from->score;
  return copy->name && copy->version && copy->section && copy->summary ? copy : NULL;
}

static size_t gather_hits(const shard_answer *answers, size_t count, hit **all) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    const Search__V1__ShardSearchReply *reply = search_v1_shard_search_reply(answers[i].call);
    for (size_t h = 0; reply && h < reply->n_hits; h++, n++)
      if (all) all[n] = reply->hits[h];
  }
  return n;
}

static tether_code merge_hits(tether_call *into, const shard_answer *answers, size_t count, size_t limit,
                              Search__V1__SearchReply *reply) {
  size_t n = gather_hits(answers, count, NULL);
  hit **all = tether_call_alloc(into, (n + 1) * sizeof(hit *));
  if (!all) return TETHER_RESOURCE_EXHAUSTED;
  gather_hits(answers, count, all);
  qsort(all, n, sizeof(hit *), by_score);
  if (n > limit) n = limit;
  for (size_t i = 0; i < n; i++)
    if (!(all[i] = copy_hit(into, all[i]))) return TETHER_RESOURCE_EXHAUSTED;
  reply->hits = all;
  reply->n_hits = n;
  return TETHER_OK;
}

/* No shard answered: an error that one of them gave says more than lateness, and lateness more than a lost connection
 * (another shard's being down does not explain why this one did not answer). */
static tether_code explain_failure(tether_call *into, const shard_answer *answers, size_t count) {
  static const Search__V1__ShardStatus__State order[] = {SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED,
                                                         SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE,
                                                         SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN};
  for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
    for (size_t i = 0; i < count; i++) {
      if (answer_state(answers[i].call) != order[k]) continue;
      const char *text = why(into, answers[i].call);
      return tether_call_fail(into, tether_call_code(answers[i].call), "no shard answered; %s: %s",
                              answers[i].shard->name, text ? text : "");
    }
  return tether_call_fail(into, TETHER_UNAVAILABLE, "no shards are configured");
}

tether_code merge(tether_call *into, const shard_answer *answers, size_t count, size_t limit,
                  Search__V1__SearchReply *reply) {
  size_t ok = 0;
  reply->shards = tether_call_alloc(into, (count + 1) * sizeof(Search__V1__ShardStatus *));
  if (!reply->shards) return TETHER_RESOURCE_EXHAUSTED;
  for (size_t i = 0; i < count; i++) {
    Search__V1__ShardStatus *status = make_status(into, &answers[i]);
    if (!status) return TETHER_RESOURCE_EXHAUSTED;
    reply->shards[reply->n_shards++] = status;
    reply->matched += status->matched;
    if (status->state == SEARCH__V1__SHARD_STATUS__STATE__STATE_OK) ok++;
  }
  if (ok == 0) return explain_failure(into, answers, count);
  reply->partial = ok < count;
  return merge_hits(into, answers, count, limit, reply);
}
