/* modules/health/status.h: what is said of each service, without a lock of its own. */
#ifndef MODULES_HEALTH_STATUS_H
#define MODULES_HEALTH_STATUS_H

#include <tether/health.h>

typedef struct tth_health_entry {
  char *service;
  tether_health_status status;
} tth_health_entry;

typedef struct tth_health_table {
  tether_server *server; /* what it serves has the server's status unless it has one of its own */
  bool down;             /* everything is NOT_SERVING for good */
  tth_health_entry *entries;
  size_t count;
} tth_health_table;

void tth_health_table_fini(tth_health_table *table);

/* Sets, or with SERVICE_UNKNOWN removes. false: no memory, nothing changed. */
TETHER_MUST_USE bool tth_health_table_set(tth_health_table *table, const char *service, tether_health_status status);

/* SERVICE_UNKNOWN: nothing is known of it. */
tether_health_status tth_health_table_get(const tth_health_table *table, const char *service);

#endif
