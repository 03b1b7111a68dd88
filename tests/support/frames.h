/* tests/support/frames.h: writing and reading batches of frames by hand, right or wrong. */
#ifndef TETHER_TESTS_FRAMES_H
#define TETHER_TESTS_FRAMES_H

#include "rpc/frame.h"
#include "tether/v1/frames.pb-c.h"

/* A growing batch. {0} is the empty one; tst_frames_fini releases its memory. */
typedef struct tst_frames {
  uint8_t *bytes;
  size_t len, room;
} tst_frames;

void tst_frames_fini(tst_frames *frames);

/* One frame with these payload bytes, or with this message as its payload. */
void tst_frames_raw(tst_frames *frames, tth_frame_type type, uint8_t flags, uint32_t stream, const void *payload,
                    size_t len);
void tst_frames_add(tst_frames *frames, tth_frame_type type, uint8_t flags, uint32_t stream,
                    const ProtobufCMessage *payload);

/* HELLO, version 1, with this many streams allowed. */
void tst_frames_hello(tst_frames *frames, uint32_t max_streams);

/* HEADERS of a request; TETHER_FOREVER: no deadline. */
void tst_frames_headers(tst_frames *frames, uint32_t stream, const char *path, int64_t timeout_ns);

/* CANCEL with this cause; TRAILERS with this code. */
void tst_frames_cancel(tst_frames *frames, uint32_t stream, uint32_t cause_code);
void tst_frames_trailers(tst_frames *frames, uint32_t stream, uint32_t code);

/* The first frame of this type and stream at or after *at, which moves behind it; false if there is none. */
TETHER_MUST_USE bool tst_frames_find(const uint8_t *bytes, size_t len, size_t *at, tth_frame_type type, uint32_t stream,
                                     tth_frame *frame);

/* The code of a TRAILERS frame; -1 if it does not parse. */
int tst_trailers_code(const tth_frame *frame);

#endif
