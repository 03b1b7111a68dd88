/* The Echo and Handed services of tests/support/testing.proto. */
#ifndef TESTS_SUPPORT_ECHO_SERVER_H
#define TESTS_SUPPORT_ECHO_SERVER_H

#include <stdatomic.h>
#include <tether/rpc.h>

#include "testing.tether.h"

/* Calls of Handed that the test has not taken yet. */
#define ECHO_HANDED_MOST 64

/* What its handlers saw; one per server; first all zero. */
struct echo_stats {
  atomic_int started;                        /* handlers entered */
  atomic_int hanging;                        /* Hang handlers inside */
  atomic_int ended[TETHER_CAUSE_ENOUGH + 1]; /* Hang, Fan and streaming handlers whose context ended while they ran, by
                                                cause code */
  _Atomic int64_t last_end_ns;               /* when the last of them saw it */
  atomic_int handed, handed_taken;           /* how many there were */
  _Atomic(tether_call *) waiting[ECHO_HANDED_MOST];
  bool over; /* echo_finish_rest has been called */
};

/* Adds the services; `stats` must outlive the server. */
TETHER_MUST_USE tether_code echo_server_add(tether_server *server, struct echo_stats *stats);

/* The next call of Handed, in the order they came: deferred, to be finished with echo_finish_handed. NULL: none came in
 * time. */
TETHER_MUST_USE tether_call *echo_take_handed(struct echo_stats *stats);

/* Finishes a call of Handed, unless echo_finish_rest has. Any thread. */
void echo_finish_handed(tether_call *call, tether_code code);

/* Finishes the calls of Handed that a test has left when it failed, taken or not: its server would wait for them for
 * ever. Those still to come fail. For teardowns; rpc_fixture_close has it inside. */
void echo_finish_rest(struct echo_stats *stats);

/* Counts how a handler's context ended, if it did. */
void echo_note_end(struct echo_stats *stats, const tether_ctx *ctx);

#endif
