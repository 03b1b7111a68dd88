/* Certificates, policies and tokens without memory: an error, nothing lost, and all well when there is memory again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/credentials.h>
#include <tether/policy.h>

#include "rpc/policy_rules.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/certificates.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"

static const char policy_text[] =
    "{\"deny_rules\":[{\"name\":\"d\",\"source\":{\"principals\":[\"dns:x\",\"uid:1\"]}}],"
    "\"allow_rules\":[{\"name\":\"a\",\"request\":{\"paths\":[\"/x\",\"/y\"],"
    "\"headers\":[{\"key\":\"k\",\"values\":[\"v\"]},{\"key\":\"l\",\"values\":[\"v\"]}]}},{\"name\":\"b\"}]}";

static tst_certificates certificates;
static char dir[64], policy_file[80], token_file[80], cert_file[80], key_file[80];

static int group_setup(void **state) {
  (void)state;
  bool made = tst_certificates_make(&certificates) && tst_dir_make(dir) && tst_dir_write(dir, "policy", policy_text) &&
              tst_dir_write(dir, "token", "abc") && tst_dir_write(dir, "cert", certificates.cert) &&
              tst_dir_write(dir, "key", certificates.key);
  snprintf(policy_file, sizeof policy_file, "%s/policy", dir);
  snprintf(token_file, sizeof token_file, "%s/token", dir);
  snprintf(cert_file, sizeof cert_file, "%s/cert", dir);
  snprintf(key_file, sizeof key_file, "%s/key", dir);
  return made ? 0 : -1;
}

static int group_teardown(void **state) {
  (void)state;
  tst_certificates_free(&certificates);
  return tst_dir_remove(dir) ? 0 : -1;
}

/* Makes a thing and releases it. */
typedef tether_code (*make_fn)(void);

static make_fn making;
static int made; /* how often there was memory enough */

static void make_once(void) {
  tether_code code = making();
  if (code != TETHER_OK && code != TETHER_RESOURCE_EXHAUSTED) fail_msg("%s", tether_code_name(code));
  if (code == TETHER_OK) made++;
}

/* With the first, the second ... allocation failing, until there are no more of them. */
static void starve(make_fn make, int at_least) {
  tst_stderr caught;
  making = make;
  made = 0;
  assert_true(tst_stderr_catch(&caught));
  int allocations = tst_alloc_fail_each(&(tst_alloc_life){.live = make_once, .least = at_least}, 1);
  tst_stderr_release(&caught);
  assert_true(made > 0 && made < allocations);
}

static tether_code make_rules(void) {
  tth_rules *rules = NULL;
  char why[256];
  tether_code code = tth_rules_parse(policy_text, strlen(policy_text), &rules, why, sizeof why);
  tth_rules_free(rules);
  return code;
}

static tether_code make_policy(void) {
  tether_policy *policy = NULL;
  tether_code code = tether_policy_open(policy_file, &policy);
  if (code == TETHER_OK) code = tether_policy_reload(policy);
  tether_policy_close(policy);
  return code;
}

static tether_code make_credentials(void) {
  tether_credentials *credentials = NULL;
  tether_code code = tether_credentials_file(token_file, &credentials);
  if (code == TETHER_OK) code = tether_credentials_reload(credentials);
  tether_credentials_unref(credentials);
  return code;
}

static tether_code make_tls(void) {
  const tether_tls options = {.cert_file = cert_file, .key_file = key_file, .ca_pem = certificates.ca};
  tth_tls *tls = NULL;
  tether_code code = tth_tls_open(&options, false, &tls);
  if (code == TETHER_OK) code = tth_tls_reload(tls);
  tth_tls_unref(tls);
  return code;
}

static void rules_without_memory(void **state) {
  (void)state;
  starve(make_rules, 5);
}

static void a_policy_without_memory(void **state) {
  (void)state;
  starve(make_policy, 10);
}

static void credentials_without_memory(void **state) {
  (void)state;
  starve(make_credentials, 5);
}

static void certificates_without_memory(void **state) {
  (void)state;
  starve(make_tls, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules_without_memory),
      cmocka_unit_test(a_policy_without_memory),
      cmocka_unit_test(credentials_without_memory),
      cmocka_unit_test(certificates_without_memory),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
