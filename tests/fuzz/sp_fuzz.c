/* The SP reader: a byte stream cut anywhere gives the messages that the whole stream has. */
#include <stdlib.h>
#include <string.h>

#include "rpc/sp.h"
#include "tests/fuzz/fuzz.h"

#define STREAM_MOST ((size_t)256 * 1024)

/* The same stream, read by somebody who has all of it. */
struct whole {
  uint8_t *bytes;
  size_t len, at;
};

static tth_sp_event next_of_whole(struct whole *whole, bool ipc, size_t max, const uint8_t **message, uint64_t *len) {
  for (;;) {
    const uint8_t *at = whole->bytes + whole->at;
    size_t left = whole->len - whole->at, header = ipc ? 9 : 8;
    if (ipc && left > 0 && at[0] != 1) return TTH_SP_MALFORMED;
    if (left < header) return TTH_SP_MORE;
    *len = 0;
    for (size_t i = header - 8; i < header; i++) *len = *len << 8 | at[i];
    if (*len > max) return TTH_SP_TOO_LARGE;
    if (left - header < *len) return TTH_SP_MORE;
    whole->at += header + *len;
    *message = at + header;
    if (*len > 0) return TTH_SP_MESSAGE;
  }
}

/* Reads all messages there are. false: the stream has ended in an error. */
static bool read_messages(tth_sp_reader *reader, struct whole *whole, size_t max) {
  for (;;) {
    const uint8_t *got = NULL, *wanted = NULL;
    uint64_t got_len = 0, wanted_len = 0;
    tth_sp_event event = tth_sp_reader_next(reader, max, &got, &got_len);
    FUZZ_CHECK(event == next_of_whole(whole, reader->ipc, max, &wanted, &wanted_len));
    if (event == TTH_SP_MORE) return true;
    if (event == TTH_SP_TOO_LARGE) FUZZ_CHECK(got_len == wanted_len);
    if (event != TTH_SP_MESSAGE) return false;
    FUZZ_CHECK(got_len == wanted_len && memcmp(got, wanted, wanted_len) == 0);
  }
}

/* What one read of the socket gives: bytes of the input, or many of one kind. */
static bool fill(fuzz_input *in, tth_sp_reader *reader, struct whole *whole) {
  uint8_t *space, code = fuzz_byte(in);
  size_t room, len;
  if (!tth_sp_reader_space(reader, &space, &room)) abort();
  FUZZ_CHECK(room > 0);
  space[0] = space[room - 1] = 0xee; /* all of it is the reader's */
  size_t want = code & 1 ? fuzz_number(in, 2) : code >> 1;
  const uint8_t *bytes = code & 1 ? NULL : fuzz_bytes(in, want < room ? want : room, &len);
  if (!bytes) len = want < room ? want : room;
  if (whole->len + len > STREAM_MOST) return false;
  if (bytes) memcpy(space, bytes, len);
  if (!bytes) memset(space, 1, len); /* as a header: too long */
  memcpy(whole->bytes + whole->len, space, len);
  whole->len += len;
  tth_sp_reader_filled(reader, len);
  return true;
}

static void check_greeting(const uint8_t *bytes, size_t len) {
  if (len > TTH_SP_GREETING_LEN) len = TTH_SP_GREETING_LEN;
  uint8_t *copy = malloc(len + 1);
  if (!copy) abort();
  if (len) memcpy(copy, bytes, len);
  bool fits = tth_sp_greeting_fits(copy, len);
  FUZZ_CHECK(fits == (memcmp(copy, "\0SP\0\0\x10\0", len) == 0) && *tth_sp_describe(copy, len));
  free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  static const size_t limits[] = {100, 5000, 70000, 1 << 20};
  static uint8_t memory[STREAM_MOST];
  fuzz_input in = {input, size};
  check_greeting(input, size);
  uint8_t code = fuzz_byte(&in);
  size_t max = limits[code >> 1 & 3];
  struct whole whole = {.bytes = memory};
  tth_sp_reader reader;
  tth_sp_reader_init(&reader, code & 1);
  while (in.left > 0 && fill(&in, &reader, &whole) && read_messages(&reader, &whole, max)) {
    FUZZ_CHECK(reader.start <= reader.end && reader.end <= reader.cap);
    FUZZ_CHECK(reader.cap <= 256 * 1024 + max + 128 * 1024);
  }
  tth_sp_reader_fini(&reader);
  uint8_t header[TTH_SP_HEADER_MAX];
  FUZZ_CHECK(tth_sp_header_put(header, code & 1, size) == (code & 1 ? 9 : 8) &&
             header[code & 1 ? 8 : 7] == (uint8_t)size);
  return 0;
}
