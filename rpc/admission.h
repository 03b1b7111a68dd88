/* rpc/admission.h: which calls a server takes on when there are more than it can serve. docs/overload.md explains it.
 *
 * Two limits, each off by default: how many calls there may be (max_calls), and, for unary methods, whether a call can
 * still be answered in time (deadline_admission). What is not taken on ends RESOURCE_EXHAUSTED with cause SHED. */
#ifndef TETHER_RPC_ADMISSION_H
#define TETHER_RPC_ADMISSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/recent.h"

/* Of a server that sheds. */
typedef struct tth_admission {
  uint32_t max_calls; /* 0: any */
  bool by_deadline;
  int workers;
  _Atomic uint32_t calls;    /* taken on, with max_calls */
  _Atomic int64_t queued_ns; /* what is expected of the handlers in the queue, together */
  _Atomic int queued, busy;  /* calls in the queue; workers that run a handler */
} tth_admission;

/* What one method's recent calls took. */
typedef struct tth_need {
  pthread_mutex_t mu;
  /* under mu */
  tth_recent handlers; /* from a handler's start to the call's end */
  tth_recent whole;    /* and the wait in the queue */
  unsigned since;      /* calls since the figures below were worked out */
  double mean_ns;
  /* what follows from that: 0: nothing is known */
  _Atomic int64_t quick_ns, handler_ns, whole_ns, mean_handler_ns;
  _Atomic int64_t handler_at_ns, whole_at_ns; /* when the last that counts ended */
} tth_need;

void tth_need_init(tth_need *need);
void tth_need_fini(tth_need *need);

/* A handler has run from began_ns on, and waited for a worker before. */
void tth_need_ran(tth_need *need, int64_t waited_ns, int64_t took_ns, int64_t now_ns);

/* A call has waited so long, and was dropped because of what is left. */
void tth_need_dropped(tth_need *need, int64_t waited_ns, int64_t now_ns);

/* Whether a call with `left_ns` until its deadline is taken on; `queues`: its handler runs on a worker. NULL, or why
 * not: static. */
const char *tth_admission_arrives(const tth_admission *admission, const tth_need *need, int64_t left_ns, bool queues,
                                  int64_t now_ns);

/* The same when a worker has taken it from the queue. */
const char *tth_admission_starts(const tth_admission *admission, const tth_need *need, int64_t left_ns, int64_t now_ns);

/* What the handler of a call that goes into the queue is expected to take; to be given to _unqueued. */
int64_t tth_admission_queued(tth_admission *admission, const tth_need *need);
void tth_admission_unqueued(tth_admission *admission, int64_t expected_ns);

#endif
