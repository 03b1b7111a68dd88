/* TLS end to end: who is let in, who is not, and what is said about it on both sides. A failed connection costs itself:
 * each case ends with a client that is let in. */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rpc_test.h"
#include "tests/support/tls_peer.h"
#include "tests/support/tls_test.h"
#include "tests/support/wait.h"

/* ---- A server, and clients of it ------------------------------------------------------------ */

struct served {
  struct echo_stats stats;
  tether_server *server;
  const char *scheme;
};

static void serve(struct served *s, const char *scheme, const tether_tls *tls) {
  char url[64];
  *s = (struct served){.scheme = scheme};
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = tls}, &s->server), TETHER_OK);
  assert_int_equal(echo_server_add(s->server, &s->stats), TETHER_OK);
  snprintf(url, sizeof url, "%s://localhost:0", scheme);
  assert_int_equal(tether_server_listen(s->server, url), TETHER_OK);
}

/* One call by a new client; its message is copied to `message`, if given. */
static tether_code call_port(uint16_t port, const char *scheme, const char *host, const tether_tls *tls, char *message,
                             size_t size) {
  char url[128];
  tether_client *client;
  snprintf(url, sizeof url, "%s://%s:%u", scheme, host, port);
  assert_int_equal(tether_client_open(url, &(tether_client_options){.tls = tls}, &client), TETHER_OK);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_quick(client, ctx, &request, NULL);
  tether_code code = tether_call_code(call);
  if (message) snprintf(message, size, "%s", tether_call_message(call));
  tether_call_unref(call);
  tether_client_close(client);
  return code;
}

static tether_code call(struct served *s, const char *host, const tether_tls *tls, char *message, size_t size) {
  return call_port(tether_server_port(s->server), s->scheme, host, tls, message, size);
}

/* The server lets nobody else in because of one that it refused. */
static void end(struct served *s, const tether_tls *good_client) {
  if (good_client) assert_int_equal(call(s, "localhost", good_client, NULL, 0), TETHER_OK);
  tether_server_close(s->server);
}

/* The call fails UNAVAILABLE with these words, and the server says those. NULL: whatever. */
static void assert_refused(struct served *s, const char *host, const tether_tls *tls, const char *client_says,
                           const char *server_says) {
  char message[512];
  int before = atomic_load(&s->stats.started);
  assert_int_equal(call(s, host, tls, message, sizeof message), TETHER_UNAVAILABLE);
  if (client_says && !strstr(message, client_says)) fail_msg("'%s' is not in: %s", client_says, message);
  if (server_says) assert_true(tst_stderr_says(&caught, server_says));
  assert_int_equal(atomic_load(&s->stats.started), before);
}

/* ---- What a client checks ------------------------------------------------------------------- */

/* A server with a certificate like `of` is refused by a client of the usual authority. */
static void assert_server_refused(const tst_certificate_of *of, const char *client_says) {
  tst_certificate bad;
  assert_true(tst_certificate_make(of, &bad));
  tether_tls server = {.cert_pem = bad.pem, .key_pem = bad.key}, client = {.ca_pem = certificates.ca};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_refused(&s, "localhost", &client, client_says, "no greeting: TLS");
  end(&s, NULL);
  serve(&s, "wss", &server);
  assert_refused(&s, "localhost", &client, client_says, "closed a peer: TLS");
  end(&s, NULL);
  tst_certificate_free(&bad);
}

static void a_server_of_an_unknown_authority_is_refused(void **state) {
  (void)state;
  assert_server_refused(
      &(tst_certificate_of){
          .issuer = &certificates.other_authority, .common_name = "server", .alternative_names = "DNS:localhost"},
      "who signed it is not in our ca");
}

static void a_self_signed_server_is_refused(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.common_name = "server", .alternative_names = "DNS:localhost"},
                        "who signed it is not in our ca");
}

static void a_server_of_another_name_is_refused(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.issuer = &certificates.authority,
                                              .common_name = "localhost",
                                              .alternative_names = "DNS:elsewhere.example,IP:127.0.0.1"},
                        "not for the name localhost");
}

static void a_name_that_only_the_subject_has_is_no_name(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.issuer = &certificates.authority, .common_name = "localhost"},
                        "not for the name localhost");
}

