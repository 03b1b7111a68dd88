/* tether/identity.h: who is at the other end of a connection, as far as the transport can prove it.
 *
 * Never taken from what the peer says in its messages: it comes from the kernel (unix sockets) or from a certificate
 * that was checked (TLS). Tokens that a call carries are another matter: tether/policy.h. */
#ifndef TETHER_IDENTITY_H
#define TETHER_IDENTITY_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_call tether_call;

typedef enum tether_identity_kind {
  TETHER_IDENTITY_NONE = 0, /* nothing is known: tcp, ws, or TLS with a peer that has shown no certificate */
  TETHER_IDENTITY_UNIX = 1, /* a process of this host, on a unix socket */
  TETHER_IDENTITY_TLS = 2,  /* who holds the key of a certificate that an authority of ours has signed */
} tether_identity_kind;

typedef struct tether_identity {
  tether_identity_kind kind;
  /* UNIX: as they were when the peer connected, or (of a server, seen from its client) began to listen. 0 else. */
  uint32_t uid, gid;
  int32_t pid; /* for logs: numbers are used again */
  /* TLS: what the certificate is for, its alternative names in their order: "dns:", "uri:", "ip:" or "email:" and the
   * name. Names of other kinds, and such as contain control characters, are left out. */
  const char *const *names;
  size_t name_count;
  const char *common_name; /* TLS: the subject's; "" if there is none. NULL else */
} tether_identity;

/* Of the call's peer; never NULL, of kind NONE if nothing is known or (client) there is no connection yet. Borrowed
 * from the call. Any thread. */
TETHER_API const tether_identity *tether_call_identity(const tether_call *call);

/* Writes "unix uid 1000 gid 1000 pid 812", "tls CN=search dns:search.example" or "none" into text, cut at `size`.
 * Returns text. For people and logs. */
TETHER_API const char *tether_identity_text(const tether_identity *identity, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
