/* Members of a group at the same instant, a hundred thousand times each: results that cross, and who is the last
 * to touch the group. The threads go through a batch of groups side by side and wait a few instructions at each,
 * differently in every round, so that all orders come up. What is checked holds in any order. */
#include <tether/group.h>

#include "tests/support/ctx_thread.h"

#define ROUNDS CTX_TEST_ROUNDS(100000)

enum { BATCH = 64, ACTORS = 3 };

struct scene {
  unsigned round;
  tether_group *group;
  const tether_ctx *ctx; /* the group's, held: it may be looked at when the group is gone */
  tether_code results[ACTORS];
  unsigned long more;
  tether_code waited, told;
  atomic_int calls, left;
  tether_code refused[2];
  bool freed_after_call;
};

static struct race {
  void (*prepare)(struct scene *scene);
  void (*actors[ACTORS])(struct scene *scene);
  bool (*check)(const struct scene *scene);
  int count;
  atomic_int at[ACTORS]; /* the scene each is at */
  unsigned round;
  struct scene scenes[BATCH];
} race;

/* Up to some hundred instructions, by round and actor. */
static void jitter(const struct scene *scene, int actor) {
  uint32_t x = (scene->round * 3u + (unsigned)actor) * 2654435761u;
  x ^= x >> 15;
  for (volatile uint32_t i = x % 97; i > 0; i--) continue;
}

static void act(int self) {
  for (int i = 0; i < BATCH; i++) {
    atomic_store(&race.at[self], i + 1);
    for (int other = 0; other < race.count; other++) {
      for (int spins = 0; spins < 500 && atomic_load(&race.at[other]) <= i; spins++) continue;
    }
    jitter(&race.scenes[i], self);
    race.actors[self](&race.scenes[i]);
  }
}

static void act_first(void *data) {
  (void)data;
  act(0);
}

static void act_second(void *data) {
  (void)data;
  act(1);
}

static void act_third(void *data) {
  (void)data;
  act(2);
}

static void prepare_batch(void *data) {
  (void)data;
  for (int i = 0; i < ACTORS; i++) atomic_store(&race.at[i], 0);
  for (int i = 0; i < BATCH; i++) {
    memset(&race.scenes[i], 0, sizeof race.scenes[i]);
    race.scenes[i].round = race.round++;
    race.scenes[i].waited = race.scenes[i].told = TETHER_UNKNOWN;
    race.prepare(&race.scenes[i]);
    race.scenes[i].ctx = tether_ctx_ref(tether_group_ctx(race.scenes[i].group));
  }
}

static bool check_batch(void *data) {
  bool fine = true;
  (void)data;
  for (int i = 0; i < BATCH; i++) {
    fine = race.check(&race.scenes[i]) && tether_ctx_err(race.scenes[i].ctx) == TETHER_CANCELLED && fine;
    tether_ctx_unref(race.scenes[i].ctx);
  }
  return fine;
}

static void run_race(void (*prepare)(struct scene *), void (*a)(struct scene *), void (*b)(struct scene *),
                     void (*c)(struct scene *), bool (*check)(const struct scene *)) {
  struct ctx_race batches = {
      .prepare = prepare_batch, .actors = {act_first, act_second, act_third}, .check = check_batch};
  race.prepare = prepare;
  race.actors[0] = a;
  race.actors[1] = b;
  race.actors[2] = c;
  race.check = check;
  race.count = ACTORS;
  assert_int_equal(ctx_race_run(&batches, (ROUNDS + BATCH - 1) / BATCH), -1);
}

/* A group in which #0, #1 ... are the actors' members. In every fourth round somebody has to be told of its end. */
static void make_group(struct scene *scene, tether_group_rule_kind rule, int enough, unsigned long members) {
  tether_code code = tether_group_new(tether_ctx_background(), &scene->group);
  if (code == TETHER_OK) code = tether_group_set_rule(scene->group, rule, enough);
  for (unsigned long i = 0; code == TETHER_OK && i < members; i++) {
    unsigned long number = 99;
    code = tether_group_join(scene->group, &number);
    if (number != i) abort();
  }
  if (code != TETHER_OK) abort();
  if (scene->round % 4 == 0) (void)tether_ctx_wait(tether_group_ctx(scene->group), 1);
}

static void leave_with(struct scene *scene, unsigned long number) {
  tether_group_leave(scene->group, number, scene->results[number], NULL);
}

static void leave_first(struct scene *scene) { leave_with(scene, 0); }

static void leave_second(struct scene *scene) { leave_with(scene, 1); }

static void leave_third(struct scene *scene) { leave_with(scene, 2); }

/* The waiter frees the group as soon as it may. */
static void wait_and_free(struct scene *scene) {
  scene->waited = tether_group_wait(scene->group);
  tether_group_free(scene->group);
}

