/* rpc/session.h: one connection's protocol as a state machine: no I/O, no threads, no clock calls. Bytes go in
 * (tth_session_input, tth_session_next_event), bytes come out (tth_session_fill), `now` is passed in.
 *
 * A stream at the client:                          and at the server:
 *
 *   QUEUED ──HEADERS leave──> OPEN                   OPEN ──finish──> FINISHED ──TRAILERS leave──> gone
 *     │ cancel                 │ │ TRAILERS            │ CANCEL received (an event; the owner still finishes)
 *     v                 cancel │ └─────────> gone      └──────────────┘
 *    gone                      v
 *     (nothing is sent)    CANCELLED ──TRAILERS──> gone
 *
 * A cancelled stream is answered: the server's slot is free only when its TRAILERS came.
 *
 * Not thread-safe: the owner locks. Nothing here calls back. */
#ifndef TETHER_RPC_SESSION_H
#define TETHER_RPC_SESSION_H

#include <tether/ctx.h>
#include <tether/rpc.h>

#include "rpc/frame.h"
#include "rpc/streams.h"

/* A stream takes more output as long as less than TTH_SEND_HIGH bytes are queued on it. */
#define TTH_SEND_HIGH ((size_t)64 * 1024)
#define TTH_SEND_LOW ((size_t)16 * 1024)

/* The least, and the default, of what each stream may send unread; what a window may grow to by itself. */
#define TTH_WINDOW_LEAST ((size_t)64 * 1024)
#define TTH_WINDOW_MOST ((size_t)1024 * 1024)

/* No sender has more credit on a stream; no first window and no message is larger. */
#define TTH_CREDIT_MOST ((size_t)INT32_MAX)
#define TTH_FIRST_WINDOW_MOST ((size_t)1 << 30)
#define TTH_MESSAGE_MOST ((size_t)INT32_MAX)

/* Room for the name of a process. */
#define TTH_ORIGIN_SIZE ((size_t)64)

typedef enum tth_role { TTH_CLIENT, TTH_SERVER } tth_role;

typedef enum tth_stream_state {
  TTH_STREAM_QUEUED,
  TTH_STREAM_OPEN,
  TTH_STREAM_CANCELLED,
  TTH_STREAM_FINISHED,
} tth_stream_state;

/* Something to send on a stream: whole frames (stream ids are filled in as they leave), or the bytes of a message
 * that is sent in slices. One allocation. */
typedef struct tth_out {
  struct tth_out *next;
  int64_t deadline_ns; /* frames that begin with HEADERS, and these with timeout_ns and sent_at_ns, which are written
                          as they leave; else TETHER_FOREVER */
  int64_t reserve_ns;  /* kept back from the deadline, for the answer's way: 0: measured, at most an eighth of what is
                          left; more: so much, at most half; less: nothing */
  size_t len;          /* bytes in data */
  size_t sent;         /* message: bytes that have left */
  bool sliced;         /* data is a message, not frames */
  bool small;          /* of TTH_REUSE_OUT */
  uint8_t flags;       /* sliced: flags of the last slice */
  uint8_t data[];
} tth_out;

/* The lists a stream can be in at the same time (rpc/session_impl.h). */
typedef enum tth_list_kind {
  TTH_LIST_OUTPUT,   /* one of: queued, ready, cancels */
  TTH_LIST_OWED,     /* WINDOW is to be sent */
  TTH_LIST_WAITING,  /* for the connection's budget */
  TTH_LIST_WRITABLE, /* the owner is to be told */
  TTH_LISTS
} tth_list_kind;

typedef struct tth_place {
  struct tth_stream *prev, *next;
} tth_place;

/* What a stream may receive (rpc/session_window.c); in bytes of MESSAGE frames, headers included. Each fits 32 bits,
 * and so does the sum of credit and unread: see tth_windows_init. */
