/* bench/ours.h: what the programs that call tether share. */
#ifndef TETHER_BENCH_OURS_H
#define TETHER_BENCH_OURS_H

#include "bench.tether.h"
#include "bench/harness.h"

/* What the options ask of a server; a server without services that has that. */
tether_server_options ours_server_options(const bench_options *options);
tether_server *ours_server(const bench_options *options);

/* Listens at the options' address, serves until told to end, and closes the server. `on_end`, which may be NULL, is
 * called before that. */
void ours_serve(const bench_options *options, tether_server *server, void (*on_end)(void));

/* A client of a server at this address. */
tether_client *ours_client(const bench_options *options, const char *address);

/* What every call carries. */
tether_call_options ours_call_options(void);
Bench__V1__Payload ours_payload(const bench_options *options);

/* Ends the process if a call failed or its reply is not as long as its request. */
void ours_check(tether_call *call, const bench_options *options);

#endif
