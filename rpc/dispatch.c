/* From a packed call to a connection.
 *
 * Happy path: the client has a connection that is READY -> the call's stream is opened on it. Else the call waits in
 * the client's list, in order, until there is one. Failures: the client is in TRANSIENT_FAILURE and the call did not
 * ask to wait for better: UNAVAILABLE; the request is more than the peer takes; the connection is lost in between. */
#include "rpc/dispatch.h"

#include <stdio.h>
#include <stdlib.h>

#include "rpc/retrying.h"

/* HEADERS are one frame, which must fit into a batch beside a short message. */
#define HEADERS_MOST (TTH_BATCH_MAX / 2)

/* Opens the call's stream; what keeps it from being sent on this connection is said in *why. The lock is held. */
static tether_code open_stream(tether_call *call, tth_session *session, tth_out **out, const char **why) {
  const tether_limits *peer = tth_session_peer_limits(session);
  const tth_out *body = (*out)->next;
  size_t head = tth_get32((*out)->data);
  size_t rest = (*out)->len - TTH_FRAME_HEADER - head; /* a short request's frame */
  size_t body_len = body ? body->len : rest ? rest - TTH_FRAME_HEADER : 0;
  *why = "the server is shutting down; the call was not sent";
  if (tth_session_going_away(session)) return TETHER_UNAVAILABLE;
  *why = "a token is not sent where others can read it: use tls+tcp, wss or ipc";
  if (call->c.secret && !tth_conn_confidential(call->conn)) return TETHER_UNAUTHENTICATED;
  *why = "the metadata, values and trace are larger than one frame takes";
  if (head > HEADERS_MOST) return TETHER_RESOURCE_EXHAUSTED;
  *why = "the request is larger than the server takes";
  if (body_len > peer->max_message_bytes) return TETHER_RESOURCE_EXHAUSTED;
  *why = "the metadata is larger than the server takes";
  if (call->c.metadata_bytes > peer->max_metadata_bytes) return TETHER_RESOURCE_EXHAUSTED;
  *why = "out of memory";
  if (tth_conn_opening(call->conn, call->c.lone)) call->c.leads = call->conn;
  call->stream = tth_session_open(session, call, *out);
  if (!call->stream) return TETHER_RESOURCE_EXHAUSTED;
  tether_call_ref(call);
  call->c.opened = true;
  tth_recorder_call_opened(call->c.recorder);
  *out = NULL;
  return TETHER_OK;
}

/* How the placing of a call has ended. */
static void settle(tether_call *call, tether_code code, const char *why) {
  if (call->pipe && code == TETHER_OK) tth_pipe_writable(call);
  if (code == TETHER_UNAVAILABLE)
    tth_client_call_fail(call, code, why, NULL);
  else if (code != TETHER_OK)
    tth_client_call_end(call, code, why, NULL);
}

/* The call is sent on the connection it was assigned, or ended. false: that takes no calls any more; the call is on
 * none, and *out still the caller's. */
static bool place(tether_call *call, tth_conn *conn, tth_out **out) {
  const char *why = "the connection was lost, and so were too many before";
  tether_code code = TETHER_UNAVAILABLE;
  tth_session *session = tth_conn_lock(conn);
  bool gone = !session || tth_session_going_away(session);
  if (gone && tth_call_is_running(call) && tth_client_call_detach_locked(call)) {
    tth_conn_unlock(conn);
    return false;
  }
  /* A call that has ended meanwhile is not sent: whoever ended it has looked for its stream, or will, under this lock.
   */
  if (!gone || !tth_call_is_running(call))
    code = tth_call_is_running(call) ? open_stream(call, session, out, &why) : TETHER_OK;
  bool opened = !gone && code == TETHER_OK && call->stream;
  if (opened && call->c.retrying && !call->c.whole && !tth_retrying_replay_locked(call, session)) {
    code = TETHER_RESOURCE_EXHAUSTED;
    why = "out of memory";
  }
  if (!gone && code == TETHER_OK && !tth_client_call_send_close_locked(call, session)) {
    code = TETHER_RESOURCE_EXHAUSTED;
    why = "out of memory";
  }
  tth_conn_unlock(conn);
  tth_out_free(*out);
  settle(call, code, why);
  return true;
}

