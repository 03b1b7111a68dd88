/* The generated stubs, thunks and tables against a tether that records how it is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "greeter.tether.h"
#include "keywords.tether.h"
#include "names.tether.h"
#include "renamed.tether.h"
#include "shop/cart/v2/cart.tether.h"

/* What the recording tether was called with last, and what it answers. */
static struct {
  tether_client *client;
  const tether_ctx *ctx;
  const tether_method *method;
  const ProtobufCMessage *request;
  const tether_call_options *options;
  tether_call_done_fn done;
  tether_server *server;
  const tether_served_method *methods;
  size_t method_count;
  const void *service;
  void *data;
  tether_call *failed;
  char message[200];
  const ProtobufCMessage *reply;
} seen;

/* Opaque to the stubs, so that any address does. */
static char client_place, ctx_place, call_place, server_place, data_place;
static tether_client *const client = (tether_client *)&client_place;
static const tether_ctx *const ctx = (const tether_ctx *)&ctx_place;
static tether_call *const call = (tether_call *)&call_place;
static tether_server *const server = (tether_server *)&server_place;

tether_call *tether_call_unary(tether_client *c, const tether_ctx *x, const tether_method *method,
                               const ProtobufCMessage *request, const tether_call_options *options) {
  seen.client = c;
  seen.ctx = x;
  seen.method = method;
  seen.request = request;
  seen.options = options;
  return call;
}

tether_call *tether_call_start(tether_client *c, const tether_ctx *x, const tether_method *method,
                               const ProtobufCMessage *request, const tether_call_options *options,
                               tether_call_done_fn done, void *data) {
  seen.done = done;
  seen.data = data;
  return tether_call_unary(c, x, method, request, options);
}

const ProtobufCMessage *tether_call_reply(const tether_call *c) { return c == call ? seen.reply : NULL; }

tether_code tether_server_add(tether_server *s, const tether_served_method *methods, size_t count, const void *service,
                              void *data) {
  seen.server = s;
  seen.methods = methods;
  seen.method_count = count;
  seen.service = service;
  seen.data = data;
  return TETHER_ALREADY_EXISTS;
}

tether_code tether_call_fail(tether_call *c, tether_code code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(seen.message, sizeof seen.message, format, args);
  va_end(args);
  seen.failed = c;
  return code;
}

static int setup(void **state) {
  (void)state;
  memset(&seen, 0, sizeof seen);
  return 0;
}

static void test_a_method_carries_its_path_types_and_options(void **state) {
  (void)state;
  const tether_method *say = &demo_v1_greeter_say_hello_method;
  assert_string_equal(say->path, "/demo.v1.Greeter/SayHello");
  assert_ptr_equal(say->request, &demo__v1__hello_request__descriptor);
  assert_ptr_equal(say->reply, &demo__v1__hello_reply__descriptor);
  assert_true(say->default_timeout_ns == 200 * TETHER_MS);
  assert_int_equal(say->flags, TETHER_METHOD_IDEMPOTENT);

  assert_true(demo_v1_greeter_say_nothing_method.default_timeout_ns == 0);
  assert_int_equal(demo_v1_greeter_say_nothing_method.flags, 0);
  /* The largest timeout an option can hold does not overflow. */
  assert_true(demo_v1_greeter_delete_method.default_timeout_ns == INT64_C(4294967295000000));
  assert_int_equal(demo_v1_greeter_delete_method.flags, TETHER_METHOD_INLINE | TETHER_METHOD_DEADLINE_REQUIRED);
  assert_int_equal(demo_v1_greeter_peek_method.flags, TETHER_METHOD_IDEMPOTENT);
  /* An option set piece by piece is one option. */
  assert_int_equal(shop_cart_v2_cart_clear_method.flags, TETHER_METHOD_IDEMPOTENT | TETHER_METHOD_INLINE);
}

