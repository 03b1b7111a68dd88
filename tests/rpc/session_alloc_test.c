/* What a session has taken on needs no more memory to leave: nobody would try again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "tests/support/alloc_fault.h"
#include "tests/support/session_pair.h"

static void opened_calls_leave_without_memory(void **state) {
  (void)state;
  static uint8_t batch[65536];
  for (size_t count = 1; count <= TST_CALLS; count *= 2) {
    tst_pair *pair = tst_pair_new(NULL, NULL);
    for (size_t i = 0; i < count; i++) (void)tst_pair_call(pair);
    tst_alloc_fail(0, INT_MAX);
    size_t len = tth_session_fill(pair->session[TTH_CLIENT], 0, batch, sizeof batch);
    tst_alloc_fail(INT_MAX, 0);
    assert_int_equal(len, count * (TTH_FRAME_HEADER + 4));
    tst_pair_free(pair);
  }
}

static void a_call_without_memory_is_not_opened(void **state) {
  (void)state;
  tst_pair *pair = tst_pair_new(NULL, NULL);
  tth_session *session = pair->session[TTH_CLIENT];
  size_t refused = 0;
  tth_stream *stream = NULL;
  for (int from = 0; !stream; from++, refused += !stream) {
    tth_out *out = tth_out_new(TTH_FRAME_HEADER, false);
    assert_non_null(out);
    tth_frame_put(out->data, 0, TTH_HEADERS, 0, 0);
    tst_alloc_fail(from, 1);
    stream = tth_session_open(session, pair, out);
    tst_alloc_fail(INT_MAX, 0);
    if (!stream) tth_out_free(out);
    assert_int_equal(tth_session_stream_count(session), stream ? 1 : 0);
  }
  assert_true(refused >= 1); /* the table; the stream too, unless one is used again */
  tst_pair_free(pair);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opened_calls_leave_without_memory),
      cmocka_unit_test(a_call_without_memory_is_not_opened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
