#include "rpc/session_clock.h"

int64_t tth_deadline_of(int64_t timeout_ns, int64_t sent_at_ns, int64_t now_ns) {
  /* A stamp from the future is the estimate's error. */
  int64_t from_ns = sent_at_ns == INT64_MIN || sent_at_ns > now_ns ? now_ns : sent_at_ns;
  return tether_time_add(from_ns, timeout_ns);
}
