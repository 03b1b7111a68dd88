/* Spans on their way to a collector: what is sent, what the environment says, and that a collector which is down, slow
 * or broken costs spans and nothing else. A real HTTP server takes them. */
#include "tests/support/rpc_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/otlp.h>
#include <unistd.h>

#include "modules/otlp/record.h"
#include "tests/support/collector.h"
#include "tests/support/wait.h"

static collector c;
static tether_otlp *otlp;
static const tether_interceptor *interceptors[2];
static struct rpc_fixture *f;

/* ---- Setup --------------------------------------------------------------------------------- */

static const char *const variables[] = {
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
};

/* A collector, and variables that name it. */
static int setup(void **state) {
  char url[64];
  (void)state;
  otlp = NULL;
  f = NULL;
  for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) unsetenv(variables[i]);
  if (!collector_open(&c)) return -1;
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector_url(&c, url), 1);
  setenv("OTEL_BSP_SCHEDULE_DELAY", "20", 1);
  return 0;
}

static void close_otlp(void) {
  if (f) rpc_fixture_close((void **)&f);
  tether_otlp_close(otlp);
  otlp = NULL;
  f = NULL;
}

static int teardown(void **state) {
  (void)state;
  close_otlp();
  collector_close(&c);
  return 0;
}

/* Opens the exporter, and a server and a client that use it. */
static void open_all(void) {
  assert_int_equal(tether_otlp_open("unit", &otlp), TETHER_OK);
  interceptors[0] = tether_otlp_interceptor(otlp);
  const tether_server_options server = {.interceptors = interceptors};
  const tether_client_options client = {.interceptors = interceptors};
  assert_int_equal(rpc_fixture_open((void **)&f, &server, &client), 0);
}

static void call(uint32_t code) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.code = code;
  request.name = (char *)"said by the handler";
  TETHER_SCOPED_CALL tether_call *one = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(one, (tether_code)code);
}

static tether_otlp_stats stats(void) {
  tether_otlp_stats now;
  tether_otlp_get_stats(otlp, &now);
  return now;
}

static bool none_waits(void *data) {
  (void)data;
  return stats().waiting == 0;
}

static void assert_head_has(const char *text) {
  pthread_mutex_lock(&c.mu);
  bool has = strstr(c.head, text);
  char head[sizeof c.head];
  memcpy(head, c.head, sizeof head);
  pthread_mutex_unlock(&c.mu);
  if (!has) fail_msg("no '%s' in:\n%s", text, head);
}

/* ---- What is sent -------------------------------------------------------------------------- */

#define QUICK "testing.v1.Echo/Quick"

static void a_call_becomes_a_span_of_the_client_and_its_child_at_the_server(void **state) {
  (void)state;
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 2));
  assert_head_has("POST /v1/traces HTTP/1.1\r\n");
  assert_head_has("\r\nContent-Type: application/json");
  json_t *client = collector_span(&c, QUICK, TETHER_SPAN_CLIENT, "unit", NULL);
  json_t *server = collector_span(&c, QUICK, TETHER_SPAN_SERVER, "unit", NULL);
  assert_non_null(client);
  assert_non_null(server);
  assert_string_equal(span_text(server, "traceId"), span_text(client, "traceId"));
  assert_int_equal(strlen(span_text(client, "traceId")), 32);
  assert_int_equal(strlen(span_text(client, "spanId")), 16);
  assert_string_equal(span_text(server, "parentSpanId"), span_text(client, "spanId"));
  assert_string_equal(span_text(client, "parentSpanId"), "");
  assert_string_equal(span_attribute(client, "rpc.system.name"), "tether");
  assert_string_equal(span_attribute(client, "rpc.method"), QUICK);
  assert_string_equal(span_attribute(client, "rpc.response.status_code"), "OK");
  assert_string_equal(span_attribute(client, "tether.attempts"), "1");
  assert_true(strtoll(span_attribute(server, "tether.budget_ns"), NULL, 10) > 0);
  long long start = strtoll(span_text(client, "startTimeUnixNano"), NULL, 10);
  long long end = strtoll(span_text(client, "endTimeUnixNano"), NULL, 10);
  assert_true(start > 1600000000LL * TETHER_SEC && end >= start);
  assert_int_equal(json_object_size(json_object_get(client, "status")), 0);
  json_decref(client);
  json_decref(server);
  assert_true(tst_wait_until(none_waits, NULL, TST_BOUND_NS));
  assert_int_equal(stats().exported, 2);
}

