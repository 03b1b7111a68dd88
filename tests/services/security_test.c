/* The services with certificates, a policy and a token: who gets an answer, what SIGHUP does, and what no log tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/v1/search.tether.h"
#include "support/cluster.h"
#include "support/process.h"
#include "tests/support/certificates.h"
#include "tests/support/wait.h"

#define TOKEN "SECRET-service-token"

/* One shard and one search, over TLS, in a directory with all their files. */
static struct {
  char dir[64], shard_url[64], search_url[64];
  process shard, search;
} s;
static tst_certificates certificates;

/* "dir/name", good until 8 calls later. */
static const char *in_dir(const char *name) {
  static char paths[8][128];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", s.dir, name);
  return path;
}

/* A certificate of our authority for localhost, whose subject and first name is `name`, in name.pem and name.key. */
static void issue(const char *name) {
  char names[128], file[64];
  tst_certificate made;
  snprintf(names, sizeof names, "DNS:%s.test,DNS:localhost", name);
  const tst_certificate_of of = {.issuer = &certificates.authority, .common_name = name, .alternative_names = names};
  assert_true(tst_certificate_make(&of, &made));
  snprintf(file, sizeof file, "%s.pem", name);
  assert_true(tst_dir_write(s.dir, file, made.pem));
  snprintf(file, sizeof file, "%s.key", name);
  assert_true(tst_dir_write(s.dir, file, made.key));
  tst_certificate_free(&made);
}

static void write_policy(const char *principal) {
  char json[512];
  snprintf(json, sizeof json,
           "{\"allow_rules\":[{\"name\":\"the search\",\"source\":{\"principals\":[\"%s\"]},"
           "\"request\":{\"paths\":[\"/search.v1.Shard/*\"]}}]}",
           principal);
  assert_true(tst_dir_write(s.dir, "policy", json));
}

/* Starts a service and finds out where it listens. */
static void start(process *p, const char *name, const char *program, const char *const args[], char url[64]) {
  log_line line;
  char value[256];
  process_start(p, s.dir, name, program, args);
  if (!log_wait(p, "ready", NULL, NULL, &line)) fail_msg("%s does not start: %s", name, file_text(p->log));
  snprintf(url, 64, "tls+tcp://localhost:%s", log_value(&line, "port", value));
}

static void start_shard(void) {
  const char *const args[] = {"--db",
                              in_dir("db/shard-0.db"),
                              "--listen",
                              "tls+tcp://localhost:0",
                              "--tls-cert",
                              in_dir("shard.pem"),
                              "--tls-key",
                              in_dir("shard.key"),
                              "--tls-ca",
                              in_dir("ca"),
                              "--require-client-cert",
                              "--policy",
                              in_dir("policy"),
                              "--grace",
                              "300ms",
                              NULL};
  start(&s.shard, "shard", "tether-shard", args, s.shard_url);
}

static bool shard_is_connected(void *data) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), TST_BOUND_NS);
  const Search__V1__HealthRequest request = SEARCH__V1__HEALTH_REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = search_v1_search_client_health(data, ctx, &request, NULL);
  return tether_call_code(call) == TETHER_OK && search_v1_search_health_reply(call)->shards[0]->connected;
}

/* A query does not wait for a shard whose connection has failed once, which takes no more than a busy machine. */
static void wait_until_connected(void) {
  const tether_tls tls = {.ca_pem = certificates.ca};
  tether_client *of_search;
  assert_int_equal(tether_client_open(s.search_url, &(tether_client_options){.tls = &tls}, &of_search), TETHER_OK);
  bool connected = tst_wait_until(shard_is_connected, of_search, TST_BOUND_NS);
  tether_client_close(of_search);
  assert_true(connected);
}

static void start_search(const char *shard_url) {
  const char *const args[] = {"--listen",
                              "tls+tcp://localhost:0",
                              "--shard",
                              shard_url,
                              "--tls-cert",
                              in_dir("search.pem"),
                              "--tls-key",
                              in_dir("search.key"),
                              "--tls-ca",
                              in_dir("ca"),
                              "--token-file",
                              in_dir("token"),
                              "--grace",
                              "300ms",
                              NULL};
  start(&s.search, "search", "tether-search", args, s.search_url);
  wait_until_connected();
}

static int group_setup(void **state) {
  (void)state;
  process load;
  if (!tst_certificates_make(&certificates) || !tst_dir_make(s.dir)) return -1;
  const char *const args[] = {"--to", in_dir("db"), "--shards", "1", "--from", TESTS_SERVICES_SAMPLE, NULL};
  issue("shard");
  issue("search");
  issue("guest");
  bool written = tst_dir_write(s.dir, "ca", certificates.ca) && tst_dir_write(s.dir, "token", TOKEN "\n");
  return written && process_run(&load, s.dir, "load", "tether-load", args) == 0 ? 0 : -1;
}

static int group_teardown(void **state) {
  (void)state;
  tst_certificates_free(&certificates);
  remove_dir(s.dir);
  return 0;
}

static int setup(void **state) {
  (void)state;
  issue("shard");
  write_policy("dns:search.test");
  start_shard();
  start_search(s.shard_url);
  return 0;
}

static int stop(process *p) {
  if (p->pid <= 0) return 0;
  kill(p->pid, SIGTERM);
  int status = process_wait(p);
  process_kill(p);
  char *log = file_text(p->log);
  bool told = strstr(log, "SECRET");
  if (status != 0 || told) fprintf(stderr, "%s: exit status %d:\n%s", p->log, status, log);
  free(log);
  return status != 0 || told;
}

static int teardown(void **state) {
  (void)state;
  return stop(&s.search) + stop(&s.shard);
}

