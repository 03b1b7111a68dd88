#include "tests/support/wait.h"

#include <time.h>

int64_t tst_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}

static struct timespec timespec_of(int64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / TETHER_SEC), .tv_nsec = (long)(ns % TETHER_SEC)};
}

void tst_counter_init(tst_counter *counter) {
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&counter->lock, NULL);
  pthread_cond_init(&counter->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  counter->value = 0;
}

void tst_counter_fini(tst_counter *counter) {
  pthread_cond_destroy(&counter->changed);
  pthread_mutex_destroy(&counter->lock);
}

void tst_counter_add(tst_counter *counter, int64_t n) {
  pthread_mutex_lock(&counter->lock);
  counter->value += n;
  pthread_cond_broadcast(&counter->changed);
  pthread_mutex_unlock(&counter->lock);
}

int64_t tst_counter_get(tst_counter *counter) {
  pthread_mutex_lock(&counter->lock);
  int64_t value = counter->value;
  pthread_mutex_unlock(&counter->lock);
  return value;
}

bool tst_counter_wait(tst_counter *counter, int64_t value, int64_t bound_ns) {
  struct timespec end = timespec_of(tst_now_ns() + bound_ns);
  int error = 0;
  pthread_mutex_lock(&counter->lock);
  while (counter->value < value && !error) error = pthread_cond_timedwait(&counter->changed, &counter->lock, &end);
  bool reached = counter->value >= value;
  pthread_mutex_unlock(&counter->lock);
  return reached;
}

void tst_latch_init(tst_latch *latch) { tst_counter_init(&latch->opened); }

void tst_latch_fini(tst_latch *latch) { tst_counter_fini(&latch->opened); }

void tst_latch_open(tst_latch *latch) { tst_counter_add(&latch->opened, 1); }

bool tst_latch_is_open(tst_latch *latch) { return tst_counter_get(&latch->opened) > 0; }

bool tst_latch_wait(tst_latch *latch, int64_t bound_ns) { return tst_counter_wait(&latch->opened, 1, bound_ns); }

bool tst_wait_until(bool (*condition)(void *data), void *data, int64_t bound_ns) {
  int64_t end_ns = tst_now_ns() + bound_ns;
  struct timespec pause = timespec_of(TETHER_MS);
  for (;;) {
    if (condition(data)) return true;
    if (tst_now_ns() >= end_ns) return false;
    nanosleep(&pause, NULL);
  }
}
