/* The limit above threads that block: as many of them as there are calls in flight, each of which asks one other thread
 * to wake it, and sleeps until that has happened. There is no message, no socket and no other process. */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/harness.h"

/* One thread's wish to be woken. */
struct wish {
  _Atomic uint32_t woken;
  struct wish *next;
};

static struct wish *_Atomic wishes;
static _Atomic uint32_t bell;

static void sleep_on(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

static void *waker(void *data) {
  for (;;) {
    uint32_t rung = atomic_load(&bell);
    struct wish *wish = atomic_exchange(&wishes, NULL);
    if (!wish) sleep_on(&bell, rung);
    while (wish) {
      struct wish *next = wish->next;
      atomic_store(&wish->woken, 1);
      wake(&wish->woken);
      wish = next;
    }
  }
  return data;
}

static void call_once(void *data) {
  struct wish wish = {.next = atomic_load(&wishes)};
  (void)data;
  while (!atomic_compare_exchange_weak(&wishes, &wish.next, &wish)) {
  }
  if (!wish.next) {
    atomic_fetch_add(&bell, 1);
    wake(&bell);
  }
  while (!atomic_load(&wish.woken)) sleep_on(&wish.woken, 0);
}

static void serve(const bench_options *options) {
  (void)options;
  bench_serve_until_told(0);
}

static void measure(const bench_options *options, bench_run *run) {
  pthread_t thread;
  (void)options;
  if (pthread_create(&thread, NULL, waker, NULL) != 0) bench_fail("no thread");
  bench_threads(run, call_once, NULL);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
