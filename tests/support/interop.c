#include "tests/support/interop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/certificates.h"

static uint8_t zeros[512 * 1024];
static tst_certificates certificates;

int interop_group_setup(void **state) {
  (void)state;
  return tst_certificates_make(&certificates) ? 0 : -1;
}

int interop_group_teardown(void **state) {
  (void)state;
  tst_certificates_free(&certificates);
  return 0;
}

void *interop_over(interop_transport transport) {
  static interop_transport transports[INTEROP_TRANSPORTS] = {INTEROP_IPC, INTEROP_TCP, INTEROP_TLS};
  return &transports[transport];
}

int interop_setup(void **state) { return interop_open(state, *(const interop_transport *)*state, NULL, NULL); }

int interop_open(void **state, interop_transport transport, const tether_limits *server, const tether_limits *client) {
  static const char *const schemes[] = {"ipc", "tcp", "tls+tcp"};
  tether_tls server_tls = {.cert_pem = certificates.cert, .key_pem = certificates.key};
  tether_server_options server_options = {.tls = &server_tls};
  struct interop *f = calloc(1, sizeof *f);
  if (!f) return -1;
  if (server) server_options.limits = *server;
  strcpy(f->dir, "/tmp/tether-test-XXXXXX");
  if (!mkdtemp(f->dir)) return -1;
  if (transport == INTEROP_IPC)
    snprintf(f->url, sizeof f->url, "ipc://%s/s", f->dir);
  else
    snprintf(f->url, sizeof f->url, "%s://localhost:0", schemes[transport]);
  if (tether_server_open(&server_options, &f->server) != TETHER_OK ||
      interop_server_add(f->server, &f->stats) != TETHER_OK || echo_server_add(f->server, &f->echo) != TETHER_OK ||
      tether_server_listen(f->server, f->url) != TETHER_OK)
    return -1;
  if (transport != INTEROP_IPC)
    snprintf(f->url, sizeof f->url, "%s://localhost:%u", schemes[transport], tether_server_port(f->server));
  f->client = interop_client(f, client);
  *state = f;
  return 0;
}

tether_client *interop_client(const struct interop *f, const tether_limits *limits) {
  tether_tls tls = {.ca_pem = certificates.ca};
  tether_client_options options = {.tls = &tls};
  tether_client *client = NULL;
  if (limits) options.limits = *limits;
  assert_int_equal(tether_client_open(f->url, &options, &client), TETHER_OK);
  return client;
}

int interop_teardown(void **state) {
  struct interop *f = *state;
  tether_client_close(f->client);
  tether_server_close(f->server);
  int left = atomic_load(&f->stats.started) - atomic_load(&f->stats.ended);
  char path[128];
  snprintf(path, sizeof path, "%s/s", f->dir);
  unlink(path);
  rmdir(f->dir);
  free(f);
  return left; /* a server's close waits for every handler */
}

tether_ctx *interop_ctx(void) { return tether_ctx_with_timeout(tether_ctx_background(), RPC_TEST_BOUND_NS); }

/* ---- Requests ------------------------------------------------------------------------------- */

static void fill(Grpc__Testing__Payload *payload, size_t len) {
  assert_true(len <= sizeof zeros);
  grpc__testing__payload__init(payload);
  payload->body = (ProtobufCBinaryData){.data = zeros, .len = len};
}

void interop_unary(struct interop_unary *made, size_t payload, int32_t response) {
  grpc__testing__simple_request__init(&made->request);
  grpc__testing__echo_status__init(&made->status);
  fill(&made->payload, payload);
  made->request.payload = &made->payload;
  made->request.response_size = response;
}

void interop_input(struct interop_input *made, size_t payload) {
  grpc__testing__streaming_input_call_request__init(&made->request);
  fill(&made->payload, payload);
  made->request.payload = &made->payload;
}

void interop_output(struct interop_output *made, size_t payload, size_t count, const int32_t *sizes,
                    int32_t interval_us) {
  assert_true(count <= sizeof made->parameters / sizeof *made->parameters);
  grpc__testing__streaming_output_call_request__init(&made->request);
  grpc__testing__echo_status__init(&made->status);
  fill(&made->payload, payload);
  if (payload > 0) made->request.payload = &made->payload;
  for (size_t i = 0; i < count; i++) {
    grpc__testing__response_parameters__init(&made->parameters[i]);
    made->parameters[i].size = sizes[i];
    made->parameters[i].interval_us = interval_us;
    made->pointers[i] = &made->parameters[i];
  }
  made->request.response_parameters = made->pointers;
  made->request.n_response_parameters = count;
}

/* ---- Metadata ------------------------------------------------------------------------------- */

tether_metadata *interop_metadata(void) {
  tether_metadata *metadata = tether_metadata_new();
  assert_non_null(metadata);
  assert_int_equal(tether_metadata_add(metadata, INTEROP_ECHO_INITIAL, INTEROP_INITIAL_VALUE), TETHER_OK);
  assert_int_equal(tether_metadata_add_bin(metadata, INTEROP_ECHO_TRAILING, INTEROP_TRAILING_VALUE, 3), TETHER_OK);
  return metadata;
}

void interop_assert_initial(const tether_call *call) {
  const char *value = tether_metadata_get(tether_call_initial_metadata(call), INTEROP_ECHO_INITIAL, NULL);
  assert_non_null(value);
  assert_string_equal(value, INTEROP_INITIAL_VALUE);
}

void interop_assert_trailing(const tether_call *call) {
  size_t len = 0;
  const char *value = tether_metadata_get(tether_call_trailers(call), INTEROP_ECHO_TRAILING, &len);
  assert_non_null(value);
  assert_int_equal(len, 3);
  assert_memory_equal(value, INTEROP_TRAILING_VALUE, 3);
}

bool interop_handlers_left(struct interop *f, int count) { return rpc_wait_for(&f->stats.ended, count); }
