/* tests/fuzz/wire_check.h: whether what one side of a connection sends keeps docs/protocol.md, whatever the other side
 * says. Knows nothing of the session: it looks at the bytes. Where it cannot know whether the session has read
 * something already, it allows both. */
#ifndef TETHER_TESTS_FUZZ_WIRE_CHECK_H
#define TETHER_TESTS_FUZZ_WIRE_CHECK_H

#include "rpc/session.h"

#define WIRE_STREAMS 512

/* A stream as the wire shows it. */
typedef struct wire_stream {
  uint32_t id;
  unsigned opens;        /* HEADERS that may have opened it */
  unsigned ends;         /* TRAILERS: of a server those it sent, of a client those it was sent */
  bool cancelled, ended; /* CANCEL, END were sent */
  bool early;            /* a client: TRAILERS are on their way, or were, that may come after its HEADERS */
  uint64_t credit;       /* given to it at most */
  uint64_t spent;
  bool in_message; /* sent slices, not the last yet */
  uint64_t total, sent;
} wire_stream;

typedef struct wire_check {
  tth_role role; /* of the side that is checked */
  bool greeted;
  unsigned goaways;                 /* a drain says it twice */
  bool knows_limits;                /* the peer's HELLO was delivered; of several the widest counts */
  uint64_t max_streams, max_window; /* of the peer */
  uint64_t max_message;
  bool checks_messages; /* that none is longer than the peer takes */
  unsigned pings, pongs;
  uint8_t asked[32]; /* the payload of its last PING */
  uint32_t last;     /* client: the newest stream it opened */
  unsigned lived;    /* client: streams that it opened and that were not answered */
  size_t count;
  bool too_many; /* streams: checks no more */
  wire_stream streams[WIRE_STREAMS];
} wire_check;

/* `own`: the limits of the side that is checked. */
void wire_check_init(wire_check *check, tth_role role, const tether_limits *own);

/* Before the batch is given to the side that is checked. */
void wire_check_delivered(wire_check *check, const uint8_t *batch, size_t len);

/* After it has sent one. Ends the process if that is against the protocol. */
void wire_check_sent(wire_check *check, const uint8_t *batch, size_t len);

/* Whether a stream that was opened and not answered has this id. */
bool wire_check_is_open(const wire_check *check, uint32_t id);

#endif
