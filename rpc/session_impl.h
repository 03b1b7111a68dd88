/* rpc/session_impl.h: the session's insides, shared by session.c (input) and session_out.c (output). */
#ifndef TETHER_RPC_SESSION_IMPL_H
#define TETHER_RPC_SESSION_IMPL_H

#include "rpc/session.h"

/* CANCELs for streams not seen yet (protocol.md, "Tombstones"); the oldest give way. */
#define TTH_TOMBSTONES 64

/* Refused streams whose answers have not left. A peer that opens more without reading the answers is cut off. */
#define TTH_REFUSALS 1024

#define TTH_PING_SIZE 32

/* What half-received messages of one connection may hold, as a multiple of the largest message: a peer that begins
 * one on every stream and finishes none fills this much. */
#define TTH_ASSEMBLING_MESSAGES 16

/* A list of streams, first in first out. */
typedef struct tth_stream_list {
  tth_stream *first, *last;
} tth_stream_list;

/* Ids wrap after 2^32 calls; of two ids near each other this tells which is newer. */
static inline bool tth_id_is_newer(uint32_t id, uint32_t than) { return (int32_t)(id - than) > 0; }

struct tth_session {
  tth_role role;
  tether_limits limits, peer_limits;
  tth_streams streams; /* all with an id */

  /* input */
  const uint8_t *input;
  size_t input_len;
  size_t assembling; /* memory of messages being put together from slices */
  bool hello_seen, broken;
  uint32_t last_stream; /* newest id whose HEADERS were sent (client) or seen (server) */
  uint32_t tombstones[TTH_TOMBSTONES];
  unsigned tombstone_next;
  bool tombstones_used;

  /* output */
  tth_out *control, **control_end; /* HELLO, GOAWAY, answers to refused streams */
  size_t refusals;                 /* of those answers, how many */
  bool ping_owed, pong_owed;
  uint8_t pong[TTH_PING_SIZE]; /* only the latest PING is answered: memory stays bounded */
  tth_stream_list cancels;     /* CANCEL owed */
  tth_stream_list queued;      /* client: not opened yet */
  tth_stream_list ready;       /* with output; served in turn */
  size_t queued_count;
  size_t pending; /* bytes in out chains that may leave */
  bool going_away;
};

void tth_list_push(tth_stream_list *list, tth_stream *stream);
tth_stream *tth_list_pop(tth_stream_list *list);
void tth_list_remove(tth_stream_list *list, tth_stream *stream);

/* Frees a stream that is in no list and not in the table. */
void tth_stream_free(tth_session *session, tth_stream *stream);

/* Drops what has come of a message. */
void tth_stream_drop_message(tth_session *session, tth_stream *stream);

/* Drops a stream's queued output. */
void tth_stream_drop_out(tth_session *session, tth_stream *stream);

/* Queues a control frame of `len` payload bytes copied from `payload`. false: no memory. */
TETHER_MUST_USE bool tth_session_control(tth_session *session, tth_frame_type type, uint32_t stream,
                                         const uint8_t *payload, size_t len);

/* Answers a stream that is not taken with TRAILERS {code, message}. false: no memory. */
TETHER_MUST_USE bool tth_session_refuse(tth_session *session, uint32_t stream, tether_code code, const char *message);

#endif
