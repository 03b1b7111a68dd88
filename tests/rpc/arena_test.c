/* Memory of one call: what it promises about alignment, zeroes, its cap, and giving back. */
#include "rpc/arena.h"

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

/* malloc must be able to fail, also where a sanitizer would rather stop. */
TETHER_API const char *__asan_default_options(void);
TETHER_API const char *__tsan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static bool zero(const char *at, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (at[i]) return false;
  return true;
}

static void memory_is_zeroed_aligned_and_distinct(void **state) {
  (void)state;
  enum { N = 600 };
  char first[1000];
  memset(first, 0xAA, sizeof first);
  tth_arena arena;
  tth_arena_init(&arena, first + 1, sizeof first - 1, SIZE_MAX);
  char *pieces[N];
  size_t sizes[N], total = 0;
  for (size_t i = 0; i < N; i++) {
    sizes[i] = i * 37 % 1500;
    pieces[i] = tth_arena_alloc(&arena, sizes[i]);
    assert_non_null(pieces[i]);
    assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
    assert_true(zero(pieces[i], sizes[i]));
    memset(pieces[i], (int)(i | 1), sizes[i]);
    total += tth_arena_cost(sizes[i]);
  }
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < sizes[i]; j++) assert_int_equal((unsigned char)pieces[i][j], (i | 1) & 0xff);
  assert_int_equal(arena.used_bytes, total);
  tth_arena_fini(&arena);
}

static void small_calls_stay_in_the_memory_of_the_owner(void **state) {
  (void)state;
  _Alignas(16) char first[512];
  tth_arena arena;
  tth_arena_init(&arena, first, sizeof first, SIZE_MAX);
  for (int i = 0; i < 512 / 32; i++) {
    char *piece = tth_arena_alloc(&arena, 32);
    assert_true(piece >= first && piece + 32 <= first + sizeof first);
  }
  char *next = tth_arena_alloc(&arena, 1);
  assert_true(next < first || next >= first + sizeof first);
  tth_arena_fini(&arena);
  memset(first, 1, sizeof first); /* the owner's again */
}

static void works_without_memory_of_the_owner(void **state) {
  (void)state;
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  assert_non_null(tth_arena_alloc(&arena, 0));
  assert_non_null(tth_arena_alloc(&arena, 1));
  tth_arena_fini(&arena);
  char tiny[3];
  tth_arena_init(&arena, tiny, sizeof tiny, SIZE_MAX);
  assert_non_null(tth_arena_alloc(&arena, 3));
  tth_arena_fini(&arena);
}

static void the_cap_is_exact(void **state) {
  (void)state;
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, 1600);
  for (int i = 0; i < 100; i++) assert_non_null(tth_arena_alloc(&arena, 9));
  assert_int_equal(arena.used_bytes, 1600);
  assert_false(arena.refused);
  assert_null(tth_arena_alloc(&arena, 1));
  assert_true(arena.refused);
  assert_int_equal(arena.used_bytes, 1600);
  arena.cap_bytes = 1616;
  assert_non_null(tth_arena_alloc(&arena, 1));
  tth_arena_fini(&arena);
}

static void too_much_is_refused_and_the_arena_goes_on(void **state) {
  (void)state;
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  ProtobufCAllocator view = tth_arena_allocator(&arena);
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 64, PTRDIFF_MAX, SIZE_MAX / 4};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    arena.refused = false;
    assert_null(tth_arena_alloc(&arena, sizes[i]));
    assert_true(arena.refused);
    arena.refused = false;
    assert_null(view.alloc(view.allocator_data, sizes[i]));
    assert_true(arena.refused);
    assert_int_equal(arena.used_bytes, 0);
  }
  assert_non_null(tth_arena_alloc(&arena, 100));
  assert_non_null(view.alloc(view.allocator_data, 1000));
  tth_arena_fini(&arena);
}

/* A sequence of large temporaries, as unpacking many messages in a row makes them, takes the room of one. */
static void large_pieces_of_the_view_are_given_back(void **state) {
  (void)state;
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, 10000);
  ProtobufCAllocator view = tth_arena_allocator(&arena);
  for (int i = 0; i < 1000; i++) {
    char *large = view.alloc(view.allocator_data, 4096), *other = view.alloc(view.allocator_data, TTH_ARENA_BLOCK_MIN);
    assert_non_null(large);
    assert_non_null(other);
    assert_int_equal((uintptr_t)large % 8, 0);
    memset(large, 1, 4096);
    memset(other, 1, TTH_ARENA_BLOCK_MIN);
    view.free(view.allocator_data, i % 2 ? large : other);
    view.free(view.allocator_data, i % 2 ? other : large);
  }
  assert_int_equal(arena.used_bytes, 0);
  assert_null(arena.blocks);
  tth_arena_fini(&arena);
}

/* Freed in any order, with those not freed left to the end of the arena (LeakSanitizer sees to it). */
static void blocks_can_be_given_back_in_any_order(void **state) {
  (void)state;
  enum { N = 64 };
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  ProtobufCAllocator view = tth_arena_allocator(&arena);
  char *blocks[N];
  size_t left = 0;
  for (size_t i = 0; i < N; i++) blocks[i] = view.alloc(view.allocator_data, 600 + i);
  for (size_t i = 0; i < N; i++) {
    size_t at = i * 23 % N;
    if (at % 5 == 0)
      left += tth_arena_cost(600 + at);
    else
      view.free(view.allocator_data, blocks[at]);
  }
  assert_int_equal(arena.used_bytes, left);
  for (size_t i = 0; i < N; i += 5) memset(blocks[i], 1, 600 + i);
  tth_arena_fini(&arena);
}

static void small_pieces_of_the_view_stay(void **state) {
  (void)state;
  tth_arena arena;
  tth_arena_init(&arena, NULL, 0, SIZE_MAX);
  ProtobufCAllocator view = tth_arena_allocator(&arena);
  char *kept = view.alloc(view.allocator_data, 40), *freed = view.alloc(view.allocator_data, 40);
  memset(kept, 7, 40);
  view.free(view.allocator_data, freed);
  view.free(view.allocator_data, NULL);
  char *next = view.alloc(view.allocator_data, 40);
  assert_ptr_not_equal(next, kept);
  assert_int_equal(kept[39], 7);
  assert_int_equal(arena.used_bytes, 3 * tth_arena_cost(40));
  tth_arena_fini(&arena);
}

static void an_arena_can_begin_again(void **state) {
  (void)state;
  char first[64];
  tth_arena arena;
  for (int i = 0; i < 10; i++) {
    tth_arena_init(&arena, first, sizeof first, SIZE_MAX);
    for (int j = 0; j < 100; j++) assert_non_null(tth_arena_alloc(&arena, (size_t)j * 100));
    tth_arena_fini(&arena);
  }
  tth_arena_fini(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_is_zeroed_aligned_and_distinct),
      cmocka_unit_test(small_calls_stay_in_the_memory_of_the_owner),
      cmocka_unit_test(works_without_memory_of_the_owner),
      cmocka_unit_test(the_cap_is_exact),
      cmocka_unit_test(too_much_is_refused_and_the_arena_goes_on),
      cmocka_unit_test(large_pieces_of_the_view_are_given_back),
      cmocka_unit_test(blocks_can_be_given_back_in_any_order),
      cmocka_unit_test(small_pieces_of_the_view_stay),
      cmocka_unit_test(an_arena_can_begin_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
