/* Counts what the program allocates, and lets allocations and thread starts fail on request. It replaces
 * malloc, so it belongs into at most one file of a program. Where a sanitizer owns malloc, counting goes
 * through its hooks and nothing can be made to fail (CTX_ALLOC_CAN_FAIL is not defined). */
#ifndef TESTS_SUPPORT_CTX_ALLOC_H
#define TESTS_SUPPORT_CTX_ALLOC_H

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>

#include "tests/support/ctx_test.h"

static atomic_long ctx_alloc_count, ctx_alloc_bytes, ctx_free_count;
static atomic_long ctx_alloc_fail_after = -1; /* -1: never; else how many still succeed */

#if defined(CTX_TEST_SANITIZED)

int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static void ctx_alloc_malloc_hook(const volatile void *p, size_t size) {
  (void)p;
  atomic_fetch_add(&ctx_alloc_count, 1);
  atomic_fetch_add(&ctx_alloc_bytes, (long)size);
}

static void ctx_alloc_free_hook(const volatile void *p) {
  if (p) atomic_fetch_add(&ctx_free_count, 1);
}

static inline void ctx_alloc_open(void) {
  __sanitizer_install_malloc_and_free_hooks(ctx_alloc_malloc_hook, ctx_alloc_free_hook);
}

#else

#define CTX_ALLOC_CAN_FAIL 1

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

static inline bool ctx_alloc_allowed(void) {
  long left = atomic_load(&ctx_alloc_fail_after);
  while (left > 0 && !atomic_compare_exchange_weak(&ctx_alloc_fail_after, &left, left - 1)) continue;
  if (left != 0) return true;
  errno = ENOMEM;
  return false;
}

static inline void *ctx_alloc_note(void *p) {
  if (p) {
    atomic_fetch_add(&ctx_alloc_count, 1);
    atomic_fetch_add(&ctx_alloc_bytes, (long)malloc_usable_size(p));
  }
  return p;
}

void *malloc(size_t size) { return ctx_alloc_allowed() ? ctx_alloc_note(__libc_malloc(size)) : NULL; }

void *calloc(size_t count, size_t size) {
  return ctx_alloc_allowed() ? ctx_alloc_note(__libc_calloc(count, size)) : NULL;
}

void *realloc(void *p, size_t size) { return ctx_alloc_allowed() ? ctx_alloc_note(__libc_realloc(p, size)) : NULL; }

void *memalign(size_t alignment, size_t size) {
  return ctx_alloc_allowed() ? ctx_alloc_note(__libc_memalign(alignment, size)) : NULL;
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **p, size_t alignment, size_t size) {
  void *memory = memalign(alignment, size);
  if (!memory) return ENOMEM;
  *p = memory;
  return 0;
}

void free(void *p) {
  if (p) atomic_fetch_add(&ctx_free_count, 1);
  __libc_free(p);
}

static inline void ctx_alloc_open(void) {}

#endif

/* The next `count` allocations succeed, those after fail, until ctx_alloc_allow. */
static inline void ctx_alloc_fail(long count) { atomic_store(&ctx_alloc_fail_after, count); }
static inline void ctx_alloc_allow(void) { atomic_store(&ctx_alloc_fail_after, -1); }

#endif
