/* rpc/link_nng.c: a link on an nng byte stream, speaking SP PAIR0 (rpc/sp.h), so that any nng pair socket can be
 * the peer. One receive and one send operation ("aio") per link are used again and again; nothing is allocated per
 * batch; a batch leaves with its header in one system call where the socket takes it.
 *
 * Over ws the same bytes travel in websocket frames as nng's stream mode cuts them. That is not nng's own mapping of
 * SP to websocket, which has a message per frame and no greeting: nng sockets are peers on ipc, tcp and tls+tcp only.
 *
 *   GREETING ──both greetings exchanged──> IDLE ──start──> OPEN ──holds 0──> closed event ──> free
 *       │                                   │                ^
 *       └──holds 0 after a failure──> greeted(failure)       └─ (a link closed while IDLE ends as soon as it starts)
 *                                           └──free
 *
 * Whoever uses the link's memory has a hold: the receiving chain, the send under way, the watch, and every
 * caller of ours while inside. The first failure (or close) sets `ending`, closes the stream and aborts what is
 * under way; no new operation begins after that; each one under way ends and drops its hold; the last drop ends the
 * stage, so that nothing can follow `closed`. A caller of ours never runs `closed` itself: it sends the news through
 * the idle receive operation to one of nng's threads.
 *
 * What nng 1.5.2 asks for (checked in its source):
 *   - an operation begun on a closed stream never completes, hence the second look after each begin;
 *   - an aio must not be freed inside its own callback, hence nng_aio_reap;
 *   - over TLS and ws, a peer's end seen while nothing is being received is forgotten, and a later receive hangs, its
 *     time limit too, hence the watch: once a second it asks whether the socket still has a peer;
 *   - an expiring time limit may hit the operation after the one it was meant for, hence a time-out in an open link
 *     means "again".
 *
 * A send that fails because the peer has closed does not end the link at once: what the peer said before is still in
 * the socket and may be the answer that somebody waits for. It is received to its end, for a second at most.
 *
 * Receiving is in link_nng_receive.c, sending in link_nng_send.c. */
#include "rpc/link_nng.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/link_nng_impl.h"
#include "rpc/real_time.h"

#define WATCH_MS 1000

_Atomic int64_t tth_link_nng_greeting_timeout_ns = 10 * TETHER_SEC;

static const tth_link_ops link_ops;

/* ---- Holds and the end of a stage ----------------------------------------------------------- */

/* A hold for a caller of ours; false: the link has ended. */
bool tth_nng_try_hold(tth_nng_link *link) {
  int holds = atomic_load(&link->holds);
  while (holds > 0)
    if (atomic_compare_exchange_weak(&link->holds, &holds, holds + 1)) return true;
  return false;
}

/* Who has greeted. false: there is no memory for that. */
static bool learn_identity(tth_nng_link *link) {
  if (!link->kind.tls) return true;
  bool memory = tth_nng_tls_identity(link->stream, &link->tls_peer);
  link->base.identity = link->tls_peer;
  return memory;
}

/* Everything under way has ended: tells the owner. The link may be gone afterwards. */
void tth_nng_settle(tth_nng_link *link) {
  if (link->stage == TTH_NNG_OPEN) {
    link->events->closed(link->owner, link->why);
    return;
  }
  tth_nng_greeted_fn greeted = link->greeted;
  void *owner = link->owner;
  bool failed = atomic_load(&link->ending);
  if (!failed && !learn_identity(link)) {
    failed = true;
    atomic_store(&link->ending, true);
    snprintf(link->why, sizeof link->why, "out of memory");
  }
  if (!failed) {
    link->stage = TTH_NNG_IDLE;
    atomic_store(&link->holds, 1); /* start's */
  }
  greeted(owner, link, failed ? link->why : NULL);
}

void tth_nng_drop(tth_nng_link *link) {
  if (atomic_fetch_sub(&link->holds, 1) == 1) tth_nng_settle(link);
}

/* The same for a caller that must not be called back. */
void tth_nng_drop_quietly(tth_nng_link *link) {
  if (atomic_fetch_sub(&link->holds, 1) != 1) return;
  link->settling = true;
  if (nng_aio_begin(link->recv_aio)) nng_aio_finish(link->recv_aio, NNG_ECLOSED);
}

