/* One address: attempts to connect, and what its connections report.
 *
 * Happy path: due -> dial -> link -> connection sends HELLO -> peer's HELLO -> READY.
 * Failures: an attempt that fails (refused, handshake, no HELLO in time) makes TRANSIENT_FAILURE and is tried again
 * after gRPC's back-off (doc/connection-backoff.md); the delay counts from the start of the last attempt, so a
 * connection that lived longer is replaced at once. */
#include "rpc/subchannel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/dispatch.h"
#include "rpc/interceptor.h"
#include "rpc/trace.h"

static int64_t jittered(int64_t delay_ns) {
  uint32_t random;
  tth_random(&random, sizeof random);
  return tether_time_add(delay_ns - delay_ns / 5, (int64_t)((double)(delay_ns / 5 * 2) * random / UINT32_MAX));
}

/* Plans the next attempt. */
static void back_off_locked(tth_subchannel *sub) {
  const tether_client *client = sub->client;
  int64_t delay = sub->backoff_ns ? sub->backoff_ns : client->backoff_initial_ns;
  int64_t most = client->backoff_max_ns;
  sub->backoff_ns = delay < most / 8 * 5 ? delay / 5 * 8 : most;
  sub->attempt_ns = tether_time_add(sub->attempted_ns, jittered(delay));
}

/* ---- Attempts ------------------------------------------------------------------------------ */

static void fail_locked(tth_subchannel *sub, const char *why) {
  back_off_locked(sub);
  if (sub->state == TETHER_IDLE) return; /* nobody wants to know */
  sub->state = TETHER_TRANSIENT_FAILURE;
  bool several = sub->client->subchannel_count > 1;
  tth_client_failed_locked(sub->client, "%.120s%s%s", several ? sub->address : "", several ? ": " : "", why);
  tth_addresses_doubt_locked(sub->client);
}

static void on_event(void *owner, tth_conn *conn, tth_event *event);
static void on_lost(void *owner, tth_conn *conn, tether_call *call, tth_out *unsent, const char *why);
static void on_closed(void *owner, tth_conn *conn, const char *why);
static const tth_conn_ops conn_ops = {.event = on_event, .lost = on_lost, .closed = on_closed};

static void on_dialed(void *owner, tth_link *link, const char *why) {
  tth_subchannel *sub = owner;
  tether_client *client = sub->client;
  tth_conn *conn = link ? tth_conn_new(link, TTH_CLIENT, &client->limits, &conn_ops, sub) : NULL;
  pthread_mutex_lock(&client->mu);
  const tth_life_limits life = client->life;
  pthread_mutex_unlock(&client->mu);
  if (conn && life.keepalive_ns != TETHER_FOREVER) tth_conn_set_life(conn, &life, TETHER_FOREVER);
  if (link && !conn) {
    link->ops->free(link);
    why = "out of memory";
  }
  pthread_mutex_lock(&client->mu);
  bool wanted = sub->state != TETHER_IDLE && !client->closing;
  sub->dialing = false;
  if (!conn) fail_locked(sub, why);
  if (conn && wanted) {
    sub->conn = conn;
    sub->silent = false;
    sub->hello_ns = tether_time_add(tether_now_ns(), client->connect_timeout_ns);
    sub->refs++;
    tth_client_add_conn_locked(client, conn);
  }
  pthread_mutex_unlock(&client->mu);
  if (conn && !wanted) {
    tth_conn_unref(conn);
    conn = NULL;
  }
  tth_client_settle(client);
  if (conn) tth_conn_start(conn);
}

bool tth_subchannel_is_trying_locked(const tth_subchannel *sub, int64_t now_ns) {
  if (sub->dialing || sub->conn) return sub->state != TETHER_READY;
  return sub->state != TETHER_IDLE && sub->attempt_ns <= now_ns;
}

int64_t tth_subchannel_act_locked(tth_subchannel *sub, int64_t now_ns) {
  tether_client *client = sub->client;
  if (sub->state == TETHER_IDLE || sub->state == TETHER_READY || sub->dialing) return TETHER_FOREVER;
  if (sub->conn) {
    if (sub->silent || sub->hello_ns > now_ns) return sub->silent ? TETHER_FOREVER : sub->hello_ns;
    sub->silent = true;
    tth_conn_close(sub->conn);
    return TETHER_FOREVER;
  }
  if (sub->attempt_ns > now_ns) return sub->attempt_ns;
  sub->attempted_ns = now_ns;
  sub->dialing = true;
  client->transport->dial(sub->dialer, client->connect_timeout_ns, on_dialed, sub);
  return TETHER_FOREVER;
}

void tth_subchannel_hurry_locked(tth_subchannel *sub) { sub->attempt_ns = INT64_MIN; }

