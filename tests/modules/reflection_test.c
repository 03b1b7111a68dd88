/* Server reflection over the wire: everything that is served is listed, what is sent are protoc's own bytes, complete
 * with their imports, and what is not there is said to be missing without ending the stream. */
#include "tests/support/rpc_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/reflection.h>
#include <unistd.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.tether.h"
#include "tests/support/wait.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;
#define REQUEST(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define RESPONSE(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

#define FILE_NAME "testing.proto"

struct fixture {
  char dir[64], url[128];
  tether_server *server;
  tether_client *client;
  tether_reflection *reflection;
  tether_ctx *ctx;
  tether_call *call;
  struct echo_stats stats;
};

/* `extra` is added before anybody calls; NULL: nothing is. */
static int setup_with(void **state, const tether_file *extra) {
  struct fixture *f = calloc(1, sizeof *f);
  if (!f) return -1;
  *state = f;
  snprintf(f->dir, sizeof f->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  f->ctx = tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS);
  bool opened = tether_server_open(&(tether_server_options){.max_workers = 1}, &f->server) == TETHER_OK &&
                tether_reflection_new(f->server, &f->reflection) == TETHER_OK &&
                (!extra || tether_reflection_add(f->reflection, extra) == TETHER_OK) &&
                echo_server_add(f->server, &f->stats) == TETHER_OK &&
                tether_server_listen(f->server, f->url) == TETHER_OK &&
                tether_client_open(f->url, NULL, &f->client) == TETHER_OK &&
                tether_client_wait_ready(f->client, f->ctx) == TETHER_OK;
  if (opened)
    f->call =
        grpc_reflection_v1_server_reflection_client_server_reflection_info_start(f->client, f->ctx, NULL, NULL, NULL);
  return opened ? 0 : -1;
}

static int setup(void **state) { return setup_with(state, NULL); }

static int teardown(void **state) {
  struct fixture *f = *state;
  tether_call_cancel(f->call, NULL);
  tether_call_unref(f->call);
  tether_client_close(f->client);
  tether_server_close(f->server);
  tether_reflection_free(f->reflection);
  tether_ctx_free(f->ctx);
  unlink(f->url + strlen("ipc://"));
  rmdir(f->dir);
  free(f);
  return 0;
}

/* ---- Asking -------------------------------------------------------------------------------- */

static void send_request(struct fixture *f, const request *asked) {
  assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_send_request(f->call, asked), TETHER_OK);
}

/* Valid until the next one. */
static const response *next_response(struct fixture *f) {
  const response *answer = NULL;
  assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(f->call, &answer), TETHER_OK);
  assert_non_null(answer);
  return answer;
}

static request text_request(int kind, const char *text) {
  request asked = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  asked.message_request_case = (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)kind;
  asked.file_by_filename = (char *)text; /* all strings of the oneof are in one place */
  return asked;
}

static const response *ask(struct fixture *f, int kind, const char *text) {
  const request asked = text_request(kind, text);
  send_request(f, &asked);
  return next_response(f);
}

static const response *ask_extension(struct fixture *f, const char *type, int32_t number) {
  Grpc__Reflection__V1__ExtensionRequest extension = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
  request asked = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  extension.containing_type = (char *)type;
  extension.extension_number = number;
  asked.message_request_case = REQUEST(FILE_CONTAINING_EXTENSION);
  asked.file_containing_extension = &extension;
  send_request(f, &asked);
  return next_response(f);
}

static void expect_error(const response *answer, tether_code code, const char *text) {
  assert_int_equal(answer->message_response_case, RESPONSE(ERROR_RESPONSE));
  assert_int_equal(answer->error_response->error_code, code);
  assert_string_equal(answer->error_response->error_message, text);
}

/* The name of the first file of an answer. */
static void expect_file(const response *answer, const char *name) {
  if (answer->message_response_case == RESPONSE(ERROR_RESPONSE)) fail_msg("%s", answer->error_response->error_message);
  assert_int_equal(answer->message_response_case, RESPONSE(FILE_DESCRIPTOR_RESPONSE));
  assert_true(answer->file_descriptor_response->n_file_descriptor_proto > 0);
  const ProtobufCBinaryData *bytes = &answer->file_descriptor_response->file_descriptor_proto[0];
  Google__Protobuf__FileDescriptorProto *file =
      google__protobuf__file_descriptor_proto__unpack(NULL, bytes->len, bytes->data);
  assert_non_null(file);
  assert_string_equal(file->name, name);
  google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
}

/* ---- What is there ------------------------------------------------------------------------- */

