/* Hedged calls over the parked servers of park_sim.h: starting them, and what their callbacks got. */
#ifndef TESTS_SUPPORT_HEDGE_SIM_H
#define TESTS_SUPPORT_HEDGE_SIM_H

#include <tether/hedge.h>

#include "tests/support/park_sim.h"

enum { SECOND = 1u << TETHER_UNAVAILABLE | 1u << TETHER_ABORTED }; /* codes worth a second attempt */

#define DELAY (20 * TETHER_MS)

/* What `done` was called with. */
struct result {
  int calls;
  tether_call *call;
};

/* Every call noted, released with the scene, so that a test that fails leaves nothing behind. */
static tether_call *noted[8];
static size_t noted_count;
static bool over; /* the test, and with it its results */

static inline void note(tether_call *call, void *data) {
  struct result *r = data;
  if (over) return;
  r->calls++;
  r->call = tether_call_ref(call);
  assert_true(noted_count < sizeof noted / sizeof *noted);
  noted[noted_count++] = r->call;
}

static inline int hedge_setup(void **state) {
  over = false;
  return park_sim_setup(state);
}

static inline int hedge_teardown(void **state) {
  over = true;
  while (noted_count > 0) tether_call_unref(noted[--noted_count]);
  return park_sim_teardown(state);
}

static inline tether_hedging hedging_of(int max_attempts, int64_t delay_ns) {
  return (tether_hedging){.max_attempts = max_attempts,
                          .delay_ns = delay_ns,
                          .non_fatal = SECOND,
                          .clients = park_sim()->clients,
                          .client_count = PARKS};
}

static inline void start_with(struct result *r, const tether_hedging *hedging, const tether_ctx *ctx,
                              const tether_call_options *options) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"hedge";
  tether_call_hedged_start(hedging, ctx, &tst_park_unary, &request.base, options, note, r);
  park_sim_pump(0);
}

static inline void start(struct result *r, int max_attempts, int64_t delay_ns) {
  const tether_hedging hedging = hedging_of(max_attempts, delay_ns);
  start_with(r, &hedging, tether_ctx_background(), NULL);
}

/* How many attempts have arrived, at all servers. */
static inline int attempts(void) {
  int sum = 0;
  for (int i = 0; i < PARKS; i++) sum += tst_park_arrived(park_sim()->parks[i]);
  return sum;
}

static inline void end(tst_parked *parked, tether_code code) {
  assert_true(tst_parked_end(parked, code));
  park_sim_pump(0);
}

/* `done` has been called, once, with this code. */
#define assert_done(r, code) assert_done_at(r, code, __FILE__, __LINE__)
static inline void assert_done_at(struct result *r, tether_code code, const char *file, int line) {
  _assert_int_equal(r->calls, 1, file, line);
  rpc_assert_code_at(r->call, code, file, line);
}

#define LOST_TO(n) "attempt " n " of /testing.v1.Park/Unary answered first"

#define with_hedges(test) \
  { #test, test, hedge_setup, hedge_teardown, NULL }

#endif
