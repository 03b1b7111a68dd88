#include "edge/hangup.h"

#include <sys/epoll.h>
#include <unistd.h>

/* One at a time: fn may unwatch any socket, so an event fetched earlier could be about a request that is gone. */
static void on_readable(evutil_socket_t fd, short what, void *data) {
  edge_hangup *hangup = data;
  struct epoll_event event;
  (void)what;
  while (epoll_wait(fd, &event, 1, 0) == 1) hangup->fn(event.data.ptr);
}

bool edge_hangup_init(edge_hangup *hangup, struct event_base *base, void (*fn)(void *request)) {
  *hangup = (edge_hangup){.epoll = epoll_create1(EPOLL_CLOEXEC), .fn = fn};
  if (hangup->epoll < 0) return false;
  hangup->readable = event_new(base, hangup->epoll, EV_READ | EV_PERSIST, on_readable, hangup);
  return hangup->readable && event_add(hangup->readable, NULL) == 0;
}

void edge_hangup_fini(edge_hangup *hangup) {
  if (hangup->readable) event_free(hangup->readable);
  if (hangup->epoll >= 0) close(hangup->epoll);
}

void edge_hangup_watch(edge_hangup *hangup, int fd, void *request) {
  struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = request};
  if (epoll_ctl(hangup->epoll, EPOLL_CTL_ADD, fd, &event) != 0) return;
}

void edge_hangup_unwatch(edge_hangup *hangup, int fd) { epoll_ctl(hangup->epoll, EPOLL_CTL_DEL, fd, NULL); }
