/* Interceptors of clients and servers: each call has one begin and one end, in order and in reverse, on both sides,
 * whatever kind of call or handler it is and however it ends; what begin refuses, adds and derives takes effect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/interceptor.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

/* One interceptor of the test: notes what it sees in the order it sees it, with its letter. */
struct witness {
  char letter;
  tether_code refuse;            /* begin returns it */
  void (*meddle)(tether_call *); /* called by begin */
  atomic_int begins, ends;
  _Atomic size_t sent, sent_bytes, received, received_bytes;
  /* of the last end; written before `ends` grows */
  tether_code code;
  tether_call_summary summary;
  unsigned attempts;
  char path[64], message[128];
  bool served, stateless;
  atomic_bool mixed_up; /* what must not be was seen */
};

static struct {
  struct witness client[3], server[3];
  pthread_mutex_t mu;
  char order[256]; /* under mu */
} t = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void note(bool server, char hook, char letter) {
  pthread_mutex_lock(&t.mu);
  size_t len = strlen(t.order);
  snprintf(t.order + len, sizeof t.order - len, "%c%c%c ", server ? 's' : 'c', hook, letter);
  pthread_mutex_unlock(&t.mu);
}

static tether_code witness_begin(void *data, tether_call *call, void **state) {
  struct witness *w = data;
  note(tether_call_is_server(call), '<', w->letter);
  atomic_fetch_add(&w->begins, 1);
  if (*state) w->mixed_up = true;
  *state = tether_call_strdup(call, "state");
  if (w->meddle) w->meddle(call);
  return w->refuse == TETHER_OK ? TETHER_OK : tether_call_fail(call, w->refuse, "%c says no", w->letter);
}

static void witness_message(void *data, tether_call *call, bool sent, size_t bytes, void *state) {
  struct witness *w = data;
  (void)call;
  if (!state || strcmp(state, "state") != 0) w->mixed_up = true;
  atomic_fetch_add(sent ? &w->sent : &w->received, 1);
  atomic_fetch_add(sent ? &w->sent_bytes : &w->received_bytes, bytes);
}

static void witness_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  struct witness *w = data;
  if (state && strcmp(state, "state") != 0) w->mixed_up = true;
  pthread_mutex_lock(&t.mu); /* calls may end at the same time */
  w->stateless = !state;
  w->code = tether_call_code(call);
  w->summary = *summary;
  w->attempts = tether_call_attempts(call);
  w->served = tether_call_method(call);
  snprintf(w->path, sizeof w->path, "%s", tether_call_path(call));
  snprintf(w->message, sizeof w->message, "%s", tether_call_message(call));
  pthread_mutex_unlock(&t.mu);
  note(tether_call_is_server(call), '>', w->letter);
  atomic_fetch_add(&w->ends, 1);
}

#define WITNESS(which) \
  { .begin = witness_begin, .message = witness_message, .end = witness_end, .data = &(which) }
static const tether_interceptor tables[2][3] = {{WITNESS(t.client[0]), WITNESS(t.client[1]), WITNESS(t.client[2])},
                                                {WITNESS(t.server[0]), WITNESS(t.server[1]), WITNESS(t.server[2])}};
static const tether_interceptor nothing; /* hooks may be NULL */
static const tether_interceptor *const of_client[] = {&tables[0][0], &nothing, &tables[0][1], &tables[0][2], NULL};
static const tether_interceptor *const of_server[] = {&tables[1][0], &tables[1][1], &nothing, &tables[1][2], NULL};

static size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (len <= size) memcpy(buf, value, len);
  return len;
}
static void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }
static const tether_key tenant = {
    .name = "tenant", .forward = TETHER_FORWARD_ALL, .encode = encode_text, .decode = decode_text, .free = free};
static const tether_key *const keys[] = {&tenant, NULL};

