/* bench/harness.h: what every benchmark program shares, ours and the peers' (C and C++).
 *
 *   PROGRAM [--in-flight N] [--seconds S]
 *
 * starts itself a second time as the server (a child with --serve ADDRESS), warms up, measures and prints one line of
 * NAME=VALUE fields, all per call:
 *
 *   p50_us, p99_us    latency, in programs that make one call at a time
 *   rate              calls per second
 *   client_cpu_us, server_cpu_us, client_switches, server_switches
 *                     processor time and voluntary context switches, warm-up included */
#ifndef TETHER_BENCH_HARNESS_H
#define TETHER_BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What every call of every program carries. */
#define BENCH_PAYLOAD_BYTES 100
#define BENCH_METADATA_KEY "x-request-id"
#define BENCH_METADATA_VALUE "4bf92f3577b34da6a3ce929d0e0e4736"
#define BENCH_TIMEOUT_SECONDS 10

typedef struct bench_options {
  int in_flight;
  double seconds;
  const char *address; /* the path of a unix socket that does not exist yet */
} bench_options;

/* A measurement under way. */
typedef struct bench_run bench_run;

typedef struct bench_program {
  /* The child: serves at options->address until bench_serve_until_told returns. */
  void (*serve)(const bench_options *options);
  /* The parent: makes calls with bench_one_by_one, or bench_load_start and its kin. */
  void (*measure)(const bench_options *options, bench_run *run);
} bench_program;

/* main() of a program; returns its exit status. */
int bench_main(int argc, char **argv, const bench_program *program);

/* The server: tells the parent that calls may come, and returns when it is to end. */
void bench_serve_until_told(void);

/* Prints the message and ends the process with status 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Makes one call after the other: a warm-up, then options->seconds of which each call is timed. */
void bench_one_by_one(bench_run *run, void (*call)(void *data), void *data);

/* Keeps options->in_flight calls going: `start` begins one call and is called that often; whenever a call has ended
 * its callback asks bench_load_again whether to begin another. Returns when all have ended. */
void bench_load(bench_run *run, void (*start)(void *data), void *data);
bool bench_load_again(bench_run *run);

/* ---- Work inside one process --------------------------------------------------------------- */

/* A program of such works: `PROGRAM [--seconds S] FAMILY` measures every work of that family, S seconds in all, and
 * prints `NAME_ns=VALUE` for each. */
typedef struct bench_work {
  const char *family, *name;
  double (*measure)(double seconds, int size); /* nanoseconds, of one operation if not said otherwise */
  int size;
} bench_work;

int bench_work_main(int argc, char **argv, const bench_work *works, size_t count);

/* Elapsed nanoseconds per operation: `work` does it `times` times, here and on threads - 1 other threads at once. */
double bench_time_ns(double seconds, int threads, void (*work)(int64_t times, void *data), void *data);

/* Processors this process may use: what Go takes for its number of threads. */
int bench_processors(void);

/* CLOCK_MONOTONIC. */
int64_t bench_now_ns(void);

/* A timeout of a minute to an hour. `state` is of the generator, not 0. */
int64_t bench_far_ns(uint64_t *state);

/* Sorts the samples. */
double bench_p99(int64_t *samples, size_t count);

#ifdef __cplusplus
}
#endif
#endif
