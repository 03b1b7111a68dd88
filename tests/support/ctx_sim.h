/* Virtual time: a clock that stands still until the test moves it, so that an hour takes no time and
 * nothing expires by accident. There is no timer thread: deadlines end contexts inside ctx_sim_advance. */
#ifndef TESTS_SUPPORT_CTX_SIM_H
#define TESTS_SUPPORT_CTX_SIM_H

#include <stdatomic.h>

#include "tests/support/ctx_test.h"

struct ctx_sim {
  _Atomic int64_t now_ns;
  _Atomic int64_t wake_ns; /* the last deadline wake_at was told */
  atomic_int wakes;        /* how often it was told one */
};

static inline struct ctx_sim *ctx_sim_get(void) {
  static struct ctx_sim sim;
  return &sim;
}

static inline int64_t ctx_sim_now(void *data) { return atomic_load(&((struct ctx_sim *)data)->now_ns); }

static inline void ctx_sim_wake_at(void *data, int64_t deadline_ns) {
  struct ctx_sim *sim = data;
  atomic_store(&sim->wake_ns, deadline_ns);
  atomic_fetch_add(&sim->wakes, 1);
}

/* cmocka setup and teardown of a test in virtual time. */
static inline int ctx_sim_setup(void **state) {
  struct ctx_sim *sim = ctx_sim_get();
  const tether_clock clock = {.now_ns = ctx_sim_now, .wake_at = ctx_sim_wake_at, .data = sim};
  atomic_store(&sim->now_ns, 1000 * TETHER_SEC);
  atomic_store(&sim->wake_ns, TETHER_FOREVER);
  atomic_store(&sim->wakes, 0);
  if (tether_clock_set(&clock) != TETHER_OK) return -1;
  return ctx_setup(state);
}

static inline int ctx_sim_teardown(void **state) {
  int left = ctx_teardown(state);
  if (tether_clock_set(NULL) != TETHER_OK) {
    print_error("a deadline was left armed\n");
    left = -1;
  }
  return left;
}

/* Moves time on by `ns` and ends what is due. Returns the next armed deadline (or a time before it). */
static inline int64_t ctx_sim_advance(int64_t ns) {
  struct ctx_sim *sim = ctx_sim_get();
  atomic_store(&sim->now_ns, tether_time_add(atomic_load(&sim->now_ns), ns));
  return tether_clock_run_due();
}

#define in_virtual_time(test) \
  { #test, test, ctx_sim_setup, ctx_sim_teardown, NULL }
#define both_ways_in_virtual_time(test)                                                     \
  {#test " (polled)", test, ctx_sim_setup, ctx_sim_teardown, ctx_mode_state(CTX_POLLED)}, { \
#test " (told)", test, ctx_sim_setup, ctx_sim_teardown, ctx_mode_state(CTX_TOLD)        \
  }

#endif
