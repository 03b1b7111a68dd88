/* What becomes of the stream of a client's call, and those who wait for it.
 *
 * Happy path: the call ends, perhaps long before its handler does; TRAILERS come and say how many handlers still run
 * below; who waits is woken.
 * Failures: the stream never left (nothing runs), or its connection is lost (what runs there counts as running); the
 * wait's own time is over. */
#include "rpc/client_call.h"
#include "rpc/futex.h"
#include "rpc/hedge.h"
#include "rpc/real_time.h"
#include "rpc/retrying.h"

/* false: it was marked. */
static bool mark(tether_call *call, uint32_t how, uint32_t running) {
  uint32_t not_yet = TTH_GONE_NOT_YET;
  if (atomic_load(&call->c.gone) != TTH_GONE_NOT_YET) return false;
  atomic_store(&call->c.running, running);
  return atomic_compare_exchange_strong(&call->c.gone, &not_yet, how);
}

static void tell(tether_call *call) {
  if (atomic_load(&call->c.wait_ns)) tth_futex_wake_all(&call->c.gone); /* who waits has set it before it looked */
  if (call->c.opened) tth_recorder_call_closed(call->c.recorder, atomic_load(&call->c.running));
}

void tth_client_call_mark_gone(tether_call *call, uint32_t how, uint32_t running) {
  if (mark(call, how, running)) tell(call);
}

void tth_client_call_note_gone(tether_call *call, uint32_t how, uint32_t running) {
  call->c.gone_untold |= mark(call, how, running);
}

void tth_client_call_tell_gone(tether_call *call) {
  bool untold = call->c.gone_untold;
  call->c.gone_untold = false;
  if (untold) tell(call);
}

/* Waits until the call's stream is gone; false: it was not in (real) time. Who has set wait_ns before is woken. */
static bool wait_gone(tether_call *call, int64_t until_ns) {
  while (atomic_load(&call->c.gone) == TTH_GONE_NOT_YET)
    if (!tth_futex_wait_until(&call->c.gone, TTH_GONE_NOT_YET, until_ns)) return false;
  return true;
}

void tth_client_call_will_wait(tether_call *call, int64_t timeout_ns) {
  atomic_store(&call->c.wait_ns, timeout_ns > 0 ? timeout_ns : 1);
}

tether_code tth_client_call_wait_gone(tether_call *call, int64_t until_ns, uint32_t *running) {
  if (!wait_gone(call, until_ns)) return TETHER_DEADLINE_EXCEEDED;
  if (atomic_load(&call->c.gone) == TTH_GONE_LOST) return TETHER_UNAVAILABLE;
  *running = atomic_load(&call->c.running) + (call->c.retrying ? atomic_load(&call->c.retrying->running) : 0);
  return TETHER_OK;
}

tether_code tether_call_cancel_and_wait(tether_call *call, const tether_cause *cause, int64_t timeout_ns,
                                        uint32_t *running) {
  if (call->role != TTH_CLIENT) return TETHER_FAILED_PRECONDITION;
  if (!call->root) { /* it ended before it began */
    *running = 0;
    return TETHER_OK;
  }
  if (call->c.hedge) return tth_hedge_cancel_and_wait(call, cause, timeout_ns, running);
  int64_t until_ns = tether_time_add(tth_real_now_ns(), timeout_ns);
  tth_client_call_will_wait(call, timeout_ns);
  tether_call_cancel(call, cause);
  return tth_client_call_wait_gone(call, until_ns, running);
}

tether_code tether_call_wait_ledger(tether_call *call, int64_t timeout_ns) {
  int64_t unset = 0;
  bool ended = (atomic_load(&call->state) & TTH_CALL_PHASE) == TTH_CALL_ENDED;
  if (call->role != TTH_CLIENT || !ended) return TETHER_FAILED_PRECONDITION;
  if (!call->root) return TETHER_OK; /* it ended before it began */
  if (call->c.answer) return tether_call_wait_ledger(call->c.answer, timeout_ns);
  atomic_compare_exchange_strong(&call->c.wait_ns, &unset, 1);
  if (!wait_gone(call, tether_time_add(tth_real_now_ns(), timeout_ns))) return TETHER_DEADLINE_EXCEEDED;
  return atomic_load(&call->c.gone) == TTH_GONE_LOST ? TETHER_UNAVAILABLE : TETHER_OK;
}
