/* timer.h: deadlines armed on the wheel, the service thread that fires them, and the clock behind both. */
#ifndef TTH_TIMER_H
#define TTH_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <tether/clock.h>

/* One armed deadline; embedded in a context, or on the stack of a waiter on virtual time. Everything
 * but `armed` and `shard` is guarded by its wheel's lock. */
typedef struct tth_timer {
  struct tth_timer *prev, *next;
  int64_t deadline_ns;
  _Atomic uint32_t *word; /* a waiter's: counted up by TTH_WORD_STEP and woken; NULL: a context's */
  uint16_t slot;
  uint8_t shard;      /* the wheel it is on; guarded by the scope's lock, as arming is */
  _Atomic bool armed; /* cleared last by whoever takes the timer off the wheel */
} tth_timer;

/* Arms a timer that is not armed. True: the caller must call tth_timer_kick once it holds no lock. */
bool tth_timer_arm(tth_timer *timer, int64_t deadline_ns);

/* Takes the timer off the wheel if it is still there; on return nothing else touches it, save a fire that
 * holds its own reference to the context. */
void tth_timer_disarm(tth_timer *timer);

/* Starts the service thread if needed, and tells it (or the installed clock) of a new earliest deadline. */
void tth_timer_kick(void);

/* Whether time comes from an installed clock, and which. */
bool tth_clock_is_virtual(void);
bool tth_clock_installed(tether_clock *clock);

/* Replaces the clock; NULL: the kernel's. One caller at a time. */
void tth_clock_install(const tether_clock *clock);
int64_t tth_clock_monotonic_ns(void);

/* True while deadlines are armed that no thread serves, because it could not be started: observers then look
 * at the clock themselves. */
extern _Atomic bool tth_timer_unserved;

/* Fires what is due at `now_ns` and returns when to call again: rounded up to a tick for the service
 * thread, exact or too early for an installed clock. */
int64_t tth_timer_run(bool exact);

/* The service thread. True: it is running. */
bool tth_service_start(void);
void tth_service_wake(void);

/* Cancels the contexts that signal handlers asked for (signal.c). */
void tth_signal_serve(void);

/* What is left of all this in the child of a fork. */
void tth_clock_after_fork(void);
void tth_timer_after_fork(void);
void tth_service_after_fork(void);
void tth_signal_after_fork(void);

#endif
