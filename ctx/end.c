/* end.c: cancelling, and telling everything below.
 *
 * Happy path, nobody listening: one compare-and-swap. Otherwise the end walks the attached tree in a loop,
 * holding the locks on the path from the ended scope to the one it is at, so that whoever finds a scope
 * ended and takes its lock knows that all below it has ended too. Each scope visited: disarm its deadline,
 * publish the state, make its descriptor readable, wake its waiters. The way back up is noted in the
 * scopes. When all locks are dropped, first the scopes are ended that merge with an ended one, in the same
 * way, then callbacks run, one at a time. A waiter that ends a context because its deadline has passed leaves
 * the callbacks to who serves deadlines, the service thread or the owner of an installed clock: it may hold locks of
 * its own that they take.
 *
 *        lock(N); mark(N)
 *             |
 *             v        has child: pop it; lock, mark, step down
 *      +--> at cur ---------------------------------------------+
 *      |      | no child left                                   |
 *      |      v                                                 |
 *      |   has callbacks: reference it, put it on `ready`       |
 *      |   unlock, step up to came_from -----+                  |
 *      |      | none: N is done              |                  |
 *      |      v                              |                  |
 *      |  leave the parent's list            |                  |
 *      |  end merges, run callbacks          |                  |
 *      +-------------------------------------+------------------+
 *
 * Nothing can free a scope on the path: N is held by the caller, and whoever frees a child must take its
 * parent's lock first. Failure modes: none; nothing is allocated. */
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tether/clock.h>

#include "ctx/node.h"

void tth_fd_signal(tth_scope *scope) {
  /* Not write(2): that is a cancellation point, and the caller may hold locks. */
  const uint64_t one = 1;
  (void)!syscall(SYS_write, atomic_load_explicit(&scope->fd, memory_order_relaxed), &one, sizeof one);
}

static void mark_locked(tth_scope *scope, uintptr_t state) {
  if (scope->head.flags & TTH_OWN_DEADLINE) tth_timer_disarm(&scope->timer);
  tether_cause *cause = tether_cause_ref(tth_state_cause(state));
  const uintptr_t ended = tth_state_of(cause, (unsigned)(state & TTH_DEADLINE) | TTH_ATTACHED);
  if (atomic_load_explicit(&scope->fd, memory_order_relaxed) >= 0) {
    atomic_store_explicit(&scope->state, ended | TTH_ENDING, memory_order_release);
    tth_fd_signal(scope);
  }
  atomic_store_explicit(&scope->state, ended, memory_order_release);
  if (atomic_fetch_or_explicit(&scope->word, TTH_WORD_DONE, memory_order_release) & TTH_WORD_WAITERS)
    tth_futex_wake(&scope->word, INT_MAX);
}

/* The next child to visit, locked and marked; NULL when none is left. */
static tth_scope *enter_child_locked(tth_scope *scope, uintptr_t state) {
  while (scope->children != NULL) {
    tth_scope *child = scope->children;
    tth_child_unlink_locked(child, TTH_POPPED);
    tth_lock_acquire(&child->lock);
    if (!tth_state_done(atomic_load_explicit(&child->state, memory_order_relaxed))) {
      child->came_from = scope;
      mark_locked(child, state);
      return child;
    }
    tth_lock_release(&child->lock);
  }
  return NULL;
}

static void leave_parent(tth_scope *scope) {
  tth_scope *parent = tth_scope_above(scope);
  if (parent == NULL || atomic_load_explicit(&scope->link, memory_order_relaxed) != TTH_LINKED) return;
  tth_lock_acquire(&parent->lock);
  if (atomic_load_explicit(&scope->link, memory_order_relaxed) == TTH_LINKED)
    tth_child_unlink_locked(scope, TTH_REMOVED);
  tth_lock_release(&parent->lock);
}

