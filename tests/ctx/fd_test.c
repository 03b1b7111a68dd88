/* done_fd and the poll time-out: a level that nobody consumes, and life without descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

static int done_fd(const tether_ctx *ctx) {
  int fd = -2;
  assert_code(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
  return fd;
}

static int open_descriptors(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/fd");
  assert_non_null(dir);
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

/* row 32: readable for ever, for everyone who polls */
static void done_fd_is_a_level(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  int fd = done_fd(ctx), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN}, seen;
  (void)state;
  assert_true(epoll >= 0);
  assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
  assert_false(ctx_fd_readable(fd));
  assert_int_equal(epoll_wait(epoll, &seen, 1, 0), 0);
  tether_ctx_cancel(ctx);
  for (int i = 0; i < 100; i++) {
    assert_true(ctx_fd_readable(fd));
    assert_int_equal(epoll_wait(epoll, &seen, 1, 0), 1);
    assert_code(tether_ctx_wait(ctx, 0), TETHER_CANCELLED);
    assert_int_equal(done_fd(ctx), fd);
  }
  close(epoll);
  tether_ctx_free(ctx);
}

/* row 27 */
static void done_fd_asked_for_after_the_end_is_readable(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *expired = tether_ctx_with_timeout(tether_ctx_background(), -1);
  (void)state;
  tether_ctx_cancel(ctx);
  assert_true(ctx_fd_readable(done_fd(ctx)));
  assert_true(ctx_fd_readable(done_fd(expired)));
  tether_ctx_free(expired);
  tether_ctx_free(ctx);
}

/* row 9: whoever ends it: an ancestor's cancel makes it readable before the cancel returns */
static void done_fd_is_readable_when_an_ancestors_cancel_returns(void **state) {
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *middle = tether_ctx_with_value(root, ctx_key_user(), "ada");
  tether_ctx *leaf = tether_ctx_with_cancel(middle);
  int fd = done_fd(leaf);
  (void)state;
  tether_ctx_cancel(root);
  assert_true(ctx_fd_readable(fd));
  tether_ctx_free(leaf);
  tether_ctx_free(middle);
  tether_ctx_free(root);
}

/* row 26: not inherited by programs that are executed, and never blocking */
static void done_fd_is_closed_on_exec(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  int fd = done_fd(ctx);
  (void)state;
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
  tether_ctx_free(ctx);
}

/* row 26: it lives as long as the context and no longer */
static void descriptors_are_closed_with_their_contexts(void **state) {
  int before = open_descriptors();
  (void)state;
  for (int round = 0; round < 3; round++) {
    tether_ctx *all[50];
    for (int i = 0; i < 50; i++) {
      all[i] = tether_ctx_with_cancel(tether_ctx_background());
      assert_true(done_fd(all[i]) >= 0);
    }
    assert_true(open_descriptors() >= before + 50);
    for (int i = 0; i < 50; i++) {
      if (i % 2) tether_ctx_cancel(all[i]);
      if (i % 3) {
        tether_ctx_free(all[i]);
      } else {
        tether_ctx_unref(all[i]);
      }
    }
    assert_int_equal(open_descriptors(), before);
  }
}

static void contexts_without_a_done_fd_open_none(void **state) {
  tether_ctx *parent = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  tether_ctx *child = tether_ctx_with_cancel(parent);
  int before = open_descriptors();
  struct ctx_call call = {.runs = 0};
  (void)state;
  ctx_call_after(&call, child, NULL);
  assert_code(tether_ctx_wait(child, TETHER_US), TETHER_OK);
  tether_ctx_cancel(parent);
  assert_int_equal(open_descriptors(), before);
  tether_ctx_free(child);
  tether_ctx_free(parent);
}

struct asker {
  tether_ctx *ctx;
  int fds[2];
};

static void asker_prepare(void *data) {
  struct asker *a = data;
  a->ctx = tether_ctx_with_cancel(tether_ctx_background());
}

static void ask_first(void *data) {
  struct asker *a = data;
  if (tether_ctx_done_fd(a->ctx, &a->fds[0]) != TETHER_OK) a->fds[0] = -2;
}

static void ask_second(void *data) {
  struct asker *a = data;
  if (tether_ctx_done_fd(a->ctx, &a->fds[1]) != TETHER_OK) a->fds[1] = -3;
}

static void cancel_asked(void *data) { tether_ctx_cancel(((struct asker *)data)->ctx); }

static bool asker_check(void *data) {
  struct asker *a = data;
  bool kept = a->fds[0] >= 0 && a->fds[0] == a->fds[1] && ctx_fd_readable(a->fds[0]);
  tether_ctx_free(a->ctx);
  return kept;
}

/* row 26: two who ask at once get the same, and a cancel at that moment makes it readable */
static void done_fd_asked_for_by_two_threads_is_one(void **state) {
  struct asker a;
  struct ctx_race race = {
      .prepare = asker_prepare, .actors = {ask_first, ask_second, cancel_asked}, .check = asker_check, .data = &a};
  int before = open_descriptors();
  (void)state;
  assert_int_equal(ctx_race_run(&race, CTX_TEST_ROUNDS(50000)), -1);
  assert_int_equal(open_descriptors(), before);
}

