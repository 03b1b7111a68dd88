/* Fan-outs and hedged calls over server processes: what ends one process's handlers ends those of the others, and those
 * that they have started in turn, each with the cause. Processes are killed and stopped. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tether/hedge.h>

#include "tests/support/node.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { NODES = 3, EACH = 10 };

struct scene {
  struct node nodes[NODES];
  tether_client *clients[NODES];
  tether_group *group;
  tether_server *quick; /* in this process: answers at once what the nodes hang on */
  tether_client *quick_client;
};

static tether_code answer_at_once(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                                  ProtobufCMessage *reply, const void *service, void *data) {
  (void)ctx, (void)request, (void)service, (void)data;
  ((Testing__V1__Reply *)reply)->text = tether_call_strdup(call, "quick");
  return TETHER_OK;
}

/* The nodes' methods, called as if they were idempotent, so that they may be hedged. */
#define METHOD(name)                                                                                                   \
  {                                                                                                                    \
    .path = "/testing.v1.Echo/" name, .flags = TETHER_METHOD_IDEMPOTENT, .request = &testing__v1__request__descriptor, \
    .reply = &testing__v1__reply__descriptor                                                                           \
  }
static const tether_method hang = METHOD("Hang"), fan = METHOD("Fan"), pooled = METHOD("Pooled");
static const tether_served_method served[] = {{&hang, answer_at_once}, {&fan, answer_at_once}};

static bool open_quick(struct scene *s) {
  char url[64];
  if (tether_server_open(NULL, &s->quick) != TETHER_OK ||
      tether_server_add(s->quick, served, 2, NULL, NULL) != TETHER_OK ||
      tether_server_listen(s->quick, "tcp://127.0.0.1:0") != TETHER_OK)
    return false;
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", tether_server_port(s->quick));
  return tether_client_open(url, NULL, &s->quick_client) == TETHER_OK;
}

static int setup(void **state) {
  static const char *const names[NODES] = {"a", "b", "c"};
  struct scene *s = *state = calloc(1, sizeof *s);
  if (!s || !open_quick(s)) return -1;
  for (int i = 0; i < NODES; i++)
    if (!node_init(&s->nodes[i], names[i], "tcp://127.0.0.1:0") || !node_start(&s->nodes[i]) ||
        tether_client_open(s->nodes[i].url, NULL, &s->clients[i]) != TETHER_OK)
      return -1;
  return tether_group_new(tether_ctx_background(), &s->group) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  struct scene *s = *state;
  int bad = 0;
  for (int i = 0; i < NODES; i++) tether_client_close(s->clients[i]);
  tether_client_close(s->quick_client);
  tether_group_free(s->group);
  tether_server_close(s->quick);
  for (int i = 0; i < NODES; i++) {
    int status = s->nodes[i].pid ? node_stop(&s->nodes[i], SIGTERM) : 0; /* a clean exit, sanitizers included */
    if (status) print_error("process %s ended with wait status %#x\n", s->nodes[i].shared->name, (unsigned)status);
    bad |= status;
    node_fini(&s->nodes[i]);
  }
  free(s);
  return bad;
}

static struct echo_stats *stats_of(struct scene *s, int node) { return &s->nodes[node].shared->stats; }

/* A member of the group. */
static tether_call *start(struct scene *s, int node, const tether_method *method, const Testing__V1__Request *request) {
  return tether_call_start(s->clients[node], tether_group_ctx(s->group), method, &request->base,
                           &(tether_call_options){.group = s->group, .wait_for_ready = true}, NULL, NULL);
}

/* Members whose handlers hang, ten in a process. */
static void start_hanging(struct scene *s, int node) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < EACH; i++) tether_call_unref(start(s, node, &hang, &request));
  assert_true(rpc_wait_for(&stats_of(s, node)->hanging, EACH));
}

/* Ends with `code` by itself. */
static void start_ending(struct scene *s, int node, tether_code code) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"injected";
  request.code = (uint32_t)code;
  tether_call_unref(start(s, node, &pooled, &request));
}

/* Every handler that hung in a process has ended with this cause. */
static void assert_ended(struct scene *s, int node, tether_cause_code cause, int count) {
  assert_true(rpc_wait_for(&stats_of(s, node)->ended[cause], count));
  assert_true(rpc_wait_for(&stats_of(s, node)->hanging, 0));
}

/* A request for Fan at one node: ten handlers hang at another. */
static Testing__V1__Request fan_to(struct scene *s, int node) {
  static char *targets[1];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  targets[0] = s->nodes[node].url;
  request.targets = targets;
  request.n_targets = 1;
  request.width = EACH;
  return request;
}

