/* rpc/metrics.h: what the metrics of calls are made of.
 *
 *   tether_metrics ── method ──┬── server ── cell of shard 0, 1, ...      each thread records in one shard
 *                              └── client ── cell of shard 0, 1, ...      a reader adds them up
 *
 * Methods and cells are made when they are first needed and stay; so recording reads pointers and adds, no more. */
#ifndef TETHER_RPC_METRICS_H
#define TETHER_RPC_METRICS_H

#include <pthread.h>
#include <stdatomic.h>
#include <tether/metrics.h>

/* The upper bounds of durations: OpenTelemetry's, which begin at 5 ms, and some below them. */
#define TTH_BOUNDS 19
typedef struct tth_bound {
  int64_t ns;
  const char *seconds; /* as text */
} tth_bound;
extern const tth_bound tth_bounds[TTH_BOUNDS];

#define TTH_BUCKETS (TTH_BOUNDS + 1) /* the last: above all bounds */

typedef struct tth_histogram {
  _Atomic uint64_t buckets[TTH_BUCKETS];
  _Atomic uint64_t sum_ns;
} tth_histogram;

typedef enum tth_count {
  TTH_COUNT_BEGUN,
  TTH_COUNT_ENDED, /* of those */
  TTH_COUNT_SENT,
  TTH_COUNT_SENT_BYTES,
  TTH_COUNT_RECEIVED,
  TTH_COUNT_RECEIVED_BYTES,
  TTH_COUNT_ATTEMPTS,
  TTH_COUNT_RETRIES,
  TTH_COUNT_UNSENT,
  TTH_COUNT_UNHANDLED,
  TTH_COUNT_NO_DEADLINE,
  TTH_COUNT_WASTED_NS,
  TTH_COUNTS
} tth_count;

#define TTH_CAUSES (TETHER_CAUSE_ENOUGH + 1)

/* One shard of one method on one side. */
typedef struct tth_cell {
  _Atomic uint64_t counts[TTH_COUNTS];
  _Atomic uint64_t cut[TTH_CAUSES];
  tth_histogram budget, queue;
  tth_histogram *_Atomic duration[TETHER_CODES]; /* NULL: no call has ended so */
} tth_cell;

#define TTH_SHARDS 8

typedef struct tth_metered {
  const char *name;                       /* "package.Service/Method" */
  tth_cell *_Atomic cells[2][TTH_SHARDS]; /* of the client, of the server; NULL: nothing recorded */
} tth_metered;

/* A power of two; at most half of it is used. */
#define TTH_METERED_SLOTS ((size_t)2 * TETHER_METRICS_METHODS)

struct tether_metrics {
  tether_interceptor interceptor;
  tth_metered *_Atomic methods[1 + TETHER_METRICS_METHODS]; /* the first: _OTHER */
  _Atomic size_t count;
  _Atomic uint64_t lost;              /* calls that could not be recorded, for lack of memory */
  _Atomic uint64_t connections[2][2]; /* by side: opened, closed */
  /* By the address of the method's description; written under mu, `of` before `key`. */
  struct {
    const tether_method *_Atomic key;
    tth_metered *_Atomic of;
  } slots[TTH_METERED_SLOTS];
  pthread_mutex_t mu;
  size_t used; /* slots; under mu */
  atomic_bool full;
};

#endif
