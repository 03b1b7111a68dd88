/* The receiving queue of a streaming call, and its wake-ups.
 *
 * Two ways of waiting, on one state: blocking forms sleep on `changed`; try forms leave a mark (recv_refused,
 * send_refused), which whoever changes the state exchanges for one call of `ready`, after the lock was dropped. */
#include "rpc/pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/call.h"
#include "rpc/large.h"

tth_pipe *tth_pipe_new(size_t max_unpacked_bytes) {
  tth_pipe *pipe = calloc(1, sizeof *pipe);
  if (!pipe) return NULL;
  pipe->max_unpacked_bytes = max_unpacked_bytes;
  pipe->max_send_bytes = SIZE_MAX;
  pipe->last_next = &pipe->first;
  pthread_mutex_init(&pipe->mu, NULL);
  pthread_cond_init(&pipe->changed, NULL);
  tth_arena_init(&pipe->arena, pipe->arena_memory, sizeof pipe->arena_memory, SIZE_MAX);
  return pipe;
}

void tth_in_free(tth_in *in) {
  while (in) {
    tth_in *next = in->next;
    tth_large_free(in->owned);
    free(in);
    in = next;
  }
}

void tth_pipe_free(tth_pipe *pipe) {
  if (!pipe) return;
  tth_in_free(pipe->first);
  tth_arena_fini(&pipe->arena);
  pthread_cond_destroy(&pipe->changed);
  pthread_mutex_destroy(&pipe->mu);
  free(pipe);
}

/* Wakes the blocked, drops the lock, and calls `ready` for the reasons in `what` (a set). */
static void unlock_and_tell(tether_call *call, unsigned what) {
  tth_pipe *pipe = call->pipe;
  tether_call_ready_fn ready = pipe->ready;
  void *data = pipe->ready_data;
  if (!pipe->recv_refused) what &= ~(unsigned)TETHER_CAN_RECV;
  if (!pipe->send_refused) what &= ~(unsigned)TETHER_CAN_SEND;
  if (what & TETHER_CAN_RECV) pipe->recv_refused = false;
  if (what & TETHER_CAN_SEND) pipe->send_refused = false;
  if (!ready || !(pipe->initial_known || pipe->over) || pipe->initial_told || call->role == TTH_SERVER)
    what &= ~(unsigned)TETHER_HAS_INITIAL;
  if (what & TETHER_HAS_INITIAL) pipe->initial_told = true;
  pthread_cond_broadcast(&pipe->changed);
  pthread_mutex_unlock(&pipe->mu);
  if (what == 0 || !ready) return;
  tether_call_ref(call); /* a callback may release the call */
  if (what & TETHER_HAS_INITIAL) ready(call, TETHER_HAS_INITIAL, data);
  if (what & TETHER_CAN_RECV) ready(call, TETHER_CAN_RECV, data);
  if (what & TETHER_CAN_SEND) ready(call, TETHER_CAN_SEND, data);
  tether_call_unref(call);
}

bool tth_pipe_push(tether_call *call, tth_event *event) {
  tth_pipe *pipe = call->pipe;
  tth_in *in = malloc(sizeof *in + (event->owned ? 0 : event->len));
  if (!in) return false;
  *in = (tth_in){.owned = event->owned, .len = event->len, .cost = event->cost};
  if (!event->owned && event->len) memcpy(in->data, event->bytes, event->len);
  in->bytes = event->owned ? event->owned : in->data;
  event->owned = NULL;
  pthread_mutex_lock(&pipe->mu);
  pipe->initial_known = true;
  if (event->end) pipe->no_more = true;
  if (pipe->cut || pipe->fault != TETHER_OK) {
    tth_in_free(in);
  } else {
    *pipe->last_next = in;
    pipe->last_next = &in->next;
  }
  unlock_and_tell(call, TETHER_CAN_RECV | TETHER_HAS_INITIAL);
  return true;
}

void tth_pipe_no_more(tether_call *call) {
  pthread_mutex_lock(&call->pipe->mu);
  call->pipe->no_more = true;
  unlock_and_tell(call, TETHER_CAN_RECV);
}

static void set_fault_locked(tth_pipe *pipe, tether_code code, const char *why) {
  if (pipe->fault != TETHER_OK) return;
  pipe->fault = code;
  snprintf(pipe->fault_why, sizeof pipe->fault_why, "%s", why);
}

void tth_pipe_fault(tether_call *call, tether_code code, const char *why) {
  pthread_mutex_lock(&call->pipe->mu);
  set_fault_locked(call->pipe, code, why);
  unlock_and_tell(call, TETHER_CAN_RECV);
}

void tth_pipe_alone(tether_call *call) {
  tth_pipe *pipe = call->pipe;
  pthread_mutex_lock(&pipe->mu);
  if (!pipe->no_more) set_fault_locked(pipe, TETHER_CANCELLED, "its caller has gone");
  pipe->send_tick++;
  unlock_and_tell(call, TETHER_CAN_RECV | TETHER_CAN_SEND);
}

void tth_pipe_initial(tether_call *call) {
  pthread_mutex_lock(&call->pipe->mu);
  call->pipe->initial_known = true;
  unlock_and_tell(call, TETHER_HAS_INITIAL);
}

void tth_pipe_writable(tether_call *call) {
  pthread_mutex_lock(&call->pipe->mu);
  call->pipe->send_tick++;
  unlock_and_tell(call, TETHER_CAN_SEND);
}

void tth_pipe_wake(tether_call *call) {
  pthread_mutex_lock(&call->pipe->mu);
  call->pipe->over = true;
  call->pipe->send_tick++;
  unlock_and_tell(call, TETHER_CAN_RECV | TETHER_CAN_SEND | TETHER_HAS_INITIAL);
}

void tth_pipe_cut(tth_pipe *pipe) {
  pthread_mutex_lock(&pipe->mu);
  tth_in *dropped = pipe->first;
  pipe->cut = true;
  pipe->first = NULL;
  pipe->last_next = &pipe->first;
  pthread_mutex_unlock(&pipe->mu);
  tth_in_free(dropped);
}
