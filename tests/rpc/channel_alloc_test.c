/* The Nth allocation fails, for every N, while a client's list of addresses changes, connections come and go by its
 * policy, and calls move from one to another. Every call ends once, with what its one server said or a code that says
 * why not; none is accepted twice or left to its deadline; nothing leaks; and with memory again the next call is
 * answered. In virtual time, with peers that say what the test has them say; and the system's look-up, for real. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/retry.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/mem_bank.h"
#include "tests/support/mem_names.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define TIMEOUT (1000 * TETHER_SEC) /* longer than a life */

enum { CALLS = 8 };

/* What the test does itself has memory. */
#define CALM(what)                        \
  do {                                    \
    bool before = tst_alloc_exempt(true); \
    what;                                 \
    tst_alloc_exempt(before);             \
  } while (0)

static struct life {
  tether_client *client; /* NULL: it could not be opened */
  tether_call *calls[CALLS];
  int started, ended[CALLS], accepted[CALLS];
  struct {
    bool greeted;
    uint32_t answered, last, refused;
  } at[TST_BANK_MOST];
} f;

/* ---- Calls --------------------------------------------------------------------------------- */

static void note_end(tether_call *call, void *data) {
  (void)call;
  ++*(int *)data;
}

static void start(bool wait_for_ready) {
  char name[] = "call-0";
  int i = f.started++;
  name[5] = (char)('0' + i);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = name;
  const tether_call_options options = {.wait_for_ready = wait_for_ready, .timeout_ns = TIMEOUT};
  f.calls[i] =
      testing_v1_echo_client_quick_start(f.client, tether_ctx_background(), &request, &options, note_end, &f.ended[i]);
  tst_bank_pump();
}

static void start_some(int count) {
  for (int i = 0; i < count; i++) start(false);
}

/* Which call came on a peer's stream; -1: none. */
static int call_on(int at, uint32_t stream) {
  const tst_frames *heard = &tst_bank_now.peers[at].heard;
  size_t pos = 0;
  tth_frame frame;
  if (!tst_frames_find(heard->bytes, heard->len, &pos, TTH_MESSAGE, stream, &frame)) return -1;
  const char *name = memmem(frame.payload, frame.length, "call-", 5);
  return name ? name[5] - '0' : -1;
}

/* ---- Peers, which have memory -------------------------------------------------------------- */

static void up(int at) {
  f.at[at].greeted = false;
  f.at[at].answered = f.at[at].refused = 0;
  f.at[at].last = UINT32_MAX;
  CALM(tst_bank_up(at));
}

/* The peer goes; whatever it has heard, and not refused, it may have accepted. */
static void down(int at) {
  for (uint32_t stream = 1; stream <= (uint32_t)tst_bank_calls(at); stream++) {
    int call = call_on(at, stream);
    if (call >= 0 && stream <= f.at[at].last && stream != f.at[at].refused) f.accepted[call]++;
  }
  CALM(tst_bank_down(at));
}

static void greet(int at) {
  if (!tst_bank_is_connected(at) || f.at[at].greeted) return;
  f.at[at].greeted = true;
  CALM(tst_bank_hello(at));
}

static void go_away(int at, uint32_t last) {
  if (!f.at[at].greeted) return;
  f.at[at].last = last;
  CALM(tst_bank_goaway(at, last));
}

static void refuse(int at, uint32_t stream) {
  if (tst_bank_calls(at) < (int)stream) return;
  f.at[at].refused = stream;
  CALM(tst_bank_refuse(at, stream));
}

/* Answers what has come and is not answered. */
static void answer_calls(int at) {
  while (f.at[at].answered < (uint32_t)tst_bank_calls(at)) {
    uint32_t stream = ++f.at[at].answered;
    if (stream <= f.at[at].last && stream != f.at[at].refused) CALM(tst_bank_trailers(at, stream, TETHER_NOT_FOUND));
  }
}

static void answer_name(const char *which) {
  if (!tst_names_now.asking) return; /* there was no memory to ask with */
  tst_names_answer(which);
}

/* ---- A life's end -------------------------------------------------------------------------- */

/* Has every peer there, greeting and answering, until no call is left. */
static void serve_all(void) {
  for (int step = 0; step < 400; step++) {
    bool over = true;
    for (int i = 0; i < f.started; i++) over = over && f.ended[i] > 0;
    if (over) return;
    if (tst_names_now.asking) tst_names_answer("ab");
    for (int at = 0; at < TST_BANK_MOST; at++) {
      if (tst_bank_now.up[at] && tst_bank_now.peers[at].closed) down(at);
      if (!tst_bank_now.up[at]) up(at);
      greet(at);
      answer_calls(at);
    }
    tst_bank_move(TETHER_SEC);
  }
}

