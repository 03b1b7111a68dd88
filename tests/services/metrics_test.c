/* Metrics of the services: every process exports them, Prometheus's own tool takes the text, and a real Prometheus that
 * scrapes all six has what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

static cluster c;
static process prometheus;

static int setup(void **state) {
  (void)state;
  cluster_start(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  process_kill(&prometheus);
  return cluster_stop(&c);
}

enum { QUERIES = 5, PROCESSES = 2 + CLUSTER_SHARDS };

/* Where the edge, search and the shards serve metrics. */
static void find_ports(uint16_t ports[PROCESSES]) {
  ports[0] = c.port;
  ports[1] = cluster_metrics_port(&c.search);
  for (int i = 0; i < CLUSTER_SHARDS; i++) ports[2 + i] = cluster_metrics_port(&c.shards[i]);
  for (int i = 0; i < PROCESSES; i++) assert_int_not_equal(ports[i], 0);
}

static void search(const char *target, int status) {
  http_reply reply;
  http_get(c.port, target, NULL, &reply);
  assert_int_equal(reply.status, status);
  http_reply_fini(&reply);
}

/* The value of a series in the text of one process; -1: it is not there. */
static double value_of(uint16_t port, const char *series) {
  http_reply reply;
  http_get(port, "/metrics", NULL, &reply);
  assert_int_equal(reply.status, 200);
  char wanted[512];
  snprintf(wanted, sizeof wanted, "\n%s ", series);
  const char *at = strstr(reply.body, wanted);
  double value = at ? strtod(at + strlen(wanted), NULL) : -1;
  http_reply_fini(&reply);
  return value;
}

#define CALLS_OF(side, method)                                                               \
  "rpc_" side "_call_duration_seconds_count{rpc_system_name=\"tether\",rpc_method=\"" method \
  "\",rpc_response_status_code=\"OK\"}"

static void every_process_counts_its_calls(void **state) {
  uint16_t ports[PROCESSES];
  (void)state;
  find_ports(ports);
  for (int i = 0; i < QUERIES; i++) search("/search?q=editor&timeout=20s", 200);
  assert_true(value_of(ports[0], CALLS_OF("client", "search.v1.Search/Search")) == QUERIES);
  assert_true(value_of(ports[1], CALLS_OF("server", "search.v1.Search/Search")) == QUERIES);
  assert_true(value_of(ports[1], CALLS_OF("client", "search.v1.Shard/Search")) == QUERIES * CLUSTER_SHARDS);
  assert_true(value_of(ports[1], "tether_client_connections") == CLUSTER_SHARDS);
  assert_true(value_of(ports[0], "tether_client_connections") == 1);
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    assert_true(value_of(ports[2 + i], CALLS_OF("server", "search.v1.Shard/Search")) == QUERIES);
    assert_true(value_of(ports[2 + i], "tether_server_budget_seconds_count{rpc_method=\"search.v1.Shard/Search\"}") >=
                QUERIES);
  }
}

static void a_shard_counts_what_a_deadline_cut(void **state) {
  static const char series[] =
      "tether_server_cut_calls_total{rpc_method=\"search.v1.Shard/Search\",cause=\"deadline\"}";
  uint16_t ports[PROCESSES];
  (void)state;
  find_ports(ports);
  search("/search?q=editor&timeout=300ms&slow=20s", 504);
  double value = -1;
  for (int waited = 0; value < 1 && waited < PATIENCE_MS; waited += 10) {
    value = value_of(ports[2], series);
    nap_ms(10);
  }
  assert_true(value >= 1);
}

static void only_metrics_are_served_beside_the_calls(void **state) {
  uint16_t port = cluster_metrics_port(&c.search);
  http_reply reply;
  (void)state;
  http_get(port, "/", NULL, &reply);
  assert_int_equal(reply.status, 404);
  http_reply_fini(&reply);
}

static bool installed(const char *tool) {
  char command[64];
  snprintf(command, sizeof command, "command -v %s >/dev/null", tool);
  if (system(command) == 0) return true;
  print_message("no %s: install the package prometheus (tools/install-deps test)\n", tool);
  return false;
}

