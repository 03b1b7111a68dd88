/* A million contexts, side by side and one under the other, on a small stack: nothing recurses, and nothing
 * scans. Small means: far too small for one frame per level. */
#include "tests/support/ctx_thread.h"

#if defined(CTX_TEST_SANITIZED)
/* Instrumented frames and the sanitizers' thread data need more; a recursion would need still more. */
enum { COUNT = 250000, STACK_BYTES = 2 << 20 };
#else
enum { COUNT = 1000000, STACK_BYTES = 64 << 10 };
#endif

/* Runs a test's body on such a stack; it returns what went wrong, or NULL. */
struct small_stack {
  const char *(*body)(void);
  const char *wrong;
};

static void *on_small_stack(void *data) {
  struct small_stack *s = data;
  s->wrong = s->body();
  return NULL;
}

static void run_on_small_stack(const char *(*body)(void)) {
  struct small_stack s = {.body = body};
  pthread_attr_t attr;
  pthread_t thread;
  assert_int_equal(pthread_attr_init(&attr), 0);
  assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
  assert_int_equal(pthread_create(&thread, &attr, on_small_stack, &s), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_attr_destroy(&attr);
  if (s.wrong) fail_msg("%s", s.wrong);
}

#define expect(condition) \
  if (!(condition)) return #condition

static tether_ctx *all[COUNT];
static struct ctx_call calls[COUNT];

/* A chain of every kind; values at the top and in between. */
static void make_chain(void) {
  const tether_ctx *parent = tether_ctx_background();
  for (int i = 0; i < COUNT; i++) {
    if (i == 0) {
      all[i] = tether_ctx_with_value(parent, ctx_key_user(), "top");
    } else if (i % 7 == 3) {
      all[i] = tether_ctx_with_value(parent, ctx_key_trace(), &all[i]);
    } else if (i % 7 == 5) {
      all[i] = tether_ctx_with_timeout(parent, CTX_TEST_HOUR + (int64_t)(COUNT - i) * TETHER_MS);
    } else {
      all[i] = tether_ctx_with_cancel(parent);
    }
    parent = all[i];
  }
}

static const tether_ctx *leaf(void) { return all[COUNT - 1]; }

/* Only the leaf is left: its release takes a million ancestors with it. */
static void release_chain_from_its_leaf(void) {
  for (int i = 0; i < COUNT - 1; i++) tether_ctx_unref(all[i]);
  tether_ctx_unref(leaf());
}

static const char *polled_chain(void) {
  static const tether_key missing = {.name = "missing"};
  char text[64];
  make_chain();
  expect(tether_ctx_err(leaf()) == TETHER_OK);
  expect(tether_ctx_cause(leaf()) == NULL);
  expect(strcmp(tether_ctx_value(leaf(), ctx_key_user()), "top") == 0);
  expect(tether_ctx_value(leaf(), &missing) == NULL);
  expect(tether_ctx_deadline_ns(leaf()) < TETHER_FOREVER);
  expect(tether_ctx_text(leaf(), text, sizeof text) > (size_t)COUNT);
  expect(strncmp(text, "background.with_value(user).", 28) == 0);
  tether_ctx_cancel(all[1]);
  expect(tether_ctx_err(leaf()) == TETHER_CANCELLED);
  expect(tether_ctx_cause(leaf()) == tether_cause_canceled());
  release_chain_from_its_leaf();
  return NULL;
}

/* row 88 */
static void polled_chain_is_looked_up_cancelled_and_freed(void **state) {
  (void)state;
  run_on_small_stack(polled_chain);
}

static const char *told_chain(void) {
  int fd;
  make_chain();
  expect(tether_ctx_wait(leaf(), TETHER_US) == TETHER_OK); /* registers all */
  expect(tether_ctx_done_fd(leaf(), &fd) == TETHER_OK);
  expect(!ctx_fd_readable(fd));
  tether_ctx_cancel(all[1]);
  expect(tether_ctx_err(leaf()) == TETHER_CANCELLED);
  expect(tether_ctx_wait(leaf(), TETHER_FOREVER) == TETHER_CANCELLED);
  expect(ctx_fd_readable(fd));
  expect(tether_ctx_err(all[COUNT / 2]) == TETHER_CANCELLED);
  release_chain_from_its_leaf();
  return NULL;
}

/* row 88 */
static void registered_chain_is_cancelled_and_freed(void **state) {
  (void)state;
  run_on_small_stack(told_chain);
}

static const char *chain_with_callbacks(void) {
  make_chain();
  memset(calls, 0, sizeof calls);
  for (int i = 1; i < COUNT; i++) ctx_call_after(&calls[i], all[i], NULL);
  tether_ctx_cancel(all[1]);
  for (int i = 1; i < COUNT; i++) expect(atomic_load(&calls[i].runs) == 1);
  release_chain_from_its_leaf();
  return NULL;
}

/* row 88: Go's own propagation is recursive, and dies at four million */
static void callbacks_on_every_level_of_a_chain_all_run(void **state) {
  (void)state;
  run_on_small_stack(chain_with_callbacks);
}

static const char *live_chain_released(void) {
  make_chain();
  expect(tether_ctx_wait(leaf(), TETHER_US) == TETHER_OK);
  release_chain_from_its_leaf(); /* nobody cancelled anything */
  return NULL;
}

/* row 88 */
static void live_registered_chain_is_released_from_its_leaf(void **state) {
  (void)state;
  run_on_small_stack(live_chain_released);
}

static const char *chain_expires(void) {
  const tether_ctx *parent;
  all[0] = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_SEC);
  parent = all[0];
  for (int i = 1; i < COUNT; i++) parent = all[i] = tether_ctx_with_cancel(parent);
  expect(tether_ctx_wait(leaf(), TETHER_FOREVER) == TETHER_DEADLINE_EXCEEDED);
  expect(tether_ctx_cause(leaf()) == tether_cause_deadline_exceeded());
  release_chain_from_its_leaf();
  return NULL;
}

