/* A bounded pool of connections to a real PostgreSQL. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "tests/modules/pq_fixture.h"

static tether_pq_pool *pool;
static char conninfo[300]; /* of the pool's connections: tells them from others */

#define OURS "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pooled'"

static int open_pool(int max) {
  tether_pq_options options = pq_options();
  snprintf(conninfo, sizeof conninfo, "%s application_name=pooled", server.conninfo);
  options.conninfo = conninfo;
  options.max_connections = max;
  return tether_pq_pool_open(&options, &pool) == TETHER_OK ? 0 : -1;
}

static int setup(void **state) { return pq_setup(state) == 0 ? open_pool(2) : -1; }

static bool none_left(void *data) {
  (void)data;
  return pq_number(pq, OURS) == 0;
}

static int teardown(void **state) {
  tether_pq_pool_close(pool);
  pool = NULL;
  if (pq && !tst_wait_until(none_left, NULL, TST_BOUND_NS)) return -1;
  return pq_teardown(state);
}

static tether_pq *taken(void) {
  tether_pq *one = NULL;
  assert_code(tether_pq_pool_take(pool, tether_ctx_background(), &one), TETHER_OK);
  return one;
}

/* ---- Taking and giving ---------------------------------------------------------------------- */

static void connections_are_made_when_needed_and_used_again(void **state) {
  (void)state;
  assert_int_equal(pq_number(pq, OURS), 0);
  tether_pq *a = taken(), *b = taken();
  assert_ptr_not_equal(a, b);
  assert_int_equal(pq_number(pq, OURS), 2);
  tether_pq_pool_give(pool, a);
  assert_ptr_equal(taken(), a);
  tether_pq_pool_give(pool, a);
  tether_pq_pool_give(pool, b);
  assert_int_equal(pq_number(pq, OURS), 2);
}

struct taker {
  const tether_ctx *ctx;
  tether_pq *got;
  tether_code code;
  pthread_t thread;
  tst_latch done;
};

static void *take_one(void *data) {
  struct taker *taker = data;
  taker->code = tether_pq_pool_take(pool, taker->ctx, &taker->got);
  tst_latch_open(&taker->done);
  return NULL;
}

static void taker_start(struct taker *taker, const tether_ctx *ctx) {
  *taker = (struct taker){.ctx = ctx, .code = TETHER_UNKNOWN};
  tst_latch_init(&taker->done);
  assert_int_equal(pthread_create(&taker->thread, NULL, take_one, taker), 0);
}

static void taker_join(struct taker *taker) {
  assert_true(tst_latch_wait(&taker->done, TST_BOUND_NS));
  assert_int_equal(pthread_join(taker->thread, NULL), 0);
  tst_latch_fini(&taker->done);
}

static void who_waits_gets_what_is_given_back(void **state) {
  (void)state;
  struct taker taker;
  tether_pq *a = taken(), *b = taken();
  taker_start(&taker, tether_ctx_background());
  assert_false(tst_latch_wait(&taker.done, 30 * TETHER_MS));
  tether_pq_pool_give(pool, a);
  taker_join(&taker);
  assert_code(taker.code, TETHER_OK);
  assert_ptr_equal(taker.got, a);
  tether_pq_pool_give(pool, taker.got);
  tether_pq_pool_give(pool, b);
}

static void waiting_ends_with_the_context(void **state) {
  (void)state;
  struct taker first, second;
  tether_pq *a = taken(), *b = taken(), *none = NULL;
  TETHER_SCOPED tether_ctx *brief = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_MS);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  assert_code(tether_pq_pool_take(pool, brief, &none), TETHER_DEADLINE_EXCEEDED);
  taker_start(&first, ctx);
  taker_start(&second, tether_ctx_background());
  tether_ctx_cancel(ctx);
  taker_join(&first);
  assert_code(first.code, TETHER_CANCELLED);
  tether_pq_pool_give(pool, a); /* the one who left is not served */
  taker_join(&second);
  assert_ptr_equal(second.got, a);
  tether_pq_pool_give(pool, a);
  tether_pq_pool_give(pool, b);
  assert_code(tether_pq_pool_take(pool, brief, &none), TETHER_DEADLINE_EXCEEDED);
}

/* ---- What users leave behind ---------------------------------------------------------------- */

static void what_runs_is_stopped_and_what_is_open_is_rolled_back(void **state) {
  (void)state;
  char seen[64];
  tether_pq *a = taken();
  int backend = PQbackendPID(tether_pq_conn(a));
  pq_do(a, "BEGIN");
  pq_do(a, "CREATE TABLE left_behind(a int)");
  assert_int_equal(PQsendQuery(tether_pq_conn(a), "SELECT pg_sleep(600)"), 1);
  tether_pq_pool_give(pool, a);
  assert_string_equal(pq_state_of(backend, seen), "idle");
  assert_int_equal(pq_number(pq, "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"), 0);
  assert_ptr_equal(taken(), a);
  assert_int_equal(pq_number(a, "SELECT 42"), 42);
  tether_pq_pool_give(pool, a);
}

