#include "tests/support/raw_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/wait.h"

static int bounded(int fd) {
  struct timeval bound = {.tv_sec = TST_BOUND_NS / TETHER_SEC};
  if (fd >= 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  }
  return fd;
}

static int opened(int family, const void *address, socklen_t len, bool listens) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int error = listens ? bind(fd, address, len) || listen(fd, 16) : connect(fd, address, len);
  if (error) {
    close(fd);
    return -1;
  }
  return bounded(fd);
}

static struct sockaddr_in loopback(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static struct sockaddr_un local(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

int raw_connect_tcp(uint16_t port) {
  struct sockaddr_in address = loopback(port);
  return opened(AF_INET, &address, sizeof address, false);
}

int raw_connect_ipc(const char *path) {
  struct sockaddr_un address = local(path);
  return opened(AF_UNIX, &address, sizeof address, false);
}

int raw_listen_tcp(uint16_t *port) {
  struct sockaddr_in address = loopback(0);
  socklen_t len = sizeof address;
  int fd = opened(AF_INET, &address, sizeof address, true);
  if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0) *port = ntohs(address.sin_port);
  return fd;
}

int raw_listen_ipc(const char *path) {
  struct sockaddr_un address = local(path);
  return opened(AF_UNIX, &address, sizeof address, true);
}

int raw_accept(int listener) { return bounded(accept4(listener, NULL, NULL, SOCK_CLOEXEC)); }

bool raw_write(int fd, const void *bytes, size_t len) {
  const uint8_t *at = bytes;
  while (len > 0) {
    ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    len -= (size_t)n;
  }
  return true;
}

bool raw_read(int fd, void *bytes, size_t len) {
  uint8_t *at = bytes;
  while (len > 0) {
    ssize_t n = recv(fd, at, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    len -= (size_t)n;
  }
  return true;
}

bool raw_is_closed(int fd) {
  uint8_t bytes[4096];
  for (;;) {
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 || errno == ECONNRESET || errno == EPIPE;
  }
}

bool raw_greet(int fd) {
  static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x10, 0, 0};
  uint8_t theirs[8];
  return raw_write(fd, greeting, sizeof greeting) && raw_read(fd, theirs, sizeof theirs) &&
         memcmp(theirs, greeting, sizeof greeting) == 0;
}

/* ---- Standard error ------------------------------------------------------------------------- */

bool tst_stderr_catch(tst_stderr *caught) {
  *caught = (tst_stderr){.saved = dup(STDERR_FILENO), .file = tmpfile()};
  return caught->saved >= 0 && caught->file && dup2(fileno(caught->file), STDERR_FILENO) >= 0;
}

void tst_stderr_release(tst_stderr *caught) {
  char line[1024];
  if (!caught->file) return;
  dup2(caught->saved, STDERR_FILENO);
  close(caught->saved);
  /* For whoever reads a failing test's output. */
  rewind(caught->file);
  while (fgets(line, sizeof line, caught->file)) fprintf(stderr, "  caught: %s", line);
  fclose(caught->file);
  caught->file = NULL;
}

unsigned tst_stderr_lines(tst_stderr *caught, const char *text) {
  char bytes[4096], line[1024];
  unsigned lines = 0;
  size_t used = 0;
  ssize_t n;
  /* pread, so that the writers' position stays where it is */
  for (off_t at = 0; (n = pread(fileno(caught->file), bytes, sizeof bytes, at)) > 0; at += n) {
    for (ssize_t i = 0; i < n; i++) {
      if (bytes[i] != '\n' && used < sizeof line - 1) {
        line[used++] = bytes[i];
        continue;
      }
      line[used] = '\0';
      used = 0;
      if (strstr(line, text)) lines++;
    }
  }
  return lines;
}

typedef struct search {
  tst_stderr *caught;
  const char *text;
} search;

static bool found(void *data) {
  const search *wanted = data;
  return tst_stderr_lines(wanted->caught, wanted->text) > 0;
}

bool tst_stderr_says(tst_stderr *caught, const char *text) {
  search wanted = {caught, text};
  return tst_wait_until(found, &wanted, TST_BOUND_NS);
}
