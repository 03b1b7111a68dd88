/* Runs seeds of the cluster simulation: see tests/simulate. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/seeds.h"

static int usage(void) {
  fputs(
      "usage: simulate [--seeds N] [--first S] [--jobs J] [--trace] [--until-failure] [--expect-failure]\n"
      "  --seeds N          how many (default 1000)\n"
      "  --first S          from this one on (default 1)\n"
      "  --jobs J           so many at once (default 1)\n"
      "  --trace            every event of every seed, not only of the first that does not hold\n"
      "  --until-failure    stop at the first that does not hold\n"
      "  --expect-failure   the same, and succeed only if there is one, which fails in the same way when it is run\n"
      "                     again: for builds that are wrong on purpose\n",
      stderr);
  return 2;
}

static void print_totals(const sim_totals *t) {
  printf("%" PRIu64 " processes, %" PRIu64 " steps, %" PRIu64 " frames, %.1f s of virtual time\n", t->processes,
         t->steps, t->frames, (double)t->time_ns / 1e9);
  printf("calls: %" PRIu64 ", of them OK %" PRIu64 ", cancelled %" PRIu64 ", expired %" PRIu64 ", unavailable %" PRIu64
         ", failed %" PRIu64 "; never sent %" PRIu64 ", detached %" PRIu64 "\n",
         t->calls, t->ok, t->cancelled, t->expired, t->unavailable, t->failed, t->unsent, t->detached);
  printf("handlers: %" PRIu64 ", cut %" PRIu64 "; all slots taken %" PRIu64 "; trees reported stopped %" PRIu64
         "; verdicts corrected %" PRIu64 "; deadlines corrected for transit %" PRIu64 "\n",
         t->handlers, t->cut, t->slots_full, t->stops_confirmed, t->corrected, t->estimated);
  printf("streams: %" PRIu64 ", messages %" PRIu64 ", %" PRIu64 " MiB, sends that waited %" PRIu64 ", windows %" PRIu64
         "; retried %" PRIu64 "; groups %" PRIu64 "; cancels aimed %" PRIu64 "\n",
         t->streams, t->messages, t->bytes >> 20, t->send_waits, t->windows, t->retried, t->groups, t->aimed);
  printf("not accepted, and sent again: %" PRIu64 ", of them elsewhere %" PRIu64 ", and not sent again %" PRIu64
         "; queued at a server that went away, and sent later %" PRIu64 "\n",
         t->moved, t->elsewhere, t->unaccepted, t->requeued);
  printf("faults: partitions %" PRIu64 ", breaks %" PRIu64 ", silent breaks %" PRIu64 ", kills %" PRIu64
         ", restarts %" PRIu64 ", shutdowns %" PRIu64 ", clients closed %" PRIu64
         "; threads that stopped behind what they sent %" PRIu64 "\n",
         t->partitions, t->breaks, t->vanished, t->kills, t->restarts, t->shutdowns, t->closes, t->overtaken);
}

/* A seed that does not hold does not hold in the same way again. */
static bool replays(const sim_result *result) {
  const sim_seeds again = {.first = result->seed, .count = 1};
  sim_result second;
  sim_seeds_run(&again, &second);
  bool same = second.failed == 1 && strcmp(second.why, result->why) == 0;
  if (!same) printf("run again, it %s\n", second.failed ? second.why : "holds");
  return same;
}

static bool take_number(char **argv, int *at, uint64_t *number) {
  char *end;
  if (!argv[*at + 1]) return false;
  *number = strtoull(argv[++*at], &end, 0);
  return *end == 0;
}

int main(int argc, char **argv) {
  sim_seeds seeds = {.first = 1, .count = 1000, .out = stdout};
  bool expect_failure = false;
  uint64_t jobs = 1;
  for (int i = 1; i < argc; i++) {
    bool known = true;
    if (strcmp(argv[i], "--seeds") == 0)
      known = take_number(argv, &i, &seeds.count);
    else if (strcmp(argv[i], "--first") == 0)
      known = take_number(argv, &i, &seeds.first);
    else if (strcmp(argv[i], "--jobs") == 0)
      known = take_number(argv, &i, &jobs);
    else if (strcmp(argv[i], "--trace") == 0)
      seeds.trace = true;
    else if (strcmp(argv[i], "--until-failure") == 0)
      seeds.until_failure = true;
    else if (strcmp(argv[i], "--expect-failure") == 0)
      expect_failure = seeds.until_failure = true;
    else
      known = false;
    if (!known) return usage();
  }
  seeds.jobs = (int)jobs;
  if (expect_failure) seeds.out = NULL;
  struct timespec begun, ended;
  sim_result result;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  sim_seeds_run(&seeds, &result);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  double seconds = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
  print_totals(&result.totals);
  if (result.failed) printf("seed %" PRIu64 " does not hold: %s\n", result.seed, result.why);
  printf("%" PRIu64 " of %" PRIu64 " seeds held, from %" PRIu64 " on, %.0f a second; %" PRIu64
         " answers came within 50 us of their deadline or cancel\n",
         result.held, result.held + result.failed, seeds.first, (double)(result.held + result.failed) / seconds,
         result.totals.crossings);
  if (expect_failure) return result.failed > 0 && replays(&result) ? 0 : 1;
  return result.failed ? 1 : 0;
}
