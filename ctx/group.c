/* group.c: tasks that fail together, each on a thread of its own.
 *
 * Happy path: go counts the task in and starts a detached thread; the last task to leave wakes the waiters.
 * The first failure ends the group's context before its task counts as finished, so wait never returns
 * with that still to come. A task that leaves by pthread_exit or pthread_cancel passes through a cleanup
 * handler and counts as finished well. Failure modes: no memory or no thread; the slot is given back. */
#include <pthread.h>
#include <stdlib.h>
#include <tether/group.h>

#include "ctx/node.h"

struct tether_group {
  tether_ctx *ctx;
  uint32_t generation;

  tth_lock lock; /* guards everything below */
  tth_cond changed;
  int limit; /* negative: none */
  int active;
  unsigned long started;
  tether_code first_failure;
};

struct job {
  tether_group *group;
  tether_task_fn fn;
  void *data;
  unsigned long index;
  tether_code result;
};

tether_code tether_group_new(const tether_ctx *parent, tether_group **group) {
  tth_check_parent(parent, "tether_group_new");
  tether_group *made = calloc(1, sizeof *made);
  if (made == NULL) return TETHER_RESOURCE_EXHAUSTED;
  made->ctx = tether_ctx_with_cancel(parent);
  if (made->ctx == &tth_ctx_nomem.head) {
    free(made);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  made->generation = tth_generation;
  made->limit = -1;
  *group = made;
  return TETHER_OK;
}

const tether_ctx *tether_group_ctx(const tether_group *group) { return group->ctx; }

tether_code tether_group_set_limit(tether_group *group, int limit) {
  if (group->generation != tth_generation) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  const bool active = group->active > 0;
  if (!active) group->limit = limit;
  tth_lock_release(&group->lock);
  return active ? TETHER_FAILED_PRECONDITION : TETHER_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void leave(tether_group *group) {
  tth_lock_acquire(&group->lock);
  --group->active;
  tth_cond_wake_all_locked(&group->changed);
  tth_lock_release(&group->lock);
}

/* Also the cleanup handler of a task that does not return. */
static void finish(void *data) {
  struct job *job = data;
  tether_group *group = job->group;
  if (job->result != TETHER_OK) {
    tth_lock_acquire(&group->lock);
    const bool first = group->first_failure == TETHER_OK;
    if (first) group->first_failure = job->result;
    tth_lock_release(&group->lock);
    if (first) {
      tether_cause *cause =
          tether_cause_newf(TETHER_CAUSE_SIBLING, "task #%lu failed: %s", job->index, tether_code_name(job->result));
      tether_ctx_cancel_cause(group->ctx, cause);
      tether_cause_unref(cause);
    }
  }
  free(job);
  leave(group);
}

static void *run(void *data) {
  struct job *job = data;
  pthread_cleanup_push(finish, job);
  job->result = job->fn(job->group->ctx, job->data);
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL); /* what comes now must come to its end */
  pthread_cleanup_pop(1);
  return NULL;
}

static bool start_thread(struct job *job) {
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes) != 0) return false;
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const bool started = pthread_create(&thread, &attributes, run, job) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

/* Starts a task whose slot is taken. */
static tether_code start(tether_group *group, tether_task_fn fn, void *data, unsigned long index) {
  struct job *job = malloc(sizeof *job);
  if (job != NULL) {
    *job = (struct job){.group = group, .fn = fn, .data = data, .index = index, .result = TETHER_OK};
    if (start_thread(job)) return TETHER_OK;
    free(job);
  }
  leave(group);
  return TETHER_RESOURCE_EXHAUSTED;
}

static bool is_full_locked(const tether_group *group) { return group->limit >= 0 && group->active >= group->limit; }

tether_code tether_group_go(tether_group *group, tether_task_fn fn, void *data) {
  if (group->generation != tth_generation) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  while (is_full_locked(group)) tth_cond_wait(&group->changed, &group->lock);
  ++group->active;
  const unsigned long index = group->started++;
  tth_lock_release(&group->lock);
  return start(group, fn, data, index);
}

tether_code tether_group_try_go(tether_group *group, tether_task_fn fn, void *data, bool *started) {
  if (group->generation != tth_generation) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  const bool full = is_full_locked(group);
  unsigned long index = 0;
  if (!full) {
    ++group->active;
    index = group->started++;
  }
  tth_lock_release(&group->lock);
  const tether_code code = full ? TETHER_OK : start(group, fn, data, index);
  if (code == TETHER_OK) *started = !full;
  return code;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

tether_code tether_group_wait(tether_group *group) {
  if (group->generation == tth_generation) {
    tth_lock_acquire(&group->lock);
    while (group->active > 0) tth_cond_wait(&group->changed, &group->lock);
    tth_lock_release(&group->lock);
    tether_ctx_cancel(group->ctx);
  }
  return group->first_failure;
}

void tether_group_free(tether_group *group) {
  if (group == NULL) return;
  const tether_code first_failure = tether_group_wait(group);
  (void)first_failure; /* whoever cared has asked */
  tether_ctx_free(group->ctx);
  free(group);
}
