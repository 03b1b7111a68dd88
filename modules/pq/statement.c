/* statement.c: a statement under a context.
 *
 *             send                    result, at its end
 *   IDLE ------------> RUNNING ---------------------------------> IDLE
 *                         |
 *                         | the context ends: the thread that waits is woken by the context's descriptor
 *                         v
 *                      STOPPING ----- results read to their end, and every cancel confirmed --> IDLE
 *                         |
 *                         +---------- not so within settle_ns, or the connection is lost -----> GIVEN UP
 *
 * Why both conditions before IDLE. With only the results read, a cancel still on its way would hit the next statement.
 * With only the cancel confirmed, the next statement would be given the results of this one.
 *
 * Why there may be several cancels. One that reaches the backend before it has read the statement is dropped by the
 * server, and the statement runs. So while it runs it is cancelled again, later each time; each is confirmed before the
 * next is sent. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "modules/pq/impl.h"

/* Until the next cancel; doubles. */
#define RETRY_NS (5 * TETHER_MS)

int64_t tth_pq_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}

int tth_pq_poll_ms(int64_t until_ns) {
  int64_t left_ns = until_ns - tth_pq_now_ns();
  if (left_ns <= 0) return 0;
  int64_t ms = left_ns / TETHER_MS + 1;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* ---- Failures ------------------------------------------------------------------------------- */

static void note(tether_pq *pq, const char *sqlstate, const char *text) {
  snprintf(pq->sqlstate, sizeof pq->sqlstate, "%s", sqlstate);
  snprintf(pq->message, sizeof pq->message, "%s", text);
  pq->message[strcspn(pq->message, "\n")] = '\0';
}

tether_code tth_pq_fail(tether_pq *pq, tether_code code, const char *text) {
  note(pq, "", text);
  return code;
}

void tth_pq_give_up(tether_pq *pq, const char *why) {
  char text[600];
  if (pq->given_up) return;
  pq->given_up = true;
  if (PQsocket(pq->conn) >= 0) shutdown(PQsocket(pq->conn), SHUT_RDWR);
  snprintf(text, sizeof text, "connection given up: %s", why);
  text[strcspn(text, "\n")] = '\0';
  if (pq->log) pq->log(pq->log_data, text);
}

/* Something failed at this end: the connection, or memory. */
static tether_code local_failure(tether_pq *pq) {
  note(pq, "", PQerrorMessage(pq->conn));
  if (PQstatus(pq->conn) != CONNECTION_BAD) return TETHER_RESOURCE_EXHAUSTED;
  tth_pq_give_up(pq, pq->message);
  return TETHER_UNAVAILABLE;
}

static tether_code result_failure(tether_pq *pq, const PGresult *result) {
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (!sqlstate) return local_failure(pq);
  note(pq, sqlstate, text ? text : "");
  if (PQstatus(pq->conn) == CONNECTION_BAD) tth_pq_give_up(pq, pq->message);
  return tether_pq_code(sqlstate);
}

/* ---- Moving bytes --------------------------------------------------------------------------- */

/* Sends and receives what can be without waiting. *events is what to poll for if there is no result yet. False: the
 * connection is lost, unless there still is a result. */
static bool move(PGconn *conn, short *events) {
  int unsent = PQflush(conn);
  *events = (short)(POLLIN | (unsent == 1 ? POLLOUT : 0));
  return PQconsumeInput(conn) == 1 && unsent >= 0;
}

/* Returns whether there is something to do with the first. */
static bool wait_for(int fd, short events, int other_fd, int timeout_ms) {
  struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = other_fd, .events = POLLIN}};
  return poll(fds, 2, timeout_ms) > 0 && fds[0].revents != 0;
}

/* TETHER_OK: PQgetResult does not block. Nothing is received while a row is there: what the server sends faster than it
 * is read stays in the socket, and the server waits. */
