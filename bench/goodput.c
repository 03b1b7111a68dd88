/* How many answers come in time when there are more calls than can be served. Three servers, the hops: one that takes
 * on every call, one with a plain limit of calls at once, one that looks at deadlines. Each has WORKERS workers, and a
 * handler holds one for 5 to 15 ms without using a processor, as work in a database does.
 *
 * First the capacity is measured: calls per second with as many in flight as there are workers. Then calls come in at
 * random (a Poisson process), whatever becomes of those before, twice and five times as many as the capacity, each with
 * a deadline of ten handlers' times. Prints capacity_rate and, for none, limit and deadline, how many a second were
 * answered in time: none2_rate at twice the capacity, and so on. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/ours.h"

#define WORKERS 16
#define LEAST_NS (5 * TETHER_MS)
#define MORE_NS (10 * TETHER_MS)
#define TIMEOUT_NS (100 * TETHER_MS)
#define WARM_SECONDS 0.5

static double random_unit(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return ((double)(*state >> 11) + 0.5) / (double)(UINT64_C(1) << 53);
}

/* ---- Servers ------------------------------------------------------------------------------- */

enum { NONE, LIMIT, DEADLINE, SERVERS };
static const char *const names[] = {"none", "limit", "deadline"};

static tether_code work(const tether_ctx *ctx, tether_call *call, const Bench__V1__Payload *request,
                        Bench__V1__Payload *reply, void *data) {
  static _Thread_local uint64_t random;
  (void)call;
  (void)data;
  if (random == 0) random = (uintptr_t)&random;
  reply->data = request->data;
  return tether_ctx_sleep(ctx, LEAST_NS + (int64_t)(random_unit(&random) * (double)MORE_NS));
}

static void serve(const bench_options *options) {
  static const bench_v1_echo_service service = {.pooled = work};
  tether_server *server;
  tether_server_options server_options = {.max_workers = WORKERS};
  if (options->hop == LIMIT) server_options.max_calls = 2 * WORKERS;
  if (options->hop == DEADLINE) server_options.deadline_admission = true;
  if (tether_server_open(&server_options, &server) != TETHER_OK ||
      bench_v1_echo_register(server, &service, NULL) != TETHER_OK)
    bench_fail("no server");
  ours_serve(options, server, NULL);
}

/* ---- Client -------------------------------------------------------------------------------- */

static atomic_llong in_time, under_way;

static void on_done(tether_call *call, void *data) {
  (void)data;
  if (tether_call_code(call) == TETHER_OK) atomic_fetch_add(&in_time, 1);
  atomic_fetch_sub(&under_way, 1);
}

static void start(const bench_options *options, tether_client *client, tether_call_done_fn done, int64_t timeout_ns) {
  tether_call_options call_options = ours_call_options();
  call_options.timeout_ns = timeout_ns;
  const Bench__V1__Payload request = ours_payload(options);
  atomic_fetch_add(&under_way, 1);
  tether_call_unref(
      bench_v1_echo_client_pooled_start(client, tether_ctx_background(), &request, &call_options, done, client));
}

static void wait_for_all(void) {
  while (atomic_load(&under_way) > 0) bench_sleep(0.001);
}

/* One chain of calls of those that measure the capacity. */
static const bench_options *the_options;
static atomic_bool stop;

static void on_next(tether_call *call, void *data) {
  on_done(call, data);
  if (!atomic_load(&stop)) start(the_options, data, on_next, 10 * TETHER_SEC);
}

static double measure_capacity(const bench_options *options, tether_client *client) {
  the_options = options;
  for (int i = 0; i < WORKERS; i++) start(options, client, on_next, 10 * TETHER_SEC);
  bench_sleep(WARM_SECONDS);
  int64_t begin_ns = bench_now_ns(), begin = atomic_load(&in_time);
  bench_sleep(options->seconds);
  double rate = (double)(atomic_load(&in_time) - begin) * 1e9 / (double)(bench_now_ns() - begin_ns);
  atomic_store(&stop, true);
  wait_for_all();
  return rate;
}

/* Calls at this rate; returns how many a second were answered in time. Calls that the scheduler made late begin at
 * once. */
static double measure_goodput(const bench_options *options, tether_client *client, double rate) {
  uint64_t random = 1;
  int64_t now_ns = bench_now_ns(), next_ns = now_ns, warm_ns = now_ns + (int64_t)(WARM_SECONDS * 1e9);
  int64_t end_ns = warm_ns + (int64_t)(options->seconds * 1e9), begin_ns = 0, begin = 0;
  while (now_ns < end_ns) {
    if (begin_ns == 0 && now_ns >= warm_ns) {
      begin_ns = now_ns;
      begin = atomic_load(&in_time);
    }
    for (; next_ns <= now_ns; next_ns += (int64_t)(-log(random_unit(&random)) / rate * 1e9))
      start(options, client, on_done, TIMEOUT_NS);
    const struct timespec until = {.tv_sec = next_ns / 1000000000, .tv_nsec = next_ns % 1000000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    now_ns = bench_now_ns();
  }
  double goodput = (double)(atomic_load(&in_time) - begin) * 1e9 / (double)(now_ns - begin_ns);
  wait_for_all();
  return goodput;
}

static void measure(const bench_options *options, bench_run *run) {
  tether_client *clients[SERVERS];
  for (int hop = 0; hop < SERVERS; hop++) {
    char address[64];
    snprintf(address, sizeof address, "%.*s%d", (int)strlen(options->address) - 1, options->address, hop);
    clients[hop] = ours_client(options, address);
  }
  double capacity = measure_capacity(options, clients[NONE]);
  bench_print(run, "capacity_rate", capacity);
  for (int times = 2; times <= 5; times += 3) {
    for (int hop = 0; hop < SERVERS; hop++) {
      char name[32];
      snprintf(name, sizeof name, "%s%d_rate", names[hop], times);
      bench_print(run, name, measure_goodput(options, clients[hop], capacity * times));
    }
  }
  for (int hop = 0; hop < SERVERS; hop++) tether_client_close(clients[hop]);
}

int main(int argc, char **argv) { return bench_main(argc, argv, &(bench_program){.serve = serve, .measure = measure}); }
