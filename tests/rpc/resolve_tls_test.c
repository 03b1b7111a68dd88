/* Names as targets over TLS: the certificate must be for the name that was looked up, at each address it leads to. Real
 * servers and certificates, and the library's own resolver; the system's look-up of one name is the test's (ld --wrap).
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/certificates.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

#define NAME "shards.example"

/* ---- The name ------------------------------------------------------------------------------ */

static atomic_uint has_address; /* a bit for each: 127.0.0.1, 127.0.0.2 */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **result) {
  static const char *const addresses[] = {"127.0.0.1", "127.0.0.2"};
  if (strcmp(host, NAME) != 0) return __real_getaddrinfo(host, port, hints, result);
  struct addrinfo **end = result;
  unsigned has = atomic_load(&has_address);
  *result = NULL;
  for (int i = 0; i < 2; i++) {
    if (!(has >> i & 1) || __real_getaddrinfo(addresses[i], port, hints, end) != 0) continue;
    while (*end) end = &(*end)->ai_next;
  }
  return *result ? 0 : EAI_NONAME;
}

/* ---- Servers ------------------------------------------------------------------------------- */

static tst_certificates all;
static tst_certificate right, wrong; /* for the name; for the addresses and another name */
static tst_stderr caught;

static int group_setup(void **state) {
  (void)state;
  tst_certificate_of of = {.common_name = "shard", .alternative_names = "DNS:" NAME};
  if (!tst_certificates_make(&all)) return -1;
  of.issuer = &all.authority;
  if (!tst_certificate_make(&of, &right)) return -1;
  of.alternative_names = "DNS:other.example,DNS:localhost,IP:127.0.0.1,IP:127.0.0.2";
  return tst_certificate_make(&of, &wrong) ? 0 : -1;
}

static int group_teardown(void **state) {
  (void)state;
  tst_certificate_free(&right);
  tst_certificate_free(&wrong);
  tst_certificates_free(&all);
  return 0;
}

static int setup(void **state) {
  (void)state;
  return tst_stderr_catch(&caught) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  tst_stderr_release(&caught);
  return 0;
}

/* A server at each of the addresses, on the same port. */
struct scene {
  struct echo_stats stats[2];
  tether_server *servers[2];
  tether_client *client;
  tether_ctx *ctx;
};

static bool serve(struct scene *s, int at, const tst_certificate *certificate, uint16_t port) {
  const tether_tls tls = {.cert_pem = certificate->pem, .key_pem = certificate->key};
  char url[64];
  snprintf(url, sizeof url, "tls+tcp://127.0.0.%d:%u", at + 1, port);
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = &tls}, &s->servers[at]), TETHER_OK);
  assert_int_equal(echo_server_add(s->servers[at], &s->stats[at]), TETHER_OK);
  return tether_server_listen(s->servers[at], url) == TETHER_OK;
}

static void open_scene(struct scene *s, const tst_certificate *first, const tst_certificate *second,
                       const char *server_name) {
  const tether_tls tls = {.ca_pem = all.ca, .server_name = server_name};
  const tether_client_options options = {.tls = &tls,
                                         .balancing = TETHER_ROUND_ROBIN,
                                         .backoff_initial_ns = 10 * TETHER_MS,
                                         .backoff_max_ns = 50 * TETHER_MS,
                                         .resolve_interval_ns = 20 * TETHER_MS,
                                         .resolve_least_ns = 20 * TETHER_MS};
  bool both = false;
  *s = (struct scene){.ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS)};
  for (int i = 0; i < 20 && !both; i++) { /* the other address's port may be taken */
    for (int at = 0; at < 2; at++) tether_server_close(s->servers[at]);
    s->servers[1] = NULL;
    both = serve(s, 0, first, 0) && serve(s, 1, second, tether_server_port(s->servers[0]));
  }
  assert_true(both);
  char target[64];
  snprintf(target, sizeof target, "dns+tls:///" NAME ":%u", tether_server_port(s->servers[0]));
  assert_int_equal(tether_client_open(target, &options, &s->client), TETHER_OK);
}

static void close_scene(struct scene *s) {
  tether_client_close(s->client);
  for (int at = 0; at < 2; at++) tether_server_close(s->servers[at]);
  tether_ctx_free(s->ctx);
}

static tether_call *call(struct scene *s, bool wait_for_ready) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.wait_for_ready = wait_for_ready};
  return testing_v1_echo_client_quick(s->client, s->ctx, &request, &options);
}

static int started(struct scene *s, int at) { return atomic_load(&s->stats[at].started); }

/* Calls, all of which go well, until the server has had one. */
static void call_until_it_comes_to(struct scene *s, int at) {
  int64_t end_ns = tst_now_ns() + RPC_TEST_BOUND_NS;
  while (started(s, at) == 0) {
    if (tst_now_ns() > end_ns) fail_msg("no call has come to 127.0.0.%d", at + 1);
    TETHER_SCOPED_CALL tether_call *one = call(s, true);
    rpc_assert_code(one, TETHER_OK);
  }
}

