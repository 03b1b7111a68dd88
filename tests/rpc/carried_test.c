/* What a context carries over hops: trace context, forwarded values, secrets that stay. A chain of servers in one
 * process, each with its own client of the next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/trace.h>

#include "tests/support/rpc_test.h"
#include "tests/support/wait.h"

enum { HOPS = 3 };

static void *copy_text(const void *value) { return strdup(value); }

static size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (len <= size) memcpy(buf, value, len);
  return len;
}

static void *decode_text(const uint8_t *bytes, size_t len) {
  if (len && bytes[0] == '!') return NULL; /* refused */
  char *text = malloc(len + 1);
  if (!text) return NULL;
  if (len) memcpy(text, bytes, len);
  text[len] = 0;
  return text;
}

#define TEXT_KEY(variable, text, policy) \
  static const tether_key variable = {   \
      .name = text, .copy = copy_text, .free = free, .forward = policy, .encode = encode_text, .decode = decode_text}

TEXT_KEY(key_local, "x-local", TETHER_FORWARD_LOCAL);
TEXT_KEY(key_one_hop, "x-one-hop", TETHER_FORWARD_ONE_HOP);
TEXT_KEY(key_all, "x-all", TETHER_FORWARD_ALL);
TEXT_KEY(key_unknown, "x-unknown-in-the-middle", TETHER_FORWARD_ALL);
TEXT_KEY(key_secret, "x-secret", TETHER_FORWARD_SECRET);

static const tether_key *const keys_of_all[] = {&key_local, &key_one_hop, &key_all, &key_unknown, &key_secret, NULL};
static const tether_key *const keys_of_the_middle[] = {&key_local, &key_one_hop, &key_all, &key_secret, NULL};

/* One hop: notes what it sees, then calls the next. */
struct hop {
  tether_server *server;
  tether_client *next;
  bool has_trace;
  tether_trace trace;
  char state[64], baggage[64];
  char local[32], one_hop[32], all[32], unknown[32], secret[32];
  char raw_all[32];
  size_t metadata;
};

struct chain {
  struct hop hops[HOPS];
  tether_client *client;
};

static void note(char *to, const char *text) { snprintf(to, 32, "%s", text ? text : "(none)"); }

static tether_code pass_on(const tether_ctx *ctx, tether_call *call, const Testing__V1__Request *request,
                           Testing__V1__Reply *reply, void *data) {
  struct hop *hop = data;
  (void)reply;
  hop->has_trace = tether_trace_get(ctx, &hop->trace);
  snprintf(hop->state, sizeof hop->state, "%s", tether_trace_state(ctx) ? tether_trace_state(ctx) : "");
  snprintf(hop->baggage, sizeof hop->baggage, "%s", tether_trace_baggage(ctx) ? tether_trace_baggage(ctx) : "");
  note(hop->local, tether_ctx_value(ctx, &key_local));
  note(hop->one_hop, tether_ctx_value(ctx, &key_one_hop));
  note(hop->all, tether_ctx_value(ctx, &key_all));
  note(hop->unknown, tether_ctx_value(ctx, &key_unknown));
  note(hop->secret, tether_ctx_value(ctx, &key_secret));
  hop->metadata = tether_metadata_count(tether_call_metadata(call));
  if (!hop->next) return TETHER_OK;
  TETHER_SCOPED_CALL tether_call *inner = testing_v1_echo_client_pooled(hop->next, ctx, request, NULL);
  return tether_call_code(inner);
}

static const testing_v1_echo_service service = {.pooled = pass_on};

static int setup(void **state) {
  struct chain *c = calloc(1, sizeof *c);
  if (!c) return -1;
  tether_client *next = NULL;
  for (int i = HOPS - 1; i >= 0; i--) {
    struct hop *hop = &c->hops[i];
    tether_server_options options = {.keys = i == 1 ? keys_of_the_middle : keys_of_all};
    char url[64];
    hop->next = next;
    if (tether_server_open(&options, &hop->server) != TETHER_OK ||
        testing_v1_echo_register(hop->server, &service, hop) != TETHER_OK ||
        tether_server_listen(hop->server, "tcp://127.0.0.1:0") != TETHER_OK)
      return -1;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", tether_server_port(hop->server));
    if (tether_client_open(url, NULL, &next) != TETHER_OK) return -1;
  }
  c->client = next;
  *state = c;
  return 0;
}

static int teardown(void **state) {
  struct chain *c = *state;
  tether_client_close(c->client);
  for (int i = 0; i < HOPS; i++) {
    tether_client_close(c->hops[i].next);
    tether_server_close(c->hops[i].server);
  }
  free(c);
  return 0;
}

static void run(struct chain *c, const tether_ctx *ctx, const tether_metadata *metadata) {
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call_options options = {.timeout_ns = RPC_TEST_BOUND_NS, .metadata = metadata};
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(c->client, ctx, &request, &options);
  rpc_assert_code(call, TETHER_OK);
}

