/* Bearer tokens: where they go, where they never go, and that nothing tells them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/auth.h>
#include <tether/hedge.h>
#include <tether/ledger.h>
#include <tether/logging.h>

#include "tests/support/rpc_test.h"
#include "tests/support/tls_test.h"
#include "tests/support/wait.h"
#include "tests/support/wire_tap.h"

#define TOKEN "SECRET-token.7f3a"
#define OTHER_TOKEN "SECRET-other.91bc"

/* Whatever a test does, no line may tell a token. */
static int teardown(void **state) {
  bool told = tst_stderr_lines(&caught, "SECRET") > 0;
  return tls_teardown(state) != 0 || told ? -1 : 0;
}

/* A value of the program's that has the token's name, and would travel on. */
static size_t encode_text(const void *value, uint8_t *buf, size_t size) {
  size_t len = strlen(value);
  if (size) memcpy(buf, value, len < size ? len : size);
  return len;
}

static void *decode_text(const uint8_t *bytes, size_t len) { return strndup((const char *)bytes, len); }

static const tether_key stowaway = {
    .name = "authorization", .free = free, .forward = TETHER_FORWARD_ALL, .encode = encode_text, .decode = decode_text};

/* ---- A server that looks at tokens, and a client of it -------------------------------------- */

struct node {
  char dir[64], url[96];
  struct echo_stats stats;
  tether_auth auth;
  tether_logging logging;
  const tether_interceptor *interceptors[3];
  tether_server *server;
  /* what it has seen */
  atomic_int codes[TETHER_CODES]; /* of tether_call_get_token */
  atomic_int tokens, others;      /* TOKEN, OTHER_TOKEN */
  atomic_int stowaways;           /* forwarded values of that name */
};

/* Lets everybody pass whose token it knows, and who has none. */
static tether_code look(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]) {
  struct node *node = data;
  const char *token = "";
  tether_code code = tether_call_get_token(call, &token);
  atomic_fetch_add(&node->codes[code], 1);
  atomic_fetch_add(&node->stowaways, tether_ctx_value(tether_call_ctx(call), &stowaway) != NULL);
  atomic_fetch_add(&node->tokens, strcmp(token, TOKEN) == 0);
  atomic_fetch_add(&node->others, strcmp(token, OTHER_TOKEN) == 0);
  if (code == TETHER_NOT_FOUND) return TETHER_OK;
  if (code == TETHER_OK && strncmp(token, "SECRET-", 7) == 0) {
    strcpy(principal, "known");
    return TETHER_OK;
  }
  return TETHER_UNAUTHENTICATED;
}

/* `scheme` NULL: a unix socket. */
static void open_node(struct node *node, const char *scheme) {
  *node = (struct node){.server = NULL};
  tether_auth_init(&node->auth, look, node);
  tether_logging_init(&node->logging, NULL, NULL);
  node->interceptors[0] = &node->logging.interceptor;
  node->interceptors[1] = &node->auth.interceptor;
  tether_tls tls = tls_of_server();
  static const tether_key *const keys[] = {&stowaway, NULL};
  const tether_server_options options = {.tls = &tls, .interceptors = node->interceptors, .keys = keys};
  assert_int_equal(tether_server_open(&options, &node->server), TETHER_OK);
  assert_int_equal(echo_server_add(node->server, &node->stats), TETHER_OK);
  assert_true(tst_dir_make(node->dir));
  snprintf(node->url, sizeof node->url, "ipc://%s/s", node->dir);
  if (scheme) snprintf(node->url, sizeof node->url, "%s://localhost:0%s", scheme, *scheme == 'w' ? "/t" : "");
  assert_int_equal(tether_server_listen(node->server, node->url), TETHER_OK);
  if (scheme)
    snprintf(node->url, sizeof node->url, "%s://localhost:%u%s", scheme, tether_server_port(node->server),
             *scheme == 'w' ? "/t" : "");
}

static void close_node(struct node *node) {
  tether_server_close(node->server);
  assert_true(tst_dir_remove(node->dir));
}

static tether_client *open_client(const char *url, tether_credentials *credentials) {
  tether_client *client;
  tether_tls tls = tls_of_client();
  const tether_client_options options = {.tls = &tls, .credentials = credentials};
  assert_int_equal(tether_client_open(url, &options, &client), TETHER_OK);
  return client;
}

