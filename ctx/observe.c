/* observe.c: err, cause and deadlines; the pulling half of a lazy tree.
 *
 * An attached scope's own word is the truth. Any other asks upwards: the nearest ended ancestor decides;
 * else its effective deadline, if that belongs to one of the unattached scopes, may have passed unseen,
 * and whoever notices ends the owner. What is found is adopted into the asker's own word and those in
 * between, so that the answer never changes again. */
#include <limits.h>

#include "ctx/node.h"

bool tth_adopt(tth_scope *scope, uintptr_t state) {
  tether_cause *cause = tether_cause_ref(tth_state_cause(state));
  uintptr_t live = 0;
  if (atomic_compare_exchange_strong_explicit(&scope->state, &live, tth_state_of(cause, state & TTH_DEADLINE),
                                              memory_order_acq_rel, memory_order_acquire))
    return true;
  tether_cause_unref(cause);
  return false;
}

uintptr_t tth_pull(tth_scope *scope) {
  for (;;) {
    uintptr_t state = atomic_load_explicit(&scope->state, memory_order_acquire);
    if (state != 0) return state;
    tth_scope *owner = scope->head.flags & TTH_OWN_DEADLINE ? scope : NULL;
    tth_scope *above = tth_scope_above(scope);
    for (; above != NULL; above = tth_scope_above(above)) {
      state = atomic_load_explicit(&above->state, memory_order_acquire);
      if (state != 0) break;
      /* The nearest own deadline is the earliest: a later one would not have been kept. */
      if (owner == NULL && above->head.flags & TTH_OWN_DEADLINE) owner = above;
    }
    if (tth_state_done(state)) {
      tth_adopt_down(scope);
    } else {
      if (owner == NULL || tether_now_ns() < owner->head.deadline_ns) return 0;
      (void)tth_adopt(owner, tth_state_expired(owner));
    }
  }
}

/* Whose own deadline is the scope's effective one; NULL: there is none. */
static tth_scope *deadline_owner(tth_scope *scope) {
  while (scope != NULL && !(scope->head.flags & TTH_OWN_DEADLINE)) {
    const tether_ctx *above = scope->head.parent;
    if (scope->head.kind == TTH_MERGE && ((tth_merge *)scope)->other->deadline_ns <= above->deadline_ns)
      above = ((tth_merge *)scope)->other;
    scope = above->scope;
  }
  return scope;
}

uintptr_t tth_state_of_deadline(const tth_scope *scope) {
  return tth_state_expired(deadline_owner((tth_scope *)scope));
}

void tth_expire(tth_scope *scope, int64_t now_ns) {
  if (scope == NULL || scope->head.deadline_ns > now_ns) return;
  tth_scope *owner = deadline_owner(scope);
  if (owner != NULL) tth_end_observed(owner, tth_state_expired(owner));
}

/* A context of another process generation has ended, unless it had before. */
static uintptr_t stale_state(const tether_ctx *ctx) {
  const uintptr_t state = ctx->scope == NULL ? 0 : atomic_load_explicit(&ctx->scope->state, memory_order_acquire);
  return tth_state_done(state) ? state & ~(uintptr_t)TTH_ENDING : tth_state_of(&tth_cause_forked, 0);
}

/* Whatever takes more than a look at the scope's own word. */
static __attribute__((noinline)) uintptr_t unusual_state(const tether_ctx *ctx) {
  if (tth_is_stale(ctx)) return stale_state(ctx);
  tth_scope *scope = ctx->scope;
  if (scope == NULL) return 0;
  uintptr_t state = tth_pull(scope);
  if (state & TTH_ENDING) tth_fd_signal(scope);
  if (tth_state_done(state) || scope->head.deadline_ns == TETHER_FOREVER ||
      !atomic_load_explicit(&tth_timer_unserved, memory_order_relaxed))
    return state;
  /* Live, and its deadline may be armed somewhere with no thread to fire it. */
  const int64_t now_ns = tether_now_ns();
  if (now_ns < scope->head.deadline_ns) return state;
  tth_expire(scope, now_ns);
  return tth_pull(scope); /* an unattached one is not told */
}

/* Inlined into the readers, for whom nothing but the usual states is to cost more than the loads. */
static inline uintptr_t state_of(const tether_ctx *ctx) {
  const tth_scope *scope = ctx->scope;
  if (TTH_UNLIKELY(ctx->generation != tth_generation || scope == NULL)) return unusual_state(ctx);
  const uintptr_t state = atomic_load_explicit(&scope->state, memory_order_acquire);
  const bool is_truth = tth_state_done(state) ? !(state & TTH_ENDING)
                        : state == 0          ? scope->head.flags & TTH_ALONE
                                              : !atomic_load_explicit(&tth_timer_unserved, memory_order_relaxed);
  return TTH_LIKELY(is_truth) ? state : unusual_state(ctx);
}

uintptr_t tth_state(const tether_ctx *ctx) { return state_of(ctx); }

tether_code tether_ctx_err(const tether_ctx *ctx) { return tth_state_code(state_of(ctx)); }

const tether_cause *tether_ctx_cause(const tether_ctx *ctx) { return tth_state_cause(tth_state(ctx)); }

int64_t tether_ctx_deadline_ns(const tether_ctx *ctx) { return ctx->deadline_ns; }

int64_t tether_ctx_remaining_ns(const tether_ctx *ctx) {
  if (ctx->deadline_ns == TETHER_FOREVER) return TETHER_FOREVER;
  const int64_t now_ns = tether_now_ns();
  if (ctx->deadline_ns <= now_ns) return 0;
  int64_t left_ns;
  return __builtin_sub_overflow(ctx->deadline_ns, now_ns, &left_ns) ? TETHER_FOREVER : left_ns;
}

int tether_ctx_poll_timeout_ms(const tether_ctx *ctx) {
  if (tether_ctx_err(ctx) != TETHER_OK) return 0;
  const int64_t left_ns = tether_ctx_remaining_ns(ctx);
  if (left_ns == TETHER_FOREVER) return -1;
  const int64_t left_ms = left_ns / TETHER_MS + (left_ns % TETHER_MS != 0);
  return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}
