/* Names as targets: look-ups that the test answers, in virtual time, and one by the system. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <tether/ledger.h>

#include "tests/support/mem_bank.h"
#include "tests/support/mem_names.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static tether_client *client_open(tether_balancing balancing) {
  static tth_transport transport;
  tether_client *client;
  const tether_client_options options = {.balancing = balancing, .idle_timeout_ns = TETHER_FOREVER};
  tst_names_now = (tst_names){0};
  transport = tst_transport_mem;
  transport.resolver = &tst_resolver_mem;
  assert_int_equal(tth_client_open_on(&transport, "dns:///shards.example:7000", &options, &client), TETHER_OK);
  return client;
}

static void client_close(tether_client *client) {
  tst_bank_close(client);
  assert_int_equal(tst_names_now.open, 0);
}

static void calls_wait_for_the_name_and_then_for_its_addresses(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_ROUND_ROBIN);
  assert_string_equal(tst_names_now.scheme, "tcp");
  assert_string_equal(tst_names_now.host, "shards.example");
  assert_string_equal(tst_names_now.port, "7000");
  assert_int_equal(tst_names_now.asked, 1);
  assert_int_equal(tether_client_connectivity(client), TETHER_CONNECTING);
  tether_call *calls[2];
  for (int i = 0; i < 2; i++) calls[i] = tst_bank_call(client, false);
  tst_bank_up(0);
  tst_bank_up(1);
  tst_names_answer("aba");
  tst_bank_hello(0);
  tst_bank_hello(1);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  tether_call *more = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0) + tst_bank_calls(1), 3);
  assert_true(tst_bank_calls(1) > 0);
  for (int i = 0; i < 2; i++) tether_call_cancel(calls[i], NULL);
  for (int i = 0; i < 2; i++) tether_call_unref(calls[i]);
  tether_call_cancel(more, NULL);
  tether_call_unref(more);
  client_close(client);
}

static void a_name_that_leads_nowhere_fails_calls_and_is_asked_again_after_a_back_off(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_PICK_FIRST);
  TETHER_SCOPED_CALL tether_call *hasty = tst_bank_call(client, false);
  tether_call *patient = tst_bank_call(client, true);
  tst_names_answer("");
  assert_int_equal(tether_client_connectivity(client), TETHER_TRANSIENT_FAILURE);
  rpc_assert_code(hasty, TETHER_UNAVAILABLE);
  assert_non_null(strstr(tether_call_message(hasty), "no such name"));
  tst_bank_move(TETHER_SEC - 1);
  assert_int_equal(tst_names_now.asked, 1);
  tst_bank_move(1);
  assert_int_equal(tst_names_now.asked, 2);
  tst_names_answer("");
  tst_bank_move(1600 * TETHER_MS);
  assert_int_equal(tst_names_now.asked, 3);
  tst_bank_up(0);
  tst_names_answer("a");
  tst_bank_hello(0);
  assert_int_equal(tst_bank_calls(0), 1);
  tether_call_cancel(patient, NULL);
  tether_call_unref(patient);
  client_close(client);
}

static void a_changed_list_connects_what_is_new_keeps_what_stays_and_drains_what_is_gone(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_ROUND_ROBIN);
  for (int i = 0; i < 3; i++) tst_bank_up(i);
  tst_bank_streams(1);
  tst_names_answer("ab");
  tst_bank_hello(0);
  tst_bank_hello(1);
  tether_call *calls[4]; /* each has one, and one that waits for its slot */
  for (int i = 0; i < 4; i++) calls[i] = tst_bank_call(client, false);
  assert_int_equal(tst_bank_calls(0), 1);
  assert_int_equal(tst_bank_calls(1), 1);
  tth_link *kept = tst_bank_now.peers[1].link;
  tst_bank_move(60 * TETHER_SEC);
  assert_int_equal(tst_names_now.asked, 2);
  tst_names_answer("bc");
  tst_bank_streams(8);
  tst_bank_hello(2);
  assert_ptr_equal(tst_bank_now.peers[1].link, kept);
  assert_true(tst_bank_is_connected(1));
  assert_true(tst_bank_is_connected(0)); /* it has a call, which finishes */
  tst_bank_trailers(0, 1, TETHER_NOT_FOUND);
  assert_false(tst_bank_is_connected(0));
  int answered = 0;
  for (int i = 0; i < 4; i++) answered += !tth_call_is_running(calls[i]);
  assert_int_equal(answered, 1); /* that alone has ended: the one behind it has gone elsewhere */
  tst_bank_trailers(1, 1, TETHER_NOT_FOUND);
  assert_int_equal(tst_bank_calls(0), 1);
  for (int i = 0; i < 4; i++) tether_call_cancel(calls[i], NULL);
  for (int i = 0; i < 4; i++) tether_call_unref(calls[i]);
  client_close(client);
}

