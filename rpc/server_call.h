/* rpc/server_call.h: what the files of a server's call tell each other: what comes for it (server_call.c), its handler
 * (server_call_run.c) and its end (server_call_end.c). What others use is in call.h. */
#ifndef TETHER_RPC_SERVER_CALL_H
#define TETHER_RPC_SERVER_CALL_H

#include "rpc/server.h"

/* What a connection's calls may hold: in requests, and in replies that have not left. At least one of the largest. */
size_t tth_server_held_most(const tether_limits *limits);

/* ---- server_call_run.c --------------------------------------------------------------------- */

/* The request is not in the batch with its headers, and may never come: the deadline ends the call all the same. */
void tth_server_call_expect(tether_call *call);

/* Gives the call, with its request of so many bytes if it has one, to its handler, unless it has ended. */
void tth_server_call_run(tether_call *call, size_t request_bytes);

/* ---- server_call_end.c --------------------------------------------------------------------- */

/* Ends a call that is not taken on. */
void tth_server_call_shed(tether_call *call, const char *why);

/* Ends a call whose handler has not been given it; false: the handler has it. */
bool tth_server_call_end_unhandled(tether_call *call, tether_code code, const char *message);

#endif
