/* The decisions. What counts for the throttle is counted first, whatever else keeps the call from being retried, so
 * that a server that fails is spared also by calls that could not be. */
#include "rpc/retry.h"

#include <string.h>

/* ---- The throttle -------------------------------------------------------------------------- */

void tth_throttle_init(tth_throttle *throttle, tth_throttling throttling) {
  throttle->max_milli = throttling.max_milli;
  throttle->ratio_milli = throttling.ratio_milli;
  atomic_store(&throttle->milli, throttling.max_milli);
}

/* Most calls of a healthy server find all tokens there and write nothing. */
void tth_throttle_succeeded(tth_throttle *throttle) {
  uint32_t milli = atomic_load_explicit(&throttle->milli, memory_order_relaxed), more;
  do {
    if (milli >= throttle->max_milli) return;
    more = throttle->max_milli - milli < throttle->ratio_milli ? throttle->max_milli : milli + throttle->ratio_milli;
  } while (!atomic_compare_exchange_weak(&throttle->milli, &milli, more));
}

void tth_throttle_failed(tth_throttle *throttle) {
  uint32_t milli = atomic_load_explicit(&throttle->milli, memory_order_relaxed), less;
  do {
    if (milli == 0) return;
    less = milli > 1000 ? milli - 1000 : 0;
  } while (!atomic_compare_exchange_weak(&throttle->milli, &milli, less));
}

bool tth_throttle_allows(const tth_throttle *throttle) {
  return throttle->max_milli == 0 || atomic_load(&throttle->milli) > throttle->max_milli / 2;
}

/* ---- Pushback ------------------------------------------------------------------------------ */

/* A number of milliseconds as gRPC writes them: 32 bits, no sign, no leading zeros. Negative: it is something else. */
static int64_t milliseconds(const char *text, size_t len) {
  int64_t value = 0;
  if (len == 0 || len > 10 || (len > 1 && text[0] == '0')) return -1;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value <= INT32_MAX ? value : -1;
}

tth_pushback tth_pushback_read(const tether_metadata *trailers, int64_t *delay_ns) {
  tth_pushback found = TTH_PUSHBACK_NONE;
  for (size_t i = 0; i < tether_metadata_count(trailers); i++) {
    tether_metadata_entry entry = tether_metadata_at(trailers, i);
    if (strcmp(entry.key, TTH_PUSHBACK_KEY) != 0) continue;
    int64_t ms = milliseconds(entry.value, entry.len);
    if (ms < 0 || found != TTH_PUSHBACK_NONE) return TTH_PUSHBACK_NEVER; /* several contradict each other */
    *delay_ns = ms * TETHER_MS;
    found = TTH_PUSHBACK_AFTER;
  }
  return found;
}

/* ---- Retries ------------------------------------------------------------------------------- */

/* initial * multiplier^backoffs, at most max, and up to a fifth more or less. */
static int64_t backoff_ns(const tether_retry_policy *policy, int backoffs, uint32_t random) {
  double most_ns = (double)policy->max_backoff_ns, delay_ns = (double)policy->initial_backoff_ns;
  for (int i = 0; i < backoffs && delay_ns < most_ns; i++) delay_ns *= policy->backoff_multiplier;
  if (delay_ns > most_ns) delay_ns = most_ns;
  delay_ns *= 0.8 + 0.4 * random / UINT32_MAX;
  return delay_ns < (double)INT64_MAX ? (int64_t)delay_ns : INT64_MAX;
}

tth_retry tth_retry_decide(tth_attempts *attempts, tth_throttle *throttle, tether_code code,
                           const tether_metadata *trailers, uint32_t random, int64_t *delay_ns) {
  const tether_retry_policy *policy = attempts->policy;
  attempts->made++;
  if (code == TETHER_OK) {
    tth_throttle_succeeded(throttle);
    return TTH_RETRY_FINAL;
  }
  int64_t pushback_ns;
  tth_pushback pushback = tth_pushback_read(trailers, &pushback_ns);
  bool retryable = policy && policy->retryable & 1u << code;
  if (retryable || pushback == TTH_PUSHBACK_NEVER) tth_throttle_failed(throttle);
  if (!retryable) return TTH_RETRY_FINAL;
  if (attempts->committed) return TTH_RETRY_COMMITTED;
  if (pushback == TTH_PUSHBACK_NEVER) return TTH_RETRY_PUSHBACK;
  if (!tth_throttle_allows(throttle)) return TTH_RETRY_THROTTLED;
  if (attempts->made >= policy->max_attempts || attempts->made >= TTH_ATTEMPTS_MOST) return TTH_RETRY_EXHAUSTED;
  if (pushback == TTH_PUSHBACK_AFTER) {
    attempts->backoffs = 0;
    *delay_ns = pushback_ns;
  } else {
    *delay_ns = backoff_ns(policy, attempts->backoffs++, random);
  }
  return TTH_RETRY;
}
