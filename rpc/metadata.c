/* Metadata lists. Entries live in one array, their bytes in one allocation each ("key\0value\0"); those of a received
 * list in the arena of its call. */
#include "rpc/metadata.h"

#include <stdlib.h>
#include <string.h>

struct entry {
  char *key; /* owns key and value */
  char *value;
  size_t len;
};

struct tether_metadata {
  struct entry *entries;
  size_t count, capacity;
  bool in_arena; /* all of it */
};

/* The names a gRPC library owns (rpc-semantics: "Reserved"); a user's value would be dropped or lie. */
static const char *const reserved[] = {
    "content-type",         "te",
    "user-agent",           "host",
    "connection",           "grpc-timeout",
    "grpc-status",          "grpc-encoding",
    "grpc-accept-encoding", "grpc-message",
    "grpc-tags-bin",        "grpc-message-type",
    "grpc-trace-bin",       "grpc-status-details-bin",
};

/* What they begin with. */
#define RESERVED_BEGIN "ctuhg"

tether_metadata *tether_metadata_new(void) { return calloc(1, sizeof(tether_metadata)); }

void tether_metadata_free(tether_metadata *metadata) {
  if (!metadata || metadata->in_arena) return;
  for (size_t i = 0; i < metadata->count; i++) free(metadata->entries[i].key);
  free(metadata->entries);
  free(metadata);
}

static bool key_is_valid(const char *key, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char c = key[i];
    bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' || c == '-' || c == '.';
    if (!ok) return false;
  }
  if (len == 0) return false;
  if (!strchr(RESERVED_BEGIN, key[0])) return true;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (strcmp(key, reserved[i]) == 0) return false;
  return true;
}

static bool key_is_binary(const char *key, size_t len) { return len >= 4 && memcmp(key + len - 4, "-bin", 4) == 0; }

static bool value_is_text(const char *value, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (value[i] < 0x20 || value[i] > 0x7e) return false;
  return true;
}

static void lower(char *to, const char *from, size_t len) {
  for (size_t i = 0; i < len; i++) to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
  to[len] = 0;
}

static tether_code append(tether_metadata *metadata, const char *key, const void *value, size_t len) {
  if (metadata->count == metadata->capacity) {
    size_t capacity = metadata->capacity ? 2 * metadata->capacity : 4;
    struct entry *grown = realloc(metadata->entries, capacity * sizeof *grown);
    if (!grown) return TETHER_RESOURCE_EXHAUSTED;
    metadata->entries = grown;
    metadata->capacity = capacity;
  }
  size_t key_len = strlen(key);
  char *bytes = malloc(key_len + 1 + len + 1);
  if (!bytes) return TETHER_RESOURCE_EXHAUSTED;
  lower(bytes, key, key_len);
  if (len) memcpy(bytes + key_len + 1, value, len);
  bytes[key_len + 1 + len] = 0;
  metadata->entries[metadata->count++] = (struct entry){.key = bytes, .value = bytes + key_len + 1, .len = len};
  return TETHER_OK;
}

/* Checks a key as it will be stored (lower case) without allocating: keys too long to be checked are not valid. */
static bool check_key(const char *key, bool *binary) {
  char lowered[256];
  size_t len = key ? strlen(key) : 0;
  if (len == 0 || len >= sizeof lowered) return false;
  lower(lowered, key, len);
  *binary = key_is_binary(lowered, len);
  return key_is_valid(lowered, len);
}

tether_code tether_metadata_add(tether_metadata *metadata, const char *key, const char *value) {
  bool binary;
  if (!metadata || !value || !check_key(key, &binary) || binary) return TETHER_INVALID_ARGUMENT;
  size_t len = strlen(value);
  if (!value_is_text(value, len)) return TETHER_INVALID_ARGUMENT;
  return append(metadata, key, value, len);
}