static void a_lost_connection_has_the_name_asked_but_not_more_often_than_every_30_s(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_ROUND_ROBIN);
  tst_bank_up(0);
  tst_names_answer("a");
  tst_bank_hello(0);
  tst_bank_move(31 * TETHER_SEC);
  assert_int_equal(tst_names_now.asked, 1);
  tst_bank_down(0);
  assert_int_equal(tst_names_now.asked, 2);
  tst_names_answer("a"); /* refused again and again, which asks for no more */
  for (int i = 0; i < 29; i++) tst_bank_move(TETHER_SEC);
  assert_int_equal(tst_names_now.asked, 2);
  tst_bank_move(TETHER_SEC);
  assert_int_equal(tst_names_now.asked, 3);
  tst_names_answer("b");
  tst_bank_up(1);
  for (int i = 0; i < 3 && !tst_bank_is_connected(1); i++) tst_bank_move(TETHER_SEC);
  tst_bank_hello(1);
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  client_close(client);
}

static int asked_meanwhile;

static void let_a_look_up_be_due(void *data) {
  (void)data;
  tst_bank_move(61 * TETHER_SEC);
  asked_meanwhile = tst_names_now.asked;
}

/* Its answer would come on another thread, and change the list under the one that has not finished with it. */
static void no_look_up_begins_before_the_one_before_has_drained_what_is_gone(void **state) {
  (void)state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tth_recorder *recorder = tth_recorder_new(false, 0);
  const tether_ctx *ctx = tth_recorder_attach(tether_ctx_with_cancel(tether_ctx_background()), recorder);
  tether_client *client = client_open(TETHER_ROUND_ROBIN);
  tst_bank_up(0);
  tst_bank_streams(0);
  tst_names_answer("a");
  tst_bank_hello(0);
  tether_call *call = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  tst_bank_move(60 * TETHER_SEC);
  assert_int_equal(tst_names_now.asked, 2);
  asked_meanwhile = 0;
  tth_recorder_when_closed(recorder, let_a_look_up_be_due, NULL); /* as the call leaves its queue */
  tst_names_answer("b");
  assert_int_equal(asked_meanwhile, 2);
  assert_int_equal(tst_names_now.asked, 3);
  tether_call_cancel(call, NULL);
  tether_call_unref(call);
  client_close(client);
  tether_ctx_unref(ctx);
  tth_recorder_unref(recorder);
}

static void a_failed_look_up_leaves_the_addresses_as_they_are(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_PICK_FIRST);
  tst_bank_up(0);
  tst_names_answer("a");
  tst_bank_hello(0);
  tst_bank_move(60 * TETHER_SEC);
  tst_names_answer("");
  assert_int_equal(tether_client_connectivity(client), TETHER_READY);
  assert_true(tst_bank_is_connected(0));
  client_close(client);
}

/* ---- Where the time went ------------------------------------------------------------------- */

static tether_call *call_for(tether_client *client, int64_t timeout_ns) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.timeout_ns = timeout_ns, .wait_for_ready = true};
  tether_call *call =
      testing_v1_echo_client_quick_start(client, tether_ctx_background(), &request, &options, NULL, NULL);
  tst_bank_pump();
  return call;
}

