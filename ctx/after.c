/* after.c: callbacks on a context's end.
 *
 * A registration is in the user's memory and, while linked, holds a reference to the scope:
 *
 *      after_func                        end: popped              fn called
 *   ------------> LINKED ------------------------------> STARTED ----------> (memory is the user's again)
 *     |              |            |  executor               ^
 *     |              | stop       +------------> SUBMITTED -+ task run
 *     |              v
 *     |           STOPPED <--- stop --- NEVER (the context can never end)
 *     +---------> STARTED or SUBMITTED, if the context has ended
 *
 * Linking and unlinking need the scope's lock; every change of `state` needs the lock of the bucket that the
 * registration's address hashes to. So stop, which may come when the scope has been freed, first looks at
 * the state under the bucket's lock, and only for LINKED, when a reference exists, touches the scope.
 *
 * Once fn is called the registration may be gone. What is left of it is a record on the runner's stack,
 * linked in the bucket, that says which registration runs on which thread: stop_wait waits for that. */
#include <pthread.h>
#include <string.h>

#include "ctx/node.h"

enum { NEVER, LINKED, SUBMITTED, STARTED, STOPPED };

/* `state` also tells the process generation, since the scope may be gone when that is asked. */
enum { STATE_BITS = 3, STATE_MASK = 7, GENERATION_MASK = 0x0FFFFFFF };

static int make_state(int state) { return (int)(tth_generation & GENERATION_MASK) << STATE_BITS | state; }

static bool is_stale(int state) { return (state & ~STATE_MASK) != make_state(0); }

struct record {
  const tether_after *after;
  pthread_t thread;
  struct record *prev, *next;
};

enum { BUCKETS = 64 };

static struct bucket {
  _Alignas(64) tth_lock lock;
  tth_cond changed;
  struct record *running;
} buckets[BUCKETS];

void tth_after_after_fork(void) { memset(buckets, 0, sizeof buckets); }

static struct bucket *bucket_of(const tether_after *after) {
  return &buckets[((uintptr_t)after * UINT64_C(0x9E3779B97F4A7C15)) >> 58];
}

/* ---- The scope's list: merges, then callbacks in the order registered ------------------------- */

static void merge_hook(void *data) { (void)data; }

static void link_locked(tth_scope *scope, tether_after *after) {
  tether_after *before = after->fn == merge_hook ? NULL : scope->after_last;
  tether_after *behind = before == NULL ? scope->after_first : NULL;
  after->prev = before;
  after->next = behind;
  *(before == NULL ? &scope->after_first : &before->next) = after;
  *(behind == NULL ? &scope->after_last : &behind->prev) = after;
  tth_ref(&scope->head);
}

