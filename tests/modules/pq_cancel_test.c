/* The end of a context stops its statement in the server, and nothing else ever. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/modules/pq_fixture.h"

static int backend(void) { return PQbackendPID(tether_pq_conn(pq)); }

/* The server runs nothing for the connection any more, at once, and the connection works. */
static void assert_idle_and_usable(void) {
  char state[64];
  assert_string_equal(pq_state_of(backend(), state), "idle");
  assert_int_equal(pq_number(pq, "SELECT 42"), 42);
}

/* ---- Someone who cancels once the server is at work ----------------------------------------- */

struct canceller {
  tether_ctx *ctx;
  int backend;
  bool seen;
  pthread_t thread;
};

static void *cancel_active(void *data) {
  struct canceller *c = data;
  c->seen = pq_wait_state(c->backend, "active");
  tether_ctx_cancel(c->ctx);
  return NULL;
}

static void canceller_start(struct canceller *c, tether_ctx *ctx) {
  *c = (struct canceller){.ctx = ctx, .backend = backend()};
  assert_int_equal(pthread_create(&c->thread, NULL, cancel_active, c), 0);
}

static void canceller_join(struct canceller *c) {
  assert_int_equal(pthread_join(c->thread, NULL), 0);
  assert_true(c->seen);
}

static void is_cancelled(const char *sql) {
  struct canceller canceller;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  canceller_start(&canceller, ctx);
  assert_code(pq_try(pq, ctx, sql), TETHER_CANCELLED);
  canceller_join(&canceller);
  assert_idle_and_usable();
}

/* ---- Stopping ------------------------------------------------------------------------------- */

static void a_cancel_stops_a_statement_that_sleeps(void **state) {
  (void)state;
  is_cancelled("SELECT pg_sleep(600)");
}

static void a_cancel_stops_a_statement_that_works(void **state) {
  (void)state;
  is_cancelled("SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000) b");
}

static void a_cancel_stops_a_statement_that_waits_for_a_lock(void **state) {
  (void)state;
  tether_pq *holder = pq_connect();
  pq_do(holder, "SELECT pg_advisory_lock(7)");
  is_cancelled("SELECT pg_advisory_lock(7)");
  tether_pq_close(holder);
}

static void a_deadline_stops_a_statement(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  assert_code(pq_try(pq, ctx, "SELECT pg_sleep(600)"), TETHER_DEADLINE_EXCEEDED);
  assert_idle_and_usable();
}

static void nothing_is_sent_under_a_context_that_has_ended(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  assert_code(pq_try(pq, ctx, "CREATE TABLE should_not_be(a int)"), TETHER_CANCELLED);
  assert_int_equal(pq_number(pq, "SELECT count(*) FROM pg_class WHERE relname = 'should_not_be'"), 0);
}

static void reading_rows_ends_with_the_context(void **state) {
  (void)state;
  PGresult *result = NULL;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  assert_int_equal(PQsendQuery(tether_pq_conn(pq), "SELECT repeat('x', 1000), generate_series(1, 100000000)"), 1);
  assert_int_equal(PQsetSingleRowMode(tether_pq_conn(pq)), 1);
  tether_code code = TETHER_OK;
  for (int i = 0; code == TETHER_OK; i++) {
    if (i == 100) tether_ctx_cancel(ctx);
    code = tether_pq_result(pq, ctx, &result);
    if (code == TETHER_OK) {
      assert_int_equal(PQresultStatus(result), PGRES_SINGLE_TUPLE);
      PQclear(result);
    }
  }
  assert_code(code, TETHER_CANCELLED);
  assert_idle_and_usable();
}

static void rows_that_nobody_wants_are_stopped(void **state) {
  (void)state;
  PGresult *result = NULL;
  assert_int_equal(PQsendQuery(tether_pq_conn(pq), "SELECT repeat('x', 1000), generate_series(1, 100000000)"), 1);
  assert_int_equal(PQsetSingleRowMode(tether_pq_conn(pq)), 1);
  assert_code(tether_pq_result(pq, tether_ctx_background(), &result), TETHER_OK);
  PQclear(result);
  tether_pq_stop(pq);
  assert_idle_and_usable();
  tether_pq_stop(pq); /* nothing to stop */
  assert_idle_and_usable();
}

