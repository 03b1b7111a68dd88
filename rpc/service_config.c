/* The service config as an object: looked up by every call of a client that has one. */
#include "rpc/service_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Reads all, or more than `size` - 1 bytes; -1: errno says why. */
static ssize_t read_all(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t len = 0;
  ssize_t got = 1;
  while (got > 0 && len < size) {
    got = read(fd, text + len, size - len);
    if (got > 0) len += (size_t)got;
    if (got < 0 && errno == EINTR) got = 1;
  }
  int error = errno;
  close(fd);
  errno = error;
  return got < 0 ? -1 : (ssize_t)len;
}

tether_code tth_service_config_load(const char *path, char *why, tth_service_config **config) {
  char *text = malloc(TTH_SERVICE_CONFIG_MOST + 1);
  if (!text) return TETHER_RESOURCE_EXHAUSTED;
  ssize_t len = read_all(path, text, TTH_SERVICE_CONFIG_MOST + 1);
  tether_code code = TETHER_INVALID_ARGUMENT;
  char inner[TTH_SERVICE_CONFIG_WHY] = "";
  if (len < 0)
    snprintf(inner, sizeof inner, "%s", strerror(errno));
  else if ((size_t)len > TTH_SERVICE_CONFIG_MOST)
    snprintf(inner, sizeof inner, "is larger than %zu bytes", TTH_SERVICE_CONFIG_MOST);
  else
    code = tth_service_config_parse(text, (size_t)len, inner, config);
  free(text);
  *why = 0;
  /* Of a long path the end tells more. */
  size_t path_len = strlen(path), cut = path_len > 100 ? path_len - 100 : 0;
  if (*inner) snprintf(why, TTH_SERVICE_CONFIG_WHY, "%s%s: %.200s", cut ? "..." : "", path + cut, inner);
  return code;
}
