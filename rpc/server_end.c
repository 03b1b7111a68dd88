/* The server's end.
 *
 * Happy path: who wants to know is told; listeners go; then every connection drains (session_life.c), so that what
 * clients had sent meanwhile is accepted; accepted calls may finish within the grace; the rest are cancelled with cause
 * SHUTDOWN; when the last handler has returned and the answers have left, connections close. A peer that does not
 * answer the drain is waited for 5 s, one that does not read its answers is cut off after a second. */
#include <stdlib.h>
#include <time.h>

#include "rpc/large.h"
#include "rpc/real_time.h"
#include "rpc/server.h"
#include "rpc/tls.h"

/* How long a drain waits for the slowest peer. */
#define DRAIN_BOUND_NS (5 * TETHER_SEC)

/* Waits for *count to become 0 until the deadline, which is in real time; false if it did not. */
static bool wait_for_none(tether_server *server, const _Atomic size_t *count, int64_t deadline_ns) {
  struct timespec at = {.tv_sec = (time_t)(deadline_ns / TETHER_SEC), .tv_nsec = (long)(deadline_ns % TETHER_SEC)};
  bool in_time = true;
  pthread_mutex_lock(&server->mu);
  while (*count > 0 && in_time) {
    if (deadline_ns == TETHER_FOREVER)
      pthread_cond_wait(&server->changed, &server->mu);
    else
      in_time = pthread_cond_timedwait(&server->changed, &server->mu, &at) == 0;
  }
  bool none = *count == 0;
  pthread_mutex_unlock(&server->mu);
  return none;
}

/* A call of the book that has not been told of the shutdown, referenced. One whose HEADERS are still being read is left
 * to the thread that does: it ends there, or is found later. */
static tether_call *untold(tth_book *book) {
  pthread_mutex_lock(&book->mu);
  tether_call *call = book->first;
  while (call && (call->s.told || !atomic_load(&call->s.read))) call = call->s.next;
  if (call) {
    call->s.told = true;
    tether_call_ref(call);
  }
  pthread_mutex_unlock(&book->mu);
  return call;
}

/* The next such call; waits for one. NULL once there are no calls. */
static tether_call *next_to_cancel(tether_server *server) {
  tether_call *call = NULL;
  pthread_mutex_lock(&server->mu);
  while (server->calls > 0) {
    for (size_t i = 0; i < TTH_BOOKS && !call; i++) call = untold(&server->books[i]);
    if (call) break;
    pthread_cond_wait(&server->changed, &server->mu);
  }
  pthread_mutex_unlock(&server->mu);
  return call;
}

void tether_server_on_drain(tether_server *server, tether_drain_hook *hook) {
  pthread_mutex_lock(&server->mu);
  hook->next = server->drain_hooks;
  server->drain_hooks = hook;
  pthread_mutex_unlock(&server->mu);
}

static void call_drain_hooks(tether_server *server) {
  pthread_mutex_lock(&server->mu);
  tether_drain_hook *hook = server->drain_hooks;
  server->drain_hooks = NULL;
  pthread_mutex_unlock(&server->mu);
  for (; hook; hook = hook->next) hook->fn(hook->data);
}

static void stop_listening(tether_server *server) {
  pthread_mutex_lock(&server->mu);
  server->stopping = true;
  tth_listener **listeners = server->listeners;
  size_t count = server->listener_count;
  server->listeners = NULL;
  server->listener_count = 0;
  pthread_mutex_unlock(&server->mu);
  for (size_t i = 0; i < count; i++) server->transport->listener_free(listeners[i]);
  free(listeners);
}

/* fn for every connection, with the server's lock held: it may take the connection's and send, which never call back.
 */
static void each_conn(tether_server *server, void (*fn)(tth_conn *conn)) {
  pthread_mutex_lock(&server->mu);
  for (tth_conn *conn = server->conns; conn; conn = tth_conn_node_of(conn)->next) fn(conn);
  pthread_mutex_unlock(&server->mu);
}

static void go_away(tth_conn *conn) {
  tth_session *session = tth_conn_lock(conn);
  if (session) tth_session_goaway(session, "graceful_stop");
  tth_conn_unlock(conn);
}

/* Drains every connection, until all have or the deadline is there. */
static void drain(tether_server *server, int64_t deadline_ns) {
  int64_t now_ns = tether_now_ns(), bound_ns = tether_time_add(tth_real_now_ns(), DRAIN_BOUND_NS);
  pthread_mutex_lock(&server->mu);
  for (tth_conn *conn = server->conns; conn; conn = tth_conn_node_of(conn)->next) {
    tth_session *session = tth_conn_lock(conn);
    if (session) tth_session_drain(session, "graceful_stop", now_ns);
    tth_conn_node_of(conn)->draining = session && !tth_session_going_away(session);
    server->draining += tth_conn_node_of(conn)->draining;
    tth_conn_unlock(conn);
  }
  pthread_mutex_unlock(&server->mu);
  (void)wait_for_none(server, &server->draining, bound_ns < deadline_ns ? bound_ns : deadline_ns);
}

void tether_server_shutdown(tether_server *server, int64_t grace_ns) {
  call_drain_hooks(server);
  int64_t deadline_ns = tether_time_add(tth_real_now_ns(), grace_ns);
  stop_listening(server);
  if (grace_ns > 0) drain(server, deadline_ns);
  each_conn(server, go_away);
  if (!wait_for_none(server, &server->calls, deadline_ns)) {
    tether_cause *cause = tether_cause_new(TETHER_CAUSE_SHUTDOWN, NULL, "the server is shutting down");
    for (tether_call *call; (call = next_to_cancel(server));) {
      tth_server_call_cancel(call, cause);
      tether_call_unref(call);
    }
    tether_cause_unref(cause);
  }
  each_conn(server, tth_conn_close_gently);
  if (!wait_for_none(server, &server->conn_count, tether_time_add(tth_real_now_ns(), TTH_CLOSE_BOUND_NS)))
    each_conn(server, tth_conn_close);
  (void)wait_for_none(server, &server->conn_count, TETHER_FOREVER);
}

void tether_server_close(tether_server *server) {
  if (!server) return;
  tether_server_shutdown(server, 0);
  tether_pool_close(server->pool);
  pthread_cond_destroy(&server->changed);
  for (size_t i = 0; i < TTH_BOOKS; i++) pthread_mutex_destroy(&server->books[i].mu);
  pthread_mutex_destroy(&server->mu);
  tth_tls_unref(server->tls);
  free(server->routes);
  for (tth_needs *needs; (needs = server->needs); free(needs)) {
    server->needs = needs->next;
    for (size_t i = 0; i < needs->count; i++) tth_need_fini(&needs->of[i]);
  }
  tth_large_clear();
  free(server);
}
