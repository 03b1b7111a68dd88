/* A call at the client.
 *
 * Happy path: pack -> queued on the connection (or waiting for one) -> HEADERS, MESSAGE and TRAILERS come back ->
 * ended, callback, waiters released. The call's context is derived from the caller's; when it ends first, the callback
 * registered on it ends the call, and the session tells the server or, if nothing has left yet, forgets the call.
 * Failures: see rpc-semantics section 1; each is one tth_client_call_end. Whoever ends the call first decides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/client.h"
#include "rpc/credentials.h"
#include "rpc/dispatch.h"
#include "rpc/encode.h"
#include "rpc/futex.h"
#include "rpc/headers.h"
#include "rpc/hedge.h"
#include "rpc/interceptor.h"
#include "rpc/metadata.h"
#include "rpc/retrying.h"
#include "rpc/unpack.h"

/* ---- Ending -------------------------------------------------------------------------------- */

/* The call's stream is gone, with so many handlers known to run below. */
static void mark_gone(tether_call *call, uint32_t how, uint32_t running) {
  atomic_store(&call->c.running, running);
  if (atomic_exchange(&call->c.gone, how) != TTH_GONE_NOT_YET) return;
  if (atomic_load(&call->c.wait_ns)) tth_futex_wake_all(&call->c.gone); /* who waits has set it before it looked */
  if (call->c.opened) tth_recorder_call_closed(call->c.recorder, running);
}

/* How long the tree below may take to stop, if anybody waits for that; what is kept back is for the answer's way. */
static int64_t wait_below_ns(tether_call *call) {
  int64_t wait_ns = atomic_load(&call->c.wait_ns);
  if (wait_ns == 0 && call->c.recorder) wait_ns = tth_recorder_wait_ns(call->c.recorder, tether_now_ns());
  return wait_ns - wait_ns / 8;
}

/* Takes the call from wherever it is; tells what it was doing there. */
static tether_phase release(tether_call *call, const tether_cause *cause) {
  tether_client *client = call->c.client;
  tether_phase phase = TETHER_PHASE_NONE;
  bool unref_list = false, unref_stream = false, opened = false;
  pthread_mutex_lock(&client->mu);
  if (call->c.waiting) {
    tth_dispatch_forget_locked(client, call);
    unref_list = true;
  }
  /* One that is being taken from the list, or from one connection to the next, has none either. */
  bool between = call->c.retrying && atomic_load(&call->c.retrying->waiting);
  if (call->c.dispatched && !between) phase = TETHER_PHASE_CONNECTING;
  tth_conn *conn = call->conn;
  pthread_mutex_unlock(&client->mu);
  if (conn) {
    tth_session *session = tth_conn_lock(conn);
    opened = call->c.opened;
    if (call->stream) {
      phase = call->stream->state == TTH_STREAM_QUEUED ? TETHER_PHASE_QUEUED_HERE : TETHER_PHASE_WAITING;
      call->c.left_ns = call->stream->left_ns;
    } else if (opened) { /* its answer is here, or the loss of its connection, and about to be told */
      phase = TETHER_PHASE_WAITING;
      if (call->c.left_ns == 0) call->c.left_ns = call->c.started_ns;
    }
    if (session && call->stream) {
      unref_stream = !tth_session_cancel(session, call->stream, cause, wait_below_ns(call));
      call->stream = NULL;
    } else if (call->stream && call->stream->state == TTH_STREAM_QUEUED) {
      opened = false; /* the connection is lost and about to give it back */
    }
    tth_conn_unlock(conn);
  }
  if (unref_stream || !opened) mark_gone(call, TTH_GONE_UNSENT, 0);
  if (unref_list) tether_call_unref(call);
  if (unref_stream) tether_call_unref(call);
  return phase;
}

void tth_client_call_answered_locked(tether_call *call, int64_t left_ns) {
  if (call->stream) call->c.left_ns = left_ns; /* else the call has ended, and may be read */
  call->stream = NULL;
}

/* The client may be closed once its calls have called back, which may be while tether_call_start still runs. */
void tth_client_call_let_go(tether_call *call) {
  if (atomic_fetch_sub(&call->c.users, 1) == 1) tth_client_call_gone(call->c.client);
}

