/* recorder.h: a tether in the place of the library that records how generated code calls it. */
#ifndef TESTS_GEN_RECORDER_H
#define TESTS_GEN_RECORDER_H

#include <tether/rpc.h>

/* What the recording tether was called with last, and what it answers. */
struct recorder {
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
  tether_call *streamed; /* the call of a send or receive */
  const ProtobufCMessage *sent;
  const ProtobufCMessage *received; /* answered */
  tether_code code;                 /* answered */
  bool is_done;                     /* answered by what does not block */
};

extern struct recorder seen;

/* Opaque to the stubs, so that any address does. */
extern char data_place;
extern tether_client *const client;
extern const tether_ctx *const ctx;
extern tether_call *const call;
extern tether_server *const server;

/* A cmocka setup: forgets what was seen. */
int forget(void **state);

/* A completion callback to pass on. */
void done_function(tether_call *c, void *data);

#endif
