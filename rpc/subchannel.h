/* rpc/subchannel.h: one address of a client: its dialer, its connection, its back-off and its state.
 *
 *   IDLE ──wanted──> CONNECTING ──HELLO──> READY ──connection lost / GOAWAY──> IDLE
 *    ^                   │                   ^
 *    │                 fails                 │ HELLO           any ──not wanted any more──> IDLE
 *    │                   v                   │
 *    └─────────── TRANSIENT_FAILURE ─────────┘  (attempts go on, and the state stays until one succeeds, as in gRPC)
 *
 * Who is wanted is for the client's policy to say (rpc/balance.h). Everything is under the client's lock but for what
 * is fixed; what is due in time is done when the client settles, who is also told of every change. Referenced by the
 * client's list and by each connection. */
#ifndef TETHER_RPC_SUBCHANNEL_H
#define TETHER_RPC_SUBCHANNEL_H

#include "rpc/call.h"

typedef struct tth_subchannel {
  /* fixed */
  tether_client *client;
  char *address; /* a URL */
  tth_dialer *dialer;

  /* under the client's lock */
  size_t refs;
  tether_connectivity state;
  bool turn;          /* the policy's: it may connect */
  bool dialing;       /* an attempt of the transport is under way */
  bool silent;        /* `conn` is being closed because its HELLO did not come */
  tth_conn *conn;     /* the one that new calls use, or that waits for HELLO; its reference is in the client's list */
  int64_t attempt_ns; /* not before this comes the next attempt */
  int64_t hello_ns;   /* the end of the wait for HELLO */
  int64_t backoff_ns, attempted_ns;
} tth_subchannel;

/* An IDLE subchannel with one reference. TETHER_INVALID_ARGUMENT: an address that cannot work;
 * TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_subchannel_new(tether_client *client, const char *address, tth_subchannel **subchannel);

/* Stops dialling: waits for the callback of an attempt under way, and so is not for one. Without locks. */
void tth_subchannel_stop(tth_subchannel *subchannel);

/* The last frees a subchannel that was stopped. NULL is taken. */
void tth_subchannel_unref_locked(tth_subchannel *subchannel);

/* IDLE: it is to connect from now on, as soon as its back-off allows. */
void tth_subchannel_want_locked(tth_subchannel *subchannel);

/* To IDLE: an attempt under way comes to nothing, a connection takes no more calls and closes when those it has end. */
void tth_subchannel_rest_locked(tth_subchannel *subchannel);

/* Does what is due of a subchannel that is not IDLE. Returns when the next thing is. */
int64_t tth_subchannel_act_locked(tth_subchannel *subchannel, int64_t now_ns);

/* Whether an attempt is under way, or begins with the next act. */
bool tth_subchannel_is_trying_locked(const tth_subchannel *subchannel, int64_t now_ns);

/* Forgets what is left of the back-off. */
void tth_subchannel_hurry_locked(tth_subchannel *subchannel);

/* `conn` takes no more calls: if it is the one in use the subchannel becomes IDLE, and the client's state tells of it.
 */
void tth_subchannel_leave_locked(tth_subchannel *subchannel, const tth_conn *conn);

#endif
