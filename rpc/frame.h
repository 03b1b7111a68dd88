/* rpc/frame.h: the frame header. docs/protocol.md is the authority.
 *
 *    0        4      5       6        8           12
 *   +--------+------+-------+--------+-----------+-----------
 *   | length | type | flags |   0    | stream id |  payload ...
 *   +--------+------+-------+--------+-----------+-----------
 *
 * Big-endian; `length` counts the payload alone. */
#ifndef TETHER_RPC_FRAME_H
#define TETHER_RPC_FRAME_H

#include <tether/base.h>

#define TTH_FRAME_HEADER ((size_t)12)

/* Messages longer than this are sent in slices, so that nothing blocks a control frame for long. */
#define TTH_SLICE ((size_t)16 * 1024)

typedef enum tth_frame_type {
  TTH_HELLO = 1,
  TTH_HEADERS = 2,
  TTH_MESSAGE = 3,
  TTH_TRAILERS = 4,
  TTH_CANCEL = 5,
  TTH_WINDOW = 6,
  TTH_PING = 7,
  TTH_PONG = 8,
  TTH_GOAWAY = 9,
  TTH_VERDICT = 10,
} tth_frame_type;

enum {
  TTH_FLAG_END = 1,   /* the sender's last frame of this stream but TRAILERS and CANCEL */
  TTH_FLAG_MORE = 2,  /* MESSAGE: another slice of the same message follows */
  TTH_FLAG_FIRST = 4, /* MESSAGE: first of several slices; the payload begins with the message's length (u32) */
  TTH_FLAG_BARE = 8,  /* MESSAGE: no message, no payload: the frame carries END alone */
};

typedef struct tth_frame {
  uint32_t length;
  uint8_t type, flags;
  uint32_t stream;
  const uint8_t *payload;
} tth_frame;

static inline void tth_put32(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)(value >> 24);
  to[1] = (uint8_t)(value >> 16);
  to[2] = (uint8_t)(value >> 8);
  to[3] = (uint8_t)value;
}

static inline uint32_t tth_get32(const uint8_t *from) {
  return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* Writes a header to `to` (TTH_FRAME_HEADER bytes). */
static inline void tth_frame_put(uint8_t *to, uint32_t length, tth_frame_type type, uint8_t flags, uint32_t stream) {
  tth_put32(to, length);
  to[4] = (uint8_t)type;
  to[5] = flags;
  to[6] = to[7] = 0;
  tth_put32(to + 8, stream);
}

/* Reads the frame at the start of `bytes`; false if it is not whole: a batch holds whole frames only. */
static inline bool tth_frame_get(const uint8_t *bytes, size_t len, tth_frame *frame) {
  if (len < TTH_FRAME_HEADER) return false;
  uint32_t length = tth_get32(bytes);
  if (length > len - TTH_FRAME_HEADER) return false;
  *frame = (tth_frame){.length = length,
                       .type = bytes[4],
                       .flags = bytes[5],
                       .stream = tth_get32(bytes + 8),
                       .payload = bytes + TTH_FRAME_HEADER};
  return true;
}

#endif
