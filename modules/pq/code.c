#include <string.h>

#include "modules/pq/impl.h"

/* The first that the SQLSTATE begins with. */
static const struct {
  const char *begins;
  tether_code code;
} known[] = {
    {"57014", TETHER_CANCELLED},
    {"23505", TETHER_ALREADY_EXISTS},
    {"23P01", TETHER_ALREADY_EXISTS},
    {"42P04", TETHER_ALREADY_EXISTS},
    {"42P06", TETHER_ALREADY_EXISTS},
    {"42P07", TETHER_ALREADY_EXISTS},
    {"42710", TETHER_ALREADY_EXISTS},
    {"55P03", TETHER_ABORTED},
    {"22003", TETHER_OUT_OF_RANGE},
    {"22008", TETHER_OUT_OF_RANGE},
    {"P0002", TETHER_NOT_FOUND},
    {"42501", TETHER_PERMISSION_DENIED},
    {"XX001", TETHER_DATA_LOSS},
    {"XX002", TETHER_DATA_LOSS},
    {"25P03", TETHER_UNAVAILABLE},
    {"08", TETHER_UNAVAILABLE},
    {"57", TETHER_UNAVAILABLE},
    {"23", TETHER_FAILED_PRECONDITION},
    {"25", TETHER_FAILED_PRECONDITION},
    {"55", TETHER_FAILED_PRECONDITION},
    {"P0", TETHER_FAILED_PRECONDITION},
    {"40", TETHER_ABORTED},
    {"22", TETHER_INVALID_ARGUMENT},
    {"42", TETHER_INVALID_ARGUMENT},
    {"28", TETHER_UNAUTHENTICATED},
    {"53", TETHER_RESOURCE_EXHAUSTED},
    {"54", TETHER_RESOURCE_EXHAUSTED},
    {"0A", TETHER_UNIMPLEMENTED},
    {"58", TETHER_INTERNAL},
    {"XX", TETHER_INTERNAL},
};

tether_code tether_pq_code(const char *sqlstate) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strncmp(sqlstate, known[i].begins, strlen(known[i].begins)) == 0) return known[i].code;
  return TETHER_UNKNOWN;
}
