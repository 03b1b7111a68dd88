#include "recorder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct recorder seen;

static char client_place, ctx_place, call_place, server_place;
char data_place;
tether_client *const client = (tether_client *)&client_place;
const tether_ctx *const ctx = (const tether_ctx *)&ctx_place;
tether_call *const call = (tether_call *)&call_place;
tether_server *const server = (tether_server *)&server_place;

int forget(void **state) {
  (void)state;
  memset(&seen, 0, sizeof seen);
  return 0;
}

void done_function(tether_call *c, void *data) {
  (void)c;
  (void)data;
}

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

tether_code tether_call_send(tether_call *c, const ProtobufCMessage *message) {
  seen.streamed = c;
  seen.sent = message;
  return seen.code;
}

tether_code tether_call_try_send(tether_call *c, const ProtobufCMessage *message, bool *done) {
  *done = seen.is_done;
  return tether_call_send(c, message);
}

/* Writes the message only on success, as promised. */
tether_code tether_call_recv(tether_call *c, const ProtobufCMessage **message) {
  seen.streamed = c;
  if (seen.code == TETHER_OK) *message = seen.received;
  return seen.code;
}

tether_code tether_call_try_recv(tether_call *c, const ProtobufCMessage **message, bool *done) {
  *done = seen.is_done;
  if (seen.is_done) return tether_call_recv(c, message);
  seen.streamed = c;
  return TETHER_OK;
}
