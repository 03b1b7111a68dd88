/* wheel.c: see wheel.h. */
#include "ctx/wheel.h"

#include <stddef.h>

enum { SLOT_BITS = 6, DUE = TTH_WHEEL_LEVELS * TTH_WHEEL_SLOTS };

static int64_t tick_of(int64_t time_ns) { return time_ns < 0 ? 0 : time_ns >> TTH_TICK_BITS; }

/* ---- Slots: circular lists, so that the tail is at hand -------------------------------------- */

static void append(tth_wheel *wheel, unsigned slot, tth_timer *timer) {
  tth_timer *first = wheel->slots[slot];
  timer->slot = (uint16_t)slot;
  if (first == NULL) {
    timer->prev = timer->next = wheel->slots[slot] = timer;
    if (slot != DUE) wheel->occupied[slot / TTH_WHEEL_SLOTS] |= UINT64_C(1) << slot % TTH_WHEEL_SLOTS;
    return;
  }
  timer->prev = first->prev;
  timer->next = first;
  first->prev->next = timer;
  first->prev = timer;
}

static void detach(tth_wheel *wheel, tth_timer *timer) {
  const unsigned slot = timer->slot;
  if (timer->next == timer) {
    wheel->slots[slot] = NULL;
    if (slot != DUE) wheel->occupied[slot / TTH_WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % TTH_WHEEL_SLOTS);
    return;
  }
  timer->prev->next = timer->next;
  timer->next->prev = timer->prev;
  if (wheel->slots[slot] == timer) wheel->slots[slot] = timer->next;
}

/* Empties a slot and returns its timers as a list that ends with NULL. */
static tth_timer *take_all(tth_wheel *wheel, unsigned slot) {
  tth_timer *first = wheel->slots[slot];
  wheel->slots[slot] = NULL;
  wheel->occupied[slot / TTH_WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % TTH_WHEEL_SLOTS);
  if (first != NULL) first->prev->next = NULL;
  return first;
}

static unsigned slot_of(const tth_wheel *wheel, const tth_timer *timer) {
  int64_t tick = tick_of(timer->deadline_ns);
  if (tick < wheel->tick) tick = wheel->tick;
  const uint64_t differ = (uint64_t)(tick ^ wheel->tick) | (TTH_WHEEL_SLOTS - 1);
  const unsigned level = (unsigned)(63 - __builtin_clzll(differ)) / SLOT_BITS;
  return level * TTH_WHEEL_SLOTS + (unsigned)(tick >> (SLOT_BITS * level)) % TTH_WHEEL_SLOTS;
}

void tth_wheel_add(tth_wheel *wheel, tth_timer *timer, int64_t now_ns) {
  if (wheel->count++ == 0) wheel->tick = tick_of(now_ns); /* catch up while nothing is affected */
  append(wheel, slot_of(wheel, timer), timer);
}

void tth_wheel_remove(tth_wheel *wheel, tth_timer *timer) {
  detach(wheel, timer);
  --wheel->count;
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* The next occupied slot and the tick at which it begins; DUE if there is none. Every occupied slot is at or
 * after the wheel's own position on its level, and all of a level come before any of the next. */
static unsigned next_slot(const tth_wheel *wheel, int64_t *tick) {
  for (unsigned level = 0; level < TTH_WHEEL_LEVELS; ++level) {
    if (wheel->occupied[level] == 0) continue;
    const unsigned index = (unsigned)__builtin_ctzll(wheel->occupied[level]), shift = SLOT_BITS * level;
    *tick = (wheel->tick >> shift & ~(int64_t)(TTH_WHEEL_SLOTS - 1)) << shift | (int64_t)index << shift;
    return level * TTH_WHEEL_SLOTS + index;
  }
  return DUE;
}

/* Merges two lists in order of deadline; equal ones keep their order. */
static tth_timer *merge_sorted(tth_timer *a, tth_timer *b) {
  tth_timer *first = NULL, **end = &first;
  while (a != NULL && b != NULL) {
    tth_timer **from = b->deadline_ns < a->deadline_ns ? &b : &a;
    *end = *from;
    end = &(*from)->next;
    *from = (*from)->next;
  }
  *end = a != NULL ? a : b;
  return first;
}

/* A bottom-up merge sort: runs[i] is a sorted list of 2^i timers or NULL. */
static tth_timer *sorted(tth_timer *list) {
  tth_timer *runs[40] = {NULL};
  unsigned i;
  while (list != NULL) {
    tth_timer *run = list;
    list = list->next;
    run->next = NULL;
    for (i = 0; runs[i] != NULL; ++i) {
      run = merge_sorted(runs[i], run);
      runs[i] = NULL;
    }
    runs[i] = run;
  }
  tth_timer *all = NULL;
  for (i = 0; i < sizeof runs / sizeof runs[0]; ++i)
    if (runs[i] != NULL) all = merge_sorted(runs[i], all);
  return all;
}

void tth_wheel_advance(tth_wheel *wheel, int64_t now_ns) {
  const int64_t now_tick = tick_of(now_ns);
  int64_t tick = 0;
  unsigned slot;
  while ((slot = next_slot(wheel, &tick)) != DUE && tick <= now_tick) {
    if (tick > wheel->tick) wheel->tick = tick;
    const bool last_level = slot < TTH_WHEEL_SLOTS;
    tth_timer *next, *timer = take_all(wheel, slot);
    if (last_level) timer = sorted(timer);
    for (; timer != NULL; timer = next) {
      next = timer->next;
      /* Also what is due goes down level by level: that is what brings it in order. */
      append(wheel, last_level && timer->deadline_ns <= now_ns ? DUE : slot_of(wheel, timer), timer);
    }
    if (last_level && tick == now_tick) break; /* what is left of it comes later in this tick */
  }
  if (now_tick > wheel->tick) wheel->tick = now_tick;
}

tth_timer *tth_wheel_due(const tth_wheel *wheel) { return wheel->slots[DUE]; }

int64_t tth_wheel_next_ns(const tth_wheel *wheel) {
  if (wheel->slots[DUE] != NULL) return wheel->slots[DUE]->deadline_ns;
  int64_t tick = 0;
  const unsigned slot = next_slot(wheel, &tick);
  if (slot == DUE) return TETHER_FOREVER;
  if (slot >= TTH_WHEEL_SLOTS) return tick << TTH_TICK_BITS;
  const tth_timer *first = wheel->slots[slot], *timer = first;
  int64_t next_ns = first->deadline_ns;
  while ((timer = timer->next) != first)
    if (timer->deadline_ns < next_ns) next_ns = timer->deadline_ns;
  return next_ns;
}
