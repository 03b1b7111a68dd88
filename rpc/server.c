/* The server: routes, listeners, connections.
 *
 * Happy path: open -> add -> listen -> a peer is accepted -> connection -> calls (server_call.c). Its end is in
 * server_end.c. */
#include "rpc/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/interceptor.h"
#include "rpc/tls.h"
#include "rpc/trace.h"

/* Threads for handlers. */
#define WORKERS 64

/* Connections beyond the limit that are being told so; more are closed without a word. */
#define TURNED_AWAY_MOST 64

static int64_t or_default(int64_t given_ns, int64_t default_ns) { return given_ns > 0 ? given_ns : default_ns; }

/* What the options say of connections, with defaults. */
static void read_life(tether_server *server, const tether_server_options *options) {
  server->life = (tth_life_limits){
      .keepalive_ns = or_default(options->keepalive.time_ns, 2 * 3600 * TETHER_SEC),
      .keepalive_timeout_ns = or_default(options->keepalive.timeout_ns, 20 * TETHER_SEC),
      .permit_ns = or_default(options->permit_keepalive_time_ns, 300 * TETHER_SEC),
      .permit_without_calls = options->permit_keepalive_without_calls,
      .hello_ns = or_default(options->handshake_timeout_ns, 10 * TETHER_SEC),
      .idle_ns = or_default(options->max_connection_idle_ns, TETHER_FOREVER),
      .age_grace_ns = or_default(options->max_connection_age_grace_ns, TETHER_FOREVER),
  };
  server->age_ns = or_default(options->max_connection_age_ns, TETHER_FOREVER);
  server->max_connections = options->max_connections;
  server->patience_ns = options->handshake_timeout_ns;
}

static void read_admission(tether_server *server, const tether_server_options *options) {
  server->admission.max_calls = options->max_calls;
  server->admission.by_deadline = options->deadline_admission;
  server->admission.workers = options->max_workers > 0 ? options->max_workers : WORKERS;
  server->sheds = options->max_calls > 0 || options->deadline_admission;
}

tether_code tth_server_open_on(const tth_transport *transport, const tether_server_options *options,
                               tether_server **result) {
  static const tether_server_options defaults;
  if (!options) options = &defaults;
  tether_server *server = calloc(1, sizeof *server);
  if (!server) return TETHER_RESOURCE_EXHAUSTED;
  server->transport = transport;
  server->limits = tth_limits_of(&options->limits);
  server->keys = options->keys;
  server->max_timeout_ns = options->max_timeout_ns;
  server->deadline_required = options->deadline_required;
  server->interceptors = options->interceptors && *options->interceptors ? options->interceptors : NULL;
  read_life(server, options);
  read_admission(server, options);
  tether_code code = options->tls ? tth_tls_open(options->tls, false, &server->tls) : TETHER_OK;
  if (code == TETHER_OK) code = tether_pool_open(server->admission.workers, &server->pool);
  if (code != TETHER_OK) {
    tth_tls_unref(server->tls);
    free(server);
    return code;
  }
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&server->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_mutex_init(&server->mu, NULL);
  for (size_t i = 0; i < TTH_BOOKS; i++) pthread_mutex_init(&server->books[i].mu, NULL);
  *result = server;
  return TETHER_OK;
}

tether_code tether_server_open(const tether_server_options *options, tether_server **server) {
  return tth_server_open_on(&tth_transport_nng, options, server);
}

/* ---- Routes -------------------------------------------------------------------------------- */

/* Where the path is, or where it belongs. */
static size_t find_route(const tether_server *server, const char *path, bool *found) {
  size_t low = 0, high = server->route_count;
  *found = false;
  while (low < high && !*found) {
    size_t mid = low + (high - low) / 2;
    int order = strcmp(path, server->routes[mid].method->path);
    *found = order == 0;
    if (order > 0)
      low = mid + 1;
    else
      high = mid;
  }
  return *found ? high : low;
}

tth_route *tth_server_route(const tether_server *server, const char *path) {
  bool found;
  size_t at = find_route(server, path, &found);
  return found ? &server->routes[at] : NULL;
}