void tth_client_call_stay(tether_call *call) { atomic_fetch_add(&call->c.users, 1); }

bool tth_client_call_try_stay(tether_call *call) {
  int users = atomic_load(&call->c.users);
  while (users > 0)
    if (atomic_compare_exchange_weak(&call->c.users, &users, users + 1)) return true;
  return false;
}

/* Whether the call ran out of the time of its group, though not to the last: an eighth each hop below may have kept
 * back, and this client its reserve. */
static bool is_groups_deadline(const tether_call *call) {
  int64_t deadline_ns = tether_ctx_deadline_ns(call->root);
  if (call->code != TETHER_DEADLINE_EXCEEDED || deadline_ns == TETHER_FOREVER) return false;
  if (deadline_ns != tether_ctx_deadline_ns(tether_group_ctx(call->c.group)) || call->c.told_ns == 0) return false;
  int64_t reserve_ns = deadline_ns - call->c.told_ns, had_ns = deadline_ns - call->c.left_ns;
  return tether_ctx_remaining_ns(call->root) <= tether_time_add(2 * reserve_ns, had_ns / 8);
}

/* After the callback: who waits for the group finds the callback's work done. */
static void leave_group(tether_call *call) {
  char what[320];
  snprintf(what, sizeof what, "call %s to %s", call->path, call->c.client->target);
  if (is_groups_deadline(call))
    tether_group_leave_expired(call->c.group, call->c.group_number, what);
  else
    tether_group_leave(call->c.group, call->c.group_number, call->code, what);
}

/* What the handler that made the call notes of it. */
static void note(tether_call *call) {
  Tether__V1__Leg leg = TETHER__V1__LEG__INIT;
  Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
  leg.method = (char *)call->path;
  leg.peer = (char *)tth_call_hop(call);
  leg.has_started_ns = leg.has_took_ns = leg.has_waited_ns = leg.has_code = true;
  leg.started_ns = call->c.started_ns;
  leg.took_ns = call->c.ended_ns - call->c.started_ns;
  leg.waited_ns = call->c.left_ns ? call->c.left_ns - call->c.started_ns : leg.took_ns;
  leg.has_unconnected = leg.unconnected = !call->conn && tth_client_call_attempts(call) == 0;
  leg.code = call->code;
  tether_code before = TETHER_OK;
  leg.retried_ns = tth_client_call_retried_ns(call, &before);
  leg.has_retried_ns = leg.has_before = leg.has_attempts = leg.retried_ns > 0;
  leg.before = before;
  leg.attempts = tth_client_call_attempts(call);
  if (call->cause) {
    tth_cause_to_wire(call->cause, &cause);
    leg.cause = &cause;
  }
  leg.has_hop = call->c.hop.data != NULL;
  leg.hop = call->c.hop;
  call->c.row = tth_recorder_call_ended(call->c.recorder, &leg);
}

/* The end as the ledger sees it: before the results are published. */
static void close_ledger(tether_call *call) {
  if (call->code == TETHER_OK && !call->c.explain && !call->c.recorder) return;
  call->c.ended_ns = tether_now_ns();
  if (call->c.opened && call->c.left_ns == 0 && atomic_load(&call->c.gone) != TTH_GONE_UNSENT)
    call->c.left_ns = call->c.started_ns; /* its stream went with the connection */
}

void tth_client_call_publish(tether_call *call) {
  tether_call_done_fn done = call->c.done;
  tether_call_ref(call); /* a waiter may release the call as soon as it has ended */
  tth_call_ended(call);
  if (done) done(call, call->c.done_data);
  if (call->c.group) leave_group(call);
  tth_client_call_let_go(call);
  tether_call_unref(call);
}

static void record(tether_call *call) {
  if (call->c.ended_ns == 0) close_ledger(call);
  if (call->c.recorder) note(call);
}

/* The results are published, and who waits for them hears of it. */
static void publish(tether_call *call) {
  if (call->c.retrying) tth_retrying_stop(call);
  bool between = call->c.retrying && atomic_load(&call->c.retrying->waiting); /* its attempts are counted */
  if (!between) tth_client_count(call->c.client, call->code, atomic_load(&call->c.gone) != TTH_GONE_UNSENT);
  if (tether_after_stop(&call->c.after)) tether_call_unref(call); /* the registration's reference */
  if (call->c.client->interceptors) tth_intercept_end(call);
  tth_client_call_publish(call);
}

