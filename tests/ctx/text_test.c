/* The text form: how a context came about, never what its values hold. */
#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

/* Fails unless the whole text is `expected`. */
static void assert_text(const tether_ctx *ctx, const char *expected) {
  char text[512];
  assert_int_equal(tether_ctx_text(ctx, text, sizeof text), strlen(expected));
  assert_string_equal(text, expected);
}

static void assert_text_starts(const tether_ctx *ctx, const char *prefix) {
  char text[512];
  tether_ctx_text(ctx, text, sizeof text);
  if (strncmp(text, prefix, strlen(prefix)) != 0) fail_msg("\"%s\" does not start with \"%s\"", text, prefix);
}

/* row 120 */
static void cancel_context_prints_as_with_cancel(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *of_todo = tether_ctx_with_cancel(tether_ctx_todo());
  (void)state;
  assert_text(ctx, "background.with_cancel");
  assert_text(of_todo, "todo.with_cancel");
  tether_ctx_cancel(ctx); /* tells how it was made, not what became of it */
  assert_text(ctx, "background.with_cancel");
  tether_ctx_free(ctx);
  tether_ctx_free(of_todo);
}

/* row 121: deadline and timeout alike; the time left is in it */
static void deadline_context_prints_with_its_time_left(void **state) {
  tether_ctx *by_deadline = tether_ctx_with_deadline(tether_ctx_background(), tether_now_ns() + 3 * TETHER_SEC / 2);
  tether_ctx *by_timeout = tether_ctx_with_timeout(tether_ctx_background(), 3 * TETHER_SEC / 2);
  tether_ctx *below = tether_ctx_with_value(by_timeout, ctx_key_user(), "ada");
  char a[128], b[128];
  (void)state;
  assert_text_starts(by_deadline, "background.with_deadline(");
  assert_text_starts(by_timeout, "background.with_deadline(");
  assert_text_starts(below, "background.with_deadline(");
  tether_ctx_text(by_deadline, a, sizeof a);
  tether_ctx_text(by_timeout, b, sizeof b);
  assert_string_equal(a, b);
  assert_non_null(strstr(a, "1.5s left"));
  ctx_sim_advance(TETHER_SEC);
  tether_ctx_text(by_deadline, b, sizeof b);
  assert_string_not_equal(a, b);
  assert_text_starts(by_deadline, "background.with_deadline(");
  tether_ctx_free(below);
  tether_ctx_free(by_deadline);
  tether_ctx_free(by_timeout);
}

/* rows 122, 124: the key's name, never the value */
static void value_context_prints_its_keys_name_only(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *value = tether_ctx_with_value(ctx, ctx_key_user(), "hush");
  tether_ctx *none = tether_ctx_with_value(value, ctx_key_trace(), NULL);
  (void)state;
  assert_text(value, "background.with_cancel.with_value(user)");
  assert_text(none, "background.with_cancel.with_value(user).with_value(trace)");
  tether_ctx_free(none);
  tether_ctx_free(value);
  tether_ctx_free(ctx);
}

/* row 124: not even the name, for a secret */
static void secret_keys_name_is_not_printed(void **state) {
  static const tether_key secret = {.name = "password", .forward = TETHER_FORWARD_SECRET};
  tether_ctx *value = tether_ctx_with_value(tether_ctx_background(), &secret, "hush");
  tether_ctx *ctx = tether_ctx_with_cancel(value);
  char text[128];
  (void)state;
  tether_ctx_text(ctx, text, sizeof text);
  assert_null(strstr(text, "password"));
  assert_null(strstr(text, "hush"));
  assert_text_starts(ctx, "background.with_value(");
  assert_true(strlen(text) > strlen(".with_cancel"));
  assert_string_equal(text + strlen(text) - strlen(".with_cancel"), ".with_cancel");
  tether_ctx_free(ctx);
  tether_ctx_free(value);
}