void tth_end_tree(tth_scope *scope, uintptr_t state, tth_scope **ready) {
  uintptr_t seen = atomic_load_explicit(&scope->state, memory_order_acquire);
  while (!(seen & TTH_ATTACHED)) {
    if (tth_state_done(seen) || tth_adopt(scope, state)) return;
    seen = atomic_load_explicit(&scope->state, memory_order_acquire);
  }
  tth_lock_acquire(&scope->lock);
  if (tth_state_done(atomic_load_explicit(&scope->state, memory_order_relaxed))) {
    /* Having had the lock, the other end has told everything below. */
    tth_lock_release(&scope->lock);
    return;
  }
  scope->came_from = NULL;
  mark_locked(scope, state);
  for (tth_scope *at = scope; at != NULL;) {
    tth_scope *child = enter_child_locked(at, state);
    if (child != NULL) {
      at = child;
      continue;
    }
    tth_scope *up = at->came_from;
    if (at->after_first != NULL) {
      tth_ref(&at->head); /* not the first: every callback on the list holds one */
      at->came_from = *ready;
      *ready = at;
    }
    tth_lock_release(&at->lock);
    at = up;
  }
  leave_parent(scope);
}

/* Ends the merges that have one of the scopes as their second parent, and what merges with those. Returns all
 * scopes that may have callbacks: no callback may find a context live that has ended with its own. */
static tth_scope *end_merges(tth_scope *ready) {
  tth_scope *told = NULL, **end = &told;
  while (ready != NULL) {
    tth_scope *next = ready;
    ready = next->came_from;
    while (tth_after_end_next_merge(next, &ready)) continue;
    next->came_from = NULL;
    *end = next;
    end = &next->came_from;
  }
  return told;
}

static void run_callbacks(tth_scope *ready) {
  const uint32_t generation = tth_generation;
  while (ready != NULL) {
    tth_scope *next = ready;
    ready = next->came_from;
    while (tth_after_run_next(next)) {
      /* In the child of a fork made by a callback, the other callbacks are the parent's. */
      if (generation != tth_generation) return;
    }
    tether_ctx_unref(&next->head);
  }
}

void tth_end(tth_scope *scope, uintptr_t state) {
  tth_scope *ready = NULL;
  tth_end_tree(scope, state, &ready);
  run_callbacks(end_merges(ready));
}

/* ---- Callbacks left to whoever serves deadlines ---------------------------------------------- */

/* Lists of scopes through came_from, each with the next list behind it. */
static tth_scope *_Atomic left;

void tth_end_after_fork(void) { atomic_store(&left, NULL); }

void tth_end_observed(tth_scope *scope, uintptr_t state) {
  tth_scope *ready = NULL;
  tth_end_tree(scope, state, &ready);
  ready = end_merges(ready);
  if (ready == NULL) return;
  tth_scope *last = ready;
  while (last->came_from != NULL) last = last->came_from;
  tth_scope *top = atomic_load_explicit(&left, memory_order_relaxed);
  do {
    last->came_from = top;
  } while (!atomic_compare_exchange_weak_explicit(&left, &top, ready, memory_order_release, memory_order_relaxed));
  tth_end_tell();
}

bool tth_end_is_owed(void) { return atomic_load_explicit(&left, memory_order_relaxed) != NULL; }

void tth_end_tell(void) {
  tether_clock clock;
  if (tth_clock_installed(&clock)) {
    if (clock.wake_at != NULL) clock.wake_at(clock.data, clock.now_ns(clock.data));
  } else if (tth_service_start()) {
    tth_service_wake();
  } else {
    tth_end_serve();
  }
}

void tth_end_serve(void) { run_callbacks(atomic_exchange_explicit(&left, NULL, memory_order_acquire)); }

void tether_ctx_cancel_cause(tether_ctx *ctx, const tether_cause *cause) {
  if (ctx == NULL || ctx->flags & TTH_STATIC || !tth_can_end(ctx) || tth_is_stale(ctx)) return;
  tth_scope *scope = (tth_scope *)ctx;
  const uintptr_t state = tth_pull(scope); /* an end above, or a deadline that has passed, came first */
  if (tth_state_done(state) && !(state & TTH_ATTACHED)) return;
  tth_ref(ctx); /* a callback may drop the caller's */
  tth_end(scope, tth_state_of(cause == NULL ? &tth_cause_canceled : cause, 0));
  tether_ctx_unref(ctx);
}

void tether_ctx_cancel(tether_ctx *ctx) { tether_ctx_cancel_cause(ctx, NULL); }
