/* The Nth allocation fails, for every N, in the life of a client and a server with all built-in interceptors and one
 * that adds metadata and values: nothing crashes or leaks, every call ends once for each interceptor, and a call fails
 * for want of memory only with a status that says so; what only watches (metrics, logs, traces) fails none. In memory,
 * in virtual time. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <tether/auth.h>
#include <tether/logging.h>
#include <tether/metrics.h>
#include <tether/tracing.h>

#include "rpc/call.h"
#include "rpc/server.h"
#include "tests/support/alloc_sim.h"

static tether_server *server;
static int calls, seen; /* started; not even a call could be allocated of the others */

static atomic_int ends[2], begins[2], spans, lines, strange;

/* ---- Interceptors -------------------------------------------------------------------------- */

static tether_code meddle(void *data, tether_call *call, void **state) {
  static const tether_key key = {.name = "meddled"};
  (void)data;
  atomic_fetch_add(&begins[tether_call_is_server(call)], 1);
  *state = &begins;
  tether_code code = tether_call_set_value(call, &key, "value");
  if (code == TETHER_OK && !tether_call_is_server(call))
    code = tether_call_add_metadata(call, "authorization", "Bearer guest", 12);
  return code;
}

static void count_end(void *data, tether_call *call, const tether_call_summary *summary, void *state) {
  (void)data;
  if ((state && state != &begins) || summary->ended_ns < summary->started_ns) atomic_fetch_add(&strange, 1);
  atomic_fetch_add(&ends[tether_call_is_server(call)], 1);
}

static tether_code check(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]) {
  (void)data;
  snprintf(principal, TETHER_PRINCIPAL_SIZE, "%s",
           tether_metadata_get(tether_call_metadata(call), "authorization", NULL));
  return TETHER_OK;
}

static void count_line(void *data, const char *line, size_t len) {
  (void)data;
  if (len == 0 || line[len - 1] != '\n') atomic_fetch_add(&strange, 1);
  atomic_fetch_add(&lines, 1);
}

static void count_span(void *data, const tether_span *span) {
  (void)data, (void)span;
  atomic_fetch_add(&spans, 1);
}

static void count_bytes(void *data, const char *text, size_t len) {
  (void)text;
  *(size_t *)data += len;
}

static tether_auth auth;
static tether_logging logging;
static tether_tracing tracing;
static const tether_interceptor meddler = {.begin = meddle, .end = count_end};

/* ---- Calls --------------------------------------------------------------------------------- */

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

static void run_call(tether_client *client, start_fn start, bool cancel) {
  atomic_int running = 1;
  const tether_call_options options = {.timeout_ns = 5 * TETHER_SEC};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = start(client, tether_ctx_background(), &request, &options, note_end, &running);
  calls++;
  seen += *tether_call_path(call) != '\0';
  tst_alloc_sim_pump(0);
  if (cancel) {
    assert_true(tst_alloc_sim_comes_true(is_hanging_or_has_answered, &running));
    tether_call_cancel(call, NULL);
  }
  assert_true(tst_alloc_sim_comes_true(has_answered, &running));
  if (!tst_alloc_sim_is_zero(&running)) {
    tst_alloc_sim_pump(6 * TETHER_SEC);
    assert_true(tst_alloc_sim_comes_true(tst_alloc_sim_is_zero, &running));
  }
  switch (tether_call_code(call)) {
    case TETHER_OK:
    case TETHER_RESOURCE_EXHAUSTED:
    case TETHER_UNAVAILABLE:
    case TETHER_CANCELLED:
    case TETHER_DEADLINE_EXCEEDED:
      break;
    case TETHER_UNIMPLEMENTED:
      assert_ptr_equal(start, testing_v1_echo_client_unserved_start);
      break;
    default:
      rpc_assert_code(call, TETHER_RESOURCE_EXHAUSTED);
  }
  tether_call_unref(call);
}

/* ---- A life -------------------------------------------------------------------------------- */