static void finish(tether_call *call) {
  record(call);
  publish(call);
}

void tth_client_call_end(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  if (!tth_call_try_end(call)) return;
  if (call->pipe) tth_pipe_cut(call->pipe);
  (void)release(call, cause);
  call->code = code;
  call->cause = cause ? tether_cause_ref(cause) : NULL;
  tth_call_set_message(call, message);
  finish(call);
}

void tth_client_call_fail(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  if (!call->c.retrying) {
    tth_client_call_end(call, code, message, cause);
    return;
  }
  if (!tth_call_try_end(call)) return;
  (void)release(call, cause);
  call->code = code;
  call->cause = cause ? tether_cause_ref(cause) : NULL;
  tth_call_set_message(call, message);
  if (tth_retrying_ended(call)) return;
  if (call->pipe) tth_pipe_cut(call->pipe);
  finish(call);
}

/* What the server is told. A deadline's own cause may be of any code; the server must know that it was a deadline, or
 * it would record another status than the caller. */
static tether_cause *deadline_cause(tether_code code, const tether_cause *cause) {
  if (code != TETHER_DEADLINE_EXCEEDED || tether_cause_get_code(cause) == TETHER_CAUSE_DEADLINE)
    return tether_cause_ref(cause);
  return tether_cause_new(TETHER_CAUSE_DEADLINE, tether_cause_origin(cause), tether_cause_text(cause));
}

/* What there was before the last attempt, or the wait for it. */
static void say_attempts(const tether_call *call, char *text, size_t size) {
  const struct tth_retrying *r = call->c.retrying;
  *text = 0;
  if (r && r->backoff_count > 0)
    snprintf(text, size, "; attempt %d ended %s: %s", r->attempts.made, tether_code_name(r->last_code),
             r->last_message);
}

/* Where the time of a call went that ran out of it. */
static void say_where(tether_call *call, int64_t took_ns, tether_phase phase, int64_t spent_ns, const char *method,
                      const char *hop) {
  char message[896], attempts[256];
  say_attempts(call, attempts, sizeof attempts);
  snprintf(message, sizeof message, "deadline exceeded after %lld ms, %lld ms of it %s (%s at %s)%s",
           (long long)(took_ns / TETHER_MS), (long long)(spent_ns / TETHER_MS), tether_phase_text(phase), method, hop,
           attempts);
  tth_call_set_message(call, message);
}

/* The same of a call whose answer has not come. */
static void say_where_unanswered(tether_call *call, tether_phase phase) {
  int64_t took_ns = tether_now_ns() - call->c.started_ns, spent_ns = took_ns;
  if (phase == TETHER_PHASE_NONE) {
    bool between = call->c.retrying && atomic_load(&call->c.retrying->waiting);
    char message[512], attempts[256];
    say_attempts(call, attempts, sizeof attempts);
    snprintf(message, sizeof message, "deadline exceeded after %lld ms, %s%s", (long long)(took_ns / TETHER_MS),
             between ? "while it waited to be tried again" : "before the call was sent", attempts);
    tth_call_set_message(call, message);
    return;
  }
  if (phase == TETHER_PHASE_WAITING) {
    int64_t waited_ns = call->c.left_ns - call->c.started_ns;
    spent_ns = took_ns - waited_ns;
    if (waited_ns > spent_ns) {
      spent_ns = waited_ns;
      phase = TETHER_PHASE_QUEUED_HERE;
    }
  }
  say_where(call, took_ns, phase, spent_ns, call->path,
            *tth_call_hop(call) ? tth_call_hop(call) : call->c.client->target);
}

