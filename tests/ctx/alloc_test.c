/* What happens when memory or threads run out: the Nth allocation fails, for every N, in everything that
 * allocates; nothing is half made, nothing leaks, and what needs neither goes on working. malloc, calloc and
 * pthread_create of the library and of this file come through here (ld --wrap), also under sanitizers. */
#include <tether/group.h>
#include <tether/pool.h>

#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

static atomic_bool counting; /* allocations from here on are counted, and the one numbered fail_at fails */
static atomic_int allocations, fail_at;
static atomic_bool no_memory, no_threads;

static bool fails(void) {
  if (atomic_load(&no_memory)) return true;
  return atomic_load(&counting) && atomic_fetch_add(&allocations, 1) == atomic_load(&fail_at);
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }

void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  return atomic_load(&no_threads) ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

static void fail_nth(int n) {
  atomic_store(&allocations, 0);
  atomic_store(&fail_at, n);
  atomic_store(&counting, true);
}

/* True: an allocation was made to fail since fail_nth. */
static bool failed(void) {
  atomic_store(&counting, false);
  return atomic_load(&allocations) > atomic_load(&fail_at);
}

/* ---- Deriving -------------------------------------------------------------------------------- */

static int copies_alive;

static void *copy_text(const void *value) {
  char *copy = malloc(strlen(value) + 1);
  if (copy == NULL) return NULL;
  copies_alive++;
  return strcpy(copy, value);
}

static void free_text(void *value) {
  copies_alive--;
  free(value);
}

static const tether_key copied = {.name = "copied", .copy = copy_text, .free = free_text};
static const tether_key owned = {.name = "owned", .free = free_text};
static const tether_key plain[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};

static tether_ctx *derive_cancel(const tether_ctx *parent) { return tether_ctx_with_cancel(parent); }

static tether_ctx *derive_deadline(const tether_ctx *parent) {
  return tether_ctx_with_deadline(parent, tether_now_ns() + CTX_TEST_HOUR);
}

static tether_ctx *derive_deadline_cause(const tether_ctx *parent) {
  return tether_ctx_with_deadline_cause(parent, tether_now_ns() + CTX_TEST_HOUR, tether_cause_canceled());
}

static tether_ctx *derive_timeout(const tether_ctx *parent) { return tether_ctx_with_timeout(parent, CTX_TEST_HOUR); }

static tether_ctx *derive_expired(const tether_ctx *parent) { return tether_ctx_with_timeout(parent, 0); }

static tether_ctx *derive_timeout_cause(const tether_ctx *parent) {
  return tether_ctx_with_timeout_cause(parent, CTX_TEST_HOUR, tether_cause_canceled());
}

static tether_ctx *derive_without_cancel(const tether_ctx *parent) { return tether_ctx_without_cancel(parent); }

static tether_ctx *derive_value(const tether_ctx *parent) { return tether_ctx_with_value(parent, &plain[0], "x"); }

static tether_ctx *derive_copied(const tether_ctx *parent) { return tether_ctx_with_value(parent, &copied, "x"); }

static tether_ctx *derive_owned(const tether_ctx *parent) {
  char *given = __real_malloc(2);
  strcpy(given, "x");
  copies_alive++;
  return tether_ctx_with_value(parent, &owned, given);
}

/* Three values to borrow, and the merge itself. */
static const tether_ctx *merged_with;

static tether_ctx *derive_merge(const tether_ctx *parent) { return tether_ctx_merge(parent, merged_with); }

