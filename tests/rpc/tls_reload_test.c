/* Certificates that change while a server and its clients run. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rpc_test.h"
#include "tests/support/tls_peer.h"
#include "tests/support/tls_test.h"
#include "tests/support/wait.h"

static char dir[64], ca_file[80], cert_file[80], key_file[80];

/* The files of the server, good ones. */
static int setup(void **state) {
  if (!tst_dir_make(dir)) return -1;
  snprintf(ca_file, sizeof ca_file, "%s/ca", dir);
  snprintf(cert_file, sizeof cert_file, "%s/cert", dir);
  snprintf(key_file, sizeof key_file, "%s/key", dir);
  bool written = tst_dir_write(dir, "ca", certificates.ca) && tst_dir_write(dir, "cert", certificates.cert) &&
                 tst_dir_write(dir, "key", certificates.key);
  return written ? tls_setup(state) : -1;
}

static int teardown(void **state) { return tls_teardown(state) == 0 && tst_dir_remove(dir) ? 0 : -1; }

static tether_server *serve(struct echo_stats *stats, bool strict) {
  tether_tls tls = {.cert_file = cert_file, .key_file = key_file};
  if (strict) {
    tls.ca_file = ca_file;
    tls.require_client_cert = true;
  }
  tether_server *server;
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = &tls}, &server), TETHER_OK);
  assert_int_equal(echo_server_add(server, stats), TETHER_OK);
  assert_int_equal(tether_server_listen(server, "tls+tcp://localhost:0"), TETHER_OK);
  return server;
}

static tether_client *connect_to(tether_server *server, const tether_tls *tls) {
  char url[64];
  tether_client *client;
  snprintf(url, sizeof url, "tls+tcp://localhost:%u", tether_server_port(server));
  const tether_client_options options = {
      .tls = tls, .backoff_initial_ns = 10 * TETHER_MS, .backoff_max_ns = 50 * TETHER_MS};
  return tether_client_open(url, &options, &client) == TETHER_OK ? client : NULL;
}

/* One call, with nothing asserted, so that all threads may make it. */
static tether_code call(tether_client *client, bool wait_for_ready) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.wait_for_ready = wait_for_ready};
  TETHER_SCOPED_CALL tether_call *made = testing_v1_echo_client_pooled(client, ctx, &request, &options);
  return tether_call_code(made);
}

static void write_server(const tst_certificate *certificate) {
  assert_true(tst_dir_write(dir, "cert", certificate->pem));
  assert_true(tst_dir_write(dir, "key", certificate->key));
}

static void make(tst_certificate *certificate, const char *name, int64_t from_s, int64_t until_s) {
  assert_true(tst_certificate_make(&(tst_certificate_of){.issuer = &certificates.authority,
                                                         .common_name = name,
                                                         .alternative_names = "DNS:localhost",
                                                         .from_s = from_s,
                                                         .until_s = until_s},
                                   certificate));
}

static void assert_shows(tether_server *server, const char *name) {
  char *shown = NULL;
  assert_true(tst_tls_connects(tether_server_port(server), 0, &shown));
  assert_string_equal(shown, name);
  free(shown);
}

/* ---- A server's own certificate ------------------------------------------------------------- */

static void new_connections_get_the_new_certificate(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tst_certificate renewed;
  tether_server *server = serve(&stats, false);
  make(&renewed, "renewed", 0, 0);
  assert_shows(server, "server");
  write_server(&renewed);
  assert_shows(server, "server"); /* until somebody says so */
  assert_int_equal(tether_server_reload_tls(server), TETHER_OK);
  assert_shows(server, "renewed");
  tether_server_close(server);
  tst_certificate_free(&renewed);
}

static void a_bad_new_certificate_is_refused_and_the_old_one_stays(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tst_certificate expired, early;
  make(&expired, "expired", -7200, -3600);
  make(&early, "early", 3600, 7200);
  const struct {
    const char *cert, *key, *says;
  } cases[] = {
      {"", "", "no certificate in it"},
      {certificates.cert, "", "its key cannot be read"},
      {certificates.cert, certificates.client.key, "the key belongs to another certificate"},
      {expired.pem, expired.key, "our certificate has expired"},
      {early.pem, early.key, "our certificate is not valid yet"},
  };
  tether_server *server = serve(&stats, false);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_server(&(tst_certificate){.pem = (char *)(uintptr_t)cases[i].cert, .key = (char *)(uintptr_t)cases[i].key});
    assert_int_equal(tether_server_reload_tls(server), TETHER_INVALID_ARGUMENT);
    if (!tst_stderr_says(&caught, cases[i].says)) fail_msg("case %zu does not say '%s'", i, cases[i].says);
    assert_shows(server, "server");
  }
  assert_int_equal(tst_stderr_lines(&caught, "not reloaded, what was loaded before stays in use"), 5);
  assert_int_equal(remove(key_file), 0);
  assert_int_equal(tether_server_reload_tls(server), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "key_file "));
  assert_shows(server, "server");
  tether_server_close(server);
  tst_certificate_free(&expired);
  tst_certificate_free(&early);
}

/* ---- Whom a server trusts ------------------------------------------------------------------- */