/* ---- Groups -------------------------------------------------------------------------------- */

static void a_failure_in_one_process_ends_the_handlers_of_all_with_cause_sibling(void **state) {
  struct scene *s = *state;
  for (int i = 0; i < NODES; i++) start_hanging(s, i);
  start_ending(s, 1, TETHER_DATA_LOSS);
  assert_int_equal(tether_group_wait(s->group), TETHER_DATA_LOSS);
  for (int i = 0; i < NODES; i++) assert_ended(s, i, TETHER_CAUSE_SIBLING, EACH);
}

static void enough_successes_end_the_handlers_of_all_processes_with_cause_enough(void **state) {
  struct scene *s = *state;
  assert_int_equal(tether_group_set_rule(s->group, TETHER_GROUP_ENOUGH, 2), TETHER_OK);
  for (int i = 0; i < NODES; i++) start_hanging(s, i);
  start_ending(s, 0, TETHER_ABORTED);
  start_ending(s, 1, TETHER_OK);
  start_ending(s, 2, TETHER_OK);
  assert_int_equal(tether_group_wait(s->group), TETHER_OK);
  for (int i = 0; i < NODES; i++) assert_ended(s, i, TETHER_CAUSE_ENOUGH, EACH);
}

static void a_failed_sibling_ends_what_another_processs_handler_has_started_in_a_third(void **state) {
  struct scene *s = *state;
  const Testing__V1__Request request = fan_to(s, 1);
  tether_call_unref(start(s, 0, &fan, &request));
  assert_true(rpc_wait_for(&stats_of(s, 1)->hanging, EACH));
  start_ending(s, 2, TETHER_NOT_FOUND);
  assert_int_equal(tether_group_wait(s->group), TETHER_NOT_FOUND);
  assert_ended(s, 0, TETHER_CAUSE_SIBLING, 1);
  assert_ended(s, 1, TETHER_CAUSE_SIBLING, EACH);
}

static void a_process_that_is_killed_is_a_failure_and_the_others_stop(void **state) {
  struct scene *s = *state;
  for (int i = 0; i < NODES; i++) start_hanging(s, i);
  node_stop(&s->nodes[1], SIGKILL);
  assert_int_equal(tether_group_wait(s->group), TETHER_UNAVAILABLE);
  assert_ended(s, 0, TETHER_CAUSE_SIBLING, EACH);
  assert_ended(s, 2, TETHER_CAUSE_SIBLING, EACH);
}

static void collecting_goes_on_without_a_process_that_is_killed(void **state) {
  struct scene *s = *state;
  assert_int_equal(tether_group_set_rule(s->group, TETHER_GROUP_COLLECT, 0), TETHER_OK);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *lost = start(s, 1, &hang, &request);
  assert_true(rpc_wait_for(&stats_of(s, 1)->hanging, 1));
  node_stop(&s->nodes[1], SIGKILL);
  assert_int_equal(tether_call_wait(lost), TETHER_UNAVAILABLE);
  request.name = (char *)"c";
  tether_call *kept = start(s, 2, &pooled, &request);
  assert_int_equal(tether_group_wait(s->group), TETHER_OK);
  rpc_assert_code(kept, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(kept))->text, "hello c");
  assert_int_equal(tether_cause_get_code(tether_call_cause(lost)), TETHER_CAUSE_PEER_LOST);
  tether_call_unref(lost);
  tether_call_unref(kept);
}

/* ---- Hedged calls -------------------------------------------------------------------------- */

/* The second attempt goes to this process. */
static tether_call *hedge(struct scene *s, int node, const tether_method *method, const Testing__V1__Request *request,
                          int64_t delay_ns) {
  tether_client *const clients[] = {s->clients[node], s->quick_client};
  const tether_hedging hedging = {.max_attempts = 2,
                                  .delay_ns = delay_ns,
                                  .non_fatal = 1u << TETHER_UNAVAILABLE,
                                  .clients = clients,
                                  .client_count = 2};
  tether_call *call = tether_call_hedged(&hedging, tether_ctx_background(), method, &request->base,
                                         &(tether_call_options){.timeout_ns = RPC_TEST_BOUND_NS});
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(((const Testing__V1__Reply *)tether_call_reply(call))->text, "quick");
  return call;
}

