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
 * Whoever uses the link's memory has a hold: the receiving chain, the send under way, the watch, and every caller of
 * send, close or start while inside. The first failure (or close) sets `ending`, closes the stream and aborts what is
 * under way; no new operation begins after that; each one under way ends and drops its hold; the last drop ends the
 * stage, so that nothing can follow `closed`. A caller of ours never runs `closed` itself: it sends the news through
 * the idle receive operation to one of nng's threads.
 *
 * What nng 1.5.2 asks for (checked in its source):
 *   - an operation begun on a closed stream never completes, hence the second look after each begin;
 *   - an aio must not be freed inside its own callback, hence nng_aio_reap;
 *   - over TLS and ws, a peer's end seen while nothing is being received is forgotten, and a later receive hangs,
 *     hence the watch: once a second it asks whether the socket still has a peer;
 *   - an expiring time limit may hit the operation after the one it was meant for, hence a time-out in an open link
 *     means "again".
 *
 * A send that fails because the peer has closed does not end the link at once: what the peer said before is still in
 * the socket and may be the answer that somebody waits for. It is received to its end, for DRAIN_NS at most. */
#include "rpc/link_nng.h"

#include <limits.h>
#include <nng/nng.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/sp.h"

/* TLS makes a record of each piece it is given, so header and batch go to it in one piece up to this size. */
#define JOIN_MAX ((size_t)4096)
#define WATCH_MS 1000
#define DRAIN_NS TETHER_SEC

typedef enum stage { GREETING, IDLE, OPEN } stage;

struct tth_nng_link {
  tth_link base; /* first */
  nng_stream *stream;
  nng_aio *recv_aio;
  nng_aio *send_aio;
  nng_aio *watch_aio; /* TLS and ws only */
  uint8_t *join;      /* TLS only: JOIN_MAX bytes */
  tth_nng_kind kind;
  tth_nng_list_node node; /* under the lock of the listener that is greeting */
  char peer[128];

  _Atomic int holds;
  _Atomic bool ending;
  _Atomic int send_error; /* of a send that failed in an open link: what has come is still to be received */

  /* Written by who sets `ending`, read once holds is 0. */
  char why[160];
  int error;

  /* Written before an operation begins, read in its callback. */
  stage stage;
  bool settling; /* the receive callback is to end the stage */
  tth_nng_greeted_fn greeted;
  const tth_link_events *events;
  void *owner;

  /* The receiving chain's, and start's before it. */
  tth_sp_reader reader;
  uint8_t greeting[TTH_SP_GREETING_LEN];
  size_t greeting_len;
  int64_t end_ns; /* of the greeting, then of draining; TETHER_FOREVER while open */

  /* The send's: what is left to send. */
  uint8_t header[TTH_SP_HEADER_MAX];
  nng_iov left[2];
};

_Atomic int64_t tth_link_nng_greeting_timeout_ns = 10 * TETHER_SEC;

static const tth_link_ops link_ops;

static tth_nng_link *link_of(tth_link *link) { return (tth_nng_link *)link; }

/* nng's clock, whatever clock the program has installed. */
static int64_t real_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}

/* ---- Holds and the end of a stage ----------------------------------------------------------- */

static void hold(tth_nng_link *link) { atomic_fetch_add(&link->holds, 1); }

/* A hold for a caller of ours; false: the link has ended. */
static bool try_hold(tth_nng_link *link) {
  int holds = atomic_load(&link->holds);
  while (holds > 0)
    if (atomic_compare_exchange_weak(&link->holds, &holds, holds + 1)) return true;
  return false;
}

/* Everything under way has ended: tells the owner. The link may be gone afterwards. */
static void settle(tth_nng_link *link) {
  if (link->stage == OPEN) {
    link->events->closed(link->owner, link->why);
    return;
  }
  tth_nng_greeted_fn greeted = link->greeted;
  void *owner = link->owner;
  bool failed = atomic_load(&link->ending);
  if (!failed) {
    link->stage = IDLE;
    atomic_store(&link->holds, 1); /* start's */
  }
  greeted(owner, link, failed ? link->why : NULL);
}

static void drop(tth_nng_link *link) {
  if (atomic_fetch_sub(&link->holds, 1) == 1) settle(link);
}

