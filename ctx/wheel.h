/* wheel.h: armed deadlines in order, as data: no lock, no clock, no thread.
 *
 * Eight levels of 64 slots. A slot of level 0 is one tick of 2^18 ns (262 us), one of level n 64^n ticks. A
 * timer sits at the level of the highest group of six bits in which its tick differs from the wheel's; when
 * the wheel reaches a slot of a higher level its timers move down. Arm and disarm are O(1), the next
 * occupied slot is found by bit scans. Nothing fires early: the last tick is compared in nanoseconds. */
#ifndef TTH_WHEEL_H
#define TTH_WHEEL_H

#include "ctx/timer.h"

enum { TTH_TICK_BITS = 18, TTH_WHEEL_LEVELS = 8, TTH_WHEEL_SLOTS = 64 };

typedef struct tth_wheel {
  int64_t tick;                                             /* everything before it has been handed out */
  size_t count;                                             /* on the wheel or due */
  uint64_t occupied[TTH_WHEEL_LEVELS];                      /* a bit per slot */
  tth_timer *slots[TTH_WHEEL_LEVELS * TTH_WHEEL_SLOTS + 1]; /* circular lists; the last one is what is due */
} tth_wheel;

void tth_wheel_add(tth_wheel *wheel, tth_timer *timer, int64_t now_ns);
void tth_wheel_remove(tth_wheel *wheel, tth_timer *timer);

/* Moves what is due at now_ns to the due list, earliest first, in the order of arming among equals. */
void tth_wheel_advance(tth_wheel *wheel, int64_t now_ns);

/* The first timer of the due list, which stays there; NULL: none. */
tth_timer *tth_wheel_due(const tth_wheel *wheel);

/* A time not after the next deadline, FOREVER if there is none; for a deadline within the nearest 64
 * ticks, the deadline itself. */
int64_t tth_wheel_next_ns(const tth_wheel *wheel);

/* The first moment after the tick that `time_ns` is in. */
static inline int64_t tth_tick_end_ns(int64_t time_ns) {
  const int64_t tick = (time_ns < 0 ? 0 : time_ns) >> TTH_TICK_BITS;
  return tick >= INT64_MAX >> TTH_TICK_BITS ? TETHER_FOREVER : (tick + 1) << TTH_TICK_BITS;
}

#endif
