/* Statements, results and failures of a connection to a real PostgreSQL. */
#include <stdio.h>
#include <string.h>

#include "tests/modules/pq_fixture.h"

/* ---- Results -------------------------------------------------------------------------------- */

static void a_query_gives_its_result(void **state) {
  (void)state;
  const char *const values[] = {"20", NULL, "x'y"};
  PGresult *result = NULL;
  assert_code(
      tether_pq_query(pq, tether_ctx_background(), "SELECT $1::int + 1, $2::text, $3::text", 3, values, &result),
      TETHER_OK);
  assert_string_equal(PQgetvalue(result, 0, 0), "21");
  assert_true(PQgetisnull(result, 0, 1));
  assert_string_equal(PQgetvalue(result, 0, 2), "x'y");
  PQclear(result);
}

static void a_large_parameter_and_a_large_result_pass(void **state) {
  (void)state;
  const size_t len = (size_t)8 << 20;
  char *large = malloc(len + 1);
  assert_non_null(large);
  memset(large, 'a', len);
  large[len] = '\0';
  const char *const values[] = {large};
  PGresult *result = NULL;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  assert_code(tether_pq_query(pq, ctx, "SELECT $1::text || 'b'", 1, values, &result), TETHER_OK);
  assert_int_equal(PQgetlength(result, 0, 0), len + 1);
  PQclear(result);
  free(large);
}

static void rows_can_be_read_one_by_one(void **state) {
  (void)state;
  PGresult *result = NULL;
  int rows = 0;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  assert_int_equal(PQsendQuery(tether_pq_conn(pq), "SELECT * FROM generate_series(0, 999)"), 1);
  assert_int_equal(PQsetSingleRowMode(tether_pq_conn(pq)), 1);
  tether_code code;
  while ((code = tether_pq_result(pq, ctx, &result)) == TETHER_OK && result) {
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
      assert_int_equal(strtol(PQgetvalue(result, 0, 0), NULL, 10), rows++);
    PQclear(result);
  }
  assert_code(code, TETHER_OK);
  assert_int_equal(rows, 1000);
}

static void prepared_statements_run_too(void **state) {
  (void)state;
  const tether_ctx *ctx = tether_ctx_background();
  PGresult *result = NULL;
  assert_int_equal(PQsendPrepare(tether_pq_conn(pq), "plus", "SELECT $1::int + $2::int", 2, NULL), 1);
  assert_code(tether_pq_result(pq, ctx, &result), TETHER_OK);
  PQclear(result);
  assert_code(tether_pq_result(pq, ctx, &result), TETHER_OK);
  assert_null(result);
  assert_int_equal(PQsendQueryPrepared(tether_pq_conn(pq), "plus", 2, (const char *const[]){"2", "3"}, NULL, NULL, 0),
                   1);
  assert_code(tether_pq_result(pq, ctx, &result), TETHER_OK);
  assert_string_equal(PQgetvalue(result, 0, 0), "5");
  PQclear(result);
  assert_code(tether_pq_result(pq, ctx, &result), TETHER_OK);
  assert_null(result);
}

static void nothing_sent_gives_no_result(void **state) {
  (void)state;
  PGresult *result = NULL;
  assert_code(tether_pq_result(pq, tether_ctx_background(), &result), TETHER_OK);
  assert_null(result);
}

/* ---- Failures ------------------------------------------------------------------------------- */

static void expect(const char *sql, tether_code code, const char *sqlstate) {
  tether_code got = pq_try(pq, tether_ctx_background(), sql);
  if (got != code || strcmp(tether_pq_sqlstate(pq), sqlstate) != 0)
    fail_msg("%s: %s %s (%s)", sql, tether_code_name(got), tether_pq_sqlstate(pq), tether_pq_message(pq));
  assert_true(*tether_pq_message(pq) != '\0');
  assert_int_equal(pq_number(pq, "SELECT 42"), 42); /* it has cost nothing but its own statement */
}

