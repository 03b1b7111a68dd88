/* HEADERS: metadata, forwarded values and the trace, from the wire into a handler's context and out again with the
 * calls it makes. Values go exactly where their keys say; what is not known goes on as it came, within its budget. */
#include <stdlib.h>
#include <string.h>

#include "rpc/forward.h"
#include "rpc/metadata.h"
#include "rpc/trace.h"
#include "rpc/unpack.h"
#include "tests/fuzz/fuzz.h"

#define FORWARD_MOST 500

/* ---- Keys ---------------------------------------------------------------------------------- */

struct value {
  size_t len;
  uint8_t bytes[];
};

static size_t encode(const void *data, uint8_t *buf, size_t size) {
  const struct value *value = data;
  if (size) memcpy(buf, value->bytes, value->len < size ? value->len : size);
  return value->len;
}

/* Refuses what begins with '!'. */
static void *decode(const uint8_t *bytes, size_t len) {
  if (len > 0 && *bytes == '!') return NULL;
  struct value *value = malloc(sizeof *value + len);
  if (!value) abort();
  value->len = len;
  if (len) memcpy(value->bytes, bytes, len);
  return value;
}

#define KEY(name_, forward_) \
  { .name = name_, .free = free, .forward = forward_, .encode = encode, .decode = decode }
static const tether_key all = KEY("all", TETHER_FORWARD_ALL), hop = KEY("hop", TETHER_FORWARD_ONE_HOP),
                        own = KEY("own", TETHER_FORWARD_LOCAL), secret = KEY("secret", TETHER_FORWARD_SECRET);
static const tether_key *const keys[] = {&all, &hop, &own, &secret, NULL};

/* ---- Checks -------------------------------------------------------------------------------- */

static void check_key(const char *key) {
  FUZZ_CHECK(*key && strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == strlen(key));
}

/* As a program sees it. */
static void check_metadata(const Tether__V1__Headers *headers) {
  tether_metadata *metadata = tether_metadata_new();
  if (!metadata || tth_metadata_from_entries(metadata, headers->n_metadata, headers->metadata) != TETHER_OK) abort();
  size_t count = tether_metadata_count(metadata), from = 0, size = 0;
  FUZZ_CHECK(count <= headers->n_metadata);
  for (size_t i = 0; i < count; i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    check_key(entry.key);
    FUZZ_CHECK(entry.value[entry.len] == 0);
    /* It is the next of those that came whose key is the same, but for case. */
    while (strcasecmp(headers->metadata[from]->key, entry.key) != 0) FUZZ_CHECK(++from < headers->n_metadata);
    const ProtobufCBinaryData *value = &headers->metadata[from++]->value;
    FUZZ_CHECK(value->len == entry.len && (entry.len == 0 || memcmp(value->data, entry.value, entry.len) == 0));
    size_t len, first = 0;
    while (strcmp(tether_metadata_at(metadata, first).key, entry.key) != 0) first++;
    FUZZ_CHECK(tether_metadata_get(metadata, entry.key, &len) == tether_metadata_at(metadata, first).value);
    size += strlen(entry.key) + entry.len + TTH_ENTRY_OVERHEAD;
  }
  FUZZ_CHECK(size == tether_metadata_size(metadata));
  FUZZ_CHECK(size <= tth_entries_size(headers->n_metadata, headers->metadata));
  tether_metadata_free(metadata);
}

/* A program's own entries: what is accepted is what was given, and what a peer would accept. */
static void check_adding(const Tether__V1__Entry *entry) {
  tether_metadata *metadata = tether_metadata_new();
  if (!metadata) abort();
  const char *text = entry->value.len ? (const char *)entry->value.data : "";
  char *terminated = strndup(text, entry->value.len);
  bool added = tether_metadata_add(metadata, entry->key, terminated) == TETHER_OK;
  bool added_bin = tether_metadata_add_bin(metadata, entry->key, entry->value.data, entry->value.len) == TETHER_OK;
  FUZZ_CHECK(!(added && added_bin) && tether_metadata_count(metadata) == (size_t)(added + added_bin));
  tether_metadata *copy = tth_metadata_copy(metadata);
  FUZZ_CHECK(copy && tether_metadata_size(copy) == tether_metadata_size(metadata));
  if (added + added_bin > 0) {
    Tether__V1__Entry view, *views[] = {&view};
    tth_metadata_view(metadata, &view);
    check_key(view.key);
    tether_metadata *received = tether_metadata_new();
    FUZZ_CHECK(received && tth_metadata_from_entries(received, 1, views) == TETHER_OK);
    FUZZ_CHECK(tether_metadata_size(received) == tether_metadata_size(metadata));
    tether_metadata_free(received);
  }
  tether_metadata_free(copy);
  tether_metadata_free(metadata);
  free(terminated);
}