static void be_connected(struct scene *s, int node) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(s->clients[node], ctx), TETHER_OK);
  assert_int_equal(tether_client_wait_ready(s->quick_client, ctx), TETHER_OK);
}

/* A handler that is cancelled before it has begun never does, so the delay grows until one has. */
static void a_lost_attempts_handler_ends_in_its_process_with_cause_hedge_lost(void **state) {
  struct scene *s = *state;
  const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  be_connected(s, 0);
  for (int round = 0; atomic_load(&stats_of(s, 0)->ended[TETHER_CAUSE_HEDGE_LOST]) == 0; round++) {
    assert_true(round < 100);
    tether_call_unref(hedge(s, 0, &hang, &request, (round + 1) * 5 * TETHER_MS));
    assert_true(rpc_wait_for(&stats_of(s, 0)->hanging, 0));
  }
}

static bool has_lost(void *data) {
  return atomic_load(&((struct echo_stats *)data)->ended[TETHER_CAUSE_HEDGE_LOST]) > 0;
}

static void a_lost_attempts_fan_out_ends_two_processes_down_with_cause_hedge_lost(void **state) {
  struct scene *s = *state;
  const Testing__V1__Request request = fan_to(s, 1);
  be_connected(s, 0);
  for (int round = 0; atomic_load(&stats_of(s, 1)->ended[TETHER_CAUSE_HEDGE_LOST]) < EACH; round++) {
    assert_true(round < 100);
    tether_call_unref(hedge(s, 0, &fan, &request, (round + 1) * 20 * TETHER_MS));
    assert_true(rpc_wait_for(&stats_of(s, 1)->hanging, 0));
  }
  assert_true(tst_wait_until(has_lost, stats_of(s, 0), RPC_TEST_BOUND_NS)); /* once it has noticed its calls' end */
}

struct killer {
  pthread_t thread;
  struct scene *scene;
  bool began;
};

static void *kill_when_it_hangs(void *data) {
  struct killer *killer = data;
  killer->began = rpc_wait_for(&stats_of(killer->scene, 0)->hanging, 1);
  node_stop(&killer->scene->nodes[0], SIGKILL);
  return NULL;
}

static void an_attempt_whose_process_is_killed_is_followed_by_the_next_at_once(void **state) {
  struct scene *s = *state;
  const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  struct killer killer = {.scene = s};
  be_connected(s, 0);
  assert_int_equal(pthread_create(&killer.thread, NULL, kill_when_it_hangs, &killer), 0);
  tether_call_unref(hedge(s, 0, &hang, &request, TETHER_FOREVER));
  assert_int_equal(pthread_join(killer.thread, NULL), 0);
  assert_true(killer.began);
}

static bool what_began_has_ended(void *data) {
  struct echo_stats *stats = data;
  return atomic_load(&stats->hanging) == 0 &&
         atomic_load(&stats->ended[TETHER_CAUSE_HEDGE_LOST]) == atomic_load(&stats->started) - 1;
}

static void a_process_that_stands_still_is_hedged_and_later_drops_what_it_was_asked(void **state) {
  struct scene *s = *state;
  const Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  be_connected(s, 0);
  assert_true(node_pause(&s->nodes[0]));
  for (int i = 0; i < EACH; i++) tether_call_unref(hedge(s, 0, &hang, &request, TETHER_MS));
  assert_int_equal(kill(s->nodes[0].pid, SIGCONT), 0);
  tether_call *next = start(s, 0, &pooled, &request); /* the connection is as good as before */
  assert_int_equal(tether_call_wait(next), TETHER_OK);
  tether_call_unref(next);
  assert_true(tst_wait_until(what_began_has_ended, stats_of(s, 0), RPC_TEST_BOUND_NS));
}

#define CASE(test) \
  { #test, test, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_failure_in_one_process_ends_the_handlers_of_all_with_cause_sibling),
      CASE(enough_successes_end_the_handlers_of_all_processes_with_cause_enough),
      CASE(a_failed_sibling_ends_what_another_processs_handler_has_started_in_a_third),
      CASE(a_process_that_is_killed_is_a_failure_and_the_others_stop),
      CASE(collecting_goes_on_without_a_process_that_is_killed),
      CASE(a_lost_attempts_handler_ends_in_its_process_with_cause_hedge_lost),
      CASE(a_lost_attempts_fan_out_ends_two_processes_down_with_cause_hedge_lost),
      CASE(an_attempt_whose_process_is_killed_is_followed_by_the_next_at_once),
      CASE(a_process_that_stands_still_is_hedged_and_later_drops_what_it_was_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
