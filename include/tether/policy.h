/* tether/policy.h: who may call what: rules from a file, after gRPC's authorisation policy (gRFC A43).
 *
 *   {
 *     "name": "shard",
 *     "deny_rules": [
 *       {"name": "guests do not write",
 *        "source": {"principals": ["dns:guest-*"]}, "request": {"paths": ["/store.v1.Store/Put"]}}
 *     ],
 *     "allow_rules": [
 *       {"name": "search",
 *        "source": {"principals": ["dns:search.example", "uid:1001"]},
 *        "request": {"paths": ["/search.v1.*"], "headers": [{"key": "x-tenant", "values": ["a", "b-*"]}]}}
 *     ]
 *   }
 *
 * A call that a deny rule matches is denied; else, one that an allow rule matches is allowed; else it is denied. A rule
 * matches if everything that it says does; what it leaves out matches all calls. Of several texts in a list one must
 * match: "abc" the whole, "abc*" the beginning, "*abc" the end, "*" anything but the empty text.
 *
 *   principals   what is proven of the caller (tether/identity.h). uid: and gid: with the number, of a unix socket's
 *                peer; cn:, dns:, uri:, ip: and email: with a name of its certificate; auth: with the name that an auth
 *                interceptor has given it (tether/auth.h). "*": anybody of whom something is proven; "anonymous": those
 *                of whom nothing is
 *   paths        "/package.Service/Method"
 *   headers      metadata, by key: all keys must match. Where a call has a key more than once, a deny rule matches if
 *                one value does, an allow rule only if all do. Not "authorization", and no "-bin" keys
 *
 * A member that is not listed here is a mistake, and so is an empty list. */
#ifndef TETHER_POLICY_H
#define TETHER_POLICY_H

#include <tether/interceptor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_policy tether_policy;

/* Reads a policy from a file of up to 1 MiB. TETHER_INVALID_ARGUMENT: it cannot be read or has a mistake; what and
 * where goes to standard error. TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_policy_open(const char *path, tether_policy **policy);

/* Reads the file again; calls that begin afterwards are judged by what it says now. Errors as open, and then nothing is
 * changed. Any thread; blocks for reading. */
TETHER_API TETHER_MUST_USE tether_code tether_policy_reload(tether_policy *policy);

/* Nobody uses the policy any more: servers that have its interceptor are closed. Takes NULL. */
TETHER_API void tether_policy_close(tether_policy *policy);

/* For the lists of servers (a client's calls pass), behind an auth interceptor if there is one. A call that is denied
 * ends PERMISSION_DENIED and costs one line on standard error, at most 10 a second. Lives as long as the policy. */
TETHER_API const tether_interceptor *tether_policy_interceptor(const tether_policy *policy);

/* A call to be judged. What is NULL is not there. */
typedef struct tether_policy_question {
  const char *path;
  const tether_identity *identity;
  const char *principal; /* that an auth interceptor has named */
  const tether_metadata *metadata;
} tether_policy_question;

/* TETHER_OK: allowed. TETHER_PERMISSION_DENIED: not. Writes the rule that decided to `rule`, for logs: its name, or ""
 * if none matched. Any thread; does not block. */
TETHER_API TETHER_MUST_USE tether_code tether_policy_check(tether_policy *policy,
                                                           const tether_policy_question *question, char *rule,
                                                           size_t rule_size);

#ifdef __cplusplus
}
#endif
#endif
