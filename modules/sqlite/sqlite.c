/* sqlite.c: what stops a statement at the end of its context, and nothing else.
 *
 * SQLite can be stopped from outside (sqlite3_interrupt, at the next jump of its machine) and from inside (the progress
 * handler, every so many instructions). The first is at once, but it only sets a flag: without a statement running it
 * is lost, or meant for a statement that has just ended it stops another. The second asks at the right moment by
 * itself, but late where few instructions take long. So the first is used under the eyes of the second:
 *
 *   step ----> handler, 1st time: asks the context        handler, 2nd time: registers with the context, and is
 * interrupted 100 instructions                     100 more       from then on; asks what the registration knows
 *
 *  - A short statement, one row of many, costs no registration; the handler's question is one load, and the time.
 *  - Who registers inside the running statement cannot be too early: the flag stays until this statement sees it.
 *  - Before step returns, the registration is stopped, so no interrupt comes later. One that came between the
 * statement's end and then has left the flag behind. SQLite takes it back when a statement starts while none is active;
 * so that this is the next thing that happens, nobody registers while other statements are active, and a row that came
 * together with the end of its context is dropped and its statement reset. */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <tether/sqlite.h>

/* How often the handler is called, in instructions: a microsecond or two. */
enum { PROGRESS_STEPS = 100 };

/* Between two tries to get a lock: SQLite has no way to be told. */
#define BUSY_FIRST_NS (50 * TETHER_US)
#define BUSY_LAST_NS (5 * TETHER_MS)

struct tether_sqlite {
  sqlite3 *db;
  const tether_ctx *ctx; /* of the step that runs; NULL: none does */

  /* Of that step. */
  sqlite3_stmt *statement;
  bool asked, registered;
  tether_after after;
  atomic_bool ended; /* set by on_end, on any thread */
};

/* ---- Stopping ------------------------------------------------------------------------------- */

static void on_end(void *data) {
  tether_sqlite *sqlite = data;
  atomic_store_explicit(&sqlite->ended, true, memory_order_release);
  sqlite3_interrupt(sqlite->db);
}

static bool is_alone(const tether_sqlite *sqlite) {
  sqlite3_stmt *other = NULL;
  while ((other = sqlite3_next_stmt(sqlite->db, other)) != NULL)
    if (other != sqlite->statement && sqlite3_stmt_busy(other)) return false;
  return true;
}

/* Nonzero stops the statement that runs. */
static int on_progress(void *data) {
  tether_sqlite *sqlite = data;
  if (!sqlite->ctx) return 0;
  if (sqlite->registered) return atomic_load_explicit(&sqlite->ended, memory_order_acquire);
  if (sqlite->asked && is_alone(sqlite)) {
    sqlite->registered = true;
    tether_ctx_after_func(sqlite->ctx, &sqlite->after, NULL, on_end, sqlite);
  }
  sqlite->asked = true;
  return tether_ctx_err(sqlite->ctx) != TETHER_OK;
}

/* Zero gives up. */
static int on_busy(void *data, int tries) {
  tether_sqlite *sqlite = data;
  if (!sqlite->ctx) return 0;
  int64_t pause_ns = tries < 7 ? BUSY_FIRST_NS << tries : BUSY_LAST_NS;
  return tether_ctx_wait(sqlite->ctx, pause_ns) == TETHER_OK;
}

/* ---- Running -------------------------------------------------------------------------------- */

/* What a step that runs within another's leaves as it was. */
typedef struct outer {
  const tether_ctx *ctx;
  sqlite3_stmt *statement;
  bool asked, registered;
} outer;

static outer enter(tether_sqlite *sqlite, const tether_ctx *ctx, sqlite3_stmt *statement) {
  outer before = {sqlite->ctx, sqlite->statement, sqlite->asked, sqlite->registered};
  sqlite->ctx = ctx;
  sqlite->statement = statement;
  sqlite->asked = false;
  sqlite->registered = false;
  return before;
}

