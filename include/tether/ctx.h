/* tether/ctx.h: deadlines, cancellation and request-scoped values for C, after Go's `context`.
 *
 *   static tether_code handle(const tether_ctx *parent) {
 *     TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(parent, 200 * TETHER_MS);
 *     while (tether_ctx_err(ctx) == TETHER_OK) { ... work ... }
 *     return tether_ctx_err(ctx);
 *   }
 *
 * The rules:
 *
 *  1. `const tether_ctx *` may observe and derive. `tether_ctx *`, which only the maker of a context
 *     has, may also cancel. Pass contexts on as const: a callee cannot cancel its caller.
 *  2. Whoever derives a context frees it: tether_ctx_free (or TETHER_SCOPED), which also cancels.
 *     A context stays readable for as long as anyone holds it or a context derived from it.
 *  3. Deriving never returns NULL. When memory runs out, or after a fork (rule 7), the result is a
 *     context that is already done and whose cause says why; freeing it is allowed and does nothing.
 *     A NULL parent or key is a programming error: the process aborts with a message.
 *  4. Every function here may be called from any thread at any time, callbacks included, unless it
 *     says otherwise. No callback, copy or free function runs while tether holds a lock.
 *  5. Done is a level. Once tether_ctx_err is not TETHER_OK it stays the same for ever, and every way
 *     of waiting for that context has been released.
 *  6. Nothing is registered until somebody must be told: a context that is only made, polled and
 *     freed takes no lock and arms no timer. The first waiter, done_fd, after_func or merge registers
 *     it, and then its ancestors, with their parents.
 *     What nobody asked about in between is settled when somebody asks: if a deadline and an ancestor's cancel
 *     have both come by then, the cancel counts.
 *  7. After fork, in the child, contexts made before are done: err is TETHER_CANCELLED, waiting returns
 *     at once, cancel does nothing, deriving gives a done context, unref releases memory only. The
 *     parent process is unharmed. Contexts made in the child work.
 *
 * Cost of a look-up: err, value and text walk from the context towards the root in a loop; no function
 * recurses, so depth is bounded by memory alone.
 *
 * Go's foreign parents (a user's own type that implements Context) have no counterpart here. */
#ifndef TETHER_CTX_H
#define TETHER_CTX_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_ctx tether_ctx;

/* ---- Causes -------------------------------------------------------------------------------- */

/* Why a context ended: small, typed, immutable. The text and origin survive every hop of an RPC. */
typedef struct tether_cause tether_cause;

typedef enum tether_cause_code {
  TETHER_CAUSE_NONE = 0,       /* not ended */
  TETHER_CAUSE_CALLER = 1,     /* somebody who holds the context cancelled it */
  TETHER_CAUSE_DEADLINE = 2,   /* its deadline passed */
  TETHER_CAUSE_SIBLING = 3,    /* another member of its group failed */
  TETHER_CAUSE_HEDGE_LOST = 4, /* another attempt answered first */
  TETHER_CAUSE_PEER_LOST = 5,  /* the connection, or the process behind it, is gone */
  TETHER_CAUSE_SHUTDOWN = 6,   /* the server is shutting down */
  TETHER_CAUSE_SHED = 7,       /* dropped by an overloaded server */
  TETHER_CAUSE_OTHER = 8,      /* see the text */
  TETHER_CAUSE_ENOUGH = 9,     /* other members of its group gave all that was wanted */
} tether_cause_code;

/* A new cause. `origin` names where it arose; NULL means this process (tether_origin). `text` is for
 * people; NULL means none. Both are copied, cut at 255 and 1023 bytes. Never NULL: without memory the
 * result is a static cause of the same code without text. Free with tether_cause_unref. */
TETHER_API TETHER_MUST_USE tether_cause *tether_cause_new(tether_cause_code code, const char *origin, const char *text);

/* Like tether_cause_new with a printf-made text and this process as the origin. */
TETHER_API TETHER_MUST_USE tether_cause *tether_cause_newf(tether_cause_code code, const char *format, ...)
    TETHER_PRINTF(2, 3);

/* Shares a cause (NULL gives NULL); each ref needs one unref. unref(NULL) does nothing. */
TETHER_API TETHER_MUST_USE tether_cause *tether_cause_ref(const tether_cause *cause);
TETHER_API void tether_cause_unref(tether_cause *cause);

/* Readers. NULL reads as NONE, "" and "". The strings live as long as the cause; never NULL. */
TETHER_API tether_cause_code tether_cause_get_code(const tether_cause *cause);
TETHER_API const char *tether_cause_origin(const tether_cause *cause);
TETHER_API const char *tether_cause_text(const tether_cause *cause);

