/* Where a server's calls meet admission (admission.h): on arrival, into and out of the queue, at the end. Only called
 * where the server sheds at all. */
#include "rpc/server.h"

static bool by_deadline(const tether_call *call) {
  return call->s.server->admission.by_deadline && !call->pipe && call->s.route->need;
}

static bool is_inline(const tether_call *call) { return call->method->flags & TETHER_METHOD_INLINE; }

static int64_t left_ns(const tether_call *call, int64_t now_ns) {
  return call->s.deadline_ns == TETHER_FOREVER ? TETHER_FOREVER : call->s.deadline_ns - now_ns;
}

static const char *counted(tether_call *call, const char *why) {
  if (why) atomic_fetch_add_explicit(&call->s.route->sheds, 1, memory_order_relaxed);
  return why;
}

/* Takes a place among max_calls. false: there is none. */
static bool take_place(tether_call *call, tth_admission *admission) {
  uint32_t calls = atomic_load(&admission->calls);
  while (calls < admission->max_calls && !call->s.admitted)
    call->s.admitted = atomic_compare_exchange_weak(&admission->calls, &calls, calls + 1);
  return call->s.admitted;
}

const char *tth_server_call_arrives(tether_call *call) {
  tth_admission *admission = &call->s.server->admission;
  if (admission->max_calls > 0 && !take_place(call, admission))
    return counted(call, "shed: the server has as many calls as it takes on at once");
  if (!by_deadline(call)) return NULL;
  int64_t now_ns = call->s.arrived_ns;
  return counted(
      call, tth_admission_arrives(admission, call->s.route->need, left_ns(call, now_ns), !is_inline(call), now_ns));
}

void tth_server_call_queued(tether_call *call) {
  tth_admission *admission = &call->s.server->admission;
  if (call->s.route->need) call->s.expected_ns = tth_admission_queued(admission, call->s.route->need);
}

const char *tth_server_call_starts(tether_call *call) {
  tth_admission *admission = &call->s.server->admission;
  if (!call->s.route->need) return NULL;
  tth_admission_unqueued(admission, call->s.expected_ns);
  atomic_fetch_add_explicit(&admission->busy, 1, memory_order_relaxed);
  if (!by_deadline(call)) return NULL;
  int64_t now_ns = tether_now_ns(), left = left_ns(call, now_ns);
  /* Once its time is over it ends by that. */
  const char *why = left > 0 ? tth_admission_starts(admission, call->s.route->need, left, now_ns) : NULL;
  if (why || left <= 0) tth_need_dropped(call->s.route->need, now_ns - call->s.arrived_ns, now_ns);
  return counted(call, why);
}

void tth_server_call_returned(tether_call *call) {
  if (call->s.route->need) atomic_fetch_sub_explicit(&call->s.server->admission.busy, 1, memory_order_relaxed);
}

void tth_server_call_took(tether_call *call) {
  bool left = call->cause && call->code != TETHER_DEADLINE_EXCEEDED; /* its caller has; it may have needed more */
  if (!by_deadline(call) || left) return;
  tth_need_ran(call->s.route->need, call->s.began_ns - call->s.arrived_ns, call->s.ended_ns - call->s.began_ns,
               call->s.ended_ns);
}
