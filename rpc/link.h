/* rpc/link.h: what a connection needs from a transport. Two implementations: rpc/link_nng.c (sockets) and
 * tests/support/link_mem.c (in memory, with faults).
 *
 * A link carries whole batches (byte strings of 1 .. TTH_BATCH_MAX bytes) both ways, in order, or ends.
 *
 *   connect / accept ──> open ──(close by us, by the peer, or an error)──> closed event ──> free
 *
 * Rules for implementations:
 *   - `received`, `sent` and `closed` are called without locks, on the transport's threads. `received` calls of
 *     one link never overlap; a `sent` may run beside them.
 *   - Every tth_link_send of an open link is followed by exactly one `sent` or by `closed`.
 *   - `closed` is called exactly once per started link, after which no other event follows for it. It is
 *     never called from inside tth_link_send or tth_link_close (it may be called on another thread before
 *     they return).
 *   - The bytes given to `received` are valid until it returns. */
#ifndef TETHER_RPC_LINK_H
#define TETHER_RPC_LINK_H

#include <tether/rpc.h>

/* A batch stays under nng's default receive limit (1 MiB), so that any nng pair socket can be the peer. */
#define TTH_BATCH_MAX ((size_t)512 * 1024)

/* HEADERS and TRAILERS are one frame each, so a list must fit into a batch, with room for what is beside it. */
#define TTH_METADATA_MOST (TTH_BATCH_MAX / 4)

typedef struct tth_link tth_link;

/* What the owner of a link is told. */
typedef struct tth_link_events {
  void (*received)(void *owner, const uint8_t *batch, size_t len);
  void (*sent)(void *owner);
  void (*closed)(void *owner, const char *why); /* why: for people; borrowed */
} tth_link_events;

/* The operations of one implementation. */
typedef struct tth_link_ops {
  /* Begins delivering events to `owner`. Once, before any send. */
  void (*start)(tth_link *link, const tth_link_events *events, void *owner);
  /* Sends one batch; at most one unfinished send at a time. `batch` stays valid until `sent` or `closed`. Does
   * not block. */
  void (*send)(tth_link *link, const uint8_t *batch, size_t len);
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
};

/* A transport's ends: what a client dials with and a server listens with. Both call back without locks on the
 * transport's threads. */
typedef struct tth_dialer tth_dialer;
typedef struct tth_listener tth_listener;

typedef struct tth_transport {
  /* Checks the URL and options and makes a dialer. TETHER_INVALID_ARGUMENT (reason on stderr),
   * TETHER_RESOURCE_EXHAUSTED. */
  tether_code (*dialer_new)(const char *url, const tether_tls *tls, tth_dialer **dialer);
  /* Starts one attempt (one at a time per dialer), handshake included. Ends with exactly one call of `done`, never
   * from inside dial itself: link (owned by the callee) or NULL and why. */
  void (*dial)(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
               void *owner);
  /* Aborts an attempt under way (its `done` is called with NULL), waits for its callback, and releases. Not from
   * inside the callback. */
  void (*dialer_free)(tth_dialer *dialer);

  /* Binds and accepts from now on; `accepted` is called for each handshaken peer (link owned by the callee).
   * A peer whose handshake fails is closed with one log line; one that is silent is closed after 10 s. */
  tether_code (*listen)(const char *url, const tether_tls *tls, void (*accepted)(void *owner, tth_link *link),
                        void *owner, tth_listener **listener);
  /* The bound TCP port, 0 if not TCP. */
  uint16_t (*listener_port)(const tth_listener *listener);
  /* Stops accepting, waits for running callbacks, releases. Links already accepted live on. */
  void (*listener_free)(tth_listener *listener);
} tth_transport;

/* ipc://, tcp://, tls+tcp://, ws:// on nng's stream layer, speaking SP PAIR0 (link_nng.c). */
extern const tth_transport tth_transport_nng;

#endif
