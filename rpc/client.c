/* The client: a connection kept up in the background, and the calls that wait for it.
 *
 * Happy path: open -> the subchannel connects (subchannel.c) -> READY, waiting calls leave (dispatch.c).
 *
 * Settling: events of connections, attempts and time change the subchannel under the lock, from several threads; what
 * follows from that is done by one thread at a time, whoever came first. It does what is due and sets the alarm, a
 * context with a timeout and an inline callback, for what is due later; then the calls that wait are looked at. Without
 * memory for an alarm the next who wants a connection makes the attempt. */
#include "rpc/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/dispatch.h"
#include "rpc/large.h"
#include "rpc/real_time.h"
#include "rpc/tls.h"
#include "rpc/trace.h"

#define BACKOFF_INITIAL (1 * TETHER_SEC)
#define BACKOFF_MAX (120 * TETHER_SEC)
#define CONNECT_TIMEOUT (20 * TETHER_SEC)
#define IDLE_TIMEOUT (1800 * TETHER_SEC)
#define RESOLVE_INTERVAL (60 * TETHER_SEC)
#define RESOLVE_LEAST (30 * TETHER_SEC)

tether_limits tth_limits_of(const tether_limits *given) {
  tether_limits limits = given ? *given : (tether_limits){0};
  if (limits.max_message_bytes == 0) limits.max_message_bytes = (size_t)4 << 20;
  if (limits.max_message_bytes > TTH_MESSAGE_MOST) limits.max_message_bytes = TTH_MESSAGE_MOST;
  if (limits.max_metadata_bytes == 0) limits.max_metadata_bytes = (size_t)8 << 10;
  if (limits.max_metadata_bytes > TTH_METADATA_MOST) limits.max_metadata_bytes = TTH_METADATA_MOST;
  if (limits.max_unpacked_bytes == 0) limits.max_unpacked_bytes = 4 * limits.max_message_bytes;
  if (limits.max_streams == 0) limits.max_streams = 1024;
  if (limits.max_forward_bytes == 0) limits.max_forward_bytes = (size_t)4 << 10;
  if (limits.max_forward_bytes > TTH_METADATA_MOST) limits.max_forward_bytes = TTH_METADATA_MOST;
  if (limits.stream_window_bytes < TTH_WINDOW_LEAST) limits.stream_window_bytes = TTH_WINDOW_LEAST;
  if (limits.stream_window_bytes > TTH_FIRST_WINDOW_MOST) limits.stream_window_bytes = TTH_FIRST_WINDOW_MOST;
  if (limits.connection_window_bytes == 0) limits.connection_window_bytes = (size_t)64 << 20;
  if (limits.connection_window_bytes < limits.max_message_bytes)
    limits.connection_window_bytes = limits.max_message_bytes;
  return limits;
}

static tth_life_limits life_of(const tether_keepalive *keepalive) {
  return (tth_life_limits){
      .keepalive_ns = keepalive->time_ns > 0 ? keepalive->time_ns : TETHER_FOREVER,
      .keepalive_timeout_ns = keepalive->timeout_ns > 0 ? keepalive->timeout_ns : 20 * TETHER_SEC,
      .without_calls = keepalive->permit_without_calls,
      .hello_ns = TETHER_FOREVER, /* connect_timeout_ns is looked after here */
      .idle_ns = TETHER_FOREVER,
      .age_grace_ns = TETHER_FOREVER,
  };
}

/* ---- Settling ------------------------------------------------------------------------------ */

static void on_alarm(void *data) {
  tether_client *client = data;
  pthread_mutex_lock(&client->mu);
  client->alarm_ns = TETHER_FOREVER;
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
}

static void stop_alarm(tether_client *client) {
  if (!client->alarm_ctx) return;
  tether_after_stop_wait(&client->alarm);
  tether_ctx_free(client->alarm_ctx);
  client->alarm_ctx = NULL;
}

