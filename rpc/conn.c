/* One connection. Happy path of a batch in: link `received` -> session events, collected under the lock -> lock dropped
 * -> events to the owner -> one flush. Of a batch out: unlock -> session fills the buffer -> link send -> `sent` ->
 * next. Failures: a broken session or missing memory closes the link; the link's `closed` ends the connection, whatever
 * the reason was, and every call that was on it is handed back as lost. */
#include "rpc/conn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc/call.h"
#include "rpc/large.h"
#include "rpc/ticker.h"

#define EVENTS_AT_ONCE 32
#define WRITABLE_AT_ONCE 16
#define OUT_MIN ((size_t)4 * 1024)
/* A batch that makes this much to send is not waited for to its end, so that both sides work at once. */
#define UNCORK_AT ((size_t)4 * 1024)
#define OUT_TARGET ((size_t)256 * 1024)
/* So many batches in a row that take a quarter of the buffer halve it. */
#define OUT_SMALL_MOST 32

/* A batch is sent at once as often as this by one thread, which may be a caller; then the link's threads go on. */
#define SENDS_AT_ONCE 4
/* After so many batches in a row that nothing has come in return for, this side streams. Then the link's threads send:
 * the next batch leaves as soon, but what is said until they come back leaves together behind it. Else each message of
 * a stream would be a batch of its own: measured, a seventh of the rate. */
#define UNANSWERED_MOST 4
/* So many blocking calls in a row with the connection to themselves, and the caller receives itself. */
#define LONE_MIN 8

struct tth_conn {
  const tth_conn_ops *ops;
  void *owner;
  tth_link *link;
  tth_role role;
  _Atomic uint32_t refs;
  tth_conn_node node;   /* the owner's */
  _Atomic bool led;     /* a thread receives for its call, or is about to */
  _Atomic bool pulled;  /* the link leaves receiving to such a thread; written under mu */
  _Atomic size_t calls; /* client: the session's streams; written under mu */
  bool lives;           /* it has limits, and so a ticker */
  tth_ticker *ticker;   /* holds a reference from the start on; NULL: none */

  pthread_mutex_t mu;
  /* under mu */
  tth_session *session;
  bool started, closed, sending, corked, burst, close_on_pong;
  unsigned unanswered; /* batches in a row since something came */
  unsigned lone;       /* blocking calls in a row that had the connection to themselves */
  uint8_t *out;        /* the batch on its way while `sending` */
  size_t out_capacity;
  unsigned out_small; /* batches in a row that took little of it */
  const char *why;    /* it was closed by itself; static; NULL: it was not */
};

tth_conn *tth_conn_new(tth_link *link, tth_role role, const tether_limits *limits, const tth_conn_ops *ops,
                       void *owner) {
  tth_conn *conn = calloc(1, sizeof *conn);
  uint8_t *out = malloc(OUT_MIN);
  tth_session *session = tth_session_new(role, limits);
  if (!conn || !out || !session) {
    tth_session_free(session);
    free(out);
    free(conn);
    return NULL;
  }
  conn->ops = ops;
  conn->owner = owner;
  conn->link = link;
  conn->role = role;
  conn->refs = 1;
  conn->session = session;
  conn->out = out;
  conn->out_capacity = OUT_MIN;
  pthread_mutex_init(&conn->mu, NULL);
  return conn;
}

tth_conn *tth_conn_ref(tth_conn *conn) {
  atomic_fetch_add_explicit(&conn->refs, 1, memory_order_relaxed);
  return conn;
}

void tth_conn_unref(tth_conn *conn) {
  if (!conn || atomic_fetch_sub_explicit(&conn->refs, 1, memory_order_acq_rel) != 1) return;
  conn->link->ops->free(conn->link);
  tth_session_free(conn->session);
  pthread_mutex_destroy(&conn->mu);
  if (conn->ticker) tth_ticker_fini(conn->ticker);
  free(conn->ticker);
  free(conn->out);
  free(conn);
}