/* row 123 */
static void any_stack_starts_with_its_root(void **state) {
  const char *layers[] = {".with_cancel", ".with_deadline(", ".with_value(user)", ".without_cancel"};
  uint32_t seed = 5;
  (void)state;
  for (int round = 0; round < 50; round++) {
    tether_ctx *all[30];
    const tether_ctx *parent = tether_ctx_background();
    char text[2048], *at;
    int kinds[30];
    for (int i = 0; i < 30; i++) {
      kinds[i] = (int)(ctx_random(&seed) % 4);
      switch (kinds[i]) {
        case 0:
          all[i] = tether_ctx_with_cancel(parent);
          break;
        case 1: /* ever earlier, for a later one than the parent's is not a deadline of its own */
          all[i] = tether_ctx_with_timeout(parent, (100 - i) * TETHER_SEC);
          break;
        case 2:
          all[i] = tether_ctx_with_value(parent, ctx_key_user(), "ada");
          break;
        default:
          all[i] = tether_ctx_without_cancel(parent);
          break;
      }
      parent = all[i];
    }
    assert_true(tether_ctx_text(parent, text, sizeof text) < sizeof text);
    assert_int_equal(strncmp(text, "background.", strlen("background.")), 0);
    at = text + strlen("background");
    for (int i = 0; i < 30; i++) { /* in the order made, nothing left out */
      at = strstr(at, layers[kinds[i]]);
      assert_non_null(at);
      at += strlen(layers[kinds[i]]);
    }
    for (int i = 29; i >= 0; i--) tether_ctx_free(all[i]);
  }
}

/* row 123: also of a merge, whose text contains its first parent's */
static void merged_context_starts_with_its_first_parents_text(void **state) {
  tether_ctx *a = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *b = tether_ctx_with_cancel(tether_ctx_todo());
  tether_ctx *merged = tether_ctx_merge(a, b);
  (void)state;
  assert_text_starts(merged, "background.with_cancel");
  tether_ctx_free(merged);
  tether_ctx_free(a);
  tether_ctx_free(b);
}

/* row 120: snprintf's rule */
static void text_is_cut_at_the_buffers_size_and_always_terminated(void **state) {
  const char *whole = "background.with_cancel.with_value(user)";
  tether_ctx *cancel = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_value(cancel, ctx_key_user(), "ada");
  (void)state;
  assert_int_equal(tether_ctx_text(ctx, NULL, 0), strlen(whole));
  for (size_t size = 1; size <= strlen(whole) + 2; size++) {
    char *exact = malloc(size); /* the heap, so that ASan sees a byte too many */
    size_t shown = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
    assert_non_null(exact);
    memset(exact, '#', size);
    assert_int_equal(tether_ctx_text(ctx, exact, size), strlen(whole));
    assert_int_equal(strlen(exact), shown);
    assert_memory_equal(exact, whole, shown);
    free(exact);
  }
  tether_ctx_free(ctx);
  tether_ctx_free(cancel);
}

struct print_race {
  tether_ctx *ctx;
  const tether_ctx *leaf;
  bool whole;
};

static void print_race_prepare(void *data) {
  struct print_race *r = data;
  r->ctx = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  r->whole = true;
}

static void print_race_cancel(void *data) { tether_ctx_cancel(((struct print_race *)data)->ctx); }

static void print_race_print(void *data) {
  struct print_race *r = data;
  char text[128];
  tether_ctx_text(r->ctx, text, sizeof text);
  r->whole = strncmp(text, "background.with_deadline(", strlen("background.with_deadline(")) == 0;
}

static bool print_race_check(void *data) {
  struct print_race *r = data;
  tether_ctx_free(r->ctx);
  return r->whole;
}

/* row 124: printing was a data race in Go's users' programs */
static void printing_while_another_cancels_is_safe(void **state) {
  struct print_race r = {.ctx = NULL};
  struct ctx_race race = {.prepare = print_race_prepare,
                          .actors = {print_race_cancel, print_race_print},
                          .check = print_race_check,
                          .data = &r};
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(100000)), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(cancel_context_prints_as_with_cancel),
      in_virtual_time(deadline_context_prints_with_its_time_left),
      behaviour(value_context_prints_its_keys_name_only),
      behaviour(secret_keys_name_is_not_printed),
      behaviour(any_stack_starts_with_its_root),
      behaviour(merged_context_starts_with_its_first_parents_text),
      behaviour(text_is_cut_at_the_buffers_size_and_always_terminated),
      behaviour(printing_while_another_cancels_is_safe),
  };
  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
