/* tether/pq.h: PostgreSQL statements under a context: libtether-pq, on top of libtether-ctx and libpq.
 *
 *   tether_pq *pq;
 *   PGresult *result;
 *   tether_code code = tether_pq_pool_take(pool, ctx, &pq);
 *   if (code != TETHER_OK) return code;
 *   code = tether_pq_query(pq, ctx, "SELECT name FROM products WHERE id = $1", 1, (const char *[]){"7"}, &result);
 *   if (code == TETHER_OK) { ... PQgetvalue(result, 0, 0) ...; PQclear(result); }
 *   tether_pq_pool_give(pool, pq);
 *
 * What runs through here ends when its context does, in the server too:
 *
 *  1. The caller is woken at once, and has the server cancel the statement. It returns when the server has stopped and
 *     the connection can be used again, which takes about a round trip; or after `settle_ns`, and then the
 *     connection has been given up (tether_pq_is_usable), and nothing that comes from it later reaches anybody.
 *  2. What a statement was cancelled with never reaches another: a connection is used again only after the server has
 *     confirmed that it has passed the cancel on, and the cancelled statement's results have been read to their end. A
 *     statement that was faster than its cancel has succeeded, and its caller is told so.
 *  3. If the process dies or is cut off, the server notices within a second (client_connection_check_interval,
 *     PostgreSQL 14 and newer) and ends what it runs for it; open transactions are rolled back.
 *
 * All functions that take a context block, but never on anything but that context; the exceptions are host names (libpq
 * looks them up: use addresses or socket directories if that matters) and 1. Connections go to the server itself, or
 * through a pooler that answers a cancel only after passing it on, as PgBouncer does since 1.18. */
#ifndef TETHER_PQ_H
#define TETHER_PQ_H

#include <libpq-fe.h>
#include <tether/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A connection --------------------------------------------------------------------------- */

/* One connection, used by one thread at a time. */
typedef struct tether_pq tether_pq;

typedef struct tether_pq_options {
  const char *conninfo; /* libpq's connection string; NULL: from the environment */
  int64_t settle_ns;    /* how long the end of a cancelled statement is waited for; 0: 1 s */
  int max_connections;  /* of a pool; 0: 8 */
  /* Told why a connection could not be made or had to be given up, and the server's notices; NULL: nobody is. Called on
   * the thread that uses the connection, without locks. `text` has no line end. */
  void (*log)(void *data, const char *text);
  void *log_data;
} tether_pq_options;

/* Connects, until `ctx` ends. `options` (may be NULL) is copied, the strings too.
 * TETHER_INVALID_ARGUMENT: the connection string does not parse. TETHER_UNAUTHENTICATED: a password is missing.
 * TETHER_UNAVAILABLE: no server there, or it refuses; `log` is told which. TETHER_RESOURCE_EXHAUSTED: no memory or
 * descriptor. tether_ctx_err(ctx): the context ended first. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_open(const tether_ctx *ctx, const tether_pq_options *options,
                                                      tether_pq **pq);

/* Closes without waiting for anything. Takes NULL. */
TETHER_API void tether_pq_close(tether_pq *pq);

/* libpq's connection, for its functions that send and tell. Borrowed. It is non-blocking; results must be read with
 * tether_pq_result, and pipeline mode and COPY must not be used. */
TETHER_API PGconn *tether_pq_conn(const tether_pq *pq);

/* false: the connection was lost or given up, and every statement on it ends TETHER_UNAVAILABLE. */
TETHER_API bool tether_pq_is_usable(const tether_pq *pq);

/* The last failure on this connection: what the server said, and its SQLSTATE ("" if it was not the server's). Never
 * NULL; valid until the next statement. */
TETHER_API const char *tether_pq_message(const tether_pq *pq);
TETHER_API const char *tether_pq_sqlstate(const tether_pq *pq);

/* ---- Statements ----------------------------------------------------------------------------- */

/* Runs one statement with `count` parameters in text form (a NULL in `values` is SQL's NULL) and gives its result, to
 * be released with PQclear. TETHER_OK: it ran to its end; this is so even if the context ended at the last moment.
 * tether_ctx_err(ctx): the context ended first. The statement has not run, or was stopped and undone by the server; if
 *   that could not be confirmed in time the connection is not usable any more.
 * TETHER_UNAVAILABLE: the connection is lost, and with it the knowledge whether a statement that writes has run.
 * TETHER_FAILED_PRECONDITION: another statement is running: read its results first, or stop it.
 * TETHER_INVALID_ARGUMENT: more than 65535 parameters. TETHER_RESOURCE_EXHAUSTED: no memory or descriptor.
 * TETHER_UNIMPLEMENTED: COPY, which costs the connection.
 * Anything else: the server's answer, by tether_pq_code. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_query(tether_pq *pq, const tether_ctx *ctx, const char *sql, int count,
                                                       const char *const *values, PGresult **result);

/* The next result of what a PQsend function of libpq has started on this connection, for prepared statements, binary
 * parameters, and rows one by one (PQsetSingleRowMode). TETHER_OK and a result, to be released with PQclear;
 * TETHER_OK and NULL after the last. Failures as tether_pq_query; after one nothing of the statement is left. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_result(tether_pq *pq, const tether_ctx *ctx, PGresult **result);

/* Stops what still runs, for who does not want the rest of the rows, and waits for that as in rule 1. */
TETHER_API void tether_pq_stop(tether_pq *pq);

