/* edge/hangup.h: notices that a client went away while its request is being worked on.
 *
 * evhttp does not read from a connection between a request and its reply, so it does not notice. Reading would not do
 * either: a client may have sent its next request already. What tells without reading is EPOLLRDHUP. libevent's own
 * form of it, EV_CLOSED, misses connections that were reset (2.1.12 reports those as readable and writable only), so
 * the watched sockets are in an epoll set of their own, which the event loop watches like any descriptor. */
#ifndef SERVICES_EDGE_HANGUP_H
#define SERVICES_EDGE_HANGUP_H

#include <event2/event.h>
#include <stdbool.h>

typedef struct edge_hangup {
  int epoll;
  struct event *readable;
  void (*fn)(void *request);
} edge_hangup;

/* fn(request) is called once when a watched client closes, half-closes or resets its connection. A half-closed
 * connection counts: who stops sending before the reply is, with rare exceptions, gone. False: no descriptor left. */
bool edge_hangup_init(edge_hangup *hangup, struct event_base *base, void (*fn)(void *request));
void edge_hangup_fini(edge_hangup *hangup);

/* From now on until unwatch. Without memory the request simply goes unwatched: its deadline still bounds it. */
void edge_hangup_watch(edge_hangup *hangup, int fd, void *request);

/* Before the reply is sent: after it, the socket belongs to the next request. */
void edge_hangup_unwatch(edge_hangup *hangup, int fd);

#endif
