/* What hostile peers do to others: clients that keep --in-flight calls going over CLIENTS connections, in turn alone
 * with the server, while another process drips bytes, sends garbage, reads no answers, and floods the server with PINGs
 * and with calls beyond its limit, connecting anew whenever it is cut off, and while it does the same to a second
 * server
 * (--hops 2) that has nothing else to do. Prints the medians of the clients' p99: alone_p99_us, attacked_p99_us,
 * beside_p99_us. The last is what the processors' time for such peers, theirs and a server's, does by itself. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/ours.h"

#define CLIENTS 4
#define SLICES 7 /* of the time, in turn without and with the attacks: the machine's moods are the same for all */
#define SAMPLES 4000000
#define DRIPPING 30
#define SILENT 30
#define FLOODING 2
#define FRAMES 64 /* in a batch of a flood */

/* ---- The server ---------------------------------------------------------------------------- */

static tether_code echo(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  (void)ctx;
  (void)call;
  (void)data;
  reply->data = request->data;
  return TETHER_OK;
}

static void serve(const bench_options *options) {
  static const bench_v1_echo_service service = {.unary = echo, .pooled = echo};
  tether_server *server;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, STDERR_FILENO) < 0) bench_fail("no /dev/null"); /* a line for each that is cut off */
  if (tether_server_open(NULL, &server) != TETHER_OK || bench_v1_echo_register(server, &service, NULL) != TETHER_OK)
    bench_fail("no server");
  ours_serve(options, server, NULL);
}

/* ---- Hostile peers, in a process of their own ------------------------------------------------ */

static struct sockaddr_un server_address;

static int dial(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&server_address, sizeof server_address) == 0) return fd;
  close(fd);
  return -1;
}

