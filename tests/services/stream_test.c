/* Streamed replies: their forms, who gets which, and what is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cluster.h"
#include "support/http.h"

static cluster c;
static http_stream s;

static int setup(void **state) {
  (void)state;
  cluster_start(&c);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  return cluster_stop(&c);
}

#define NDJSON "Accept: application/x-ndjson\r\n"
#define EVENTS "Accept: text/event-stream\r\n"

/* The next line as JSON, to be released; NULL at the end. */
static json_t *next_json(void) {
  const char *line = http_stream_line(&s);
  if (!line) return NULL;
  json_t *json = json_loads(line, 0, NULL);
  if (!json) fail_msg("not JSON: %s", line);
  return json;
}

/* The next event of a text/event-stream: its data; `name` gets what it is called. */
static json_t *next_event(char name[16]) {
  const char *line = http_stream_line(&s);
  if (!line) return NULL;
  assert_int_equal(sscanf(line, "event: %15s", name), 1);
  line = http_stream_line(&s);
  assert_non_null(line);
  assert_memory_equal(line, "data: ", 6);
  json_t *json = json_loads(line + 6, 0, NULL);
  assert_non_null(json);
  assert_string_equal(http_stream_line(&s), "");
  return json;
}

/* Reads hits until the summary, which is returned; nothing may come after it. The hits are added to `hits`. */
static json_t *read_to_summary(json_t *hits) {
  for (json_t *json; (json = next_json());) {
    json_t *summary = json_object_get(json, "summary");
    if (!json_is_object(summary)) {
      json_array_append_new(hits, json);
      continue;
    }
    json_incref(summary);
    json_decref(json);
    assert_null(http_stream_line(&s));
    assert_true(s.over);
    return summary;
  }
  fail_msg("the stream has no summary");
  return NULL;
}

/* The hit of that name; NULL if there is none. */
static json_t *named(json_t *hits, const char *name) {
  for (size_t i = 0; i < json_array_size(hits); i++)
    if (strcmp(json_text(json_array_get(hits, i), "name"), name) == 0) return json_array_get(hits, i);
  return NULL;
}

static int64_t number(const json_t *json, const char *key) { return json_integer_value(json_object_get(json, key)); }

static void a_stream_has_the_hits_of_the_reply_in_one_piece(void **state) {
  static const char *const queries[] = {"editor", "lib*", "gnu", "nosuchword"};
  (void)state;
  for (size_t q = 0; q < sizeof queries / sizeof queries[0]; q++) {
    char target[128];
    http_reply whole;
    snprintf(target, sizeof target, "/search?q=%s&limit=100&timeout=15s", queries[q]);
    http_get(c.port, target, NULL, &whole);
    assert_int_equal(whole.status, 200);
    json_t *expected = json_object_get(whole.json, "hits"), *hits = json_array();
    assert_true(json_array_size(expected) < 100); /* else the two may differ */
    http_stream_open(&s, c.port, target, NDJSON);
    assert_int_equal(s.status, 200);
    json_t *summary = read_to_summary(hits);
    http_stream_close(&s);
    assert_int_equal(json_array_size(hits), json_array_size(expected));
    for (size_t i = 0; i < json_array_size(expected); i++) {
      json_t *hit = json_array_get(expected, i);
      assert_true(json_equal(hit, named(hits, json_text(hit, "name"))));
    }
    assert_int_equal(number(summary, "status"), 200);
    assert_int_equal(number(summary, "hits"), json_array_size(hits));
    assert_int_equal(number(whole.json, "matched"), json_array_size(hits));
    assert_true(json_is_false(json_object_get(summary, "partial")));
    assert_true(json_is_false(json_object_get(summary, "full")));
    assert_int_equal(json_array_size(json_object_get(summary, "shards")), CLUSTER_SHARDS);
    for (size_t i = 0; i < CLUSTER_SHARDS; i++) {
      json_t *shard = json_array_get(json_object_get(summary, "shards"), i);
      assert_string_equal(json_text(shard, "status"), "ok");
      assert_int_equal(number(shard, "matched"),
                       number(json_array_get(json_object_get(whole.json, "shards"), i), "matched"));
    }
    json_decref(summary);
    json_decref(hits);
    http_reply_fini(&whole);
  }
}

