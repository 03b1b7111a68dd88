#include "common/duration.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int64_t ns;
} units[] = {
    {"ns", 1},         {"us", TETHER_US},      {"ms", TETHER_MS},
    {"s", TETHER_SEC}, {"m", 60 * TETHER_SEC}, {"h", 3600 * TETHER_SEC},
};

/* The number's text, digits with at most one point: strtod alone would also take "inf", "0x1p3" and "-1". */
static size_t number_length(const char *text) {
  size_t digits = strspn(text, "0123456789");
  size_t len = digits;
  if (text[len] == '.') {
    size_t fraction = strspn(text + len + 1, "0123456789");
    digits += fraction;
    len += 1 + fraction;
  }
  return digits ? len : 0;
}

bool svc_duration_parse(const char *text, int64_t *duration_ns) {
  size_t len = number_length(text);
  if (len == 0 || len > 20) return false;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    if (strcmp(text + len, units[i].name) != 0) continue;
    double ns = strtod(text, NULL) * (double)units[i].ns;
    if (ns > 100.0 * 3600 * (double)TETHER_SEC) return false;
    *duration_ns = (int64_t)(ns + 0.5);
    return true;
  }
  return false;
}

const char *svc_duration_format(int64_t duration_ns, char text[SVC_DURATION_SIZE]) {
  if (duration_ns == TETHER_FOREVER)
    snprintf(text, SVC_DURATION_SIZE, "none");
  else
    snprintf(text, SVC_DURATION_SIZE, "%.3fms", (double)duration_ns / (double)TETHER_MS);
  return text;
}
