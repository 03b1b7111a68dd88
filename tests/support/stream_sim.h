/* tests/support/stream_sim.h: streams between a client and a server in memory, in virtual time, on one thread. A seed
 * decides everything: how many streams there are, what each side sends and reads and when, how the net delays, holds
 * and breaks. What must hold is checked on every message and at every end.
 *
 *   each side of a stream:  RUNNABLE ──a try is not done──> WAITING ──`ready`──> RUNNABLE ... ──end or cut──> OVER
 *
 * A simulation in which nobody is runnable, nothing is on its way, no timer is armed and some side is not over has
 * stalled: that is how lost wake-ups and windows that never open again show. */
#ifndef TESTS_SUPPORT_STREAM_SIM_H
#define TESTS_SUPPORT_STREAM_SIM_H

#include <tether/rpc.h>

#define STREAM_SIM_MOST 24

/* What may go wrong. */
typedef struct stream_sim_faults {
  bool delays; /* batches take their time, are held back, find no room */
  bool cuts;   /* calls are cancelled, run out of time, are answered early */
  bool breaks; /* connections are lost, at one end first or at both */
} stream_sim_faults;

/* What has happened, so that a test can tell that it happened at all. */
typedef struct stream_sim_totals {
  uint64_t steps, messages, bytes;
  uint64_t streams, whole, cancelled, expired, lost, early; /* how calls ended; whole: OK, nothing left out */
  uint64_t send_waits;                                      /* sends that found no room */
  uint64_t connections;
} stream_sim_totals;

/* Runs one simulation, on a clock of its own, and adds to the totals. false: something is wrong, which is said in
 * `why`. */
TETHER_MUST_USE bool stream_sim_run(uint64_t seed, stream_sim_faults faults, stream_sim_totals *totals, char *why,
                                    size_t why_size);

/* Random bytes that follow from the seed, for a program that links the library's own (tth_random) to them. */
void stream_sim_random(void *bytes, size_t len);

#endif