/* What recent calls of so many methods needed; the server frees it. */
static tth_need *add_needs(tether_server *server, size_t count) {
  tth_needs *needs = calloc(1, sizeof *needs + count * sizeof needs->of[0]);
  if (!needs) return NULL;
  needs->count = count;
  for (size_t i = 0; i < count; i++) tth_need_init(&needs->of[i]);
  needs->next = server->needs;
  server->needs = needs;
  return needs->of;
}

tether_code tether_server_add(tether_server *server, const tether_served_method *methods, size_t count,
                              const void *service, void *data) {
  pthread_mutex_lock(&server->mu);
  bool listening = server->listener_count > 0;
  pthread_mutex_unlock(&server->mu);
  if (listening) return TETHER_FAILED_PRECONDITION;
  bool found = false;
  for (size_t i = 0; i < count; i++) {
    find_route(server, methods[i].method->path, &found);
    for (size_t j = 0; j < i && !found; j++) found = strcmp(methods[i].method->path, methods[j].method->path) == 0;
    if (found) return TETHER_ALREADY_EXISTS;
  }
  tth_route *grown = realloc(server->routes, (server->route_count + count) * sizeof *grown);
  if (!grown && count) return TETHER_RESOURCE_EXHAUSTED;
  server->routes = grown;
  tth_need *needs = NULL;
  if (server->admission.by_deadline && count && !(needs = add_needs(server, count))) return TETHER_RESOURCE_EXHAUSTED;
  for (size_t i = 0; i < count; i++) {
    size_t at = find_route(server, methods[i].method->path, &found);
    memmove(&server->routes[at + 1], &server->routes[at], (server->route_count - at) * sizeof *server->routes);
    server->routes[at] =
        (tth_route){.method = methods[i].method, .handler = methods[i].handler, .service = service, .data = data};
    if (needs) server->routes[at].need = &needs[i];
    server->route_count++;
  }
  return TETHER_OK;
}

const tether_method *tether_server_method(const tether_server *server, size_t index) {
  return index < server->route_count ? server->routes[index].method : NULL;
}

/* ---- Connections --------------------------------------------------------------------------- */

static tether_call *on_new_call(void *owner, tth_conn *conn, tth_stream *stream) {
  return tth_server_call_new(owner, conn, stream);
}

static void drained_locked(tether_server *server, tth_conn *conn) {
  tth_conn_node *node = tth_conn_node_of(conn);
  if (!node->draining) return;
  node->draining = false;
  if (--server->draining == 0) pthread_cond_broadcast(&server->changed);
}

static tth_book *book_of(tether_server *server, tth_conn *conn) { return &server->books[tth_conn_node_of(conn)->book]; }

/* The client has the last word, on its own calls: it moves no more of a status than this connection was answered. */
static void on_verdict(tether_server *server, tth_conn *conn, tether_code from, tether_code to) {
  uint64_t *answered = tth_conn_node_of(conn)->answered;
  tth_book *book = book_of(server, conn);
  pthread_mutex_lock(&book->mu);
  if (answered[from] > 0) {
    answered[from]--;
    answered[to]++;
    book->ended[from]--;
    book->ended[to]++;
  }
  pthread_mutex_unlock(&book->mu);
}

/* One that was cancelled before it came is a call that was answered; one that was not accepted never came. */
static void on_refused(tether_server *server, tth_conn *conn, tether_code code) {
  if (code == TETHER_UNAVAILABLE) {
    atomic_fetch_add_explicit(&server->unaccepted, 1, memory_order_relaxed);
    return;
  }
  tth_book *book = book_of(server, conn);
  pthread_mutex_lock(&book->mu);
  book->ended[code]++;
  tth_conn_node_of(conn)->answered[code]++;
  pthread_mutex_unlock(&book->mu);
}

static void on_event(void *owner, tth_conn *conn, tth_event *event) {
  tether_server *server = owner;
  if (event->type == TTH_EVENT_HELLO) tth_intercept_connected(server->interceptors, conn, true);
  if (event->type == TTH_EVENT_VERDICT) on_verdict(server, conn, event->from, event->to);
  if (event->type == TTH_EVENT_REFUSED) on_refused(server, conn, event->to);
  if (event->type == TTH_EVENT_DRAINED) {
    pthread_mutex_lock(&server->mu);
    drained_locked(server, conn);
    pthread_mutex_unlock(&server->mu);
  }
  if (event->user) tth_server_call_event(event->user, event, &server->limits);
}