static tether_code wait_result(tether_pq *pq, const tether_ctx *ctx) {
  int done_fd = -2;
  for (;;) {
    tether_code code = tether_ctx_err(ctx);
    if (code != TETHER_OK) return code;
    if (!PQisBusy(pq->conn)) return TETHER_OK;
    if (done_fd == -2) code = tether_ctx_done_fd(ctx, &done_fd);
    if (code != TETHER_OK) return code;
    int unsent = PQflush(pq->conn);
    short events = (short)(POLLIN | (unsent == 1 ? POLLOUT : 0));
    if (unsent >= 0 && !wait_for(PQsocket(pq->conn), events, done_fd, tether_ctx_poll_timeout_ms(ctx))) continue;
    bool alive = PQconsumeInput(pq->conn) == 1 && unsent >= 0;
    if (!alive && PQisBusy(pq->conn)) return local_failure(pq);
  }
}

/* ---- Stopping ------------------------------------------------------------------------------- */

typedef struct settling {
  bool over; /* the statement */
  int results;
  PGresult *only;
} settling;

static bool is_copy(ExecStatusType status) {
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Reads the results there are. NULL, or why that cannot go on. */
static const char *read_results(tether_pq *pq, settling *s) {
  while (!s->over && !PQisBusy(pq->conn)) {
    PGresult *result = PQgetResult(pq->conn);
    ExecStatusType status = PQresultStatus(result);
    bool success = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    s->over = result == NULL;
    if (s->over) break;
    if (is_copy(status)) {
      PQclear(result);
      return "COPY is not supported";
    }
    PQclear(s->only);
    s->only = NULL;
    if (++s->results == 1 && success)
      s->only = result;
    else
      PQclear(result);
  }
  return PQstatus(pq->conn) == CONNECTION_BAD ? PQerrorMessage(pq->conn) : NULL;
}

/* Until the connection is idle. NULL, or why it never will be. */
static const char *settle(tether_pq *pq, bool cancel, settling *s, tth_pq_cancel **sent) {
  int64_t now_ns = tth_pq_now_ns(), until_ns = tether_time_add(now_ns, pq->settle_ns);
  int64_t next_ns = cancel ? now_ns : INT64_MAX, pause_ns = RETRY_NS;
  for (;;) {
    short events;
    bool alive = move(pq->conn, &events);
    const char *why = read_results(pq, s);
    if (why) return why;
    if (!alive && !s->over) return PQerrorMessage(pq->conn);
    now_ns = tth_pq_now_ns();
    tth_pq_cancel_state state = *sent ? tth_pq_cancel_look(*sent) : TTH_PQ_CANCEL_SENT;
    if (state == TTH_PQ_CANCEL_FAILED) return "the server could not be asked to cancel";
    if (state == TTH_PQ_CANCEL_DELIVERED) {
      tth_pq_cancel_free(*sent);
      *sent = NULL;
      next_ns = tether_time_add(now_ns, pause_ns);
      pause_ns *= 2;
    }
    if (s->over && !*sent) return NULL;
    if (now_ns >= until_ns) return "a cancelled statement did not end in time";
    if (!*sent && now_ns >= next_ns && !(*sent = tth_pq_cancel_start(pq->conn))) return "no memory to cancel";
    (void)wait_for(s->over ? -1 : PQsocket(pq->conn), events, *sent ? tth_pq_cancel_fd(*sent) : -1,
                   tth_pq_poll_ms(!*sent && next_ns < until_ns ? next_ns : until_ns));
  }
}

/* As tth_pq_settle. *complete: no result was left, or one, a success, which is *last. */
static bool settle_and_keep(tether_pq *pq, bool cancel, PGresult **last, bool *complete) {
  settling s = {.over = false};
  tth_pq_cancel *sent = NULL;
  const char *why = settle(pq, cancel, &s, &sent);
  if (why) tth_pq_give_up(pq, why);
  tth_pq_cancel_free(sent);
  *complete = !why && (s.results == 0 || s.only);
  *last = s.only;
  return !why;
}

bool tth_pq_settle(tether_pq *pq, bool cancel) {
  PGresult *last;
  bool complete, idle = settle_and_keep(pq, cancel, &last, &complete);
  PQclear(last);
  return idle;
}

void tether_pq_stop(tether_pq *pq) {
  if (!pq->given_up && PQtransactionStatus(pq->conn) == PQTRANS_ACTIVE) (void)tth_pq_settle(pq, true);
}

/* ---- Running -------------------------------------------------------------------------------- */

/* The wait for a result ended with `code`. A statement of which the one result that was left is a success, or none was
 * left, has run to its end all the same. */
static tether_code stopped(tether_pq *pq, tether_code code, PGresult **result) {
  bool complete;
  PGresult *last = NULL;
  if (pq->given_up) return code;
  (void)settle_and_keep(pq, true, &last, &complete);
  if (complete) {
    *result = last;
    return TETHER_OK;
  }
  PQclear(last);
  return tth_pq_fail(pq, code, code == TETHER_RESOURCE_EXHAUSTED ? "no descriptor" : "the context ended first");
}

tether_code tether_pq_result(tether_pq *pq, const tether_ctx *ctx, PGresult **result) {
  if (pq->given_up) return TETHER_UNAVAILABLE;
  tether_code code = wait_result(pq, ctx);
  if (code != TETHER_OK) return stopped(pq, code, result);
  PGresult *got = PQgetResult(pq->conn);
  switch (PQresultStatus(got)) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
      *result = got;
      return TETHER_OK;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      PQclear(got);
      tth_pq_give_up(pq, "COPY is not supported");
      return tth_pq_fail(pq, TETHER_UNIMPLEMENTED, "COPY is not supported");
    default:
      break;
  }
  if (!got) { /* the statement's end; or libpq had no memory even to say so */
    *result = NULL;
    return PQstatus(pq->conn) == CONNECTION_BAD ? local_failure(pq) : TETHER_OK;
  }
  code = result_failure(pq, got);
  PQclear(got);
  if (!pq->given_up) (void)tth_pq_settle(pq, false);
  bool ours = strcmp(pq->sqlstate, "57014") == 0 && tether_ctx_err(ctx) != TETHER_OK;
  return ours ? tether_ctx_err(ctx) : code;
}

