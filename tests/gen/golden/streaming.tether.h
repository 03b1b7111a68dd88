/* Written by protoc-gen-tether. Do not edit.
 * Source: streaming.proto */
#ifndef TETHER_GENERATED_streaming_2eproto
#define TETHER_GENERATED_streaming_2eproto

#include <tether/rpc.h>

#include "streaming.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* This file as protoc describes it. */
extern const tether_file tether_file_streaming_2eproto;

/* ---- demo.streaming.Counter ---- */

/* Counts, in every direction. */

extern const tether_method demo_streaming_counter_twice_method;

/* One number for one: twice as much. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_twice(tether_client *client, const tether_ctx *ctx,
                                                                 const Demo__Streaming__Number *request,
                                                                 const tether_call_options *options);

/* The same without blocking: see tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_twice_start(tether_client *client, const tether_ctx *ctx,
                                                                       const Demo__Streaming__Number *request,
                                                                       const tether_call_options *options,
                                                                       tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Streaming__Number *demo_streaming_counter_twice_reply(const tether_call *call) {
  return (const Demo__Streaming__Number *)tether_call_reply(call);
}

extern const tether_method demo_streaming_counter_count_method;

/* Replies with 1, 2 and so on up to the number. */

/* Starts a call of one request and any number of replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_count_start(tether_client *client, const tether_ctx *ctx,
                                                                       const Demo__Streaming__Number *request,
                                                                       const tether_call_options *options,
                                                                       tether_call_done_fn done, void *data);

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_count_recv_reply(
    tether_call *call, const Demo__Streaming__Number **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_count_try_recv_reply(
    tether_call *call, const Demo__Streaming__Number **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Demo__Streaming__Number *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_count_send_reply(
    tether_call *call, const Demo__Streaming__Number *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_count_try_send_reply(
    tether_call *call, const Demo__Streaming__Number *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method demo_streaming_counter_sum_method;

/* Replies with the sum of all requests,
 * and how many they were. */

/* Starts a call of any number of requests and one reply; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_sum_start(tether_client *client, const tether_ctx *ctx,
                                                                     const tether_call_options *options,
                                                                     tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Streaming__Total *demo_streaming_counter_sum_reply(const tether_call *call) {
  return (const Demo__Streaming__Total *)tether_call_reply(call);
}

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_sum_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_sum_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_sum_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_sum_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

extern const tether_method demo_streaming_counter_running_sum_method;

/* Replies to each request with the sum so far. */

/* Starts a call of any number of requests and replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_running_sum_start(tether_client *client,
                                                                             const tether_ctx *ctx,
                                                                             const tether_call_options *options,
                                                                             tether_call_done_fn done, void *data);

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_try_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_running_sum_try_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method demo_streaming_counter_inline_sum_method;

/* The same on an I/O thread. */

/* Starts a call of any number of requests and replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_inline_sum_start(tether_client *client,
                                                                            const tether_ctx *ctx,
                                                                            const tether_call_options *options,
                                                                            tether_call_done_fn done, void *data);

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_try_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_inline_sum_try_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method demo_streaming_counter_unserved_method;

/* Nobody serves this one and the two below, whose names meet none of its stubs. */

/* Starts a call of one request and any number of replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_unserved_start(tether_client *client, const tether_ctx *ctx,
                                                                          const Demo__Streaming__Number *request,
                                                                          const tether_call_options *options,
                                                                          tether_call_done_fn done, void *data);

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_recv_reply(
    tether_call *call, const Google__Protobuf__Empty **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Google__Protobuf__Empty *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_try_recv_reply(
    tether_call *call, const Google__Protobuf__Empty **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Google__Protobuf__Empty *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_reply(
    tether_call *call, const Google__Protobuf__Empty *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_try_send_reply(
    tether_call *call, const Google__Protobuf__Empty *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method demo_streaming_counter_unserved_start_method;

/* Starts a call of any number of requests and one reply; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_unserved_start_start(tether_client *client,
                                                                                const tether_ctx *ctx,
                                                                                const tether_call_options *options,
                                                                                tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Google__Protobuf__Empty *demo_streaming_counter_unserved_start_reply(const tether_call *call) {
  return (const Google__Protobuf__Empty *)tether_call_reply(call);
}

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_start_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_start_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_start_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_start_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

extern const tether_method demo_streaming_counter_unserved_send_request_method;

/* Starts a call of any number of requests and replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_counter_client_unserved_send_request_start(tether_client *client,
                                                                                       const tether_ctx *ctx,
                                                                                       const tether_call_options *options,
                                                                                       tether_call_done_fn done,
                                                                                       void *data);

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_recv_reply(
    tether_call *call, const Google__Protobuf__Empty **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Google__Protobuf__Empty *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_try_recv_reply(
    tether_call *call, const Google__Protobuf__Empty **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Google__Protobuf__Empty *)message;
  return code;
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_send_reply(
    tether_call *call, const Google__Protobuf__Empty *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_counter_unserved_send_request_try_send_reply(
    tether_call *call, const Google__Protobuf__Empty *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

/* The handlers of demo.streaming.Counter.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * demo_streaming_counter_register. */
typedef struct demo_streaming_counter_service {
  /* One number for one: twice as much. */
  tether_code (*twice)(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request,
                       Demo__Streaming__Number *reply, void *data);
  /* Replies with 1, 2 and so on up to the number. */
  tether_code (*count)(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request, void *data);
  /* Replies with the sum of all requests,
   * and how many they were. */
  tether_code (*sum)(const tether_ctx *ctx, tether_call *call, Demo__Streaming__Total *reply, void *data);
  /* Replies to each request with the sum so far. */
  tether_code (*running_sum)(const tether_ctx *ctx, tether_call *call, void *data);
  /* The same on an I/O thread. */
  tether_code (*inline_sum)(const tether_ctx *ctx, tether_call *call, void *data);
  /* Nobody serves this one and the two below, whose names meet none of its stubs. */
  tether_code (*unserved)(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request, void *data);
  tether_code (*unserved_start)(const tether_ctx *ctx, tether_call *call, Google__Protobuf__Empty *reply, void *data);
  tether_code (*unserved_send_request)(const tether_ctx *ctx, tether_call *call, void *data);
} demo_streaming_counter_service;

