/* Happy path: the parent makes a directory for the sockets, forks and executes itself as the servers, the last of the
 * chain first, waits for the byte of each that says it listens, measures, closes the servers' standard input, and waits
 * for them to end.
 * Failures: any of it, in any process, ends the program with a message and status 1; a server whose parent has died
 * is killed. */
#include "bench/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.h"
#include "bench/relay.h"

#define HOPS_MAX 8
#define ADDRESS_SIZE 64
#define SHARED_FD "BENCH_SHARED_FD"

struct server {
  pid_t pid, relay_pid;
  int stdin_fd;
  char address[ADDRESS_SIZE]; /* its own */
  char relay[ADDRESS_SIZE];   /* where others reach it */
};

/* What is in the file system, and the process that made it and removes it, however it ends. */
static struct {
  pid_t owner;
  struct server servers[HOPS_MAX];
  char dir[32];
} made;

/* What the processes of a run share. */
static struct shared {
  int64_t counters[BENCH_COUNTERS];
  uint16_t port; /* of the server that started last */
} * shared;

void bench_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s: ", program_invocation_short_name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

/* ---- Shared memory ------------------------------------------------------------------------- */

/* The first process makes it, the others inherit it. */
static void share(void) {
  const char *inherited = getenv(SHARED_FD);
  int fd = inherited ? (int)strtol(inherited, NULL, 10) : memfd_create("bench", 0);
  if (fd < 0 || (!inherited && ftruncate(fd, sizeof *shared) != 0)) bench_fail("no shared memory");
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) bench_fail("no shared memory");
  char text[16];
  snprintf(text, sizeof text, "%d", fd);
  setenv(SHARED_FD, text, 1);
}

int64_t bench_count(bench_counter counter) { return __atomic_load_n(&shared->counters[counter], __ATOMIC_SEQ_CST); }

void bench_count_add(bench_counter counter, int64_t by) {
  __atomic_fetch_add(&shared->counters[counter], by, __ATOMIC_SEQ_CST);
}

void bench_count_set(bench_counter counter, int64_t value) {
  __atomic_store_n(&shared->counters[counter], value, __ATOMIC_SEQ_CST);
}

void bench_count_max(bench_counter counter, int64_t value) {
  int64_t seen = bench_count(counter);
  while (seen < value && !__atomic_compare_exchange_n(&shared->counters[counter], &seen, value, false, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST)) {
  }
}

void bench_count_wait(bench_counter counter, int64_t value) {
  int64_t end_ns = bench_now_ns() + INT64_C(30000000000);
  while (bench_count(counter) < value) {
    if (bench_now_ns() > end_ns) bench_fail("%lld of %lld", (long long)bench_count(counter), (long long)value);
    bench_sleep(0.0005);
  }
}

/* ---- TLS ----------------------------------------------------------------------------------- */

#define TLS_DIR "BENCH_TLS_DIR"

const char *bench_tls_file(const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s", getenv(TLS_DIR), name) < 0) bench_fail("out of memory");
  return path; /* for as long as the process lives */
}

static void make_certificate(const char *dir) {
  char command[512];
  setenv(TLS_DIR, dir, 1);
  snprintf(command, sizeof command,
           "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=bench "
           "-addext subjectAltName=IP:127.0.0.1 -keyout %s/key -out %s/cert 2>/dev/null",
           dir, dir);
  if (system(command) != 0) bench_fail("no certificate: is openssl installed?");
}

/* ---- The servers' processes ---------------------------------------------------------------- */

void bench_serve_until_told(uint16_t port) {
  char byte = 1;
  shared->port = port;
  if (write(STDOUT_FILENO, &byte, 1) != 1) bench_fail("the parent has gone");
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

/* In the child: becomes the server. */
static void server_exec(char **argv, const struct server *server, int hop, const char *next) {
  char *args[64], number[16];
  int count = 0;
  while (argv[count] && count < 50) {
    args[count] = argv[count];
    count++;
  }
  snprintf(number, sizeof number, "%d", hop);
  char *const own[] = {"--serve", (char *)server->address, "--hop", number, next ? "--next" : NULL, (char *)next, NULL};
  memcpy(args + count, own, sizeof own);
  execv("/proc/self/exe", args);
  bench_fail("exec: %s", strerror(errno));
}

static void server_start(struct server *server, char **argv, int hop, const char *next) {
  int to[2], from[2];
  char byte;
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) bench_fail("pipe: %s", strerror(errno));
  server->stdin_fd = to[1];
  server->pid = fork();
  if (server->pid < 0) bench_fail("fork: %s", strerror(errno));
  if (server->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    server_exec(argv, server, hop, next);
  }
  close(to[0]);
  close(from[1]);
  if (read(from[0], &byte, 1) != 1) bench_fail("the server did not start");
  close(from[0]);
}

