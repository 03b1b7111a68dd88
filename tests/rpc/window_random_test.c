/* Two sessions that exchange random messages on a random schedule, each from a seed: batches of any size, delivered a
 * few frames at a time, readers and senders that take their turns at random, cancels, early ends. At every moment the
 * windows add up; in the end every message has come in order, every stream is gone, and the budgets are whole. */
#include <stdio.h>

#include "tests/support/ctx_test.h"
#include "tests/support/session_pair.h"

#define KIB ((size_t)1024)
#define SEEDS CTX_TEST_ROUNDS(4000)
#define STEPS 400
#define CHECK_EVERY 8
#define CALLS_MOST 12
#define MESSAGES_MOST 10

static uint64_t state_of_random;

static size_t below(size_t n) {
  state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
  return (size_t)((state_of_random >> 33) % n);
}

/* What a call's owners are to do. */
struct plan {
  size_t messages[2]; /* by sender */
  bool bare_end;      /* the client ends with END alone */
  bool early;         /* the server does not wait for the client's end */
  bool cancel;
};

struct run {
  uint64_t seed;
  tst_pair *pair;
  size_t longest[2]; /* that this side takes */
  struct plan plans[CALLS_MOST];
};

static tether_limits random_limits(void) {
  static const size_t longest[] = {20 * KIB, 66 * KIB, 100 * KIB, 300 * KIB};
  tether_limits limits = {.max_message_bytes = longest[below(4)], .max_streams = 2 + (uint32_t)below(20)};
  if (below(3) == 0) limits.stream_window_bytes = 64 * KIB + below(100 * KIB);
  if (below(2)) limits.connection_window_bytes = below(1024 * KIB);
  return limits;
}

static size_t random_len(size_t longest) {
  switch (below(8)) {
    case 0:
      return 0;
    case 1:
    case 2:
      return below(longest + 1);
    case 3:
      return below(64 * KIB < longest ? 64 * KIB : longest);
    case 4:
      return TTH_SLICE - 2 + below(5);
    default:
      return below(3000);
  }
}

static bool over(const tst_call *call) {
  return !call->at[TTH_SERVER] && !call->at[TTH_CLIENT] && (call->trailers || call->cancelled);
}

/* ---- What may happen ----------------------------------------------------------------------- */

static bool try_send(struct run *run, size_t i, tth_role sender) {
  tst_call *call = &run->pair->calls[i];
  const struct plan *plan = &run->plans[i];
  tst_way *way = &call->way[sender];
  if (!call->at[sender] || way->end_sent || call->at[sender]->queued >= TTH_SEND_HIGH) return false;
  if (sender == TTH_SERVER && call->told) { /* a handler that has noticed */
    tth_session_drop_output(run->pair->session[sender], call->at[sender]);
    tst_pair_end(run->pair, call, sender);
    return true;
  }
  if (way->sent < plan->messages[sender]) {
    bool end = way->sent + 1 == plan->messages[sender] && !plan->bare_end;
    tth_role receiver = sender == TTH_CLIENT ? TTH_SERVER : TTH_CLIENT;
    tst_pair_send(run->pair, call, sender, random_len(run->longest[receiver]), end);
    return true;
  }
  if (sender == TTH_CLIENT) {
    tst_pair_end(run->pair, call, sender);
    return true;
  }
  return false;
}

static bool try_finish(struct run *run, size_t i) {
  tst_call *call = &run->pair->calls[i];
  const struct plan *plan = &run->plans[i];
  if (!call->at[TTH_SERVER] || call->way[TTH_SERVER].sent < plan->messages[TTH_SERVER]) return false;
  if (!call->way[TTH_CLIENT].ended && !plan->early && !call->told) return false;
  tst_pair_end(run->pair, call, TTH_SERVER);
  return true;
}

static bool try_cancel(struct run *run, size_t i) {
  tst_call *call = &run->pair->calls[i];
  if (!call->at[TTH_CLIENT] || !run->plans[i].cancel) return false;
  tst_pair_cancel(run->pair, call);
  return true;
}

