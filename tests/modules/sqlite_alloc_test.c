/* Memory runs out at the Nth allocation of statements and transactions under a context, SQLite's own among them, and
 * stays out: it is told, nothing is left half done, and with memory again the connection works. Where a sanitizer owns
 * malloc nothing can be made to fail. */
#include <tether/sqlite.h>

#include "tests/support/ctx_alloc.h"

#ifdef CTX_ALLOC_CAN_FAIL

static tether_code insert(tether_sqlite *sqlite, const tether_ctx *ctx, void *data) {
  (void)data;
  return tether_sqlite_exec(sqlite, ctx, "INSERT INTO t SELECT n + 1000, text || text FROM t");
}

static tether_code read_all(tether_sqlite *sqlite, const tether_ctx *ctx, int *rows) {
  sqlite3_stmt *statement = NULL;
  bool row = true;
  tether_code code = tether_sqlite_prepare(sqlite, ctx, "SELECT text || n FROM t ORDER BY text DESC", 0, &statement);
  for (*rows = 0; code == TETHER_OK && row; *rows += row) code = tether_sqlite_step(sqlite, ctx, statement, &row);
  sqlite3_finalize(statement);
  return code;
}

static void assert_told(tether_code code) {
  if (code != TETHER_OK) assert_code(code, TETHER_RESOURCE_EXHAUSTED);
}

/* What is asked of a connection, with memory for `count` allocations. Returns whether that was enough. */
static bool run(sqlite3 *db, const tether_ctx *ctx, long count) {
  tether_sqlite *sqlite = NULL;
  tether_code inserted = TETHER_RESOURCE_EXHAUSTED, read = TETHER_RESOURCE_EXHAUSTED;
  int rows = 0;
  ctx_alloc_fail(count);
  tether_code made = tether_sqlite_new(db, &sqlite);
  if (made == TETHER_OK) {
    inserted = tether_sqlite_transaction(sqlite, ctx, insert, NULL);
    read = read_all(sqlite, ctx, &rows);
  }
  ctx_alloc_allow();
  assert_told(made);
  assert_told(inserted);
  assert_told(read);
  if (!sqlite) return false;
  if (!sqlite3_get_autocommit(db)) assert_code(tether_sqlite_exec(sqlite, ctx, "ROLLBACK"), TETHER_OK);
  assert_code(read_all(sqlite, ctx, &rows), TETHER_OK);
  assert_int_equal(rows, inserted == TETHER_OK ? 40 : 20);
  assert_code(tether_sqlite_exec(sqlite, ctx, "DELETE FROM t WHERE n > 1000"), TETHER_OK);
  tether_sqlite_free(sqlite);
  return inserted == TETHER_OK && read == TETHER_OK;
}

static void memory_that_runs_out_is_told_and_costs_nothing_else(void **state) {
  (void)state;
  sqlite3 *db;
  long count = 0;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), CTX_TEST_HOUR);
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  assert_int_equal(
      sqlite3_exec(db,
                   "CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT); WITH RECURSIVE w(n) AS (SELECT 1 UNION "
                   "ALL SELECT n + 1 FROM w LIMIT 20) INSERT INTO t SELECT n, hex(zeroblob(500)) FROM w",
                   NULL, NULL, NULL),
      SQLITE_OK);
  while (!run(db, ctx, count)) count++;
  print_message("%ld allocations\n", count);
  assert_true(count > 20);
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {behaviour(memory_that_runs_out_is_told_and_costs_nothing_else)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 0; }

#endif