static void servers_start(struct server *servers, char **argv, const bench_options *options, const char *dir) {
  const char *next = NULL;
  for (int hop = options->hops - 1; hop >= 0; hop--) {
    struct server *server = &servers[hop];
    if (options->tcp || options->tls)
      snprintf(server->address, ADDRESS_SIZE, "127.0.0.1:0");
    else
      snprintf(server->address, ADDRESS_SIZE, "%s/%d", dir, hop);
    server_start(server, argv, hop, next);
    if (shared->port) snprintf(server->address, ADDRESS_SIZE, "127.0.0.1:%u", shared->port);
    snprintf(server->relay, ADDRESS_SIZE, "%s", server->address);
    if (options->delay_ms > 0) {
      snprintf(server->relay, ADDRESS_SIZE, "%s/relay%d", dir, hop);
      server->relay_pid = bench_relay_start(server->relay, server->address, options->delay_ms);
    }
    next = server->relay;
  }
}

static void servers_stop(struct server *servers, int hops) {
  for (int hop = 0; hop < hops; hop++) {
    int status;
    close(servers[hop].stdin_fd);
    if (waitpid(servers[hop].pid, &status, 0) != servers[hop].pid || status != 0) bench_fail("a server failed");
    if (servers[hop].relay_pid > 0) bench_relay_stop(servers[hop].relay_pid);
  }
}

static void clean_up(void) {
  if (getpid() != made.owner) return;
  for (int hop = 0; hop < HOPS_MAX; hop++) {
    unlink(made.servers[hop].address);
    unlink(made.servers[hop].relay);
  }
  if (getenv(TLS_DIR)) {
    unlink(bench_tls_file("key"));
    unlink(bench_tls_file("cert"));
  }
  rmdir(made.dir);
}

/* ---- Memory -------------------------------------------------------------------------------- */

static int64_t bytes_of(const char *path) {
  char line[256];
  long long kib = -1;
  FILE *file = fopen(path, "re");
  while (file && kib < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, "RssAnon:", 8) == 0) kib = strtoll(line + 8, NULL, 10);
  if (kib < 0) bench_fail("no RssAnon in %s", path);
  fclose(file);
  return kib * 1024;
}

static void look(const bench_run *run, int64_t *client, int64_t *server) {
  char path[64];
  bench_sleep(0.2);
  snprintf(path, sizeof path, "/proc/%d/status", (int)run->server_pid);
  *client = bytes_of("/proc/self/status");
  *server = bytes_of(path);
}

void bench_memory_before(bench_run *run) { look(run, &run->client_bytes, &run->server_bytes); }

void bench_memory_after(bench_run *run, int things) {
  int64_t client, server;
  look(run, &client, &server);
  bench_print(run, "client_bytes", (double)(client - run->client_bytes) / things);
  bench_print(run, "server_bytes", (double)(server - run->server_bytes) / things);
}

/* ---- Results ------------------------------------------------------------------------------- */

void bench_print(bench_run *run, const char *name, double value) {
  printf("%s=%.2f ", name, value);
  run->printed = true;
}

