/* tether/pool.h: a bounded pool of worker threads; an executor for after_func, groups and servers. */
#ifndef TETHER_POOL_H
#define TETHER_POOL_H

#include <tether/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_pool tether_pool;

/* A pool of at most `max_threads` (>= 1) threads. One thread is started now, so that a submitted task
 * always has somebody to run it; the others start when a task finds all busy.
 * TETHER_INVALID_ARGUMENT: max_threads < 1. TETHER_RESOURCE_EXHAUSTED: no memory or no thread. */
TETHER_API TETHER_MUST_USE tether_code tether_pool_open(int max_threads, tether_pool **pool);

/* The pool as an executor. Tasks run in the order submitted. Borrowed: valid until close. In the child of a
 * fork the threads are gone: a task submitted there runs at once, on its submitter. */
TETHER_API tether_executor *tether_pool_executor(tether_pool *pool);

/* Waits for every submitted task (those submitted by running tasks included), then ends the threads.
 * Not from one of its own tasks. Takes NULL. */
TETHER_API void tether_pool_close(tether_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
