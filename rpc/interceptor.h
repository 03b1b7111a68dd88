/* rpc/interceptor.h: where calls meet interceptors.
 *
 *   NONE ──begin──> BEGINNING ──all have begun, or one has refused──> BEGUN ──end──> ENDED
 *     │ end                 └──end, on another thread: left to the one that begins──> ENDED
 *     └───> ENDED: none begins any more
 *
 * A server's shutdown may end a call while its interceptors begin; nothing else can. */
#ifndef TETHER_RPC_INTERCEPTOR_H
#define TETHER_RPC_INTERCEPTOR_H

#include <stdarg.h>
#include <tether/interceptor.h>

#include "rpc/call.h"

enum { TTH_INTERCEPT_NONE = 0, TTH_INTERCEPT_BEGINNING, TTH_INTERCEPT_BEGUN, TTH_INTERCEPT_ENDED };

/* What a call with interceptors has, in its arena. */
struct tth_intercept {
  const char *why; /* what the one that refuses said */
  size_t count;
  void *states[];
};

/* Runs the begin hooks of a list that is not NULL. Other than TETHER_OK: the call is to end with this code and *why, if
 * nobody has ended it. */
TETHER_MUST_USE tether_code tth_intercept_begin(tether_call *call, const char **why);

/* Runs the end hooks of a list that is not NULL: the results are written, and not published. */
void tth_intercept_end(tether_call *call);

/* A connection's HELLO came; it has closed. Both take a NULL list. Only from the connection's events. */
void tth_intercept_connected(const tether_interceptor *const *list, tth_conn *conn, bool server);
void tth_intercept_disconnected(const tether_interceptor *const *list, tth_conn *conn, bool server);

/* The rest of tth_intercept_message. */
void tth_intercept_tell(tether_call *call, bool sent, size_t bytes);

/* Takes the message of a begin that refuses; false: none runs. */
bool tth_intercept_refusal(tether_call *call, const char *format, va_list args);

/* A message was handed over to be sent, or was received. */
static inline void tth_intercept_message(tether_call *call, bool sent, size_t bytes) {
  if (call->intercept) tth_intercept_tell(call, sent, bytes);
}

#endif
