/* tests/support/postgres.h: a real PostgreSQL server of the test's own: a new cluster in a directory of the build, a
 * unix socket and no port. Run by the user of the test or, if that is root, by `postgres` or `nobody`. It dies with the
 * test.
 *
 * The Debian package postgresql brings it. No function here asserts. */
#ifndef TETHER_TESTS_POSTGRES_H
#define TETHER_TESTS_POSTGRES_H

#include <stdbool.h>
#include <sys/types.h>

/* What a test program returns to be counted as skipped. */
enum { TST_POSTGRES_SKIP = 77 };

typedef struct tst_postgres {
  char bin[128];      /* directory of its programs */
  char dir[128];      /* the cluster, and the socket */
  char conninfo[256]; /* for libpq */
  pid_t pid;          /* of the server; 0: stopped */
} tst_postgres;

/* Whether there is a PostgreSQL on this machine; if not, says that the test is skipped and why. */
bool tst_postgres_is_installed(void);

/* Makes a cluster and starts its server, which answers when this returns. False: it did not work, and why has been
 * printed. */
bool tst_postgres_open(tst_postgres *postgres);

/* Stops the server (SIGINT: fast, sessions are ended; SIGQUIT: at once, as in a crash), and starts it again. */
bool tst_postgres_stop(tst_postgres *postgres, int signal);
bool tst_postgres_start(tst_postgres *postgres);

/* Stops it, however it is, and removes everything. */
void tst_postgres_close(tst_postgres *postgres);

#endif