static void an_expired_server_is_refused(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.issuer = &certificates.authority,
                                              .common_name = "server",
                                              .alternative_names = "DNS:localhost",
                                              .from_s = -7200,
                                              .until_s = -3600},
                        "certificate has expired");
  assert_true(tst_stderr_says(&caught, "warning: our certificate has expired"));
}

static void a_server_that_is_not_valid_yet_is_refused(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.issuer = &certificates.authority,
                                              .common_name = "server",
                                              .alternative_names = "DNS:localhost",
                                              .from_s = 3600,
                                              .until_s = 7200},
                        "not yet valid");
}

static void a_certificate_for_clients_is_none_for_servers(void **state) {
  (void)state;
  assert_server_refused(&(tst_certificate_of){.issuer = &certificates.authority,
                                              .common_name = "server",
                                              .alternative_names = "DNS:localhost",
                                              .usage = "clientAuth"},
                        "it was not made for this side");
}

static void an_address_can_be_the_name(void **state) {
  (void)state;
  tst_certificate good;
  assert_true(tst_certificate_make(
      &(tst_certificate_of){
          .issuer = &certificates.authority, .common_name = "server", .alternative_names = "IP:127.0.0.1"},
      &good));
  tether_tls server = {.cert_pem = good.pem, .key_pem = good.key}, client = {.ca_pem = certificates.ca};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_int_equal(call(&s, "127.0.0.1", &client, NULL, 0), TETHER_OK);
  assert_refused(&s, "localhost", &client, "not for the name localhost", NULL);
  client.server_name = "127.0.0.1";
  end(&s, &client);
  tst_certificate_free(&good);
}

static void only_who_says_so_talks_to_anybody(void **state) {
  (void)state;
  tether_tls server = tls_of_server();
  tether_tls anybody = {.insecure_no_server_check = true};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_int_equal(call(&s, "127.0.0.1", &anybody, NULL, 0), TETHER_OK);
  end(&s, &anybody);
}

/* ---- What a server checks ------------------------------------------------------------------- */

static tether_tls strict_server(void) {
  return (tether_tls){.cert_pem = certificates.cert,
                      .key_pem = certificates.key,
                      .ca_pem = certificates.ca,
                      .require_client_cert = true};
}

static tether_tls good_client(void) {
  return (tether_tls){
      .ca_pem = certificates.ca, .cert_pem = certificates.client.pem, .key_pem = certificates.client.key};
}

static void assert_client_refused(const tst_certificate_of *of, const char *server_says) {
  tst_certificate bad = {NULL, NULL};
  if (of) assert_true(tst_certificate_make(of, &bad));
  tether_tls server = strict_server(), good = good_client();
  tether_tls client = {.ca_pem = certificates.ca, .cert_pem = bad.pem, .key_pem = bad.key};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_refused(&s, "localhost", &client, "no connection to tls+tcp://localhost", server_says);
  end(&s, &good);
  tst_certificate_free(&bad);
}

static void a_client_without_a_certificate_is_refused(void **state) {
  (void)state;
  assert_client_refused(NULL, "the client has shown no certificate, and one is required");
}

static void a_client_of_an_unknown_authority_is_refused(void **state) {
  (void)state;
  assert_client_refused(&(tst_certificate_of){.issuer = &certificates.other_authority, .common_name = "client"},
                        "who signed it is not in our ca");
}

static void an_expired_client_is_refused(void **state) {
  (void)state;
  assert_client_refused(
      &(tst_certificate_of){
          .issuer = &certificates.authority, .common_name = "client", .from_s = -7200, .until_s = -3600},
      "certificate has expired");
}

static void a_client_learns_that_its_certificate_is_missing(void **state) {
  (void)state;
  tether_tls server = strict_server(), client = {.ca_pem = certificates.ca};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_refused(&s, "localhost", &client, "require", NULL); /* its alert, or a guess if that is lost */
  end(&s, NULL);
}

static void a_revoked_client_is_refused(void **state) {
  (void)state;
  tst_certificate revoked;
  const tst_certificate_of of = {.issuer = &certificates.authority, .common_name = "revoked"};
  assert_true(tst_certificate_make(&of, &revoked));
  char *list = tst_certificate_revoke(&certificates.authority, &revoked), *ca;
  assert_non_null(list);
  assert_true(asprintf(&ca, "%s%s", certificates.ca, list) > 0);
  tether_tls server = strict_server(), good = good_client(), client = good;
  server.ca_pem = ca;
  client.cert_pem = revoked.pem;
  client.key_pem = revoked.key;
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_refused(&s, "localhost", &client, NULL, "must not be trusted any more");
  end(&s, &good);
  free(list);
  free(ca);
  tst_certificate_free(&revoked);
}