typedef struct tth_window {
  uint32_t credit;          /* what the peer may still send */
  uint32_t unread;          /* has come and was not given back, `partial` included */
  uint32_t partial;         /* has come of a message in slices */
  uint32_t grown, reserved; /* what the stream has of the connection's budget */
  uint32_t promised;        /* of `reserved`: for the message that is coming */
} tth_window;

/* The owner may read id, state, user and queued. */
typedef struct tth_stream {
  uint32_t id; /* 0 while QUEUED */
  tth_stream_state state;
  void *user;      /* the call; NULL once it wants no more events */
  void *late;      /* client: the call after its cancel, which still hears of TRAILERS and of the end */
  int64_t left_ns; /* client: when HEADERS left; 0: they have not */
  int64_t told_ns; /* client: the deadline that the server was given, on our clock; TETHER_FOREVER: none */
  size_t queued;   /* bytes of output that have not left */
  /* private */
  tth_place places[TTH_LISTS];
  bool listed[TTH_LISTS];
  bool cancel_seen;
  bool measures;      /* client: the reserve is a measured one, and how its answer comes is measured */
  bool discard;       /* what comes is skipped */
  bool ended;         /* the peer has sent END */
  bool blocked;       /* the next piece of output needs more credit than there is */
  bool want_writable; /* to be listed once little is queued */
  uint32_t send_credit;
  tth_window in;
  uint32_t message_len, message_total, message_capacity;
  uint8_t *message; /* being put together from slices */
  tth_out *out, **out_end;
  bool keeps; /* client: what leaves is kept (rpc/session_keep.c) */
  tth_out *kept, **kept_end;
  size_t kept_len;     /* in memory */
  tether_cause *cause; /* of the CANCEL to send */
  int64_t wait_ns;     /* likewise */
} tth_stream;

typedef enum tth_event_type {
  TTH_EVENT_NONE = 0, /* the input is used up */
  TTH_EVENT_HELLO,    /* the peer's HELLO came: calls may be sent */
  TTH_EVENT_HEADERS,  /* bytes: the payload. Server: a new stream, whose user the owner sets */
  TTH_EVENT_REFUSED,  /* server: a new stream that is none, and was answered `to`: UNAVAILABLE, as not accepted, or
                         CANCELLED, as it was before it came */
  TTH_EVENT_MESSAGE,  /* bytes: a whole message */
  TTH_EVENT_END,      /* the peer sends nothing more on this stream; there is no message with it */
  TTH_EVENT_OVERSIZE, /* a message of len bytes, over the limit; the rest is skipped */
  TTH_EVENT_TRAILERS, /* client: bytes: the payload; the stream is gone */
  TTH_EVENT_VERDICT,  /* server: the caller recorded `to` for a call that was answered `from` */
  TTH_EVENT_CANCEL,   /* server: bytes: the payload */
  TTH_EVENT_GOAWAY,   /* client: no new streams here, and those after stream_id are not accepted */
  TTH_EVENT_PONG,     /* the peer has read everything up to the PING of tth_session_ping */
  TTH_EVENT_DRAINED,  /* server: GOAWAY has named the last stream; nothing more is accepted */
  TTH_EVENT_THROWN,   /* server: bytes: why, as text. Close once the peer has read it, see tth_session_throw_out */
  TTH_EVENT_BROKEN,   /* bytes: why, as text. Close the connection */
} tth_event_type;

typedef struct tth_event {
  tth_event_type type;
  tth_stream *stream; /* NULL if it has ended; only under the lock that was held for next_event */
  void *user;
  const uint8_t *bytes; /* into the input, or into `owned` */
  size_t len;
  uint8_t *owned;       /* to be freed by the receiver of the event */
  size_t cost;          /* MESSAGE: unless 0 to be given to tth_session_consumed when the message has been used */
  bool end;             /* the peer sends nothing more on this stream (TRAILERS aside) */
  bool whole;           /* server, HEADERS: the one message of the stream is in the same batch, right behind */
  uint32_t stream_id;   /* TRAILERS, GOAWAY */
  tth_out *kept;        /* TRAILERS: all that was to be sent on the stream, if nothing else has come on it and it was
                           not too much; to be freed by the receiver of the event */
  int64_t keepalive_ns; /* GOAWAY: we asked too often: how often later connections may; 0: that is not what it says */
  int64_t left_ns;      /* TRAILERS: when the stream's HEADERS left */
  int64_t came_ns;      /* HEADERS of a request: when they came */
  int64_t told_ns;      /* TRAILERS: the deadline that the server was given, on our clock; TETHER_FOREVER: none */
  tether_code from, to; /* VERDICT; REFUSED: to */
} tth_event;

