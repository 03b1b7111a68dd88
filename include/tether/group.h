/* tether/group.h: a group of concurrent tasks that fail together, after Go's errgroup. */
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

/* The derived context: done at the first failure (cause SIBLING, text "task #<i> failed: <CODE>", counted from
 * 0), when `parent` ends, or when tether_group_wait returns (cause: tether_cause_canceled). Borrowed. */
TETHER_API const tether_ctx *tether_group_ctx(const tether_group *group);

/* At most `limit` tasks at once; negative: no limit; 0: try_go is always false, go blocks for ever.
 * TETHER_FAILED_PRECONDITION: tasks are running ("modify limit while N tasks are still active"). */
TETHER_API TETHER_MUST_USE tether_code tether_group_set_limit(tether_group *group, int limit);

/* Starts fn(ctx, data) concurrently; blocks while the limit is reached (also when the context is done,
 * as errgroup does). Starts it also after another task failed; fn can ask the context.
 * TETHER_RESOURCE_EXHAUSTED: no thread or memory; the task did not and will not run. */
TETHER_API TETHER_MUST_USE tether_code tether_group_go(tether_group *group, tether_task_fn fn, void *data);

/* The same without blocking. *started tells whether it was started; false means that the limit is
 * reached. Errors as tether_group_go. */
TETHER_API TETHER_MUST_USE tether_code tether_group_try_go(tether_group *group, tether_task_fn fn, void *data,
                                                           bool *started);

/* Waits for every task, ends the context, and returns the first failure, TETHER_OK if there was none.
 * Sticky: a later round of go and wait still returns the first failure. */
TETHER_API TETHER_MUST_USE tether_code tether_group_wait(tether_group *group);

/* Waits if needed, then releases. Takes NULL. */
TETHER_API void tether_group_free(tether_group *group);

#ifdef __cplusplus
}
#endif
#endif
