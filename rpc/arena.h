/* rpc/arena.h: memory that lives as long as one call.
 *
 * Allocation moves a pointer; nothing is given back before tth_arena_fini. The owner supplies the first piece
 * of memory, so a small call allocates nothing from the system. What does not fit there comes from chunks of
 * 4 KiB doubling to 64 KiB, and large pieces get a block of their own.
 *
 * A cap bounds the sum of what is handed out, counted by tth_arena_cost.
 *
 * Not thread-safe: the owner serialises every function here, the allocator view included. */
#ifndef TETHER_RPC_ARENA_H
#define TETHER_RPC_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <tether/base.h>

#define TTH_ARENA_ALIGNMENT ((size_t)16)
_Static_assert(_Alignof(max_align_t) <= 16, "tth_arena_alloc promises memory aligned for any type");

/* Through the allocator view, pieces of at least this size are given back to the system by its `free`. */
#define TTH_ARENA_BLOCK_MIN ((size_t)512)

typedef struct tth_arena {
  char *next; /* free memory of the current chunk */
  size_t room_bytes;
  char *first; /* the owner's memory */
  size_t first_size;
  struct tth_arena_chunk *chunks; /* newest first */
  struct tth_arena_block *blocks;
  size_t chunk_size; /* of the next chunk */
  size_t used_bytes; /* handed out and not given back */
  size_t cap_bytes;
  bool refused; /* an allocation failed, for want of memory or because of the cap */
} tth_arena;

/* Begins with `first_size` bytes at `first` (may be NULL and 0), which must outlive the arena. */
void tth_arena_init(tth_arena *arena, void *first, size_t first_size, size_t cap_bytes);

/* Releases everything allocated. The arena may be initialised again. */
void tth_arena_fini(tth_arena *arena);

/* Zeroed memory aligned for any type; at least one byte. NULL without memory or beyond the cap. */
TETHER_MUST_USE void *tth_arena_alloc(tth_arena *arena, size_t size);

/* What an allocation of `size` bytes counts against the cap, by either route. */
static inline size_t tth_arena_cost(size_t size) {
  if (size > SIZE_MAX - TTH_ARENA_ALIGNMENT) return SIZE_MAX;
  return size == 0 ? TTH_ARENA_ALIGNMENT : (size + TTH_ARENA_ALIGNMENT - 1) & ~(TTH_ARENA_ALIGNMENT - 1);
}

/* The arena as protobuf-c sees it; valid as long as the arena. Memory is not zeroed and aligned to 8 bytes, all
 * that messages need. Its `free` gives back pieces of TTH_ARENA_BLOCK_MIN and more (protobuf-c's large
 * temporaries) and does nothing for smaller ones. */
ProtobufCAllocator tth_arena_allocator(tth_arena *arena);

#endif