/* tether-cli COMMAND with the guest's certificate; what it printed, to be freed. Its exit code. */
static int cli(const char *command, const char *url, const char *word, char **printed) {
  process p;
  const char *const args[] = {command,
                              "--url",
                              url,
                              "--timeout",
                              "20s",
                              "--tls-cert",
                              in_dir("guest.pem"),
                              "--tls-key",
                              in_dir("guest.key"),
                              "--tls-ca",
                              in_dir("ca"),
                              word,
                              NULL};
  int status = process_run(&p, s.dir, "cli", "tether-cli", args);
  char *out = file_text(p.out), *log = file_text(p.log);
  assert_true(asprintf(printed, "%s%s", out, log) >= 0);
  assert_null(strstr(*printed, "SECRET"));
  free(out);
  free(log);
  return status;
}

static void assert_search(const char *says) {
  char *printed;
  int status = cli("search", s.search_url, "editor", &printed);
  if (status != 0 || !strstr(printed, says)) fail_msg("exit %d, no '%s' in: %s", status, says, printed);
  free(printed);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void a_search_over_tls_finds_what_its_shard_lets_it(void **state) {
  char *printed;
  (void)state;
  assert_search("matches shown");
  int status = cli("list", s.shard_url, NULL, &printed); /* a guest, with a good certificate */
  assert_int_not_equal(status, 0);
  assert_non_null(strstr(printed, "PERMISSION_DENIED"));
  free(printed);
  char *log = file_text(s.shard.log);
  assert_non_null(strstr(log, "tls CN=guest dns:guest.test"));
  assert_non_null(strstr(log, "no rule allows it"));
  free(log);
}

/* The n-th (from 1) reload is logged. */
static void reload(process *p, int n, const char *status) {
  char *log = NULL;
  kill(p->pid, SIGHUP);
  for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
    int found = 0;
    log = file_text(p->log);
    const char *last = NULL;
    for (const char *at = log; (at = strstr(at, "event=reload")); at++, found++) last = at;
    bool complete = found == n && strchr(last, '\n');
    if (complete && !strstr(last, status)) fail_msg("not '%s': %s", status, last);
    free(log);
    if (complete) return;
    nap_ms(5);
  }
  fail_msg("no reload in %s", p->log);
}

static void sighup_takes_new_files_and_keeps_old_ones_for_bad_ones(void **state) {
  char *log;
  (void)state;
  assert_search("matches shown");
  issue("shard"); /* renewed */
  reload(&s.shard, 1, "status=done");
  assert_true(tst_dir_write(s.dir, "shard.key", "rubbish"));
  write_policy("nobody in particular");
  reload(&s.shard, 2, "status=kept");
  log = file_text(s.shard.log);
  assert_non_null(strstr(log, "not reloaded, what was loaded before stays in use: cert_file"));
  assert_non_null(
      strstr(log, "not reloaded, the rules loaded before stay in use: allow_rules[0].source.principals[0]"));
  free(log);
  assert_search("matches shown");
  issue("shard");
  write_policy("dns:somebody.else");
  reload(&s.shard, 3, "status=done");
  char *printed;
  (void)cli("search", s.search_url, "editor", &printed);
  if (!strstr(printed, "shard-0: PERMISSION_DENIED: this server's policy")) fail_msg("%s", printed);
  free(printed);
  write_policy("dns:search.test");
  reload(&s.shard, 4, "status=done");
  reload(&s.search, 1, "status=done");
  assert_search("matches shown");
}

static void a_token_is_not_sent_to_a_shard_in_clear(void **state) {
  char *printed, url[64], plain[64], value[256];
  log_line line;
  process shard;
  (void)state;
  const char *const args[] = {"--db", in_dir("db/shard-0.db"), "--listen", "tcp://localhost:0", "--grace", "300ms",
                              NULL};
  process_start(&shard, s.dir, "plain", "tether-shard", args);
  assert_true(log_wait(&shard, "ready", NULL, NULL, &line));
  snprintf(plain, sizeof plain, "tcp://localhost:%s", log_value(&line, "port", value));
  assert_int_equal(stop(&s.search), 0);
  start_search(plain);
  memcpy(url, s.search_url, sizeof url);
  (void)cli("search", url, "editor", &printed);
  if (!strstr(printed, "shard-0: UNAUTHENTICATED: a token is not sent")) fail_msg("%s", printed);
  free(printed);
  char *log = file_text(shard.log);
  assert_null(strstr(log, "query-start"));
  free(log);
  assert_int_equal(stop(&shard), 0);
}

static void options_that_cannot_work_end_the_process(void **state) {
  (void)state;
  const struct {
    const char *option, *value, *says;
  } cases[] = {
      {"--policy", "/nowhere", "policy /nowhere: No such file"},
      {"--tls-cert", in_dir("shard.pem"), "cert and key go together"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    process p;
    const char *const args[] = {"--db",          in_dir("db/shard-0.db"), "--listen", "tls+tcp://localhost:0",
                                cases[i].option, cases[i].value,          NULL};
    assert_int_equal(process_run(&p, s.dir, "bad", "tether-shard", args), 1);
    char *log = file_text(p.log);
    if (!strstr(log, cases[i].says)) fail_msg("no '%s' in: %s", cases[i].says, log);
    free(log);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_search_over_tls_finds_what_its_shard_lets_it, setup, teardown),
      cmocka_unit_test_setup_teardown(sighup_takes_new_files_and_keeps_old_ones_for_bad_ones, setup, teardown),
      cmocka_unit_test_setup_teardown(a_token_is_not_sent_to_a_shard_in_clear, setup, teardown),
      cmocka_unit_test(options_that_cannot_work_end_the_process),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
