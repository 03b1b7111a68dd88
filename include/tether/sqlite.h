/* tether/sqlite.h: SQLite statements under a context: libtether-sqlite, on top of libtether-ctx and SQLite.
 *
 *   sqlite3_stmt *statement;
 *   tether_code code = tether_sqlite_prepare(sqlite, ctx, "SELECT name FROM packages", 0, &statement);
 *   bool row = true;
 *   while (code == TETHER_OK && (code = tether_sqlite_step(sqlite, ctx, statement, &row)) == TETHER_OK && row)
 *     puts((const char *)sqlite3_column_text(statement, 0));
 *
 * What runs through here ends when its context does:
 *
 *  - A running statement stops at its next instruction that jumps, as with sqlite3_interrupt. Not stopped in their
 * middle are what SQLite does within one instruction (a function of the program's own, which should ask the context
 * itself; a step of a virtual table; reading one large value) and checkpoints.
 *  - A statement that waits for another connection's lock waits for as long as the context lasts, and no longer.
 *  - A statement that has ended by itself is never touched, nor is the next one on the connection, whenever the context
 * ends.
 *
 * A statement is bound, read and finalized with SQLite's own functions. */
#ifndef TETHER_SQLITE_H
#define TETHER_SQLITE_H

#include <sqlite3.h>
#include <tether/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One SQLite connection, used by one thread at a time (as with SQLITE_OPEN_NOMUTEX). */
typedef struct tether_sqlite tether_sqlite;

/* Makes `db` able to run statements under contexts. Sets its progress handler and its busy handler, which must not be
 * set again. `db` stays the caller's, and must outlive what is made here; statements that are not run through here
 * never wait for locks (SQLITE_BUSY at once). TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_sqlite_new(sqlite3 *db, tether_sqlite **sqlite);

/* Takes the handlers off `db`, and releases. No statement may be running. Takes NULL. */
TETHER_API void tether_sqlite_free(tether_sqlite *sqlite);

/* The connection. Borrowed. */
TETHER_API sqlite3 *tether_sqlite_db(const tether_sqlite *sqlite);

/* sqlite3_prepare_v3 with `flags` (SQLITE_PREPARE_PERSISTENT or 0); waits for the schema under `ctx` if it is locked.
 * `sql` must be one statement: the rest of the text is ignored. The statement is the caller's, to be given to
 * sqlite3_finalize. Errors as tether_sqlite_step; TETHER_INVALID_ARGUMENT also if the text has no statement. */
TETHER_API TETHER_MUST_USE tether_code tether_sqlite_prepare(tether_sqlite *sqlite, const tether_ctx *ctx,
                                                             const char *sql, unsigned flags, sqlite3_stmt **statement);

/* Runs `statement`, a statement of this connection, to its next row. Blocks. May be called from a function that a
 * running statement calls. TETHER_OK and *row true: read the row with sqlite3_column_*. TETHER_OK and *row false: it
 * ran to its end; this is so even if the context ended at the last moment. tether_ctx_err(ctx): the context ended
 * first, or before. Within an explicit transaction SQLite has rolled that back if the statement was writing.
 * TETHER_CANCELLED: somebody called sqlite3_interrupt.
 * Anything else: as tether_sqlite_code says; sqlite3_errmsg has the text.
 * Unless there is a row the statement has been reset, so that it holds no lock; its bindings are kept. */
TETHER_API TETHER_MUST_USE tether_code tether_sqlite_step(tether_sqlite *sqlite, const tether_ctx *ctx,
                                                          sqlite3_stmt *statement, bool *row);

/* Runs every statement of `sql`, ignoring rows, and stops at the first that fails. Errors as tether_sqlite_step. */
TETHER_API TETHER_MUST_USE tether_code tether_sqlite_exec(tether_sqlite *sqlite, const tether_ctx *ctx,
                                                          const char *sql);

/* The work of a transaction. */
typedef tether_code (*tether_sqlite_work_fn)(tether_sqlite *sqlite, const tether_ctx *ctx, void *data);

/* Runs `work` within a transaction that may write (BEGIN IMMEDIATE: it waits for its turn under `ctx`, and cannot
 * deadlock later), and commits if it returned TETHER_OK and the context has not ended. Else everything is rolled back,
 * which no context stops. TETHER_OK: committed. tether_ctx_err(ctx): the context ended first. What `work` returned, if
 * it failed. TETHER_FAILED_PRECONDITION: a transaction is open already. Else as tether_sqlite_step; with
 * TETHER_RESOURCE_EXHAUSTED the transaction may still be open (sqlite3_get_autocommit tells), if there was no memory
 * for the rollback either. */
TETHER_API TETHER_MUST_USE tether_code tether_sqlite_transaction(tether_sqlite *sqlite, const tether_ctx *ctx,
                                                                 tether_sqlite_work_fn work, void *data);

/* What an SQLite result code (plain or extended) means:
 *
 *   SQLITE_OK, ROW, DONE                            TETHER_OK
 *   INTERRUPT                                       TETHER_CANCELLED
 *   BUSY (waiting would never end), ABORT,          TETHER_ABORTED: roll back, and run the transaction again
 *   LOCKED_SHAREDCACHE
 *   CONSTRAINT_UNIQUE, _PRIMARYKEY, _ROWID          TETHER_ALREADY_EXISTS
 *   other CONSTRAINT, LOCKED                        TETHER_FAILED_PRECONDITION
 *   MISMATCH, RANGE, ERROR (bad SQL, mostly)        TETHER_INVALID_ARGUMENT
 *   PERM, AUTH, READONLY                            TETHER_PERMISSION_DENIED
 *   NOMEM, FULL, TOOBIG, NOLFS                      TETHER_RESOURCE_EXHAUSTED
 *   CANTOPEN, NOTFOUND                              TETHER_NOT_FOUND
 *   CORRUPT, NOTADB                                 TETHER_DATA_LOSS
 *   IOERR, PROTOCOL                                 TETHER_UNAVAILABLE
 *   anything else                                   TETHER_INTERNAL
 */
TETHER_API tether_code tether_sqlite_code(int result);

#ifdef __cplusplus
}
#endif
#endif
