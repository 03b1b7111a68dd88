/* Who is at the other end, as handlers and callers see it. */
#include <fcntl.h>
#include <grp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/identity.h"
#include "tests/support/certificates.h"
#include "tests/support/rpc_test.h"

/* Answers with the identity it sees. */
static tether_code who(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                       Testing__V1__Reply *reply, void *data) {
  char text[512];
  (void)ctx;
  (void)request;
  (void)data;
  reply->text = tether_call_strdup(call, tether_identity_text(tether_call_identity(call), text, sizeof text));
  return reply->text ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

static tether_server *serve(const char *url, const tether_tls *tls) {
  static const testing_v1_echo_service service = {.quick = who, .pooled = who};
  tether_server *server;
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = tls}, &server), TETHER_OK);
  assert_int_equal(testing_v1_echo_register(server, &service, NULL), TETHER_OK);
  assert_int_equal(tether_server_listen(server, url), TETHER_OK);
  return server;
}

/* What the server sees of a client, and the client of the server. Nothing is asserted: also for the child. */
static bool ask(const char *url, const tether_tls *tls, char seen[512], char server[512]) {
  tether_client *client;
  if (tether_client_open(url, &(tether_client_options){.tls = tls}, &client) != TETHER_OK) return false;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_pooled(client, ctx, &request, NULL);
  bool good = tether_call_code(call) == TETHER_OK;
  snprintf(seen, 512, "%s", good ? testing_v1_echo_pooled_reply(call)->text : tether_call_message(call));
  if (server) tether_identity_text(tether_call_identity(call), server, 512);
  tether_call_unref(call);
  tether_client_close(client);
  return good;
}

/* ---- Unix sockets --------------------------------------------------------------------------- */

static void a_unix_socket_tells_who_we_are(void **state) {
  (void)state;
  char dir[64], url[96], seen[512], theirs[512], want[128];
  assert_true(tst_dir_make(dir));
  snprintf(url, sizeof url, "ipc://%s/s", dir);
  tether_server *server = serve(url, NULL);
  snprintf(want, sizeof want, "unix uid %u gid %u pid %d", getuid(), getgid(), getpid());
  assert_true(ask(url, NULL, seen, theirs));
  assert_string_equal(seen, want);
  assert_string_equal(theirs, want);
  tether_server_close(server);
  assert_true(tst_dir_remove(dir));
}

/* This program as another user: asks, and prints what was seen. */
static int child_main(const char *url) {
  char seen[512];
  bool good = ask(url, NULL, seen, NULL);
  printf("%s", seen);
  return good ? 0 : 1;
}

static void a_unix_socket_tells_other_users_apart(void **state) {
  enum { UID = 12345, GID = 23456 };
  (void)state;
  if (getuid() != 0) {
    print_message("left out: only root can become somebody else\n");
    skip();
  }
  char dir[64], url[96], path[96], seen[512] = "", want[128];
  int out[2], status;
  assert_true(tst_dir_make(dir));
  assert_int_equal(chmod(dir, 0755), 0);
  snprintf(url, sizeof url, "ipc://%s/s", dir);
  snprintf(path, sizeof path, "%s/s", dir);
  tether_server *server = serve(url, NULL);
  assert_int_equal(chmod(path, 0777), 0);
  assert_int_equal(pipe(out), 0);
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* the other user may not reach its folder */
  assert_true(self >= 0);
  pid_t child = fork();
  if (child == 0) {
    char *const arguments[] = {(char *)"identity_test", url, NULL};
    dup2(out[1], STDOUT_FILENO);
    if (setgroups(0, NULL) == 0 && setgid(GID) == 0 && setuid(UID) == 0) fexecve(self, arguments, environ);
    _exit(127);
  }
  close(out[1]);
  ssize_t len = read(out[0], seen, sizeof seen - 1);
  assert_true(len > 0);
  snprintf(want, sizeof want, "unix uid %d gid %d pid %d", UID, GID, child);
  assert_string_equal(seen, want);
  assert_true(waitpid(child, &status, 0) == child && status == 0);
  close(out[0]);
  close(self);
  tether_server_close(server);
  assert_true(tst_dir_remove(dir));
}