static void every_service_is_listed_once(void **state) {
  struct fixture *f = *state;
  static const char *const names[] = {"grpc.reflection.v1.ServerReflection", "testing.v1.Echo", "testing.v1.Handed"};
  const response *answer = ask(f, REQUEST(LIST_SERVICES), "");
  assert_int_equal(answer->message_response_case, RESPONSE(LIST_SERVICES_RESPONSE));
  assert_int_equal(answer->list_services_response->n_service, 3);
  for (int i = 0; i < 3; i++) assert_string_equal(answer->list_services_response->service[i]->name, names[i]);
}

static void an_answer_names_the_host_and_the_request(void **state) {
  struct fixture *f = *state;
  request asked = text_request(REQUEST(FILE_BY_FILENAME), "none.proto");
  asked.host = "a.host";
  send_request(f, &asked);
  const response *answer = next_response(f);
  assert_string_equal(answer->valid_host, "a.host");
  assert_string_equal(answer->original_request->host, "a.host");
  assert_int_equal(answer->original_request->message_request_case, REQUEST(FILE_BY_FILENAME));
  assert_string_equal(answer->original_request->file_by_filename, "none.proto");
}

static void whatever_has_a_name_leads_to_its_file(void **state) {
  struct fixture *f = *state;
  static const char *const symbols[][2] = {
      {"testing.v1.Echo", FILE_NAME},
      {"testing.v1.Echo.Quick", FILE_NAME},
      {"testing.v1.Request", FILE_NAME},
      {"testing.v1.Request.deeper", FILE_NAME},
      {"grpc.reflection.v1.ServerReflectionRequest.message_request", "grpc/reflection/v1/reflection.proto"},
      {"tether.MethodOptions", "tether/options.proto"},
      {"tether.method", "tether/options.proto"},
      {"google.protobuf.FieldDescriptorProto.Type", "google/protobuf/descriptor.proto"},
      {"google.protobuf.FieldDescriptorProto.TYPE_BOOL", "google/protobuf/descriptor.proto"},
      {"google.protobuf.DescriptorProto.ExtensionRange.start", "google/protobuf/descriptor.proto"},
      {"pb_c_file", "protobuf-c/protobuf-c.proto"},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
    expect_file(ask(f, REQUEST(FILE_CONTAINING_SYMBOL), symbols[i][0]), symbols[i][1]);
}

static void extensions_lead_to_their_file_and_are_numbered(void **state) {
  struct fixture *f = *state;
  expect_file(ask_extension(f, "google.protobuf.MethodOptions", 50500), "tether/options.proto");
  expect_file(ask_extension(f, "google.protobuf.FileOptions", 1019), "protobuf-c/protobuf-c.proto");
  const response *answer = ask(f, REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE), "google.protobuf.MethodOptions");
  assert_int_equal(answer->message_response_case, RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE));
  assert_string_equal(answer->all_extension_numbers_response->base_type_name, "google.protobuf.MethodOptions");
  assert_int_equal(answer->all_extension_numbers_response->n_extension_number, 1);
  assert_int_equal(answer->all_extension_numbers_response->extension_number[0], 50500);
  answer = ask(f, REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE), "testing.v1.Request");
  assert_int_equal(answer->message_response_case, RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE));
  assert_int_equal(answer->all_extension_numbers_response->n_extension_number, 0);
}

static void what_is_not_there_is_an_error_and_the_stream_goes_on(void **state) {
  struct fixture *f = *state;
  const request empty = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  expect_error(ask(f, REQUEST(FILE_BY_FILENAME), "none.proto"), TETHER_NOT_FOUND, "File not found: none.proto");
  expect_error(ask(f, REQUEST(FILE_CONTAINING_SYMBOL), "testing.v1.None"), TETHER_NOT_FOUND,
               "Symbol not found: testing.v1.None");
  expect_error(ask(f, REQUEST(FILE_CONTAINING_SYMBOL), ""), TETHER_NOT_FOUND, "Symbol not found: ");
  expect_error(ask_extension(f, "google.protobuf.MethodOptions", 1), TETHER_NOT_FOUND,
               "Extension not found: google.protobuf.MethodOptions");
  expect_error(ask_extension(f, "no.Type", 50500), TETHER_NOT_FOUND, "Extension not found: no.Type");
  expect_error(ask(f, REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE), "no.Type"), TETHER_NOT_FOUND, "Type not found: no.Type");
  send_request(f, &empty);
  expect_error(next_response(f), TETHER_UNIMPLEMENTED, "Unknown kind of request");
  expect_file(ask(f, REQUEST(FILE_BY_FILENAME), FILE_NAME), FILE_NAME);
}

/* ---- protoc's bytes ------------------------------------------------------------------------ */

struct bytes {
  uint8_t *data;
  size_t len;
};

