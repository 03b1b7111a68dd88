/* arena.h: memory that lives as long as the run.
 *
 * The generator is a short-lived process, so running out of memory ends it: a message on standard error, exit 1.
 * Nothing here returns NULL. */
#ifndef TTH_ARENA_H
#define TTH_ARENA_H

#include <stddef.h>

struct tth_arena {
  struct tth_arena_block *blocks;
};

void *tth_arena_alloc(struct tth_arena *arena, size_t size); /* zeroed */
char *tth_arena_copy(struct tth_arena *arena, const char *text, size_t len);
char *tth_arena_printf(struct tth_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tth_arena_fini(struct tth_arena *arena);

/* realloc that never fails. */
void *tth_realloc(void *memory, size_t size);

#endif
