/* Transactions end with their context; a killed or stopped client's end in the server. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/modules/pq_fixture.h"

static int setup(void **state) {
  if (pq_setup(state) != 0) return -1;
  pq_do(pq, "DROP TABLE IF EXISTS t");
  pq_do(pq, "CREATE TABLE t(a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  return 0;
}

static int64_t rows(void) { return pq_number(pq, "SELECT count(*) FROM t"); }

/* ---- Work ----------------------------------------------------------------------------------- */

struct work {
  const char *sql, *then; /* then: may be NULL */
  bool careless;          /* returns OK whatever happened */
  tether_ctx *cancel;     /* ended after the first statement */
  tether_code result;
  int64_t statement_ms, idle_ms; /* the server's bounds */
};

static tether_code run(tether_pq *on, const tether_ctx *ctx, void *data) {
  struct work *work = data;
  tether_code code = pq_try(on, ctx, work->sql);
  if (work->cancel) tether_ctx_cancel(work->cancel);
  if (code == TETHER_OK && work->then) code = pq_try(on, ctx, work->then);
  if (work->careless) return TETHER_OK;
  return code == TETHER_OK ? work->result : code;
}

static void success_is_committed(void **state) {
  (void)state;
  struct work work = {.sql = "INSERT INTO t VALUES (1)", .then = "INSERT INTO t VALUES (2)"};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &work), TETHER_OK);
  assert_int_equal(rows(), 2);
}

static void failure_is_rolled_back(void **state) {
  (void)state;
  struct work work = {.sql = "INSERT INTO t VALUES (1)", .result = TETHER_OUT_OF_RANGE};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &work), TETHER_OUT_OF_RANGE);
  struct work failing = {.sql = "INSERT INTO t VALUES (1)", .then = "SELECT 1 / 0"};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &failing), TETHER_INVALID_ARGUMENT);
  assert_string_equal(tether_pq_sqlstate(pq), "22012"); /* the rollback does not hide it */
  assert_int_equal(rows(), 0);
}

static void a_failed_statement_that_was_ignored_aborts(void **state) {
  (void)state;
  struct work work = {.sql = "INSERT INTO t VALUES (1)", .then = "SELECT 1 / 0", .careless = true};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &work), TETHER_ABORTED);
  assert_int_equal(rows(), 0);
}

static void a_commit_that_fails_is_a_failure(void **state) {
  (void)state;
  struct work work = {.sql = "INSERT INTO t VALUES (1), (1)"};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &work), TETHER_ALREADY_EXISTS);
  assert_int_equal(rows(), 0);
}

static void the_end_of_the_context_rolls_back(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct work between = {.sql = "INSERT INTO t VALUES (1)", .cancel = ctx};
  assert_code(tether_pq_transaction(pq, ctx, NULL, run, &between), TETHER_CANCELLED);
  assert_int_equal(PQtransactionStatus(tether_pq_conn(pq)), PQTRANS_IDLE);
  TETHER_SCOPED tether_ctx *brief = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  struct work within = {.sql = "INSERT INTO t VALUES (1)", .then = "SELECT pg_sleep(600)"};
  assert_code(tether_pq_transaction(pq, brief, NULL, run, &within), TETHER_DEADLINE_EXCEEDED);
  assert_int_equal(PQtransactionStatus(tether_pq_conn(pq)), PQTRANS_IDLE);
  assert_int_equal(rows(), 0);
}

static void one_within_another_is_refused(void **state) {
  (void)state;
  struct work work = {.sql = "SELECT 1"};
  pq_do(pq, "BEGIN");
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, run, &work), TETHER_FAILED_PRECONDITION);
  pq_do(pq, "ROLLBACK");
}

static void a_mode_that_is_none_is_refused(void **state) {
  (void)state;
  struct work work = {.sql = "SELECT 1"};
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), "NONSENSE", run, &work), TETHER_INVALID_ARGUMENT);
  char *large = malloc(1001);
  memset(large, ' ', 1000);
  large[1000] = '\0';
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), large, run, &work), TETHER_INVALID_ARGUMENT);
  free(large);
}

