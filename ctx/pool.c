/* pool.c: a bounded pool of worker threads and its queue.
 *
 * One thread is there from the start, so a submitted task always finds somebody. Whenever tasks are queued, a thread
 * is coming, which has been woken or started and has not looked yet, or all there may be are at work:
 *
 *   submit, or taking one of several tasks:   nobody is coming? wake an idle thread, or start one
 *   a thread that has come:                   takes a task, and sees to the next thread if there are more tasks
 *
 * One at a time: waking takes longer than many a task, so those who are awake may well have done everything when the
 * next one comes (measured: with one woken for each of 64 quick tasks at once, ten times the processor time).
 * A thread that cannot be started is done without. All threads block all signals. In the child of a fork the threads
 * are gone: tasks run on the submitter, and close only frees. */
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
  tth_cond work; /* a thread is wanted, or the pool closes */
  tth_cond idle; /* a thread ran out of work, or one is done being started */
  tether_task *first, **end;
  int idle_threads; /* asleep, or woken and not come yet */
  bool coming;      /* one that was woken or started has not looked for a task yet */
  int creating; /* pthread_create calls under way: the one that is coming, and such as have come before it returned */
  int thread_count;
  bool closing;
  pthread_t threads[];
};

typedef enum { NO_HELP, WAKE, START } help_kind;

/* Whether a thread is to come, and how. Whoever asks does it once the lock is free. */
static help_kind call_for_help_locked(tether_pool *pool) {
  if (pool->first == NULL || pool->coming) return NO_HELP;
  const bool can_grow = pool->thread_count + pool->creating < pool->max_threads;
  if (pool->idle_threads == 0 && !can_grow) return NO_HELP;
  pool->coming = true;
  if (pool->idle_threads > 0) {
    tth_cond_call_one_locked(&pool->work);
    return WAKE;
  }
  ++pool->creating;
  return START;
}

static void bring(tether_pool *pool, help_kind help);

static void *work(void *data) {
  tether_pool *pool = data;
  tth_lock_acquire(&pool->lock);
  pool->coming = false;
  for (;;) {
    tether_task *task = pool->first;
    if (task == NULL) {
      if (pool->closing) break;
      ++pool->idle_threads;
      tth_cond_wake_all_locked(&pool->idle);
      tth_cond_wait(&pool->work, &pool->lock);
      --pool->idle_threads;
      pool->coming = false; /* if it was not this one that was woken, it will find less to do */
      continue;
    }
    pool->first = task->next;
    if (pool->first == NULL) pool->end = &pool->first;
    const help_kind help = call_for_help_locked(pool);
    tth_lock_release(&pool->lock);
    bring(pool, help);
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

/* Starts one more thread; the caller has counted it in `creating`. */
static void add_thread(tether_pool *pool) {
  pthread_t thread;
  const bool started = start_thread(pool, &thread);
  tth_lock_acquire(&pool->lock);
  if (started)
    pool->threads[pool->thread_count++] = thread;
  else
    pool->coming = false;
  --pool->creating;
  /* Who has run out of work meanwhile may have been relied on not to sleep. */
  const help_kind instead = !started && pool->idle_threads > 0 ? call_for_help_locked(pool) : NO_HELP;
  tth_cond_wake_all_locked(&pool->idle);
  tth_lock_release(&pool->lock);
  if (instead == WAKE) tth_cond_wake_one(&pool->work);
}

/* Not under the lock, for which a woken thread would have to wait again. */
static void bring(tether_pool *pool, help_kind help) {
  if (help == WAKE) tth_cond_wake_one(&pool->work);
  if (help == START) add_thread(pool);
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
  const help_kind help = call_for_help_locked(pool);
  tth_lock_release(&pool->lock);
  bring(pool, help);
}

tether_code tether_pool_open(int max_threads, tether_pool **pool) {
  if (max_threads < 1) return TETHER_INVALID_ARGUMENT;
  tether_pool *opened = calloc(1, sizeof *opened + (size_t)max_threads * sizeof opened->threads[0]);
  if (opened == NULL) return TETHER_RESOURCE_EXHAUSTED;
  opened->executor.submit = submit;
  opened->generation = tth_generation;
  opened->max_threads = max_threads;
  opened->end = &opened->first;
  opened->coming = true;
  opened->creating = 1;
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
    while (pool->first != NULL || pool->creating > 0 || pool->idle_threads < pool->thread_count)
      tth_cond_wait(&pool->idle, &pool->lock);
    pool->closing = true;
    tth_cond_wake_all_locked(&pool->work);
    tth_lock_release(&pool->lock);
    for (int i = 0; i < pool->thread_count; ++i) (void)pthread_join(pool->threads[i], NULL);
  }
  free(pool);
  (void)pthread_setcancelstate(cancel_state, NULL);
}
