/* What modules build on: the list of what a server serves, and the news that it is about to stop. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/rpc_test.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static void methods_are_listed_in_order_with_their_files(void **state) {
  struct rpc_fixture *f = *state;
  size_t count = 0;
  bool found = false;
  const char *last = "";
  for (const tether_method *method; (method = tether_server_method(f->server, count)); count++) {
    assert_true(strcmp(last, method->path) < 0);
    last = method->path;
    found = found || method == &testing_v1_echo_quick_method;
    assert_ptr_equal(method->file, &tether_file_testing_2eproto);
  }
  assert_true(found);
  assert_null(tether_server_method(f->server, count));
  assert_null(tether_server_method(f->server, SIZE_MAX));
}

struct drained {
  const char *path;
  int count, accepted;
};

static void on_drain(void *data) {
  struct drained *drained = data;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, drained->path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  drained->accepted += connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  drained->count++;
  close(fd);
}

static void a_shutdown_is_told_once_while_the_listener_is_still_there(void **state) {
  struct rpc_fixture *f = *state;
  char url[160];
  snprintf(url, sizeof url, "%s.drain", f->url);
  struct drained drained[2] = {{.path = url + strlen("ipc://")}, {.path = url + strlen("ipc://")}};
  tether_server *server;
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  tether_drain_hook hooks[2] = {{on_drain, &drained[0], NULL}, {on_drain, &drained[1], NULL}};
  tether_server_on_drain(server, &hooks[0]);
  assert_int_equal(tether_server_listen(server, url), TETHER_OK);
  tether_server_on_drain(server, &hooks[1]);
  tether_server_shutdown(server, 0);
  tether_server_close(server);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(drained[i].count, 1);
    assert_int_equal(drained[i].accepted, 1);
  }
  on_drain(&drained[0]); /* the check above can fail */
  assert_int_equal(drained[0].accepted, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(methods_are_listed_in_order_with_their_files),
      TEST(a_shutdown_is_told_once_while_the_listener_is_still_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