static void unlink_locked(tth_scope *scope, tether_after *after) {
  *(after->prev == NULL ? &scope->after_first : &after->prev->next) = after->next;
  *(after->next == NULL ? &scope->after_last : &after->next->prev) = after->prev;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void record_running_locked(struct bucket *bucket, struct record *record) {
  record->prev = NULL;
  record->next = bucket->running;
  if (record->next != NULL) record->next->prev = record;
  bucket->running = record;
}

static void record_finished_locked(struct bucket *bucket, struct record *record) {
  *(record->prev == NULL ? &bucket->running : &record->prev->next) = record->next;
  if (record->next != NULL) record->next->prev = record->prev;
  tth_cond_wake_all_locked(&bucket->changed);
}

/* Calls fn. The bucket's lock is held on entry and dropped. */
static void run_locked(struct bucket *bucket, tether_after *after) {
  const uint32_t generation = tth_generation;
  void (*fn)(void *) = after->fn;
  void *data = after->data;
  struct record record = {.after = after, .thread = pthread_self()};
  record_running_locked(bucket, &record);
  after->state = make_state(STARTED);
  tth_cond_wake_all_locked(&bucket->changed); /* for who waits in SUBMITTED */
  tth_lock_release(&bucket->lock);
  int cancel_state; /* a pthread_cancel may not tear the thread out of the middle of an end */
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  fn(data);
  (void)pthread_setcancelstate(cancel_state, NULL);
  if (generation != tth_generation) return; /* fn forked; the child's buckets are new */
  tth_lock_acquire(&bucket->lock);
  record_finished_locked(bucket, &record);
  tth_lock_release(&bucket->lock);
}

static void run_task(tether_task *task) {
  tether_after *after = TTH_CONTAINER(task, tether_after, task);
  struct bucket *bucket = bucket_of(after);
  tth_lock_acquire(&bucket->lock);
  run_locked(bucket, after);
}

/* A popped or never linked registration. Its bucket's lock is held on entry and dropped. */
static void start_locked(struct bucket *bucket, tether_after *after) {
  if (after->executor == NULL) {
    run_locked(bucket, after);
    return;
  }
  tether_executor *executor = after->executor;
  after->state = make_state(SUBMITTED);
  tth_lock_release(&bucket->lock);
  executor->submit(executor, &after->task);
}

bool tth_after_run_next(tth_scope *scope) {
  tth_lock_acquire(&scope->lock);
  tether_after *after = scope->after_first;
  if (after == NULL) {
    tth_lock_release(&scope->lock);
    return false;
  }
  unlink_locked(scope, after);
  struct bucket *bucket = bucket_of(after);
  tth_lock_acquire(&bucket->lock);
  tth_lock_release(&scope->lock);
  start_locked(bucket, after);
  tether_ctx_unref(&scope->head);
  return true;
}

bool tth_after_end_next_merge(tth_scope *scope, tth_scope **ready) {
  tth_lock_acquire(&scope->lock);
  tether_after *after = scope->after_first;
  if (after == NULL || after->fn != merge_hook) {
    tth_lock_release(&scope->lock);
    return false;
  }
  unlink_locked(scope, after);
  struct bucket *bucket = bucket_of(after);
  tth_lock_acquire(&bucket->lock);
  tth_merge *merge = after->data;
  const bool alive = tth_ref_if_alive(&merge->scope.head);
  after->state = make_state(STOPPED); /* a dying merge is freed once it sees this */
  tth_lock_release(&bucket->lock);
  tth_lock_release(&scope->lock);
  if (alive) {
    (void)tth_pull(&merge->scope); /* an end of the first parent that is already there goes before */
    tth_end_tree(&merge->scope, atomic_load_explicit(&scope->state, memory_order_acquire), ready);
    tether_ctx_unref(&merge->scope.head);
  }
  tether_ctx_unref(&scope->head);
  return true;
}

/* ---- Registering ----------------------------------------------------------------------------- */

/* False: the scope has ended. */
static bool link_if_live(tth_scope *scope, tether_after *after) {
  tth_attach(scope);
  tth_lock_acquire(&scope->lock);
  const bool live = !tth_state_done(atomic_load_explicit(&scope->state, memory_order_relaxed));
  if (live) {
    after->state = make_state(LINKED);
    link_locked(scope, after);
  }
  tth_lock_release(&scope->lock);
  return live;
}

void tether_ctx_after_func(const tether_ctx *ctx, tether_after *after, tether_executor *executor,
                           void (*fn)(void *data), void *data) {
  *after = (tether_after){
      .task = {.run = run_task},
      .node = ctx->scope == NULL ? NULL : &ctx->scope->head,
      .fn = fn,
      .data = data,
      .executor = executor,
      .state = make_state(NEVER),
  };
  if (ctx->scope == NULL || tth_is_stale(ctx)) return;
  if (link_if_live(ctx->scope, after)) return;
  struct bucket *bucket = bucket_of(after);
  tth_lock_acquire(&bucket->lock);
  start_locked(bucket, after);
}

bool tth_after_hook(tth_scope *scope, tth_merge *merge) {
  merge->hook = (tether_after){.node = &scope->head, .fn = merge_hook, .data = merge, .state = make_state(STOPPED)};
  return !link_if_live(scope, &merge->hook);
}

/* ---- Stopping -------------------------------------------------------------------------------- */

/* What stop can say without the scope: NULL, and *stopped. Else the scope, referenced. */
static tth_scope *stop_early(struct bucket *bucket, tether_after *after, bool *stopped) {
  tth_scope *scope = NULL;
  tth_lock_acquire(&bucket->lock);
  const int state = after->state & STATE_MASK;
  *stopped = state == NEVER || state == LINKED;
  if (state == LINKED && !is_stale(after->state)) {
    scope = after->node->scope;
    tth_ref(&scope->head); /* alive: the registration holds one, and cannot let go of it now */
  } else if (*stopped) {
    after->state = make_state(STOPPED);
  }
  tth_lock_release(&bucket->lock);
  return scope;
}

bool tether_after_stop(tether_after *after) {
  bool stopped;
  struct bucket *bucket = bucket_of(after);
  tth_scope *scope = stop_early(bucket, after, &stopped);
  if (scope == NULL) return stopped;

  tth_lock_acquire(&scope->lock);
  tth_lock_acquire(&bucket->lock);
  stopped = after->state == make_state(LINKED);
  if (stopped) {
    unlink_locked(scope, after);
    after->state = make_state(STOPPED);
  }
  tth_lock_release(&bucket->lock);
  tth_lock_release(&scope->lock);
  if (stopped) tether_ctx_unref(&scope->head);
  tether_ctx_unref(&scope->head);
  return stopped;
}

static const struct record *find_locked(const struct bucket *bucket, const tether_after *after) {
  const struct record *record = bucket->running;
  while (record != NULL && record->after != after) record = record->next;
  return record;
}

bool tether_after_stop_wait(tether_after *after) {
  if (tether_after_stop(after)) return true;
  struct bucket *bucket = bucket_of(after);
  tth_lock_acquire(&bucket->lock);
  for (;;) {
    const struct record *record = find_locked(bucket, after);
    if (record != NULL ? pthread_equal(record->thread, pthread_self()) : after->state != make_state(SUBMITTED)) break;
    tth_cond_wait(&bucket->changed, &bucket->lock);
  }
  tth_lock_release(&bucket->lock);
  return false;
}

void tth_after_unhook(tth_merge *merge) { (void)tether_after_stop(&merge->hook); }
