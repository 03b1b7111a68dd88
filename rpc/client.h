/* rpc/client.h: the client object's insides.
 *
 *   CONNECTING ──HELLO──> READY ──connection lost / GOAWAY──> CONNECTING
 *       │  ^                                       any ──close──> SHUTDOWN
 *   fails  └──back-off over── TRANSIENT_FAILURE
 *       └────────────────────────^
 *
 * Lock order: client->mu, then a connection's lock. */
#ifndef TETHER_RPC_CLIENT_H
#define TETHER_RPC_CLIENT_H

#include <pthread.h>

#include "rpc/call.h"

struct tether_client {
  const tth_transport *transport;
  char *url;
  tether_limits limits;
  tth_tls *tls; /* NULL: none */
  int64_t backoff_initial_ns, backoff_max_ns, connect_timeout_ns;
  const tether_interceptor *const *interceptors; /* NULL: none */
  tth_dialer *dialer;
  _Atomic size_t calls; /* not ended, or with a callback running */
  _Atomic uint64_t ended[TETHER_CODES], unsent;

  pthread_mutex_t mu;
  pthread_cond_t changed;
  /* under mu */
  tether_connectivity state;
  bool closing;
  bool silent;     /* `conn` is being closed because its HELLO did not come */
  bool stalled;    /* there is no memory for a timer: the next who wants a connection makes the attempt */
  size_t waiters;  /* threads in tether_client_wait_ready */
  tth_conn *conn;  /* the one that new calls use, or that waits for HELLO; its reference is in `conns` */
  tth_conn *conns; /* all that are not closed */
  size_t conn_count;
  tether_call *wait_first, *wait_last; /* calls without a connection */
  int64_t backoff_ns, attempt_at_ns;
  char last_error[160];
  tether_ctx *timer_ctx; /* ends when the back-off, or the wait for HELLO, is over */
  tether_after timer;
};

/* tether_client_open over any transport. */
TETHER_MUST_USE tether_code tth_client_open_on(const tth_transport *transport, const char *url,
                                               const tether_client_options *options, tether_client **client);

/* Fills in the defaults of limits. */
tether_limits tth_limits_of(const tether_limits *given);

/* Takes a waiting call off the list. client->mu is held. */
void tth_client_forget_waiting_locked(tether_client *client, tether_call *call);

/* Somebody wants a connection: makes the attempt that no timer will. */
void tth_client_wanted(tether_client *client);

/* The context a call runs under: the caller's, with the call's or the method's timeout. */
TETHER_MUST_USE tether_ctx *tth_client_derive(const tether_ctx *ctx, const tether_method *method,
                                              const tether_call_options *options);

/* A call that has ended before it began; of no client. */
TETHER_MUST_USE tether_call *tth_client_call_refused(const tether_method *method, tether_code code, const char *why);

/* Counts an ended call. */
void tth_client_count(tether_client *client, tether_code code, bool sent);

/* One call less. */
void tth_client_call_gone(tether_client *client);

#endif
