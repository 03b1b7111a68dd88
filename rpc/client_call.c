/* A client's call, and how it starts.
 *
 * Happy path: context, group, interceptors -> pack -> queued on the connection, or waiting for one (dispatch.c) ->
 * HEADERS, MESSAGE and TRAILERS come back (client_call_answer.c) -> ended, callback, waiters released
 * (client_call_end.c). The call's context is derived from the caller's; when it ends first, the callback registered on
 * it ends the call.
 * Failures: what can be refused before anything is sent, and no memory, end the call here; without memory even for the
 * call there is one for all, which has failed. */
#include <stdio.h>
#include <string.h>

#include "rpc/client_call.h"
#include "rpc/credentials.h"
#include "rpc/dispatch.h"
#include "rpc/encode.h"
#include "rpc/hedge.h"
#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/retrying.h"

tether_ctx *tth_client_derive(const tether_ctx *ctx, const tether_method *method, const tth_method_config *config,
                              const tether_call_options *options) {
  bool configured = config && config->timeout_ns >= 0;
  int64_t timeout_ns = options->timeout_ns || configured ? options->timeout_ns : method->default_timeout_ns;
  if (timeout_ns == 0) timeout_ns = TETHER_FOREVER;
  if (configured && config->timeout_ns < timeout_ns) timeout_ns = config->timeout_ns;
  return timeout_ns == TETHER_FOREVER ? tether_ctx_with_cancel(ctx) : tether_ctx_with_timeout(ctx, timeout_ns);
}

/* The call's membership in a group, first, for whatever goes wrong afterwards is a failure of the group; and a
 * streaming call's pipe. */
static tether_code equip(tether_call *call, tether_group *group, const char **why) {
  if (group) {
    *why = "the group takes no more members";
    tether_code code = tether_group_join(group, &call->c.group_number);
    if (code != TETHER_OK) return code;
    call->c.group = group;
  }
  if (tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING)) {
    *why = "out of memory";
    call->pipe = tth_pipe_new(call->c.client->limits.max_unpacked_bytes);
    if (!call->pipe) return TETHER_RESOURCE_EXHAUSTED;
    if (call->c.config && call->c.config->max_request_bytes < INT64_MAX)
      call->pipe->max_send_bytes = (size_t)call->c.config->max_request_bytes;
  }
  return TETHER_OK;
}

/* What can be refused before anything is sent. */
static tether_code check(const tether_call *call, const ProtobufCMessage *request, const char **why) {
  *why = "a detached call needs a bound of its own";
  if (call->c.detached_ns < 0) return TETHER_INVALID_ARGUMENT;
  *why = "a request belongs to a call whose client does not stream, and only there";
  if (tth_method_is(call->method, TETHER_METHOD_CLIENT_STREAMING) == (request != NULL)) return TETHER_INVALID_ARGUMENT;
  *why = "the method requires a deadline and the call has none";
  bool bound = call->c.detached_ns > 0 || tether_ctx_deadline_ns(call->root) != TETHER_FOREVER;
  if (tth_method_is(call->method, TETHER_METHOD_DEADLINE_REQUIRED) && !bound) return TETHER_INVALID_ARGUMENT;
  return TETHER_OK;
}

/* The config's policy for the method, or else the method's own; NULL: the call is not tried again. */
static const tether_retry_policy *policy_of(const tether_call *call) {
  const tth_method_config *config = call->c.config;
  if (call->c.attempt_of || call->c.client->no_retries) return NULL;
  if (config && config->retry.max_attempts) return &config->retry;
  return config && config->hedging.max_attempts ? NULL : call->method->retry;
}

/* There is no memory for a call, which is a failure of its group all the same. */
static tether_call *no_call(const tether_method *method, tether_group *group, tether_call_done_fn done, void *data) {
  char what[320];
  unsigned long number;
  bool joined = group && tether_group_join(group, &number) == TETHER_OK;
  if (done) done(tth_call_no_memory(), data);
  snprintf(what, sizeof what, "call %s", method->path);
  if (joined) tether_group_leave(group, number, TETHER_RESOURCE_EXHAUSTED, what);
  return tth_call_no_memory();
}

void tth_client_call_go(tether_call *call, tth_out *out) {
  if (!tth_call_is_running(call)) { /* it has waited for a token */
    tth_out_free(out);
    return;
  }
  if (call->c.retrying) tth_retrying_keep(call, out);
  tth_dispatch(call, out);
}

/* Whether the config's hedging is for this call: running it several times must do no harm. */
static bool is_hedged(const tether_client *client, const tether_method *method, const tth_method_config *config) {
  return config && config->hedging.max_attempts && !client->no_retries && method->flags & TETHER_METHOD_IDEMPOTENT &&
         !tth_method_is(method, TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING);
}

/* The attempts before this one, as metadata. */
static tether_code add_previous(tether_call *call, int previous) {
  char value[12];
  int len = snprintf(value, sizeof value, "%d", previous);
  if (!call->metadata && !(call->metadata = tether_metadata_new())) return TETHER_RESOURCE_EXHAUSTED;
  call->c.metadata_bytes += strlen(TTH_ATTEMPTS_KEY) + (size_t)len + TTH_ENTRY_OVERHEAD;
  return tether_metadata_add(call->metadata, TTH_ATTEMPTS_KEY, value);
}

