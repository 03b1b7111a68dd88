/* What the generator makes of requests that protoc would not send: cut short, bent, crafted.
 *
 * Whatever it reads, a run ends one of two ways: status 0 and a whole response, with files or with an error and never
 * both; or status 1, nothing written, and a reason. AddressSanitizer watches the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin.h"
#include "plugin.pb-c.h"

struct bytes {
  uint8_t *data;
  size_t len;
};

struct result {
  int status;
  char *reason;
  Tth__Plugin__Response *response; /* of status 0 */
};

static struct bytes captured;

static struct result run(const uint8_t *data, size_t len) {
  /* A copy of its own size, so that a byte read too far is caught. fmemopen refuses the size 0. */
  uint8_t *copy = malloc(len + 1);
  memcpy(copy, data, len);
  struct result result = {0};
  char *output = NULL;
  size_t output_len = 0, reason_len = 0;
  FILE *in = len > 0 ? fmemopen(copy, len, "rb") : fopen("/dev/null", "rb");
  FILE *out = open_memstream(&output, &output_len);
  FILE *errors = open_memstream(&result.reason, &reason_len);
  assert_true(in && out && errors);
  result.status = tth_plugin_run(in, out, errors);
  fclose(in);
  fclose(out);
  fclose(errors);
  free(copy);
  if (result.status == 0) {
    result.response = tth__plugin__response__unpack(NULL, output_len, (const uint8_t *)output);
    assert_non_null(result.response);
    assert_true((result.response->error != NULL) != (result.response->n_file > 0));
    assert_int_equal(reason_len, 0);
  } else {
    assert_int_equal(result.status, 1);
    assert_int_equal(output_len, 0);
    assert_int_equal(strncmp(result.reason, "protoc-gen-tether: ", 19), 0);
  }
  free(output);
  return result;
}

static void finish(struct result *result) {
  tth__plugin__response__free_unpacked(result->response, NULL);
  free(result->reason);
}

static struct result run_request(const Tth__Plugin__Request *request) {
  size_t len = tth__plugin__request__get_packed_size(request);
  uint8_t *data = malloc(len);
  tth__plugin__request__pack(request, data);
  struct result result = run(data, len);
  free(data);
  return result;
}

static int read_captured(void **state) {
  (void)state;
  FILE *file = fopen(GEN_REQUEST, "rb");
  if (file == NULL) return -1;
  captured.data = malloc(1 << 20);
  captured.len = fread(captured.data, 1, 1 << 20, file);
  fclose(file);
  return captured.len > 1000 ? 0 : -1;
}

static int free_captured(void **state) {
  (void)state;
  free(captured.data);
  return 0;
}

static void test_what_protoc_sends_gives_two_files_each(void **state) {
  (void)state;
  struct result result = run(captured.data, captured.len);
  assert_int_equal(result.status, 0);
  assert_null(result.response->error);
  const char *const names[] = {"greeter.tether.h",    "greeter.tether.c",   "no_package.tether.h",
                               "no_package.tether.c", "streaming.tether.h", "streaming.tether.c"};
  assert_int_equal(result.response->n_file, 6);
  for (size_t i = 0; i < 6; i++) assert_string_equal(result.response->file[i]->name, names[i]);
  /* FEATURE_PROTO3_OPTIONAL, so that protoc leaves the refusal, with its line, to us. */
  assert_true(result.response->supported_features == 1);
  finish(&result);
}

static void test_a_request_cut_anywhere_is_refused_or_answered(void **state) {
  (void)state;
  size_t refused = 0;
  for (size_t len = 0; len < captured.len; len++) {
    struct result result = run(captured.data, len);
    refused += result.status == 1;
    finish(&result);
  }
  /* All but the few cuts between two top-level fields, and of those all that lack a file to generate. */
  assert_true(refused + 4 >= captured.len);
}

static uint32_t next_random(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*seed >> 33);
}

static void test_a_bent_request_is_refused_or_answered(void **state) {
  (void)state;
  size_t answered = 0;
  uint8_t *bent = malloc(captured.len);
  for (uint64_t i = 0; i < 3000; i++) {
    uint64_t seed = i;
    memcpy(bent, captured.data, captured.len);
    for (uint32_t flips = 1 + next_random(&seed) % 4; flips > 0; flips--) {
      bent[next_random(&seed) % captured.len] = (uint8_t)next_random(&seed);
    }
    struct result result = run(bent, captured.len);
    answered += result.status == 0;
    finish(&result);
  }
  free(bent);
  /* Enough must get through the first checks for the others to be reached. */
  assert_true(answered > 150);
}

static void test_noise_is_refused(void **state) {
  (void)state;
  uint8_t noise[512];
  uint64_t seed = 1;
  for (int round = 0; round < 2000; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)next_random(&seed);
    struct result result = run(noise, next_random(&seed) % sizeof noise);
    assert_int_equal(result.status, 1);
    finish(&result);
  }
}

