/* timer.c: arming deadlines, and firing them.
 *
 * Threads spread over several wheels, each with a lock of its own, so that those that arm and disarm all the
 * time seldom meet; an installed clock uses the first wheel alone, which keeps all deadlines in order. A fire
 * takes a reference to the context under the wheel's lock, "if it is alive", and ends it without; a context
 * that dies first takes itself off the wheel under the same lock. So a wheel holds no references, and a
 * stopped deadline is gone at once.
 *
 * `look_ns` is when whoever runs the wheels will look at them next: the service thread, or, with an installed
 * clock, the owner of that clock. Only an earlier deadline is worth a word to them. While they are at work
 * it is in the past. No deadline is missed between looking and sleeping: who arms first lowers its wheel's
 * `earliest_ns` and then reads look_ns; who runs first sets look_ns and then reads every earliest_ns. */
#include "ctx/timer.h"

#include <limits.h>
#include <string.h>
#include <tether/clock.h>

#include "ctx/node.h"
#include "ctx/wheel.h"

enum { SHARDS = 16 };

_Atomic bool tth_timer_unserved;

static struct shard {
  _Alignas(64) tth_lock lock;
  _Atomic int64_t earliest_ns; /* not after any deadline on the wheel; written under the lock */
  tth_wheel wheel;
} shards[SHARDS] = {[0 ... SHARDS - 1] = {.earliest_ns = TETHER_FOREVER}};

static _Atomic int64_t look_ns = TETHER_FOREVER;

static void lock_all(void) {
  for (int i = 0; i < SHARDS; ++i) tth_lock_acquire(&shards[i].lock);
}

static void unlock_all(void) {
  for (int i = 0; i < SHARDS; ++i) tth_lock_release(&shards[i].lock);
}

void tth_timer_after_fork(void) {
  memset(shards, 0, sizeof shards);
  for (int i = 0; i < SHARDS; ++i) atomic_store(&shards[i].earliest_ns, TETHER_FOREVER);
  atomic_store(&look_ns, TETHER_FOREVER);
  atomic_store(&tth_timer_unserved, false);
}

/* The clock is replaced with all wheels locked and nothing armed, else it would strand deadlines. */
tether_code tether_clock_set(const tether_clock *clock) {
  bool armed = false;
  lock_all();
  for (int i = 0; i < SHARDS; ++i) armed = armed || shards[i].wheel.count != 0;
  if (!armed) {
    for (int i = 0; i < SHARDS; ++i) {
      shards[i].wheel.tick = 0;
      atomic_store(&shards[i].earliest_ns, TETHER_FOREVER);
    }
    atomic_store(&look_ns, TETHER_FOREVER);
    tth_clock_install(clock);
  }
  unlock_all();
  if (tth_end_is_owed()) tth_end_tell(); /* who was to run them may not be the one any more */
  return armed ? TETHER_FAILED_PRECONDITION : TETHER_OK;
}

/* ---- Arming ---------------------------------------------------------------------------------- */

/* The wheel for this thread to arm on, locked. Whether the clock is an installed one stays so until then. */
static struct shard *shard_acquire(bool *is_virtual) {
  for (;;) {
    *is_virtual = tth_clock_is_virtual();
    struct shard *shard = &shards[*is_virtual ? 0 : tth_thread_number() % SHARDS];
    tth_lock_acquire(&shard->lock);
    if (*is_virtual == tth_clock_is_virtual()) return shard;
    tth_lock_release(&shard->lock);
  }
}

/* True: somebody must be told, and this thread is the one to do it. */
static bool lower_look(int64_t wake_ns) {
  int64_t next_ns = atomic_load(&look_ns);
  while (wake_ns < next_ns)
    if (atomic_compare_exchange_weak(&look_ns, &next_ns, wake_ns)) return true;
  return false;
}

bool tth_timer_arm(tth_timer *timer, int64_t deadline_ns) {
  bool is_virtual;
  struct shard *shard = shard_acquire(&is_virtual);
  timer->deadline_ns = deadline_ns;
  timer->shard = (uint8_t)(shard - shards);
  /* An empty wheel is brought up to date; an installed clock's time is not asked for under a lock. */
  int64_t now_ns = 0;
  if (shard->wheel.count == 0) now_ns = is_virtual ? shard->wheel.tick << TTH_TICK_BITS : tth_clock_monotonic_ns();
  tth_wheel_add(&shard->wheel, timer, now_ns);
  atomic_store_explicit(&timer->armed, true, memory_order_relaxed);
  const int64_t wake_ns = is_virtual ? deadline_ns : tth_tick_end_ns(deadline_ns);
  if (wake_ns < atomic_load_explicit(&shard->earliest_ns, memory_order_relaxed))
    atomic_store(&shard->earliest_ns, wake_ns);
  const bool kick = lower_look(wake_ns);
  tth_lock_release(&shard->lock);
  return kick;
}

