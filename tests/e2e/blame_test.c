/* Which hop was slow, and doing what (TETHER_TIMEOUTS says how often): chains of real processes, in which one hop of
 * each call takes all the time there is, at work, in a queue, on the way or while it connects. A seed decides which.
 * The caller's ledger must blame that hop and that phase, for every call, however busy the machine is; and the message
 * of the status names them, or says that there was no answer yet from a hop that is on the way there. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/ledger.h>
#include <unistd.h>

#include "tests/support/byte_proxy.h"
#include "tests/support/chain_node.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TIMEOUTS 120
#else
#define TIMEOUTS 1000
#endif

/* So long that what a hop is made to take is more than anything else, on a busy machine too. */
#define BUDGET_NS (600 * TETHER_MS)

enum { LANES = 6, HOPS_LEAST = 3, HOPS_MOST = 5, LENGTHS = HOPS_MOST - HOPS_LEAST + 1 };

/* So many rounds more may be held up elsewhere. */
enum { HELD_UP_MOST = 3 };

/* How a hop is slow. */
enum { AT_WORK, QUEUED_THERE, QUEUED_HERE, IN_FLIGHT, CONNECTING, WAYS };
static const tether_phase phases[WAYS] = {TETHER_PHASE_HANDLER, TETHER_PHASE_QUEUED_THERE, TETHER_PHASE_QUEUED_HERE,
                                          TETHER_PHASE_IN_FLIGHT, TETHER_PHASE_CONNECTING};

/* A chain, and the thread that calls it. */
struct lane {
  char dir[64];
  int hops, rounds;
  uint64_t random;
  struct chain_node nodes[HOPS_MOST];
  byte_proxy *proxies[HOPS_MOST]; /* before each */
  int deaf[HOPS_MOST];            /* sockets that nobody accepts on */
  pthread_t thread;
  /* results */
  int right, exact, held_up; /* ledgers that blame the right one; messages that do; rounds that do not count */
  int of_way[WAYS];
  char wrong[1536]; /* the first that did not */
};

static int timeouts(void) {
  const char *text = getenv("TETHER_TIMEOUTS");
  return text ? atoi(text) : TIMEOUTS;
}

