/* Traces of the services: one request is one tree of spans over three hops of real processes, with the parents it
 * should have; and a collector that does not work costs no request anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cluster.h"
#include "support/http.h"
#include "tests/support/collector.h"

enum { SERVER = 2, CLIENT = 3 }; /* OpenTelemetry's kinds */

static cluster c;
static collector spans;

static int setup(void **state) {
  char url[64];
  (void)state;
  if (!collector_open(&spans)) return -1;
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector_url(&spans, url), 1); /* for the services */
  setenv("OTEL_BSP_SCHEDULE_DELAY", "50", 1);
  setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test", 1);
  cluster_start(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  int unclean = cluster_stop(&c);
  collector_close(&spans);
  return unclean;
}

static void search(const char *target, const char *headers, int status) {
  http_reply reply;
  http_get(c.port, target, headers, &reply);
  assert_int_equal(reply.status, status);
  http_reply_fini(&reply);
}

/* The span, when it has come. */
static json_t *wait_span(const char *name, int kind, const char *service, const char *trace) {
  json_t *span = NULL;
  for (int waited = 0; !span && waited < PATIENCE_MS; waited += 10) {
    span = collector_span(&spans, name, kind, service, trace);
    if (!span) nap_ms(10);
  }
  if (!span) fail_msg("no span %s of kind %d of %s", name, kind, service);
  return span;
}

static void assert_child(const json_t *child, const json_t *parent) {
  assert_string_equal(span_text(child, "parentSpanId"), span_text(parent, "spanId"));
  assert_string_not_equal(span_text(child, "spanId"), span_text(parent, "spanId"));
}

static void one_request_is_one_tree_of_spans_over_all_processes(void **state) {
  traced t;
  (void)state;
  traced_init(&t);
  search("/search?q=editor&timeout=20s", t.header, 200);
  json_t *http = wait_span("GET /search", SERVER, "edge", t.id);
  json_t *edge = wait_span("search.v1.Search/Search", CLIENT, "edge", t.id);
  json_t *search_server = wait_span("search.v1.Search/Search", SERVER, "search", t.id);
  assert_string_equal(span_text(http, "parentSpanId"), "00f067aa0ba902b7"); /* the test's own, from the header */
  assert_string_equal(span_attribute(http, "http.response.status_code"), "200");
  assert_child(edge, http);
  assert_child(search_server, edge);
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    char name[16];
    snprintf(name, sizeof name, "shard-%d", i);
    json_t *shard = wait_span("search.v1.Shard/Search", SERVER, name, t.id);
    assert_string_equal(span_attribute(shard, "rpc.response.status_code"), "OK");
    /* its parent is one of search's four calls, whose parent is search's own span */
    json_t *parent = NULL;
    pthread_mutex_lock(&spans.mu);
    for (size_t j = 0; !parent && j < json_array_size(spans.spans); j++) {
      json_t *span = json_array_get(spans.spans, j);
      if (strcmp(span_text(span, "spanId"), span_text(shard, "parentSpanId")) == 0) parent = json_incref(span);
    }
    pthread_mutex_unlock(&spans.mu);
    if (!parent) fail_msg("the parent of %s's span was not sent", name);
    assert_string_equal(span_text(parent, "service"), "search");
    assert_string_equal(span_text(parent, "name"), "search.v1.Shard/Search");
    assert_int_equal(json_integer_value(json_object_get(parent, "kind")), CLIENT);
    assert_child(parent, search_server);
    json_decref(parent);
    json_decref(shard);
  }
  json_decref(http);
  json_decref(edge);
  json_decref(search_server);
}

static void a_request_that_ran_out_of_time_says_so_in_its_spans(void **state) {
  traced t;
  (void)state;
  traced_init(&t);
  search("/search?q=editor&timeout=300ms&slow=20s", t.header, 504);
  json_t *http = wait_span("GET /search", SERVER, "edge", t.id);
  json_t *shard = wait_span("search.v1.Shard/Search", SERVER, "shard-0", t.id);
  assert_string_equal(span_attribute(http, "http.response.status_code"), "504");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(http, "status"), "code")), 2);
  assert_string_equal(span_attribute(shard, "tether.cause"), "deadline");
  json_decref(http);
  json_decref(shard);
}

/* Its flag comes with the request. */
static void a_request_that_is_not_sampled_leaves_no_span(void **state) {
  traced t, sampled;
  (void)state;
  traced_init(&t);
  char *flag = strstr(t.header, "-01\r\n");
  assert_non_null(flag);
  flag[2] = '0';
  search("/search?q=editor&timeout=20s", t.header, 200);
  traced_init(&sampled);
  search("/search?q=editor&timeout=20s", sampled.header, 200);
  json_decref(wait_span("search.v1.Shard/Search", SERVER, "shard-0", sampled.id));
  assert_null(collector_span(&spans, "search.v1.Shard/Search", SERVER, "shard-0", t.id));
  assert_null(collector_span(&spans, "GET /search", SERVER, "edge", t.id));
}

/* Last: what is sent meanwhile is lost or late. */
static void requests_are_answered_while_the_collector_fails_or_is_silent(void **state) {
  (void)state;
  int before = atomic_load(&spans.requests);
  atomic_store(&spans.status, 500);
  for (int i = 0; i < 5; i++) search("/search?q=editor&timeout=20s", NULL, 200);
  assert_true(collector_wait_requests(&spans, before + 1));
  atomic_store(&spans.silent, true);
  for (int i = 0; i < 5; i++) search("/search?q=editor&timeout=20s", NULL, 200);
  atomic_store(&spans.silent, false);
  atomic_store(&spans.status, 200);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_request_is_one_tree_of_spans_over_all_processes),
      cmocka_unit_test(a_request_that_ran_out_of_time_says_so_in_its_spans),
      cmocka_unit_test(a_request_that_is_not_sampled_leaves_no_span),
      cmocka_unit_test(requests_are_answered_while_the_collector_fails_or_is_silent),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
