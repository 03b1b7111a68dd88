/* The generated stubs, thunks and tables against a tether that records how it is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "greeter.tether.h"
#include "keywords.tether.h"
#include "names.tether.h"
#include "renamed.tether.h"
#include "shop/cart/v2/cart.tether.h"

/* Last, as generated parameters would hide its names. */
#include "recorder.h"

static void test_a_method_carries_its_path_types_and_options(void **state) {
  (void)state;
  const tether_method *say = &demo_v1_greeter_say_hello_method;
  assert_string_equal(say->path, "/demo.v1.Greeter/SayHello");
  assert_ptr_equal(say->request, &demo__v1__hello_request__descriptor);
  assert_ptr_equal(say->reply, &demo__v1__hello_reply__descriptor);
  assert_true(say->default_timeout_ns == 200 * TETHER_MS);
  assert_int_equal(say->flags, TETHER_METHOD_IDEMPOTENT);
  assert_int_equal(say->retry->max_attempts, 3);
  assert_true(say->retry->initial_backoff_ns == 20 * TETHER_MS);
  assert_true(say->retry->max_backoff_ns == INT64_C(4294967295000000));
  assert_true(say->retry->backoff_multiplier == 1.6);
  assert_int_equal(say->retry->retryable, 1u << TETHER_UNAVAILABLE);

  assert_true(demo_v1_greeter_say_nothing_method.default_timeout_ns == 0);
  assert_int_equal(demo_v1_greeter_say_nothing_method.flags, 0);
  /* The largest timeout an option can hold does not overflow. */
  assert_true(demo_v1_greeter_delete_method.default_timeout_ns == INT64_C(4294967295000000));
  assert_int_equal(demo_v1_greeter_delete_method.flags, TETHER_METHOD_INLINE | TETHER_METHOD_DEADLINE_REQUIRED);
  assert_int_equal(demo_v1_greeter_peek_method.flags, TETHER_METHOD_IDEMPOTENT);
  assert_null(demo_v1_greeter_delete_method.retry);
  /* An option set piece by piece is one option. */
  assert_int_equal(demo_v1_greeter_peek_method.retry->max_attempts, 5);
  assert_int_equal(demo_v1_greeter_peek_method.retry->retryable,
                   1u << TETHER_ABORTED | 1u << TETHER_RESOURCE_EXHAUSTED);
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
      cmocka_unit_test_setup(test_a_method_carries_its_path_types_and_options, forget),
      cmocka_unit_test_setup(test_the_path_is_the_one_of_the_proto_whatever_the_names_in_c, forget),
      cmocka_unit_test_setup(test_nested_and_imported_types_have_the_descriptors_of_protoc_c, forget),
      cmocka_unit_test_setup(test_a_stub_passes_on_everything, forget),
      cmocka_unit_test_setup(test_the_reply_is_the_calls_and_null_without_one, forget),
      cmocka_unit_test_setup(test_registering_serves_every_method_with_the_table_given, forget),
      cmocka_unit_test_setup(test_a_thunk_hands_everything_to_the_handler, forget),
      cmocka_unit_test_setup(test_a_member_left_null_is_unimplemented, forget),
      cmocka_unit_test_setup(test_a_service_without_methods_registers_none, forget),
      cmocka_unit_test_setup(test_a_renamed_package_keeps_its_services_apart, forget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
