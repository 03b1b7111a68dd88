/* SQLite statements under a context: what stops, what does not, and what the next statement on the connection sees. */
#include <pthread.h>
#include <stdio.h>
#include <tether/sqlite.h>
#include <unistd.h>

#include "tests/support/ctx_test.h"
#include "tests/support/wait.h"

/* ---- A connection, and another one to the same file ----------------------------------------- */

static sqlite3 *db, *other_db;
static tether_sqlite *sqlite, *other;
static char path[128];
static tst_counter steps; /* calls of step(), the function that marks progress in statements */

static void step(sqlite3_context *result, int argc, sqlite3_value **argv) {
  (void)argc;
  tst_counter_add(&steps, 1);
  sqlite3_result_value(result, argv[0]);
}

static void open_one(sqlite3 **to, tether_sqlite **made) {
  assert_int_equal(sqlite3_open(path, to), SQLITE_OK);
  assert_code(tether_sqlite_new(*to, made), TETHER_OK);
  assert_int_equal(sqlite3_create_function(*to, "step", 1, SQLITE_UTF8, NULL, step, NULL, NULL), SQLITE_OK);
}

static int setup(void **state) {
  if (ctx_setup(state) != 0) return -1;
  snprintf(path, sizeof path, "%s/sqlite_test.%d.db", TETHER_BINARY_DIR, (int)getpid());
  unlink(path);
  tst_counter_init(&steps);
  open_one(&db, &sqlite);
  open_one(&other_db, &other);
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)"),
              TETHER_OK);
  return 0;
}

static int teardown(void **state) {
  tether_sqlite_free(sqlite);
  tether_sqlite_free(other);
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  assert_int_equal(sqlite3_close(other_db), SQLITE_OK);
  tst_counter_fini(&steps);
  unlink(path);
  return ctx_teardown(state);
}

static sqlite3_stmt *prepared(tether_sqlite *on, const char *sql) {
  sqlite3_stmt *statement = NULL;
  assert_code(tether_sqlite_prepare(on, tether_ctx_background(), sql, 0, &statement), TETHER_OK);
  return statement;
}

/* A statement's one number. */
static int64_t number_of(tether_sqlite *on, const char *sql) {
  sqlite3_stmt *statement = prepared(on, sql);
  bool row = false;
  assert_code(tether_sqlite_step(on, tether_ctx_background(), statement, &row), TETHER_OK);
  assert_true(row);
  int64_t number = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return number;
}

/* Runs for ever. */
#define ENDLESS                                                                                 \
  "WITH RECURSIVE work(n) AS (SELECT 1 UNION ALL SELECT CASE n % 1000 WHEN 0 THEN step(n + 1) " \
  "ELSE n + 1 END FROM work) SELECT count(*) FROM work"

/* Runs for some thousand instructions: long enough to be registered with its context. */
#define COUNT(n) \
  "WITH RECURSIVE work(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM work WHERE n < " #n ") SELECT count(*) FROM work"

/* ---- Someone who cancels -------------------------------------------------------------------- */

struct canceller {
  tether_ctx *ctx;
  int64_t after_steps; /* of step() */
  pthread_t thread;
};

static void *cancel_later(void *data) {
  struct canceller *c = data;
  if (tst_counter_wait(&steps, c->after_steps, TST_BOUND_NS)) tether_ctx_cancel(c->ctx);
  return NULL;
}

static void canceller_start(struct canceller *c, tether_ctx *ctx, int64_t after_steps) {
  *c = (struct canceller){.ctx = ctx, .after_steps = tst_counter_get(&steps) + after_steps};
  assert_int_equal(pthread_create(&c->thread, NULL, cancel_later, c), 0);
}

static void canceller_join(struct canceller *c) { assert_int_equal(pthread_join(c->thread, NULL), 0); }

/* ---- Stopping ------------------------------------------------------------------------------- */

static void a_running_statement_stops_when_its_context_is_cancelled(void **state) {
  (void)state;
  struct canceller canceller;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  sqlite3_stmt *statement = prepared(sqlite, ENDLESS);
  bool row = false;
  canceller_start(&canceller, ctx, 20);
  assert_code(tether_sqlite_step(sqlite, ctx, statement, &row), TETHER_CANCELLED);
  canceller_join(&canceller);
  assert_false(sqlite3_stmt_busy(statement));
  sqlite3_finalize(statement);
  assert_int_equal(number_of(sqlite, COUNT(5000)), 5000);
}

