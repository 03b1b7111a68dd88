#include "search/answer.h"

Search__V1__ShardStatus__State answer_state(const shard_answer *answer) {
  if (answer->enough) return SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH;
  switch (tether_call_code(answer->call)) {
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
  status->state = answer_state(answer);
  status->took_us = (uint64_t)(answer->took_ns / TETHER_US);
  status->matched = answer->matched;
  if (status->state == SEARCH__V1__SHARD_STATUS__STATE__STATE_OK) return status;
  status->cause = answer->enough ? tether_call_strdup(into, "there were enough hits") : why(into, answer->call);
  return status->cause ? status : NULL;
}

Search__V1__ShardStatus **answer_statuses(tether_call *into, const shard_answer *answers, size_t count, bool *partial) {
  Search__V1__ShardStatus **statuses = tether_call_alloc(into, (count + 1) * sizeof *statuses);
  bool missing = false;
  for (size_t i = 0; statuses && i < count; i++) {
    statuses[i] = make_status(into, &answers[i]);
    if (!statuses[i]) return NULL;
    if (statuses[i]->state != SEARCH__V1__SHARD_STATUS__STATE__STATE_OK &&
        statuses[i]->state != SEARCH__V1__SHARD_STATUS__STATE__STATE_ENOUGH)
      missing = true;
  }
  *partial = missing;
  return statuses;
}

bool answer_any(const shard_answer *answers, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (tether_call_code(answers[i].call) == TETHER_OK) return true;
  return false;
}

/* An error that a shard gave says more than lateness, and lateness more than a lost connection (another shard's being
 * down does not explain why this one did not answer). */
tether_code answer_failure(tether_call *into, const shard_answer *answers, size_t count) {
  static const Search__V1__ShardStatus__State order[] = {SEARCH__V1__SHARD_STATUS__STATE__STATE_FAILED,
                                                         SEARCH__V1__SHARD_STATUS__STATE__STATE_LATE,
                                                         SEARCH__V1__SHARD_STATUS__STATE__STATE_DOWN};
  for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
    for (size_t i = 0; i < count; i++) {
      if (answer_state(&answers[i]) != order[k]) continue;
      const char *text = why(into, answers[i].call);
      tether_call_set_cause(into, tether_call_cause(answers[i].call));
      return tether_call_fail(into, tether_call_code(answers[i].call), "no shard answered; %s: %s",
                              answers[i].shard->name, text ? text : "");
    }
  return tether_call_fail(into, TETHER_UNAVAILABLE, "no shards are configured");
}
