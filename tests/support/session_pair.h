/* tests/support/session_pair.h: a client's and a server's session wired together, without I/O, and owners on both sides
 * that send, receive and read as the test says. What a message must be like on arrival follows from its place. */
#ifndef TETHER_TESTS_SESSION_PAIR_H
#define TETHER_TESTS_SESSION_PAIR_H

#include "rpc/session_impl.h"
#include "tests/support/frames.h"

/* One direction of a stream. */
typedef struct tst_way {
  size_t *lens;    /* of the messages sent */
  uint64_t *costs; /* of those received */
  size_t sent, received, read, room;
  uint64_t untold; /* cost of messages read, not told to the session yet */
  bool end_sent, ended;
} tst_way;

/* A stream at both sides; the user of both. */
typedef struct tst_call {
  tth_stream *at[2]; /* by role; NULL: not there (yet, or any more) */
  tst_way way[2];    /* by the sender's role */
  bool reads[2];     /* by role: reads every message as it comes */
  bool oversize[2];  /* by role: such an event came */
  bool cancelled;    /* the client did; `told`: the server knows */
  bool told, trailers;
  unsigned writable[2]; /* by role: how often it was told */
} tst_call;

#define TST_CALLS 128

typedef struct tst_pair {
  tth_session *session[2]; /* by role */
  tst_frames wire[2];      /* by sender: what has left and was not delivered */
  tst_call calls[TST_CALLS];
  size_t count;
  uint64_t gather;          /* readers tell the session when they have read more than this */
  unsigned windows_sent[2]; /* WINDOW frames, by sender */
  const char *broken[2];    /* why; NULL: it is not */
} tst_pair;

/* A new pair that has exchanged HELLO. NULL limits: 64 KiB windows, 4 MiB messages, 64 MiB budget, 1024 streams. */
tst_pair *tst_pair_new(const tether_limits *client, const tether_limits *server);
void tst_pair_free(tst_pair *pair);

/* The same, but the server has this budget; 0: of one message of 4 MiB. */
tst_pair *tst_pair_with_budget(size_t bytes);

/* A new call whose HEADERS are queued; one that both sides read as messages come. */
tst_call *tst_pair_call(tst_pair *pair);
tst_call *tst_pair_reading_call(tst_pair *pair);

/* Queues a message. `end`: the last one (server: without TRAILERS). */
void tst_pair_send(tst_pair *pair, tst_call *call, tth_role sender, size_t len, bool end);

/* Queues END alone; as server TRAILERS. */
void tst_pair_end(tst_pair *pair, tst_call *call, tth_role sender);

void tst_pair_cancel(tst_pair *pair, tst_call *call);

/* Reads up to `most` messages that have come. Returns how many. */
size_t tst_pair_read(tst_pair *pair, tst_call *call, tth_role reader, size_t most);

/* One fill of at most `room` bytes (but what the session needs at least). Returns the bytes. */
size_t tst_pair_fill(tst_pair *pair, tth_role sender, size_t room);

/* Delivers up to `most` frames that this side has sent. Returns how many. */
size_t tst_pair_deliver(tst_pair *pair, tth_role sender, size_t most);

/* Fills and delivers until nothing moves. */
void tst_pair_run(tst_pair *pair);

/* Both sides end the call, and everything that can leave does. */
void tst_pair_hang_up(tst_pair *pair, tst_call *call);

/* Nothing is on its way, nobody waits, and the budget is whole. */
void tst_pair_assert_settled(const tst_pair *pair);

/* What must hold at any moment. NULL, or what does not. */
const char *tst_pair_wrong(const tst_pair *pair);

/* The sum of what was received and not given back, at this side. */
uint64_t tst_pair_unread(const tst_pair *pair, tth_role role);

/* The budget that is taken, at this side. */
uint64_t tst_pair_taken(const tst_pair *pair, tth_role role);

#endif