/* false: no memory. */
static bool set_alarm(tether_client *client, int64_t at_ns) {
  stop_alarm(client);
  if (at_ns == TETHER_FOREVER) return true;
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), at_ns - tether_now_ns());
  if (tether_ctx_err(ctx) == TETHER_CANCELLED) { /* it has ended, and so would the next */
    tether_ctx_free(ctx);
    return false;
  }
  client->alarm_ctx = ctx;
  tether_ctx_after_func(ctx, &client->alarm, NULL, on_alarm, client);
  return true;
}

/* ---- What is due --------------------------------------------------------------------------- */

/* Nobody has called for a while: every connection goes. */
static void go_idle_locked(tether_client *client) {
  client->idle = true;
  for (size_t i = 0; i < client->subchannel_count; i++) tth_subchannel_rest_locked(client->subchannels[i]);
}

/* Looks whether the client is in use. Returns when to look again. */
static int64_t check_idle_locked(tether_client *client, int64_t now_ns) {
  if (client->idle_timeout_ns == TETHER_FOREVER) return TETHER_FOREVER;
  if (client->idle_check_ns > now_ns) return client->idle_check_ns;
  bool used = client->used || client->calls > 0 || client->inside > 0;
  client->used = false;
  client->idle_check_ns = tether_time_add(now_ns, client->idle_timeout_ns);
  if (used) return client->idle_check_ns;
  go_idle_locked(client);
  return TETHER_FOREVER;
}

/* Returns when to come again. */
static int64_t act_due_locked(tether_client *client) {
  int64_t now_ns = tether_now_ns(), idle_ns = client->idle ? TETHER_FOREVER : check_idle_locked(client, now_ns);
  if (client->idle) return TETHER_FOREVER;
  int64_t act_ns = tth_balance_act_locked(client, now_ns), resolve_ns = tth_addresses_act_locked(client, now_ns);
  if (resolve_ns < act_ns) act_ns = resolve_ns;
  return idle_ns < act_ns ? idle_ns : act_ns;
}

void tth_client_tell_state_locked(tether_client *client) {
  if (client->closing) return;
  tether_connectivity state = client->idle ? TETHER_IDLE : tth_balance_state_locked(client);
  if (state == client->state) return;
  client->state = state;
  pthread_cond_broadcast(&client->changed);
}

/* Does what is due; *at_ns: when to come again. false: the alarm is to stay as it is. */
static bool act_locked(tether_client *client, int64_t *at_ns) {
  if (client->closing) return false;
  *at_ns = act_due_locked(client);
  tth_client_tell_state_locked(client);
  if (*at_ns == client->alarm_ns) return false;
  client->alarm_ns = *at_ns;
  return true;
}

