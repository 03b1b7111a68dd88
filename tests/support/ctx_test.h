/* What every test of the context library shares: cmocka in the order it wants, checks that look at a
 * context in every way there is, and a list entry that fails a test for contexts it left behind.
 *
 * A context behaves the same whether somebody has to be told of its end or it is only polled, but inside
 * these are two mechanisms. both_ways(test) runs a test once in each: the test calls tell(state, ctx) for
 * the contexts that are to be registered. */
#ifndef TESTS_SUPPORT_CTX_TEST_H
#define TESTS_SUPPORT_CTX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tether/clock.h>
#include <tether/ctx.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CTX_TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define CTX_TEST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CTX_TEST_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CTX_TEST_ASAN 1
#endif
#if defined(CTX_TEST_TSAN) || defined(CTX_TEST_ASAN)
#define CTX_TEST_SANITIZED 1
#endif

/* How long a condition that must come true is waited for; reaching it is a failure. */
#define CTX_TEST_BOUND_NS (30 * TETHER_SEC)

/* A long loop, shorter where every access is instrumented. */
#if defined(CTX_TEST_TSAN)
#define CTX_TEST_ROUNDS(n) ((n) / 10)
#elif defined(CTX_TEST_ASAN)
#define CTX_TEST_ROUNDS(n) ((n) / 4)
#else
#define CTX_TEST_ROUNDS(n) (n)
#endif

#define CTX_TEST_HOUR (3600 * TETHER_SEC)

/* The kernel's monotonic time, whatever clock is installed. */
static inline int64_t ctx_real_now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * TETHER_SEC + ts.tv_nsec;
}

/* Between two looks at a condition that another thread or process makes true. */
static inline void ctx_pause(void) { nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

/* ---- Polled and told ----------------------------------------------------------------------- */

enum ctx_mode { CTX_POLLED, CTX_TOLD };

static inline void *ctx_mode_state(enum ctx_mode mode) {
  static enum ctx_mode modes[] = {CTX_POLLED, CTX_TOLD};
  return &modes[mode];
}

static inline bool told(void **state) { return *(const enum ctx_mode *)*state == CTX_TOLD; }

/* In the "told" run: makes `ctx` one whose end somebody must be told of. */
static inline void tell(void **state, const tether_ctx *ctx) {
  int fd = -2;
  if (!told(state)) return;
  assert_int_equal(tether_ctx_done_fd(ctx, &fd), TETHER_OK);
  assert_int_not_equal(fd, -2);
}

/* ---- Leftovers ----------------------------------------------------------------------------- */

static inline size_t *ctx_live_before(void) {
  static size_t count;
  return &count;
}

static inline int ctx_setup(void **state) {
  (void)state;
  *ctx_live_before() = tether_ctx_live_count();
  return 0;
}

/* Other threads (timers, executors) may hold a context a moment longer than the test: wait, bounded. */
static inline int ctx_teardown(void **state) {
  int64_t give_up_ns = ctx_real_now_ns() + 5 * TETHER_SEC;
  (void)state;
  while (tether_ctx_live_count() != *ctx_live_before()) {
    if (ctx_real_now_ns() > give_up_ns) {
      print_error("contexts alive: %zu before the test, %zu after\n", *ctx_live_before(), tether_ctx_live_count());
      return -1;
    }
    ctx_pause();
  }
  return 0;
}

#define behaviour(test) \
  { #test, test, ctx_setup, ctx_teardown, NULL }
#define both_ways(test)                                                             \
  {#test " (polled)", test, ctx_setup, ctx_teardown, ctx_mode_state(CTX_POLLED)}, { \
#test " (told)", test, ctx_setup, ctx_teardown, ctx_mode_state(CTX_TOLD)        \
  }

/* ---- Looking at a context ------------------------------------------------------------------ */

static inline bool ctx_fd_readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

/* The context is done with `err` and this very cause (NULL: whichever), in every way of looking. */
#define assert_ended(ctx, err, cause) ctx_assert_ended(ctx, err, cause, __FILE__, __LINE__)
#define assert_cancelled(ctx, cause) assert_ended(ctx, TETHER_CANCELLED, cause)
#define assert_expired(ctx, cause) assert_ended(ctx, TETHER_DEADLINE_EXCEEDED, cause)

static inline void ctx_assert_ended(const tether_ctx *ctx, tether_code err, const tether_cause *cause, const char *file,
                                    int line) {
  int fd = -2;
  for (int i = 0; i < 2; i++) {
    _assert_string_equal(tether_code_name(tether_ctx_err(ctx)), tether_code_name(err), file, line);
    if (cause) _assert_true(tether_ctx_cause(ctx) == cause, "the cause is the one expected", file, line);
    _assert_true(tether_ctx_cause(ctx) != NULL, "an ended context has a cause", file, line);
    _assert_int_equal(tether_ctx_wait(ctx, TETHER_FOREVER), err, file, line);
    _assert_int_equal(tether_ctx_wait(ctx, 0), err, file, line);
  }
  _assert_int_equal(tether_ctx_done_fd(ctx, &fd), TETHER_OK, file, line);
  _assert_true(ctx_fd_readable(fd), "the done_fd of an ended context is readable", file, line);
  _assert_int_equal(tether_ctx_poll_timeout_ms(ctx), 0, file, line);
}

/* The context is live, as far as polling shows. Registers nothing. */
#define assert_live(ctx) ctx_assert_live(ctx, __FILE__, __LINE__)

static inline void ctx_assert_live(const tether_ctx *ctx, const char *file, int line) {
  _assert_string_equal(tether_code_name(tether_ctx_err(ctx)), "OK", file, line);
  _assert_true(tether_ctx_cause(ctx) == NULL, "a live context has no cause", file, line);
}

/* The context is live, in every way of looking. */
#define assert_live_throughout(ctx) ctx_assert_live_throughout(ctx, __FILE__, __LINE__)

static inline void ctx_assert_live_throughout(const tether_ctx *ctx, const char *file, int line) {
  int fd = -2;
  ctx_assert_live(ctx, file, line);
  _assert_int_equal(tether_ctx_wait(ctx, 0), TETHER_OK, file, line);
  _assert_int_equal(tether_ctx_done_fd(ctx, &fd), TETHER_OK, file, line);
  _assert_true(!ctx_fd_readable(fd), "the done_fd of a live context is not readable", file, line);
  ctx_assert_live(ctx, file, line);
}

#define assert_code(code, expected) assert_string_equal(tether_code_name(code), tether_code_name(expected))

/* Two plain keys. */
static inline const tether_key *ctx_key_user(void) {
  static const tether_key key = {.name = "user"};
  return &key;
}

static inline const tether_key *ctx_key_trace(void) {
  static const tether_key key = {.name = "trace"};
  return &key;
}

/* A small generator of repeatable random numbers (xorshift). */
static inline uint32_t ctx_random(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  *seed ^= *seed << 5;
  return *seed;
}

#endif