/* Whether an interrupt was sent. */
static bool leave(tether_sqlite *sqlite, const outer *before) {
  bool interrupted = sqlite->registered && !tether_after_stop_wait(&sqlite->after);
  if (sqlite->registered) atomic_store_explicit(&sqlite->ended, false, memory_order_relaxed);
  sqlite->ctx = before->ctx;
  sqlite->statement = before->statement;
  sqlite->asked = before->asked;
  sqlite->registered = before->registered;
  return interrupted;
}

/* What the failure of a step under `ctx` means. A lock that was given up for the end of the context looks like one that
 * SQLite would not wait for. */
static tether_code failure(const tether_sqlite *sqlite, const tether_ctx *ctx, int rc) {
  tether_code ended = tether_ctx_err(ctx);
  int kind = rc & 0xff, extended = sqlite3_extended_errcode(sqlite->db);
  bool stopped = kind == SQLITE_INTERRUPT || kind == SQLITE_BUSY;
  if (stopped && ended != TETHER_OK) return ended;
  return tether_sqlite_code((extended & 0xff) == kind ? extended : rc);
}

tether_code tether_sqlite_prepare(tether_sqlite *sqlite, const tether_ctx *ctx, const char *sql, unsigned flags,
                                  sqlite3_stmt **statement) {
  sqlite3_stmt *made = NULL;
  tether_code code = tether_ctx_err(ctx);
  if (code != TETHER_OK) return code;
  outer before = enter(sqlite, ctx, NULL);
  int rc = sqlite3_prepare_v3(sqlite->db, sql, -1, flags, &made, NULL);
  leave(sqlite, &before);
  if (rc != SQLITE_OK) return failure(sqlite, ctx, rc);
  if (!made) return TETHER_INVALID_ARGUMENT;
  *statement = made;
  return TETHER_OK;
}

tether_code tether_sqlite_step(tether_sqlite *sqlite, const tether_ctx *ctx, sqlite3_stmt *statement, bool *row) {
  tether_code code = tether_ctx_err(ctx);
  if (code == TETHER_OK) {
    outer before = enter(sqlite, ctx, statement);
    int rc = sqlite3_step(statement);
    bool interrupted = leave(sqlite, &before);
    if (rc == SQLITE_ROW && !interrupted) {
      *row = true;
      return TETHER_OK;
    }
    if (rc == SQLITE_DONE)
      *row = false;
    else
      code = rc == SQLITE_ROW ? tether_ctx_err(ctx) : failure(sqlite, ctx, rc);
  }
  sqlite3_reset(statement);
  return code;
}

static tether_code run(tether_sqlite *sqlite, const tether_ctx *ctx, sqlite3_stmt *statement) {
  bool row = true;
  tether_code code = TETHER_OK;
  while (code == TETHER_OK && row) code = tether_sqlite_step(sqlite, ctx, statement, &row);
  sqlite3_finalize(statement);
  return code;
}

tether_code tether_sqlite_exec(tether_sqlite *sqlite, const tether_ctx *ctx, const char *sql) {
  tether_code code = tether_ctx_err(ctx);
  while (code == TETHER_OK && *sql) {
    sqlite3_stmt *statement = NULL;
    outer before = enter(sqlite, ctx, NULL);
    int rc = sqlite3_prepare_v3(sqlite->db, sql, -1, 0, &statement, &sql);
    leave(sqlite, &before);
    if (rc != SQLITE_OK)
      code = failure(sqlite, ctx, rc);
    else if (statement)
      code = run(sqlite, ctx, statement);
  }
  return code;
}

