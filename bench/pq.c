/* PostgreSQL's statements under a context, and bare: what the library adds to a round trip. The server is a cluster
 * made for the run by pg_virtualenv (Debian's postgresql-common), unless PGHOST names one. */
#include <stdlib.h>
#include <tether/pq.h>
#include <unistd.h>

#include "bench/harness.h"

static void under_work(int64_t times, void *data) {
  tether_pq *pq = data;
  while (times-- > 0) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 10 * TETHER_SEC);
    PGresult *result;
    if (tether_pq_query(pq, ctx, "SELECT 1", 0, NULL, &result) != TETHER_OK) bench_fail("%s", tether_pq_message(pq));
    PQclear(result);
  }
}

static double under(double seconds, int size) {
  (void)size;
  tether_pq *pq;
  if (tether_pq_open(tether_ctx_background(), NULL, &pq) != TETHER_OK) bench_fail("no server");
  double ns = bench_time_ns(seconds, 1, under_work, pq);
  tether_pq_close(pq);
  return ns;
}

static void bare_work(int64_t times, void *data) {
  PGconn *conn = data;
  while (times-- > 0) {
    PGresult *result = PQexecParams(conn, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) bench_fail("%s", PQerrorMessage(conn));
    PQclear(result);
  }
}

static double bare(double seconds, int size) {
  (void)size;
  PGconn *conn = PQconnectdb("");
  if (PQstatus(conn) != CONNECTION_OK) bench_fail("%s", PQerrorMessage(conn));
  double ns = bench_time_ns(seconds, 1, bare_work, conn);
  PQfinish(conn);
  return ns;
}

static const bench_work works[] = {
    {"query", "query", under, 0},
    {"query", "query_bare", bare, 0},
};

int main(int argc, char **argv) {
  char *words[16] = {"pg_virtualenv", "-o", "fsync=off"};
  if (!getenv("PGHOST") && argc < 12) {
    for (int i = 0; i < argc; i++) words[3 + i] = argv[i];
    execvp(words[0], words);
    bench_fail("no pg_virtualenv, and PGHOST names no server");
  }
  return bench_work_main(argc, argv, works, sizeof works / sizeof *works);
}
