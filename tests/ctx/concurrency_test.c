/* Many threads on one tree: nothing deadlocks, and every promise holds at every moment. Most tests are
 * races run many times; what they break is seen by their own checks, by TSan or by ASan. */
#include "tests/support/ctx_thread.h"

/* ---- Row 21: deriving while the parent is cancelled ------------------------------------------- */

struct derive_race {
  tether_ctx *parent, *child;
  tether_cause *cause;
  bool told, kept;
};

static void derive_race_prepare(void *data) {
  struct derive_race *r = data;
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->kept = true;
}

static void derive_race_cancel(void *data) {
  struct derive_race *r = data;
  tether_ctx_cancel_cause(r->parent, r->cause);
}

static void derive_race_derive(void *data) {
  struct derive_race *r = data;
  int fd;
  r->child = tether_ctx_with_cancel(r->parent);
  if (r->told && tether_ctx_done_fd(r->child, &fd) != TETHER_OK) r->kept = false;
}

static bool derive_race_check(void *data) {
  struct derive_race *r = data;
  bool ended = tether_ctx_err(r->child) == TETHER_CANCELLED && tether_ctx_cause(r->child) == r->cause &&
               tether_ctx_wait(r->child, TETHER_FOREVER) == TETHER_CANCELLED;
  tether_ctx_free(r->child);
  tether_ctx_free(r->parent);
  return r->kept && ended;
}

/* row 21 */
static void child_derived_while_the_parent_is_cancelled_is_done(void **state) {
  struct derive_race r = {.told = told(state), .cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "parent's")};
  struct ctx_race race = {.prepare = derive_race_prepare,
                          .actors = {derive_race_cancel, derive_race_derive},
                          .check = derive_race_check,
                          .data = &r};
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
  tether_cause_unref(r.cause);
}

/* ---- Row 30: when either of two cancels returns, the subtree is done ------------------------------ */

enum { FAMILY = 13 }; /* 1 + 3 + 9 */

struct two_cancels {
  tether_ctx *nodes[FAMILY];
  struct ctx_call calls[FAMILY];
  int first, second; /* which nodes are cancelled */
  bool told;
  bool complete[2];
};

static int family_parent(int i) { return (i - 1) / 3; }

static bool family_below(int i, int root) {
  while (i > root) i = family_parent(i);
  return i == root;
}

static void two_cancels_prepare(void *data) {
  struct two_cancels *r = data;
  memset(r->calls, 0, sizeof r->calls);
  for (int i = 0; i < FAMILY; i++) {
    r->nodes[i] = tether_ctx_with_cancel(i ? r->nodes[family_parent(i)] : tether_ctx_background());
    if (r->told) ctx_call_after(&r->calls[i], r->nodes[i], NULL);
  }
}

static bool two_cancels_below_done(struct two_cancels *r, int root) {
  for (int i = FAMILY - 1; i >= root; i--) {
    if (family_below(i, root) && tether_ctx_err(r->nodes[i]) != TETHER_CANCELLED) return false;
  }
  return true;
}

static void two_cancels_first(void *data) {
  struct two_cancels *r = data;
  tether_ctx_cancel(r->nodes[r->first]);
  r->complete[0] = two_cancels_below_done(r, r->first);
}

static void two_cancels_second(void *data) {
  struct two_cancels *r = data;
  tether_ctx_cancel(r->nodes[r->second]);
  r->complete[1] = two_cancels_below_done(r, r->second);
}

static bool two_cancels_check(void *data) {
  struct two_cancels *r = data;
  bool kept = r->complete[0] && r->complete[1];
  for (int i = FAMILY - 1; i >= 0; i--) {
    bool ended = family_below(i, r->first) || family_below(i, r->second);
    if (r->told && atomic_load(&r->calls[i].runs) != (ended ? 1 : 0)) kept = false;
    if (r->told && !ended) tether_after_stop(&r->calls[i].after);
    tether_ctx_free(r->nodes[i]);
  }
  return kept;
}

