/* The client: one connection kept up in the background, and the calls that wait for it.
 *
 * Happy path: open -> dial -> link -> connection sends HELLO -> peer's HELLO -> READY, waiting calls leave.
 * Failures: an attempt that fails (refused, handshake, no HELLO in time) makes TRANSIENT_FAILURE, ends the waiting
 * calls that did not ask to wait, and is tried again after gRPC's back-off (doc/connection-backoff.md); the delay
 * counts from the start of the last attempt, so a connection that lived longer is replaced at once. The back-off timer
 * is a context with a timeout and an inline callback. It is armed and disarmed outside the lock, by the I/O callbacks
 * alone, of which there is one at a time. */
#include "rpc/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/interceptor.h"
#include "rpc/large.h"
#include "rpc/tls.h"
#include "rpc/trace.h"

#define BACKOFF_INITIAL (1 * TETHER_SEC)
#define BACKOFF_MAX (120 * TETHER_SEC)
#define CONNECT_TIMEOUT (20 * TETHER_SEC)

static void on_timer(void *data);

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

/* ---- The timer ----------------------------------------------------------------------------- */

static void disarm(tether_client *client) {
  if (!client->timer_ctx) return;
  tether_after_stop_wait(&client->timer);
  tether_ctx_free(client->timer_ctx);
  client->timer_ctx = NULL;
}

static void arm(tether_client *client, int64_t delay_ns) {
  disarm(client);
  tether_ctx *ctx = tether_ctx_with_timeout(tether_ctx_background(), delay_ns);
  if (tether_ctx_err(ctx) == TETHER_CANCELLED) {
    /* No memory: it has ended, and so would the next. Instead of trying without pause, wait until somebody asks. */
    tether_ctx_free(ctx);
    pthread_mutex_lock(&client->mu);
    client->stalled = !client->conn;
    pthread_mutex_unlock(&client->mu);
    return;
  }
  client->timer_ctx = ctx;
  tether_ctx_after_func(ctx, &client->timer, NULL, on_timer, client);
}

/* ---- Waiting calls ------------------------------------------------------------------------- */

void tth_client_forget_waiting_locked(tether_client *client, tether_call *call) {
  if (!call->c.waiting) return;
  call->c.waiting = false;
  *(call->c.wait_prev ? &call->c.wait_prev->c.wait_next : &client->wait_first) = call->c.wait_next;
  *(call->c.wait_next ? &call->c.wait_next->c.wait_prev : &client->wait_last) = call->c.wait_prev;
}

/* Takes the next waiting call that matches, with its request; the list's reference goes to the caller. */
static tether_call *take_waiting(tether_client *client, bool also_patient, tth_conn *conn, tth_out **out) {
  pthread_mutex_lock(&client->mu);
  tether_call *call = client->wait_first;
  while (call && call->c.wait_for_ready && !also_patient) call = call->c.wait_next;
  if (conn && client->conn != conn) call = NULL;
  if (call) {
    tth_client_forget_waiting_locked(client, call);
    *out = call->c.out;
    call->c.out = NULL;
    if (conn) call->conn = tth_conn_ref(conn);
  }
  pthread_mutex_unlock(&client->mu);
  return call;
}

static void fail_waiting(tether_client *client, bool also_patient, tether_code code, const char *message) {
  tth_out *out;
  for (tether_call *call; (call = take_waiting(client, also_patient, NULL, &out));) {
    tth_out_free(out);
    tth_client_call_end(call, code, message, NULL);
    tether_call_unref(call);
  }
}

void tth_client_count(tether_client *client, tether_code code, bool sent) {
  atomic_fetch_add_explicit(sent ? &client->ended[code] : &client->unsent, 1, memory_order_relaxed);
}

void tether_client_get_stats(tether_client *client, tether_client_stats *stats) {
  for (size_t i = 0; i < TETHER_CODES; i++) stats->ended[i] = atomic_load(&client->ended[i]);
  stats->unsent = atomic_load(&client->unsent);
}

