/* rpc/sp.h: the SP PAIR0 wire protocol as pure functions over bytes. No I/O.
 *
 *   both sides   00 53 50 00 00 10 00 00               the greeting: "\0SP\0", protocol number, reserved
 *   then each    [01] len[8, big-endian] bytes[len]    a message; the leading 01 on ipc only
 *
 * This is what nng and nanomsg pair sockets (version 0) speak on tcp, tls+tcp and ipc. */
#ifndef TETHER_RPC_SP_H
#define TETHER_RPC_SP_H

#include <tether/base.h>

#define TTH_SP_GREETING_LEN 8
#define TTH_SP_HEADER_MAX 9

extern const uint8_t tth_sp_greeting[TTH_SP_GREETING_LEN];

/* Whether the first `len` bytes of a peer (at most a greeting's) can still become our greeting. */
bool tth_sp_greeting_fits(const uint8_t *bytes, size_t len);

/* What a peer that does not greet probably speaks ("looks like HTTP"), from its first `len` bytes. Static. */
const char *tth_sp_describe(const uint8_t *bytes, size_t len);

/* Writes the header of a message of `len` bytes; returns the header's length. */
size_t tth_sp_header_put(uint8_t header[TTH_SP_HEADER_MAX], bool ipc, size_t len);

/* ---- Splitting a byte stream into messages -------------------------------------------------- */

/* One reusable buffer: the transport fills its free end, messages are handed out in place.
 *
 *   buf [ consumed | start .. unread .. end | free .. cap ]
 *
 * It grows to what the message under way needs, and when reads fill it; it shrinks again by halves while reads
 * stay small, so that an idle connection does not keep what one burst needed. */
typedef struct tth_sp_reader {
  uint8_t *buf;
  size_t cap;
  size_t start;
  size_t end;
  size_t want;    /* bytes the message under way takes with its header, 0 if not known */
  unsigned quiet; /* consecutive reads that used little of the buffer */
  bool ipc;
  bool full; /* the last read filled the buffer */
} tth_sp_reader;

typedef enum tth_sp_event {
  TTH_SP_MORE,      /* no whole message yet */
  TTH_SP_MESSAGE,   /* *message, *len; valid until the next tth_sp_reader_space */
  TTH_SP_MALFORMED, /* not a message header */
  TTH_SP_TOO_LARGE, /* *len is above the limit given */
} tth_sp_event;

void tth_sp_reader_init(tth_sp_reader *reader, bool ipc);
void tth_sp_reader_fini(tth_sp_reader *reader);

/* Where to read to next: at least one byte. false: no memory. Moves what is unread. */
TETHER_MUST_USE bool tth_sp_reader_space(tth_sp_reader *reader, uint8_t **space, size_t *len);

/* `len` bytes have been written there. */
void tth_sp_reader_filled(tth_sp_reader *reader, size_t len);

/* Takes the next message out. Messages without bytes are skipped. */
TETHER_MUST_USE tth_sp_event tth_sp_reader_next(tth_sp_reader *reader, size_t max, const uint8_t **message,
                                                uint64_t *len);

#endif
