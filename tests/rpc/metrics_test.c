/* Metrics of calls: what is counted, under which names and labels, that labels are bounded, that text is well-formed,
 * and that nothing is lost when many threads record. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/metrics.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static tether_metrics *metrics;
static const tether_interceptor *interceptors[2];

/* ---- Reading ------------------------------------------------------------------------------- */

struct whole {
  char text[4 << 20];
  size_t len;
};

static void append(void *data, const char *text, size_t len) {
  struct whole *w = data;
  if (w->len + len < sizeof w->text) memcpy(w->text + w->len, text, len);
  w->len += len;
}

static const char *read_all(void) {
  static struct whole w;
  w.len = 0;
  tether_metrics_write(metrics, append, &w);
  assert_true(w.len < sizeof w.text);
  w.text[w.len] = '\0';
  return w.text;
}

/* The value of a series, named with its labels as they are written; -1: there is none. */
static double value_of(const char *text, const char *series) {
  size_t len = strlen(series);
  for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
    if (strncmp(line, series, len) == 0 && line[len] == ' ') return strtod(line + len, NULL);
  return -1;
}

static void assert_value_at(const char *series, double wanted, int line) {
  double value = value_of(read_all(), series);
  if (value == wanted) return;
  print_error("%s:%d: %s is %g instead of %g\n", __FILE__, line, series, value, wanted);
  _fail(__FILE__, line);
}
#define assert_value(series, wanted) assert_value_at(series, wanted, __LINE__)

/* ---- Setup --------------------------------------------------------------------------------- */

static int setup(void **state) {
  if (tether_metrics_new(&metrics) != TETHER_OK) return -1;
  interceptors[0] = tether_metrics_interceptor(metrics);
  const tether_server_options server = {.interceptors = interceptors};
  const tether_client_options client = {.interceptors = interceptors};
  return rpc_fixture_open(state, &server, &client);
}

static int teardown(void **state) {
  int result = rpc_fixture_close(state);
  tether_metrics_free(metrics);
  return result;
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static void call_quick(struct rpc_fixture *f, tether_code code) {
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"x";
  request.code = code;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(call, code);
}

/* ---- What is counted ----------------------------------------------------------------------- */

#define QUICK "rpc_method=\"testing.v1.Echo/Quick\""
#define OK_LABELS "{rpc_system_name=\"tether\"," QUICK ",rpc_response_status_code=\"OK\""
#define NOT_FOUND_LABELS \
  "{rpc_system_name=\"tether\"," QUICK ",rpc_response_status_code=\"NOT_FOUND\",error_type=\"NOT_FOUND\""

static void calls_are_counted_by_side_method_and_status(void **state) {
  struct rpc_fixture *f = *state;
  for (int i = 0; i < 3; i++) call_quick(f, TETHER_OK);
  call_quick(f, TETHER_NOT_FOUND);
  assert_value("rpc_server_call_duration_seconds_count" OK_LABELS "}", 3);
  assert_value("rpc_client_call_duration_seconds_count" OK_LABELS "}", 3);
  assert_value("rpc_server_call_duration_seconds_count" NOT_FOUND_LABELS "}", 1);
  assert_value("rpc_client_call_duration_seconds_count" NOT_FOUND_LABELS "}", 1);
  assert_value("rpc_server_call_duration_seconds_bucket" OK_LABELS ",le=\"+Inf\"}", 3);
  assert_value("tether_server_active_calls{" QUICK "}", 0);
  assert_value("tether_client_active_calls{" QUICK "}", 0);
  assert_value("tether_client_attempts_total{" QUICK "}", 4);
  assert_value("tether_client_retries_total{" QUICK "}", 0);
  assert_value("tether_server_budget_seconds_count{" QUICK "}", 4);
  assert_value("tether_server_queue_seconds_count{" QUICK "}", 4);
  assert_value("tether_server_received_messages_total{" QUICK "}", 4);
  assert_value("tether_server_sent_messages_total{" QUICK "}", 3);
  assert_value("tether_server_connections", 1);
  assert_value("tether_client_connections", 1);
  assert_value("tether_metrics_lost_calls_total", 0);
  assert_true(value_of(read_all(), "rpc_server_call_duration_seconds_sum" OK_LABELS "}") > 0);
}

static void a_histogram_s_buckets_grow_to_its_count(void **state) {
  struct rpc_fixture *f = *state;
  static const char *const bounds[] = {"0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
                                       "0.025",  "0.05",    "0.075",  "0.1",   "0.25",   "0.5",   "0.75",
                                       "1",      "2.5",     "5",      "7.5",   "10",     "+Inf"};
  for (int i = 0; i < 50; i++) call_quick(f, TETHER_OK);
  const char *text = read_all();
  double last = 0;
  for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
    char series[256];
    snprintf(series, sizeof series, "rpc_client_call_duration_seconds_bucket" OK_LABELS ",le=\"%s\"}", bounds[i]);
    double value = value_of(text, series);
    assert_true(value >= last);
    last = value;
  }
  assert_true(last == 50);
}

