/* Happy path: put pushes on a list of the thread's own, get pops from it; no locks. A thread that only gives back keeps
 * its share and frees the rest; one that only takes calls malloc. A key's destructor frees the lists when a thread
 * ends. */
#include "rpc/reuse.h"

#include <pthread.h>
#include <stdlib.h>

#if !TTH_REUSES

void *tth_reuse_get(tth_reuse kind, size_t size) {
  (void)kind;
  return malloc(size);
}

void tth_reuse_put(tth_reuse kind, void *memory) {
  (void)kind;
  free(memory);
}

size_t tth_reuse_count(tth_reuse kind) {
  (void)kind;
  return 0;
}

#else

struct piece {
  struct piece *next;
};

struct shelf {
  struct piece *first;
  size_t count;
};

static _Thread_local struct shelf shelves[TTH_REUSE_KINDS];
static _Thread_local bool will_clear; /* at the end of this thread */

static pthread_key_t key;
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void clear(void *unused) {
  (void)unused;
  for (int kind = 0; kind < TTH_REUSE_KINDS; kind++) {
    for (struct piece *piece; (piece = shelves[kind].first);) {
      shelves[kind].first = piece->next;
      free(piece);
    }
    shelves[kind].count = 0;
  }
  will_clear = false;
}

static void make_key(void) { has_key = pthread_key_create(&key, clear) == 0; }

static bool clear_at_end(void) {
  pthread_once(&once, make_key);
  will_clear = has_key && pthread_setspecific(key, shelves) == 0;
  return will_clear;
}

void *tth_reuse_get(tth_reuse kind, size_t size) {
  struct shelf *shelf = &shelves[kind];
  struct piece *piece = shelf->first;
  if (!piece) return malloc(size);
  shelf->first = piece->next;
  shelf->count--;
  return piece;
}

void tth_reuse_put(tth_reuse kind, void *memory) {
  struct shelf *shelf = &shelves[kind];
  struct piece *piece = memory;
  if (shelf->count >= TTH_REUSE_KEPT || (!will_clear && !clear_at_end())) {
    free(memory);
    return;
  }
  piece->next = shelf->first;
  shelf->first = piece;
  shelf->count++;
}

size_t tth_reuse_count(tth_reuse kind) { return shelves[kind].count; }

#endif
