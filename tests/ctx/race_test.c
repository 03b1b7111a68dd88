/* Two or three things at once, a hundred thousand times each: every pair of operations that meet inside a
 * context. The threads start together and then wait a few instructions each, differently in every round, so
 * that all orders come up. What is checked holds in any order. */
#include <tether/group.h>
#include <tether/pool.h>

#include "tests/support/ctx_sim.h"
#include "tests/support/ctx_thread.h"

#define ROUNDS CTX_TEST_ROUNDS(100000)

/* Meeting for every round would take most of the time, so the actors meet once for a batch of scenes and go
 * through them side by side: each waits for the others at each scene, but only for a moment. */
enum { BATCH = 64, ACTORS = 3 };

struct scene {
  unsigned round;
  int index; /* in the batch */
  tether_ctx *root, *mid, *leaf, *other;
  struct ctx_call calls[2];
  tether_after *heap; /* a registration of its own allocation */
  atomic_int heap_runs;
  tether_code seen[3];
  const tether_cause *why[3];
  bool stopped[2];
  bool broken[3];
};

static tether_cause *cause_one, *cause_two;

static struct race {
  void (*prepare)(struct scene *scene);
  void (*actors[ACTORS])(struct scene *scene);
  bool (*check)(struct scene *scene);
  int batch, count;
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
  for (int i = 0; i < race.batch; i++) {
    atomic_store(&race.at[self], i + 1);
    for (int other = 0; other < race.count; other++) {
      for (int spins = 0; spins < 500 && atomic_load(&race.at[other]) <= i; spins++) continue;
    }
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
  for (int i = 0; i < race.batch; i++) {
    memset(&race.scenes[i], 0, sizeof race.scenes[i]);
    race.scenes[i].round = race.round++;
    race.scenes[i].index = i;
    race.prepare(&race.scenes[i]);
  }
}

static bool check_batch(void *data) {
  bool fine = true;
  (void)data;
  for (int i = 0; i < race.batch; i++) fine = race.check(&race.scenes[i]) && fine;
  return fine;
}

static void run_race_in(int batch, void (*prepare)(struct scene *), void (*a)(struct scene *),
                        void (*b)(struct scene *), void (*c)(struct scene *), bool (*check)(struct scene *),
                        int rounds) {
  struct ctx_race batches = {
      .prepare = prepare_batch,
      .actors = {act_first, act_second, c == NULL ? NULL : act_third},
      .check = check_batch,
  };
  race.prepare = prepare;
  race.actors[0] = a;
  race.actors[1] = b;
  race.actors[2] = c;
  race.check = check;
  race.batch = batch;
  race.count = c == NULL ? 2 : 3;
  assert_int_equal(ctx_race_run(&batches, (rounds + batch - 1) / batch), -1);
}

static void run_race(void (*prepare)(struct scene *), void (*a)(struct scene *), void (*b)(struct scene *),
                     void (*c)(struct scene *), bool (*check)(struct scene *), int rounds) {
  run_race_in(BATCH, prepare, a, b, c, check, rounds);
}

static int race_setup(void **state) {
  (void)state;
  cause_one = tether_cause_new(TETHER_CAUSE_SHED, NULL, "one");
  cause_two = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "two");
  return ctx_setup(state);
}

static int race_teardown(void **state) {
  tether_cause_unref(cause_one);
  tether_cause_unref(cause_two);
  return ctx_teardown(state);
}

/* Descriptors cost more than all the rest: looked at now and then only. */
static bool is_done(const struct scene *scene, const tether_ctx *ctx, tether_code err, const tether_cause *cause) {
  int fd = -1;
  if (tether_ctx_err(ctx) != err || tether_ctx_cause(ctx) != cause) return false;
  if (tether_ctx_wait(ctx, TETHER_FOREVER) != err) return false;
  return scene->round % 16 != 0 || (tether_ctx_done_fd(ctx, &fd) == TETHER_OK && ctx_fd_readable(fd));
}

/* root -> value -> mid -> leaf, nothing registered */
static void make_chain(struct scene *scene) {
  scene->root = tether_ctx_with_cancel(tether_ctx_background());
  scene->mid = tether_ctx_with_cancel(scene->root);
  scene->leaf = tether_ctx_with_timeout(scene->mid, CTX_TEST_HOUR);
  scene->other = tether_ctx_with_cancel(scene->mid);
}

static void make_told_chain(struct scene *scene) {
  make_chain(scene);
  scene->broken[0] = tether_ctx_wait(scene->leaf, 1) != TETHER_OK;
}