void tth_client_call_gone(tether_client *client) {
  /* The closing thread looks at the count under the lock; the last call must wake it, and may not touch the client
   * after the count has dropped unless it holds the lock. */
  pthread_mutex_lock(&client->mu);
  client->calls--;
  if (client->closing && client->calls == 0) pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

/* ---- Connecting ---------------------------------------------------------------------------- */

static int64_t jittered(int64_t delay_ns) {
  uint32_t random;
  tth_random(&random, sizeof random);
  return tether_time_add(delay_ns - delay_ns / 5, (int64_t)((double)(delay_ns / 5 * 2) * random / UINT32_MAX));
}

/* How long to wait before the next attempt; the lock is held. */
static int64_t next_delay_locked(tether_client *client) {
  int64_t delay = client->backoff_ns ? client->backoff_ns : client->backoff_initial_ns;
  int64_t most = client->backoff_max_ns;
  client->backoff_ns = delay < most / 8 * 5 ? delay / 5 * 8 : most;
  int64_t at = tether_time_add(client->attempt_at_ns, jittered(delay)), now = tether_now_ns();
  return at > now ? at - now : 0;
}

static void remove_conn_locked(tether_client *client, tth_conn *conn) {
  tth_conn_node *node = tth_conn_node_of(conn);
  *(node->prev ? &tth_conn_node_of(node->prev)->next : &client->conns) = node->next;
  if (node->next) tth_conn_node_of(node->next)->prev = node->prev;
}

static void attempt_failed(tether_client *client, const char *why) {
  char message[320];
  pthread_mutex_lock(&client->mu);
  if (client->closing) {
    pthread_mutex_unlock(&client->mu);
    return;
  }
  client->state = TETHER_TRANSIENT_FAILURE;
  snprintf(client->last_error, sizeof client->last_error, "%s", why);
  snprintf(message, sizeof message, "no connection to %s: %s", client->url, client->last_error);
  int64_t delay = next_delay_locked(client);
  pthread_mutex_unlock(&client->mu);
  fail_waiting(client, false, TETHER_UNAVAILABLE, message);
  arm(client, delay);
}

static void on_event(void *owner, tth_conn *conn, tth_event *event);
static void on_lost(void *owner, tth_conn *conn, tether_call *call, bool left, const char *why);
static void on_closed(void *owner, tth_conn *conn, const char *why);
static const tth_conn_ops conn_ops = {.event = on_event, .lost = on_lost, .closed = on_closed};

static void on_dialed(void *owner, tth_link *link, const char *why) {
  tether_client *client = owner;
  if (!link) {
    attempt_failed(client, why);
    return;
  }
  tth_conn *conn = tth_conn_new(link, TTH_CLIENT, &client->limits, &conn_ops, client);
  if (!conn) {
    link->ops->free(link);
    attempt_failed(client, "out of memory");
    return;
  }
  pthread_mutex_lock(&client->mu);
  bool closing = client->closing;
  if (!closing) {
    client->conn = conn;
    client->silent = false;
    tth_conn_node_of(conn)->next = client->conns;
    if (client->conns) tth_conn_node_of(client->conns)->prev = conn;
    client->conns = conn;
    client->conn_count++;
  }
  pthread_mutex_unlock(&client->mu);
  if (closing) {
    tth_conn_unref(conn);
    return;
  }
  arm(client, client->connect_timeout_ns); /* for HELLO */
  tth_conn_start(conn);
}

/* Dials; never with closing set, so that close can free the dialer. */
static void connect_now(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  if (!client->closing) {
    client->state = TETHER_CONNECTING;
    client->attempt_at_ns = tether_now_ns();
    client->transport->dial(client->dialer, client->connect_timeout_ns, on_dialed, client);
  }
  pthread_mutex_unlock(&client->mu);
}

void tth_client_wanted(tether_client *client) {
  pthread_mutex_lock(&client->mu);
  bool stalled = client->stalled;
  client->stalled = false;
  pthread_mutex_unlock(&client->mu);
  if (stalled) connect_now(client);
}

/* The back-off is over, or HELLO did not come in time. */
static void on_timer(void *data) {
  tether_client *client = data;
  pthread_mutex_lock(&client->mu);
  tth_conn *silent = client->state == TETHER_CONNECTING && client->conn ? tth_conn_ref(client->conn) : NULL;
  bool ready = client->state == TETHER_READY;
  client->silent = silent;
  pthread_mutex_unlock(&client->mu);
  if (silent) {
    tth_conn_close(silent);
    tth_conn_unref(silent);
  } else if (!ready) {
    connect_now(client);
  }
}

/* ---- The connection's events --------------------------------------------------------------- */

static void on_hello(tether_client *client, tth_conn *conn) {
  disarm(client);
  pthread_mutex_lock(&client->mu);
  if (client->conn == conn && !client->closing) {
    client->state = TETHER_READY;
    client->backoff_ns = 0;
    pthread_cond_broadcast(&client->changed);
  }
  pthread_mutex_unlock(&client->mu);
  tth_out *out;
  for (tether_call *call; (call = take_waiting(client, true, conn, &out));) {
    tth_client_call_place(call, conn, out);
    tether_call_unref(call);
  }
}

/* The connection takes nothing new: what has not left ends UNAVAILABLE, which says that the server never saw it. */
static void on_goaway(tether_client *client, tth_conn *conn) {
  pthread_mutex_lock(&client->mu);
  bool current = client->conn == conn;
  if (current) {
    client->conn = NULL;
    if (!client->closing) client->state = TETHER_CONNECTING;
  }
  int64_t delay = current ? next_delay_locked(client) : 0;
  pthread_mutex_unlock(&client->mu);
  tether_cause *cause =
      tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "the server is shutting down; the call was not sent");
  for (;;) {
    tth_session *session = tth_conn_lock(conn);
    tether_call *call = session ? tth_session_pop_queued(session) : NULL;
    if (call) call->stream = NULL;
    tth_conn_unlock(conn);
    if (!call) break;
    tth_client_call_unsent(call, TETHER_UNAVAILABLE, cause);
  }
  tether_cause_unref(cause);
  if (current) arm(client, delay);
}

