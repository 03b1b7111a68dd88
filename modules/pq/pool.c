/* pool.c: connections and the right to make one.
 *
 * There are max places. A place is a connection, idle or taken, or somebody's right to make one:
 *
 *   nothing --take--> right --connected--> taken --give--> idle --take--> taken
 *                       |                    |                  |
 *                       | failed             | not usable       | found dead: right
 *                       +----> nothing <-----+
 *
 * What comes free while somebody waits goes straight to who waits longest: a connection, or the right to make one. A
 * waiter sleeps on a context of its own under the caller's, which whoever serves it cancels; so it wakes for either, at
 * once. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/pq/impl.h"

enum { DEFAULT_CONNECTIONS = 8 };

typedef struct waiter waiter;
struct waiter {
  tether_ctx *ctx;
  bool served;
  tether_pq *pq; /* NULL: the right to make one */
  waiter *next;
};

struct tether_pq_pool {
  tether_pq_options options; /* conninfo is ours */
  int max;

  pthread_mutex_t lock; /* owns: */
  int places, idle_count;
  waiter *first, **end;
  tether_pq *idle[];
};

tether_code tether_pq_pool_open(const tether_pq_options *options, tether_pq_pool **pool) {
  int max = options && options->max_connections > 0 ? options->max_connections : DEFAULT_CONNECTIONS;
  tether_code code = tth_pq_check_conninfo(options ? options->conninfo : NULL);
  if (code != TETHER_OK) return code;
  tether_pq_pool *opened = calloc(1, sizeof *opened + (size_t)max * sizeof opened->idle[0]);
  if (!opened) return TETHER_RESOURCE_EXHAUSTED;
  if (options) opened->options = *options;
  opened->max = max;
  opened->end = &opened->first;
  if (options && options->conninfo) {
    opened->options.conninfo = strdup(options->conninfo);
    if (!opened->options.conninfo) {
      free(opened);
      return TETHER_RESOURCE_EXHAUSTED;
    }
  }
  pthread_mutex_init(&opened->lock, NULL);
  *pool = opened;
  return TETHER_OK;
}

void tether_pq_pool_close(tether_pq_pool *pool) {
  if (!pool) return;
  if (pool->places != pool->idle_count) {
    fprintf(stderr, "tether_pq_pool_close: %d connections have not been given back\n", pool->places - pool->idle_count);
    abort();
  }
  for (int i = 0; i < pool->idle_count; i++) tether_pq_close(pool->idle[i]);
  pthread_mutex_destroy(&pool->lock);
  free((char *)pool->options.conninfo);
  free(pool);
}

/* A place that comes free: with a connection, or (NULL) without. */
static void free_place(tether_pq_pool *pool, tether_pq *pq) {
  tether_ctx *wake = NULL;
  pthread_mutex_lock(&pool->lock);
  waiter *first = pool->first;
  if (first) {
    pool->first = first->next;
    if (!pool->first) pool->end = &pool->first;
    first->pq = pq;
    first->served = true;
    wake = first->ctx;
    (void)tether_ctx_ref(wake); /* the waiter may be gone once the lock is */
  } else if (pq) {
    pool->idle[pool->idle_count++] = pq;
  } else {
    pool->places--;
  }
  pthread_mutex_unlock(&pool->lock);
  tether_ctx_cancel(wake);
  tether_ctx_unref(wake);
}

static void unlink_locked(tether_pq_pool *pool, const waiter *w) {
  waiter **at = &pool->first;
  while (*at != w) at = &(*at)->next;
  *at = w->next;
  if (!*at) pool->end = at;
}

/* Everything is taken: waits. *pq is NULL for the right to make one. */
static tether_code wait_turn_locked(tether_pq_pool *pool, const tether_ctx *ctx, tether_pq **pq) {
  TETHER_SCOPED tether_ctx *wake = tether_ctx_with_cancel(ctx);
  waiter self = {.ctx = wake};
  *pool->end = &self;
  pool->end = &self.next;
  pthread_mutex_unlock(&pool->lock);
  (void)tether_ctx_wait(wake, TETHER_FOREVER);
  pthread_mutex_lock(&pool->lock);
  if (self.served) {
    *pq = self.pq;
    return TETHER_OK;
  }
  unlink_locked(pool, &self);
  tether_code code = tether_ctx_err(ctx);
  return code != TETHER_OK ? code : TETHER_RESOURCE_EXHAUSTED; /* the context could not be derived */
}

/* What the server has to say to an idle connection is a notice, or its end. */
static bool is_alive(tether_pq *pq) {
  for (int i = 0; i < 8; i++) { /* a server that goes on talking is alive */
    struct pollfd fd = {.fd = PQsocket(pq->conn), .events = POLLIN};
    if (fd.fd < 0) return false;
    if (poll(&fd, 1, 0) == 0) break;
    if (!PQconsumeInput(pq->conn)) return false;
    (void)PQisBusy(pq->conn); /* takes in what has come */
  }
  return tether_pq_is_usable(pq);
}

tether_code tether_pq_pool_take(tether_pq_pool *pool, const tether_ctx *ctx, tether_pq **pq) {
  tether_pq *found = NULL;
  tether_code code = tether_ctx_err(ctx);
  if (code != TETHER_OK) return code;
  pthread_mutex_lock(&pool->lock);
  if (pool->idle_count > 0)
    found = pool->idle[--pool->idle_count]; /* the one used last: its server's caches are warm */
  else if (pool->places < pool->max)
    pool->places++;
  else
    code = wait_turn_locked(pool, ctx, &found);
  pthread_mutex_unlock(&pool->lock);
  if (code != TETHER_OK) return code;
  if (found && !is_alive(found)) {
    tether_pq_close(found);
    found = NULL;
  }
  if (!found) code = tether_pq_open(ctx, &pool->options, &found);
  if (code == TETHER_OK)
    *pq = found;
  else
    free_place(pool, NULL);
  return code;
}

void tether_pq_pool_give(tether_pq_pool *pool, tether_pq *pq) {
  tether_pq_stop(pq);
  tth_pq_rollback(pq);
  if (!tether_pq_is_usable(pq)) {
    tether_pq_close(pq);
    pq = NULL;
  }
  free_place(pool, pq);
}
