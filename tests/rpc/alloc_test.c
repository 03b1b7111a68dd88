/* The Nth allocation fails, for every N, in a whole life of a client and a server in one process: opening, calls with
 * metadata, trace and forwarded values, long messages, cancels, failures, closing. Nothing crashes, hangs or leaks, and
 * every call ends once, with a status that says so. The library's allocations come through here (ld --wrap); those of
 * the in-memory net are let through. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <tether/trace.h>

#include "rpc/server.h"
#include "tests/support/alloc_sim.h"

/* ---- A life -------------------------------------------------------------------------------- */

static tether_server *server;

static size_t encode_text(const void *value, uint8_t *to, size_t room) {
  size_t len = strlen(value);
  if (room >= len) memcpy(to, value, len);
  return len;
}

static void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }

static const tether_key everywhere = {
    .name = "tenant", .forward = TETHER_FORWARD_ALL, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key one_hop = {
    .name = "hint", .forward = TETHER_FORWARD_ONE_HOP, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key *const keys[] = {&everywhere, &one_hop, NULL};

/* The call has ended, or the server has nothing to do with it. */
static bool has_answered(void *data) { return tst_alloc_sim_is_zero(data) || tth_server_calls(server) == 0; }

static bool is_hanging_or_has_answered(void *data) {
  return atomic_load(&tst_alloc_stats.hanging) == 1 || has_answered(data);
}

static void note_end(tether_call *call, void *data) {
  (void)call;
  atomic_fetch_sub((atomic_int *)data, 1);
}

typedef tether_call *(*start_fn)(tether_client *client, const tether_ctx *ctx, const Testing__V1__Request *request,
                                 const tether_call_options *options, tether_call_done_fn done, void *data);

/* One call, to its end: by itself, by cancel, or, if it waits for a connection, by its deadline. */
static void run_call(tether_client *client, const tether_ctx *ctx, start_fn start, const Testing__V1__Request *request,
                     const tether_metadata *metadata, bool cancel) {
  atomic_int running = 1;
  tether_call_options options = {.metadata = metadata, .timeout_ns = 5 * TETHER_SEC};
  tether_call *call = start(client, ctx, request, &options, note_end, &running);
  tst_alloc_sim_pump(0);
  if (cancel) {
    assert_true(tst_alloc_sim_comes_true(is_hanging_or_has_answered, &running));
    tether_cause *cause = tether_cause_newf(TETHER_CAUSE_SIBLING, "enough of %d", 1);
    tether_call_cancel(call, cause);
    tether_cause_unref(cause);
  }
  assert_true(tst_alloc_sim_comes_true(has_answered, &running));
  if (!tst_alloc_sim_is_zero(&running)) {
    tst_alloc_sim_pump(6 * TETHER_SEC);
    assert_true(tst_alloc_sim_comes_true(tst_alloc_sim_is_zero, &running));
  }
  assert_int_equal(atomic_load(&running), 0);
  switch (tether_call_code(call)) {
    case TETHER_OK:
      assert_non_null(tether_call_reply(call));
      break;
    case TETHER_RESOURCE_EXHAUSTED:
    case TETHER_UNAVAILABLE:
    case TETHER_CANCELLED:
    case TETHER_DEADLINE_EXCEEDED:
      break;
    case TETHER_UNIMPLEMENTED:
      assert_ptr_equal(start, testing_v1_echo_client_unserved_start);
      break;
    case TETHER_NOT_FOUND:
      assert_int_equal(request->code, TETHER_NOT_FOUND);
      break;
    default:
      rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  }
  tether_call_unref(call);
}

static void run_calls(tether_client *client) {
  static uint8_t body[40000];
  tether_metadata *metadata = tether_metadata_new();
  tether_code code = metadata ? tether_metadata_add(metadata, "x-initial", "one") : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK) code = tether_metadata_add_bin(metadata, "x-trailing-bin", "\0\1", 2);
  assert_true(code == TETHER_OK || code == TETHER_RESOURCE_EXHAUSTED);
  char *tenant = strdup("blue");
  TETHER_SCOPED tether_ctx *traced = tether_trace_start(tether_ctx_background(), true, "a=b");
  TETHER_SCOPED tether_ctx *hinted = tether_ctx_with_value(traced, &one_hop, strdup("now"));
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(hinted, &everywhere, tenant);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"memory";
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, metadata, false);
  run_call(client, ctx, testing_v1_echo_client_pooled_start, &request, metadata, false);
  run_call(client, ctx, testing_v1_echo_client_hang_start, &request, NULL, true);
  request.code = TETHER_NOT_FOUND;
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, metadata, false);
  request.code = 0;
  request.body = (ProtobufCBinaryData){.data = body, .len = sizeof body};
  run_call(client, ctx, testing_v1_echo_client_quick_start, &request, NULL, false);
  run_call(client, ctx, testing_v1_echo_client_unserved_start, &request, NULL, false);
  tether_metadata_free(metadata);
}

static void live(void) {
  static const tether_server_options options = {.keys = keys};
  tether_client *client;
  tether_call *last = NULL;
  if (tst_alloc_sim_open(&options, NULL, &server, &client)) {
    run_calls(client);
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    last = testing_v1_echo_client_hang_start(client, tether_ctx_background(), &request, NULL, NULL, NULL);
    tst_alloc_sim_pump(0);
  }
  tst_alloc_sim_close(client, NULL);
  if (last) assert_int_not_equal(tether_call_code(last), TETHER_OK);
  tether_call_unref(last);
  tst_alloc_sim_close(NULL, server);
}

static const tst_alloc_life life = {.live = live, .least = 50};

static void one_allocation_fails(void **state) {
  (void)state;
  tst_alloc_fail_each(&life, 1);
}

static void three_allocations_in_a_row_fail(void **state) {
  (void)state;
  tst_alloc_fail_each(&life, 3);
}

static void everything_fails_from_some_allocation_on(void **state) {
  (void)state;
  tst_alloc_fail_each(&life, INT_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TST_ALLOC_CASE(one_allocation_fails),
      TST_ALLOC_CASE(three_allocations_in_a_row_fail),
      TST_ALLOC_CASE(everything_fails_from_some_allocation_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
