/* attach.c: registering a scope, and what is above it, so that its end will be pushed.
 *
 * Happy path: the scope above is attached or there is none; one critical section under the parent's lock
 * checks that it is live, links the child, arms its deadline and publishes ATTACHED. A parent that ends at
 * the same moment either sees the child on its list or is seen to have ended.
 *
 * With several unattached levels the chain is attached from the top down, one such chain at a time, so
 * that the way back down can be noted in the scopes themselves: no allocation, no recursion, no failure.
 *
 * When an ancestor has ended meanwhile, everything below stays unattached and adopts that end. */
#include <string.h>

#include "ctx/node.h"

static tth_lock attach_mutex;

void tth_attach_after_fork(void) { atomic_store(&attach_mutex.word, 0); }

void tth_child_link_locked(tth_scope *parent, tth_scope *child) {
  child->sibling_next = parent->children;
  child->sibling_link = &parent->children;
  if (parent->children != NULL) parent->children->sibling_link = &child->sibling_next;
  parent->children = child;
  atomic_store_explicit(&child->link, TTH_LINKED, memory_order_relaxed);
}

void tth_child_unlink_locked(tth_scope *child, enum tth_link why) {
  *child->sibling_link = child->sibling_next;
  if (child->sibling_next != NULL) child->sibling_next->sibling_link = child->sibling_link;
  atomic_store_explicit(&child->link, (uint8_t)why, memory_order_relaxed);
}

/* Attaches a scope whose parent, locked by the caller, is attached and live, or absent. True: kick the
 * timer. */
static bool attach_locked(tth_scope *scope, tth_scope *parent) {
  bool kick = false;
  tth_lock_acquire(&scope->lock);
  uintptr_t live = 0;
  if (atomic_load_explicit(&scope->state, memory_order_relaxed) == 0) {
    const size_t from = offsetof(tth_scope, sibling_next); /* not attach_next, which another thread may be using */
    memset((char *)scope + from, 0, sizeof *scope - from);
    /* A cancel may come in between, without a lock, as long as the scope is not attached. */
    if (atomic_compare_exchange_strong_explicit(&scope->state, &live, TTH_ATTACHED, memory_order_acq_rel,
                                                memory_order_relaxed)) {
      if (parent != NULL) tth_child_link_locked(parent, scope);
      if (scope->head.flags & TTH_OWN_DEADLINE) kick = tth_timer_arm(&scope->timer, scope->head.deadline_ns);
    }
  }
  tth_lock_release(&scope->lock);
  return kick;
}

static bool attach_one(tth_scope *scope, tth_scope *parent) {
  if (parent == NULL) return attach_locked(scope, NULL);
  bool kick = false;
  tth_lock_acquire(&parent->lock);
  if (atomic_load_explicit(&parent->state, memory_order_relaxed) == TTH_ATTACHED) kick = attach_locked(scope, parent);
  tth_lock_release(&parent->lock);
  return kick;
}

static bool is_attached(const tth_scope *scope) {
  return atomic_load_explicit(&scope->state, memory_order_acquire) & TTH_ATTACHED;
}

static bool attach_chain(tth_scope *scope) {
  bool kick = false;
  tth_lock_acquire(&attach_mutex);
  scope->attach_next = NULL;
  tth_scope *top = scope;
  for (tth_scope *above = tth_scope_above(top); above != NULL && !is_attached(above); above = tth_scope_above(top)) {
    above->attach_next = top;
    top = above;
  }
  for (tth_scope *next; top != NULL; top = next) {
    next = top->attach_next;
    if (attach_one(top, tth_scope_above(top))) kick = true;
  }
  tth_lock_release(&attach_mutex);
  return kick;
}

void tth_attach(tth_scope *scope) {
  if (tth_pull(scope) != 0) return;
  tth_scope *parent = tth_scope_above(scope);
  const bool kick = parent == NULL || is_attached(parent) ? attach_one(scope, parent) : attach_chain(scope);
  if (kick) tth_timer_kick();
  (void)tth_pull(scope); /* still unattached only if something above has ended */
}

void tth_detach(tth_scope *scope) {
  tth_scope *parent = tth_scope_above(scope);
  /* One that took itself out after its own end is known to nobody. One that is linked or was taken out by
   * the parent's end may have that end walking through it: its lock says when it has left. */
  if (parent != NULL && atomic_load_explicit(&scope->link, memory_order_relaxed) != TTH_REMOVED) {
    tth_lock_acquire(&parent->lock);
    if (atomic_load_explicit(&scope->link, memory_order_relaxed) == TTH_LINKED)
      tth_child_unlink_locked(scope, TTH_REMOVED);
    tth_lock_release(&parent->lock);
  }
  if (scope->head.flags & TTH_OWN_DEADLINE) tth_timer_disarm(&scope->timer);
}
