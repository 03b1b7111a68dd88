/* tests/support/park.h: a server whose handlers are parked: each waits, deferred and without a thread, until the test
 * ends it or its context does, and is kept to be looked at afterwards.
 *
 *   arrives ──> parked ──(tst_parked_end by the test)──────────> gone, with the test's status
 *                 └─────(its context ends)──> cut ──────────────> gone, with the context's
 *
 * Every method is served inline. A call is known by its metadata entry "x-name", or its request's name. Only
 * park_assert_cut asserts; all others may be called from any thread. */
#ifndef TETHER_TESTS_PARK_H
#define TETHER_TESTS_PARK_H

#include "rpc/link.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

typedef struct tst_park tst_park;

/* One handler. */
typedef struct tst_parked {
  tst_park *park;
  struct tst_parked *next;
  tether_call *call; /* readable until it is gone */
  ProtobufCMessage *reply;
  char name[32];
  int64_t remaining_ns; /* of its context on arrival */
  tether_after after;
  atomic_bool claimed; /* by the test, or by the end of the context */
  atomic_int holders;  /* what may still touch this; 0: gone */
  /* once gone */
  tether_code err;     /* of its context: TETHER_OK if the test ended it */
  tether_cause *cause; /* NULL if the test ended it */
  int64_t end_ns;
} tst_parked;

/* The methods, of testing.v1.Request and Reply, all idempotent. */
extern const tether_method tst_park_unary, tst_park_download, tst_park_upload, tst_park_chat;

/* A server at `url` on `transport` (NULL: sockets). NULL: it could not be made. */
TETHER_MUST_USE tst_park *tst_park_open(const tth_transport *transport, const char *url);

/* The port of a tcp URL. */
uint16_t tst_park_port(const tst_park *park);

/* Ends what is still there. Takes NULL. */
void tst_park_close(tst_park *park);

/* From now on unary handlers answer on arrival, with this code and their name as text; negative: they park again. */
void tst_park_at_once(tst_park *park, int code);

/* How many have arrived, and of these how many are gone. */
int tst_park_arrived(tst_park *park);
int tst_park_gone(tst_park *park);

/* Bounded waits for so many. */
TETHER_MUST_USE bool tst_park_wait_arrived(tst_park *park, int count);
TETHER_MUST_USE bool tst_park_wait_gone(tst_park *park, int count);

/* The i-th to arrive, or the first of that name; waits for it. NULL: it has not come within the bound. */
TETHER_MUST_USE tst_parked *tst_park_at(tst_park *park, int i);
TETHER_MUST_USE tst_parked *tst_park_find(tst_park *park, const char *name);

/* Ends a handler with `code`; the name is the reply's text, or the status message. false: its context ended it. */
TETHER_MUST_USE bool tst_parked_end(tst_parked *parked, tether_code code);

/* Waits until it is gone and its cause can be read. */
TETHER_MUST_USE bool tst_parked_wait_gone(tst_parked *parked);

/* Waits until the handler is gone; its context ended it, with this cause. NULL text: any. */
void park_assert_cut_at(tst_parked *parked, tether_cause_code code, const char *text, const char *file, int line);
#define park_assert_cut(parked, code, text) park_assert_cut_at(parked, code, text, __FILE__, __LINE__)

/* snprintf where it cannot be seen how long the text may get; what does not fit is cut. */
void park_print(char *to, size_t size, const char *format, ...) TETHER_PRINTF(3, 4);

#endif