static bool has_cause(const struct scene *scene, tether_cause_code code, const char *text) {
  const tether_cause *cause = tether_ctx_cause(scene->ctx);
  return tether_cause_get_code(cause) == code && strcmp(tether_cause_text(cause), text) == 0;
}

static bool names_failure(const struct scene *scene, unsigned long number) {
  char text[64];
  snprintf(text, sizeof text, "task #%lu failed: %s", number, tether_code_name(scene->results[number]));
  return has_cause(scene, TETHER_CAUSE_SIBLING, text);
}

/* ---- Results that cross ---------------------------------------------------------------------- */

static void make_one_that_fails(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ALL, 0, 2);
  scene->results[1] = TETHER_UNAVAILABLE;
}

static bool failed_with_the_one(const struct scene *scene) {
  return scene->waited == TETHER_UNAVAILABLE && names_failure(scene, 1);
}

static void success_that_crosses_a_failure_does_not_hide_it(void **state) {
  (void)state;
  run_race(make_one_that_fails, leave_first, leave_second, wait_and_free, failed_with_the_one);
}

static void make_one_of_two(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 1, 2);
  scene->results[1] = TETHER_UNAVAILABLE;
}

static bool one_was_enough(const struct scene *scene) {
  return scene->waited == TETHER_OK && has_cause(scene, TETHER_CAUSE_ENOUGH, "enough: 1 of 2 members succeeded");
}

static void failure_that_crosses_the_last_success_wanted_is_tolerated(void **state) {
  (void)state;
  run_race(make_one_of_two, leave_first, leave_second, wait_and_free, one_was_enough);
}

static void make_two_failures(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ALL, 0, 2);
  scene->results[0] = TETHER_NOT_FOUND;
  scene->results[1] = TETHER_UNAVAILABLE;
}

static bool result_and_cause_agree(const struct scene *scene) {
  return names_failure(scene, scene->waited == scene->results[0] ? 0 : 1) &&
         (scene->waited == scene->results[0] || scene->waited == scene->results[1]);
}

static void of_two_failures_one_is_both_result_and_cause(void **state) {
  (void)state;
  run_race(make_two_failures, leave_first, leave_second, wait_and_free, result_and_cause_agree);
}

static void make_two_failures_of_three(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 2, 3);
  scene->results[0] = TETHER_NOT_FOUND;
  scene->results[1] = TETHER_UNAVAILABLE;
  leave_with(scene, 2);
}

/* The first failure is the result, the other one made success impossible. */
static bool result_and_cause_differ(const struct scene *scene) {
  return names_failure(scene, scene->waited == scene->results[0] ? 1 : 0) &&
         (scene->waited == scene->results[0] || scene->waited == scene->results[1]);
}

static void failure_that_leaves_too_few_is_the_cause_whenever_the_wait_begins(void **state) {
  (void)state;
  run_race(make_two_failures_of_three, leave_first, leave_second, wait_and_free, result_and_cause_differ);
}

static void make_two_of_three(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 2, 3);
  scene->results[1] = TETHER_UNAVAILABLE;
}

static bool two_were_enough(const struct scene *scene) {
  const tether_code code = tether_group_wait(scene->group);
  tether_group_free(scene->group);
  return code == TETHER_OK && has_cause(scene, TETHER_CAUSE_ENOUGH, "enough: 2 of 3 members succeeded");
}

static void one_failure_among_enough_successes_is_tolerated(void **state) {
  (void)state;
  run_race(make_two_of_three, leave_first, leave_second, leave_third, two_were_enough);
}

/* Fails because it was ended, and as soon as that shows. */
static void leave_when_ended(struct scene *scene) {
  while (tether_ctx_err(tether_group_ctx(scene->group)) == TETHER_OK) continue;
  tether_group_leave(scene->group, 0, tether_ctx_err(tether_group_ctx(scene->group)), NULL);
}

static void member_ended_by_the_group_is_never_the_first_failure(void **state) {
  (void)state;
  run_race(make_one_that_fails, leave_when_ended, leave_second, wait_and_free, failed_with_the_one);
}

static void make_one_success_of_two(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 1, 2);
  scene->results[1] = TETHER_OK;
}

static void member_ended_by_enough_does_no_harm(void **state) {
  (void)state;
  run_race(make_one_success_of_two, leave_when_ended, leave_second, wait_and_free, one_was_enough);
}

static void make_failed_of_three(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 2, 3);
  scene->results[1] = TETHER_UNAVAILABLE;
  scene->results[2] = TETHER_NOT_FOUND;
  leave_with(scene, 2);
}

/* The wait is what ends it if #1 has failed before, and else #1. */
static bool failed_with_the_earlier_one(const struct scene *scene) {
  return scene->waited == TETHER_NOT_FOUND && names_failure(scene, 1);
}

