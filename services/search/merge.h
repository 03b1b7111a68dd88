/* search/merge.h: many shards' answers, one reply. */
#ifndef SERVICES_SEARCH_MERGE_H
#define SERVICES_SEARCH_MERGE_H

#include "search/service.h"

/* A shard's call after its end. */
typedef struct shard_answer {
  const search_shard *shard;
  tether_call *call;
  int64_t took_ns;
} shard_answer;

/* What an answer counts as. */
Search__V1__ShardStatus__State answer_state(const tether_call *call);

/* Fills `reply`, in memory of `into`, with the best `limit` hits of all answers and a status per shard. Returns the
 * code to finish `into` with: TETHER_OK if at least one shard answered, else why none did. */
TETHER_MUST_USE tether_code merge(tether_call *into, const shard_answer *answers, size_t count, size_t limit,
                                  Search__V1__SearchReply *reply);

#endif