static void failures_have_the_code_of_the_table(void **state) {
  (void)state;
  pq_do(pq, "CREATE TEMPORARY TABLE t(a int PRIMARY KEY CHECK (a < 100), b int NOT NULL)");
  pq_do(pq, "INSERT INTO t VALUES (1, 1)");
  expect("INSERT INTO t VALUES (1, 2)", TETHER_ALREADY_EXISTS, "23505");
  expect("INSERT INTO t VALUES (2, NULL)", TETHER_FAILED_PRECONDITION, "23502");
  expect("INSERT INTO t VALUES (200, 1)", TETHER_FAILED_PRECONDITION, "23514");
  expect("CREATE TEMPORARY TABLE t(a int)", TETHER_ALREADY_EXISTS, "42P07");
  expect("SELEC 1", TETHER_INVALID_ARGUMENT, "42601");
  expect("SELECT 1; SELECT 2", TETHER_INVALID_ARGUMENT, "42601");
  expect("SELECT * FROM nowhere", TETHER_INVALID_ARGUMENT, "42P01");
  expect("SELECT 1 / 0", TETHER_INVALID_ARGUMENT, "22012");
  expect("SELECT 2000000000 + 2000000000", TETHER_OUT_OF_RANGE, "22003");
  expect("DO $$ BEGIN RAISE 'no'; END $$", TETHER_FAILED_PRECONDITION, "P0001");
  expect("DO $$ BEGIN PERFORM pg_terminate_backend(0); RAISE no_data_found; END $$", TETHER_NOT_FOUND, "P0002");
  expect("SET work_mem = '1 parsec'", TETHER_INVALID_ARGUMENT, "22023");
  expect("SELECT repeat('x', 1 << 30) || repeat('x', 1 << 30)", TETHER_RESOURCE_EXHAUSTED, "54000");
  assert_code(tether_pq_code("40001"), TETHER_ABORTED);
  assert_code(tether_pq_code("57P01"), TETHER_UNAVAILABLE);
  assert_code(tether_pq_code("08006"), TETHER_UNAVAILABLE);
  assert_code(tether_pq_code("53300"), TETHER_RESOURCE_EXHAUSTED);
  assert_code(tether_pq_code("28P01"), TETHER_UNAUTHENTICATED);
  assert_code(tether_pq_code("42501"), TETHER_PERMISSION_DENIED);
  assert_code(tether_pq_code("XX001"), TETHER_DATA_LOSS);
  assert_code(tether_pq_code("XX000"), TETHER_INTERNAL);
  assert_code(tether_pq_code("0A000"), TETHER_UNIMPLEMENTED);
  assert_code(tether_pq_code("25P03"), TETHER_UNAVAILABLE);
  assert_code(tether_pq_code("99999"), TETHER_UNKNOWN);
  assert_code(tether_pq_code(""), TETHER_UNKNOWN);
}

/* Deferred constraints are looked at after the statement has said that it is complete. */
static void a_failure_after_the_result_is_a_failure(void **state) {
  (void)state;
  pq_do(pq, "CREATE TEMPORARY TABLE late(a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  expect("INSERT INTO late VALUES (1), (1)", TETHER_ALREADY_EXISTS, "23505");
  assert_int_equal(pq_number(pq, "SELECT count(*) FROM late"), 0);
}

static void what_others_cancel_is_not_the_context_s_end(void **state) {
  (void)state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 600 * TETHER_SEC);
  pq_do(pq, "SET statement_timeout = 20");
  assert_code(pq_try(pq, ctx, "SELECT pg_sleep(600)"), TETHER_CANCELLED);
  assert_string_equal(tether_pq_sqlstate(pq), "57014");
  pq_do(pq, "SET statement_timeout = 0");
}

static void a_second_statement_at_once_is_refused(void **state) {
  (void)state;
  assert_int_equal(PQsendQuery(tether_pq_conn(pq), "SELECT 1"), 1);
  assert_code(pq_try(pq, tether_ctx_background(), "SELECT 2"), TETHER_FAILED_PRECONDITION);
  tether_pq_stop(pq);
  assert_int_equal(pq_number(pq, "SELECT 3"), 3);
}