typedef struct tth_session tth_session;

/* A session that has its HELLO to send. `limits` has its defaults filled in. NULL without memory. */
TETHER_MUST_USE tth_session *tth_session_new(tth_role role, const tether_limits *limits);

/* Frees everything queued. Streams must have been let go of (tth_session_pop_user). Takes NULL. */
void tth_session_free(tth_session *session);

/* ---- Input --------------------------------------------------------------------------------- */

/* Gives the session a batch that came at `now_ns`. It must stay valid until next_event has returned NONE. */
void tth_session_input(tth_session *session, const uint8_t *batch, size_t len, int64_t now_ns);

/* Takes the input forward to the next event. Returns false, and type NONE, when the input is used up. After
 * BROKEN the session takes nothing more. */
bool tth_session_next_event(tth_session *session, tth_event *event);

/* The owner has used messages that cost so much: the peer may send as much again. Costs may be gathered, up to
 * TTH_WINDOW_LEAST / 8 unsaid. */
void tth_session_consumed(tth_session *session, tth_stream *stream, size_t cost);

/* What the peer announced (our own before HELLO). */
const tether_limits *tth_session_peer_limits(const tth_session *session);

/* The name that the peer's HELLO gave its process; "" if none. */
const char *tth_session_peer_origin(const tth_session *session);

/* Whether a GOAWAY was received, or we leave (client), or one was sent (server): streams not open yet stay unsent. */
bool tth_session_going_away(const tth_session *session);

/* ---- Output -------------------------------------------------------------------------------- */

/* An out of `size` bytes; NULL without memory. The session owns and frees it once queued. */
TETHER_MUST_USE tth_out *tth_out_new(size_t size, bool sliced);
void tth_out_free(tth_out *out); /* the whole chain; takes NULL */

/* Client: a new stream; it leaves when the peer's limit allows. Takes `out` (a chain: HEADERS first). NULL without
 * memory: `out` stays the caller's. */
TETHER_MUST_USE tth_stream *tth_session_open(tth_session *session, void *user, tth_out *out);

/* Client: ends the owner's interest and, if its HEADERS have left, sends CANCEL with `cause`; what is still queued is
 * dropped. `wait_ns`: how long the caller waits for the tree below to stop; 0: it does not. `stream` is no longer the
 * caller's. true: the owner still hears of its TRAILERS or its end; false: it had not left and is gone. Never fails. */
bool tth_session_cancel(tth_session *session, tth_stream *stream, const tether_cause *cause, int64_t wait_ns);

/* Client: tells that the call of a stream that was answered `from` is recorded as `to`. */
void tth_session_verdict(tth_session *session, uint32_t stream, tether_code from, tether_code to);

/* Whether it has told so since the last PING of tth_session_ping left: the answer to that says nothing of it. */
bool tth_session_corrected(const tth_session *session);

/* Sends `out` behind what is queued on the stream: initial metadata, a message, the client's half-close. */
void tth_session_send(tth_session *session, tth_stream *stream, tth_out *out);

/* Server, before the finish of a call that was cut: drops what is queued on the stream and has not left. */
void tth_session_drop_output(tth_session *session, tth_stream *stream);

/* Asks that tth_session_next_writable name the stream once no more than TTH_SEND_LOW bytes are queued on it. */
void tth_session_want_writable(tth_session *session, tth_stream *stream);

