#include "tests/support/rpc_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/wait.h"

int rpc_fixture_open(void **state, const tether_server_options *server, const tether_client_options *client) {
  struct rpc_fixture *f = calloc(1, sizeof *f);
  if (!f) return -1;
  snprintf(f->dir, sizeof f->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  if (tether_server_open(server, &f->server) != TETHER_OK || echo_server_add(f->server, &f->stats) != TETHER_OK ||
      tether_server_listen(f->server, f->url) != TETHER_OK ||
      tether_client_open(f->url, client, &f->client) != TETHER_OK)
    return -1;
  *state = f;
  return 0;
}

int rpc_fixture_close(void **state) {
  struct rpc_fixture *f = *state;
  tether_client_close(f->client);
  echo_finish_rest(&f->stats);
  tether_server_close(f->server);
  char path[128];
  snprintf(path, sizeof path, "%s/s", f->dir);
  unlink(path);
  rmdir(f->dir);
  free(f);
  return 0;
}

void rpc_assert_code_at(const tether_call *call, tether_code code, const char *file, int line) {
  if (tether_call_code(call) == code) return;
  print_error("%s:%d: %s instead of %s: %s\n", file, line, tether_code_name(tether_call_code(call)),
              tether_code_name(code), tether_call_message(call));
  _fail(file, line);
}

struct wanted {
  const atomic_int *value;
  int wanted;
};

static bool has_value(void *data) {
  const struct wanted *w = data;
  return atomic_load(w->value) == w->wanted;
}

bool rpc_wait_for(const atomic_int *value, int wanted) {
  struct wanted w = {.value = value, .wanted = wanted};
  return tst_wait_until(has_value, &w, RPC_TEST_BOUND_NS);
}
