/* Streams that are larger than all buffers on their way: who holds whom back, and what ends them in the middle. Each
 * test has a cluster of its own kind of catalogue (support/cluster.h), of which no shard can send all before it is
 * read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

#define EVERYTHING "/search?q=wide&limit=all&format=ndjson&timeout=30s"

/* What a process may take for a stream that is not read. The whole stream has 32 MB; the sanitizers take several times
 * what they watch. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STALLED_KILOBYTES = 24 * 1024 };
#else
enum { STALLED_KILOBYTES = 8 * 1024 };
#endif

static cluster c;
static http_stream s = {.fd = -1};

/* AddressSanitizer keeps what was freed, which is not what is measured here. */
static void keep_little_freed_memory(void) {
  char options[512];
  const char *given = getenv("ASAN_OPTIONS");
  snprintf(options, sizeof options, "%s:quarantine_size_mb=4:thread_local_quarantine_size_kb=64", given ? given : "");
  setenv("ASAN_OPTIONS", options, 1);
}

static int setup(void **state) {
  (void)state;
  keep_little_freed_memory();
  cluster_start_wide(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  return cluster_stop(&c);
}

/* After each test: a stream that a failed one left open would fail the next. */
static int close_stream(void **state) {
  (void)state;
  http_stream_close(&s);
  return 0;
}

static int64_t number(const json_t *json, const char *key) { return json_integer_value(json_object_get(json, key)); }

static const char *shard_status(const json_t *summary, size_t i) {
  return json_text(json_array_get(json_object_get(summary, "shards"), i), "status");
}

/* Opens a stream, reads its first hit, and waits until every shard is at work for it. */
static void open_stream(http_stream *stream, traced *t, const char *target) {
  log_line lines[CLUSTER_SHARDS];
  traced_init(t);
  http_stream_open(stream, c.port, target, t->header);
  assert_int_equal(stream->status, 200);
  const char *first = http_stream_line(stream);
  assert_non_null(first);
  assert_memory_equal(first, "{\"name\":\"package", 16);
  assert_true(cluster_wait_shards(&c, "query-start", t->id, lines));
}

/* Reads the rest: how many hits come, and the summary (NULL if the stream has none), to be released. */
static int64_t read_rest(http_stream *stream, json_t **summary) {
  int64_t hits = 0;
  *summary = NULL;
  for (const char *line; (line = http_stream_line(stream));) {
    assert_null(*summary);
    if (strncmp(line, "{\"name\":", 8) == 0) {
      hits++;
    } else {
      json_t *json = json_loads(line, 0, NULL);
      *summary = json_incref(json_object_get(json, "summary"));
      json_decref(json);
    }
  }
  return hits;
}

static void stopped(const traced *t, const char *cause) {
  log_line lines[CLUSTER_SHARDS];
  char value[256];
  assert_true(cluster_wait_shards(&c, "query-stopped", t->id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) assert_string_equal(log_value(&lines[i], "cause", value), cause);
}

static void a_full_page_stops_every_shard(void **state) {
  log_line lines[CLUSTER_SHARDS], line;
  char value[256];
  json_t *summary;
  traced t;
  (void)state;
  /* Fewer than any shard has, so none can come to its end. */
  open_stream(&s, &t, "/search?q=wide&limit=500&format=ndjson&timeout=30s");
  assert_int_equal(1 + read_rest(&s, &summary), 500);
  http_stream_close(&s);
  assert_true(json_is_true(json_object_get(summary, "full")));
  assert_true(json_is_false(json_object_get(summary, "partial")));
  assert_int_equal(number(summary, "hits"), 500);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++) assert_string_equal(shard_status(summary, i), "enough");
  json_decref(summary);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) {
    assert_string_equal(log_value(&lines[i], "status", value), "CANCELLED");
    assert_string_equal(log_value(&lines[i], "cause", value), "enough");
    assert_string_equal(log_value(&lines[i], "why", value), "the page is full");
    assert_memory_equal(log_value(&lines[i], "origin", value), "search/", 7);
    assert_true(strtol(log_value(&lines[i], "matched", value), NULL, 10) < WIDE_PACKAGES / CLUSTER_SHARDS);
  }
  assert_true(log_wait(&c.search, "search-end", t.id, "status=OK", &line));
  assert_string_equal(log_value(&line, "hits", value), "500");
  assert_string_equal(log_value(&line, "enough", value), "4");
}

