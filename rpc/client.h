/* rpc/client.h: the client object's insides: its subchannels, the calls that wait for one, and what is due in time.
 *
 * Whoever changes something under the lock calls tth_client_settle after it. Lock order: client->mu, then a
 * connection's lock. */
#ifndef TETHER_RPC_CLIENT_H
#define TETHER_RPC_CLIENT_H

#include <pthread.h>

#include "rpc/addresses.h"
#include "rpc/balance.h"
#include "rpc/call.h"
#include "rpc/retry.h"
#include "rpc/subchannel.h"

struct tether_client {
  const tth_transport *transport;
  char *target;
  tether_limits limits;
  tth_tls *tls;                    /* NULL: none */
  tether_credentials *credentials; /* NULL: none */
  int64_t backoff_initial_ns, backoff_max_ns, connect_timeout_ns, idle_timeout_ns;
  const tether_interceptor *const *interceptors; /* NULL: none */
  _Atomic size_t calls;                          /* not ended, or with a callback running */
  _Atomic uint64_t ended[TETHER_CODES], unsent, retries, throttled;
  tth_service_config *config; /* NULL: none */
  tth_throttle throttle;
  bool no_retries;
  size_t retry_call_bytes, retry_bytes; /* limits of what is kept to be sent again: by a call, by all */
  _Atomic size_t kept_bytes;
  tether_ctx *backoffs; /* the parent of those that end when a call is to be tried again */

  pthread_mutex_t mu;
  pthread_cond_t changed;
  /* under mu */
  tether_connectivity state;
  tth_life_limits life; /* of connections to come; keepalive_ns of TETHER_FOREVER: none */
  bool closing;
  bool settling, unsettled; /* a thread settles; it is to look once more */
  bool stalled;             /* there is no memory for the alarm: the next who wants a connection makes the attempt */
  size_t inside;            /* threads that wait for a state, or send what waited for a connection */
  bool idle, used;          /* used: there was a call since it was last looked at */
  int64_t idle_check_ns;
  tth_subchannel **subchannels; /* of the addresses, in their order */
  size_t subchannel_count;
  tth_balance balance;
  tth_addresses addresses;
  char *last_error; /* of the last attempt that failed; NULL: none, or no memory for it */
  tth_conn *conns;  /* all that are not closed */
  size_t conn_count;
  tether_call *wait_first, *wait_last; /* calls without a connection */
  int64_t alarm_ns;                    /* when the alarm rings; TETHER_FOREVER: it does not */

  /* the settling thread's */
  tether_ctx *alarm_ctx;
  tether_after alarm;
};

/* tether_client_open over any transport. */
TETHER_MUST_USE tether_code tth_client_open_on(const tth_transport *transport, const char *url,
                                               const tether_client_options *options, tether_client **client);

/* Fills in the defaults of limits. */
tether_limits tth_limits_of(const tether_limits *given);

/* Does what is due, has the alarm set for what is due later, and lets calls that wait go, or fails them. Without locks;
 * may be called from a connection's or dialer's callback. */
void tth_client_settle(tether_client *client);

/* The state that everybody sees follows the subchannels', and who waits for it is woken. Settling does this; who has
 * just lost a connection does it at once, before anybody hears of that in another way. */
void tth_client_tell_state_locked(tether_client *client);

/* Notes why there is no connection, for the calls that fail for it: a text of at most TTH_CLIENT_WHY. */
#define TTH_CLIENT_WHY ((size_t)512)
void tth_client_failed_locked(tether_client *client, const char *format, ...) TETHER_PRINTF(2, 3);

/* A connection's place in the client's list; its reference, which the list had, is the caller's once removed. */
void tth_client_add_conn_locked(tether_client *client, tth_conn *conn);
void tth_client_remove_conn_locked(tether_client *client, tth_conn *conn);

/* A connection of the subchannel is closed and released: the client may be gone afterwards. */
void tth_client_conn_gone(tether_client *client, tth_subchannel *subchannel);

/* Reads the options that policies come from. TETHER_INVALID_ARGUMENT: a bad config, which standard error tells about.
 */
TETHER_MUST_USE tether_code tth_client_configure(tether_client *client, const tether_client_options *options);

/* The context a call runs under: the caller's, with the call's, the config's or the method's timeout. */
TETHER_MUST_USE tether_ctx *tth_client_derive(const tether_ctx *ctx, const tether_method *method,
                                              const tth_method_config *config, const tether_call_options *options);

/* A call that has ended before it began; of no client. */
TETHER_MUST_USE tether_call *tth_client_call_refused(const tether_method *method, tether_code code, const char *why);

/* Counts an ended call, or an ended attempt of one. `again`: an earlier attempt of the same call had left. */
void tth_client_count(tether_client *client, tether_code code, bool sent, bool again);
/* One that was counted as sent was not accepted. */
void tth_client_count_unaccepted(tether_client *client, tether_code code, bool again);

/* One call less. */
void tth_client_call_gone(tether_client *client);

#endif
