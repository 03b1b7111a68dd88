/* search/merge.h: many shards' replies, one reply. */
#ifndef SERVICES_SEARCH_MERGE_H
#define SERVICES_SEARCH_MERGE_H

#include "search/answer.h"

/* Fills `reply`, in memory of `into`, with the best `limit` hits of all answers and a status per shard. Returns the
 * code to finish `into` with: TETHER_OK if at least one shard answered, else why none did. */
TETHER_MUST_USE tether_code merge(tether_call *into, shard_answer *answers, size_t count, size_t limit,
                                  Search__V1__SearchReply *reply);

#endif