static void on_event(void *owner, tth_conn *conn, tth_event *event) {
  tether_client *client = owner;
  switch (event->type) {
    case TTH_EVENT_HELLO:
      tth_intercept_connected(client->interceptors, conn, false);
      on_hello(client, conn);
      break;
    case TTH_EVENT_GOAWAY:
      on_goaway(client, conn);
      break;
    default:
      tth_client_call_event(event->user, event, &client->limits);
      break;
  }
}

static void on_lost(void *owner, tth_conn *conn, tether_call *call, bool left, const char *why) {
  (void)owner;
  (void)conn;
  tth_client_call_lost(call, left, why);
}

static void on_closed(void *owner, tth_conn *conn, const char *why) {
  tether_client *client = owner;
  tth_intercept_disconnected(client->interceptors, conn, false);
  pthread_mutex_lock(&client->mu);
  remove_conn_locked(client, conn);
  bool current = client->conn == conn, was_ready = client->state == TETHER_READY, closing = client->closing;
  if (current && client->silent) why = "the peer sent no HELLO in time";
  if (current) client->conn = NULL;
  int64_t delay = 0;
  if (current && was_ready && !closing) {
    client->state = TETHER_CONNECTING;
    delay = next_delay_locked(client);
  }
  pthread_mutex_unlock(&client->mu);
  if (current && !closing) {
    if (was_ready)
      arm(client, delay);
    else
      attempt_failed(client, why);
  }
  tth_conn_unref(conn);
  pthread_mutex_lock(&client->mu);
  client->conn_count--;
  pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
}

/* ---- Public -------------------------------------------------------------------------------- */