static void a_running_statement_stops_at_the_deadline(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  assert_code(tether_sqlite_exec(sqlite, ctx, ENDLESS), TETHER_DEADLINE_EXCEEDED);
  assert_true(tst_counter_get(&steps) > 0);
  assert_int_equal(number_of(sqlite, COUNT(5000)), 5000);
}

static void nothing_runs_under_a_context_that_has_ended(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  sqlite3_stmt *statement = prepared(sqlite, "SELECT step(1)"), *made = NULL;
  bool row = false;
  tether_ctx_cancel(ctx);
  assert_code(tether_sqlite_step(sqlite, ctx, statement, &row), TETHER_CANCELLED);
  assert_code(tether_sqlite_exec(sqlite, ctx, "SELECT step(1)"), TETHER_CANCELLED);
  assert_code(tether_sqlite_prepare(sqlite, ctx, "SELECT 1", 0, &made), TETHER_CANCELLED);
  assert_null(made);
  assert_int_equal(tst_counter_get(&steps), 0);
  sqlite3_finalize(statement);
}

/* A statement that gives rows may end between them: it lets go of its locks then. */
static void between_rows_the_end_of_the_context_ends_the_statement(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  assert_code(tether_sqlite_exec(sqlite, ctx, "INSERT INTO t(text) VALUES('a'), ('b')"), TETHER_OK);
  sqlite3_stmt *statement = prepared(sqlite, "SELECT text FROM t ORDER BY n");
  bool row = false;
  assert_code(tether_sqlite_step(sqlite, ctx, statement, &row), TETHER_OK);
  assert_true(row);
  tether_ctx_cancel(ctx);
  assert_code(tether_sqlite_step(sqlite, ctx, statement, &row), TETHER_CANCELLED);
  assert_false(sqlite3_stmt_busy(statement));
  assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), statement, &row), TETHER_OK);
  assert_string_equal((const char *)sqlite3_column_text(statement, 0), "a");
  sqlite3_finalize(statement);
}

static void an_interrupt_by_somebody_else_is_told_as_such(void **state) {
  (void)state;
  sqlite3_stmt *statement = prepared(sqlite, "SELECT step(1) UNION ALL SELECT step(2)");
  bool row = false;
  assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), statement, &row), TETHER_OK);
  sqlite3_interrupt(db);
  assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), statement, &row), TETHER_CANCELLED);
  sqlite3_finalize(statement);
}

/* ---- The next statement --------------------------------------------------------------------- */

/* A context whose end races the end of a statement. Another thread cancels it, `lead` turns of a loop after the
 * statement begins; a negative lead is the statement's wait. Each outcome moves the lead towards the other, so most
 * rounds are close, on any machine and under any sanitizer. */
struct race {
  tether_ctx *ctx;
  pthread_barrier_t start, end;
  int rounds, lead;
};

enum { LEAD_MOST = 1 << 22 };

static void turn(int turns) {
  for (volatile int i = 0; i < turns; i++) continue;
}

static void *race_canceller(void *data) {
  struct race *race = data;
  for (int i = 0; i < race->rounds; i++) {
    pthread_barrier_wait(&race->start);
    turn(race->lead);
    tether_ctx_cancel(race->ctx);
    pthread_barrier_wait(&race->end);
  }
  return NULL;
}

/* Where the next cancel comes: somewhat later after one that stopped its statement, else earlier, by a step that
 * differs from round to round. */
static int next_lead(int lead, bool finished, int number) {
  int size = lead < 0 ? -lead : lead, step = 1 + size / 8 + (int)((unsigned)number * 7919U % (64 + (unsigned)size / 8));
  int next = finished ? lead - step : lead + step;
  return next < -LEAD_MOST ? -LEAD_MOST : next > LEAD_MOST ? LEAD_MOST : next;
}

