/* rpc/metadata.h: metadata inside the library: building from and into wire entries. */
#ifndef TETHER_RPC_METADATA_H
#define TETHER_RPC_METADATA_H

#include <tether/metadata.h>

#include "rpc/arena.h"
#include "tether/v1/frames.pb-c.h"

/* What one entry costs against a limit, beyond its name and value (RFC 9113's header list size). */
#define TTH_ENTRY_OVERHEAD 32

/* The size of wire entries, counted as tether_metadata_size counts. */
size_t tth_entries_size(size_t count, Tether__V1__Entry *const *entries);

/* Appends received entries. Keys that no sender of ours produces are skipped, as gRPC asks of receivers.
 * TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_MUST_USE tether_code tth_metadata_from_entries(tether_metadata *metadata, size_t count,
                                                      Tether__V1__Entry *const *entries);

/* A list of the same entries as they are, in the arena: keys and values have a NUL behind them, and live as long. It
 * need not be freed. NULL without memory. */
TETHER_MUST_USE tether_metadata *tth_metadata_received(tth_arena *arena, size_t count,
                                                       Tether__V1__Entry *const *entries);

/* Appends with the kind of value that the key's suffix asks for. */
TETHER_MUST_USE tether_code tth_metadata_add_any(tether_metadata *metadata, const char *key, const void *value,
                                                 size_t len);

/* A copy; NULL without memory. */
TETHER_MUST_USE tether_metadata *tth_metadata_copy(const tether_metadata *metadata);

/* Fills `entries` (room for tether_metadata_count) with views of `metadata`. */
void tth_metadata_view(const tether_metadata *metadata, Tether__V1__Entry *entries);

#endif
