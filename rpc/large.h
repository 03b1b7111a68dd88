/* rpc/large.h: memory of long messages.
 *
 * malloc gives what is freed in large pieces back to the system, and takes it again, page by page, for the next
 * message: a call with 1 MiB each way took up to twice as long for it. So a few pieces are kept for whoever comes next,
 * in the whole process at most TTH_LARGE_KEPT bytes, until a client or a server is closed. Any piece here is malloc's:
 * free and tth_large_free may be exchanged. */
#ifndef TETHER_RPC_LARGE_H
#define TETHER_RPC_LARGE_H

#include "rpc/reuse.h"

/* How many pieces are kept. Under a sanitizer, which is to see every piece, none. */
#define TTH_LARGE_PLACES (TTH_REUSES ? 16 : 0)

/* Smaller pieces are left to malloc. */
#define TTH_LARGE_LEAST ((size_t)64 * 1024)
#define TTH_LARGE_KEPT ((size_t)8 * 1024 * 1024)

/* NULL without memory. The contents are anything. */
TETHER_MUST_USE void *tth_large_alloc(size_t size);

/* `memory` (NULL: none yet), of which `used` bytes are used, in a piece of *size bytes, or of `most`, all that it may
 * come to, if such a piece is at hand: then *size says so. NULL without memory: `memory` is still there. */
TETHER_MUST_USE void *tth_large_grow(void *memory, size_t used, size_t *size, size_t most);

/* Takes NULL. */
void tth_large_free(void *memory);

/* Frees what is kept. */
void tth_large_clear(void);

/* What is kept, in bytes. */
size_t tth_large_kept(void);

#endif
