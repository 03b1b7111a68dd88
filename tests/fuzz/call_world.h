/* tests/fuzz/call_world.h: a whole tether_server, a whole tether_client, or both with the server's handlers calling
 * through the client, and hostile peers at their other ends. In memory, on one thread, in virtual time.
 *
 *   hostile client ──> server, whose handlers ──> client ──> hostile server
 *   \______ up ______/                            \______ down _______/
 *
 * An input is a sequence of steps: what a peer says, what handlers and callers do, time that passes. */
#ifndef TETHER_TESTS_FUZZ_CALL_WORLD_H
#define TETHER_TESTS_FUZZ_CALL_WORLD_H

#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/fuzz/hostile.h"
#include "tests/fuzz/wire_check.h"
#include "tests/support/mem_peer.h"

#define WORLD_CALLS 16

/* A hostile peer, and what is known of the side it torments. */
typedef struct side {
  bool there;
  bool held; /* it takes nothing */
  tst_mem_peer peer;
  hostile says;
  wire_check wire;
} side;

/* A call that a handler has deferred. */
typedef struct handled {
  tether_call *call; /* NULL: none */
  bool recv_waits, send_waits, recv_over;
  bool initial_sent;
} handled;

/* A call made through the client. */
typedef struct made {
  bool used;
  tether_call *call; /* NULL: released */
  unsigned ends;     /* how often `done` was called */
  bool recv_waits, send_waits;
} made;

typedef struct world {
  fuzz_input in;
  tst_mem_net *net;      /* of all inputs */
  tether_server *server; /* of all inputs; NULL: none */
  tether_client *client; /* of this one; NULL: none */
  side up, down;
  handled handled[WORLD_CALLS];
  made made[WORLD_CALLS];
} world;

/* The one there is. */
extern world the_world;

extern const tether_limits world_limits;

/* Once: a clock, a net, and a server if asked for. */
void world_init(bool server);

/* Runs an input, with a client or without. */
void world_run(bool client, const uint8_t *input, size_t size);

/* ---- call_handler.c: the server's methods, and what becomes of calls that were deferred ---- */

#define WORLD_METHODS 5
extern const tether_method world_methods[WORLD_METHODS];

/* Adds the methods to the server. */
void world_serve(tether_server *server);

void handler_act(world *w, uint8_t step);

/* The deferred call that the input names; NULL: there is none. */
handled *handler_chosen(world *w);

/* Finishes every call. */
void handler_end(world *w);

/* ---- call_caller.c: what the client is used for -------------------------------------------- */

void caller_act(world *w, uint8_t step);

/* Releases every call; each must have ended once. */
void caller_end(world *w);

/* ---- Both ---------------------------------------------------------------------------------- */

/* Reads everything there is to read of metadata, a ledger, a text. */
void world_read_metadata(const tether_metadata *metadata);
void world_read_ledger(const tether_ledger *ledger);

/* A message with a body of a length that the input says. */
void world_fill_body(world *w, ProtobufCBinaryData *body);

#endif
