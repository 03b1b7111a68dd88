/* merge: ends with whichever of its two parents ends first. Go leaves this to AfterFunc (row 106); here it
 * is a function of its own, so that both ways are tested. */
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

struct pair {
  tether_ctx *a, *b, *merged;
  tether_cause *cause;
};

static void pair_open(struct pair *p, void **state) {
  p->a = tether_ctx_with_cancel(tether_ctx_background());
  p->b = tether_ctx_with_cancel(tether_ctx_background());
  p->merged = tether_ctx_merge(p->a, p->b);
  p->cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "closing");
  tell(state, p->merged);
}

static void pair_close(struct pair *p) {
  tether_cause_unref(p->cause);
  tether_ctx_free(p->merged);
  tether_ctx_free(p->a);
  tether_ctx_free(p->b);
}

/* row 106 */
static void merged_ends_with_either_parent_and_its_cause(void **state) {
  for (int which = 0; which < 2; which++) {
    struct pair p;
    pair_open(&p, state);
    assert_live(p.merged);
    assert_live_throughout(p.merged);
    tether_ctx_cancel_cause(which ? p.b : p.a, p.cause);
    assert_cancelled(p.merged, p.cause);
    assert_live(which ? p.a : p.b);
    tether_ctx_cancel(which ? p.a : p.b);
    assert_cancelled(p.merged, p.cause);
    pair_close(&p);
  }
}

/* row 106 */
static void merged_can_be_cancelled_alone(void **state) {
  struct pair p;
  pair_open(&p, state);
  tether_ctx_cancel_cause(p.merged, p.cause);
  assert_cancelled(p.merged, p.cause);
  assert_live_throughout(p.a);
  assert_live_throughout(p.b);
  tether_ctx_cancel(p.b);
  assert_cancelled(p.merged, p.cause);
  pair_close(&p);
}

/* row 106 */
static void merging_with_an_ended_context_is_born_done(void **state) {
  for (int which = 0; which < 2; which++) {
    tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "load");
    tether_ctx *ended = tether_ctx_with_cancel(tether_ctx_background());
    tether_ctx *live = tether_ctx_with_cancel(tether_ctx_background()), *merged;
    tell(state, live);
    tether_ctx_cancel_cause(ended, cause);
    merged = which ? tether_ctx_merge(live, ended) : tether_ctx_merge(ended, live);
    assert_cancelled(merged, cause);
    assert_live(live);
    tether_cause_unref(cause);
    tether_ctx_free(merged);
    tether_ctx_free(ended);
    tether_ctx_free(live);
  }
}

/* row 106 */
static void children_of_a_merged_context_end_with_the_second_parent(void **state) {
  struct pair p;
  tether_ctx *child;
  struct ctx_call call = {.runs = 0};
  pair_open(&p, state);
  child = tether_ctx_with_cancel(p.merged);
  tell(state, child);
  if (told(state)) ctx_call_after(&call, child, NULL);
  tether_ctx_cancel_cause(p.b, p.cause);
  assert_int_equal(atomic_load(&call.runs), told(state) ? 1 : 0); /* before cancel returned */
  assert_cancelled(child, p.cause);
  tether_ctx_free(child);
  pair_close(&p);
}

struct onlooker {
  tether_after after;
  const tether_ctx *merged;
  tether_code seen;
};

static void look_at_the_merge(void *data) {
  struct onlooker *onlooker = data;
  onlooker->seen = tether_ctx_wait(onlooker->merged, 0);
}

/* row 106: callbacks that were there before the merge, on its second parent and elsewhere in the tree that ends,
 * find it ended; one that waited for it would otherwise wait for itself */
static void callbacks_find_the_merge_ended_with_its_second_parent(void **state) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *b = tether_ctx_with_cancel(root);
  tether_ctx *sibling = tether_ctx_with_cancel(root);
  const tether_ctx *each[] = {root, b, sibling};
  struct onlooker onlookers[3];
  (void)state;
  for (int i = 0; i < 3; i++) {
    onlookers[i].seen = TETHER_UNKNOWN;
    tether_ctx_after_func(each[i], &onlookers[i].after, NULL, look_at_the_merge, &onlookers[i]);
  }
  tether_ctx *once = tether_ctx_merge(tether_ctx_background(), b);
  tether_ctx *twice = tether_ctx_merge(tether_ctx_background(), once);
  for (int i = 0; i < 3; i++) onlookers[i].merged = twice;
  tether_ctx_cancel(root);
  for (int i = 0; i < 3; i++) assert_code(onlookers[i].seen, TETHER_CANCELLED);
  tether_ctx_free(twice);
  tether_ctx_free(once);
  tether_ctx_free(sibling);
  tether_ctx_free(b);
  tether_ctx_free(root);
}