static void on_lost(void *owner, tth_conn *conn, tether_call *call, tth_out *unsent, const char *why) {
  (void)owner;
  (void)conn;
  (void)unsent;
  tth_server_call_lost(call, why);
}

static void on_closed(void *owner, tth_conn *conn, const char *why) {
  tether_server *server = owner;
  (void)why;
  tth_intercept_disconnected(server->interceptors, conn, true);
  pthread_mutex_lock(&server->mu);
  tth_conn_node *node = tth_conn_node_of(conn);
  *(node->prev ? &tth_conn_node_of(node->prev)->next : &server->conns) = node->next;
  if (node->next) tth_conn_node_of(node->next)->prev = node->prev;
  drained_locked(server, conn);
  pthread_mutex_unlock(&server->mu);
  tth_conn_unref(conn);
  pthread_mutex_lock(&server->mu);
  server->conn_count--;
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->mu);
}

static const tth_conn_ops conn_ops = {.new_call = on_new_call, .event = on_event, .lost = on_lost, .closed = on_closed};

/* 10 % more or less, so that connections made together do not end together. */
static int64_t jittered(int64_t ns) {
  if (ns == TETHER_FOREVER) return ns;
  uint32_t random;
  tth_random(&random, sizeof random);
  return tether_time_add(ns - ns / 10, (int64_t)((double)(ns / 5) * random / UINT32_MAX));
}

/* A connection beyond the limit; at most one line a second. */
static void turn_away(tether_server *server, tth_conn *conn) {
  int64_t now_ns = tether_now_ns();
  pthread_mutex_lock(&server->mu);
  bool say = server->full_said_ns == 0 || now_ns - server->full_said_ns >= TETHER_SEC;
  if (say) server->full_said_ns = now_ns;
  pthread_mutex_unlock(&server->mu);
  if (say)
    fprintf(stderr, "tether: turning away %s: there are %u connections already\n", tth_conn_peer(conn),
            server->max_connections);
  tth_conn_throw_out(conn, "too many connections");
}

static void on_accepted(void *owner, tth_link *link) {
  tether_server *server = owner;
  tth_conn *conn = tth_conn_new(link, TTH_SERVER, &server->limits, &conn_ops, server);
  if (!conn) {
    link->ops->free(link);
    return;
  }
  tth_conn_set_life(conn, &server->life, jittered(server->age_ns));
  pthread_mutex_lock(&server->mu);
  size_t most = server->max_connections > 0 ? server->max_connections : SIZE_MAX, count = server->conn_count;
  bool full = count >= most, stopping = server->stopping || (full && count - most >= TURNED_AWAY_MOST);
  if (!stopping) {
    tth_conn_node_of(conn)->book =
        server->next_book++ % TTH_BOOKS; /* not by address: a simulation is to repeat itself */
    tth_conn_node_of(conn)->next = server->conns;
    if (server->conns) tth_conn_node_of(server->conns)->prev = conn;
    server->conns = conn;
    server->conn_count++;
  }
  pthread_mutex_unlock(&server->mu);
  if (stopping) {
    tth_conn_unref(conn);
    return;
  }
  if (full) tth_conn_ref(conn);
  tth_conn_start(conn);
  if (full) turn_away(server, conn);
  if (full) tth_conn_unref(conn);
}

