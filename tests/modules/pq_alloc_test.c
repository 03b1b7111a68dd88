/* Memory runs out at the Nth allocation in the life of a connection, libpq's own among them, and stays out: it is told,
 * nobody hangs, and with memory again everything works. Where a sanitizer owns malloc nothing can be made to fail. */
#include "tests/support/ctx_alloc.h"

#include "tests/modules/pq_fixture.h"

#ifdef CTX_ALLOC_CAN_FAIL

/* What may come of a life without memory: libpq takes some failures of its own for a lost connection. */
static void assert_told(tether_code code) {
  if (code != TETHER_OK && code != TETHER_UNAVAILABLE && code != TETHER_INVALID_ARGUMENT)
    assert_code(code, TETHER_RESOURCE_EXHAUSTED);
}

static tether_code work(tether_pq *on, const tether_ctx *ctx, void *data) {
  (void)data;
  return pq_try(on, ctx, "SELECT repeat('x', 1000)");
}

struct outcomes {
  tether_code made, taken, asked, worked, stopped;
};

/* A life: with memory for `count` allocations. `brief` has ended when the last statement is sent. */
static struct outcomes live(const tether_ctx *ctx, const tether_ctx *brief, long count) {
  tether_pq_options options = pq_options();
  struct outcomes o = {.taken = TETHER_RESOURCE_EXHAUSTED};
  o.asked = o.worked = o.stopped = TETHER_RESOURCE_EXHAUSTED;
  tether_pq_pool *pool = NULL;
  tether_pq *one = NULL;
  options.settle_ns = 500 * TETHER_MS;
  ctx_alloc_fail(count);
  o.made = tether_pq_pool_open(&options, &pool);
  if (o.made == TETHER_OK) o.taken = tether_pq_pool_take(pool, ctx, &one);
  if (o.taken == TETHER_OK) {
    o.asked = pq_try(one, ctx, "SELECT 42");
    o.worked = tether_pq_transaction(one, ctx, NULL, work, NULL);
    o.stopped = pq_try(one, brief, "SELECT pg_sleep(600)");
    tether_pq_pool_give(pool, one);
  }
  tether_pq_pool_close(pool);
  ctx_alloc_allow();
  return o;
}

static bool is_whole(const struct outcomes *o) {
  return o->made == TETHER_OK && o->taken == TETHER_OK && o->asked == TETHER_OK && o->worked == TETHER_OK &&
         o->stopped == TETHER_DEADLINE_EXCEEDED;
}

static void memory_that_runs_out_is_told_and_nobody_hangs(void **state) {
  (void)state;
  struct outcomes o;
  long count = -1;
  do {
    count++;
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
    TETHER_SCOPED tether_ctx *brief = tether_ctx_with_timeout(ctx, 60 * TETHER_MS);
    o = live(ctx, brief, count);
    assert_told(o.made);
    assert_told(o.taken);
    assert_told(o.asked);
    assert_told(o.worked);
    if (o.stopped != TETHER_DEADLINE_EXCEEDED) assert_told(o.stopped);
    assert_int_equal(pq_number(pq, "SELECT 42"), 42);
  } while (!is_whole(&o) && count < 5000);
  print_message("%ld allocations\n", count);
  assert_true(is_whole(&o));
  assert_true(count > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {PQ_TEST(memory_that_runs_out_is_told_and_nobody_hangs)};
  return pq_run_tests("pq_alloc", tests, sizeof tests / sizeof *tests);
}

#else

int main(void) { return 0; }

#endif