void tth_client_call_expire(tether_call *call) {
  if (!tth_call_try_end(call)) return;
  if (call->pipe) tth_pipe_cut(call->pipe);
  const tether_cause *cause = tether_ctx_cause(call->root);
  call->code = tth_code_of_ctx(call->root);
  call->cause = tether_cause_ref(cause);
  tether_cause *told = deadline_cause(call->code, cause);
  tether_phase phase = release(call, told);
  tether_cause_unref(told);
  if (call->code == TETHER_DEADLINE_EXCEEDED) {
    say_where_unanswered(call, phase);
  } else {
    char message[512];
    snprintf(message, sizeof message, "%s (cause %s, from %s)", tether_cause_text(cause),
             tether_cause_code_name(tether_cause_get_code(cause)), tether_cause_origin(cause));
    tth_call_set_message(call, message);
  }
  finish(call);
}

/* Runs on the thread that cancelled, or on the timer thread. */
static void on_ctx_done(void *data) {
  tether_call *call = data;
  tth_client_call_expire(call);
  tether_call_unref(call);
}

void tether_call_cancel(tether_call *call, const tether_cause *cause) {
  if (call->role == TTH_CLIENT && call->root) tether_ctx_cancel_cause(call->root, cause);
}

/* Waits until the call's stream is gone; false: it was not in time. Who has set wait_ns before is woken. */
static bool wait_gone(tether_call *call, int64_t until_ns) {
  while (atomic_load(&call->c.gone) == TTH_GONE_NOT_YET) {
    int64_t left_ns = until_ns == TETHER_FOREVER ? TETHER_FOREVER : until_ns - tether_now_ns();
    if (left_ns <= 0) return false;
    tth_futex_wait_for(&call->c.gone, TTH_GONE_NOT_YET, left_ns);
  }
  return true;
}

tether_code tether_call_wait_ledger(tether_call *call, int64_t timeout_ns) {
  int64_t unset = 0;
  bool ended = (atomic_load(&call->state) & TTH_CALL_PHASE) == TTH_CALL_ENDED;
  if (call->role != TTH_CLIENT || !ended) return TETHER_FAILED_PRECONDITION;
  if (!call->root) return TETHER_OK; /* it ended before it began */
  if (call->c.answer) return tether_call_wait_ledger(call->c.answer, timeout_ns);
  atomic_compare_exchange_strong(&call->c.wait_ns, &unset, 1);
  if (!wait_gone(call, tether_time_add(tether_now_ns(), timeout_ns))) return TETHER_DEADLINE_EXCEEDED;
  return atomic_load(&call->c.gone) == TTH_GONE_LOST ? TETHER_UNAVAILABLE : TETHER_OK;
}

tether_code tether_call_cancel_and_wait(tether_call *call, const tether_cause *cause, int64_t timeout_ns,
                                        uint32_t *running) {
  if (call->role != TTH_CLIENT) return TETHER_FAILED_PRECONDITION;
  if (!call->root) { /* it ended before it began */
    *running = 0;
    return TETHER_OK;
  }
  if (call->c.hedge) return tth_hedge_cancel_and_wait(call, cause, timeout_ns, running);
  int64_t until_ns = tether_time_add(tether_now_ns(), timeout_ns);
  tth_client_call_will_wait(call, timeout_ns);
  tether_ctx_cancel_cause(call->root, cause);
  return tth_client_call_wait_gone(call, until_ns, running);
}

void tth_client_call_will_wait(tether_call *call, int64_t timeout_ns) {
  atomic_store(&call->c.wait_ns, timeout_ns > 0 ? timeout_ns : 1);
}

tether_code tth_client_call_wait_gone(tether_call *call, int64_t until_ns, uint32_t *running) {
  if (!wait_gone(call, until_ns)) return TETHER_DEADLINE_EXCEEDED;
  if (atomic_load(&call->c.gone) == TTH_GONE_LOST) return TETHER_UNAVAILABLE;
  *running = atomic_load(&call->c.running) + (call->c.retrying ? atomic_load(&call->c.retrying->running) : 0);
  return TETHER_OK;
}

unsigned tth_client_call_attempts(const tether_call *call) {
  if (!call->c.client) return 0; /* it ended before it began */
  if (call->c.hedge) return tth_hedge_attempts(call->c.hedge);
  unsigned earlier = call->c.retrying ? atomic_load(&call->c.retrying->left) : 0;
  return earlier + (atomic_load(&call->c.gone) != TTH_GONE_UNSENT);
}