static void print_usage_of(const char *who, int whose, double calls) {
  struct rusage usage;
  getrusage(whose, &usage);
  double us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
              (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  printf("%s_cpu_us=%.2f %s_switches=%.2f ", who, us / calls, who, (double)usage.ru_nvcsw / calls);
}

static void print_results(bench_run *run) {
  if (run->sample_count > 0) {
    double p99_ns = bench_p99(run->samples_ns, run->sample_count); /* sorts them */
    bench_print(run, "p50_us", (double)run->samples_ns[run->sample_count / 2] / 1e3);
    bench_print(run, "p99_us", p99_ns / 1e3);
  }
  if (run->measured > 0) {
    bench_print(run, "rate", (double)run->measured / run->seconds);
    print_usage_of("client", RUSAGE_SELF, (double)run->all);
    print_usage_of("server", RUSAGE_CHILDREN, (double)run->all);
  }
  if (!run->printed) bench_fail("no call ended in time");
  putchar('\n');
}

/* ---- main ---------------------------------------------------------------------------------- */

enum kind { FLAG, NUMBER, SECONDS, TEXT };

static const struct known {
  const char *name;
  enum kind kind;
  size_t offset;
} known[] = {
    {"--in-flight", NUMBER, offsetof(bench_options, in_flight)},
    {"--seconds", SECONDS, offsetof(bench_options, seconds)},
    {"--bytes", NUMBER, offsetof(bench_options, bytes)},
    {"--tcp", FLAG, offsetof(bench_options, tcp)},
    {"--tls", FLAG, offsetof(bench_options, tls)},
    {"--threads", FLAG, offsetof(bench_options, threads)},
    {"--pooled", FLAG, offsetof(bench_options, pooled)},
    {"--explain", FLAG, offsetof(bench_options, explain)},
    {"--trace", FLAG, offsetof(bench_options, trace)},
    {"--metrics", FLAG, offsetof(bench_options, metrics)},
    {"--spans", FLAG, offsetof(bench_options, spans)},
    {"--logs", FLAG, offsetof(bench_options, logs)},
    {"--connections", NUMBER, offsetof(bench_options, connections)},
    {"--cpus", NUMBER, offsetof(bench_options, cpus)},
    {"--hops", NUMBER, offsetof(bench_options, hops)},
    {"--delay-ms", NUMBER, offsetof(bench_options, delay_ms)},
    {"--queued-mib", NUMBER, offsetof(bench_options, queued_mib)},
    {"--serve", TEXT, offsetof(bench_options, address)}, /* what follows is for servers */
    {"--hop", NUMBER, offsetof(bench_options, hop)},
    {"--next", TEXT, offsetof(bench_options, next)},
};

static bool set(bench_options *options, const struct known *option, char *value) {
  void *field = (char *)options + option->offset;
  char *end = "";
  if (option->kind == FLAG) *(bool *)field = true;
  if (option->kind == NUMBER) *(int *)field = (int)strtol(value, &end, 10);
  if (option->kind == SECONDS) *(double *)field = strtod(value, &end);
  if (option->kind == TEXT) *(const char **)field = value;
  return *end == '\0';
}

static bool parse(char **argv, bench_options *options) {
  *options = (bench_options){.in_flight = 1, .seconds = 1, .bytes = BENCH_PAYLOAD_BYTES, .hops = 1};
  for (int i = 1; argv[i]; i++) {
    const struct known *option = known, *end = known + sizeof known / sizeof *known;
    while (option < end && strcmp(option->name, argv[i]) != 0) option++;
    if (option == end || (option->kind != FLAG && !argv[++i]) || !set(options, option, argv[i])) return false;
  }
  return options->in_flight > 0 && options->seconds > 0 && options->bytes > 0 && options->hops > 0 &&
         options->hops <= HOPS_MAX && !(options->tcp && options->delay_ms > 0);
}

/* This process, and so its servers too, on the first so many of its processors. */
static void keep_to(int cpus) {
  cpu_set_t has, uses;
  CPU_ZERO(&uses);
  if (sched_getaffinity(0, sizeof has, &has) != 0) bench_fail("sched_getaffinity: %s", strerror(errno));
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&uses) < cpus; cpu++)
    if (CPU_ISSET(cpu, &has)) CPU_SET(cpu, &uses);
  if (CPU_COUNT(&uses) < cpus) bench_fail("%d processors of %d", CPU_COUNT(&uses), cpus);
  if (sched_setaffinity(0, sizeof uses, &uses) != 0) bench_fail("sched_setaffinity: %s", strerror(errno));
}

int bench_main(int argc, char **argv, const bench_program *program) {
  bench_options options;
  (void)argc;
  if (!parse(argv, &options)) {
    fprintf(stderr, "%s: wrong options; see bench/harness.h\n", program_invocation_short_name);
    return 2;
  }
  if (options.cpus > 0) keep_to(options.cpus);
  share();
  if (options.address) {
    program->serve(&options);
    return 0;
  }
  struct server *servers = made.servers;
  snprintf(made.dir, sizeof made.dir, "/tmp/tether-bench-XXXXXX");
  if (!mkdtemp(made.dir)) bench_fail("mkdtemp: %s", strerror(errno));
  made.owner = getpid();
  if (options.tls) make_certificate(made.dir);
  if (atexit(clean_up) != 0) bench_fail("atexit");
  servers_start(servers, argv, &options, made.dir);
  options.address = servers[0].relay;
  options.next = options.hops > 1 ? servers[1].relay : NULL;
  bench_run *run = bench_run_new(&options, servers[0].pid);
  program->measure(&options, run);
  servers_stop(servers, options.hops);
  print_results(run);
  bench_run_free(run);
  return 0;
}
