/* What is registered with a context, counted inside it: no public function tells. For quiet moments only,
 * when no other thread uses the context. */
#ifndef TESTS_SUPPORT_CTX_REGISTRATIONS_H
#define TESTS_SUPPORT_CTX_REGISTRATIONS_H

#include "ctx/node.h"
#include "tests/support/ctx_test.h"

/* Children and callbacks known to the context, and nothing below them. */
static inline int ctx_registrations(const tether_ctx *ctx) {
  const tth_scope *scope = (const tth_scope *)ctx->scope;
  int count = 0;
  if (!scope || !(atomic_load(&((tth_scope *)(uintptr_t)scope)->state) & TTH_ATTACHED)) return 0;
  for (const tth_scope *child = scope->children; child; child = child->sibling_next) count++;
  for (const tether_after *after = scope->after_first; after; after = after->next) count++;
  return count;
}

/* Whether the context is known to its parent. */
static inline bool ctx_is_registered(const tether_ctx *ctx) {
  return ctx->scope && (atomic_load(&ctx->scope->state) & TTH_ATTACHED) != 0;
}

#endif