static void trust_that_was_taken_away_ends_with_the_connection(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tether_server *server = serve(&stats, true);
  tether_tls tls = {.ca_pem = certificates.ca, .cert_pem = certificates.client.pem, .key_pem = certificates.client.key};
  tether_client *before = connect_to(server, &tls);
  assert_int_equal(call(before, false), TETHER_OK);
  assert_true(tst_dir_write(dir, "ca", certificates.other_ca));
  assert_int_equal(tether_server_reload_tls(server), TETHER_OK);
  tether_client *after = connect_to(server, &tls);
  assert_int_equal(call(after, false), TETHER_UNAVAILABLE);
  assert_true(tst_stderr_says(&caught, "who signed it is not in our ca"));
  assert_int_equal(call(before, false), TETHER_OK); /* its connection goes on */
  assert_true(tst_dir_write(dir, "ca", certificates.ca));
  assert_int_equal(tether_server_reload_tls(server), TETHER_OK);
  assert_int_equal(call(after, true), TETHER_OK);
  tether_client_close(before);
  tether_client_close(after);
  tether_server_close(server);
}

/* ---- A client's ----------------------------------------------------------------------------- */

static void a_client_that_reloads_trusts_and_shows_what_its_files_say_now(void **state) {
  (void)state;
  struct echo_stats stats = {0};
  tether_server *server = serve(&stats, true);
  char our_ca[80], our_cert[80], our_key[80];
  snprintf(our_ca, sizeof our_ca, "%s/our-ca", dir);
  snprintf(our_cert, sizeof our_cert, "%s/our-cert", dir);
  snprintf(our_key, sizeof our_key, "%s/our-key", dir);
  assert_true(tst_dir_write(dir, "our-ca", certificates.other_ca)); /* not the server's */
  assert_true(tst_dir_write(dir, "our-cert", certificates.client.pem));
  assert_true(tst_dir_write(dir, "our-key", certificates.client.key));
  tether_tls tls = {.ca_file = our_ca, .cert_file = our_cert, .key_file = our_key};
  tether_client *client = connect_to(server, &tls);
  assert_int_equal(call(client, false), TETHER_UNAVAILABLE);
  assert_true(tst_dir_write(dir, "our-ca", "rubbish"));
  assert_int_equal(tether_client_reload_tls(client), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "ca_file "));
  assert_true(tst_dir_write(dir, "our-ca", certificates.ca));
  assert_int_equal(tether_client_reload_tls(client), TETHER_OK);
  assert_int_equal(call(client, true), TETHER_OK);
  tether_client_close(client);
  tether_server_close(server);
}

/* ---- Under load ----------------------------------------------------------------------------- */

struct load {
  tether_server *server;
  tether_tls tls;
  bool reconnects; /* a new connection for each call */
  atomic_bool stop;
  tst_counter calls;
  atomic_int failures;
};

static void *run_load(void *data) {
  struct load *load = data;
  tether_client *client = NULL;
  while (!atomic_load(&load->stop)) {
    if (!client) client = connect_to(load->server, &load->tls);
    if (!client || call(client, true) != TETHER_OK) atomic_fetch_add(&load->failures, 1);
    tst_counter_add(&load->calls, 1);
    if (!load->reconnects) continue;
    tether_client_close(client);
    client = NULL;
  }
  tether_client_close(client);
  return NULL;
}

static void reloading_under_load_fails_no_call(void **state) {
  (void)state;
  enum { LOADS = 4, RELOADS = 30, RENEWALS = 3 };
  struct echo_stats stats = {0};
  struct load loads[LOADS];
  pthread_t threads[LOADS];
  tst_certificate renewed[RENEWALS];
  tether_server *server = serve(&stats, true);
  for (int i = 0; i < RENEWALS; i++) make(&renewed[i], "renewed", 0, 0);
  for (int i = 0; i < LOADS; i++) {
    loads[i] = (struct load){
        .server = server,
        .tls = {.ca_pem = certificates.ca, .cert_pem = certificates.client.pem, .key_pem = certificates.client.key},
        .reconnects = i % 2};
    tst_counter_init(&loads[i].calls);
    assert_int_equal(pthread_create(&threads[i], NULL, run_load, &loads[i]), 0);
  }
  bool reloaded = true, refused = true, moved = true;
  for (int i = 0; i < RELOADS; i++) {
    int64_t before = tst_counter_get(&loads[1].calls);
    write_server(&renewed[i % RENEWALS]);
    reloaded &= tether_server_reload_tls(server) == TETHER_OK;
    assert_true(tst_dir_write(dir, "key", "rubbish"));
    refused &= tether_server_reload_tls(server) == TETHER_INVALID_ARGUMENT;
    moved &= tst_counter_wait(&loads[1].calls, before + 2, TST_BOUND_NS); /* a connection has been made since */
  }
  for (int i = 0; i < LOADS; i++) atomic_store(&loads[i].stop, true);
  for (int i = 0; i < LOADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&loads[i].failures), 0);
    assert_true(tst_counter_get(&loads[i].calls) > 0);
    tst_counter_fini(&loads[i].calls);
  }
  assert_true(reloaded && refused && moved);
  assert_shows(server, "renewed");
  tether_server_close(server);
  for (int i = 0; i < RENEWALS; i++) tst_certificate_free(&renewed[i]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(new_connections_get_the_new_certificate),
      CASE(a_bad_new_certificate_is_refused_and_the_old_one_stays),
      CASE(trust_that_was_taken_away_ends_with_the_connection),
      CASE(a_client_that_reloads_trusts_and_shows_what_its_files_say_now),
      CASE(reloading_under_load_fails_no_call),
  };
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
