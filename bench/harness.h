/* bench/harness.h: what every benchmark program shares, ours and the peers' (C and C++).
 *
 *   PROGRAM [--seconds S] [--in-flight N] [--bytes N] [--tcp] [--threads] ...
 *
 * starts itself again as the server (a child with --serve ADDRESS), or as a chain of them, warms up, measures and
 * prints one line of NAME=VALUE fields, all per call:
 *
 *   p50_us, p99_us    latency, in programs that make one call at a time
 *   rate              calls per second
 *   client_cpu_us, server_cpu_us, client_switches, server_switches
 *                     processor time and voluntary context switches, warm-up included
 *
 * or what the program measures instead. Contexts and timers need no server: see "Work inside one process". */
#ifndef TETHER_BENCH_HARNESS_H
#define TETHER_BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What every call of every program carries, beside a payload. */
#define BENCH_METADATA_KEY "x-request-id"
#define BENCH_METADATA_VALUE "4bf92f3577b34da6a3ce929d0e0e4736"
#define BENCH_TIMEOUT_SECONDS 10
#define BENCH_PAYLOAD_BYTES 100 /* if the options do not say otherwise */

typedef struct bench_options {
  int in_flight; /* default 1 */
  double seconds;
  int bytes;       /* of the payload */
  bool tcp;        /* over 127.0.0.1 instead of a unix socket */
  bool tls;        /* over TLS on 127.0.0.1, see bench_tls_file */
  bool threads;    /* in_flight threads that block instead of callbacks */
  bool pooled;     /* the handler may block: it does not run on an I/O thread */
  bool explain;    /* calls ask for their ledger */
  bool trace;      /* calls are part of a trace */
  bool metrics;    /* both sides count calls */
  bool spans;      /* both sides make spans, which go nowhere */
  bool logs;       /* both sides write lines, which go nowhere */
  int connections; /* the calls take turns on them; or of programs that measure those */
  int cpus;        /* processors for all processes; 0: all there are */
  int hops;        /* servers, each of which gets the next one's address */
  int delay_ms;    /* on the way to each server, and on the way back */
  int queued_mib;  /* what is on its way over each hop meanwhile */

  /* A server's own address, or the address of the first one: the path of a unix socket, or HOST:PORT with port 0 until
   * the server has chosen one. */
  const char *address;
  int hop;          /* a server's number in the chain, from 0 */
  const char *next; /* the address of the next server in the chain, at the client of the second; NULL: there is none */
} bench_options;

/* A measurement under way. */
typedef struct bench_run bench_run;

typedef struct bench_program {
  /* The child: serves at options->address until bench_serve_until_told returns. */
  void (*serve)(const bench_options *options);
  /* The parent: makes calls with bench_one_by_one and its kin, or prints with bench_print what it measures itself. */
  void (*measure)(const bench_options *options, bench_run *run);
} bench_program;

/* main() of a program; returns its exit status. */
int bench_main(int argc, char **argv, const bench_program *program);

/* The server: tells the parent that calls may come (over tcp: at this port), and returns when it is to end. */
void bench_serve_until_told(uint16_t port);

/* Prints the message and ends the process with status 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The file with the run's certificate, which is its own authority, or with its key. */
const char *bench_tls_file(const char *name); /* "cert" or "key" */

/* Makes one call after the other: a warm-up, then options->seconds of which each call is timed. */
void bench_one_by_one(bench_run *run, void (*call)(void *data), void *data);

/* Keeps options->in_flight calls going: `start` begins one call and is called that often; whenever a call has ended
 * its callback asks bench_load_again whether to begin another. Returns when all have ended. */
void bench_load(bench_run *run, void (*start)(void *data), void *data);
bool bench_load_again(bench_run *run);

/* The same with options->in_flight threads, each of which makes one call after the other. */
void bench_threads(bench_run *run, void (*call)(void *data), void *data);

/* Adds a latency that the program has measured itself. */
void bench_sample(bench_run *run, int64_t ns);

/* Adds NAME=VALUE to the line of results. */
void bench_print(bench_run *run, const char *name, double value);

/* Counters that all processes of a run share; 0 at first. */
typedef enum bench_counter {
  BENCH_HELD,        /* calls that have arrived and wait */
  BENCH_ENDED,       /* calls that have ended, or learnt that they have */
  BENCH_LAST_NS,     /* when the last of them did */
  BENCH_DONE,        /* handlers that have answered */
  BENCH_FLOODED,     /* servers, the client included, that have sent the next one all they are to */
  BENCH_SUNK,        /* calls of all that that have been answered */
  BENCH_DEADLINE_NS, /* of the leaf, on whatever clock */
  BENCH_COUNTERS
} bench_counter;

int64_t bench_count(bench_counter counter);
void bench_count_add(bench_counter counter, int64_t by);
void bench_count_set(bench_counter counter, int64_t value);
void bench_count_max(bench_counter counter, int64_t value);

/* Waits until a counter has reached a value; ends the process if that takes more than 30 s. */
void bench_count_wait(bench_counter counter, int64_t value);

/* How much this process and the first server's grow in between, per thing, as client_bytes and server_bytes: of memory
 * that is not shared (RssAnon). Waits a moment before each look. */
void bench_memory_before(bench_run *run);
void bench_memory_after(bench_run *run, int things);

/* CLOCK_MONOTONIC. */
int64_t bench_now_ns(void);
void bench_sleep(double seconds);

/* Sorts the samples. */
double bench_p99(int64_t *samples, size_t count);

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

/* A timeout of a minute to an hour. `state` is of the generator, not 0. */
int64_t bench_far_ns(uint64_t *state);

#ifdef __cplusplus
}
#endif
#endif
