/* tests/fuzz/hostile.h: what a hostile peer says, as a fuzz input has it: frames that are nearly right, long ones made
 * of little, raw bytes. */
#ifndef TETHER_TESTS_FUZZ_HOSTILE_H
#define TETHER_TESTS_FUZZ_HOSTILE_H

#include "rpc/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/frames.h"

/* One input may not say more than this in all: it should find mistakes, not measure memcpy. */
#define HOSTILE_MOST ((size_t)512 * 1024)
#define HOSTILE_BATCH_MOST ((size_t)256 * 1024)

typedef struct hostile {
  tst_frames batch; /* being written */
  uint32_t newest;  /* stream id that it used or saw */
  size_t said;
} hostile;

/* The stream id that a byte stands for: small numbers, those around the newest, those around where ids wrap. */
uint32_t hostile_stream(hostile *peer, uint8_t code);

/* Adds a frame whose payload is in the input: type, flags, stream, length, bytes. */
void hostile_frame(hostile *peer, fuzz_input *in);

/* Adds a MESSAGE frame of filler: flags, and in their upper half how often, up to 32 times; stream; length; with FIRST
 * the length announced for the whole message. */
void hostile_message(hostile *peer, fuzz_input *in);

/* Adds a PONG to the PING `asked` (32 bytes), with stamps that are near it or anything: a byte, two spans. */
void hostile_pong(hostile *peer, const uint8_t *asked, fuzz_input *in);

/* Adds bytes as they are: length, bytes. */
void hostile_raw(hostile *peer, fuzz_input *in);

/* Ends the batch: a copy of exactly its size, to be freed by the caller. NULL: there is nothing in it. */
uint8_t *hostile_take(hostile *peer, size_t *len);

void hostile_fini(hostile *peer);

#endif
