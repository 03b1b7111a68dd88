/* A ticker told, kicked and stopped from several threads at once: ticks never overlap, every ticker that has begun ends
 * once, and nothing ticks after that. */
#include <pthread.h>
#include <stdatomic.h>

#include "rpc/ticker.h"
#include "tests/support/ctx_test.h"
#include "tests/support/wait.h"

struct owner {
  tth_ticker ticker;
  int64_t gap_ns; /* between ticks; TETHER_FOREVER: it waits for kicks */
  tst_counter ticks, ended;
  atomic_int inside;
  atomic_bool overlapped, late, without_memory;
  atomic_bool over;
};

static int64_t on_tick(void *data) {
  struct owner *owner = data;
  if (atomic_fetch_add(&owner->inside, 1) != 0) atomic_store(&owner->overlapped, true);
  if (atomic_load(&owner->over)) atomic_store(&owner->late, true);
  tst_counter_add(&owner->ticks, 1);
  atomic_fetch_sub(&owner->inside, 1);
  return owner->gap_ns == TETHER_FOREVER ? TETHER_FOREVER : tether_time_add(tether_now_ns(), owner->gap_ns);
}

static void on_ended(void *data, bool memory) {
  struct owner *owner = data;
  atomic_store(&owner->over, true);
  atomic_store(&owner->without_memory, memory);
  tst_counter_add(&owner->ended, 1);
}

static void begin(struct owner *owner, int64_t gap_ns) {
  *owner = (struct owner){.gap_ns = gap_ns};
  tst_counter_init(&owner->ticks);
  tst_counter_init(&owner->ended);
  tth_ticker_init(&owner->ticker, on_tick, on_ended, owner);
}

static void end(struct owner *owner) {
  assert_true(tst_counter_wait(&owner->ended, 1, TST_BOUND_NS));
  assert_int_equal(tst_counter_get(&owner->ended), 1);
  assert_false(atomic_load(&owner->overlapped));
  assert_false(atomic_load(&owner->late));
  assert_false(atomic_load(&owner->without_memory));
  tth_ticker_fini(&owner->ticker);
  tst_counter_fini(&owner->ticks);
  tst_counter_fini(&owner->ended);
}

static void it_ticks_when_it_said_until_it_is_stopped(void **state) {
  (void)state;
  struct owner owner;
  begin(&owner, TETHER_MS);
  int64_t since_ns = tst_now_ns();
  tth_ticker_kick(&owner.ticker);
  assert_true(tst_counter_get(&owner.ticks) >= 1);
  assert_true(tst_counter_wait(&owner.ticks, 20, TST_BOUND_NS));
  assert_true(tst_now_ns() - since_ns >= 19 * TETHER_MS);
  tth_ticker_stop(&owner.ticker);
  end(&owner);
}

static void one_that_waits_for_nothing_rests_until_it_is_kicked(void **state) {
  (void)state;
  struct owner owner;
  begin(&owner, TETHER_FOREVER);
  for (int i = 1; i <= 5; i++) {
    tth_ticker_kick(&owner.ticker);
    assert_int_equal(tst_counter_get(&owner.ticks), i);
    assert_int_equal(tst_counter_get(&owner.ended), 0);
  }
  tth_ticker_stop(&owner.ticker);
  assert_int_equal(tst_counter_get(&owner.ended), 1);
  tth_ticker_kick(&owner.ticker);
  assert_int_equal(tst_counter_get(&owner.ticks), 5);
  end(&owner);
}

static void stopped_before_it_begins_it_ends_without_a_tick(void **state) {
  (void)state;
  struct owner owner;
  begin(&owner, TETHER_MS);
  tth_ticker_stop(&owner.ticker);
  assert_int_equal(tst_counter_get(&owner.ended), 0);
  tth_ticker_kick(&owner.ticker);
  assert_int_equal(tst_counter_get(&owner.ticks), 0);
  end(&owner);
}

static void a_kick_does_not_wait_for_the_time(void **state) {
  (void)state;
  struct owner owner;
  begin(&owner, 3600 * TETHER_SEC);
  for (int i = 1; i <= 5; i++) {
    tth_ticker_kick(&owner.ticker);
    assert_int_equal(tst_counter_get(&owner.ticks), i);
  }
  tth_ticker_stop(&owner.ticker);
  end(&owner);
}

static void *kick_often(void *data) {
  struct owner *owner = data;
  for (int i = 0; i < 200; i++) tth_ticker_kick(&owner->ticker);
  return NULL;
}

static void kicks_ticks_and_the_stop_may_meet(void **state) {
  (void)state;
  enum { THREADS = 4 };
  for (int round = 0; round < 60; round++) {
    struct owner owner;
    pthread_t threads[THREADS];
    /* Times that are over as they are armed, about to be over, far away, and none. */
    static const int64_t gaps_ns[] = {0, 20 * TETHER_US, TETHER_SEC, TETHER_FOREVER};
    begin(&owner, gaps_ns[round % 4]);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, kick_often, &owner), 0);
    while (owner.gap_ns == TETHER_FOREVER && tst_counter_get(&owner.ticks) < 20 + round) tth_ticker_kick(&owner.ticker);
    assert_true(tst_counter_wait(&owner.ticks, 20 + round, TST_BOUND_NS));
    tth_ticker_stop(&owner.ticker);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    end(&owner);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_ticks_when_it_said_until_it_is_stopped),
      cmocka_unit_test(one_that_waits_for_nothing_rests_until_it_is_kicked),
      cmocka_unit_test(stopped_before_it_begins_it_ends_without_a_tick),
      cmocka_unit_test(a_kick_does_not_wait_for_the_time),
      cmocka_unit_test(kicks_ticks_and_the_stop_may_meet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
