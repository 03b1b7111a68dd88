/* A connection's own memory. */
#include <string.h>

#include "rpc/client.h"
#include "tests/support/rpc_test.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static void call_with(struct rpc_fixture *f, size_t len) {
  static const tether_call_options options = {.wait_for_ready = true};
  static uint8_t body[(size_t)1 << 20];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.body = (ProtobufCBinaryData){.data = body, .len = len};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, &options);
  rpc_assert_code(call, TETHER_OK);
}

static size_t out_bytes(struct rpc_fixture *f) {
  pthread_mutex_lock(&f->client->mu);
  size_t bytes = tth_conn_out_bytes(f->client->subchannels[0]->conn);
  pthread_mutex_unlock(&f->client->mu);
  return bytes;
}

static void its_send_buffer_grows_with_a_burst_and_shrinks_after_it(void **state) {
  struct rpc_fixture *f = *state;
  call_with(f, 10);
  size_t first = out_bytes(f);
  assert_true(first <= 8192);
  for (int round = 0; round < 2; round++) {
    call_with(f, (size_t)1 << 20);
    assert_true(out_bytes(f) > 30000);
    for (int i = 0; i < 400; i++) call_with(f, 10);
    assert_true(out_bytes(f) <= first);
  }
}

static void batches_that_vary_leave_its_send_buffer_alone(void **state) {
  struct rpc_fixture *f = *state;
  call_with(f, (size_t)1 << 20);
  size_t grown = out_bytes(f);
  for (int i = 0; i < 200; i++) {
    call_with(f, i % 10 == 9 ? (size_t)1 << 20 : 10);
    assert_true(out_bytes(f) >= grown);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(its_send_buffer_grows_with_a_burst_and_shrinks_after_it, setup, teardown),
      cmocka_unit_test_setup_teardown(batches_that_vary_leave_its_send_buffer_alone, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