static void events_carry_the_same_as_lines(void **state) {
  char name[16];
  int64_t hits = 0;
  json_t *json;
  (void)state;
  http_stream_open(&s, c.port, "/search?q=editor&limit=100&timeout=15s", EVENTS);
  assert_int_equal(s.status, 200);
  assert_non_null(strstr(s.head, "\nContent-Type: text/event-stream\n"));
  while ((json = next_event(name)) && strcmp(name, "hit") == 0) {
    assert_string_not_equal(json_text(json, "name"), "");
    json_decref(json);
    hits++;
  }
  assert_non_null(json);
  assert_string_equal(name, "summary");
  assert_true(hits > 3);
  assert_int_equal(number(json_object_get(json, "summary"), "hits"), hits);
  json_decref(json);
  assert_null(http_stream_line(&s));
  assert_true(s.over);
  http_stream_close(&s);
}

static void a_limit_ends_the_stream(void **state) {
  (void)state;
  json_t *hits = json_array();
  http_stream_open(&s, c.port, "/search?q=lib*&limit=5&timeout=15s&format=ndjson", NULL);
  json_t *summary = read_to_summary(hits);
  assert_int_equal(json_array_size(hits), 5);
  assert_int_equal(number(summary, "hits"), 5);
  assert_true(json_is_true(json_object_get(summary, "full")));
  assert_true(json_is_false(json_object_get(summary, "partial")));
  json_decref(summary);
  json_decref(hits);
  http_stream_close(&s);
}

static void the_format_is_what_the_client_prefers(void **state) {
  static const struct {
    const char *accept, *parameter, *type;
  } rows[] = {
      {NULL, "", "application/json"},
      {"", "", "application/json"},
      {"*/*", "", "application/json"},
      {"text/html, application/xhtml+xml, */*;q=0.8", "", "application/json"},
      {"application/*", "", "application/json"},
      {"application/x-ndjson", "", "application/x-ndjson"},
      {"APPLICATION/X-NDJSON", "", "application/x-ndjson"},
      {"application/x-ndjson, */*", "", "application/x-ndjson"},
      {"application/x-ndjson;q=0.5, application/json;q=0.8", "", "application/json"},
      {"application/json;q=0.123 , application/x-ndjson ; q=0.2", "", "application/x-ndjson"},
      {"text/event-stream", "", "text/event-stream"},
      {"text/*", "", "text/event-stream"},
      {"text/event-stream;charset=\"utf-8,;\\\"\";q=1.0", "", "text/event-stream"},
      {"*/*, application/json;q=0", "", "application/x-ndjson"},
      {",,application/json , ,", "", "application/json"},
      {"application/json", "&format=ndjson", "application/x-ndjson"},
      {"image/png", "&format=events", "text/event-stream"},
      {"application/x-ndjson", "&format=json", "application/json"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char header[128] = "", target[128], expected[64];
    if (rows[i].accept) snprintf(header, sizeof header, "Accept: %s\r\n", rows[i].accept);
    snprintf(target, sizeof target, "/search?q=editor&timeout=15s%s", rows[i].parameter);
    snprintf(expected, sizeof expected, "\nContent-Type: %s\n", rows[i].type);
    http_stream_open(&s, c.port, target, header);
    if (s.status != 200 || !strstr(s.head, expected))
      fail_msg("row %zu: status %d, no '%s' in: %s", i, s.status, rows[i].type, s.head);
    http_stream_close(&s);
  }
}

static void refused(const char *target, const char *headers, int status, const char *message) {
  http_reply reply;
  http_get(c.port, target, headers, &reply);
  if (reply.status != status) fail_msg("%s %s: status %d", target, headers ? headers : "", reply.status);
  if (!strstr(json_text(reply.json, "error.message"), message)) fail_msg("no '%s' in %s", message, reply.body);
  http_reply_fini(&reply);
}

static void what_cannot_be_accepted_is_refused_with_a_reason(void **state) {
  static const char *const unreadable[] = {"rubbish",
                                           "/json",
                                           "application/",
                                           "application/json;",
                                           "application/json;q",
                                           "application/json;q=",
                                           "application/json;q=1.1",
                                           "application/json;q=0.1234",
                                           "application/json;q=high",
                                           "application/json;a=\"b",
                                           "application/json text/html"};
  (void)state;
  for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++) {
    char header[128];
    snprintf(header, sizeof header, "Accept: %s\r\n", unreadable[i]);
    refused("/search?q=editor", header, 400, "cannot be read");
  }
  refused("/search?q=editor", "Accept: image/png\r\n", 406, "there are application/json, application/x-ndjson and");
  refused("/search?q=editor", "Accept: */*;q=0\r\n", 406, "allows is served");
  refused("/search?q=editor&format=xml", NULL, 400, "format 'xml' is none of json, ndjson and events");
  refused("/search?q=editor&format=", NULL, 400, "format '' is none of");
}

