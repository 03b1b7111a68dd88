/* tether/logging.h: an interceptor that writes one line for each call, at its end.
 *
 *   time=2025-01-31T12:00:00.600114Z process=shard-0/13187 event=call side=server method=/search.v1.Shard/Search
 *     peer=... trace=4bf9... status=CANCELLED cause=caller origin=edge/13187 message="the client disconnected"
 *     took=187.320ms budget=812.400ms queue=0.031ms wasted=0.152ms
 *
 * (one line in reality). `budget` is what was left of the call's time when it came or was started. Values with spaces,
 * quotes or control characters are quoted and escaped, and cut at 200 bytes: what a peer sends cannot forge a line.
 * Metadata, messages and values are never written, so no secret among them is. */
#ifndef TETHER_LOGGING_H
#define TETHER_LOGGING_H

#include <tether/interceptor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_logging {
  tether_interceptor interceptor; /* for the lists of clients and servers */
  void (*write)(void *data, const char *line, size_t len);
  void *data;
} tether_logging;

/* Prepares the caller's memory, which must outlive the clients and servers. `write` gets whole lines, which end in a
 * newline, on the threads that end calls, also several at once, and must not block; NULL: they go to standard error
 * with one write(2) each. */
TETHER_API void tether_logging_init(tether_logging *logging, void (*write)(void *data, const char *line, size_t len),
                                    void *data);

#ifdef __cplusplus
}
#endif
#endif
