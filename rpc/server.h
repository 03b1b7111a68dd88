/* rpc/server.h: the server object's insides. Lock order: server->mu, then a connection's, then a book's lock. No call
 * takes server->mu while others are about: on several processors it would be what they wait for. */
#ifndef TETHER_RPC_SERVER_H
#define TETHER_RPC_SERVER_H

#include <pthread.h>
#include <tether/pool.h>

#include "rpc/admission.h"
#include "rpc/call.h"

/* What a path is served by. */
typedef struct tth_route {
  const tether_method *method;
  tether_handler_fn handler;
  const void *service;
  void *data;
  /* counters */
  _Atomic uint64_t started;
  _Atomic uint32_t running;
  _Atomic int64_t wasted_ns;
  _Atomic uint64_t sheds;
  tth_need *need; /* NULL: the server does not shed by deadline */
} tth_route;

/* Of the methods that were added together. */
typedef struct tth_needs {
  struct tth_needs *next;
  size_t count;
  tth_need of[];
} tth_needs;

/* The calls of some of the connections, which take books in turn. */
typedef struct tth_book {
  pthread_mutex_t mu;
  /* under mu */
  tether_call *first; /* not ended, and their HEADERS were read */
  uint64_t ended[TETHER_CODES];
} tth_book;

#define TTH_BOOKS 8

struct tether_server {
  const tth_transport *transport;
  tether_limits limits;
  const tether_key *const *keys;
  tth_tls *tls; /* NULL: none */
  tether_pool *pool;
  int64_t max_timeout_ns;
  bool deadline_required;
  const tether_interceptor *const *interceptors; /* NULL: none */
  tth_life_limits life;
  int64_t age_ns;
  uint32_t max_connections; /* 0: any */
  int64_t patience_ns;      /* for the transport's handshake; 0: its own */
  bool sheds;               /* admission may say no */
  tth_admission admission;

  /* fixed once listening */
  tth_route *routes; /* sorted by path */
  size_t route_count;
  tth_needs *needs;

  pthread_mutex_t mu;
  pthread_cond_t changed; /* on CLOCK_MONOTONIC */
  /* under mu */
  tether_drain_hook *drain_hooks; /* not called yet */
  _Atomic bool stopping;          /* also read without it */
  int64_t full_said_ns;           /* when a line was written about too many connections */
  tth_listener **listeners;
  size_t listener_count;
  tth_conn *conns;
  unsigned next_book;                  /* of the next connection */
  _Atomic size_t conn_count, draining; /* draining: connections that have not said DRAINED */

  tth_book books[TTH_BOOKS];
  _Atomic uint64_t unaccepted;
  _Atomic size_t calls; /* not ended; one more from the moment the connection has a stream for it */
};

/* tether_server_open over any transport. */
TETHER_MUST_USE tether_code tth_server_open_on(const tth_transport *transport, const tether_server_options *options,
                                               tether_server **server);

/* The route of a path; NULL: not served. */
tth_route *tth_server_route(const tether_server *server, const char *path);

/* The call's HEADERS are being read; have been, so that a shutdown may end it; its end is about to leave, and is on
 * record with this status; nothing here is used for it any more. What an answer gives back (a place among max_calls,
 * room for requests) is given back with _answers: who has it may send the next call at once. The connection's lock may
 * be held. */
void tth_server_call_added(tether_server *server, tether_call *call);
void tth_server_call_read(tether_server *server, tether_call *call);
void tth_server_call_answers(tether_server *server, tether_call *call, tether_code code);
void tth_server_call_gone(tether_server *server);

/* Where admission looks at a call, if the server sheds (server_admission.c). NULL, or why it is shed: on arrival; when
 * a worker has it. */
TETHER_MUST_USE const char *tth_server_call_arrives(tether_call *call);
TETHER_MUST_USE const char *tth_server_call_starts(tether_call *call);

/* It goes to the pool: _starts follows on a worker, then _returned, before the call's end. Its handler ran, and the
 * results are written. */
void tth_server_call_queued(tether_call *call);
void tth_server_call_returned(tether_call *call);
void tth_server_call_took(tether_call *call);

/* Calls in flight, for tests. */
size_t tth_server_calls(tether_server *server);

#endif