/* The user of the next stream for which that has come true; NULL when there is none (left). */
void *tth_session_next_writable(tth_session *session);
bool tth_session_has_writable(const tth_session *session);

/* Server: sends `out` (a chain that ends with TRAILERS) and ends the stream, which is no longer the caller's. */
void tth_session_finish(tth_session *session, tth_stream *stream, tth_out *out);

/* Client: opens no more streams, as after a GOAWAY. */
void tth_session_leave(tth_session *session);

/* Server: announces that no stream after the ones seen is taken; later ones are answered UNAVAILABLE. `why` is static:
 * a drain's own counts. */
void tth_session_goaway(tth_session *session, const char *why);

/* Sends a PING once there is nothing else to send, also nothing that waits for credit. */
void tth_session_ping(tth_session *session);

/* Writes as much as fits to buf and returns its length, 0 if there is nothing to send. `size` must be at least
 * tth_session_min_fill. */
size_t tth_session_fill(tth_session *session, int64_t now_ns, uint8_t *buf, size_t size);

/* Bytes queued on all streams that have not left. */
size_t tth_session_unsent(const tth_session *session);

/* The room needed for the next piece, and about how much there is to send in all. */
size_t tth_session_min_fill(const tth_session *session);
size_t tth_session_pending(const tth_session *session);

/* ---- Life (rpc/session_life.c) ------------------------------------------------------------- */

/* Times of 0 do not occur; TETHER_FOREVER: never. */
typedef struct tth_life_limits {
  int64_t keepalive_ns, keepalive_timeout_ns;
  bool without_calls;            /* client: PINGs without calls too */
  int64_t permit_ns;             /* server: the least between two PINGs of the client; 0: any number is permitted */
  bool permit_without_calls;     /* server: that also holds without calls */
  int64_t hello_ns;              /* the peer's HELLO takes no longer */
  int64_t idle_ns, age_grace_ns; /* server */
} tth_life_limits;

typedef enum tth_tick {
  TTH_TICK_NOTHING,
  TTH_TICK_LEAVE, /* close once the peer has read everything (tth_session_ping) */
  TTH_TICK_CLOSE, /* close */
  TTH_TICK_DEAD,  /* close: nothing is heard of the peer */
} tth_tick;

/* Before the first input; without it none of the limits applies. Server: drained at the age of age_ns. */
void tth_session_live(tth_session *session, const tth_life_limits *limits, int64_t age_ns, int64_t now_ns);

/* What time has brought, besides output. *next_ns: when to ask again; TETHER_FOREVER: not before something happens. */
TETHER_MUST_USE tth_tick tth_session_tick(tth_session *session, int64_t now_ns, int64_t *next_ns);

/* Server: asks the client to open nothing more, and says GOAWAY when nothing more can be on its way: DRAINED. `why` is
 * static. */
void tth_session_drain(tth_session *session, const char *why, int64_t now_ns);

/* Server: says GOAWAY, takes nothing more in, and sends a PING as tth_session_ping; the tick closes after a second. */
void tth_session_throw_out(tth_session *session, const char *why, int64_t now_ns);

/* Why it drains, leaves or is to be closed; "" if it does not. Static. */
const char *tth_session_why(const tth_session *session);

/* ---- The end ------------------------------------------------------------------------------- */

/* Lets go of one stream that still has a user, late ones and those that have not left included, and returns the user;
 * NULL when there is none left. For lost connections. */
void *tth_session_pop_user(tth_session *session);

/* Client: lets go of one call that the peer has not accepted: it has not left yet, or its stream is newer than `last`
 * and all that was to be sent on it is still there. *out: that, the caller's. NULL when there is none. */
void *tth_session_take_back(tth_session *session, uint32_t last, tth_out **out);

/* The same of those that have not left yet. */
void *tth_session_take_queued(tth_session *session, tth_out **out);

/* Streams that are not gone. */
size_t tth_session_stream_count(const tth_session *session);

/* The user of any stream that has one; NULL if none has. */
void *tth_session_any_user(const tth_session *session);

#endif
