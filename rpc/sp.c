/* rpc/sp.c: SP framing. The reader never trusts a length: nothing is allocated for a message before its header has
 * been held against the limit, and a message's buffer grows with the message only once. */
#include "rpc/sp.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN ((size_t)8 * 1024)    /* an idle connection's */
#define CAP_BUSY ((size_t)256 * 1024) /* where growing on full reads stops */
#define QUIET_READS 32                /* small reads before the buffer is halved */
#define GRAIN ((size_t)64 * 1024)     /* large messages of about one size need one buffer */

const uint8_t tth_sp_greeting[TTH_SP_GREETING_LEN] = {0, 'S', 'P', 0, 0, 0x10, 0, 0};

bool tth_sp_greeting_fits(const uint8_t *bytes, size_t len) { return memcmp(bytes, tth_sp_greeting, len) == 0; }

static bool starts(const uint8_t *bytes, size_t len, const char *word) {
  size_t n = strlen(word);
  return memcmp(bytes, word, len < n ? len : n) == 0;
}

const char *tth_sp_describe(const uint8_t *bytes, size_t len) {
  static const char *const methods[] = {"GET ",   "HEAD ",    "POST ",  "PUT ",         "DELETE ", "OPTIONS ",
                                        "PATCH ", "CONNECT ", "TRACE ", "PRI * HTTP/2", "HTTP/1."};
  if (len == 0) return "sent nothing";
  if (len >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03) return "looks like TLS";
  if (len >= 2 && bytes[0] == 0x15 && bytes[1] == 0x03) return "looks like a TLS alert";
  for (size_t i = 0; len >= 3 && i < sizeof methods / sizeof *methods; i++)
    if (starts(bytes, len, methods[i])) return "looks like HTTP";
  if (len < TTH_SP_GREETING_LEN && tth_sp_greeting_fits(bytes, len)) return "incomplete greeting";
  if (len > 4 && memcmp(bytes, tth_sp_greeting, 4) == 0) return "speaks another SP protocol or version";
  return "unknown protocol";
}

size_t tth_sp_header_put(uint8_t header[TTH_SP_HEADER_MAX], bool ipc, size_t len) {
  uint8_t *at = header;
  if (ipc) *at++ = 1;
  for (int shift = 56; shift >= 0; shift -= 8) *at++ = (uint8_t)((uint64_t)len >> shift);
  return (size_t)(at - header);
}

void tth_sp_reader_init(tth_sp_reader *reader, bool ipc) { *reader = (tth_sp_reader){.ipc = ipc}; }

void tth_sp_reader_fini(tth_sp_reader *reader) {
  free(reader->buf);
  reader->buf = NULL;
}

/* The capacity to read the next bytes with. */
static size_t capacity_for_next(const tth_sp_reader *reader) {
  size_t cap = reader->cap > CAP_MIN ? reader->cap : CAP_MIN;
  if (reader->full && cap < CAP_BUSY) cap *= 2;
  if (reader->quiet >= QUIET_READS && reader->start == reader->end) cap = cap / 2 > CAP_MIN ? cap / 2 : CAP_MIN;
  return reader->want > cap ? (reader->want + GRAIN - 1) / GRAIN * GRAIN : cap;
}

bool tth_sp_reader_space(tth_sp_reader *reader, uint8_t **space, size_t *len) {
  size_t unread = reader->end - reader->start;
  size_t cap = capacity_for_next(reader);
  if (cap != reader->cap) {
    uint8_t *buf = malloc(cap);
    if (!buf) return false;
    if (unread) memcpy(buf, reader->buf + reader->start, unread);
    free(reader->buf);
    *reader = (tth_sp_reader){.buf = buf, .cap = cap, .end = unread, .want = reader->want, .ipc = reader->ipc};
  } else if (reader->start > 0) {
    if (unread) memmove(reader->buf, reader->buf + reader->start, unread);
    reader->start = 0;
    reader->end = unread;
  }
  *space = reader->buf + reader->end;
  *len = reader->cap - reader->end;
  return true;
}

void tth_sp_reader_filled(tth_sp_reader *reader, size_t len) {
  reader->end += len;
  reader->full = reader->end == reader->cap;
  reader->quiet = reader->end <= reader->cap / 8 ? reader->quiet + 1 : 0;
}

static uint64_t big_endian(const uint8_t *bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
  return value;
}

tth_sp_event tth_sp_reader_next(tth_sp_reader *reader, size_t max, const uint8_t **message, uint64_t *len) {
  size_t header = reader->ipc ? 9 : 8;
  for (;;) {
    size_t unread = reader->end - reader->start;
    const uint8_t *at = reader->buf + reader->start;
    reader->want = 0;
    if (unread > 0 && reader->ipc && at[0] != 1) return TTH_SP_MALFORMED;
    if (unread < header) return TTH_SP_MORE;
    *len = big_endian(at + header - 8);
    if (*len > max) return TTH_SP_TOO_LARGE;
    if (unread - header < *len) {
      reader->want = header + (size_t)*len;
      return TTH_SP_MORE;
    }
    reader->start += header + (size_t)*len;
    if (*len == 0) continue;
    *message = at + header;
    return TTH_SP_MESSAGE;
  }
}
