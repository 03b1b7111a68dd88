/* rpc/addresses.h: where a client's addresses come from: its target names them, or a name that is looked up at once,
 * again when a connection has failed or was lost, and from time to time. */
#ifndef TETHER_RPC_ADDRESSES_H
#define TETHER_RPC_ADDRESSES_H

#include "rpc/resolver.h"
#include "rpc/subchannel.h"

typedef struct tth_addresses {
  /* fixed */
  const tth_resolver_ops *ops;
  tth_resolver *resolver; /* NULL: the addresses are fixed */
  int64_t interval_ns, least_ns;

  /* when the first came; 0: they are fixed; TETHER_FOREVER: none has so far. Written under the client's lock */
  _Atomic int64_t known_ns;

  /* under the client's lock */
  bool resolving, failed;
  int64_t due_ns;     /* the next look-up */
  int64_t ended_ns;   /* of the last */
  int64_t backoff_ns; /* after the last that failed */
} tth_addresses;

/* What a target of dns: or dns+tls: says; the texts are the caller's memory, `size` bytes. */
typedef struct tth_name {
  bool tls;
  char host[256], port[32];
} tth_name;

/* Whether the target is a name. TETHER_INVALID_ARGUMENT: it would be one, and is wrong (said on standard error). */
TETHER_MUST_USE tether_code tth_name_parse(const char *target, bool *is_name, tth_name *name);

/* Makes the subchannels of the target, or the resolver of its name (NULL: it has none). TETHER_INVALID_ARGUMENT,
 * TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_addresses_open(tether_client *client, const tth_name *name);

/* Ends the look-ups; the list stays as it is from here on. */
void tth_addresses_close(tether_client *client);

/* Looks up what is due. Returns when to come again. */
int64_t tth_addresses_act_locked(tether_client *client, int64_t now_ns);

/* A connection has failed or was lost, or the client wakes: the addresses may be others by now. */
void tth_addresses_doubt_locked(tether_client *client);

#endif