/* An error of what was asked is none of the server. */
static void a_failed_call_is_marked_with_its_code_and_message(void **state) {
  (void)state;
  open_all();
  call(TETHER_NOT_FOUND);
  assert_true(collector_wait_spans(&c, 2));
  json_t *client = collector_span(&c, QUICK, TETHER_SPAN_CLIENT, NULL, NULL);
  json_t *server = collector_span(&c, QUICK, TETHER_SPAN_SERVER, NULL, NULL);
  const json_t *status = json_object_get(client, "status");
  assert_int_equal(json_integer_value(json_object_get(status, "code")), 2);
  assert_string_equal(span_text(status, "message"), "said by the handler");
  assert_string_equal(span_attribute(client, "error.type"), "NOT_FOUND");
  assert_string_equal(span_attribute(server, "error.type"), "NOT_FOUND");
  assert_int_equal(json_object_size(json_object_get(server, "status")), 0);
  json_decref(client);
  json_decref(server);
}

static void a_span_of_something_else_is_sent_as_given(void **state) {
  (void)state;
  open_all();
  static char long_text[1000];
  memset(long_text, 'x', sizeof long_text - 1);
  const tether_otlp_attribute attributes[] = {{.key = "url.path", .text = "/search"},
                                              {.key = "n", .number = -7},
                                              {.key = "long", .text = long_text},
                                              {.key = "not.utf8",
                                               .text = "a\xff"
                                                       "b"}};
  const tether_otlp_span span = {.name = "GET /search",
                                 .kind = TETHER_SPAN_INTERNAL,
                                 .trace = tether_trace_span(NULL),
                                 .parent_id = {0xab, 1},
                                 .start_unix_ns = 1000,
                                 .end_unix_ns = 2000,
                                 .attributes = attributes,
                                 .attribute_count = 4};
  tether_otlp_add(otlp, &span);
  assert_true(collector_wait_spans(&c, 1));
  json_t *sent = collector_span(&c, "GET /search", TETHER_SPAN_INTERNAL, NULL, NULL);
  assert_string_equal(span_text(sent, "parentSpanId"), "ab01000000000000");
  assert_string_equal(span_text(sent, "endTimeUnixNano"), "2000");
  assert_string_equal(span_attribute(sent, "url.path"), "/search");
  assert_string_equal(span_attribute(sent, "n"), "-7");
  assert_int_equal(strlen(span_attribute(sent, "long")), 256);
  assert_string_equal(span_attribute(sent, "not.utf8"), "a?b");
  json_decref(sent);
}

static void what_waits_is_sent_at_close(void **state) {
  (void)state;
  setenv("OTEL_BSP_SCHEDULE_DELAY", "600000", 1);
  open_all();
  for (int i = 0; i < 10; i++) call(TETHER_OK);
  assert_int_equal(atomic_load(&c.requests), 0);
  close_otlp();
  assert_true(collector_wait_spans(&c, 20));
  assert_int_equal(atomic_load(&c.requests), 1);
}

static void a_whole_batch_does_not_wait_for_the_delay(void **state) {
  (void)state;
  setenv("OTEL_BSP_SCHEDULE_DELAY", "600000", 1);
  setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4", 1);
  open_all();
  for (int i = 0; i < 2; i++) call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 4));
}

static void batches_go_over_one_connection(void **state) {
  (void)state;
  atomic_store(&c.keeps, true);
  open_all();
  for (int i = 1; i <= 3; i++) {
    call(TETHER_OK);
    assert_true(collector_wait_spans(&c, 2 * (size_t)i));
  }
  close_otlp();
  assert_true(atomic_load(&c.requests) >= 3);
  assert_int_equal(atomic_load(&c.connections), 1);
}

/* ---- The environment ----------------------------------------------------------------------- */

static void it_is_off_unless_asked_for(void **state) {
  (void)state;
  tether_otlp *off = (tether_otlp *)&c;
  setenv("OTEL_SDK_DISABLED", "true", 1);
  assert_int_equal(tether_otlp_open("unit", &off), TETHER_OK);
  assert_null(off);
  unsetenv("OTEL_SDK_DISABLED");
  setenv("OTEL_TRACES_EXPORTER", "none", 1);
  off = (tether_otlp *)&c;
  assert_int_equal(tether_otlp_open("unit", &off), TETHER_OK);
  assert_null(off);
  unsetenv("OTEL_TRACES_EXPORTER");
  unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
  off = (tether_otlp *)&c;
  assert_int_equal(tether_otlp_open("unit", &off), TETHER_OK);
  assert_null(off);
  assert_null(tether_otlp_interceptor(off));
  const uint8_t id[16] = {1};
  assert_false(tether_otlp_samples(off, NULL, id));
  tether_otlp_close(off);
}

static void an_endpoint_that_is_no_url_is_refused(void **state) {
  static const char *const wrong[] = {"localhost:4318", "ftp://x", "http//x", "://", "file:///etc/passwd"};
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    tether_otlp *none = NULL;
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", wrong[i], 1);
    if (tether_otlp_open("unit", &none) != TETHER_INVALID_ARGUMENT) fail_msg("%s was taken", wrong[i]);
  }
}

