/* Happy path: free puts a piece into one of a few places, alloc takes the smallest that is large enough, and not more
 * than twice so. When the places are taken, smaller pieces give way to larger ones. The lock covers the places alone:
 * malloc and free run without it. */
#include "rpc/large.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
/* under mu */
static struct place {
  void *memory; /* NULL: free */
  size_t size;
} places[TTH_LARGE_PLACES + 1];
static size_t kept;

/* Takes what is there; the place is free. */
static void *take_locked(struct place *place) {
  void *memory = place->memory;
  kept -= place->size;
  *place = (struct place){0};
  return memory;
}

/* The smallest piece kept that is large enough; NULL: there is none. */
static void *take(size_t size) {
  struct place *best = NULL;
  if (size < TTH_LARGE_LEAST) return NULL;
  pthread_mutex_lock(&mu);
  for (struct place *place = places; place < places + TTH_LARGE_PLACES; place++)
    if (place->size >= size && place->size / 2 <= size && (!best || place->size < best->size)) best = place;
  void *memory = best ? take_locked(best) : NULL;
  pthread_mutex_unlock(&mu);
  return memory;
}

void *tth_large_alloc(size_t size) {
  void *memory = take(size);
  return memory ? memory : malloc(size);
}

void *tth_large_grow(void *memory, size_t used, size_t *size, size_t most) {
  void *grown = take(most);
  if (!grown) return realloc(memory, *size);
  if (used) memcpy(grown, memory, used);
  free(memory);
  *size = most;
  return grown;
}

/* A place for `size` bytes: *gone, if any, has given way. NULL: there is none. */
static struct place *make_room_locked(size_t size, void **gone) {
  struct place *empty = NULL, *smallest = NULL;
  for (struct place *place = places; place < places + TTH_LARGE_PLACES; place++) {
    if (!place->memory)
      empty = place;
    else if (!smallest || place->size < smallest->size)
      smallest = place;
  }
  if (empty && kept + size <= TTH_LARGE_KEPT) return empty;
  if (!smallest || smallest->size >= size || kept - smallest->size + size > TTH_LARGE_KEPT) return NULL;
  *gone = take_locked(smallest);
  return smallest;
}

void tth_large_free(void *memory) {
  size_t size = memory && TTH_LARGE_PLACES > 0 ? malloc_usable_size(memory) : 0;
  void *gone = memory;
  if (size >= TTH_LARGE_LEAST) {
    void *smaller = NULL;
    pthread_mutex_lock(&mu);
    struct place *place = make_room_locked(size, &smaller);
    if (place) {
      *place = (struct place){.memory = memory, .size = size};
      kept += size;
      gone = smaller;
    }
    pthread_mutex_unlock(&mu);
  }
  free(gone);
}

void tth_large_clear(void) {
  for (struct place *place = places; place < places + TTH_LARGE_PLACES; place++) {
    pthread_mutex_lock(&mu);
    void *memory = place->memory ? take_locked(place) : NULL;
    pthread_mutex_unlock(&mu);
    free(memory);
  }
}

size_t tth_large_kept(void) {
  pthread_mutex_lock(&mu);
  size_t bytes = kept;
  pthread_mutex_unlock(&mu);
  return bytes;
}