/* The same for a caller that must not be called back. */
static void drop_quietly(tth_nng_link *link) {
  if (atomic_fetch_sub(&link->holds, 1) != 1) return;
  link->settling = true;
  if (nng_aio_begin(link->recv_aio)) nng_aio_finish(link->recv_aio, NNG_ECLOSED);
}

/* Ends the link, unless it is ending: `error` is nng's, 0 if it was not that. Under a hold. */
static void end(tth_nng_link *link, int error, const char *why) {
  if (atomic_exchange(&link->ending, true)) return;
  link->error = error;
  snprintf(link->why, sizeof link->why, "%s", why);
  nng_stream_close(link->stream);
  nng_aio_abort(link->send_aio, NNG_ECLOSED);
  nng_aio_abort(link->recv_aio, NNG_ECLOSED);
  if (link->watch_aio) nng_aio_abort(link->watch_aio, NNG_ECLOSED);
}

static void fail(tth_nng_link *link, const char *format, ...) TETHER_PRINTF(2, 3);
static void fail(tth_nng_link *link, const char *format, ...) {
  char why[sizeof link->why];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  end(link, 0, why);
}

static void fail_with(tth_nng_link *link, const char *prefix, int error) {
  char why[sizeof link->why];
  snprintf(why, sizeof why, "%s%s", prefix, tth_nng_why(error));
  end(link, error, why);
}

/* After `aio` has been begun: had the link begun to end, the operation may never complete by itself. Under a hold of
 * the caller's own, since the operation's may be gone. */
static void look_again(tth_nng_link *link, nng_aio *aio) {
  if (!atomic_load(&link->ending)) return;
  nng_stream_close(link->stream);
  nng_aio_abort(aio, NNG_ECLOSED);
}

