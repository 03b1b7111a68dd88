/* A program that knows the library only as installed: an endless statement ends at its deadline. */
#include <stdio.h>
#include <tether/sqlite.h>

int main(void) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 20 * TETHER_MS);
  sqlite3 *db;
  tether_sqlite *sqlite;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK || tether_sqlite_new(db, &sqlite) != TETHER_OK) return 1;
  tether_code code = tether_sqlite_exec(
      sqlite, ctx, "WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w) SELECT count(*) FROM w");
  puts(tether_code_name(code));
  tether_sqlite_free(sqlite);
  sqlite3_close(db);
  return code == TETHER_DEADLINE_EXCEEDED ? 0 : 1;
}
