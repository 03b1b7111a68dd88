/* node.h: what a context is made of. Private to ctx/.
 *
 *   background/todo      static, no state
 *   cancel, merge        a `tth_scope`: can end, has listeners
 *   value                pass-through: the state, deadline and listeners are its scope's
 *   without_cancel       cuts the scope off
 *
 * Every node holds a reference to its parent; `scope` is the nearest node at or above it that can end, NULL
 * if there is none. All observers act on the scope, so value nodes are never registered anywhere.
 *
 * The state of a scope is one word, 0 or
 *
 *   63                                3   2        1          0
 *   +---------------------------------+--------+----------+----------+
 *   | tether_cause * (the node's own  | ENDING | DEADLINE | ATTACHED |
 *   | reference); 0 while live        |        |          |          |
 *   +---------------------------------+--------+----------+----------+
 *
 * so that a single load gives err and cause alike:
 *
 *      live ----------- attach -----------> live, ATTACHED
 *        |                                      |   (under its lock)
 *        | CAS (no lock, nobody listens)        +--- has a done_fd --> ENDING --+
 *        v                                      v                               v
 *      done                                 done, ATTACHED <--- fd is readable -+
 *
 * ATTACHED means that the scope above is attached (or there is none) and knows this one, and that its own
 * deadline is armed: its end will be pushed to it, and its own word is the whole truth. Without it the truth
 * is pulled from above. ENDING covers the moment between the state and the descriptor: whoever reads it
 * makes the descriptor readable itself, so that neither can be seen without the other. */
#ifndef TTH_NODE_H
#define TTH_NODE_H

#include <stdatomic.h>
#include <stddef.h>
#include <tether/ctx.h>

#include "ctx/lock.h"
#include "ctx/timer.h"

/* In a debug build the public header wraps these; here they are defined. */
#undef tether_ctx_with_cancel
#undef tether_ctx_with_deadline
#undef tether_ctx_with_deadline_cause
#undef tether_ctx_with_timeout
#undef tether_ctx_with_timeout_cause
#undef tether_ctx_without_cancel
#undef tether_ctx_merge
#undef tether_ctx_with_value

#define TTH_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define TTH_LIKELY(x) __builtin_expect(!!(x), 1)
#define TTH_UNLIKELY(x) __builtin_expect(!!(x), 0)

enum tth_kind { TTH_BACKGROUND, TTH_TODO, TTH_CANCEL, TTH_MERGE, TTH_VALUE, TTH_WITHOUT_CANCEL };

enum tth_flag {
  TTH_STATIC = 1,       /* not counted, never freed */
  TTH_OWN_DEADLINE = 2, /* the effective deadline is this node's own */
  TTH_BORROWED = 4,     /* a value that a merge borrows from its second parent */
  TTH_ALONE = 8,        /* a scope with nothing above that ends, and no deadline: its own word is the truth */
};

enum {
  TTH_ATTACHED = 1,
  TTH_DEADLINE = 2,
  TTH_ENDING = 4,
  TTH_TAGS = 7,
};

/* The wait word of an attached scope. */
enum { TTH_WORD_WAITERS = 1, TTH_WORD_DONE = 2, TTH_WORD_STEP = 4 };

struct tether_cause {
  _Alignas(8) _Atomic uint32_t refs; /* 0: static, not counted */
  tether_cause_code code;
  const char *origin; /* NULL: this process */
  const char *text;
  char bytes[];
};

struct tether_ctx {
  _Atomic uint32_t refs;
  uint32_t generation; /* of the process that made it, see fork.c */
  uint8_t kind, flags;
  _Atomic bool requested; /* by a signal handler; once */
  struct tether_ctx *parent;
  struct tth_scope *scope;
  int64_t deadline_ns; /* effective */
#ifdef TETHER_DEBUG
  struct tether_ctx *live_prev, *live_next;
  const char *made_file;
  int made_line;
#endif
};