/* row 30 */
static void whichever_cancel_returns_the_subtree_is_done(void **state) {
  const int pairs[][2] = {{0, 0}, {1, 0}, {1, 1}, {1, 4}, {0, 12}};
  for (int i = 0; i < 5; i++) {
    struct two_cancels r = {.first = pairs[i][0], .second = pairs[i][1], .told = told(state)};
    struct ctx_race race = {.prepare = two_cancels_prepare,
                            .actors = {two_cancels_first, two_cancels_second},
                            .check = two_cancels_check,
                            .data = &r};
    assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(20000)), -1);
  }
}

/* ---- Row 125: Go's TestSimultaneousCancels ------------------------------------------------------- */

enum { TREE = 341 }; /* 4-ary, five levels */

struct tree_canceller {
  struct ctx_thread thread;
  tether_ctx *ctx;
};

static void cancel_node(void *data) { tether_ctx_cancel(((struct tree_canceller *)data)->ctx); }

/* row 125 */
static void cancels_of_a_whole_tree_at_once_all_return(void **state) {
  static struct tree_canceller nodes[TREE];
  for (int i = 0; i < TREE; i++) {
    nodes[i].ctx = tether_ctx_with_cancel(i ? nodes[(i - 1) / 4].ctx : tether_ctx_background());
    tell(state, nodes[i].ctx);
  }
  for (int i = 0; i < TREE; i++) ctx_thread_start(&nodes[i].thread, cancel_node, &nodes[i]);
  for (int i = 0; i < TREE; i++) ctx_thread_join(&nodes[i].thread);
  for (int i = 0; i < TREE; i++) assert_code(tether_ctx_err(nodes[i].ctx), TETHER_CANCELLED);
  for (int i = 0; i < TREE; i++) assert_cancelled(nodes[i].ctx, tether_cause_canceled());
  for (int i = 0; i < TREE; i++) tether_ctx_free(nodes[i].ctx);
}

/* ---- Row 126: Go's TestInterlockedCancels --------------------------------------------------------- */

struct interlocked {
  tether_ctx *parent, *child;
};

static void interlocked_prepare(void *data) {
  struct interlocked *r = data;
  int fd;
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->child = tether_ctx_with_cancel(r->parent);
  if (tether_ctx_done_fd(r->child, &fd) != TETHER_OK) abort();
}

static void interlocked_cancel(void *data) { tether_ctx_cancel(((struct interlocked *)data)->parent); }

static void interlocked_wait_then_cancel(void *data) {
  struct interlocked *r = data;
  if (tether_ctx_wait(r->parent, TETHER_FOREVER) != TETHER_CANCELLED) return;
  tether_ctx_cancel(r->child);
}

static bool interlocked_check(void *data) {
  struct interlocked *r = data;
  bool done = tether_ctx_err(r->child) == TETHER_CANCELLED;
  tether_ctx_free(r->child);
  tether_ctx_free(r->parent);
  return done;
}

