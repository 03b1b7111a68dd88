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
  int64_t deadline_ns; /* frames whose first is HEADERS with a timeout: written as they leave; else TETHER_FOREVER */
  size_t len;          /* bytes in data */
  size_t sent;         /* message: bytes that have left */
  bool sliced;         /* data is a message, not frames */
  uint8_t flags;       /* sliced: flags of the last slice */
  uint8_t data[];
} tth_out;

/* The owner may read id, state and user. */
typedef struct tth_stream {
  uint32_t id; /* 0 while QUEUED */
  tth_stream_state state;
  void *user; /* the call; NULL once it wants no more events */
  /* private */
  struct tth_stream *prev, *next; /* in one of the session's lists if `listed` */
  bool listed, cancel_owed, cancel_seen, discard;
  tth_out *out, **out_end;
  tether_cause *cause; /* of the CANCEL to send */
  uint8_t *message;    /* being put together from slices */
  size_t message_len, message_total, message_capacity;
} tth_stream;

typedef enum tth_event_type {
  TTH_EVENT_NONE = 0, /* the input is used up */
  TTH_EVENT_HELLO,    /* the peer's HELLO came: calls may be sent */
  TTH_EVENT_HEADERS,  /* bytes: the payload. Server: a new stream, whose user the owner sets */
  TTH_EVENT_MESSAGE,  /* bytes: a whole message */
  TTH_EVENT_OVERSIZE, /* a message of len bytes, over the limit or too much beside others; the rest is skipped */
  TTH_EVENT_TRAILERS, /* client: bytes: the payload; the stream is gone */
  TTH_EVENT_CANCEL,   /* server: bytes: the payload */
  TTH_EVENT_GOAWAY,   /* client: no new streams here */
  TTH_EVENT_PONG,     /* the peer has read everything up to our PING */
  TTH_EVENT_BROKEN,   /* bytes: why, as text. Close the connection */
} tth_event_type;

typedef struct tth_event {
  tth_event_type type;
  tth_stream *stream; /* NULL if it has ended; only under the lock that was held for next_event */
  void *user;
  const uint8_t *bytes; /* into the input, or into `owned` */
  size_t len;
  uint8_t *owned; /* to be freed by the receiver of the event */
  bool end;       /* the peer sends nothing more on this stream (TRAILERS aside) */
} tth_event;

typedef struct tth_session tth_session;

/* A session that has its HELLO to send. `limits` has its defaults filled in. NULL without memory. */
TETHER_MUST_USE tth_session *tth_session_new(tth_role role, const tether_limits *limits);

/* Frees everything queued. Streams must have been let go of (tth_session_pop_user). Takes NULL. */
void tth_session_free(tth_session *session);

/* ---- Input --------------------------------------------------------------------------------- */

/* Gives the session a batch, which must stay valid until next_event has returned NONE. */
void tth_session_input(tth_session *session, const uint8_t *batch, size_t len);

/* Takes the input forward to the next event. Returns false, and type NONE, when the input is used up. After
 * BROKEN the session takes nothing more. */
bool tth_session_next_event(tth_session *session, tth_event *event);

/* What the peer announced (our own before HELLO). */
const tether_limits *tth_session_peer_limits(const tth_session *session);

/* Whether a GOAWAY was received (client) or sent (server): streams not open yet stay unsent. */
bool tth_session_going_away(const tth_session *session);

/* ---- Output -------------------------------------------------------------------------------- */

/* An out of `size` bytes; NULL without memory. The session owns and frees it once queued. */
TETHER_MUST_USE tth_out *tth_out_new(size_t size, bool sliced);
void tth_out_free(tth_out *out); /* the whole chain; takes NULL */

/* Client: a new stream; it leaves when the peer's limit allows. Takes `out` (a chain: HEADERS first). NULL without
 * memory: `out` stays the caller's. */
TETHER_MUST_USE tth_stream *tth_session_open(tth_session *session, void *user, tth_out *out);

/* Client: ends the owner's interest and, if its HEADERS have left, sends CANCEL with `cause`; what is still queued is
 * dropped. `stream` is no longer the caller's. Never fails. */
void tth_session_cancel(tth_session *session, tth_stream *stream, const tether_cause *cause);

/* Server: sends `out` before the stream's end (initial metadata). */
void tth_session_send(tth_session *session, tth_stream *stream, tth_out *out);

/* Server: sends `out` (a chain that ends with TRAILERS) and ends the stream, which is no longer the caller's. */
void tth_session_finish(tth_session *session, tth_stream *stream, tth_out *out);

/* Server: announces that no stream after the ones seen is taken; later ones are answered UNAVAILABLE. */
void tth_session_goaway(tth_session *session);

/* Sends a PING once there is nothing else to send. */
void tth_session_ping(tth_session *session);

/* Writes as much as fits to buf and returns its length, 0 if there is nothing to send. `size` must be at least
 * tth_session_min_fill. */
size_t tth_session_fill(tth_session *session, int64_t now_ns, uint8_t *buf, size_t size);

/* The room needed for the next piece, and about how much there is to send in all. */
size_t tth_session_min_fill(const tth_session *session);
size_t tth_session_pending(const tth_session *session);

/* ---- The end ------------------------------------------------------------------------------- */

/* Lets go of one stream that still has a user and returns the user; NULL when there is none left. For lost
 * connections. */
void *tth_session_pop_user(tth_session *session);

/* Client, after GOAWAY: lets go of one call that has not left yet; NULL when there is none. */
void *tth_session_pop_queued(tth_session *session);

/* Streams that are not gone. */
size_t tth_session_stream_count(const tth_session *session);

/* The user of any stream that has one; NULL if none has. */
void *tth_session_any_user(const tth_session *session);

#endif