/* ---- Tests --------------------------------------------------------------------------------- */

static void certificates_for_the_name_are_good_at_every_address_it_has(void **state) {
  (void)state;
  struct scene s;
  atomic_store(&has_address, 3);
  open_scene(&s, &right, &right, NULL);
  call_until_it_comes_to(&s, 0);
  call_until_it_comes_to(&s, 1);
  close_scene(&s);
}

static void a_certificate_for_the_address_but_not_the_name_is_refused(void **state) {
  (void)state;
  struct scene s;
  atomic_store(&has_address, 3);
  open_scene(&s, &wrong, &wrong, NULL);
  TETHER_SCOPED_CALL tether_call *one = call(&s, false);
  rpc_assert_code(one, TETHER_UNAVAILABLE);
  if (!strstr(tether_call_message(one), "not for the name " NAME)) fail_msg("unclear: %s", tether_call_message(one));
  assert_int_equal(started(&s, 0) + started(&s, 1), 0);
  close_scene(&s);
}

static void of_two_replicas_the_one_with_another_name_gets_no_call(void **state) {
  (void)state;
  struct scene s;
  atomic_store(&has_address, 3);
  open_scene(&s, &wrong, &right, NULL);
  for (int i = 0; i < 30; i++) {
    TETHER_SCOPED_CALL tether_call *one = call(&s, true);
    rpc_assert_code(one, TETHER_OK);
  }
  assert_int_equal(started(&s, 0), 0);
  assert_int_equal(started(&s, 1), 30);
  close_scene(&s);
}

static void an_address_that_comes_later_is_checked_for_the_same_name(void **state) {
  (void)state;
  struct scene s;
  atomic_store(&has_address, 1);
  open_scene(&s, &right, &right, NULL);
  call_until_it_comes_to(&s, 0);
  assert_int_equal(started(&s, 1), 0);
  atomic_store(&has_address, 2);
  call_until_it_comes_to(&s, 1);
  close_scene(&s);

  atomic_store(&has_address, 1);
  open_scene(&s, &right, &wrong, NULL);
  call_until_it_comes_to(&s, 0);
  atomic_store(&has_address, 2);
  tether_code code = TETHER_OK;
  for (int64_t end_ns = tst_now_ns() + RPC_TEST_BOUND_NS; code == TETHER_OK && tst_now_ns() < end_ns;) {
    TETHER_SCOPED_CALL tether_call *one = call(&s, false); /* at the old address, as long as that is in use */
    code = tether_call_code(one);
    if (code != TETHER_OK) assert_non_null(strstr(tether_call_message(one), "not for the name " NAME));
  }
  assert_int_equal(code, TETHER_UNAVAILABLE);
  assert_int_equal(started(&s, 1), 0);
  close_scene(&s);
}

static void a_server_name_that_is_given_counts_instead_of_the_one_looked_up(void **state) {
  (void)state;
  struct scene s;
  atomic_store(&has_address, 3);
  open_scene(&s, &wrong, &right, "other.example");
  call_until_it_comes_to(&s, 0);
  assert_int_equal(started(&s, 1), 0);
  close_scene(&s);
}

static void the_system_finds_localhost(void **state) {
  (void)state;
  const tether_tls server_tls = {.cert_pem = all.cert, .key_pem = all.key}, tls = {.ca_pem = all.ca};
  struct scene s = {.ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS)};
  char target[64];
  assert_int_equal(tether_server_open(&(tether_server_options){.tls = &server_tls}, &s.servers[0]), TETHER_OK);
  assert_int_equal(echo_server_add(s.servers[0], &s.stats[0]), TETHER_OK);
  assert_int_equal(tether_server_listen(s.servers[0], "tls+tcp://127.0.0.1:0"), TETHER_OK);
  snprintf(target, sizeof target, "dns+tls:///localhost:%u", tether_server_port(s.servers[0]));
  assert_int_equal(tether_client_open(target, &(tether_client_options){.tls = &tls}, &s.client), TETHER_OK);
  TETHER_SCOPED_CALL tether_call *one = call(&s, true);
  rpc_assert_code(one, TETHER_OK);
  close_scene(&s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(certificates_for_the_name_are_good_at_every_address_it_has),
      CASE(a_certificate_for_the_address_but_not_the_name_is_refused),
      CASE(of_two_replicas_the_one_with_another_name_gets_no_call),
      CASE(an_address_that_comes_later_is_checked_for_the_same_name),
      CASE(a_server_name_that_is_given_counts_instead_of_the_one_looked_up),
      CASE(the_system_finds_localhost),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
