/* tests/sim/sim.h: whole clusters on virtual time, in one thread, from a seed.
 *
 * A seed decides how many processes there are, which of them serve together behind one client and how it chooses
 * between them, who calls whom and what the handlers do, how long everything takes,
 * which connections, processes and paths fail and when calls are cancelled, often within microseconds of an answer or a
 * deadline. Clients, servers, calls, sessions and contexts are the real ones; the net is tests/support/link_mem.h.
 *
 *   a step:  the earliest of   an event of the simulator   something on the net   a timer
 *            is chosen (by the seed, where several are due), run, and followed by the checks
 *
 * What would block a thread, a close or a shutdown, runs steps meanwhile (blocking.c). So does, now and then, a thread
 * that has just sent a call or an answer: it stops there, and the reply may overtake it (sim_may_stop). What is
 * checked:
 *
 *   promise 1   the end of a call is the end of all handlers below it, once the news could be there
 *   promise 2   a deadline is the same instant everywhere, but for what the clocks' estimates may be wrong
 *   promise 3   every end has a cause that there was, of the origin that it had; ledgers fit what happened
 *   promise 4   caller and server record the same status, call by call and in their counters
 *   promise 5   values go where their keys say
 *   promise 6   windows, slots and queues are bounded, never negative, and given back
 *
 * and that every call ends once, no handler begins after its end was acknowledged, streams are whole or cut, nothing
 * stalls, and nothing is left. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdio.h>
#include <tether/base.h>

/* What has happened, so that a test can tell that it happened at all. */
typedef struct sim_totals {
  uint64_t seeds, steps, processes, frames;
  int64_t time_ns; /* virtual */
  /* calls, and how they ended */
  uint64_t calls, ok, cancelled, expired, unavailable, failed, unsent, detached;
  /* attempts that a server had not accepted, and that another took; that left after they had waited at a lost one */
  uint64_t moved, elsewhere, requeued;
  uint64_t unaccepted; /* calls that a server had not accepted, and that could not be sent again */
  uint64_t handlers, cut, slots_full, stops_confirmed, corrected; /* corrected: verdicts told to servers */
  uint64_t streams, messages, bytes, send_waits, windows;
  uint64_t retried;       /* attempts of unary calls that were followed by another */
  uint64_t groups, aimed; /* cancels at an answer, a return or a deadline */
  uint64_t crossings;     /* answers within 50 us of their call's deadline or cancel */
  uint64_t circles;       /* seeds whose calls waited for each other's slots */
  uint64_t estimated;     /* calls whose deadline was corrected for transit */
  /* faults */
  uint64_t overtaken; /* threads that stopped behind a call or an answer of theirs */
  uint64_t partitions, breaks, vanished, kills, restarts, shutdowns, closes;
} sim_totals;

/* What is told of a run while it goes on, also when it ends the process: memory shared with the parent. */
typedef struct sim_report {
  uint64_t seed;
  char why[768]; /* what is wrong; "" so far nothing */
  sim_totals totals;
} sim_report;

/* The status of a process in which something was wrong. */
enum { SIM_WRONG = 3 };

/* Runs one seed. Returns if everything held; else says why in the report and ends the process with SIM_WRONG, since
 * what is broken cannot be relied on to close. With `trace` every event is written there, a line each. */
void sim_run(uint64_t seed, FILE *trace, sim_report *report);

#endif
