/* The fixture of tests of nng links: a folder for sockets, with standard error caught; and what a test that listens
 * opens itself. */
#ifndef TESTS_SUPPORT_LINK_TEST_H
#define TESTS_SUPPORT_LINK_TEST_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/link_probe.h"
#include "tests/support/raw_peer.h"

typedef struct link_fixture {
  char dir[64];
  char ipc_url[128];
  char ipc_path[96];
  tst_stderr caught;
  tst_acceptor on_ipc, on_tcp;
  uint16_t port; /* of on_tcp */
} link_fixture;

static const tth_transport *const nng = &tth_transport_nng;

static inline int link_setup(void **state) {
  link_fixture *f = calloc(1, sizeof *f);
  if (!f) return -1;
  strcpy(f->dir, "/tmp/tether-link-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  snprintf(f->ipc_path, sizeof f->ipc_path, "%s/socket", f->dir);
  snprintf(f->ipc_url, sizeof f->ipc_url, "ipc://%s", f->ipc_path);
  *state = f;
  return tst_stderr_catch(&f->caught) ? 0 : -1;
}

static inline int link_teardown(void **state) {
  link_fixture *f = *state;
  tst_stderr_release(&f->caught);
  unlink(f->ipc_path);
  rmdir(f->dir);
  free(f);
  return 0;
}

/* Opens on_tcp; false: it cannot be. */
static inline bool link_listen_tcp(link_fixture *f) {
  if (tst_acceptor_open(&f->on_tcp, nng, "tcp://127.0.0.1:0", NULL) != TETHER_OK) return false;
  f->port = nng->listener_port(f->on_tcp.listener);
  return true;
}

static inline void assert_fine(const tst_probe *probe) {
  const char *complaint = atomic_load(&probe->complaint);
  if (complaint) fail_msg("%s", complaint);
}

#endif