static tether_credentials *bearer(const char *token) {
  tether_credentials *credentials;
  assert_int_equal(tether_credentials_bearer(token, &credentials), TETHER_OK);
  return credentials;
}

static tether_call *quick(tether_client *client, const tether_call_options *options) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  return testing_v1_echo_client_quick(client, ctx, &request, options);
}

static void assert_quick(tether_client *client, const tether_call_options *options, tether_code code,
                         const char *says) {
  tether_call *call = quick(client, options);
  rpc_assert_code(call, code);
  if (says && !strstr(tether_call_message(call), says)) fail_msg("unclear: %s", tether_call_message(call));
  assert_null(strstr(tether_call_message(call), "SECRET"));
  tether_call_unref(call);
}

/* ---- Where they go -------------------------------------------------------------------------- */

static void a_token_reaches_the_server_where_nobody_reads_along(void **state) {
  (void)state;
  static const char *const schemes[] = {NULL, "tls+tcp", "wss"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    struct node node;
    open_node(&node, schemes[i]);
    tether_credentials *credentials = bearer(TOKEN);
    tether_client *client = open_client(node.url, credentials);
    tether_credentials_unref(credentials); /* the client has its own */
    assert_quick(client, NULL, TETHER_OK, NULL);
    assert_int_equal(atomic_load(&node.tokens), 1);
    tether_client_close(client);
    close_node(&node);
  }
}

static void a_token_is_not_sent_where_others_can_read_it(void **state) {
  (void)state;
  static const char *const schemes[] = {"tcp", "ws"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    struct node node;
    open_node(&node, schemes[i]);
    tether_credentials *credentials = bearer(TOKEN);
    tether_client *client = open_client(node.url, credentials), *without = open_client(node.url, NULL);
    assert_quick(client, NULL, TETHER_UNAUTHENTICATED, "a token is not sent where others can read it");
    assert_quick(without, &(tether_call_options){.credentials = credentials}, TETHER_UNAUTHENTICATED, "tls+tcp");
    assert_int_equal(atomic_load(&node.stats.started), 0);
    assert_quick(without, NULL, TETHER_OK, NULL); /* the connection is as good as it was */
    tether_credentials_unref(credentials);
    tether_client_close(client);
    tether_client_close(without);
    close_node(&node);
  }
}

static void a_token_is_in_no_byte_on_the_wire(void **state) {
  (void)state;
  static const char *const schemes[] = {"tcp", "tls+tcp"};
  for (size_t i = 0; i < 2; i++) {
    struct node node;
    char url[96];
    uint16_t port;
    open_node(&node, schemes[i]);
    wire_tap *tap = wire_tap_open(tether_server_port(node.server), &port);
    snprintf(url, sizeof url, "%s://localhost:%u", schemes[i], port);
    tether_credentials *credentials = bearer(TOKEN);
    tether_client *client = open_client(url, NULL);
    tether_metadata *metadata = tether_metadata_new();
    assert_int_equal(tether_metadata_add(metadata, "x-plain", "NO-SECRET-word"), TETHER_OK);
    const tether_call_options options = {.credentials = credentials, .metadata = metadata};
    assert_quick(client, &(tether_call_options){.metadata = metadata}, TETHER_OK, NULL);
    assert_quick(client, &options, i == 0 ? TETHER_UNAUTHENTICATED : TETHER_OK, NULL);
    assert_int_equal(atomic_load(&node.tokens), i);
    assert_true(wire_tap_bytes(tap) > 0);
    assert_int_equal(wire_tap_saw(tap, "NO-SECRET-word"), i == 0); /* it does see what there is to see */
    assert_false(wire_tap_saw(tap, TOKEN));
    tether_metadata_free(metadata);
    tether_credentials_unref(credentials);
    tether_client_close(client);
    wire_tap_close(tap);
    close_node(&node);
  }
}

/* ---- One hop -------------------------------------------------------------------------------- */

