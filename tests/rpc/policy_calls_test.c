/* Calls before a policy: which handlers run, what callers learn, and what the server says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/auth.h>
#include <tether/policy.h>
#include <unistd.h>

#include "tests/support/certificates.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* A server with an auth interceptor, which takes the metadata "user" at its word, and a policy. */
struct guarded {
  char dir[64], file[80], url[96];
  struct echo_stats stats;
  tether_policy *policy;
  tether_auth auth;
  const tether_interceptor *interceptors[3];
  tether_server *server;
  tether_client *client;
};

static tst_stderr caught;

static tether_code take_its_word(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]) {
  const char *user = tether_metadata_get(tether_call_metadata(call), "user", NULL);
  (void)data;
  if (user) snprintf(principal, TETHER_PRINCIPAL_SIZE, "%s", user);
  return TETHER_OK;
}

/* `url` NULL: a unix socket; else one that ends with ":0". */
static void open_guarded(struct guarded *g, const char *json, const char *url, const tether_tls *server_tls,
                         const tether_tls *client_tls) {
  *g = (struct guarded){.policy = NULL};
  assert_true(tst_stderr_catch(&caught) && tst_dir_make(g->dir) && tst_dir_write(g->dir, "policy", json));
  snprintf(g->file, sizeof g->file, "%s/policy", g->dir);
  assert_int_equal(tether_policy_open(g->file, &g->policy), TETHER_OK);
  tether_auth_init(&g->auth, take_its_word, NULL);
  g->interceptors[0] = &g->auth.interceptor;
  g->interceptors[1] = tether_policy_interceptor(g->policy);
  const tether_server_options options = {.interceptors = g->interceptors, .tls = server_tls};
  assert_int_equal(tether_server_open(&options, &g->server), TETHER_OK);
  assert_int_equal(echo_server_add(g->server, &g->stats), TETHER_OK);
  snprintf(g->url, sizeof g->url, "ipc://%s/s", g->dir);
  if (url) snprintf(g->url, sizeof g->url, "%s", url);
  assert_int_equal(tether_server_listen(g->server, g->url), TETHER_OK);
  char *zero = url ? strstr(g->url, ":0") : NULL;
  if (zero) snprintf(zero, sizeof g->url - (size_t)(zero - g->url), ":%u", tether_server_port(g->server));
  assert_int_equal(tether_client_open(g->url, &(tether_client_options){.tls = client_tls}, &g->client), TETHER_OK);
}

static void close_guarded(struct guarded *g) {
  tether_client_close(g->client);
  tether_server_close(g->server);
  tether_policy_close(g->policy);
  tst_stderr_release(&caught);
  assert_true(tst_dir_remove(g->dir));
}

/* A call of Quick as this user (NULL: none). */
static tether_call *quick(struct guarded *g, const char *user) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_metadata *metadata = tether_metadata_new();
  if (user) assert_int_equal(tether_metadata_add(metadata, "user", user), TETHER_OK);
  tether_call *call =
      testing_v1_echo_client_quick(g->client, ctx, &request, &(tether_call_options){.metadata = metadata});
  tether_metadata_free(metadata);
  return call;
}

