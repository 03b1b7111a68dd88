/* rpc/session_clock.h: the caller's deadline on this process's clock. */
#ifndef TETHER_RPC_SESSION_CLOCK_H
#define TETHER_RPC_SESSION_CLOCK_H

#include <tether/base.h>

/* The deadline of a call that had `timeout_ns` left when it was sent. `sent_at_ns` is that moment on our clock; what
 * has passed since, on the way and in queues, is charged to the call. INT64_MIN: not known, nothing is charged. */
int64_t tth_deadline_of(int64_t timeout_ns, int64_t sent_at_ns, int64_t now_ns);

#endif