/* ---- TCP and TLS ---------------------------------------------------------------------------- */

/* On a port that the system picks. */
static void ask_port(const char *scheme, const tether_tls *server_tls, const tether_tls *client_tls, char seen[512],
                     char theirs[512]) {
  char url[64];
  snprintf(url, sizeof url, "%s://localhost:0", scheme);
  tether_server *server = serve(url, server_tls);
  snprintf(url, sizeof url, "%s://localhost:%u", scheme, tether_server_port(server));
  if (!ask(url, client_tls, seen, theirs)) fail_msg("%s", seen);
  tether_server_close(server);
}

static void tcp_tells_nothing(void **state) {
  (void)state;
  char seen[512], theirs[512];
  ask_port("tcp", NULL, NULL, seen, theirs);
  assert_string_equal(seen, "none");
  assert_string_equal(theirs, "none");
}

static void certificates_tell_their_names(void **state) {
  static const char *const schemes[] = {"tls+tcp", "wss"};
  (void)state;
  char seen[512], theirs[512];
  tst_certificates c;
  assert_true(tst_certificates_make(&c));
  tether_tls server = {.ca_pem = c.ca, .cert_pem = c.cert, .key_pem = c.key};
  tether_tls nobody = {.ca_pem = c.ca}, somebody = {.ca_pem = c.ca, .cert_pem = c.client.pem, .key_pem = c.client.key};
  tether_tls anybody = {.insecure_no_server_check = true};
  for (int i = 0; i < 2; i++) {
    ask_port(schemes[i], &server, &somebody, seen, theirs);
    assert_string_equal(seen, "tls CN=client dns:client.test uri:spiffe://test/client");
    assert_string_equal(theirs, "tls CN=server dns:localhost");
    ask_port(schemes[i], &server, &nobody, seen, theirs);
    assert_string_equal(seen, "none");
    assert_string_equal(theirs, "tls CN=server dns:localhost");
    ask_port(schemes[i], &server, &anybody, seen, theirs);
    assert_string_equal(theirs, "none"); /* it was not checked, so it proves nothing */
  }
  tst_certificates_free(&c);
}

static void a_call_that_found_no_connection_knows_nobody(void **state) {
  (void)state;
  char seen[512], theirs[512];
  assert_false(ask("ipc:///nowhere/at/all", NULL, seen, theirs));
  assert_string_equal(theirs, "none");
}

static void names_that_could_mislead_are_left_out(void **state) {
  (void)state;
  tst_certificate odd;
  assert_true(tst_certificate_make(
      &(tst_certificate_of){.common_name = "line\nbreak",
                            .alternative_names = "DNS:a.test,email:x@y.test,IP:::1,RID:1.2.3,IP:10.1.2.3"},
      &odd));
  BIO *bio = BIO_new_mem_buf(odd.pem, -1);
  X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  tether_identity *identity = tth_identity_of_certificate(x509);
  char text[512], little[16];
  assert_string_equal(tether_identity_text(identity, text, sizeof text),
                      "tls CN= dns:a.test email:x@y.test ip:::1 ip:10.1.2.3");
  assert_string_equal(tether_identity_text(identity, little, sizeof little), "tls CN= dns:a.t");
  free(identity);
  X509_free(x509);
  BIO_free(bio);
  tst_certificate_free(&odd);
}

int main(int argc, char **argv) {
  if (argc > 1) return child_main(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_unix_socket_tells_who_we_are),
      cmocka_unit_test(a_unix_socket_tells_other_users_apart),
      cmocka_unit_test(tcp_tells_nothing),
      cmocka_unit_test(certificates_tell_their_names),
      cmocka_unit_test(a_call_that_found_no_connection_knows_nobody),
      cmocka_unit_test(names_that_could_mislead_are_left_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