static void assert_quick(struct guarded *g, const char *user, tether_code code) {
  tether_call *call = quick(g, user);
  rpc_assert_code(call, code);
  tether_call_unref(call);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void a_denied_call_runs_no_handler_and_says_who_and_why(void **state) {
  (void)state;
  struct guarded g;
  char who[64];
  open_guarded(&g,
               "{\"deny_rules\":[{\"name\":\"no mallory\",\"source\":{\"principals\":[\"auth:mallory\"]}}],"
               "\"allow_rules\":[{\"name\":\"known\",\"source\":{\"principals\":[\"auth:*\"]}}]}",
               NULL, NULL, NULL);
  assert_quick(&g, "alice", TETHER_OK);
  tether_call *call = quick(&g, "mallory");
  rpc_assert_code(call, TETHER_PERMISSION_DENIED);
  assert_string_equal(tether_call_message(call), "this server's policy does not let you call /testing.v1.Echo/Quick");
  tether_call_unref(call);
  assert_true(tst_stderr_says(&caught, "auth:mallory): by deny rule no mallory"));
  snprintf(who, sizeof who, "denied /testing.v1.Echo/Quick to pid %d (unix uid %u", getpid(), getuid());
  assert_true(tst_stderr_says(&caught, who));
  assert_quick(&g, NULL, TETHER_PERMISSION_DENIED); /* a uid is proven, but nothing allows it */
  assert_true(tst_stderr_says(&caught, "no rule allows it"));
  assert_int_equal(atomic_load(&g.stats.started), 1);
  close_guarded(&g);
}

static void each_kind_of_method_is_guarded(void **state) {
  (void)state;
  struct guarded g;
  open_guarded(&g, "{\"allow_rules\":[{\"name\":\"one\",\"request\":{\"paths\":[\"*/Quick\"]}}]}", NULL, NULL, NULL);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.width = 1;
  const Testing__V1__Reply *reply = NULL;
  assert_quick(&g, NULL, TETHER_OK);
  TETHER_SCOPED_CALL tether_call *pooled = testing_v1_echo_client_pooled(g.client, ctx, &request, NULL);
  rpc_assert_code(pooled, TETHER_PERMISSION_DENIED);
  TETHER_SCOPED_CALL tether_call *down =
      testing_v1_echo_client_download_start(g.client, ctx, &request, NULL, NULL, NULL);
  assert_int_equal(testing_v1_echo_download_recv_reply(down, &reply), TETHER_PERMISSION_DENIED);
  TETHER_SCOPED_CALL tether_call *chat = testing_v1_echo_client_chat_start(g.client, ctx, NULL, NULL, NULL);
  assert_int_equal(testing_v1_echo_chat_recv_reply(chat, &reply), TETHER_PERMISSION_DENIED);
  assert_null(reply);
  close_guarded(&g);
}

static void certificates_and_users_of_this_host_are_principals(void **state) {
  (void)state;
  struct guarded g;
  char json[256];
  tst_certificates c;
  assert_true(tst_certificates_make(&c));
  snprintf(
      json, sizeof json,
      "{\"allow_rules\":[{\"name\":\"some\",\"source\":{\"principals\":[\"uri:spiffe://test/client\",\"uid:%u\"]}}]}",
      getuid());
  tether_tls server = {.ca_pem = c.ca, .cert_pem = c.cert, .key_pem = c.key};
  tether_tls somebody = {.ca_pem = c.ca, .cert_pem = c.client.pem, .key_pem = c.client.key};
  tether_tls nobody = {.ca_pem = c.ca}, another = {.ca_pem = c.ca, .cert_pem = c.cert, .key_pem = c.key};
  static const char url[] = "tls+tcp://localhost:0";
  const struct {
    const char *url;
    const tether_tls *tls;
    tether_code code;
  } cases[] = {{url, &somebody, TETHER_OK},
               {url, &nobody, TETHER_PERMISSION_DENIED},
               {url, &another, TETHER_PERMISSION_DENIED},
               {NULL, NULL, TETHER_OK},
               {"tcp://localhost:0", NULL, TETHER_PERMISSION_DENIED}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    open_guarded(&g, json, cases[i].url, &server, cases[i].tls);
    assert_quick(&g, NULL, cases[i].code);
    close_guarded(&g);
  }
  tst_certificates_free(&c);
}

static void a_reload_counts_from_the_next_call(void **state) {
  (void)state;
  struct guarded g;
  open_guarded(&g, "{\"allow_rules\":[{\"name\":\"all\"}]}", NULL, NULL, NULL);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  const Testing__V1__Reply *reply = NULL;
  TETHER_SCOPED_CALL tether_call *chat = testing_v1_echo_client_chat_start(g.client, ctx, NULL, NULL, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  assert_int_equal(testing_v1_echo_chat_send_request(chat, &request), TETHER_OK);
  assert_int_equal(testing_v1_echo_chat_recv_reply(chat, &reply), TETHER_OK);
  assert_true(
      tst_dir_write(g.dir, "policy", "{\"allow_rules\":[{\"name\":\"none\",\"request\":{\"paths\":[\"/x\"]}}]}"));
  assert_int_equal(tether_policy_reload(g.policy), TETHER_OK);
  assert_quick(&g, NULL, TETHER_PERMISSION_DENIED);
  assert_int_equal(testing_v1_echo_chat_send_request(chat, &request), TETHER_OK); /* it was let in */
  assert_int_equal(testing_v1_echo_chat_recv_reply(chat, &reply), TETHER_OK);
  assert_non_null(reply);
  close_guarded(&g);
}

static void a_flood_of_denied_calls_is_no_flood_of_lines(void **state) {
  enum { CALLS = 500 };
  (void)state;
  struct guarded g;
  open_guarded(&g, "{\"allow_rules\":[{\"name\":\"none\",\"request\":{\"paths\":[\"/x\"]}}]}", NULL, NULL, NULL);
  int64_t began_ns = tst_now_ns();
  for (int i = 0; i < CALLS; i++) assert_quick(&g, "somebody", TETHER_PERMISSION_DENIED);
  int64_t seconds = (tst_now_ns() - began_ns) / TETHER_SEC + 2; /* begun ones at either end */
  assert_true(tst_stderr_lines(&caught, "denied /testing") <= 10 * seconds);
  assert_true(tst_stderr_lines(&caught, "denied /testing") >= 10);
  close_guarded(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_denied_call_runs_no_handler_and_says_who_and_why),
      cmocka_unit_test(each_kind_of_method_is_guarded),
      cmocka_unit_test(certificates_and_users_of_this_host_are_principals),
      cmocka_unit_test(a_reload_counts_from_the_next_call),
      cmocka_unit_test(a_flood_of_denied_calls_is_no_flood_of_lines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