void tth_timer_disarm(tth_timer *timer) {
  if (!atomic_load_explicit(&timer->armed, memory_order_acquire)) return;
  struct shard *shard = &shards[timer->shard];
  tth_lock_acquire(&shard->lock);
  if (atomic_load_explicit(&timer->armed, memory_order_relaxed)) {
    tth_wheel_remove(&shard->wheel, timer);
    atomic_store_explicit(&timer->armed, false, memory_order_relaxed);
  }
  tth_lock_release(&shard->lock);
}

static void kick_service(void) {
  if (tth_service_start()) {
    atomic_store_explicit(&tth_timer_unserved, false, memory_order_relaxed);
    tth_service_wake();
    return;
  }
  atomic_store_explicit(&tth_timer_unserved, true, memory_order_relaxed);
  atomic_store(&look_ns, TETHER_FOREVER); /* so that the next one to arm tries again */
}

void tth_timer_kick(void) {
  tether_clock clock;
  if (!tth_clock_installed(&clock)) {
    kick_service();
    return;
  }
  const int64_t wake_ns = atomic_load(&look_ns);
  /* In the past: run_due is at work, and will say. For ever: it has been and gone. */
  if (clock.wake_at != NULL && wake_ns != INT64_MIN && wake_ns != TETHER_FOREVER) clock.wake_at(clock.data, wake_ns);
}

/* ---- Firing ---------------------------------------------------------------------------------- */

/* Takes a due timer off the wheel; a waiter is woken. Returns the context to end, referenced, or NULL. */
static tth_scope *take_due_locked(struct shard *shard, tth_timer *timer) {
  tth_wheel_remove(&shard->wheel, timer);
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

static int64_t time_for(bool exact) { return exact ? tether_now_ns() : tth_clock_monotonic_ns(); }

/* Fires what is due on one wheel; returns when to look at it next. The clock may be replaced whenever nothing
 * is armed, so also while the last one fires: whose business the wheel is must be asked each time the lock is
 * taken, and the service thread never uses another's time. */
static int64_t run_shard(struct shard *shard, bool exact) {
  int64_t next_ns = TETHER_FOREVER;
  int64_t now_ns = time_for(exact);
  tth_lock_acquire(&shard->lock);
  while (tth_clock_is_virtual() == exact) {
    tth_wheel_advance(&shard->wheel, now_ns);
    tth_timer *timer = tth_wheel_due(&shard->wheel);
    if (timer == NULL) {
      next_ns = tth_wheel_next_ns(&shard->wheel);
      if (!exact && next_ns != TETHER_FOREVER) next_ns = tth_tick_end_ns(next_ns);
      atomic_store(&shard->earliest_ns, next_ns);
      break;
    }
    tth_scope *scope = take_due_locked(shard, timer);
    if (scope == NULL) continue;
    tth_lock_release(&shard->lock);
    tth_end(scope, tth_state_expired(scope));
    tether_ctx_unref(&scope->head);
    now_ns = time_for(exact);
    tth_lock_acquire(&shard->lock);
  }
  tth_lock_release(&shard->lock);
  return next_ns;
}

/* False: the wheels are the other one's business. */
static bool set_look(bool exact, int64_t next_ns) {
  tth_lock_acquire(&shards[0].lock);
  const bool mine = tth_clock_is_virtual() == exact;
  if (mine) atomic_store(&look_ns, next_ns);
  tth_lock_release(&shards[0].lock);
  return mine;
}

int64_t tth_timer_run(bool exact) {
  const int count = exact ? 1 : SHARDS;
  int64_t next_ns, earliest_ns;
  do {
    if (!set_look(exact, INT64_MIN)) return TETHER_FOREVER;
    next_ns = TETHER_FOREVER;
    for (int i = 0; i < count; ++i) {
      const int64_t shard_ns = run_shard(&shards[i], exact);
      if (shard_ns < next_ns) next_ns = shard_ns;
    }
    if (!set_look(exact, next_ns)) return TETHER_FOREVER;
    earliest_ns = TETHER_FOREVER;
    for (int i = 0; i < count; ++i) {
      const int64_t shard_ns = atomic_load(&shards[i].earliest_ns);
      if (shard_ns < earliest_ns) earliest_ns = shard_ns;
    }
  } while (earliest_ns < next_ns); /* armed on a wheel already left, while look_ns was in the past */
  return next_ns;
}

int64_t tether_clock_run_due(void) {
  int64_t next_ns;
  do {
    tth_end_serve();
    next_ns = tth_timer_run(true);
  } while (tth_end_is_owed());
  return next_ns;
}
