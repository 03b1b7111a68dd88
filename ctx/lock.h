/* lock.h: the smallest lock that can block: one futex word.
 *
 * A context holds one of these, and ending a tree holds one per level of the path from its root, so a
 * pthread_mutex_t's 40 bytes would be paid a million times over. Everything here is C11 atomics plus the
 * futex system call, so the race detectors see every ordering, nothing is a cancellation point, and a
 * wake may be issued from a signal handler.
 *
 * Lock order: the line mutex (attach.c), then context locks from parent to child, then one of {a timer
 * wheel's lock, a callback bucket's lock}. The live list's, a pool's and a group's lock are never held with another. */
#ifndef TTH_LOCK_H
#define TTH_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* 0 free, 1 held, 2 held and somebody may be sleeping. */
typedef struct tth_lock {
  _Atomic uint32_t word;
} tth_lock;

/* A condition that belongs to one tth_lock; `waiters` is guarded by that lock. */
typedef struct tth_cond {
  _Atomic uint32_t sequence;
  uint32_t waiters;
} tth_cond;

/* Sleeps while *word == expected, at most until the absolute CLOCK_MONOTONIC time `until_ns`
 * (TETHER_FOREVER: no bound). May return early for no reason: callers loop. */
void tth_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t until_ns);

/* Wakes up to `count` sleepers. Only the address is used, so it may be of memory already released: a
 * sleeper elsewhere is at worst woken for no reason. Async-signal-safe apart from errno. */
void tth_futex_wake(_Atomic uint32_t *word, int count);

void tth_lock_acquire_slow(tth_lock *lock);

static inline void tth_lock_acquire(tth_lock *lock) {
  uint32_t free_word = 0;
  if (!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, 1, memory_order_acquire, memory_order_relaxed))
    tth_lock_acquire_slow(lock);
}

static inline void tth_lock_release(tth_lock *lock) {
  if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2) tth_futex_wake(&lock->word, 1);
}

/* Releases `lock`, sleeps until woken (or for no reason), takes it again. */
void tth_cond_wait(tth_cond *cond, tth_lock *lock);

/* Wakes every sleeper. The caller holds the lock, so the owner of the memory cannot be gone yet. */
void tth_cond_wake_all_locked(tth_cond *cond);

/* Wakes one, in two halves: first under the lock, then without it, so that who wakes need not wait for it again. The
 * second uses the address only, whatever has become of the memory. */
void tth_cond_call_one_locked(tth_cond *cond);
void tth_cond_wake_one(tth_cond *cond);

#endif
