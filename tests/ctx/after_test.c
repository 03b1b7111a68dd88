/* after_func: runs once, after the end, where it was told to. Stopping is in after_stop_test.c. */
#include <sys/socket.h>

#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

/* An executor that queues until the test runs the tasks: "somewhere else" without a thread. */
struct queue {
  tether_executor executor;
  tether_task *first, **last;
  int submitted;
};

static void queue_submit(tether_executor *executor, tether_task *task) {
  struct queue *q = (struct queue *)executor;
  task->next = NULL;
  *q->last = task;
  q->last = &task->next;
  q->submitted++;
}

static void queue_open(struct queue *q) {
  *q = (struct queue){.executor = {queue_submit}};
  q->last = &q->first;
}

static void queue_run(struct queue *q) {
  while (q->first) {
    tether_task *task = q->first;
    q->first = task->next;
    if (!q->first) q->last = &q->first;
    task->run(task);
  }
}

/* rows 93, 94 */
static void callback_runs_after_the_cancel_and_not_before(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call call = {.runs = 0};
  (void)state;
  ctx_call_after(&call, ctx, NULL);
  assert_live_throughout(ctx);
  assert_int_equal(atomic_load(&call.runs), 0);
  tether_ctx_cancel(ctx);
  assert_int_equal(atomic_load(&call.runs), 1);
  assert_int_equal(atomic_load(&call.tid), ctx_tid()); /* inline: on the thread that cancels */
  assert_false(tether_after_stop(&call.after));
  tether_ctx_free(ctx);
}

/* row 95 */
static void callback_runs_after_the_expiry(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  struct ctx_call call = {.runs = 0};
  (void)state;
  ctx_call_after(&call, ctx, NULL);
  ctx_sim_advance(TETHER_MS - 1);
  assert_int_equal(atomic_load(&call.runs), 0);
  ctx_sim_advance(1);
  assert_int_equal(atomic_load(&call.runs), 1);
  assert_expired(ctx, tether_cause_deadline_exceeded());
  tether_ctx_free(ctx);
}

/* row 95: in real time, on the timer's thread, and never on one that waits: it may hold a lock that the callback
 * takes. Where the context expires before it is registered, the next one is given longer. */
static void callback_of_a_deadline_runs_on_the_timer_thread(void **state) {
  for (int waiting = 0; waiting < 2; waiting++) {
    bool was_live = false;
    for (int64_t timeout_ns = TETHER_MS; !was_live; timeout_ns *= 4) {
      tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns);
      struct ctx_call call = {.runs = 0};
      (void)state;
      assert_true(timeout_ns < CTX_TEST_BOUND_NS);
      ctx_call_after(&call, ctx, NULL);
      was_live = atomic_load(&call.tid) != ctx_tid();
      if (waiting) assert_code(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
      assert_true(ctx_count_wait(&call.runs, 1));
      if (was_live) assert_int_not_equal(atomic_load(&call.tid), ctx_tid());
      assert_expired(ctx, tether_cause_deadline_exceeded());
      assert_false(tether_after_stop_wait(&call.after));
      tether_ctx_free(ctx);
    }
  }
}

/* row 96: inline, so on this thread before after_func returns */
static void callback_of_an_ended_context_runs_at_once(void **state) {
  tether_ctx *cancelled = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), 0);
  tether_ctx *ended[2] = {cancelled, expired};
  tether_ctx_cancel(cancelled);
  for (int i = 0; i < 2; i++) {
    struct ctx_call call = {.runs = 0};
    tell(state, ended[i]);
    ctx_call_after(&call, ended[i], NULL);
    assert_int_equal(atomic_load(&call.runs), 1);
    assert_int_equal(atomic_load(&call.tid), ctx_tid());
    assert_false(tether_after_stop(&call.after));
    assert_false(tether_after_stop_wait(&call.after));
    tether_ctx_free(ended[i]);
  }
}

/* row 96: with an executor, elsewhere */
static void callback_of_an_ended_context_is_submitted_at_once(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call call = {.runs = 0};
  struct queue q;
  queue_open(&q);
  tell(state, ctx);
  tether_ctx_cancel(ctx);
  ctx_call_after(&call, ctx, &q.executor);
  assert_int_equal(q.submitted, 1);
  assert_int_equal(atomic_load(&call.runs), 0);
  queue_run(&q);
  assert_int_equal(atomic_load(&call.runs), 1);
  tether_ctx_free(ctx);
}

/* row 98 */
static void cancel_does_not_wait_for_a_callback_on_an_executor(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call calls[3];
  struct queue q;
  (void)state;
  queue_open(&q);
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < 3; i++) ctx_call_after(&calls[i], ctx, &q.executor);
  assert_int_equal(q.submitted, 0);
  tether_ctx_cancel(ctx); /* returns though nothing has run */
  assert_int_equal(q.submitted, 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(atomic_load(&calls[i].runs), 0);
    assert_false(tether_after_stop(&calls[i].after)); /* too late to stop it */
  }
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx); /* the tasks do not need the context any more, or keep it themselves */
  queue_run(&q);
  for (int i = 0; i < 3; i++) assert_int_equal(atomic_load(&calls[i].runs), 1);
}