static int derivations_that_failed(tether_ctx *(*derive)(const tether_ctx *), const tether_ctx *parent) {
  const size_t live = tether_ctx_live_count();
  for (int n = 0;; n++) {
    fail_nth(n);
    tether_ctx *ctx = derive(parent);
    const bool was_failed = failed();
    assert_non_null(ctx);
    if (!was_failed) {
      tether_ctx_free(ctx);
      assert_int_equal(tether_ctx_live_count(), live);
      assert_int_equal(copies_alive, 0);
      return n;
    }
    assert_cancelled(ctx, NULL);
    assert_string_equal(tether_cause_text(tether_ctx_cause(ctx)), "out of memory");
    assert_int_equal(tether_cause_get_code(tether_ctx_cause(ctx)), TETHER_CAUSE_OTHER);
    tether_ctx *child = tether_ctx_with_cancel(ctx);
    assert_cancelled(child, tether_ctx_cause(ctx));
    tether_ctx_free(child);
    tether_ctx_cancel(ctx);
    tether_ctx_free(ctx);
    tether_ctx_free(ctx); /* static: any number of times */
    assert_int_equal(tether_ctx_live_count(), live);
    assert_int_equal(copies_alive, 0);
  }
}

static void every_allocation_of_every_derivation_may_fail(void **state) {
  static const struct {
    tether_ctx *(*derive)(const tether_ctx *parent);
    int allocations;
  } table[] = {
      {derive_cancel, 1},         {derive_deadline, 1}, {derive_deadline_cause, 1}, {derive_timeout, 1},
      {derive_expired, 1},        {derive_value, 1},    {derive_timeout_cause, 1},  {derive_copied, 2},
      {derive_without_cancel, 1}, {derive_owned, 1},    {derive_merge, 4},
  };
  (void)state;
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *other[4] = {tether_ctx_with_cancel(tether_ctx_background())};
  for (int i = 0; i < 3; i++) other[i + 1] = tether_ctx_with_value(other[i], &plain[i], "y");
  merged_with = other[3];
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    assert_int_equal(derivations_that_failed(table[i].derive, parent), table[i].allocations);
  assert_live(parent);
  assert_live(other[3]);
  for (int i = 3; i >= 0; i--) tether_ctx_free(other[i]);
  tether_ctx_free(parent);
}

static void causes_made_without_memory_keep_their_code(void **state) {
  (void)state;
  for (int code = TETHER_CAUSE_NONE; code <= TETHER_CAUSE_ENOUGH; code++) {
    fail_nth(0);
    tether_cause *cause = tether_cause_newf((tether_cause_code)code, "text %d", code);
    assert_true(failed());
    assert_non_null(cause);
    assert_int_equal(tether_cause_get_code(cause), code);
    assert_string_equal(tether_cause_text(cause), "");
    tether_cause_unref(tether_cause_ref(cause));
    tether_cause_unref(cause);
  }
}

/* ---- Everything else ------------------------------------------------------------------------- */

static bool count_value(void *data, const tether_key *key, const void *value) {
  (void)key;
  (void)value;
  ++*(int *)data;
  return true;
}

/* Waiting, watching, registering, ending and releasing allocate nothing: with none to be had they work. */
static void nothing_but_deriving_needs_memory(void **state) {
  (void)state;
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *mid = tether_ctx_with_value(root, &plain[0], "x");
  tether_ctx *leaf = tether_ctx_with_timeout(mid, CTX_TEST_HOUR);
  struct ctx_call calls[2] = {{.runs = 0}};
  char text[128];
  int fd = -1, values = 0;
  atomic_store(&no_memory, true);
  ctx_call_after(&calls[0], leaf, NULL);
  ctx_call_after(&calls[1], leaf, NULL);
  const tether_code watched = tether_ctx_done_fd(leaf, &fd);
  const tether_code waited = tether_ctx_wait(leaf, TETHER_US);
  const bool stopped = tether_after_stop(&calls[1].after);
  tether_ctx_values(leaf, count_value, &values);
  const size_t length = tether_ctx_text(leaf, text, sizeof text);
  tether_ctx_cancel(root);
  const tether_code ended = tether_ctx_wait(leaf, TETHER_FOREVER);
  atomic_store(&no_memory, false);
  assert_code(watched, TETHER_OK);
  assert_code(waited, TETHER_OK);
  assert_true(stopped);
  assert_int_equal(values, 1);
  assert_int_equal(length, strlen(text));
  assert_code(ended, TETHER_CANCELLED);
  assert_true(ctx_fd_readable(fd));
  assert_int_equal(atomic_load(&calls[0].runs), 1);
  atomic_store(&no_memory, true);
  tether_ctx_free(leaf);
  tether_ctx_free(mid);
  tether_ctx_free(root);
  atomic_store(&no_memory, false);
}