int64_t tth_client_call_retried_ns(const tether_call *call, tether_code *before) {
  const struct tth_retrying *r = call->c.retrying;
  if (!r || r->backoff_count == 0) return 0;
  *before = r->last_code;
  return (atomic_load(&r->waiting) ? call->c.ended_ns : r->attempt_ns) - call->c.started_ns;
}

unsigned tether_call_attempts(const tether_call *call) {
  return call->role == TTH_CLIENT ? tth_client_call_attempts(call) : 0;
}

void tth_client_call_dropped(tether_call *call) { mark_gone(call, TTH_GONE_UNSENT, 0); }

void tth_client_call_lost(tether_call *call, const char *address, tth_out *unsent, const char *why) {
  if (unsent && !call->conn) {
    tth_dispatch_again(call, unsent);
  } else {
    /* What runs at a peer that nobody hears of any more counts as running. */
    mark_gone(call, unsent ? TTH_GONE_UNSENT : TTH_GONE_LOST, unsent ? 0 : 1);
    tth_out_free(unsent);
    char message[512];
    tether_client *client = call->c.client;
    pthread_mutex_lock(&client->mu);
    bool closing = client->closing;
    pthread_mutex_unlock(&client->mu);
    snprintf(message, sizeof message, "the connection to %s was lost: %s", address, why);
    tether_cause *cause = closing ? NULL : tether_cause_new(TETHER_CAUSE_PEER_LOST, NULL, message);
    if (closing)
      tth_client_call_end(call, TETHER_CANCELLED, "the client was closed", NULL);
    else
      tth_client_call_fail(call, TETHER_UNAVAILABLE, message, cause);
    tether_cause_unref(cause);
  }
  tether_call_unref(call);
}

/* ---- Starting ------------------------------------------------------------------------------ */

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
  if ((call->method->flags & TETHER_METHOD_DEADLINE_REQUIRED) && tether_ctx_deadline_ns(call->root) == TETHER_FOREVER)
    return TETHER_INVALID_ARGUMENT;
  return TETHER_OK;
}

/* The config's policy for the method, or else the method's own; NULL: the call is not tried again. */
static const tether_retry_policy *policy_of(const tether_call *call) {
  const tth_method_config *config = call->c.config;
  if (call->c.attempt || call->c.client->no_retries) return NULL;
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

enum { BLOCKING = -1, NOT_BLOCKING = -2 };

/* `attempt`: which of a hedged call's, from 0; or one of the above. */
static tether_call *start(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                          const ProtobufCMessage *request, const tether_call_options *options, int attempt,
                          tether_call_done_fn done, void *data) {
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
  call->c.attempt = attempt >= 0;
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
  return start(client, ctx, method, request, options, NOT_BLOCKING, done, data);
}

tether_call *tth_client_call_attempt(tether_client *client, const tether_ctx *ctx, const tether_method *method,
                                     const ProtobufCMessage *request, const tether_call_options *options, int previous,
                                     tether_call_done_fn done, void *data) {
  return start(client, ctx, method, request, options, previous, done, data);
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
  tether_call *call = start(client, ctx, method, request, options, BLOCKING, NULL, NULL);
  if (call->c.leads) tth_conn_lead(call->c.leads, call);
  tether_call_wait(call);
  return call;
}

/* ---- The answer ---------------------------------------------------------------------------- */

void tth_client_call_refuse(tether_call *call, tether_code code, const char *why) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_OTHER, NULL, why);
  tth_client_call_end(call, code, why, cause);
  tether_cause_unref(cause);
}

/* Takes received entries as a new list; NULL if there are none. */
static tether_code take_entries(size_t count, Tether__V1__Entry *const *entries, tether_metadata **list) {
  tether_metadata *made = count ? tether_metadata_new() : NULL;
  if (!made) return count ? TETHER_RESOURCE_EXHAUSTED : TETHER_OK;
  tether_code code = tth_metadata_from_entries(made, count, entries);
  if (code == TETHER_OK)
    *list = made;
  else
    tether_metadata_free(made);
  return code;
}

/* Of a stream they can be read at once. */
static void publish_initial(tether_call *call) {
  if (!call->pipe) return;
  call->initial = call->c.io_initial; /* readers have waited for what follows */
  tth_pipe_initial(call);
}

