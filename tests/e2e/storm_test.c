/* A tree of real processes under load, three tiers of two, of which one at random is killed every 200 ms and started
 * again. No call outlasts its deadline, no handler goes on for a caller that is dead, and nothing grows: neither here
 * nor there, in descriptors, threads or memory. 15 s long; TETHER_STORM_SECONDS=60 tests/run -R e2e_storm_test -V is a
 * minute of it. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/chain_node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/stream_node.h"
#include "tests/support/wait.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MEMORY_MORE SIZE_MAX /* freed memory is kept */
#else
#define MEMORY_MORE ((size_t)8 * 1024 * 1024)
#endif

#define KILL_EVERY_NS (200 * TETHER_MS)
#define CALM_NS (2 * TETHER_SEC)

/* A deadline that no call here lives to see. */
#define PATIENCE_NS (3600 * TETHER_SEC)

/* What a call may end after its deadline on a busy machine. */
#define LATE_MOST_NS (5 * TETHER_SEC)

enum { TIERS = 3, WIDTH = 2, NODES = TIERS * WIDTH, CALLERS = 8 };

/* Callers with even numbers make short calls; the others wait at a leaf until somebody on the way is killed. */
struct caller {
  struct storm *storm;
  int number;
  uint64_t random;
  pthread_t thread;
  uint64_t codes[TETHER_CODES];
  int64_t latest_ns; /* after its deadline */
};

struct storm {
  char dir[64];
  struct chain_node nodes[NODES];
  struct caller callers[CALLERS];
  tether_ctx *patient; /* what the patient calls run under */
  atomic_bool stop;
  uint64_t random;
};

static uint32_t draw(uint64_t *random, uint32_t below) {
  *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*random >> 33) % below;
}

static int setup(void **state) {
  static struct storm storm;
  struct storm *s = &storm;
  const char *seed = getenv("TETHER_SEED");
  s->random = seed ? strtoull(seed, NULL, 0) : 1;
  snprintf(s->dir, sizeof s->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(s->dir)) return -1;
  for (int i = 0; i < NODES; i++) {
    char name[32];
    snprintf(name, sizeof name, "tier-%d-%d", i / WIDTH, i % WIDTH);
    if (!chain_node_open(&s->nodes[i], s->dir, name, 0)) return -1;
  }
  *state = s;
  return 0;
}

static int teardown(void **state) {
  struct storm *s = *state;
  char command[128];
  for (int i = 0; i < NODES; i++) chain_node_close(&s->nodes[i]);
  snprintf(command, sizeof command, "rm -rf %s", s->dir);
  return system(command);
}

/* ---- Load ---------------------------------------------------------------------------------- */

static void call_once(struct caller *caller, const tether_ctx *parent, int64_t timeout_ns, int64_t work_ns) {
  Testing__V1__Step steps[TIERS];
  char urls[TIERS][160];
  for (int i = 0; i < TIERS; i++) {
    testing__v1__step__init(&steps[i]);
    snprintf(urls[i], sizeof urls[i], "%s" CHAIN_WIDE,
             caller->storm->nodes[i * WIDTH + (int)draw(&caller->random, WIDTH)].url);
    steps[i].url = urls[i];
    steps[i].then = i + 1 < TIERS ? &steps[i + 1] : NULL;
  }
  steps[TIERS - 1].work_ns = work_ns;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(parent, timeout_ns);
  TETHER_SCOPED_CALL tether_call *call = chain_pass(ctx, &steps[0], draw(&caller->random, 4) == 0);
  int64_t late_ns = tether_now_ns() - tether_ctx_deadline_ns(ctx);
  if (late_ns > caller->latest_ns) caller->latest_ns = late_ns;
  caller->codes[tether_call_code(call)]++;
}

static void *make_calls(void *data) {
  struct caller *caller = data;
  bool patient = caller->number % 2;
  while (!atomic_load(&caller->storm->stop)) {
    if (patient) {
      call_once(caller, caller->storm->patient, PATIENCE_NS, -1);
    } else {
      int64_t work_ns = draw(&caller->random, 3) ? draw(&caller->random, 10000) * TETHER_US : -1;
      call_once(caller, tether_ctx_background(), (1 + draw(&caller->random, 300)) * TETHER_MS, work_ns);
    }
  }
  return NULL;
}

static bool is_quiet(void *data) {
  struct storm *s = data;
  for (int i = 0; i < NODES; i++)
    if (atomic_load(&s->nodes[i].shared->inside) > 0) return false;
  return true;
}