static void live(void) {
  tether_metrics *metrics = NULL;
  tether_client *client;
  tether_code code = tether_metrics_new(&metrics);
  if (code != TETHER_OK) {
    assert_int_equal(code, TETHER_RESOURCE_EXHAUSTED);
    return;
  }
  const tether_interceptor *const list[] = {tether_metrics_interceptor(metrics),
                                            &tracing.interceptor,
                                            &logging.interceptor,
                                            &meddler,
                                            &auth.interceptor,
                                            NULL};
  const tether_server_options server_options = {.interceptors = list};
  const tether_client_options client_options = {.interceptors = list};
  calls = seen = 0;
  for (int i = 0; i < 2; i++) atomic_store(&ends[i], 0), atomic_store(&begins[i], 0);
  if (tst_alloc_sim_open(&server_options, &client_options, &server, &client)) {
    run_call(client, testing_v1_echo_client_quick_start, false);
    run_call(client, testing_v1_echo_client_pooled_start, false);
    run_call(client, testing_v1_echo_client_hang_start, true);
    run_call(client, testing_v1_echo_client_unserved_start, false);
  }
  tst_alloc_sim_close(client, NULL);
  tst_alloc_sim_close(NULL, server);
  assert_int_equal(atomic_load(&ends[0]), seen);
  assert_true(atomic_load(&begins[0]) <= seen);
  assert_true(atomic_load(&ends[1]) <= seen && atomic_load(&begins[1]) <= atomic_load(&ends[1]));
  size_t bytes = 0;
  tether_metrics_write(metrics, count_bytes, &bytes);
  assert_true(bytes > 0);
  tether_metrics_free(metrics);
}

static void fail_each(int count) {
  int made = tst_alloc_fail_each(&(tst_alloc_life){.live = live, .least = 50}, count);
  print_message("%d spans, %d lines\n", atomic_load(&spans), atomic_load(&lines));
  assert_true(atomic_load(&spans) > made && atomic_load(&lines) > made);
  assert_int_equal(atomic_load(&strange), 0);
}

static int setup(void **state) {
  atomic_store(&spans, 0);
  atomic_store(&lines, 0);
  tether_auth_init(&auth, check, NULL);
  tether_logging_init(&logging, count_line, NULL);
  tether_tracing_init(&tracing, NULL, count_span, NULL);
  return tst_alloc_sim_setup(state);
}

static void one_allocation_fails(void **state) {
  (void)state;
  fail_each(1);
}

static void three_allocations_in_a_row_fail(void **state) {
  (void)state;
  fail_each(3);
}

static void everything_fails_from_some_allocation_on(void **state) {
  (void)state;
  fail_each(INT_MAX);
}

struct text {
  char bytes[65536];
  size_t len;
};

static void append(void *data, const char *text, size_t len) {
  struct text *whole = data;
  if (whole->len + len < sizeof whole->bytes) memcpy(whole->bytes + whole->len, text, len);
  whole->len += len;
}

/* What only watches: with no memory for it, calls go on. */
static void a_call_goes_on_without_memory_for_its_metrics_and_span(void **state) {
  (void)state;
  tether_metrics *metrics;
  assert_int_equal(tether_metrics_new(&metrics), TETHER_OK);
  const tether_interceptor *interceptor = tether_metrics_interceptor(metrics);
  void *call_state = NULL;
  tether_call *call = tth_call_no_memory(); /* whose method is none, and which has no memory */
  tst_alloc_fail(0, INT_MAX);
  assert_int_equal(interceptor->begin(interceptor->data, call, &call_state), TETHER_OK);
  assert_null(call_state);
  const tether_call_summary summary = {.budget_ns = TETHER_FOREVER};
  interceptor->end(interceptor->data, call, &summary, NULL);
  assert_int_equal(tracing.interceptor.begin(&tracing, call, &call_state), TETHER_OK);
  assert_null(call_state);
  tst_alloc_fail(INT_MAX, 0);
  static struct text whole;
  tether_metrics_write(metrics, append, &whole);
  assert_non_null(strstr(whole.bytes, "\ntether_metrics_lost_calls_total 1\n"));
  tether_metrics_free(metrics);
}

#define CASE(name) \
  { #name, name, setup, tst_alloc_sim_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(one_allocation_fails),
      CASE(three_allocations_in_a_row_fail),
      CASE(everything_fails_from_some_allocation_on),
      CASE(a_call_goes_on_without_memory_for_its_metrics_and_span),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
