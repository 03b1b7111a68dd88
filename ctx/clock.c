/* clock.c: where time comes from: the kernel's monotonic clock, or one installed in its place.
 *
 * An installed clock is three words that are read without a lock by whoever asks the time, so a version
 * is counted up before and after they are written: a reader that meets an odd one, or another one
 * afterwards, reads again. */
#include <stddef.h>
#include <tether/clock.h>
#include <time.h>

#include "ctx/node.h"

static struct {
  _Atomic bool installed;
  _Atomic uint32_t version;
  int64_t (*_Atomic now_ns)(void *data);
  void (*_Atomic wake_at)(void *data, int64_t deadline_ns);
  void *_Atomic data;
} current;

void tth_clock_install(const tether_clock *clock) {
  if (clock != NULL) {
    atomic_fetch_add_explicit(&current.version, 1, memory_order_relaxed);
    atomic_store_explicit(&current.now_ns, clock->now_ns, memory_order_release);
    atomic_store_explicit(&current.wake_at, clock->wake_at, memory_order_release);
    atomic_store_explicit(&current.data, clock->data, memory_order_release);
    atomic_fetch_add_explicit(&current.version, 1, memory_order_release);
  }
  atomic_store_explicit(&current.installed, clock != NULL, memory_order_release);
}

/* A fork may have come in the middle of tth_clock_install. */
void tth_clock_after_fork(void) {
  if (atomic_load(&current.version) % 2 == 0) return;
  atomic_store(&current.installed, false);
  atomic_fetch_add(&current.version, 1);
}

bool tth_clock_is_virtual(void) { return atomic_load_explicit(&current.installed, memory_order_acquire); }

bool tth_clock_installed(tether_clock *clock) {
  if (TTH_LIKELY(!tth_clock_is_virtual())) return false;
  uint32_t version;
  do {
    version = atomic_load_explicit(&current.version, memory_order_acquire);
    clock->now_ns = atomic_load_explicit(&current.now_ns, memory_order_acquire);
    clock->wake_at = atomic_load_explicit(&current.wake_at, memory_order_acquire);
    clock->data = atomic_load_explicit(&current.data, memory_order_acquire);
  } while (version % 2 != 0 || atomic_load_explicit(&current.version, memory_order_relaxed) != version);
  return true;
}

int64_t tth_clock_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * TETHER_SEC + now.tv_nsec;
}

int64_t tether_now_ns(void) {
  tether_clock clock;
  return tth_clock_installed(&clock) ? clock.now_ns(clock.data) : tth_clock_monotonic_ns();
}
