/* The Nth allocation of the process fails, for every N, while the index is built and a request answered: nothing
 * crashes or leaks, the stream ends with a code that says so, and as soon as there is memory again the answer is whole.
 */
#include "tests/support/rpc_test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/reflection.h>
#include <unistd.h>

#include "grpc/reflection/v1/reflection.tether.h"
#include "tests/support/alloc_fault.h"

static char dir[64], url[128];
static struct echo_stats stats;

/* Asks for a file; how many files came, or 0 and the code. */
static size_t ask(tether_client *client, const tether_ctx *ctx, tether_code *code) {
  const Grpc__Reflection__V1__ServerReflectionResponse *response = NULL;
  Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      grpc_reflection_v1_server_reflection_client_server_reflection_info_start(client, ctx, NULL, NULL, NULL);
  request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
  request.file_by_filename = (char *)"testing.proto";
  *code = grpc_reflection_v1_server_reflection_server_reflection_info_send_request(call, &request);
  tether_call_close_send(call);
  if (*code == TETHER_OK)
    *code = grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(call, &response);
  if (*code == TETHER_OK && !response) *code = TETHER_DATA_LOSS;
  size_t count = 0;
  if (*code == TETHER_OK &&
      response->message_response_case ==
          GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE)
    count = response->file_descriptor_response->n_file_descriptor_proto;
  tether_call_cancel(call, NULL);
  return count;
}

/* Returns how many allocations there were. */
static int live(tether_client *client, int from) {
  tether_code code;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
  tst_alloc_fail(from, 2);
  size_t files = ask(client, ctx, &code);
  int made = tst_alloc_count();
  tst_alloc_fail(INT_MAX, 0);
  if (code == TETHER_OK)
    assert_int_equal(files, 4);
  else if (code != TETHER_UNAVAILABLE && code != TETHER_CANCELLED)
    assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
  do { /* the connection may be on its way to its end, for want of memory before */
    assert_int_equal(tether_client_wait_ready(client, ctx), TETHER_OK);
    files = ask(client, ctx, &code);
  } while (code == TETHER_UNAVAILABLE);
  assert_int_equal(code, TETHER_OK);
  assert_int_equal(files, 4);
  return made;
}

/* Some are left out: there are some hundreds, one like the other. */
static void an_index_is_built_and_a_request_answered(void **state) {
  (void)state;
  int from = 0, failed = 0, made;
  do {
    const tether_client_options options = {.backoff_initial_ns = TETHER_MS, .backoff_max_ns = 10 * TETHER_MS};
    tether_server *server;
    tether_client *client;
    tether_reflection *reflection;
    assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
    assert_int_equal(echo_server_add(server, &stats), TETHER_OK);
    assert_int_equal(tether_reflection_new(server, &reflection), TETHER_OK);
    assert_int_equal(tether_server_listen(server, url), TETHER_OK);
    assert_int_equal(tether_client_open(url, &options, &client), TETHER_OK);
    made = live(client, from);
    tether_client_close(client);
    tether_server_close(server);
    tether_reflection_free(reflection);
    failed = from;
    from += from < 60 ? 1 : 7;
  } while (made > failed && from < 5000);
  assert_true(from > 100 && from < 5000);
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  snprintf(url, sizeof url, "ipc://%s/s", dir);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  unlink(url + strlen("ipc://"));
  return rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(an_index_is_built_and_a_request_answered)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
