/* Rule 3: when memory runs out, deriving gives a context that is done and says why. Every allocation of
 * each function is made to fail in turn. Where a sanitizer owns malloc there is nothing to do. */
#include <tether/group.h>
#include <tether/pool.h>

#include "tests/support/ctx_alloc.h"
#include "tests/support/ctx_thread.h"

#ifdef CTX_ALLOC_CAN_FAIL

static tether_ctx *parent;

static tether_ctx *derive(int how) {
  switch (how) {
    case 0:
      return tether_ctx_with_cancel(parent);
    case 1:
      return tether_ctx_with_deadline(parent, TETHER_FOREVER);
    case 2:
      return tether_ctx_with_deadline_cause(parent, tether_now_ns() + CTX_TEST_HOUR, tether_cause_canceled());
    case 3:
      return tether_ctx_with_timeout(parent, CTX_TEST_HOUR);
    case 4:
      return tether_ctx_with_timeout_cause(parent, CTX_TEST_HOUR, tether_cause_canceled());
    case 5:
      return tether_ctx_with_value(parent, ctx_key_user(), "ada");
    case 6:
      return tether_ctx_without_cancel(parent);
    default:
      return tether_ctx_merge(parent, tether_ctx_todo());
  }
}

/* row 131: and it is worth deriving from */
static void deriving_without_memory_gives_a_done_context_that_says_why(void **state) {
  (void)state;
  parent = tether_ctx_with_cancel(tether_ctx_background());
  for (int how = 0; how < 8; how++) {
    size_t live = tether_ctx_live_count();
    ctx_alloc_fail(0);
    tether_ctx *ctx = derive(how);
    tether_code err = ctx ? tether_ctx_err(ctx) : TETHER_OK;
    tether_ctx *child = ctx ? tether_ctx_with_cancel(ctx) : NULL;
    ctx_alloc_allow();
    assert_non_null(ctx);
    assert_non_null(child);
    assert_code(err, TETHER_CANCELLED);
    assert_cancelled(ctx, NULL);
    assert_string_not_equal(tether_cause_text(tether_ctx_cause(ctx)), "");
    assert_cancelled(child, tether_ctx_cause(ctx));
    tether_ctx_cancel(ctx);
    tether_ctx_free(child);
    tether_ctx_free(ctx);
    tether_ctx_free(ctx); /* allowed, any number of times */
    assert_int_equal(tether_ctx_live_count(), live);
    assert_live_throughout(parent);
  }
  tether_ctx_free(parent);
}

/* ---- Merging allocates several pieces: each of them may be the one that fails ------------------------ */

static void merging_without_memory_leaves_nothing_behind(void **state) {
  tether_ctx *a = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *b1 = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  tether_ctx *b2 = tether_ctx_with_value(b1, ctx_key_trace(), "t1");
  tether_ctx *b = tether_ctx_with_cancel(b2);
  size_t live = tether_ctx_live_count();
  long failures = 0;
  (void)state;
  for (long nth = 0;; nth++) {
    long allocated = atomic_load(&ctx_alloc_count), freed = atomic_load(&ctx_free_count);
    ctx_alloc_fail(nth);
    tether_ctx *merged = tether_ctx_merge(a, b);
    tether_code err = tether_ctx_err(merged);
    ctx_alloc_allow();
    tether_ctx_free(merged);
    assert_int_equal(tether_ctx_live_count(), live);
    assert_int_equal(atomic_load(&ctx_alloc_count) - allocated, atomic_load(&ctx_free_count) - freed);
    if (err == TETHER_OK) break;
    failures++;
    assert_true(failures < 100);
  }
  assert_true(failures >= 1);
  tether_ctx_cancel(b);
  assert_live(a);
  tether_ctx *each[] = {b, b2, b1, a};
  for (int i = 0; i < 4; i++) tether_ctx_free(each[i]);
}

static int copies, frees;

static void *count_copy(const void *value) {
  copies++;
  return (void *)(uintptr_t)value;
}

static void count_free(void *value) {
  (void)value;
  frees++;
}

/* row 78: the value is freed also when deriving fails */
static void value_is_freed_when_deriving_fails(void **state) {
  static const tether_key copied = {.name = "copied", .copy = count_copy, .free = count_free};
  static const tether_key owned = {.name = "owned", .free = count_free};
  (void)state;
  copies = frees = 0;
  ctx_alloc_fail(0);
  tether_ctx *with_copy = tether_ctx_with_value(tether_ctx_background(), &copied, "ada");
  int copies_kept = copies - frees;
  tether_ctx *with_ownership = tether_ctx_with_value(tether_ctx_background(), &owned, "ada");
  ctx_alloc_allow();
  assert_int_equal(copies_kept, 0);
  assert_int_equal(frees - copies, 1);
  assert_cancelled(with_copy, NULL);
  assert_cancelled(with_ownership, NULL);
  tether_ctx_free(with_copy);
  tether_ctx_free(with_ownership);
  assert_int_equal(frees - copies, 1);
}

/* ---- What never allocates works without memory ------------------------------------------------------ */