static void free_chain(const struct scene *scene) {
  tether_ctx_free(scene->other);
  tether_ctx_free(scene->leaf);
  tether_ctx_free(scene->mid);
  tether_ctx_free(scene->root);
}

static void cancel_root(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_cancel_cause(scene->root, cause_one);
  /* row 30: whoever's cancel it was */
  scene->broken[0] =
      tether_ctx_err(scene->leaf) != TETHER_CANCELLED || tether_ctx_err(scene->other) != TETHER_CANCELLED;
}

static void cancel_root_again(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_cancel_cause(scene->root, cause_two);
  scene->broken[1] =
      tether_ctx_err(scene->leaf) != TETHER_CANCELLED || tether_ctx_err(scene->other) != TETHER_CANCELLED;
}

/* ---- Registering against ending -------------------------------------------------------------- */

static void register_leaf(struct scene *scene) {
  jitter(scene, 1);
  ctx_call_after(&scene->calls[0], scene->leaf, NULL);
}

static void register_other(struct scene *scene) {
  int fd;
  jitter(scene, 2);
  if (scene->round % 4 == 0) scene->broken[2] = tether_ctx_done_fd(scene->other, &fd) != TETHER_OK;
  ctx_call_after(&scene->calls[1], scene->other, NULL);
}

static bool chain_told_once(struct scene *scene) {
  bool fine = !scene->broken[0] && !scene->broken[1] && !scene->broken[2];
  fine = fine && is_done(scene, scene->leaf, TETHER_CANCELLED, cause_one);
  fine = fine && is_done(scene, scene->other, TETHER_CANCELLED, cause_one);
  for (int i = 0; i < 2; i++) {
    fine = fine && atomic_load(&scene->calls[i].runs) == 1 && !tether_after_stop(&scene->calls[i].after);
  }
  free_chain(scene);
  return fine;
}

static void registering_a_chain_against_cancel_of_its_root(void **state) {
  (void)state;
  run_race(make_chain, cancel_root, register_leaf, register_other, chain_told_once, ROUNDS);
}

static bool chain_one_cause(struct scene *scene) {
  const tether_cause *cause = tether_ctx_cause(scene->root);
  bool fine = !scene->broken[0] && !scene->broken[1] && !scene->broken[2];
  fine = fine && (cause == cause_one || cause == cause_two);
  fine = fine && is_done(scene, scene->leaf, TETHER_CANCELLED, cause) &&
         is_done(scene, scene->other, TETHER_CANCELLED, cause);
  free_chain(scene);
  return fine;
}

static void two_cancels_of_a_told_chain_while_more_registers(void **state) {
  (void)state;
  run_race(make_told_chain, cancel_root, cancel_root_again, register_other, chain_one_cause, ROUNDS);
}

/* ---- Polling against ending: once seen, never another answer --------------------------------- */

static void poll_leaf(struct scene *scene) {
  jitter(scene, 1);
  for (int i = 0; i < 8 && scene->seen[1] == TETHER_OK; i++) {
    scene->seen[1] = tether_ctx_err(scene->leaf);
    scene->why[1] = tether_ctx_cause(scene->leaf);
    if (scene->seen[1] != TETHER_OK && scene->why[1] == NULL) scene->broken[1] = true;
  }
}

static void cancel_leaf(struct scene *scene) {
  jitter(scene, 2);
  tether_ctx_cancel_cause(scene->leaf, cause_two);
  scene->why[2] = tether_ctx_cause(scene->leaf);
}

static void cancel_root_only(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_cancel_cause(scene->root, cause_one);
  scene->why[0] = tether_ctx_cause(scene->leaf);
}

static bool leaf_has_one_story(struct scene *scene) {
  const tether_cause *cause = tether_ctx_cause(scene->leaf);
  bool fine = cause == cause_one || cause == cause_two;
  fine = fine && !scene->broken[1] && scene->why[0] == cause && scene->why[2] == cause;
  if (scene->seen[1] != TETHER_OK) fine = fine && scene->why[1] == cause;
  fine = fine && is_done(scene, scene->leaf, TETHER_CANCELLED, cause) && tether_ctx_cause(scene->other) == cause_one;
  free_chain(scene);
  return fine;
}

static void polled_leaf_cancelled_here_and_above(void **state) {
  (void)state;
  run_race(make_chain, cancel_root_only, poll_leaf, cancel_leaf, leaf_has_one_story, ROUNDS);
  run_race(make_told_chain, cancel_root_only, poll_leaf, cancel_leaf, leaf_has_one_story, ROUNDS);
}