/* A statement may be sent. */
static tether_code may_send(tether_pq *pq, const tether_ctx *ctx) {
  if (pq->given_up) return TETHER_UNAVAILABLE;
  pq->message[0] = pq->sqlstate[0] = '\0';
  tether_code code = tether_ctx_err(ctx);
  if (code == TETHER_OK && PQtransactionStatus(pq->conn) == PQTRANS_ACTIVE)
    code = tth_pq_fail(pq, TETHER_FAILED_PRECONDITION, "another statement is running on this connection");
  return code;
}

tether_code tether_pq_query(tether_pq *pq, const tether_ctx *ctx, const char *sql, int count, const char *const *values,
                            PGresult **result) {
  PGresult *first = NULL, *end = NULL;
  tether_code code = may_send(pq, ctx);
  if (code != TETHER_OK) return code;
  if (count < 0 || count > UINT16_MAX) return tth_pq_fail(pq, TETHER_INVALID_ARGUMENT, "too many parameters");
  if (!PQsendQueryParams(pq->conn, sql, count, NULL, values, NULL, NULL, 0)) return local_failure(pq);
  code = tether_pq_result(pq, ctx, &first);
  if (code != TETHER_OK) return code;
  /* The statement has succeeded; what is left is the server's word that it is ready for the next. */
  code = first ? tether_pq_result(pq, ctx, &end) : tth_pq_fail(pq, TETHER_INTERNAL, "no result");
  if (code != TETHER_OK || end) {
    PQclear(first);
    PQclear(end);
    return code != TETHER_OK ? code : tth_pq_fail(pq, TETHER_INTERNAL, "two results of one statement");
  }
  *result = first;
  return TETHER_OK;
}

tether_code tth_pq_run(tether_pq *pq, const tether_ctx *ctx, const char *sql) {
  tether_code code = may_send(pq, ctx);
  if (code != TETHER_OK) return code;
  if (!PQsendQuery(pq->conn, sql)) return local_failure(pq);
  PGresult *result = NULL;
  do {
    code = tether_pq_result(pq, ctx, &result);
    if (code == TETHER_OK) PQclear(result);
  } while (code == TETHER_OK && result);
  return code;
}