/* The code's lower-case name ("peer_lost"); "other" for numbers outside the enum. Static. */
TETHER_API const char *tether_cause_code_name(tether_cause_code code);

/* The two causes every context may end with, single objects compared by identity, as Go's
 * context.Canceled and context.DeadlineExceeded are. Static: ref and unref do nothing. */
TETHER_API const tether_cause *tether_cause_canceled(void);          /* CALLER, "context canceled" */
TETHER_API const tether_cause *tether_cause_deadline_exceeded(void); /* DEADLINE, "context deadline exceeded" */

/* This process's name as a cause's origin and, later, as a hop: "<program>/<pid>" until set. `name` is
 * copied, cut at 63 bytes. Set it before other threads run. */
TETHER_API void tether_origin_set(const char *name);
TETHER_API const char *tether_origin(void);

/* ---- Roots --------------------------------------------------------------------------------- */

/* The empty context: never done, no deadline, no values. Static; ref, unref and free do nothing. */
TETHER_API const tether_ctx *tether_ctx_background(void);

/* The same, for code that does not know yet which context to use. Not equal to background. */
TETHER_API const tether_ctx *tether_ctx_todo(void);

/* ---- Deriving ------------------------------------------------------------------------------ */

/* A context that ends when it is cancelled or when `parent` ends. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_cancel(const tether_ctx *parent);

/* A context that also ends, with TETHER_DEADLINE_EXCEEDED, at `deadline_ns` on tether_now_ns's clock.
 * The effective deadline is never later than the parent's. A deadline that is not in the future gives a
 * context that is done on return. TETHER_FOREVER means none.
 *
 * The `_cause` form ends with `cause` instead of tether_cause_deadline_exceeded() when, and only when,
 * its own deadline is what ended it. It takes its own reference to `cause`; NULL is the plain form. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_deadline(const tether_ctx *parent, int64_t deadline_ns);
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_deadline_cause(const tether_ctx *parent, int64_t deadline_ns,
                                                                      const tether_cause *cause);

/* with_deadline at now + timeout_ns, saturating; zero and less are already expired. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_timeout(const tether_ctx *parent, int64_t timeout_ns);
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_timeout_cause(const tether_ctx *parent, int64_t timeout_ns,
                                                                     const tether_cause *cause);

/* A context with the values of `parent` that does not end when `parent` ends: no deadline, never done. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_without_cancel(const tether_ctx *parent);

/* A context that ends as soon as `a` or `b` does, with that one's err and cause, and at the earlier
 * deadline; values are looked up in `a` first, then in `b`. Registers with `b` at once. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_merge(const tether_ctx *a, const tether_ctx *b);

/* ---- Ending -------------------------------------------------------------------------------- */

/* Ends `ctx` and everything derived from it with TETHER_CANCELLED. On return the whole subtree is done;
 * work running under it is not waited for, but its inline after_func callbacks have run on this thread.
 * Idempotent; does nothing on a context already done, nor on one made by with_value or without_cancel,
 * which has no end of its own; takes NULL. Never allocates, never fails. */
TETHER_API void tether_ctx_cancel(tether_ctx *ctx);

/* The same with a cause, of which it takes its own reference; NULL means tether_cause_canceled(). The
 * first cause wins. */
TETHER_API void tether_ctx_cancel_cause(tether_ctx *ctx, const tether_cause *cause);

/* Readies `ctx` for tether_ctx_request_cancel: starts the service thread and registers the context.
 * TETHER_RESOURCE_EXHAUSTED: no thread could be started. TETHER_FAILED_PRECONDITION: inherited over fork. */
TETHER_API TETHER_MUST_USE tether_code tether_ctx_enable_request_cancel(tether_ctx *ctx);

/* Asks the service thread to cancel `ctx` (cause CALLER, text "cancel requested from a signal handler").
 * Async-signal-safe: atomics and one futex system call, errno saved. The handler's context must have
 * been enabled and must be held by someone until the cancel is seen. */
TETHER_API void tether_ctx_request_cancel(tether_ctx *ctx);

/* ---- Observing ----------------------------------------------------------------------------- */

/* TETHER_OK while live, then TETHER_CANCELLED or TETHER_DEADLINE_EXCEEDED for ever. Nothing else. */
TETHER_API tether_code tether_ctx_err(const tether_ctx *ctx);

/* Why it ended, NULL while live. Borrowed: valid while `ctx` is held. Never NULL once err is not OK. */
TETHER_API const tether_cause *tether_ctx_cause(const tether_ctx *ctx);

/* The effective deadline on tether_now_ns's clock; TETHER_FOREVER if none. Never changes. */
TETHER_API int64_t tether_ctx_deadline_ns(const tether_ctx *ctx);

