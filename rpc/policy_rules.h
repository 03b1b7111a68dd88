/* rpc/policy_rules.h: the rules of a policy: from JSON, and applied to a call. No files, no locks. */
#ifndef TETHER_RPC_POLICY_RULES_H
#define TETHER_RPC_POLICY_RULES_H

#include <tether/policy.h>

typedef struct tth_rules tth_rules;

/* TETHER_INVALID_ARGUMENT: what is wrong, and where, is in `why`. TETHER_RESOURCE_EXHAUSTED. */
TETHER_MUST_USE tether_code tth_rules_parse(const char *text, size_t len, tth_rules **rules, char *why,
                                            size_t why_size);
void tth_rules_free(tth_rules *rules);

/* *rule: the name of the rule that decided; "" if none matched. Borrowed. */
TETHER_MUST_USE bool tth_rules_allow(const tth_rules *rules, const tether_policy_question *question, const char **rule);

#endif
