/* Values on the wire. A forwarded entry this process does not know goes on as it came (Finagle calls such contexts
 * translucent); a value of a key it does know replaces the received entry of that name. */
#include "rpc/forward.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rpc/metadata.h"

/* Received forwarded entries nobody here has a key for; one allocation, immutable. */
struct opaque {
  size_t count;
  struct {
    const char *key;
    const uint8_t *value;
    size_t len;
  } entries[];
};

/* One-hop values that have made their hop, by identity: they end here. */
struct arrived {
  size_t count;
  const void *values[];
};

static const tether_key arrived_key = {.name = "tether-arrived", .free = free};
static const tether_key opaque_key = {.name = "tether-forwarded", .free = free};

void tth_entries_add(tth_entries *list, tth_arena *arena, const char *key, const uint8_t *value, size_t len) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 8;
    Tether__V1__Entry **grown = tth_arena_alloc(arena, capacity * sizeof(Tether__V1__Entry *));
    if (grown && list->count) memcpy(grown, list->entries, list->count * sizeof *grown);
    list->no_memory |= !grown;
    if (!grown) return;
    list->entries = grown;
    list->capacity = capacity;
  }
  Tether__V1__Entry *entry = tth_arena_alloc(arena, sizeof *entry);
  list->no_memory |= !entry;
  if (!entry) return;
  tether__v1__entry__init(entry);
  entry->key = (char *)key;
  entry->value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = len};
  list->entries[list->count++] = entry;
}

struct collector {
  const tether_ctx *ctx;
  tth_arena *arena;
  tth_entries *one_hop, *forwarded;
  size_t room; /* for forwarded entries */
};

static bool has_entry(const tth_entries *list, const char *key) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->entries[i]->key, key) == 0) return true;
  return false;
}

/* A token is for one server, whatever a peer or a key of the program calls a forwarded value. */
static bool is_token(const char *key) { return strcasecmp(key, "authorization") == 0; }

static void add_forwarded(struct collector *c, const char *key, const uint8_t *value, size_t len) {
  size_t size = strlen(key) + len + TTH_ENTRY_OVERHEAD;
  if (size > c->room || is_token(key) || has_entry(c->forwarded, key)) return;
  c->room -= size;
  tth_entries_add(c->forwarded, c->arena, key, value, len);
}

static bool travels(const tether_ctx *ctx, const tether_key *key, const void *value) {
  if (!key->encode || !value) return false;
  if (key->forward != TETHER_FORWARD_ONE_HOP) return key->forward == TETHER_FORWARD_ALL;
  const struct arrived *arrived = tether_ctx_value(ctx, &arrived_key);
  for (size_t i = 0; arrived && i < arrived->count; i++)
    if (arrived->values[i] == value) return false;
  return true;
}

static bool collect_value(void *data, const tether_key *key, const void *value) {
  struct collector *c = data;
  if (!travels(c->ctx, key, value)) return true;
  size_t len = key->encode(value, NULL, 0);
  if (len == 0) return true;
  uint8_t *bytes = tth_arena_alloc(c->arena, len);
  if (!bytes) {
    c->forwarded->no_memory = true;
    return false;
  }
  if (key->encode(value, bytes, len) != len) return true;
  if (key->forward == TETHER_FORWARD_ALL)
    add_forwarded(c, key->name, bytes, len);
  else
    tth_entries_add(c->one_hop, c->arena, key->name, bytes, len);
  return true;
}

void tth_forward_collect(const tether_ctx *ctx, tth_arena *arena, size_t max_forward_bytes, tth_entries *one_hop,
                         tth_entries *forwarded) {
  struct collector c = {
      .ctx = ctx, .arena = arena, .one_hop = one_hop, .forwarded = forwarded, .room = max_forward_bytes};
  tether_ctx_values(ctx, collect_value, &c);
  const struct opaque *opaque = tether_ctx_value(ctx, &opaque_key);
  for (size_t i = 0; opaque && i < opaque->count; i++)
    add_forwarded(&c, opaque->entries[i].key, opaque->entries[i].value, opaque->entries[i].len);
}

