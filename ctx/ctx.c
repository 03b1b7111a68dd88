/* ctx.c: making, sharing and releasing contexts.
 *
 * Happy path: a derive is one allocation and a reference to the parent; nothing else learns of the new
 * context until somebody must be told of its end (attach.c).
 *
 * Failure modes: without memory the result is a static context that is done, with the cause "out of
 * memory"; below a context inherited over fork one with the cause "inherited across fork". Both may be
 * referenced and freed like any other. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctx/node.h"

static tether_ctx background = {.kind = TTH_BACKGROUND, .flags = TTH_STATIC, .deadline_ns = TETHER_FOREVER};
static tether_ctx todo = {.kind = TTH_TODO, .flags = TTH_STATIC, .deadline_ns = TETHER_FOREVER};

#define DONE_SCOPE(self, cause)                                                                         \
  {                                                                                                     \
    .head = {.kind = TTH_CANCEL, .flags = TTH_STATIC, .scope = &(self), .deadline_ns = TETHER_FOREVER}, \
    .state = (uintptr_t) & (cause), .fd = -1                                                            \
  }
tth_scope tth_ctx_nomem = DONE_SCOPE(tth_ctx_nomem, tth_cause_nomem);
tth_scope tth_ctx_forked = DONE_SCOPE(tth_ctx_forked, tth_cause_forked);

const tether_ctx *tether_ctx_background(void) { return &background; }

const tether_ctx *tether_ctx_todo(void) { return &todo; }

void tth_check_parent(const tether_ctx *parent, const char *function) {
  if (TTH_LIKELY(parent != NULL)) return;
  fprintf(stderr, "tether: cannot create context from NULL parent (%s)\n", function);
  abort();
}

/* ---- Deriving -------------------------------------------------------------------------------- */

void *tth_node_new(size_t size, enum tth_kind kind, const tether_ctx *parent) {
  tether_ctx *ctx = malloc(size);
  if (TTH_UNLIKELY(ctx == NULL)) return NULL;
  tether_ctx *above = (tether_ctx *)(uintptr_t)parent;
  tth_ref(above);
  atomic_init(&ctx->refs, 1);
  ctx->generation = tth_generation;
  ctx->kind = (uint8_t)kind;
  ctx->flags = 0;
  atomic_init(&ctx->requested, false);
  ctx->parent = above;
  ctx->scope = above->scope;
  ctx->deadline_ns = above->deadline_ns;
  return ctx;
}

void tth_node_delete(tether_ctx *ctx) {
  tth_live_remove(ctx);
  free(ctx);
}

void tth_scope_init(tth_scope *scope) {
  scope->head.scope = scope;
  atomic_init(&scope->state, 0);
  atomic_init(&scope->lock.word, 0);
  atomic_init(&scope->fd, -1);
  scope->own_cause = NULL;
}

static inline tether_ctx *derive_scope(const tether_ctx *parent) {
  if (tth_is_stale(parent)) return &tth_ctx_forked.head;
  tth_scope *scope = tth_node_new(sizeof *scope, TTH_CANCEL, parent);
  if (TTH_UNLIKELY(scope == NULL)) return &tth_ctx_nomem.head;
  if (scope->head.scope == NULL) scope->head.flags = TTH_ALONE;
  tth_scope_init(scope);
  return &scope->head;
}

tether_ctx *tether_ctx_with_cancel(const tether_ctx *parent) {
  tth_check_parent(parent, "tether_ctx_with_cancel");
  tether_ctx *ctx = derive_scope(parent);
  tth_live_add(ctx);
  return ctx;
}

/* A deadline no later than the parent's is the context's own; a later one never matters. */
static tether_ctx *derive_deadline(const tether_ctx *parent, int64_t deadline_ns, const tether_cause *cause,
                                   bool is_due) {
  tether_ctx *ctx = derive_scope(parent);
  const bool is_own = !(ctx->flags & TTH_STATIC) && deadline_ns != TETHER_FOREVER && deadline_ns <= ctx->deadline_ns;
  if (is_own) {
    ctx->deadline_ns = deadline_ns;
    ctx->flags = TTH_OWN_DEADLINE;
    ctx->scope->own_cause = tether_cause_ref(cause);
    if (is_due) (void)tth_pull(ctx->scope); /* the parent's end, if there is one, goes before */
  }
  tth_live_add(ctx);
  return ctx;
}

tether_ctx *tether_ctx_with_deadline_cause(const tether_ctx *parent, int64_t deadline_ns, const tether_cause *cause) {
  tth_check_parent(parent, "tether_ctx_with_deadline");
  const bool is_due = deadline_ns != TETHER_FOREVER && deadline_ns <= tether_now_ns();
  return derive_deadline(parent, deadline_ns, cause, is_due);
}

tether_ctx *tether_ctx_with_deadline(const tether_ctx *parent, int64_t deadline_ns) {
  return tether_ctx_with_deadline_cause(parent, deadline_ns, NULL);
}