/* row 106 */
static void merged_has_the_earlier_deadline(void **state) {
  for (int which = 0; which < 2; which++) {
    tether_cause *slow = tether_cause_new(TETHER_CAUSE_DEADLINE, NULL, "slow");
    tether_ctx *soon = tether_ctx_with_timeout_cause(tether_ctx_background(), TETHER_SEC, slow);
    tether_ctx *late = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
    tether_ctx *merged = which ? tether_ctx_merge(late, soon) : tether_ctx_merge(soon, late);
    tell(state, merged);
    assert_int_equal(tether_ctx_deadline_ns(merged), tether_ctx_deadline_ns(soon));
    ctx_sim_advance(TETHER_SEC - 1);
    assert_live(merged);
    ctx_sim_advance(1);
    assert_expired(merged, slow);
    assert_live(late);
    tether_cause_unref(slow);
    tether_ctx_free(merged);
    tether_ctx_free(soon);
    tether_ctx_free(late);
  }
}

static bool count_values(void *data, const tether_key *key, const void *value) {
  (void)key;
  (void)value;
  ++*(int *)data;
  return true;
}

/* row 83: looked up in the first parent, then in the second */
static void values_come_from_the_first_parent_then_the_second(void **state) {
  static const tether_key only_b = {.name = "only b"}, hidden = {.name = "hidden"};
  tether_ctx *a = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "from a");
  tether_ctx *b1 = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "from b");
  tether_ctx *b2 = tether_ctx_with_value(b1, &only_b, "b's own");
  tether_ctx *b3 = tether_ctx_with_value(b2, &hidden, "outer");
  tether_ctx *b4 = tether_ctx_with_value(b3, &hidden, NULL);
  tether_ctx *merged = tether_ctx_merge(a, b4);
  tether_ctx *below = tether_ctx_with_cancel(merged);
  int visited = 0;
  (void)state;
  assert_string_equal(tether_ctx_value(below, ctx_key_user()), "from a");
  assert_string_equal(tether_ctx_value(below, &only_b), "b's own");
  assert_null(tether_ctx_value(below, &hidden));
  assert_null(tether_ctx_value(below, ctx_key_trace()));
  tether_ctx_values(below, count_values, &visited);
  assert_int_equal(visited, 2);
  tether_ctx *each[] = {a, b4, b3, b2, b1};
  for (int i = 0; i < 5; i++) tether_ctx_free(each[i]); /* merged keeps both alive */
  assert_string_equal(tether_ctx_value(below, &only_b), "b's own");
  tether_ctx_free(merged);
  assert_string_equal(tether_ctx_value(below, &only_b), "b's own");
  tether_ctx_free(below);
}

/* row 106 */
static void merging_with_roots_is_like_with_cancel(void **state) {
  tether_ctx *a = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *with_root = tether_ctx_merge(a, tether_ctx_background());
  tether_ctx *of_roots = tether_ctx_merge(tether_ctx_background(), tether_ctx_todo());
  tether_ctx *with_itself = tether_ctx_merge(a, a);
  tell(state, with_root);
  tell(state, of_roots);
  tell(state, with_itself);
  assert_live(with_root);
  tether_ctx_cancel(a);
  assert_cancelled(with_root, tether_cause_canceled());
  assert_cancelled(with_itself, tether_cause_canceled());
  assert_live_throughout(of_roots);
  tether_ctx_cancel(of_roots);
  assert_cancelled(of_roots, tether_cause_canceled());
  tether_ctx_free(with_itself);
  tether_ctx_free(of_roots);
  tether_ctx_free(with_root);
  tether_ctx_free(a);
}

/* row 17: "any of" links leak on long-lived parents elsewhere (nodejs/node#55351) */
static void freed_merge_leaves_nothing_on_a_long_lived_parent(void **state) {
  tether_ctx *server = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *request = tether_ctx_with_cancel(tether_ctx_background());
  size_t before = tether_ctx_live_count();
  (void)state;
  for (int i = 0; i < 1000; i++) {
    tether_ctx *merged = tether_ctx_merge(request, server);
    tell(state, merged);
    if (i % 2) tether_ctx_cancel(merged);
    tether_ctx_free(merged);
    assert_int_equal(tether_ctx_live_count(), before);
  }
  tether_ctx_cancel(server); /* meets none of them */
  assert_live(request);
  tether_ctx_free(request);
  tether_ctx_free(server);
}

/* ---- The same made with after_func, as Go's example does it ---------------------------------- */

struct by_hand {
  tether_ctx *merged;
  const tether_ctx *b;
};