const char *tth_conn_peer(const tth_conn *conn) { return conn->link->ops->peer(conn->link); }
const tether_identity *tth_conn_identity(const tth_conn *conn) {
  return conn->link->identity ? conn->link->identity : &tth_identity_none;
}
bool tth_conn_confidential(const tth_conn *conn) { return conn->link->confidential; }
const char *tth_conn_peer_name(const tth_conn *conn) {
  const char *origin = tth_session_peer_origin(conn->session);
  return *origin ? origin : tth_conn_peer(conn);
}
const tether_limits *tth_conn_peer_limits(const tth_conn *conn) { return tth_session_peer_limits(conn->session); }
size_t tth_conn_out_bytes(tth_conn *conn) {
  pthread_mutex_lock(&conn->mu);
  size_t bytes = conn->out_capacity;
  pthread_mutex_unlock(&conn->mu);
  return bytes;
}

tth_conn_node *tth_conn_node_of(tth_conn *conn) { return &conn->node; }

/* Makes room for the next batch. A bigger buffer is welcome, but only the room for one piece is needed; after a while
 * of small batches a smaller one is. */
static bool make_room_locked(tth_conn *conn) {
  size_t want = tth_session_pending(conn->session), need = tth_session_min_fill(conn->session);
  if (want > OUT_TARGET) want = OUT_TARGET;
  if (want < need) want = need;
  if (want <= conn->out_capacity) {
    bool small = want <= conn->out_capacity / 4 && conn->out_capacity > OUT_MIN;
    conn->out_small = small ? conn->out_small + 1 : 0;
    if (conn->out_small < OUT_SMALL_MOST) return true;
    want = conn->out_capacity / 2 > OUT_MIN ? conn->out_capacity / 2 : OUT_MIN;
  }
  conn->out_small = 0;
  uint8_t *other = malloc(want);
  if (!other) return need <= conn->out_capacity;
  free(conn->out);
  conn->out = other;
  conn->out_capacity = want;
  return true;
}

tth_session *tth_conn_lock(tth_conn *conn) {
  pthread_mutex_lock(&conn->mu);
  return conn->closed ? NULL : conn->session;
}

tth_session *tth_conn_session(tth_conn *conn) { return conn->session; }

/* Writes the next batch, if one may leave. *close: there is no memory for it. */
static size_t fill_locked(tth_conn *conn, bool *close) {
  size_t len = 0;
  if (!conn->started || conn->closed || conn->sending || conn->corked) return 0;
  if (tth_session_pending(conn->session) > 0) {
    *close = !make_room_locked(conn);
    if (!*close) len = tth_session_fill(conn->session, tether_now_ns(), conn->out, conn->out_capacity);
  }
  conn->sending = len > 0;
  return len;
}

/* Calls that can send more are told by `sent`, on one of the link's threads: their `ready` is not for the stack of
 * whoever flushes. */
static bool send_now(tth_conn *conn, size_t len, bool allowed) {
  const tth_link_ops *ops = conn->link->ops;
  if (allowed && ops->send_now) return ops->send_now(conn->link, conn->out, len);
  ops->send(conn->link, conn->out, len);
  return false;
}

static void close_on_pong_locked(tth_conn *conn) {
  conn->close_on_pong = true;
  tth_session_ping(conn->session);
}

/* A client that was told to go, or leaves, has no more use for the connection once its calls are answered. True: it is
 * to be closed, and at once unless the server is still to read how the last of them ended here. */
static bool is_done_locked(tth_conn *conn) {
  bool done = conn->role == TTH_CLIENT && tth_session_going_away(conn->session) &&
              tth_session_stream_count(conn->session) == 0 && !conn->close_on_pong;
  bool corrected = done && tth_session_corrected(conn->session);
  if (corrected) close_on_pong_locked(conn);
  return done && !corrected;
}

void tth_conn_unlock(tth_conn *conn) {
  bool close = false;
  if (conn->role == TTH_CLIENT)
    atomic_store_explicit(&conn->calls, tth_session_stream_count(conn->session), memory_order_relaxed);
  for (int sends = 0;; sends++) {
    size_t len = fill_locked(conn, &close);
    bool streams = len > 0 && conn->unanswered++ >= UNANSWERED_MOST;
    bool allowed = sends < SENDS_AT_ONCE && !streams && !tth_session_has_writable(conn->session);
    pthread_mutex_unlock(&conn->mu);
    if (len == 0 || !send_now(conn, len, allowed)) break;
    pthread_mutex_lock(&conn->mu);
    conn->sending = false;
  }
  if (close) conn->link->ops->close(conn->link);
}

