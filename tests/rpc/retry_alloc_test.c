/* The Nth allocation fails, for every N, while a client reads its service config, calls are tried again and hedged by
 * it. Everything ends, `done` is called once, no handler is left, nothing leaks. In virtual time, in memory. */

#include "tests/support/alloc_fault.h"
#include "tests/support/park_sim.h"

#define TIMEOUT (5 * TETHER_SEC)

static const char retries[] =
    "{\"methodConfig\": [{\"name\": [{\"service\": \"testing.v1.Park\"}, {\"service\": \"other\"}], \"waitForReady\":"
    " true, \"retryPolicy\": {\"maxAttempts\": 4, \"initialBackoff\": \"0.1s\", \"maxBackoff\": \"1s\","
    " \"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}], \"retryThrottling\": {\"maxTokens\":"
    " 100, \"tokenRatio\": 1}}";
static const char hedges[] =
    "{\"methodConfig\": [{\"name\": [{}], \"waitForReady\": true, \"hedgingPolicy\": {\"maxAttempts\": 3,"
    " \"hedgingDelay\": \"0.02s\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]}";

static struct {
  tether_client *client;
  int ended;
} f;

static void on_done(tether_call *call, void *data) {
  (void)data;
  tether_code code = tether_call_code(call);
  f.ended++;
  if (code == TETHER_OK || code == TETHER_DEADLINE_EXCEEDED || code == TETHER_RESOURCE_EXHAUSTED ||
      code == TETHER_UNAVAILABLE || code == TETHER_CANCELLED)
    return;
  rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
}

/* Timers count; what the net does for itself does not. */
static void pump(int64_t ns) {
  ctx_sim_advance(ns);
  tst_alloc_deliver(park_sim()->net);
}

static tst_park *park(void) { return park_sim()->parks[0]; }

/* Ends the handlers that are there and wait; says when the server wants the next attempt. */
static void end_parked(tether_code code, const char *pushback) {
  for (int i = 0; i < tst_park_arrived(park()); i++) {
    tst_parked *parked = tst_park_at(park(), i);
    if (atomic_load(&parked->claimed)) continue;
    tether_code added =
        pushback ? tether_call_add_trailer(parked->call, "grpc-retry-pushback-ms", pushback, 2) : TETHER_OK;
    if (added != TETHER_OK) assert_int_equal(added, TETHER_RESOURCE_EXHAUSTED);
    if (tst_parked_end(parked, code)) pump(0);
  }
}

static bool open_client(const char *config) {
  const tether_client_options options = {.service_config = config};
  tether_code code = tth_client_open_on(park_sim()->transport, "mem://a", &options, &f.client);
  if (code != TETHER_OK) assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  pump(0);
  return code == TETHER_OK;
}

static tether_call *start(const tether_method *method) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.timeout_ns = TIMEOUT};
  request.name = (char *)"any";
  bool streams = method->flags & TETHER_METHOD_CLIENT_STREAMING;
  tether_call *call = tether_call_start(f.client, tether_ctx_background(), method, streams ? NULL : &request.base,
                                        &options, on_done, NULL);
  pump(0);
  return call;
}

static void assert_over(tether_call *call) {
  pump(0);
  pump(TIMEOUT + TETHER_SEC);
  assert_int_equal(f.ended, 1);
  assert_int_equal(atomic_load(&f.client->kept_bytes), 0);
  tether_call_unref(call);
}

/* ---- Lives --------------------------------------------------------------------------------- */

static void retry(void) {
  if (!open_client(retries)) return;
  tether_call *call = start(&tst_park_unary);
  end_parked(TETHER_UNAVAILABLE, NULL);
  pump(120 * TETHER_MS);
  end_parked(TETHER_UNAVAILABLE, "30");
  pump(30 * TETHER_MS);
  end_parked(TETHER_OK, NULL);
  assert_over(call);
}

static void retry_a_stream(void) {
  if (!open_client(retries)) return;
  tether_call *call = start(&tst_park_upload);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  static uint8_t body[20000];
  request.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
  bool done;
  for (int i = 0; i < 3; i++) {
    if (tether_call_try_send(call, &request.base, &done) != TETHER_OK) break;
    request.body.len = 10;
    pump(0);
  }
  end_parked(TETHER_UNAVAILABLE, NULL);
  tether_call_close_send(call);
  pump(120 * TETHER_MS);
  end_parked(TETHER_OK, NULL);
  assert_over(call);
}

static void hedge(void) {
  if (!open_client(hedges)) return;
  tether_call *call = start(&tst_park_unary);
  pump(20 * TETHER_MS);
  if (tst_park_arrived(park()) > 0 && tst_parked_end(tst_park_at(park(), 0), TETHER_UNAVAILABLE)) pump(0);
  end_parked(TETHER_UNAVAILABLE, "40");
  pump(40 * TETHER_MS);
  end_parked(TETHER_OK, NULL);
  assert_over(call);
}

static void cancel_a_wait(void) {
  if (!open_client(retries)) return;
  tether_call *call = start(&tst_park_unary);
  end_parked(TETHER_UNAVAILABLE, NULL);
  tether_call_cancel(call, NULL);
  assert_over(call);
}

/* ---- Every allocation ---------------------------------------------------------------------- */

static void begin(void) {
  memset(&f, 0, sizeof f);
  assert_true(park_sim_open(&tst_transport_alloc));
}

static void end(void) {
  if (f.client) park_sim_close_client(f.client);
  park_sim_close_all();
}

static void every_way(void (*live)(void)) {
  tst_alloc_fail_every_way(&(tst_alloc_life){.begin = begin, .live = live, .end = end, .least = 20});
}

static void a_call_that_is_tried_again_ends_once(void **state) {
  (void)state;
  every_way(retry);
}

static void a_stream_that_is_tried_again_ends_once(void **state) {
  (void)state;
  every_way(retry_a_stream);
}

static void a_call_hedged_by_policy_ends_once(void **state) {
  (void)state;
  every_way(hedge);
}

static void a_cancel_needs_no_memory(void **state) {
  (void)state;
  every_way(cancel_a_wait);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      in_virtual_time(a_call_that_is_tried_again_ends_once),
      in_virtual_time(a_stream_that_is_tried_again_ends_once),
      in_virtual_time(a_call_hedged_by_policy_ends_once),
      in_virtual_time(a_cancel_needs_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
