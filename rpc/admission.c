/* Deadline-aware admission. What a call will need is told from what recent calls of its method needed:
 *
 *   nobody waits for a worker   the handler's time, as one in ten did not exceed: a worker that would idle may try
 *   on arrival, if it has to    the most of: the handler's time, as nine in ten did not exceed; the same with the wait
 *   wait                        in the queue; and what the queue holds now (expected times / workers), then its handler
 *   as it leaves the queue,     the handler's time, as nine in ten did not exceed
 *   if others wait
 *
 * With less time left than that it is shed: on arrival, or before its handler has begun. The queue is so no longer than
 * can be served, and where calls are too many, those run that will make it.
 *
 * Failures: a method that has become slow, or was for a moment, is still tried whenever a worker has nothing else to
 * do; so the figures, which forget (rpc/recent.h), follow. A call that was cut short counts with the time it had; one
 * whose caller has left does not count. */
#include "rpc/admission.h"

#define MOST_PER_CENT 90
#define QUICK_PER_CENT 10

/* The figures are worked out anew after so many calls. */
#define ANEW_AFTER 8

/* Older news is no news. */
#define FORGET_NS TTH_RECENT_FORGET_NS

void tth_need_init(tth_need *need) {
  *need = (tth_need){0};
  pthread_mutex_init(&need->mu, NULL);
}

void tth_need_fini(tth_need *need) { pthread_mutex_destroy(&need->mu); }

/* Under mu, after something was added. */
static void work_out_locked(tth_need *need) {
  if (need->whole.count >= TTH_RECENT_LEAST && ++need->since < ANEW_AFTER && atomic_load(&need->whole_ns) != 0) return;
  need->since = 0;
  int64_t quick_ns = tth_recent_quantile(&need->handlers, QUICK_PER_CENT);
  atomic_store_explicit(&need->quick_ns, quick_ns, memory_order_relaxed);
  atomic_store_explicit(&need->handler_ns, tth_recent_quantile(&need->handlers, MOST_PER_CENT), memory_order_relaxed);
  atomic_store_explicit(&need->whole_ns, tth_recent_quantile(&need->whole, MOST_PER_CENT), memory_order_relaxed);
  atomic_store_explicit(&need->mean_handler_ns, (int64_t)need->mean_ns, memory_order_relaxed);
}

void tth_need_ran(tth_need *need, int64_t waited_ns, int64_t took_ns, int64_t now_ns) {
  pthread_mutex_lock(&need->mu);
  bool first = need->handlers.count == 0;
  tth_recent_add(&need->handlers, took_ns, now_ns);
  tth_recent_add(&need->whole, tether_time_add(waited_ns, took_ns), now_ns);
  need->mean_ns = first ? (double)took_ns : need->mean_ns + ((double)took_ns - need->mean_ns) / 16;
  atomic_store_explicit(&need->handler_at_ns, now_ns, memory_order_relaxed);
  atomic_store_explicit(&need->whole_at_ns, now_ns, memory_order_relaxed);
  work_out_locked(need);
  pthread_mutex_unlock(&need->mu);
}

void tth_need_dropped(tth_need *need, int64_t waited_ns, int64_t now_ns) {
  pthread_mutex_lock(&need->mu);
  tth_recent_add(&need->whole, tether_time_add(waited_ns, atomic_load(&need->handler_ns)), now_ns);
  atomic_store_explicit(&need->whole_at_ns, now_ns, memory_order_relaxed);
  work_out_locked(need);
  pthread_mutex_unlock(&need->mu);
}

/* A figure, unless it is too old. */
static int64_t known(const _Atomic int64_t *figure_ns, const _Atomic int64_t *at_ns, int64_t now_ns) {
  int64_t age_ns = now_ns - atomic_load_explicit(at_ns, memory_order_relaxed);
  return age_ns > FORGET_NS ? 0 : atomic_load_explicit(figure_ns, memory_order_relaxed);
}

static const char too_late[] = "shed: less time is left than recent calls of the method took";

const char *tth_admission_starts(const tth_admission *admission, const tth_need *need, int64_t left_ns,
                                 int64_t now_ns) {
  bool alone = atomic_load_explicit(&admission->queued, memory_order_relaxed) == 0;
  const _Atomic int64_t *handler_ns = alone ? &need->quick_ns : &need->handler_ns;
  return left_ns < known(handler_ns, &need->handler_at_ns, now_ns) ? too_late : NULL;
}

const char *tth_admission_arrives(const tth_admission *admission, const tth_need *need, int64_t left_ns, bool queues,
                                  int64_t now_ns) {
  int waiting = atomic_load_explicit(&admission->queued, memory_order_relaxed);
  int busy = atomic_load_explicit(&admission->busy, memory_order_relaxed);
  bool waits = queues && waiting + busy >= admission->workers;
  int64_t handler_ns = known(waits ? &need->handler_ns : &need->quick_ns, &need->handler_at_ns, now_ns);
  if (left_ns < handler_ns) return too_late;
  if (!waits) return NULL;
  if (left_ns < known(&need->whole_ns, &need->whole_at_ns, now_ns))
    return "shed: less time is left than recent calls of the method took, with their wait";
  int64_t ahead_ns = atomic_load_explicit(&admission->queued_ns, memory_order_relaxed) / admission->workers;
  if (left_ns < tether_time_add(ahead_ns, handler_ns))
    return "shed: the queue is longer than can be served in the time that is left";
  return NULL;
}

int64_t tth_admission_queued(tth_admission *admission, const tth_need *need) {
  int64_t expected_ns = atomic_load_explicit(&need->mean_handler_ns, memory_order_relaxed);
  atomic_fetch_add_explicit(&admission->queued, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&admission->queued_ns, expected_ns, memory_order_relaxed);
  return expected_ns;
}

void tth_admission_unqueued(tth_admission *admission, int64_t expected_ns) {
  atomic_fetch_sub_explicit(&admission->queued, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&admission->queued_ns, expected_ns, memory_order_relaxed);
}