static void member_ended_as_hopeless_is_never_the_first_failure(void **state) {
  (void)state;
  run_race(make_failed_of_three, leave_when_ended, leave_second, wait_and_free, failed_with_the_earlier_one);
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void make_joinable(struct scene *scene) {
  make_group(scene, TETHER_GROUP_ENOUGH, 3, 2);
  scene->results[0] = TETHER_OK;
  scene->results[1] = TETHER_ABORTED;
}

/* Members join while their friend is there, also in the wait. */
static void join_two_and_leave(struct scene *scene) {
  unsigned long numbers[2] = {99, 99};
  for (int i = 0; i < 2; i++) scene->refused[i] = tether_group_join(scene->group, &numbers[i]);
  for (int i = 0; i < 2; i++) tether_group_leave(scene->group, numbers[i], TETHER_OK, NULL);
  leave_with(scene, 0);
}

/* Three succeed, of four in all; but a failure while somebody waits and nobody has joined yet ends it. */
static bool joined_or_came_too_late(const struct scene *scene) {
  if (scene->refused[0] != TETHER_OK || scene->refused[1] != TETHER_OK || scene->waited != TETHER_OK) return false;
  return has_cause(scene, TETHER_CAUSE_ENOUGH, "enough: 3 of 4 members succeeded") || names_failure(scene, 1);
}

static void joining_and_leaving_against_wait_and_free(void **state) {
  (void)state;
  run_race(make_joinable, join_two_and_leave, leave_second, wait_and_free, joined_or_came_too_late);
}

/* ---- on_done --------------------------------------------------------------------------------- */

static void note_and_free(tether_code code, void *data) {
  struct scene *scene = data;
  scene->waited = code;
  tether_group_free(scene->group);
  atomic_fetch_add(&scene->calls, 1);
}

static void set_on_done(struct scene *scene) { scene->told = tether_group_on_done(scene->group, note_and_free, scene); }

static bool told_and_freed_once(const struct scene *scene) {
  return scene->told == TETHER_OK && atomic_load(&scene->calls) == 1 && one_was_enough(scene);
}

static void on_done_that_frees_against_the_last_to_leave(void **state) {
  (void)state;
  run_race(make_one_of_two, leave_first, leave_second, set_on_done, told_and_freed_once);
}

static void make_told(struct scene *scene) {
  make_one_that_fails(scene);
  scene->told = tether_group_on_done(scene->group, note_and_free, scene);
}

static void join_against_the_end(struct scene *scene) {
  unsigned long number = 99;
  scene->refused[0] = tether_group_join(scene->group, &number);
  tether_group_leave(scene->group, 0, TETHER_OK, NULL);
}

static void look_at_the_context(struct scene *scene) {
  while (tether_ctx_err(scene->ctx) == TETHER_OK) continue;
}

static bool refused_and_told(const struct scene *scene) {
  return scene->told == TETHER_OK && scene->refused[0] == TETHER_FAILED_PRECONDITION &&
         atomic_load(&scene->calls) == 1 && failed_with_the_one(scene);
}

static void two_that_leave_a_group_freed_by_on_done(void **state) {
  (void)state;
  run_race(make_told, join_against_the_end, leave_second, look_at_the_context, refused_and_told);
}

static void note_only(tether_code code, void *data) {
  struct scene *scene = data;
  scene->waited = code;
  jitter(scene, 0);
  atomic_fetch_add(&scene->calls, 1);
}

static void make_told_only(struct scene *scene) {
  make_one_that_fails(scene);
  scene->told = tether_group_on_done(scene->group, note_only, scene);
}

static void free_elsewhere(struct scene *scene) {
  tether_group_free(scene->group);
  scene->freed_after_call = atomic_load(&scene->calls) == 1;
}

static bool freed_after_the_call(const struct scene *scene) {
  return scene->told == TETHER_OK && scene->freed_after_call && failed_with_the_one(scene);
}

static void free_on_another_thread_against_on_done(void **state) {
  (void)state;
  run_race(make_told_only, leave_first, leave_second, free_elsewhere, freed_after_the_call);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      behaviour(success_that_crosses_a_failure_does_not_hide_it),
      behaviour(failure_that_crosses_the_last_success_wanted_is_tolerated),
      behaviour(of_two_failures_one_is_both_result_and_cause),
      behaviour(failure_that_leaves_too_few_is_the_cause_whenever_the_wait_begins),
      behaviour(one_failure_among_enough_successes_is_tolerated),
      behaviour(member_ended_by_the_group_is_never_the_first_failure),
      behaviour(member_ended_by_enough_does_no_harm),
      behaviour(member_ended_as_hopeless_is_never_the_first_failure),
      behaviour(joining_and_leaving_against_wait_and_free),
      behaviour(on_done_that_frees_against_the_last_to_leave),
      behaviour(two_that_leave_a_group_freed_by_on_done),
      behaviour(free_on_another_thread_against_on_done),
  };
  return cmocka_run_group_tests_name("group race", tests, NULL, NULL);
}
