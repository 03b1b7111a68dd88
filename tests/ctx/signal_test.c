/* Cancelling from a signal handler: request_cancel may be called there, whatever the handler interrupts. */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#include "tests/support/ctx_thread.h"

static tether_ctx *_Atomic handlers_ctx;
static atomic_int handled, errno_lost;

static void request(int signal_number) {
  const int saved_errno = errno;
  (void)signal_number;
  errno = 4711;
  tether_ctx_request_cancel(atomic_load(&handlers_ctx));
  if (errno != 4711) atomic_fetch_add(&errno_lost, 1);
  errno = saved_errno;
  atomic_fetch_add(&handled, 1);
}

static int install(void **state) {
  struct sigaction action = {.sa_handler = request, .sa_flags = SA_RESTART};
  atomic_store(&handled, 0);
  atomic_store(&errno_lost, 0);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGALRM, &action, NULL);
  return ctx_setup(state);
}

static int uninstall(void **state) {
  signal(SIGUSR1, SIG_DFL);
  signal(SIGALRM, SIG_DFL);
  return ctx_teardown(state);
}

#define with_handler(test) \
  { #test, test, install, uninstall, NULL }

static void assert_requested(const tether_ctx *ctx) {
  const tether_cause *cause;
  assert_code(tether_ctx_wait(ctx, CTX_TEST_BOUND_NS), TETHER_CANCELLED);
  cause = tether_ctx_cause(ctx);
  assert_cancelled(ctx, cause);
  assert_int_equal(tether_cause_get_code(cause), TETHER_CAUSE_CALLER);
  assert_string_equal(tether_cause_text(cause), "cancel requested from a signal handler");
}

static void handlers_request_cancels_the_context_and_all_below(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *child = tether_ctx_with_cancel(ctx);
  struct ctx_call call = {.runs = 0};
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  assert_live(ctx);
  ctx_call_after(&call, child, NULL);
  atomic_store(&handlers_ctx, ctx);
  errno = 99;
  assert_int_equal(raise(SIGUSR1), 0);
  assert_int_equal(atomic_load(&handled), 1);
  assert_int_equal(atomic_load(&errno_lost), 0);
  assert_requested(ctx);
  assert_cancelled(child, tether_ctx_cause(ctx));
  assert_true(ctx_count_wait(&call.runs, 1));
  tether_after_stop_wait(&call.after);
  tether_ctx_free(child);
  tether_ctx_free(ctx);
}

/* Only the handler's own thread is interrupted; the others are released all the same. */
struct waiter {
  struct ctx_thread thread;
  const tether_ctx *ctx;
  tether_code result;
};

static void wait_for_end(void *data) {
  struct waiter *w = data;
  w->result = tether_ctx_wait(w->ctx, TETHER_FOREVER);
}

/* TSan keeps signals back while a thread is blocked in a system call that it does not know of. */
#ifdef CTX_TEST_TSAN
#define needs_signals_while_blocked() skip()
#else
#define needs_signals_while_blocked() ((void)0)
#endif

static void handlers_request_releases_blocked_threads(void **state) {
  needs_signals_while_blocked();
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct waiter waiter = {.ctx = ctx, .result = TETHER_UNKNOWN};
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  atomic_store(&handlers_ctx, ctx);
  ctx_thread_start(&waiter.thread, wait_for_end, &waiter);
  ctx_thread_blocks(&waiter.thread);
  assert_int_equal(pthread_kill(waiter.thread.thread, SIGUSR1), 0); /* interrupts the very wait it ends */
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_CANCELLED);
  assert_requested(ctx);
  tether_ctx_free(ctx);
}

/* A signal that has nothing to do with the context is no end: the wait goes on. */
static void other_signals_do_not_end_a_wait(void **state) {
  needs_signals_while_blocked();
  tether_ctx *unrelated = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct waiter waiter = {.ctx = ctx, .result = TETHER_UNKNOWN};
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(unrelated), TETHER_OK);
  atomic_store(&handlers_ctx, unrelated);
  ctx_thread_start(&waiter.thread, wait_for_end, &waiter);
  ctx_thread_blocks(&waiter.thread);
  for (int i = 0; i < 10; i++) {
    int before = atomic_load(&handled);
    assert_int_equal(pthread_kill(waiter.thread.thread, SIGUSR1), 0);
    assert_true(ctx_count_wait(&handled, before + 1));
    ctx_thread_blocks(&waiter.thread);
  }
  assert_live(ctx);
  tether_ctx_cancel(ctx);
  ctx_thread_join(&waiter.thread);
  assert_code(waiter.result, TETHER_CANCELLED);
  assert_requested(unrelated);
  tether_ctx_free(ctx);
  tether_ctx_free(unrelated);
}