static void on_headers(tether_call *call, const tth_event *event, const tether_limits *limits) {
  ProtobufCMessage *message;
  char why[160];
  if (call->c.io_headers) { /* each would take memory until the call has ended */
    tth_client_call_refuse(call, TETHER_INTERNAL, "initial metadata twice, or after a message");
    return;
  }
  call->c.io_headers = true;
  if (call->c.retrying) tth_retrying_commit(call);
  tether_code code =
      tth_call_unpack_small(call, &tether__v1__headers__descriptor, event, limits, why, sizeof why, &message);
  if (code == TETHER_OK) {
    const Tether__V1__Headers *headers = (const Tether__V1__Headers *)message;
    if (tth_entries_size(headers->n_metadata, headers->metadata) > limits->max_metadata_bytes)
      code = TETHER_RESOURCE_EXHAUSTED;
    else
      code = take_entries(headers->n_metadata, headers->metadata, &call->c.io_initial);
    if (code != TETHER_OK) snprintf(why, sizeof why, "the initial metadata is larger than the limit, or out of memory");
  }
  if (code != TETHER_OK)
    tth_client_call_refuse(call, code, why);
  else
    publish_initial(call);
}

static void on_message(tether_call *call, tth_event *event, const tether_limits *limits) {
  char why[160], message[320];
  if (call->c.config && (int64_t)event->len > call->c.config->max_response_bytes) {
    snprintf(message, sizeof message, "a reply of %zu bytes is larger than the service config allows", event->len);
    tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, message);
    return;
  }
  if (tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING)) {
    if (call->c.retrying && !call->c.io_headers) tth_retrying_commit(call);
    call->c.io_headers = true;
    tth_intercept_message(call, false, event->len);
    if (!tth_pipe_push(call, event)) tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, "out of memory");
    return;
  }
  if (call->c.io_reply) {
    tth_client_call_refuse(call, TETHER_INTERNAL, "two replies to a unary call");
    return;
  }
  tether_code code = tth_call_unpack(call, call->method->reply, event->bytes, event->len, limits->max_unpacked_bytes,
                                     why, sizeof why, &call->c.io_reply);
  tth_call_consumed(call, event->cost);
  call->c.reply_bytes = (uint32_t)event->len;
  if (code == TETHER_OK) return;
  snprintf(message, sizeof message, "the reply cannot be unpacked: %s", why);
  tth_client_call_refuse(call, code, message);
}

/* The server's record follows the caller's. */
static void correct_verdict(tether_call *call, uint32_t stream, uint32_t told) {
  if (told == (uint32_t)call->code) return;
  tether_code from = told <= TETHER_UNAUTHENTICATED ? (tether_code)told : TETHER_UNKNOWN;
  tth_session *session = tth_conn_lock(call->conn);
  if (session) tth_session_verdict(session, stream, from, call->code);
  tth_conn_unlock(call->conn);
}

static void explain_deadline(tether_call *call) {
  close_ledger(call);
  const tether_ledger *ledger = call->c.hop.data ? tth_call_ledger(call) : NULL, *row;
  if (!ledger) return;
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  say_where(call, ledger->took_ns, phase, spent_ns, row->method, *row->hop ? row->hop : "no server");
}

/* TRAILERS of a call that has ended, or is just being ended, in another way. */
static void on_late_trailers(tether_call *call, uint32_t stream, const Tether__V1__Trailers *trailers) {
  tether_call_wait(call); /* whoever ends it is about to publish */
  if (!trailers) return;
  correct_verdict(call, stream, trailers->code);
  if (!trailers->has_ledger) return;
  call->c.late_hop = trailers->ledger;
  tth_recorder_call_explained(call->c.recorder, call->c.row, &trailers->ledger);
}

