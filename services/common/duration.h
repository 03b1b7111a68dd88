/* common/duration.h: durations as people write them: "200ms", "1.5s", "2m", "750us". */
#ifndef SERVICES_COMMON_DURATION_H
#define SERVICES_COMMON_DURATION_H

#include <tether/base.h>

/* Reads a decimal number with a unit (ns, us, ms, s, m, h). False, and *duration_ns untouched, for anything
 * else: no unit, a negative number, more than 100 hours. */
TETHER_MUST_USE bool svc_duration_parse(const char *text, int64_t *duration_ns);

/* Writes "182.100ms" (always milliseconds, so that logs compare) or "none" for TETHER_FOREVER. Returns text. */
#define SVC_DURATION_SIZE 32
const char *svc_duration_format(int64_t duration_ns, char text[SVC_DURATION_SIZE]);

#endif