/* row 34, and back: neither the error nor the descriptor is seen without the other */
static void watch_error_then_fd(struct scene *scene) {
  int fd = -1;
  if (tether_ctx_done_fd(scene->leaf, &fd) != TETHER_OK) scene->broken[1] = true;
  while (tether_ctx_err(scene->leaf) == TETHER_OK) continue;
  if (!ctx_fd_readable(fd)) scene->broken[1] = true;
}

static void watch_fd_then_error(struct scene *scene) {
  int fd = -1;
  if (tether_ctx_done_fd(scene->leaf, &fd) != TETHER_OK) scene->broken[2] = true;
  while (!ctx_fd_readable(fd)) continue;
  if (tether_ctx_err(scene->leaf) == TETHER_OK) scene->broken[2] = true;
}

static void error_and_descriptor_turn_together(void **state) {
  (void)state;
  run_race(make_chain, cancel_root, watch_error_then_fd, watch_fd_then_error, chain_one_cause, ROUNDS);
}

/* ---- Releasing against ending ---------------------------------------------------------------- */

static void unref_leaf_and_other(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_unref(scene->leaf);
  tether_ctx_unref(scene->other);
}

static void cancel_root_unseen(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_cancel_cause(scene->root, cause_one);
}

static void unref_mid(struct scene *scene) {
  jitter(scene, 2);
  tether_ctx_unref(scene->mid);
}

static bool root_is_alone(struct scene *scene) {
  bool fine = is_done(scene, scene->root, TETHER_CANCELLED, cause_one);
  tether_ctx_free(scene->root);
  return fine;
}

static void last_unrefs_of_a_told_branch_against_cancel(void **state) {
  (void)state;
  run_race(make_told_chain, cancel_root_unseen, unref_leaf_and_other, unref_mid, root_is_alone, ROUNDS);
}

static void make_called_chain(struct scene *scene) {
  make_chain(scene);
  ctx_call_after(&scene->calls[0], scene->leaf, NULL);
  ctx_call_after(&scene->calls[1], scene->other, NULL);
}

static void free_leaf_and_other(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_free(scene->leaf);
  tether_ctx_free(scene->other);
}

static bool called_once_and_gone(struct scene *scene) {
  bool fine = atomic_load(&scene->calls[0].runs) == 1 && atomic_load(&scene->calls[1].runs) == 1;
  return root_is_alone(scene) && fine;
}

static void free_of_children_with_callbacks_against_cancel(void **state) {
  (void)state;
  run_race(make_called_chain, cancel_root_unseen, free_leaf_and_other, unref_mid, called_once_and_gone, ROUNDS);
}

/* ---- Stopping against ending ----------------------------------------------------------------- */

static void stop_one(struct scene *scene) {
  jitter(scene, 1);
  scene->stopped[0] = tether_after_stop(&scene->calls[0].after);
}

static void stop_and_wait_one(struct scene *scene) {
  jitter(scene, 2);
  scene->stopped[1] = tether_after_stop_wait(&scene->calls[0].after);
  int runs = atomic_load(&scene->calls[0].runs);
  scene->broken[2] = scene->stopped[1] && runs != 0;
}

static bool ran_or_stopped(struct scene *scene) {
  int outcomes = atomic_load(&scene->calls[0].runs) + scene->stopped[0] + scene->stopped[1];
  bool fine = outcomes == 1 && !scene->broken[2] && atomic_load(&scene->calls[1].runs) == 1;
  free_chain(scene);
  return fine;
}

static void two_stops_against_cancel(void **state) {
  (void)state;
  run_race(make_called_chain, cancel_root_unseen, stop_one, stop_and_wait_one, ran_or_stopped, ROUNDS);
}

static void count_heap_run(void *data) { atomic_fetch_add((atomic_int *)data, 1); }

static void make_heap_registration(struct scene *scene) {
  make_chain(scene);
  scene->heap = malloc(sizeof *scene->heap);
  tether_ctx_after_func(scene->leaf, scene->heap, NULL, count_heap_run, &scene->heap_runs);
}

/* The context may be gone by then: the canceller drops everything. */
static void stop_wait_and_free_registration(struct scene *scene) {
  jitter(scene, 1);
  scene->stopped[0] = tether_after_stop_wait(scene->heap);
  free(scene->heap);
}

static void cancel_and_drop_all(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_cancel(scene->root);
  free_chain(scene);
}

