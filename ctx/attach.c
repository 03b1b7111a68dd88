/* attach.c: registering a scope, and what is above it, so that its end will be pushed.
 *
 * Happy path: the scope above is attached or there is none; one critical section under the parent's lock
 * checks that it is live, links the child, arms its deadline and publishes ATTACHED. A parent that ends at
 * the same moment either sees the child on its list or is seen to have ended.
 *
 * With several unattached levels the line is attached from the top down, one line at a time in the whole
 * process, so that the way back down can be noted in the scopes themselves: no allocation, no recursion,
 * no failure.
 *
 * When an ancestor has ended meanwhile, everything below stays unattached and adopts that end: top down as
 * well. Were the lowest to adopt first, one in between could still be ended by another cause, and a child
 * would tell another story than its parent. */
#include <string.h>

#include "ctx/node.h"

static tth_lock line_mutex;

void tth_attach_after_fork(void) { atomic_store(&line_mutex.word, 0); }

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

/* The topmost live, unattached scope of those in an unbroken line up from `scope`; attach_next leads back
 * down. */
static tth_scope *line_above_locked(tth_scope *scope) {
  scope->attach_next = NULL;
  tth_scope *top = scope;
  for (tth_scope *above = tth_scope_above(top);
       above != NULL && atomic_load_explicit(&above->state, memory_order_acquire) == 0; above = tth_scope_above(top)) {
    above->attach_next = top;
    top = above;
  }
  return top;
}

static bool attach_line(tth_scope *scope) {
  bool kick = false;
  tth_lock_acquire(&line_mutex);
  for (tth_scope *at = line_above_locked(scope); at != NULL; at = at->attach_next)
    if (attach_one(at, tth_scope_above(at))) kick = true;
  tth_lock_release(&line_mutex);
  return kick;
}

void tth_adopt_down(tth_scope *scope) {
  tth_scope *above = tth_scope_above(scope);
  uintptr_t state = atomic_load_explicit(&above->state, memory_order_acquire);
  if (tth_state_done(state)) {
    (void)tth_adopt(scope, state);
    return;
  }
  tth_lock_acquire(&line_mutex);
  for (tth_scope *at = line_above_locked(scope); at != NULL; at = at->attach_next) {
    above = tth_scope_above(at);
    state = above == NULL ? 0 : atomic_load_explicit(&above->state, memory_order_acquire);
    if (!tth_state_done(state)) break;
    (void)tth_adopt(at, state);
  }
  tth_lock_release(&line_mutex);
}

void tth_attach(tth_scope *scope) {
  if (tth_pull(scope) != 0) return;
  tth_scope *parent = tth_scope_above(scope);
  const bool alone = parent == NULL || atomic_load_explicit(&parent->state, memory_order_acquire) & TTH_ATTACHED;
  const bool kick = alone ? attach_one(scope, parent) : attach_line(scope);
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
