/* rpc/session_impl.h: the session's insides, shared by session.c (input), session_window.c (windows), session_queue.c
 * (what is to be sent), session_out.c (output) and session_life.c (time). */
#ifndef TETHER_RPC_SESSION_IMPL_H
#define TETHER_RPC_SESSION_IMPL_H

#include "rpc/session.h"
#include "rpc/session_clock.h"

/* CANCELs for streams not seen yet (protocol.md, "Tombstones"); the oldest give way. */
#define TTH_TOMBSTONES 64

/* Refused streams whose answers have not left. A peer that opens more without reading the answers is cut off. */
#define TTH_REFUSALS 1024

/* A list of streams, first in first out. */
typedef struct tth_stream_list {
  tth_list_kind kind;
  tth_stream *first, *last;
  size_t count;
} tth_stream_list;

/* Ids wrap after 2^32 calls; of two ids near each other this tells which is newer. */
static inline bool tth_id_is_newer(uint32_t id, uint32_t than) { return (int32_t)(id - than) > 0; }

/* What a frame takes of its stream's credit. */
static inline size_t tth_frame_cost(const uint8_t *frame) {
  bool counts = frame[4] == TTH_MESSAGE && !(frame[5] & TTH_FLAG_BARE);
  return counts ? TTH_FRAME_HEADER + tth_get32(frame) : 0;
}

typedef enum tth_life_stage { TTH_LIFE_OPEN, TTH_LIFE_ASKED, TTH_LIFE_LAST, TTH_LIFE_LEAVING } tth_life_stage;

/* The picture is in session_life.c. */
typedef struct tth_life {
  tth_life_limits limits; /* all 0 without tth_session_live */
  tth_life_stage stage;
  const char *why;
  bool ask;         /* a PING is owed that does not wait for data */
  unsigned strikes; /* PINGs that came too soon, since any frame of a stream came or left */
  int64_t born_ns, age_at_ns;
  int64_t used_ns;        /* server: when a stream last began or ended */
  int64_t asked_ns;       /* when keepalive asked; 0: it has not since the last sign of life */
  int64_t pinged_ns;      /* when the peer's last PING came */
  int64_t drain_stamp_ns; /* the drain's PING is this or a later one */
  int64_t until_ns;       /* the bound of ASKED and of LEAVING */
  int64_t grace_at_ns;    /* a retired connection is closed then; 0: it is not retired */
} tth_life;

struct tth_session {
  tth_role role;
  tether_limits limits, peer_limits;
  char peer_origin[TTH_ORIGIN_SIZE]; /* from its HELLO; "": none that fits */
  tth_streams streams;               /* all with an id */

  /* input */
  const uint8_t *input;
  size_t input_len;
  int64_t input_ns; /* when it came */
  bool hello_seen, broken;
  uint32_t last_stream; /* newest id whose HEADERS were sent (client) or seen (server) */
  uint32_t *tombstones; /* TTH_TOMBSTONES; NULL: there was none yet */
  unsigned tombstone_next;

  /* windows */
  uint64_t budget;      /* what streams may still take beyond their first window */
  uint64_t growth_left; /* of that, what may go into grown windows: the longest message always has room beside them */
  tth_stream_list waiting; /* for the budget; served in turn */
  tth_stream_list owed;    /* WINDOW owed */

  /* output */
  tth_out *control, **control_end; /* HELLO, GOAWAY, answers to refused streams */
  size_t refusals;                 /* of those answers, how many */
  bool ping_owed, pong_owed;
  bool corrected;           /* client: VERDICT has been said since the barrier left */
  int64_t barrier_ns;       /* the stamp of our PING that left behind everything; 0: none is under way */
  int64_t stamp_ns;         /* the last one given to a PING of ours: no two are alike */
  tth_stamps pong;          /* only the latest PING is answered: memory stays bounded */
  tth_stream_list cancels;  /* CANCEL owed */
  tth_stream_list queued;   /* client: not opened yet */
  tth_stream_list ready;    /* with output that may leave; served in turn */
  tth_stream_list writable; /* the owner is to be told */
  size_t blocked;           /* streams whose output waits for credit */
  size_t pending;           /* bytes in out chains that may leave */
  size_t unsent;            /* bytes queued on streams, also on those that wait for credit */
  size_t kept;              /* client: the sum of the streams' kept_len */
  bool going_away;

  /* time */
  tth_peer_clock clock; /* client: the server's; HEADERS go that way alone */
  tth_life life;
};

/* ---- session_queue.c ----------------------------------------------------------------------- */

void tth_list_push(tth_stream_list *list, tth_stream *stream);
tth_stream *tth_list_pop(tth_stream_list *list);

void tth_list_remove(tth_stream_list *list, tth_stream *stream);

/* Takes the stream off the list of this kind that it is in, if any. */
void tth_list_leave(tth_session *session, tth_stream *stream, tth_list_kind kind);

/* A stream with everything zero. NULL without memory. */
TETHER_MUST_USE tth_stream *tth_stream_new(void);

