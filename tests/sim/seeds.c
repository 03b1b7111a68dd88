/* A worker is a child process that runs every jobs-th seed and counts what it has done in memory shared with us. One
 * that ends early was running a seed that does not hold: it says why in the report, unless it crashed or its alarm
 * went. */
#include "tests/sim/seeds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Real time for one seed; most take milliseconds. */
#define SECONDS_MOST 120
#define JOBS_MOST 64

struct worker {
  sim_report report;
  uint64_t next, ran; /* the seed to run next; how many have held */
  pid_t pid;
};

static void work(struct worker *worker, const sim_seeds *seeds, uint64_t step, FILE *trace) {
  while (worker->next < seeds->first + seeds->count) {
    alarm(SECONDS_MOST);
    sim_run(worker->next, trace, &worker->report);
    worker->next += step;
    worker->ran++;
  }
  alarm(0);
  worker->report.seed = 0;
}

static bool start(struct worker *worker, const sim_seeds *seeds, uint64_t step) {
  if (worker->next >= seeds->first + seeds->count) return false;
  if (seeds->out) fflush(seeds->out);
  fflush(NULL);
  pid_t pid = fork();
  if (pid < 0) abort();
  if (pid > 0) worker->pid = pid; /* not by the child: it is shared */
  if (pid > 0) return true;
  work(worker, seeds, step, seeds->trace ? seeds->out : NULL);
  exit(0); /* through what looks for leaks */
}

static void describe(const struct worker *worker, int status, char *why, size_t size) {
  if (*worker->report.why)
    snprintf(why, size, "%s", worker->report.why);
  else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
    snprintf(why, size, "hangs: no end after %d s", SECONDS_MOST);
  else if (WIFSIGNALED(status))
    snprintf(why, size, "crashes: %s", strsignal(WTERMSIG(status)));
  else
    snprintf(why, size, "ends the process with status %d", WEXITSTATUS(status));
}

/* Runs one seed again for its trace. */
static void trace_again(struct worker *worker, const sim_seeds *seeds, uint64_t seed) {
  sim_seeds one = {.first = seed, .count = 1, .out = seeds->out, .trace = true};
  fprintf(seeds->out, "---- the trace of seed %" PRIu64 "\n", seed);
  *worker = (struct worker){.next = seed};
  if (start(worker, &one, 1)) waitpid(worker->pid, NULL, 0);
  fprintf(seeds->out, "---- the end of the trace\n");
}

static void take_failure(struct worker *worker, struct worker *spare, const sim_seeds *seeds, int status,
                         sim_result *result) {
  char why[sizeof result->why];
  uint64_t seed = worker->report.seed;
  describe(worker, status, why, sizeof why);
  result->failed++;
  if (seeds->out) fprintf(seeds->out, "seed %" PRIu64 " does not hold: %s\n", seed, why);
  bool first = result->failed == 1;
  if (first || seed < result->seed) {
    result->seed = seed;
    memcpy(result->why, why, sizeof why);
  }
  if (first && seeds->out && !seeds->trace) trace_again(spare, seeds, seed);
  *worker->report.why = 0;
}

static void add_totals(sim_totals *to, const sim_totals *from) {
  uint64_t *sum = (uint64_t *)to;
  for (size_t i = 0; i < sizeof *to / sizeof *sum; i++) sum[i] += ((const uint64_t *)from)[i];
}

void sim_seeds_run(const sim_seeds *seeds, sim_result *result) {
  int jobs = seeds->jobs < 1 ? 1 : seeds->jobs > JOBS_MOST ? JOBS_MOST : seeds->jobs, running = 0;
  size_t size = sizeof(struct worker) * ((size_t)jobs + 1);
  struct worker *workers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (workers == MAP_FAILED) abort();
  *result = (sim_result){0};
  for (int i = 0; i < jobs; i++) {
    workers[i].next = seeds->first + (uint64_t)i;
    running += start(&workers[i], seeds, (uint64_t)jobs);
  }
  while (running > 0) {
    int status, at = 0;
    pid_t pid = wait(&status);
    if (pid < 0) abort();
    while (at < jobs && workers[at].pid != pid) at++;
    if (at == jobs) continue;
    running--;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    bool left = workers[at].next < seeds->first + seeds->count; /* else: what is looked for at exit */
    take_failure(&workers[at], &workers[jobs], seeds, status, result);
    workers[at].next += (uint64_t)jobs;
    if (seeds->until_failure) {
      for (int i = 0; i < jobs; i++) workers[i].next = seeds->first + seeds->count; /* each ends after its seed */
    } else if (left) {
      running += start(&workers[at], seeds, (uint64_t)jobs);
    }
  }
  for (int i = 0; i < jobs; i++) {
    result->held += workers[i].ran;
    add_totals(&result->totals, &workers[i].report.totals);
  }
  munmap(workers, size);
}
