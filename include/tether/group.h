/* tether/group.h: a group of concurrent members that end together: after Go's errgroup, with more rules, and for remote
 * calls as well as for tasks on threads. */
#ifndef TETHER_GROUP_H
#define TETHER_GROUP_H

#include <tether/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_group tether_group;

/* A task: returns TETHER_OK or why it failed. It gets the group's context. A task that ends its thread
 * with pthread_exit, or is cancelled by pthread_cancel, counts as finished with TETHER_OK and frees its
 * slot. A task that aborts aborts the process (errgroup E21). */
typedef tether_code (*tether_task_fn)(const tether_ctx *ctx, void *data);

/* A group under `parent`. Tasks run on threads of their own; no limit until one is set.
 * TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_group_new(const tether_ctx *parent, tether_group **group);

/* The derived context: done when the rule says so (cause SIBLING, text "task #<i> failed: <CODE>", counted from 0; or
 * cause ENOUGH, text "enough: <n> of <m> members succeeded"), when `parent` ends, and once nobody is left in a
 * group that is waited for, or that has on_done (cause: tether_cause_canceled). Borrowed. */
TETHER_API const tether_ctx *tether_group_ctx(const tether_group *group);

/* At most `limit` tasks at once; negative: no limit; 0: try_go is always false, go blocks for ever.
 * TETHER_FAILED_PRECONDITION: tasks are running ("modify limit while N tasks are still active"). */
TETHER_API TETHER_MUST_USE tether_code tether_group_set_limit(tether_group *group, int limit);

/* When the group has its answer. */
typedef enum tether_group_rule_kind {
  TETHER_GROUP_ALL = 0, /* every member is wanted: the first failure ends the rest (errgroup's rule) */
  TETHER_GROUP_ENOUGH,  /* `enough` successes end the rest, cause ENOUGH; failures do only when so many have failed that
                           the members still running no longer suffice, and only while somebody waits, or after
                           on_done: until then others may join. The cause names the failure that made it so, or, if it
                           was so already, the last one before the wait or on_done */
  TETHER_GROUP_COLLECT, /* nothing ends the rest but the group's own context: what came in time counts */
} tether_group_rule_kind;

/* Sets the rule; ALL until then. `enough` >= 1 for ENOUGH (1: the first success), else 0.
 * TETHER_INVALID_ARGUMENT: another number or kind. TETHER_FAILED_PRECONDITION: there is or was a member, or on_done
 * was called. */
TETHER_API TETHER_MUST_USE tether_code tether_group_set_rule(tether_group *group, tether_group_rule_kind kind,
                                                             int enough);

/* Members that are not tasks on threads: anything that ends later by itself, such as a remote call (see
 * tether_call_options.group). join counts one in and gives its number, counted together with tasks from 0; every join
 * needs one leave, from any thread, also when the group's context is done. `what` describes the member for the
 * cause that the others get ("call /a.B/C to ipc:///x"); NULL: "task". The limit counts tasks only.
 * Neither waits for anything, and join allocates nothing. leave may end the context and so run its inline callbacks,
 * and may run what on_done set: hold no lock that these take. To leave more often than was joined aborts the process.
 * join fails with TETHER_FAILED_PRECONDITION after on_done, and in the child of a fork, where leave does nothing. */
TETHER_API TETHER_MUST_USE tether_code tether_group_join(tether_group *group, unsigned long *number);
TETHER_API void tether_group_leave(tether_group *group, unsigned long number, tether_code code, const char *what);

/* Leaves as failed with TETHER_DEADLINE_EXCEEDED, for a member that had the group's own deadline and was told a little
 * before it that the time is over, as servers do whose answers have a way to go. If this failure ends the group's
 * context, it ends as by its deadline, and the others do not see a sibling's failure. Without a deadline of the group's
 * context as tether_group_leave. */
TETHER_API void tether_group_leave_expired(tether_group *group, unsigned long number, const char *what);

/* Instead of wait, for those who must not block: closes the group and calls fn(code, data) once, with what wait
 * would return, when the last member has left and the context has ended (at once if none is there): on that member's
 * thread, without locks. The group may be freed from inside. Whoever waits for or frees the group on another thread
 * waits until fn has returned, too. TETHER_FAILED_PRECONDITION: set already, or inherited over fork. */
TETHER_API TETHER_MUST_USE tether_code tether_group_on_done(tether_group *group,
                                                            void (*fn)(tether_code code, void *data), void *data);

/* Starts fn(ctx, data) concurrently; blocks while the limit is reached (also when the context is done,
 * as errgroup does). Starts it also after another task failed; fn can ask the context.
 * TETHER_RESOURCE_EXHAUSTED: no thread or memory; the task did not and will not run.
 * TETHER_FAILED_PRECONDITION: the same, after on_done (also if it comes while go blocks) or in the child of a fork. */
TETHER_API TETHER_MUST_USE tether_code tether_group_go(tether_group *group, tether_task_fn fn, void *data);

/* The same without blocking. *started tells whether it was started; false means that the limit is
 * reached. Errors as tether_group_go. */
TETHER_API TETHER_MUST_USE tether_code tether_group_try_go(tether_group *group, tether_task_fn fn, void *data,
                                                           bool *started);

/* Waits for every member, ends the context, and returns: for ALL the first failure, TETHER_OK if there was none; for
 * ENOUGH TETHER_OK if there were enough successes; for COLLECT TETHER_OK if there was one, or no member at all; else
 * the first failure, or, if there was none, TETHER_FAILED_PRECONDITION: fewer members than ENOUGH wants. A member that
 * fails because the group ended it is never the first.
 * Members may join, and tasks start others, while it waits. Not to be called by a member.
 * Sticky: a later round of go and wait still counts what was before. */
TETHER_API TETHER_MUST_USE tether_code tether_group_wait(tether_group *group);

/* Waits if needed, then releases; nobody else may use the group by then. Takes NULL. */
TETHER_API void tether_group_free(tether_group *group);

#ifdef __cplusplus
}
#endif
#endif