static void many_requests_are_one_cancel(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  atomic_store(&handlers_ctx, ctx);
  for (int i = 0; i < 1000; i++) raise(SIGUSR1);
  assert_requested(ctx);
  for (int i = 0; i < 10; i++) raise(SIGUSR1);
  assert_requested(ctx);
  assert_int_equal(atomic_load(&handled), 1010);
  tether_ctx_free(ctx);
}

/* row 11: the first cause wins, here too */
static void request_for_an_ended_context_changes_nothing(void **state) {
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *witness = tether_ctx_with_cancel(tether_ctx_background());
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  assert_code(tether_ctx_enable_request_cancel(witness), TETHER_OK);
  tether_ctx_cancel(ctx);
  atomic_store(&handlers_ctx, ctx);
  raise(SIGUSR1);
  atomic_store(&handlers_ctx, witness);
  raise(SIGUSR1);
  assert_requested(witness); /* and the one before has been served, or is about to be */
  assert_cancelled(ctx, tether_cause_canceled());
  tether_ctx_free(witness);
  tether_ctx_free(ctx);
}

/* Released right after its end was seen: the service must not touch it any more. */
static void requested_context_may_be_freed_once_the_end_is_seen(void **state) {
  (void)state;
  for (int i = 0; i < CTX_TEST_ROUNDS(20000); i++) {
    tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
    atomic_store(&handlers_ctx, ctx);
    raise(SIGUSR1);
    assert_code(tether_ctx_wait(ctx, CTX_TEST_BOUND_NS), TETHER_CANCELLED);
    tether_ctx_free(ctx);
  }
}

struct requester {
  struct ctx_thread thread;
  tether_ctx **all;
  int count;
};

static void request_all(void *data) {
  struct requester *r = data;
  for (int i = 0; i < r->count; i++) tether_ctx_request_cancel(r->all[i]);
}

/* Handlers on several threads at once: no request is lost. */
static void requests_from_many_threads_are_all_served(void **state) {
  enum { N = 2000 };
  static tether_ctx *all[N];
  struct requester requesters[3];
  (void)state;
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < N; i++) {
      all[i] = tether_ctx_with_cancel(tether_ctx_background());
      assert_code(tether_ctx_enable_request_cancel(all[i]), TETHER_OK);
    }
    for (int i = 0; i < 3; i++) {
      requesters[i].all = all;
      requesters[i].count = N;
      ctx_thread_start(&requesters[i].thread, request_all, &requesters[i]);
    }
    for (int i = 0; i < 3; i++) ctx_thread_join(&requesters[i].thread);
    for (int i = 0; i < N; i++) {
      assert_code(tether_ctx_wait(all[i], CTX_TEST_BOUND_NS), TETHER_CANCELLED);
      tether_ctx_free(all[i]);
    }
  }
}

/* The handler strikes inside every function of the library, locks held: it must not deadlock. */
static void handler_may_interrupt_any_function(void **state) {
  const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
  tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx *root = tether_ctx_with_cancel(tether_ctx_background());
  int64_t until_ns;
  int uses = 0;
  (void)state;
  assert_code(tether_ctx_enable_request_cancel(ctx), TETHER_OK);
  atomic_store(&handlers_ctx, ctx);
  assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
  until_ns = ctx_real_now_ns() + 500 * TETHER_MS;
  while (ctx_real_now_ns() < until_ns || uses < 1000 || atomic_load(&handled) < 100) {
    tether_ctx *mine = tether_ctx_with_timeout(root, CTX_TEST_HOUR);
    tether_ctx *child = tether_ctx_with_cancel(mine);
    struct ctx_call call = {.runs = 0};
    tether_ctx *old = ctx;
    ctx_call_after(&call, child, NULL);
    tether_ctx_cancel(mine);
    tether_ctx_free(child);
    tether_ctx_free(mine);
    if (atomic_load(&call.runs) != 1) break;
    if (tether_ctx_err(ctx) == TETHER_OK) continue;
    ctx = tether_ctx_with_cancel(root); /* a new one for the handler */
    if (tether_ctx_enable_request_cancel(ctx) != TETHER_OK) break;
    atomic_store(&handlers_ctx, ctx);
    tether_ctx_free(old);
    uses++;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  assert_true(uses >= 1000);
  assert_true(atomic_load(&handled) >= 100);
  assert_int_equal(atomic_load(&errno_lost), 0);
  tether_ctx_free(ctx);
  tether_ctx_free(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_handler(handlers_request_cancels_the_context_and_all_below),
      with_handler(handlers_request_releases_blocked_threads),
      with_handler(other_signals_do_not_end_a_wait),
      with_handler(many_requests_are_one_cancel),
      with_handler(request_for_an_ended_context_changes_nothing),
      with_handler(requested_context_may_be_freed_once_the_end_is_seen),
      with_handler(requests_from_many_threads_are_all_served),
      with_handler(handler_may_interrupt_any_function),
  };
  return cmocka_run_group_tests_name("signal", tests, NULL, NULL);
}
