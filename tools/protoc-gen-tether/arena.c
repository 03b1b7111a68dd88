#include "arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tth_arena_block {
  struct tth_arena_block *next;
  alignas(max_align_t) char bytes[];
};

void *tth_realloc(void *memory, size_t size) {
  memory = realloc(memory, size ? size : 1);
  if (memory == NULL) {
    fputs("protoc-gen-tether: out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

void *tth_arena_alloc(struct tth_arena *arena, size_t size) {
  struct tth_arena_block *block = tth_realloc(NULL, sizeof *block + size);
  memset(block, 0, sizeof *block + size);
  block->next = arena->blocks;
  arena->blocks = block;
  return block->bytes;
}

char *tth_arena_copy(struct tth_arena *arena, const char *text, size_t len) {
  char *copy = tth_arena_alloc(arena, len + 1);
  if (len > 0) memcpy(copy, text, len);
  return copy;
}

char *tth_arena_printf(struct tth_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  char *text = tth_arena_alloc(arena, (size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, format, again);
  va_end(again);
  va_end(args);
  return text;
}

void tth_arena_fini(struct tth_arena *arena) {
  while (arena->blocks != NULL) {
    struct tth_arena_block *block = arena->blocks;
    arena->blocks = block->next;
    free(block);
  }
}
