/* rpc/subchannel.h: one address of a client: its dialer, its connection, its back-off and its state.
 *
 *   CONNECTING ──HELLO──> READY ──connection lost / GOAWAY──> CONNECTING
 *       │                   ^
 *     fails                 │ HELLO
 *       v                   │
 *   TRANSIENT_FAILURE ──────┘  (attempts go on, and the state stays until one succeeds, as in gRPC)
 *
 * Everything here is under the client's lock but for what is fixed. What is due in a subchannel's time is done by its
 * client (tth_client_settle), which is also told of every change. */
#ifndef TETHER_RPC_SUBCHANNEL_H
#define TETHER_RPC_SUBCHANNEL_H

#include "rpc/call.h"

typedef struct tth_subchannel {
  /* fixed */
  tether_client *client;
  char *address; /* a URL */
  tth_dialer *dialer;

  /* under the client's lock */
  tether_connectivity state;
  tth_conn *conn; /* the one that new calls use, or that waits for HELLO; its reference is in the client's list */
  bool dialing;   /* an attempt of the transport is under way */
  bool silent;    /* `conn` is being closed because its HELLO did not come */
  int64_t due_ns; /* the next attempt, or the end of the wait for HELLO; TETHER_FOREVER: neither */
  int64_t backoff_ns, attempt_at_ns;
  char last_error[160];
} tth_subchannel;

/* A subchannel that connects when its client settles. TETHER_INVALID_ARGUMENT: an address or TLS option that cannot
 * work; TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_subchannel_new(tether_client *client, const char *address, tth_subchannel **subchannel);

/* Stops dialling: waits for the callback of an attempt under way, and so is not for one. Without locks. */
void tth_subchannel_stop(tth_subchannel *subchannel);

/* Its connections are closed. Takes NULL. */
void tth_subchannel_free(tth_subchannel *subchannel);

/* Does what is due. Returns when the next thing is. */
int64_t tth_subchannel_act_locked(tth_subchannel *subchannel, int64_t now_ns);

/* Makes the next attempt due now. */
void tth_subchannel_hurry_locked(tth_subchannel *subchannel);

#endif