/* Given ca without require_client_cert, a certificate is a choice; a bad one is not. */
static void a_certificate_that_nobody_requires_is_checked_all_the_same(void **state) {
  (void)state;
  tether_tls server = strict_server(), good = good_client(), none = {.ca_pem = certificates.ca};
  tst_certificate bad;
  const tst_certificate_of of = {.issuer = &certificates.other_authority, .common_name = "client"};
  assert_true(tst_certificate_make(&of, &bad));
  tether_tls stranger = {.ca_pem = certificates.ca, .cert_pem = bad.pem, .key_pem = bad.key};
  server.require_client_cert = false;
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_int_equal(call(&s, "localhost", &none, NULL, 0), TETHER_OK);
  assert_refused(&s, "localhost", &stranger, NULL, "who signed it is not in our ca");
  end(&s, &good);
  tst_certificate_free(&bad);
}

/* ---- Versions ------------------------------------------------------------------------------- */

static void old_versions_are_refused(void **state) {
  (void)state;
  tether_tls server = tls_of_server();
  tether_tls client = tls_of_client();
  struct served s;
  serve(&s, "tls+tcp", &server);
  uint16_t port = tether_server_port(s.server);
  assert_false(tst_tls_connects(port, TLS1_VERSION, NULL));
  assert_false(tst_tls_connects(port, TLS1_1_VERSION, NULL));
  assert_true(tst_stderr_says(&caught, "the peer speaks no TLS version as new as min_version"));
  assert_true(tst_tls_connects(port, TLS1_2_VERSION, NULL));
  assert_true(tst_tls_connects(port, 0, NULL));
  end(&s, &client);
}

static void a_least_version_of_1_3_refuses_1_2(void **state) {
  (void)state;
  tether_tls server = {.cert_pem = certificates.cert, .key_pem = certificates.key, .min_version = TETHER_TLS_1_3};
  tether_tls client = {.ca_pem = certificates.ca, .min_version = TETHER_TLS_1_3};
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_false(tst_tls_connects(tether_server_port(s.server), TLS1_2_VERSION, NULL));
  assert_true(tst_tls_connects(tether_server_port(s.server), TLS1_3_VERSION, NULL));
  end(&s, &client);
}

/* A man in the middle that answers with an old version gets nowhere. */
static void a_server_of_an_old_version_is_refused(void **state) {
  (void)state;
  static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION};
  tether_tls client = tls_of_client();
  for (int i = 0; i < 2; i++) {
    uint16_t port;
    char message[512];
    client.min_version = i == 0 ? TETHER_TLS_1_2 : TETHER_TLS_1_3;
    tst_tls_server *server = tst_tls_server_open(certificates.cert, certificates.key, versions[i], &port);
    assert_int_equal(call_port(port, "tls+tcp", "localhost", &client, message, sizeof message), TETHER_UNAVAILABLE);
    assert_non_null(strstr(message, "TLS"));
    assert_false(tst_tls_server_close(server));
  }
}

/* ---- The two kinds of port ------------------------------------------------------------------ */

static void a_plain_client_on_a_tls_port_is_refused(void **state) {
  (void)state;
  tether_tls server = tls_of_server();
  tether_tls client = tls_of_client();
  struct served s;
  serve(&s, "tls+tcp", &server);
  assert_int_equal(call_port(tether_server_port(s.server), "tcp", "localhost", NULL, NULL, 0), TETHER_UNAVAILABLE);
  assert_true(tst_stderr_says(&caught, "the peer does not speak TLS here"));
  end(&s, &client);
}

static void a_tls_client_on_a_plain_port_is_refused(void **state) {
  (void)state;
  tether_tls client = tls_of_client();
  struct served s;
  serve(&s, "tcp", NULL);
  char message[512];
  assert_int_equal(call_port(tether_server_port(s.server), "tls+tcp", "localhost", &client, message, sizeof message),
                   TETHER_UNAVAILABLE);
  assert_true(tst_stderr_says(&caught, "looks like TLS"));
  end(&s, NULL);
}

/* ---- Options -------------------------------------------------------------------------------- */

