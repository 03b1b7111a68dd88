/* The Nth allocation fails, for every N, while calls fan out, hedged ones among them, and servers answer. Everything
 * ends, `done` and on_done are called once, no handler is left, nothing leaks, and a group whose member could not even
 * be started does not say that all went well. In virtual time, in memory. */
#include <tether/hedge.h>

#include "tests/support/alloc_fault.h"
#include "tests/support/park_sim.h"

#define DELAY (20 * TETHER_MS)
#define TIMEOUT (5 * TETHER_SEC)

enum { CALLS = 3, HEDGED = CALLS, MEMBERS };

/* A life's calls and what became of them. */
static struct {
  tether_group *group;
  int ended[MEMBERS];
  tether_call *calls[MEMBERS];
  int group_done;
  tether_code group_code;
} f;

static void note_end(tether_call *call, void *data) {
  int i = (int)((int *)data - f.ended);
  f.ended[i]++;
  f.calls[i] = tether_call_ref(call);
}

static void note_group(tether_code code, void *data) {
  (void)data;
  f.group_done++;
  f.group_code = code;
}

/* Timers count; what the net does for itself does not. */
static void pump(int64_t ns) {
  ctx_sim_advance(ns);
  tst_alloc_deliver(park_sim()->net);
}

static void start_hedged(const tether_ctx *ctx, tether_group *group, const tether_metadata *metadata) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"hedged";
  const tether_hedging hedging = {.max_attempts = 3,
                                  .delay_ns = DELAY,
                                  .non_fatal = 1u << TETHER_UNAVAILABLE,
                                  .clients = park_sim()->clients,
                                  .client_count = PARKS};
  const tether_call_options options = {.timeout_ns = TIMEOUT, .metadata = metadata, .group = group};
  tether_call_hedged_start(&hedging, ctx, &tst_park_unary, &request.base, &options, note_end, &f.ended[HEDGED]);
}

static void start_calls(tether_group *group) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_method *const methods[CALLS] = {&tst_park_unary, &tst_park_chat, &tst_park_download};
  const tether_call_options options = {.timeout_ns = TIMEOUT, .group = group};
  for (int i = 0; i < CALLS; i++)
    tether_call_unref(tether_call_start(park_sim()->clients[i], tether_group_ctx(group), methods[i],
                                        methods[i] == &tst_park_chat ? NULL : &request.base, &options, note_end,
                                        &f.ended[i]));
}

/* Ends the handlers that are there and wait. */
static void end_parked(int park, tether_code code) {
  for (int i = 0; i < tst_park_arrived(park_sim()->parks[park]); i++)
    if (tst_parked_end(tst_park_at(park_sim()->parks[park], i), code)) pump(0);
}

/* The servers' handlers have ended, at the latest with the deadline or the connection. */
static void assert_nothing_runs(void) {
  pump(0);
  pump(TIMEOUT + TETHER_SEC);
  for (int i = 0; i < PARKS; i++)
    assert_int_equal(tst_park_gone(park_sim()->parks[i]), tst_park_arrived(park_sim()->parks[i]));
}

static bool may_end_so(tether_code code) {
  return code == TETHER_OK || code == TETHER_CANCELLED || code == TETHER_DEADLINE_EXCEEDED ||
         code == TETHER_RESOURCE_EXHAUSTED || code == TETHER_UNAVAILABLE;
}

/* Checks and releases what has ended; returns the member's code. */
static tether_code take(int i) {
  assert_int_equal(f.ended[i], 1);
  tether_code code = tether_call_code(f.calls[i]);
  if (!may_end_so(code)) rpc_assert_code(f.calls[i], TETHER_RESOURCE_EXHAUSTED);
  tether_call_unref(f.calls[i]);
  return code;
}

/* ---- Lives --------------------------------------------------------------------------------- */

/* The first attempt is lost to the second, which fails, and so to the third. */
static void hedge(void) {
  tether_metadata *metadata = tether_metadata_new();
  if (!metadata || tether_metadata_add(metadata, "x-name", "hedged") != TETHER_OK) {
    tether_metadata_free(metadata);
    return;
  }
  start_hedged(tether_ctx_background(), NULL, metadata);
  tether_metadata_free(metadata);
  pump(0);
  pump(DELAY);
  end_parked(1, TETHER_UNAVAILABLE);
  end_parked(2, TETHER_OK);
  assert_nothing_runs();
  take(HEDGED);
}

static void open_group(tether_group_rule_kind rule, int enough) {
  f.group = NULL;
  if (tether_group_new(tether_ctx_background(), &f.group) != TETHER_OK) return;
  assert_int_equal(tether_group_set_rule(f.group, rule, enough), TETHER_OK);
  start_calls(f.group);
  start_hedged(tether_group_ctx(f.group), f.group, NULL);
  assert_int_equal(tether_group_on_done(f.group, note_group, NULL), TETHER_OK);
  pump(0);
  pump(DELAY);
}

static void finish_group(int *failed, int *succeeded) {
  assert_nothing_runs();
  assert_int_equal(f.group_done, 1);
  tether_group_free(f.group);
  *failed = 0;
  for (int i = 0; i < MEMBERS; i++) *failed += take(i) != TETHER_OK;
  *succeeded = MEMBERS - *failed;
}

static void all_succeed(void) {
  int failed, succeeded;
  open_group(TETHER_GROUP_ALL, 0);
  if (!f.group) return;
  for (int i = 0; i < PARKS; i++) end_parked(i, TETHER_OK);
  finish_group(&failed, &succeeded);
  assert_int_equal(f.group_code == TETHER_OK, failed == 0);
}

static void one_fails(void) {
  int failed, succeeded;
  open_group(TETHER_GROUP_ALL, 0);
  if (!f.group) return;
  end_parked(1, TETHER_UNAVAILABLE);
  finish_group(&failed, &succeeded);
  assert_int_not_equal(f.group_code, TETHER_OK);
  assert_true(failed > 0);
}

static void enough_succeed(void) {
  int failed, succeeded;
  open_group(TETHER_GROUP_ENOUGH, 2);
  if (!f.group) return;
  end_parked(2, TETHER_OK);
  end_parked(1, TETHER_OK);
  finish_group(&failed, &succeeded);
  assert_int_equal(f.group_code == TETHER_OK, succeeded >= 2);
}

/* ---- Every allocation ---------------------------------------------------------------------- */

static void begin(void) {
  memset(&f, 0, sizeof f);
  assert_true(park_sim_open(&tst_transport_alloc));
}

static void every_way(void (*live)(void)) {
  tst_alloc_fail_every_way(&(tst_alloc_life){.begin = begin, .live = live, .end = park_sim_close_all, .least = 20});
}

static void a_hedged_call_ends_once(void **state) {
  (void)state;
  every_way(hedge);
}

static void a_group_is_well_only_if_every_call_was(void **state) {
  (void)state;
  every_way(all_succeed);
}

static void a_failing_call_ends_the_group(void **state) {
  (void)state;
  every_way(one_fails);
}

static void a_quorum_counts_the_calls_that_were_well(void **state) {
  (void)state;
  every_way(enough_succeed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_virtual_time(a_hedged_call_ends_once),
      in_virtual_time(a_group_is_well_only_if_every_call_was),
      in_virtual_time(a_failing_call_ends_the_group),
      in_virtual_time(a_quorum_counts_the_calls_that_were_well),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
