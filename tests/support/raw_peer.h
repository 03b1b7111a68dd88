/* tests/support/raw_peer.h: a peer at the level of bytes: a plain socket that says what it is told to. */
#ifndef TETHER_TESTS_RAW_PEER_H
#define TETHER_TESTS_RAW_PEER_H

#include <stdio.h>
#include <tether/base.h>

/* Connects; -1 on failure. Reads wait at most 20 s. */
TETHER_MUST_USE int raw_connect_tcp(uint16_t port);
TETHER_MUST_USE int raw_connect_ipc(const char *path);

/* A socket that is bound and listens, not accepting. *port is the one picked. */
TETHER_MUST_USE int raw_listen_tcp(uint16_t *port);
TETHER_MUST_USE int raw_listen_ipc(const char *path);
TETHER_MUST_USE int raw_accept(int listener);

/* All the bytes, or false. */
TETHER_MUST_USE bool raw_write(int fd, const void *bytes, size_t len);
TETHER_MUST_USE bool raw_read(int fd, void *bytes, size_t len);

/* Whether the other side closes (or resets) within 20 s; what it still says is thrown away. */
TETHER_MUST_USE bool raw_is_closed(int fd);

/* Sends our greeting and reads the other's. */
TETHER_MUST_USE bool raw_greet(int fd);

/* ---- The process's standard error, caught in a file ------------------------------------------ */

typedef struct tst_stderr {
  int saved;
  FILE *file;
} tst_stderr;

TETHER_MUST_USE bool tst_stderr_catch(tst_stderr *caught);
void tst_stderr_release(tst_stderr *caught);

/* Whether a line with `text` has been or is written within 20 s; how many there are now. */
TETHER_MUST_USE bool tst_stderr_says(tst_stderr *caught, const char *text);
TETHER_MUST_USE unsigned tst_stderr_lines(tst_stderr *caught, const char *text);

#endif