/* Collects events while the lock is held; the users they name are kept alive until they have been handled. */
static size_t collect_locked(tth_conn *conn, tth_event *events) {
  size_t n = 0;
  while (n < EVENTS_AT_ONCE && tth_session_next_event(conn->session, &events[n])) {
    tth_event *event = &events[n++];
    if (event->type == TTH_EVENT_HEADERS && conn->role == TTH_SERVER) {
      event->user = conn->ops->new_call(conn->owner, conn, event->stream);
      event->stream->user = event->user;
      if (!event->user) {
        *event = (tth_event){.type = TTH_EVENT_BROKEN, .bytes = (const uint8_t *)"out of memory", .len = 13};
        break;
      }
    }
    if (event->type == TTH_EVENT_TRAILERS) {
      tth_client_call_answered_locked(event->user, event->left_ns);
    } else if (event->user) {
      tether_call_ref(event->user);
    }
    if (event->type == TTH_EVENT_BROKEN) break;
  }
  return n;
}

/* It has been thrown out: closes once it has read why, or when the tick says so. */
static void leave(tth_conn *conn) {
  pthread_mutex_lock(&conn->mu);
  conn->close_on_pong = true; /* the session's PING waits for the end of the batch */
  pthread_mutex_unlock(&conn->mu);
  if (conn->ticker) tth_ticker_kick(conn->ticker);
}

static void deliver(tth_conn *conn, tth_event *event) {
  if (event->type == TTH_EVENT_BROKEN) {
    fprintf(stderr, "tether: closing the connection to %s: %.*s\n", tth_conn_peer(conn), (int)event->len,
            (const char *)event->bytes);
    conn->link->ops->close(conn->link);
    return;
  }
  if (event->type == TTH_EVENT_PONG) {
    pthread_mutex_lock(&conn->mu);
    bool close = conn->close_on_pong, corrected = close && tth_session_corrected(conn->session);
    if (corrected) tth_session_ping(conn->session); /* what the server's last answers made us say is to be read too */
    pthread_mutex_unlock(&conn->mu);
    if (close && !corrected) conn->link->ops->close(conn->link);
    return;
  }
  if (event->type == TTH_EVENT_THROWN) {
    fprintf(stderr, "tether: closing the connection to %s: %.*s\n", tth_conn_peer(conn), (int)event->len,
            (const char *)event->bytes);
    leave(conn);
    return;
  }
  conn->ops->event(conn->owner, conn, event);
  if (event->type != TTH_EVENT_TRAILERS && event->user) tether_call_unref(event->user);
  tth_large_free(event->owned);
  tth_out_free(event->kept);
}

static void on_received(void *owner, const uint8_t *batch, size_t len) {
  tth_conn *conn = owner;
  tth_event events[EVENTS_AT_ONCE];
  int64_t now_ns = tether_now_ns(); /* before the lock: waiting for it is not the way's doing */
  pthread_mutex_lock(&conn->mu);
  tth_session_input(conn->session, batch, len, now_ns);
  conn->unanswered = 0;
  conn->corked = true;
  for (bool more = true; more;) {
    size_t n = collect_locked(conn, events);
    pthread_mutex_unlock(&conn->mu);
    more = n == EVENTS_AT_ONCE && events[n - 1].type != TTH_EVENT_BROKEN;
    for (size_t i = 0; i < n; i++) deliver(conn, &events[i]);
    pthread_mutex_lock(&conn->mu);
    if (more && tth_session_pending(conn->session) >= UNCORK_AT) {
      conn->corked = false;
      tth_conn_unlock(conn);
      pthread_mutex_lock(&conn->mu);
      conn->corked = true;
    }
  }
  conn->corked = conn->burst && tth_session_pending(conn->session) < UNCORK_AT;
  bool done = is_done_locked(conn);
  tth_conn_unlock(conn);
  if (done) conn->link->ops->close(conn->link);
}