/* How long until `end_ns`, for nng. */
static nng_duration time_left(int64_t end_ns) {
  if (end_ns == TETHER_FOREVER) return NNG_DURATION_INFINITE;
  int64_t left_ms = (end_ns - real_now_ns() - 1) / TETHER_MS + 1;
  if (left_ms > INT_MAX) return NNG_DURATION_INFINITE;
  return left_ms < 1 ? 1 : (nng_duration)left_ms;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Where the next receive may put its bytes. */
static bool receive_space(tth_nng_link *link, nng_iov *iov) {
  if (link->stage == GREETING) {
    *iov = (nng_iov){link->greeting + link->greeting_len, sizeof link->greeting - link->greeting_len};
    return true;
  }
  uint8_t *space;
  if (!tth_sp_reader_space(&link->reader, &space, &iov->iov_len)) return false;
  iov->iov_buf = space;
  return true;
}

/* Begins the next receive. The receiving chain's hold goes on, or ends here. */
static void receive_more(tth_nng_link *link) {
  nng_iov iov;
  bool draining = atomic_load(&link->send_error) != 0;
  if (draining && link->end_ns == TETHER_FOREVER) link->end_ns = tether_time_add(real_now_ns(), DRAIN_NS);
  if (draining && real_now_ns() >= link->end_ns) fail_with(link, "", atomic_load(&link->send_error));
  if (!receive_space(link, &iov)) fail(link, "out of memory for a message of %zu bytes", link->reader.want);
  if (atomic_load(&link->ending)) {
    drop(link);
    return;
  }
  nng_aio_set_timeout(link->recv_aio, time_left(link->end_ns));
  nng_aio_set_iov(link->recv_aio, 1, &iov);
  hold(link);
  nng_stream_recv(link->stream, link->recv_aio);
  look_again(link, link->recv_aio);
  if (!draining && atomic_load(&link->send_error) != 0) nng_aio_abort(link->recv_aio, NNG_ETIMEDOUT);
  drop(link);
}

/* Judges the peer's greeting as far as it has come. */
static void greeting_received(tth_nng_link *link, size_t count) {
  link->greeting_len += count;
  if (!tth_sp_greeting_fits(link->greeting, link->greeting_len)) {
    fail(link, "not an SP PAIR0 peer (%s)", tth_sp_describe(link->greeting, link->greeting_len));
    drop(link);
  } else if (link->greeting_len < sizeof link->greeting) {
    receive_more(link);
  } else {
    drop(link);
  }
}

static void bytes_received(tth_nng_link *link, size_t count) {
  const uint8_t *message;
  uint64_t len;
  tth_sp_reader_filled(&link->reader, count);
  while (!atomic_load(&link->ending)) {
    tth_sp_event event = tth_sp_reader_next(&link->reader, TTH_LINK_NNG_RECEIVE_MAX, &message, &len);
    if (event == TTH_SP_MORE) break;
    if (event == TTH_SP_MESSAGE) {
      link->events->received(link->owner, message, (size_t)len);
    } else if (event == TTH_SP_TOO_LARGE) {
      fail(link, "the peer announced a message of %llu bytes, above the limit of %zu", (unsigned long long)len,
           TTH_LINK_NNG_RECEIVE_MAX);
    } else {
      end(link, 0, "the peer broke SP framing");
    }
  }
  receive_more(link);
}

static void receive_failed(tth_nng_link *link, int error) {
  if (link->stage == OPEN && error == NNG_ETIMEDOUT && real_now_ns() < link->end_ns) {
    receive_more(link); /* with a limit from now on, if a send has failed */
    return;
  }
  int send_error = atomic_load(&link->send_error);
  if (send_error)
    fail_with(link, "", send_error);
  else if (link->stage == OPEN)
    fail_with(link, "", error);
  else if (error == NNG_ETIMEDOUT)
    fail(link, "no greeting in time (%s)", tth_sp_describe(link->greeting, link->greeting_len));
  else if (link->greeting_len > 0)
    fail(link, "not an SP PAIR0 peer (%s)", tth_sp_describe(link->greeting, link->greeting_len));
  else
    fail_with(link, "no greeting: ", error);
  drop(link);
}

static void receive_callback(void *arg) {
  tth_nng_link *link = arg;
  if (link->settling) {
    settle(link);
    return;
  }
  int error = nng_aio_result(link->recv_aio);
  size_t count = nng_aio_count(link->recv_aio);
  if (!error && count == 0) error = NNG_ECONNSHUT; /* how TLS reports the peer's close */
  if (error)
    receive_failed(link, error);
  else if (link->stage == GREETING)
    greeting_received(link, count);
  else
    bytes_received(link, count);
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* Begins sending what is left. The send's hold goes on, or ends here. */
static void send_more(tth_nng_link *link, void (*drop_own)(tth_nng_link *link)) {
  if (atomic_load(&link->ending)) {
    drop_own(link);
    return;
  }
  unsigned first = link->left[0].iov_len == 0, pieces = link->left[1].iov_len == 0 ? 1 : 2;
  nng_aio_set_iov(link->send_aio, pieces - first, link->left + first);
  hold(link);
  nng_stream_send(link->stream, link->send_aio);
  look_again(link, link->send_aio);
  drop_own(link);
}

static void sent_bytes(tth_nng_link *link, size_t count) {
  for (int i = 0; i < 2 && count > 0; i++) {
    size_t part = count < link->left[i].iov_len ? count : link->left[i].iov_len;
    link->left[i].iov_buf = (uint8_t *)link->left[i].iov_buf + part;
    link->left[i].iov_len -= part;
    count -= part;
  }
}

static void send_failed(tth_nng_link *link, int error) {
  if (link->stage == OPEN && !link->watch_aio) {
    atomic_store(&link->send_error, error);
    nng_aio_abort(link->recv_aio, NNG_ETIMEDOUT);
  } else {
    fail_with(link, link->stage == GREETING ? "no greeting: " : "", error);
  }
  drop(link);
}

static void send_callback(void *arg) {
  tth_nng_link *link = arg;
  int error = nng_aio_result(link->send_aio);
  if (error) {
    send_failed(link, error);
    return;
  }
  sent_bytes(link, nng_aio_count(link->send_aio));
  if (link->left[0].iov_len + link->left[1].iov_len > 0) {
    send_more(link, drop);
    return;
  }
  if (link->stage == OPEN) link->events->sent(link->owner);
  drop(link);
}

/* ---- Watching over TLS and ws --------------------------------------------------------------- */

/* Begins the next wait. The watch's hold goes on, or ends here. */
static void watch_more(tth_nng_link *link) {
  hold(link);
  nng_sleep_aio(WATCH_MS, link->watch_aio);
  look_again(link, link->watch_aio);
  drop(link);
}

static void watch_callback(void *arg) {
  tth_nng_link *link = arg;
  nng_sockaddr address;
  if (!atomic_load(&link->ending) && nng_stream_get_addr(link->stream, NNG_OPT_REMADDR, &address) != 0)
    end(link, 0, "closed by the peer");
  if (atomic_load(&link->ending))
    drop(link);
  else
    watch_more(link);
}

/* ---- The life of a link --------------------------------------------------------------------- */

static void release(tth_nng_link *link) {
  nng_stream_free(link->stream);
  nng_aio_reap(link->recv_aio);
  nng_aio_reap(link->send_aio);
  nng_aio_reap(link->watch_aio);
  tth_sp_reader_fini(&link->reader);
  free(link->join);
  free(link);
}

tth_nng_link *tth_nng_link_new(nng_stream *stream, tth_nng_kind kind) {
  tth_nng_link *link = calloc(1, sizeof *link);
  if (!link) {
    nng_stream_free(stream);
    return NULL;
  }
  link->base.ops = &link_ops;
  link->stream = stream;
  link->kind = kind;
  atomic_init(&link->holds, 1); /* greet's */
  tth_sp_reader_init(&link->reader, kind.ipc);
  bool made = nng_aio_alloc(&link->recv_aio, receive_callback, link) == 0 &&
              nng_aio_alloc(&link->send_aio, send_callback, link) == 0;
  if (made && (kind.tls || kind.ws)) made = nng_aio_alloc(&link->watch_aio, watch_callback, link) == 0;
  if (made && kind.tls) made = (link->join = malloc(JOIN_MAX)) != NULL;
  if (!made) {
    release(link);
    return NULL;
  }
  tth_nng_name_peer(stream, kind, link->peer, sizeof link->peer);
  return link;
}

void tth_nng_link_greet(tth_nng_link *link, int64_t timeout_ns, tth_nng_greeted_fn greeted, void *owner) {
  link->greeted = greeted;
  link->owner = owner;
  link->end_ns = tether_time_add(real_now_ns(), timeout_ns);
  link->left[0] = (nng_iov){(void *)(uintptr_t)tth_sp_greeting, sizeof tth_sp_greeting};
  hold(link); /* the send's */
  hold(link); /* ours */
  send_more(link, drop);
  receive_more(link); /* with the hold from new */
  drop(link);
}

void tth_nng_link_abort(tth_nng_link *link, const char *why) { end(link, 0, why); }

static void link_start(tth_link *base, const tth_link_events *events, void *owner) {
  tth_nng_link *link = link_of(base);
  link->events = events;
  link->owner = owner;
  link->stage = OPEN;
  link->end_ns = TETHER_FOREVER;
  hold(link); /* ours */
  if (link->watch_aio) {
    hold(link);
    watch_more(link);
  }
  receive_more(link); /* with the hold from settle */
  drop_quietly(link);
}

static void link_send(tth_link *base, const uint8_t *batch, size_t len) {
  tth_nng_link *link = link_of(base);
  if (!try_hold(link)) return;
  size_t header = tth_sp_header_put(link->header, link->kind.ipc, len), joined = 0;
  if (link->join) {
    joined = len < JOIN_MAX - header ? len : JOIN_MAX - header;
    memcpy(link->join, link->header, header);
    memcpy(link->join + header, batch, joined);
  }
  link->left[0] = (nng_iov){link->join ? link->join : link->header, header + joined};
  link->left[1] = (nng_iov){(void *)(uintptr_t)(batch + joined), len - joined};
  send_more(link, drop_quietly);
}

static void link_close(tth_link *base) {
  tth_nng_link *link = link_of(base);
  if (!try_hold(link)) return;
  end(link, 0, "closed");
  drop_quietly(link);
}

static void link_free(tth_link *base) {
  if (base) release(link_of(base));
}

static const char *link_peer(const tth_link *base) { return ((const tth_nng_link *)base)->peer; }

static const tth_link_ops link_ops = {
    .start = link_start, .send = link_send, .close = link_close, .free = link_free, .peer = link_peer};

tth_link *tth_nng_link_public(tth_nng_link *link) { return &link->base; }

bool tth_nng_link_left_unheard(const tth_nng_link *link) {
  return link->greeting_len == 0 &&
         (link->error == NNG_ECONNSHUT || link->error == NNG_ECONNRESET || link->error == NNG_ECLOSED);
}

tth_nng_list_node *tth_nng_link_node(tth_nng_link *link) { return &link->node; }

tth_nng_link *tth_nng_link_of_node(tth_nng_list_node *node) {
  return (tth_nng_link *)(void *)((char *)node - offsetof(tth_nng_link, node));
}
