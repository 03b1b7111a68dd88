/* rpc/dispatch.h: from a packed call to a connection of its client. */
#ifndef TETHER_RPC_DISPATCH_H
#define TETHER_RPC_DISPATCH_H

#include "rpc/client.h"

/* Gives the call a connection, or makes it wait for one, or ends it. Takes `out`, the packed request. */
void tth_dispatch(tether_call *call, tth_out *out);

/* The call was taken off a connection, which had not accepted it: gives it another one, as tth_dispatch does. Takes
 * `out`, all that was sent of it or was to be. The caller keeps its reference to the call. */
void tth_dispatch_again(tether_call *call, tth_out *out);

/* The same of every call that the connection has queued, or has sent on a stream newer than `last_stream`. Without
 * locks. */
void tth_dispatch_take_back(tth_conn *conn, uint32_t last_stream);

/* The same of those that are queued. */
void tth_dispatch_take_queued(tth_conn *conn);

/* A server has answered that it has not accepted the call, of which *kept is all that was sent: takes that, and gives
 * the call another connection, once. false: it is to end as the server says. */
TETHER_MUST_USE bool tth_dispatch_refused(tether_call *call, tth_out **kept);

/* Takes a waiting call off the client's list; the list's reference is the caller's. The client's lock is held. */
void tth_dispatch_forget_locked(tether_client *client, tether_call *call);

/* Lets the calls that wait go as far as there is a connection, and ends those that do not want to wait any more. */
void tth_dispatch_waiting(tether_client *client);

/* The client is closing: ends every call that waits. */
void tth_dispatch_cancel_waiting(tether_client *client);

#endif