static int setup(void **state) {
  memset(&t.client, 0, sizeof t.client);
  memset(&t.server, 0, sizeof t.server);
  for (int i = 0; i < 3; i++) t.client[i].letter = t.server[i].letter = (char)('1' + i);
  t.order[0] = '\0';
  const tether_server_options server = {.interceptors = of_server, .keys = keys};
  const tether_client_options client = {.interceptors = of_client};
  return rpc_fixture_open(state, &server, &client);
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static Testing__V1__Request request_of(const char *name) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)name;
  return request;
}

static void assert_order(const char *wanted) {
  pthread_mutex_lock(&t.mu);
  char order[sizeof t.order];
  memcpy(order, t.order, sizeof order);
  t.order[0] = '\0';
  pthread_mutex_unlock(&t.mu);
  assert_string_equal(order, wanted);
}

static void assert_one_each(int calls) {
  for (int i = 0; i < 3; i++) {
    assert_int_equal(atomic_load(&t.client[i].begins), calls);
    assert_int_equal(atomic_load(&t.client[i].ends), calls);
    assert_int_equal(atomic_load(&t.server[i].begins), calls);
    assert_int_equal(atomic_load(&t.server[i].ends), calls);
    assert_false(t.client[i].mixed_up || t.server[i].mixed_up);
  }
}

/* ---- Order --------------------------------------------------------------------------------- */

#define ALL_IN_ORDER "c<1 c<2 c<3 s<1 s<2 s<3 s>3 s>2 s>1 c>3 c>2 c>1 "

typedef tether_call *(*unary_fn)(tether_client *client, const tether_ctx *ctx, const Testing__V1__Request *request,
                                 const tether_call_options *options);

/* Also that whoever has its answer finds the call's end seen on both sides. */
static void begin_in_order_and_end_in_reverse_for_inline_pooled_and_deferred_handlers(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const unary_fn forms[] = {testing_v1_echo_client_quick, testing_v1_echo_client_pooled, testing_v1_echo_client_later};
  Testing__V1__Request request = request_of("x");
  for (int i = 0; i < 3; i++) {
    TETHER_SCOPED_CALL tether_call *call = forms[i](f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    assert_order(ALL_IN_ORDER);
    assert_one_each(i + 1);
  }
  assert_true(t.server[0].summary.handled);
  assert_true(t.server[0].summary.queue_ns >= 0);
  assert_int_equal(t.client[0].attempts, 1);
  assert_true(t.client[0].summary.budget_ns > 0 && t.client[0].summary.budget_ns <= RPC_TEST_BOUND_NS);
  assert_true(t.server[0].summary.budget_ns > 0 && t.server[0].summary.budget_ns <= RPC_TEST_BOUND_NS);
  assert_true(t.client[0].summary.ended_ns >= t.client[0].summary.started_ns);
  assert_string_equal(t.server[2].path, "/testing.v1.Echo/Later");
}

static void note_done(tether_call *call, void *data) {
  (void)call;
  note(false, '!', '!');
  atomic_store((atomic_int *)data, 1);
}

static void a_callback_call_has_ended_for_its_interceptors_before_it_calls_back(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  atomic_int done = 0;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_pooled_start(f->client, ctx, &request, NULL, note_done, &done);
  assert_true(rpc_wait_for(&done, 1));
  assert_order(ALL_IN_ORDER "c!! ");
}

/* A caller that receives its own answers runs the hooks, and begins calls of others there. */
static void many_blocking_calls_in_a_row_have_one_begin_and_one_end_each(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  for (int i = 0; i < 200; i++) {
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
  }
  assert_one_each(200);
}

static void messages_are_seen_once_with_their_size(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("0123456789");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  size_t out = testing__v1__request__get_packed_size(&request);
  size_t in = protobuf_c_message_get_packed_size(tether_call_reply(call));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(t.client[i].sent, 1);
    assert_int_equal(t.client[i].received, 1);
    assert_int_equal(t.server[i].sent, 1);
    assert_int_equal(t.server[i].received, 1);
    assert_int_equal(t.client[i].sent_bytes, out);
    assert_int_equal(t.server[i].received_bytes, out);
    assert_int_equal(t.client[i].received_bytes, in);
    assert_int_equal(t.server[i].sent_bytes, in);
  }
}