/* ---- No thread ------------------------------------------------------------------------------- */

/* Runs first: once there, the timer thread stays. */
static void deadlines_end_contexts_without_a_timer_thread(void **state) {
  (void)state;
  atomic_store(&no_threads, true);
  tether_ctx *polled = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  tether_ctx *below = tether_ctx_with_cancel(polled);
  struct ctx_call call = {.runs = 0};
  ctx_call_after(&call, below, NULL);
  const int64_t give_up_ns = ctx_real_now_ns() + CTX_TEST_BOUND_NS;
  while (tether_ctx_err(below) == TETHER_OK && ctx_real_now_ns() < give_up_ns) continue;
  assert_expired(below, tether_cause_deadline_exceeded());
  assert_expired(polled, tether_cause_deadline_exceeded());
  assert_int_equal(atomic_load(&call.runs), 1);

  tether_ctx *waited = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  tether_ctx *merged = tether_ctx_merge(tether_ctx_background(), waited);
  assert_code(tether_ctx_wait(merged, CTX_TEST_BOUND_NS), TETHER_DEADLINE_EXCEEDED);
  assert_expired(waited, NULL);

  tether_ctx *requested = tether_ctx_with_cancel(tether_ctx_background());
  assert_code(tether_ctx_enable_request_cancel(requested), TETHER_RESOURCE_EXHAUSTED);
  atomic_store(&no_threads, false);

  /* and once there are threads again, the timer's is started */
  tether_ctx *timed = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  int fd = -1;
  assert_code(tether_ctx_done_fd(timed, &fd), TETHER_OK);
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&readable, 1, (int)(CTX_TEST_BOUND_NS / TETHER_MS)), 1);
  assert_expired(timed, NULL);
  assert_code(tether_ctx_enable_request_cancel(requested), TETHER_OK);
  tether_ctx_request_cancel(requested);
  assert_code(tether_ctx_wait(requested, CTX_TEST_BOUND_NS), TETHER_CANCELLED);
  tether_ctx_free(timed);
  tether_ctx_free(requested);
  tether_ctx_free(merged);
  tether_ctx_free(waited);
  tether_ctx_free(below);
  tether_ctx_free(polled);
}

/* Runs first, too. The one below is not registered, so the end of the one above, which nobody fires, is not
 * pushed to it. */
static void first_look_below_a_passed_deadline_sees_it_without_a_timer_thread(void **state) {
  (void)state;
  atomic_store(&no_threads, true);
  tether_ctx *timed = tether_ctx_with_timeout(tether_ctx_background(), TETHER_MS);
  tether_ctx *below = tether_ctx_with_cancel(timed);
  struct ctx_call call = {.runs = 0};
  ctx_call_after(&call, timed, NULL);
  while (tether_now_ns() < tether_ctx_deadline_ns(timed)) continue;
  assert_expired(below, tether_cause_deadline_exceeded());
  assert_int_equal(atomic_load(&call.runs), 1);
  atomic_store(&no_threads, false);
  tether_ctx_free(below);
  tether_ctx_free(timed);
}

/* ---- Groups and pools ------------------------------------------------------------------------ */

static atomic_int tasks_run;

static tether_code count_task(const tether_ctx *ctx, void *data) {
  (void)ctx;
  (void)data;
  atomic_fetch_add(&tasks_run, 1);
  return TETHER_OK;
}

