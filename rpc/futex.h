/* rpc/futex.h: waiting for a 32-bit word to change. */
#ifndef TETHER_RPC_FUTEX_H
#define TETHER_RPC_FUTEX_H

#include <errno.h>
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

/* As tth_futex_wait, until that real time at most; TETHER_FOREVER: no bound. false: it has come. */
TETHER_MUST_USE static inline bool tth_futex_wait_until(_Atomic uint32_t *word, uint32_t expected, int64_t until_ns) {
  struct timespec until = {.tv_sec = (time_t)(until_ns / TETHER_SEC), .tv_nsec = (long)(until_ns % TETHER_SEC)};
  return syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until_ns == TETHER_FOREVER ? NULL : &until, NULL,
                 FUTEX_BITSET_MATCH_ANY) == 0 ||
         errno == EAGAIN || errno == EINTR;
}

/* Wakes all who wait for the word. The word's memory may be gone by then: it is only an address here. */
static inline void tth_futex_wake_all(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#endif