static void a_broken_connection_makes_room_for_another(void **state) {
  (void)state;
  struct taker taker;
  tether_pq *a = taken(), *b = taken();
  assert_code(pq_try(a, tether_ctx_background(), "SELECT pg_terminate_backend(pg_backend_pid())"), TETHER_UNAVAILABLE);
  taker_start(&taker, tether_ctx_background());
  tether_pq_pool_give(pool, a);
  taker_join(&taker);
  assert_code(taker.code, TETHER_OK);
  assert_int_equal(pq_number(taker.got, "SELECT 42"), 42);
  tether_pq_pool_give(pool, taker.got);
  tether_pq_pool_give(pool, b);
}

static void an_idle_connection_that_the_server_closed_is_replaced(void **state) {
  (void)state;
  tether_pq *a = taken();
  int backend = PQbackendPID(tether_pq_conn(a));
  char sql[64];
  tether_pq_pool_give(pool, a);
  snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", backend);
  pq_do(pq, sql);
  assert_true(pq_wait_state(backend, ""));
  a = taken();
  assert_int_equal(pq_number(a, "SELECT 42"), 42);
  assert_int_not_equal(PQbackendPID(tether_pq_conn(a)), backend);
  tether_pq_pool_give(pool, a);
}

static void without_a_server_taking_fails_and_works_again_when_it_is_back(void **state) {
  (void)state;
  tether_pq *a = taken(), *b = taken(), *none = NULL;
  tether_pq_pool_give(pool, b);
  assert_true(tst_postgres_stop(&server, SIGINT));
  for (int i = 0; i < 5; i++)
    assert_code(tether_pq_pool_take(pool, tether_ctx_background(), &none), TETHER_UNAVAILABLE);
  assert_code(pq_try(a, tether_ctx_background(), "SELECT 1"), TETHER_UNAVAILABLE);
  tether_pq_pool_give(pool, a);
  assert_true(tst_postgres_start(&server));
  a = taken();
  b = taken();
  assert_int_equal(pq_number(a, "SELECT 42"), 42);
  tether_pq_pool_give(pool, a);
  tether_pq_pool_give(pool, b);
  tether_pq_close(pq);
  pq = pq_connect();
}

static void a_connection_string_that_does_not_parse_is_refused_at_once(void **state) {
  (void)state;
  tether_pq_pool *none = NULL;
  const tether_pq_options options = {.conninfo = "nonsense"};
  assert_code(tether_pq_pool_open(&options, &none), TETHER_INVALID_ARGUMENT);
  tether_pq_pool_close(NULL);
}

/* ---- Many at once --------------------------------------------------------------------------- */

enum { USERS = 8 };

struct user {
  pthread_t thread;
  int number, rounds, finished, stopped, wrong;
};

/* Asks for a number of its own, now and then with too little time. */
static void use_once(struct user *user, int round) {
  char text[16];
  int64_t timeout_ns = round % 4 == 0 ? (round % 7) * 100 * TETHER_US : TST_BOUND_NS;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), timeout_ns);
  tether_pq *one = NULL;
  PGresult *result = NULL;
  snprintf(text, sizeof text, "%d", user->number * 100000 + round);
  tether_code code = tether_pq_pool_take(pool, ctx, &one);
  if (code == TETHER_OK) {
    code = tether_pq_query(one, ctx, "SELECT $1::int", 1, (const char *const[]){text}, &result);
    if (code == TETHER_OK) user->wrong += strcmp(PQgetvalue(result, 0, 0), text) != 0;
    PQclear(result);
    tether_pq_pool_give(pool, one);
  }
  user->finished += code == TETHER_OK;
  user->stopped += code == TETHER_DEADLINE_EXCEEDED && round % 4 == 0;
}

static void *use(void *data) {
  struct user *user = data;
  for (int i = 0; i < user->rounds; i++) use_once(user, i);
  return NULL;
}

static void many_users_share_few_connections_and_each_gets_its_own_answers(void **state) {
  (void)state;
  struct user users[USERS];
  const int rounds = CTX_TEST_ROUNDS(1000);
  for (int i = 0; i < USERS; i++) {
    users[i] = (struct user){.number = i + 1, .rounds = rounds};
    assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
  }
  for (int i = 0; i < USERS; i++) {
    assert_int_equal(pthread_join(users[i].thread, NULL), 0);
    assert_int_equal(users[i].wrong, 0);
    assert_int_equal(users[i].finished + users[i].stopped, rounds);
    assert_true(users[i].finished >= rounds / 2);
  }
  assert_in_range(pq_number(pq, OURS), 1, 2);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(connections_are_made_when_needed_and_used_again),
      CASE(who_waits_gets_what_is_given_back),
      CASE(waiting_ends_with_the_context),
      CASE(what_runs_is_stopped_and_what_is_open_is_rolled_back),
      CASE(a_broken_connection_makes_room_for_another),
      CASE(an_idle_connection_that_the_server_closed_is_replaced),
      CASE(without_a_server_taking_fails_and_works_again_when_it_is_back),
      CASE(a_connection_string_that_does_not_parse_is_refused_at_once),
      CASE(many_users_share_few_connections_and_each_gets_its_own_answers),
  };
  return pq_run_tests("pq_pool", tests, sizeof tests / sizeof *tests);
}