/* Calls for so long, killing if asked to. Afterwards all calls have ended and no handler runs. Returns the kills. */
static int load(struct storm *s, int64_t for_ns, bool kills) {
  int killed = 0;
  s->patient = tether_ctx_with_cancel(tether_ctx_background());
  atomic_store(&s->stop, false);
  for (int i = 0; i < CALLERS; i++) {
    struct caller *caller = &s->callers[i];
    *caller = (struct caller){.storm = s, .number = i, .random = s->random + (uint64_t)i, .latest_ns = INT64_MIN};
    assert_int_equal(pthread_create(&caller->thread, NULL, make_calls, caller), 0);
  }
  int64_t end_ns = tether_now_ns() + for_ns;
  for (int64_t next_ns = tether_now_ns(); tether_now_ns() < end_ns; next_ns += KILL_EVERY_NS) {
    int64_t nap_ns = next_ns + KILL_EVERY_NS - tether_now_ns();
    if (nap_ns > 0) (void)tether_ctx_wait(tether_ctx_background(), nap_ns);
    struct chain_node *victim = &s->nodes[draw(&s->random, NODES)];
    if (!kills) continue;
    chain_node_kill(victim);
    assert_true(chain_node_start(victim));
    killed++;
  }
  atomic_store(&s->stop, true);
  tether_ctx_cancel(s->patient);
  for (int i = 0; i < CALLERS; i++) pthread_join(s->callers[i].thread, NULL);
  tether_ctx_free(s->patient);
  assert_true(tst_wait_until(is_quiet, s, TST_BOUND_NS)); /* the deadlines of most are an hour away */
  return killed;
}

/* ---- What there is ------------------------------------------------------------------------- */

struct usage {
  int fds, threads;
  size_t memory;
};

static int count_entries(pid_t pid, const char *what) {
  char path[64];
  int count = 0;
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
  DIR *dir = opendir(path);
  while (dir && readdir(dir)) count++;
  if (dir) closedir(dir);
  return count;
}

static struct usage usage_of(pid_t pid) {
  return (struct usage){
      .fds = count_entries(pid, "fd"), .threads = count_entries(pid, "task"), .memory = stream_node_memory(pid)};
}

/* What every node may have, and this process. */
struct bounds {
  struct storm *storm;
  struct usage node, self;
};

static bool is_within(const struct usage *now, const struct usage *bound) {
  bool memory = MEMORY_MORE == SIZE_MAX || now->memory <= bound->memory + MEMORY_MORE;
  return now->fds <= bound->fds + 6 && now->threads <= bound->threads + 8 && memory;
}

static bool nothing_has_grown(void *data) {
  const struct bounds *b = data;
  struct usage now = usage_of(getpid());
  bool within = is_within(&now, &b->self);
  for (int i = 0; i < NODES && within; i++) {
    now = usage_of(b->storm->nodes[i].pid);
    within = is_within(&now, &b->node);
  }
  return within;
}

static struct bounds measure(struct storm *s) {
  struct bounds b = {.storm = s, .self = usage_of(getpid())};
  for (int i = 0; i < NODES; i++) {
    struct usage one = usage_of(s->nodes[i].pid);
    if (one.fds > b.node.fds) b.node.fds = one.fds;
    if (one.threads > b.node.threads) b.node.threads = one.threads;
    if (one.memory > b.node.memory) b.node.memory = one.memory;
  }
  return b;
}

static void print_usage(const char *who, const struct usage *before, const struct usage *after) {
  print_message("%s: %d -> %d descriptors, %d -> %d threads, %zu -> %zu KiB\n", who, before->fds, after->fds,
                before->threads, after->threads, before->memory / 1024, after->memory / 1024);
}

/* ---- The storm ----------------------------------------------------------------------------- */

static void processes_that_are_killed_leave_neither_calls_nor_handlers_nor_anything_behind(void **state) {
  struct storm *s = *state;
  const char *seconds = getenv("TETHER_STORM_SECONDS");
  load(s, CALM_NS, false);
  struct bounds before = measure(s);
  int killed = load(s, (seconds ? atoi(seconds) : 15) * TETHER_SEC, true);
  uint64_t codes[TETHER_CODES] = {0}, patient_lost = 0;
  int64_t latest_ns = INT64_MIN;
  for (int i = 0; i < CALLERS; i++) {
    const struct caller *caller = &s->callers[i];
    for (int j = 0; j < TETHER_CODES; j++) codes[j] += caller->codes[j];
    if (i % 2) patient_lost += caller->codes[TETHER_UNAVAILABLE];
    if (i % 2 == 0 && caller->latest_ns > latest_ns) latest_ns = caller->latest_ns;
  }
  print_message(
      "%d kills; calls: OK %llu, DEADLINE_EXCEEDED %llu, UNAVAILABLE %llu, %llu of them patient; the latest "
      "ended %.1f ms after its deadline\n",
      killed, (unsigned long long)codes[TETHER_OK], (unsigned long long)codes[TETHER_DEADLINE_EXCEEDED],
      (unsigned long long)codes[TETHER_UNAVAILABLE], (unsigned long long)patient_lost, (double)latest_ns / 1e6);
  assert_true(latest_ns < LATE_MOST_NS);
  assert_true(codes[TETHER_OK] > 0 && codes[TETHER_DEADLINE_EXCEEDED] > 0 && patient_lost > 0);
  load(s, CALM_NS, false);
  bool same = tst_wait_until(nothing_has_grown, &before, TST_BOUND_NS);
  struct bounds after = measure(s);
  print_usage("a process", &before.node, &after.node);
  print_usage("the caller", &before.self, &after.self);
  assert_true(same);
  chain_close_clients();
}

int main(int argc, char **argv) {
  chain_node_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(processes_that_are_killed_leave_neither_calls_nor_handlers_nor_anything_behind,
                                      setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
