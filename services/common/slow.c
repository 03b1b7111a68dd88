#include "common/slow.h"

#include <stdlib.h>
#include <string.h>

#include "common/duration.h"

enum { SLOW_MAX_BYTES = 64 };

static void *copy(const void *value) { return strdup(value); }

static size_t encode(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (size) memcpy(buf, value, len < size ? len : size); /* size 0, buf NULL: only the length is asked for */
  return len;
}

static void *decode(const uint8_t *bytes, size_t len) {
  char *text = malloc(len + 1);
  if (!text) return NULL;
  memcpy(text, bytes, len);
  text[len] = '\0';
  if (strlen(text) == len && !svc_slow_check(text)) return text;
  free(text);
  return NULL;
}

const tether_key svc_slow_key = {.name = "x-search-slow",
                                 .copy = copy,
                                 .free = free,
                                 .forward = TETHER_FORWARD_ALL,
                                 .encode = encode,
                                 .decode = decode};

/* The duration's text, after the shard's name if there is one. */
static const char *duration_part(const char *text) {
  const char *colon = strrchr(text, ':');
  return colon ? colon + 1 : text;
}

const char *svc_slow_check(const char *text) {
  int64_t ns;
  if (strlen(text) > SLOW_MAX_BYTES || !svc_duration_parse(duration_part(text), &ns))
    return "not of the form 500ms or shard-3:500ms";
  return NULL;
}

int64_t svc_slow_ns(const tether_ctx *ctx, const char *shard) {
  const char *text = tether_ctx_value(ctx, &svc_slow_key);
  int64_t ns;
  if (!text || !svc_duration_parse(duration_part(text), &ns)) return 0;
  const char *colon = strrchr(text, ':');
  if (colon && (strlen(shard) != (size_t)(colon - text) || strncmp(text, shard, (size_t)(colon - text)) != 0)) return 0;
  return ns;
}
