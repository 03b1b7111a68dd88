/* search/answer.h: what came of asking one shard, and what the client is told about it. */
#ifndef SERVICES_SEARCH_ANSWER_H
#define SERVICES_SEARCH_ANSWER_H

#include "search/service.h"

/* A shard's call after its end. */
typedef struct shard_answer {
  const search_shard *shard;
  tether_call *call;
  int64_t started_ns, took_ns;
  uint64_t matched; /* or, of a stream that did not come to its end, how many of its hits were sent */
  bool enough;      /* its stream was not read to the end because there were enough hits */
} shard_answer;

/* What an answer counts as. */
Search__V1__ShardStatus__State answer_state(const shard_answer *answer);

/* One status per answer, in memory of `into`; NULL without memory. *partial: a shard did not contribute all it could.
 */
TETHER_MUST_USE Search__V1__ShardStatus **answer_statuses(tether_call *into, const shard_answer *answers, size_t count,
                                                          bool *partial);

/* Whether a shard answered to the end of its query. */
bool answer_any(const shard_answer *answers, size_t count);

/* Why none did, as the status of `into`. */
TETHER_MUST_USE tether_code answer_failure(tether_call *into, const shard_answer *answers, size_t count);

#endif
