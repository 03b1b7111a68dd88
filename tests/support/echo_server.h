/* The Echo service of tests/support/testing.proto. */
#ifndef TESTS_SUPPORT_ECHO_SERVER_H
#define TESTS_SUPPORT_ECHO_SERVER_H

#include <stdatomic.h>
#include <tether/rpc.h>

#include "testing.tether.h"

/* What its handlers saw; one per server. */
struct echo_stats {
  atomic_int started;          /* handlers entered */
  atomic_int hanging;          /* Hang handlers inside */
  atomic_int ended[9];         /* Hang and Fan handlers whose context ended while they ran, by cause code */
  _Atomic int64_t last_end_ns; /* when the last of them saw it */
};

/* Adds the service; `stats` must outlive the server. */
TETHER_MUST_USE tether_code echo_server_add(tether_server *server, struct echo_stats *stats);

#endif
