/* rpc/reuse.h: memory that every call takes, used again.
 *
 * Each call takes one of each kind at either end, and they are of the sizes that malloc takes longest for: above what
 * it keeps at hand per thread, or too many at once for it. So a thread keeps some of what it gives back, TTH_REUSE_KEPT
 * of a kind, until it ends. Under a sanitizer everything is left to malloc, which it watches. */
#ifndef TETHER_RPC_REUSE_H
#define TETHER_RPC_REUSE_H

#include <tether/base.h>

#define TTH_REUSE_KEPT 32

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TTH_REUSES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TTH_REUSES 0
#endif
#endif
#ifndef TTH_REUSES
#define TTH_REUSES 1
#endif

/* All memory of a kind is of one size. */
typedef enum tth_reuse {
  TTH_REUSE_CALL,
  TTH_REUSE_STREAM,
  TTH_REUSE_RECORDER,
  TTH_REUSE_OUT, /* with what a short message and its headers take */
  TTH_REUSE_KINDS
} tth_reuse;

/* Memory of any contents; NULL without memory. */
TETHER_MUST_USE void *tth_reuse_get(tth_reuse kind, size_t size);

/* Gives it back, from any thread. */
void tth_reuse_put(tth_reuse kind, void *memory);

/* How many pieces this thread keeps. */
size_t tth_reuse_count(tth_reuse kind);

#endif