/* Frees a stream that is not in the table; takes it off every list. */
void tth_stream_free(tth_session *session, tth_stream *stream);

/* Frees the first of a chain, the others not. */
void tth_out_free_one(tth_out *out);

/* With its data; so much memory is used again. Under a sanitizer it ends where the data ends. */
#define TTH_OUT_SMALL ((size_t)304)

/* The memory it takes. */
static inline size_t tth_out_size(const tth_out *out) { return out->small ? TTH_OUT_SMALL : sizeof *out + out->len; }

/* ---- session_keep.c ------------------------------------------------------------------------ */

/* What all calls of a connection may keep together, in bytes of memory. As gRPC's retry buffers of a channel. */
#define TTH_KEEP_ALL ((size_t)16 * 1024 * 1024)

/* Of a stream that keeps: `out` has left. */
void tth_stream_keep(tth_session *session, tth_stream *stream, tth_out *out);

/* Nothing of the stream will have to be sent again. */
void tth_stream_commit(tth_session *session, tth_stream *stream);

/* All that was to be sent on it, as it was; NULL: not all of it is there any more. */
tth_out *tth_stream_take_request(tth_session *session, tth_stream *stream);

/* ---- session_queue.c ----------------------------------------------------------------------- */

/* Drops a stream's queued output. */
void tth_stream_drop_out(tth_session *session, tth_stream *stream);

/* Takes it instead, as it is. */
tth_out *tth_stream_take_out(tth_session *session, tth_stream *stream);

/* The same, but TRAILERS that are queued still leave. */
void tth_stream_keep_trailers(tth_session *session, tth_stream *stream);

/* `len` bytes at the head of the stream's output have left. */
void tth_stream_out_left(tth_session *session, tth_stream *stream, size_t len);

/* Puts a stream that has its id among the ready, if it has output, or marks it blocked. */
void tth_stream_make_ready(tth_session *session, tth_stream *stream);

/* What the stream's next piece of output takes of its credit. */
TETHER_MUST_USE uint64_t tth_stream_next_cost(const tth_stream *stream);

/* ---- session_window.c ---------------------------------------------------------------------- */

void tth_windows_init(tth_session *session);

/* The windows of a stream that gets its id, in both directions. */
void tth_window_open(tth_session *session, tth_stream *stream);

/* A MESSAGE frame of `len` payload bytes; false: more than the window allows. */
TETHER_MUST_USE bool tth_window_take(tth_stream *stream, size_t len);

/* The frame that was taken is a slice of the stream's message, not the last; `first`: its first. */
void tth_window_slice(tth_session *session, tth_stream *stream, bool first);

/* The frame that was taken completes a message. Returns the message's cost; 0 with `end`, after which no more may
 * come. */
TETHER_MUST_USE uint64_t tth_window_message(tth_session *session, tth_stream *stream, bool end);

/* Nothing more is taken on the stream; what was given to the owner stays counted. */
void tth_window_close(tth_session *session, tth_stream *stream);

/* Gives everything back. */
void tth_window_release(tth_session *session, tth_stream *stream);

/* Takes the next WINDOW that is owed: true, its stream and its bytes. */
TETHER_MUST_USE bool tth_window_next(tth_session *session, uint32_t *stream, uint32_t *bytes);

/* Drops what has come of a message. */
void tth_stream_drop_message(tth_stream *stream);

/* A WINDOW frame for this stream. NULL, or what is wrong with it. */
TETHER_MUST_USE const char *tth_window_received(tth_session *session, tth_stream *stream, const tth_frame *frame);

/* ---- session_out.c ------------------------------------------------------------------------- */

/* Queues a control frame of `len` payload bytes copied from `payload`. false: no memory. */
TETHER_MUST_USE bool tth_session_control(tth_session *session, tth_frame_type type, uint32_t stream,
                                         const uint8_t *payload, size_t len);

/* Answers a stream that is not taken with TRAILERS {code, message}. false: no memory. */
TETHER_MUST_USE bool tth_session_refuse(tth_session *session, uint32_t stream, tether_code code, const char *message);

/* Queues GOAWAY. Without memory the client learns it from the close instead. */
void tth_session_say_goaway(tth_session *session, uint32_t last_stream, const char *message);

/* ---- session_life.c ------------------------------------------------------------------------ */

/* What GOAWAY says to who asks too often. */
#define TTH_TOO_MANY_PINGS "too_many_pings"

/* Client: that has been said. Returns how often it may ask on the next connection: half as often. 0: it does not. */
int64_t tth_life_calmed(const tth_session *session);

/* A PING has come: false if it is one too many. */
TETHER_MUST_USE bool tth_life_pinged(tth_session *session);

/* A PONG with this stamp has come: true if it ends a drain's wait. */
TETHER_MUST_USE bool tth_life_answered(tth_session *session, int64_t stamp_ns);

/* A frame of a stream came or left. */
static inline void tth_life_used(tth_session *session) { session->life.strikes = 0; }

#endif
