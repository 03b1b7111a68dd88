/* The pool: bounded, in order, loses nothing. */
#include <tether/pool.h>

#include "tests/support/ctx_thread.h"

struct job {
  tether_task task;
  struct jobs *jobs;
  int number;
};

struct jobs {
  tether_executor *executor;
  struct ctx_latch released;
  atomic_int begun, now, most, runs, again;
  int order[2000];
};

static void finish_job(struct jobs *jobs, int number) { jobs->order[atomic_fetch_add(&jobs->runs, 1)] = number; }

static void run_job(tether_task *task) {
  struct job *job = (struct job *)task;
  struct jobs *jobs = job->jobs;
  int now = atomic_fetch_add(&jobs->now, 1) + 1, most = atomic_load(&jobs->most);
  while (now > most && !atomic_compare_exchange_weak(&jobs->most, &most, now)) continue;
  sched_yield();
  atomic_fetch_sub(&jobs->now, 1);
  finish_job(jobs, job->number);
}

static void run_gated_job(tether_task *task) {
  struct job *job = (struct job *)task;
  atomic_fetch_add(&job->jobs->begun, 1);
  if (!ctx_latch_wait(&job->jobs->released)) return;
  finish_job(job->jobs, job->number);
}

static void submit(struct jobs *jobs, struct job *job, int number, void (*run)(tether_task *)) {
  *job = (struct job){.task = {.run = run}, .jobs = jobs, .number = number};
  jobs->executor->submit(jobs->executor, &job->task);
}

static tether_pool *pool_of(int threads, struct jobs *jobs) {
  tether_pool *pool = NULL;
  assert_code(tether_pool_open(threads, &pool), TETHER_OK);
  memset(jobs, 0, sizeof *jobs);
  jobs->executor = tether_pool_executor(pool);
  assert_non_null(jobs->executor);
  return pool;
}

static void pool_needs_at_least_one_thread(void **state) {
  tether_pool *pool = NULL;
  (void)state;
  assert_code(tether_pool_open(0, &pool), TETHER_INVALID_ARGUMENT);
  assert_code(tether_pool_open(-1, &pool), TETHER_INVALID_ARGUMENT);
  assert_null(pool);
  tether_pool_close(NULL);
}

static void unused_pool_closes(void **state) {
  static struct jobs jobs;
  (void)state;
  for (int i = 1; i < 50; i++) tether_pool_close(pool_of(i, &jobs));
}

static void one_thread_runs_tasks_in_the_order_submitted(void **state) {
  static struct jobs jobs;
  static struct job all[2000];
  tether_pool *pool = pool_of(1, &jobs);
  (void)state;
  for (int i = 0; i < 2000; i++) submit(&jobs, &all[i], i, run_job);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 2000);
  for (int i = 0; i < 2000; i++) assert_int_equal(jobs.order[i], i);
}

static void never_more_tasks_at_once_than_threads(void **state) {
  static struct jobs jobs;
  static struct job all[2000];
  tether_pool *pool = pool_of(4, &jobs);
  (void)state;
  for (int i = 0; i < 2000; i++) submit(&jobs, &all[i], i, run_job);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 2000);
  assert_true(atomic_load(&jobs.most) <= 4);
}

static void threads_are_added_while_all_are_busy(void **state) {
  static struct jobs jobs;
  struct job all[6];
  tether_pool *pool = pool_of(4, &jobs);
  (void)state;
  for (int i = 0; i < 6; i++) submit(&jobs, &all[i], i, run_gated_job);
  assert_true(ctx_count_wait(&jobs.begun, 4)); /* all four at once, though none has ended */
  assert_int_equal(atomic_load(&jobs.begun), 4);
  ctx_latch_open(&jobs.released);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 6);
}

static void run_again(tether_task *task) {
  struct job *job = (struct job *)task;
  finish_job(job->jobs, job->number);
  if (atomic_fetch_sub(&job->jobs->again, 1) > 0) job->jobs->executor->submit(job->jobs->executor, task);
}

static void close_waits_for_tasks_submitted_by_tasks(void **state) {
  static struct jobs jobs;
  struct job all[3];
  tether_pool *pool = pool_of(2, &jobs);
  (void)state;
  atomic_store(&jobs.again, 1000);
  for (int i = 0; i < 3; i++) submit(&jobs, &all[i], i, run_again);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 1003);
}

struct feeder {
  struct ctx_thread thread;
  struct jobs *jobs;
  struct job all[400];
};

static void feed(void *data) {
  struct feeder *f = data;
  for (int i = 0; i < 400; i++) submit(f->jobs, &f->all[i], i, run_job);
}

static void tasks_may_be_submitted_from_many_threads(void **state) {
  static struct jobs jobs;
  static struct feeder feeders[4];
  tether_pool *pool = pool_of(3, &jobs);
  (void)state;
  for (int i = 0; i < 4; i++) {
    feeders[i].jobs = &jobs;
    ctx_thread_start(&feeders[i].thread, feed, &feeders[i]);
  }
  for (int i = 0; i < 4; i++) ctx_thread_join(&feeders[i].thread);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 1600);
}

static void run_and_release(tether_task *task) {
  struct job *job = (struct job *)task;
  struct jobs *jobs = job->jobs;
  memset(job, 0xee, sizeof *job);
  free(job);
  finish_job(jobs, 0);
}

/* The executor lets go of a task before it runs it. */
static void task_may_free_itself(void **state) {
  static struct jobs jobs;
  tether_pool *pool = pool_of(2, &jobs);
  (void)state;
  for (int i = 0; i < 500; i++) {
    struct job *job = malloc(sizeof *job);
    assert_non_null(job);
    submit(&jobs, job, i, run_and_release);
  }
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&jobs.runs), 500);
}

/* row 96: the executor of after_func */
static void callbacks_run_on_the_pool(void **state) {
  static struct jobs jobs;
  tether_pool *pool = pool_of(2, &jobs);
  struct ctx_call calls[20];
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < 10; i++) ctx_call_after(&calls[i], ctx, jobs.executor);
  tether_ctx_cancel(ctx);
  for (int i = 10; i < 20; i++) ctx_call_after(&calls[i], ctx, jobs.executor);
  tether_ctx_free(ctx);
  tether_pool_close(pool);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(atomic_load(&calls[i].runs), 1);
    assert_int_not_equal(atomic_load(&calls[i].tid), ctx_tid());
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(pool_needs_at_least_one_thread),
      behaviour(unused_pool_closes),
      behaviour(one_thread_runs_tasks_in_the_order_submitted),
      behaviour(never_more_tasks_at_once_than_threads),
      behaviour(threads_are_added_while_all_are_busy),
      behaviour(close_waits_for_tasks_submitted_by_tasks),
      behaviour(tasks_may_be_submitted_from_many_threads),
      behaviour(task_may_free_itself),
      behaviour(callbacks_run_on_the_pool),
  };
  return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