static bool heap_ran_or_stopped(struct scene *scene) { return atomic_load(&scene->heap_runs) + scene->stopped[0] == 1; }

static void registration_freed_after_stop_wait_while_its_context_goes(void **state) {
  (void)state;
  run_race(make_heap_registration, cancel_and_drop_all, stop_wait_and_free_registration, NULL, heap_ran_or_stopped,
           ROUNDS);
}

/* The callback frees its registration and drops the last reference to its context. */
static void drop_everything(void *data) {
  struct scene *scene = data;
  free(scene->heap);
  atomic_fetch_add(&scene->heap_runs, 1);
  tether_ctx_unref(scene->leaf);
}

static void make_self_dropping(struct scene *scene) {
  make_chain(scene);
  scene->heap = malloc(sizeof *scene->heap);
  tether_ctx_after_func(scene->leaf, scene->heap, NULL, drop_everything, scene);
}

static void cancel_mid(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_cancel(scene->mid);
}

static bool dropped_once(struct scene *scene) {
  bool fine = atomic_load(&scene->heap_runs) == 1;
  tether_ctx_free(scene->other);
  tether_ctx_free(scene->mid);
  tether_ctx_free(scene->root);
  return fine;
}

static void callback_that_frees_its_registration_and_context(void **state) {
  (void)state;
  run_race(make_self_dropping, cancel_root_unseen, cancel_mid, NULL, dropped_once, ROUNDS);
}

/* ---- Executors ------------------------------------------------------------------------------- */

static tether_pool *pool;

static void make_pooled(struct scene *scene) {
  make_chain(scene);
  scene->heap = malloc(sizeof *scene->heap);
  tether_ctx_after_func(scene->leaf, scene->heap, tether_pool_executor(pool), count_heap_run, &scene->heap_runs);
}

static void stop_wait_on_pool_against_cancel(void **state) {
  (void)state;
  assert_int_equal(tether_pool_open(2, &pool), TETHER_OK);
  run_race(make_pooled, cancel_and_drop_all, stop_wait_and_free_registration, NULL, heap_ran_or_stopped, ROUNDS / 2);
  tether_pool_close(pool);
}

/* ---- Merging --------------------------------------------------------------------------------- */

/* root and other, merged into mid, below it leaf */
static void make_merge(struct scene *scene) {
  scene->root = tether_ctx_with_cancel(tether_ctx_background());
  scene->other = tether_ctx_with_cancel(tether_ctx_background());
  scene->mid = tether_ctx_merge(scene->root, scene->other);
  scene->leaf = tether_ctx_with_cancel(scene->mid);
}

static void cancel_other(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_cancel_cause(scene->other, cause_two);
  scene->seen[1] = tether_ctx_err(scene->leaf);
  scene->why[1] = tether_ctx_cause(scene->leaf);
}

static void cancel_first(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_cancel_cause(scene->root, cause_one);
  scene->seen[0] = tether_ctx_err(scene->leaf);
  scene->why[0] = tether_ctx_cause(scene->leaf);
}

static bool merged_one_story(struct scene *scene) {
  const tether_cause *cause = tether_ctx_cause(scene->mid);
  bool fine = cause == cause_one || cause == cause_two;
  for (int i = 0; i < 2; i++) fine = fine && scene->seen[i] == TETHER_CANCELLED && scene->why[i] == cause;
  fine = fine && is_done(scene, scene->leaf, TETHER_CANCELLED, cause) && atomic_load(&scene->calls[0].runs) <= 1;
  free_chain(scene);
  return fine;
}

static void both_parents_of_a_merge_cancelled_while_it_registers(void **state) {
  (void)state;
  run_race(make_merge, cancel_first, cancel_other, register_leaf, merged_one_story, ROUNDS);
}

static void free_merge(struct scene *scene) {
  jitter(scene, 2);
  tether_ctx_unref(scene->leaf);
  tether_ctx_unref(scene->mid);
}

static void cancel_other_unseen(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_cancel_cause(scene->other, cause_two);
}

static bool parents_are_alone(struct scene *scene) {
  bool fine = is_done(scene, scene->root, TETHER_CANCELLED, cause_one) &&
              is_done(scene, scene->other, TETHER_CANCELLED, cause_two);
  tether_ctx_free(scene->root);
  tether_ctx_free(scene->other);
  return fine;
}

static void last_unref_of_a_merge_against_cancel_of_its_parents(void **state) {
  (void)state;
  run_race(make_merge, cancel_root_unseen, cancel_other_unseen, free_merge, parents_are_alone, ROUNDS);
}