/* ---- Out of descriptors --------------------------------------------------------------------------- */

struct waiter {
  struct ctx_thread thread;
  const tether_ctx *ctx;
  tether_code result;
};

static void wait_for_end(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_wait(w->ctx, TETHER_FOREVER);
}

/* Every descriptor below the limit taken, the limit as low as it goes. */
struct famine {
  struct rlimit before;
  int fds[64];
  int count;
};

static void famine_begin(struct famine *f) {
  struct rlimit low;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &f->before), 0);
  low = f->before;
  low.rlim_cur = 32;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (f->count = 0; f->count < 64; f->count++) {
    f->fds[f->count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (f->fds[f->count] < 0) break;
  }
}

static void famine_end(struct famine *f) {
  while (f->count > 0) close(f->fds[--f->count]);
  setrlimit(RLIMIT_NOFILE, &f->before);
}

/* row 34: without descriptors every other way of waiting still works */
static void waiting_works_without_descriptors(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *soon = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_MS);
  struct waiter waiter = {.ctx = ctx, .result = TETHER_UNKNOWN};
  struct ctx_call call = {.runs = 0};
  struct famine famine;
  int fd = -7, probe;
  tether_code asked, asked_again, expired;
  (void)state;
  ctx_thread_start(&waiter.thread, wait_for_end, &waiter);
  ctx_thread_blocks(&waiter.thread);
  famine_begin(&famine);
  probe = open("/dev/null", O_RDONLY);
  asked = tether_ctx_done_fd(ctx, &fd);
  asked_again = tether_ctx_done_fd(ctx, &fd);
  ctx_call_after(&call, ctx, NULL);
  expired = tether_ctx_wait(soon, TETHER_FOREVER);
  tether_ctx_cancel(ctx);
  famine_end(&famine);
  ctx_thread_join(&waiter.thread);
  assert_int_equal(probe, -1); /* there really was none */
  assert_code(asked, TETHER_RESOURCE_EXHAUSTED);
  assert_code(asked_again, TETHER_RESOURCE_EXHAUSTED);
  assert_int_equal(fd, -7); /* written on success only */
  assert_code(expired, TETHER_DEADLINE_EXCEEDED);
  assert_code(waiter.result, TETHER_CANCELLED);
  assert_int_equal(atomic_load(&call.runs), 1);
  assert_cancelled(ctx, tether_cause_canceled()); /* which asks again, now with success */
  tether_ctx_free(ctx);
  tether_ctx_free(soon);
}

/* ---- Time-outs for poll ---------------------------------------------------------------------------- */

static void poll_timeout_is_rounded_up_to_milliseconds(void **state) {
  const struct {
    int64_t left_ns;
    int ms;
  } cases[] = {{1, 1},
               {TETHER_MS - 1, 1},
               {TETHER_MS, 1},
               {TETHER_MS + 1, 2},
               {1500 * TETHER_MS, 1500},
               {1500 * TETHER_MS + 1, 1501},
               {(int64_t)INT_MAX * TETHER_MS - 1, INT_MAX},
               {(int64_t)INT_MAX * TETHER_MS, INT_MAX},
               {(int64_t)INT_MAX * TETHER_MS + 1, INT_MAX},
               {INT64_MAX / 2, INT_MAX},
               {0, 0},
               {-1, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), cases[i].left_ns);
    assert_int_equal(tether_ctx_poll_timeout_ms(ctx), cases[i].ms);
    tether_ctx_cancel(ctx);
    assert_int_equal(tether_ctx_poll_timeout_ms(ctx), 0);
    tether_ctx_free(ctx);
  }
}

static void poll_timeout_without_deadline_is_minus_one_until_done(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  assert_int_equal(tether_ctx_poll_timeout_ms(ctx), -1);
  assert_int_equal(tether_ctx_poll_timeout_ms(tether_ctx_background()), -1);
  tether_ctx_cancel(ctx);
  assert_int_equal(tether_ctx_poll_timeout_ms(ctx), 0);
  tether_ctx_free(ctx);
}

/* Rounded down it would let poll return before the end, and the loop around it spin. */
static void polling_with_it_never_returns_before_the_deadline(void **state) {
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 2 * TETHER_MS + 300 * TETHER_US);
  (void)state;
  assert_int_equal(poll(NULL, 0, tether_ctx_poll_timeout_ms(ctx)), 0);
  assert_code(tether_ctx_err(ctx), TETHER_DEADLINE_EXCEEDED);
  tether_ctx_free(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(done_fd_is_a_level),
      behaviour(done_fd_asked_for_after_the_end_is_readable),
      behaviour(done_fd_is_readable_when_an_ancestors_cancel_returns),
      behaviour(done_fd_is_closed_on_exec),
      behaviour(descriptors_are_closed_with_their_contexts),
      behaviour(contexts_without_a_done_fd_open_none),
      behaviour(done_fd_asked_for_by_two_threads_is_one),
      behaviour(waiting_works_without_descriptors),
      in_virtual_time(poll_timeout_is_rounded_up_to_milliseconds),
      behaviour(poll_timeout_without_deadline_is_minus_one_until_done),
      behaviour(polling_with_it_never_returns_before_the_deadline),
  };
  return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
