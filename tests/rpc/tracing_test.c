/* Spans of calls: their parents over hops, who decides what is recorded, and what a span says. A chain of two servers
 * in one process. */
#include <stdio.h>
#include <string.h>
#include <tether/tracing.h>
#include <time.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { SPANS = 16 };

typedef struct kept {
  tether_trace trace;
  uint8_t parent_id[8];
  bool server;
  char path[64];
  tether_code code;
  int64_t start_unix_ns, end_unix_ns;
} kept;

static struct {
  tether_tracing tracing;
  pthread_mutex_t mu;
  kept spans[SPANS]; /* under mu */
  atomic_int count;
  atomic_bool sample_none;
  tether_client *next;  /* what the first server calls */
  tether_trace handler; /* the trace of the last handler's context */
} t = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void keep(void *data, const tether_span *span) {
  (void)data;
  pthread_mutex_lock(&t.mu);
  int i = atomic_load(&t.count);
  if (i < SPANS) {
    t.spans[i] = (kept){.trace = span->trace,
                        .server = tether_call_is_server(span->call),
                        .code = tether_call_code(span->call),
                        .start_unix_ns = span->start_unix_ns,
                        .end_unix_ns = span->end_unix_ns};
    memcpy(t.spans[i].parent_id, span->parent_id, sizeof span->parent_id);
    snprintf(t.spans[i].path, sizeof t.spans[i].path, "%s", tether_call_path(span->call));
  }
  atomic_store(&t.count, i + 1);
  pthread_mutex_unlock(&t.mu);
}

static bool sample(void *data, const tether_trace *parent, const uint8_t trace_id[16]) {
  (void)data, (void)parent, (void)trace_id;
  return !atomic_load(&t.sample_none);
}

static tether_code pass_on(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                           ProtobufCMessage *reply, const void *service, void *data) {
  (void)call, (void)request, (void)reply, (void)service, (void)data;
  (void)tether_trace_get(ctx, &t.handler);
  Testing__V1__Request nothing = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *below = testing_v1_echo_client_quick(t.next, ctx, &nothing, NULL);
  return tether_call_code(below);
}

static const tether_method method = {
    .path = "/trace/PassOn", .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor};
static const tether_served_method served = {&method, pass_on};
static const tether_interceptor *const interceptors[] = {&t.tracing.interceptor, NULL};

/* One server for both hops. */
static int open_with(void **state, bool (*sampler)(void *, const tether_trace *, const uint8_t[16])) {
  struct rpc_fixture *f = *state = test_calloc(1, sizeof *f);
  atomic_store(&t.count, 0);
  atomic_store(&t.sample_none, false);
  tether_tracing_init(&t.tracing, sampler, keep, NULL);
  const tether_server_options server = {.interceptors = interceptors};
  const tether_client_options client = {.interceptors = interceptors};
  if (tether_server_open(&server, &f->server) != TETHER_OK || echo_server_add(f->server, &f->stats) != TETHER_OK ||
      tether_server_add(f->server, &served, 1, NULL, NULL) != TETHER_OK ||
      tether_server_listen(f->server, "tcp://127.0.0.1:0") != TETHER_OK)
    return -1;
  snprintf(f->url, sizeof f->url, "tcp://127.0.0.1:%u", tether_server_port(f->server));
  return tether_client_open(f->url, &client, &f->client) == TETHER_OK &&
                 tether_client_open(f->url, &client, &t.next) == TETHER_OK
             ? 0
             : -1;
}

static int setup(void **state) { return open_with(state, NULL); }
static int setup_sampler(void **state) { return open_with(state, sample); }

static int teardown(void **state) {
  struct rpc_fixture *f = *state;
  tether_client_close(f->client);
  tether_client_close(t.next);
  tether_server_close(f->server);
  test_free(f);
  return 0;
}

static void call_chain(struct rpc_fixture *f, const char *traceparent) {
  TETHER_SCOPED tether_ctx *bounded = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED tether_ctx *traced = traceparent ? tether_trace_continue(bounded, traceparent, NULL, NULL) : NULL;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      tether_call_unary(f->client, traced ? traced : bounded, &method, &request.base, NULL);
  rpc_assert_code(call, TETHER_OK);
}

static void assert_child(const kept *child, const kept *parent) {
  assert_memory_equal(child->trace.trace_id, parent->trace.trace_id, 16);
  assert_memory_equal(child->parent_id, parent->trace.span_id, 8);
  assert_memory_not_equal(child->trace.span_id, parent->trace.span_id, 8);
}

/* They end from the leaf up. */
static void a_span_is_the_child_of_the_caller_s_over_two_hops(void **state) {
  static const uint8_t none[8];
  call_chain(*state, NULL);
  assert_int_equal(atomic_load(&t.count), 4);
  const kept *leaf_server = &t.spans[0], *leaf_client = &t.spans[1], *server = &t.spans[2], *client = &t.spans[3];
  assert_true(leaf_server->server && !leaf_client->server && server->server && !client->server);
  assert_string_equal(client->path, "/trace/PassOn");
  assert_string_equal(leaf_server->path, "/testing.v1.Echo/Quick");
  assert_memory_equal(client->parent_id, none, 8);
  assert_child(server, client);
  assert_child(leaf_client, server);
  assert_child(leaf_server, leaf_client);
  assert_memory_equal(t.handler.span_id, server->trace.span_id, 8);
  for (int i = 0; i < 4; i++) assert_int_equal(t.spans[i].trace.flags & 1, 1);
}

static void a_span_lies_inside_its_parent_in_wall_clock_time(void **state) {
  struct timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  call_chain(*state, NULL);
  clock_gettime(CLOCK_REALTIME, &after);
  const int64_t slack_ns = 100 * TETHER_MS; /* the two clocks are read one after the other */
  for (int i = 0; i < 4; i++) {
    assert_true(t.spans[i].start_unix_ns >= before.tv_sec * TETHER_SEC + before.tv_nsec - slack_ns);
    assert_true(t.spans[i].end_unix_ns <= after.tv_sec * TETHER_SEC + after.tv_nsec + slack_ns);
    assert_true(t.spans[i].start_unix_ns <= t.spans[i].end_unix_ns);
  }
}

static void a_sampled_trace_from_outside_goes_on(void **state) {
  static const uint8_t parent[8] = {0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
  call_chain(*state, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  assert_int_equal(atomic_load(&t.count), 4);
  assert_memory_equal(t.spans[3].parent_id, parent, 8);
  assert_int_equal(t.spans[0].trace.trace_id[0], 0x4b);
}

static void what_is_not_sampled_is_not_recorded_but_traced_on(void **state) {
  call_chain(*state, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  assert_int_equal(atomic_load(&t.count), 0);
  assert_int_equal(t.handler.trace_id[0], 0x4b);
  assert_int_equal(t.handler.flags & 1, 0);
}

static void a_sampler_overrules_the_flag(void **state) {
  call_chain(*state, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  assert_int_equal(atomic_load(&t.count), 4);
  atomic_store(&t.sample_none, true);
  call_chain(*state, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  assert_int_equal(atomic_load(&t.count), 4);
}

#define CASE(name, open) \
  { #name, name, open, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_span_is_the_child_of_the_caller_s_over_two_hops, setup),
      CASE(a_span_lies_inside_its_parent_in_wall_clock_time, setup),
      CASE(a_sampled_trace_from_outside_goes_on, setup),
      CASE(what_is_not_sampled_is_not_recorded_but_traced_on, setup),
      CASE(a_sampler_overrules_the_flag, setup_sampler),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
