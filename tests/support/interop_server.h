/* gRPC's interop test service (grpc/grpc doc/interop-test-descriptions.md, "Server"), without compression. */
#ifndef TESTS_SUPPORT_INTEROP_SERVER_H
#define TESTS_SUPPORT_INTEROP_SERVER_H

#include <stdatomic.h>
#include <tether/rpc.h>

#include "grpc/testing/test.tether.h"

/* The metadata that the server sends back, before and after its messages. */
#define INTEROP_ECHO_INITIAL "x-grpc-test-echo-initial"
#define INTEROP_ECHO_TRAILING "x-grpc-test-echo-trailing-bin"

struct interop_stats {
  atomic_int started, ended; /* handlers entered and left */
};

/* Adds TestService, but for the method that nobody is to serve; `stats` must outlive the server. */
TETHER_MUST_USE tether_code interop_server_add(tether_server *server, struct interop_stats *stats);

#endif