tether_code tth_client_open_on(const tth_transport *transport, const char *url, const tether_client_options *options,
                               tether_client **result) {
  static const tether_client_options defaults;
  if (!options) options = &defaults;
  if (!url) return TETHER_INVALID_ARGUMENT;
  tether_client *client = calloc(1, sizeof *client);
  if (!client) return TETHER_RESOURCE_EXHAUSTED;
  client->transport = transport;
  client->url = strdup(url);
  client->limits = tth_limits_of(&options->limits);
  client->backoff_initial_ns = options->backoff_initial_ns ? options->backoff_initial_ns : BACKOFF_INITIAL;
  client->backoff_max_ns = options->backoff_max_ns ? options->backoff_max_ns : BACKOFF_MAX;
  client->connect_timeout_ns = options->connect_timeout_ns ? options->connect_timeout_ns : CONNECT_TIMEOUT;
  client->interceptors = options->interceptors && *options->interceptors ? options->interceptors : NULL;
  pthread_mutex_init(&client->mu, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&client->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  tether_code code = client->url ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK && options->tls) code = tth_tls_open(options->tls, true, &client->tls);
  if (code == TETHER_OK) code = transport->dialer_new(url, client->tls, &client->dialer);
  if (code != TETHER_OK) {
    tth_tls_unref(client->tls);
    free(client->url);
    free(client);
    return code;
  }
  *result = client;
  connect_now(client);
  return TETHER_OK;
}

tether_code tether_client_open(const char *url, const tether_client_options *options, tether_client **client) {
  return tth_client_open_on(&tth_transport_nng, url, options, client);
}

static void each_conn(tether_client *client, void (*fn)(tth_conn *conn)) {
  pthread_mutex_lock(&client->mu);
  for (tth_conn *conn = client->conns; conn; conn = tth_conn_node_of(conn)->next) fn(conn);
  pthread_mutex_unlock(&client->mu);
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

/* Waits until there are no connections and no calls; false if there still were at the deadline. */
static bool wait_for_none(tether_client *client, int64_t deadline_ns) {
  struct timespec at = {.tv_sec = (time_t)(deadline_ns / TETHER_SEC), .tv_nsec = (long)(deadline_ns % TETHER_SEC)};
  bool in_time = true;
  pthread_mutex_lock(&client->mu);
  while (in_time && (client->conn_count > 0 || client->calls > 0 || client->waiters > 0))
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
  fail_waiting(client, true, TETHER_CANCELLED, "the client was closed");
  client->transport->dialer_free(client->dialer); /* no new connections from here on */
  end_calls(client);
  each_conn(client, tth_conn_close_gently);
  if (!wait_for_none(client, tether_time_add(tether_now_ns(), TTH_CLOSE_BOUND_NS))) each_conn(client, tth_conn_close);
  (void)wait_for_none(client, TETHER_FOREVER);
  disarm(client);
  pthread_cond_destroy(&client->changed);
  pthread_mutex_destroy(&client->mu);
  tth_tls_unref(client->tls);
  free(client->url);
  tth_large_clear();
  free(client);
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

tether_code tether_client_wait_ready(tether_client *client, const tether_ctx *ctx) {
  tether_after after;
  tether_ctx_after_func(ctx, &after, NULL, wake_waiters, client);
  tth_client_wanted(client);
  tether_code code = TETHER_OK;
  pthread_mutex_lock(&client->mu);
  client->waiters++;
  while (client->state != TETHER_READY && code == TETHER_OK) {
    code = client->closing ? TETHER_CANCELLED : tether_ctx_err(ctx);
    if (code == TETHER_OK) pthread_cond_wait(&client->changed, &client->mu);
  }
  pthread_mutex_unlock(&client->mu);
  tether_after_stop_wait(&after);
  pthread_mutex_lock(&client->mu); /* the last touch: a close waits for it */
  client->waiters--;
  if (client->closing) pthread_cond_broadcast(&client->changed);
  pthread_mutex_unlock(&client->mu);
  return code;
}