static void cancel_wait_and_callbacks_work_without_memory(void **state) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *timer = tether_ctx_with_timeout(root, CTX_TEST_HOUR);
  tether_ctx *soon = tether_ctx_with_timeout(root, 5 * TETHER_MS);
  struct ctx_call kept = {.runs = 0}, stopped = {.runs = 0};
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "load");
  bool was_stopped;
  tether_code waits[3], sleeps;
  char text[64];
  (void)state;
  ctx_alloc_fail(0);
  ctx_call_after(&kept, timer, NULL);
  ctx_call_after(&stopped, timer, NULL);
  was_stopped = tether_after_stop_wait(&stopped.after);
  waits[0] = tether_ctx_wait(timer, TETHER_US);
  waits[1] = tether_ctx_wait(soon, TETHER_FOREVER);
  sleeps = tether_ctx_sleep(timer, TETHER_US);
  tether_ctx_text(timer, text, sizeof text);
  tether_ctx_cancel_cause(root, cause);
  waits[2] = tether_ctx_wait(timer, TETHER_FOREVER);
  tether_ctx_free(soon);
  ctx_alloc_allow();
  assert_true(was_stopped);
  assert_code(waits[0], TETHER_OK);
  assert_code(waits[1], TETHER_DEADLINE_EXCEEDED);
  assert_code(waits[2], TETHER_CANCELLED);
  assert_code(sleeps, TETHER_OK);
  assert_int_equal(atomic_load(&kept.runs), 1);
  assert_int_equal(atomic_load(&stopped.runs), 0);
  assert_cancelled(timer, cause);
  tether_cause_unref(cause);
  tether_ctx_free(timer);
  tether_ctx_free(root);
}

static void cause_without_memory_keeps_its_code(void **state) {
  (void)state;
  for (int code = TETHER_CAUSE_NONE; code <= TETHER_CAUSE_ENOUGH; code++) {
    ctx_alloc_fail(0);
    tether_cause *plain = tether_cause_new((tether_cause_code)code, "origin", "text");
    tether_cause *formatted = tether_cause_newf((tether_cause_code)code, "text %d", 1);
    ctx_alloc_allow();
    assert_non_null(plain);
    assert_non_null(formatted);
    assert_int_equal(tether_cause_get_code(plain), code);
    assert_int_equal(tether_cause_get_code(formatted), code);
    assert_string_equal(tether_cause_text(plain), "");
    assert_non_null(tether_cause_origin(plain));
    tether_cause_unref(tether_cause_ref(plain));
    tether_cause_unref(plain);
    tether_cause_unref(plain); /* static */
    tether_cause_unref(formatted);
  }
}

/* ---- Groups and pools ------------------------------------------------------------------------------- */

static tether_code count_task(const tether_ctx *ctx, void *data) {
  (void)ctx;
  atomic_fetch_add((atomic_int *)data, 1);
  return TETHER_OK;
}

/* row E3: a task that could not be started does not run, and the group goes on */
static void group_without_memory_says_so(void **state) {
  tether_group *group = NULL;
  atomic_int runs = 0;
  (void)state;
  ctx_alloc_fail(0);
  tether_code made = tether_group_new(tether_ctx_background(), &group);
  ctx_alloc_allow();
  assert_code(made, TETHER_RESOURCE_EXHAUSTED);
  assert_null(group); /* written on success only */
  assert_code(tether_group_new(tether_ctx_background(), &group), TETHER_OK);
  int accepted = 0;
  for (int i = 0; i < 10; i++) {
    bool started = false;
    ctx_alloc_fail(i / 2);
    tether_code code =
        i % 2 ? tether_group_go(group, count_task, &runs) : tether_group_try_go(group, count_task, &runs, &started);
    ctx_alloc_allow();
    if (code == TETHER_OK) accepted++;
    if (code != TETHER_OK) assert_code(code, TETHER_RESOURCE_EXHAUSTED);
    if (code != TETHER_OK) assert_false(started);
  }
  assert_code(tether_group_wait(group), TETHER_OK);
  assert_int_equal(atomic_load(&runs), accepted);
  tether_group_free(group);
}

static void pool_without_memory_says_so(void **state) {
  (void)state;
  for (long nth = 0; nth < 3; nth++) {
    tether_pool *pool = NULL;
    ctx_alloc_fail(nth);
    tether_code code = tether_pool_open(4, &pool);
    ctx_alloc_allow();
    if (nth == 0) assert_code(code, TETHER_RESOURCE_EXHAUSTED);
    if (code == TETHER_OK) {
      tether_pool_close(pool);
    } else {
      assert_null(pool);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(deriving_without_memory_gives_a_done_context_that_says_why),
      behaviour(merging_without_memory_leaves_nothing_behind),
      behaviour(value_is_freed_when_deriving_fails),
      behaviour(cancel_wait_and_callbacks_work_without_memory),
      behaviour(cause_without_memory_keeps_its_code),
      behaviour(group_without_memory_says_so),
      behaviour(pool_without_memory_says_so),
  };
  return cmocka_run_group_tests_name("no memory", tests, NULL, NULL);
}

#else

static void allocation_cannot_be_made_to_fail_here(void **state) {
  (void)state;
  skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {behaviour(allocation_cannot_be_made_to_fail_here)};
  return cmocka_run_group_tests_name("no memory", tests, NULL, NULL);
}

#endif