static void durations_and_budgets_are_in_seconds(void **state) {
  struct rpc_fixture *f = *state;
  call_quick(f, TETHER_OK); /* with 30 s */
  double budget = value_of(read_all(), "tether_server_budget_seconds_sum{" QUICK "}");
  assert_true(budget > 0 && budget <= 30);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), 200 * TETHER_MS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_hang(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_DEADLINE_EXCEEDED);
  double took = value_of(read_all(),
                         "rpc_client_call_duration_seconds_sum{rpc_system_name=\"tether\",rpc_method=\"testing.v1.Echo/"
                         "Hang\",rpc_response_status_code=\"DEADLINE_EXCEEDED\",error_type=\"DEADLINE_EXCEEDED\"}");
  assert_true(took >= 0.2 * 7 / 8 && took < 30); /* an eighth at most is kept for the answer's way */
}

static void cut_calls_are_counted_by_cause(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  assert_value("tether_server_active_calls{rpc_method=\"testing.v1.Echo/Hang\"}", 1);
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHED, NULL, "too much");
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, cause, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  tether_cause_unref(cause);
  assert_value("tether_client_cut_calls_total{rpc_method=\"testing.v1.Echo/Hang\",cause=\"shed\"}", 1);
  assert_value("tether_server_cut_calls_total{rpc_method=\"testing.v1.Echo/Hang\",cause=\"shed\"}", 1);
  assert_value("tether_server_calls_without_deadline_total{rpc_method=\"testing.v1.Echo/Hang\"}", 1);
  assert_value("tether_server_budget_seconds_count{rpc_method=\"testing.v1.Echo/Hang\"}", 0);
  assert_value("tether_server_active_calls{rpc_method=\"testing.v1.Echo/Hang\"}", 0);
}

static void work_for_nobody_is_counted_in_seconds_by_method(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  call_quick(f, TETHER_OK);
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_handed_client_unary_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  tether_call *handler = echo_take_handed(&f->stats);
  assert_non_null(handler);
  tether_call_cancel(call, NULL);
  assert_int_equal(tether_ctx_wait(tether_call_ctx(handler), RPC_TEST_BOUND_NS), TETHER_CANCELLED);
  int64_t ended_ns = tether_now_ns();
  (void)tether_ctx_wait(tether_ctx_background(), 50 * TETHER_MS);
  double least = (double)(tether_now_ns() - ended_ns) / 1e9;
  echo_finish_handed(handler, TETHER_OK);
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  double wasted = value_of(read_all(), "tether_server_wasted_seconds_total{rpc_method=\"testing.v1.Handed/Unary\"}");
  assert_true(wasted >= least && wasted < 30);
  assert_value("tether_server_wasted_seconds_total{" QUICK "}", 0);
}

static void calls_that_never_left_are_counted_apart(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_unref(testing_v1_echo_client_quick(f->client, ctx, &request, NULL));
  assert_value("tether_client_unsent_calls_total{" QUICK "}", 1);
  assert_value("tether_client_attempts_total{" QUICK "}", 0);
}

/* ---- Labels -------------------------------------------------------------------------------- */

static tether_method method_of(const char *path) {
  return (tether_method){
      .path = path, .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor};
}

static void call_method(struct rpc_fixture *f, const tether_method *method, tether_code code) {
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, method, &request.base, NULL);
  rpc_assert_code(call, code);
}

/* Whatever callers ask for, a server's labels are of its own methods. */
static void methods_that_are_not_served_share_one_label(void **state) {
  struct rpc_fixture *f = *state;
  const tether_method strange[] = {method_of("/strange/A"), method_of("/strange/B"), method_of("no slash\"\\\n")};
  for (int i = 0; i < 3; i++) call_method(f, &strange[i], TETHER_UNIMPLEMENTED);
  assert_value(
      "rpc_server_call_duration_seconds_count{rpc_system_name=\"tether\",rpc_method=\"_OTHER\",rpc_response_status_"
      "code="
      "\"UNIMPLEMENTED\",error_type=\"UNIMPLEMENTED\"}",
      3);
  assert_value("tether_server_unhandled_calls_total{rpc_method=\"_OTHER\"}", 3);
  assert_value("tether_client_attempts_total{rpc_method=\"strange/A\"}", 1);
  assert_value("tether_client_attempts_total{rpc_method=\"no slash\\\"\\\\\\n\"}", 1);
}

