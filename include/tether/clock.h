/* tether/clock.h: replaces time. For simulation, for tests, and for programs that drive timers from
 * their own event loop. */
#ifndef TETHER_CLOCK_H
#define TETHER_CLOCK_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A source of time. With one installed there is no timer thread: the owner calls tether_clock_run_due. */
typedef struct tether_clock {
  int64_t (*now_ns)(void *data);                    /* never decreases; any thread */
  void (*wake_at)(void *data, int64_t deadline_ns); /* the earliest armed deadline is now this one, or, with a time
                                                       that is not after now, there are callbacks to run; may be
                                                       NULL; called without locks of ours by whoever armed it, or
                                                       noticed that it has passed */
  void *data;
} tether_clock;

/* Installs `clock` (copied), or CLOCK_MONOTONIC and the timer thread for NULL. Only while no context
 * with a deadline is being waited for. TETHER_FAILED_PRECONDITION: a deadline is armed. */
TETHER_API TETHER_MUST_USE tether_code tether_clock_set(const tether_clock *clock);

/* Ends every context whose deadline is not after the installed clock's now, on this thread, earliest
 * first within a tick, runs the callbacks of those that others have noticed before, and returns the next armed
 * deadline, TETHER_FOREVER if there is none (or a time not after it: run again then). Only with a clock installed. The
 * bounds of tether_ctx_wait and tether_ctx_sleep count as deadlines: a thread that waits in virtual time is released by
 * this. */
TETHER_API int64_t tether_clock_run_due(void);

#ifdef __cplusplus
}
#endif
#endif