/* The connection has turned out to take no calls. */
static void leave(tether_client *client, tth_conn *conn) {
  pthread_mutex_lock(&client->mu);
  for (size_t i = 0; i < client->balance.ready_count; i++)
    if (client->balance.ready[i]->conn == conn) tth_subchannel_leave_locked(client->balance.ready[i], conn);
  pthread_mutex_unlock(&client->mu);
  tth_client_settle(client);
}

/* ---- Waiting calls ------------------------------------------------------------------------- */

void tth_dispatch_forget_locked(tether_client *client, tether_call *call) {
  if (!call->c.waiting) return;
  call->c.waiting = false;
  *(call->c.wait_prev ? &call->c.wait_prev->c.wait_next : &client->wait_first) = call->c.wait_next;
  *(call->c.wait_next ? &call->c.wait_next->c.wait_prev : &client->wait_last) = call->c.wait_prev;
}

static void wait_locked(tether_client *client, tether_call *call, tth_out *out) {
  tether_call_ref(call);
  call->c.out = out;
  call->c.waiting = true;
  call->c.lone = false; /* another thread will send it */
  call->c.wait_prev = client->wait_last;
  call->c.wait_next = NULL;
  *(client->wait_last ? &client->wait_last->c.wait_next : &client->wait_first) = call;
  client->wait_last = call;
}

/* Takes a call off the list with its request; the list's reference goes to the caller. */
static tth_out *take_locked(tether_client *client, tether_call *call) {
  tth_out *out = call->c.out;
  tth_dispatch_forget_locked(client, call);
  call->c.out = NULL;
  return out;
}

static void end_waiting(tether_call *call, tth_out *out, tether_code code, const char *message) {
  tth_out_free(out);
  if (code == TETHER_UNAVAILABLE)
    tth_client_call_fail(call, code, message, NULL);
  else
    tth_client_call_end(call, code, message, NULL);
  tether_call_unref(call);
}

/* What a call that does not wait fails with. */
static void say_unavailable_locked(const tether_client *client, char *message, size_t size) {
  snprintf(message, size, "no connection to %.256s: %s", client->target,
           client->last_error ? client->last_error : "not yet");
}

void tth_dispatch_waiting(tether_client *client) {
  for (;;) {
    char message[TTH_CLIENT_WHY + 512];
    tth_out *out = NULL;
    pthread_mutex_lock(&client->mu);
    tth_conn *conn = tth_balance_pick_locked(client);
    tether_call *call = client->closing ? NULL : client->wait_first; /* whoever closes ends them */
    if (!conn) {
      while (call && (call->c.wait_for_ready || client->state != TETHER_TRANSIENT_FAILURE)) call = call->c.wait_next;
      if (call) say_unavailable_locked(client, message, sizeof message);
    }
    if (call) out = take_locked(client, call);
    if (call && conn && tth_call_is_running(call)) call->conn = tth_conn_ref(conn);
    pthread_mutex_unlock(&client->mu);
    if (!call) break;
    if (conn && call->conn != conn) { /* it has ended, and would have taken itself off the list */
      tth_client_call_dropped(call);
      tth_out_free(out);
    } else if (conn && !place(call, conn, &out)) {
      leave(client, conn);
      tth_dispatch(call, out);
    }
    if (conn)
      tether_call_unref(call);
    else
      end_waiting(call, out, TETHER_UNAVAILABLE, message);
  }
}

void tth_dispatch_cancel_waiting(tether_client *client) {
  for (;;) {
    tth_out *out = NULL;
    pthread_mutex_lock(&client->mu);
    tether_call *call = client->wait_first;
    if (call) out = take_locked(client, call);
    pthread_mutex_unlock(&client->mu);
    if (!call) break;
    end_waiting(call, out, TETHER_CANCELLED, "the client was closed");
  }
}

/* ---- New calls ----------------------------------------------------------------------------- */

/* Gives the call a connection. NULL: none is READY, and the call waits, or has ended, or is to end with *code; *out is
 * used up. */