static void a_token_goes_one_hop(void **state) {
  (void)state;
  struct node first, second;
  open_node(&first, NULL);
  open_node(&second, NULL);
  tether_credentials *credentials = bearer(TOKEN);
  tether_client *client = open_client(first.url, credentials);
  TETHER_SCOPED tether_ctx *bound = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_value(bound, &stowaway, strdup("Bearer " OTHER_TOKEN));
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT, deeper = TESTING__V1__REQUEST__INIT;
  char *targets[] = {second.url};
  request.n_targets = 1;
  request.targets = targets;
  request.width = 1;
  request.deeper = &deeper;
  TETHER_SCOPED_CALL tether_call *call =
      testing_v1_echo_client_fan_start(client, ctx, &request, &(tether_call_options){.explain = true}, NULL, NULL);
  assert_true(rpc_wait_for(&second.stats.hanging, 1)); /* two hops on */
  uint32_t running;
  assert_int_equal(tether_call_cancel_and_wait(call, NULL, RPC_TEST_BOUND_NS, &running), TETHER_OK);
  assert_int_equal(atomic_load(&first.tokens), 1);
  assert_int_equal(atomic_load(&second.codes[TETHER_NOT_FOUND]), 1); /* nothing has come that far */
  assert_int_equal(atomic_load(&first.others) + atomic_load(&second.others), 0);
  assert_int_equal(atomic_load(&first.stowaways) + atomic_load(&second.stowaways), 0);
  char text[4096] = "";
  const tether_ledger *ledger = tether_call_ledger(call);
  assert_non_null(ledger);
  (void)tether_ledger_text(ledger, 40, text, sizeof text);
  assert_true(strlen(text) > 0);
  assert_null(strstr(text, "SECRET"));
  tether_credentials_unref(credentials);
  tether_client_close(client);
  close_node(&first);
  close_node(&second);
}

/* ---- Whose token ---------------------------------------------------------------------------- */

static void a_call_s_credentials_come_before_its_client_s(void **state) {
  (void)state;
  struct node node;
  open_node(&node, NULL);
  tether_credentials *ours = bearer(TOKEN), *other = bearer(OTHER_TOKEN);
  tether_client *client = open_client(node.url, ours);
  assert_quick(client, &(tether_call_options){.credentials = other}, TETHER_OK, NULL);
  assert_int_equal(atomic_load(&node.tokens), 0);
  assert_int_equal(atomic_load(&node.others), 1);
  assert_quick(client, NULL, TETHER_OK, NULL);
  assert_int_equal(atomic_load(&node.tokens), 1);
  tether_credentials_unref(ours);
  tether_credentials_unref(other);
  tether_client_close(client);
  close_node(&node);
}

static void hedged_attempts_have_the_call_s_token(void **state) {
  (void)state;
  struct node node;
  open_node(&node, NULL);
  tether_credentials *credentials = bearer(TOKEN);
  tether_client *client = open_client(node.url, NULL);
  tether_client *const clients[] = {client};
  const tether_hedging hedging = {.max_attempts = 3, .clients = clients, .client_count = 1};
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const tether_call_options options = {.credentials = credentials};
  TETHER_SCOPED_CALL tether_call *call =
      tether_call_hedged(&hedging, ctx, &testing_v1_echo_quick_method, &request.base, &options);
  rpc_assert_code(call, TETHER_OK);
  assert_true(atomic_load(&node.tokens) >= 1);
  assert_int_equal(atomic_load(&node.codes[TETHER_NOT_FOUND]), 0);
  tether_credentials_unref(credentials);
  tether_client_close(client);
  close_node(&node);
}

static void streams_have_tokens_too(void **state) {
  (void)state;
  struct node node;
  open_node(&node, NULL);
  tether_credentials *credentials = bearer(TOKEN);
  tether_client *client = open_client(node.url, credentials);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  const Testing__V1__Reply *reply = NULL;
  request.name = (char *)"x";
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_chat_start(client, ctx, NULL, NULL, NULL);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(testing_v1_echo_chat_send_request(call, &request), TETHER_OK);
    assert_int_equal(testing_v1_echo_chat_recv_reply(call, &reply), TETHER_OK);
    assert_string_equal(reply->text, "hello x");
  }
  tether_call_close_send(call);
  assert_int_equal(tether_call_wait(call), TETHER_OK);
  assert_int_equal(atomic_load(&node.tokens), 1);
  tether_credentials_unref(credentials);
  tether_client_close(client);
  close_node(&node);
}