/* `round` says whether its statement finished. */
static void race_run(int rounds, bool (*round)(void *data, const tether_ctx *ctx, int number), void *data) {
  struct race race = {.rounds = rounds};
  pthread_t thread;
  pthread_barrier_init(&race.start, NULL, 2);
  pthread_barrier_init(&race.end, NULL, 2);
  assert_int_equal(pthread_create(&thread, NULL, race_canceller, &race), 0);
  for (int i = 0; i < rounds; i++) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
    race.ctx = ctx;
    pthread_barrier_wait(&race.start);
    turn(-race.lead);
    bool finished = round(data, ctx, i);
    pthread_barrier_wait(&race.end);
    race.lead = next_lead(race.lead, finished, i);
  }
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_barrier_destroy(&race.start);
  pthread_barrier_destroy(&race.end);
}

struct outcomes {
  sqlite3_stmt *racing, *next;
  int finished, stopped;
};

/* One number is asked for under the racing context, the next under none, at once. */
static bool race_then_ask(void *data, const tether_ctx *ctx, int number) {
  struct outcomes *o = data;
  bool row = false;
  sqlite3_bind_int(o->racing, 1, number);
  tether_code code = tether_sqlite_step(sqlite, ctx, o->racing, &row);
  if (code == TETHER_OK) {
    assert_int_equal(sqlite3_column_int(o->racing, 0), 300 + number);
    o->finished++;
    sqlite3_reset(o->racing);
  } else {
    assert_code(code, TETHER_CANCELLED);
    o->stopped++;
  }
  sqlite3_bind_int(o->next, 1, -number);
  assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), o->next, &row), TETHER_OK);
  assert_int_equal(sqlite3_column_int(o->next, 0), 300 - number);
  sqlite3_reset(o->next);
  return code == TETHER_OK;
}

static void a_cancel_that_comes_too_late_never_hits_the_next_statement(void **state) {
  (void)state;
  struct outcomes o = {.racing = prepared(sqlite, "SELECT ?1 + (" COUNT(300) ")"),
                       .next = prepared(sqlite, "SELECT ?1 + (" COUNT(300) ")")};
  race_run(CTX_TEST_ROUNDS(10000), race_then_ask, &o);
  print_message("%d finished, %d stopped\n", o.finished, o.stopped);
  assert_true(o.finished > 0 && o.stopped > 0);
  sqlite3_finalize(o.racing);
  sqlite3_finalize(o.next);
}

/* Rows of one statement are read while another runs under a context that ends. */
static bool race_beside_rows(void *data, const tether_ctx *ctx, int number) {
  struct outcomes *o = data;
  bool row = false;
  (void)number;
  assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), o->next, &row), TETHER_OK);
  assert_true(row);
  tether_code code = tether_sqlite_step(sqlite, ctx, o->racing, &row);
  if (code == TETHER_OK)
    o->finished++;
  else
    o->stopped++;
  sqlite3_reset(o->racing);
  for (int i = 0; i < 200; i++) {
    assert_code(tether_sqlite_step(sqlite, tether_ctx_background(), o->next, &row), TETHER_OK);
    assert_true(row);
  }
  sqlite3_reset(o->next);
  return code == TETHER_OK;
}

static void a_cancel_spares_the_other_statements_of_the_connection(void **state) {
  (void)state;
  struct outcomes o = {.racing = prepared(sqlite, COUNT(300)),
                       .next = prepared(sqlite,
                                        "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w LIMIT "
                                        "1000) SELECT n FROM w")};
  race_run(CTX_TEST_ROUNDS(4000), race_beside_rows, &o);
  assert_true(o.finished > 0 && o.stopped > 0);
  sqlite3_finalize(o.racing);
  sqlite3_finalize(o.next);
}

/* ---- A statement within a statement --------------------------------------------------------- */

static const tether_ctx *inner_ctx;
static tether_code inner_code;

static void inner(sqlite3_context *result, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  inner_code = tether_sqlite_exec(sqlite, inner_ctx, COUNT(5000));
  sqlite3_result_int(result, 7);
}

static void a_statement_within_another_has_its_own_context(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *short_ctx = tether_ctx_with_cancel(tether_ctx_background());
  inner_ctx = short_ctx;
  assert_int_equal(sqlite3_create_function(db, "inner_work", 0, SQLITE_UTF8, NULL, inner, NULL, NULL), SQLITE_OK);
  assert_int_equal(number_of(sqlite, "SELECT inner_work() + (" COUNT(5000) ")"), 5007);
  assert_code(inner_code, TETHER_OK);
  tether_ctx_cancel(short_ctx);
  assert_int_equal(number_of(sqlite, "SELECT inner_work() + (" COUNT(5000) ")"), 5007);
  assert_code(inner_code, TETHER_CANCELLED);
}

