/* The service config as an object: looked up by every call of a client that has one. */
#include "rpc/service_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/text_file.h"

void tth_service_config_free(tth_service_config *config) {
  if (!config) return;
  for (size_t i = 0; i < config->name_count; i++) free(config->names[i].path);
  free(config->names);
  free(config->methods);
  free(config);
}

/* ---- Looking up ---------------------------------------------------------------------------- */

/* The name that is exactly the first `len` bytes of `path`. */
static const tth_method_config *find(const tth_service_config *config, const char *path, size_t len) {
  for (size_t low = 0, high = config->name_count; low < high;) {
    size_t middle = low + (high - low) / 2;
    const tth_named_config *named = &config->names[middle];
    int order = strncmp(path, named->path, len);
    if (order == 0 && named->path[len] == 0) return &config->methods[named->index];
    if (order > 0)
      low = middle + 1;
    else
      high = middle; /* a name that goes on where `path` ends comes behind it */
  }
  return NULL;
}

const tth_method_config *tth_service_config_find(const tth_service_config *config, const char *path) {
  if (!config) return NULL;
  const tth_method_config *found = find(config, path, strlen(path));
  const char *slash = strrchr(path, '/');
  if (!found && slash) found = find(config, path, (size_t)(slash - path) + 1);
  return found ? found : find(config, path, 0);
}

tth_throttling tth_service_config_throttling(const tth_service_config *config) {
  return config ? config->throttling : (tth_throttling){0};
}

tether_balancing tth_service_config_balancing(const tth_service_config *config) {
  return config ? config->balancing : TETHER_PICK_FIRST;
}

/* ---- Files --------------------------------------------------------------------------------- */

tether_code tth_service_config_load(const char *path, char *why, tth_service_config **config) {
  char *text = NULL, inner[TTH_SERVICE_CONFIG_WHY] = "";
  tether_code code = tth_text_file_read(path, &text, inner, sizeof inner);
  if (code == TETHER_OK) code = tth_service_config_parse(text, strlen(text), inner, config);
  free(text);
  *why = 0;
  /* Of a long path the end tells more. */
  size_t path_len = strlen(path), cut = path_len > 100 ? path_len - 100 : 0;
  if (*inner) snprintf(why, TTH_SERVICE_CONFIG_WHY, "%s%s: %.200s", cut ? "..." : "", path + cut, inner);
  return code;
}
