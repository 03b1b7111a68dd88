/* tether/ledger.h: where a call's time went, over every hop, and why it ended.
 *
 * Every failed call, and every call that asked (tether_call_options.explain), brings back a tree of rows, one per call
 * made in the course of it: the caller's own at the root, under it the calls that its handler made, and so on. No
 * collector is needed. Times are durations on each process's own clock, so nobody's wall clock matters.
 *
 *   caller   |--waited here--|--on the way--|--queued there--|--handler--|--on the way--|     took_ns
 *   server                                  ^ budget_ns      queue_ns     own_ns
 */
#ifndef TETHER_LEDGER_H
#define TETHER_LEDGER_H

#include <tether/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a call was. */
typedef enum tether_phase {
  TETHER_PHASE_NONE = 0,
  TETHER_PHASE_CONNECTING = 1,   /* waited in the caller for a connection */
  TETHER_PHASE_QUEUED_HERE = 2,  /* waited in the caller to be sent */
  TETHER_PHASE_IN_FLIGHT = 3,    /* on the way there or back */
  TETHER_PHASE_QUEUED_THERE = 4, /* waited in the server for a thread */
  TETHER_PHASE_HANDLER = 5,      /* in the handler's own work */
  TETHER_PHASE_WAITING = 6,      /* waited for a server that has not told what it did: it has not answered, or the call
                                    succeeded and nobody asked */
  TETHER_PHASE_RETRYING = 7,     /* in attempts that failed, and waits for the next */
  TETHER_PHASE_RESOLVING = 8,    /* waited in the caller for its target's name to have addresses */
} tether_phase;

/* "in the handler"; static. */
TETHER_API const char *tether_phase_text(tether_phase phase);

typedef struct tether_ledger tether_ledger;

/* One call. Strings are never NULL. */
struct tether_ledger {
  const char *method;   /* the path */
  const char *hop;      /* the server's tether_origin, or its address if it told none; "" without a connection */
  int64_t started_ns;   /* after the start of the parent row's handler; 0 at the root */
  int64_t took_ns;      /* as the caller saw it */
  int64_t late_ns;      /* of it, after its time was over: the caller was late to see that. At the root the deadline's
                           passing, below the end of the context of the handler that made the call */
  int64_t waited_ns;    /* of it, in the caller before it was sent, for the last time if it was retried */
  int64_t retried_ns;   /* of that, until the last attempt began; 0: there was one */
  int64_t resolving_ns; /* of waited_ns, from then on, until the target's name had addresses; 0: they were known */
  unsigned attempts;    /* how often it left */
  tether_code before;   /* with retried_ns: how the attempt before the last ended */
  bool connected;       /* false: it waited for a connection, and for nothing else */
  bool answered;        /* the server told what follows; else those are 0 */
  int64_t budget_ns;    /* what was left on arrival; TETHER_FOREVER: no deadline */
  int64_t queue_ns;     /* from arrival to the handler's start */
  int64_t own_ns;       /* the handler, from start to return; its calls included */
  int64_t wasted_ns;    /* of it, after its context had ended */
  bool detached;        /* it had a bound of its own and went on when its caller left */
  tether_code code;     /* how it ended, and why */
  tether_cause_code cause;
  const char *origin, *text;            /* of the cause */
  const tether_ledger *const *children; /* in the order started */
  size_t child_count;
  size_t cut; /* calls that are left out, for size or since they are more than 32 levels down; only their number is
                 said, and nothing of the calls below them */
};

/* The ledger of a call that has ended; NULL if there is none. Borrowed from the call. Client side. A call that ended
 * here before its answer came (its deadline passed, it was cancelled) has a root row and nothing below; once the answer
 * has come there is a new ledger with all of it. */
TETHER_API const tether_ledger *tether_call_ledger(tether_call *call);

/* Waits at most timeout_ns of real time for the answer of a call that has ended without it. If the call was made with
 * tether_call_options.explain, each server keeps the answer to a call that was cut until it has those of the calls
 * below, for less than a second, so that the ledger is complete. Blocks; not from a callback. TETHER_OK: nothing more
 * will come. TETHER_DEADLINE_EXCEEDED: it has not come in this time. TETHER_UNAVAILABLE: the connection was lost first.
 * TETHER_FAILED_PRECONDITION: not a client's call, or it has not ended. */
TETHER_API TETHER_MUST_USE tether_code tether_call_wait_ledger(tether_call *call, int64_t timeout_ns);

/* Which row and phase spent most of the root's time, the time of calls made below counted below. What came after the
 * time was over (late_ns, wasted_ns) was not spent of it. */
TETHER_API void tether_ledger_blame(const tether_ledger *ledger, const tether_ledger **row, tether_phase *phase,
                                    int64_t *spent_ns);

/* Writes a waterfall, a line a row, to buf, always terminated and cut at `size`; returns the length of the whole text,
 * as snprintf does. `width` is that of the bars, in characters. */
TETHER_API size_t tether_ledger_text(const tether_ledger *ledger, int width, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