/* ---- Locks ---------------------------------------------------------------------------------- */

static void waiting_for_a_lock_ends_with_the_context(void **state) {
  (void)state;
  assert_code(tether_sqlite_exec(other, tether_ctx_background(), "BEGIN IMMEDIATE"), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_MS);
  assert_code(tether_sqlite_exec(sqlite, ctx, "INSERT INTO t VALUES(1, 'x')"), TETHER_DEADLINE_EXCEEDED);
  /* Without a context nobody waits. */
  assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES(1, 'x')", NULL, NULL, NULL), SQLITE_BUSY);
  assert_code(tether_sqlite_exec(other, tether_ctx_background(), "ROLLBACK"), TETHER_OK);
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "INSERT INTO t VALUES(1, 'x')"), TETHER_OK);
}

static void *insert_one(void *data) {
  *(tether_code *)data = tether_sqlite_exec(other, tether_ctx_background(), "INSERT INTO t VALUES(step(2), 'y')");
  tst_counter_add(&steps, 100);
  return NULL;
}

static void waiting_for_a_lock_ends_when_it_is_free(void **state) {
  (void)state;
  pthread_t thread;
  tether_code code = TETHER_UNKNOWN;
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "BEGIN IMMEDIATE; INSERT INTO t VALUES(1, 'x')"),
              TETHER_OK);
  assert_int_equal(pthread_create(&thread, NULL, insert_one, &code), 0);
  assert_false(tst_counter_wait(&steps, 100, 30 * TETHER_MS));
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "COMMIT"), TETHER_OK);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_code(code, TETHER_OK);
  assert_int_equal(number_of(sqlite, "SELECT count(*) FROM t"), 2);
}

/* Both have read and want to write: one of them must begin again, and is told at once. */
static void a_wait_that_could_never_end_is_refused(void **state) {
  (void)state;
  const tether_ctx *ctx = tether_ctx_background();
  assert_code(tether_sqlite_exec(sqlite, ctx, "PRAGMA journal_mode = WAL; BEGIN; SELECT * FROM t"), TETHER_OK);
  assert_code(tether_sqlite_exec(other, ctx, "BEGIN IMMEDIATE; INSERT INTO t VALUES(1, 'x'); COMMIT"), TETHER_OK);
  assert_code(tether_sqlite_exec(sqlite, ctx, "INSERT INTO t VALUES(2, 'y')"), TETHER_ABORTED);
  assert_code(tether_sqlite_exec(sqlite, ctx, "ROLLBACK"), TETHER_OK);
}

/* ---- Transactions --------------------------------------------------------------------------- */

struct work {
  tether_ctx *cancel; /* ends this in the middle */
  bool endless;
  tether_code result;
};

static tether_code insert_some(tether_sqlite *on, const tether_ctx *ctx, void *data) {
  const struct work *work = data;
  tether_code code = tether_sqlite_exec(on, ctx, "INSERT INTO t(text) VALUES('a'), ('b'), ('c')");
  if (code != TETHER_OK) return code;
  if (work->cancel) tether_ctx_cancel(work->cancel);
  if (work->endless) return tether_sqlite_exec(on, ctx, "INSERT INTO t(text) " ENDLESS);
  return work->result;
}

static void a_transaction_commits_when_its_work_succeeds(void **state) {
  (void)state;
  struct work work = {.result = TETHER_OK};
  assert_code(tether_sqlite_transaction(sqlite, tether_ctx_background(), insert_some, &work), TETHER_OK);
  assert_int_equal(number_of(other, "SELECT count(*) FROM t"), 3);
}

static void a_transaction_rolls_back_when_its_work_fails(void **state) {
  (void)state;
  struct work work = {.result = TETHER_OUT_OF_RANGE};
  assert_code(tether_sqlite_transaction(sqlite, tether_ctx_background(), insert_some, &work), TETHER_OUT_OF_RANGE);
  assert_true(sqlite3_get_autocommit(db));
  assert_int_equal(number_of(other, "SELECT count(*) FROM t"), 0);
}