static void a_stream_may_be_longer_than_a_reply_in_one_piece(void **state) {
  (void)state;
  refused("/search?q=editor&limit=101", NULL, 400, "limit '101' is not a number from 1 to 100");
  refused("/search?q=editor&limit=all", NULL, 400, "limit 'all'");
  refused("/search?limit=0&format=ndjson&q=editor", NULL, 400, "limit '0' is not a number from 1 to 1000000, or all");
  refused("/search?q=editor&limit=1000001", NDJSON, 400, "limit '1000001'");
  static const char *const good[] = {"all", "101", "1000000"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    char target[128];
    json_t *hits = json_array();
    snprintf(target, sizeof target, "/search?limit=%s&q=editor&timeout=15s", good[i]);
    http_stream_open(&s, c.port, target, NDJSON);
    json_t *summary = read_to_summary(hits);
    assert_true(json_is_false(json_object_get(summary, "full")));
    json_decref(summary);
    json_decref(hits);
    http_stream_close(&s);
  }
}

static void an_error_before_the_first_hit_is_an_ordinary_reply(void **state) {
  (void)state;
  refused("/search?q=--", NDJSON, 400, "no words");
  /* The search service keeps a tenth of the budget to say so. */
  refused("/search?q=editor&timeout=4s&slow=60s", NDJSON, 504, "no shard answered");
}

static void the_first_hit_comes_before_a_slow_shard_has_ended(void **state) {
  log_line line;
  char value[256];
  traced t;
  (void)state;
  traced_init(&t);
  http_stream_open(&s, c.port, "/search?q=lib*&limit=all&timeout=30s&slow=shard-3:25s&format=ndjson", t.header);
  json_t *hit = next_json();
  assert_non_null(json_object_get(hit, "name"));
  json_decref(hit);
  assert_false(log_find(&c.shards[3], "query-end", t.id, NULL, &line));
  assert_false(log_find(&c.shards[3], "query-stopped", t.id, NULL, &line));
  assert_true(log_wait(&c.shards[3], "query-start", t.id, NULL, &line));
  http_stream_close(&s);
  assert_true(log_wait(&c.shards[3], "query-stopped", t.id, "cause=caller", &line));
  assert_true(strtod(log_value(&line, "took", value), NULL) < 15000); /* not the 25 s */
  assert_true(log_wait(&c.edge, "disconnect", t.id, "http=499", &line));
  assert_true(log_wait(&c.search, "search-end", t.id, "status=CANCELLED", &line));
}

static void leaving_before_the_first_hit_stops_every_shard(void **state) {
  log_line lines[CLUSTER_SHARDS], line;
  traced t;
  (void)state;
  traced_init(&t);
  int fd = http_connect(c.port);
  assert_true(http_send(fd, "/search?q=editor&timeout=30s&slow=25s&format=events", t.header));
  assert_true(cluster_wait_shards(&c, "query-start", t.id, lines));
  close(fd);
  assert_true(cluster_wait_shards(&c, "query-stopped", t.id, lines));
  for (int i = 0; i < CLUSTER_SHARDS; i++) assert_non_null(strstr(lines[i].text, "cause=caller"));
  assert_true(log_wait(&c.edge, "disconnect", t.id, "hits=0", &line));
}

/* Connections that are silent are closed after a while; one that waits for the next hit is not. */
static void a_pause_between_two_hits_may_be_long(void **state) {
  process edge;
  json_t *hits = json_array();
  (void)state;
  uint16_t port = cluster_start_edge(&c, &edge, "--idle", "300ms");
  http_stream_open(&s, port, "/search?q=lib*&limit=all&timeout=20s&slow=shard-1:1500ms", NDJSON);
  json_t *summary = read_to_summary(hits);
  assert_int_equal(number(summary, "status"), 200);
  assert_true(json_is_false(json_object_get(summary, "partial")));
  json_decref(summary);
  json_decref(hits);
  assert_null(http_stream_line(&s)); /* now it is silent */
  char byte;
  assert_int_equal(read(s.fd, &byte, 1), 0);
  http_stream_close(&s);
  kill(edge.pid, SIGTERM);
  assert_int_equal(process_wait(&edge), 0);
}

