/* tether/metadata.h: ordered multi-valued key/value pairs sent with calls, with gRPC's rules
 * (grpc/grpc doc/PROTOCOL-HTTP2.md, "Custom-Metadata"). */
#ifndef TETHER_METADATA_H
#define TETHER_METADATA_H

#include <tether/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_metadata tether_metadata;

/* An empty list; NULL without memory. One owner. free takes NULL. */
TETHER_API TETHER_MUST_USE tether_metadata *tether_metadata_new(void);
TETHER_API void tether_metadata_free(tether_metadata *metadata);

/* Appends a text value. The key is lower-cased; keys are [0-9a-z_.-]+, values 0x20..0x7e. Order is kept
 * per key. TETHER_INVALID_ARGUMENT: a key or value with other characters, an empty key, a key that ends
 * in "-bin" (use add_bin), or a reserved key: those that start with ':' and the ones the library owns
 * (content-type, te, user-agent, host, connection, grpc-timeout, grpc-encoding, grpc-accept-encoding,
 * grpc-message, grpc-status, grpc-message-type, grpc-status-details-bin, grpc-tags-bin, grpc-trace-bin).
 * TETHER_RESOURCE_EXHAUSTED: no memory. On failure the list is unchanged. */
TETHER_API TETHER_MUST_USE tether_code tether_metadata_add(tether_metadata *metadata, const char *key,
                                                           const char *value);

/* Appends any bytes under a key that must end in "-bin". Errors as tether_metadata_add. */
TETHER_API TETHER_MUST_USE tether_code tether_metadata_add_bin(tether_metadata *metadata, const char *key,
                                                               const void *bytes, size_t len);

typedef struct tether_metadata_entry {
  const char *key;
  const char *value; /* terminated by a NUL that is not part of `len` */
  size_t len;
} tether_metadata_entry;

/* How many entries; the i-th (0-based; must be < count). Borrowed until the next add or free. A NULL list
 * is empty. */
TETHER_API size_t tether_metadata_count(const tether_metadata *metadata);
TETHER_API tether_metadata_entry tether_metadata_at(const tether_metadata *metadata, size_t i);

/* The first value of the key (compared in lower case), NULL if there is none. *len, if not NULL, gets its
 * length. gRPC's multi-values are read with tether_metadata_at. */
TETHER_API const char *tether_metadata_get(const tether_metadata *metadata, const char *key, size_t *len);

/* Name + value + 32 for each entry, as HTTP/2 counts a header list; what the metadata limit bounds. */
TETHER_API size_t tether_metadata_size(const tether_metadata *metadata);

#ifdef __cplusplus
}
#endif
#endif