static void descriptions_of_one_method_share_one_label(void **state) {
  struct rpc_fixture *f = *state;
  const tether_method twins[] = {method_of("/testing.v1.Echo/Quick"), method_of("/testing.v1.Echo/Quick")};
  call_quick(f, TETHER_OK);
  for (int i = 0; i < 2; i++) call_method(f, &twins[i], TETHER_OK);
  assert_value("rpc_client_call_duration_seconds_count" OK_LABELS "}", 3);
  const char *first = strstr(read_all(), "rpc_client_call_duration_seconds_count" OK_LABELS);
  assert_null(strstr(first + 1, "rpc_client_call_duration_seconds_count" OK_LABELS));
}

static void methods_beyond_the_limit_share_one_label(void **state) {
  struct rpc_fixture *f = *state;
  enum { METHODS = TETHER_METRICS_METHODS + 10 };
  static tether_method methods[METHODS];
  static char paths[METHODS][32];
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  tether_ctx_cancel(ctx); /* they need not leave to be counted */
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < METHODS; i++) {
      snprintf(paths[i], sizeof paths[i], "/many/M%d", i);
      methods[i] = method_of(paths[i]);
      tether_call_unref(tether_call_unary(f->client, ctx, &methods[i], &request.base, NULL));
    }
  }
  assert_value("tether_client_unsent_calls_total{rpc_method=\"many/M0\"}", 2);
  assert_value("tether_client_unsent_calls_total{rpc_method=\"_OTHER\"}", 20);
}

/* ---- Many threads -------------------------------------------------------------------------- */

enum { THREADS = 12, CALLS = 100 };

struct caller {
  struct rpc_fixture *f;
  int failed;
};

static void *make_calls(void *data) {
  struct caller *caller = data;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < CALLS; i++) {
    tether_call *call = testing_v1_echo_client_pooled(caller->f->client, ctx, &request, NULL);
    caller->failed += tether_call_code(call) != TETHER_OK;
    tether_call_unref(call);
  }
  return NULL;
}

static void nothing_is_lost_when_many_threads_record_while_it_is_read(void **state) {
  struct caller callers[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    callers[i] = (struct caller){.f = *state};
    assert_int_equal(pthread_create(&threads[i], NULL, make_calls, &callers[i]), 0);
  }
  for (int i = 0; i < 20; i++) (void)read_all();
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(callers[i].failed, 0);
  }
  assert_value(
      "rpc_server_call_duration_seconds_count{rpc_system_name=\"tether\",rpc_method=\"testing.v1.Echo/"
      "Pooled\",rpc_response_status_code=\"OK\"}",
      THREADS * CALLS);
  assert_value("tether_client_received_messages_total{rpc_method=\"testing.v1.Echo/Pooled\"}", THREADS * CALLS);
  assert_value("tether_server_active_calls{rpc_method=\"testing.v1.Echo/Pooled\"}", 0);
}

/* ---- A second opinion ---------------------------------------------------------------------- */

static void prometheus_s_own_tool_finds_nothing_wrong_with_the_text(void **state) {
  struct rpc_fixture *f = *state;
  if (system("command -v promtool >/dev/null") != 0) {
    print_message("no promtool: install the package prometheus (tools/install-deps test)\n");
    skip();
  }
  call_quick(f, TETHER_OK);
  call_quick(f, TETHER_NOT_FOUND);
  const tether_method strange = method_of("no slash\"\\\n");
  call_method(f, &strange, TETHER_UNIMPLEMENTED);
  FILE *tool = popen("promtool check metrics 2>&1", "w");
  assert_non_null(tool);
  const char *text = read_all();
  assert_int_equal(fwrite(text, 1, strlen(text), tool), strlen(text));
  assert_int_equal(pclose(tool), 0);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(calls_are_counted_by_side_method_and_status),
      CASE(a_histogram_s_buckets_grow_to_its_count),
      CASE(durations_and_budgets_are_in_seconds),
      CASE(cut_calls_are_counted_by_cause),
      CASE(work_for_nobody_is_counted_in_seconds_by_method),
      CASE(calls_that_never_left_are_counted_apart),
      CASE(methods_that_are_not_served_share_one_label),
      CASE(descriptions_of_one_method_share_one_label),
      CASE(methods_beyond_the_limit_share_one_label),
      CASE(nothing_is_lost_when_many_threads_record_while_it_is_read),
      CASE(prometheus_s_own_tool_finds_nothing_wrong_with_the_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