/* Wraps what is at the end of `bytes` as field `number`, growing to the front. */
static uint8_t *wrap(uint8_t *at, size_t *len, unsigned number) {
  uint8_t size[10];
  size_t count = 0;
  for (size_t left = *len; count == 0 || left > 0; left >>= 7) size[count++] = (uint8_t)((left & 0x7f) | 0x80);
  size[count - 1] &= 0x7f;
  at -= count;
  memcpy(at, size, count);
  *--at = (uint8_t)(number << 3 | 2);
  *len += count + 1;
  return at;
}

static void test_deep_nesting_is_refused_instead_of_followed(void **state) {
  (void)state;
  const size_t room = 1 << 20;
  uint8_t *bytes = malloc(room);
  uint8_t *at = bytes + room;
  size_t len = 0;
  for (int depth = 0; depth < 100000; depth++) at = wrap(at, &len, 3); /* DescriptorProto.nested_type */
  at = wrap(at, &len, 4);                                              /* FileDescriptorProto.message_type */
  at = wrap(at, &len, 15);                                             /* proto_file */
  struct result result = run(at, len);
  assert_int_equal(result.status, 1);
  finish(&result);
  free(bytes);
}

/* A request for one file with nothing in it. */
static struct result run_file(const char *name, const char *parameter) {
  Google__Protobuf__FileDescriptorProto file = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT;
  Google__Protobuf__FileDescriptorProto *files[] = {&file};
  char *to_generate[] = {(char *)name};
  file.name = (char *)name;
  Tth__Plugin__Request request = TTH__PLUGIN__REQUEST__INIT;
  request.n_file_to_generate = 1;
  request.file_to_generate = to_generate;
  request.parameter = (char *)parameter;
  request.n_proto_file = 1;
  request.proto_file = files;
  return run_request(&request);
}

static void test_no_file_name_leads_out_of_the_output_directory_or_a_comment(void **state) {
  (void)state;
  const char *const names[] = {"../evil.proto",
                               "/evil.proto",
                               "a/../../evil.proto",
                               "a/..",
                               "..",
                               "a//evil.proto",
                               "./evil.proto",
                               "a/",
                               "/",
                               ".",
                               "a\\evil.proto",
                               "a\nevil.proto",
                               "a\"evil.proto",
                               "*/evil.proto",
                               "a/*.proto"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct result result = run_file(names[i], NULL);
    assert_int_equal(result.status, 0);
    assert_non_null(result.response->error);
    assert_non_null(strstr(result.response->error, "output directory"));
    finish(&result);
  }
  const char *const fine[] = {"a.proto", "..a/b..proto", ".hidden.proto", "a/b/c", "a.protodevel"};
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
    struct result result = run_file(fine[i], NULL);
    assert_int_equal(result.status, 0);
    assert_null(result.response->error);
    finish(&result);
  }
}

static void test_an_empty_parameter_is_none(void **state) {
  (void)state;
  struct result result = run_file("a.proto", "");
  assert_int_equal(result.status, 0);
  assert_null(result.response->error);
  finish(&result);
  result = run_file("a.proto", "x");
  assert_string_equal(result.response->error, "--tether_opt: unknown parameter \"x\"; there are none");
  finish(&result);
}

/* A service of one method with a field missing or impossible. */
static struct result run_method(char *package, char *service_name, char *method_name, char *type) {
  Google__Protobuf__MethodDescriptorProto method = GOOGLE__PROTOBUF__METHOD_DESCRIPTOR_PROTO__INIT;
  Google__Protobuf__MethodDescriptorProto *methods[] = {&method};
  Google__Protobuf__ServiceDescriptorProto service = GOOGLE__PROTOBUF__SERVICE_DESCRIPTOR_PROTO__INIT;
  Google__Protobuf__ServiceDescriptorProto *services[] = {&service};
  Google__Protobuf__DescriptorProto message = GOOGLE__PROTOBUF__DESCRIPTOR_PROTO__INIT;
  Google__Protobuf__DescriptorProto *messages[] = {&message};
  Google__Protobuf__FileDescriptorProto file = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT;
  Google__Protobuf__FileDescriptorProto *files[] = {&file};
  char *to_generate[] = {"a.proto"};
  method.name = method_name;
  method.input_type = method.output_type = type;
  service.name = service_name;
  service.n_method = 1;
  service.method = methods;
  message.name = "M";
  file.name = "a.proto";
  file.package = package;
  file.n_service = file.n_message_type = 1;
  file.service = services;
  file.message_type = messages;
  Tth__Plugin__Request request = TTH__PLUGIN__REQUEST__INIT;
  request.n_file_to_generate = request.n_proto_file = 1;
  request.file_to_generate = to_generate;
  request.proto_file = files;
  return run_request(&request);
}