typedef struct tth_value {
  tether_ctx head;
  const tether_key *key;
  void *value;
} tth_value;

enum tth_link { TTH_LINK_NONE, TTH_LINKED, TTH_POPPED, TTH_REMOVED };

typedef struct tth_scope {
  tether_ctx head;
  _Atomic uintptr_t state;
  tth_lock lock;
  _Atomic int fd;                 /* -1 until somebody asks; set under the lock */
  tether_cause *own_cause;        /* what its own deadline ends it with; NULL: the plain one */
  struct tth_scope *attach_next;  /* guarded by the line mutex (attach.c) */
  struct tth_scope *request_next; /* owned by whoever set head.requested */

  /* Everything below is set up by attaching, and meaningless before. */

  /* Guarded by the parent scope's lock. `link` is also read, relaxed, without it. */
  struct tth_scope *sibling_next, **sibling_link;
  _Atomic uint8_t link;

  /* Guarded by this scope's lock. */
  struct tth_scope *children;
  tether_after *after_first, *after_last;
  struct tth_scope *came_from; /* while an end walks through here; then the list of those with callbacks */

  _Atomic uint32_t word; /* waiters sleep here */
  tth_timer timer;
} tth_scope;

typedef struct tth_merge {
  tth_scope scope;
  const tether_ctx *other;
  tether_after hook; /* on `other` */
} tth_merge;

extern uint32_t tth_generation; /* counted up in the child of every fork; written there only */
extern tth_scope tth_ctx_nomem, tth_ctx_forked;
extern tether_cause tth_cause_nomem, tth_cause_forked, tth_cause_requested;
extern tether_cause tth_cause_canceled, tth_cause_deadline;

/* ---- Small readers --------------------------------------------------------------------------- */

static inline bool tth_is_stale(const tether_ctx *ctx) {
  return TTH_UNLIKELY(ctx->generation != tth_generation) && !(ctx->flags & TTH_STATIC);
}

static inline bool tth_can_end(const tether_ctx *ctx) { return ctx->kind == TTH_CANCEL || ctx->kind == TTH_MERGE; }

static inline tth_scope *tth_scope_above(const tth_scope *scope) {
  return scope->head.parent == NULL ? NULL : scope->head.parent->scope;
}

static inline bool tth_state_done(uintptr_t state) { return state > TTH_TAGS; }

static inline tether_cause *tth_state_cause(uintptr_t state) { return (tether_cause *)(state & ~(uintptr_t)TTH_TAGS); }

static inline tether_code tth_state_code(uintptr_t state) {
  if (!tth_state_done(state)) return TETHER_OK;
  return state & TTH_DEADLINE ? TETHER_DEADLINE_EXCEEDED : TETHER_CANCELLED;
}

static inline uintptr_t tth_state_of(const tether_cause *cause, unsigned tags) { return (uintptr_t)cause | tags; }

static inline uintptr_t tth_state_expired(const tth_scope *scope) {
  return tth_state_of(scope->own_cause != NULL ? scope->own_cause : &tth_cause_deadline, TTH_DEADLINE);
}

static inline void tth_ref(tether_ctx *ctx) {
  if (!(ctx->flags & TTH_STATIC)) atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
}

/* False: the last reference is gone and somebody is about to free it. */
bool tth_ref_if_alive(tether_ctx *ctx);

/* ---- observe.c ------------------------------------------------------------------------------- */

/* The state of ctx's scope as a reader may believe it, adopting what has ended above. */
uintptr_t tth_state(const tether_ctx *ctx);

/* The same for a scope: 0 = live and not attached, TTH_ATTACHED = live and attached, else done. */
uintptr_t tth_pull(tth_scope *scope);

/* Gives a live, unattached scope this end. False: it is attached or done. */
bool tth_adopt(tth_scope *scope, uintptr_t state);

