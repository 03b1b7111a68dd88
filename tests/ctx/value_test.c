/* Values: found from below, by the key's identity, copied and freed exactly once. */
#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

/* row 78 */
static void value_is_found_under_its_key_only(void **state) {
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  (void)state;
  assert_string_equal(tether_ctx_value(ctx, ctx_key_user()), "ada");
  assert_null(tether_ctx_value(ctx, ctx_key_trace()));
  assert_null(tether_ctx_value(tether_ctx_background(), ctx_key_user()));
  tether_ctx_free(ctx);
}

/* rows 79, 80: identity, not the name, makes a key */
static void keys_of_equal_name_are_different_keys(void **state) {
  static const tether_key one = {.name = "same"}, two = {.name = "same"};
  tether_ctx *a = tether_ctx_with_value(tether_ctx_background(), &one, "1");
  tether_ctx *b = tether_ctx_with_value(a, &two, "2");
  (void)state;
  assert_null(tether_ctx_value(a, &two));
  assert_string_equal(tether_ctx_value(b, &one), "1");
  assert_string_equal(tether_ctx_value(b, &two), "2");
  tether_ctx_free(b);
  tether_ctx_free(a);
}

/* row 81 */
static void outer_values_are_found_from_inside(void **state) {
  tether_ctx *outer = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  tether_ctx *inner = tether_ctx_with_value(outer, ctx_key_trace(), "t1");
  (void)state;
  assert_string_equal(tether_ctx_value(inner, ctx_key_user()), "ada");
  assert_string_equal(tether_ctx_value(inner, ctx_key_trace()), "t1");
  assert_null(tether_ctx_value(outer, ctx_key_trace()));
  tether_ctx_free(inner);
  tether_ctx_free(outer);
}

/* row 82 */
static void null_value_hides_an_outer_one(void **state) {
  tether_ctx *outer = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  tether_ctx *hidden = tether_ctx_with_value(outer, ctx_key_user(), NULL);
  tether_ctx *again = tether_ctx_with_value(hidden, ctx_key_user(), "grace");
  (void)state;
  assert_string_equal(tether_ctx_value(outer, ctx_key_user()), "ada");
  assert_null(tether_ctx_value(hidden, ctx_key_user()));
  assert_string_equal(tether_ctx_value(again, ctx_key_user()), "grace");
  tether_ctx_free(again);
  tether_ctx_free(hidden);
  tether_ctx_free(outer);
}

/* row 83: through every other kind of context */
static void look_ups_pass_through_other_contexts(void **state) {
  tether_ctx *user = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  tether_ctx *cancel = tether_ctx_with_cancel(user);
  tether_ctx *timer = tether_ctx_with_timeout(cancel, CTX_TEST_HOUR);
  tether_ctx *trace = tether_ctx_with_value(timer, ctx_key_trace(), "t1");
  tether_ctx *without = tether_ctx_without_cancel(trace);
  tether_ctx *merged = tether_ctx_merge(without, tether_ctx_background());
  const tether_ctx *below[] = {cancel, timer, trace, without, merged};
  (void)state;
  for (int i = 0; i < 5; i++) {
    assert_string_equal(tether_ctx_value(below[i], ctx_key_user()), "ada");
    if (i < 2) assert_null(tether_ctx_value(below[i], ctx_key_trace()));
    if (i >= 2) assert_string_equal(tether_ctx_value(below[i], ctx_key_trace()), "t1");
  }
  tether_ctx_free(merged);
  tether_ctx_free(without);
  tether_ctx_free(trace);
  tether_ctx_free(timer);
  tether_ctx_free(cancel);
  tether_ctx_free(user);
}

static void derive_with_null_key(void *parent) {
  tether_ctx *ctx = tether_ctx_with_value(parent, NULL, "ada");
  dprintf(STDERR_FILENO, "derived %p\n", (void *)ctx);
}

/* row 84 */
static void null_key_aborts_with_a_message(void **state) {
  (void)state;
  ctx_child_aborts(derive_with_null_key, (void *)(uintptr_t)tether_ctx_background(), "NULL key");
}

/* row 84: the parent is checked first */
static void null_parent_is_named_before_a_null_key(void **state) {
  (void)state;
  ctx_child_aborts(derive_with_null_key, NULL, "cannot create context from NULL parent");
}

/* row 85 */
static void value_context_ends_with_its_parent_and_not_by_itself(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  tether_ctx *ctx = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  tell(state, ctx);
  assert_int_equal(tether_ctx_deadline_ns(ctx), tether_ctx_deadline_ns(parent));
  assert_live(ctx);
  tether_ctx_cancel(ctx); /* has no end of its own, and must not reach the parent (rule 1) */
  assert_live(ctx);
  assert_live_throughout(parent);
  tether_ctx_cancel(parent);
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(ctx);
  tether_ctx_free(parent);
}

