/* rpc/futex.h: waiting for a 32-bit word to change. */
#ifndef TETHER_RPC_FUTEX_H
#define TETHER_RPC_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <tether/base.h>
#include <time.h>
#include <unistd.h>

/* Blocks while *word is `expected`; may return early, so callers look again. */
static inline void tth_futex_wait(_Atomic uint32_t *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

/* The same for at most `timeout_ns`; TETHER_FOREVER: no bound. */
static inline void tth_futex_wait_for(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns) {
  struct timespec bound = {.tv_sec = (time_t)(timeout_ns / TETHER_SEC), .tv_nsec = (long)(timeout_ns % TETHER_SEC)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == TETHER_FOREVER ? NULL : &bound, NULL, 0);
}

/* Wakes all who wait for the word. The word's memory may be gone by then: it is only an address here. */
static inline void tth_futex_wake_all(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#endif