/* A parameter larger than all buffers, to a server that does not read: the end of the context frees the sender. */
static void sending_ends_with_the_context(void **state) {
  (void)state;
  const size_t len = (size_t)64 << 20;
  char *large = malloc(len + 1);
  memset(large, 'a', len);
  large[len] = '\0';
  PGresult *result = NULL;
  tether_pq_options options = pq_options();
  options.settle_ns = 100 * TETHER_MS;
  tether_pq *stuck = NULL;
  assert_code(tether_pq_open(tether_ctx_background(), &options, &stuck), TETHER_OK);
  int pid = PQbackendPID(tether_pq_conn(stuck));
  assert_int_equal(kill(pid, SIGSTOP), 0);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  assert_code(tether_pq_query(stuck, ctx, "SELECT $1::text", 1, (const char *const[]){large}, &result),
              TETHER_DEADLINE_EXCEEDED);
  assert_false(tether_pq_is_usable(stuck));
  assert_int_equal(kill(pid, SIGCONT), 0);
  tether_pq_close(stuck);
  assert_true(pq_wait_state(pid, ""));
  free(large);
}

/* ---- When the server does not answer -------------------------------------------------------- */

static char logged[512];

static void keep(void *data, const char *text) { snprintf(data, sizeof logged, "%s", text); }

static tether_pq *connect_impatiently(void) {
  tether_pq_options options = pq_options();
  options.settle_ns = 100 * TETHER_MS;
  options.log = keep;
  options.log_data = logged;
  tether_pq *made = NULL;
  assert_code(tether_pq_open(tether_ctx_background(), &options, &made), TETHER_OK);
  return made;
}

/* `stopped` hangs; the caller is not kept, and the connection is. */
static void is_given_up_while_hanging(pid_t stopped, tether_pq *stuck) {
  int pid = PQbackendPID(tether_pq_conn(stuck));
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  assert_int_equal(PQsendQuery(tether_pq_conn(stuck), "SELECT pg_sleep(600)"), 1);
  assert_true(pq_wait_state(pid, "active"));
  assert_int_equal(kill(stopped, SIGSTOP), 0);
  PGresult *result = NULL;
  tether_code code = tether_pq_result(stuck, ctx, &result);
  assert_int_equal(kill(stopped, SIGCONT), 0);
  assert_code(code, TETHER_DEADLINE_EXCEEDED);
  assert_null(result);
  assert_false(tether_pq_is_usable(stuck));
  assert_non_null(strstr(logged, "given up"));
  assert_code(pq_try(stuck, tether_ctx_background(), "SELECT 1"), TETHER_UNAVAILABLE);
  assert_true(pq_wait_state(pid, "")); /* the server has noticed, even before the close */
  tether_pq_close(stuck);
}

static void a_backend_that_hangs_costs_its_connection_only(void **state) {
  (void)state;
  tether_pq *stuck = connect_impatiently();
  is_given_up_while_hanging(PQbackendPID(tether_pq_conn(stuck)), stuck);
  assert_idle_and_usable();
}

/* Cancels go to the postmaster. */
static void a_cancel_that_cannot_be_delivered_costs_its_connection_only(void **state) {
  (void)state;
  is_given_up_while_hanging(server.pid, connect_impatiently());
  assert_idle_and_usable();
}

static void connecting_ends_with_the_context(void **state) {
  (void)state;
  char dir[256], conninfo[300];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  tether_pq *none = NULL;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(dir, sizeof dir, "%s/mute", server.dir);
  assert_int_equal(mkdir(dir, 0700), 0);
  assert_true((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", dir) <
              sizeof address.sun_path);
  assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, 5), 0);
  snprintf(conninfo, sizeof conninfo, "host=%s", dir);
  const tether_pq_options options = {.conninfo = conninfo};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  assert_code(tether_pq_open(ctx, &options, &none), TETHER_DEADLINE_EXCEEDED);
  assert_code(tether_pq_open(ctx, &options, &none), TETHER_DEADLINE_EXCEEDED); /* already over */
  assert_null(none);
  close(fd);
}

/* ---- Cancel against completion -------------------------------------------------------------- */

