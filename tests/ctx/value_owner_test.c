/* Who owns a value: copied once when derived, freed once at the last unref, whoever drops that, and with
 * no lock held. */
#include "tests/support/ctx_thread.h"

struct owned {
  int magic;
  bool is_copy;
};

static atomic_int copies, frees, double_frees;

static void *copy_owned(const void *value) {
  struct owned *copy;
  if (!value) return NULL;
  copy = malloc(sizeof *copy);
  if (!copy) return NULL;
  *copy = (struct owned){.magic = ((const struct owned *)value)->magic, .is_copy = true};
  atomic_fetch_add(&copies, 1);
  return copy;
}

static void free_owned(void *value) {
  struct owned *owned = value;
  if (!value) return;
  if (!owned->is_copy || owned->magic == 0) atomic_fetch_add(&double_frees, 1);
  owned->magic = 0;
  atomic_fetch_add(&frees, 1);
  free(owned);
}

static const tether_key copied_key = {.name = "copied", .copy = copy_owned, .free = free_owned};

static int owner_setup(void **state) {
  atomic_store(&copies, 0);
  atomic_store(&frees, 0);
  atomic_store(&double_frees, 0);
  return ctx_setup(state);
}

#define owner_test(test) \
  { #test, test, owner_setup, ctx_teardown, NULL }

/* row 78 */
static void value_is_copied_once_and_the_copy_is_what_is_found(void **state) {
  struct owned mine = {.magic = 42};
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &copied_key, &mine);
  const struct owned *found = tether_ctx_value(ctx, &copied_key);
  (void)state;
  assert_int_equal(atomic_load(&copies), 1);
  assert_ptr_not_equal(found, &mine);
  mine.magic = 1;
  assert_int_equal(found->magic, 42);
  assert_ptr_equal(tether_ctx_value(ctx, &copied_key), found);
  assert_int_equal(atomic_load(&copies), 1);
  assert_int_equal(atomic_load(&frees), 0);
  tether_ctx_free(ctx);
  assert_int_equal(atomic_load(&copies), 1);
  assert_int_equal(atomic_load(&frees), 1);
}

/* row 78 */
static void value_without_copy_is_the_pointer_itself(void **state) {
  static const tether_key key = {.name = "plain"};
  int mine = 42;
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &key, &mine);
  (void)state;
  assert_ptr_equal(tether_ctx_value(ctx, &key), &mine);
  tether_ctx_free(ctx);
  assert_int_equal(mine, 42);
}

/* row 78 */
static void free_without_copy_makes_the_context_the_owner(void **state) {
  static const tether_key key = {.name = "handed over", .free = free_owned};
  struct owned *value = malloc(sizeof *value);
  tether_ctx *ctx;
  (void)state;
  assert_non_null(value);
  *value = (struct owned){.magic = 42, .is_copy = true};
  ctx = tether_ctx_with_value(tether_ctx_background(), &key, value);
  assert_ptr_equal(tether_ctx_value(ctx, &key), value);
  assert_int_equal(atomic_load(&frees), 0);
  tether_ctx_free(ctx);
  assert_int_equal(atomic_load(&frees), 1);
}

/* row 78: not when the maker lets go, not when it is cancelled, but when the last descendant goes */
static void value_lives_until_the_last_unref(void **state) {
  struct owned mine = {.magic = 42};
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_value(parent, &copied_key, &mine);
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  const tether_ctx *held = tether_ctx_ref(child);
  tell(state, child);
  tether_ctx_cancel(parent);
  tether_ctx_free(parent);
  tether_ctx_free(ctx);
  tether_ctx_free(child);
  assert_int_equal(atomic_load(&frees), 0);
  assert_int_equal(((const struct owned *)tether_ctx_value(held, &copied_key))->magic, 42);
  tether_ctx_unref(held);
  assert_int_equal(atomic_load(&frees), 1);
  assert_int_equal(atomic_load(&double_frees), 0);
}

/* row 82: nothing to copy, nothing to free */
static void null_value_is_neither_copied_nor_freed(void **state) {
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &copied_key, NULL);
  (void)state;
  assert_null(tether_ctx_value(ctx, &copied_key));
  tether_ctx_free(ctx);
  assert_int_equal(atomic_load(&copies), 0);
  assert_int_equal(atomic_load(&frees), 0);
}

static void *copy_fails(const void *value) {
  (void)value;
  return NULL;
}

