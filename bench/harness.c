/* Happy path: the parent makes a directory for the socket, forks and executes itself as the server, waits for the
 * byte that says it listens, measures, closes the server's standard input, and waits for it to end.
 * Failures: any of it, in either process, ends the program with a message and status 1; a server whose parent has died
 * reads the end of its standard input and leaves. */
#include "bench/harness.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARMUP_SECONDS 0.3
#define SAMPLES_MAX ((size_t)4 << 20)

struct bench_run {
  const bench_options *options;
  double seconds;      /* measured */
  int64_t measured;    /* calls in that time */
  _Atomic int64_t all; /* calls, warm-up included */

  int64_t *samples_ns;
  size_t sample_count;

  _Atomic bool stop;
  pthread_mutex_t mu;
  pthread_cond_t idle;
  int in_flight; /* under mu: chains of calls that have not ended */
};

struct server {
  pid_t pid;
  int stdin_fd;
};

void bench_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static void sleep_seconds(double seconds) {
  struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

/* ---- Making calls -------------------------------------------------------------------------- */

void bench_one_by_one(bench_run *run, void (*call)(void *data), void *data) {
  run->samples_ns = malloc(SAMPLES_MAX * sizeof *run->samples_ns);
  if (!run->samples_ns) bench_fail("out of memory");
  int64_t calls = 0, warm_ns = bench_now_ns() + (int64_t)(WARMUP_SECONDS * 1e9);
  for (; bench_now_ns() < warm_ns; calls++) call(data);
  int64_t begin_ns = bench_now_ns(), end_ns = begin_ns + (int64_t)(run->options->seconds * 1e9), before_ns = begin_ns;
  while (before_ns < end_ns) {
    call(data);
    int64_t after_ns = bench_now_ns();
    if (run->sample_count < SAMPLES_MAX) run->samples_ns[run->sample_count++] = after_ns - before_ns;
    run->measured++;
    before_ns = after_ns;
  }
  run->seconds = (double)(before_ns - begin_ns) / 1e9;
  run->all = calls + run->measured;
}

void bench_load(bench_run *run, void (*start)(void *data), void *data) {
  run->in_flight = run->options->in_flight;
  for (int i = 0; i < run->options->in_flight; i++) start(data);
  sleep_seconds(WARMUP_SECONDS);
  int64_t begin_ns = bench_now_ns(), begin = run->all;
  sleep_seconds(run->options->seconds);
  run->measured = run->all - begin;
  run->seconds = (double)(bench_now_ns() - begin_ns) / 1e9;
  run->stop = true;
  pthread_mutex_lock(&run->mu);
  while (run->in_flight > 0) pthread_cond_wait(&run->idle, &run->mu);
  pthread_mutex_unlock(&run->mu);
}

bool bench_load_again(bench_run *run) {
  atomic_fetch_add_explicit(&run->all, 1, memory_order_relaxed);
  if (!atomic_load_explicit(&run->stop, memory_order_relaxed)) return true;
  pthread_mutex_lock(&run->mu);
  if (--run->in_flight == 0) pthread_cond_signal(&run->idle);
  pthread_mutex_unlock(&run->mu);
  return false;
}

/* ---- The server's process ------------------------------------------------------------------ */

void bench_serve_until_told(void) {
  char byte = 1;
  if (write(STDOUT_FILENO, &byte, 1) != 1) bench_fail("the parent has gone");
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

static struct server server_start(char **argv, const bench_options *options) {
  int to[2], from[2];
  char in_flight[16], byte;
  if (pipe(to) != 0 || pipe(from) != 0) bench_fail("pipe: %s", strerror(errno));
  snprintf(in_flight, sizeof in_flight, "%d", options->in_flight);
  pid_t pid = fork();
  if (pid < 0) bench_fail("fork: %s", strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    close(to[0]);
    close(to[1]);
    close(from[0]);
    close(from[1]);
    execl("/proc/self/exe", argv[0], "--in-flight", in_flight, "--serve", options->address, (char *)NULL);
    bench_fail("exec: %s", strerror(errno));
  }
  close(to[0]);
  close(from[1]);
  if (read(from[0], &byte, 1) != 1) bench_fail("the server did not start");
  close(from[0]);
  return (struct server){.pid = pid, .stdin_fd = to[1]};
}

static void server_stop(struct server server) {
  int status;
  close(server.stdin_fd);
  if (waitpid(server.pid, &status, 0) != server.pid || status != 0) bench_fail("the server failed");
}

/* ---- Results ------------------------------------------------------------------------------- */

static void print_usage_of(const char *who, int whose, double calls) {
  struct rusage usage;
  getrusage(whose, &usage);
  double us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
              (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  printf(" %s_cpu_us=%.2f %s_switches=%.2f", who, us / calls, who, (double)usage.ru_nvcsw / calls);
}

static void print_results(bench_run *run) {
  if (run->measured == 0) bench_fail("no call ended in time");
  if (run->sample_count > 0) {
    double p99_ns = bench_p99(run->samples_ns, run->sample_count); /* sorts them */
    printf("p50_us=%.2f p99_us=%.2f ", (double)run->samples_ns[run->sample_count / 2] / 1e3, p99_ns / 1e3);
  }
  printf("rate=%.0f", (double)run->measured / run->seconds);
  print_usage_of("client", RUSAGE_SELF, (double)run->all);
  print_usage_of("server", RUSAGE_CHILDREN, (double)run->all);
  putchar('\n');
}

int bench_main(int argc, char **argv, const bench_program *program) {
  static const struct option known[] = {
      {"in-flight", required_argument, NULL, 'n'},
      {"seconds", required_argument, NULL, 's'},
      {"serve", required_argument, NULL, 'S'},
      {0},
  };
  bench_options options = {.in_flight = 1, .seconds = 1};
  bool serve = false;
  for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    if (option == 'n') options.in_flight = atoi(optarg);
    if (option == 's') options.seconds = atof(optarg);
    if (option == 'S') {
      serve = true;
      options.address = optarg;
    }
    if (option == '?') return 2;
  }
  if (options.in_flight < 1 || options.seconds <= 0) bench_fail("--in-flight and --seconds must be above 0");
  if (serve) {
    program->serve(&options);
    return 0;
  }
  char dir[] = "/tmp/tether-bench-XXXXXX", address[64];
  if (!mkdtemp(dir)) bench_fail("mkdtemp: %s", strerror(errno));
  snprintf(address, sizeof address, "%s/s", dir);
  options.address = address;
  bench_run run = {.options = &options, .mu = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
  struct server server = server_start(argv, &options);
  program->measure(&options, &run);
  server_stop(server);
  print_results(&run);
  free(run.samples_ns);
  unlink(address);
  rmdir(dir);
  return 0;
}
