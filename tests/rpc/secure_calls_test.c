/* Calls over tls+tcp, ws and wss, end to end; and the status a caller gets when the peer cannot be trusted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rpc_test.h"
#include "tests/support/tls_test.h"
#include "tests/support/wait.h"

/* ---- A server and a client ------------------------------------------------------------------ */

struct pair {
  struct echo_stats stats;
  tether_server *server;
  tether_client *client;
};

/* The server listens on scheme://localhost:0path; the client dials `host` there. */
static void open_pair(struct pair *p, const char *scheme, const char *path, const char *host,
                      const tether_tls *client) {
  tether_tls tls = tls_of_server();
  char url[128];
  *p = (struct pair){0};
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = &tls}, &p->server), TETHER_OK);
  assert_int_equal(echo_server_add(p->server, &p->stats), TETHER_OK);
  snprintf(url, sizeof url, "%s://localhost:0%s", scheme, path);
  assert_int_equal(tether_server_listen(p->server, url), TETHER_OK);
  snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, tether_server_port(p->server), path);
  assert_int_equal(tether_client_open(url, &(tether_client_options){.tls = client}, &p->client), TETHER_OK);
}

static void close_pair(struct pair *p) {
  tether_client_close(p->client);
  tether_server_close(p->server);
}

static void calls_over(const char *scheme, const char *path) {
  enum { LONG = 1 << 20 };
  tether_tls tls = tls_of_client();
  struct pair p;
  open_pair(&p, scheme, path, "localhost", &tls);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"secret";
  TETHER_SCOPED_CALL tether_call *quick = testing_v1_echo_client_quick(p.client, ctx, &request, NULL);
  rpc_assert_code(quick, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(quick)->text, "hello secret");

  uint8_t *body = test_malloc(LONG);
  for (size_t i = 0; i < LONG; i++) body[i] = (uint8_t)(i * 7 + (i >> 10));
  request.body = (ProtobufCBinaryData){.data = body, .len = LONG};
  TETHER_SCOPED_CALL tether_call *large = testing_v1_echo_client_pooled(p.client, ctx, &request, NULL);
  rpc_assert_code(large, TETHER_OK);
  assert_int_equal(testing_v1_echo_pooled_reply(large)->body.len, LONG);
  assert_memory_equal(testing_v1_echo_pooled_reply(large)->body.data, body, LONG);
  test_free(body);
  request.body = (ProtobufCBinaryData){0};

  tether_call *many[50];
  for (int i = 0; i < 50; i++) many[i] = testing_v1_echo_client_pooled_start(p.client, ctx, &request, NULL, NULL, NULL);
  for (int i = 0; i < 50; i++) {
    tether_call_wait(many[i]);
    rpc_assert_code(many[i], TETHER_OK);
    tether_call_unref(many[i]);
  }

  TETHER_SCOPED_CALL tether_call *hanging =
      testing_v1_echo_client_hang_start(p.client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&p.stats.hanging, 1));
  tether_call_cancel(hanging, NULL);
  rpc_assert_code(hanging, TETHER_CANCELLED);
  assert_true(rpc_wait_for(&p.stats.ended[TETHER_CAUSE_CALLER], 1));
  close_pair(&p);
}

static void calls_go_over_tls(void **state) {
  (void)state;
  calls_over("tls+tcp", "");
}

static void calls_go_over_ws(void **state) {
  (void)state;
  calls_over("ws", "/tether");
}

static void calls_go_over_wss(void **state) {
  (void)state;
  calls_over("wss", "/tether");
}

/* ---- Peers that are not trusted ------------------------------------------------------------- */

static void assert_untrusted(const char *host, const tether_tls *tls) {
  struct pair p;
  open_pair(&p, "tls+tcp", "", host, tls);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(p.client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  if (!strstr(tether_call_message(call), "TLS")) fail_msg("unclear: %s", tether_call_message(call));
  assert_non_null(strstr(tether_call_message(call), "tls+tcp://"));
  assert_int_equal(atomic_load(&p.stats.started), 0);
  close_pair(&p);
}

static void a_server_signed_by_another_authority_is_unavailable_and_the_message_says_tls(void **state) {
  (void)state;
  tether_tls tls = {.ca_pem = certificates.other_ca};
  assert_untrusted("localhost", &tls);
}

static void a_server_of_another_name_is_unavailable_and_the_message_says_tls(void **state) {
  (void)state;
  tether_tls tls = tls_of_client();
  assert_untrusted("127.0.0.1", &tls);
  tls.server_name = "elsewhere.example";
  assert_untrusted("localhost", &tls);
}

static void a_plain_server_is_unavailable_to_a_tls_client(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tether_server *server;
  tether_client *client;
  char url[64];
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tcp://127.0.0.1:0"), TETHER_OK);
  snprintf(url, sizeof url, "tls+tcp://localhost:%u", tether_server_port(server));
  tether_tls tls = tls_of_client();
  assert_int_equal(tether_client_open(url, &(tether_client_options){.tls = &tls}, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNAVAILABLE);
  assert_true(tst_stderr_says(&caught, "tether: ")); /* the server's line about who came */
  tether_client_close(client);
  tether_server_close(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_certificates(calls_go_over_tls),
      with_certificates(calls_go_over_ws),
      with_certificates(calls_go_over_wss),
      with_certificates(a_server_signed_by_another_authority_is_unavailable_and_the_message_says_tls),
      with_certificates(a_server_of_another_name_is_unavailable_and_the_message_says_tls),
      with_certificates(a_plain_server_is_unavailable_to_a_tls_client),
  };
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