static void closing_the_connection_stops_every_shard(void **state) {
  log_line line;
  char value[256];
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  http_stream_close(&s);
  stopped(&t, "caller");
  assert_true(log_wait(&c.edge, "disconnect", t.id, "http=499", &line));
  assert_true(strtol(log_value(&line, "hits", value), NULL, 10) < WIDE_PACKAGES);
}

static void resetting_the_connection_stops_every_shard(void **state) {
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  http_reset(s.fd);
  s.fd = -1;
  stopped(&t, "caller");
}

static void half_closing_the_connection_stops_every_shard(void **state) {
  json_t *summary;
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  shutdown(s.fd, SHUT_WR);
  stopped(&t, "caller");
  assert_true(read_rest(&s, &summary) < WIDE_PACKAGES);
  json_decref(summary);
  http_stream_close(&s);
}

static void closing_after_reading_much_stops_every_shard(void **state) {
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  for (int i = 1; i < WIDE_PACKAGES / 8; i++) assert_non_null(http_stream_line(&s));
  http_stream_close(&s);
  stopped(&t, "caller");
}

/* ---- Clients that do not read --------------------------------------------------------------- */

enum { PROCESSES = 2 + CLUSTER_SHARDS };

static void each_process(const process *all[PROCESSES]) {
  all[0] = &c.edge;
  all[1] = &c.search;
  for (int i = 0; i < CLUSTER_SHARDS; i++) all[2 + i] = &c.shards[i];
}

static void other_requests_are_answered(int count, const char *target) {
  for (int i = 0; i < count; i++) {
    http_reply reply;
    http_get(c.port, target, NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(json_is_false(json_object_get(reply.json, "partial")));
    http_reply_fini(&reply);
  }
}

static void a_slow_reader_holds_everything_back_and_nobody_else(void **state) {
  static const char *const names[PROCESSES] = {"edge", "search", "shard-0", "shard-1", "shard-2", "shard-3"};
  const process *all[PROCESSES];
  long before[PROCESSES], taken;
  json_t *summary;
  log_line line;
  traced t;
  (void)state;
  each_process(all);
  other_requests_are_answered(4, "/search?q=wide&limit=2&timeout=20s");
  for (int i = 0; i < PROCESSES; i++) before[i] = process_kilobytes(all[i], "VmRSS");

  open_stream(&s, &t, "/search?q=wide&limit=all&format=ndjson&timeout=" WIDE_MAX_TIMEOUT);
  /* Time enough for all of it to come, if nothing held it back: one of these takes 500 ms. */
  other_requests_are_answered(1, "/search?q=wide&limit=2&timeout=20s&slow=500ms");
  other_requests_are_answered(20, "/search?q=wide&limit=2&timeout=20s");
  for (int i = 0; i < PROCESSES; i++) {
    taken = process_kilobytes(all[i], "VmHWM") - before[i];
    print_message("%s: at most %ld kB more, of %d kB\n", names[i], taken, WIDE_PACKAGES / 1000 * WIDE_BYTES);
    assert_true(before[i] > 0);
    assert_in_range(taken, 0, STALLED_KILOBYTES);
  }
  for (int i = 0; i < CLUSTER_SHARDS; i++)
    assert_false(log_find(&c.shards[i], "query-end", t.id, "SearchStream", &line));

  /* And all of it comes once it is read. */
  assert_int_equal(1 + read_rest(&s, &summary), WIDE_PACKAGES);
  assert_int_equal(number(summary, "status"), 200);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++) assert_string_equal(shard_status(summary, i), "ok");
  json_decref(summary);
  http_stream_close(&s);
}