static void a_slow_shard_makes_the_stream_partial_within_the_budget(void **state) {
  log_line line;
  traced t;
  (void)state;
  json_t *hits = json_array();
  traced_init(&t);
  http_stream_open(&s, c.port, "/search?q=lib*&limit=all&timeout=2s&slow=shard-2:60s&format=ndjson", t.header);
  json_t *summary = read_to_summary(hits);
  int64_t sum = 0;
  assert_int_equal(number(summary, "status"), 200);
  assert_true(json_is_true(json_object_get(summary, "partial")));
  assert_true(json_real_value(json_object_get(summary, "took_ms")) < 2000);
  assert_true(json_real_value(json_object_get(summary, "first_hit_ms")) > 0);
  assert_string_equal(json_text(summary, "trace_id"), t.id);
  for (size_t i = 0; i < CLUSTER_SHARDS; i++) {
    json_t *shard = json_array_get(json_object_get(summary, "shards"), i);
    assert_string_equal(json_text(shard, "status"), i == 2 ? "late" : "ok");
    sum += number(shard, "matched");
  }
  assert_int_equal(json_array_size(hits), sum);
  assert_true(log_wait(&c.shards[2], "query-stopped", t.id, "cause=deadline", &line));
  json_decref(summary);
  json_decref(hits);
  http_stream_close(&s);
}

static void the_next_request_on_the_connection_is_served_after_the_stream(void **state) {
  json_t *hits = json_array();
  (void)state;
  http_stream_open(&s, c.port, "/search?q=editor&limit=all&timeout=15s", NDJSON);
  assert_true(http_send(s.fd, "/healthz", NULL));
  json_decref(read_to_summary(hits));
  json_decref(hits);
  http_stream_next(&s);
  assert_int_equal(s.status, 200);
  json_t *health = next_json();
  assert_string_equal(json_text(health, "status"), "ok");
  json_decref(health);
  http_stream_close(&s);
}

/* HTTP/1.0 has no chunks: the connection's end is the reply's, also for a client that asks to keep it. */
static void an_old_client_gets_the_stream_without_chunks(void **state) {
  static const char request[] =
      "GET /search?q=editor&limit=all&timeout=15s&format=ndjson HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  static char reply[65536];
  size_t len = 0;
  (void)state;
  int fd = http_connect(c.port);
  assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
  for (ssize_t n; len < sizeof reply - 1 && (n = read(fd, reply + len, sizeof reply - 1 - len)) > 0;) len += (size_t)n;
  close(fd);
  reply[len] = '\0';
  assert_non_null(strstr(reply, " 200 OK\r\n"));
  assert_null(strcasestr(reply, "\r\nContent-Length:"));
  assert_null(strcasestr(reply, "\r\nTransfer-Encoding:"));
  char *body = strstr(reply, "\r\n\r\n{\"name\":");
  assert_non_null(body);
  char *summary = strstr(body, "\n{\"summary\":");
  assert_non_null(summary);
  assert_ptr_equal(strchr(summary + 1, '\n'), reply + len - 1);
}

static void the_command_line_client_shows_hits_as_they_come(void **state) {
  char url[128];
  process p;
  (void)state;
  snprintf(url, sizeof url, "ipc://%s/search.sock", c.dir);
  const char *const all[] = {"search", "--stream", "--url", url, "--timeout", "15s", "editor", NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", all), 0);
  char *out = file_text(p.out);
  assert_non_null(strstr(out, "PACKAGE"));
  assert_non_null(strstr(out, " matches shown\n"));
  assert_non_null(strstr(out, "\nstatus  OK,"));
  free(out);
  const char *const two[] = {"search", "--stream", "--limit", "2", "--url", url, "--timeout", "15s", "lib*", NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", two), 0);
  out = file_text(p.out);
  assert_non_null(strstr(out, "\n2 matches shown; there may be more\n"));
  free(out);
  const char *const none[] = {"search", "--stream", "--url", url, "--", "--", NULL};
  assert_int_equal(process_run(&p, c.dir, "cli", "tether-cli", none), 1);
  out = file_text(p.out);
  assert_non_null(strstr(out, "status  INVALID_ARGUMENT"));
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_stream_has_the_hits_of_the_reply_in_one_piece),
      cmocka_unit_test(events_carry_the_same_as_lines),
      cmocka_unit_test(a_limit_ends_the_stream),
      cmocka_unit_test(the_format_is_what_the_client_prefers),
      cmocka_unit_test(what_cannot_be_accepted_is_refused_with_a_reason),
      cmocka_unit_test(a_stream_may_be_longer_than_a_reply_in_one_piece),
      cmocka_unit_test(an_error_before_the_first_hit_is_an_ordinary_reply),
      cmocka_unit_test(the_first_hit_comes_before_a_slow_shard_has_ended),
      cmocka_unit_test(leaving_before_the_first_hit_stops_every_shard),
      cmocka_unit_test(a_pause_between_two_hits_may_be_long),
      cmocka_unit_test(a_slow_shard_makes_the_stream_partial_within_the_budget),
      cmocka_unit_test(the_next_request_on_the_connection_is_served_after_the_stream),
      cmocka_unit_test(an_old_client_gets_the_stream_without_chunks),
      cmocka_unit_test(the_command_line_client_shows_hits_as_they_come),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
