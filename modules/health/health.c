/* modules/health/health.c: the service. Check looks a status up; Watch is a deferred call that is kept in a list.
 *
 *   set, shutdown ---> tell_all ---+
 *   `ready` (there is room again) -+--> pump: sends the status if it is not the one sent last
 *   the call's context ends -------+
 *
 * pump runs once at a time for each watcher: `kicks` counts who wanted it since, and whoever runs runs again for them.
 * So statuses arrive in order, a slow reader gets the last one only, and the call is finished exactly once:
 *
 *   idle <---> busy ---> finished      the context ended, sending failed, or all was told and the server drains
 *
 * With the last call gone the server may be closed and the health object freed, while `ready` or the context's end are
 * still on their way to a finished watcher: `kicks` stays above 0 there, and they touch nothing but the watcher.
 * Failures: a watch that cannot be kept ends RESOURCE_EXHAUSTED. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "grpc/health/v1/health.tether.h"
#include "modules/health/status.h"

/* Lives in its call's memory; the list and whoever pumps hold the call. */
typedef struct watcher {
  tether_health *health; /* there until the call is finished */
  tether_call *call;
  const char *service; /* the request's */
  tether_after after;  /* the context's end */
  atomic_uint kicks;
  atomic_bool over;
  int sent; /* tether_health_status; -1: none. Whoever pumps has it */
  /* under health->mu */
  TAILQ_ENTRY(watcher) link;
  uint64_t told; /* the last round of tell_all that has come by */
} watcher;

struct tether_health {
  tether_method methods[2]; /* as generated, but inline */
  tether_served_method served[2];
  tether_drain_hook drain;

  pthread_mutex_t mu;
  /* under mu */
  tth_health_table table;
  bool draining;
  uint64_t round;
  TAILQ_HEAD(, watcher) watchers; /* told ascends */
};

/* ---- Watchers ------------------------------------------------------------------------------ */

static tether_code send_status(tether_call *call, tether_health_status status, bool *done) {
  Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
  response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
  return grpc_health_v1_health_watch_try_send_reply(call, &response, done);
}

/* Sends what is to be sent. Returns whether the watch is over, with *code: then it is off the list. */
static bool work(watcher *w, tether_code *code) {
  tether_health *health = w->health;
  bool over = false, done = true;
  while (!over && done) { /* without room on_ready goes on */
    pthread_mutex_lock(&health->mu);
    tether_health_status status = tth_health_table_get(&health->table, w->service);
    bool draining = health->draining;
    pthread_mutex_unlock(&health->mu);
    if (atomic_load(&w->over)) {
      *code = TETHER_CANCELLED;
      over = true;
    } else if ((int)status == w->sent) {
      *code = TETHER_UNAVAILABLE;
      over = draining;
      done = false;
    } else {
      *code = send_status(w->call, status, &done);
      over = *code != TETHER_OK;
      if (done) w->sent = (int)status;
    }
  }
  if (!over) return false;
  pthread_mutex_lock(&health->mu);
  TAILQ_REMOVE(&health->watchers, w, link);
  pthread_mutex_unlock(&health->mu);
  return true;
}

static void pump(watcher *w) {
  tether_code code;
  unsigned seen = 1;
  if (atomic_fetch_add(&w->kicks, 1) > 0) return;
  do {
    if (work(w, &code)) { /* with kicks above 0 nobody works here any more */
      tether_call *call = w->call;
      if (code == TETHER_UNAVAILABLE) code = tether_call_fail(call, code, "the server is shutting down; watch another");
      tether_call_finish(call, code);
      tether_call_unref(call);
      return;
    }
    seen = atomic_fetch_sub(&w->kicks, seen) - seen;
  } while (seen > 0);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  (void)call, (void)what;
  pump(data);
}

/* Runs once for every watcher: a call's context ends when the call does, at the latest. */
static void on_ctx_end(void *data) {
  watcher *w = data;
  tether_call *call = w->call;
  atomic_store(&w->over, true);
  pump(w);
  tether_call_unref(call);
}

/* Pumps every watcher; those that come meanwhile know already. */
static void tell_all(tether_health *health) {
  watcher *w;
  pthread_mutex_lock(&health->mu);
  uint64_t round = ++health->round;
  while ((w = TAILQ_FIRST(&health->watchers)) && w->told < round) {
    w->told = health->round;
    TAILQ_REMOVE(&health->watchers, w, link);
    TAILQ_INSERT_TAIL(&health->watchers, w, link);
    tether_call_ref(w->call);
    pthread_mutex_unlock(&health->mu);
    tether_call *call = w->call;
    pump(w);
    tether_call_unref(call);
    pthread_mutex_lock(&health->mu);
  }
  pthread_mutex_unlock(&health->mu);
}