tether_code tether_metadata_add_bin(tether_metadata *metadata, const char *key, const void *bytes, size_t len) {
  bool binary;
  if (!metadata || (!bytes && len) || !check_key(key, &binary) || !binary) return TETHER_INVALID_ARGUMENT;
  return append(metadata, key, bytes, len);
}

tether_code tth_metadata_add_any(tether_metadata *metadata, const char *key, const void *value, size_t len) {
  bool binary;
  if ((!value && len) || !check_key(key, &binary)) return TETHER_INVALID_ARGUMENT;
  if (!binary && !value_is_text(value, len)) return TETHER_INVALID_ARGUMENT;
  return append(metadata, key, value, len);
}

size_t tether_metadata_count(const tether_metadata *metadata) { return metadata ? metadata->count : 0; }

tether_metadata_entry tether_metadata_at(const tether_metadata *metadata, size_t i) {
  const struct entry *e = &metadata->entries[i];
  return (tether_metadata_entry){.key = e->key, .value = e->value, .len = e->len};
}

const char *tether_metadata_get(const tether_metadata *metadata, const char *key, size_t *len) {
  char lowered[256];
  size_t key_len = key ? strlen(key) : 0;
  if (!metadata || key_len >= sizeof lowered) return NULL;
  lower(lowered, key, key_len);
  for (size_t i = 0; i < metadata->count; i++) {
    if (strcmp(metadata->entries[i].key, lowered) != 0) continue;
    if (len) *len = metadata->entries[i].len;
    return metadata->entries[i].value;
  }
  return NULL;
}

size_t tether_metadata_size(const tether_metadata *metadata) {
  size_t size = 0;
  for (size_t i = 0; metadata && i < metadata->count; i++)
    size += strlen(metadata->entries[i].key) + metadata->entries[i].len + TTH_ENTRY_OVERHEAD;
  return size;
}

size_t tth_entries_size(size_t count, Tether__V1__Entry *const *entries) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += strlen(entries[i]->key) + entries[i]->value.len + TTH_ENTRY_OVERHEAD;
  return size;
}

tether_code tth_metadata_from_entries(tether_metadata *metadata, size_t count, Tether__V1__Entry *const *entries) {
  for (size_t i = 0; i < count; i++) {
    bool binary;
    if (!check_key(entries[i]->key, &binary)) continue;
    tether_code code = append(metadata, entries[i]->key, entries[i]->value.data, entries[i]->value.len);
    if (code != TETHER_OK) return code;
  }
  return TETHER_OK;
}

tether_metadata *tth_metadata_received(tth_arena *arena, size_t count, Tether__V1__Entry *const *entries) {
  tether_metadata *metadata = tth_arena_alloc(arena, sizeof *metadata + count * sizeof *metadata->entries);
  if (!metadata) return NULL;
  *metadata = (tether_metadata){.entries = (struct entry *)(metadata + 1), .capacity = count, .in_arena = true};
  for (size_t i = 0; i < count; i++) {
    bool binary;
    char *key = entries[i]->key;
    if (!check_key(key, &binary)) continue;
    lower(key, key, strlen(key));
    metadata->entries[metadata->count++] =
        (struct entry){.key = key, .value = (char *)entries[i]->value.data, .len = entries[i]->value.len};
  }
  return metadata;
}

void tth_metadata_view(const tether_metadata *metadata, Tether__V1__Entry *entries) {
  for (size_t i = 0; metadata && i < metadata->count; i++) {
    const struct entry *e = &metadata->entries[i];
    tether__v1__entry__init(&entries[i]);
    entries[i].key = e->key;
    entries[i].value = (ProtobufCBinaryData){.data = (uint8_t *)e->value, .len = e->len};
  }
}

tether_metadata *tth_metadata_copy(const tether_metadata *metadata) {
  tether_metadata *copy = tether_metadata_new();
  for (size_t i = 0; copy && i < tether_metadata_count(metadata); i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    if (tth_metadata_add_any(copy, entry.key, entry.value, entry.len) == TETHER_OK) continue;
    tether_metadata_free(copy);
    copy = NULL;
  }
  return copy;
}