/* row 99 */
static void callbacks_of_one_context_are_independent(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call calls[10];
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < 10; i++) ctx_call_after(&calls[i], ctx, NULL);
  for (int i = 0; i < 10; i += 3) assert_true(tether_after_stop(&calls[i].after));
  tether_ctx_cancel(ctx);
  for (int i = 0; i < 10; i++) assert_int_equal(atomic_load(&calls[i].runs), i % 3 == 0 ? 0 : 1);
  tether_ctx_free(ctx);
}

/* row 100: whatever ends it, and however often */
static void callback_runs_at_most_once(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_timeout(parent, TETHER_SEC);
  struct ctx_call call = {.runs = 0};
  (void)state;
  ctx_call_after(&call, ctx, NULL);
  tether_ctx_cancel(ctx);
  tether_ctx_cancel(ctx);
  tether_ctx_cancel(parent);
  ctx_sim_advance(TETHER_SEC);
  tether_ctx_free(ctx);
  tether_ctx_free(parent);
  assert_int_equal(atomic_load(&call.runs), 1);
}

/* row 102 */
static void callback_never_runs_on_a_context_that_cannot_end(void **state) {
  tether_ctx *source = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *without = tether_ctx_without_cancel(source);
  tether_ctx *value = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  const tether_ctx *endless[] = {tether_ctx_background(), tether_ctx_todo(), without, value};
  struct ctx_call calls[4];
  (void)state;
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < 4; i++) ctx_call_after(&calls[i], endless[i], NULL);
  tether_ctx_cancel(source);
  for (int i = 0; i < 4; i++) {
    assert_true(tether_after_stop(&calls[i].after));
    assert_false(tether_after_stop(&calls[i].after));
    assert_false(tether_after_stop_wait(&calls[i].after));
    assert_int_equal(atomic_load(&calls[i].runs), 0);
  }
  tether_ctx_free(value);
  tether_ctx_free(without);
  tether_ctx_free(source);
}

/* row 94: the end of an ancestor, of a merge's second parent and of the maker are ends like any other */
static void callback_runs_whatever_ended_the_context(void **state) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *value = tether_ctx_with_value(root, ctx_key_user(), "ada");
  tether_ctx *child = tether_ctx_with_cancel(value);
  tether_ctx *merged = tether_ctx_merge(tether_ctx_background(), child);
  tether_ctx *freed = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call calls[4];
  (void)state;
  memset(calls, 0, sizeof calls);
  ctx_call_after(&calls[0], value, NULL);
  ctx_call_after(&calls[1], child, NULL);
  ctx_call_after(&calls[2], merged, NULL);
  ctx_call_after(&calls[3], freed, NULL);
  tether_ctx_free(freed);
  assert_int_equal(atomic_load(&calls[3].runs), 1);
  tether_ctx_cancel(root);
  for (int i = 0; i < 3; i++) assert_int_equal(atomic_load(&calls[i].runs), 1);
  tether_ctx_free(merged);
  tether_ctx_free(child);
  tether_ctx_free(value);
  tether_ctx_free(root);
}

/* ---- Callbacks that use contexts ----------------------------------------------------------- */

struct nested {
  tether_after after, inner_after;
  tether_ctx *parent, *ctx, *derived;
  struct ctx_call inner;
  tether_code err, parent_err, derived_err;
};

static void use_everything(void *data) {
  struct nested *n = data;
  int fd;
  n->err = tether_ctx_wait(n->ctx, TETHER_FOREVER);
  n->parent_err = tether_ctx_err(n->parent);
  n->derived = tether_ctx_with_timeout(n->ctx, CTX_TEST_HOUR);
  n->derived_err = tether_ctx_done_fd(n->derived, &fd) == TETHER_OK ? tether_ctx_err(n->derived) : TETHER_UNKNOWN;
  ctx_call_after(&n->inner, n->ctx, NULL); /* ended: runs inside */
  tether_ctx_cancel(n->parent);
  tether_ctx_cancel(n->ctx);
  tether_ctx_free(n->derived);
  tether_ctx_free(n->ctx);
}

/* row 126: no lock is held, so every function may be called from inside */
static void callback_may_call_everything(void **state) {
  for (int which = 0; which < 2; which++) {
    struct nested n = {.err = TETHER_UNKNOWN};
    n.parent = tether_ctx_with_cancel(tether_ctx_background());
    n.ctx = tether_ctx_with_cancel(n.parent);
    tell(state, n.parent);
    tether_ctx_after_func(n.ctx, &n.after, NULL, use_everything, &n);
    tether_ctx_cancel(which ? n.parent : n.ctx);
    assert_code(n.err, TETHER_CANCELLED);
    assert_code(n.parent_err, which ? TETHER_CANCELLED : TETHER_OK);
    assert_code(n.derived_err, TETHER_CANCELLED);
    assert_int_equal(atomic_load(&n.inner.runs), 1);
    assert_cancelled(n.parent, tether_cause_canceled());
    tether_ctx_free(n.parent);
  }
}

