/* Finding forgotten contexts: the count in every build, the list with TETHER_DEBUG. */
#include <fcntl.h>

#include "tests/support/ctx_child.h"
#include "tests/support/ctx_thread.h"

static void count_is_of_contexts_made_and_not_yet_released(void **state) {
  size_t before = tether_ctx_live_count();
  (void)state;
  tether_ctx *cancel = tether_ctx_with_cancel(tether_ctx_background());
  assert_int_equal(tether_ctx_live_count(), before + 1);
  tether_ctx *timer = tether_ctx_with_timeout(cancel, CTX_TEST_HOUR);
  tether_ctx *value = tether_ctx_with_value(timer, ctx_key_user(), "ada");
  tether_ctx *without = tether_ctx_without_cancel(value);
  assert_int_equal(tether_ctx_live_count(), before + 4);
  tether_ctx_cancel(cancel); /* an ended context is alive as long as it is held */
  assert_int_equal(tether_ctx_live_count(), before + 4);
  tether_ctx_free(cancel); /* and as long as something derived from it is */
  tether_ctx_free(timer);
  tether_ctx_free(value);
  assert_int_equal(tether_ctx_live_count(), before + 4);
  tether_ctx_free(without);
  assert_int_equal(tether_ctx_live_count(), before);
}

struct maker {
  struct ctx_thread thread;
  tether_ctx *made[100];
};

static void make_many(void *data) {
  struct maker *m = data;
  for (int i = 0; i < 100; i++) m->made[i] = tether_ctx_with_cancel(tether_ctx_background());
}

/* Made on one thread and released on another. */
static void count_is_right_across_threads(void **state) {
  static struct maker makers[5];
  size_t before = tether_ctx_live_count();
  (void)state;
  for (int i = 0; i < 5; i++) ctx_thread_start(&makers[i].thread, make_many, &makers[i]);
  for (int i = 0; i < 5; i++) ctx_thread_join(&makers[i].thread);
  assert_int_equal(tether_ctx_live_count(), before + 500);
  for (int i = 0; i < 5; i++) {
    for (int n = 0; n < 100; n++) tether_ctx_free(makers[i].made[n]);
  }
  assert_int_equal(tether_ctx_live_count(), before);
}

/* What report_live writes, read back. */
static size_t report(char *text, size_t size) {
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  size_t lines = tether_ctx_report_live(fds[1]);
  close(fds[1]);
  ssize_t n = read(fds[0], text, size - 1);
  close(fds[0]);
  assert_true(n >= 0);
  text[n] = '\0';
  return lines;
}

static void report_has_one_line_per_live_context(void **state) {
  char text[4096];
  (void)state;
  assert_int_equal(report(text, sizeof text), 0);
  assert_string_equal(text, "");
  tether_ctx *first = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *second = tether_ctx_with_value(first, ctx_key_user(), "ada");
  size_t lines = report(text, sizeof text);
#ifdef TETHER_DEBUG
  size_t newlines = 0;
  for (const char *c = text; *c; c++) newlines += *c == '\n';
  assert_int_equal(lines, 2);
  assert_int_equal(newlines, 2);
  assert_non_null(strstr(text, "live_test.c:"));
  assert_non_null(strstr(text, "background.with_cancel.with_value(user)"));
  assert_null(strstr(text, "ada"));
#else
  assert_int_equal(lines, 0);
  assert_string_equal(text, "");
#endif
  tether_ctx_free(second);
  tether_ctx_free(first);
  assert_int_equal(report(text, sizeof text), 0);
}

struct deriver {
  struct ctx_thread thread;
  struct ctx_latch *stop;
};

/* What malloc returns next is full of rubbish. */
static void litter(void) {
  for (size_t size = 32; size <= 320; size += 16) {
    void *volatile p = malloc(size);
    if (p != NULL) memset(p, 0x5a, size);
    free(p);
  }
}

static void derive_until_stopped(void *data) {
  struct deriver *d = data;
  while (!ctx_latch_is_open(d->stop)) {
    litter();
    tether_ctx *timed = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
    tether_ctx *valued = tether_ctx_with_value(timed, ctx_key_user(), "ada");
    tether_ctx *merged = tether_ctx_merge(tether_ctx_background(), valued);
    tether_ctx_free(merged);
    tether_ctx_free(valued);
    tether_ctx_free(timed);
  }
}

/* A report meets contexts that other threads have just made, never half made ones. */
static void report_while_contexts_are_made_is_safe(void **state) {
  static struct deriver derivers[2];
  struct ctx_latch stop = {false};
  (void)state;
  const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  for (int i = 0; i < 2; i++) {
    derivers[i].stop = &stop;
    ctx_thread_start(&derivers[i].thread, derive_until_stopped, &derivers[i]);
  }
  for (int i = 0; i < CTX_TEST_ROUNDS(20000); i++) (void)tether_ctx_report_live(fd);
  ctx_latch_open(&stop);
  for (int i = 0; i < 2; i++) ctx_thread_join(&derivers[i].thread);
  close(fd);
}

/* made_at passes its argument through in every build. */
static void noting_the_place_returns_the_context(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  assert_ptr_equal(tether_ctx_made_at(ctx, "elsewhere.c", 7), ctx);
#ifdef TETHER_DEBUG
  char text[4096];
  assert_int_equal(report(text, sizeof text), 1);
  assert_non_null(strstr(text, "elsewhere.c:7"));
#endif
  tether_ctx_free(ctx);
}

static tether_ctx *volatile forgotten; /* not out of reach, or LeakSanitizer would report it as well */

static void exit_with_forgotten_context(void *forget) {
  forgotten = tether_ctx_with_cancel(tether_ctx_background());
  if (!*(bool *)forget) tether_ctx_free(forgotten);
  exit(0); /* with the exit handlers, unlike the other children */
}

static void contexts_left_at_exit_are_reported(void **state) {
  struct ctx_child child;
  (void)state;
  for (int i = 0; i < 2; i++) {
    bool forget = i == 1;
    ctx_child_run(&child, exit_with_forgotten_context, &forget);
#ifdef TETHER_DEBUG
    assert_int_equal(strstr(child.errors, "live_test.c:") != NULL, forget);
#else
    assert_null(strstr(child.errors, "live_test.c:"));
#endif
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(count_is_of_contexts_made_and_not_yet_released), behaviour(count_is_right_across_threads),
      behaviour(report_has_one_line_per_live_context),           behaviour(report_while_contexts_are_made_is_safe),
      behaviour(noting_the_place_returns_the_context),           behaviour(contexts_left_at_exit_are_reported),
  };
  return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
