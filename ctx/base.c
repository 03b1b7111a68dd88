/* base.c: status code names and saturating time. */
#include <tether/base.h>

const char *tether_code_name(tether_code code) {
  static const char *const names[] = {
      "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED",
  };
  const unsigned index = (unsigned)code;
  return index < sizeof names / sizeof names[0] ? names[index] : "UNKNOWN";
}

int64_t tether_time_add(int64_t a_ns, int64_t b_ns) {
  int64_t sum;
  if (!__builtin_add_overflow(a_ns, b_ns, &sum)) return sum;
  return b_ns > 0 ? INT64_MAX : INT64_MIN;
}