static void free_itself(void *data) {
  struct ctx_call *call = data;
  memset(call, 0xee, sizeof *call); /* whoever still reads it finds rubbish, or ASan's wrath */
  free(call);
}

/* row 94: the callback may release its own registration */
static void callback_may_free_its_registration(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct queue q;
  (void)state;
  queue_open(&q);
  for (int i = 0; i < 20; i++) {
    struct ctx_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    tether_ctx_after_func(ctx, &call->after, i % 2 ? &q.executor : NULL, free_itself, call);
  }
  tether_ctx_cancel(ctx);
  queue_run(&q);
  for (int i = 0; i < 2; i++) { /* and on a context already ended */
    struct ctx_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    tether_ctx_after_func(ctx, &call->after, i ? &q.executor : NULL, free_itself, call);
  }
  queue_run(&q);
  tether_ctx_free(ctx);
}

/* ---- Go's examples --------------------------------------------------------------------------- */

struct condition {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
};

struct cond_waiter {
  struct ctx_thread thread;
  struct condition *condition;
  tether_code result;
};

static void broadcast(void *data) {
  struct condition *c = data;
  pthread_mutex_lock(&c->mutex);
  pthread_cond_broadcast(&c->cond);
  pthread_mutex_unlock(&c->mutex);
}

static void wait_for_condition(void *data) {
  struct cond_waiter *w = data;
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_after after;
  tether_ctx_after_func(ctx, &after, NULL, broadcast, w->condition);
  pthread_mutex_lock(&w->condition->mutex);
  while (tether_ctx_err(ctx) == TETHER_OK) pthread_cond_wait(&w->condition->cond, &w->condition->mutex);
  pthread_mutex_unlock(&w->condition->mutex);
  w->result = tether_ctx_err(ctx);
  tether_after_stop_wait(&after);
  tether_ctx_free(ctx);
}

/* row 104 */
static void condition_variable_waits_end_with_their_deadlines(void **state) {
  struct condition c = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
  struct cond_waiter waiters[4];
  (void)state;
  for (int i = 0; i < 4; i++) {
    waiters[i].condition = &c;
    ctx_thread_start(&waiters[i].thread, wait_for_condition, &waiters[i]);
  }
  for (int i = 0; i < 4; i++) {
    ctx_thread_join(&waiters[i].thread);
    assert_code(waiters[i].result, TETHER_DEADLINE_EXCEEDED);
  }
}

struct reader {
  struct ctx_thread thread;
  int fd;
  ssize_t result;
};

static void read_a_byte(void *data) {
  struct reader *r = data;
  char byte;
  r->result = read(r->fd, &byte, 1);
}

static void shut_down(void *data) { shutdown(((struct reader *)data)->fd, SHUT_RDWR); }

/* row 105: waits for the callback only if it could not be stopped */
static void blocking_read_ends_with_the_context(void **state) {
  for (int answered = 0; answered < 2; answered++) {
    tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    struct reader r = {.result = -2};
    tether_after after;
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    r.fd = fds[0];
    tether_ctx_after_func(ctx, &after, NULL, shut_down, &r);
    ctx_thread_start(&r.thread, read_a_byte, &r);
    ctx_thread_blocks(&r.thread);
    if (answered) {
      assert_int_equal(write(fds[1], "x", 1), 1);
    } else {
      tether_ctx_cancel(ctx);
    }
    ctx_thread_join(&r.thread);
    assert_int_equal(r.result, answered ? 1 : 0);
    assert_int_equal(tether_after_stop_wait(&after), answered);
    close(fds[0]);
    close(fds[1]);
    tether_ctx_free(ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(callback_runs_after_the_cancel_and_not_before),
      in_virtual_time(callback_runs_after_the_expiry),
      behaviour(callback_of_a_deadline_runs_on_the_timer_thread),
      both_ways(callback_of_an_ended_context_runs_at_once),
      both_ways(callback_of_an_ended_context_is_submitted_at_once),
      behaviour(cancel_does_not_wait_for_a_callback_on_an_executor),
      behaviour(callbacks_of_one_context_are_independent),
      in_virtual_time(callback_runs_at_most_once),
      behaviour(callback_never_runs_on_a_context_that_cannot_end),
      behaviour(callback_runs_whatever_ended_the_context),
      both_ways(callback_may_call_everything),
      behaviour(callback_may_free_its_registration),
      behaviour(condition_variable_waits_end_with_their_deadlines),
      behaviour(blocking_read_ends_with_the_context),
  };
  return cmocka_run_group_tests_name("after", tests, NULL, NULL);
}
