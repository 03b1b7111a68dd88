/* tests/support/wait.h: waiting for what other threads do, always with a bound: a wait that fails says so and the
 * test fails, it does not hang. No function here asserts, so all may be called from any thread. */
#ifndef TETHER_TESTS_WAIT_H
#define TETHER_TESTS_WAIT_H

#include <pthread.h>
#include <tether/base.h>

/* A bound for things that take no time unless something is broken; long enough for sanitizers on a busy machine. */
#define TST_BOUND_NS (20 * TETHER_SEC)

/* CLOCK_MONOTONIC, whatever clock is installed. */
int64_t tst_now_ns(void);

/* A counter that can be waited for. */
typedef struct tst_counter {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int64_t value; /* under lock */
} tst_counter;

void tst_counter_init(tst_counter *counter);
void tst_counter_fini(tst_counter *counter);
void tst_counter_add(tst_counter *counter, int64_t n);
int64_t tst_counter_get(tst_counter *counter);

/* true: the value is at least `value`. false: it was not within `bound_ns`. */
TETHER_MUST_USE bool tst_counter_wait(tst_counter *counter, int64_t value, int64_t bound_ns);

/* A gate that opens once and stays open. */
typedef struct tst_latch {
  tst_counter opened;
} tst_latch;

void tst_latch_init(tst_latch *latch);
void tst_latch_fini(tst_latch *latch);
void tst_latch_open(tst_latch *latch);
bool tst_latch_is_open(tst_latch *latch);

/* true: it is open. false: it did not open within `bound_ns`. */
TETHER_MUST_USE bool tst_latch_wait(tst_latch *latch, int64_t bound_ns);

/* Asks `condition` again and again, for what cannot be waited for otherwise (a descriptor count, a file). true: it
 * held. false: it did not within `bound_ns`. */
TETHER_MUST_USE bool tst_wait_until(bool (*condition)(void *data), void *data, int64_t bound_ns);

#endif
