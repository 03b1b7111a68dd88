/* One server process with very many connections: a thousand that are idle, two hundred that are busy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/ctx_test.h"
#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define IDLE 1000
#define BUSY 200
#define CALLS_EACH 50
#define IN_FLIGHT 2

/* What an idle connection may cost a server. */
#define IDLE_BYTES_MOST (16 * 1024)

static char dir[64];
static struct node node;
static const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;

static int setup(void **state) {
  char url[128];
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/node", dir);
  return node_init(&node, "node", url) && node_start(&node) ? 0 : -1;
}

static int teardown(void **state) {
  char path[128];
  (void)state;
  node_fini(&node);
  snprintf(path, sizeof path, "%s/node", dir);
  unlink(path);
  return rmdir(dir);
}

/* Memory that is not shared. */
static long anonymous_bytes(pid_t pid) {
  char line[256];
  long kib = -1;
  snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
  FILE *file = fopen(line, "re");
  assert_non_null(file);
  while (kib < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, "RssAnon:", 8) == 0) kib = strtol(line + 8, NULL, 10);
  fclose(file);
  assert_true(kib >= 0);
  return kib * 1024;
}

static void assert_served(tether_client *client) {
  const tether_call_options options = {.wait_for_ready = true, .timeout_ns = RPC_TEST_BOUND_NS};
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_quick(client, tether_ctx_background(), &request, &options);
  rpc_assert_code(call, TETHER_OK);
}

/* A client that keeps calls going, one after the other. */
struct busy {
  tether_client *client;
  atomic_int left; /* to start */
  atomic_int ok, ended;
};

static void start(struct busy *busy);

static void on_done(tether_call *call, void *data) {
  struct busy *busy = data;
  if (tether_call_code(call) == TETHER_OK) atomic_fetch_add(&busy->ok, 1);
  if (atomic_fetch_sub(&busy->left, 1) > 0) start(busy);
  atomic_fetch_add(&busy->ended, 1);
}

static void start(struct busy *busy) {
  const tether_call_options options = {.wait_for_ready = true, .timeout_ns = RPC_TEST_BOUND_NS};
  tether_call_unref(
      testing_v1_echo_client_pooled_start(busy->client, tether_ctx_background(), &request, &options, on_done, busy));
}

static bool is_over(void *data) { return atomic_load(&((struct busy *)data)->ended) == CALLS_EACH + IN_FLIGHT; }

static void a_thousand_idle_and_two_hundred_busy_connections_share_a_server(void **state) {
  static tether_client *idle[IDLE];
  static struct busy busy[BUSY];
  (void)state;
  tether_client *first;
  assert_int_equal(tether_client_open(node.url, NULL, &first), TETHER_OK);
  assert_served(first); /* what there is once does not count */
  long before = anonymous_bytes(node.pid), own_before = anonymous_bytes(getpid());
  for (int i = 0; i < IDLE; i++) assert_int_equal(tether_client_open(node.url, NULL, &idle[i]), TETHER_OK);
  for (int i = 0; i < IDLE; i++) assert_served(idle[i]);
  long each = (anonymous_bytes(node.pid) - before) / IDLE, own = (anonymous_bytes(getpid()) - own_before) / IDLE;
  print_message("an idle connection takes %ld bytes at the server, %ld at the client\n", each, own);

  for (int i = 0; i < BUSY; i++) {
    assert_int_equal(tether_client_open(node.url, NULL, &busy[i].client), TETHER_OK);
    atomic_store(&busy[i].left, CALLS_EACH);
    for (int j = 0; j < IN_FLIGHT; j++) start(&busy[i]);
  }
  for (int i = 0; i < BUSY; i++) {
    assert_true(tst_wait_until(is_over, &busy[i], RPC_TEST_BOUND_NS));
    assert_int_equal(atomic_load(&busy[i].ok), CALLS_EACH + IN_FLIGHT);
  }
  long both = (anonymous_bytes(node.pid) - before) / (IDLE + BUSY);
  print_message("with %d busy ones, %ld bytes each at the server\n", BUSY, both);
  for (int i = 0; i < IDLE; i++) assert_served(idle[i]);
#if !defined(CTX_TEST_SANITIZED)
  assert_true(each <= IDLE_BYTES_MOST);
#endif
  for (int i = 0; i < BUSY; i++) tether_client_close(busy[i].client);
  for (int i = 0; i < IDLE; i++) tether_client_close(idle[i]);
  tether_client_close(first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_thousand_idle_and_two_hundred_busy_connections_share_a_server, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
