#include "common/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <tether/base.h>
#include <unistd.h>

int svc_signals_open(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  int fd = signalfd(-1, &set, SFD_CLOEXEC);
  if (fd >= 0) return fd;
  perror("signalfd");
  exit(1);
}

/* Rounded up, so that the deadline has passed when poll says so. */
static int milliseconds_until(int64_t deadline_ns) {
  if (deadline_ns == TETHER_FOREVER) return -1;
  int64_t left_ns = deadline_ns - tether_now_ns();
  if (left_ns <= 0) return 0;
  return left_ns / TETHER_MS < INT32_MAX ? (int)(left_ns / TETHER_MS) + 1 : INT32_MAX;
}

int svc_signals_wait(int fd, int64_t deadline_ns) {
  struct signalfd_siginfo info;
  for (;;) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, milliseconds_until(deadline_ns)) == 0) return 0;
    ssize_t n = read(fd, &info, sizeof info);
    if (n == (ssize_t)sizeof info) return (int)info.ssi_signo;
    if (n < 0 && errno != EINTR) return SIGTERM; /* cannot happen; ending is the safe reading of it */
  }
}