/* row 85 */
static void value_context_of_a_root_is_never_done(void **state) {
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  int fd = -2;
  (void)state;
  assert_live(ctx);
  assert_code(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
  assert_int_equal(fd, -1);
  assert_int_equal(tether_ctx_deadline_ns(ctx), TETHER_FOREVER);
  tether_ctx_free(ctx);
}

/* row 86 */
static void looking_up_a_null_key_finds_nothing(void **state) {
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  (void)state;
  assert_null(tether_ctx_value(ctx, NULL));
  assert_null(tether_ctx_value(tether_ctx_background(), NULL));
  tether_ctx_free(ctx);
}

/* row 87: also after the end */
static void look_up_always_gives_the_same_value(void **state) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_value(parent, ctx_key_user(), "ada");
  const void *first = tether_ctx_value(ctx, ctx_key_user());
  tell(state, ctx);
  for (int i = 0; i < 3; i++) assert_ptr_equal(tether_ctx_value(ctx, ctx_key_user()), first);
  tether_ctx_cancel(parent);
  for (int i = 0; i < 3; i++) assert_ptr_equal(tether_ctx_value(ctx, ctx_key_user()), first);
  tether_ctx_free(parent);
  assert_ptr_equal(tether_ctx_value(ctx, ctx_key_user()), first);
  tether_ctx_free(ctx);
}

/* row 78: how far a value travels does not matter inside the process */
static void values_of_every_policy_are_found_locally(void **state) {
  static const tether_key keys[] = {{.name = "local", .forward = TETHER_FORWARD_LOCAL},
                                    {.name = "one-hop", .forward = TETHER_FORWARD_ONE_HOP},
                                    {.name = "all", .forward = TETHER_FORWARD_ALL},
                                    {.name = "secret", .forward = TETHER_FORWARD_SECRET}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &keys[i], &keys[i]);
    tether_ctx *child = tether_ctx_with_cancel(ctx);
    assert_ptr_equal(tether_ctx_value(child, &keys[i]), &keys[i]);
    tether_ctx_free(child);
    tether_ctx_free(ctx);
  }
}

/* ---- Visiting ------------------------------------------------------------------------------ */

struct visit {
  const tether_key *keys[8];
  const void *values[8];
  int count, stop_after;
};

static bool note_visit(void *data, const tether_key *key, const void *value) {
  struct visit *v = data;
  if (v->count < 8) {
    v->keys[v->count] = key;
    v->values[v->count] = value;
  }
  return ++v->count != v->stop_after;
}

/* rows 81, 82 */
static void values_visits_the_visible_ones_nearest_first(void **state) {
  static const tether_key hidden = {.name = "hidden"}, tenant = {.name = "tenant"};
  tether_ctx *a = tether_ctx_with_value(tether_ctx_background(), ctx_key_user(), "ada");
  tether_ctx *b = tether_ctx_with_value(a, &hidden, "gone");
  tether_ctx *c = tether_ctx_with_value(b, &tenant, "acme");
  tether_ctx *d = tether_ctx_with_cancel(c);
  tether_ctx *e = tether_ctx_with_value(d, &hidden, NULL);
  tether_ctx *f = tether_ctx_with_value(e, ctx_key_user(), "grace");
  tether_ctx *g = tether_ctx_with_value(f, ctx_key_trace(), "t1");
  struct visit all = {.stop_after = 0}, two = {.stop_after = 2};
  (void)state;
  tether_ctx_values(g, note_visit, &all);
  assert_int_equal(all.count, 3);
  assert_true(all.keys[0] == ctx_key_trace() && strcmp(all.values[0], "t1") == 0);
  assert_true(all.keys[1] == ctx_key_user() && strcmp(all.values[1], "grace") == 0);
  assert_true(all.keys[2] == &tenant && strcmp(all.values[2], "acme") == 0);
  tether_ctx_values(g, note_visit, &two);
  assert_int_equal(two.count, 2);
  tether_ctx *each[] = {g, f, e, d, c, b, a};
  for (int i = 0; i < 7; i++) tether_ctx_free(each[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(value_is_found_under_its_key_only),
      behaviour(keys_of_equal_name_are_different_keys),
      behaviour(outer_values_are_found_from_inside),
      behaviour(null_value_hides_an_outer_one),
      behaviour(look_ups_pass_through_other_contexts),
      behaviour(null_key_aborts_with_a_message),
      behaviour(null_parent_is_named_before_a_null_key),
      both_ways(value_context_ends_with_its_parent_and_not_by_itself),
      behaviour(value_context_of_a_root_is_never_done),
      behaviour(looking_up_a_null_key_finds_nothing),
      both_ways(look_up_always_gives_the_same_value),
      behaviour(values_of_every_policy_are_found_locally),
      behaviour(values_visits_the_visible_ones_nearest_first),
  };
  return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
