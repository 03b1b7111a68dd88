/* How much each use of a context allocates: at most one piece of memory for deriving, none for anything
 * else. Go's limits for the same uses (its TestAllocs) are in the table. */
#include "tests/support/ctx_alloc.h"
#include "tests/support/ctx_thread.h"

enum { TIMES = 100 };

static void use_background(void) {
  assert_non_null(tether_ctx_background());
  assert_non_null(tether_ctx_todo());
}

static void use_value(void) {
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  assert_non_null(tether_ctx_value(ctx, ctx_key_user()));
  tether_ctx_free(ctx);
}

static void use_expired_timeout(void) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 1);
  assert_int_equal(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_DEADLINE_EXCEEDED);
  tether_ctx_free(ctx);
}

static void use_cancel(void) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  assert_int_equal(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

static void use_registered_cancel(void) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  assert_int_equal(tether_ctx_wait(ctx, TETHER_US), TETHER_OK);
  tether_ctx_cancel(ctx);
  assert_int_equal(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

static void use_cancelled_timeout(void) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  assert_int_equal(tether_ctx_wait(ctx, TETHER_US), TETHER_OK);
  tether_ctx_cancel(ctx);
  assert_int_equal(tether_ctx_wait(ctx, TETHER_FOREVER), TETHER_CANCELLED);
  tether_ctx_free(ctx);
}

static void use_after_func(void) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct ctx_call calls[2];
  memset(calls, 0, sizeof calls);
  ctx_call_after(&calls[0], ctx, NULL);
  ctx_call_after(&calls[1], ctx, NULL);
  assert_true(tether_after_stop(&calls[0].after));
  tether_ctx_cancel(ctx);
  assert_int_equal(atomic_load(&calls[1].runs), 1);
  tether_ctx_free(ctx);
}

static void use_without_cancel(void) { tether_ctx_free(tether_ctx_without_cancel(tether_ctx_todo())); }

static const struct use {
  const char *name;
  void (*use)(void);
  long go, ours; /* allocations at most */
} uses[] = {
    {"background", use_background, 0, 0},
    {"with_value, value", use_value, 3, 1},
    {"with_timeout(1 ns), wait", use_expired_timeout, 12, 1},
    {"with_cancel, cancel, wait", use_cancel, 5, 1},
    {"with_cancel, wait, cancel, wait", use_registered_cancel, 5, 1},
    {"with_timeout, wait, cancel, wait", use_cancelled_timeout, 8, 1},
    {"with_cancel, 2 after_func, stop, cancel", use_after_func, 8, 1},
    {"without_cancel", use_without_cancel, 3, 1},
};

/* Whatever is set up once, such as the timer thread, has been. */
static void settle(void) {
  use_cancelled_timeout();
  assert_true(ctx_wait_all_blocked(1));
}

/* rows 7, 131 */
static void every_use_allocates_at_most_what_deriving_needs(void **state) {
  (void)state;
  settle();
  for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
    long before = atomic_load(&ctx_alloc_count);
    for (int n = 0; n < TIMES; n++) uses[i].use();
    long average = (atomic_load(&ctx_alloc_count) - before) / TIMES; /* rounded down, as Go's */
    if (average > uses[i].ours || average > uses[i].go) {
      fail_msg("%s: %ld allocations, at most %ld expected", uses[i].name, average, uses[i].ours);
    }
  }
}

/* row 131: the counter counts at all */
static void counter_sees_an_allocation(void **state) {
  long before = atomic_load(&ctx_alloc_count), freed = atomic_load(&ctx_free_count);
  void *volatile p = malloc(1);
  (void)state;
  assert_int_equal(atomic_load(&ctx_alloc_count) - before, 1);
  free(p);
  assert_int_equal(atomic_load(&ctx_free_count) - freed, 1);
}

/* row 131: what was allocated is freed */
static void every_use_frees_what_it_allocated(void **state) {
  (void)state;
  settle();
  for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
    long allocated = atomic_load(&ctx_alloc_count), freed = atomic_load(&ctx_free_count);
    for (int n = 0; n < TIMES; n++) uses[i].use();
    assert_int_equal(atomic_load(&ctx_alloc_count) - allocated, atomic_load(&ctx_free_count) - freed);
  }
}

/* What one more context costs in bytes, registered, with everything it drags along. */
static long bytes_of(tether_ctx *(*make)(void)) {
  long before = atomic_load(&ctx_alloc_bytes);
  tether_ctx *ctx = make();
  assert_int_equal(tether_ctx_wait(ctx, 0), TETHER_OK);
  long bytes = atomic_load(&ctx_alloc_bytes) - before;
  tether_ctx_free(ctx);
  return bytes;
}

static tether_ctx *make_cancel(void) { return tether_ctx_with_cancel(tether_ctx_background()); }
static tether_ctx *make_timeout(void) { return tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR); }
static tether_ctx *make_value(void) { return tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada"); }

/* row 132: Go needs 64, 96 and 48 bytes for the nodes alone, and 96 more for a Done channel, a map bucket
 * and a runtime timer each, once somebody waits; the bounds allow for the allocator's rounding */
static void contexts_are_small(void **state) {
  (void)state;
#ifdef TETHER_DEBUG
  const long debug = 48; /* the list of live contexts, and who made each */
#else
  const long debug = 0;
#endif
  assert_true(bytes_of(make_cancel) <= 256 + debug);
  assert_true(bytes_of(make_timeout) <= 256 + debug);
  assert_true(bytes_of(make_value) <= 80 + debug);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(counter_sees_an_allocation),
      behaviour(every_use_allocates_at_most_what_deriving_needs),
      behaviour(every_use_frees_what_it_allocated),
      behaviour(contexts_are_small),
  };
  ctx_alloc_open();
  return cmocka_run_group_tests_name("alloc count", tests, NULL, NULL);
}