static void test_names_that_are_no_names_are_refused(void **state) {
  (void)state;
  struct result fine = run_method("demo", "Service", "Method", ".demo.M");
  assert_int_equal(fine.status, 0);
  assert_null(fine.response->error);
  finish(&fine);
  char *const cases[][4] = {
      {"demo", NULL, "Method", ".demo.M"},
      {"demo", "Service", NULL, ".demo.M"},
      {"demo", "Service", "Method", NULL},
      {"demo", "Service", "Method", ".demo.N"},
      {"demo", "Service", "Method", ""},
      {"demo", "Service()", "Method", ".demo.M"},
      {"demo", "Service", "Method; int x", ".demo.M"},
      {"demo", "Service", "", ".demo.M"},
      {"de-mo", "Service", "Method", ".de-mo.M"},
      {".demo", "Service", "Method", "..demo.M"},
      {"demo.", "Service", "Method", ".demo..M"},
      {"demo", "1Service", "Method", ".demo.M"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct result result = run_method(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
    assert_int_equal(result.status, 1);
    finish(&result);
  }
}

static void test_a_file_to_generate_must_be_there(void **state) {
  (void)state;
  char *to_generate[] = {"missing.proto"};
  Tth__Plugin__Request request = TTH__PLUGIN__REQUEST__INIT;
  struct result result = run_request(&request);
  assert_int_equal(result.status, 1);
  finish(&result);
  request.n_file_to_generate = 1;
  request.file_to_generate = to_generate;
  result = run_request(&request);
  assert_int_equal(result.status, 1);
  finish(&result);
}

/* Files that import each other: protoc refuses them; what is written for one must still end. */
static void test_imports_must_be_there_and_may_go_in_circles(void **state) {
  (void)state;
  Google__Protobuf__FileDescriptorProto a = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT, b = a;
  Google__Protobuf__FileDescriptorProto *files[] = {&a, &b};
  char *to_generate[] = {"a.proto"}, *imports_of_a[] = {"b.proto"}, *imports_of_b[] = {"a.proto"};
  a.name = to_generate[0];
  b.name = "b.proto";
  a.n_dependency = b.n_dependency = 1;
  a.dependency = imports_of_a;
  b.dependency = imports_of_b;
  Tth__Plugin__Request request = TTH__PLUGIN__REQUEST__INIT;
  request.n_file_to_generate = 1;
  request.file_to_generate = to_generate;
  request.n_proto_file = 2;
  request.proto_file = files;
  struct result result = run_request(&request);
  assert_int_equal(result.status, 0);
  assert_null(result.response->error);
  assert_non_null(strstr(result.response->file[1]->content, ".name = \"b.proto\""));
  finish(&result);
  request.n_proto_file = 1;
  result = run_request(&request);
  assert_int_equal(result.status, 1);
  assert_non_null(strstr(result.reason, "an imported file is missing"));
  finish(&result);
}

/* Names of imports are held to nothing, and stand in string literals. */
static void test_an_imports_name_cannot_break_out_of_its_literal(void **state) {
  (void)state;
  Google__Protobuf__FileDescriptorProto a = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT, b = a;
  Google__Protobuf__FileDescriptorProto *files[] = {&a, &b};
  char *to_generate[] = {"a.proto"}, *imports[] = {"\",}; int x\n\\"};
  a.name = to_generate[0];
  b.name = imports[0];
  a.n_dependency = 1;
  a.dependency = imports;
  Tth__Plugin__Request request = TTH__PLUGIN__REQUEST__INIT;
  request.n_file_to_generate = 1;
  request.file_to_generate = to_generate;
  request.n_proto_file = 2;
  request.proto_file = files;
  struct result result = run_request(&request);
  assert_int_equal(result.status, 0);
  assert_null(result.response->error);
  assert_non_null(strstr(result.response->file[1]->content, ".name = \"\\042,}; int x\\012\\134\""));
  finish(&result);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_protoc_sends_gives_two_files_each),
      cmocka_unit_test(test_a_request_cut_anywhere_is_refused_or_answered),
      cmocka_unit_test(test_a_bent_request_is_refused_or_answered),
      cmocka_unit_test(test_noise_is_refused),
      cmocka_unit_test(test_deep_nesting_is_refused_instead_of_followed),
      cmocka_unit_test(test_no_file_name_leads_out_of_the_output_directory_or_a_comment),
      cmocka_unit_test(test_an_empty_parameter_is_none),
      cmocka_unit_test(test_names_that_are_no_names_are_refused),
      cmocka_unit_test(test_a_file_to_generate_must_be_there),
      cmocka_unit_test(test_imports_must_be_there_and_may_go_in_circles),
      cmocka_unit_test(test_an_imports_name_cannot_break_out_of_its_literal),
  };
  return cmocka_run_group_tests(tests, read_captured, free_captured);
}