/* ---- Expiry: in virtual time, so that it comes exactly when the others do --------------------- */

static void make_expiring(struct scene *scene) {
  const int64_t after_ns = (scene->index + 1) * TETHER_MS; /* each scene's actor lets one more pass */
  scene->root = tether_ctx_with_cancel(tether_ctx_background());
  scene->mid = tether_ctx_with_timeout_cause(scene->root, after_ns, cause_one);
  scene->leaf = tether_ctx_with_cancel(scene->mid);
  scene->other = tether_ctx_with_timeout(scene->mid, after_ns);
}

static void make_armed(struct scene *scene) {
  make_expiring(scene);
  ctx_call_after(&scene->calls[0], scene->leaf, NULL);
  ctx_call_after(&scene->calls[1], scene->other, NULL);
}

static void let_time_pass(struct scene *scene) {
  jitter(scene, 0);
  ctx_sim_advance(TETHER_MS);
}

static void cancel_mid_with_cause(struct scene *scene) {
  jitter(scene, 1);
  tether_ctx_cancel_cause(scene->mid, cause_two);
  scene->why[1] = tether_ctx_cause(scene->mid);
}

static bool expired_or_cancelled(struct scene *scene) {
  const tether_cause *cause = tether_ctx_cause(scene->mid);
  bool fine = tether_ctx_err(scene->mid) == (cause == cause_one ? TETHER_DEADLINE_EXCEEDED : TETHER_CANCELLED);
  fine = fine && scene->why[1] == cause && is_done(scene, scene->leaf, tether_ctx_err(scene->mid), cause);
  fine = fine && atomic_load(&scene->calls[0].runs) == 1;
  free_chain(scene);
  return fine;
}

static void expiry_against_cancel_against_registering(void **state) {
  (void)state;
  run_race(make_expiring, let_time_pass, cancel_mid_with_cause, register_leaf, expired_or_cancelled, ROUNDS);
}

static bool all_gone(struct scene *scene) {
  bool fine = atomic_load(&scene->calls[0].runs) == 1 && atomic_load(&scene->calls[1].runs) == 1;
  tether_ctx_free(scene->root);
  return fine;
}

static void expiry_against_free(void **state) {
  (void)state;
  run_race(make_armed, let_time_pass, free_leaf_and_other, unref_mid, all_gone, ROUNDS);
}

static void make_watched(struct scene *scene) {
  int fd;
  make_expiring(scene);
  if (tether_ctx_done_fd(scene->other, &fd) != TETHER_OK) scene->broken[0] = true;
}

static bool root_is_left(struct scene *scene) {
  bool fine = !scene->broken[0] && tether_ctx_err(scene->root) == TETHER_OK;
  tether_ctx_free(scene->root);
  return fine;
}

/* Nobody cancels: the timer and the last reference alone meet. */
static void expiry_against_last_unref(void **state) {
  (void)state;
  run_race(make_watched, let_time_pass, unref_leaf_and_other, unref_mid, root_is_left, ROUNDS);
}

/* In real time, against the timer's own thread. */
static void make_brief(struct scene *scene) {
  scene->root = tether_ctx_with_cancel(tether_ctx_background());
  scene->mid = tether_ctx_with_timeout_cause(scene->root, (int64_t)(scene->round % 400) * TETHER_US, cause_one);
  scene->leaf = tether_ctx_with_cancel(scene->mid);
  scene->other = tether_ctx_with_timeout(scene->mid, TETHER_MS);
}

static void wait_leaf(struct scene *scene) {
  scene->seen[0] = tether_ctx_wait(scene->leaf, TETHER_FOREVER);
  scene->why[0] = tether_ctx_cause(scene->leaf);
}

static bool brief_one_story(struct scene *scene) {
  const tether_cause *cause = tether_ctx_cause(scene->mid);
  bool fine = tether_ctx_err(scene->mid) == (cause == cause_one ? TETHER_DEADLINE_EXCEEDED : TETHER_CANCELLED);
  fine = fine && scene->seen[0] == tether_ctx_err(scene->mid) && scene->why[0] == cause && scene->why[1] == cause;
  (void)tether_after_stop_wait(&scene->calls[1].after); /* the timer's thread may still be at it */
  free_chain(scene);
  return fine;
}

static void sleep_then_cancel_mid(struct scene *scene) {
  for (volatile unsigned i = scene->round * 7919u % 20000; i > 0; i--) continue;
  cancel_mid_with_cause(scene);
}