/* ---- Transactions --------------------------------------------------------------------------- */

/* The work of a transaction. */
typedef tether_code (*tether_pq_work_fn)(tether_pq *pq, const tether_ctx *ctx, void *data);

/* Runs `work` within a transaction (`BEGIN <mode>`; mode may be NULL, or as "ISOLATION LEVEL SERIALIZABLE"), and
 * commits if it returned TETHER_OK and the context has not ended. Else it is rolled back, bounded by `settle_ns`. While
 * it is open the server itself ends it a little after the context's deadline, should this process be stopped or cut
 * off. TETHER_OK: committed. tether_ctx_err(ctx): the context ended first; rolled back. What `work` returned, if it
 * failed. TETHER_ABORTED: serialization failure, deadlock, or `work` went on after a failed statement: run it again.
 * TETHER_UNAVAILABLE: the connection is lost; if that was while committing, nobody knows whether it is committed.
 * TETHER_FAILED_PRECONDITION: a transaction is open already. Else as tether_pq_query. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_transaction(tether_pq *pq, const tether_ctx *ctx, const char *mode,
                                                             tether_pq_work_fn work, void *data);

/* What an SQLSTATE means:
 *
 *   08 connection, 57 operator intervention           TETHER_UNAVAILABLE
 *   57014 query_canceled                              TETHER_CANCELLED; of our own context: tether_ctx_err(ctx)
 *   23505 unique, 23P01 exclusion violation,          TETHER_ALREADY_EXISTS
 *   42P04, 42P06, 42P07, 42710 duplicate object
 *   other 23 integrity, 25 transaction state,         TETHER_FAILED_PRECONDITION
 *   55 object state, P0 raised
 *   40 rollback (serialization, deadlock), 55P03 lock TETHER_ABORTED
 *   22003, 22008 out of range                         TETHER_OUT_OF_RANGE
 *   other 22 data, 42 syntax or name                  TETHER_INVALID_ARGUMENT
 *   P0002 no data                                     TETHER_NOT_FOUND
 *   28 authorization                                  TETHER_UNAUTHENTICATED
 *   42501 insufficient privilege                      TETHER_PERMISSION_DENIED
 *   53 resources, 54 limits                           TETHER_RESOURCE_EXHAUSTED
 *   0A not supported                                  TETHER_UNIMPLEMENTED
 *   XX001, XX002 corrupted                            TETHER_DATA_LOSS
 *   58 system, XX internal                            TETHER_INTERNAL
 *   25P03, 57P05 idle too long                        TETHER_UNAVAILABLE
 *   anything else                                     TETHER_UNKNOWN
 */
TETHER_API tether_code tether_pq_code(const char *sqlstate);

/* ---- A pool of connections ------------------------------------------------------------------ */

/* At most `max_connections` connections, made when needed. Any thread. */
typedef struct tether_pq_pool tether_pq_pool;

/* An empty pool; connects to nothing yet. `options` as tether_pq_open.
 * TETHER_INVALID_ARGUMENT: the connection string does not parse. TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_pool_open(const tether_pq_options *options, tether_pq_pool **pool);

/* Closes the idle connections. Every connection must have been given back. Takes NULL. */
TETHER_API void tether_pq_pool_close(tether_pq_pool *pool);

/* Takes a connection that nobody uses: an idle one (looked at first: one that the server has closed is replaced), a new
 * one, or, if all are taken, the next to be given back; who waits longest comes first. tether_ctx_err(ctx): the context
 * ended first. Else as tether_pq_open. */
TETHER_API TETHER_MUST_USE tether_code tether_pq_pool_take(tether_pq_pool *pool, const tether_ctx *ctx, tether_pq **pq);

/* Gives a connection back. What still runs on it is stopped, an open transaction rolled back; both as in rule 1. One
 * that is not usable is closed. */
TETHER_API void tether_pq_pool_give(tether_pq_pool *pool, tether_pq *pq);

#ifdef __cplusplus
}
#endif
#endif
