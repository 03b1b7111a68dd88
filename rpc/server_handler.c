/* What handlers do with their calls: a status message, metadata, an answer later. server_call_run.c runs them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/server.h"

tether_code tether_call_fail(tether_call *call, tether_code code, const char *format, ...) {
  bool known = code > TETHER_OK && code <= TETHER_UNAUTHENTICATED;
  va_list args;
  va_start(args, format);
  bool refused = call->intercept && tth_intercept_refusal(call, format, args);
  va_end(args);
  if (refused || call->role != TTH_SERVER) return known ? code : TETHER_UNKNOWN;
  char *message = NULL;
  va_start(args, format);
  if (vasprintf(&message, format, args) < 0) message = NULL;
  va_end(args);
  free(call->s.fail_message);
  call->s.fail_message = message;
  return known ? code : TETHER_UNKNOWN;
}

void tether_call_set_cause(tether_call *call, const tether_cause *cause) {
  if (call->role != TTH_SERVER) return;
  tether_cause_unref(call->s.fail_cause);
  call->s.fail_cause = tether_cause_ref(cause);
}

/* More entries than this in one list are refused (encode.c sends that many). */
#define ENTRIES_MAX 64

static tether_code add(tether_metadata **list, const char *key, const void *value, size_t len) {
  if (!*list && !(*list = tether_metadata_new())) return TETHER_RESOURCE_EXHAUSTED;
  if (tether_metadata_count(*list) >= ENTRIES_MAX) return TETHER_RESOURCE_EXHAUSTED;
  return tth_metadata_add_any(*list, key, value, len);
}

tether_code tether_call_add_initial(tether_call *call, const char *key, const void *value, size_t len) {
  if (call->role != TTH_SERVER || call->s.initial_sent || !tth_call_is_running(call)) return TETHER_FAILED_PRECONDITION;
  return add(&call->initial, key, value, len);
}

tether_code tether_call_add_trailer(tether_call *call, const char *key, const void *value, size_t len) {
  if (call->role != TTH_SERVER || !tth_call_is_running(call)) return TETHER_FAILED_PRECONDITION;
  return add(&call->trailers, key, value, len);
}

ProtobufCMessage *tether_call_defer(tether_call *call) {
  if (call->role != TTH_SERVER) return NULL;
  if (!call->s.deferred) tether_call_ref(call);
  call->s.deferred = true;
  return call->reply;
}

void tether_call_finish(tether_call *call, tether_code code) {
  if (call->role != TTH_SERVER) return;
  bool known = code >= TETHER_OK && code <= TETHER_UNAUTHENTICATED;
  tth_server_call_end(call, known ? code : TETHER_UNKNOWN, code == TETHER_OK ? NULL : call->s.fail_message);
  tether_call_unref(call);
}
