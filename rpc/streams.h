/* rpc/streams.h: a session's table of streams by id: open addressing, linear probing, no tombstones. */
#ifndef TETHER_RPC_STREAMS_H
#define TETHER_RPC_STREAMS_H

#include <tether/base.h>

struct tth_stream;

typedef struct tth_streams {
  struct tth_stream **slots; /* capacity is a power of two; a slot is NULL or a stream */
  size_t capacity, count;
  uint32_t seed; /* of the hash: random */
} tth_streams;

/* The stream with this id, NULL if none. */
struct tth_stream *tth_streams_find(const tth_streams *streams, uint32_t id);

/* Makes room for `more` streams beside those that are there. false: no memory. */
TETHER_MUST_USE bool tth_streams_reserve(tth_streams *streams, size_t more);

/* Adds a stream under its id, which must not be in the table; there is room. */
void tth_streams_add(tth_streams *streams, struct tth_stream *stream);

/* Removes a stream that is in the table. */
void tth_streams_remove(tth_streams *streams, struct tth_stream *stream);

/* Any stream; NULL once empty. */
struct tth_stream *tth_streams_any(const tth_streams *streams);

void tth_streams_fini(tth_streams *streams);

#endif