/* The last touch: a close waits for it. */
static void leave(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  client->inside--;
  if (client->closing) pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

void tth_client_settle(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  client->unsettled = true;
  bool mine = !client->settling;
  if (mine) client->settling = true;
  while (mine && client->unsettled) {
    int64_t at_ns;
    client->unsettled = false;
    if (!act_locked(client, &at_ns)) continue;
    pthread_mutex_unlock(&client->mu);
    bool set = set_alarm(client, at_ns);
    pthread_mutex_lock(&client->mu);
    if (set) continue;
    client->stalled = true; /* instead of trying without pause, wait until somebody asks */
    client->alarm_ns = TETHER_FOREVER;
  }
  if (mine) client->settling = false;
  if (mine && client->closing) pthread_cond_broadcast(&client->changed);
  bool waiting = client->wait_first && !client->closing;
  client->inside += waiting; /* an alarm has been replaced meanwhile, and nobody waits for it any more */
  pthread_mutex_unlock(&client->mu);
  if (!waiting) return;
  tth_dispatch_waiting(client);
  leave(client);
}

void tether_client_connect(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  bool wake = (client->stalled || client->idle) && !client->closing;
  if (wake && client->idle) client->idle_check_ns = tether_time_add(tether_now_ns(), client->idle_timeout_ns);
  if (wake && client->stalled) /* no alarm will make the attempt */
    for (size_t i = 0; i < client->subchannel_count; i++) tth_subchannel_hurry_locked(client->subchannels[i]);
  if (wake && client->idle) tth_addresses_doubt_locked(client);
  if (wake) client->idle = client->stalled = false;
  pthread_mutex_unlock(&client->mu);
  if (wake) tth_client_settle(client);
}

void tth_client_failed_locked(tether_client *client, const char *format, ...) {
  char why[TTH_CLIENT_WHY];
  va_list args;
  va_start(args, format);
  vsnprintf(why, sizeof why, format, args);
  va_end(args);
  char *copy = strdup(why); /* not a buffer in each client: most never need it */
  if (!copy) return;
  free(client->last_error);
  client->last_error = copy;
}

/* ---- Connections and calls ----------------------------------------------------------------- */

void tth_client_add_conn_locked(tether_client *client, tth_conn *conn) {
  tth_conn_node_of(conn)->next = client->conns;
  if (client->conns) tth_conn_node_of(client->conns)->prev = conn;
  client->conns = conn;
  client->conn_count++;
}

void tth_client_remove_conn_locked(tether_client *client, tth_conn *conn) {
  tth_conn_node *node = tth_conn_node_of(conn);
  *(node->prev ? &tth_conn_node_of(node->prev)->next : &client->conns) = node->next;
  if (node->next) tth_conn_node_of(node->next)->prev = node->prev;
}

void tth_client_conn_gone(tether_client *client, tth_subchannel *sub) {
  pthread_mutex_lock(&client->mu);
  tth_subchannel_unref_locked(sub);
  client->conn_count--;
  pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

void tth_client_count(tether_client *client, tether_code code, bool sent, bool again) {
  atomic_fetch_add_explicit(sent ? &client->ended[code] : &client->unsent, 1, memory_order_relaxed);
  if (sent && again) atomic_fetch_add_explicit(&client->retries, 1, memory_order_relaxed);
}

void tth_client_count_unaccepted(tether_client *client, tether_code code, bool again) {
  atomic_fetch_sub_explicit(&client->ended[code], 1, memory_order_relaxed);
  if (again) atomic_fetch_sub_explicit(&client->retries, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&client->unsent, 1, memory_order_relaxed);
}

void tether_client_get_stats(tether_client *client, tether_client_stats *stats) {
  for (size_t i = 0; i < TETHER_CODES; i++) stats->ended[i] = atomic_load(&client->ended[i]);
  stats->unsent = atomic_load(&client->unsent);
  stats->retries = atomic_load(&client->retries);
  stats->throttled = atomic_load(&client->throttled);
}

void tth_client_call_gone(tether_client *client) {
  /* The closing thread looks at the count under the lock; the last call must wake it, and may not touch the client
   * after the count has dropped unless it holds the lock. */
  size_t calls = atomic_load(&client->calls);
  while (calls > 1)
    if (atomic_compare_exchange_weak(&client->calls, &calls, calls - 1)) return;
  pthread_mutex_lock(&client->mu);
  client->calls--;
  if (client->closing && client->calls == 0) pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

/* ---- Public -------------------------------------------------------------------------------- */

/* The client is gone as far as the world goes: no thread, connection or call is left. */
static void client_free(tether_client *client) {
  for (size_t i = 0; i < client->subchannel_count; i++) tth_subchannel_unref_locked(client->subchannels[i]);
  free(client->subchannels);
  free(client->balance.ready);
  tth_tls_unref(client->tls);
  tether_credentials_unref(client->credentials);
  tth_service_config_free(client->config);
  tether_ctx_free(client->backoffs);
  pthread_cond_destroy(&client->changed);
  pthread_mutex_destroy(&client->mu);
  free(client->last_error);
  free(client->target);
  free(client);
}

static int64_t or_default(int64_t given_ns, int64_t default_ns) { return given_ns ? given_ns : default_ns; }

static void take_options(tether_client *client, const tether_client_options *options) {
  client->limits = tth_limits_of(&options->limits);
  client->backoff_initial_ns = or_default(options->backoff_initial_ns, BACKOFF_INITIAL);
  client->backoff_max_ns = or_default(options->backoff_max_ns, BACKOFF_MAX);
  client->connect_timeout_ns = or_default(options->connect_timeout_ns, CONNECT_TIMEOUT);
  client->idle_timeout_ns = or_default(options->idle_timeout_ns, IDLE_TIMEOUT);
  client->idle_check_ns = tether_time_add(tether_now_ns(), client->idle_timeout_ns);
  client->interceptors = options->interceptors && *options->interceptors ? options->interceptors : NULL;
  if (options->credentials) client->credentials = tether_credentials_ref(options->credentials);
  client->life = life_of(&options->keepalive);
  client->addresses.interval_ns = or_default(options->resolve_interval_ns, RESOLVE_INTERVAL);
  client->addresses.least_ns = or_default(options->resolve_least_ns, RESOLVE_LEAST);
  client->balance.policy = options->balancing;
  client->idle = options->lazy;
  client->state = client->idle ? TETHER_IDLE : TETHER_CONNECTING;
  tth_random(&client->balance.random, sizeof client->balance.random);
  client->balance.random |= 1; /* 0 would stay 0 */
  client->balance.next = (uint32_t)client->balance.random;
}

/* The name in the target is what a certificate must be for, not the address it has led to. */
static tether_code open_tls(tether_client *client, const tether_tls *given, const char *name) {
  tether_tls tls = *given;
  if (!tls.server_name) tls.server_name = name;
  return tth_tls_open(&tls, true, &client->tls);
}

tether_code tth_client_open_on(const tth_transport *transport, const char *target, const tether_client_options *options,
                               tether_client **result) {
  static const tether_client_options defaults;
  if (!options) options = &defaults;
  if (!target || (unsigned)options->balancing > TETHER_LEAST_OF_TWO) return TETHER_INVALID_ARGUMENT;
  tether_client *client = calloc(1, sizeof *client);
  if (!client) return TETHER_RESOURCE_EXHAUSTED;
  client->transport = transport;
  client->target = strdup(target);
  client->alarm_ns = TETHER_FOREVER;
  take_options(client, options);
  pthread_mutex_init(&client->mu, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&client->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  tether_code code = client->target ? tth_client_configure(client, options) : TETHER_RESOURCE_EXHAUSTED;
  tth_name name;
  bool is_name = false;
  if (code == TETHER_OK) code = tth_name_parse(target, &is_name, &name);
  if (code == TETHER_OK && options->tls) code = open_tls(client, options->tls, is_name ? name.host : NULL);
  if (code == TETHER_OK) code = tth_addresses_open(client, is_name ? &name : NULL);
  if (code != TETHER_OK) {
    for (size_t i = 0; i < client->subchannel_count; i++) tth_subchannel_stop(client->subchannels[i]);
    client_free(client);
    return code;
  }
  *result = client;
  tth_client_settle(client);
  return TETHER_OK;
}

tether_code tether_client_open(const char *target, const tether_client_options *options, tether_client **client) {
  return tth_client_open_on(&tth_transport_nng, target, options, client);
}

static void each_conn(tether_client *client, void (*fn)(tth_conn *conn)) {
  pthread_mutex_lock(&client->mu);
  for (tth_conn *conn = client->conns; conn; conn = tth_conn_node_of(conn)->next) fn(conn);
  pthread_mutex_unlock(&client->mu);
}

/* A call that has been given the connection, and not its place there, finds it as after a GOAWAY. */
static void take_no_more_calls(tth_conn *conn) {
  (void)tth_conn_lock(conn);
  tth_session_leave(tth_conn_session(conn));
  tth_conn_unlock(conn);
}

/* A call that is on some connection, referenced; NULL if there is none. */
static tether_call *any_call(tether_client *client) {
  tether_call *call = NULL;
  pthread_mutex_lock(&client->mu);
  for (tth_conn *conn = client->conns; conn && !call; conn = tth_conn_node_of(conn)->next) {
    tth_session *session = tth_conn_lock(conn);
    call = session ? tth_session_any_user(session) : NULL;
    if (call) tether_call_ref(call);
    tth_conn_unlock(conn);
  }
  pthread_mutex_unlock(&client->mu);
  return call;
}

/* Ends the calls in flight, and tells their servers. One that somebody else is ending is gone from its connection as
 * soon as that has come to it. */
static void end_calls(tether_client *client) {
  tether_cause *cause = tether_cause_new(TETHER_CAUSE_CALLER, NULL, "the client was closed");
  for (tether_call *call; (call = any_call(client));) {
    tth_client_call_end(call, TETHER_CANCELLED, tether_cause_text(cause), cause);
    tether_call_unref(call);
  }
  tether_cause_unref(cause);
}

/* Waits until nobody uses the client; false if somebody still did at the deadline, which is in real time. */
static bool wait_for_none(tether_client *client, int64_t deadline_ns) {
  struct timespec at = {.tv_sec = (time_t)(deadline_ns / TETHER_SEC), .tv_nsec = (long)(deadline_ns % TETHER_SEC)};
  bool in_time = true;
  pthread_mutex_lock(&client->mu);
  while (in_time && (client->conn_count > 0 || client->calls > 0 || client->inside > 0 || client->settling))
    in_time = pthread_cond_timedwait(&client->changed, &client->mu, &at) == 0;
  pthread_mutex_unlock(&client->mu);
  return in_time;
}

void tether_client_close(tether_client *client) {
  if (!client) return;
  pthread_mutex_lock(&client->mu);
  client->closing = true;
  client->state = TETHER_SHUTDOWN;
  pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
  tth_dispatch_cancel_waiting(client);
  tether_ctx_cancel(client->backoffs);
  tth_addresses_close(client);                          /* no new subchannels from here on, */
  for (size_t i = 0; i < client->subchannel_count; i++) /* and no new connections */
    tth_subchannel_stop(client->subchannels[i]);
  each_conn(client, take_no_more_calls);
  end_calls(client);
  each_conn(client, tth_conn_close_gently);
  if (!wait_for_none(client, tether_time_add(tth_real_now_ns(), TTH_CLOSE_BOUND_NS))) each_conn(client, tth_conn_close);
  (void)wait_for_none(client, TETHER_FOREVER);
  stop_alarm(client);
  tth_large_clear();
  client_free(client);
}

tether_code tether_client_reload_tls(tether_client *client) { return tth_tls_reload(client->tls); }

tether_connectivity tether_client_connectivity(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  tether_connectivity state = client->state;
  pthread_mutex_unlock(&client->mu);
  return state;
}

static void wake_waiters(void *data) {
  tether_client *client = data;
  pthread_mutex_lock(&client->mu);
  pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

/* From here until it leaves the client does not go idle, nor away. */
static void enter(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  client->inside++;
  pthread_mutex_unlock(&client->mu);
}

/* Waits until the state is `state`, or is not, and leaves. */
static tether_code wait_for(tether_client *client, const tether_ctx *ctx, tether_connectivity state, bool is,
                            tether_connectivity *now) {
  tether_after after;
  tether_ctx_after_func(ctx, &after, NULL, wake_waiters, client);
  tether_code code = TETHER_OK;
  pthread_mutex_lock(&client->mu);
  while ((client->state == state) != is && code == TETHER_OK) {
    code = client->closing ? TETHER_CANCELLED : tether_ctx_err(ctx);
    if (code == TETHER_OK) pthread_cond_wait(&client->changed, &client->mu);
  }
  *now = client->state;
  pthread_mutex_unlock(&client->mu);
  tether_after_stop_wait(&after);
  leave(client);
  return code;
}

tether_code tether_client_wait_ready(tether_client *client, const tether_ctx *ctx) {
  tether_connectivity now;
  enter(client); /* first: idle again, it would not become ready by itself */
  tether_client_connect(client);
  return wait_for(client, ctx, TETHER_READY, true, &now);
}

tether_code tether_client_wait_change(tether_client *client, const tether_ctx *ctx, tether_connectivity from,
                                      tether_connectivity *now) {
  tether_connectivity seen;
  enter(client);
  tether_code code = wait_for(client, ctx, from, false, &seen);
  if (code == TETHER_OK) *now = seen;
  return code;
}