static void assert_spent(tether_call *call, tether_phase wanted, int64_t wanted_ns) {
  const tether_ledger *row = tether_call_ledger(call), *blamed;
  tether_phase phase;
  int64_t spent_ns;
  assert_non_null(row);
  tether_ledger_blame(row, &blamed, &phase, &spent_ns);
  assert_int_equal(phase, wanted);
  assert_int_equal(spent_ns, wanted_ns);
}

static void assert_says(const tether_call *call, const char *what) {
  if (!strstr(tether_call_message(call), what)) fail_msg("%s", tether_call_message(call));
}

static void a_call_whose_name_has_no_answer_in_time_was_resolving(void **state) {
  (void)state;
  tether_client *client = client_open(TETHER_PICK_FIRST);
  TETHER_SCOPED_CALL tether_call *call = call_for(client, 500 * TETHER_MS);
  tst_bank_move(500 * TETHER_MS);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_says(call, "deadline exceeded after 500 ms, 500 ms of it resolving (/testing.v1.Echo/Quick at dns:///shards");
  assert_spent(call, TETHER_PHASE_RESOLVING, 500 * TETHER_MS);
  assert_false(tether_call_ledger(call)->connected);
  tst_names_answer("a");
  client_close(client);
  assert_spent(call, TETHER_PHASE_RESOLVING, 500 * TETHER_MS); /* also when the client is gone */
}

static void a_call_that_waits_for_its_name_and_then_for_a_connection_is_told_which_took_longer(void **state) {
  static const struct {
    int64_t resolving_ns, connecting_ns;
    const char *text;
  } cases[] = {{300 * TETHER_MS, 100 * TETHER_MS, "after 400 ms, 300 ms of it resolving"},
               {100 * TETHER_MS, 300 * TETHER_MS, "after 400 ms, 300 ms of it connecting"}};
  (void)state;
  for (int i = 0; i < 2; i++) {
    tether_client *client = client_open(TETHER_PICK_FIRST);
    TETHER_SCOPED_CALL tether_call *call = call_for(client, cases[i].resolving_ns + cases[i].connecting_ns);
    tst_bank_move(cases[i].resolving_ns);
    tst_names_answer("a"); /* where nobody is */
    tst_bank_move(cases[i].connecting_ns);
    rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
    assert_says(call, cases[i].text);
    assert_spent(call, i == 0 ? TETHER_PHASE_RESOLVING : TETHER_PHASE_CONNECTING, 300 * TETHER_MS);
    assert_int_equal(tether_call_ledger(call)->resolving_ns, cases[i].resolving_ns);
    client_close(client);
  }
}

static void a_call_that_was_sent_after_all_tells_how_long_its_name_took(void **state) {
  (void)state;
  char text[512];
  tether_client *client = client_open(TETHER_PICK_FIRST);
  TETHER_SCOPED_CALL tether_call *call = call_for(client, 10 * TETHER_SEC);
  tst_bank_up(0);
  tst_bank_move(300 * TETHER_MS);
  tst_names_answer("a");
  tst_bank_hello(0);
  tst_bank_move(100 * TETHER_MS);
  tst_bank_trailers(0, 1, TETHER_ABORTED);
  rpc_assert_code(call, TETHER_ABORTED);
  assert_spent(call, TETHER_PHASE_RESOLVING, 300 * TETHER_MS);
  assert_true(tether_call_ledger(call)->connected);
  tether_ledger_text(tether_call_ledger(call), 8, text, sizeof text);
  if (!strstr(text,
              "|??????"
              "--|") ||
      !strstr(text, "300.00 ms resolving") || !strstr(text, ", ? resolving\n"))
    fail_msg("%s", text);
  /* The next one finds the address known. */
  TETHER_SCOPED_CALL tether_call *next = call_for(client, 10 * TETHER_SEC);
  tst_bank_move(100 * TETHER_MS);
  tst_bank_trailers(0, 2, TETHER_ABORTED);
  rpc_assert_code(next, TETHER_ABORTED);
  assert_int_equal(tether_call_ledger(next)->resolving_ns, 0);
  client_close(client);
}