/* A message of one bytes field after the other: FileDescriptorSet, or the answer as one. */
static void add_file(struct bytes *set, const ProtobufCBinaryData *file) {
  set->data = realloc(set->data, set->len + file->len + 8);
  set->data[set->len++] = 1 << 3 | 2;
  for (size_t left = file->len; left > 0x7f || (set->data[set->len++] = (uint8_t)left, false); left >>= 7)
    set->data[set->len++] = (uint8_t)(left | 0x80);
  memcpy(set->data + set->len, file->data, file->len);
  set->len += file->len;
}

static void run_protoc(const char *format, ...) TETHER_PRINTF(1, 2);
static void run_protoc(const char *format, ...) {
  char command[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof command, format, args);
  va_end(args);
  if (system(command) != 0) fail_msg("failed: %s", command);
}

static struct bytes read_file(const char *path) {
  struct bytes bytes = {malloc(1 << 20), 0};
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  bytes.len = fread(bytes.data, 1, 1 << 20, file);
  fclose(file);
  return bytes;
}

/* protoc writes imports before what imports them, the server the file first: they are compared file by file. */
static void expect_same_files(const struct bytes *ours, const struct bytes *protocs) {
  Google__Protobuf__FileDescriptorSet *a = google__protobuf__file_descriptor_set__unpack(NULL, ours->len, ours->data);
  Google__Protobuf__FileDescriptorSet *b =
      google__protobuf__file_descriptor_set__unpack(NULL, protocs->len, protocs->data);
  assert_true(a && b);
  assert_int_equal(a->n_file, b->n_file);
  google__protobuf__file_descriptor_set__free_unpacked(a, NULL);
  google__protobuf__file_descriptor_set__free_unpacked(b, NULL);
  assert_int_equal(ours->len, protocs->len);
}

static void what_is_sent_is_what_protoc_writes_for_the_file_and_its_imports(void **state) {
  struct fixture *f = *state;
  char ours_path[128], protocs_path[128], text_path[128];
  snprintf(ours_path, sizeof ours_path, "%s/ours", f->dir);
  snprintf(protocs_path, sizeof protocs_path, "%s/protocs", f->dir);
  snprintf(text_path, sizeof text_path, "%s/text", f->dir);
  run_protoc("protoc -I %s/tests/support -I %s/proto --include_imports --descriptor_set_out=%s " FILE_NAME,
             TETHER_SOURCE_DIR, TETHER_SOURCE_DIR, protocs_path);
  struct bytes protocs = read_file(protocs_path), ours = {0};

  const response *answer = ask(f, REQUEST(FILE_BY_FILENAME), FILE_NAME);
  expect_file(answer, FILE_NAME);
  const Grpc__Reflection__V1__FileDescriptorResponse *files = answer->file_descriptor_response;
  assert_int_equal(files->n_file_descriptor_proto, 4);
  for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
    const ProtobufCBinaryData *file = &files->file_descriptor_proto[i];
    assert_non_null(memmem(protocs.data, protocs.len, file->data, file->len));
    add_file(&ours, file);
  }
  expect_same_files(&ours, &protocs);

  /* And protoc can work from it alone. */
  FILE *out = fopen(ours_path, "wb");
  assert_non_null(out);
  assert_int_equal(fwrite(ours.data, 1, ours.len, out), ours.len);
  fclose(out);
  run_protoc(
      "printf 'name: \"x\" deeper { width: 3 }' | protoc --descriptor_set_in=%s --encode=testing.v1.Request " FILE_NAME
      " | protoc --descriptor_set_in=%s --decode=testing.v1.Request " FILE_NAME
      " | tr -d '\\n' | grep -qx 'name: \"x\"deeper {  width: 3}'",
      ours_path, ours_path);
  run_protoc(
      "protoc --descriptor_set_in=%s --decode=google.protobuf.FileDescriptorSet google/protobuf/descriptor.proto "
      "<%s >%s && grep -q '\\[tether.method\\]' %s",
      ours_path, ours_path, text_path, text_path);
  free(ours.data);
  free(protocs.data);
  unlink(ours_path);
  unlink(protocs_path);
  unlink(text_path);
}

/* ---- Streams ------------------------------------------------------------------------------- */

static void a_half_close_ends_the_stream_in_good_order(void **state) {
  struct fixture *f = *state;
  const response *answer = ask(f, REQUEST(FILE_BY_FILENAME), FILE_NAME);
  expect_file(answer, FILE_NAME);
  tether_call_close_send(f->call);
  assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(f->call, &answer), TETHER_OK);
  assert_null(answer);
  rpc_assert_code(f->call, TETHER_OK);
}