/* row 126 */
static void cancelling_the_child_when_the_parent_ends_does_not_deadlock(void **state) {
  struct interlocked r;
  struct ctx_race race = {.prepare = interlocked_prepare,
                          .actors = {interlocked_cancel, interlocked_wait_then_cancel, interlocked_wait_then_cancel},
                          .check = interlocked_check,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

struct handshake {
  tether_after after;
  tether_ctx *child;
  struct ctx_latch child_cancelled;
  bool in_time;
};

static void wait_for_the_others_cancel(void *data) {
  struct handshake *h = data;
  h->in_time = ctx_latch_wait(&h->child_cancelled);
}

static void cancel_child_when_parent_ends(void *data) {
  struct handshake *h = data;
  tether_ctx *child = h->child;
  if (tether_ctx_wait(child, TETHER_FOREVER) != TETHER_CANCELLED) return;
  tether_ctx_cancel(child);
  ctx_latch_open(&h->child_cancelled);
}

/* row 126: no lock is held while a callback runs, so another thread can cancel meanwhile */
static void cancel_of_a_child_returns_while_the_parents_callback_runs(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  struct handshake h = {.child = tether_ctx_with_cancel(parent)};
  struct ctx_thread thread;
  (void)state;
  tether_ctx_after_func(parent, &h.after, NULL, wait_for_the_others_cancel, &h);
  ctx_thread_start(&thread, cancel_child_when_parent_ends, &h);
  ctx_thread_blocks(&thread);
  tether_ctx_cancel(parent); /* its callback lasts until the thread has cancelled the child */
  assert_true(h.in_time);
  ctx_thread_join(&thread);
  tether_ctx_free(h.child);
  tether_ctx_free(parent);
}

/* ---- Freeing while ending (GLib's races of dispose against cancel) ------------------------------------ */

struct free_race {
  tether_ctx *parent, *child, *leaf;
  struct ctx_call call;
};

static void free_race_prepare(void *data) {
  struct free_race *r = data;
  memset(&r->call, 0, sizeof r->call);
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->child = tether_ctx_with_cancel(r->parent);
  r->leaf = tether_ctx_with_cancel(r->child);
  ctx_call_after(&r->call, r->leaf, NULL);
  tether_ctx_unref(r->child); /* held by the leaf alone */
}

static void free_race_cancel(void *data) { tether_ctx_cancel(((struct free_race *)data)->parent); }

static void free_race_free(void *data) {
  struct free_race *r = data;
  tether_after_stop(&r->call.after);
  tether_ctx_unref(r->leaf); /* takes the child with it */
}

static bool free_race_check(void *data) {
  struct free_race *r = data;
  bool kept = atomic_load(&r->call.runs) <= 1;
  tether_ctx_free(r->parent);
  return kept;
}

/* row 127 */
static void last_unref_of_a_branch_while_its_root_is_cancelled_is_safe(void **state) {
  struct free_race r;
  struct ctx_race race = {
      .prepare = free_race_prepare, .actors = {free_race_cancel, free_race_free}, .check = free_race_check, .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

struct expire_race {
  tether_ctx *parent, *child;
};

static void expire_race_prepare(void *data) {
  struct expire_race *r = data;
  int fd;
  r->parent = tether_ctx_with_cancel(tether_ctx_background());
  r->child = tether_ctx_with_timeout(r->parent, 20 * TETHER_US);
  if (tether_ctx_done_fd(r->child, &fd) != TETHER_OK) abort();
}

static void expire_race_wait(void *data) {
  struct expire_race *r = data;
  if (tether_ctx_wait(r->child, TETHER_FOREVER) == TETHER_OK) abort();
  tether_ctx_free(r->child);
}

static void expire_race_cancel(void *data) { tether_ctx_cancel(((struct expire_race *)data)->parent); }

static bool expire_race_check(void *data) {
  struct expire_race *r = data;
  tether_ctx_free(r->parent);
  return true;
}

/* row 127: a deadline that fires, a parent that is cancelled and the owner's free, together */
static void expiry_against_cancel_and_free_is_safe(void **state) {
  struct expire_race r;
  struct ctx_race race = {.prepare = expire_race_prepare,
                          .actors = {expire_race_wait, expire_race_cancel},
                          .check = expire_race_check,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(20000)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(child_derived_while_the_parent_is_cancelled_is_done),
      both_ways(whichever_cancel_returns_the_subtree_is_done),
      both_ways(cancels_of_a_whole_tree_at_once_all_return),
      behaviour(cancelling_the_child_when_the_parent_ends_does_not_deadlock),
      behaviour(cancel_of_a_child_returns_while_the_parents_callback_runs),
      behaviour(last_unref_of_a_branch_while_its_root_is_cancelled_is_safe),
      behaviour(expiry_against_cancel_and_free_is_safe),
  };
  return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
