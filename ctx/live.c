/* live.c: how many contexts there are, and in a debug build which.
 *
 * The count is spread over cache lines, one per thread as far as they go round, so that contexts made on
 * different cores do not meet there. The list of a debug build is one list under one lock. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctx/node.h"

enum { SHARDS = 64 };

static struct shard { _Alignas(64) _Atomic int64_t count; } shards[SHARDS];

unsigned tth_thread_number(void) {
  static _Atomic unsigned last;
  /* One word of static TLS: no call to find it from the shared library. 0: none yet. */
  static __thread unsigned mine __attribute__((tls_model("initial-exec")));
  if (TTH_UNLIKELY(mine == 0)) mine = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
  return mine;
}

static void count(int64_t change) {
  atomic_fetch_add_explicit(&shards[tth_thread_number() % SHARDS].count, change, memory_order_relaxed);
}

size_t tether_ctx_live_count(void) {
  int64_t sum = 0;
  for (int i = 0; i < SHARDS; ++i) sum += atomic_load_explicit(&shards[i].count, memory_order_relaxed);
  return sum < 0 ? 0 : (size_t)sum; /* another thread may be between two shards */
}

#ifdef TETHER_DEBUG

static tth_lock list_lock;
static tether_ctx *list;

void tth_live_lock(void) { tth_lock_acquire(&list_lock); }

void tth_live_unlock(void) { tth_lock_release(&list_lock); }

void tth_live_add(tether_ctx *ctx) {
  if (ctx->flags & TTH_STATIC) return;
  count(1);
  ctx->made_file = NULL;
  ctx->made_line = 0;
  ctx->live_prev = NULL;
  tth_live_lock();
  ctx->live_next = list;
  if (list != NULL) list->live_prev = ctx;
  list = ctx;
  tth_live_unlock();
}

void tth_live_remove(tether_ctx *ctx) {
  count(-1);
  tth_live_lock();
  *(ctx->live_prev == NULL ? &list : &ctx->live_prev->live_next) = ctx->live_next;
  if (ctx->live_next != NULL) ctx->live_next->live_prev = ctx->live_prev;
  tth_live_unlock();
}

size_t tether_ctx_report_live(int fd) {
  const int64_t now_ns = tether_now_ns(); /* an installed clock is not called under the lock */
  size_t reported = 0;
  int cancel_state;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state); /* dprintf would die with the lock */
  tth_live_lock();
  for (const tether_ctx *ctx = list; ctx != NULL; ctx = ctx->live_next, ++reported) {
    char text[512];
    (void)tth_text_at(ctx, now_ns, text, sizeof text);
    if (ctx->made_file != NULL)
      dprintf(fd, "tether: live context %s made at %s:%d\n", text, ctx->made_file, ctx->made_line);
    else
      dprintf(fd, "tether: live context %s\n", text);
  }
  tth_live_unlock();
  (void)pthread_setcancelstate(cancel_state, NULL);
  return reported;
}

tether_ctx *tether_ctx_made_at(tether_ctx *ctx, const char *file, int line) {
  if (ctx->flags & TTH_STATIC) return ctx;
  tth_live_lock();
  ctx->made_file = file;
  ctx->made_line = line;
  tth_live_unlock();
  return ctx;
}

static void report_at_exit(void) {
  if (tether_ctx_live_count() > 0) (void)tether_ctx_report_live(STDERR_FILENO);
}

void tth_live_init(void) { (void)atexit(report_at_exit); }

#else

void tth_live_lock(void) {}
void tth_live_unlock(void) {}
void tth_live_init(void) {}
void tth_live_add(tether_ctx *ctx) {
  if (!(ctx->flags & TTH_STATIC)) count(1);
}
void tth_live_remove(tether_ctx *ctx) {
  (void)ctx;
  count(-1);
}

size_t tether_ctx_report_live(int fd) {
  (void)fd;
  return 0;
}

tether_ctx *tether_ctx_made_at(tether_ctx *ctx, const char *file, int line) {
  (void)file;
  (void)line;
  return ctx;
}

#endif