static uint32_t draw(struct lane *lane, uint32_t below) {
  lane->random = lane->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(lane->random >> 33) % below;
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* The steps of a call in which this hop is slow in this way. */
static void plan(const struct lane *lane, int slow, int way, Testing__V1__Step *steps, char urls[][160]) {
  static const char *const endings[WAYS] = {CHAIN_WIDE, CHAIN_NARROW, CHAIN_SINGLE, ".proxy", ".deaf"};
  for (int i = 0; i < lane->hops; i++) {
    testing__v1__step__init(&steps[i]);
    snprintf(urls[i], 160, "%s%s", lane->nodes[i].url, i == slow ? endings[way] : CHAIN_WIDE);
    steps[i].url = urls[i];
    steps[i].then = i + 1 < lane->hops ? &steps[i + 1] : NULL;
  }
  steps[slow].behind = way == QUEUED_THERE || way == QUEUED_HERE;
  if (way == AT_WORK) steps[slow].work_ns = -1;
}

static void note_wrong(struct lane *lane, int slow, int way, const char *what, tether_call *call) {
  char text[700] = "";
  if (*lane->wrong) return;
  if (tether_call_ledger(call)) (void)tether_ledger_text(tether_call_ledger(call), 20, text, sizeof text);
  int len = snprintf(lane->wrong, sizeof lane->wrong, "hop %d of %d, %s: %s: %s\n%s", slow, lane->hops,
                     tether_phase_text(phases[way]), what, tether_call_message(call), text);
  for (const tether_ledger *row = tether_call_ledger(call); row && len < (int)sizeof lane->wrong;
       row = row->child_count ? row->children[0] : NULL)
    len += snprintf(lane->wrong + len, sizeof lane->wrong - (size_t)len,
                    "%s: took %.2f, waited %.2f, queue %.2f, own %.2f ms\n", row->hop, (double)row->took_ns / 1e6,
                    (double)row->waited_ns / 1e6, (double)row->queue_ns / 1e6, (double)row->own_ns / 1e6);
}

/* The row of the hop in a chain's ledger; NULL: it does not go so far. */
static const tether_ledger *row_of(const tether_ledger *row, int hop) {
  for (int i = 0; row && i < hop; i++) row = row->child_count == 1 ? row->children[0] : NULL;
  return row;
}

/* Whether the message names one of the hops up to the slow one as not having answered. */
static bool says_waiting(const struct lane *lane, int slow, const char *message) {
  const char *waiting = tether_phase_text(TETHER_PHASE_WAITING);
  for (int i = 0; i <= slow; i++) {
    char wanted[160], direct[160];
    snprintf(wanted, sizeof wanted, "%s (/testing.v1.Chain/Pass at %s)", waiting, lane->nodes[i].shared->name);
    snprintf(direct, sizeof direct, "%s (/testing.v1.Chain/Pass at pid ", waiting);
    if (strstr(message, wanted) || strstr(message, direct)) return true;
  }
  return false;
}

static void judge(struct lane *lane, tether_call *call, int slow, int way) {
  const tether_ledger *ledger = tether_call_ledger(call), *blamed;
  tether_phase phase;
  int64_t spent_ns;
  if (tether_call_code(call) != TETHER_DEADLINE_EXCEEDED || !ledger) {
    note_wrong(lane, slow, way, tether_code_name(tether_call_code(call)), call);
    return;
  }
  tether_ledger_blame(ledger, &blamed, &phase, &spent_ns);
  bool right = blamed == row_of(ledger, slow) && phase == phases[way];
  lane->right += right;
  if (!right) note_wrong(lane, slow, way, "the ledger blames another", call);
  char wanted[160];
  /* Before there is a connection there is no name, only an address. */
  snprintf(wanted, sizeof wanted, "%s (/testing.v1.Chain/Pass at %s", tether_phase_text(phases[way]),
           way == CONNECTING ? "" : lane->nodes[slow].shared->name);
  bool exact = strstr(tether_call_message(call), wanted);
  lane->exact += exact;
  if (!exact && !says_waiting(lane, slow, tether_call_message(call)))
    note_wrong(lane, slow, way, "the message names another", call);
}

/* A busy machine may hold a call up elsewhere, and the ledger says so; or a process stands still so long that those
 * above no longer wait for its answer. Then nothing was shown: by the processes' own records what was to be slow has
 * not taken most of the time, or somebody was late to see that it was over. */
static bool was_held_up(const struct lane *lane, int slow, int way, int64_t started_ns, int64_t returned_ns) {
  const int64_t little_ns = BUDGET_NS / 4, late_ns = started_ns + BUDGET_NS + little_ns;
  const struct chain_shared *at = lane->nodes[slow].shared;
  int64_t from_ns = way == AT_WORK        ? atomic_load(&at->entered_ns)
                    : way == QUEUED_THERE ? atomic_load(&at->arrived_ns)
                    : slow > 0            ? atomic_load(&lane->nodes[slow - 1].shared->asked_ns)
                                          : started_ns;
  bool late = returned_ns > late_ns;
  for (int i = 0; i <= slow; i++) {
    int64_t arrived_ns = atomic_load(&lane->nodes[i].shared->arrived_ns);
    int64_t ended_ns = atomic_load(&lane->nodes[i].shared->ended_ns);
    late |= arrived_ns > started_ns && (ended_ns < arrived_ns || ended_ns > late_ns);
  }
  return late || from_ns < started_ns || from_ns > started_ns + little_ns;
}

/* false: it does not count. */
static bool run_round(struct lane *lane, int slow, int way) {
  Testing__V1__Step steps[HOPS_MOST];
  char urls[HOPS_MOST][160];
  int64_t started_ns = tst_now_ns();
  plan(lane, slow, way, steps, urls);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), BUDGET_NS);
  if (way == IN_FLIGHT) byte_proxy_hold(lane->proxies[slow], true);
  TETHER_SCOPED_CALL tether_call *call = chain_pass(ctx, &steps[0], true);
  int64_t returned_ns = tst_now_ns();
  if (way == IN_FLIGHT) byte_proxy_hold(lane->proxies[slow], false);
  if (tether_call_wait_ledger(call, TST_BOUND_NS) != TETHER_OK)
    note_wrong(lane, slow, way, "the answer has not come", call);
  else if (was_held_up(lane, slow, way, started_ns, returned_ns))
    return false;
  else
    judge(lane, call, slow, way);
  return true;
}

static void *run_lane(void *data) {
  struct lane *lane = data;
  for (int counted = 0; counted < lane->rounds && lane->held_up <= HELD_UP_MOST * lane->rounds;) {
    int way = (int)draw(lane, WAYS), slow = (int)draw(lane, (uint32_t)lane->hops);
    bool counts = run_round(lane, slow, way);
    counted += counts;
    lane->of_way[way] += counts;
    lane->held_up += !counts;
  }
  return NULL;
}

