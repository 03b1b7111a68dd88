/* The stream table. Removal moves later entries of the cluster back instead of leaving markers, so clusters must be
 * short: ids are mixed (MurmurHash3's finaliser; id modulo capacity would make one cluster of all streams in flight;
 * measured: 13 % of a client's time at 256). The peer chooses the ids, so the mix begins with a random number: else it
 * could put all of them in one place. */
#include "rpc/streams.h"

#include <stdlib.h>

#include "rpc/session.h"
#include "rpc/trace.h"

static size_t home(const tth_streams *streams, uint32_t id) {
  uint32_t mixed = id + streams->seed;
  mixed = (mixed ^ mixed >> 16) * UINT32_C(0x85ebca6b);
  mixed = (mixed ^ mixed >> 13) * UINT32_C(0xc2b2ae35);
  return (mixed ^ mixed >> 16) & (streams->capacity - 1);
}

struct tth_stream *tth_streams_find(const tth_streams *streams, uint32_t id) {
  if (streams->count == 0) return NULL;
  for (size_t i = home(streams, id);; i = (i + 1) & (streams->capacity - 1)) {
    if (!streams->slots[i]) return NULL;
    if (streams->slots[i]->id == id) return streams->slots[i];
  }
}

static void place(tth_streams *streams, struct tth_stream *stream) {
  size_t i = home(streams, stream->id);
  while (streams->slots[i]) i = (i + 1) & (streams->capacity - 1);
  streams->slots[i] = stream;
}

static bool grow(tth_streams *streams) {
  tth_streams grown = {.capacity = streams->capacity ? 2 * streams->capacity : 16, .seed = streams->seed};
  if (streams->capacity == 0) tth_random(&grown.seed, sizeof grown.seed);
  grown.slots = calloc(grown.capacity, sizeof(struct tth_stream *));
  if (!grown.slots) return false;
  for (size_t i = 0; i < streams->capacity; i++)
    if (streams->slots[i]) place(&grown, streams->slots[i]);
  grown.count = streams->count;
  free(streams->slots);
  *streams = grown;
  return true;
}

bool tth_streams_reserve(tth_streams *streams, size_t more) {
  while (4 * (streams->count + more) > 3 * streams->capacity)
    if (!grow(streams)) return false;
  return true;
}

void tth_streams_add(tth_streams *streams, struct tth_stream *stream) {
  place(streams, stream);
  streams->count++;
}

void tth_streams_remove(tth_streams *streams, struct tth_stream *stream) {
  size_t mask = streams->capacity - 1, hole = home(streams, stream->id);
  while (streams->slots[hole] != stream) hole = (hole + 1) & mask;
  for (size_t i = (hole + 1) & mask; streams->slots[i]; i = (i + 1) & mask) {
    /* The entry at i may fill the hole unless its home lies cyclically in (hole, i]. */
    size_t h = home(streams, streams->slots[i]->id);
    if (((i - h) & mask) < ((i - hole) & mask)) continue;
    streams->slots[hole] = streams->slots[i];
    hole = i;
  }
  streams->slots[hole] = NULL;
  streams->count--;
}

struct tth_stream *tth_streams_any(const tth_streams *streams) {
  if (streams->count == 0) return NULL;
  for (size_t i = 0; i < streams->capacity; i++)
    if (streams->slots[i]) return streams->slots[i];
  return NULL;
}

void tth_streams_fini(tth_streams *streams) {
  free(streams->slots);
  *streams = (tth_streams){0};
}