/* The status that the server's TRAILERS mean here. */
static tether_code received_code(tether_call *call, const Tether__V1__Trailers *trailers, const char **message) {
  tether_code code = trailers->code <= TETHER_UNAUTHENTICATED ? (tether_code)trailers->code : TETHER_UNKNOWN;
  *message = trailers->message;
  if (code == TETHER_OK && !call->c.io_reply && !tth_method_is(call->method, TETHER_METHOD_SERVER_STREAMING)) {
    *message = "the server sent OK and no reply";
    return TETHER_INTERNAL;
  }
  /* A server that cut the call because its time was over may say so either way; the deadline is the truth. */
  if (code == TETHER_CANCELLED && tether_ctx_remaining_ns(call->root) == 0) return TETHER_DEADLINE_EXCEEDED;
  return code;
}

static void on_trailers(tether_call *call, tth_event *event, const tether_limits *limits) {
  Tether__V1__Trailers plain;
  ProtobufCMessage *unpacked = &plain.base;
  char why[160];
  tether_code code = TETHER_OK;
  if (!tth_trailers_read(event->bytes, event->len, &plain))
    code = tth_call_unpack_small(call, &tether__v1__trailers__descriptor, event, limits, why, sizeof why, &unpacked);
  const Tether__V1__Trailers *trailers = code == TETHER_OK ? (const Tether__V1__Trailers *)unpacked : NULL;
  if (trailers && tth_entries_size(trailers->n_metadata, trailers->metadata) > limits->max_metadata_bytes) {
    code = TETHER_RESOURCE_EXHAUSTED;
    snprintf(why, sizeof why, "the trailers are larger than the limit");
  }
  if (trailers && trailers->unaccepted && tth_dispatch_refused(call, &event->kept)) return;
  uint32_t running = trailers && trailers->has_running ? trailers->running : 0;
  if (!tth_call_try_end(call)) {
    on_late_trailers(call, event->stream_id, trailers);
    mark_gone(call, TTH_GONE_ANSWERED, running);
    return;
  }
  /* Not as it came: a cancel or the deadline, on any thread, may have ended the call since for its interceptors. */
  if (call->c.io_reply) tth_intercept_message(call, false, call->c.reply_bytes);
  call->c.told_ns = event->told_ns;
  if (trailers && trailers->has_ledger) call->c.hop = trailers->ledger;
  if (trailers && code == TETHER_OK) {
    const char *message;
    call->code = received_code(call, trailers, &message);
    tth_call_set_message(call, message);
    call->cause = tth_cause_from_wire(trailers->cause);
    call->reply = call->c.io_reply;
    if (!call->pipe) call->initial = call->c.io_initial;
    if (take_entries(trailers->n_metadata, trailers->metadata, &call->trailers) != TETHER_OK) {
      call->code = TETHER_RESOURCE_EXHAUSTED;
      tth_call_set_message(call, "out of memory");
    }
  } else {
    call->code = code;
    tth_call_set_message(call, why);
  }
  if (trailers) correct_verdict(call, event->stream_id, trailers->code);
  if (call->c.retrying) mark_gone(call, TTH_GONE_ANSWERED, running); /* the attempt, to begin with */
  /* What the server said, and not what became of it here. */
  if (trailers && trailers->code == (uint32_t)call->code && tth_retrying_ended(call)) return;
  /* Unless it is a handler's own status, with a text of its own. */
  bool cut = tether_cause_get_code(call->cause) == TETHER_CAUSE_DEADLINE;
  if (call->code == TETHER_DEADLINE_EXCEEDED && (cut || !call->message)) explain_deadline(call);
  record(call);
  mark_gone(call, TTH_GONE_ANSWERED, running); /* behind its row, and before anybody can see that it has ended */
  publish(call);
}

void tth_client_call_event(tether_call *call, tth_event *event, const tether_limits *limits) {
  char message[160];
  switch (event->type) {
    case TTH_EVENT_HEADERS:
      on_headers(call, event, limits);
      break;
    case TTH_EVENT_MESSAGE:
      on_message(call, event, limits);
      break;
    case TTH_EVENT_OVERSIZE:
      snprintf(message, sizeof message, "a reply of %zu bytes is larger than the limit of %zu", event->len,
               limits->max_message_bytes);
      tth_client_call_refuse(call, TETHER_RESOURCE_EXHAUSTED, message);
      break;
    case TTH_EVENT_TRAILERS:
      on_trailers(call, event, limits);
      tether_call_unref(call); /* the stream's reference */
      break;
    default:
      break;
  }
}
