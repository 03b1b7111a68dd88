/* wait.c: blocking until a context ends: wait, sleep, and the descriptor for poll.
 *
 * Waiters sleep on one word in the scope; its end sets TTH_WORD_DONE and wakes them. The sleep is bounded by
 * the effective deadline, and a waiter that finds it passed ends the context itself, so waiting is exact
 * even where no timer thread could be started. Under an installed clock there is no time to sleep until:
 * bounds are armed on the wheel like contexts' deadlines, and run_due wakes the word. */
#include <sys/eventfd.h>

#include "ctx/node.h"

/* A sleep until `until_ns` at most on a word that some end counts up. */
struct sleep {
  _Atomic uint32_t *word;
  int64_t until_ns;
  bool is_virtual;
  tth_timer timer;
};

static void sleep_begin(struct sleep *sleep) {
  sleep->is_virtual = tth_clock_is_virtual();
  if (!sleep->is_virtual || sleep->until_ns == TETHER_FOREVER) return;
  sleep->timer = (tth_timer){.word = sleep->word};
  if (tth_timer_arm(&sleep->timer, sleep->until_ns)) tth_timer_kick();
}

static void sleep_end(struct sleep *sleep) {
  if (sleep->is_virtual && sleep->until_ns != TETHER_FOREVER) tth_timer_disarm(&sleep->timer);
}

static void sleep_once(const struct sleep *sleep, uint32_t seen, int64_t until_ns) {
  tth_futex_wait(sleep->word, seen, sleep->is_virtual ? TETHER_FOREVER : until_ns);
}

/* Nothing can end it: only the bound. */
static tether_code wait_bound(int64_t until_ns) {
  _Atomic uint32_t word = 0;
  struct sleep sleep = {.word = &word, .until_ns = until_ns};
  sleep_begin(&sleep);
  for (;;) {
    const uint32_t seen = atomic_load_explicit(&word, memory_order_acquire);
    if (until_ns != TETHER_FOREVER && tether_now_ns() >= until_ns) break;
    sleep_once(&sleep, seen, until_ns);
  }
  sleep_end(&sleep);
  return TETHER_OK;
}

static tether_code wait_scope(tth_scope *scope, int64_t until_ns) {
  const int64_t deadline_ns = scope->head.deadline_ns;
  int64_t first_ns = deadline_ns < until_ns ? deadline_ns : until_ns;
  struct sleep sleep = {.word = &scope->word, .until_ns = until_ns};
  sleep_begin(&sleep);
  uintptr_t state;
  for (;;) {
    uint32_t seen = atomic_load_explicit(&scope->word, memory_order_acquire);
    state = atomic_load_explicit(&scope->state, memory_order_acquire);
    if (tth_state_done(state)) break;
    const int64_t now_ns = first_ns == TETHER_FOREVER ? INT64_MIN : tether_now_ns();
    if (now_ns >= deadline_ns && deadline_ns != TETHER_FOREVER && !sleep.is_virtual) {
      tth_expire(scope, now_ns);
      state = atomic_load_explicit(&scope->state, memory_order_acquire);
      if (tth_state_done(state)) break;
      first_ns = until_ns; /* a merge, about to be told by the thread that ended its second parent */
    }
    if (now_ns >= until_ns && until_ns != TETHER_FOREVER) break;
    if (!(seen & TTH_WORD_WAITERS)) {
      if (!atomic_compare_exchange_strong(&scope->word, &seen, seen | TTH_WORD_WAITERS)) continue;
      seen |= TTH_WORD_WAITERS;
    }
    sleep_once(&sleep, seen, first_ns);
  }
  sleep_end(&sleep);
  return tth_state_code(state);
}

tether_code tether_ctx_wait(const tether_ctx *ctx, int64_t timeout_ns) {
  const uintptr_t state = tth_state(ctx);
  if (tth_state_done(state) || timeout_ns <= 0) return tth_state_code(state);
  const int64_t until_ns = timeout_ns == TETHER_FOREVER ? TETHER_FOREVER : tether_time_add(tether_now_ns(), timeout_ns);
  if (ctx->scope == NULL) return wait_bound(until_ns);
  tth_attach(ctx->scope);
  const tether_code code = tether_ctx_err(ctx);
  return code != TETHER_OK ? code : wait_scope(ctx->scope, until_ns);
}

tether_code tether_ctx_sleep(const tether_ctx *ctx, int64_t duration_ns) { return tether_ctx_wait(ctx, duration_ns); }

tether_code tether_ctx_done_fd(const tether_ctx *ctx, int *fd) {
  if (tth_is_stale(ctx)) return TETHER_FAILED_PRECONDITION;
  tth_scope *scope = ctx->scope;
  if (scope == NULL) {
    *fd = -1;
    return TETHER_OK;
  }
  int made = atomic_load_explicit(&scope->fd, memory_order_acquire);
  if (made < 0) {
    tth_attach(scope);
    tth_lock_acquire(&scope->lock);
    made = atomic_load_explicit(&scope->fd, memory_order_relaxed);
    if (made < 0) {
      const bool done = tth_state_done(atomic_load_explicit(&scope->state, memory_order_relaxed));
      made = eventfd(done ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (made >= 0) atomic_store_explicit(&scope->fd, made, memory_order_release);
    }
    tth_lock_release(&scope->lock);
    if (made < 0) return TETHER_RESOURCE_EXHAUSTED;
  }
  *fd = made;
  return TETHER_OK;
}