static void check(int i) {
  assert_int_equal(f.ended[i], 1);
  assert_true(f.accepted[i] <= 1);
  tether_code code = tether_call_code(f.calls[i]);
  if (code == TETHER_NOT_FOUND)
    assert_int_equal(f.accepted[i], 1);
  else if (code == TETHER_CANCELLED) /* its context could not be made */
    assert_int_equal(tether_cause_get_code(tether_call_cause(f.calls[i])), TETHER_CAUSE_OTHER);
  else if (code != TETHER_UNAVAILABLE)
    rpc_assert_code(f.calls[i], TETHER_RESOURCE_EXHAUSTED);
  tether_call_unref(f.calls[i]);
}

static void begin(void) {
  f = (struct life){0};
  tst_names_now = (tst_names){0};
  tst_bank_streams(8);
}

static void close_client(void) {
  for (int at = 0; at < TST_BANK_MOST; at++) down(at);
  tst_bank_close(f.client);
  assert_int_equal(tst_names_now.open, 0);
}

static void end(void) {
  if (f.client) {
    start(true); /* the next call, for which there is memory */
    serve_all();
  }
  tether_code last = f.client ? tether_call_code(f.calls[f.started - 1]) : TETHER_NOT_FOUND;
  close_client();
  for (int i = 0; i < f.started; i++) check(i);
  assert_int_equal(last, TETHER_NOT_FOUND);
}

/* ---- Lives --------------------------------------------------------------------------------- */

static bool open_client(const char *target, const tether_client_options *given) {
  static tth_transport transport;
  tether_client_options options = *given;
  transport = tst_transport_alloc;
  transport.resolver = &tst_resolver_mem;
  tether_client *client;
  tether_code code = tth_client_open_on(&transport, target, &options, &client);
  if (code == TETHER_OK)
    f.client = client;
  else
    assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  tst_bank_pump();
  return code == TETHER_OK;
}

static void change_the_list(void) {
  tst_bank_streams(1);
  for (int at = 0; at < 3; at++) up(at);
  if (!open_client("dns:///shards.example:7000", &(tether_client_options){.balancing = TETHER_ROUND_ROBIN})) return;
  start_some(2);
  answer_name("ab");
  greet(0);
  greet(1);
  start_some(2); /* each address has a call, and one that waits for its slot */
  tst_bank_move(60 * TETHER_SEC);
  answer_name("bc");
  greet(2);
  answer_calls(0);
  start_some(1);
  tst_bank_move(60 * TETHER_SEC);
  answer_name("");
  tst_bank_move(2 * TETHER_SEC);
  answer_name("ca");
}

static void go_and_come(void) {
  tst_bank_streams(1);
  up(0);
  if (!open_client("mem://a,mem://b", &(tether_client_options){0})) return;
  greet(0);
  start_some(3);
  go_away(0, 1); /* two were queued, and move */
  up(1);
  tst_bank_move(2 * TETHER_SEC);
  tst_bank_streams(8);
  greet(1);
  answer_calls(0);
  go_away(1, 0); /* what has left was not accepted either */
  down(0);
  up(0);
  tst_bank_move(2 * TETHER_SEC);
  greet(0);
  start_some(1);
  refuse(0, 1);
  down(0); /* and who dies may have accepted what came */
}

static void balance(void) {
  for (int at = 0; at < 3; at++) up(at);
  if (!open_client(
          "mem://a,mem://b,mem://c",
          &(tether_client_options){.balancing = TETHER_LEAST_OF_TWO, .idle_timeout_ns = 60 * TETHER_SEC, .lazy = true}))
    return;
  start_some(2);
  for (int at = 0; at < 3; at++) greet(at);
  start_some(2);
  down(1);
  for (int at = 0; at < 3; at++) answer_calls(at);
  for (int i = 0; i < 3; i++) tst_bank_move(60 * TETHER_SEC); /* idle */
  for (int at = 0; at < 3; at++) down(at);
  up(2);
  start_some(1);
  greet(2);
}

static void the_list_changes(void **state) {
  (void)state;
  tst_alloc_fail_every_way(&(tst_alloc_life){.begin = begin, .live = change_the_list, .end = end, .least = 30});
}

static void calls_move(void **state) {
  (void)state;
  tst_alloc_fail_every_way(&(tst_alloc_life){.begin = begin, .live = go_and_come, .end = end, .least = 30});
}