static void group_without_memory_or_threads_says_so(void **state) {
  tether_group *group = NULL;
  bool started = false;
  int n = 0;
  (void)state;
  for (;; n++) {
    fail_nth(n);
    const tether_code code = tether_group_new(tether_ctx_background(), &group);
    if (!failed()) break;
    assert_code(code, TETHER_RESOURCE_EXHAUSTED);
    assert_null(group);
    assert_int_equal(tether_ctx_live_count(), *ctx_live_before());
  }
  assert_int_equal(n, 2);
  assert_code(tether_group_set_limit(group, 1), TETHER_OK);
  atomic_store(&tasks_run, 0);
  for (int round = 0; round < 4; round++) {
    if (round % 2)
      atomic_store(&no_threads, true);
    else
      fail_nth(0);
    const tether_code code =
        round < 2 ? tether_group_go(group, count_task, NULL) : tether_group_try_go(group, count_task, NULL, &started);
    atomic_store(&no_threads, false);
    (void)failed();
    assert_code(code, TETHER_RESOURCE_EXHAUSTED);
    assert_false(started);
  }
  /* the one slot is free again */
  assert_code(tether_group_try_go(group, count_task, NULL, &started), TETHER_OK);
  assert_true(started);
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&tasks_run), 1);
  tether_group_free(group);
}

static void end_task(tether_code code, void *data) { *(tether_code *)data = code; }

/* Joining and leaving allocate nothing but the words of the cause, and do without them. */
static void members_of_groups_need_no_memory(void **state) {
  static const struct {
    tether_group_rule_kind rule;
    int enough;
    tether_code results[2], result;
    tether_cause_code cause;
  } table[] = {
      {TETHER_GROUP_ALL, 0, {TETHER_OK, TETHER_ABORTED}, TETHER_ABORTED, TETHER_CAUSE_SIBLING},
      {TETHER_GROUP_ENOUGH, 1, {TETHER_ABORTED, TETHER_OK}, TETHER_OK, TETHER_CAUSE_ENOUGH},
      {TETHER_GROUP_ENOUGH, 2, {TETHER_OK, TETHER_ABORTED}, TETHER_ABORTED, TETHER_CAUSE_SIBLING},
      {TETHER_GROUP_COLLECT, 0, {TETHER_ABORTED, TETHER_OK}, TETHER_OK, TETHER_CAUSE_CALLER},
  };
  (void)state;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    tether_group *group = NULL;
    unsigned long numbers[2] = {0, 0};
    tether_code codes[3], result = TETHER_UNKNOWN;
    assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
    assert_code(tether_group_set_rule(group, table[i].rule, table[i].enough), TETHER_OK);
    fail_nth(-1); /* only counts */
    for (int j = 0; j < 2; j++) codes[j] = tether_group_join(group, &numbers[j]);
    (void)failed();
    assert_int_equal(atomic_load(&allocations), 0);
    atomic_store(&no_memory, true);
    codes[2] = tether_group_on_done(group, end_task, &result);
    for (int j = 0; j < 2; j++) tether_group_leave(group, numbers[j], table[i].results[j], "call");
    atomic_store(&no_memory, false);
    for (int j = 0; j < 3; j++) assert_code(codes[j], TETHER_OK);
    assert_code(result, table[i].result);
    const tether_cause *cause = tether_ctx_cause(tether_group_ctx(group));
    assert_int_equal(tether_cause_get_code(cause), table[i].cause);
    assert_string_equal(tether_cause_text(cause), i < 3 ? "" : "context canceled");
    tether_group_free(group);
  }
}

/* A task that could not be started was no member: no success, no failure, and nothing to hope for. */
static void task_that_could_not_start_is_no_member(void **state) {
  tether_group *group = NULL;
  tether_code result = TETHER_UNKNOWN;
  unsigned long number = 0;
  (void)state;
  for (int started = 0; started < 2; started++) {
    assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
    fail_nth(0);
    const tether_code memory = tether_group_go(group, count_task, NULL);
    assert_true(failed());
    atomic_store(&no_threads, true);
    const tether_code thread = tether_group_go(group, count_task, NULL);
    atomic_store(&no_threads, false);
    assert_code(memory, TETHER_RESOURCE_EXHAUSTED);
    assert_code(thread, TETHER_RESOURCE_EXHAUSTED);
    assert_code(tether_group_set_rule(group, TETHER_GROUP_ENOUGH, 1), TETHER_OK); /* there was none */
    if (started) {
      assert_code(tether_group_join(group, &number), TETHER_OK);
      tether_group_leave(group, number, TETHER_OK, NULL);
    }
    assert_code(tether_group_on_done(group, end_task, &result), TETHER_OK);
    assert_code(result, started ? TETHER_OK : TETHER_FAILED_PRECONDITION);
    tether_group_free(group);
  }
}

