/* A server process that is killed and started again under load: with a retry policy and idempotent calls nobody
 * notices. And one that answers nothing but failures: the throttle keeps the attempts it gets near the calls there are.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/ctx_thread.h"
#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define POLICY(attempts)                                        \
  "\"retryPolicy\": {\"maxAttempts\": " attempts                \
  ", \"initialBackoff\": \"0.01s\", \"maxBackoff\": \"0.5s\", " \
  "\"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}"
#define CONFIG(more, rest) "{\"methodConfig\": [{\"name\": [{}], " more "}]" rest "}"

struct scene {
  char dir[64];
  struct node node;
};

static int setup(void **state) {
  char url[128];
  struct scene *s = calloc(1, sizeof *s);
  snprintf(s->dir, sizeof s->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(s->dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/s", s->dir);
  *state = s;
  return node_init(&s->node, "node", url) && node_start(&s->node) ? 0 : -1;
}

static int teardown(void **state) {
  struct scene *s = *state;
  char command[128];
  node_fini(&s->node);
  snprintf(command, sizeof command, "rm -rf %s", s->dir);
  int failed = system(command);
  free(s);
  return failed;
}

static tether_client *client_of(const struct scene *s, const char *config) {
  tether_client *client = NULL;
  const tether_client_options options = {
      .service_config = config, .backoff_initial_ns = 5 * TETHER_MS, .backoff_max_ns = 50 * TETHER_MS};
  assert_int_equal(tether_client_open(s->node.url, &options, &client), TETHER_OK);
  return client;
}

/* ---- Killed under load ----------------------------------------------------------------------- */

struct load {
  struct ctx_thread thread;
  tether_client *client;
  atomic_bool *stop;
  int calls, failed;
  char first[256]; /* failure */
};

static void call_on(void *data) {
  struct load *load = data;
  while (!atomic_load(load->stop)) {
    TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.name = (char *)"load";
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(load->client, ctx, &request, NULL);
    load->calls++;
    if (tether_call_code(call) == TETHER_OK || load->failed++ > 0) continue;
    snprintf(load->first, sizeof load->first, "%s: %s", tether_code_name(tether_call_code(call)),
             tether_call_message(call));
  }
}

static void no_call_fails_while_its_server_is_killed_and_started_again(void **state) {
  struct scene *s = *state;
  atomic_bool stop = false;
  struct load load[4] = {0};
  tether_client *client = client_of(s, CONFIG("\"waitForReady\": true, " POLICY("5"), ""));
  for (int i = 0; i < 4; i++) {
    load[i].client = client;
    load[i].stop = &stop;
    ctx_thread_start(&load[i].thread, call_on, &load[i]);
  }
  /* Until calls have been hit in flight, in which case they cannot be sent again without a policy. */
  tether_client_stats stats = {0};
  int kills = 0;
  for (; kills < 100 && stats.retries < 8; kills++) {
    int before = atomic_load(&s->node.shared->stats.started);
    node_stop(&s->node, SIGKILL);
    assert_true(node_start(&s->node));
    assert_true(ctx_count_wait(&s->node.shared->stats.started, before + 20)); /* it has load again */
    tether_client_get_stats(client, &stats);
  }
  atomic_store(&stop, true);
  int calls = 0;
  for (int i = 0; i < 4; i++) {
    ctx_thread_join(&load[i].thread);
    calls += load[i].calls;
    if (load[i].failed) fail_msg("%d of %d calls failed, the first %s", load[i].failed, load[i].calls, load[i].first);
  }
  print_message("%d kills, %d calls, %d of them sent again, none failed\n", kills, calls, (int)stats.retries);
  assert_true(stats.retries >= 8);
  tether_client_close(client);
}

/* ---- A storm ------------------------------------------------------------------------------- */

/* How many attempts the server gets of 200 calls that all fail there. */
static int attempts_of_a_storm(struct scene *s, const char *config) {
  tether_client *client = client_of(s, config);
  int before = atomic_load(&s->node.shared->stats.started);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"no";
  request.code = TETHER_UNAVAILABLE;
  for (int i = 0; i < 20; i++) {
    tether_call *calls[10];
    for (int j = 0; j < 10; j++)
      calls[j] = testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
    for (int j = 0; j < 10; j++) {
      assert_int_equal(tether_call_wait(calls[j]), TETHER_UNAVAILABLE);
      tether_call_unref(calls[j]);
    }
  }
  tether_client_close(client);
  return atomic_load(&s->node.shared->stats.started) - before;
}

static void the_throttle_keeps_a_storm_from_the_server(void **state) {
  static const char bare[] = CONFIG(POLICY("3"), ""),
                    throttled[] =
                        CONFIG(POLICY("3"), ", \"retryThrottling\": {\"maxTokens\": 20, \"tokenRatio\": 0.1}");
  int without = attempts_of_a_storm(*state, bare), with = attempts_of_a_storm(*state, throttled);
  print_message("200 calls that fail: %d attempts at the server, %d with a throttle of 20 tokens\n", without, with);
  assert_int_equal(without, 600);
  /* Ten failures take the tokens down to half; retries decided before that may still come. */
  assert_in_range(with, 200, 220);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      {"no_call_fails_while_its_server_is_killed_and_started_again",
       no_call_fails_while_its_server_is_killed_and_started_again, setup, teardown, NULL},
      {"the_throttle_keeps_a_storm_from_the_server", the_throttle_keeps_a_storm_from_the_server, setup, teardown, NULL},
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
