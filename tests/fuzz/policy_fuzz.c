/* Policies: what is accepted judges every call, and names the rule; what is refused is refused with a sentence, and
 * leaves nothing behind. */
#include <stdlib.h>
#include <string.h>

#include "rpc/policy_rules.h"
#include "tests/fuzz/fuzz.h"

static const char *const names[] = {"dns:a.test", "uri:spiffe://a/b"};
static const tether_identity identities[] = {
    {.kind = TETHER_IDENTITY_NONE},
    {.kind = TETHER_IDENTITY_UNIX, .uid = 1000, .gid = 100},
    {.kind = TETHER_IDENTITY_TLS, .names = names, .name_count = 2, .common_name = "a"},
};
static const char *const paths[] = {"/p.S/Get", "/p.S/Put", "/q.T/Get"};

static bool is_named(const char *text, size_t size, const char *rule) {
  return memmem(text, size, rule, strlen(rule)) || memchr(text, '\\', size); /* or it is escaped there */
}

static void check_accepted(const tth_rules *rules, const tth_rules *again, const char *text, size_t size) {
  tether_metadata *metadata = tether_metadata_new();
  if (!metadata || tether_metadata_add(metadata, "x-env", "dev") != TETHER_OK) abort();
  for (size_t i = 0; i < 2 * 2 * 3 * 3; i++) {
    const tether_policy_question question = {.path = paths[i % 3],
                                             .identity = &identities[i / 3 % 3],
                                             .principal = i / 9 % 2 ? "alice" : NULL,
                                             .metadata = i / 18 ? metadata : NULL};
    const char *rule = NULL, *same = NULL;
    bool allowed = tth_rules_allow(rules, &question, &rule);
    FUZZ_CHECK(allowed == tth_rules_allow(again, &question, &same) && strcmp(rule, same) == 0);
    FUZZ_CHECK(!allowed || *rule); /* nothing is allowed by no rule */
    FUZZ_CHECK(!*rule || is_named(text, size, rule));
  }
  tether_metadata_free(metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  char why[256] = "";
  const char *text = (const char *)input;
  tth_rules *rules = NULL, *again = NULL;
  tether_code code = tth_rules_parse(text, size, &rules, why, sizeof why);
  FUZZ_CHECK(code == TETHER_OK || code == TETHER_INVALID_ARGUMENT);
  FUZZ_CHECK((code == TETHER_OK) == (rules != NULL));
  if (rules) {
    FUZZ_CHECK(tth_rules_parse(text, size, &again, why, sizeof why) == TETHER_OK);
    check_accepted(rules, again, text, size);
  } else {
    FUZZ_CHECK(*why && memchr(why, 0, sizeof why));
  }
  tth_rules_free(rules);
  tth_rules_free(again);
  return 0;
}