static void test_the_path_is_the_one_of_the_proto_whatever_the_names_in_c(void **state) {
  (void)state;
  assert_string_equal(acme_shop_v2_api_v1_http_stuff_http_feature_service_get_http_feature_method.path,
                      "/acme.shopV2.api_v1.HTTPStuff.HTTPFeature_Service/GetHTTPFeature");
  assert_string_equal(acme_tools_renamer_rename_method.path, "/acme.internal.tools.v1.Renamer/Rename");
  assert_string_equal(int_double_static_int_method.path, "/int.double.Static/_int");
}

static void test_nested_and_imported_types_have_the_descriptors_of_protoc_c(void **state) {
  (void)state;
  assert_string_equal(shop_cart_v2_cart_add_method.reply->name, "shop.cart.v2.Line.Price");
  assert_string_equal(shop_cart_v2_cart_clear_method.request->name, "google.protobuf.Empty");
  assert_ptr_equal(shop_cart_v2_cart_rename_method.request, &acme__tools__request__inner__descriptor);
  assert_true(acme_tools_renamer_rename_method.reply->sizeof_message == sizeof(Acme__Tools__Reply));
  assert_string_equal(acme_shop_v2_api_v1_http_stuff_http_feature_service_http2_ping_method.request->name,
                      "acme.shopV2.api_v1.HTTPStuff.HTTPRequest_Info.InnerMsg.deepest_one");
}

static void done_function(tether_call *c, void *data) {
  (void)c;
  (void)data;
}

static void test_a_stub_passes_on_everything(void **state) {
  (void)state;
  Demo__V1__HelloRequest request = DEMO__V1__HELLO_REQUEST__INIT;
  const tether_call_options options = {.wait_for_ready = true};
  assert_ptr_equal(demo_v1_greeter_client_say_hello(client, ctx, &request, &options), call);
  assert_ptr_equal(seen.client, client);
  assert_ptr_equal(seen.ctx, ctx);
  assert_ptr_equal(seen.method, &demo_v1_greeter_say_hello_method);
  assert_ptr_equal(seen.request, &request);
  assert_ptr_equal(seen.options, &options);
  assert_null(seen.done);

  assert_ptr_equal(demo_v1_greeter_client_delete_start(client, ctx, &request, &options, done_function, &data_place),
                   call);
  assert_ptr_equal(seen.method, &demo_v1_greeter_delete_method);
  assert_ptr_equal(seen.request, &request);
  assert_ptr_equal(seen.options, &options);
  assert_true(seen.done == done_function);
  assert_ptr_equal(seen.data, &data_place);
}

static void test_the_reply_is_the_calls_and_null_without_one(void **state) {
  (void)state;
  Demo__V1__HelloReply reply = DEMO__V1__HELLO_REPLY__INIT;
  assert_null(demo_v1_greeter_say_hello_reply(call));
  seen.reply = &reply.base;
  assert_ptr_equal(demo_v1_greeter_say_hello_reply(call), &reply);
}

/* A handler that shows what it got through the reply. */
static tether_code say_hello(const tether_ctx *x, tether_call *c, const Demo__V1__HelloRequest *request,
                             Demo__V1__HelloReply *reply, void *data) {
  reply->text = request->name;
  return x == ctx && c == call && data == &data_place ? TETHER_OUT_OF_RANGE : TETHER_INTERNAL;
}

static void test_registering_serves_every_method_with_the_table_given(void **state) {
  (void)state;
  const demo_v1_greeter_service service = {.say_hello = say_hello};
  assert_int_equal(demo_v1_greeter_register(server, &service, &data_place), TETHER_ALREADY_EXISTS);
  assert_ptr_equal(seen.server, server);
  assert_ptr_equal(seen.service, &service);
  assert_ptr_equal(seen.data, &data_place);
  assert_int_equal(seen.method_count, 4);
  const tether_method *const expected[] = {&demo_v1_greeter_say_hello_method, &demo_v1_greeter_say_nothing_method,
                                           &demo_v1_greeter_delete_method, &demo_v1_greeter_peek_method};
  for (size_t i = 0; i < 4; i++) assert_ptr_equal(seen.methods[i].method, expected[i]);
}

