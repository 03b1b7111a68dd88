#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tether/base.h>
#include <unistd.h>

#include "common/log.h"

/* The address: a path, or a name in Linux's abstract namespace, which begins with '@' here and with a zero there. 0:
 * there is none, or it is no such thing. */
static socklen_t make_address(const char *name, struct sockaddr_un *address) {
  size_t len = name ? strlen(name) : 0;
  if (len < 2 || len >= sizeof address->sun_path || (*name != '/' && *name != '@')) return 0;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(address->sun_path, name, len);
  if (*name == '@') address->sun_path[0] = '\0';
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void svc_notify(const char *lines) {
  const char *name = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address;
  if (!name) return;
  socklen_t size = make_address(name, &address);
  int fd = size ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
  if (!size) errno = EINVAL;
  if (fd < 0 || sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
    svc_log_note("error", "cannot tell %s that %s: %s", name, lines, strerror(errno));
  if (fd >= 0) close(fd);
}

int64_t svc_watchdog_interval_ns(void) {
  const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  char *end;
  if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid())) return TETHER_FOREVER;
  errno = 0;
  long long us = strtoll(usec, &end, 10);
  if (end == usec || *end || errno || us <= 0 || us > INT64_MAX / 1000) return TETHER_FOREVER;
  return us * TETHER_US / 2;
}
