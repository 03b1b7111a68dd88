/* lock.c: the sleeping half of the futex lock and its condition. */
#include "ctx/lock.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <tether/base.h>
#include <time.h>
#include <unistd.h>

void tth_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t until_ns) {
  struct timespec until = {.tv_sec = 0, .tv_nsec = 0};
  if (until_ns > 0) {
    until.tv_sec = until_ns / TETHER_SEC;
    until.tv_nsec = until_ns % TETHER_SEC;
  }
  (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until_ns == TETHER_FOREVER ? NULL : &until, NULL,
                FUTEX_BITSET_MATCH_ANY);
}

void tth_futex_wake(_Atomic uint32_t *word, int count) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void tth_lock_acquire_slow(tth_lock *lock) {
  /* Critical sections are tens of instructions long, save for the end of a big tree: a short spin
   * usually saves both system calls. */
  for (int spin = 0; spin < 100; ++spin) {
    uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    if (word == 0 &&
        atomic_compare_exchange_weak_explicit(&lock->word, &word, 1, memory_order_acquire, memory_order_relaxed))
      return;
    if (word == 2) break;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
  while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
    tth_futex_wait(&lock->word, 2, TETHER_FOREVER);
}

void tth_cond_wait(tth_cond *cond, tth_lock *lock) {
  const uint32_t sequence = atomic_load_explicit(&cond->sequence, memory_order_relaxed);
  ++cond->waiters;
  tth_lock_release(lock);
  tth_futex_wait(&cond->sequence, sequence, TETHER_FOREVER);
  tth_lock_acquire(lock);
  --cond->waiters;
}

void tth_cond_wake_all_locked(tth_cond *cond) {
  if (cond->waiters == 0) return;
  atomic_fetch_add_explicit(&cond->sequence, 1, memory_order_relaxed);
  tth_futex_wake(&cond->sequence, INT_MAX);
}

void tth_cond_call_one_locked(tth_cond *cond) { atomic_fetch_add_explicit(&cond->sequence, 1, memory_order_relaxed); }

void tth_cond_wake_one(tth_cond *cond) { tth_futex_wake(&cond->sequence, 1); }