static void test_a_thunk_hands_everything_to_the_handler(void **state) {
  (void)state;
  const demo_v1_greeter_service service = {.say_hello = say_hello};
  assert_int_equal(demo_v1_greeter_register(server, &service, &data_place), TETHER_ALREADY_EXISTS);
  Demo__V1__HelloRequest request = DEMO__V1__HELLO_REQUEST__INIT;
  Demo__V1__HelloReply reply = DEMO__V1__HELLO_REPLY__INIT;
  char name[] = "Ada";
  request.name = name;
  assert_int_equal(seen.methods[0].handler(ctx, call, &request.base, &reply.base, &service, &data_place),
                   TETHER_OUT_OF_RANGE);
  assert_ptr_equal(reply.text, name);
  assert_null(seen.failed);
}

static void test_a_member_left_null_is_unimplemented(void **state) {
  (void)state;
  const demo_v1_greeter_service service = {.say_hello = say_hello};
  assert_int_equal(demo_v1_greeter_register(server, &service, NULL), TETHER_ALREADY_EXISTS);
  Demo__V1__HelloRequest request = DEMO__V1__HELLO_REQUEST__INIT;
  Demo__V1__HelloReply reply = DEMO__V1__HELLO_REPLY__INIT;
  assert_int_equal(seen.methods[2].handler(ctx, call, &request.base, &reply.base, &service, NULL),
                   TETHER_UNIMPLEMENTED);
  assert_ptr_equal(seen.failed, call);
  assert_non_null(strstr(seen.message, "/demo.v1.Greeter/Delete"));
}

static void test_a_service_without_methods_registers_none(void **state) {
  (void)state;
  const acme_shop_v2_api_v1_http_stuff_empty_service service = {0};
  assert_int_equal(acme_shop_v2_api_v1_http_stuff_empty_register(server, &service, NULL), TETHER_ALREADY_EXISTS);
  assert_int_equal(seen.method_count, 0);
}

/* The message type has its own name for what is usually `base`. */
static tether_code rename_handler(const tether_ctx *x, tether_call *c, const Acme__Tools__Request__Inner *request,
                                  Acme__Tools__Reply *reply, void *data) {
  (void)x;
  (void)c;
  (void)data;
  reply->text = request->base.descriptor == &acme__tools__request__inner__descriptor ? "renamed" : "wrong type";
  return TETHER_OK;
}

static void test_a_renamed_package_keeps_its_services_apart(void **state) {
  (void)state;
  const acme_tools_renamer_service service = {.rename = rename_handler};
  assert_int_equal(acme_tools_renamer_register(server, &service, NULL), TETHER_ALREADY_EXISTS);
  Acme__Tools__Request__Inner request = ACME__TOOLS__REQUEST__INNER__INIT;
  Acme__Tools__Reply reply = ACME__TOOLS__REPLY__INIT;
  assert_int_equal(seen.methods[0].handler(ctx, call, &request.base, &reply.base, &service, NULL), TETHER_OK);
  assert_string_equal(reply.text, "renamed");
  const Acme__Tools__Request whole = ACME__TOOLS__REQUEST__INIT;
  assert_ptr_equal(acme_tools_renamer_client_fallback(client, ctx, &whole, NULL), call);
  assert_ptr_equal(seen.request, &whole.header);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_method_carries_its_path_types_and_options, setup),
      cmocka_unit_test_setup(test_the_path_is_the_one_of_the_proto_whatever_the_names_in_c, setup),
      cmocka_unit_test_setup(test_nested_and_imported_types_have_the_descriptors_of_protoc_c, setup),
      cmocka_unit_test_setup(test_a_stub_passes_on_everything, setup),
      cmocka_unit_test_setup(test_the_reply_is_the_calls_and_null_without_one, setup),
      cmocka_unit_test_setup(test_registering_serves_every_method_with_the_table_given, setup),
      cmocka_unit_test_setup(test_a_thunk_hands_everything_to_the_handler, setup),
      cmocka_unit_test_setup(test_a_member_left_null_is_unimplemented, setup),
      cmocka_unit_test_setup(test_a_service_without_methods_registers_none, setup),
      cmocka_unit_test_setup(test_a_renamed_package_keeps_its_services_apart, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
