/* What has threads or waits in the libraries, made to run on the simulator's one thread (linked with --wrap).
 *
 *   a wait on a condition variable   runs one step and returns: a spurious wake-up, after which the waiter looks again
 *   a server's pool of threads       a queue of its process, whose tasks run in later steps
 *   real time, which bounds waits    the simulation's
 *   random numbers                   follow from the seed
 *
 * So a graceful shutdown or close goes on in virtual time while everything else does, nested in the step that began it.
 */
#include <errno.h>
#include <time.h>

#include "tests/sim/world.h"

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int64_t __real_tth_real_now_ns(void);
int64_t __wrap_tth_real_now_ns(void);
tether_code __real_tether_pool_open(int max_threads, tether_pool **pool);
tether_code __wrap_tether_pool_open(int max_threads, tether_pool **pool);
void __real_tether_pool_close(tether_pool *pool);
void __wrap_tether_pool_close(tether_pool *pool);
tether_executor *__real_tether_pool_executor(tether_pool *pool);
tether_executor *__wrap_tether_pool_executor(tether_pool *pool);
void __real_tth_random(void *bytes, size_t len);
void __wrap_tth_random(void *bytes, size_t len);

static bool runs(void) { return sim && sim->running; }

/* ---- Waiting ------------------------------------------------------------------------------- */

static bool step_instead(pthread_mutex_t *mutex, int64_t until_ns) {
  sim_process *process = sim->current;
  pthread_mutex_unlock(mutex);
  bool stepped = sim_step(until_ns);
  sim_enter(process);
  pthread_mutex_lock(mutex);
  return stepped;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
  if (!runs()) return __real_pthread_cond_wait(cond, mutex);
  if (!step_instead(mutex, TETHER_FOREVER)) sim_wrong(NULL, "a wait without a bound, and nothing ever happens");
  return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
  if (!runs()) return __real_pthread_cond_timedwait(cond, mutex, until);
  int64_t until_ns =
      until->tv_sec >= TETHER_FOREVER / TETHER_SEC ? TETHER_FOREVER : until->tv_sec * TETHER_SEC + until->tv_nsec;
  return step_instead(mutex, until_ns) ? 0 : ETIMEDOUT;
}

int64_t __wrap_tth_real_now_ns(void) { return runs() ? sim->now_ns : __real_tth_real_now_ns(); }

/* ---- Pools --------------------------------------------------------------------------------- */

static sim_process *process_of(tether_executor *pool) {
  return (sim_process *)(void *)((char *)pool - offsetof(sim_process, pool));
}

static void run_task(void *data, uint64_t number) {
  sim_process *process = data;
  tether_task *task = process->first_task;
  (void)number;
  if (!task) return;
  process->first_task = task->next;
  if (!process->first_task) process->last_task = &process->first_task;
  sim_enter(process);
  sim->stops = true;
  task->run(task);
}

static void submit(tether_executor *executor, tether_task *task) {
  sim_process *process = process_of(executor);
  task->next = NULL;
  *process->last_task = task;
  process->last_task = &task->next;
  sim_later(sim_may(50) ? 0 : sim_spread(&sim->chance, 1 * TETHER_US, 5 * TETHER_MS), run_task, process, 0);
}

tether_code __wrap_tether_pool_open(int max_threads, tether_pool **pool) {
  if (!runs()) return __real_tether_pool_open(max_threads, pool);
  sim->current->pool.submit = submit;
  sim->current->last_task = &sim->current->first_task;
  *pool = (tether_pool *)(void *)&sim->current->pool;
  return TETHER_OK;
}

void __wrap_tether_pool_close(tether_pool *pool) {
  if (!runs()) {
    __real_tether_pool_close(pool);
    return;
  }
  sim_process *process = process_of((tether_executor *)(void *)pool);
  while (process->first_task) run_task(process, 0);
}

tether_executor *__wrap_tether_pool_executor(tether_pool *pool) {
  return runs() ? (tether_executor *)(void *)pool : __real_tether_pool_executor(pool);
}

/* ---- Chance -------------------------------------------------------------------------------- */

void __wrap_tth_random(void *bytes, size_t len) {
  if (!runs()) {
    __real_tth_random(bytes, len);
    return;
  }
  for (size_t i = 0; i < len; i++) ((uint8_t *)bytes)[i] = (uint8_t)sim_next(&sim->chance);
}
