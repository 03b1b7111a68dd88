#include "search/merge.h"

#include <stdlib.h>
#include <string.h>

typedef Search__V1__Hit hit;

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

tether_code merge(tether_call *into, shard_answer *answers, size_t count, size_t limit,
                  Search__V1__SearchReply *reply) {
  for (size_t i = 0; i < count; i++) {
    const Search__V1__ShardSearchReply *answer = search_v1_shard_search_reply(answers[i].call);
    if (answer && answer->stats) answers[i].matched = answer->stats->matched;
    reply->matched += answers[i].matched;
  }
  if (!answer_any(answers, count)) return answer_failure(into, answers, count);
  bool partial;
  reply->shards = answer_statuses(into, answers, count, &partial);
  if (!reply->shards) return TETHER_RESOURCE_EXHAUSTED;
  reply->n_shards = count;
  reply->partial = partial;
  return merge_hits(into, answers, count, limit, reply);
}