/* rows 59, 88 */
static void deadline_at_the_top_reaches_the_bottom(void **state) {
  (void)state;
  run_on_small_stack(chain_expires);
}

/* ---- Side by side -------------------------------------------------------------------------------------- */

static const char *children(bool told, bool cancelled) {
  tether_ctx *parent = tether_ctx_with_cancel(tether_ctx_background());
  memset(calls, 0, sizeof calls);
  for (int i = 0; i < COUNT; i++) {
    all[i] = i % 2 ? tether_ctx_with_cancel(parent) : tether_ctx_with_timeout(parent, CTX_TEST_HOUR + i);
    if (told) ctx_call_after(&calls[i], all[i], NULL);
  }
  if (cancelled) {
    tether_ctx_cancel(parent);
    for (int i = 0; i < COUNT; i++) expect(tether_ctx_err(all[i]) == TETHER_CANCELLED);
    for (int i = 0; told && i < COUNT; i++) expect(atomic_load(&calls[i].runs) == 1);
  }
  for (int i = 0; i < COUNT; i++) { /* from both ends and the middle: where a list scan would hurt most */
    int which = i % 2 ? COUNT - 1 - i / 2 : i / 2;
    if (told && !cancelled) expect(tether_after_stop(&calls[which].after));
    tether_ctx_unref(all[which]);
  }
  expect(tether_ctx_err(parent) == (cancelled ? TETHER_CANCELLED : TETHER_OK));
  tether_ctx_free(parent);
  return NULL;
}

static const char *polled_children(void) { return children(false, true); }
static const char *told_children(void) { return children(true, true); }
static const char *children_released_first(void) { return children(true, false); }

/* row 13 */
static void polled_children_end_with_their_parent(void **state) {
  (void)state;
  run_on_small_stack(polled_children);
}

/* row 13 */
static void registered_children_end_with_their_parent(void **state) {
  (void)state;
  run_on_small_stack(told_children);
}

/* row 17: leaving costs the same however many siblings there are */
static void registered_children_leave_their_parent_one_by_one(void **state) {
  (void)state;
  run_on_small_stack(children_released_first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(polled_chain_is_looked_up_cancelled_and_freed),
      behaviour(registered_chain_is_cancelled_and_freed),
      behaviour(callbacks_on_every_level_of_a_chain_all_run),
      behaviour(live_registered_chain_is_released_from_its_leaf),
      behaviour(deadline_at_the_top_reaches_the_bottom),
      behaviour(polled_children_end_with_their_parent),
      behaviour(registered_children_end_with_their_parent),
      behaviour(registered_children_leave_their_parent_one_by_one),
  };
  return cmocka_run_group_tests_name("depth", tests, NULL, NULL);
}
