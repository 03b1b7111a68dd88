/* rpc/link.h: what a connection needs from a transport. Two implementations: rpc/link_nng.c (sockets) and
 * tests/support/link_mem.c (in memory, with faults).
 *
 * A link carries whole batches (byte strings of 1 .. TTH_BATCH_MAX bytes) both ways, in order, or ends.
 *
 *   connect / accept ──> open ──(close by us, by the peer, or an error)──> closed event ──> free
 *
 * Rules for implementations:
 *   - Events are called without locks, on the transport's threads; `received` also from inside `wait`. `received` calls
 *     of one link never overlap; a `sent` may run beside them.
 *   - Every `send` of an open link, and every `send_now` that returned false, is followed by exactly one `sent` or by
 *     `closed`. It may come before the function has returned. A `send_now` that returned true is followed by neither.
 *   - `closed` is called exactly once per started link, after which no other event follows for it. It is never called
 *     from inside one of the operations (it may be called on another thread before they return).
 *   - The bytes given to `received` are valid until it returns.
 *
 * Who receives: one of the transport's threads, unless `may_pull` has said that the next batch may be left to a thread
 * in `wait`, which saves waking another one. Then nobody else receives, until
 *   - `wait` has received and `may_pull` says no,
 *   - `push` was called: what has not been sent yet is not answered inside a `wait` that has begun,
 *   - the link ends: its end is seen at once, whoever receives,
 *   - or for some hundredths of a second no thread was in `wait`, after which `unled` is called. */
#ifndef TETHER_RPC_LINK_H
#define TETHER_RPC_LINK_H

#include <tether/rpc.h>

#include "rpc/identity.h"

/* A batch stays under nng's default receive limit (1 MiB), so that any nng pair socket can be the peer. */
#define TTH_BATCH_MAX ((size_t)512 * 1024)

/* HEADERS and TRAILERS are one frame each, so a list must fit into a batch, with room for what is beside it. */
#define TTH_METADATA_MOST (TTH_BATCH_MAX / 4)

typedef struct tth_link tth_link;
typedef struct tth_tls tth_tls; /* rpc/tls.h */

/* What the owner of a link is told. */
typedef struct tth_link_events {
  void (*received)(void *owner, const uint8_t *batch, size_t len);
  void (*sent)(void *owner);
  void (*closed)(void *owner, const char *why); /* why: for people; borrowed */
  /* Called around `received`s when several batches have come at once; may be NULL. */
  void (*burst)(void *owner, bool begins);
  /* Both or none. `led`: the question comes from inside `wait`. */
  bool (*may_pull)(void *owner, bool led);
  void (*unled)(void *owner);
} tth_link_events;

/* What a `wait` has come to. */
typedef enum tth_wait_result {
  TTH_WAIT_PUSHED,  /* the transport's threads receive */
  TTH_WAIT_NOTHING, /* nothing has come */
  TTH_WAIT_CAME,    /* batches were received, or poke or push was called */
  TTH_WAIT_END,     /* the link has ended: `closed` comes, or has come, on another thread */
} tth_wait_result;

/* The operations of one implementation. */
typedef struct tth_link_ops {
  /* Begins delivering events to `owner`. Once, before any send. */
  void (*start)(tth_link *link, const tth_link_events *events, void *owner);
  /* Sends one batch; at most one unfinished send at a time. `batch` stays valid until `sent` or `closed`. Does
   * not block. */
  void (*send)(tth_link *link, const uint8_t *batch, size_t len);
  /* The same; true: the transport has taken all of it already, and nothing follows. NULL: it never does. */
  bool (*send_now)(tth_link *link, const uint8_t *batch, size_t len);
  /* The next three are NULL where only the transport's threads receive.
   * wait: receives what comes next, on this thread; without `block` only what has come already. One thread at a time
   * blocks here. poke: makes the wait that blocks return, or else the next that would. push: see above. Neither
   * blocks. */
  tth_wait_result (*wait)(tth_link *link, bool block);
  void (*poke)(tth_link *link);
  void (*push)(tth_link *link);
  /* Begins closing. Idempotent, does not block; `closed` follows if the link was started. */
  void (*close)(tth_link *link);
  /* Releases a link that was never started or whose `closed` has been called (also from inside it). */
  void (*free)(tth_link *link);
  /* The peer's address for logs; valid until free. */
  const char *(*peer)(const tth_link *link);
} tth_link_ops;

/* Every implementation's link begins with this. */
struct tth_link {
  const tth_link_ops *ops;
  /* Both are final when the link is handed over. */
  bool confidential;               /* nobody on the way reads along: TLS, or it does not leave this host's kernel */
  const tether_identity *identity; /* the peer's; NULL: nobody's. Lives as long as the link */
};

/* A transport's ends: what a client dials with and a server listens with. Both call back without locks on the
 * transport's threads. */
typedef struct tth_dialer tth_dialer;
typedef struct tth_listener tth_listener;

typedef struct tth_transport {
  /* Checks the URL and makes a dialer; `tls`, NULL if there is none, is shared. TETHER_INVALID_ARGUMENT (reason on
   * stderr), TETHER_RESOURCE_EXHAUSTED. */
  tether_code (*dialer_new)(const char *url, tth_tls *tls, tth_dialer **dialer);
  /* Starts one attempt (one at a time per dialer), handshake included. Ends with exactly one call of `done`, never
   * from inside dial itself: link (owned by the callee) or NULL and why. */
  void (*dial)(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
               void *owner);
  /* Aborts an attempt under way (its `done` is called with NULL), waits for its callback, and releases. Not from
   * inside the callback. */
  void (*dialer_free)(tth_dialer *dialer);

  /* Binds and accepts from now on; `accepted` is called for each handshaken peer (link owned by the callee).
   * A peer whose handshake fails is closed with one log line; one that is silent is closed after 10 s. */
  tether_code (*listen)(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link), void *owner,
                        tth_listener **listener);
  /* How long a peer accepted from now on may take for the handshake. NULL: there is none. */
  void (*listener_patience)(tth_listener *listener, int64_t timeout_ns);
  /* The bound TCP port, 0 if not TCP. */
  uint16_t (*listener_port)(const tth_listener *listener);
  /* Stops accepting, waits for running callbacks, releases. Links already accepted live on. */
  void (*listener_free)(tth_listener *listener);

  /* What looks up the names of targets; NULL: nothing does. */
  const struct tth_resolver_ops *resolver;
} tth_transport;

/* ipc://, tcp://, tls+tcp://, ws:// on nng's stream layer, speaking SP PAIR0 (link_nng.c). */
extern const tth_transport tth_transport_nng;

#endif
