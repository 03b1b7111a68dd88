/* The limit for ipc: blocking read and write on a unix stream socket, nothing else. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/harness.h"

static int endpoint(const bench_options *options, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  strncpy(address->sun_path, options->address, sizeof address->sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) bench_fail("no socket");
  return fd;
}

static void serve(const bench_options *options) {
  struct sockaddr_un address;
  int listener = endpoint(options, &address);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
    bench_fail("the server cannot listen at %s", options->address);
  if (write(STDOUT_FILENO, "", 1) != 1) bench_fail("the parent has gone");
  int fd = accept(listener, NULL, NULL);
  char payload[BENCH_PAYLOAD_BYTES];
  while (read(fd, payload, sizeof payload) == sizeof payload)
    if (write(fd, payload, sizeof payload) != sizeof payload) bench_fail("short write");
}

static void call_once(void *data) {
  int fd = *(int *)data;
  char payload[BENCH_PAYLOAD_BYTES] = {0};
  if (write(fd, payload, sizeof payload) != sizeof payload || read(fd, payload, sizeof payload) != sizeof payload)
    bench_fail("a call failed");
}

static void measure(const bench_options *options, bench_run *run) {
  struct sockaddr_un address;
  int fd = endpoint(options, &address);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) bench_fail("no connection");
  bench_one_by_one(run, call_once, &fd);
  close(fd);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