static void end_with_b(void *data) {
  struct by_hand *m = data;
  tether_ctx_cancel_cause(m->merged, tether_ctx_cause(m->b));
}

/* row 106 */
static void merge_by_hand_with_after_func_shows_the_second_parents_cause(void **state) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "closing");
  tether_ctx *a = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *b = tether_ctx_with_cancel(tether_ctx_background());
  struct by_hand m = {.merged = tether_ctx_with_cancel(a), .b = b};
  tether_after after;
  tell(state, m.merged);
  tether_ctx_after_func(b, &after, NULL, end_with_b, &m);
  tether_ctx_cancel_cause(b, cause);
  assert_cancelled(m.merged, cause);
  assert_live(a);
  assert_false(tether_after_stop(&after));
  tether_cause_unref(cause);
  tether_ctx_free(m.merged);
  tether_ctx_free(a);
  tether_ctx_free(b);
}

/* ---- Both parents at once ---------------------------------------------------------------------- */

struct both {
  tether_ctx *a, *b, *merged;
  tether_cause *of_a, *of_b;
  const tether_cause *seen_after_a, *seen_after_b;
};

static void both_prepare(void *data) {
  struct both *r = data;
  r->a = tether_ctx_with_cancel(tether_ctx_background());
  r->b = tether_ctx_with_cancel(tether_ctx_background());
  r->merged = tether_ctx_merge(r->a, r->b);
}

static void both_cancel_a(void *data) {
  struct both *r = data;
  tether_ctx_cancel_cause(r->a, r->of_a);
  r->seen_after_a = tether_ctx_cause(r->merged);
}

static void both_cancel_b(void *data) {
  struct both *r = data;
  tether_ctx_cancel_cause(r->b, r->of_b);
  r->seen_after_b = tether_ctx_cause(r->merged);
}

static bool both_check(void *data) {
  struct both *r = data;
  const tether_cause *last = tether_ctx_cause(r->merged);
  bool kept = r->seen_after_a == last && r->seen_after_b == last && (last == r->of_a || last == r->of_b);
  tether_ctx_free(r->merged);
  tether_ctx_free(r->a);
  tether_ctx_free(r->b);
  return kept;
}

static void both_free_merged(void *data) {
  struct both *r = data;
  tether_ctx_free(r->merged);
  r->merged = NULL;
}

static bool both_check_parents(void *data) {
  struct both *r = data;
  bool kept = tether_ctx_err(r->a) == TETHER_CANCELLED && tether_ctx_err(r->b) == TETHER_OK;
  tether_ctx_free(r->a);
  tether_ctx_free(r->b);
  return kept;
}

static void both_cancel_only_a(void *data) { tether_ctx_cancel(((struct both *)data)->a); }

static void both_prepare_swapped(void *data) {
  struct both *r = data;
  both_prepare(data);
  tether_ctx_free(r->merged);
  r->merged = tether_ctx_merge(r->b, r->a);
}

/* rows 106, 30 */
static void parents_that_end_together_agree_on_one_cause(void **state) {
  struct both r = {.of_a = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "a"),
                   .of_b = tether_cause_new(TETHER_CAUSE_OTHER, NULL, "b")};
  struct ctx_race race = {
      .prepare = both_prepare, .actors = {both_cancel_a, both_cancel_b}, .check = both_check, .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
  tether_cause_unref(r.of_a);
  tether_cause_unref(r.of_b);
}

/* row 106: a merge freed while a parent ends */
static void freeing_a_merge_while_a_parent_ends_is_safe(void **state) {
  struct both r = {.a = NULL};
  struct ctx_race race = {.prepare = both_prepare_swapped,
                          .actors = {both_cancel_only_a, both_free_merged},
                          .check = both_check_parents,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      both_ways(merged_ends_with_either_parent_and_its_cause),
      both_ways(merged_can_be_cancelled_alone),
      both_ways(merging_with_an_ended_context_is_born_done),
      both_ways(children_of_a_merged_context_end_with_the_second_parent),
      behaviour(callbacks_find_the_merge_ended_with_its_second_parent),
      both_ways_in_virtual_time(merged_has_the_earlier_deadline),
      behaviour(values_come_from_the_first_parent_then_the_second),
      both_ways(merging_with_roots_is_like_with_cancel),
      both_ways(freed_merge_leaves_nothing_on_a_long_lived_parent),
      both_ways(merge_by_hand_with_after_func_shows_the_second_parents_cause),
      behaviour(parents_that_end_together_agree_on_one_cause),
      behaviour(freeing_a_merge_while_a_parent_ends_is_safe),
  };
  return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