/* Time left: TETHER_FOREVER if there is no deadline, else deadline - now, never below 0. A cancelled
 * context still tells the time to its deadline. */
TETHER_API int64_t tether_ctx_remaining_ns(const tether_ctx *ctx);

/* The same as a poll(2) timeout: milliseconds rounded up, -1 if none, at most INT_MAX; 0 once done. */
TETHER_API int tether_ctx_poll_timeout_ms(const tether_ctx *ctx);

/* Blocks until `ctx` is done or `timeout_ns` (TETHER_FOREVER: no bound) has passed. Returns
 * tether_ctx_err(ctx): TETHER_OK means that the bound passed first. Never allocates. Waiting on a context
 * that can never end, with no bound, blocks for ever. */
TETHER_API tether_code tether_ctx_wait(const tether_ctx *ctx, int64_t timeout_ns);

/* Sleeps for `duration_ns` unless `ctx` ends first: TETHER_OK after the whole sleep, else err. */
TETHER_API TETHER_MUST_USE tether_code tether_ctx_sleep(const tether_ctx *ctx, int64_t duration_ns);

/* A descriptor that is readable once `ctx` is done, for poll, select and epoll. Never read from it,
 * write to it or close it: it is the context's, the same at every call, and lives as long as the
 * context. *fd is -1, which poll ignores, for a context that can never end.
 * TETHER_RESOURCE_EXHAUSTED: out of descriptors; every other way of waiting still works.
 * TETHER_FAILED_PRECONDITION: inherited over fork. */
TETHER_API TETHER_MUST_USE tether_code tether_ctx_done_fd(const tether_ctx *ctx, int *fd);

/* Writes a text form such as `background.with_cancel.with_value(user)` to buf, always terminated, cut at
 * `size`; returns the length of the whole text, as snprintf does. Values' bytes are never printed, nor
 * the names of secret keys. buf may be NULL if size is 0. The parts are `background`, `todo`, and
 * `.with_cancel`, `.with_deadline(1.5s left)` (timeouts too; a deadline later than the parent's is none),
 * `.with_value(<name>)`, `.with_value(secret)`, `.without_cancel`, `.merge` (after its first parent). */
TETHER_API size_t tether_ctx_text(const tether_ctx *ctx, char *buf, size_t size);

/* ---- Sharing ------------------------------------------------------------------------------- */

/* Shares a context; each ref needs one unref. The last unref removes it from its parent in O(1). A
 * context that was not cancelled is released just the same. ref returns its argument. */
TETHER_API const tether_ctx *tether_ctx_ref(const tether_ctx *ctx);
TETHER_API void tether_ctx_unref(const tether_ctx *ctx);

/* The maker's release: cancels if still live, then unref. Takes NULL. */
TETHER_API void tether_ctx_free(tether_ctx *ctx);

/* TETHER_SCOPED tether_ctx *ctx = ...; frees it at the end of the scope ("defer cancel()"). */
static inline void tether_ctx_freep(tether_ctx **ctx) { tether_ctx_free(*ctx); }
#define TETHER_SCOPED TETHER_CLEANUP(tether_ctx_freep)

/* ---- Values -------------------------------------------------------------------------------- */

/* How far a value travels with outgoing calls. */
typedef enum tether_forward {
  TETHER_FORWARD_LOCAL = 0,   /* never leaves the process */
  TETHER_FORWARD_ONE_HOP = 1, /* goes to the server called, not further */
  TETHER_FORWARD_ALL = 2,     /* goes on over every hop below, within a byte budget */
  TETHER_FORWARD_SECRET = 3,  /* never leaves the process and its name is not printed */
} tether_forward;

/* A key: a static object, compared by identity, so two keys never collide whatever their names are.
 * All functions may be NULL. */
typedef struct tether_key {
  const char *name;                 /* for text forms; for keys that travel, the metadata key */
  void *(*copy)(const void *value); /* with_value keeps copy(value); NULL: keeps the pointer itself.
                                       Returning NULL for a non-NULL value means no memory. */
  void (*free)(void *value);        /* called once, at the last unref, on any thread, no lock held */
  tether_forward forward;
  /* For keys that travel. encode writes at most `size` bytes to buf and returns the full length
   * (snprintf's rule), or 0 to send nothing; decode returns a new value, to be released with `free`,
   * or NULL to refuse the bytes. */
  size_t (*encode)(const void *value, uint8_t *buf, size_t size);
  void *(*decode)(const uint8_t *bytes, size_t len);
} tether_key;

/* A context with one more value. A NULL value hides an outer one. Without `copy` the value must outlive
 * the context, and `free`, if given, makes the context its owner (also when deriving fails). */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_with_value(const tether_ctx *parent, const tether_key *key,
                                                             const void *value);

