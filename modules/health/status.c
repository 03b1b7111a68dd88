#include "modules/health/status.h"

#include <stdlib.h>
#include <string.h>

void tth_health_table_fini(tth_health_table *table) {
  for (size_t i = 0; i < table->count; i++) free(table->entries[i].service);
  free(table->entries);
}

static tth_health_entry *find(const tth_health_table *table, const char *service) {
  for (size_t i = 0; i < table->count; i++)
    if (strcmp(table->entries[i].service, service) == 0) return &table->entries[i];
  return NULL;
}

static bool add(tth_health_table *table, const char *service, tether_health_status status) {
  tth_health_entry *grown = realloc(table->entries, (table->count + 1) * sizeof *grown);
  if (!grown) return false;
  table->entries = grown;
  char *copy = strdup(service);
  if (!copy) return false;
  grown[table->count++] = (tth_health_entry){copy, status};
  return true;
}

bool tth_health_table_set(tth_health_table *table, const char *service, tether_health_status status) {
  tth_health_entry *entry = find(table, service);
  if (status != TETHER_HEALTH_SERVICE_UNKNOWN) {
    if (!entry) return add(table, service, status);
    entry->status = status;
  } else if (entry) {
    free(entry->service);
    *entry = table->entries[--table->count];
  }
  return true;
}

/* Whether a path is "/service/Method". */
static bool is_of(const char *path, const char *service) {
  size_t len = strlen(service);
  return strncmp(path + 1, service, len) == 0 && path[1 + len] == '/';
}

static bool is_served(const tether_server *server, const char *service) {
  const tether_method *method;
  if (!*service) return true;
  for (size_t i = 0; (method = tether_server_method(server, i)); i++)
    if (is_of(method->path, service)) return true;
  return false;
}

tether_health_status tth_health_table_get(const tth_health_table *table, const char *service) {
  const tth_health_entry *entry = find(table, service);
  if (!entry && !is_served(table->server, service)) return TETHER_HEALTH_SERVICE_UNKNOWN;
  if (table->down) return TETHER_HEALTH_NOT_SERVING;
  if (!entry) entry = find(table, "");
  return entry ? entry->status : TETHER_HEALTH_SERVING;
}
