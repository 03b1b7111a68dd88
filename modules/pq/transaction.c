/* transaction.c: BEGIN, the work, COMMIT or ROLLBACK.
 *
 * The server gets its own bounds together with BEGIN, at no extra round trip: a little after the context's deadline it
 * ends a statement that still runs, and a transaction whose client does nothing. They matter when this process is
 * stopped, or unreachable without the connection breaking, so that nobody cancels. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "modules/pq/impl.h"

static tether_code begin(tether_pq *pq, const tether_ctx *ctx, const char *mode) {
  char sql[512], bounds[160] = "";
  int64_t left_ns = tether_ctx_remaining_ns(ctx);
  int64_t bound_ms = tether_time_add(left_ns, pq->settle_ns) / TETHER_MS;
  if (left_ns != TETHER_FOREVER && bound_ms < INT_MAX)
    snprintf(bounds, sizeof bounds,
             "; SET LOCAL statement_timeout = %lld; SET LOCAL idle_in_transaction_session_timeout = %lld",
             (long long)bound_ms, (long long)bound_ms);
  int len = snprintf(sql, sizeof sql, "BEGIN %s%s", mode ? mode : "", bounds);
  if ((size_t)len >= sizeof sql) return tth_pq_fail(pq, TETHER_INVALID_ARGUMENT, "the transaction mode is too long");
  return tth_pq_run(pq, ctx, sql);
}

/* COMMIT of a transaction in which a statement has failed is a rollback, and a success to the server. */
static tether_code commit(tether_pq *pq, const tether_ctx *ctx) {
  PGresult *result;
  tether_code code = tether_pq_query(pq, ctx, "COMMIT", 0, NULL, &result);
  if (code != TETHER_OK) return code;
  if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
    code = tth_pq_fail(pq, TETHER_ABORTED, "a statement of the transaction had failed");
  PQclear(result);
  return code;
}

void tth_pq_rollback(tether_pq *pq) {
  if (pq->given_up || PQtransactionStatus(pq->conn) == PQTRANS_IDLE) return;
  char sqlstate[sizeof pq->sqlstate], message[sizeof pq->message]; /* of why, which is what counts */
  memcpy(sqlstate, pq->sqlstate, sizeof sqlstate);
  memcpy(message, pq->message, sizeof message);
  TETHER_SCOPED tether_ctx *bound = tether_ctx_with_timeout(tether_ctx_background(), pq->settle_ns);
  if (tth_pq_run(pq, bound, "ROLLBACK") != TETHER_OK) tth_pq_give_up(pq, "a transaction could not be rolled back");
  memcpy(pq->sqlstate, sqlstate, sizeof sqlstate);
  memcpy(pq->message, message, sizeof message);
}

tether_code tether_pq_transaction(tether_pq *pq, const tether_ctx *ctx, const char *mode, tether_pq_work_fn work,
                                  void *data) {
  if (!pq->given_up && PQtransactionStatus(pq->conn) != PQTRANS_IDLE)
    return tth_pq_fail(pq, TETHER_FAILED_PRECONDITION, "a transaction is open already");
  tether_code code = begin(pq, ctx, mode);
  if (code == TETHER_OK) {
    code = work(pq, ctx, data);
    tether_pq_stop(pq);
    if (code == TETHER_OK && pq->given_up) code = TETHER_UNAVAILABLE;
    if (code == TETHER_OK) code = commit(pq, ctx);
  }
  tth_pq_rollback(pq);
  return code;
}