static tth_conn *assign(tether_call *call, tth_out **out, tether_code *code, char *message, size_t size) {
  tether_client *client = call->c.client;
  bool dropped = false;
  pthread_mutex_lock(&client->mu);
  client->used = call->c.dispatched = true;
  tth_conn *conn = client->closing ? NULL : tth_balance_pick_locked(client);
  if (!tth_call_is_running(call)) {
    conn = NULL;
    dropped = true; /* whoever ended it has found it nowhere, or is about to */
  } else if (client->closing) {
    *code = TETHER_CANCELLED;
    snprintf(message, size, "the client was closed");
  } else if (conn) {
    call->conn = tth_conn_ref(conn);
  } else if (client->state == TETHER_TRANSIENT_FAILURE && !call->c.wait_for_ready) {
    *code = TETHER_UNAVAILABLE;
    say_unavailable_locked(client, message, size);
  } else {
    wait_locked(client, call, *out);
    *out = NULL;
  }
  pthread_mutex_unlock(&client->mu);
  if (conn) return conn;
  if (dropped) tth_client_call_dropped(call);
  tether_client_connect(client);
  tth_out_free(*out);
  return NULL;
}

/* A connection that nobody has looked after may have brought the news that it takes no calls: what has come is received
 * first. For threads that may block. false: it has ended. */
static bool catch_up(tth_conn *conn) {
  tth_wait_result pull = TTH_WAIT_CAME;
  while (pull == TTH_WAIT_CAME) pull = tth_conn_catch_up(conn);
  return pull != TTH_WAIT_END;
}

void tth_dispatch(tether_call *call, tth_out *out) {
  char message[TTH_CLIENT_WHY + 512];
  tether_code code = TETHER_OK;
  for (tth_conn *conn; (conn = assign(call, &out, &code, message, sizeof message));) {
    if (call->c.lone && !catch_up(conn)) tth_conn_leave(conn);
    if (place(call, conn, &out)) return;
    leave(call->c.client, conn);
  }
  settle(call, code, message);
}

/* ---- Calls that were not accepted ---------------------------------------------------------- */

bool tth_client_call_detach_locked(tether_call *call) {
  struct tth_moves *moves = call->c.moves;
  call->stream = NULL;
  if (!moves) moves = call->c.moves = calloc(1, sizeof *moves);
  if (!moves || moves->count == TTH_MOVES_MOST) return false;
  moves->from[moves->count++] = call->conn;
  call->conn = NULL;
  call->c.opened = call->c.lone = false; /* another thread may send it */
  return true;
}

void tth_dispatch_again(tether_call *call, tth_out *out) {
  tth_recorder_call_closed(call->c.recorder, 0);
  if (call->c.leads) tth_call_let_leader_go(call);
  call->c.whole = true;
  tth_dispatch(call, out);
}

/* Takes one back. false: there is none. */
static bool take_back(tth_conn *conn, bool queued, uint32_t last_stream) {
  tth_out *out = NULL;
  bool detached = false;
  tth_session *session = tth_conn_lock(conn);
  tether_call *call = NULL;
  if (session)
    call = queued ? tth_session_take_queued(session, &out) : tth_session_take_back(session, last_stream, &out);
  if (call) detached = tth_client_call_detach_locked(call);
  tth_conn_unlock(conn);
  if (!call) return false;
  if (detached) {
    tth_dispatch_again(call, out);
  } else {
    tth_out_free(out);
    tth_client_call_fail_gone(call, TTH_GONE_UNSENT, 0, TETHER_UNAVAILABLE,
                              "the call was taken off too many connections", NULL);
  }
  tether_call_unref(call);
  return true;
}

void tth_dispatch_take_back(tth_conn *conn, uint32_t last_stream) {
  while (take_back(conn, false, last_stream)) continue;
}

void tth_dispatch_take_queued(tth_conn *conn) {
  while (take_back(conn, true, 0)) continue;
  tth_conn_leave(conn);
}

bool tth_dispatch_refused(tether_call *call, tth_out **kept) {
  tth_conn *conn = call->conn;
  if (!*kept || call->c.refused) return false;
  (void)tth_conn_lock(conn);
  bool detached = tth_call_is_running(call) && tth_client_call_detach_locked(call);
  tth_conn_unlock(conn);
  if (!detached) return false;
  tth_out *out = *kept;
  *kept = NULL;
  call->c.refused = true;
  tth_dispatch_again(call, out);
  return true;
}
