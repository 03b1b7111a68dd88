/* rpc/dispatch.h: from a packed call to a connection of its client. */
#ifndef TETHER_RPC_DISPATCH_H
#define TETHER_RPC_DISPATCH_H

#include "rpc/client.h"

/* Gives the call a connection, or makes it wait for one, or ends it. Takes `out`, the packed request. */
void tth_dispatch(tether_call *call, tth_out *out);

/* Takes a waiting call off the client's list; the list's reference is the caller's. The client's lock is held. */
void tth_dispatch_forget_locked(tether_client *client, tether_call *call);

/* Lets the calls that wait go as far as there is a connection, and ends those that do not want to wait any more. */
void tth_dispatch_waiting(tether_client *client);

/* The client is closing: ends every call that waits. */
void tth_dispatch_cancel_waiting(tether_client *client);

#endif
