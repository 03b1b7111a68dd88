/* tests/sim/seeds.h: many seeds, in processes of their own: one that fails, crashes or hangs is told and run again with
 * its trace, and the others go on. */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include "tests/sim/sim.h"

typedef struct sim_seeds {
  uint64_t first, count;
  int jobs;           /* processes at once; 0: 1 */
  bool until_failure; /* stop at the first that fails */
  FILE *out;          /* what failed, and the trace of the first that did; NULL: not told */
  bool trace;         /* trace every seed */
} sim_seeds;

typedef struct sim_result {
  uint64_t held, failed;
  uint64_t seed;  /* the first that failed (of those that ran, the lowest) */
  char why[1024]; /* likewise */
  sim_totals totals;
} sim_result;

void sim_seeds_run(const sim_seeds *seeds, sim_result *result);

#endif
