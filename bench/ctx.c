/* Contexts: the workloads of Go's own benchmarks (src/context/benchmark_test.go), and some beside them. What Go leaves
 * to its garbage collector is freed here, and counted. peers/ctx.go is the same in Go. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <tether/ctx.h>

#include "bench/harness.h"

#define HOUR (3600 * TETHER_SEC)
#define ONCE 10 /* timeouts made before the first of them is cancelled */
#define DEPTH_MAX 1000

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) bench_fail("out of memory");
  return memory;
}

/* ---- One child at a time ------------------------------------------------------------------- */

static void cancel_work(int64_t times, void *data) {
  const tether_ctx *parent = data;
  while (times-- > 0) {
    tether_ctx *ctx = tether_ctx_with_cancel(parent);
    tether_ctx_cancel(ctx);
    tether_ctx_free(ctx);
  }
}

/* Under a parent that can end. */
static double cancel_own(double seconds, int size) {
  (void)size;
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  return bench_time_ns(seconds, 1, cancel_work, parent);
}

static double cancel_root(double seconds, int size) {
  (void)size;
  return bench_time_ns(seconds, 1, cancel_work, (void *)tether_ctx_background());
}

/* ---- BenchmarkCommonParentCancel ----------------------------------------------------------- */

static const tether_key name_key = {.name = "key"};

/* The benchmark divides 100 times here, of which Go's compiler leaves the loop (go tool objdump): so there is one. */
static void divide(void) {
  for (int64_t i = 0; i < 100; i++) __asm__ volatile("" : "+r"(i));
}

static void shared_work(int64_t times, void *data) {
  const tether_ctx *shared = data;
  while (times-- > 0) {
    tether_ctx *ctx = tether_ctx_with_cancel(shared);
    if (strcmp(tether_ctx_value(ctx, &name_key), "value") != 0) bench_fail("a wrong value");
    divide();
    tether_ctx_cancel(ctx);
    divide();
    tether_ctx_free(ctx);
  }
}

/* The same without the loops, which cost more than the contexts. */
static void shared_bare_work(int64_t times, void *data) {
  const tether_ctx *shared = data;
  while (times-- > 0) {
    tether_ctx *ctx = tether_ctx_with_cancel(shared);
    if (strcmp(tether_ctx_value(ctx, &name_key), "value") != 0) bench_fail("a wrong value");
    tether_ctx_cancel(ctx);
    tether_ctx_free(ctx);
  }
}

static void nothing(void *data) { (void)data; }

/* Somebody asks to be told of each child's end, so that it registers with the parent all threads share. */
static void shared_told_work(int64_t times, void *data) {
  const tether_ctx *shared = data;
  while (times-- > 0) {
    tether_after after;
    tether_ctx *ctx = tether_ctx_with_cancel(shared);
    tether_ctx_after_func(ctx, &after, NULL, nothing, NULL);
    if (!tether_after_stop(&after)) bench_fail("called too early");
    tether_ctx_cancel(ctx);
    tether_ctx_free(ctx);
  }
}

static double shared(double seconds, void (*work)(int64_t times, void *data)) {
  TETHER_SCOPED tether_ctx *root = tether_ctx_with_value(tether_ctx_background(), &name_key, "value");
  TETHER_SCOPED tether_ctx *parent = tether_ctx_with_cancel(root);
  return bench_time_ns(seconds, bench_processors(), work, parent);
}

static double shared_parent(double seconds, int size) {
  (void)size;
  return shared(seconds, shared_work);
}

static double shared_bare(double seconds, int size) {
  (void)size;
  return shared(seconds, shared_bare_work);
}

static double shared_told(double seconds, int size) {
  (void)size;
  return shared(seconds, shared_told_work);
}

/* ---- BenchmarkWithTimeout ------------------------------------------------------------------ */

static void timeout_work(int64_t times, void *data) {
  (void)data;
  tether_ctx *made[ONCE];
  while (times-- > 0) {
    for (int i = 0; i < ONCE; i++) made[i] = tether_ctx_with_timeout(tether_ctx_background(), HOUR);
    for (int i = 0; i < ONCE; i++) tether_ctx_free(made[i]);
  }
}

static double timeout(double seconds, int size) {
  tether_ctx **others = allocate((size_t)size, sizeof *others);
  for (int i = 0; i < size; i++) others[i] = tether_ctx_with_timeout(tether_ctx_background(), HOUR);
  double ns = bench_time_ns(seconds, bench_processors(), timeout_work, NULL);
  for (int i = 0; i < size; i++) tether_ctx_free(others[i]);
  free(others);
  return ns;
}

/* ---- BenchmarkCancelTree ------------------------------------------------------------------- */

struct tree {
  int depth;
  tether_ctx *nodes[DEPTH_MAX];
};

static void build(struct tree *tree, const tether_ctx *root) {
  for (int i = 0; i < tree->depth; i++) root = tree->nodes[i] = tether_ctx_with_cancel(root);
}

static void release(struct tree *tree) {
  for (int i = 0; i < tree->depth; i++) tether_ctx_free(tree->nodes[i]);
}

static void tree_background_work(int64_t times, void *data) {
  while (times-- > 0) {
    build(data, tether_ctx_background());
    release(data);
  }
}