static void copy_is_refused_and_costs_its_connection(void **state) {
  (void)state;
  assert_code(pq_try(pq, tether_ctx_background(), "COPY pg_class TO STDOUT"), TETHER_UNIMPLEMENTED);
  assert_false(tether_pq_is_usable(pq));
  assert_code(pq_try(pq, tether_ctx_background(), "SELECT 1"), TETHER_UNAVAILABLE);
  tether_pq_close(pq);
  pq = pq_connect();
  assert_int_equal(PQsendQuery(tether_pq_conn(pq), "COPY pg_class TO STDOUT"), 1);
  tether_pq_stop(pq);
  assert_false(tether_pq_is_usable(pq));
  tether_pq_close(pq);
  pq = NULL;
}

static void too_many_parameters_are_refused(void **state) {
  (void)state;
  PGresult *result = NULL;
  assert_code(tether_pq_query(pq, tether_ctx_background(), "SELECT 1", 65536, NULL, &result), TETHER_INVALID_ARGUMENT);
  assert_code(tether_pq_query(pq, tether_ctx_background(), "SELECT 1", -1, NULL, &result), TETHER_INVALID_ARGUMENT);
}

static void a_lost_connection_is_told(void **state) {
  (void)state;
  assert_code(pq_try(pq, tether_ctx_background(), "SELECT pg_terminate_backend(pg_backend_pid())"), TETHER_UNAVAILABLE);
  assert_string_equal(tether_pq_sqlstate(pq), "57P01");
  assert_false(tether_pq_is_usable(pq));
  assert_code(pq_try(pq, tether_ctx_background(), "SELECT 1"), TETHER_UNAVAILABLE);
  tether_pq_close(pq);
  pq = NULL;
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static char logged[512];

static void keep(void *data, const char *text) { snprintf(data, sizeof logged, "%s", text); }

static void connecting_says_what_is_wrong(void **state) {
  (void)state;
  tether_pq *none = NULL;
  tether_pq_options options = {.conninfo = "nonsense", .log = keep, .log_data = logged};
  assert_code(tether_pq_open(tether_ctx_background(), &options, &none), TETHER_INVALID_ARGUMENT);
  options.conninfo = "host=/nowhere";
  assert_code(tether_pq_open(tether_ctx_background(), &options, &none), TETHER_UNAVAILABLE);
  assert_non_null(strstr(logged, "/nowhere"));
  char conninfo[300];
  snprintf(conninfo, sizeof conninfo, "%s user=nobody_at_all", server.conninfo);
  options.conninfo = conninfo;
  assert_code(tether_pq_open(tether_ctx_background(), &options, &none), TETHER_UNAVAILABLE);
  assert_non_null(strstr(logged, "nobody_at_all"));
  assert_null(none);
}

static void notices_go_to_the_log(void **state) {
  (void)state;
  tether_pq_options options = pq_options();
  options.log = keep;
  options.log_data = logged;
  tether_pq *talking = NULL;
  assert_code(tether_pq_open(tether_ctx_background(), &options, &talking), TETHER_OK);
  pq_do(talking, "DO $$ BEGIN RAISE NOTICE 'by the way'; END $$");
  assert_non_null(strstr(logged, "by the way"));
  tether_pq_close(talking);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PQ_TEST(a_query_gives_its_result),
      PQ_TEST(a_large_parameter_and_a_large_result_pass),
      PQ_TEST(rows_can_be_read_one_by_one),
      PQ_TEST(prepared_statements_run_too),
      PQ_TEST(nothing_sent_gives_no_result),
      PQ_TEST(failures_have_the_code_of_the_table),
      PQ_TEST(a_failure_after_the_result_is_a_failure),
      PQ_TEST(what_others_cancel_is_not_the_context_s_end),
      PQ_TEST(a_second_statement_at_once_is_refused),
      PQ_TEST(copy_is_refused_and_costs_its_connection),
      PQ_TEST(too_many_parameters_are_refused),
      PQ_TEST(a_lost_connection_is_told),
      PQ_TEST(connecting_says_what_is_wrong),
      PQ_TEST(notices_go_to_the_log),
  };
  return pq_run_tests("pq", tests, sizeof tests / sizeof *tests);
}