tether_code tether_sqlite_transaction(tether_sqlite *sqlite, const tether_ctx *ctx, tether_sqlite_work_fn work,
                                      void *data) {
  if (!sqlite3_get_autocommit(sqlite->db)) return TETHER_FAILED_PRECONDITION;
  tether_code code = tether_sqlite_exec(sqlite, ctx, "BEGIN IMMEDIATE");
  if (code != TETHER_OK) return code;
  code = work(sqlite, ctx, data);
  /* Some failures, an interrupt among them, roll back by themselves; work that says OK then is wrong. */
  if (code == TETHER_OK && sqlite3_get_autocommit(sqlite->db))
    code = tether_ctx_err(ctx) != TETHER_OK ? tether_ctx_err(ctx) : TETHER_ABORTED;
  if (code == TETHER_OK) code = tether_sqlite_exec(sqlite, ctx, "COMMIT");
  if (!sqlite3_get_autocommit(sqlite->db)) {
    tether_code undone = tether_sqlite_exec(sqlite, tether_ctx_background(), "ROLLBACK");
    if (code == TETHER_OK) code = undone != TETHER_OK ? undone : TETHER_ABORTED;
  }
  return code;
}

/* ---- A connection --------------------------------------------------------------------------- */

tether_code tether_sqlite_new(sqlite3 *db, tether_sqlite **sqlite) {
  tether_sqlite *made = calloc(1, sizeof *made);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  made->db = db;
  sqlite3_progress_handler(db, PROGRESS_STEPS, on_progress, made);
  sqlite3_busy_handler(db, on_busy, made);
  *sqlite = made;
  return TETHER_OK;
}

void tether_sqlite_free(tether_sqlite *sqlite) {
  if (!sqlite) return;
  sqlite3_progress_handler(sqlite->db, 0, NULL, NULL);
  sqlite3_busy_handler(sqlite->db, NULL, NULL);
  free(sqlite);
}

sqlite3 *tether_sqlite_db(const tether_sqlite *sqlite) { return sqlite->db; }

/* ---- Codes ---------------------------------------------------------------------------------- */

static tether_code constraint_code(int result) {
  switch (result) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return TETHER_ALREADY_EXISTS;
    default:
      return TETHER_FAILED_PRECONDITION;
  }
}

tether_code tether_sqlite_code(int result) {
  static const struct {
    int result;
    tether_code code;
  } known[] = {
      {SQLITE_OK, TETHER_OK},
      {SQLITE_ROW, TETHER_OK},
      {SQLITE_DONE, TETHER_OK},
      {SQLITE_INTERRUPT, TETHER_CANCELLED},
      {SQLITE_BUSY, TETHER_ABORTED},
      {SQLITE_ABORT, TETHER_ABORTED},
      {SQLITE_LOCKED, TETHER_FAILED_PRECONDITION},
      {SQLITE_MISMATCH, TETHER_INVALID_ARGUMENT},
      {SQLITE_RANGE, TETHER_INVALID_ARGUMENT},
      {SQLITE_ERROR, TETHER_INVALID_ARGUMENT},
      {SQLITE_PERM, TETHER_PERMISSION_DENIED},
      {SQLITE_AUTH, TETHER_PERMISSION_DENIED},
      {SQLITE_READONLY, TETHER_PERMISSION_DENIED},
      {SQLITE_NOMEM, TETHER_RESOURCE_EXHAUSTED},
      {SQLITE_FULL, TETHER_RESOURCE_EXHAUSTED},
      {SQLITE_TOOBIG, TETHER_RESOURCE_EXHAUSTED},
      {SQLITE_NOLFS, TETHER_RESOURCE_EXHAUSTED},
      {SQLITE_CANTOPEN, TETHER_NOT_FOUND},
      {SQLITE_NOTFOUND, TETHER_NOT_FOUND},
      {SQLITE_CORRUPT, TETHER_DATA_LOSS},
      {SQLITE_NOTADB, TETHER_DATA_LOSS},
      {SQLITE_IOERR, TETHER_UNAVAILABLE},
      {SQLITE_PROTOCOL, TETHER_UNAVAILABLE},
  };
  if (result == SQLITE_IOERR_NOMEM) return TETHER_RESOURCE_EXHAUSTED;
  if (result == SQLITE_LOCKED_SHAREDCACHE) return TETHER_ABORTED;
  if ((result & 0xff) == SQLITE_CONSTRAINT) return constraint_code(result);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (known[i].result == (result & 0xff)) return known[i].code;
  return TETHER_INTERNAL;
}
