/* The line for each call: what it says, that no peer can forge one, that no secret is in it. */
#include <stdio.h>
#include <string.h>
#include <tether/logging.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

static tether_logging logging;
static const tether_interceptor *const interceptors[] = {&logging.interceptor, NULL};

/* What was written, both sides together. */
static struct {
  pthread_mutex_t mu;
  char text[65536]; /* under mu */
  size_t len;
} written = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void keep(void *data, const char *line, size_t len) {
  (void)data;
  pthread_mutex_lock(&written.mu);
  if (written.len + len < sizeof written.text) memcpy(written.text + written.len, line, len);
  written.len += len;
  pthread_mutex_unlock(&written.mu);
}

static int setup(void **state) {
  memset(written.text, 0, sizeof written.text);
  written.len = 0;
  tether_logging_init(&logging, keep, NULL);
  const tether_server_options server = {.interceptors = interceptors};
  const tether_client_options client = {.interceptors = interceptors};
  return rpc_fixture_open(state, &server, &client);
}

/* The first line of the side, in a buffer of its own. */
static const char *line_of(const char *side) {
  static char line[4096];
  char wanted[32];
  snprintf(wanted, sizeof wanted, " side=%s ", side);
  pthread_mutex_lock(&written.mu);
  const char *at = written.text, *end = NULL;
  for (; (end = strchr(at, '\n')); at = end + 1) {
    snprintf(line, sizeof line, "%.*s", (int)(end - at), at);
    if (strstr(line, wanted)) break;
  }
  pthread_mutex_unlock(&written.mu);
  return end ? line : "";
}

static void assert_says_at(const char *side, const char *text, int source_line) {
  const char *line = line_of(side);
  if (strstr(line, text)) return;
  print_error("%s:%d: no '%s' in: %s\n", __FILE__, source_line, text, line);
  _fail(__FILE__, source_line);
}
#define assert_says(side, text) assert_says_at(side, text, __LINE__)

static size_t lines(void) {
  size_t count = 0;
  for (size_t i = 0; i < written.len; i++) count += written.text[i] == '\n';
  return count;
}

static tether_ctx *bounded(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

static void a_call_is_one_line_on_each_side(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *deadline = bounded();
  TETHER_SCOPED tether_ctx *ctx =
      tether_trace_continue(deadline, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", NULL, NULL);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, NULL);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(lines(), 2);
  const char *const sides[] = {"client", "server"};
  for (int i = 0; i < 2; i++) {
    assert_says(sides[i], "time=20");
    assert_says(sides[i], " event=call ");
    assert_says(sides[i], " method=/testing.v1.Echo/Pooled ");
    assert_says(sides[i], " trace=4bf92f3577b34da6a3ce929d0e0e4736 ");
    assert_says(sides[i], " status=OK ");
    assert_says(sides[i], " budget=29");
    assert_says(sides[i], " took=");
  }
  assert_says("client", " attempts=1");
  assert_says("server", " queue=");
}

static void a_cut_call_says_why_and_where_that_arose(void **state) {
  struct rpc_fixture *f = *state;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_hang_start(f->client, tether_ctx_background(), &request, NULL, NULL, NULL);
  assert_true(rpc_wait_for(&f->stats.hanging, 1));
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_SIBLING, "somewhere/1", "another was quicker");
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, cause, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  tether_cause_unref(cause);
  assert_says("server", " status=CANCELLED cause=sibling origin=somewhere/1 message=\"another was quicker\" ");
  assert_says("client", " status=CANCELLED cause=sibling origin=somewhere/1 ");
  assert_says("server", " budget=none ");
}

static void what_a_peer_sends_forges_no_line_and_fills_none(void **state) {
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *ctx = bounded();
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  static char long_text[3000];
  memset(long_text, 'm', sizeof long_text - 1);
  static const tether_method forged = {.path = "/a b\ntime=2000 \"c\\d\" \x7f",
                                       .request = &testing__v1__request__descriptor,
                                       .reply = &testing__v1__reply__descriptor};
  TETHER_SCOPED_CALL tether_call *call = tether_call_unary(f->client, ctx, &forged, &request.base, NULL);
  rpc_assert_code(call, TETHER_UNIMPLEMENTED);
  assert_int_equal(lines(), 2);
  assert_says("server", " method=\"/a b\\x0atime=2000 \\\"c\\\\d\\\" \\x7f\" ");
  request.code = TETHER_ABORTED;
  request.name = long_text;
  TETHER_SCOPED_CALL tether_call *wordy = testing_v1_echo_client_quick(f->client, ctx, &request, NULL);
  rpc_assert_code(wordy, TETHER_ABORTED);
  assert_int_equal(lines(), 4);
  assert_true(written.len < 4096);
}

static size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (len <= size) memcpy(buf, value, len);
  return len;
}

static void no_metadata_message_or_value_is_written(void **state) {
  static const tether_key key = {.name = "x-value", .forward = TETHER_FORWARD_ALL, .encode = encode_text};
  struct rpc_fixture *f = *state;
  TETHER_SCOPED tether_ctx *deadline = bounded();
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(deadline, &key, "s3cret-value");
  tether_metadata *metadata = tether_metadata_new();
  assert_int_equal(tether_metadata_add(metadata, "authorization", "Bearer s3cret-token"), TETHER_OK);
  const tether_call_options options = {.metadata = metadata};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  request.name = (char *)"s3cret-request";
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, ctx, &request, &options);
  tether_metadata_free(metadata);
  rpc_assert_code(call, TETHER_OK);
  assert_int_equal(lines(), 2);
  assert_null(strstr(written.text, "s3cret"));
}

#define CASE(name) \
  { #name, name, setup, rpc_fixture_close, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_call_is_one_line_on_each_side),
      CASE(a_cut_call_says_why_and_where_that_arose),
      CASE(what_a_peer_sends_forges_no_line_and_fills_none),
      CASE(no_metadata_message_or_value_is_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