static void a_budget_that_runs_out_ends_a_stream_that_is_not_read(void **state) {
  json_t *summary;
  log_line line;
  traced t;
  (void)state;
  open_stream(&s, &t, "/search?q=wide&limit=all&format=ndjson&timeout=2s");
  stopped(&t, "deadline");
  assert_true(log_wait(&c.edge, "request", t.id, "status=DEADLINE_EXCEEDED", &line));
  int64_t hits = 1 + read_rest(&s, &summary);
  assert_true(s.over);
  assert_non_null(summary);
  assert_int_equal(number(summary, "status"), 504);
  assert_int_equal(number(summary, "hits"), hits);
  assert_true(hits < WIDE_PACKAGES);
  assert_string_equal(json_text(summary, "error.code"), "DEADLINE_EXCEEDED");
  assert_string_equal(json_text(summary, "error.cause"), "deadline");
  json_decref(summary);
  http_stream_close(&s);
}

static void a_client_that_reads_nothing_for_too_long_is_given_up(void **state) {
  log_line line;
  process edge;
  traced t;
  (void)state;
  uint16_t port = c.port;
  c.port = cluster_start_edge(&c, &edge, "--idle", "500ms");
  open_stream(&s, &t, EVERYTHING);
  stopped(&t, "caller");
  assert_true(log_wait(&edge, "disconnect", t.id, "http=499", &line));
  kill(edge.pid, SIGTERM);
  assert_int_equal(process_wait(&edge), 0);
  assert_false(log_find(&edge, "shutdown", NULL, "cancelling", &line)); /* there was nothing to wait for */
  c.port = port;
}

/* Waits for it: a shard has logged that a query was stopped a moment before it takes the next. */
static bool every_shard_takes_a_stream(void) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    json_t *summary;
    http_stream_open(&s, c.port, "/search?q=wide&limit=all&format=ndjson&timeout=20s", NULL);
    read_rest(&s, &summary);
    bool complete = summary && json_is_false(json_object_get(summary, "partial"));
    json_decref(summary);
    http_stream_close(&s);
    if (complete) return true;
    nap_ms(10);
  }
  return false;
}

/* A shard serves so many streams at once (half of its workers), so that slow readers do not take all its workers. */
static void streams_that_are_not_read_leave_room_for_other_requests(void **state) {
  enum { MOST = 4 };
  static http_stream streams[MOST];
  http_reply reply;
  traced t[MOST];
  (void)state;
  for (int i = 0; i < MOST; i++) open_stream(&streams[i], &t[i], EVERYTHING);
  http_get(c.port, EVERYTHING, NULL, &reply);
  assert_int_equal(reply.status, 503);
  assert_string_equal(json_text(reply.json, "error.code"), "RESOURCE_EXHAUSTED");
  assert_non_null(strstr(json_text(reply.json, "error.message"), "4 streams are being read already"));
  http_reply_fini(&reply);
  other_requests_are_answered(20, "/search?q=wide&limit=2&timeout=20s");
  for (int i = 0; i < MOST; i++) http_stream_close(&streams[i]);
  for (int i = 0; i < MOST; i++) stopped(&t[i], "caller");
  assert_true(every_shard_takes_a_stream());
}

/* What the client sends while it is sent a stream is for later, and is not taken in at any length. */
static void a_client_that_only_talks_is_not_listened_to_without_end(void **state) {
  static const char words[65536];
  enum { ALL = 64 * 1024 * 1024 };
  size_t sent = 0;
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  struct pollfd p = {.fd = s.fd, .events = POLLOUT};
  while (sent < ALL && poll(&p, 1, 300) == 1) {
    ssize_t n = send(s.fd, words, sizeof words, MSG_DONTWAIT | MSG_NOSIGNAL);
    assert_true(n > 0);
    sent += (size_t)n;
  }
  assert_in_range(sent, 1, ALL / 2); /* most of which the kernel holds */
  http_stream_close(&s);
  stopped(&t, "caller");
}

/* ---- Processes that die --------------------------------------------------------------------- */