static void tree_open_work(int64_t times, void *data) {
  while (times-- > 0) {
    tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
    build(data, root);
    tether_ctx_free(root);
    release(data);
  }
}

static void tree_closed_work(int64_t times, void *data) {
  while (times-- > 0) {
    tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
    tether_ctx_cancel(root);
    build(data, root);
    tether_ctx_free(root);
    release(data);
  }
}

static double tree_background(double seconds, int size) {
  return bench_time_ns(seconds, 1, tree_background_work, &(struct tree){.depth = size});
}

static double tree_open(double seconds, int size) {
  return bench_time_ns(seconds, 1, tree_open_work, &(struct tree){.depth = size});
}

static double tree_closed(double seconds, int size) {
  return bench_time_ns(seconds, 1, tree_closed_work, &(struct tree){.depth = size});
}

/* ---- BenchmarkDeepValueSameGoRoutine -------------------------------------------------------- */

static const tether_key missing_key = {.name = "missing"};

static void value_work(int64_t times, void *data) {
  const tether_ctx *ctx = data;
  while (times-- > 0)
    if (tether_ctx_value(ctx, &missing_key)) bench_fail("a value from nowhere");
}

static double value(double seconds, int size) {
  tether_key *keys = allocate((size_t)size, sizeof *keys);
  tether_ctx **nodes = allocate((size_t)size, sizeof *nodes);
  const tether_ctx *ctx = tether_ctx_background();
  for (int i = 0; i < size; i++) ctx = nodes[i] = tether_ctx_with_value(ctx, &keys[i], &keys[i]);
  double ns = bench_time_ns(seconds, 1, value_work, (void *)ctx);
  for (int i = 0; i < size; i++) tether_ctx_free(nodes[i]);
  free(nodes);
  free(keys);
  return ns;
}

/* ---- BenchmarkErrOK, BenchmarkCheckCanceled, BenchmarkContextCancelDone ---------------------- */

static void live_work(int64_t times, void *data) {
  const tether_ctx *ctx = data;
  while (times-- > 0)
    if (tether_ctx_err(ctx) != TETHER_OK) bench_fail("ended too early");
}

static void ended_work(int64_t times, void *data) {
  const tether_ctx *ctx = data;
  while (times-- > 0)
    if (tether_ctx_err(ctx) == TETHER_OK) bench_fail("did not end");
}

static double err_live(double seconds, int threads) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  return bench_time_ns(seconds, threads == 1 ? 1 : bench_processors(), live_work, ctx);
}

static double err_ended(double seconds, int size) {
  (void)size;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  return bench_time_ns(seconds, 1, ended_work, ctx);
}

/* ---- Limits: what remains of a question, and of a context made and released, without anything in between -------- */

static __attribute__((noinline)) int bare_call(const void *ctx) {
  __asm__ volatile("" : : "r"(ctx) : "memory");
  return 0;
}

static void call_work(int64_t times, void *data) {
  while (times-- > 0)
    if (bare_call(data) != 0) bench_fail("0 is not 0");
}

static double limit_call(double seconds, int size) {
  (void)size;
  return bench_time_ns(seconds, 1, call_work, NULL);
}

static void malloc_work(int64_t times, void *data) {
  size_t size = *(size_t *)data;
  while (times-- > 0) {
    void *volatile memory = malloc(size);
    free(memory);
  }
}

static double limit_malloc(double seconds, int number) {
  (void)number;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  size_t size = malloc_usable_size(ctx);
  return bench_time_ns(seconds, 1, malloc_work, &size);
}

/* What Go asks with select on Done is err here: done_* differ from err_* at the peer only. */
static const bench_work works[] = {
    {"cancel", "own", cancel_own, 0},
    {"cancel", "root", cancel_root, 0},
    {"shared_parent", "shared", shared_parent, 0},
    {"shared_parent", "bare", shared_bare, 0},
    {"shared_parent", "told", shared_told, 0},
    {"timeout", "40", timeout, 40},
    {"timeout", "4000", timeout, 4000},
    {"timeout", "400000", timeout, 400000},
    {"tree", "background_1", tree_background, 1},
    {"tree", "background_10", tree_background, 10},
    {"tree", "background_100", tree_background, 100},
    {"tree", "background_1000", tree_background, 1000},
    {"tree", "open_1", tree_open, 1},
    {"tree", "open_10", tree_open, 10},
    {"tree", "open_100", tree_open, 100},
    {"tree", "open_1000", tree_open, 1000},
    {"tree", "closed_1", tree_closed, 1},
    {"tree", "closed_10", tree_closed, 10},
    {"tree", "closed_100", tree_closed, 100},
    {"tree", "closed_1000", tree_closed, 1000},
    {"tree", "malloc", limit_malloc, 0},
    {"value", "10", value, 10},
    {"value", "20", value, 20},
    {"value", "30", value, 30},
    {"value", "50", value, 50},
    {"value", "100", value, 100},
    {"err", "ok", err_live, 1},
    {"err", "cancelled", err_ended, 0},
    {"err", "done", err_ended, 0},
    {"err", "done_shared", err_live, 0},
    {"err", "call", limit_call, 0},
};

int main(int argc, char **argv) { return bench_work_main(argc, argv, works, sizeof works / sizeof *works); }