static void a_name_that_cannot_be_one_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"dns:///",    "dns:///name",           "dns:///:1",    "dns://server/name:1",
                                    "dns:name:1", "dns:///a:1,dns:///b:1", "dns:///a/b:1", "dns+tls:///localhost:1"};
  tether_client *client;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(tether_client_open(bad[i], NULL, &client), TETHER_INVALID_ARGUMENT);
}

/* ---- For real ------------------------------------------------------------------------------ */

/* The system's look-up, which takes its time for one name. */
static tst_latch found;
static tst_counter looking, looked;

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result) {
  if (strcmp(host, "silent.example") != 0) return __real_getaddrinfo(host, port, hints, result);
  tst_counter_add(&looking, 1);
  bool in_time = tst_latch_wait(&found, TST_BOUND_NS);
  tst_counter_add(&looked, 1);
  return in_time ? EAI_AGAIN : EAI_FAIL;
}

static void a_call_does_not_wait_longer_for_its_name_than_for_anything_else(void **state) {
  (void)state;
  tether_client *client;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tst_latch_init(&found);
  tst_counter_init(&looking);
  tst_counter_init(&looked);
  assert_int_equal(tether_client_open("dns:///silent.example:7000", NULL, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 50 * TETHER_MS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  assert_says(call, "resolving");
  tether_client_close(client); /* nor does the close */
  assert_int_equal(tst_counter_get(&looked), 0);
  assert_true(tst_counter_wait(&looking, 1, TST_BOUND_NS));
  tst_latch_open(&found);
  assert_true(tst_counter_wait(&looked, 1, TST_BOUND_NS)); /* the thread is done with what is ours */
}

static void the_system_finds_localhost(void **state) {
  (void)state;
  tether_server *server;
  tether_client *client;
  struct echo_stats stats = {0};
  char target[64];
  const tether_client_options options = {.balancing = TETHER_ROUND_ROBIN};
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tcp://127.0.0.1:0"), TETHER_OK);
  snprintf(target, sizeof target, "dns:///localhost:%u", tether_server_port(server));
  assert_int_equal(tether_client_open(target, &options, &client), TETHER_OK);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  tether_client_close(client);
  tether_server_close(server);
}

/* However long the system takes for its look-up. */
static void a_client_may_be_closed_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    tether_client *client;
    assert_int_equal(tether_client_open("dns:///localhost:1", NULL, &client), TETHER_OK);
    tether_client_close(client);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(calls_wait_for_the_name_and_then_for_its_addresses),
      TST_BANK_CASE(a_name_that_leads_nowhere_fails_calls_and_is_asked_again_after_a_back_off),
      TST_BANK_CASE(a_changed_list_connects_what_is_new_keeps_what_stays_and_drains_what_is_gone),
      TST_BANK_CASE(no_look_up_begins_before_the_one_before_has_drained_what_is_gone),
      TST_BANK_CASE(a_lost_connection_has_the_name_asked_but_not_more_often_than_every_30_s),
      TST_BANK_CASE(a_failed_look_up_leaves_the_addresses_as_they_are),
      TST_BANK_CASE(a_call_whose_name_has_no_answer_in_time_was_resolving),
      TST_BANK_CASE(a_call_that_waits_for_its_name_and_then_for_a_connection_is_told_which_took_longer),
      TST_BANK_CASE(a_call_that_was_sent_after_all_tells_how_long_its_name_took),
      cmocka_unit_test(a_name_that_cannot_be_one_is_refused),
      cmocka_unit_test(a_call_does_not_wait_longer_for_its_name_than_for_anything_else),
      cmocka_unit_test(the_system_finds_localhost),
      cmocka_unit_test(a_client_may_be_closed_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