static const Tether__V1__Entry *find(size_t count, Tether__V1__Entry *const *entries, const Tether__V1__Entry *like) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(entries[i]->key, like->key) != 0 || entries[i]->value.len != like->value.len) continue;
    if (like->value.len == 0 || memcmp(entries[i]->value.data, like->value.data, like->value.len) == 0)
      return entries[i];
  }
  return NULL;
}

/* What a handler's calls carry on. */
static void check_forwarded(const Tether__V1__Headers *headers, const tether_ctx *ctx) {
  tth_arena arena;
  tth_entries one_hop = {0}, forwarded = {0};
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  tth_forward_collect(ctx, &arena, FORWARD_MOST, &one_hop, &forwarded);
  FUZZ_CHECK(!one_hop.no_memory && !forwarded.no_memory);
  FUZZ_CHECK(one_hop.count == 0); /* it has made its hop */
  FUZZ_CHECK(tth_entries_size(forwarded.count, forwarded.entries) <= FORWARD_MOST);
  for (size_t i = 0; i < forwarded.count; i++) {
    const Tether__V1__Entry *entry = forwarded.entries[i];
    FUZZ_CHECK(find(headers->n_forwarded, headers->forwarded, entry));
    FUZZ_CHECK(strcmp(entry->key, "hop") != 0 && strcmp(entry->key, "own") != 0 && strcmp(entry->key, "secret") != 0);
    for (size_t j = 0; j < i; j++) FUZZ_CHECK(strcmp(entry->key, forwarded.entries[j]->key) != 0);
  }
  FUZZ_CHECK(!tether_ctx_value(ctx, &own) && !tether_ctx_value(ctx, &secret));
  tth_arena_fini(&arena);
}

static void check_trace(const Tether__V1__Headers *headers, const tether_ctx *ctx) {
  tether_trace sent, got, next;
  char text[TETHER_TRACEPARENT_SIZE];
  bool valid = headers->traceparent && tether_trace_parse(headers->traceparent, &sent);
  FUZZ_CHECK(tether_trace_get(ctx, &got) == valid && tth_trace_next_hop(ctx, false, text) == valid);
  if (!valid) return;
  FUZZ_CHECK(memcmp(&sent, &got, sizeof got) == 0 && tether_trace_parse(text, &next));
  FUZZ_CHECK(memcmp(next.trace_id, sent.trace_id, sizeof sent.trace_id) == 0 && next.flags == sent.flags);
  const char *state = tether_trace_state(ctx), *baggage = tether_trace_baggage(ctx);
  FUZZ_CHECK(!state || strcmp(state, headers->tracestate) == 0);
  FUZZ_CHECK(!baggage || strcmp(baggage, headers->baggage) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  tth_arena arena;
  ProtobufCMessage *message;
  char why[100];
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  if (tth_unpack(&tether__v1__headers__descriptor, input, size, 1 << 20, &arena, why, sizeof why, &message) ==
      TETHER_OK) {
    const Tether__V1__Headers *headers = (const Tether__V1__Headers *)message;
    check_metadata(headers);
    for (size_t i = 0; i < headers->n_metadata; i++) check_adding(headers->metadata[i]);
    const tether_ctx *ctx = tether_ctx_ref(tether_ctx_background());
    if (headers->traceparent) {
      const tether_ctx *traced = tth_trace_received(ctx, headers->traceparent, headers->tracestate, headers->baggage);
      if (traced) ctx = traced;
    }
    ctx = tth_forward_received(ctx, keys, headers, FORWARD_MOST);
    check_forwarded(headers, ctx);
    check_trace(headers, ctx);
    tether_ctx_unref(ctx);
  }
  tth_arena_fini(&arena);
  return 0;
}
