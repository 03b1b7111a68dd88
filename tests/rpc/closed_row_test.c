/* A handler's answer may wait until the streams of its calls are gone, and leaves on the very thread that learns it of
 * the last one. So when that is told, everything about the call is on record: its row, its client's counters, and what
 * its client's interceptors count. */
#include <stdlib.h>
#include <tether/interceptor.h>

#include "rpc/recorder.h"
#include "tests/support/mem_bank.h"
#include "tests/support/rpc_test.h"

static struct seen {
  tth_recorder *recorder;
  tether_client *client;
  tether_client_stats stats;
  size_t legs;
  int hooks, told;
  int hooks_then; /* how many had run when it was told */
} seen;

static void on_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)call, (void)summary, (void)state;
  seen.hooks++;
}

static const tether_interceptor interceptor = {.end = on_end};
static const tether_interceptor *const interceptors[] = {&interceptor, NULL};

static void on_closed(void *data) {
  Tether__V1__Hop hop = TETHER__V1__HOP__INIT;
  ProtobufCBinaryData bytes = {0};
  (void)data;
  seen.told++;
  seen.hooks_then = seen.hooks;
  tether_client_get_stats(seen.client, &seen.stats);
  assert_true(tth_recorder_pack(seen.recorder, &hop, &bytes));
  Tether__V1__Hop *read = tether__v1__hop__unpack(NULL, bytes.len, bytes.data);
  assert_non_null(read);
  seen.legs = read->n_legs;
  tether__v1__hop__free_unpacked(read, NULL);
  free(bytes.data);
}

static const char policy[] =
    "{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 2, \"initialBackoff\": \"0.1s\","
    " \"maxBackoff\": \"1s\", \"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"ABORTED\"]}}]}";

static void answer(tether_call *call) {
  (void)call;
  tst_bank_trailers(0, 1, TETHER_NOT_FOUND);
}

static void lose(tether_call *call) {
  (void)call;
  tst_bank_down(0);
}

static void cancel(tether_call *call) { tether_call_cancel(call, NULL); }

/* A call ends in this way; its client's config, and how many streams its server takes. */
static void check(void (*ends)(tether_call *call), const char *config, uint32_t streams, tether_code code, bool sent) {
  const tether_client_options options = {.interceptors = interceptors, .service_config = config};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  seen = (struct seen){.recorder = tth_recorder_new(false, 0)};
  const tether_ctx *ctx = tth_recorder_attach(tether_ctx_with_cancel(tether_ctx_background()), seen.recorder);
  tst_bank_streams(streams);
  tst_bank_up(0);
  tether_client *client = seen.client = tst_bank_client("mem://a", &options);
  tst_bank_pump();
  tst_bank_hello(0);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  tst_bank_pump();
  assert_int_equal(tth_recorder_running(seen.recorder), 1);
  tth_recorder_when_closed(seen.recorder, on_closed, NULL);
  assert_int_equal(seen.told, 0);
  ends(call);
  rpc_assert_code(call, code);
  assert_int_equal(seen.told, 1);
  assert_int_equal(seen.legs, 1);
  assert_int_equal(seen.hooks_then, 1);
  assert_int_equal(seen.stats.ended[code], sent);
  assert_int_equal(seen.stats.unsent, !sent);
  tst_bank_close(client);
  tether_ctx_unref(ctx);
  tth_recorder_unref(seen.recorder);
}

static void all_of_an_answered_call_is_on_record_when_its_stream_is_told_gone(void **state) {
  (void)state;
  check(answer, NULL, 8, TETHER_NOT_FOUND, true);
}

static void all_of_an_answered_call_that_might_be_retried_is_on_record(void **state) {
  (void)state;
  check(answer, policy, 8, TETHER_NOT_FOUND, true);
}

static void all_of_a_lost_call_is_on_record_when_its_stream_is_told_gone(void **state) {
  (void)state;
  check(lose, NULL, 8, TETHER_UNAVAILABLE, true);
}

static void all_of_a_call_that_is_cancelled_before_it_left_is_on_record(void **state) {
  (void)state;
  check(cancel, NULL, 0, TETHER_CANCELLED, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_BANK_CASE(all_of_an_answered_call_is_on_record_when_its_stream_is_told_gone),
      TST_BANK_CASE(all_of_an_answered_call_that_might_be_retried_is_on_record),
      TST_BANK_CASE(all_of_a_lost_call_is_on_record_when_its_stream_is_told_gone),
      TST_BANK_CASE(all_of_a_call_that_is_cancelled_before_it_left_is_on_record),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