static void waiter_and_timer_thread_against_cancel(void **state) {
  (void)state;
  run_race_in(1, make_brief, wait_leaf, sleep_then_cancel_mid, register_other, brief_one_story, ROUNDS / 10);
}

/* ---- Requests from signal handlers ----------------------------------------------------------- */

static void make_requestable(struct scene *scene) {
  make_chain(scene);
  if (tether_ctx_enable_request_cancel(scene->mid) != TETHER_OK) scene->broken[0] = true;
  (void)tether_ctx_ref(scene->mid);
}

static void request_and_unref(struct scene *scene) {
  jitter(scene, 0);
  tether_ctx_request_cancel(scene->mid);
  tether_ctx_request_cancel(scene->mid);
  tether_ctx_unref(scene->mid);
}

static void wait_then_free_leaf(struct scene *scene) {
  scene->seen[1] = tether_ctx_wait(scene->leaf, CTX_TEST_BOUND_NS);
  tether_ctx_free(scene->leaf);
}

static void free_mid_later(struct scene *scene) {
  jitter(scene, 2);
  tether_ctx_cancel(scene->other);
  tether_ctx_unref(scene->mid);
}

static bool requested(struct scene *scene) {
  bool fine = !scene->broken[0] && scene->seen[1] == TETHER_CANCELLED;
  tether_ctx_free(scene->other);
  tether_ctx_free(scene->root);
  return fine;
}

static void requested_cancel_against_unref(void **state) {
  (void)state;
  run_race(make_requestable, request_and_unref, wait_then_free_leaf, free_mid_later, requested, ROUNDS / 5);
}

/* ---- The clock ------------------------------------------------------------------------------- */

static int64_t real_time(void *data) {
  (void)data;
  return ctx_real_now_ns();
}

static void replace_clock(struct scene *scene) {
  static const tether_clock clock = {.now_ns = real_time};
  jitter(scene, 0);
  tether_code code = tether_clock_set(scene->round % 2 ? &clock : NULL);
  scene->broken[0] = code != TETHER_OK && code != TETHER_FAILED_PRECONDITION;
}

static void arm_and_free(struct scene *scene) {
  jitter(scene, 1);
  ctx_call_after(&scene->calls[0], scene->leaf, NULL);
  jitter(scene, 2);
  scene->stopped[0] = tether_after_stop(&scene->calls[0].after);
  tether_ctx_free(scene->leaf);
}

static bool stopped_in_time(struct scene *scene) {
  bool fine = !scene->broken[0] && scene->stopped[0];
  tether_ctx_free(scene->other);
  tether_ctx_free(scene->mid);
  tether_ctx_free(scene->root);
  return fine;
}

static void clock_replaced_against_arming(void **state) {
  (void)state;
  run_race(make_chain, replace_clock, arm_and_free, NULL, stopped_in_time, ROUNDS);
  assert_int_equal(tether_clock_set(NULL), TETHER_OK);
}

#define race_of(test) \
  { #test, test, race_setup, race_teardown, NULL }

static int virtual_setup(void **state) { return ctx_sim_setup(state) != 0 ? -1 : race_setup(state); }

static int virtual_teardown(void **state) {
  int left = race_teardown(state);
  return tether_clock_set(NULL) != TETHER_OK ? -1 : left;
}

#define virtual_race(test) \
  { #test, test, virtual_setup, virtual_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      race_of(registering_a_chain_against_cancel_of_its_root),
      race_of(two_cancels_of_a_told_chain_while_more_registers),
      race_of(polled_leaf_cancelled_here_and_above),
      race_of(error_and_descriptor_turn_together),
      race_of(last_unrefs_of_a_told_branch_against_cancel),
      race_of(free_of_children_with_callbacks_against_cancel),
      race_of(two_stops_against_cancel),
      race_of(registration_freed_after_stop_wait_while_its_context_goes),
      race_of(callback_that_frees_its_registration_and_context),
      race_of(stop_wait_on_pool_against_cancel),
      race_of(both_parents_of_a_merge_cancelled_while_it_registers),
      race_of(last_unref_of_a_merge_against_cancel_of_its_parents),
      virtual_race(expiry_against_cancel_against_registering),
      virtual_race(expiry_against_free),
      virtual_race(expiry_against_last_unref),
      race_of(waiter_and_timer_thread_against_cancel),
      race_of(requested_cancel_against_unref),
      race_of(clock_replaced_against_arming),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