/* The request as it is to leave. */
static tether_code pack(tether_call *call, const ProtobufCMessage *request, const tether_metadata *metadata,
                        int attempt, tth_out **out, const char **why) {
  const tth_method_config *config = call->c.config;
  *why = "out of memory";
  tether_code code = attempt > 0 ? add_previous(call, attempt) : TETHER_OK;
  if (code == TETHER_OK)
    code = tth_encode_request(call, request, metadata, call->c.client->limits.max_forward_bytes, out);
  if (code != TETHER_OK || !request || (!call->intercept && !config)) return code;
  size_t bytes = protobuf_c_message_get_packed_size(request);
  tth_intercept_message(call, true, bytes);
  if (!config || (int64_t)bytes <= config->max_request_bytes) return TETHER_OK;
  *why = "the request is larger than the service config allows";
  tth_out_free(*out);
  *out = NULL;
  return TETHER_RESOURCE_EXHAUSTED;
}

/* Runs on the thread that cancelled, or on the timer thread. */
static void on_ctx_done(void *data) {
  tether_call *call = data;
  tth_client_call_expire(call);
  tether_call_unref(call);
}

enum { BLOCKING = -1, NOT_BLOCKING = -2 };

/* `attempt`: which of a hedged call's, from 0; or one of the above. */
static tether_call *start(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                          const ProtobufCMessage *request, const tether_call_options *options, tth_hedge *hedge,
                          int attempt, tether_call_done_fn done, void *data) {
  static const tether_call_options defaults;
  if (!options) options = &defaults;
  const tth_method_config *config = client->config ? tth_service_config_find(client->config, method->path) : NULL;
  bool hedged = attempt < 0 && request && is_hedged(client, method, config);
  tether_call *call =
      hedged ? tth_hedge_call(client, ctx, method, config, request, options, done, data) : tth_call_new(TTH_CLIENT);
  if (!call) return no_call(method, options->group, done, data);
  if (hedged) return call;
  call->method = method;
  call->path = method->path;
  call->c.client = client;
  call->c.done = done;
  call->c.done_data = data;
  call->c.attempt_of = hedge;
  call->c.config = config;
  call->c.wait_for_ready = options->wait_for_ready || (config && config->wait_for_ready);
  call->c.lone = attempt == BLOCKING && !options->group; /* leaving a group may call back */
  call->c.started_ns = tether_now_ns();
  call->c.metadata_bytes = tether_metadata_size(options->metadata);
  call->root = tth_client_derive(ctx, method, config, options);
  call->ctx = call->root;
  call->c.recorder = tth_recorder_of(ctx);
  call->c.explain = options->explain || tth_recorder_explains(call->c.recorder);
  call->c.reserve_ns = options->reserve_ns;
  call->c.detached_ns = options->detached_ns;
  call->c.users = 2;
  atomic_fetch_add(&client->calls, 1);

  tether_credentials *credentials = options->credentials ? options->credentials : client->credentials;
  tth_out *out = NULL;
  const char *why = NULL;
  tether_code code = equip(call, options->group, &why);
  bool live = tether_ctx_err(call->root) == TETHER_OK;
  if (code == TETHER_OK && live) code = check(call, request, &why);
  if (code == TETHER_OK && live && client->interceptors) code = tth_intercept_begin(call, &why);
  if (code == TETHER_OK && live) code = pack(call, request, options->metadata, attempt, &out, &why);
  const tether_retry_policy *policy = out ? policy_of(call) : NULL;
  if (policy) call->c.retrying = tth_retrying_new(policy, call->c.started_ns);
  /* Registered before the call can be seen by anybody else. On a context that is done already it ends the call here. */
  tether_call_ref(call);
  tether_ctx_after_func(call->root, &call->c.after, NULL, on_ctx_done, call);
  if (code != TETHER_OK)
    tth_client_call_end(call, code, why, NULL);
  else if (out && credentials)
    tth_credentials_apply(credentials, call, out);
  else if (out)
    tth_client_call_go(call, out);
  tth_client_call_let_go(call);
  return call;
}

tether_call *tether_call_start(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                               const ProtobufCMessage *request, const tether_call_options *options,
                               tether_call_done_fn done, void *data) {
  return start(client, ctx, method, request, options, NULL, NOT_BLOCKING, done, data);
}

tether_call *tth_client_call_attempt(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                                     const ProtobufCMessage *request, const tether_call_options *options,
                                     tth_hedge *hedge, int previous, tether_call_done_fn done, void *data) {
  return start(client, ctx, method, request, options, hedge, previous, done, data);
}

tether_call *tth_client_call_refused(const tether_method *method, tether_code code, const char *why) {
  tether_call *call = tth_call_new(TTH_CLIENT);
  if (!call) return tth_call_no_memory();
  call->method = method;
  call->path = method->path;
  call->code = code;
  tth_call_set_message(call, why);
  tth_call_ended(call);
  return call;
}

tether_call *tether_call_unary(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                               const ProtobufCMessage *request, const tether_call_options *options) {
  tether_call *call = start(client, ctx, method, request, options, NULL, BLOCKING, NULL, NULL);
  if (call->c.leads) tth_conn_lead(call->c.leads, call);
  tether_call_wait(call);
  return call;
}
