/* common/signals.h: signals as events: SIGTERM and SIGINT, for a graceful shutdown, and SIGHUP, to read files again. */
#ifndef SERVICES_COMMON_SIGNALS_H
#define SERVICES_COMMON_SIGNALS_H

#include <stdint.h>

/* Blocks SIGTERM, SIGINT and SIGHUP for this and all later threads, ignores SIGPIPE (a peer that left is an error code,
 * not a reason to die), and returns a descriptor that is readable once one of them has arrived. Call it first in
 * main; exits with a message if the system refuses. */
int svc_signals_open(void);

/* Blocks until one of them arrives, and returns its number, or until the time, and returns 0. */
int svc_signals_wait(int fd, int64_t deadline_ns);

#endif