static void connections_come_and_go_by_a_policy(void **state) {
  (void)state;
  tst_alloc_fail_every_way(&(tst_alloc_life){.begin = begin, .live = balance, .end = end, .least = 30});
}

/* ---- The service config -------------------------------------------------------------------- */

static const char config_text[] =
    "{\"loadBalancingConfig\": [{\"unknown\": {}}, {\"round_robin\": {}}], \"methodConfig\": [{\"name\": [{}],"
    " \"waitForReady\": true, \"timeout\": \"30s\"}, {\"name\": [{\"service\": \"other\"}], \"retryPolicy\":"
    " {\"maxAttempts\": 4, \"initialBackoff\": \"0.1s\", \"maxBackoff\": \"1s\", \"backoffMultiplier\": 2,"
    " \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}], \"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": 1}}";

static char config_file[] = "/tmp/tether-test-XXXXXX";

static void apply_the_config(void) {
  (void)open_client("mem://a,mem://b",
                    &(tether_client_options){.service_config_file = config_file, .backoff_max_ns = TETHER_SEC});
}

/* A client that could be opened goes by all of its config. */
static void end_applied(void) {
  if (f.client) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    assert_int_equal(f.client->balance.policy, TETHER_ROUND_ROBIN);
    assert_int_equal(f.client->throttle.max_milli, 10000);
    TETHER_SCOPED_CALL tether_call *call =
        testing_v1_echo_client_quick_start(f.client, tether_ctx_background(), &request, NULL, NULL, NULL);
    tst_bank_move(29 * TETHER_SEC);
    assert_int_equal(tether_client_connectivity(f.client), TETHER_TRANSIENT_FAILURE);
    assert_true(tth_call_is_running(call)); /* it waits, */
    tst_bank_move(TETHER_SEC);
    rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED); /* 30 s and no longer */
    start(false);
    serve_all();
  }
  close_client();
  for (int i = 0; i < f.started; i++) check(i);
}

static void a_config_is_applied_as_a_whole_or_the_client_does_not_open(void **state) {
  (void)state;
  int fd = mkstemp(config_file);
  assert_int_equal(write(fd, config_text, strlen(config_text)), strlen(config_text));
  close(fd);
  tst_alloc_fail_every_way(
      &(tst_alloc_life){.begin = begin, .live = apply_the_config, .end = end_applied, .least = 20});
  unlink(config_file);
}

/* ---- The system's look-up ------------------------------------------------------------------ */

static struct {
  tth_resolver *resolver;
  tst_latch told;
  int answers, strange;
  size_t count;
} s;

static void note_answer(void *owner, char *const *addresses, size_t count, const char *why) {
  (void)owner;
  s.answers++;
  s.count = count;
  for (size_t i = 0; i < count; i++) s.strange += strncmp(addresses[i], "tcp://", 6) != 0;
  s.strange += count == 0 && !*why;
  tst_latch_open(&s.told);
}

static void look_up(void) {
  memset(&s, 0, sizeof s);
  tst_latch_init(&s.told);
  tether_code code = tth_resolver_system.open("tcp", "localhost", "7000", note_answer, NULL, &s.resolver);
  if (code != TETHER_OK) assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  if (code == TETHER_OK && tth_resolver_system.resolve(s.resolver)) {
    assert_true(tst_latch_wait(&s.told, TST_BOUND_NS));
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.strange, 0);
  }
}

static void look_up_again(void) {
  if (s.resolver) {
    tst_latch_fini(&s.told);
    tst_latch_init(&s.told);
    assert_true(tth_resolver_system.resolve(s.resolver));
    assert_true(tst_latch_wait(&s.told, TST_BOUND_NS));
    assert_true(s.count > 0);
  }
  tth_resolver_system.close(s.resolver);
  tst_latch_fini(&s.told);
}

static void the_system_looks_up(void **state) {
  (void)state;
  tst_alloc_fail_every_way(&(tst_alloc_life){.live = look_up, .end = look_up_again, .least = 5});
}

static int setup(void **state) {
  int made = tst_bank_setup(state);
  tst_bank_now.deliver = tst_alloc_deliver;
  return made;
}

#define CASE(name) \
  { #name, name, setup, tst_bank_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(the_list_changes),
      CASE(calls_move),
      CASE(connections_come_and_go_by_a_policy),
      CASE(a_config_is_applied_as_a_whole_or_the_client_does_not_open),
      cmocka_unit_test(the_system_looks_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