tether_code tether_server_listen(tether_server *server, const char *url) {
  tth_listener *listener;
  if (!url) return TETHER_INVALID_ARGUMENT;
  pthread_mutex_lock(&server->mu);
  bool stopping = server->stopping;
  pthread_mutex_unlock(&server->mu);
  if (stopping) return TETHER_FAILED_PRECONDITION;
  tether_code code = server->transport->listen(url, server->tls, on_accepted, server, &listener);
  if (code != TETHER_OK) return code;
  if (server->patience_ns > 0 && server->transport->listener_patience)
    server->transport->listener_patience(listener, server->patience_ns);
  pthread_mutex_lock(&server->mu);
  stopping = server->stopping; /* a shutdown would not see this listener any more */
  tth_listener **grown =
      stopping ? NULL : realloc(server->listeners, (server->listener_count + 1) * sizeof(tth_listener *));
  if (grown) {
    server->listeners = grown;
    server->listeners[server->listener_count++] = listener;
  }
  pthread_mutex_unlock(&server->mu);
  if (grown) return TETHER_OK;
  server->transport->listener_free(listener);
  return stopping ? TETHER_FAILED_PRECONDITION : TETHER_RESOURCE_EXHAUSTED;
}

uint16_t tether_server_port(const tether_server *server) {
  uint16_t port = 0;
  pthread_mutex_t *mu = (pthread_mutex_t *)&server->mu;
  pthread_mutex_lock(mu);
  for (size_t i = 0; i < server->listener_count && port == 0; i++)
    port = server->transport->listener_port(server->listeners[i]);
  pthread_mutex_unlock(mu);
  return port;
}

/* ---- Calls --------------------------------------------------------------------------------- */

void tth_server_call_added(tether_server *server, tether_call *call) {
  tth_book *book = book_of(server, call->conn);
  pthread_mutex_lock(&book->mu);
  call->s.next = book->first;
  if (call->s.next) call->s.next->s.prev = call;
  book->first = call;
  pthread_mutex_unlock(&book->mu);
}

void tth_server_call_read(tether_server *server, tether_call *call) {
  atomic_store(&call->s.read, true);
  if (!server->stopping) return; /* if that comes now, who stops finds the call in the book */
  pthread_mutex_lock(&server->mu);
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->mu);
}

void tth_server_call_answers(tether_server *server, tether_call *call, tether_code code) {
  tth_book *book = book_of(server, call->conn);
  if (call->s.held_bytes > 0) atomic_fetch_sub(&tth_conn_node_of(call->conn)->held_bytes, call->s.held_bytes);
  if (call->s.admitted) atomic_fetch_sub(&server->admission.calls, 1);
  pthread_mutex_lock(&book->mu);
  *(call->s.prev ? &call->s.prev->s.next : &book->first) = call->s.next;
  if (call->s.next) call->s.next->s.prev = call->s.prev;
  book->ended[code]++;
  tth_conn_node_of(call->conn)->answered[code]++;
  pthread_mutex_unlock(&book->mu);
}

void tth_server_call_gone(tether_server *server) {
  /* Who stops may free the server as soon as there are no calls, so the last one goes under the lock. */
  size_t calls = atomic_load(&server->calls);
  while (calls > 1)
    if (atomic_compare_exchange_weak(&server->calls, &calls, calls - 1)) return;
  pthread_mutex_lock(&server->mu);
  if (--server->calls == 0) pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->mu);
}

tether_code tether_server_get_stats(tether_server *server, const char *path, tether_server_stats *stats) {
  tether_server_stats sum = {0};
  bool found = !path;
  for (size_t i = 0; i < server->route_count; i++) {
    tth_route *route = &server->routes[i];
    if (path && strcmp(path, route->method->path) != 0) continue;
    found = true;
    sum.started += atomic_load(&route->started);
    sum.running += atomic_load(&route->running);
    sum.wasted_ns = tether_time_add(sum.wasted_ns, atomic_load(&route->wasted_ns));
    sum.sheds += atomic_load(&route->sheds);
  }
  if (!found) return TETHER_NOT_FOUND;
  for (tth_book *book = server->books; !path && book < server->books + TTH_BOOKS; book++) {
    pthread_mutex_lock(&book->mu);
    for (size_t i = 0; i < TETHER_CODES; i++) sum.ended[i] += book->ended[i];
    pthread_mutex_unlock(&book->mu);
  }
  if (!path) sum.connections = (uint32_t)server->conn_count;
  if (!path) sum.unaccepted = atomic_load(&server->unaccepted);
  *stats = sum;
  return TETHER_OK;
}

size_t tth_server_calls(tether_server *server) { return server->calls; }

tether_code tether_server_reload_tls(tether_server *server) { return tth_tls_reload(server->tls); }
