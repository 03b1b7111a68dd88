/* Unary calls over real sockets: the plain cases. */
#include <string.h>
#include <unistd.h>

#include "tests/support/echo_server.h"
#include "tests/support/rpc_test.h"

static int setup(void **state) { return rpc_fixture_open(state, NULL, NULL); }
static int teardown(void **state) { return rpc_fixture_close(state); }

static void a_call_brings_its_reply_back(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 5 * TETHER_SEC);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"world";
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(testing_v1_echo_quick_reply(call)->text, "hello world");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_call_brings_its_reply_back, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