static bool act(struct run *run) {
  tst_pair *pair = run->pair;
  size_t i = below(pair->count);
  tth_role role = below(2) ? TTH_CLIENT : TTH_SERVER;
  switch (below(8)) {
    case 0:
    case 1:
      return tst_pair_fill(pair, role, below(100 * KIB)) > 0;
    case 2:
    case 3:
      return tst_pair_deliver(pair, role, 1 + below(10)) > 0;
    case 4:
      return tst_pair_read(pair, &pair->calls[i], role, 1 + below(3)) > 0;
    case 5:
      return try_finish(run, i);
    case 6:
      if (below(8) == 0) return try_cancel(run, i);
      __attribute__((fallthrough));
    default:
      return try_send(run, i, role);
  }
}

/* Everybody does everything that can be done; false: there was nothing. */
static bool go_on(struct run *run) {
  tst_pair *pair = run->pair;
  bool moved = false;
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    for (size_t i = 0; i < pair->count; i++) {
      while (try_send(run, i, (tth_role)role)) moved = true;
      if (tst_pair_read(pair, &pair->calls[i], (tth_role)role, SIZE_MAX) > 0) moved = true;
      if (try_finish(run, i)) moved = true;
    }
    if (tst_pair_fill(pair, (tth_role)role, below(100 * KIB)) > 0) moved = true;
    if (tst_pair_deliver(pair, (tth_role)role, SIZE_MAX) > 0) moved = true;
  }
  return moved;
}

/* ---- What must hold ------------------------------------------------------------------------ */

static void check(const struct run *run) {
  const char *wrong = tst_pair_wrong(run->pair);
  if (wrong) fail_msg("seed %llu: %s", (unsigned long long)run->seed, wrong);
}

static void must(const struct run *run, bool holds, const char *what) {
  if (!holds) fail_msg("seed %llu: not %s", (unsigned long long)run->seed, what);
}

static void check_end(const struct run *run) {
  const tst_pair *pair = run->pair;
  for (size_t i = 0; i < pair->count; i++) {
    const tst_call *call = &pair->calls[i];
    const tst_way *requests = &call->way[TTH_CLIENT], *replies = &call->way[TTH_SERVER];
    must(run, over(call), "over");
    if (call->cancelled) continue;
    must(run, replies->received == run->plans[i].messages[TTH_SERVER], "every reply");
    must(run, run->plans[i].early || (requests->received == run->plans[i].messages[TTH_CLIENT] && requests->ended),
         "every request");
  }
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    const tth_session *session = pair->session[role];
    must(run, tst_pair_taken(pair, (tth_role)role) == 0, "the whole budget");
    must(run, session->growth_left <= session->budget, "all growth given back");
    must(run, tth_session_stream_count(session) == 0 && session->blocked == 0, "every stream gone");
    must(run, session->waiting.count + session->owed.count + session->writable.count == 0, "empty lists");
    must(run, tth_session_pending(session) == 0, "everything sent");
  }
}

static void run_seed(uint64_t seed) {
  struct run run = {.seed = seed};
  state_of_random = seed * 0x9e3779b97f4a7c15u + 1;
  tether_limits limits[2] = {random_limits(), random_limits()};
  run.pair = tst_pair_new(&limits[TTH_CLIENT], &limits[TTH_SERVER]);
  run.pair->gather = below(2) ? TTH_WINDOW_LEAST / 8 - 1 : below(TTH_WINDOW_LEAST / 8);
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) run.longest[role] = limits[role].max_message_bytes;
  uint64_t growth[2] = {run.pair->session[0]->growth_left, run.pair->session[1]->growth_left};
  for (size_t calls = 1 + below(CALLS_MOST); calls > 0; calls--) {
    run.plans[run.pair->count] = (struct plan){.messages = {below(MESSAGES_MOST), below(MESSAGES_MOST)},
                                               .bare_end = below(2),
                                               .early = below(8) == 0,
                                               .cancel = below(3) == 0};
    (void)tst_pair_call(run.pair);
  }
  for (int step = 0; step < STEPS; step++) {
    if (act(&run) && step % CHECK_EVERY == 0) check(&run);
  }
  while (go_on(&run)) check(&run);
  check_end(&run);
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++)
    must(&run, run.pair->session[role]->growth_left == growth[role], "all growth given back");
  tst_pair_free(run.pair);
}

static void random_schedules_end_with_every_message_delivered_and_the_budget_whole(void **state) {
  (void)state;
  const char *one = getenv("TETHER_TEST_SEED");
  if (one) run_seed(strtoull(one, NULL, 0));
  for (uint64_t seed = 1; !one && seed <= SEEDS; seed++) run_seed(seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_schedules_end_with_every_message_delivered_and_the_budget_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
