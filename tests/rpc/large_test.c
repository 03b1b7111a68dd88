/* Memory of long messages that is kept for the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/large.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1024)

static void *get(size_t size) {
  void *memory = tth_large_alloc(size);
  assert_non_null(memory);
  assert_true(malloc_usable_size(memory) >= size);
  return memset(memory, 1, size);
}

/* Under a sanitizer nothing is. */
static bool keeps(void) {
  tth_large_clear();
  tth_large_free(get(100 * KIB));
  bool kept = tth_large_kept() > 0;
  tth_large_clear();
  assert_int_equal(tth_large_kept(), 0);
  return kept;
}

static void a_large_piece_is_used_again(void **state) {
  (void)state;
  if (!keeps()) skip();
  void *memory = get(1000 * KIB);
  tth_large_free(memory);
  assert_ptr_equal(get(900 * KIB), memory);
  assert_int_equal(tth_large_kept(), 0);
  tth_large_free(memory);
  tth_large_clear();
}

static void a_piece_far_too_large_is_not_taken(void **state) {
  (void)state;
  if (!keeps()) skip();
  tth_large_free(get(1000 * KIB));
  size_t kept = tth_large_kept();
  void *small = get(100 * KIB);
  assert_int_equal(tth_large_kept(), kept);
  tth_large_free(small);
  void *best = get(99 * KIB); /* the smaller of two that would do */
  assert_ptr_equal(best, small);
  tth_large_free(best);
  tth_large_clear();
}

static void small_pieces_are_mallocs(void **state) {
  (void)state;
  tth_large_clear();
  for (size_t size = 1; size < TTH_LARGE_LEAST; size = 3 * size + 1) tth_large_free(get(size));
  tth_large_free(NULL);
  assert_int_equal(tth_large_kept(), 0);
}

static void no_more_is_kept_than_announced_and_larger_pieces_win(void **state) {
  (void)state;
  if (!keeps()) skip();
  void *pieces[64];
  for (int i = 0; i < 64; i++) pieces[i] = get(64 * KIB + (size_t)i);
  for (int i = 0; i < 64; i++) {
    tth_large_free(pieces[i]);
    assert_true(tth_large_kept() <= TTH_LARGE_KEPT);
  }
  size_t small = tth_large_kept();
  for (int i = 0; i < 64; i++) pieces[i] = get(2048 * KIB);
  for (int i = 0; i < 64; i++) {
    tth_large_free(pieces[i]);
    assert_true(tth_large_kept() <= TTH_LARGE_KEPT);
  }
  assert_true(tth_large_kept() > 2 * small);
  tth_large_free(get(TTH_LARGE_KEPT + KIB)); /* larger than all that may be kept */
  assert_true(tth_large_kept() <= TTH_LARGE_KEPT);
  tth_large_clear();
}

static void growing_keeps_the_contents(void **state) {
  (void)state;
  for (int round = 0; round < 3; round++) {
    uint8_t *memory = NULL;
    size_t used = 0, size = 10;
    for (; used < 3000 * KIB; size = 2 * used) {
      memory = tth_large_grow(memory, used, &size, 3000 * KIB);
      assert_non_null(memory);
      assert_true(malloc_usable_size(memory) >= size && size > used);
      for (size_t i = 0; i < used; i++)
        if (memory[i] != (uint8_t)(i * 7)) fail_msg("byte %zu", i);
      for (; used < size; used++) memory[used] = (uint8_t)(used * 7);
    }
    tth_large_free(memory);
  }
  tth_large_clear();
}

static void what_grows_goes_to_a_piece_that_is_kept(void **state) {
  (void)state;
  if (!keeps()) skip();
  void *kept = get(1000 * KIB), *grown = malloc(10);
  size_t size = 20;
  tth_large_free(kept);
  assert_ptr_equal(tth_large_grow(grown, 10, &size, 1000 * KIB), kept);
  assert_int_equal(size, 1000 * KIB);
  tth_large_free(kept);
  tth_large_clear();
}

static void *take_and_give(void *data) {
  for (unsigned i = 0, random = (unsigned)(uintptr_t)data; i < 3000; i++) {
    void *pieces[4];
    for (int k = 0; k < 4; k++) {
      random = random * 1664525 + 1013904223;
      size_t size = 32 * KIB + (random >> 12) % (512 * KIB);
      pieces[k] = tth_large_alloc(size);
      if (pieces[k]) memset(pieces[k], k, 64);
    }
    for (int k = 0; k < 4; k++) {
      if (pieces[k] && ((char *)pieces[k])[63] != k) return "a piece was given twice";
      tth_large_free(pieces[k]);
    }
    if (random >> 26 == 0) tth_large_clear();
  }
  return NULL;
}

static void no_piece_has_two_owners(void **state) {
  (void)state;
  pthread_t threads[3];
  for (uintptr_t i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
  for (int i = 0; i < 3; i++) {
    void *wrong = NULL;
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    if (wrong) fail_msg("%s", (char *)wrong);
  }
  assert_true(tth_large_kept() <= TTH_LARGE_KEPT);
  tth_large_clear();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_large_piece_is_used_again),
      cmocka_unit_test(a_piece_far_too_large_is_not_taken),
      cmocka_unit_test(small_pieces_are_mallocs),
      cmocka_unit_test(no_more_is_kept_than_announced_and_larger_pieces_win),
      cmocka_unit_test(growing_keeps_the_contents),
      cmocka_unit_test(what_grows_goes_to_a_piece_that_is_kept),
      cmocka_unit_test(no_piece_has_two_owners),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