static void the_traces_endpoint_is_used_as_it_is(void **state) {
  char url[64], own[96];
  (void)state;
  snprintf(own, sizeof own, "%s/elsewhere", collector_url(&c, url));
  setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own, 1);
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", 1);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 2));
  assert_head_has("POST /elsewhere HTTP/1.1\r\n");
}

static void headers_are_sent_and_one_that_breaks_lines_is_not(void **state) {
  (void)state;
  setenv("OTEL_EXPORTER_OTLP_HEADERS", " api-key = s3cret%20key ,x-other=1=2,broken,evil=a%0d%0aInjected:%201", 1);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 2));
  assert_head_has("\r\nx-other: 1=2");
  assert_head_has("s3cret key");
  pthread_mutex_lock(&c.mu);
  assert_null(strstr(c.head, "Injected"));
  pthread_mutex_unlock(&c.mu);
}

static void assert_resource(const char *key, const char *value) {
  pthread_mutex_lock(&c.mu);
  json_t *resource =
      json_incref(json_object_get(json_array_get(json_object_get(c.last, "resourceSpans"), 0), "resource"));
  pthread_mutex_unlock(&c.mu);
  assert_string_equal(span_attribute(resource, key), value);
  json_decref(resource);
}

static void the_resource_is_what_the_environment_says(void **state) {
  (void)state;
  setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-list,deployment.environment.name=test%2Cbed,service.version=1",
         1);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 2));
  assert_resource("service.name", "from-list");
  assert_resource("deployment.environment.name", "test,bed");
  close_otlp();
  setenv("OTEL_SERVICE_NAME", "from-name", 1);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 4));
  assert_resource("service.name", "from-name");
  assert_resource("service.version", "1");
}

/* How many of 1000 roots are sampled. */
static int sampled_roots(void) {
  int count = 0;
  for (int i = 0; i < 1000; i++) {
    tether_trace trace = tether_trace_span(NULL);
    bool sampled = tether_otlp_samples(otlp, NULL, trace.trace_id);
    assert_int_equal(tether_otlp_samples(otlp, NULL, trace.trace_id), sampled);
    count += sampled;
  }
  return count;
}

static bool follows(uint8_t flags) {
  tether_trace parent = tether_trace_span(NULL);
  parent.flags = flags;
  return tether_otlp_samples(otlp, &parent, parent.trace_id);
}

