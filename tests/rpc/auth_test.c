/* Authentication by an interceptor: who is let in, what a refused caller learns, and how handlers know who calls. */
#include <stdio.h>
#include <string.h>
#include <tether/auth.h>

#include "tests/support/rpc_test.h"

static tether_auth auth;
static char seen[TETHER_PRINCIPAL_SIZE]; /* by a handler */

/* Lets in who says "let me in", as "guest"; knows "mallory". */
static tether_code check(void *data, const tether_call *call, char principal[TETHER_PRINCIPAL_SIZE]) {
  const char *token = tether_metadata_get(tether_call_metadata(call), "authorization", NULL);
  (void)data;
  if (!token) return TETHER_UNAUTHENTICATED;
  if (strcmp(token, "Bearer mallory") == 0) return TETHER_PERMISSION_DENIED;
  if (strcmp(token, "Bearer guest") != 0) return TETHER_OK;
  snprintf(principal, TETHER_PRINCIPAL_SIZE, "guest");
  return TETHER_OK;
}

static tether_code who(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                       ProtobufCMessage *reply, const void *service, void *data) {
  (void)call, (void)request, (void)reply, (void)service, (void)data;
  TETHER_SCOPED tether_ctx *derived = tether_ctx_with_cancel(ctx);
  const char *principal = tether_principal(derived);
  snprintf(seen, sizeof seen, "%s", principal ? principal : "(none)");
  return TETHER_OK;
}

static const tether_method method = {
    .path = "/auth/Who", .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor};
static const tether_served_method served = {&method, who};
static const tether_interceptor *const interceptors[] = {&auth.interceptor, NULL};

static int setup(void **state) {
  struct rpc_fixture *f = *state = test_calloc(1, sizeof *f);
  tether_auth_init(&auth, check, NULL);
  seen[0] = '\0';
  const tether_server_options server = {.interceptors = interceptors};
  const tether_client_options client = {.interceptors = interceptors}; /* which it lets pass */
  if (tether_server_open(&server, &f->server) != TETHER_OK ||
      tether_server_add(f->server, &served, 1, NULL, NULL) != TETHER_OK ||
      tether_server_listen(f->server, "tcp://127.0.0.1:0") != TETHER_OK)
    return -1;
  snprintf(f->url, sizeof f->url, "tcp://127.0.0.1:%u", tether_server_port(f->server));
  return tether_client_open(f->url, &client, &f->client) == TETHER_OK ? 0 : -1;
}

static int teardown(void **state) {
  struct rpc_fixture *f = *state;
  tether_client_close(f->client);
  tether_server_close(f->server);
  test_free(f);
  return 0;
}

static tether_call *ask(struct rpc_fixture *f, const char *token) {
  TETHER_SCOPED tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  tether_metadata *metadata = tether_metadata_new();
  if (token) assert_int_equal(tether_metadata_add(metadata, "authorization", token), TETHER_OK);
  const tether_call_options options = {.metadata = metadata};
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_call *call = tether_call_unary(f->client, ctx, &method, &request.base, &options);
  tether_metadata_free(metadata);
  return call;
}

static void a_known_caller_is_let_in_and_its_name_is_in_the_handler_s_context(void **state) {
  TETHER_SCOPED_CALL tether_call *call = ask(*state, "Bearer guest");
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(seen, "guest");
}

static void a_caller_without_a_name_has_none(void **state) {
  TETHER_SCOPED_CALL tether_call *call = ask(*state, "Bearer anybody");
  rpc_assert_code(call, TETHER_OK);
  assert_string_equal(seen, "(none)");
}

static void a_stranger_is_refused_before_the_handler(void **state) {
  TETHER_SCOPED_CALL tether_call *call = ask(*state, NULL);
  rpc_assert_code(call, TETHER_UNAUTHENTICATED);
  assert_string_equal(tether_call_message(call), "the caller is not known");
  assert_string_equal(seen, "");
}

static void who_may_not_is_told_so_and_no_more(void **state) {
  TETHER_SCOPED_CALL tether_call *call = ask(*state, "Bearer mallory");
  rpc_assert_code(call, TETHER_PERMISSION_DENIED);
  assert_string_equal(tether_call_message(call), "the caller may not do this");
  assert_string_equal(seen, "");
}

#define CASE(name) \
  { #name, name, setup, teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_known_caller_is_let_in_and_its_name_is_in_the_handler_s_context),
      CASE(a_caller_without_a_name_has_none),
      CASE(a_stranger_is_refused_before_the_handler),
      CASE(who_may_not_is_told_so_and_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