/* Ends the link, unless it is ending: `error` is nng's, 0 if it was not that. Under a hold. */
void tth_nng_end(tth_nng_link *link, int error, const char *why) {
  if (atomic_exchange(&link->ending, true)) return;
  link->error = error;
  snprintf(link->why, sizeof link->why, "%s", why);
  nng_stream_close(link->stream);
  nng_aio_abort(link->send_aio, NNG_ECLOSED);
  nng_aio_abort(link->recv_aio, NNG_ECLOSED);
  if (link->watch_aio) nng_aio_abort(link->watch_aio, NNG_ECLOSED);
  tth_nng_push_now(link, NNG_ECLOSED);
  if (link->pull_aio) tth_nng_lease_end(link);
}

void tth_nng_fail(tth_nng_link *link, const char *format, ...) {
  char why[sizeof link->why];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  tth_nng_end(link, 0, why);
}

void tth_nng_fail_with(tth_nng_link *link, const char *prefix, int error) {
  char why[sizeof link->why];
  tth_tls_why tls;
  bool early = link->stage == TTH_NNG_GREETING && error != NNG_ETIMEDOUT;
  bool told = link->kind.tls && !atomic_load(&link->ending) && tth_nng_tls_failure(link->stream, early, &tls);
  snprintf(why, sizeof why, "%s%s", prefix, told ? tls.text : tth_nng_why(error));
  if (told) error = NNG_ECRYPTO; /* it was no stranger that only had a look */
  tth_nng_end(link, error, why);
}

/* After `aio` has been begun: had the link begun to end, the operation may never complete by itself. Under a hold of
 * the caller's own, since the operation's may be gone. */
void tth_nng_look_again(tth_nng_link *link, nng_aio *aio) {
  if (!atomic_load(&link->ending)) return;
  nng_stream_close(link->stream);
  nng_aio_abort(aio, NNG_ECLOSED);
}

/* ---- Watching over TLS and ws --------------------------------------------------------------- */

static bool watch_is_over(tth_nng_link *link) {
  return atomic_load(&link->ending) || (link->stage == TTH_NNG_GREETING && atomic_load(&link->heard));
}

/* Begins the next wait. The watch's hold goes on, or ends here. */
static void watch_more(tth_nng_link *link) {
  tth_nng_hold(link);
  nng_sleep_aio(WATCH_MS, link->watch_aio);
  tth_nng_look_again(link, link->watch_aio);
  if (watch_is_over(link)) nng_aio_abort(link->watch_aio, NNG_ECANCELED);
  tth_nng_drop(link);
}

/* With a hold for the watch. */
static void watch_first(tth_nng_link *link) {
  if (!link->watch_aio) return;
  tth_nng_hold(link);
  watch_more(link);
}

static void look_at_peer(tth_nng_link *link) {
  nng_sockaddr address;
  bool greeting = link->stage == TTH_NNG_GREETING;
  bool gone = nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0;
  if (gone && greeting)
    tth_nng_fail_with(link, "no greeting: ", NNG_ECONNSHUT);
  else if (gone)
    tth_nng_end(link, 0, "closed by the peer");
  else if (greeting && tth_real_now_ns() >= link->end_ns)
    tth_nng_end(link, 0, "no greeting in time");
}

static void watch_callback(void *arg) {
  tth_nng_link *link = arg;
  if (!watch_is_over(link)) look_at_peer(link);
  if (watch_is_over(link))
    tth_nng_drop(link);
  else
    watch_more(link);
}

void tth_nng_heard(tth_nng_link *link) {
  atomic_store(&link->heard, true);
  if (link->watch_aio) nng_aio_abort(link->watch_aio, NNG_ECANCELED);
}

/* ---- The life of a link --------------------------------------------------------------------- */

static void release(tth_nng_link *link) {
  nng_stream_free(link->stream);
  nng_aio_reap(link->recv_aio);
  nng_aio_reap(link->send_aio);
  nng_aio_reap(link->now_aio);
  nng_aio_reap(link->pull_aio);
  nng_aio_reap(link->watch_aio);
  tth_sp_reader_fini(&link->reader);
  free(link->join);
  free(link->tls_peer);
  free(link);
}

