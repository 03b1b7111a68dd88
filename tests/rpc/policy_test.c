/* Policies: which call which rules let through, and what is said about files that are no policies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/policy_rules.h"
#include "tests/support/certificates.h"
#include "tests/support/raw_peer.h"
#include "tests/support/rpc_test.h"

/* ---- Callers and calls ---------------------------------------------------------------------- */

static const char *const names[] = {"dns:Client.Test", "uri:spiffe://test/client", "uri:uid:0", "ip:10.0.0.1"};
static const tether_identity user = {.kind = TETHER_IDENTITY_UNIX, .uid = 1000, .gid = 100, .pid = 7},
                             root = {.kind = TETHER_IDENTITY_UNIX}, nobody = {.kind = TETHER_IDENTITY_NONE},
                             certified = {.kind = TETHER_IDENTITY_TLS,
                                          .names = names,
                                          .name_count = 4,
                                          .common_name = "client"},
                             nameless = {.kind = TETHER_IDENTITY_TLS, .common_name = ""};

struct asked {
  const char *path;
  const tether_identity *identity;
  const char *principal;
  const char *headers[4][2];
};

static bool allows(const char *json, const struct asked *asked, char rule[64]) {
  tth_rules *rules;
  char why[512] = "";
  tether_code code = tth_rules_parse(json, strlen(json), &rules, why, sizeof why);
  if (code != TETHER_OK) fail_msg("%s: %s", json, why);
  tether_metadata *metadata = tether_metadata_new();
  for (size_t i = 0; i < 4 && asked->headers[i][0]; i++)
    assert_int_equal(tether_metadata_add(metadata, asked->headers[i][0], asked->headers[i][1]), TETHER_OK);
  const tether_policy_question question = {
      .path = asked->path, .identity = asked->identity, .principal = asked->principal, .metadata = metadata};
  const char *name;
  bool allowed = tth_rules_allow(rules, &question, &name);
  snprintf(rule, 64, "%s", name);
  tether_metadata_free(metadata);
  tth_rules_free(rules);
  return allowed;
}

struct case_of {
  const char *rules; /* with ' for " */
  struct asked asked;
  bool allowed;
  const char *rule;
};

static void check(const struct case_of *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char json[1024], rule[64];
    snprintf(json, sizeof json, "{%s}", cases[i].rules);
    for (char *at = json; *at; at++)
      if (*at == '\'') *at = '"';
    bool allowed = allows(json, &cases[i].asked, rule);
    if (allowed != cases[i].allowed || strcmp(rule, cases[i].rule) != 0)
      fail_msg("case %zu: %s by '%s'", i, allowed ? "allowed" : "denied", rule);
  }
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof *(cases))

/* A call without metadata; one whose caller has been named. */
#define ASK(path_, identity_) \
  { .path = path_, .identity = identity_ }
#define NAMED(path_, identity_, principal_) \
  { .path = path_, .identity = identity_, .principal = principal_ }

#define ALLOW(rest) "'allow_rules':[{'name':'a'" rest "}]"
#define PRINCIPAL(text) ALLOW(",'source':{'principals':['" text "']}")
#define PATH(text) ALLOW(",'request':{'paths':['" text "']}")
#define HEADER(values) ALLOW(",'request':{'headers':[{'key':'x-env','values':[" values "]}]}")

/* ---- Matching ------------------------------------------------------------------------------- */

static void deny_rules_come_first_and_what_nothing_allows_is_denied(void **state) {
  (void)state;
  static const char both[] =
      "'deny_rules':[{'name':'d1','request':{'paths':['/p.S/Put']}},{'name':'d2','source':{'principals':['uid:1000']},"
      "'request':{'paths':['/p.S/Del*']}}],'allow_rules':[{'name':'a1','request':{'paths':['/p.S/*']}}]";
  const struct case_of cases[] = {
      {both, ASK("/p.S/Get", &user), true, "a1"},
      {both, ASK("/p.S/Put", &user), false, "d1"},
      {both, ASK("/p.S/Delete", &user), false, "d2"},
      {both, ASK("/p.S/Delete", &root), true, "a1"},
      {both, ASK("/q.S/Get", &user), false, ""},
      {ALLOW(""), ASK("/any.S/Thing", &nobody), true, "a"},
      {ALLOW(",'source':{},'request':{}"), ASK("/any.S/Thing", NULL), true, "a"},
  };
  CHECK(cases);
}

