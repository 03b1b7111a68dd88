/* Streams over a net that delays, holds back and breaks, by random schedules: every message arrives once and in order,
 * or the stream is cut at both sides; no clean end with messages missing; nothing stalls.
 * TETHER_SEED=n runs one seed, TETHER_SEEDS=n so many. */
#include <stdio.h>

#include "tests/support/ctx_test.h"
#include "tests/support/stream_sim.h"

/* The library's random numbers (back-off, places in tables) follow from the seed too. */
void __wrap_tth_random(void *bytes, size_t len);
void __wrap_tth_random(void *bytes, size_t len) { stream_sim_random(bytes, len); }

#define SEEDS CTX_TEST_ROUNDS(120)

static bool is_one_seed(void) { return getenv("TETHER_SEED"); }

static unsigned long long shown(uint64_t n) { return n; }

static stream_sim_totals run_seeds(stream_sim_faults faults) {
  uint64_t first = is_one_seed() ? strtoull(getenv("TETHER_SEED"), NULL, 0) : 1;
  uint64_t end = first + (is_one_seed()            ? 1
                          : getenv("TETHER_SEEDS") ? strtoull(getenv("TETHER_SEEDS"), NULL, 0)
                                                   : SEEDS);
  stream_sim_totals totals = {0};
  char why[512];
  for (uint64_t seed = first; seed < end; seed++)
    if (!stream_sim_run(seed, faults, &totals, why, sizeof why)) fail_msg("TETHER_SEED=%llu: %s", shown(seed), why);
  print_message(
      "%llu streams: %llu whole, %llu answered early, %llu cancelled, %llu expired, %llu lost with %llu "
      "connections\n",
      shown(totals.streams), shown(totals.whole), shown(totals.early), shown(totals.cancelled), shown(totals.expired),
      shown(totals.lost), shown(totals.connections));
  print_message("%llu messages, %llu MiB, %llu steps, %llu sends that had to wait\n", shown(totals.messages),
                shown(totals.bytes) >> 20, shown(totals.steps), shown(totals.send_waits));
  assert_true(totals.send_waits > 0 || is_one_seed());
  return totals;
}

static void while_nothing_is_cut_every_stream_ends_whole_however_the_net_delays(void **state) {
  (void)state;
  stream_sim_totals totals = run_seeds((stream_sim_faults){.delays = true});
  assert_int_equal(totals.whole, totals.streams);
}

static void cancels_deadlines_and_early_answers_end_both_sides(void **state) {
  (void)state;
  stream_sim_totals totals = run_seeds((stream_sim_faults){.delays = true, .cuts = true});
  assert_true((totals.cancelled > 0 && totals.expired > 0 && totals.early > 0) || is_one_seed());
}

static void lost_connections_cut_both_sides_and_never_look_like_an_end(void **state) {
  (void)state;
  stream_sim_totals totals = run_seeds((stream_sim_faults){.delays = true, .breaks = true});
  assert_true((totals.lost > 0 && totals.connections > SEEDS) || is_one_seed());
}

static void everything_at_once_loses_nothing_unsaid(void **state) {
  (void)state;
  (void)run_seeds((stream_sim_faults){.delays = true, .cuts = true, .breaks = true});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(while_nothing_is_cut_every_stream_ends_whole_however_the_net_delays),
      cmocka_unit_test(cancels_deadlines_and_early_answers_end_both_sides),
      cmocka_unit_test(lost_connections_cut_both_sides_and_never_look_like_an_end),
      cmocka_unit_test(everything_at_once_loses_nothing_unsaid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