/* ---- The chains ---------------------------------------------------------------------------- */

static bool open_lane(struct lane *lane, int number) {
  snprintf(lane->dir, sizeof lane->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(lane->dir)) return false;
  lane->hops = HOPS_LEAST + number % LENGTHS;
  lane->rounds = timeouts() / LANES + (number < timeouts() % LANES);
  for (int i = 0; i < lane->hops; i++) {
    char name[32], server[128], proxy[128], deaf[128];
    snprintf(name, sizeof name, "lane-%d-hop-%d", number, i);
    if (!chain_node_open(&lane->nodes[i], lane->dir, name, 0)) return false;
    const char *path = lane->nodes[i].url + strlen("ipc://");
    snprintf(server, sizeof server, "%s" CHAIN_WIDE, path);
    snprintf(proxy, sizeof proxy, "%s.proxy", path);
    snprintf(deaf, sizeof deaf, "%s.deaf", path);
    lane->proxies[i] = byte_proxy_open(proxy, server, 1, (byte_proxy_faults){0});
    lane->deaf[i] = raw_listen_ipc(deaf);
    if (!lane->proxies[i] || lane->deaf[i] < 0) return false;
  }
  return true;
}

static void close_lane(struct lane *lane) {
  char command[128];
  for (int i = 0; i < lane->hops; i++) {
    byte_proxy_close(lane->proxies[i]);
    if (lane->deaf[i] >= 0) close(lane->deaf[i]);
    chain_node_close(&lane->nodes[i]);
  }
  snprintf(command, sizeof command, "rm -rf %.100s", lane->dir);
  if (system(command) != 0) print_error("%s is left\n", lane->dir);
}

/* Every connection has been made, and is not slow. */
static void warm_up(struct lane *lane) {
  static const int ways[] = {AT_WORK, QUEUED_THERE, QUEUED_HERE, IN_FLIGHT};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  for (int slow = 0; slow < lane->hops; slow++) {
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
      Testing__V1__Step steps[HOPS_MOST];
      char urls[HOPS_MOST][160];
      plan(lane, slow, ways[i], steps, urls);
      steps[slow].behind = false;
      steps[slow].work_ns = 0;
      TETHER_SCOPED_CALL tether_call *call = chain_pass(ctx, &steps[0], false);
      rpc_assert_code(call, TETHER_OK);
    }
  }
}

static void the_ledger_of_every_timeout_blames_the_hop_that_was_slow_and_what_it_did(void **state) {
  (void)state;
  static struct lane lanes[LANES];
  const char *seed = getenv("TETHER_SEED");
  for (int i = 0; i < LANES; i++) {
    lanes[i] = (struct lane){.random = (seed ? strtoull(seed, NULL, 0) : 1) * LANES + (uint64_t)i};
    assert_true(open_lane(&lanes[i], i));
    warm_up(&lanes[i]);
  }
  for (int i = 0; i < LANES; i++) assert_int_equal(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), 0);
  int right = 0, exact = 0, held_up = 0, of_way[WAYS] = {0};
  for (int i = 0; i < LANES; i++) {
    pthread_join(lanes[i].thread, NULL);
    right += lanes[i].right;
    exact += lanes[i].exact;
    held_up += lanes[i].held_up;
    for (int j = 0; j < WAYS; j++) of_way[j] += lanes[i].of_way[j];
  }
  chain_close_clients();
  for (int i = 0; i < LANES; i++) close_lane(&lanes[i]);
  print_message(
      "%d timeouts (%d at work, %d queued there, %d queued here, %d in flight, %d connecting; %d more were held up "
      "elsewhere): the ledger is right in %d; the message names the same in %d, and who had not answered in the "
      "others\n",
      timeouts(), of_way[AT_WORK], of_way[QUEUED_THERE], of_way[QUEUED_HERE], of_way[IN_FLIGHT], of_way[CONNECTING],
      held_up, right, exact);
  for (int i = 0; i < LANES; i++)
    if (*lanes[i].wrong) fail_msg("%s", lanes[i].wrong);
  assert_int_equal(right, timeouts());
}

int main(int argc, char **argv) {
  chain_node_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ledger_of_every_timeout_blames_the_hop_that_was_slow_and_what_it_did),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
