/* Memory that a thread keeps to use it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/reuse.h"

#include <pthread.h>
#include <string.h>

enum { SIZE = 1000 };

static void *get(void) {
  void *memory = tth_reuse_get(TTH_REUSE_CALL, SIZE);
  assert_non_null(memory);
  return memset(memory, 1, SIZE);
}

/* Under a sanitizer nothing is kept. */
static bool keeps(void) {
  tth_reuse_put(TTH_REUSE_CALL, get());
  return tth_reuse_count(TTH_REUSE_CALL) > 0;
}

static void what_a_thread_gives_back_it_gets_again(void **state) {
  (void)state;
  if (!keeps()) skip();
  void *memory = get();
  tth_reuse_put(TTH_REUSE_CALL, memory);
  assert_ptr_equal(get(), memory);
  tth_reuse_put(TTH_REUSE_CALL, memory);
}

static void kinds_do_not_mix(void **state) {
  (void)state;
  if (!keeps()) skip();
  size_t calls = tth_reuse_count(TTH_REUSE_CALL);
  void *stream = tth_reuse_get(TTH_REUSE_STREAM, SIZE / 2);
  assert_int_equal(tth_reuse_count(TTH_REUSE_CALL), calls);
  tth_reuse_put(TTH_REUSE_STREAM, stream);
  assert_int_equal(tth_reuse_count(TTH_REUSE_STREAM), 1);
}

static void a_thread_keeps_no_more_than_its_share(void **state) {
  (void)state;
  void *pieces[3 * TTH_REUSE_KEPT];
  for (int i = 0; i < 3 * TTH_REUSE_KEPT; i++) pieces[i] = get();
  for (int i = 0; i < 3 * TTH_REUSE_KEPT; i++)
    for (int k = 0; k < i; k++) assert_ptr_not_equal(pieces[i], pieces[k]);
  for (int i = 0; i < 3 * TTH_REUSE_KEPT; i++) tth_reuse_put(TTH_REUSE_CALL, pieces[i]);
  assert_true(tth_reuse_count(TTH_REUSE_CALL) <= TTH_REUSE_KEPT);
}

static void *take_and_give(void *data) {
  void **pieces = data;
  size_t before = tth_reuse_count(TTH_REUSE_CALL);
  for (int i = 0; i < 10; i++) tth_reuse_put(TTH_REUSE_CALL, pieces[i]);
  for (int i = 0; i < 10; i++) {
    pieces[i] = tth_reuse_get(TTH_REUSE_CALL, SIZE);
    memset(pieces[i], 2, SIZE);
  }
  for (int i = 0; i < 5; i++) tth_reuse_put(TTH_REUSE_CALL, pieces[i]);
  return (void *)before;
}

/* What it still keeps is freed at its end: a leak would be found by LeakSanitizer, or by valgrind. */
static void threads_keep_their_own_and_may_take_each_others(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    void *pieces[10], *before = NULL;
    pthread_t thread;
    for (int i = 0; i < 10; i++) pieces[i] = get();
    assert_int_equal(pthread_create(&thread, NULL, take_and_give, pieces), 0);
    assert_int_equal(pthread_join(thread, &before), 0);
    assert_null(before);
    for (int i = 5; i < 10; i++) tth_reuse_put(TTH_REUSE_CALL, pieces[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_thread_gives_back_it_gets_again),
      cmocka_unit_test(kinds_do_not_mix),
      cmocka_unit_test(a_thread_keeps_no_more_than_its_share),
      cmocka_unit_test(threads_keep_their_own_and_may_take_each_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