static void prometheus_s_own_tool_finds_nothing_wrong(void **state) {
  uint16_t ports[PROCESSES];
  (void)state;
  if (!installed("promtool")) skip();
  find_ports(ports);
  search("/search?q=editor&timeout=20s", 200);
  for (int i = 0; i < PROCESSES; i++) {
    http_reply reply;
    http_get(ports[i], "/metrics", NULL, &reply);
    FILE *tool = popen("promtool check metrics 2>&1", "w");
    assert_non_null(tool);
    assert_int_equal(fputs(reply.body, tool) >= 0, 1);
    assert_int_equal(pclose(tool), 0);
    http_reply_fini(&reply);
  }
}

/* ---- A real Prometheus ---------------------------------------------------------------------- */

/* A port nobody listens on now. */
static uint16_t free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
  close(fd);
  return ntohs(address.sin_port);
}

static uint16_t start_prometheus(const uint16_t ports[PROCESSES]) {
  char config[128], storage[160], config_option[160], at[64];
  uint16_t port = free_port();
  snprintf(config, sizeof config, "%s/prometheus.yml", c.dir);
  FILE *f = fopen(config, "we");
  assert_non_null(f);
  fprintf(f,
          "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: search\n"
          "  static_configs:\n  - targets: [");
  for (int i = 0; i < PROCESSES; i++) fprintf(f, "%s'127.0.0.1:%u'", i ? ", " : "", ports[i]);
  fprintf(f, "]\n");
  assert_int_equal(fclose(f), 0);
  snprintf(config_option, sizeof config_option, "--config.file=%s", config);
  snprintf(storage, sizeof storage, "--storage.tsdb.path=%s/tsdb", c.dir);
  snprintf(at, sizeof at, "--web.listen-address=127.0.0.1:%u", port);
  const char *const args[] = {config_option, storage, at, NULL};
  process_start(&prometheus, c.dir, "prometheus", "/usr/bin/prometheus", args);
  return port;
}

/* Asks Prometheus until the query's single value is the wanted one. */
static bool becomes(uint16_t port, const char *query, const char *wanted) {
  char target[512];
  snprintf(target, sizeof target, "/api/v1/query?query=%s", query);
  for (int waited = 0; waited < PATIENCE_MS; waited += 100) {
    int fd = http_connect(port);
    if (fd >= 0) {
      close(fd);
      http_reply reply;
      http_get(port, target, NULL, &reply);
      json_t *result = json_object_get(json_object_get(reply.json, "data"), "result");
      const char *value = json_string_value(json_array_get(json_object_get(json_array_get(result, 0), "value"), 1));
      bool is_it = value && strcmp(value, wanted) == 0;
      http_reply_fini(&reply);
      if (is_it) return true;
    }
    nap_ms(100);
  }
  return false;
}

static void a_real_prometheus_scrapes_what_happened(void **state) {
  uint16_t ports[PROCESSES];
  char wanted[32];
  (void)state;
  if (!installed("prometheus")) skip();
  find_ports(ports);
  double before = value_of(ports[1], CALLS_OF("server", "search.v1.Search/Search"));
  for (int i = 0; i < QUERIES; i++) search("/search?q=library&timeout=20s", 200);
  snprintf(wanted, sizeof wanted, "%d", (before > 0 ? (int)before : 0) + QUERIES);
  uint16_t port = start_prometheus(ports);
  /* sum(up), and the calls that search served with OK, by OpenTelemetry's labels */
  if (!becomes(port, "sum(up)", "6")) {
    char *log = file_text(prometheus.log);
    print_error("%s\n", log);
    free(log);
    fail();
  }
  assert_true(becomes(port,
                      "sum(rpc_server_call_duration_seconds_count%7Brpc_method%3D%22search.v1.Search%2FSearch%22%2Crpc_"
                      "response_status_code%3D%22OK%22%7D)",
                      wanted));
  /* as many by the edge's own count */
  assert_true(becomes(port,
                      "sum(rpc_client_call_duration_seconds_count%7Brpc_method%3D%22search.v1.Search%2FSearch%22%2Crpc_"
                      "response_status_code%3D%22OK%22%7D)",
                      wanted));
  /* quantiles can be had from the buckets */
  assert_true(becomes(port,
                      "count(histogram_quantile(0.99%2Csum%20by%20(le)%20(rpc_server_call_duration_seconds_bucket))%20"
                      "%3E%200)",
                      "1"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_process_counts_its_calls),
      cmocka_unit_test(a_shard_counts_what_a_deadline_cut),
      cmocka_unit_test(only_metrics_are_served_beside_the_calls),
      cmocka_unit_test(prometheus_s_own_tool_finds_nothing_wrong),
      cmocka_unit_test(a_real_prometheus_scrapes_what_happened),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