/* Requests of every size: the token is put into a packed call, before a request that may follow in pieces. */
static void requests_of_all_sizes_arrive_behind_a_token(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 100, 400, 4000, 16370, 16384, 16400, 200000};
  struct node node;
  open_node(&node, NULL);
  tether_credentials *credentials = bearer(TOKEN);
  tether_client *client = open_client(node.url, credentials);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  uint8_t *body = test_malloc(sizes[8]);
  for (size_t i = 0; i < sizes[8]; i++) body[i] = (uint8_t)(i * 7 + (i >> 9));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.body = (ProtobufCBinaryData){.data = body, .len = sizes[i]};
    TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(client, ctx, &request, NULL);
    rpc_assert_code(call, TETHER_OK);
    const Testing__V1__Reply *reply = testing_v1_echo_pooled_reply(call);
    assert_true(reply->body.len == sizes[i] && (sizes[i] == 0 || memcmp(reply->body.data, body, sizes[i]) == 0));
    assert_true(reply->remaining_ns > 0); /* the deadline has come too */
  }
  test_free(body);
  tether_credentials_unref(credentials);
  tether_client_close(client);
  close_node(&node);
}

/* ---- Tokens that are supplied --------------------------------------------------------------- */

enum how { AT_ONCE, LATER, FAIL, RUBBISH };

struct supplier {
  enum how how;
  tst_latch hold; /* opened: LATER answers */
  atomic_int asked, freed;
  pthread_t threads[64];
};

static void *supply_later(void *data) {
  tether_token_request *request = data;
  tether_token_supply(request, TOKEN);
  return NULL;
}

struct held {
  struct supplier *supplier;
  tether_token_request *request;
};

static void *supply_when_told(void *data) {
  struct held held = *(struct held *)data;
  free(data);
  if (!tst_latch_wait(&held.supplier->hold, TST_BOUND_NS)) abort();
  return supply_later(held.request);
}

static void fetch(void *data, tether_token_request *request) {
  struct supplier *supplier = data;
  int number = atomic_fetch_add(&supplier->asked, 1);
  bool right = strncmp(tether_token_request_path(request), "/testing.v1.Echo/", 17) == 0 &&
               strncmp(tether_token_request_url(request), "ipc://", 6) == 0;
  if (!right) {
    tether_token_fail(request, TETHER_INTERNAL, "of another call");
  } else if (supplier->how == AT_ONCE) {
    tether_token_supply(request, TOKEN);
  } else if (supplier->how == FAIL) {
    tether_token_fail(request, TETHER_UNAVAILABLE, "the issuer is down");
  } else if (supplier->how == RUBBISH) {
    tether_token_supply(request, "SECRET with spaces");
  } else {
    struct held *held = malloc(sizeof *held);
    if (!held) abort();
    *held = (struct held){supplier, request};
    if (pthread_create(&supplier->threads[number], NULL, supply_when_told, held) != 0) abort();
  }
}

static void count_freed(void *data) {
  struct supplier *supplier = data;
  atomic_fetch_add(&supplier->freed, 1);
}

static tether_client *open_supplied(struct supplier *supplier, enum how how, const char *url) {
  tether_credentials *credentials;
  *supplier = (struct supplier){.how = how};
  tst_latch_init(&supplier->hold);
  assert_int_equal(tether_credentials_supplied(fetch, supplier, count_freed, &credentials), TETHER_OK);
  tether_client *client = open_client(url, credentials);
  tether_credentials_unref(credentials);
  return client;
}

static void close_supplied(struct supplier *supplier, tether_client *client) {
  tst_latch_open(&supplier->hold);
  for (int i = 0; supplier->how == LATER && i < atomic_load(&supplier->asked); i++)
    pthread_join(supplier->threads[i], NULL);
  assert_int_equal(atomic_load(&supplier->freed), 0);
  tether_client_close(client);
  assert_int_equal(atomic_load(&supplier->freed), 1);
  tst_latch_fini(&supplier->hold);
}

