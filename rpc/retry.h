/* rpc/retry.h: whether, and after how long, a call that failed is tried again: gRPC's rules (grpc/proposal A6) as
 * decisions. No I/O, no clock, no threads, no chance of its own.
 *
 *   ATTEMPT ──OK, a code that is not in the policy, or nothing more is allowed──> the call's end
 *     ^  │
 *     │  └──a code of the policy, not committed, attempts and tokens left, no "do not retry"──> BACK-OFF
 *     └───────────────────────────────delay over───────────────────────────────────────────────┘
 */
#ifndef TETHER_RPC_RETRY_H
#define TETHER_RPC_RETRY_H

#include <stdatomic.h>

#include "rpc/service_config.h"

/* What a server tells with the trailers of a failed call: a number of ms until the retry, or that there is to be none
 * (negative, or anything that is no number). */
#define TTH_PUSHBACK_KEY "grpc-retry-pushback-ms"

/* What an attempt carries that is not the first: how many came before. */
#define TTH_ATTEMPTS_KEY "grpc-previous-rpc-attempts"

/* ---- The throttle -------------------------------------------------------------------------- */

/* The tokens of a client: with half of them gone nothing is retried and nothing hedged. Any thread. */
typedef struct tth_throttle {
  uint32_t max_milli, ratio_milli; /* max 0: there is none; all is allowed */
  _Atomic uint32_t milli;
} tth_throttle;

void tth_throttle_init(tth_throttle *throttle, tth_throttling throttling);

/* A call succeeded; one failed in a way that counts. */
void tth_throttle_succeeded(tth_throttle *throttle);
void tth_throttle_failed(tth_throttle *throttle);

bool tth_throttle_allows(const tth_throttle *throttle);

/* ---- Pushback ------------------------------------------------------------------------------ */

typedef enum tth_pushback { TTH_PUSHBACK_NONE = 0, TTH_PUSHBACK_AFTER, TTH_PUSHBACK_NEVER } tth_pushback;

/* AFTER sets *delay_ns. `trailers` may be NULL. */
tth_pushback tth_pushback_read(const tether_metadata *trailers, int64_t *delay_ns);

/* ---- Retries ------------------------------------------------------------------------------- */

/* Of one call; first all zero but the policy. */
typedef struct tth_attempts {
  const tether_retry_policy *policy; /* NULL: none */
  int made;                          /* attempts that have ended; transparent ones do not count */
  int backoffs;                      /* of them, since the server last said when */
  bool committed;                    /* something of an answer has come, or the request is not kept any more */
} tth_attempts;

typedef enum tth_retry {
  TTH_RETRY = 0,       /* after *delay_ns */
  TTH_RETRY_FINAL,     /* success, or a failure that the policy does not name */
  TTH_RETRY_COMMITTED, /* the others: a failure that it names, and */
  TTH_RETRY_PUSHBACK,  /* the server does not want it */
  TTH_RETRY_THROTTLED, /* too many calls have failed of late */
  TTH_RETRY_EXHAUSTED, /* no attempts are left */
} tth_retry;

/* An attempt has ended with this code; `trailers` may be NULL. Counts it for the throttle. `random` decides the
 * jitter. */
tth_retry tth_retry_decide(tth_attempts *attempts, tth_throttle *throttle, tether_code code,
                           const tether_metadata *trailers, uint32_t random, int64_t *delay_ns);

#endif
