/* rpc/forward.h: context values that travel with calls (tether_key.forward).
 *
 * Out: every visible value whose key travels is encoded into wire entries: `one hop` ones among the metadata, forwarded
 * ones, and the forwarded entries this process received and does not know, apart, within the byte budget.
 * In: entries whose names are keys the server was given become values; the other forwarded ones stay opaque. */
#ifndef TETHER_RPC_FORWARD_H
#define TETHER_RPC_FORWARD_H

#include <tether/ctx.h>

#include "rpc/arena.h"
#include "tether/v1/frames.pb-c.h"

typedef struct tth_entries {
  Tether__V1__Entry **entries; /* in the arena */
  size_t count, capacity;
  bool no_memory;
} tth_entries;

/* Appends one entry that borrows key and value. */
void tth_entries_add(tth_entries *list, tth_arena *arena, const char *key, const uint8_t *value, size_t len);

/* Collects what a call under `ctx` carries. Forwarded entries beyond max_forward_bytes are left out. */
void tth_forward_collect(const tether_ctx *ctx, tth_arena *arena, size_t max_forward_bytes, tth_entries *one_hop,
                         tth_entries *forwarded);

/* The context with the values that came with a call; takes over the caller's reference on `ctx` (free or unref) and
 * returns a reference. */
TETHER_MUST_USE const tether_ctx *tth_forward_received(const tether_ctx *ctx, const tether_key *const *keys,
                                                       const Tether__V1__Headers *headers, size_t max_forward_bytes);

#endif
