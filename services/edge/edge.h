/* edge/edge.h: the HTTP front. One thread runs the event loop and owns everything here. */
#ifndef SERVICES_EDGE_EDGE_H
#define SERVICES_EDGE_EDGE_H

#include <event2/event.h>
#include <event2/http.h>
#include <tether/rpc.h>

#include "edge/hangup.h"
#include "edge/mailbox.h"
#include "telemetry/telemetry.h"

typedef struct edge_request edge_request;

typedef struct edge {
  int64_t default_timeout_ns, max_timeout_ns, grace_ns, idle_ns;
  tether_client *search;
  svc_telemetry telemetry;
  struct event_base *base;
  struct evhttp *http;
  edge_mailbox mailbox;
  edge_hangup hangup;
  struct evbuffer *scratch; /* for what is being written */
  edge_request *requests;   /* in progress */
  int replying;             /* replies not yet written out */
  bool draining;            /* the loop ends with the last of both */
} edge;

/* A duration as libevent has it. */
static inline struct timeval edge_timeval(int64_t ns) {
  return (struct timeval){.tv_sec = ns / TETHER_SEC, .tv_usec = ns % TETHER_SEC / TETHER_US};
}

/* Takes every HTTP request: evhttp's generic callback, with the edge as its data. */
void edge_on_http(struct evhttp_request *http, void *data);

/* The client of a request went away. */
void edge_on_hangup(void *request);

/* Ends the loop if the edge is draining and has nothing left to do. */
void edge_end_if_idle(edge *edge);

/* Ends every request in progress with cause SHUTDOWN. */
void edge_cancel_all(edge *edge);

#endif
