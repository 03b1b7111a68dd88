/* What an interceptor's begin may do to a call: refuse it, add to it and derive from it. */
#include "tests/support/witness.h"

/* ---- Refusing ------------------------------------------------------------------------------ */

static void a_client_interceptor_refuses_a_call_before_it_leaves(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  t.client[1].refuse = TETHER_PERMISSION_DENIED;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_PERMISSION_DENIED);
  assert_string_equal(tether_call_message(call), "2 says no");
  assert_order("c<1 c<2 c>3 c>2 c>1 ");
  assert_false(t.client[0].stateless);
  assert_false(t.client[1].stateless);
  assert_true(t.client[2].stateless);
  assert_int_equal(t.client[0].attempts, 0);
  assert_int_equal(t.client[0].code, TETHER_PERMISSION_DENIED);
  assert_int_equal(atomic_load(&f->stats.started), 0);
}

static void a_server_interceptor_refuses_a_call_before_its_handler(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const unary_fn forms[] = {testing_v1_echo_client_quick, testing_v1_echo_client_pooled};
  Testing__V1__Request request = request_of("x");
  t.server[0].refuse = TETHER_UNAUTHENTICATED;
  for (int i = 0; i < 2; i++) {
    TETHER_SCOPED_CALL tether_call *call = forms[i](f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_UNAUTHENTICATED);
    assert_string_equal(tether_call_message(call), "1 says no");
    assert_order("c<1 c<2 c<3 s<1 s>3 s>2 s>1 c>3 c>2 c>1 ");
  }
  assert_false(t.server[0].summary.handled);
  assert_true(t.server[2].stateless);
  assert_int_equal(t.server[2].code, TETHER_UNAUTHENTICATED);
  assert_int_equal(t.server[0].received, 0);
  assert_int_equal(atomic_load(&f->stats.started), 0);
}

static void a_refused_stream_ends_with_the_refusal(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const ProtobufCMessage *reply;
  t.server[1].refuse = TETHER_PERMISSION_DENIED;
  TETHER_SCOPED_CALL tether_call *at_server = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
  assert_int_equal(tether_call_recv(at_server, &reply), TETHER_PERMISSION_DENIED);
  t.client[2].refuse = TETHER_PERMISSION_DENIED;
  TETHER_SCOPED_CALL tether_call *at_client = testing_v1_echo_client_chat_start(f->client, ctx, NULL, NULL, NULL);
  assert_int_equal(tether_call_recv(at_client, &reply), TETHER_PERMISSION_DENIED);
  assert_int_equal(atomic_load(&f->stats.started), 0);
  assert_int_equal(atomic_load(&t.client[0].ends), 2);
  assert_int_equal(atomic_load(&t.server[0].ends), 1);
}

static void a_code_that_is_none_becomes_unknown(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  t.server[0].refuse = (tether_code)99;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_UNKNOWN);
}

/* ---- What begin may change ----------------------------------------------------------------- */

static void add_metadata(tether_call *call) {
  if (tether_call_add_metadata(call, "x-initial-added", "by begin", 8) != TETHER_OK ||
      tether_call_add_metadata(call, "Bad Key", "x", 1) != TETHER_INVALID_ARGUMENT)
    t.client[0].mixed_up = true;
}

static void metadata_that_a_client_interceptor_adds_is_sent_along(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  t.client[0].meddle = add_metadata;
  tether_metadata *metadata = tether_metadata_new();
  assert_int_equal(tether_metadata_add(metadata, "x-initial-given", "by the caller"), TETHER_OK);
  const tether_call_options options = {.metadata = metadata};
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, &options);
  tether_metadata_free(metadata);
  rpc_assert_code(call, TETHER_OK);
  const tether_metadata *came = tether_call_initial_metadata(call);
  assert_string_equal(tether_metadata_get(came, "x-initial-added", NULL), "by begin");
  assert_string_equal(tether_metadata_get(came, "x-initial-given", NULL), "by the caller");
  assert_one_each(1);
}

static void set_tenant(tether_call *call) {
  if (tether_call_set_value(call, &tenant, strdup("blue")) != TETHER_OK) t.client[0].mixed_up = true;
}

static char seen_tenant[16];
static tether_trace seen_trace;
static bool seen_traced;

static void look(tether_call *call) {
  const char *value = tether_ctx_value(tether_call_ctx(call), &tenant);
  snprintf(seen_tenant, sizeof seen_tenant, "%s", value ? value : "(none)");
  seen_traced = tether_trace_get(tether_call_ctx(call), &seen_trace);
}

static void a_value_that_a_client_interceptor_sets_travels_with_the_call(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  t.client[1].meddle = set_tenant;
  t.server[0].meddle = look;
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(seen_tenant, "blue");
  assert_null(tether_ctx_value(ctx, &tenant));
  assert_one_each(1);
}

static void a_value_that_a_server_interceptor_sets_is_seen_by_what_comes_after_it(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  t.server[0].meddle = set_tenant;
  t.server[1].meddle = look;
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(seen_tenant, "blue");
}

static const tether_trace own = {.trace_id = {1, 2, 3}, .span_id = {4, 5, 6}, .flags = 1};

static void set_trace(tether_call *call) {
  if (tether_call_set_trace(call, &own) != TETHER_OK) t.client[0].mixed_up = true;
}

static void a_span_that_a_client_interceptor_sets_is_sent_as_it_is(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  t.server[0].meddle = look;
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *untraced = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(untraced, TETHER_OK);
  assert_false(seen_traced);
  t.client[0].meddle = set_trace;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_true(seen_traced);
  assert_memory_equal(&seen_trace, &own, sizeof own);
  assert_one_each(2);
}

static atomic_int refused_later;

static void try_later(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data, (void)summary, (void)state;
  if (tether_call_set_value(call, &tenant, NULL) == TETHER_FAILED_PRECONDITION &&
      tether_call_set_trace(call, &own) == TETHER_FAILED_PRECONDITION &&
      tether_call_add_metadata(call, "x", "y", 1) == TETHER_FAILED_PRECONDITION)
    atomic_fetch_add(&refused_later, 1);
}

static void nothing_can_be_changed_after_begin(void **state) {
  static const tether_interceptor late = {.end = try_later};
  static const tether_interceptor *const list[] = {&late, NULL};
  const tether_server_options server = {.interceptors = list};
  const tether_client_options client = {.interceptors = list};
  struct rpc_fixture *f;
  (void)state;
  atomic_store(&refused_later, 0);
  assert_int_equal(rpc_fixture_open((void **)&f, &server, &client), 0);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  tether_call_unref(testing_v1_echo_client_quick(f->client, ctx, &request, NULL));
  rpc_fixture_close((void **)&f);
  assert_int_equal(atomic_load(&refused_later), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      with_witnesses(a_client_interceptor_refuses_a_call_before_it_leaves),
      with_witnesses(a_server_interceptor_refuses_a_call_before_its_handler),
      with_witnesses(a_refused_stream_ends_with_the_refusal),
      with_witnesses(a_code_that_is_none_becomes_unknown),
      with_witnesses(metadata_that_a_client_interceptor_adds_is_sent_along),
      with_witnesses(a_value_that_a_client_interceptor_sets_travels_with_the_call),
      with_witnesses(a_value_that_a_server_interceptor_sets_is_seen_by_what_comes_after_it),
      with_witnesses(a_span_that_a_client_interceptor_sets_is_sent_as_it_is),
      with_witnesses(nothing_can_be_changed_after_begin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