static void a_trace_goes_over_every_hop_with_a_new_span_per_call(void **state) {
  struct chain *c = *state;
  tether_trace root;
  TETHER_SCOPED tether_ctx *ctx = tether_trace_start(tether_ctx_background(), true, "user=7");
  assert_true(tether_trace_get(ctx, &root));
  run(c, ctx, NULL);
  const uint8_t *parent_span = root.span_id;
  for (int i = 0; i < HOPS; i++) {
    const struct hop *hop = &c->hops[i];
    assert_true(hop->has_trace);
    assert_memory_equal(hop->trace.trace_id, root.trace_id, 16);
    assert_memory_not_equal(hop->trace.span_id, parent_span, 8);
    assert_int_equal(hop->trace.flags, 1);
    assert_string_equal(hop->baggage, "user=7");
    parent_span = hop->trace.span_id;
  }
}

static void a_trace_received_in_text_form_is_continued_with_its_state(void **state) {
  struct chain *c = *state;
  static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  TETHER_SCOPED tether_ctx *ctx = tether_trace_continue(tether_ctx_background(), parent, "vendor=abc", NULL);
  run(c, ctx, NULL);
  char text[TETHER_TRACEPARENT_SIZE];
  tether_trace_format(&c->hops[2].trace, text);
  assert_memory_equal(text, parent, 36);
  assert_memory_not_equal(text + 36, parent + 36, 16);
  assert_string_equal(c->hops[2].state, "vendor=abc");
  assert_string_equal(c->hops[2].baggage, "");
}

static void without_a_trace_none_is_invented(void **state) {
  struct chain *c = *state;
  run(c, tether_ctx_background(), NULL);
  for (int i = 0; i < HOPS; i++) assert_false(c->hops[i].has_trace);
}

static void a_traceparent_that_does_not_parse_starts_a_new_trace(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "00-",
                                    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                                    "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tether_trace trace;
    assert_false(tether_trace_parse(bad[i], &trace));
    TETHER_SCOPED tether_ctx *ctx = tether_trace_continue(tether_ctx_background(), bad[i], "s=1", NULL);
    assert_true(tether_trace_get(ctx, &trace));
    assert_null(tether_trace_state(ctx));
  }
  tether_trace future;
  assert_true(tether_trace_parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", &future));
}

static void values_go_exactly_where_their_key_says(void **state) {
  struct chain *c = *state;
  TETHER_SCOPED tether_ctx *a = tether_ctx_with_value(tether_ctx_background(), &key_local, "l");
  TETHER_SCOPED tether_ctx *b = tether_ctx_with_value(a, &key_one_hop, "1");
  TETHER_SCOPED tether_ctx *d = tether_ctx_with_value(b, &key_all, "everywhere");
  TETHER_SCOPED tether_ctx *e = tether_ctx_with_value(d, &key_unknown, "opaque");
  TETHER_SCOPED tether_ctx *f = tether_ctx_with_value(e, &key_secret, "s3cret");
  run(c, f, NULL);
  static const char *const expected[HOPS][5] = {
      /* local    one hop   all           unknown   secret */
      {"(none)", "1", "everywhere", "opaque", "(none)"},
      {"(none)", "(none)", "everywhere", "(none)", "(none)"}, /* does not know the key; passes it on */
      {"(none)", "(none)", "everywhere", "opaque", "(none)"},
  };
  for (int i = 0; i < HOPS; i++) {
    assert_string_equal(c->hops[i].local, expected[i][0]);
    assert_string_equal(c->hops[i].one_hop, expected[i][1]);
    assert_string_equal(c->hops[i].all, expected[i][2]);
    assert_string_equal(c->hops[i].unknown, expected[i][3]);
    assert_string_equal(c->hops[i].secret, expected[i][4]);
  }
}

static void metadata_of_a_call_is_never_forwarded(void **state) {
  struct chain *c = *state;
  tether_metadata *metadata = tether_metadata_new();
  assert_int_equal(tether_metadata_add(metadata, "authorization", "Bearer x"), TETHER_OK);
  run(c, tether_ctx_background(), metadata);
  tether_metadata_free(metadata);
  assert_int_equal(c->hops[0].metadata, 1);
  assert_int_equal(c->hops[1].metadata, 0);
  assert_int_equal(c->hops[2].metadata, 0);
}

static void forwarded_values_beyond_the_byte_budget_are_dropped_and_the_call_goes_on(void **state) {
  struct chain *c = *state;
  char *big = calloc(1, 5000);
  assert_non_null(big);
  memset(big, 'b', 4999);
  TETHER_SCOPED tether_ctx *a = tether_ctx_with_value(tether_ctx_background(), &key_all, big);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(a, &key_unknown, "small");
  run(c, ctx, NULL);
  free(big);
  assert_string_equal(c->hops[0].all, "(none)");
  assert_string_equal(c->hops[0].unknown, "small");
  assert_string_equal(c->hops[2].unknown, "small");
}

static void bytes_that_a_key_refuses_make_no_value(void **state) {
  struct chain *c = *state;
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(tether_ctx_background(), &key_all, "!bad");
  run(c, ctx, NULL);
  assert_string_equal(c->hops[0].all, "(none)");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH(a_trace_goes_over_every_hop_with_a_new_span_per_call),
      WITH(a_trace_received_in_text_form_is_continued_with_its_state),
      WITH(without_a_trace_none_is_invented),
      cmocka_unit_test(a_traceparent_that_does_not_parse_starts_a_new_trace),
      WITH(values_go_exactly_where_their_key_says),
      WITH(metadata_of_a_call_is_never_forwarded),
      WITH(forwarded_values_beyond_the_byte_budget_are_dropped_and_the_call_goes_on),
      WITH(bytes_that_a_key_refuses_make_no_value),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
