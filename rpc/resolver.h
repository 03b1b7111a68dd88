/* rpc/resolver.h: what a client needs to learn the addresses of a name. Two implementations: rpc/resolver.c (the
 * system's) and tests of their own. */
#ifndef TETHER_RPC_RESOLVER_H
#define TETHER_RPC_RESOLVER_H

#include <tether/rpc.h>

typedef struct tth_resolver tth_resolver;

/* The answer: URLs, borrowed; or none, and why. Without locks, on a thread of the resolver's own, which may block. */
typedef void (*tth_resolved_fn)(void *owner, char *const *addresses, size_t count, const char *why);

typedef struct tth_resolver_ops {
  /* A resolver of `host`; addresses are to be `scheme`://ADDRESS:`port`. TETHER_RESOURCE_EXHAUSTED. */
  tether_code (*open)(const char *scheme, const char *host, const char *port, tth_resolved_fn resolved, void *owner,
                      tth_resolver **resolver);
  /* Asks, one at a time: exactly one `resolved` follows, never from inside. Does not block. false: no thread or memory,
   * and nothing follows. */
  bool (*resolve)(tth_resolver *resolver);
  /* No `resolved` is called any more; waits for one that runs, but for no look-up. Takes NULL. */
  void (*close)(tth_resolver *resolver);
} tth_resolver_ops;

/* getaddrinfo: all A and AAAA records of a name, what /etc/hosts and nsswitch.conf say included. */
extern const tth_resolver_ops tth_resolver_system;

#endif
