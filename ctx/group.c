/* group.c: members that end together: tasks on threads of their own, and whatever joins and leaves.
 *
 * Happy path: go counts a task in and starts a detached thread; join counts in what ends elsewhere. A member that is
 * over is counted first, then the rule is applied, which may end the context, and only then does the member leave:
 *
 *   go, join --> running ------------> settling ------------> left
 *                 | result unknown      | result counted;       the last one wakes the waiters
 *                 |                     | the rule's end of     and calls what on_done set
 *                 |                     | the context is under way
 *                 +--- no thread, no memory: as if it had never been there
 *
 * So the first failure is on record before anybody can fail because of it, and wait never returns with the end of
 * the context still to come. What can happen only once, the end by the rule, is claimed under the lock (`ended`) and
 * carried out without it.
 *
 *   open --on_done--> closed --the last has left--> delivering --the callback has returned--> delivered
 *
 * The callback may free the group: the thread that delivers looks at its own stack (`freed`) before it touches the
 * group again. Others that wait or free meanwhile wait for it.
 *
 * A task that leaves by pthread_exit or pthread_cancel passes through a cleanup handler and counts as finished well.
 * Failure modes: no memory or no thread; the slot is given back. In the child of a fork a group does nothing more. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <tether/group.h>

#include "ctx/node.h"

/* One call of on_done's function, on the stack of the thread that makes it. */
struct delivery {
  pthread_t thread;
  uint32_t generation;
  bool freed; /* the function freed the group; that thread's own */
};

struct tether_group {
  tether_ctx *ctx;
  uint32_t generation;

  /* Fixed once there is a member. */
  tether_group_rule_kind rule;
  unsigned long enough;

  tth_lock lock; /* guards everything below */
  tth_cond changed;
  int limit;              /* of tasks; negative: none */
  int tasks;              /* present ones that have threads */
  unsigned long present;  /* what must go before the group is done: members, and on_done itself while it runs */
  unsigned long running;  /* the members whose results are not known */
  unsigned long numbered; /* how many numbers were given out */
  unsigned long succeeded, failed;
  tether_code first_failure;
  tether_cause *last_failure; /* the latest that may yet end the context */
  bool last_expired;          /* and it is that the group's time is over */
  bool ended;                 /* the rule has ended the context, or some thread is about to */
  int waiting;                /* threads in wait */
  bool closed;                /* by on_done, for good */
  struct delivery *delivery;  /* while on_done's function runs */
  void (*on_done)(tether_code code, void *data);
  void *on_done_data;
};