/* The value of the nearest ancestor that has the key; NULL if none (or key is NULL). Borrowed. */
TETHER_API const void *tether_ctx_value(const tether_ctx *ctx, const tether_key *key);

/* Calls fn for every visible value (nearest first, hidden ones left out) until it returns false. For
 * each it costs a walk over the nearer ones. */
TETHER_API void tether_ctx_values(const tether_ctx *ctx,
                                  bool (*fn)(void *data, const tether_key *key, const void *value), void *data);

/* ---- Callbacks ----------------------------------------------------------------------------- */

typedef struct tether_task tether_task;

/* A unit of work for an executor, in the caller's memory: queueing it cannot fail. */
struct tether_task {
  void (*run)(tether_task *task);
  tether_task *next; /* the executor's while queued */
};

/* Runs tasks somewhere else. submit never blocks, never fails and runs each task exactly once. */
typedef struct tether_executor tether_executor;
struct tether_executor {
  void (*submit)(tether_executor *executor, tether_task *task);
};

/* A registered callback, in the caller's memory; fields are private. The memory must stay valid until a
 * stop function returned true, tether_after_stop_wait returned, or the callback itself runs (which may
 * release it as long as nobody else calls stop on it). */
typedef struct tether_after {
  tether_task task;
  const tether_ctx *node;
  void (*fn)(void *data);
  void *data;
  tether_executor *executor;
  struct tether_after *prev, *next;
  int state;
} tether_after;

/* Calls fn(data) once when `ctx` ends; at once if it has ended. With executor NULL it runs inline: on the
 * thread that cancels (for a deadline, on the timer thread, where it must not block, or, if no thread could
 * be started, on whichever notices; if already done, on this thread before the function returns). Else it is submitted
 * to the executor, and cancel does not wait for it. On a context that can never end, or inherited over fork, fn never
 * runs. Cannot fail, allocates nothing. The registration holds a reference to the context until it is stopped or has
 * run. */
TETHER_API void tether_ctx_after_func(const tether_ctx *ctx, tether_after *after, tether_executor *executor,
                                      void (*fn)(void *data), void *data);

/* true: fn will never run. false: it has started or finished, or was stopped before. Never waits. */
TETHER_API bool tether_after_stop(tether_after *after);

/* Like tether_after_stop, but when it returns fn is not running any more either. Called from inside fn
 * itself it returns false at once. Two callbacks that wait for each other deadlock; never call it
 * holding a lock that fn takes, or from the only thread of the callback's executor. */
TETHER_API bool tether_after_stop_wait(tether_after *after);

/* ---- Finding forgotten contexts ------------------------------------------------------------ */

/* In a library built with TETHER_DEBUG every live context is on a list, with the place that made it if the
 * caller was compiled with TETHER_DEBUG too. At exit those still live are reported on standard error. */

/* How many contexts made by tether_ctx_with_* and friends are alive. Always available. */
TETHER_API size_t tether_ctx_live_count(void);

/* Writes one line per live context to `fd`; returns their number, 0 without TETHER_DEBUG. */
TETHER_API size_t tether_ctx_report_live(int fd);

/* Notes the maker's place; returns ctx. Does nothing without TETHER_DEBUG. */
TETHER_API TETHER_MUST_USE tether_ctx *tether_ctx_made_at(tether_ctx *ctx, const char *file, int line);

#ifdef TETHER_DEBUG
#define tether_ctx_with_cancel(p) tether_ctx_made_at(tether_ctx_with_cancel(p), __FILE__, __LINE__)
#define tether_ctx_with_deadline(p, d) tether_ctx_made_at(tether_ctx_with_deadline(p, d), __FILE__, __LINE__)
#define tether_ctx_with_deadline_cause(p, d, c) \
  tether_ctx_made_at(tether_ctx_with_deadline_cause(p, d, c), __FILE__, __LINE__)
#define tether_ctx_with_timeout(p, t) tether_ctx_made_at(tether_ctx_with_timeout(p, t), __FILE__, __LINE__)
#define tether_ctx_with_timeout_cause(p, t, c) \
  tether_ctx_made_at(tether_ctx_with_timeout_cause(p, t, c), __FILE__, __LINE__)
#define tether_ctx_without_cancel(p) tether_ctx_made_at(tether_ctx_without_cancel(p), __FILE__, __LINE__)
#define tether_ctx_merge(a, b) tether_ctx_made_at(tether_ctx_merge(a, b), __FILE__, __LINE__)
#define tether_ctx_with_value(p, k, v) tether_ctx_made_at(tether_ctx_with_value(p, k, v), __FILE__, __LINE__)
#endif

#ifdef __cplusplus
}
#endif
#endif
