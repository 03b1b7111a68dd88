/* open.c: connecting under a context, and closing. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/pq/impl.h"

/* Within this the server notices that its client is gone; servers before 14 do when they next write to it. */
#define CHECK_SQL "SET client_connection_check_interval = 1000"
enum { CHECK_VERSION = 140000 };

static void tell(const tether_pq *pq, const char *text) {
  char line[512];
  if (!pq->log) return;
  snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
  pq->log(pq->log_data, line);
}

/* What the server says of its own accord; a last word to an idle connection comes here too. */
static void on_notice(void *data, const PGresult *notice) {
  tether_pq *pq = data;
  const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  if (text) tell(pq, text);
  if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
    tth_pq_give_up(pq, text ? text : severity);
}

static tether_code refused(tether_pq *pq) {
  tether_code code = PQconnectionNeedsPassword(pq->conn) ? TETHER_UNAUTHENTICATED : TETHER_UNAVAILABLE;
  tell(pq, PQerrorMessage(pq->conn));
  return tth_pq_fail(pq, code, PQerrorMessage(pq->conn));
}

static tether_code connect_under(tether_pq *pq, const tether_ctx *ctx) {
  int done_fd;
  tether_code code = tether_ctx_done_fd(ctx, &done_fd);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (code == TETHER_OK && next != PGRES_POLLING_OK) {
    if (next == PGRES_POLLING_FAILED) return refused(pq);
    struct pollfd fds[2] = {
        {.fd = PQsocket(pq->conn), .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT},
        {.fd = done_fd, .events = POLLIN},
    };
    int ready = poll(fds, 2, tether_ctx_poll_timeout_ms(ctx));
    code = tether_ctx_err(ctx);
    if (code == TETHER_OK && ready > 0 && fds[0].revents) next = PQconnectPoll(pq->conn);
  }
  return code;
}

static tether_code start(tether_pq *pq, const tether_ctx *ctx, const char *conninfo) {
  pq->conn = PQconnectStart(conninfo ? conninfo : "");
  if (!pq->conn) return TETHER_RESOURCE_EXHAUSTED;
  PQsetNoticeReceiver(pq->conn, on_notice, pq);
  if (PQstatus(pq->conn) == CONNECTION_BAD) return refused(pq);
  tether_code code = connect_under(pq, ctx);
  if (code != TETHER_OK) return code;
  if (PQsetnonblocking(pq->conn, 1) != 0) return refused(pq);
  if (PQserverVersion(pq->conn) < CHECK_VERSION) return TETHER_OK;
  code = tth_pq_run(pq, ctx, CHECK_SQL);
  /* Systems that cannot tell whether a peer has gone refuse the setting. */
  return *pq->sqlstate && !pq->given_up ? TETHER_OK : code;
}

tether_code tth_pq_check_conninfo(const char *conninfo) {
  char *why = NULL;
  PQconninfoOption *parsed = PQconninfoParse(conninfo ? conninfo : "", &why);
  if (!parsed) {
    tether_code code = why ? TETHER_INVALID_ARGUMENT : TETHER_RESOURCE_EXHAUSTED;
    PQfreemem(why);
    return code;
  }
  PQconninfoFree(parsed);
  return TETHER_OK;
}

tether_code tether_pq_open(const tether_ctx *ctx, const tether_pq_options *options, tether_pq **pq) {
  const tether_pq_options none = {.conninfo = NULL}, *with = options ? options : &none;
  tether_code code = tth_pq_check_conninfo(with->conninfo);
  if (code == TETHER_OK) code = tether_ctx_err(ctx);
  if (code != TETHER_OK) return code;
  tether_pq *opened = calloc(1, sizeof *opened);
  if (!opened) return TETHER_RESOURCE_EXHAUSTED;
  opened->settle_ns = with->settle_ns ? with->settle_ns : TTH_PQ_SETTLE_NS;
  opened->log = with->log;
  opened->log_data = with->log_data;
  code = start(opened, ctx, with->conninfo);
  if (code != TETHER_OK) {
    tether_pq_close(opened);
    return code;
  }
  *pq = opened;
  return TETHER_OK;
}

void tether_pq_close(tether_pq *pq) {
  if (!pq) return;
  PQfinish(pq->conn);
  free(pq);
}

PGconn *tether_pq_conn(const tether_pq *pq) { return pq->conn; }
bool tether_pq_is_usable(const tether_pq *pq) { return !pq->given_up && PQstatus(pq->conn) == CONNECTION_OK; }
const char *tether_pq_message(const tether_pq *pq) { return pq->message; }
const char *tether_pq_sqlstate(const tether_pq *pq) { return pq->sqlstate; }
