#include "tests/support/frames.h"

#include <stdlib.h>
#include <string.h>

void tst_frames_fini(tst_frames *frames) {
  free(frames->bytes);
  *frames = (tst_frames){0};
}

/* Room for a frame of `len` payload bytes; returns where the payload goes. */
static uint8_t *begin(tst_frames *frames, tth_frame_type type, uint8_t flags, uint32_t stream, size_t len) {
  size_t need = frames->len + TTH_FRAME_HEADER + len;
  if (need > frames->room) {
    frames->room = 2 * need;
    frames->bytes = realloc(frames->bytes, frames->room);
    if (!frames->bytes) abort();
  }
  uint8_t *frame = frames->bytes + frames->len;
  tth_frame_put(frame, (uint32_t)len, type, flags, stream);
  frames->len = need;
  return frame + TTH_FRAME_HEADER;
}

void tst_frames_raw(tst_frames *frames, tth_frame_type type, uint8_t flags, uint32_t stream, const void *payload,
                    size_t len) {
  uint8_t *to = begin(frames, type, flags, stream, len);
  if (len > 0) memcpy(to, payload, len);
}

void tst_frames_add(tst_frames *frames, tth_frame_type type, uint8_t flags, uint32_t stream,
                    const ProtobufCMessage *payload) {
  protobuf_c_message_pack(payload, begin(frames, type, flags, stream, protobuf_c_message_get_packed_size(payload)));
}

void tst_frames_hello(tst_frames *frames, uint32_t max_streams) {
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.has_max_streams = true;
  hello.max_streams = max_streams;
  tst_frames_add(frames, TTH_HELLO, 0, 0, &hello.base);
}

void tst_frames_headers(tst_frames *frames, uint32_t stream, const char *path, int64_t timeout_ns) {
  Tether__V1__Headers headers = TETHER__V1__HEADERS__INIT;
  headers.method = (char *)path;
  headers.has_timeout_ns = timeout_ns != TETHER_FOREVER;
  headers.timeout_ns = timeout_ns;
  tst_frames_add(frames, TTH_HEADERS, 0, stream, &headers.base);
}

void tst_frames_cancel(tst_frames *frames, uint32_t stream, uint32_t cause_code) {
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  Tether__V1__Cancel cancel = TETHER__V1__CANCEL__INIT;
  cause.code = cause_code;
  cancel.cause = &cause;
  tst_frames_add(frames, TTH_CANCEL, 0, stream, &cancel.base);
}

void tst_frames_trailers(tst_frames *frames, uint32_t stream, uint32_t code) {
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  trailers.code = code;
  tst_frames_add(frames, TTH_TRAILERS, 0, stream, &trailers.base);
}

bool tst_frames_find(const uint8_t *bytes, size_t len, size_t *at, tth_frame_type type, uint32_t stream,
                     tth_frame *frame) {
  while (*at < len && tth_frame_get(bytes + *at, len - *at, frame)) {
    *at += TTH_FRAME_HEADER + frame->length;
    if (frame->type == type && frame->stream == stream) return true;
  }
  return false;
}

int tst_trailers_code(const tth_frame *frame) {
  Tether__V1__Trailers *trailers = tether__v1__trailers__unpack(NULL, frame->length, frame->payload);
  int code = trailers ? (int)trailers->code : -1;
  if (trailers) tether__v1__trailers__free_unpacked(trailers, NULL);
  return code;
}