static const tether_key *find_key(const tether_key *const *keys, const char *name) {
  for (; keys && *keys; keys++)
    if (strcmp((*keys)->name, name) == 0) return *keys;
  return NULL;
}

/* One more layer; the reference moves up. */
static const tether_ctx *with(const tether_ctx *ctx, const tether_key *key, const void *value) {
  const tether_ctx *child = tether_ctx_with_value(ctx, key, value);
  tether_ctx_unref(ctx);
  return child;
}

/* One more layer for each entry whose name is a known key of this policy; their values go to `added`, if given. */
static const tether_ctx *with_known(const tether_ctx *ctx, const tether_key *const *keys, tether_forward policy,
                                    size_t count, Tether__V1__Entry *const *entries, struct arrived *added) {
  for (size_t i = 0; i < count; i++) {
    const tether_key *key = find_key(keys, entries[i]->key);
    if (!key || key->forward != policy || !key->decode) continue;
    void *value = key->decode(entries[i]->value.data, entries[i]->value.len);
    if (!value) continue;
    ctx = with(ctx, key, value);
    if (key->copy && key->free) key->free(value); /* the context has its own */
    if (added) added->values[added->count++] = tether_ctx_value(ctx, key);
  }
  return ctx;
}

static const tether_ctx *with_one_hop(const tether_ctx *ctx, const tether_key *const *keys,
                                      const Tether__V1__Headers *headers) {
  if (!keys || headers->n_metadata == 0) return ctx;
  struct arrived *arrived = malloc(sizeof *arrived + headers->n_metadata * sizeof *arrived->values);
  if (!arrived) return ctx; /* a value that could go further than its key says does not go at all */
  arrived->count = 0;
  ctx = with_known(ctx, keys, TETHER_FORWARD_ONE_HOP, headers->n_metadata, headers->metadata, arrived);
  if (arrived->count) return with(ctx, &arrived_key, arrived);
  free(arrived);
  return ctx;
}

static const tether_ctx *with_opaque(const tether_ctx *ctx, const tether_key *const *keys,
                                     const Tether__V1__Headers *headers, size_t max_forward_bytes) {
  size_t count = 0, bytes = 0, room = max_forward_bytes;
  for (size_t i = 0; i < headers->n_forwarded; i++) {
    const Tether__V1__Entry *entry = headers->forwarded[i];
    size_t size = strlen(entry->key) + entry->value.len + TTH_ENTRY_OVERHEAD;
    if (find_key(keys, entry->key) || is_token(entry->key) || size > room) continue;
    room -= size;
    bytes += strlen(entry->key) + 1 + entry->value.len;
    count++;
  }
  if (count == 0) return ctx;
  struct opaque *opaque = malloc(sizeof *opaque + count * sizeof *opaque->entries + bytes);
  if (!opaque) return ctx; /* the call is worth more than what it forwards */
  char *to = (char *)&opaque->entries[count];
  opaque->count = 0;
  room = max_forward_bytes;
  for (size_t i = 0; i < headers->n_forwarded; i++) {
    const Tether__V1__Entry *entry = headers->forwarded[i];
    size_t key_size = strlen(entry->key) + 1, size = key_size - 1 + entry->value.len + TTH_ENTRY_OVERHEAD;
    if (find_key(keys, entry->key) || is_token(entry->key) || size > room) continue;
    room -= size;
    opaque->entries[opaque->count].key = memcpy(to, entry->key, key_size);
    to += key_size;
    if (entry->value.len) memcpy(to, entry->value.data, entry->value.len);
    opaque->entries[opaque->count].value = (const uint8_t *)to;
    opaque->entries[opaque->count++].len = entry->value.len;
    to += entry->value.len;
  }
  return with(ctx, &opaque_key, opaque);
}

const tether_ctx *tth_forward_received(const tether_ctx *ctx, const tether_key *const *keys,
                                       const Tether__V1__Headers *headers, size_t max_forward_bytes) {
  ctx = with_one_hop(ctx, keys, headers);
  ctx = with_known(ctx, keys, TETHER_FORWARD_ALL, headers->n_forwarded, headers->forwarded, NULL);
  return with_opaque(ctx, keys, headers, max_forward_bytes);
}