static void tokens_can_be_supplied_at_once_or_later(void **state) {
  enum { CALLS = 20 };
  (void)state;
  struct node node;
  struct supplier supplier;
  open_node(&node, NULL);
  tether_client *client = open_supplied(&supplier, AT_ONCE, node.url);
  for (int i = 0; i < CALLS; i++) assert_quick(client, NULL, TETHER_OK, NULL);
  close_supplied(&supplier, client);
  assert_int_equal(atomic_load(&node.tokens), CALLS);

  client = open_supplied(&supplier, LATER, node.url);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *calls[CALLS];
  for (int i = 0; i < CALLS; i++)
    calls[i] = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  assert_int_equal(atomic_load(&node.stats.started), CALLS); /* none of these has left */
  tst_latch_open(&supplier.hold);
  for (int i = 0; i < CALLS; i++) {
    assert_int_equal(tether_call_wait(calls[i]), TETHER_OK);
    tether_call_unref(calls[i]);
  }
  assert_quick(client, NULL, TETHER_OK, NULL); /* a blocking one */
  assert_int_equal(atomic_load(&node.tokens), 2 * CALLS + 1);
  close_supplied(&supplier, client);
  close_node(&node);
}

static void a_call_without_a_token_ends_with_the_reason(void **state) {
  (void)state;
  struct node node;
  struct supplier supplier;
  open_node(&node, NULL);
  tether_client *client = open_supplied(&supplier, FAIL, node.url);
  assert_quick(client, NULL, TETHER_UNAVAILABLE, "no token for the call: the issuer is down");
  close_supplied(&supplier, client);
  client = open_supplied(&supplier, RUBBISH, node.url);
  assert_quick(client, NULL, TETHER_UNAUTHENTICATED, "what was supplied is no token");
  close_supplied(&supplier, client);
  assert_int_equal(atomic_load(&node.stats.started), 0);
  close_node(&node);
}

static void a_token_that_comes_too_late_is_for_nobody(void **state) {
  (void)state;
  struct node node;
  struct supplier supplier;
  open_node(&node, NULL);
  tether_client *client = open_supplied(&supplier, LATER, node.url);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_cancel(tether_ctx_background());
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  tether_ctx_cancel(ctx);
  assert_int_equal(tether_call_wait(call), TETHER_CANCELLED);
  TETHER_SCOPED tether_ctx *soon = tether_ctx_with_timeout(tether_ctx_background(), 10 * TETHER_MS);
  tether_call *late = testing_v1_echo_client_quick(client, soon, &request, NULL);
  rpc_assert_code(late, TETHER_DEADLINE_EXCEEDED);
  tether_call_unref(call);
  tether_call_unref(late); /* the request has the call still */
  close_supplied(&supplier, client);
  assert_int_equal(atomic_load(&node.stats.started), 0);
  close_node(&node);
}

static void closing_a_client_waits_for_answers(void **state) {
  (void)state;
  struct node node;
  struct supplier supplier;
  open_node(&node, NULL);
  tether_client *client = open_supplied(&supplier, LATER, node.url);
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = testing_v1_echo_client_quick_start(client, ctx, &request, NULL, NULL, NULL);
  tst_latch_open(&supplier.hold);
  tether_client_close(client);
  tether_code code = tether_call_wait(call);
  assert_true(code == TETHER_CANCELLED || code == TETHER_OK); /* whichever came first */
  pthread_join(supplier.threads[0], NULL);
  assert_int_equal(atomic_load(&supplier.freed), 1);
  tether_call_unref(call);
  tst_latch_fini(&supplier.hold);
  close_node(&node);
}

/* ---- Making them ---------------------------------------------------------------------------- */

static void what_is_no_token_is_refused(void **state) {
  (void)state;
  char *long_token = test_malloc(8002);
  memset(long_token, 'a', 8001);
  long_token[8001] = 0;
  const char *const bad[] = {"", "two words", "line\nbreak", "quote\"", "SECRET;", long_token};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tether_credentials *credentials = NULL;
    assert_int_equal(tether_credentials_bearer(bad[i], &credentials), TETHER_INVALID_ARGUMENT);
    assert_null(credentials);
  }
  test_free(long_token);
  tether_credentials *credentials = bearer("aZ09-._~+/=");
  assert_int_equal(tether_credentials_reload(credentials), TETHER_FAILED_PRECONDITION);
  tether_credentials_unref(credentials);
  tether_credentials_unref(NULL);
}