/* ---- Handlers ------------------------------------------------------------------------------ */

static tether_code on_check(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                            ProtobufCMessage *reply, const void *service, void *data) {
  const char *name = ((const Grpc__Health__V1__HealthCheckRequest *)request)->service;
  tether_health *health = data;
  (void)ctx, (void)service;
  pthread_mutex_lock(&health->mu);
  tether_health_status status = tth_health_table_get(&health->table, name);
  pthread_mutex_unlock(&health->mu);
  if (status == TETHER_HEALTH_SERVICE_UNKNOWN)
    return tether_call_fail(call, TETHER_NOT_FOUND, "no service '%.200s' is known here", name);
  ((Grpc__Health__V1__HealthCheckResponse *)reply)->status =
      (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
  return TETHER_OK;
}

static tether_code on_watch(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                            ProtobufCMessage *reply, const void *service, void *data) {
  tether_health *health = data;
  (void)reply, (void)service;
  watcher *w = tether_call_alloc(call, sizeof *w);
  if (!w) return TETHER_RESOURCE_EXHAUSTED;
  w->health = health;
  w->call = tether_call_ref(call); /* the list's */
  w->service = ((const Grpc__Health__V1__HealthCheckRequest *)request)->service;
  w->sent = -1;
  (void)tether_call_defer(call);
  tether_call_on_ready(call, on_ready, w);
  pthread_mutex_lock(&health->mu);
  w->told = health->round;
  TAILQ_INSERT_TAIL(&health->watchers, w, link);
  pthread_mutex_unlock(&health->mu);
  tether_call_ref(call); /* on_ctx_end's, and this function's */
  tether_call_ref(call);
  tether_ctx_after_func(ctx, &w->after, NULL, on_ctx_end, w);
  pump(w);
  tether_call_unref(call);
  return TETHER_OK;
}

/* ---- The object ---------------------------------------------------------------------------- */

static void shut_down(tether_health *health, bool draining) {
  pthread_mutex_lock(&health->mu);
  health->table.down = true;
  health->draining = health->draining || draining;
  pthread_mutex_unlock(&health->mu);
  tell_all(health);
}

static void on_drain(void *data) { shut_down(data, true); }

void tether_health_shutdown(tether_health *health) { shut_down(health, false); }

tether_code tether_health_new(tether_server *server, tether_health **result) {
  tether_health *health = calloc(1, sizeof *health);
  if (!health) return TETHER_RESOURCE_EXHAUSTED;
  health->table.server = server;
  TAILQ_INIT(&health->watchers);
  pthread_mutex_init(&health->mu, NULL);
  health->methods[0] = grpc_health_v1_health_check_method;
  health->methods[1] = grpc_health_v1_health_watch_method;
  for (int i = 0; i < 2; i++) health->methods[i].flags |= TETHER_METHOD_INLINE;
  health->served[0] = (tether_served_method){&health->methods[0], on_check};
  health->served[1] = (tether_served_method){&health->methods[1], on_watch};
  tether_code code = tether_server_add(server, health->served, 2, NULL, health);
  if (code != TETHER_OK) {
    tether_health_free(health);
    return code;
  }
  health->drain = (tether_drain_hook){.fn = on_drain, .data = health};
  tether_server_on_drain(server, &health->drain);
  *result = health;
  return TETHER_OK;
}

void tether_health_free(tether_health *health) {
  if (!health) return;
  tth_health_table_fini(&health->table);
  pthread_mutex_destroy(&health->mu);
  free(health);
}

tether_code tether_health_set(tether_health *health, const char *service, tether_health_status status) {
  if (status < TETHER_HEALTH_UNKNOWN || status > TETHER_HEALTH_SERVICE_UNKNOWN) return TETHER_INVALID_ARGUMENT;
  pthread_mutex_lock(&health->mu);
  tether_code code = health->table.down ? TETHER_FAILED_PRECONDITION : TETHER_OK;
  if (code == TETHER_OK && !tth_health_table_set(&health->table, service, status)) code = TETHER_RESOURCE_EXHAUSTED;
  pthread_mutex_unlock(&health->mu);
  if (code == TETHER_OK) tell_all(health);
  return code;
}