static void on_burst(void *owner, bool begins) {
  tth_conn *conn = owner;
  pthread_mutex_lock(&conn->mu);
  conn->burst = conn->corked = begins;
  bool done = !begins && is_done_locked(conn);
  tth_conn_unlock(conn);
  if (done) conn->link->ops->close(conn->link);
}

/* Tells calls that wanted to send more that they can. Only from here, an I/O thread: whoever else has made room (a
 * sender that flushed) has asked for a `sent`. */
static void tell_writable(tth_conn *conn) {
  tether_call *calls[WRITABLE_AT_ONCE];
  for (size_t n = WRITABLE_AT_ONCE; n == WRITABLE_AT_ONCE;) {
    n = 0;
    pthread_mutex_lock(&conn->mu);
    while (n < WRITABLE_AT_ONCE && !conn->closed && (calls[n] = tth_session_next_writable(conn->session)))
      tether_call_ref(calls[n++]);
    pthread_mutex_unlock(&conn->mu);
    for (size_t i = 0; i < n; i++) {
      tth_pipe_writable(calls[i]);
      tether_call_unref(calls[i]);
    }
  }
}

static void on_sent(void *owner) {
  tth_conn *conn = owner;
  pthread_mutex_lock(&conn->mu);
  conn->sending = false;
  tth_conn_unlock(conn);
  tell_writable(conn);
}

static void on_closed(void *owner, const char *why) {
  tth_conn *conn = owner;
  for (;;) {
    pthread_mutex_lock(&conn->mu);
    conn->closed = true;
    if (conn->why) why = conn->why;
    tth_out *unsent = NULL;
    tether_call *call = tth_session_take_queued(conn->session, &unsent);
    if (call && !tth_client_call_detach_locked(call)) call->stream = NULL; /* it stays on this one, as `lost` sees */
    if (!call) call = tth_session_pop_user(conn->session);
    if (call) call->stream = NULL;
    pthread_mutex_unlock(&conn->mu);
    if (!call) break;
    conn->ops->lost(conn->owner, conn, call, unsent, why);
  }
  if (conn->ticker) tth_ticker_stop(conn->ticker);
  conn->ops->closed(conn->owner, conn, why);
}

/* ---- Leading ------------------------------------------------------------------------------- */

static bool on_may_pull(void *owner, bool led) {
  tth_conn *conn = owner;
  pthread_mutex_lock(&conn->mu);
  /* With others about, or before its answer has come to one that does not lead, `lone` is 0 or a stream is open. */
  bool may = !conn->closed && conn->lone >= LONE_MIN && (led || tth_session_stream_count(conn->session) == 0);
  conn->pulled = may;
  pthread_mutex_unlock(&conn->mu);
  return may;
}

static void on_unled(void *owner) {
  tth_conn *conn = owner;
  pthread_mutex_lock(&conn->mu);
  conn->lone = 0;
  conn->pulled = false;
  pthread_mutex_unlock(&conn->mu);
}

bool tth_conn_opening(tth_conn *conn, bool lone) {
  bool alone = lone && tth_session_stream_count(conn->session) == 0;
  if (!alone)
    conn->lone = 0;
  else if (conn->lone < LONE_MIN)
    conn->lone++;
  if (!conn->pulled) return false;
  if (alone && !atomic_exchange(&conn->led, true)) return true;
  conn->lone = 0; /* who led for the call before may not have asked yet whether it is to receive on */
  conn->pulled = false;
  conn->link->ops->push(conn->link);
  return false;
}

void tth_conn_lead(tth_conn *conn, tether_call *call) {
  int cancel_state; /* a pthread_cancel may not tear the thread out of the middle of a receive */
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  while (tth_call_begin_leading(call) && conn->link->ops->wait(conn->link, true) == TTH_WAIT_CAME) continue;
  atomic_store(&conn->led, false);
  (void)pthread_setcancelstate(cancel_state, NULL);
}

void tth_conn_poke(tth_conn *conn) { conn->link->ops->poke(conn->link); }