static void a_shard_killed_in_the_middle_is_down_in_the_summary(void **state) {
  json_t *summary;
  int64_t sum = 0;
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  process_kill(&c.shards[1]);
  int64_t hits = 1 + read_rest(&s, &summary);
  http_stream_close(&s);
  assert_non_null(summary);
  assert_int_equal(number(summary, "status"), 200);
  assert_true(json_is_true(json_object_get(summary, "partial")));
  assert_int_equal(number(summary, "hits"), hits);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++) {
    json_t *shard = json_array_get(json_object_get(summary, "shards"), i);
    assert_string_equal(json_text(shard, "status"), i == 1 ? "down" : "ok");
    sum += number(shard, "matched");
  }
  assert_int_equal(hits, sum);
  assert_true(hits < WIDE_PACKAGES);
  json_decref(summary);
  cluster_start_shard(&c, 1);
  assert_true(cluster_wait_health(&c, "\"status\":\"ok\"", true));
}

static void a_search_service_killed_in_the_middle_ends_the_stream_with_an_error(void **state) {
  json_t *summary;
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  process_kill(&c.search);
  int64_t hits = 1 + read_rest(&s, &summary);
  assert_true(s.over);
  http_stream_close(&s);
  assert_true(hits < WIDE_PACKAGES);
  assert_non_null(summary);
  assert_int_equal(number(summary, "status"), 503);
  assert_int_equal(number(summary, "hits"), hits);
  assert_string_equal(json_text(summary, "error.code"), "UNAVAILABLE");
  assert_string_equal(json_text(summary, "error.cause"), "peer_lost");
  json_decref(summary);
  stopped(&t, "peer_lost");
  cluster_start_search(&c);
  assert_true(cluster_wait_health(&c, "\"status\":\"ok\"", true));
}

static void a_terminated_search_service_does_not_wait_for_a_reader(void **state) {
  json_t *summary;
  traced t;
  (void)state;
  open_stream(&s, &t, EVERYTHING);
  kill(c.search.pid, SIGTERM);
  assert_int_equal(process_wait(&c.search), 0);
  stopped(&t, "shutdown");
  assert_true(1 + read_rest(&s, &summary) < WIDE_PACKAGES);
  assert_non_null(summary);
  assert_int_equal(number(summary, "status"), 503);
  assert_string_equal(json_text(summary, "error.cause"), "shutdown");
  json_decref(summary);
  cluster_start_search(&c);
  assert_true(cluster_wait_health(&c, "\"status\":\"ok\"", true));
}

static void a_terminated_edge_does_not_wait_for_a_reader(void **state) {
  traced t;
  (void)state;
  process edge;
  uint16_t port = c.port;
  c.port = cluster_start_edge(&c, &edge, "--grace", "500ms");
  open_stream(&s, &t, EVERYTHING);
  kill(edge.pid, SIGTERM);
  stopped(&t, "shutdown");
  assert_int_equal(process_wait(&edge), 0);
  c.port = port;
  http_stream_close(&s);
}

#define TEST(name) cmocka_unit_test_teardown(name, close_stream)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_slow_reader_holds_everything_back_and_nobody_else),
      TEST(a_full_page_stops_every_shard),
      TEST(closing_the_connection_stops_every_shard),
      TEST(resetting_the_connection_stops_every_shard),
      TEST(half_closing_the_connection_stops_every_shard),
      TEST(closing_after_reading_much_stops_every_shard),
      TEST(a_budget_that_runs_out_ends_a_stream_that_is_not_read),
      TEST(a_client_that_reads_nothing_for_too_long_is_given_up),
      TEST(streams_that_are_not_read_leave_room_for_other_requests),
      TEST(a_client_that_only_talks_is_not_listened_to_without_end),
      TEST(a_shard_killed_in_the_middle_is_down_in_the_summary),
      TEST(a_search_service_killed_in_the_middle_ends_the_stream_with_an_error),
      TEST(a_terminated_search_service_does_not_wait_for_a_reader),
      TEST(a_terminated_edge_does_not_wait_for_a_reader),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