typedef tether_call *(*chat_fn)(tether_client *client, const tether_ctx *ctx, const tether_call_options *options,
                                tether_call_done_fn done, void *data);

static void streams_begin_and_end_once_and_each_message_is_seen_at_both_ends(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  const chat_fn forms[] = {testing_v1_echo_client_chat_start, testing_v1_echo_client_inline_chat_start,
                           testing_v1_echo_client_later_chat_start};
  for (int form = 0; form < 3; form++) {
    TETHER_SCOPED_CALL tether_call *call = forms[form](f->client, ctx, NULL, NULL, NULL);
    const ProtobufCMessage *reply;
    for (int i = 0; i < 5; i++) {
      Testing__V1__Request request = request_of("hello");
      assert_int_equal(tether_call_send(call, &request.base), TETHER_OK);
      assert_int_equal(tether_call_recv(call, &reply), TETHER_OK);
      assert_non_null(reply);
    }
    tether_call_close_send(call);
    assert_int_equal(tether_call_recv(call, &reply), TETHER_OK);
    assert_null(reply);
    assert_order(ALL_IN_ORDER);
    assert_one_each(form + 1);
    size_t messages = 5 * (size_t)(form + 1);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(t.client[i].sent, messages);
      assert_int_equal(t.server[i].received, messages);
      assert_int_equal(t.client[i].received, messages);
      assert_int_equal(t.server[i].sent, messages);
      assert_int_equal(t.client[i].sent_bytes, t.server[i].received_bytes);
      assert_int_equal(t.client[i].received_bytes, t.server[i].sent_bytes);
    }
  }
}

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

/* ---- Ends without a handler ---------------------------------------------------------------- */

static void a_call_to_a_method_that_is_not_served_ends_without_a_begin(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  static const tether_method unknown = {.path = "/no.such/Method",
                                        .request = &testing__v1__request__descriptor,
                                        .reply = &testing__v1__reply__descriptor};
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, &unknown, &request.base, NULL);
  rpc_assert_code(call, TETHER_UNIMPLEMENTED);
  assert_order("c<1 c<2 c<3 s>3 s>2 s>1 c>3 c>2 c>1 ");
  assert_string_equal(t.server[1].path, "/no.such/Method");
  assert_false(t.server[1].served);
  assert_true(t.server[1].stateless);
}

static void a_call_whose_context_has_ended_ends_without_a_begin(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_CANCELLED);
  assert_order("c>3 c>2 c>1 ");
}

static void a_cancelled_call_ends_cancelled_on_both_sides(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  assert_true(rpc_wait_for(&t.server[0].ends, 1));
  assert_one_each(1);
  assert_int_equal(t.server[0].code, TETHER_CANCELLED);
  assert_int_equal(t.client[0].attempts, 1);
}

static void calls_cut_by_closing_end_once(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  tether_call *calls[10];
  for (int i = 0; i < 10; i++) calls[i] = testing_v1_echo_client_hang_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 10));
  tether_server_close(f->server);
  f->server = NULL;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(tether_call_wait(calls[i]), TETHER_UNAVAILABLE);
    tether_call_unref(calls[i]);
  }
  assert_one_each(10);
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

/* ---- Connections --------------------------------------------------------------------------- */

static atomic_int connections[2][2]; /* by side: opened, closed */

static void count_connection(void *data, bool server, bool opened, const char *peer) {
  (void)data;
  if (peer) atomic_fetch_add(&connections[server][!opened], 1);
}

