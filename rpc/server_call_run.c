/* A server's call and its handler.
 *
 * Happy path: HEADERS have made the call's context, and the request is there (a stream's handler starts without it) ->
 * `taken` -> the handler, inline or on the pool -> its status ends the call, now or, if it defers, later.
 * Failures: a handler is never run when the context has ended before it, in the pool's queue or while the request was
 * missing, or when admission sheds the call. `taken` decides between the handler and whoever ends the call without. */
#include <stddef.h>

#include "rpc/interceptor.h"
#include "rpc/server_call.h"

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The worker, if it has one, is about to be free: what the answer makes the client send may find it so. */
static void leave_worker(tether_call *call) {
  if (call->s.server->sheds && !(call->method->flags & TETHER_METHOD_INLINE)) tth_server_call_returned(call);
}

static void run_handler(tether_call *call) {
  if (tether_ctx_err(call->root) != TETHER_OK) {
    leave_worker(call);
    tth_server_call_end(call, TETHER_CANCELLED, NULL);
    return;
  }
  call->s.began_ns = tether_now_ns();
  tth_recorder_start(call->s.recorder, call->s.began_ns);
  atomic_fetch_add_explicit(&call->s.route->started, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&call->s.route->running, 1, memory_order_relaxed);
  /* The handler may finish a deferred call before it returns. */
  tether_call_ref(call);
  tether_code code = call->s.handler(call->ctx, call, call->request, call->reply, call->s.service, call->s.data);
  leave_worker(call);
  if (!call->s.deferred) {
    bool known = code >= TETHER_OK && code <= TETHER_UNAUTHENTICATED;
    tth_server_call_end(call, known ? code : TETHER_UNKNOWN, code == TETHER_OK ? NULL : call->s.fail_message);
  }
  tether_call_unref(call);
}

static void run_task(tether_task *task) {
  tether_call *call = CONTAINER(task, tether_call, s.task);
  const char *why = call->s.server->sheds ? tth_server_call_starts(call) : NULL;
  if (why) {
    leave_worker(call);
    tth_server_call_shed(call, why);
  } else {
    run_handler(call);
  }
  tether_call_unref(call);
}

/* The context of a stream ended: a cut, or the handler's own return. */
static void on_ctx_done(void *data) {
  tether_call *call = data;
  tth_pipe_wake(call);
  tether_call_unref(call);
}

/* The time was over, or something else ended the context, before the request was there. */
static void on_unfed(void *data) {
  tether_call *call = data;
  tth_server_call_end_unhandled(call, TETHER_DEADLINE_EXCEEDED, "the deadline passed before the request had come");
  tether_call_unref(call);
}

void tth_server_call_expect(tether_call *call) {
  tether_call_ref(call);
  call->s.expecting = true;
  tether_ctx_after_func(call->root, &call->s.after, NULL, on_unfed, call);
}

/* The request has come. False: too late, on_unfed has run or does. */
static bool stop_expecting(tether_call *call) {
  if (!tether_after_stop(&call->s.after)) return false;
  tether_call_unref(call);
  return true;
}

void tth_server_call_run(tether_call *call, size_t request_bytes) {
  if (atomic_exchange(&call->s.taken, true)) return;
  if (call->request) tth_intercept_message(call, false, request_bytes); /* from here on nobody ends it beside this */
  if (call->s.expecting && !stop_expecting(call)) {
    tth_server_call_end(call, TETHER_CANCELLED, NULL);
    return;
  }
  if (call->pipe) {
    tether_call_ref(call); /* until the context ends, which it does with the call at the latest */
    tether_ctx_after_func(call->root, &call->s.after, NULL, on_ctx_done, call);
  }
  if (call->method->flags & TETHER_METHOD_INLINE) {
    run_handler(call);
    return;
  }
  tether_call_ref(call);
  if (call->s.server->sheds) tth_server_call_queued(call);
  call->s.task.run = run_task;
  tether_executor *pool = tether_pool_executor(call->s.server->pool);
  pool->submit(pool, &call->s.task);
}
