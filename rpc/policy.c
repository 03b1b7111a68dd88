/* A policy: rules from a file, replaced as a whole. Who checks a call holds the rules it began with. */
#include "rpc/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/text_file.h"

/* Rules from the file; what is wrong with it is told, after `before`. */
static tether_code load(const char *path, const char *before, tth_rules **rules) {
  char why[512] = "out of memory";
  char *text;
  tether_code code = tth_text_file_read(path, &text, why, sizeof why);
  if (code == TETHER_OK) {
    code = tth_rules_parse(text, strlen(text), rules, why, sizeof why);
    free(text);
  }
  if (code != TETHER_OK) fprintf(stderr, "tether: policy %s: %s%s\n", path, before, why);
  return code;
}

tether_code tether_policy_open(const char *path, tether_policy **policy) {
  tether_policy *made = calloc(1, sizeof *made);
  if (!made || !(made->path = strdup(path))) {
    free(made);
    return TETHER_RESOURCE_EXHAUSTED;
  }
  tether_code code = load(path, "", &made->rules);
  if (code != TETHER_OK) {
    free(made->path);
    free(made);
    return code;
  }
  made->interceptor = (tether_interceptor){.begin = tth_policy_begin, .data = made};
  pthread_rwlock_init(&made->lock, NULL);
  pthread_mutex_init(&made->log_lock, NULL);
  *policy = made;
  return TETHER_OK;
}

tether_code tether_policy_reload(tether_policy *policy) {
  tth_rules *rules;
  tether_code code = load(policy->path, "not reloaded, the rules loaded before stay in use: ", &rules);
  if (code != TETHER_OK) return code;
  pthread_rwlock_wrlock(&policy->lock);
  tth_rules *old = policy->rules;
  policy->rules = rules;
  pthread_rwlock_unlock(&policy->lock);
  tth_rules_free(old);
  return TETHER_OK;
}

void tether_policy_close(tether_policy *policy) {
  if (!policy) return;
  tth_rules_free(policy->rules);
  pthread_mutex_destroy(&policy->log_lock);
  pthread_rwlock_destroy(&policy->lock);
  free(policy->path);
  free(policy);
}

const tether_interceptor *tether_policy_interceptor(const tether_policy *policy) { return &policy->interceptor; }

tether_code tether_policy_check(tether_policy *policy, const tether_policy_question *question, char *rule,
                                size_t rule_size) {
  const char *name;
  pthread_rwlock_rdlock(&policy->lock);
  bool allowed = tth_rules_allow(policy->rules, question, &name);
  snprintf(rule, rule_size, "%s", name);
  pthread_rwlock_unlock(&policy->lock);
  return allowed ? TETHER_OK : TETHER_PERMISSION_DENIED;
}
