/* common/peers.h: how services of one cluster call each other: one set of options for both sides, so that they fit. */
#ifndef SERVICES_COMMON_PEERS_H
#define SERVICES_COMMON_PEERS_H

#include <tether/rpc.h>

/* A client of another service, which may have several replicas: calls go to all of them in turn, and
 * those that a name gets are found within 5 s. One that restarts is
 * found again soon, and one that vanished without a word (its host or its link is gone) is given up after 4 s. */
tether_client_options svc_client_options(const tether_interceptor *const *interceptors);

/* Lets such clients in. */
void svc_permit_clients(tether_server_options *options);

#endif