static bool push(int fd, const void *bytes, size_t len) {
  return fd >= 0 && send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static size_t put_frame(uint8_t *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, uint8_t len) {
  const uint8_t head[12] = {0,
                            0,
                            0,
                            len,
                            type,
                            flags,
                            0,
                            0,
                            (uint8_t)(stream >> 24),
                            (uint8_t)(stream >> 16),
                            (uint8_t)(stream >> 8),
                            (uint8_t)stream};
  memcpy(to, head, sizeof head);
  memcpy(to + sizeof head, payload, len);
  return sizeof head + len;
}

/* The head of a batch of `len` bytes. */
static void put_head(uint8_t *to, size_t len) {
  const uint8_t head[9] = {1, 0, 0, 0, 0, 0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
  memcpy(to, head, sizeof head);
}

enum { HELLO = 1, HEADERS = 2, MESSAGE = 3, PING = 7, END = 1 };

/* A connection that has said HELLO; -1: none. */
static int greeted(void) {
  uint8_t bytes[64] = {0, 'S', 'P', 0, 0, 16, 0, 0};
  size_t len = put_frame(bytes + 17, HELLO, 0, 0, "\x08\x01", 2);
  put_head(bytes + 8, len);
  int fd = dial();
  if (fd >= 0 && !push(fd, bytes, 17 + len)) {
    close(fd);
    fd = -1;
  }
  return fd;
}

/* Calls, with their requests if `whole`. */
static bool push_calls(int fd, uint32_t *stream, int count, bool whole) {
  static uint8_t bytes[FRAMES * 128];
  static const char path[] = "\x1a\x14/bench.v1.Echo/Unary";
  size_t len = 9;
  for (int i = 0; i < count; i++) {
    len += put_frame(bytes + len, HEADERS, 0, ++*stream, path, 22);
    if (whole) len += put_frame(bytes + len, MESSAGE, END, *stream, "", 0);
  }
  put_head(bytes, len - 9);
  return push(fd, bytes, len);
}

static bool push_pings(int fd) {
  static uint8_t bytes[FRAMES * 64];
  size_t len = 9;
  for (int i = 0; i < FRAMES; i++) len += put_frame(bytes + len, PING, 0, 0, "12345678901234567890123456789012", 32);
  put_head(bytes, len - 9);
  return push(fd, bytes, len);
}

static void throw_garbage(unsigned round) {
  uint8_t bytes[256];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * round * 37 + round);
  int fd = round % 2 ? greeted() : dial();
  (void)push(fd, bytes, sizeof bytes);
  if (fd >= 0) close(fd);
}

/* One more batch of each flood; reads nothing that has not come. */
static void flood(int *fds, uint32_t *streams) {
  static uint8_t heard[65536];
  for (int i = 0; i < FLOODING; i++) {
    if (fds[i] < 0) {
      fds[i] = greeted();
      streams[i] = 0;
    }
    bool took = i == 0 ? push_pings(fds[i]) : push_calls(fds[i], &streams[i], FRAMES, false);
    ssize_t n = fds[i] >= 0 ? recv(fds[i], heard, sizeof heard, MSG_DONTWAIT) : 0;
    (void)took; /* what it does not take now it takes later */
    if (n != 0) continue;
    if (fds[i] >= 0) close(fds[i]);
    fds[i] = -1;
  }
}

static _Noreturn void attack(const char *address) {
  int dripping[DRIPPING], silent[SILENT], flooding[FLOODING] = {-1, -1};
  uint32_t streams[FLOODING] = {0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  server_address.sun_family = AF_UNIX;
  strncpy(server_address.sun_path, address, sizeof server_address.sun_path - 1);
  for (int i = 0; i < DRIPPING; i++) dripping[i] = i % 2 ? greeted() : dial();
  for (int i = 0; i < DRIPPING; i += 1) (void)push(dripping[i], i % 2 ? "\1\0\0\0\0\0\4\0\0" : "\0SP", i % 2 ? 9 : 3);
  for (int i = 0; i < SILENT; i++) {
    uint32_t stream = 0;
    silent[i] = greeted();
    (void)push_calls(silent[i], &stream, FRAMES, true);
  }
  for (unsigned round = 0;; round++) {
    if (round % 20 == 0) (void)push(dripping[round / 20 % DRIPPING], "", 1);
    if (round % 10 == 0) throw_garbage(round / 10);
    flood(flooding, streams);
    bench_sleep(0.0005);
  }
}

/* A process that attacks the server at `address` when it is let go, and until it is stopped. */
typedef struct attacker {
  pid_t pid;
  int go[2];
  bool begun;
} attacker;

static attacker attacker_new(const char *address) {
  attacker made = {0};
  char byte;
  if (pipe2(made.go, O_CLOEXEC) != 0) bench_fail("no pipe");
  made.pid = fork();
  if (made.pid < 0) bench_fail("no process");
  if (made.pid > 0) return made;
  close(made.go[1]);
  if (read(made.go[0], &byte, 1) != 1) _exit(0);
  attack(address);
}

static void attacker_go(attacker *a) {
  if (a->begun ? kill(a->pid, SIGCONT) != 0 : write(a->go[1], "", 1) != 1) bench_fail("no attack");
  a->begun = true;
}

static void attacker_stop(const attacker *a) { kill(a->pid, SIGSTOP); } /* its connections stay */

static void attacker_free(attacker *a) {
  int status;
  if (waitpid(a->pid, &status, WNOHANG) != 0) bench_fail("the attack ended");
  kill(a->pid, SIGKILL);
  (void)waitpid(a->pid, &status, 0);
}

/* ---- The others ------------------------------------------------------------------------------ */

/* One call after the other. */
struct chain {
  tether_client *client;
  const bench_options *options;
  int64_t begun_ns;
};

static int64_t samples[SAMPLES];
static _Atomic size_t sample_count;
static atomic_bool stop;
static atomic_int under_way;

static void start(struct chain *chain);

static void on_done(tether_call *call, void *data) {
  struct chain *chain = data;
  size_t at = atomic_fetch_add(&sample_count, 1);
  if (at < SAMPLES) samples[at] = bench_now_ns() - chain->begun_ns;
  ours_check(call, chain->options);
  if (atomic_load(&stop))
    atomic_fetch_sub(&under_way, 1);
  else
    start(chain);
}

static void start(struct chain *chain) {
  const tether_call_options call_options = ours_call_options();
  const Bench__V1__Payload request = ours_payload(chain->options);
  chain->begun_ns = bench_now_ns();
  tether_call_unref(bench_v1_echo_client_pooled_start(chain->client, tether_ctx_background(), &request, &call_options,
                                                      on_done, chain));
}

/* In `seconds`, after a moment. */
static int64_t measure_p99(double seconds) {
  bench_sleep(0.05);
  atomic_store(&sample_count, 0);
  bench_sleep(seconds);
  size_t count = atomic_load(&sample_count);
  static int64_t sorted[SAMPLES];
  if (count > SAMPLES) count = SAMPLES;
  memcpy(sorted, samples, count * sizeof *samples);
  return (int64_t)bench_p99(sorted, count);
}

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static double median(int64_t *of_slices) {
  qsort(of_slices, SLICES, sizeof *of_slices, by_size);
  return (double)of_slices[SLICES / 2];
}

static void measure(const bench_options *options, bench_run *run) {
  if (!options->next) bench_fail("needs --hops 2");
  attacker attackers[] = {attacker_new(options->address), attacker_new(options->next)}; /* before there are threads */
  tether_client *clients[CLIENTS];
  struct chain *chains = calloc((size_t)options->in_flight, sizeof *chains);
  if (!chains) bench_fail("out of memory");
  for (int i = 0; i < CLIENTS; i++) clients[i] = ours_client(options, options->address);
  for (int i = 0; i < options->in_flight; i++) {
    chains[i] = (struct chain){.client = clients[i % CLIENTS], .options = options};
    atomic_fetch_add(&under_way, 1);
    start(&chains[i]);
  }
  bench_sleep(0.3);
  int64_t alone[SLICES], attacked[2][SLICES];
  for (int i = 0; i < SLICES; i++) {
    alone[i] = measure_p99(options->seconds / SLICES);
    for (int j = 0; j < 2; j++) {
      attacker_go(&attackers[j]);
      attacked[j][i] = measure_p99(options->seconds / SLICES);
      attacker_stop(&attackers[j]);
    }
  }
  atomic_store(&stop, true);
  for (int j = 0; j < 2; j++) attacker_free(&attackers[j]);
  while (atomic_load(&under_way) > 0) bench_sleep(0.001);
  bench_print(run, "alone_p99_us", median(alone) / 1e3);
  bench_print(run, "attacked_p99_us", median(attacked[0]) / 1e3);
  bench_print(run, "beside_p99_us", median(attacked[1]) / 1e3);
  for (int i = 0; i < CLIENTS; i++) tether_client_close(clients[i]);
  free(chains);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
