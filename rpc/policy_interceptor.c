/* Calls before a policy. What is denied tells the caller no more than it knows, and the operator who it was and which
 * rule has decided. */
#include <stdio.h>
#include <tether/auth.h>

#include "rpc/policy.h"

#define LINES_PER_SECOND 10

static bool may_log(tether_policy *policy, unsigned *left_out) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  pthread_mutex_lock(&policy->log_lock);
  *left_out = 0;
  if (now.tv_sec != policy->second) {
    if (policy->lines > LINES_PER_SECOND) *left_out = policy->lines - LINES_PER_SECOND;
    policy->second = now.tv_sec;
    policy->lines = 0;
  }
  bool may = ++policy->lines <= LINES_PER_SECOND;
  pthread_mutex_unlock(&policy->log_lock);
  return may;
}

/* A name that somebody else has chosen, as part of a line. */
static void print_plain(char *to, size_t size, const char *name) {
  size_t len = 0;
  for (; *name && len + 1 < size; name++) to[len++] = (unsigned char)*name < 0x20 || *name == 0x7f ? '?' : *name;
  to[len] = 0;
}

static void log_denial(tether_policy *policy, const tether_call *call, const char *principal, const char *rule) {
  char who[256], named[128] = "";
  unsigned left_out;
  if (!may_log(policy, &left_out)) return;
  if (left_out)
    fprintf(stderr, "tether: policy %s: %u more calls denied without a line each\n", policy->path, left_out);
  tether_identity_text(tether_call_identity(call), who, sizeof who);
  if (principal) print_plain(named, sizeof named, principal);
  fprintf(stderr, "tether: policy %s: denied %s to %s (%s%s%s): %s%s\n", policy->path, tether_call_path(call),
          tether_call_peer(call), who, principal ? " auth:" : "", named, *rule ? "by deny rule " : "no rule allows it",
          rule);
}

tether_code tth_policy_begin(void *data, tether_call *call, void **state) {
  tether_policy *policy = data;
  char rule[128];
  (void)state;
  if (!tether_call_is_server(call)) return TETHER_OK;
  const char *principal = tether_principal(tether_call_ctx(call));
  const tether_policy_question question = {.path = tether_call_path(call),
                                           .identity = tether_call_identity(call),
                                           .principal = principal,
                                           .metadata = tether_call_metadata(call)};
  if (tether_policy_check(policy, &question, rule, sizeof rule) == TETHER_OK) return TETHER_OK;
  log_denial(policy, call, principal, rule);
  return tether_call_fail(call, TETHER_PERMISSION_DENIED, "this server's policy does not let you call %.200s",
                          question.path);
}
