/* rpc/retrying.h: client calls that are tried again. rpc/retry.h decides; here is what a call needs to be sent once
 * more, and the wait until then.
 *
 *   RUNNING ──its attempt failed: ENDING──> not to be tried again ──> ENDED
 *     ^ │                             │
 *     │ └──the context ends──> ENDED  └──to be tried again──> RUNNING, in back-off ──the context ends──> ENDED
 *     └──────────dispatched─────────────────────────────────────────────┘ the timer
 *
 * The call is one object throughout: one context, one end, one callback. What changes with an attempt is its connection
 * and stream: call->conn is taken away under that connection's lock, so whoever holds the lock and finds the call still
 * on it may use call->stream. Connections of earlier attempts are kept until the call is freed, for those who have just
 * looked. */
#ifndef TETHER_RPC_RETRYING_H
#define TETHER_RPC_RETRYING_H

#include "rpc/client.h"
#include "rpc/retry.h"

/* The wait before a retry. */
typedef struct tth_backoff {
  tether_call *call;
  tether_ctx *ctx; /* its deadline is the retry's time; the client's close cancels it */
  tether_after after;
  _Atomic int phase; /* of the hand-over between who sets the timer and the timer */
} tth_backoff;

struct tth_retrying {
  tth_attempts attempts; /* of whoever has the call ENDING */
  int entries;           /* in `kept`, of metadata: the number of attempts before */

  pthread_mutex_t mu; /* after a connection's */
  /* under mu: what has been sent, from HEADERS on, to be sent again; NULL: it is not kept (any more), and the call is
   * committed */
  tth_out *kept, **kept_end;
  size_t kept_bytes;
  bool over; /* nothing is kept from here on */

  tth_backoff backoffs[TTH_ATTEMPTS_MOST - 1];
  int backoff_count;
  tth_conn *conns[TTH_ATTEMPTS_MOST - 1];
  int conn_count;

  _Atomic bool waiting;     /* in back-off: there is no attempt */
  _Atomic unsigned left;    /* earlier attempts that left */
  _Atomic uint32_t running; /* handlers still running below those */
  int64_t attempt_ns;       /* when the current attempt began */
  tether_code last_code;    /* of the attempt that failed last */
  char last_message[160];
};

/* For a call that may be tried again by this policy, before anybody else knows of it. NULL without memory: it is tried
 * once. */
TETHER_MUST_USE struct tth_retrying *tth_retrying_new(const tether_retry_policy *policy, int64_t now_ns);

/* With the call. Takes NULL. */
void tth_retrying_free(struct tth_retrying *retrying);

/* Keeps a copy of what is about to be sent: the packed request, or a stream's message, in the order of their leaving.
 * What is beyond the client's limits, or finds no memory, commits the call. */
void tth_retrying_keep(tether_call *call, const tth_out *out);

/* Something of an answer has come, or the end: the call is committed to this attempt. */
void tth_retrying_commit(tether_call *call);

/* A stream has been opened for the call: sends what has been sent before. false: no memory. */
TETHER_MUST_USE bool tth_retrying_replay_locked(tether_call *call, tth_session *session);

/* An attempt has ended, with the results that are written in the call, which the caller has ENDING. true: the call is
 * tried again, and RUNNING or ended by others. */
TETHER_MUST_USE bool tth_retrying_ended(tether_call *call);

/* The call has ended for good. */
void tth_retrying_stop(tether_call *call);

#endif