static tether_code look_at_bounds(tether_pq *on, const tether_ctx *ctx, void *data) {
  struct work *work = data;
  (void)ctx;
  work->statement_ms = pq_number(on, "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'");
  work->idle_ms = pq_number(on, "SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'");
  return TETHER_OK;
}

static void the_server_knows_the_deadline_while_a_transaction_is_open(void **state) {
  (void)state;
  struct work work = {.sql = NULL};
  const int64_t settle_ms = TST_BOUND_NS / TETHER_MS;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 100 * TETHER_SEC);
  assert_code(tether_pq_transaction(pq, ctx, NULL, look_at_bounds, &work), TETHER_OK);
  assert_in_range(work.statement_ms, 1 + settle_ms, 100000 + settle_ms);
  assert_int_equal(work.idle_ms, work.statement_ms);
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), NULL, look_at_bounds, &work), TETHER_OK);
  assert_int_equal(work.statement_ms, 0); /* no deadline, and nothing left of the last one's */
}

/* ---- Serialization -------------------------------------------------------------------------- */

static tether_code read_and_be_overtaken(tether_pq *on, const tether_ctx *ctx, void *data) {
  tether_pq *other = data;
  tether_code code = pq_try(on, ctx, "SELECT sum(a) FROM t");
  if (code != TETHER_OK) return code;
  pq_do(other, "UPDATE t SET a = a + 1");
  return pq_try(on, ctx, "UPDATE t SET a = a + 10");
}

static void a_serialization_failure_is_aborted_and_can_be_run_again(void **state) {
  (void)state;
  tether_pq *other = pq_connect();
  struct work again = {.sql = "UPDATE t SET a = a + 10"};
  pq_do(pq, "INSERT INTO t VALUES (1)");
  assert_code(
      tether_pq_transaction(pq, tether_ctx_background(), "ISOLATION LEVEL SERIALIZABLE", read_and_be_overtaken, other),
      TETHER_ABORTED);
  assert_string_equal(tether_pq_sqlstate(pq), "40001");
  assert_code(tether_pq_transaction(pq, tether_ctx_background(), "ISOLATION LEVEL SERIALIZABLE", run, &again),
              TETHER_OK);
  assert_int_equal(pq_number(pq, "SELECT a FROM t"), 12);
  tether_pq_close(other);
}

/* ---- Clients that are gone ------------------------------------------------------------------ */

/* What this program does as a client: `--client CONNINFO HOW SQL`, in a transaction, and, said last, stops itself. */
enum how {
  WAIT,        /* runs the statement and waits for its end */
  HANG_AFTER,  /* stops once the statement has run */
  HANG_WITHIN, /* stops once it has been sent */
};

static enum how client_how;

static tether_code run_and_hang(tether_pq *on, const tether_ctx *ctx, void *data) {
  tether_code code = TETHER_OK;
  if (client_how == HANG_WITHIN) {
    bool sent = PQsendQuery(tether_pq_conn(on), data) == 1;
    while (sent && PQflush(tether_pq_conn(on)) == 1) continue;
  } else {
    code = pq_try(on, ctx, data);
  }
  if (client_how != WAIT) raise(SIGSTOP);
  return code == TETHER_OK ? tether_ctx_wait(ctx, TETHER_FOREVER) : code;
}

static int be_client(char **argv) {
  const tether_pq_options options = {.conninfo = argv[2], .settle_ns = TETHER_MS};
  tether_pq *own = NULL;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  client_how = (enum how)strtol(argv[3], NULL, 10);
  if (tether_pq_open(tether_ctx_background(), &options, &own) != TETHER_OK) return 1;
  printf("%d\n", PQbackendPID(tether_pq_conn(own)));
  fflush(stdout);
  TETHER_SCOPED tether_ctx *ctx =
      tether_ctx_with_timeout(tether_ctx_background(), (client_how == WAIT ? 600 : 4) * TETHER_SEC);
  return tether_pq_transaction(own, ctx, NULL, run_and_hang, argv[4]) == TETHER_OK ? 0 : 1;
}

