#include "modules/reflection/answer.h"

#include <stdio.h>
#include <string.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

/* Their own names do not fit into a line. */
#define REQUEST(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define RESPONSE(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

/* ---- Services ------------------------------------------------------------------------------ */

/* The length of "package.Service" in "/package.Service/Method". */
static size_t service_length(const char *path) { return strcspn(path + 1, "/"); }

/* Methods are in the order of their paths, so those of a service stand together. */
static bool begins_service(const tether_server *server, size_t i, const char *path) {
  size_t len = service_length(path);
  return i == 0 || strncmp(tether_server_method(server, i - 1)->path, path, len + 2) != 0;
}

static size_t count_services(const tether_server *server) {
  const tether_method *method;
  size_t count = 0;
  for (size_t i = 0; (method = tether_server_method(server, i)); i++) count += begins_service(server, i, method->path);
  return count;
}

static bool list_services(tth_answer *answer, tether_call *call) {
  const tether_method *method;
  size_t count = count_services(answer->server);
  answer->services = tether_call_alloc(call, count * sizeof *answer->services);
  answer->service_list = tether_call_alloc(call, count * sizeof(void *));
  if (!answer->services || !answer->service_list) return false;
  for (size_t i = 0; (method = tether_server_method(answer->server, i)); i++) {
    if (!begins_service(answer->server, i, method->path)) continue;
    Grpc__Reflection__V1__ServiceResponse *service = &answer->services[answer->service_count];
    grpc__reflection__v1__service_response__init(service);
    service->name = tether_call_printf(call, "%.*s", (int)service_length(method->path), method->path + 1);
    if (!service->name) return false;
    answer->service_list[answer->service_count++] = service;
  }
  return true;
}

tth_answer *tth_answer_new(tether_call *call, const tether_server *server, const tth_reflection_index *index) {
  tth_answer *answer = tether_call_alloc(call, sizeof *answer);
  if (!answer) return NULL;
  answer->server = server;
  answer->index = index;
  answer->queue = tether_call_alloc(call, index->file_count * sizeof *answer->queue);
  answer->is_queued = tether_call_alloc(call, index->file_count * sizeof *answer->is_queued);
  answer->bytes = tether_call_alloc(call, index->file_count * sizeof *answer->bytes);
  answer->numbers = tether_call_alloc(call, (index->extension_count + 1) * sizeof *answer->numbers);
  bool whole = answer->queue && answer->is_queued && answer->bytes && answer->numbers && list_services(answer, call);
  return whole ? answer : NULL;
}

/* ---- Responses ----------------------------------------------------------------------------- */

static void fail(tth_answer *answer, tether_code code, const char *what, const char *name) {
  snprintf(answer->error_text, sizeof answer->error_text, "%s%.200s", what, name);
  grpc__reflection__v1__error_response__init(&answer->error);
  answer->error.error_code = (int32_t)code;
  answer->error.error_message = answer->error_text;
  answer->response.message_response_case = RESPONSE(ERROR_RESPONSE);
  answer->response.error_response = &answer->error;
}

/* A file and everything it imports, the file first. */
static void send_file(tth_answer *answer, size_t file) {
  const tth_reflection_index *index = answer->index;
  size_t count = 0;
  memset(answer->is_queued, 0, index->file_count * sizeof *answer->is_queued);
  answer->queue[count++] = file;
  answer->is_queued[file] = true;
  for (size_t i = 0; i < count; i++) {
    const tth_reflected_file *next = &index->files[answer->queue[i]];
    answer->bytes[i] = (ProtobufCBinaryData){next->file->size, (uint8_t *)next->file->descriptor};
    for (size_t j = 0; j < next->import_count; j++) {
      if (answer->is_queued[next->imports[j]]) continue;
      answer->is_queued[next->imports[j]] = true;
      answer->queue[count++] = next->imports[j];
    }
  }
  grpc__reflection__v1__file_descriptor_response__init(&answer->files);
  answer->files.n_file_descriptor_proto = count;
  answer->files.file_descriptor_proto = answer->bytes;
  answer->response.message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
  answer->response.file_descriptor_response = &answer->files;
}

static void send_file_by_name(tth_answer *answer, const char *name) {
  size_t file = tth_reflection_index_file(answer->index, name);
  if (file == SIZE_MAX)
    fail(answer, TETHER_NOT_FOUND, "File not found: ", name);
  else
    send_file(answer, file);
}

static void send_file_of_symbol(tth_answer *answer, const char *name) {
  size_t file = tth_reflection_index_symbol_file(answer->index, name);
  if (file == SIZE_MAX)
    fail(answer, TETHER_NOT_FOUND, "Symbol not found: ", name);
  else
    send_file(answer, file);
}

static void send_file_of_extension(tth_answer *answer, const Grpc__Reflection__V1__ExtensionRequest *wanted) {
  size_t count;
  const tth_reflected_extension *found =
      tth_reflection_index_extensions(answer->index, wanted->containing_type, &count);
  for (size_t i = 0; i < count; i++) {
    if (found[i].number != wanted->extension_number) continue;
    send_file(answer, found[i].file);
    return;
  }
  fail(answer, TETHER_NOT_FOUND, "Extension not found: ", wanted->containing_type);
}

static void send_extension_numbers(tth_answer *answer, const char *type) {
  size_t count;
  const tth_reflected_extension *found = tth_reflection_index_extensions(answer->index, type, &count);
  if (tth_reflection_index_symbol_file(answer->index, type) == SIZE_MAX) {
    fail(answer, TETHER_NOT_FOUND, "Type not found: ", type);
    return;
  }
  for (size_t i = 0; i < count; i++) answer->numbers[i] = found[i].number;
  grpc__reflection__v1__extension_number_response__init(&answer->extensions);
  answer->extensions.base_type_name = (char *)type;
  answer->extensions.n_extension_number = count;
  answer->extensions.extension_number = answer->numbers;
  answer->response.message_response_case = RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE);
  answer->response.all_extension_numbers_response = &answer->extensions;
}

static void send_services(tth_answer *answer) {
  grpc__reflection__v1__list_service_response__init(&answer->list);
  answer->list.n_service = answer->service_count;
  answer->list.service = answer->service_list;
  answer->response.message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
  answer->response.list_services_response = &answer->list;
}

const response *tth_answer_make(tth_answer *answer, const request *asked) {
  grpc__reflection__v1__server_reflection_response__init(&answer->response);
  answer->response.valid_host = asked->host;
  answer->response.original_request = (request *)asked;
  switch (asked->message_request_case) {
    case REQUEST(FILE_BY_FILENAME):
      send_file_by_name(answer, asked->file_by_filename);
      break;
    case REQUEST(FILE_CONTAINING_SYMBOL):
      send_file_of_symbol(answer, asked->file_containing_symbol);
      break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
      send_file_of_extension(answer, asked->file_containing_extension);
      break;
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
      send_extension_numbers(answer, asked->all_extension_numbers_of_type);
      break;
    case REQUEST(LIST_SERVICES):
      send_services(answer);
      break;
    default: /* a kind of request that was invented later; gRPC's own servers say the same */
      fail(answer, TETHER_UNIMPLEMENTED, "Unknown kind of request", "");
      break;
  }
  return &answer->response;
}
