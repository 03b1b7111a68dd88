/* signal.c: cancelling from a signal handler.
 *
 * The handler pushes the context, referenced, on a stack of atomics and wakes the service thread, which takes
 * the whole stack and cancels. A context is pushed once in its life, so its link is never in use twice. */
#include <errno.h>

#include "ctx/node.h"

static tth_scope *_Atomic requests;

void tth_signal_after_fork(void) { atomic_store(&requests, NULL); }

tether_code tether_ctx_enable_request_cancel(tether_ctx *ctx) {
  if (tth_is_stale(ctx)) return TETHER_FAILED_PRECONDITION;
  if (!tth_service_start()) return TETHER_RESOURCE_EXHAUSTED;
  if (tth_can_end(ctx)) tth_attach(ctx->scope);
  return TETHER_OK;
}

void tether_ctx_request_cancel(tether_ctx *ctx) {
  if (ctx == NULL || ctx->flags & TTH_STATIC || !tth_can_end(ctx) || tth_is_stale(ctx)) return;
  if (atomic_exchange_explicit(&ctx->requested, true, memory_order_relaxed)) return;
  const int saved_errno = errno;
  tth_scope *scope = (tth_scope *)ctx;
  tth_ref(ctx);
  tth_scope *top = atomic_load_explicit(&requests, memory_order_relaxed);
  do {
    scope->request_next = top;
  } while (!atomic_compare_exchange_weak_explicit(&requests, &top, scope, memory_order_release, memory_order_relaxed));
  tth_service_wake();
  errno = saved_errno;
}

void tth_signal_serve(void) {
  tth_scope *scope = atomic_exchange_explicit(&requests, NULL, memory_order_acquire);
  while (scope != NULL) {
    tth_scope *next = scope->request_next;
    tether_ctx_cancel_cause(&scope->head, &tth_cause_requested);
    tether_ctx_unref(&scope->head);
    scope = next;
  }
}
