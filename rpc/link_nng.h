/* rpc/link_nng.h: what the files of the nng transport share. Nothing else includes it, its tests excepted. */
#ifndef TETHER_RPC_LINK_NNG_H
#define TETHER_RPC_LINK_NNG_H

#include <stdatomic.h>

#include "rpc/link.h"
#include "rpc/link_nng_tls.h"
#include "rpc/sp.h"

struct nng_aio;
struct nng_stream;
struct nng_stream_dialer;
struct nng_stream_listener;

/* What a received message may take; larger ones end the link. nng's own default. */
#define TTH_LINK_NNG_RECEIVE_MAX ((size_t)1024 * 1024)

/* The longest reason for a link's end. */
#define TTH_LINK_NNG_WHY ((size_t)320)

/* How long a listener waits for a peer's greeting: 10 s. Tests shorten it. */
extern _Atomic int64_t tth_link_nng_greeting_timeout_ns;

/* After how long without a `wait` nng's threads receive again, at most twice that: 10 ms. Tests lengthen it, so that a
 * wait that was missed shows. */
void tth_link_nng_set_lease(int64_t ns);

/* ---- Addresses (link_nng_url.c) -------------------------------------------------------------- */

/* The properties of a URL's scheme that matter above nng. */
typedef struct tth_nng_kind {
  bool ipc; /* messages carry a leading 01 */
  bool tls;
  bool ws;
} tth_nng_kind;

/* Makes nng's dialer or listener for `url`, TLS included, whose configuration *secured then is, to be closed after the
 * other. TETHER_INVALID_ARGUMENT (reason on stderr), TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_nng_dialer_alloc(const char *url, tth_tls *tls, struct nng_stream_dialer **dialer,
                                                 tth_nng_kind *kind, tth_nng_tls *secured);
TETHER_MUST_USE tether_code tth_nng_listener_alloc(const char *url, tth_tls *tls, struct nng_stream_listener **listener,
                                                   tth_nng_kind *kind, tth_nng_tls *secured);

/* Writes `format` to standard error as one line that begins with "tether: <url>: ". */
void tth_nng_log(const char *url, const char *format, ...) TETHER_PRINTF(2, 3);

/* What an nng error means, for people. */
const char *tth_nng_why(int error);

/* Writes the name of the stream's peer for logs: "127.0.0.1:40312", "pid 812". */
void tth_nng_name_peer(struct nng_stream *stream, tth_nng_kind kind, char *name, size_t size);

/* Who the kernel says is at the other end of a unix socket; false: it does not say. */
TETHER_MUST_USE bool tth_nng_unix_identity(struct nng_stream *stream, tether_identity *identity);

/* ---- The first look at a stranger (link_nng_look.c) ------------------------------------------ */

#define TTH_NNG_LOOK_WHY ((size_t)96)

typedef struct tth_nng_look {
  uint8_t greeting[TTH_SP_GREETING_LEN]; /* what the peer has said of its greeting */
  size_t len, said;                      /* how much of theirs and of ours */
  bool unheard;                          /* it has left without a word */
  char why[TTH_NNG_LOOK_WHY];            /* it is to be closed */
} tth_nng_look;

/* Takes the first look, with an aio without a callback that is not in use; *look is zero. Neither TLS nor ws. False:
 * the stream is closed, and the caller's to free. Does not block. */
TETHER_MUST_USE bool tth_nng_look_at(struct nng_stream *stream, struct nng_aio *aio, tth_nng_look *look);

/* ---- Links (link_nng.c) ---------------------------------------------------------------------- */

typedef struct tth_nng_link tth_nng_link;

/* Told once when the exchange of greetings has ended: on success `failure` is NULL. The link is the callee's. No
 * lock is held. */
typedef void (*tth_nng_greeted_fn)(void *owner, tth_nng_link *link, const char *failure);

/* A link on `stream`, which it owns from now on (also when this returns NULL: no memory). */
TETHER_MUST_USE tth_nng_link *tth_nng_link_new(struct nng_stream *stream, tth_nng_kind kind);

/* Exchanges greetings within `timeout_ns`, or what is left of them after a first look; NULL: there was none. Once,
 * before anything else. */
void tth_nng_link_greet(tth_nng_link *link, const tth_nng_look *look, int64_t timeout_ns, tth_nng_greeted_fn greeted,
                        void *owner);

/* Ends a link early: `greeted` is told the failure `why`. Before, during and after the exchange, under a lock that
 * `greeted` takes before it uses the link. */
void tth_nng_link_abort(tth_nng_link *link, const char *why);

/* The link as the rest of rpc sees it, and back. */
tth_link *tth_nng_link_public(tth_nng_link *link);

/* Of a failed link: whether the peer closed without having said anything. */
bool tth_nng_link_left_unheard(const tth_nng_link *link);

/* A list of links under somebody's lock. */
typedef struct tth_nng_list_node {
  struct tth_nng_list_node *prev, *next;
} tth_nng_list_node;
tth_nng_list_node *tth_nng_link_node(tth_nng_link *link);
tth_nng_link *tth_nng_link_of_node(tth_nng_list_node *node);

/* ---- The transport's operations (link_nng_dial.c, link_nng_listen.c) ------------------------- */

tether_code tth_nng_dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer);
void tth_nng_dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                  void *owner);
void tth_nng_dialer_free(tth_dialer *dialer);

#endif