/* Serves demo.streaming.Counter with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code demo_streaming_counter_register(tether_server *server,
                                                            const demo_streaming_counter_service *service, void *data);

/* ---- demo.streaming.Register ---- */

/* Reserved in C. */

extern const tether_method demo_streaming_register_default_method;

/* Starts a call of one request and any number of replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_register_client_default_start(tether_client *client, const tether_ctx *ctx,
                                                                          const Demo__Streaming__Number *request,
                                                                          const tether_call_options *options,
                                                                          tether_call_done_fn done, void *data);

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_default_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_default_try_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_default_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_default_try_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

extern const tether_method demo_streaming_register_int_method;

/* Starts a call of any number of requests and one reply; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_register_client_int_start(tether_client *client, const tether_ctx *ctx,
                                                                      const tether_call_options *options,
                                                                      tether_call_done_fn done, void *data);

/* The reply of such a call, borrowed from it; NULL unless its code is TETHER_OK. */
static inline const Demo__Streaming__Total *demo_streaming_register_int_reply(const tether_call *call) {
  return (const Demo__Streaming__Total *)tether_call_reply(call);
}

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_int_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_int_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_int_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_int_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

extern const tether_method demo_streaming_register_return_method;

/* Starts a call of any number of requests and replies; never blocks. See tether_call_start. */
TETHER_MUST_USE tether_call *demo_streaming_register_client_return_start(tether_client *client, const tether_ctx *ctx,
                                                                         const tether_call_options *options,
                                                                         tether_call_done_fn done, void *data);

/* Client: sends a request; tether_call_close_send ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_send_request(
    tether_call *call, const Demo__Streaming__Number *request) {
  return tether_call_send(call, (const ProtobufCMessage *)request);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_try_send_request(
    tether_call *call, const Demo__Streaming__Number *request, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)request, done);
}

/* Client: receives the next reply, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* The same without blocking; writes the reply only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_try_recv_reply(
    tether_call *call, const Demo__Streaming__Total **reply, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *reply = (const Demo__Streaming__Total *)message;
  return code;
}

/* Handler: receives the next request, NULL after the last; borrowed until the next receive. See tether_call_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_recv_request(
    tether_call *call, const Demo__Streaming__Number **request) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_recv(call, &message);
  if (code == TETHER_OK) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* The same without blocking; writes the request only if it was done: see tether_call_try_recv. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_try_recv_request(
    tether_call *call, const Demo__Streaming__Number **request, bool *done) {
  const ProtobufCMessage *message = NULL;
  tether_code code = tether_call_try_recv(call, &message, done);
  if (code == TETHER_OK && *done) *request = (const Demo__Streaming__Number *)message;
  return code;
}

/* Handler: sends a reply; the end of the call ends them. See tether_call_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply) {
  return tether_call_send(call, (const ProtobufCMessage *)reply);
}

/* The same without blocking: see tether_call_try_send. */
TETHER_MUST_USE static inline tether_code demo_streaming_register_return_try_send_reply(
    tether_call *call, const Demo__Streaming__Total *reply, bool *done) {
  return tether_call_try_send(call, (const ProtobufCMessage *)reply, done);
}

/* The handlers of demo.streaming.Register.
 * A call of a method whose member is NULL ends with TETHER_UNIMPLEMENTED. `data` is what was given to
 * demo_streaming_register_register. */
typedef struct demo_streaming_register_service {
  tether_code (*default_)(const tether_ctx *ctx, tether_call *call, const Demo__Streaming__Number *request, void *data);
  tether_code (*int_)(const tether_ctx *ctx, tether_call *call, Demo__Streaming__Total *reply, void *data);
  tether_code (*return_)(const tether_ctx *ctx, tether_call *call, void *data);
} demo_streaming_register_service;

/* Serves demo.streaming.Register with these handlers.
 * `service` must outlive the server. Returns as tether_server_add. */
TETHER_MUST_USE tether_code demo_streaming_register_register(tether_server *server,
                                                             const demo_streaming_register_service *service,
                                                             void *data);

#ifdef __cplusplus
}
#endif

#endif
