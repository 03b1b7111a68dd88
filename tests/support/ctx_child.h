/* Forked children in tests: programming errors that must abort, and behaviour across fork. A child
 * never returns into cmocka: it ends by _exit, and reports a broken expectation on standard error. */
#ifndef TESTS_SUPPORT_CTX_CHILD_H
#define TESTS_SUPPORT_CTX_CHILD_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/support/ctx_test.h"

#ifdef CTX_TEST_TSAN
/* Children start threads of their own; TSan allows that only when asked. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }
#endif

/* In a child: the expectation, or the end of the child. */
#define child_expect(condition)                                                        \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      dprintf(STDERR_FILENO, "%s:%d: in child: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                        \
    }                                                                                  \
  } while (0)

/* How a child ended and the beginning of what it wrote to standard error. */
struct ctx_child {
  int status;
  char errors[4096];
};

/* Runs fn(data) in a child that dies by SIGALRM if it takes longer than the bound. */
static inline void ctx_child_run(struct ctx_child *child, void (*fn)(void *data), void *data) {
  int fds[2];
  size_t used = 0;
  pid_t pid;
  assert_int_equal(pipe(fds), 0);
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(CTX_TEST_BOUND_NS / TETHER_SEC));
    dup2(fds[1], STDERR_FILENO);
    close(fds[0]);
    close(fds[1]);
    fn(data);
    _exit(0);
  }
  close(fds[1]);
  for (;;) {
    char spill[512];
    bool full = used + 1 >= sizeof child->errors;
    ssize_t n =
        full ? read(fds[0], spill, sizeof spill) : read(fds[0], child->errors + used, sizeof child->errors - 1 - used);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (!full) used += (size_t)n;
  }
  child->errors[used] = '\0';
  close(fds[0]);
  while (waitpid(pid, &child->status, 0) < 0 && errno == EINTR) continue;
}

/* The child kept every expectation. */
static inline void ctx_child_succeeds(void (*fn)(void *data), void *data) {
  struct ctx_child child;
  ctx_child_run(&child, fn, data);
  if (!WIFEXITED(child.status) || WEXITSTATUS(child.status) != 0) {
    fail_msg("child ended with status %#x: %s", (unsigned)child.status, child.errors);
  }
}

/* fn aborts the process, and says `message`. */
static inline void ctx_child_aborts(void (*fn)(void *data), void *data, const char *message) {
  struct ctx_child child;
  ctx_child_run(&child, fn, data);
  if (!WIFSIGNALED(child.status) || WTERMSIG(child.status) != SIGABRT) {
    fail_msg("expected an abort, got status %#x: %s", (unsigned)child.status, child.errors);
  }
  if (!strstr(child.errors, message)) fail_msg("expected \"%s\", got \"%s\"", message, child.errors);
}

#endif
