#include "tests/fuzz/hostile.h"

#include <stdlib.h>
#include <string.h>

uint32_t hostile_stream(hostile *peer, uint8_t code) {
  if (code < 128) return code;
  if (code < 192) return peer->newest + (uint32_t)(code - 160);
  return code < 224 ? UINT32_MAX - (uint32_t)(code - 192) : (uint32_t)INT32_MAX + (uint32_t)(code - 240);
}

/* Whether so much more may be said. */
static bool has_room(const hostile *peer, size_t len) {
  return peer->said + len <= HOSTILE_MOST && peer->batch.len + len <= HOSTILE_BATCH_MOST;
}

static void add(hostile *peer, tth_frame_type type, uint8_t flags, uint32_t stream, const void *payload, size_t len) {
  if (!has_room(peer, TTH_FRAME_HEADER + len)) return;
  tst_frames_raw(&peer->batch, type, flags, stream, payload, len);
  peer->said += TTH_FRAME_HEADER + len;
  if (type == TTH_HEADERS) peer->newest = stream;
}

void hostile_frame(hostile *peer, fuzz_input *in) {
  tth_frame_type type = (tth_frame_type)fuzz_byte(in);
  uint8_t flags = fuzz_byte(in);
  uint32_t stream = hostile_stream(peer, fuzz_byte(in));
  size_t len = fuzz_byte(in);
  const uint8_t *payload = fuzz_bytes(in, len, &len);
  add(peer, type, flags, stream, payload, len);
}

void hostile_message(hostile *peer, fuzz_input *in) {
  static uint8_t filler[UINT16_MAX + 4];
  uint8_t code = fuzz_byte(in), flags = code & 15;
  uint32_t stream = hostile_stream(peer, fuzz_byte(in));
  size_t len = fuzz_number(in, 2), head = 0;
  if (flags & TTH_FLAG_FIRST) {
    tth_put32(filler, fuzz_number(in, 3));
    head = 4;
  }
  memset(filler + head, 'm', len); /* as protobuf: an unknown field of an unknown type, so no message */
  for (unsigned times = 1u << (code >> 4) % 6; times > 0; times--)
    add(peer, TTH_MESSAGE, flags, stream, filler, head + len);
}

static void put64(uint8_t *to, uint64_t value) {
  tth_put32(to, (uint32_t)(value >> 32));
  tth_put32(to + 4, (uint32_t)value);
}

void hostile_pong(hostile *peer, const uint8_t *asked, fuzz_input *in) {
  uint8_t stamps[32] = {0}, how = fuzz_byte(in);
  uint64_t came = (uint64_t)fuzz_span_ns(in), left = (uint64_t)fuzz_span_ns(in);
  memcpy(stamps, asked, 8);
  if (how & 1) came = ((uint64_t)tth_get32(asked) << 32 | tth_get32(asked + 4)) + (how & 2 ? came : 0 - came);
  put64(stamps + 8, came);
  put64(stamps + 16, how & 4 ? came - left : came + left);
  add(peer, TTH_PONG, 0, 0, stamps, how & 8 ? how % sizeof stamps : sizeof stamps);
}

void hostile_raw(hostile *peer, fuzz_input *in) {
  size_t len = fuzz_byte(in), room = peer->batch.len + len;
  const uint8_t *bytes = fuzz_bytes(in, len, &len);
  if (!has_room(peer, len) || len == 0) return;
  if (room > peer->batch.room) {
    peer->batch.room = 2 * room;
    peer->batch.bytes = realloc(peer->batch.bytes, peer->batch.room);
    if (!peer->batch.bytes) abort();
  }
  memcpy(peer->batch.bytes + peer->batch.len, bytes, len);
  peer->batch.len += len;
  peer->said += len;
}

uint8_t *hostile_take(hostile *peer, size_t *len) {
  *len = peer->batch.len;
  peer->batch.len = 0;
  if (*len == 0) return NULL;
  uint8_t *copy = malloc(*len);
  if (!copy) abort();
  memcpy(copy, peer->batch.bytes, *len);
  return copy;
}

void hostile_fini(hostile *peer) { tst_frames_fini(&peer->batch); }
