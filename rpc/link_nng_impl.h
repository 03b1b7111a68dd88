/* rpc/link_nng_impl.h: a link's insides, shared by link_nng.c (life), link_nng_receive.c and link_nng_send.c. */
#ifndef TETHER_RPC_LINK_NNG_IMPL_H
#define TETHER_RPC_LINK_NNG_IMPL_H

#include <nng/nng.h>

#include "rpc/link_nng.h"
#include "rpc/sp.h"

typedef enum tth_nng_stage { TTH_NNG_GREETING, TTH_NNG_IDLE, TTH_NNG_OPEN } tth_nng_stage;

/* Who has the receiving chain (link_nng_receive.c). */
enum { TTH_NNG_PUSH, TTH_NNG_ARMED, TTH_NNG_TAKEN };

struct tth_nng_link {
  tth_link base; /* first */
  nng_stream *stream;
  nng_aio *recv_aio;
  nng_aio *send_aio;
  nng_aio *now_aio;   /* ipc and tcp only; without a callback */
  nng_aio *pull_aio;  /* where somebody may pull; without a callback */
  nng_aio *watch_aio; /* TLS and ws only */
  uint8_t *join;      /* TLS only: TTH_NNG_JOIN_MAX bytes */
  tth_nng_kind kind;
  tth_nng_list_node node; /* under the lock of the listener that is greeting */
  char peer[128];
  tether_identity unix_peer;
  tether_identity *tls_peer; /* owned */

  _Atomic int holds;
  _Atomic bool ending;
  _Atomic bool heard; /* the peer's greeting is whole */
  _Atomic int pull;
  _Atomic bool want_push;
  _Atomic bool poked; /* a wait that blocks is to return, the next one if none does */
  _Atomic unsigned waits;
  _Atomic bool leased; /* written under the lock of link_nng_lease.c, as the next three are */
  tth_nng_list_node lease_node;
  unsigned lease_waits;
  tth_nng_link *lease_over;
  _Atomic int send_error; /* of a send that failed in an open link: what has come is still to be received */

  /* Written by who sets `ending`, read once holds is 0. */
  char why[TTH_LINK_NNG_WHY];
  int error;

  /* Written before an operation begins, read in its callback. */
  tth_nng_stage stage;
  bool settling;  /* the receive callback is to end the stage */
  bool from_pull; /* the receive callback is to go on from what pull_aio has brought */
  tth_nng_greeted_fn greeted;
  const tth_link_events *events;
  void *owner;

  /* The receiving chain's, and start's before it. */
  tth_sp_reader reader;
  uint8_t greeting[TTH_SP_GREETING_LEN];
  size_t greeting_len;
  int64_t end_ns; /* of the greeting, then of draining; TETHER_FOREVER while open */

  /* Of a thread that waits (TAKEN). */
  bool look;                        /* before it sleeps; there is more than one processor */
  unsigned look_skips, look_losses; /* waits to come without; after how many in a row that did not pay */

  /* The send's: what is left to send. */
  uint8_t header[TTH_SP_HEADER_MAX];
  nng_iov left[2];
};

static inline tth_nng_link *tth_nng_link_of(tth_link *link) { return (tth_nng_link *)link; }

/* TLS makes a record of each piece it is given, so header and batch go to it in one piece up to this size. */
#define TTH_NNG_JOIN_MAX ((size_t)4096)

/* ---- link_nng.c ------------------------------------------------------------------------------ */

static inline void tth_nng_hold(tth_nng_link *link) { atomic_fetch_add(&link->holds, 1); }

/* A hold for a caller of ours; false: the link has ended. */
TETHER_MUST_USE bool tth_nng_try_hold(tth_nng_link *link);

/* Gives a hold back. The last ends the stage; the second form has one of nng's threads do so. */
void tth_nng_drop(tth_nng_link *link);
void tth_nng_drop_quietly(tth_nng_link *link);

/* Ends the stage, when all holds are gone. */
void tth_nng_settle(tth_nng_link *link);

/* Ends the link, unless it is ending: `error` is nng's, 0 if it was not that. Under a hold. */
void tth_nng_end(tth_nng_link *link, int error, const char *why);
void tth_nng_fail(tth_nng_link *link, const char *format, ...) TETHER_PRINTF(2, 3);
void tth_nng_fail_with(tth_nng_link *link, const char *prefix, int error);

/* After `aio` has been begun: had the link begun to end, the operation may never complete by itself. Under a hold of
 * the caller's own, since the operation's may be gone. */
void tth_nng_look_again(tth_nng_link *link, nng_aio *aio);

/* The peer's greeting is whole: nobody need watch for its end until the link is started. Under a hold. */
void tth_nng_heard(tth_nng_link *link);

/* ---- link_nng_receive.c ---------------------------------------------------------------------- */

/* Begins the first receive of a stage, with a hold for the receiving chain. */
void tth_nng_receive_first(tth_nng_link *link);

/* recv_aio's. */
void tth_nng_receive_callback(void *arg);

/* Takes the receiving chain from an armed pull_aio to recv_aio's callback. Under a hold. */
void tth_nng_push_back(tth_nng_link *link);

/* nng's threads receive from now on; a receive that a thread waits for ends with `error`. Under a hold. */
void tth_nng_push_now(tth_nng_link *link, int error);

/* Three of tth_link_ops. */
tth_wait_result tth_nng_wait(tth_link *base, bool block);
void tth_nng_poke(tth_link *base);
void tth_nng_push(tth_link *base);

/* ---- link_nng_lease.c ------------------------------------------------------------------------ */

/* Before anything is armed. False: there is no thread to look after it. */
TETHER_MUST_USE bool tth_nng_lease_start(void);

/* Has the armed receive looked after, if it is not yet. Under a hold. */
void tth_nng_lease(tth_nng_link *link);

/* Not any more: the link is ending. */
void tth_nng_lease_end(tth_nng_link *link);

/* ---- link_nng_send.c ------------------------------------------------------------------------- */

/* Begins sending what is left. The send's hold goes on, or ends here with `drop_own`. */
void tth_nng_send_more(tth_nng_link *link, void (*drop_own)(tth_nng_link *link));

/* send_aio's. */
void tth_nng_send_callback(void *arg);

/* Two of tth_link_ops. */
void tth_nng_send(tth_link *base, const uint8_t *batch, size_t len);
bool tth_nng_send_now(tth_link *base, const uint8_t *batch, size_t len);

#endif
