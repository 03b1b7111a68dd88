/* service.c: the one thread of the library: fires deadlines, runs the callbacks of those that waiters fired,
 * and cancels what signal handlers ask for.
 *
 * Started when first needed, detached, with all signals blocked. It sleeps on a sequence word until the next
 * armed tick ends; whoever has something earlier counts the word up. Failure mode: the thread cannot be
 * started; then waiters and observers watch their deadlines themselves (tth_timer_unserved). */
#include <pthread.h>
#include <signal.h>

#include "ctx/node.h"

static struct {
  tth_lock lock; /* starting */
  _Atomic bool running;
  _Atomic uint32_t sequence;
} service;

void tth_service_after_fork(void) {
  atomic_store(&service.lock.word, 0);
  atomic_store(&service.running, false);
}

void tth_service_wake(void) {
  atomic_fetch_add_explicit(&service.sequence, 1, memory_order_release);
  tth_futex_wake(&service.sequence, 1);
}

static void *serve(void *unused) {
  (void)unused;
  for (;;) {
    const uint32_t sequence = atomic_load_explicit(&service.sequence, memory_order_acquire);
    tth_signal_serve();
    if (!tth_clock_is_virtual()) tth_end_serve();
    const int64_t next_ns = tth_timer_run(false);
    tth_futex_wait(&service.sequence, sequence, next_ns);
  }
  return NULL;
}

static bool start_locked(void) {
  pthread_attr_t attributes;
  sigset_t all, before;
  pthread_t thread;
  if (pthread_attr_init(&attributes) != 0) return false;
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool started = pthread_create(&thread, &attributes, serve, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

bool tth_service_start(void) {
  if (atomic_load_explicit(&service.running, memory_order_acquire)) return true;
  tth_lock_acquire(&service.lock);
  bool running = atomic_load_explicit(&service.running, memory_order_relaxed);
  if (!running) {
    running = start_locked();
    atomic_store_explicit(&service.running, running, memory_order_release);
  }
  tth_lock_release(&service.lock);
  return running;
}
