/* A shard that is told to stop under load: every query it was sent is answered, the process ends in good order, and the
 * next one takes over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "search/v1/shard.tether.h"
#include "support/cluster.h"

#define IN_FLIGHT 16
#define ROUNDS 5
#define PATIENCE_NS (PATIENCE_MS * TETHER_MS)

static cluster c;
static process shard;
static char url[128];
static tether_client *client;
static atomic_bool stop;
static atomic_int under_way, answered;

static void start_shard(int round) {
  char db[128], name[32];
  log_line line;
  snprintf(db, sizeof db, "%s/db/shard-0.db", c.dir);
  snprintf(url, sizeof url, "ipc://%s/drained.sock", c.dir);
  snprintf(name, sizeof name, "drained-%d", round);
  const char *const args[] = {"--db", db, "--listen", url, "--name", name, "--grace", "20s", NULL};
  process_start(&shard, c.dir, name, "tether-shard", args);
  assert_true(log_wait(&shard, "ready", NULL, NULL, &line));
}

static int setup(void **state) {
  (void)state;
  cluster_start(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  process_kill(&shard);
  return cluster_stop(&c);
}

static void start(void);

static void on_done(tether_call *call, void *data) {
  (void)data;
  if (tether_call_code(call) == TETHER_OK) atomic_fetch_add(&answered, 1);
  if (atomic_load(&stop))
    atomic_fetch_sub(&under_way, 1);
  else
    start();
}

static void start(void) {
  Search__V1__ShardSearchRequest request = SEARCH__V1__SHARD_SEARCH_REQUEST__INIT;
  request.query = "editor";
  const tether_call_options options = {.wait_for_ready = true, .timeout_ns = PATIENCE_NS};
  tether_call_unref(
      search_v1_shard_client_search_start(client, tether_ctx_background(), &request, &options, on_done, NULL));
}

static bool reaches(const atomic_int *value, int wanted) {
  for (int waited = 0; waited < PATIENCE_MS && atomic_load(value) != wanted; waited++) nap_ms(1);
  return atomic_load(value) == wanted;
}

static void a_shard_that_is_told_to_stop_under_load_answers_all_it_was_sent(void **state) {
  (void)state;
  const tether_client_options options = {.backoff_initial_ns = 20 * TETHER_MS, .backoff_max_ns = 100 * TETHER_MS};
  start_shard(0);
  assert_int_equal(tether_client_open(url, &options, &client), TETHER_OK);
  for (int i = 0; i < IN_FLIGHT; i++) {
    atomic_fetch_add(&under_way, 1);
    start();
  }
  for (int round = 1; round <= ROUNDS; round++) {
    int before = atomic_load(&answered);
    for (int waited = 0; waited < PATIENCE_MS && atomic_load(&answered) < before + 100; waited++) nap_ms(1);
    assert_true(atomic_load(&answered) >= before + 100);
    assert_int_equal(kill(shard.pid, SIGTERM), 0);
    assert_int_equal(process_wait(&shard), 0);
    start_shard(round);
  }
  atomic_store(&stop, true);
  assert_true(reaches(&under_way, 0));
  tether_client_stats stats;
  tether_client_get_stats(client, &stats);
  print_message("%d stops: %llu queries answered, %llu never sent\n", ROUNDS,
                (unsigned long long)stats.ended[TETHER_OK], (unsigned long long)stats.unsent);
  for (int code = 1; code < TETHER_CODES; code++) assert_int_equal(stats.ended[code], 0);
  tether_client_close(client);
  assert_int_equal(kill(shard.pid, SIGTERM), 0);
  assert_int_equal(process_wait(&shard), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_shard_that_is_told_to_stop_under_load_answers_all_it_was_sent, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
