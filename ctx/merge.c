/* merge.c: a context with two parents.
 *
 * It is flattened when made, so that every look-up stays a loop along one chain: a cancel node whose first
 * parent is `a`, with the values of `b` that `a` has not in between, borrowed (the node holds a reference
 * to `b`, their owner). The end of `a` is pulled or pushed as usual; the end of `b` is always pushed, by a
 * hook on b's scope that holds no reference and ends the merge before any callback runs and before b's cancel
 * returns; another cancel of `b` at the same moment may return earlier. The effective deadline is the earlier
 * one, and belongs to whichever parent it came from: that parent's timer fires. */
#include "ctx/node.h"

struct borrow {
  const tether_ctx *top; /* NULL: out of memory */
};

static bool borrow_value(void *data, const tether_key *key, const void *value) {
  struct borrow *borrow = data;
  if (tether_ctx_value(borrow->top, key) != NULL) return true;
  tether_ctx *node = tth_value_borrow(borrow->top, key, value);
  tether_ctx_unref(borrow->top); /* held by the new one */
  borrow->top = node;
  return node != NULL;
}

tether_ctx *tether_ctx_merge(const tether_ctx *a, const tether_ctx *b) {
  tth_check_parent(a, "tether_ctx_merge");
  tth_check_parent(b, "tether_ctx_merge");
  if (tth_is_stale(a) || tth_is_stale(b)) return &tth_ctx_forked.head;
  struct borrow borrow = {.top = tether_ctx_ref(a)};
  tether_ctx_values(b, borrow_value, &borrow);
  if (borrow.top == NULL) return &tth_ctx_nomem.head;
  tth_merge *merge = tth_node_new(sizeof *merge, TTH_MERGE, borrow.top);
  tether_ctx_unref(borrow.top);
  if (merge == NULL) return &tth_ctx_nomem.head;
  tth_scope_init(&merge->scope);
  merge->other = tether_ctx_ref(b);
  if (b->deadline_ns < merge->scope.head.deadline_ns) merge->scope.head.deadline_ns = b->deadline_ns;
  merge->hook = (tether_after){.node = NULL};
  tth_live_add(&merge->scope.head);
  /* An end of `a` that is already there goes before one of `b`. */
  if (!tth_state_done(tth_pull(&merge->scope)) && b->scope != NULL && tth_after_hook(b->scope, merge))
    tth_end(&merge->scope, tth_state(b));
  return &merge->scope.head;
}