tether_ctx *tether_ctx_with_timeout_cause(const tether_ctx *parent, int64_t timeout_ns, const tether_cause *cause) {
  tth_check_parent(parent, "tether_ctx_with_timeout");
  return derive_deadline(parent, tether_time_add(tether_now_ns(), timeout_ns), cause, timeout_ns <= 0);
}

tether_ctx *tether_ctx_with_timeout(const tether_ctx *parent, int64_t timeout_ns) {
  return tether_ctx_with_timeout_cause(parent, timeout_ns, NULL);
}

tether_ctx *tether_ctx_without_cancel(const tether_ctx *parent) {
  tth_check_parent(parent, "tether_ctx_without_cancel");
  if (tth_is_stale(parent)) return &tth_ctx_forked.head;
  tether_ctx *ctx = tth_node_new(sizeof *ctx, TTH_WITHOUT_CANCEL, parent);
  if (ctx == NULL) return &tth_ctx_nomem.head;
  ctx->scope = NULL;
  ctx->deadline_ns = TETHER_FOREVER;
  tth_live_add(ctx);
  return ctx;
}

/* ---- Sharing and releasing ------------------------------------------------------------------- */

bool tth_ref_if_alive(tether_ctx *ctx) {
  uint32_t refs = atomic_load_explicit(&ctx->refs, memory_order_relaxed);
  while (refs != 0)
    if (atomic_compare_exchange_weak_explicit(&ctx->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
      return true;
  return false;
}

const tether_ctx *tether_ctx_ref(const tether_ctx *ctx) {
  tth_ref((tether_ctx *)(uintptr_t)ctx);
  return ctx;
}

/* close(2) is a cancellation point, and the rest of a release must still come. */
static void close_uncancelled(int fd) {
  int cancel_state;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  (void)close(fd);
  (void)pthread_setcancelstate(cancel_state, NULL);
}

/* Undoes everything but the parent reference and the memory. In a process that inherited the context the
 * descriptor is the parent process's, and the locks and lists may be in any state: leave them alone. */
static void scope_fini(tth_scope *scope) {
  if (!tth_is_stale(&scope->head)) {
    if (atomic_load_explicit(&scope->state, memory_order_acquire) & TTH_ATTACHED) tth_detach(scope);
    if (scope->head.kind == TTH_MERGE) tth_after_unhook((tth_merge *)scope);
    const int fd = atomic_load_explicit(&scope->fd, memory_order_relaxed);
    if (fd >= 0) close_uncancelled(fd);
  }
  tether_cause_unref(tth_state_cause(atomic_load_explicit(&scope->state, memory_order_acquire)));
  tether_cause_unref(scope->own_cause);
}

/* True: that was the last reference, the caller must release the context. */
static bool drop_ref(tether_ctx *ctx) {
  return !(ctx->flags & TTH_STATIC) && atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) == 1;
}

/* Frees a context without references, and the ancestors that it was the last to hold: a loop, however long
 * the chain. The second parents of merges wait their turn on a list through their dead `scope` fields. */
static void release(tether_ctx *ctx) {
  tth_scope *waiting = NULL;
  while (ctx != NULL) {
    if (tth_can_end(ctx)) scope_fini((tth_scope *)ctx);
    if (ctx->kind == TTH_VALUE) tth_value_release((tth_value *)ctx);
    if (ctx->kind == TTH_MERGE) {
      tether_ctx *other = (tether_ctx *)(uintptr_t)((tth_merge *)ctx)->other;
      if (drop_ref(other)) {
        other->scope = waiting;
        waiting = (tth_scope *)(void *)other;
      }
    }
    tether_ctx *parent = ctx->parent;
    tth_node_delete(ctx);
    ctx = drop_ref(parent) ? parent : NULL;
    if (ctx == NULL && waiting != NULL) {
      ctx = (tether_ctx *)(void *)waiting;
      waiting = ctx->scope;
    }
  }
}

void tether_ctx_unref(const tether_ctx *ctx) {
  tether_ctx *dying = (tether_ctx *)(uintptr_t)ctx;
  if (dying != NULL && drop_ref(dying)) release(dying);
}

void tether_ctx_free(tether_ctx *ctx) {
  if (ctx == NULL || ctx->flags & TTH_STATIC) return;
  if (tth_can_end(ctx)) {
    /* Held by nobody else and known to nobody: no one could ever see that it was cancelled. */
    const bool unseen = atomic_load_explicit(&ctx->refs, memory_order_acquire) == 1 &&
                        !(atomic_load_explicit(&((tth_scope *)ctx)->state, memory_order_relaxed) & TTH_ATTACHED) &&
                        ctx->kind != TTH_MERGE;
    if (unseen) {
      atomic_store_explicit(&ctx->refs, 0, memory_order_relaxed);
      release(ctx);
      return;
    }
    tether_ctx_cancel(ctx);
  }
  if (drop_ref(ctx)) release(ctx);
}