static void connections_are_seen_when_they_can_be_used_and_when_they_have_gone(void **state) {
  static const tether_interceptor counter = {.connection = count_connection};
  static const tether_interceptor *const list[] = {&counter, NULL};
  const tether_server_options server = {.interceptors = list};
  const tether_client_options client = {.interceptors = list};
  struct rpc_fixture *f;
  (void)state;
  assert_int_equal(rpc_fixture_open((void **)&f, &server, &client), 0);
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  for (int side = 0; side < 2; side++) {
    assert_int_equal(atomic_load(&connections[side][0]), 1);
    assert_int_equal(atomic_load(&connections[side][1]), 0);
  }
  rpc_fixture_close((void **)&f);
  for (int side = 0; side < 2; side++) {
    assert_int_equal(atomic_load(&connections[side][0]), 1);
    assert_int_equal(atomic_load(&connections[side][1]), 1);
  }
}

/* ---- A shutdown meanwhile ------------------------------------------------------------------ */

static tst_latch entered, go_on;

static void stay(tether_call *call) {
  (void)call;
  tst_latch_open(&entered);
  if (!tst_latch_wait(&go_on, RPC_TEST_BOUND_NS)) t.server[1].mixed_up = true;
}

static void *shut_down(void *server) {
  tether_server_shutdown(server, 0);
  return NULL;
}

static bool has_ended(void *data) {
  tether_server_stats stats;
  return tether_server_get_stats(data, NULL, &stats) == TETHER_OK && stats.ended[TETHER_UNAVAILABLE] == 1;
}

static void a_shutdown_while_interceptors_begin_stops_the_rest_and_ends_them_once(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  tst_latch_init(&entered);
  tst_latch_init(&go_on);
  t.server[1].meddle = stay;
  Testing__V1__Request request = request_of("x");
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick_start(f->client, ctx, &request, NULL, NULL, NULL);
  assert_true(tst_latch_wait(&entered, RPC_TEST_BOUND_NS));
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, shut_down, f->server), 0);
  bool ended = tst_wait_until(has_ended, f->server, RPC_TEST_BOUND_NS);
  int early = atomic_load(&t.server[0].ends);
  tst_latch_open(&go_on);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(ended);
  assert_int_equal(early, 0);
  assert_int_equal(tether_call_wait(call), TETHER_UNAVAILABLE);
  assert_int_equal(atomic_load(&t.server[2].begins), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(atomic_load(&t.server[i].ends), 1);
  assert_int_equal(t.server[0].code, TETHER_UNAVAILABLE);
  assert_int_equal(atomic_load(&f->stats.started), 0);
  tst_latch_fini(&entered);
  tst_latch_fini(&go_on);
}

#define CASE(name) \
  { #name, name, setup, rpc_fixture_close, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(begin_in_order_and_end_in_reverse_for_inline_pooled_and_deferred_handlers),
      CASE(a_callback_call_has_ended_for_its_interceptors_before_it_calls_back),
      CASE(many_blocking_calls_in_a_row_have_one_begin_and_one_end_each),
      CASE(messages_are_seen_once_with_their_size),
      CASE(streams_begin_and_end_once_and_each_message_is_seen_at_both_ends),
      CASE(a_client_interceptor_refuses_a_call_before_it_leaves),
      CASE(a_server_interceptor_refuses_a_call_before_its_handler),
      CASE(a_refused_stream_ends_with_the_refusal),
      CASE(a_code_that_is_none_becomes_unknown),
      CASE(a_call_to_a_method_that_is_not_served_ends_without_a_begin),
      CASE(a_call_whose_context_has_ended_ends_without_a_begin),
      CASE(a_cancelled_call_ends_cancelled_on_both_sides),
      CASE(calls_cut_by_closing_end_once),
      CASE(metadata_that_a_client_interceptor_adds_is_sent_along),
      CASE(a_value_that_a_client_interceptor_sets_travels_with_the_call),
      CASE(a_value_that_a_server_interceptor_sets_is_seen_by_what_comes_after_it),
      CASE(a_span_that_a_client_interceptor_sets_is_sent_as_it_is),
      CASE(nothing_can_be_changed_after_begin),
      CASE(connections_are_seen_when_they_can_be_used_and_when_they_have_gone),
      CASE(a_shutdown_while_interceptors_begin_stops_the_rest_and_ends_them_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
