/* fork.c: what a fork does to contexts.
 *
 * The child has one thread, and locks, lists and the wheel as other threads happened to leave them. So it
 * starts anew: its generation counts up, which makes every older context read as ended (observe.c) and
 * never be locked or unlinked, and what is global is made empty. The parent notices nothing. */
#include <pthread.h>

#include "ctx/node.h"

uint32_t tth_generation;

static void before_fork(void) { tth_live_lock(); }

static void in_parent(void) { tth_live_unlock(); }

static void in_child(void) {
  ++tth_generation;
  /* The static contexts belong to no generation, and live on. */
  atomic_store(&tth_ctx_nomem.lock.word, 0);
  atomic_store(&tth_ctx_forked.lock.word, 0);
  tth_attach_after_fork();
  tth_end_after_fork();
  tth_after_after_fork();
  tth_clock_after_fork();
  tth_timer_after_fork();
  tth_service_after_fork();
  tth_signal_after_fork();
  tth_live_unlock();
  tth_origin_init();
}

/* When the library loads, or before, if another library's constructor is quicker. */
__attribute__((constructor)) void tth_load(void) {
  static bool loaded;
  if (loaded) return;
  loaded = true;
  (void)pthread_atfork(before_fork, in_parent, in_child);
  tth_origin_init();
  tth_live_init();
}
