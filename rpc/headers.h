/* rpc/headers.h: HEADERS and TRAILERS by hand, in the shapes that tether itself writes: every call has one of each, and
 * protobuf-c takes longer for them than all the rest of a call. What has another shape is left to protobuf-c. */
#ifndef TETHER_RPC_HEADERS_H
#define TETHER_RPC_HEADERS_H

#include "rpc/arena.h"
#include "tether/v1/frames.pb-c.h"

/* Metadata and forwarded entries that are read by hand. */
#define TTH_HEADERS_ENTRIES 16

/* HEADERS that were read. Texts and values are in the arena, each with a NUL behind it. */
typedef struct tth_headers {
  Tether__V1__Headers base;
  Tether__V1__Entry entries[TTH_HEADERS_ENTRIES];
  Tether__V1__Entry *metadata[TTH_HEADERS_ENTRIES], *forwarded[TTH_HEADERS_ENTRIES];
} tth_headers;

/* False: the shape is another (what is wrong with it, if anything, is not said), or there is no memory. */
TETHER_MUST_USE bool tth_headers_read(const uint8_t *bytes, size_t len, tth_arena *arena, tth_headers *headers);

/* What protobuf-c would write, to the byte. */
size_t tth_headers_size(const Tether__V1__Headers *headers);
size_t tth_headers_put(const Tether__V1__Headers *headers, uint8_t *to);

/* TRAILERS that are a code and nothing else. */
TETHER_MUST_USE bool tth_trailers_read(const uint8_t *bytes, size_t len, Tether__V1__Trailers *trailers);

/* What a code alone takes as TRAILERS; writes it. */
#define TTH_TRAILERS_PLAIN ((size_t)2)
static inline void tth_trailers_put_plain(uint8_t *to, uint32_t code) {
  to[0] = 0x08;
  to[1] = (uint8_t)code;
}

#endif
