/* Happy path: for each direction of each connection one thread reads, notes when the bytes are due, and puts both into
 * a pipe; another takes them out, sleeps until then, and writes. The pipe is the queue: what does not fit waits in the
 * sender's socket, as on a link of that delay and little memory.
 * The end of a stream travels like bytes. Any other failure ends the process, and the benchmark notices. */
#include "bench/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness.h"

#define CHUNK 4096
#define PIPE_BYTES (1 << 20) /* the most that everybody may have */

struct direction {
  int from, to, pipe[2];
  int64_t delay_ns;
};

struct chunk {
  int64_t due_ns;
  size_t len; /* 0: the end */
  char bytes[CHUNK];
};

static struct sockaddr_un name(const char *address) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strncpy(name.sun_path, address, sizeof name.sun_path - 1);
  return name;
}

static void write_all(int fd, const void *bytes, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = write(fd, (const char *)bytes + at, len - at);
    if (n < 0) return; /* the other side has closed: the bytes have nowhere to go */
    at += (size_t)n;
  }
}

static void read_all(int fd, void *bytes, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = read(fd, (char *)bytes + at, len - at);
    if (n <= 0) bench_fail("relay: %s", strerror(errno));
    at += (size_t)n;
  }
}

static void *reader(void *data) {
  const struct direction *direction = data;
  struct chunk chunk;
  do {
    ssize_t n = read(direction->from, chunk.bytes, CHUNK);
    chunk.due_ns = bench_now_ns() + direction->delay_ns;
    chunk.len = n > 0 ? (size_t)n : 0;
    write_all(direction->pipe[1], &chunk, offsetof(struct chunk, bytes) + chunk.len);
  } while (chunk.len > 0);
  return NULL;
}

static void *writer(void *data) {
  const struct direction *direction = data;
  struct chunk chunk;
  do {
    read_all(direction->pipe[0], &chunk, offsetof(struct chunk, bytes));
    read_all(direction->pipe[0], chunk.bytes, chunk.len);
    struct timespec due = {.tv_sec = chunk.due_ns / 1000000000, .tv_nsec = chunk.due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    write_all(direction->to, chunk.bytes, chunk.len);
  } while (chunk.len > 0);
  shutdown(direction->to, SHUT_WR);
  return NULL;
}

static void relay(int from, int to, int64_t delay_ns) {
  struct direction *direction = calloc(1, sizeof *direction);
  pthread_t threads[2];
  if (!direction) bench_fail("relay: out of memory");
  *direction = (struct direction){.from = from, .to = to, .delay_ns = delay_ns};
  if (pipe(direction->pipe) != 0 || fcntl(direction->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0 ||
      pthread_create(&threads[0], NULL, reader, direction) != 0 ||
      pthread_create(&threads[1], NULL, writer, direction) != 0)
    bench_fail("relay: %s", strerror(errno));
}

static void serve(int listener, const char *target, int64_t delay_ns) {
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    struct sockaddr_un address = name(target);
    int in = accept(listener, NULL, NULL), out = socket(AF_UNIX, SOCK_STREAM, 0);
    if (in < 0 || out < 0 || connect(out, (struct sockaddr *)&address, sizeof address) != 0)
      bench_fail("relay: %s", strerror(errno));
    relay(in, out, delay_ns);
    relay(out, in, delay_ns);
  }
}

pid_t bench_relay_start(const char *address, const char *target, int delay_ms) {
  struct sockaddr_un bound = name(address);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&bound, sizeof bound) != 0 || listen(listener, 16) != 0)
    bench_fail("relay: %s", strerror(errno));
  pid_t pid = fork();
  if (pid < 0) bench_fail("fork: %s", strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    listener = dup2(listener, 3); /* whatever else was open must end when the parent closes it */
    close_range(4, ~0U, 0);
    serve(listener, target, (int64_t)delay_ms * 1000000);
  }
  close(listener);
  return pid;
}

void bench_relay_stop(pid_t pid) {
  int status;
  kill(pid, SIGTERM);
  if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) bench_fail("a relay failed");
}