static void samplers_do_what_their_names_say(void **state) {
  static const struct {
    const char *name, *argument;
    int least, most; /* of 1000 roots; far enough from a quarter for chance not to matter */
    bool with_sampled, with_unsampled;
  } samplers[] = {
      {"always_on", NULL, 1000, 1000, true, true},
      {"always_off", NULL, 0, 0, false, false},
      {"traceidratio", "0", 0, 0, false, false},
      {"traceidratio", "1", 1000, 1000, true, true},
      {"parentbased_always_on", NULL, 1000, 1000, true, false},
      {"parentbased_always_off", NULL, 0, 0, true, false},
      {"parentbased_traceidratio", "0.25", 100, 400, true, false},
      {"parentbased_traceidratio", "many", 1000, 1000, true, false},
      {"unheard_of", NULL, 1000, 1000, true, false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof samplers / sizeof samplers[0]; i++) {
    setenv("OTEL_TRACES_SAMPLER", samplers[i].name, 1);
    unsetenv("OTEL_TRACES_SAMPLER_ARG");
    if (samplers[i].argument) setenv("OTEL_TRACES_SAMPLER_ARG", samplers[i].argument, 1);
    assert_int_equal(tether_otlp_open("unit", &otlp), TETHER_OK);
    int count = sampled_roots();
    if (count < samplers[i].least || count > samplers[i].most) fail_msg("%s: %d of 1000", samplers[i].name, count);
    assert_int_equal(follows(1), samplers[i].with_sampled);
    assert_int_equal(follows(0), samplers[i].with_unsampled);
    close_otlp();
  }
}

static void an_unsampled_trace_is_not_sent(void **state) {
  (void)state;
  open_all();
  TETHER_SCOPED tether_ctx *bounded = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED tether_ctx *ctx = tether_trace_start(bounded, false, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_unref(testing_v1_echo_client_quick(f->client, ctx, &request, NULL));
  call(TETHER_OK);
  assert_true(collector_wait_spans(&c, 2));
  close_otlp();
  assert_int_equal(json_array_size(c.spans), 2);
}

/* ---- Collectors that do not work ----------------------------------------------------------- */

static void calls_go_on_and_spans_are_dropped_while_nobody_listens(void **state) {
  (void)state;
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", 1);
  setenv("OTEL_BSP_EXPORT_TIMEOUT", "1", 1);
  open_all();
  for (int i = 0; i < 50; i++) call(TETHER_OK);
  assert_true(tst_wait_until(none_waits, NULL, TST_BOUND_NS));
  assert_int_equal(stats().dropped, 100);
  assert_int_equal(stats().exported, 0);
}

static void what_a_collector_refuses_is_dropped_and_not_sent_again(void **state) {
  (void)state;
  atomic_store(&c.status, 500);
  open_all();
  call(TETHER_OK);
  assert_true(tst_wait_until(none_waits, NULL, TST_BOUND_NS));
  int requests = atomic_load(&c.requests); /* one, or one for each span */
  assert_true(requests >= 1 && requests <= 2);
  assert_int_equal(stats().dropped, 2);
}

static void a_busy_collector_gets_the_spans_when_it_has_time(void **state) {
  (void)state;
  atomic_store(&c.status, 503);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_requests(&c, 1));
  atomic_store(&c.status, 200);
  assert_true(collector_wait_spans(&c, 2));
  assert_true(tst_wait_until(none_waits, NULL, TST_BOUND_NS));
  assert_int_equal(stats().dropped, 0);
}

static void the_queue_is_bounded_while_a_collector_is_silent(void **state) {
  (void)state;
  setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10", 1);
  setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5", 1);
  atomic_store(&c.silent, true);
  open_all();
  for (int i = 0; i < 100; i++) call(TETHER_OK);
  assert_true(collector_wait_requests(&c, 1));
  assert_true(stats().waiting <= 10);
  assert_int_equal(stats().waiting + stats().dropped, 200);
  atomic_store(&c.silent, false);
  assert_true(tst_wait_until(none_waits, NULL, TST_BOUND_NS));
  assert_int_equal(stats().exported, 10);
  assert_int_equal(stats().dropped, 190);
}

static void a_silent_collector_does_not_hold_up_close(void **state) {
  (void)state;
  setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000", 1);
  atomic_store(&c.silent, true);
  open_all();
  call(TETHER_OK);
  assert_true(collector_wait_requests(&c, 1));
  int64_t began_ns = tst_now_ns();
  close_otlp();
  assert_true(tst_now_ns() - began_ns < TETHER_OTLP_CLOSE_NS + TST_BOUND_NS); /* not ten minutes */
}

/* ---- No memory ----------------------------------------------------------------------------- */

static int allocations, failing;

static void *allocate(size_t size) { return allocations++ == failing ? NULL : malloc(size); }

/* The Nth allocation fails, for every N, while a request is written: there is none, or a whole one. */
static void a_request_without_memory_is_none_or_whole(void **state) {
  (void)state;
  const tether_otlp_attribute attributes[] = {{.key = "a", .text = "b"}, {.key = "n", .number = 1}};
  const tether_otlp_span span = {.name = "x",
                                 .kind = TETHER_SPAN_SERVER,
                                 .trace = tether_trace_span(NULL),
                                 .parent_id = {1},
                                 .failed = true,
                                 .attributes = attributes,
                                 .attribute_count = 2};
  otlp_record *record = tth_otlp_record_new(&span);
  json_t *resource = json_object();
  assert_non_null(record);
  json_set_alloc_funcs(allocate, free);
  int nones = 0;
  failing = 0;
  do {
    allocations = 0;
    char *text = tth_otlp_request(record, 1, resource);
    nones += !text;
    if (text) assert_non_null(strstr(text, "\"name\":\"x\""));
    free(text);
  } while (allocations > failing++);
  json_set_alloc_funcs(malloc, free);
  assert_true(nones > 30);
  json_decref(resource);
  free(record);
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_call_becomes_a_span_of_the_client_and_its_child_at_the_server),
      CASE(a_failed_call_is_marked_with_its_code_and_message),
      CASE(a_span_of_something_else_is_sent_as_given),
      CASE(what_waits_is_sent_at_close),
      CASE(a_whole_batch_does_not_wait_for_the_delay),
      CASE(batches_go_over_one_connection),
      CASE(it_is_off_unless_asked_for),
      CASE(an_endpoint_that_is_no_url_is_refused),
      CASE(the_traces_endpoint_is_used_as_it_is),
      CASE(headers_are_sent_and_one_that_breaks_lines_is_not),
      CASE(the_resource_is_what_the_environment_says),
      CASE(samplers_do_what_their_names_say),
      CASE(an_unsampled_trace_is_not_sent),
      CASE(calls_go_on_and_spans_are_dropped_while_nobody_listens),
      CASE(what_a_collector_refuses_is_dropped_and_not_sent_again),
      CASE(a_busy_collector_gets_the_spans_when_it_has_time),
      CASE(the_queue_is_bounded_while_a_collector_is_silent),
      CASE(a_silent_collector_does_not_hold_up_close),
      CASE(a_request_without_memory_is_none_or_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
