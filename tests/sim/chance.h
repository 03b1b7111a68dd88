/* tests/sim/chance.h: repeatable chance. */
#ifndef TESTS_SIM_CHANCE_H
#define TESTS_SIM_CHANCE_H

#include <tether/base.h>

typedef struct sim_chance {
  uint64_t state;
} sim_chance;

static inline uint64_t sim_mix(uint64_t value) {
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static inline uint64_t sim_next(sim_chance *chance) { return sim_mix(chance->state += UINT64_C(0x9e3779b97f4a7c15)); }

/* 0 to n - 1. */
static inline uint32_t sim_below(sim_chance *chance, uint32_t n) { return (uint32_t)(sim_next(chance) % n); }

static inline bool sim_percent(sim_chance *chance, uint32_t percent) { return sim_below(chance, 100) < percent; }

static inline int64_t sim_between(sim_chance *chance, int64_t from, int64_t to) {
  return from + (int64_t)(sim_next(chance) % (uint64_t)(to - from + 1));
}

/* From `from` (> 0) to `to`, every order of magnitude as likely as the next. */
static inline int64_t sim_spread(sim_chance *chance, int64_t from, int64_t to) {
  int doublings = 0;
  for (int64_t at = from; at < to / 2; at *= 2) doublings++;
  int64_t low = from << sim_below(chance, (uint32_t)doublings + 1);
  int64_t high = low > to / 2 ? to : 2 * low;
  return sim_between(chance, low, high);
}

#endif
