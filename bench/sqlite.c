/* SQLite's statements under a context, and bare: what the library adds. */
#include <tether/sqlite.h>

#include "bench/harness.h"

static sqlite3 *db;
static tether_sqlite *sqlite;
static tether_ctx *ctx;

static sqlite3_stmt *prepared(const char *sql) {
  sqlite3_stmt *statement;
  if (!db) {
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) bench_fail("no database");
    ctx = tether_ctx_with_timeout(tether_ctx_background(), 3600 * TETHER_SEC);
  }
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) bench_fail("%s", sqlite3_errmsg(db));
  return statement;
}

static void under_work(int64_t times, void *data) {
  sqlite3_stmt *statement = data;
  bool row;
  while (times-- > 0) {
    if (tether_sqlite_step(sqlite, ctx, statement, &row) != TETHER_OK) bench_fail("%s", sqlite3_errmsg(db));
    if (!row) continue; /* the next step begins anew */
  }
}

static void bare_work(int64_t times, void *data) {
  sqlite3_stmt *statement = data;
  while (times-- > 0) {
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_DONE) rc = sqlite3_reset(statement);
    if (rc != SQLITE_ROW && rc != SQLITE_OK) bench_fail("%s", sqlite3_errmsg(db));
  }
}

/* Of one step. The handlers of the library are there only while it is measured. */
static double under(double seconds, const char *sql) {
  sqlite3_stmt *statement = prepared(sql);
  if (tether_sqlite_new(db, &sqlite) != TETHER_OK) bench_fail("no memory");
  double ns = bench_time_ns(seconds, 1, under_work, statement);
  tether_sqlite_free(sqlite);
  sqlite3_finalize(statement);
  return ns;
}

static double bare(double seconds, const char *sql) {
  sqlite3_stmt *statement = prepared(sql);
  double ns = bench_time_ns(seconds, 1, bare_work, statement);
  sqlite3_finalize(statement);
  return ns;
}

/* The least there is: a constant (two steps: its row, its end). */
#define QUERY "SELECT 1"
/* A thousand rows, one by one. */
#define ROWS "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w LIMIT 1000) SELECT n FROM w"
/* Two steps that run for long: the machine is at work. */
#define WORK "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w LIMIT 10000) SELECT count(*) FROM w"

static double query_under(double seconds, int size) { return (void)size, under(seconds, QUERY); }
static double query_bare(double seconds, int size) { return (void)size, bare(seconds, QUERY); }
static double row_under(double seconds, int size) { return (void)size, under(seconds, ROWS); }
static double row_bare(double seconds, int size) { return (void)size, bare(seconds, ROWS); }
static double work_under(double seconds, int size) { return (void)size, under(seconds, WORK); }
static double work_bare(double seconds, int size) { return (void)size, bare(seconds, WORK); }

static const bench_work works[] = {
    {"query", "query", query_under, 0}, {"query", "query_bare", query_bare, 0}, {"row", "row", row_under, 0},
    {"row", "row_bare", row_bare, 0},   {"work", "work", work_under, 0},        {"work", "work_bare", work_bare, 0},
};

int main(int argc, char **argv) { return bench_work_main(argc, argv, works, sizeof works / sizeof *works); }