static void a_transaction_rolls_back_when_its_context_ends(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  struct work work = {.cancel = ctx, .result = TETHER_OK};
  assert_code(tether_sqlite_transaction(sqlite, ctx, insert_some, &work), TETHER_CANCELLED);
  TETHER_SCOPED tether_ctx *brief = tether_ctx_with_timeout(tether_ctx_background(), 30 * TETHER_MS);
  struct work endless = {.endless = true};
  assert_code(tether_sqlite_transaction(sqlite, brief, insert_some, &endless), TETHER_DEADLINE_EXCEEDED);
  assert_true(sqlite3_get_autocommit(db));
  assert_int_equal(number_of(other, "SELECT count(*) FROM t"), 0);
  assert_code(tether_sqlite_exec(other, tether_ctx_background(), "INSERT INTO t VALUES(1, 'x')"), TETHER_OK);
}

static void a_transaction_within_a_transaction_is_refused(void **state) {
  (void)state;
  struct work work = {.result = TETHER_OK};
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "BEGIN"), TETHER_OK);
  assert_code(tether_sqlite_transaction(sqlite, tether_ctx_background(), insert_some, &work),
              TETHER_FAILED_PRECONDITION);
  assert_code(tether_sqlite_exec(sqlite, tether_ctx_background(), "COMMIT"), TETHER_OK);
}

/* ---- Failures ------------------------------------------------------------------------------- */

static void failures_have_the_code_of_the_table(void **state) {
  (void)state;
  const tether_ctx *ctx = tether_ctx_background();
  assert_code(tether_sqlite_exec(sqlite, ctx, "CREATE TABLE u(a UNIQUE, b NOT NULL); INSERT INTO u VALUES(1, 1)"),
              TETHER_OK);
  assert_code(tether_sqlite_exec(sqlite, ctx, "INSERT INTO u VALUES(1, 2)"), TETHER_ALREADY_EXISTS);
  assert_code(tether_sqlite_exec(sqlite, ctx, "INSERT INTO u VALUES(2, NULL)"), TETHER_FAILED_PRECONDITION);
  assert_code(tether_sqlite_exec(sqlite, ctx, "SELEC 1"), TETHER_INVALID_ARGUMENT);
  assert_code(tether_sqlite_exec(sqlite, ctx, "SELECT * FROM nowhere"), TETHER_INVALID_ARGUMENT);
  assert_code(tether_sqlite_exec(sqlite, ctx, "PRAGMA query_only = 1; DELETE FROM u"), TETHER_PERMISSION_DENIED);
  sqlite3_stmt *statement = NULL;
  assert_code(tether_sqlite_prepare(sqlite, ctx, " -- nothing", 0, &statement), TETHER_INVALID_ARGUMENT);
  assert_null(statement);
  assert_code(tether_sqlite_code(SQLITE_IOERR_NOMEM), TETHER_RESOURCE_EXHAUSTED);
  assert_code(tether_sqlite_code(SQLITE_IOERR_READ), TETHER_UNAVAILABLE);
  assert_code(tether_sqlite_code(SQLITE_BUSY_SNAPSHOT), TETHER_ABORTED);
  assert_code(tether_sqlite_code(SQLITE_CORRUPT_VTAB), TETHER_DATA_LOSS);
  assert_code(tether_sqlite_code(SQLITE_MISUSE), TETHER_INTERNAL);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_running_statement_stops_when_its_context_is_cancelled),
      CASE(a_running_statement_stops_at_the_deadline),
      CASE(nothing_runs_under_a_context_that_has_ended),
      CASE(between_rows_the_end_of_the_context_ends_the_statement),
      CASE(an_interrupt_by_somebody_else_is_told_as_such),
      CASE(a_cancel_that_comes_too_late_never_hits_the_next_statement),
      CASE(a_cancel_spares_the_other_statements_of_the_connection),
      CASE(a_statement_within_another_has_its_own_context),
      CASE(waiting_for_a_lock_ends_with_the_context),
      CASE(waiting_for_a_lock_ends_when_it_is_free),
      CASE(a_wait_that_could_never_end_is_refused),
      CASE(a_transaction_commits_when_its_work_succeeds),
      CASE(a_transaction_rolls_back_when_its_work_fails),
      CASE(a_transaction_rolls_back_when_its_context_ends),
      CASE(a_transaction_within_a_transaction_is_refused),
      CASE(failures_have_the_code_of_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
