/* pool.c: a bounded pool of worker threads and its queue.
 *
 * One thread is there from the start, so a submitted task always finds somebody; a task that finds more
 * tasks queued than threads idle starts another, up to the limit, and does without if that fails. All threads
 * block all signals. In the child of a fork the threads are gone: tasks run on the submitter, and close
 * only frees. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <tether/pool.h>

#include "ctx/node.h"

struct tether_pool {
  tether_executor executor;
  uint32_t generation;
  int max_threads;

  tth_lock lock; /* guards everything below */
  tth_cond work; /* a task was queued, or the pool closes */
  tth_cond idle; /* a thread ran out of work, or one is done being started */
  tether_task *first, **end;
  int queued, idle_threads;
  int starting; /* threads on their way that have not looked for a task yet: each will take one */
  int creating; /* pthread_create calls under way */
  int thread_count;
  bool closing;
  pthread_t threads[];
};

static void *work(void *data) {
  tether_pool *pool = data;
  tth_lock_acquire(&pool->lock);
  --pool->starting; /* here, not by the creator: from the first task on it is no help to the others */
  for (;;) {
    tether_task *task = pool->first;
    if (task == NULL) {
      if (pool->closing) break;
      ++pool->idle_threads;
      tth_cond_wake_all_locked(&pool->idle);
      tth_cond_wait(&pool->work, &pool->lock);
      --pool->idle_threads;
      continue;
    }
    pool->first = task->next;
    if (pool->first == NULL) pool->end = &pool->first;
    --pool->queued;
    tth_lock_release(&pool->lock);
    task->run(task);
    tth_lock_acquire(&pool->lock);
  }
  tth_lock_release(&pool->lock);
  return NULL;
}

static bool start_thread(tether_pool *pool, pthread_t *thread) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool started = pthread_create(thread, NULL, work, pool) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

/* Starts one more thread; the caller has counted it in `starting` and `creating`. */
static void add_thread(tether_pool *pool) {
  pthread_t thread;
  const bool started = start_thread(pool, &thread);
  tth_lock_acquire(&pool->lock);
  if (started)
    pool->threads[pool->thread_count++] = thread;
  else
    --pool->starting;
  --pool->creating;
  tth_cond_wake_all_locked(&pool->idle);
  tth_lock_release(&pool->lock);
}

static void submit(tether_executor *executor, tether_task *task) {
  tether_pool *pool = TTH_CONTAINER(executor, tether_pool, executor);
  if (pool->generation != tth_generation) {
    task->run(task);
    return;
  }
  task->next = NULL;
  tth_lock_acquire(&pool->lock);
  *pool->end = task;
  pool->end = &task->next;
  ++pool->queued;
  const bool grow =
      pool->queued > pool->idle_threads + pool->starting && pool->thread_count + pool->creating < pool->max_threads;
  if (grow) {
    ++pool->starting;
    ++pool->creating;
  }
  tth_cond_wake_one_locked(&pool->work);
  tth_lock_release(&pool->lock);
  if (grow) add_thread(pool);
}

tether_code tether_pool_open(int max_threads, tether_pool **pool) {
  if (max_threads < 1) return TETHER_INVALID_ARGUMENT;
  tether_pool *opened = calloc(1, sizeof *opened + (size_t)max_threads * sizeof opened->threads[0]);
  if (opened == NULL) return TETHER_RESOURCE_EXHAUSTED;
  opened->executor.submit = submit;
  opened->generation = tth_generation;
  opened->max_threads = max_threads;
  opened->end = &opened->first;
  opened->starting = opened->creating = 1;
  add_thread(opened);
  if (opened->thread_count == 0) {
    free(opened);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  *pool = opened;
  return TETHER_OK;
}

tether_executor *tether_pool_executor(tether_pool *pool) { return &pool->executor; }

void tether_pool_close(tether_pool *pool) {
  if (pool == NULL) return;
  int cancel_state;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  if (pool->generation == tth_generation) {
    tth_lock_acquire(&pool->lock);
    while (pool->first != NULL || pool->creating > 0 || pool->starting > 0 || pool->idle_threads < pool->thread_count)
      tth_cond_wait(&pool->idle, &pool->lock);
    pool->closing = true;
    tth_cond_wake_all_locked(&pool->work);
    tth_lock_release(&pool->lock);
    for (int i = 0; i < pool->thread_count; ++i) (void)pthread_join(pool->threads[i], NULL);
  }
  free(pool);
  (void)pthread_setcancelstate(cancel_state, NULL);
}