void tth_subchannel_want_locked(tth_subchannel *sub) {
  if (sub->state == TETHER_IDLE) sub->state = TETHER_CONNECTING;
}

void tth_subchannel_rest_locked(tth_subchannel *sub) {
  tth_conn *conn = sub->conn;
  sub->conn = NULL;
  sub->state = TETHER_IDLE;
  tth_balance_drop_locked(sub->client, sub);
  if (conn) tth_conn_leave(conn);
}

/* ---- The connection's events --------------------------------------------------------------- */

void tth_subchannel_leave_locked(tth_subchannel *sub, const tth_conn *conn) {
  if (sub->conn != conn) return;
  sub->conn = NULL;
  sub->state = TETHER_IDLE;
  back_off_locked(sub);
  tth_balance_drop_locked(sub->client, sub);
  tth_addresses_doubt_locked(sub->client);
  tth_client_tell_state_locked(sub->client);
}

static void on_hello(tth_subchannel *sub, tth_conn *conn) {
  tether_client *client = sub->client;
  pthread_mutex_lock(&client->mu);
  if (sub->conn == conn) {
    sub->state = TETHER_READY;
    sub->backoff_ns = 0;
  }
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
}

/* The connection takes nothing new: what it has not accepted goes elsewhere. If that is because it was asked too often
 * for signs of life, the client's next connections, to whichever address, ask half as often as this one did (gRFC A8).
 */
static void on_goaway(tth_subchannel *sub, tth_conn *conn, const tth_event *event) {
  tether_client *client = sub->client;
  pthread_mutex_lock(&client->mu);
  bool calmed = event->keepalive_ns > client->life.keepalive_ns;
  if (calmed) client->life.keepalive_ns = event->keepalive_ns;
  tth_subchannel_leave_locked(sub, conn);
  pthread_mutex_unlock(&client->mu);
  if (calmed)
    fprintf(stderr, "tether: %s was asked for signs of life too often; from now on every %lld ms\n", sub->address,
            (long long)(event->keepalive_ns / TETHER_MS));
  tth_client_settle(client);
  tth_dispatch_take_back(conn, event->stream_id);
}

static void on_event(void *owner, tth_conn *conn, tth_event *event) {
  tth_subchannel *sub = owner;
  switch (event->type) {
    case TTH_EVENT_HELLO:
      tth_intercept_connected(sub->client->interceptors, conn, false);
      on_hello(sub, conn);
      break;
    case TTH_EVENT_GOAWAY:
      on_goaway(sub, conn, event);
      break;
    default:
      tth_client_call_event(event->user, event, &sub->client->limits);
      break;
  }
}

static void on_lost(void *owner, tth_conn *conn, tether_call *call, tth_out *unsent, const char *why) {
  tth_subchannel *sub = owner;
  tether_client *client = sub->client;
  pthread_mutex_lock(&client->mu);
  tth_subchannel_leave_locked(sub, conn); /* before the call looks for another, or its caller at the state */
  pthread_mutex_unlock(&client->mu);
  tth_client_call_lost(call, sub->address, unsent, why);
}

static void on_closed(void *owner, tth_conn *conn, const char *why) {
  tth_subchannel *sub = owner;
  tether_client *client = sub->client;
  tth_intercept_disconnected(client->interceptors, conn, false);
  pthread_mutex_lock(&client->mu);
  tth_client_remove_conn_locked(client, conn);
  if (sub->conn == conn && sub->state == TETHER_READY) {
    tth_subchannel_leave_locked(sub, conn);
  } else if (sub->conn == conn) {
    sub->conn = NULL;
    fail_locked(sub, sub->silent ? "the peer sent no HELLO in time" : why);
  }
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
  tth_conn_unref(conn);
  tth_client_conn_gone(client, sub);
}

/* ---- Life ---------------------------------------------------------------------------------- */

tether_code tth_subchannel_new(tether_client *client, const char *address, tth_subchannel **result) {
  tth_subchannel *sub = calloc(1, sizeof *sub);
  if (!sub) return TETHER_RESOURCE_EXHAUSTED;
  sub->client = client;
  sub->refs = 1;
  sub->state = TETHER_IDLE;
  sub->attempt_ns = INT64_MIN;
  sub->address = strdup(address);
  tether_code code =
      sub->address ? client->transport->dialer_new(address, client->tls, &sub->dialer) : TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK)
    *result = sub;
  else
    tth_subchannel_unref_locked(sub);
  return code;
}

void tth_subchannel_stop(tth_subchannel *sub) {
  sub->client->transport->dialer_free(sub->dialer);
  sub->dialer = NULL;
}

void tth_subchannel_unref_locked(tth_subchannel *sub) {
  if (!sub || --sub->refs > 0) return;
  free(sub->address);
  free(sub);
}
