/* The end of a client's call.
 *
 * Happy path: whoever ends the call first (its answer, its context, the loss of its connection, a failure to send it)
 * moves it to ENDING, takes it from wherever it is, writes the results, and completes: interceptors, ENDED, waiters,
 * callback, group. If the call had left, taking it from its connection makes the session tell the server; if nothing
 * has left yet, the session forgets it. An attempt that a policy lets be made again ends in the same way but for the
 * last step (rpc/retrying.h).
 * Failures: each kind of end is one of tth_client_call_end, _fail and _expire; one that comes second changes nothing.
 * Without memory there is no message. */
#include <stdio.h>

#include "rpc/client_call.h"
#include "rpc/dispatch.h"
#include "rpc/hedge.h"
#include "rpc/interceptor.h"
#include "rpc/retrying.h"

/* How long the tree below may take to stop, if anybody waits for that; what is kept back is for the answer's way. */
static int64_t wait_below_ns(tether_call *call) {
  int64_t wait_ns = atomic_load(&call->c.wait_ns);
  if (wait_ns == 0 && call->c.attempt_of) wait_ns = tth_hedge_wait_ns(call->c.attempt_of);
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
    bool queued = call->stream && call->stream->state == TTH_STREAM_QUEUED;
    if (call->stream) {
      phase = queued ? TETHER_PHASE_QUEUED_HERE : TETHER_PHASE_WAITING;
      call->c.left_ns = call->stream->left_ns;
    } else if (opened) { /* its answer is here, or the loss of its connection, and about to be told */
      phase = TETHER_PHASE_WAITING;
      if (call->c.left_ns == 0) call->c.left_ns = call->c.started_ns;
    }
    /* One that has not left is forgotten also by a connection that is lost, which would give it back. */
    if (call->stream && (session || queued)) {
      unref_stream = !tth_session_cancel(tth_conn_session(conn), call->stream, cause, wait_below_ns(call));
      call->stream = NULL;
    }
    tth_conn_unlock(conn);
  }
  if (unref_stream || !opened) tth_client_call_note_gone(call, TTH_GONE_UNSENT, 0);
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

void tth_client_call_publish(tether_call *call) {
  tether_call_done_fn done = call->c.done;
  tether_call_ref(call); /* a waiter may release the call as soon as it has ended */
  tth_call_ended(call);
  if (done) done(call, call->c.done_data);
  if (call->c.group) leave_group(call);
  tth_client_call_let_go(call);
  tether_call_unref(call);
}

void tth_client_call_complete(tether_call *call) {
  if (call->c.retrying) tth_retrying_stop(call);
  bool between = call->c.retrying && atomic_load(&call->c.retrying->waiting); /* its attempts are counted */
  bool again = call->c.retrying && atomic_load(&call->c.retrying->left) > 0;
  if (!between) tth_client_count(call->c.client, call->code, atomic_load(&call->c.gone) != TTH_GONE_UNSENT, again);
  if (tether_after_stop(&call->c.after)) tether_call_unref(call); /* the registration's reference */
  if (call->c.client->interceptors) tth_intercept_end(call);
  tth_client_call_tell_gone(call);
  tth_client_call_publish(call);
}

static void finish(tether_call *call) {
  tth_client_call_record(call);
  tth_client_call_complete(call);
}

/* Takes the call from wherever it is, and writes the results of what ended. */
static void conclude(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  (void)release(call, cause);
  call->code = code;
  call->cause = tether_cause_ref(cause);
  tth_call_set_message(call, message);
}

void tth_client_call_end(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  if (!tth_call_try_end(call)) return;
  if (call->pipe) tth_pipe_cut(call->pipe);
  conclude(call, code, message, cause);
  finish(call);
}

/* The caller has the call ENDING. */
static void fail(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  conclude(call, code, message, cause);
  if (call->c.retrying && tth_retrying_ended(call)) return;
  if (call->pipe) tth_pipe_cut(call->pipe);
  finish(call);
}

void tth_client_call_fail(tether_call *call, tether_code code, const char *message, const tether_cause *cause) {
  if (tth_call_try_end(call)) fail(call, code, message, cause);
}

void tth_client_call_fail_gone(tether_call *call, uint32_t gone, uint32_t running, tether_code code,
                               const char *message, const tether_cause *cause) {
  if (tth_call_try_end(call)) {
    tth_client_call_note_gone(call, gone, running);
    fail(call, code, message, cause);
  } else {
    tether_call_wait(call); /* whoever ends it is about to put it on record */
    tth_client_call_mark_gone(call, gone, running);
  }
}

/* What the server is told. A deadline's own cause may be of any code; the server must know that it was a deadline, or
 * it would record another status than the caller. */
static tether_cause *deadline_cause(tether_code code, const tether_cause *cause) {
  if (code != TETHER_DEADLINE_EXCEEDED || tether_cause_get_code(cause) == TETHER_CAUSE_DEADLINE)
    return tether_cause_ref(cause);
  return tether_cause_new(TETHER_CAUSE_DEADLINE, tether_cause_origin(cause), tether_cause_text(cause));
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
    tth_client_call_explain_unanswered(call, phase);
  } else {
    char message[512];
    snprintf(message, sizeof message, "%s (cause %s, from %s)", tether_cause_text(cause),
             tether_cause_code_name(tether_cause_get_code(cause)), tether_cause_origin(cause));
    tth_call_set_message(call, message);
  }
  finish(call);
}

void tether_call_cancel(tether_call *call, const tether_cause *cause) {
  if (call->role != TTH_CLIENT || !call->root) return;
  tether_ctx_cancel_cause(call->root, cause);
  /* Its deadline may have come first, and whoever noticed that has left it to the timer to tell. */
  if (!tth_call_is_running(call)) return;
  if (call->c.hedge)
    tth_hedge_expire(call->c.hedge);
  else
    tth_client_call_expire(call);
}

void tth_client_call_dropped(tether_call *call) { tth_client_call_mark_gone(call, TTH_GONE_UNSENT, 0); }

void tth_client_call_lost(tether_call *call, const char *address, tth_out *unsent, const char *why) {
  if (unsent && !call->conn) {
    tth_dispatch_again(call, unsent);
  } else {
    /* What runs at a peer that nobody hears of any more counts as running. */
    uint32_t gone = unsent ? TTH_GONE_UNSENT : TTH_GONE_LOST, running = unsent ? 0 : 1;
    tth_out_free(unsent);
    char message[512];
    tether_client *client = call->c.client;
    pthread_mutex_lock(&client->mu);
    bool closing = client->closing;
    pthread_mutex_unlock(&client->mu);
    snprintf(message, sizeof message, "the connection to %s was lost: %s", address, why);
    tether_cause *cause = closing ? NULL : tether_cause_new(TETHER_CAUSE_PEER_LOST, NULL, message);
    tth_client_call_fail_gone(call, gone, running, closing ? TETHER_CANCELLED : TETHER_UNAVAILABLE,
                              closing ? "the client was closed" : message, cause);
    tether_cause_unref(cause);
  }
  tether_call_unref(call);
}