static void count_pool_task(tether_task *task) {
  (void)task;
  atomic_fetch_add(&tasks_run, 1);
}

static void pool_without_memory_or_threads_says_so(void **state) {
  tether_pool *pool = NULL;
  int n = 0;
  (void)state;
  atomic_store(&no_threads, true);
  assert_code(tether_pool_open(2, &pool), TETHER_RESOURCE_EXHAUSTED);
  atomic_store(&no_threads, false);
  assert_null(pool);
  for (;; n++) {
    fail_nth(n);
    const tether_code code = tether_pool_open(4, &pool);
    if (!failed()) break;
    assert_code(code, TETHER_RESOURCE_EXHAUSTED);
    assert_null(pool);
  }
  assert_int_equal(n, 1);
  /* no more threads, no memory: the first does it all */
  tether_task tasks[100];
  atomic_store(&tasks_run, 0);
  atomic_store(&no_threads, true);
  atomic_store(&no_memory, true);
  tether_executor *executor = tether_pool_executor(pool);
  for (int i = 0; i < 100; i++) {
    tasks[i] = (tether_task){.run = count_pool_task};
    executor->submit(executor, &tasks[i]);
  }
  tether_pool_close(pool);
  atomic_store(&no_memory, false);
  atomic_store(&no_threads, false);
  assert_int_equal(atomic_load(&tasks_run), 100);
}

struct submitter {
  struct ctx_thread thread;
  tether_executor *executor;
  struct ctx_latch *go;
  tether_task tasks[500];
};

static void submit_all(void *data) {
  struct submitter *s = data;
  if (!ctx_latch_wait(s->go)) return;
  for (int i = 0; i < 500; i++) {
    s->tasks[i] = (tether_task){.run = count_pool_task};
    s->executor->submit(s->executor, &s->tasks[i]);
    if (i % 16 == 0) atomic_store(&no_threads, i % 32 == 0);
  }
}

/* Threads of the pool can and cannot be started, by turns, while several threads submit. */
static void pool_whose_threads_fail_to_start_loses_no_task(void **state) {
  static struct submitter submitters[4];
  struct ctx_latch go = {false};
  tether_pool *pool = NULL;
  (void)state;
  assert_code(tether_pool_open(8, &pool), TETHER_OK);
  atomic_store(&tasks_run, 0);
  for (int i = 0; i < 4; i++) {
    submitters[i].executor = tether_pool_executor(pool);
    submitters[i].go = &go;
    ctx_thread_start(&submitters[i].thread, submit_all, &submitters[i]);
  }
  atomic_store(&no_threads, true);
  ctx_latch_open(&go);
  for (int i = 0; i < 4; i++) ctx_thread_join(&submitters[i].thread);
  atomic_store(&no_threads, false);
  tether_pool_close(pool);
  assert_int_equal(atomic_load(&tasks_run), 2000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(first_look_below_a_passed_deadline_sees_it_without_a_timer_thread),
      behaviour(deadlines_end_contexts_without_a_timer_thread),
      behaviour(every_allocation_of_every_derivation_may_fail),
      behaviour(causes_made_without_memory_keep_their_code),
      behaviour(nothing_but_deriving_needs_memory),
      behaviour(group_without_memory_or_threads_says_so),
      behaviour(members_of_groups_need_no_memory),
      behaviour(task_that_could_not_start_is_no_member),
      behaviour(pool_without_memory_or_threads_says_so),
      behaviour(pool_whose_threads_fail_to_start_loses_no_task),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
