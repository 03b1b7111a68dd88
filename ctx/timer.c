/* timer.c: arming deadlines, and firing them.
 *
 * One wheel, one lock. A fire takes a reference to the context under the lock, "if it is alive", and ends
 * it without; a context that dies first takes itself off the wheel under the same lock. So the wheel
 * holds no references, and a stopped deadline is gone at once.
 *
 * `wake_ns` is when whoever runs the wheel will look at it next: the service thread, or, with an installed
 * clock, the owner of that clock. Only an earlier deadline is worth a word to them. While they are at work
 * it is in the past: they look again before they sleep. */
#include "ctx/timer.h"

#include <limits.h>
#include <string.h>
#include <tether/clock.h>

#include "ctx/node.h"
#include "ctx/wheel.h"

_Atomic bool tth_timer_unserved;

static struct {
  _Alignas(64) tth_lock lock;
  tth_wheel wheel;
  int64_t wake_ns;
} timers = {.wake_ns = TETHER_FOREVER};

void tth_timer_after_fork(void) {
  memset(&timers, 0, sizeof timers);
  timers.wake_ns = TETHER_FOREVER;
  atomic_store(&tth_timer_unserved, false);
}

/* The clock is replaced with the timer lock held and nothing armed, else it would strand deadlines. */
tether_code tether_clock_set(const tether_clock *clock) {
  tth_lock_acquire(&timers.lock);
  const bool armed = timers.wheel.count != 0;
  if (!armed) {
    timers.wheel.tick = 0;
    timers.wake_ns = TETHER_FOREVER;
    tth_clock_install(clock);
  }
  tth_lock_release(&timers.lock);
  return armed ? TETHER_FAILED_PRECONDITION : TETHER_OK;
}

/* ---- Arming ---------------------------------------------------------------------------------- */

bool tth_timer_arm(tth_timer *timer, int64_t deadline_ns) {
  timer->deadline_ns = deadline_ns;
  tth_lock_acquire(&timers.lock);
  const bool is_virtual = tth_clock_is_virtual();
  /* An empty wheel is brought up to date; an installed clock's time is not asked for under a lock. */
  int64_t now_ns = 0;
  if (timers.wheel.count == 0) now_ns = is_virtual ? timers.wheel.tick << TTH_TICK_BITS : tth_clock_monotonic_ns();
  tth_wheel_add(&timers.wheel, timer, now_ns);
  atomic_store_explicit(&timer->armed, true, memory_order_relaxed);
  const int64_t wake_ns = is_virtual ? deadline_ns : tth_tick_end_ns(deadline_ns);
  const bool earliest = wake_ns < timers.wake_ns;
  if (earliest) timers.wake_ns = wake_ns;
  tth_lock_release(&timers.lock);
  return earliest;
}

void tth_timer_disarm(tth_timer *timer) {
  if (!atomic_load_explicit(&timer->armed, memory_order_acquire)) return;
  tth_lock_acquire(&timers.lock);
  if (atomic_load_explicit(&timer->armed, memory_order_relaxed)) {
    tth_wheel_remove(&timers.wheel, timer);
    atomic_store_explicit(&timer->armed, false, memory_order_relaxed);
  }
  tth_lock_release(&timers.lock);
}

static void kick_service(void) {
  if (tth_service_start()) {
    atomic_store_explicit(&tth_timer_unserved, false, memory_order_relaxed);
    tth_service_wake();
    return;
  }
  atomic_store_explicit(&tth_timer_unserved, true, memory_order_relaxed);
  tth_lock_acquire(&timers.lock);
  timers.wake_ns = TETHER_FOREVER; /* so that the next one to arm tries again */
  tth_lock_release(&timers.lock);
}

void tth_timer_kick(void) {
  tether_clock clock;
  if (!tth_clock_installed(&clock)) {
    kick_service();
    return;
  }
  tth_lock_acquire(&timers.lock);
  const int64_t wake_ns = timers.wake_ns;
  tth_lock_release(&timers.lock);
  /* In the past: run_due is at work, and will say. For ever: it has been and gone. */
  if (clock.wake_at != NULL && wake_ns != INT64_MIN && wake_ns != TETHER_FOREVER) clock.wake_at(clock.data, wake_ns);
}

/* ---- Firing ---------------------------------------------------------------------------------- */

/* Takes a due timer off the wheel; a waiter is woken. Returns the context to end, referenced, or NULL. */
static tth_scope *take_due_locked(tth_timer *timer) {
  tth_wheel_remove(&timers.wheel, timer);
  tth_scope *scope = NULL;
  if (timer->word != NULL) {
    atomic_fetch_add_explicit(timer->word, TTH_WORD_STEP, memory_order_release);
    tth_futex_wake(timer->word, INT_MAX);
  } else {
    scope = TTH_CONTAINER(timer, tth_scope, timer);
    if (!tth_ref_if_alive(&scope->head)) scope = NULL;
  }
  atomic_store_explicit(&timer->armed, false, memory_order_release); /* from here on it may be gone */
  return scope;
}

/* The clock may be replaced whenever nothing is armed, so also while the last one fires: whose business the
 * wheel is must be asked each time the lock is taken, and the service thread never uses another's time. */
int64_t tth_timer_run(bool exact) {
  int64_t next_ns = TETHER_FOREVER;
  int64_t now_ns = exact ? tether_now_ns() : tth_clock_monotonic_ns();
  tth_lock_acquire(&timers.lock);
  while (tth_clock_is_virtual() == exact) {
    timers.wake_ns = INT64_MIN;
    tth_wheel_advance(&timers.wheel, now_ns);
    tth_timer *timer = tth_wheel_due(&timers.wheel);
    if (timer == NULL) {
      next_ns = tth_wheel_next_ns(&timers.wheel);
      if (!exact && next_ns != TETHER_FOREVER) next_ns = tth_tick_end_ns(next_ns);
      timers.wake_ns = next_ns;
      break;
    }
    tth_scope *scope = take_due_locked(timer);
    if (scope == NULL) continue;
    tth_lock_release(&timers.lock);
    tth_end(scope, tth_state_expired(scope));
    tether_ctx_unref(&scope->head);
    now_ns = exact ? tether_now_ns() : tth_clock_monotonic_ns();
    tth_lock_acquire(&timers.lock);
  }
  tth_lock_release(&timers.lock);
  return next_ns;
}

int64_t tether_clock_run_due(void) { return tth_timer_run(true); }
