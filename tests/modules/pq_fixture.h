/* pq_fixture.h: a server for a test program, a connection for each test, and an observer who looks at pg_stat_activity.
 */
#ifndef TETHER_TESTS_PQ_FIXTURE_H
#define TETHER_TESTS_PQ_FIXTURE_H

#include <tether/pq.h>

#include "tests/support/ctx_test.h"
#include "tests/support/postgres.h"
#include "tests/support/wait.h"

extern tst_postgres server;
extern tether_pq *pq; /* of the test at hand */

/* Of a whole program: starts the server, runs the tests, stops it. Returns the exit status. */
int pq_run_tests(const char *name, const struct CMUnitTest *tests, size_t count);

/* Each test's. The teardown also fails the test if its connection is not usable any more, unless it has set `pq` to
 * NULL. */
int pq_setup(void **state);
int pq_teardown(void **state);
#define PQ_TEST(name) \
  { #name, name, pq_setup, pq_teardown, NULL }

/* Options that reach the server, with a bound for stopping that is never reached on a machine that is merely busy. */
tether_pq_options pq_options(void);
tether_pq *pq_connect(void);

/* Runs a statement that must succeed, under no context. */
void pq_do(tether_pq *on, const char *sql);

/* A statement's one value as a number. */
int64_t pq_number(tether_pq *on, const char *sql);

/* Runs a statement under `ctx`, without parameters; the result is dropped. */
tether_code pq_try(tether_pq *on, const tether_ctx *ctx, const char *sql);

/* The state of a backend in pg_stat_activity ("idle", "active", ...; "" if it is gone), as another connection sees it.
 */
const char *pq_state_of(int backend, char state[64]);

/* Waits for that state; false if it does not come. Any thread. */
bool pq_wait_state(int backend, const char *state);

#endif
