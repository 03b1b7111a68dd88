/* Memory of one call.
 *
 * Happy path: a piece is cut from the current chunk by moving `next`. When it does not fit, a new chunk is
 * begun, or, if it would take more than a quarter of one, it becomes a block: a malloc of its own in a list.
 * So at most a quarter of a chunk is ever left unused.
 *
 * Blocks made through the allocator view can be given back. The view's free must tell them from pieces of a
 * chunk without a header on every small piece: pieces are at multiples of 16, view blocks are 8 past one.
 *
 * Failure: malloc fails or the cap would be passed: NULL, and `refused` is set; the arena stays usable.
 *
 * Under AddressSanitizer the unused part of every chunk is poisoned, so running over the end of a piece is
 * reported as it would be with malloc. */
#include "rpc/arena.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/large.h"

#if defined(__SANITIZE_ADDRESS__)
#define TTH_ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TTH_ARENA_ASAN 1
#endif
#endif

#ifdef TTH_ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { CHUNK_FIRST = 1024, CHUNK_MAX = 64 * 1024 };

typedef struct tth_arena_chunk {
  _Alignas(16) struct tth_arena_chunk *older;
  size_t size;
} tth_arena_chunk;

typedef struct tth_arena_block {
  struct tth_arena_block *next;
  struct tth_arena_block **link; /* what points to this block */
  size_t cost;
} tth_arena_block;

/* Where the memory of a block begins. */
enum { BLOCK_ALIGNED = 32, BLOCK_OF_VIEW = 24 };
_Static_assert(sizeof(tth_arena_block) <= BLOCK_OF_VIEW, "the header fits before either");

void tth_arena_init(tth_arena *arena, void *first, size_t first_size, size_t cap_bytes) {
  *arena = (tth_arena){.chunk_size = CHUNK_FIRST, .cap_bytes = cap_bytes};
  size_t skip = (size_t)(-(uintptr_t)first % TTH_ARENA_ALIGNMENT);
  if (first_size <= skip) return;
  arena->first = (char *)first + skip;
  arena->first_size = first_size - skip;
  arena->next = arena->first;
  arena->room_bytes = arena->first_size;
  ASAN_POISON_MEMORY_REGION(arena->first, arena->first_size);
}

void tth_arena_fini(tth_arena *arena) {
  while (arena->blocks) {
    tth_arena_block *block = arena->blocks;
    arena->blocks = block->next;
    tth_large_free(block);
  }
  while (arena->chunks) {
    tth_arena_chunk *chunk = arena->chunks;
    arena->chunks = chunk->older;
    ASAN_UNPOISON_MEMORY_REGION(chunk, chunk->size);
    free(chunk);
  }
  ASAN_UNPOISON_MEMORY_REGION(arena->first, arena->first_size);
  *arena = (tth_arena){0};
}

/* Counts `cost` against the cap. */
static bool charge(tth_arena *arena, size_t cost) {
  if (arena->used_bytes > arena->cap_bytes || cost > arena->cap_bytes - arena->used_bytes) {
    arena->refused = true;
    return false;
  }
  arena->used_bytes += cost;
  return true;
}

static void *refuse(tth_arena *arena, size_t cost) {
  arena->used_bytes -= cost;
  arena->refused = true;
  return NULL;
}

/* A block with room for `size` bytes `offset` after its start; its cost has been charged. */
static void *block_alloc(tth_arena *arena, size_t size, size_t offset, size_t cost) {
  tth_arena_block *block = size > SIZE_MAX - offset ? NULL : tth_large_alloc(offset + size);
  if (!block) return refuse(arena, cost);
  block->next = arena->blocks;
  block->link = &arena->blocks;
  block->cost = cost;
  if (block->next) block->next->link = &block->next;
  arena->blocks = block;
  return (char *)block + offset;
}

static bool chunk_begin(tth_arena *arena) {
  tth_arena_chunk *chunk = malloc(arena->chunk_size);
  if (!chunk) return false;
  chunk->older = arena->chunks;
  chunk->size = arena->chunk_size;
  arena->chunks = chunk;
  arena->next = (char *)(chunk + 1);
  arena->room_bytes = chunk->size - sizeof *chunk;
  if (arena->chunk_size < CHUNK_MAX) arena->chunk_size *= 2;
  ASAN_POISON_MEMORY_REGION(arena->next, arena->room_bytes);
  return true;
}

/* Memory that is not zeroed. */
static void *piece_alloc(tth_arena *arena, size_t size) {
  size_t cost = tth_arena_cost(size);
  if (!charge(arena, cost)) return NULL;
  if (cost > arena->room_bytes) {
    if (cost > arena->chunk_size / 4) return block_alloc(arena, size, BLOCK_ALIGNED, cost);
    if (!chunk_begin(arena)) return refuse(arena, cost);
  }
  char *piece = arena->next;
  arena->next += cost;
  arena->room_bytes -= cost;
  ASAN_UNPOISON_MEMORY_REGION(piece, size);
  return piece;
}

void *tth_arena_alloc(tth_arena *arena, size_t size) {
  void *piece = piece_alloc(arena, size ? size : 1);
  return piece ? memset(piece, 0, size ? size : 1) : NULL;
}

static void *view_alloc(void *data, size_t size) {
  tth_arena *arena = data;
  if (size < TTH_ARENA_BLOCK_MIN) return piece_alloc(arena, size ? size : 1);
  size_t cost = tth_arena_cost(size);
  return charge(arena, cost) ? block_alloc(arena, size, BLOCK_OF_VIEW, cost) : NULL;
}

static void view_free(void *data, void *memory) {
  if ((uintptr_t)memory % TTH_ARENA_ALIGNMENT == 0) return; /* part of a chunk, or NULL */
  tth_arena *arena = data;
  tth_arena_block *block = (tth_arena_block *)((char *)memory - BLOCK_OF_VIEW);
  *block->link = block->next;
  if (block->next) block->next->link = block->link;
  arena->used_bytes -= block->cost;
  tth_large_free(block);
}

ProtobufCAllocator tth_arena_allocator(tth_arena *arena) {
  return (ProtobufCAllocator){.alloc = view_alloc, .free = view_free, .allocator_data = arena};
}