/* Starts a client; returns its process, and its backend in the server. */
static pid_t client_start(enum how how, const char *sql, int *backend) {
  int out[2];
  char line[32] = "", number[8];
  snprintf(number, sizeof number, "%d", (int)how);
  char *const args[] = {"client", "--client", server.conninfo, number, (char *)sql, NULL};
  assert_int_equal(pipe(out), 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    execv("/proc/self/exe", args);
    _exit(127);
  }
  close(out[1]);
  assert_true(pid > 0 && read(out[0], line, sizeof line - 1) > 0);
  close(out[0]);
  *backend = (int)strtol(line, NULL, 10);
  return pid;
}

static void client_kill(pid_t pid) {
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_client_killed_within_a_statement_leaves_no_work(void **state) {
  (void)state;
  int backend;
  pid_t client = client_start(WAIT, "SELECT pg_sleep(600)", &backend);
  assert_true(pq_wait_state(backend, "active"));
  client_kill(client);
  assert_true(pq_wait_state(backend, ""));
}

static void a_client_killed_within_a_transaction_leaves_no_lock(void **state) {
  (void)state;
  int backend;
  pq_do(pq, "INSERT INTO t VALUES (1)");
  pid_t client = client_start(WAIT, "UPDATE t SET a = 100", &backend);
  assert_true(pq_wait_state(backend, "idle in transaction"));
  client_kill(client);
  pq_do(pq, "UPDATE t SET a = a + 1"); /* waits for its lock */
  assert_int_equal(pq_number(pq, "SELECT a FROM t"), 2);
  assert_true(pq_wait_state(backend, ""));
}

/* Stopped, it cannot cancel, and its connection stays: only the server's own bounds are left. */
static void hangs(enum how how, const char *sql, const char *left) {
  int backend, status;
  pid_t client = client_start(how, sql, &backend);
  assert_int_equal(waitpid(client, &status, WUNTRACED), client);
  assert_true(WIFSTOPPED(status));
  assert_true(pq_wait_state(backend, left));
  client_kill(client);
}

static void a_client_that_hangs_loses_its_transaction_after_the_deadline(void **state) {
  (void)state;
  pq_do(pq, "INSERT INTO t VALUES (1)");
  hangs(HANG_AFTER, "UPDATE t SET a = 100", "");
  pq_do(pq, "UPDATE t SET a = a + 1");
  assert_int_equal(pq_number(pq, "SELECT a FROM t"), 2);
}

static void a_client_that_hangs_loses_its_statement_after_the_deadline(void **state) {
  (void)state;
  pq_do(pq, "INSERT INTO t VALUES (1)");
  /* Undone, and without locks: what is left is a connection that waits for its client. */
  hangs(HANG_WITHIN, "SELECT pg_sleep(600) FROM t FOR UPDATE", "idle in transaction (aborted)");
  pq_do(pq, "UPDATE t SET a = a + 1");
}

#define CASE(name) \
  { #name, name, setup, pq_teardown, NULL }

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "--client") == 0) return be_client(argv);
  const struct CMUnitTest tests[] = {
      CASE(success_is_committed),
      CASE(failure_is_rolled_back),
      CASE(a_failed_statement_that_was_ignored_aborts),
      CASE(a_commit_that_fails_is_a_failure),
      CASE(the_end_of_the_context_rolls_back),
      CASE(one_within_another_is_refused),
      CASE(a_mode_that_is_none_is_refused),
      CASE(the_server_knows_the_deadline_while_a_transaction_is_open),
      CASE(a_serialization_failure_is_aborted_and_can_be_run_again),
      CASE(a_client_killed_within_a_statement_leaves_no_work),
      CASE(a_client_killed_within_a_transaction_leaves_no_lock),
      CASE(a_client_that_hangs_loses_its_transaction_after_the_deadline),
      CASE(a_client_that_hangs_loses_its_statement_after_the_deadline),
  };
  return pq_run_tests("pq_transaction", tests, sizeof tests / sizeof *tests);
}