/* A context whose end races a statement, from another thread that is always there. */
struct race {
  tether_ctx *ctx;
  pthread_barrier_t start, end;
  int rounds, turns;
};

static void *race_canceller(void *data) {
  struct race *race = data;
  for (int i = 0; i < race->rounds; i++) {
    pthread_barrier_wait(&race->start);
    int64_t until_ns = tst_now_ns() + race->turns * TETHER_US;
    while (tst_now_ns() < until_ns) continue;
    tether_ctx_cancel(race->ctx);
    pthread_barrier_wait(&race->end);
  }
  return NULL;
}

static tether_code ask(const tether_ctx *ctx, const char *sql, int number, int *answer) {
  char text[16];
  PGresult *result = NULL;
  snprintf(text, sizeof text, "%d", number);
  tether_code code = tether_pq_query(pq, ctx, sql, 1, (const char *const[]){text}, &result);
  if (code == TETHER_OK) *answer = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
  PQclear(result);
  return code;
}

/* Every round a number is asked for under a context that ends `0..spread` us later, and then another, under none. */
static void race_run(int rounds, int spread, const char *sql, int *finished, int *stopped) {
  struct race race = {.rounds = rounds};
  pthread_t thread;
  pthread_barrier_init(&race.start, NULL, 2);
  pthread_barrier_init(&race.end, NULL, 2);
  assert_int_equal(pthread_create(&thread, NULL, race_canceller, &race), 0);
  for (int i = 1; i <= rounds; i++) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    int answer = 0;
    race.ctx = ctx;
    race.turns = (int)((unsigned)i * 7919U % (unsigned)spread);
    pthread_barrier_wait(&race.start);
    tether_code code = ask(ctx, sql, i, &answer);
    if (code == TETHER_OK)
      assert_int_equal(answer, i);
    else
      assert_code(code, TETHER_CANCELLED);
    ++*(code == TETHER_OK ? finished : stopped);
    code = ask(tether_ctx_background(), "SELECT $1::int", -i, &answer);
    if (code != TETHER_OK) fail_msg("round %d: %s: %s", i, tether_code_name(code), tether_pq_message(pq));
    assert_int_equal(answer, -i);
    pthread_barrier_wait(&race.end);
  }
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_barrier_destroy(&race.start);
  pthread_barrier_destroy(&race.end);
}

static void no_cancel_hits_another_statement_and_no_result_reaches_another(void **state) {
  (void)state;
  int finished = 0, stopped = 0;
  race_run(CTX_TEST_ROUNDS(10000), 200, "SELECT $1::int", &finished, &stopped);
  print_message("%d finished, %d stopped\n", finished, stopped);
  assert_true(finished > 0 && stopped > 0);
}

/* Many of these cancels reach the server before the statement does, and are dropped there. */
static void a_cancel_that_overtakes_its_statement_is_repeated(void **state) {
  (void)state;
  int finished = 0, stopped = 0;
  race_run(CTX_TEST_ROUNDS(500), 100, "SELECT $1::int FROM pg_sleep(600)", &finished, &stopped);
  assert_int_equal(finished, 0);
  assert_true(stopped > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PQ_TEST(a_cancel_stops_a_statement_that_sleeps),
      PQ_TEST(a_cancel_stops_a_statement_that_works),
      PQ_TEST(a_cancel_stops_a_statement_that_waits_for_a_lock),
      PQ_TEST(a_deadline_stops_a_statement),
      PQ_TEST(nothing_is_sent_under_a_context_that_has_ended),
      PQ_TEST(reading_rows_ends_with_the_context),
      PQ_TEST(rows_that_nobody_wants_are_stopped),
      PQ_TEST(sending_ends_with_the_context),
      PQ_TEST(a_backend_that_hangs_costs_its_connection_only),
      PQ_TEST(a_cancel_that_cannot_be_delivered_costs_its_connection_only),
      PQ_TEST(connecting_ends_with_the_context),
      PQ_TEST(no_cancel_hits_another_statement_and_no_result_reaches_another),
      PQ_TEST(a_cancel_that_overtakes_its_statement_is_repeated),
  };
  return pq_run_tests("pq_cancel", tests, sizeof tests / sizeof *tests);
}