/* More answers than all windows hold, none read until all is asked; then every one comes, in order. */
static void answers_that_nobody_reads_hold_the_server_back_and_come_later(void **state) {
  struct fixture *f = *state;
  enum { REQUESTS = 300 };
  char name[32];
  bool done = true;
  int sent = 0, read = 0;
  for (; sent < REQUESTS && done; sent += done) {
    snprintf(name, sizeof name, "%d", sent);
    request asked = text_request(REQUEST(FILE_BY_FILENAME), "google/protobuf/descriptor.proto");
    asked.host = name;
    assert_int_equal(tether_call_try_send(f->call, &asked.base, &done), TETHER_OK);
  }
  assert_int_equal(sent, REQUESTS);
  tether_call_close_send(f->call);
  for (; read < REQUESTS; read++) {
    const response *answer = next_response(f);
    snprintf(name, sizeof name, "%d", read);
    assert_string_equal(answer->valid_host, name);
    expect_file(answer, "google/protobuf/descriptor.proto");
  }
  const response *end;
  assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(f->call, &end), TETHER_OK);
  assert_null(end);
}

static bool nothing_runs(void *data) {
  tether_server_stats stats;
  return tether_server_get_stats(data, NULL, &stats) == TETHER_OK && stats.running == 0;
}

/* The server has one worker: open streams do not take it. */
static void open_streams_take_no_worker_and_are_let_go_when_their_client_leaves(void **state) {
  struct fixture *f = *state;
  enum { STREAMS = 20 };
  tether_call *calls[STREAMS];
  Testing__V1__Request asked = TESTING__V1__REQUEST__INIT;
  for (int i = 0; i < STREAMS; i++)
    calls[i] =
        grpc_reflection_v1_server_reflection_client_server_reflection_info_start(f->client, f->ctx, NULL, NULL, NULL);
  for (int i = 0; i < STREAMS; i++) {
    const request list = text_request(REQUEST(LIST_SERVICES), "");
    const response *answer;
    assert_int_equal(tether_call_send(calls[i], &list.base), TETHER_OK);
    assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_recv_reply(calls[i], &answer),
                     TETHER_OK);
  }
  TETHER_SCOPED_CALL tether_call *call = testing_v1_echo_client_pooled(f->client, f->ctx, &asked, NULL);
  rpc_assert_code(call, TETHER_OK);
  for (int i = 0; i < STREAMS; i++) {
    tether_call_cancel(calls[i], NULL);
    tether_call_unref(calls[i]);
  }
  tether_call_cancel(f->call, NULL);
  assert_true(tst_wait_until(nothing_runs, f->server, TST_BOUND_NS));
}

/* ---- Adding -------------------------------------------------------------------------------- */

static const uint8_t extra_descriptor[] =
    "\x0a\x0b"
    "extra.proto"
    "\x22\x07\x0a\x05"
    "Extra";
static const tether_file extra_file = {
    .name = "extra.proto", .descriptor = extra_descriptor, .size = sizeof extra_descriptor - 1};

static int setup_with_extra(void **state) { return setup_with(state, &extra_file); }

static void files_that_nobody_serves_can_be_added_before_the_first_request(void **state) {
  struct fixture *f = *state;
  expect_file(ask(f, REQUEST(FILE_CONTAINING_SYMBOL), "Extra"), "extra.proto");
  assert_int_equal(tether_reflection_add(f->reflection, &extra_file), TETHER_FAILED_PRECONDITION);
}

static void it_cannot_be_added_twice_or_late(void **state) {
  struct fixture *f = *state;
  tether_reflection *first, *reflection;
  tether_server *server;
  assert_int_equal(tether_reflection_new(f->server, &reflection), TETHER_FAILED_PRECONDITION);
  assert_int_equal(tether_server_open(NULL, &server), TETHER_OK);
  assert_int_equal(tether_reflection_new(server, &first), TETHER_OK);
  assert_int_equal(tether_reflection_new(server, &reflection), TETHER_ALREADY_EXISTS);
  tether_server_close(server);
  tether_reflection_free(first);
  tether_reflection_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_service_is_listed_once),
      TEST(an_answer_names_the_host_and_the_request),
      TEST(whatever_has_a_name_leads_to_its_file),
      TEST(extensions_lead_to_their_file_and_are_numbered),
      TEST(what_is_not_there_is_an_error_and_the_stream_goes_on),
      TEST(what_is_sent_is_what_protoc_writes_for_the_file_and_its_imports),
      TEST(a_half_close_ends_the_stream_in_good_order),
      TEST(answers_that_nobody_reads_hold_the_server_back_and_come_later),
      TEST(open_streams_take_no_worker_and_are_let_go_when_their_client_leaves),
      cmocka_unit_test_setup_teardown(files_that_nobody_serves_can_be_added_before_the_first_request, setup_with_extra,
                                      teardown),
      TEST(it_cannot_be_added_twice_or_late),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
