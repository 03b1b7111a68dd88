/* What the tests of gRPC's interop cases share: a server and a client over each transport, and the requests. */
#ifndef TESTS_SUPPORT_INTEROP_H
#define TESTS_SUPPORT_INTEROP_H

#include "tests/support/interop_server.h"
#include "tests/support/rpc_test.h"

/* The value that the metadata cases send. */
#define INTEROP_INITIAL_VALUE "test_initial_metadata_value"
#define INTEROP_TRAILING_VALUE "\xab\xab\xab"

typedef enum interop_transport { INTEROP_IPC, INTEROP_TCP, INTEROP_TLS, INTEROP_TRANSPORTS } interop_transport;

struct interop {
  char dir[64], url[128];
  tether_server *server; /* serves Echo as well */
  tether_client *client;
  struct interop_stats stats;
  struct echo_stats echo;
};

/* cmocka group setup and teardown. */
int interop_group_setup(void **state);
int interop_group_teardown(void **state);

/* cmocka setup and teardown; initial state: a transport as interop_over gives it. */
int interop_setup(void **state);
int interop_teardown(void **state);
void *interop_over(interop_transport transport);

/* The same with limits of its own; NULL: the defaults. */
int interop_open(void **state, interop_transport transport, const tether_limits *server, const tether_limits *client);

/* Another client of the server; with limits, or NULL. */
TETHER_MUST_USE tether_client *interop_client(const struct interop *f, const tether_limits *limits);

/* A case over every transport. */
#define INTEROP(name)                                                                       \
  {#name " (ipc)", name, interop_setup, interop_teardown, interop_over(INTEROP_IPC)},       \
      {#name " (tcp)", name, interop_setup, interop_teardown, interop_over(INTEROP_TCP)}, { \
#name " (tls+tcp)", name, interop_setup, interop_teardown, interop_over(INTEROP_TLS)    \
  }

/* A context for calls that are to end well. */
TETHER_MUST_USE tether_ctx *interop_ctx(void);

/* ---- Requests; valid until their struct is ----------------------------------------------------- */

struct interop_unary {
  Grpc__Testing__SimpleRequest request;
  Grpc__Testing__Payload payload;
  Grpc__Testing__EchoStatus status;
};

/* UnaryCall: a payload of that many zeros, and asks for one of so many. */
void interop_unary(struct interop_unary *made, size_t payload, int32_t response);

struct interop_input {
  Grpc__Testing__StreamingInputCallRequest request;
  Grpc__Testing__Payload payload;
};

void interop_input(struct interop_input *made, size_t payload);

struct interop_output {
  Grpc__Testing__StreamingOutputCallRequest request;
  Grpc__Testing__Payload payload;
  Grpc__Testing__EchoStatus status;
  Grpc__Testing__ResponseParameters parameters[4], *pointers[4];
};

/* A payload of that many zeros (0: none), and asks for `count` responses of these sizes, each after the interval. */
void interop_output(struct interop_output *made, size_t payload, size_t count, const int32_t *sizes,
                    int32_t interval_us);

/* Metadata of the custom_metadata case; free with tether_metadata_free. */
TETHER_MUST_USE tether_metadata *interop_metadata(void);

/* Asserts that they came back. */
void interop_assert_initial(const tether_call *call);
void interop_assert_trailing(const tether_call *call);

/* Whether so many handlers have left within the bound. */
TETHER_MUST_USE bool interop_handlers_left(struct interop *f, int count);

#endif