static void options_that_cannot_work_are_refused_with_the_reason(void **state) {
  (void)state;
  const char *ca = certificates.ca, *cert = certificates.cert, *key = certificates.key;
  const struct {
    bool client;
    tether_tls tls;
    const char *says;
  } cases[] = {
      {true, {0}, "a client needs ca, the authorities to trust"},
      {true, {.cert_pem = cert, .key_pem = key}, "a client needs ca"},
      {true, {.ca_pem = ca, .insecure_no_server_check = true}, "contradict each other"},
      {true, {.ca_pem = ca, .server_name = ""}, "nothing could be checked"},
      {true, {.ca_pem = ca, .require_client_cert = true}, "require_client_cert is for servers"},
      {true, {.ca_pem = ca, .ca_file = "/x"}, "as text or as file, not both"},
      {true, {.ca_pem = ca, .cert_pem = cert}, "cert and key go together"},
      {true, {.ca_pem = "no certificate"}, "ca_pem: there is no certificate in it"},
      {true, {.ca_pem = key}, "ca_pem: there is no certificate in it"},
      {true, {.ca_file = "/nowhere/ca.pem"}, "ca_file /nowhere/ca.pem: No such file"},
      {true, {.ca_pem = ca, .min_version = (tether_tls_version)11}, "must be TLS 1.2 or 1.3"},
      {false, {0}, "a server needs cert and key"},
      {false, {.ca_pem = ca}, "a server needs cert and key"},
      {false, {.cert_pem = cert, .key_pem = key, .require_client_cert = true}, "who signs clients"},
      {false, {.cert_pem = cert, .key_pem = key, .insecure_no_server_check = true}, "is for clients"},
      {false, {.cert_pem = "x", .key_pem = key}, "cert_pem: no certificate in it"},
      {false, {.cert_pem = cert, .key_pem = cert}, "its key cannot be read"},
      {false, {.cert_pem = cert, .key_pem = certificates.client.key}, "the key belongs to another certificate"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tether_client *client = NULL;
    tether_server *server = NULL;
    tether_code code = cases[i].client ? tether_client_open("tls+tcp://localhost:1",
                                                            &(tether_client_options){.tls = &cases[i].tls}, &client)
                                       : tether_server_open(&(tether_server_options){.tls = &cases[i].tls}, &server);
    if (code != TETHER_INVALID_ARGUMENT) fail_msg("case %zu: %s", i, tether_code_name(code));
    if (!tst_stderr_says(&caught, cases[i].says)) fail_msg("case %zu does not say '%s'", i, cases[i].says);
    assert_null(client);
    assert_null(server);
  }
}

static void a_url_of_tls_without_options_is_refused(void **state) {
  (void)state;
  tether_client *client;
  tether_server *server;
  assert_int_equal(tether_client_open("tls+tcp://localhost:1", NULL, &client), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tls+tcp://127.0.0.1:0"), TETHER_INVALID_ARGUMENT);
  assert_int_equal(tether_server_reload_tls(server), TETHER_FAILED_PRECONDITION);
  tether_server_close(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_certificates(a_server_of_an_unknown_authority_is_refused),
      with_certificates(a_self_signed_server_is_refused),
      with_certificates(a_server_of_another_name_is_refused),
      with_certificates(a_name_that_only_the_subject_has_is_no_name),
      with_certificates(an_expired_server_is_refused),
      with_certificates(a_server_that_is_not_valid_yet_is_refused),
      with_certificates(a_certificate_for_clients_is_none_for_servers),
      with_certificates(an_address_can_be_the_name),
      with_certificates(only_who_says_so_talks_to_anybody),
      with_certificates(a_client_without_a_certificate_is_refused),
      with_certificates(a_client_of_an_unknown_authority_is_refused),
      with_certificates(an_expired_client_is_refused),
      with_certificates(a_client_learns_that_its_certificate_is_missing),
      with_certificates(a_revoked_client_is_refused),
      with_certificates(a_certificate_that_nobody_requires_is_checked_all_the_same),
      with_certificates(old_versions_are_refused),
      with_certificates(a_least_version_of_1_3_refuses_1_2),
      with_certificates(a_server_of_an_old_version_is_refused),
      with_certificates(a_plain_client_on_a_tls_port_is_refused),
      with_certificates(a_tls_client_on_a_plain_port_is_refused),
      with_certificates(options_that_cannot_work_are_refused_with_the_reason),
      with_certificates(a_url_of_tls_without_options_is_refused),
  };
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
