/* Whole clusters by random seeds: what DESIGN.md promises holds after every step of each, and a seed is always the
 * same. TETHER_SEED=n runs one seed, TETHER_SEEDS=n so many; tests/simulate runs any number. */
#include <inttypes.h>

#include "tests/sim/seeds.h"
#include "tests/support/ctx_test.h"

#if defined(CTX_TEST_TSAN)
#define SEEDS 500
#else
#define SEEDS 2000
#endif

static uint64_t from_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 0) : otherwise;
}

static void what_is_promised_holds_after_every_step(void **state) {
  (void)state;
  bool one = getenv("TETHER_SEED");
  sim_seeds seeds = {.first = from_environment("TETHER_SEED", 1),
                     .count = one ? 1 : from_environment("TETHER_SEEDS", SEEDS),
                     .jobs = 2,
                     .out = stdout};
  sim_result result;
  sim_seeds_run(&seeds, &result);
  if (result.failed) fail_msg("TETHER_SEED=%" PRIu64 ": %s", result.seed, result.why);
  assert_int_equal(result.held, seeds.count);
  print_message("%" PRIu64 " calls of %" PRIu64 " processes in %" PRIu64 " steps; %" PRIu64
                " answers within 50 us of a deadline or cancel\n",
                result.totals.calls, result.totals.processes, result.totals.steps, result.totals.crossings);
}

/* A simulation in which nothing goes wrong proves little: the rarest comes five times in a thousand seeds. */
static void everything_that_may_happen_does(void **state) {
  (void)state;
  sim_seeds seeds = {.first = 1, .count = SEEDS / 2, .jobs = 2};
  sim_result result;
  sim_seeds_run(&seeds, &result);
  const sim_totals *t = &result.totals;
  const uint64_t happened[] = {
      t->ok,       t->cancelled,  t->expired,         t->unavailable, t->failed,    t->unsent,     t->detached,
      t->cut,      t->slots_full, t->stops_confirmed, t->corrected,   t->estimated, t->streams,    t->send_waits,
      t->windows,  t->retried,    t->groups,          t->aimed,       t->crossings, t->partitions, t->breaks,
      t->vanished, t->kills,      t->restarts,        t->shutdowns,   t->closes,    t->moved,      t->elsewhere,
      t->requeued, t->unaccepted, t->overtaken};
  for (size_t i = 0; i < sizeof happened / sizeof *happened; i++)
    if (happened[i] < seeds.count * 5 / 1000) fail_msg("number %zu has happened %" PRIu64 " times", i, happened[i]);
}

static char *trace_of(uint64_t first, uint64_t count, size_t *len) {
  FILE *file = tmpfile();
  assert_non_null(file);
  sim_seeds seeds = {.first = first, .count = count, .out = file, .trace = true};
  sim_result result;
  sim_seeds_run(&seeds, &result);
  assert_int_equal(result.failed, 0);
  *len = (size_t)ftell(file);
  char *text = malloc(*len + 1);
  assert_non_null(text);
  rewind(file);
  assert_int_equal(fread(text, 1, *len, file), *len);
  text[*len] = 0;
  fclose(file);
  return text;
}

static void a_seed_is_the_same_every_time_wherever_it_runs(void **state) {
  size_t len, again_len;
  (void)state;
  char *text = trace_of(20, 20, &len);
  /* The last of these alone: nothing is left over from seed to seed. */
  char *again = trace_of(39, 1, &again_len);
  assert_true(again_len > 0 && again_len < len);
  assert_string_equal(text + len - again_len, again);
  free(again);
  again = trace_of(20, 20, &again_len);
  assert_int_equal(len, again_len);
  assert_string_equal(text, again);
  free(again);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_promised_holds_after_every_step),
      cmocka_unit_test(everything_that_may_happen_does),
      cmocka_unit_test(a_seed_is_the_same_every_time_wherever_it_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