struct job {
  tether_group *group;
  tether_task_fn fn;
  void *data;
  unsigned long number;
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

static bool is_inherited(const tether_group *group) { return group->generation != tth_generation; }

const tether_ctx *tether_group_ctx(const tether_group *group) { return group->ctx; }

tether_code tether_group_set_limit(tether_group *group, int limit) {
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  const bool active = group->tasks > 0;
  if (!active) group->limit = limit;
  tth_lock_release(&group->lock);
  return active ? TETHER_FAILED_PRECONDITION : TETHER_OK;
}

/* ---- The rule -------------------------------------------------------------------------------- */

tether_code tether_group_set_rule(tether_group *group, tether_group_rule_kind kind, int enough) {
  const bool known = kind == TETHER_GROUP_ALL || kind == TETHER_GROUP_ENOUGH || kind == TETHER_GROUP_COLLECT;
  const bool fits = kind == TETHER_GROUP_ENOUGH ? enough >= 1 : enough == 0;
  if (!known || !fits) return TETHER_INVALID_ARGUMENT;
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  const bool untouched = group->present == 0 && group->succeeded == 0 && group->failed == 0 && !group->closed;
  if (untouched) {
    group->rule = kind;
    group->enough = (unsigned long)enough;
  }
  tth_lock_release(&group->lock);
  return untouched ? TETHER_OK : TETHER_FAILED_PRECONDITION;
}

static tether_code result(const tether_group *group) {
  switch (group->rule) {
    case TETHER_GROUP_ENOUGH:
      if (group->succeeded >= group->enough) return TETHER_OK;
      return group->failed > 0 ? group->first_failure : TETHER_FAILED_PRECONDITION;
    case TETHER_GROUP_COLLECT:
      return group->succeeded > 0 ? TETHER_OK : group->first_failure;
    case TETHER_GROUP_ALL:
      break;
  }
  return group->first_failure;
}

static bool has_enough_locked(const tether_group *group) {
  return group->rule == TETHER_GROUP_ENOUGH && group->succeeded >= group->enough;
}

/* Without a failure nothing is hopeless: members may be about to start others. */
static bool is_hopeless_locked(const tether_group *group) {
  if (group->failed == 0) return false;
  if (group->rule == TETHER_GROUP_ALL) return true;
  return group->rule == TETHER_GROUP_ENOUGH && (group->closed || group->waiting > 0) &&
         group->succeeded + group->running < group->enough;
}

/* Ends the context; as its deadline does if `expired`. */
static void end_ctx(tether_group *group, const tether_cause *cause, bool expired) {
  if (!expired) {
    tether_ctx_cancel_cause(group->ctx, cause);
    return;
  }
  tth_scope *scope = group->ctx->scope;
  if (tth_state_done(tth_pull(scope))) return;
  tth_ref(group->ctx); /* a callback may drop the caller's */
  tth_end(scope, tth_state_of_deadline(scope));
  tether_ctx_unref(group->ctx);
}

/* Ends the context if the rule says so by now; drops the lock meanwhile, so the caller must be counted in `present`
 * or own the group. False: a callback of the context forked, this is the child, and the lock is not held. */
static bool apply_rule_locked(tether_group *group) {
  const bool enough = has_enough_locked(group);
  if (group->ended || !(enough || is_hopeless_locked(group))) return true;
  group->ended = true;
  const unsigned long succeeded = group->succeeded, all = succeeded + group->failed + group->running;
  tether_cause *cause = enough ? NULL : tether_cause_ref(group->last_failure);
  const bool expired = !enough && group->last_expired;
  tth_lock_release(&group->lock);
  int cancel_state; /* of the thread: dying in a callback it would stay a member for ever */
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  if (enough) cause = tether_cause_newf(TETHER_CAUSE_ENOUGH, "enough: %lu of %lu members succeeded", succeeded, all);
  end_ctx(group, cause, expired);
  tether_cause_unref(cause);
  (void)pthread_setcancelstate(cancel_state, NULL);
  if (is_inherited(group)) return false;
  tth_lock_acquire(&group->lock);
  return true;
}

/* A member that had the group's deadline, at a peer or in a context of its own, may be quicker to learn that it has
 * passed than the timer is to end the group: it has not failed, the group's time is over. */
static void notice_deadline(const tether_group *group, tether_code code) {
  if (code != TETHER_DEADLINE_EXCEEDED || tether_ctx_remaining_ns(group->ctx) > 0) return;
  if (tether_ctx_err(group->ctx) == TETHER_OK) tth_expire(group->ctx->scope, tether_now_ns());
}

/* What the others get if this failure ends them; NULL if it cannot. Made before it is known whether it will, for it
 * has to be there as soon as the failure counts. */
static tether_cause *failure_cause(const tether_group *group, unsigned long number, tether_code code, const char *what,
                                   bool expired) {
  if (code == TETHER_OK || group->rule == TETHER_GROUP_COLLECT) return NULL;
  notice_deadline(group, code);
  if (tether_ctx_err(group->ctx) != TETHER_OK) return NULL; /* it has ended, and keeps its cause */
  if (expired) return tether_cause_ref(tth_state_cause(tth_state_of_deadline(group->ctx->scope)));
  return tether_cause_newf(TETHER_CAUSE_SIBLING, "%s #%lu failed: %s", what == NULL ? "task" : what, number,
                           tether_code_name(code));
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static unsigned long enter_locked(tether_group *group) {
  ++group->present;
  ++group->running;
  return group->numbered++;
}

/* Tells the code to on_done's function. The group may be gone on return. */
static void deliver(tether_group *group, struct delivery *delivery, tether_code code) {
  void (*on_done)(tether_code, void *) = group->on_done;
  void *data = group->on_done_data;
  int cancel_state;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  tether_ctx_cancel(group->ctx);
  on_done(code, data);
  (void)pthread_setcancelstate(cancel_state, NULL);
  if (delivery->freed || delivery->generation != tth_generation) return;
  tth_lock_acquire(&group->lock);
  group->delivery = NULL;
  tth_cond_wake_all_locked(&group->changed);
  tth_lock_release(&group->lock);
}

/* The last thing a member does: from here on the group may be gone. */
static void leave_and_unlock(tether_group *group) {
  struct delivery delivery = {.thread = pthread_self(), .generation = tth_generation};
  const bool last = --group->present == 0;
  const bool delivers = last && group->closed;
  const tether_code code = result(group);
  if (delivers) group->delivery = &delivery;
  if (last) tth_cond_wake_all_locked(&group->changed);
  tth_lock_release(&group->lock);
  if (delivers) deliver(group, &delivery, code);
}

static void free_slot_locked(tether_group *group) {
  --group->tasks;
  if (group->limit >= 0) tth_cond_wake_all_locked(&group->changed);
}

/* A member is over. */
static void depart(tether_group *group, unsigned long number, tether_code code, const char *what, bool expired,
                   bool is_task) {
  if (is_inherited(group)) return;
  expired = expired && group->ctx->deadline_ns != TETHER_FOREVER;
  tether_cause *cause = failure_cause(group, number, code, what, expired), *replaced = cause;
  tth_lock_acquire(&group->lock);
  if (group->running == 0) {
    fprintf(stderr, "tether: member #%lu left its group without having joined\n", number);
    abort();
  }
  --group->running;
  if (code == TETHER_OK) {
    ++group->succeeded;
  } else {
    if (group->failed++ == 0) group->first_failure = code;
    if (cause != NULL && !group->ended) {
      replaced = group->last_failure;
      group->last_failure = cause;
      group->last_expired = expired;
    }
  }
  if (apply_rule_locked(group)) {
    if (is_task) free_slot_locked(group);
    leave_and_unlock(group);
  }
  tether_cause_unref(replaced);
}

/* A task that was counted in could not be started. */
static void withdraw(tether_group *group) {
  tth_lock_acquire(&group->lock);
  --group->running;
  if (!apply_rule_locked(group)) return;
  free_slot_locked(group);
  leave_and_unlock(group);
}

tether_code tether_group_join(tether_group *group, unsigned long *number) {
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  const bool open = !group->closed;
  if (open) *number = enter_locked(group);
  tth_lock_release(&group->lock);
  return open ? TETHER_OK : TETHER_FAILED_PRECONDITION;
}

void tether_group_leave(tether_group *group, unsigned long number, tether_code code, const char *what) {
  depart(group, number, code, what, false, false);
}

void tether_group_leave_expired(tether_group *group, unsigned long number, const char *what) {
  depart(group, number, TETHER_DEADLINE_EXCEEDED, what, true, false);
}

/* ---- Tasks ----------------------------------------------------------------------------------- */

/* Also the cleanup handler of a task that does not return. */
static void finish(void *data) {
  const struct job job = *(const struct job *)data;
  free(data);
  depart(job.group, job.number, job.result, NULL, false, true);
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
static tether_code start(tether_group *group, tether_task_fn fn, void *data, unsigned long number) {
  struct job *job = malloc(sizeof *job);
  if (job != NULL) {
    *job = (struct job){.group = group, .fn = fn, .data = data, .number = number, .result = TETHER_OK};
    if (start_thread(job)) return TETHER_OK;
    free(job);
  }
  withdraw(group);
  return TETHER_RESOURCE_EXHAUSTED;
}

static bool is_full_locked(const tether_group *group) { return group->limit >= 0 && group->tasks >= group->limit; }

tether_code tether_group_go(tether_group *group, tether_task_fn fn, void *data) {
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  unsigned long number = 0;
  tth_lock_acquire(&group->lock);
  while (is_full_locked(group) && !group->closed) tth_cond_wait(&group->changed, &group->lock);
  const bool open = !group->closed;
  if (open) {
    ++group->tasks;
    number = enter_locked(group);
  }
  tth_lock_release(&group->lock);
  return open ? start(group, fn, data, number) : TETHER_FAILED_PRECONDITION;
}

tether_code tether_group_try_go(tether_group *group, tether_task_fn fn, void *data, bool *started) {
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  unsigned long number = 0;
  tth_lock_acquire(&group->lock);
  const bool open = !group->closed, full = is_full_locked(group);
  if (open && !full) {
    ++group->tasks;
    number = enter_locked(group);
  }
  tth_lock_release(&group->lock);
  if (!open) return TETHER_FAILED_PRECONDITION;
  const tether_code code = full ? TETHER_OK : start(group, fn, data, number);
  if (code == TETHER_OK) *started = !full;
  return code;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

tether_code tether_group_on_done(tether_group *group, void (*fn)(tether_code code, void *data), void *data) {
  if (is_inherited(group)) return TETHER_FAILED_PRECONDITION;
  tth_lock_acquire(&group->lock);
  if (group->closed) {
    tth_lock_release(&group->lock);
    return TETHER_FAILED_PRECONDITION;
  }
  group->closed = true;
  group->on_done = fn;
  group->on_done_data = data;
  ++group->present; /* until here is done with it, the group stays, whoever leaves */
  tth_cond_wake_all_locked(&group->changed);
  if (apply_rule_locked(group)) leave_and_unlock(group);
  return TETHER_OK;
}

/* From inside on_done's function nothing is to be waited for. */
static bool is_busy_locked(const tether_group *group) {
  if (group->present > 0) return true;
  return group->delivery != NULL && !pthread_equal(group->delivery->thread, pthread_self());
}

tether_code tether_group_wait(tether_group *group) {
  if (is_inherited(group)) return result(group);
  tth_lock_acquire(&group->lock);
  ++group->waiting;
  if (!apply_rule_locked(group)) return result(group);
  while (is_busy_locked(group)) tth_cond_wait(&group->changed, &group->lock);
  --group->waiting;
  const tether_code code = result(group);
  tth_lock_release(&group->lock);
  tether_ctx_cancel(group->ctx);
  return code;
}

void tether_group_free(tether_group *group) {
  if (group == NULL) return;
  const tether_code code = tether_group_wait(group);
  (void)code; /* whoever cared has asked */
  if (!is_inherited(group) && group->delivery != NULL) group->delivery->freed = true;
  tether_ctx_free(group->ctx);
  tether_cause_unref(group->last_failure);
  free(group);
}