static void a_token_file_is_read_again_when_asked(void **state) {
  (void)state;
  char dir[64], path[80];
  struct node node;
  tether_credentials *credentials;
  assert_true(tst_dir_make(dir));
  snprintf(path, sizeof path, "%s/token", dir);
  assert_int_equal(tether_credentials_file(path, &credentials), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "No such file"));
  assert_true(tst_dir_write(dir, "token", "SECRET but not one"));
  assert_int_equal(tether_credentials_file(path, &credentials), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "it holds no token"));
  assert_true(tst_dir_write(dir, "token", "  " TOKEN "\n"));
  assert_int_equal(tether_credentials_file(path, &credentials), TETHER_OK);
  open_node(&node, NULL);
  tether_client *client = open_client(node.url, credentials);
  assert_quick(client, NULL, TETHER_OK, NULL);
  assert_true(tst_dir_write(dir, "token", ""));
  assert_int_equal(tether_credentials_reload(credentials), TETHER_INVALID_ARGUMENT);
  assert_true(tst_stderr_says(&caught, "the token read before stays in use"));
  assert_quick(client, NULL, TETHER_OK, NULL);
  assert_int_equal(atomic_load(&node.tokens), 2);
  assert_true(tst_dir_write(dir, "token", OTHER_TOKEN));
  assert_int_equal(tether_credentials_reload(credentials), TETHER_OK);
  assert_quick(client, NULL, TETHER_OK, NULL);
  assert_int_equal(atomic_load(&node.others), 1);
  tether_credentials_unref(credentials);
  tether_client_close(client);
  close_node(&node);
  assert_true(tst_dir_remove(dir));
}

/* ---- What a server takes for a token -------------------------------------------------------- */

/* One call with this metadata as authorization, once or twice. */
static void authorize(tether_client *client, const char *value, int times, tether_code code) {
  tether_metadata *metadata = tether_metadata_new();
  for (int i = 0; i < times; i++) assert_int_equal(tether_metadata_add(metadata, "authorization", value), TETHER_OK);
  assert_quick(client, &(tether_call_options){.metadata = metadata}, code, NULL);
  tether_metadata_free(metadata);
}

static void a_server_believes_one_bearer_token_that_nobody_else_has_read(void **state) {
  (void)state;
  struct node node, open;
  open_node(&node, NULL);
  open_node(&open, "tcp");
  tether_client *client = open_client(node.url, NULL), *exposed = open_client(open.url, NULL);
  authorize(client, "Bearer " TOKEN, 1, TETHER_OK);
  authorize(client, "bearer " TOKEN, 1, TETHER_OK); /* schemes have no case */
  authorize(client, "Bearer " TOKEN, 2, TETHER_UNAUTHENTICATED);
  authorize(client, "Basic " TOKEN, 1, TETHER_UNAUTHENTICATED);
  authorize(client, "Bearer ", 1, TETHER_UNAUTHENTICATED);
  authorize(client, "Bearer a b", 1, TETHER_UNAUTHENTICATED);
  authorize(client, "Bearer unknown", 1, TETHER_UNAUTHENTICATED);
  authorize(exposed, "Bearer " TOKEN, 1, TETHER_UNAUTHENTICATED);
  assert_int_equal(atomic_load(&node.tokens), 2);
  assert_int_equal(atomic_load(&open.tokens), 0);
  assert_int_equal(atomic_load(&open.stats.started), 0);
  tether_client_close(client);
  tether_client_close(exposed);
  close_node(&node);
  close_node(&open);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, tls_setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_token_reaches_the_server_where_nobody_reads_along),
      CASE(a_token_is_not_sent_where_others_can_read_it),
      CASE(a_token_is_in_no_byte_on_the_wire),
      CASE(a_token_goes_one_hop),
      CASE(a_call_s_credentials_come_before_its_client_s),
      CASE(hedged_attempts_have_the_call_s_token),
      CASE(streams_have_tokens_too),
      CASE(requests_of_all_sizes_arrive_behind_a_token),
      CASE(tokens_can_be_supplied_at_once_or_later),
      CASE(a_call_without_a_token_ends_with_the_reason),
      CASE(a_token_that_comes_too_late_is_for_nobody),
      CASE(closing_a_client_waits_for_answers),
      CASE(what_is_no_token_is_refused),
      CASE(a_token_file_is_read_again_when_asked),
      CASE(a_server_believes_one_bearer_token_that_nobody_else_has_read),
  };
  return cmocka_run_group_tests(tests, tls_group_setup, tls_group_teardown);
}