/* The state that the scope's effective deadline, which it has, ends it with. */
uintptr_t tth_state_of_deadline(const tth_scope *scope);

/* Ends the owner of the scope's effective deadline if that is due at `now_ns`. */
void tth_expire(tth_scope *scope, int64_t now_ns);

/* ---- attach.c -------------------------------------------------------------------------------- */

/* On return the scope is attached or done. Never allocates, never fails. The caller holds no lock. */
void tth_attach(tth_scope *scope);

/* Something above a live, unattached scope has ended: it and all between adopt that, unless they end
 * otherwise first. */
void tth_adopt_down(tth_scope *scope);

/* Takes a dying attached scope out of its parent's list, and waits for an end that walks through it. */
void tth_detach(tth_scope *scope);

void tth_child_link_locked(tth_scope *parent, tth_scope *child);
void tth_child_unlink_locked(tth_scope *child, enum tth_link why);

/* ---- end.c ----------------------------------------------------------------------------------- */

/* Ends the scope and all below it with `state` unless it has ended, and runs the callbacks. The caller
 * holds a reference, and no lock. */
void tth_end(tth_scope *scope, uintptr_t state);

/* The same for a thread that only observes: callbacks are left to whoever serves deadlines, if there can be one. */
void tth_end_observed(tth_scope *scope, uintptr_t state);

/* Whether callbacks have been left; tells whoever serves deadlines that they have; runs them. */
bool tth_end_is_owed(void);
void tth_end_tell(void);
void tth_end_serve(void);
void tth_end_after_fork(void);

/* Makes the scope's descriptor readable. Any number of times. */
void tth_fd_signal(tth_scope *scope);

/* The half of tth_end without the callbacks: the scopes that have some are put on *ready, referenced. */
void tth_end_tree(tth_scope *scope, uintptr_t state, tth_scope **ready);

/* ---- after.c --------------------------------------------------------------------------------- */

/* Ends the first merge on the scope's list: as tth_end_tree. False: there was none. */
bool tth_after_end_next_merge(tth_scope *scope, tth_scope **ready);

/* Takes the first callback off the scope's list, which has no merge any more, and runs or submits it. False:
 * there was none. */
bool tth_after_run_next(tth_scope *scope);

/* Registers a merge's hook on its second parent's scope. True: that one has ended, nothing registered. */
bool tth_after_hook(tth_scope *scope, tth_merge *merge);
void tth_after_unhook(tth_merge *merge);
void tth_after_after_fork(void);

/* ---- ctx.c ----------------------------------------------------------------------------------- */

/* Aborts the process: a NULL parent. */
void tth_check_parent(const tether_ctx *parent, const char *function);

/* Allocates a node with its header filled in; NULL without memory. The caller fills in the rest and then calls
 * tth_live_add: from then on another thread may print it. */
void *tth_node_new(size_t size, enum tth_kind kind, const tether_ctx *parent);
void tth_scope_init(tth_scope *scope);

/* Frees the memory of a node whose makers gave up on it: no parent reference is dropped. */
void tth_node_delete(tether_ctx *ctx);

/* ---- cause.c, live.c, value.c, text.c, attach.c, fork.c -------------------------------------- */

void tth_load(void);
void tth_origin_init(void);
void tth_attach_after_fork(void);
/* A small number of this thread's own, to spread threads over what they would contend for. */
unsigned tth_thread_number(void);
void tth_live_add(tether_ctx *ctx); /* static contexts are not counted */
void tth_live_remove(tether_ctx *ctx);
void tth_live_init(void);
void tth_live_lock(void);
void tth_live_unlock(void);
void tth_value_release(tth_value *node);
const tth_value *tth_value_find(const tether_ctx *ctx, const tether_key *key);
tether_ctx *tth_value_borrow(const tether_ctx *parent, const tether_key *key, const void *value);
size_t tth_text_at(const tether_ctx *ctx, int64_t now_ns, char *buf, size_t size);

#endif
