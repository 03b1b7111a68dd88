/* tests/support/byte_proxy.h: stands between a client and a server on unix sockets and hands bytes on in pieces, late,
 * after pauses, and as long as it likes: it may cut a connection in the middle of anything. A seed decides. */
#ifndef TETHER_TESTS_BYTE_PROXY_H
#define TETHER_TESTS_BYTE_PROXY_H

#include <tether/base.h>

typedef struct byte_proxy byte_proxy;

typedef struct byte_proxy_faults {
  bool pauses;
  uint64_t cut_after; /* each connection is cut after up to so many bytes, both ways counted; 0: never */
} byte_proxy_faults;

/* Listens at `path` and connects each that comes to `server_path`. NULL: it cannot. */
TETHER_MUST_USE byte_proxy *byte_proxy_open(const char *path, const char *server_path, uint64_t seed,
                                            byte_proxy_faults faults);

/* From here on nothing from the clients is handed on; goes on with all of it. */
void byte_proxy_hold(byte_proxy *proxy, bool holds);

/* Cuts what is left, and waits for its threads. */
void byte_proxy_close(byte_proxy *proxy);

/* From now on whatever comes is taken and goes nowhere, and nothing is closed: both ends have lost each other and do
 * not know. */
void byte_proxy_swallow(byte_proxy *proxy);

/* How many connections it has cut. */
int byte_proxy_cuts(byte_proxy *proxy);

#endif