tth_nng_link *tth_nng_link_new(nng_stream *stream, tth_nng_kind kind) {
  tth_nng_link *link = calloc(1, sizeof *link);
  if (!link) {
    nng_stream_free(stream);
    return NULL;
  }
  link->base.ops = &link_ops;
  link->base.confidential = kind.ipc || kind.tls;
  link->stream = stream;
  link->kind = kind;
  atomic_init(&link->holds, 1); /* greet's */
  tth_sp_reader_init(&link->reader, kind.ipc);
  bool made = nng_aio_alloc(&link->recv_aio, tth_nng_receive_callback, link) == 0 &&
              nng_aio_alloc(&link->send_aio, tth_nng_send_callback, link) == 0;
  if (made && (kind.tls || kind.ws)) made = nng_aio_alloc(&link->watch_aio, watch_callback, link) == 0;
  if (made && !kind.tls && !kind.ws) made = nng_aio_alloc(&link->now_aio, NULL, NULL) == 0;
  if (made && kind.tls) made = (link->join = malloc(TTH_NNG_JOIN_MAX)) != NULL;
  if (!made) {
    release(link);
    return NULL;
  }
  tth_nng_name_peer(stream, kind, link->peer, sizeof link->peer);
  if (kind.ipc && tth_nng_unix_identity(stream, &link->unix_peer)) link->base.identity = &link->unix_peer;
  return link;
}

void tth_nng_link_greet(tth_nng_link *link, const tth_nng_look *look, int64_t timeout_ns, tth_nng_greeted_fn greeted,
                        void *owner) {
  static const tth_nng_look none;
  if (!look) look = &none;
  link->greeted = greeted;
  link->owner = owner;
  link->end_ns = tether_time_add(tth_real_now_ns(), timeout_ns);
  link->greeting_len = look->len;
  memcpy(link->greeting, look->greeting, sizeof link->greeting);
  size_t left = sizeof tth_sp_greeting - look->said;
  link->left[0] = (nng_iov){(void *)(uintptr_t)(tth_sp_greeting + look->said), left};
  tth_nng_hold(link); /* ours */
  if (left > 0) {
    tth_nng_hold(link); /* the send's */
    tth_nng_send_more(link, tth_nng_drop);
  }
  if (look->len < sizeof link->greeting)
    tth_nng_receive_first(link); /* with the hold from new */
  else
    tth_nng_drop(link); /* that one */
  watch_first(link);
  tth_nng_drop(link);
}

void tth_nng_link_abort(tth_nng_link *link, const char *why) { tth_nng_end(link, 0, why); }

static void link_start(tth_link *base, const tth_link_events *events, void *owner) {
  tth_nng_link *link = tth_nng_link_of(base);
  link->events = events;
  link->owner = owner;
  link->stage = TTH_NNG_OPEN;
  link->end_ns = TETHER_FOREVER;
  tth_nng_hold(link); /* ours */
  if (events->may_pull && link->now_aio && tth_nng_lease_start())
    (void)nng_aio_alloc(&link->pull_aio, NULL, NULL); /* without memory only nng's threads receive */
  cpu_set_t processors;
  link->look = sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 1;
  watch_first(link);
  tth_nng_receive_first(link); /* with the hold from settle */
  tth_nng_drop_quietly(link);
}

static void link_close(tth_link *base) {
  tth_nng_link *link = tth_nng_link_of(base);
  if (!tth_nng_try_hold(link)) return;
  tth_nng_end(link, 0, "closed");
  tth_nng_drop_quietly(link);
}

static void link_free(tth_link *base) {
  if (base) release(tth_nng_link_of(base));
}

static const char *link_peer(const tth_link *base) { return ((const tth_nng_link *)base)->peer; }

static const tth_link_ops link_ops = {
    .start = link_start,
    .send = tth_nng_send,
    .send_now = tth_nng_send_now,
    .wait = tth_nng_wait,
    .poke = tth_nng_poke,
    .push = tth_nng_push,
    .close = link_close,
    .free = link_free,
    .peer = link_peer,
};

tth_link *tth_nng_link_public(tth_nng_link *link) { return &link->base; }

bool tth_nng_link_left_unheard(const tth_nng_link *link) {
  return link->greeting_len == 0 &&
         (link->error == NNG_ECONNSHUT || link->error == NNG_ECONNRESET || link->error == NNG_ECLOSED);
}

tth_nng_list_node *tth_nng_link_node(tth_nng_link *link) { return &link->node; }

tth_nng_link *tth_nng_link_of_node(tth_nng_list_node *node) {
  return (tth_nng_link *)(void *)((char *)node - offsetof(tth_nng_link, node));
}
