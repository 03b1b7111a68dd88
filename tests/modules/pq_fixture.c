#include "tests/modules/pq_fixture.h"

#include <pthread.h>
#include <stdio.h>

tst_postgres server;
tether_pq *pq;

static PGconn *observer; /* without the library that is tested */
static pthread_mutex_t observer_lock = PTHREAD_MUTEX_INITIALIZER;

tether_pq_options pq_options(void) {
  return (tether_pq_options){.conninfo = server.conninfo, .settle_ns = TST_BOUND_NS};
}

tether_pq *pq_connect(void) {
  const tether_pq_options options = pq_options();
  tether_pq *made = NULL;
  assert_code(tether_pq_open(tether_ctx_background(), &options, &made), TETHER_OK);
  return made;
}

int pq_setup(void **state) {
  if (ctx_setup(state) != 0) return -1;
  pq = pq_connect();
  return 0;
}

int pq_teardown(void **state) {
  bool usable = !pq || (tether_pq_is_usable(pq) && PQtransactionStatus(tether_pq_conn(pq)) == PQTRANS_IDLE);
  if (!usable) print_error("the connection is not usable: %s\n", tether_pq_message(pq));
  tether_pq_close(pq);
  pq = NULL;
  return ctx_teardown(state) == 0 && usable ? 0 : -1;
}

int pq_run_tests(const char *name, const struct CMUnitTest *tests, size_t count) {
  if (!tst_postgres_is_installed()) return TST_POSTGRES_SKIP;
  if (!tst_postgres_open(&server)) return 1;
  int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
  PQfinish(observer);
  tst_postgres_close(&server);
  return failed;
}

void pq_do(tether_pq *on, const char *sql) {
  tether_code code = pq_try(on, tether_ctx_background(), sql);
  if (code != TETHER_OK) fail_msg("%s: %s: %s", sql, tether_code_name(code), tether_pq_message(on));
}

int64_t pq_number(tether_pq *on, const char *sql) {
  PGresult *result = NULL;
  tether_code code = tether_pq_query(on, tether_ctx_background(), sql, 0, NULL, &result);
  if (code != TETHER_OK) fail_msg("%s: %s: %s", sql, tether_code_name(code), tether_pq_message(on));
  assert_int_equal(PQntuples(result), 1);
  int64_t number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
  PQclear(result);
  return number;
}

tether_code pq_try(tether_pq *on, const tether_ctx *ctx, const char *sql) {
  PGresult *result = NULL;
  tether_code code = tether_pq_query(on, ctx, sql, 0, NULL, &result);
  PQclear(result);
  return code;
}

const char *pq_state_of(int backend, char state[64]) {
  char sql[128];
  snprintf(sql, sizeof sql, "SELECT state FROM pg_stat_activity WHERE pid = %d", backend);
  pthread_mutex_lock(&observer_lock);
  if (observer && PQstatus(observer) != CONNECTION_OK) PQreset(observer);
  if (!observer) observer = PQconnectdb(server.conninfo);
  PGresult *result = PQexec(observer, sql);
  snprintf(state, 64, "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
  if (PQresultStatus(result) != PGRES_TUPLES_OK) snprintf(state, 64, "unknown");
  PQclear(result);
  pthread_mutex_unlock(&observer_lock);
  return state;
}

struct wanted {
  int backend;
  const char *state;
};

static bool has_state(void *data) {
  const struct wanted *wanted = data;
  char state[64];
  return strcmp(pq_state_of(wanted->backend, state), wanted->state) == 0;
}

bool pq_wait_state(int backend, const char *state) {
  return tst_wait_until(has_state, &(struct wanted){backend, state}, TST_BOUND_NS);
}