tth_wait_result tth_conn_catch_up(tth_conn *conn) {
  if (!conn->pulled) return TTH_WAIT_PUSHED;
  int cancel_state;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  tth_wait_result pull = conn->link->ops->wait(conn->link, false);
  (void)pthread_setcancelstate(cancel_state, NULL);
  return pull;
}

static const tth_link_events link_events = {.received = on_received,
                                            .sent = on_sent,
                                            .closed = on_closed,
                                            .burst = on_burst,
                                            .may_pull = on_may_pull,
                                            .unled = on_unled};
static const tth_link_events server_link_events = {
    .received = on_received, .sent = on_sent, .closed = on_closed, .burst = on_burst};

/* ---- Time ---------------------------------------------------------------------------------- */

static int64_t on_tick(void *owner) {
  tth_conn *conn = owner;
  int64_t next_ns = TETHER_FOREVER;
  tth_tick tick = TTH_TICK_NOTHING;
  pthread_mutex_lock(&conn->mu);
  if (!conn->closed) tick = tth_session_tick(conn->session, tether_now_ns(), &next_ns);
  const char *why = tth_session_why(conn->session);
  bool close = tick == TTH_TICK_CLOSE || tick == TTH_TICK_DEAD;
  if (close) conn->why = why;
  if (tick == TTH_TICK_LEAVE) close_on_pong_locked(conn);
  tth_conn_unlock(conn);
  if (!close) return next_ns;
  if (tick == TTH_TICK_DEAD) fprintf(stderr, "tether: closing the connection to %s: %s\n", tth_conn_peer(conn), why);
  conn->link->ops->close(conn->link);
  return TETHER_FOREVER;
}

static void on_ticks_ended(void *owner, bool memory) {
  tth_conn *conn = owner;
  if (memory) conn->link->ops->close(conn->link); /* nobody would notice that its peer is gone */
  tth_conn_unref(conn);
}

void tth_conn_set_life(tth_conn *conn, const tth_life_limits *limits, int64_t age_ns) {
  tth_session_live(conn->session, limits, age_ns, tether_now_ns());
  conn->lives = true;
  conn->ticker = malloc(sizeof *conn->ticker);
  if (conn->ticker) tth_ticker_init(conn->ticker, on_tick, on_ticks_ended, conn);
}

void tth_conn_throw_out(tth_conn *conn, const char *why) {
  tth_session *session = tth_conn_lock(conn);
  if (session) tth_session_throw_out(session, why, tether_now_ns());
  conn->close_on_pong = true; /* before the PING leaves */
  tth_conn_unlock(conn);
  if (conn->ticker) tth_ticker_kick(conn->ticker);
}

void tth_conn_start(tth_conn *conn) {
  tth_conn_ref(conn); /* a peer that leaves at once: `closed` may give back the owner's before we are done */
  if (conn->ticker) tth_conn_ref(conn); /* until its ticks have ended */
  conn->link->ops->start(conn->link, conn->role == TTH_CLIENT ? &link_events : &server_link_events, conn);
  pthread_mutex_lock(&conn->mu);
  conn->started = true;
  tth_conn_unlock(conn);
  if (conn->ticker) tth_ticker_kick(conn->ticker);
  if (conn->lives && !conn->ticker) conn->link->ops->close(conn->link); /* no memory: its limits would not hold */
  tth_conn_unref(conn);
}

void tth_conn_close(tth_conn *conn) { conn->link->ops->close(conn->link); }

void tth_conn_leave(tth_conn *conn) {
  pthread_mutex_lock(&conn->mu);
  tth_session_leave(conn->session);
  bool done =
      !conn->corked && is_done_locked(conn); /* who tells what has come may have to correct it, and looks then */
  tth_conn_unlock(conn);
  if (done) conn->link->ops->close(conn->link);
}

size_t tth_conn_calls(const tth_conn *conn) { return atomic_load_explicit(&conn->calls, memory_order_relaxed); }

void tth_conn_close_gently(tth_conn *conn) {
  pthread_mutex_lock(&conn->mu);
  close_on_pong_locked(conn);
  tth_conn_unlock(conn);
}