/* row 78: rule 3, a failed copy is a derive without memory */
static void copy_that_fails_gives_a_done_context(void **state) {
  static const tether_key key = {.name = "too big", .copy = copy_fails, .free = free_owned};
  tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &key, "something"), *child;
  (void)state;
  assert_non_null(ctx);
  assert_cancelled(ctx, NULL);
  assert_int_equal(tether_cause_get_code(tether_ctx_cause(ctx)), TETHER_CAUSE_OTHER);
  assert_string_not_equal(tether_cause_text(tether_ctx_cause(ctx)), "");
  assert_null(tether_ctx_value(ctx, &key));
  child = tether_ctx_with_cancel(ctx);
  assert_cancelled(child, tether_ctx_cause(ctx));
  tether_ctx_free(child);
  tether_ctx_free(ctx);
  tether_ctx_free(ctx); /* allowed and does nothing: it is nobody's */
  assert_int_equal(atomic_load(&frees), 0);
}

/* ---- free runs user code, so it may use contexts --------------------------------------------- */

struct reentrant {
  tether_ctx *other;
  bool worked;
};

static void use_contexts(void *value) {
  struct reentrant *r = value;
  tether_ctx *mine = tether_ctx_with_timeout(r->other, CTX_TEST_HOUR);
  tether_ctx_cancel(r->other);
  r->worked = tether_ctx_wait(mine, TETHER_FOREVER) == TETHER_CANCELLED;
  tether_ctx_free(mine);
}

/* row 78: called without locks, also while a cancel or a chain's release is under way */
static void freeing_a_value_may_use_contexts(void **state) {
  static const tether_key key = {.name = "reentrant", .free = use_contexts};
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  struct reentrant value = {.other = tether_ctx_with_cancel(parent)};
  tether_ctx *ctx = tether_ctx_with_value(parent, &key, &value);
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  tell(state, child);
  tell(state, value.other);
  tether_ctx_free(ctx);
  assert_false(value.worked);
  tether_ctx_free(child); /* the last holder of the value */
  assert_true(value.worked);
  assert_live_throughout(parent);
  tether_ctx_free(value.other);
  tether_ctx_free(parent);
}

static void use_caller(void *after) { tether_ctx_free(((void **)after)[0]); }

/* row 78: the last unref may come from a callback of the very end that is under way */
static void callback_of_the_end_may_drop_the_last_reference(void **state) {
  struct owned mine = {.magic = 42};
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_value(parent, &copied_key, &mine);
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  void *last[1] = {child};
  tether_after after;
  (void)state;
  tether_ctx_free(ctx);
  tether_ctx_after_func(child, &after, NULL, use_caller, last);
  tether_ctx_cancel(parent);
  assert_int_equal(atomic_load(&frees), 1);
  tether_ctx_free(parent);
}

/* ---- Last unref on any thread ------------------------------------------------------------------ */

struct share {
  const tether_ctx *ctx;
};

static void share_prepare(void *data) {
  struct owned mine = {.magic = 42};
  struct share *s = data;
  s->ctx = tether_ctx_with_value(tether_ctx_background(), &copied_key, &mine);
  for (int i = 0; i < 2; i++) s->ctx = tether_ctx_ref(s->ctx);
}

static void share_drop(void *data) {
  const tether_ctx *ctx = ((struct share *)data)->ctx;
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  tether_ctx_free(child);
  tether_ctx_unref(ctx);
}

static bool share_check(void *data) {
  (void)data;
  return atomic_load(&frees) == atomic_load(&copies);
}

/* row 78 */
static void value_is_freed_once_whichever_thread_lets_go_last(void **state) {
  struct share s = {.ctx = NULL};
  struct ctx_race race = {
      .prepare = share_prepare, .actors = {share_drop, share_drop, share_drop}, .check = share_check, .data = &s};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
  assert_int_equal(atomic_load(&copies), CTX_TEST_ROUNDS(100000));
  assert_int_equal(atomic_load(&double_frees), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      owner_test(value_is_copied_once_and_the_copy_is_what_is_found),
      owner_test(value_without_copy_is_the_pointer_itself),
      owner_test(free_without_copy_makes_the_context_the_owner),
      {"value_lives_until_the_last_unref (polled)", value_lives_until_the_last_unref, owner_setup, ctx_teardown,
       ctx_mode_state(CTX_POLLED)},
      {"value_lives_until_the_last_unref (told)", value_lives_until_the_last_unref, owner_setup, ctx_teardown,
       ctx_mode_state(CTX_TOLD)},
      owner_test(null_value_is_neither_copied_nor_freed),
      owner_test(copy_that_fails_gives_a_done_context),
      both_ways(freeing_a_value_may_use_contexts),
      owner_test(callback_of_the_end_may_drop_the_last_reference),
      owner_test(value_is_freed_once_whichever_thread_lets_go_last),
  };
  return cmocka_run_group_tests_name("value owner", tests, NULL, NULL);
}