static void paths_match_whole_at_the_beginning_or_at_the_end(void **state) {
  (void)state;
  const struct case_of cases[] = {
      {PATH("/p.S/Get"), ASK("/p.S/Get", &user), true, "a"},
      {PATH("/p.S/Get"), ASK("/p.S/GetAll", &user), false, ""},
      {PATH("/p.S/Get"), ASK("/p.S/get", &user), false, ""},
      {PATH("/p.S/*"), ASK("/p.S/Get", &user), true, "a"},
      {PATH("/p.S/*"), ASK("/p.S", &user), false, ""},
      {PATH("/p.S/*"), ASK("/p.S/", &user), true, "a"},
      {PATH("*/Check"), ASK("/h.Health/Check", &user), true, "a"},
      {PATH("*/Check"), ASK("/Check/x", &user), false, ""},
      {PATH("*"), ASK("/p.S/Get", &user), true, "a"},
      {PATH("*"), ASK("", &user), false, ""},
      {PATH("/x','/p.S/Get"), ASK("/p.S/Get", &user), true, "a"},
  };
  CHECK(cases);
}

static void principals_are_what_is_proven_and_nothing_else(void **state) {
  (void)state;
  const struct case_of cases[] = {
      {PRINCIPAL("uid:1000"), ASK("/m", &user), true, "a"},
      {PRINCIPAL("uid:100"), ASK("/m", &user), false, ""},
      {PRINCIPAL("gid:100"), ASK("/m", &user), true, "a"},
      {PRINCIPAL("gid:1000"), ASK("/m", &user), false, ""},
      {PRINCIPAL("uid:0"), ASK("/m", &root), true, "a"},
      {PRINCIPAL("uid:0"), ASK("/m", &nobody), false, ""},
      {PRINCIPAL("uid:0"), ASK("/m", NULL), false, ""},
      {PRINCIPAL("uid:0"), ASK("/m", &certified), false, ""}, /* though a certificate says "uid:0" */
      {PRINCIPAL("uid:*"), ASK("/m", &user), true, "a"},
      {PRINCIPAL("uid:*"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("cn:client"), ASK("/m", &certified), true, "a"},
      {PRINCIPAL("cn:Client"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("dns:client.test"), ASK("/m", &certified), true, "a"}, /* names of hosts have no case */
      {PRINCIPAL("dns:*.TEST"), ASK("/m", &certified), true, "a"},
      {PRINCIPAL("dns:client"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("uri:spiffe://test/*"), ASK("/m", &certified), true, "a"},
      {PRINCIPAL("uri:spiffe://Test/*"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("ip:10.0.0.1"), ASK("/m", &certified), true, "a"},
      {PRINCIPAL("dns:spiffe*"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("auth:alice"), NAMED("/m", &certified, "alice"), true, "a"},
      {PRINCIPAL("auth:alice"), NAMED("/m", &nobody, "alice"), true, "a"},
      {PRINCIPAL("auth:alice"), ASK("/m", &certified), false, ""},
      {PRINCIPAL("cn:client"), NAMED("/m", &nobody, "client"), false, ""},
      {PRINCIPAL("auth:a*"), NAMED("/m", &user, "bob"), false, ""},
      {PRINCIPAL("*"), ASK("/m", &user), true, "a"},
      {PRINCIPAL("*"), ASK("/m", &certified), true, "a"},
      {PRINCIPAL("*"), ASK("/m", &nameless), true, "a"},
      {PRINCIPAL("*"), NAMED("/m", &nobody, "alice"), true, "a"},
      {PRINCIPAL("*"), ASK("/m", &nobody), false, ""},
      {PRINCIPAL("anonymous"), ASK("/m", &nobody), true, "a"},
      {PRINCIPAL("anonymous"), ASK("/m", NULL), true, "a"},
      {PRINCIPAL("anonymous"), NAMED("/m", &nobody, "alice"), false, ""},
      {PRINCIPAL("anonymous"), ASK("/m", &root), false, ""},
      {PRINCIPAL("cn:*"), ASK("/m", &nameless), false, ""},
      {PRINCIPAL("cn:x','gid:100"), ASK("/m", &user), true, "a"},
  };
  CHECK(cases);
}

static void headers_must_all_match_and_a_second_value_evades_nothing(void **state) {
  (void)state;
  static const char deny[] =
      "'deny_rules':[{'name':'d','request':{'headers':[{'key':'x-env','values':['bad']}]}}]," ALLOW("");
  static const char two[] =
      ALLOW(",'request':{'headers':[{'key':'x-env','values':['dev']},{'key':'x-team','values':['*']}]}");
  const struct case_of cases[] = {
      {HEADER("'dev','test-*'"), {"/m", &user, NULL, {{"x-env", "dev"}}}, true, "a"},
      {HEADER("'dev','test-*'"), {"/m", &user, NULL, {{"X-Env", "test-7"}}}, true, "a"},
      {HEADER("'dev','test-*'"), {"/m", &user, NULL, {{"x-env", "prod"}}}, false, ""},
      {HEADER("'dev'"), ASK("/m", &user), false, ""},
      {HEADER("'*'"), {"/m", &user, NULL, {{"x-env", ""}}}, false, ""},
      {HEADER("'*'"), {"/m", &user, NULL, {{"x-env", "x"}}}, true, "a"},
      {HEADER("'dev'"), {"/m", &user, NULL, {{"x-env", "dev"}, {"x-env", "prod"}}}, false, ""},
      {HEADER("'dev'"), {"/m", &user, NULL, {{"x-env", "dev"}, {"x-env", "dev"}}}, true, "a"},
      {deny, {"/m", &user, NULL, {{"x-env", "bad"}}}, false, "d"},
      {deny, {"/m", &user, NULL, {{"x-env", "good"}, {"x-env", "bad"}}}, false, "d"},
      {deny, {"/m", &user, NULL, {{"x-env", "good"}}}, true, "a"},
      {two, {"/m", &user, NULL, {{"x-env", "dev"}}}, false, ""},
      {two, {"/m", &user, NULL, {{"x-team", "t"}, {"x-env", "dev"}}}, true, "a"},
  };
  CHECK(cases);
}

/* ---- Files that are no policies ------------------------------------------------------------- */

static void mistakes_are_told_with_their_place(void **state) {
  (void)state;
  static const struct {
    const char *json, *says;
  } cases[] = {
      {"", "line 1"},
      {"[]", "must be an object"},
      {"{'allow_rules':[{'name':'a'}]", "line 1"},
      {"{}", "allow_rules: is missing or empty"},
      {"{'allow_rules':[]}", "allow_rules: is missing or empty"},
      {"{'deny_rules':[{'name':'d'}]}", "allow_rules: is missing or empty"},
      {"{'allow_rules':{}}", "allow_rules: is an object; it must be a list"},
      {"{'allow_rules':[{'name':'a'}],'alow_rules':[]}", "alow_rules: nobody knows this member"},
      {"{'allow_rules':[{'name':'a'}],'name':7}", "name: is a number"},
      {"{'allow_rules':[7]}", "allow_rules[0]: is a number; it must be an object"},
      {"{'allow_rules':[{}]}", "allow_rules[0].name: is missing"},
      {"{'allow_rules':[{'name':''}]}", "allow_rules[0].name: is empty"},
      {"{'allow_rules':[{'name':'a','sauce':{}}]}", "allow_rules[0].sauce: nobody knows this member"},
      {"{" ALLOW(",'source':7") "}", "allow_rules[0].source: is a number"},
      {"{" ALLOW(",'source':{'principal':['uid:0']}") "}", "allow_rules[0].source.principal: nobody knows"},
      {"{" ALLOW(",'source':{'principals':[]}") "}", "allow_rules[0].source.principals: is empty"},
      {"{" ALLOW(",'source':{'principals':'uid:0'}") "}", "source.principals: is a text; it must be a list"},
      {"{" ALLOW(",'source':{'principals':['uid:0',7]}") "}", "source.principals[1]: is a number"},
      {"{" PRINCIPAL("alice") "}", "source.principals[0]: is \"alice\"; it must begin with uid:"},
      {"{" PRINCIPAL("") "}", "source.principals[0]: is \"\"; it must begin with uid:"},
      {"{" PRINCIPAL("uid:root") "}", "is \"uid:root\"; uid: needs a number"},
      {"{" PRINCIPAL("uid:") "}", "is \"uid:\"; uid: needs a number"},
      {"{" PRINCIPAL("dns:") "}", "source.principals[0]: is empty"},
      {"{" PRINCIPAL("dns:a*b") "}", "'*' stands once"},
      {"{" PRINCIPAL("dns:*a*") "}", "'*' stands once"},
      {"{" PATH("p.S/Get") "}", "request.paths[0]: is \"p.S/Get\"; it must be as"},
      {"{" PATH("**") "}", "'*' stands once"},
      {"{" ALLOW(",'request':{'methods':['x']}") "}", "request.methods: nobody knows"},
      {"{" ALLOW(",'request':{'headers':[]}") "}", "request.headers: is empty"},
      {"{" ALLOW(",'request':{'headers':[{'values':['x']}]}") "}", "request.headers[0].key: is missing"},
      {"{" ALLOW(",'request':{'headers':[{'key':'x'}]}") "}", "request.headers[0]: has no \"values\""},
      {"{" ALLOW(",'request':{'headers':[{'key':'X','values':['x']}]}") "}", "keys are of a-z"},
      {"{" ALLOW(",'request':{'headers':[{'key':'x-bin','values':['x']}]}") "}", "-bin keys cannot be matched"},
      {"{" ALLOW(",'request':{'headers':[{'key':'authorization','values':['x']}]}") "}", "auth:NAME"},
      {"{'allow_rules':[{'name':'a','name':'b'}]}", "line 1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char json[512], why[512] = "";
    tth_rules *rules = NULL;
    snprintf(json, sizeof json, "%s", cases[i].json);
    for (char *at = json; *at; at++)
      if (*at == '\'') *at = '"';
    assert_int_equal(tth_rules_parse(json, strlen(json), &rules, why, sizeof why), TETHER_INVALID_ARGUMENT);
    if (!strstr(why, cases[i].says)) fail_msg("case %zu does not say '%s' but: %s", i, cases[i].says, why);
    assert_null(rules);
  }
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void a_policy_is_read_from_its_file_and_again_when_asked(void **state) {
  (void)state;
  static const char first[] = "{\"allow_rules\":[{\"name\":\"a\",\"request\":{\"paths\":[\"/p.S/Get\"]}}]}";
  static const char second[] = "{\"allow_rules\":[{\"name\":\"b\",\"request\":{\"paths\":[\"/p.S/Put\"]}}]}";
  const tether_policy_question get = {.path = "/p.S/Get"}, put = {.path = "/p.S/Put"};
  char dir[64], path[80], rule[16];
  tether_policy *policy;
  tst_stderr caught;
  assert_true(tst_dir_make(dir) && tst_stderr_catch(&caught));
  snprintf(path, sizeof path, "%s/policy", dir);
  assert_int_equal(tether_policy_open(path, &policy), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "No such file"));
  assert_true(tst_dir_write(dir, "policy", first));
  assert_int_equal(tether_policy_open(path, &policy), TETHER_OK);
  assert_int_equal(tether_policy_check(policy, &get, rule, sizeof rule), TETHER_OK);
  assert_string_equal(rule, "a");
  assert_int_equal(tether_policy_check(policy, &put, rule, sizeof rule), TETHER_PERMISSION_DENIED);
  assert_string_equal(rule, "");
  assert_true(tst_dir_write(dir, "policy", "{\"allow_rules\":[{}]}"));
  assert_int_equal(tether_policy_reload(policy), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "the rules loaded before stay in use: allow_rules[0].name: is missing"));
  assert_int_equal(tether_policy_check(policy, &get, rule, sizeof rule), TETHER_OK);
  assert_true(tst_dir_write(dir, "policy", second));
  assert_int_equal(tether_policy_reload(policy), TETHER_OK);
  assert_int_equal(tether_policy_check(policy, &get, rule, sizeof rule), TETHER_PERMISSION_DENIED);
  assert_int_equal(tether_policy_check(policy, &put, rule, sizeof rule), TETHER_OK);
  tether_policy_close(policy);
  tether_policy_close(NULL);
  tst_stderr_release(&caught);
  assert_true(tst_dir_remove(dir));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(deny_rules_come_first_and_what_nothing_allows_is_denied),
      cmocka_unit_test(paths_match_whole_at_the_beginning_or_at_the_end),
      cmocka_unit_test(principals_are_what_is_proven_and_nothing_else),
      cmocka_unit_test(headers_must_all_match_and_a_second_value_evades_nothing),
      cmocka_unit_test(mistakes_are_told_with_their_place),
      cmocka_unit_test(a_policy_is_read_from_its_file_and_again_when_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
