/* tests/support/link_mem_dial.c: dialling and listening in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/link_mem_impl.h"

static tst_mem_net *net_in_use;

void tst_mem_net_use(tst_mem_net *net) { net_in_use = net; }

void tst_mem_net_unuse(tst_mem_net *net) {
  if (net_in_use == net) net_in_use = NULL;
}

static tth_listener *listener_locked(const tst_mem_net *net, const char *name) {
  tth_listener *listener = net->listeners;
  while (listener && strcmp(listener->name, name) != 0) listener = listener->next;
  return listener;
}

void tst_mem_deliver_attempt_locked(tst_mem_net *net, tth_dialer *dialer) {
  mem_event *attempt = tst_mem_pop_locked(&dialer->attempt);
  tth_listener *listener = listener_locked(net, dialer->name);
  mem_link *ours = NULL, *theirs = NULL;
  const char *why = attempt->why;
  if (!why && net->unreachable) { /* comes up again when its time is over */
    attempt->why = "timed out";
    tst_mem_push_locked(net, &dialer->attempt, attempt, dialer->end_ns);
    return;
  }
  if (!why && !listener) why = "connection refused";
  if (!why) {
    tst_mem_pair_locked(net, &ours, &theirs);
    listener->calling++;
  }
  pthread_mutex_unlock(&net->lock);
  free(attempt);
  if (theirs) listener->accepted(listener->owner, &theirs->base);
  pthread_mutex_lock(&net->lock);
  if (theirs) listener->calling--;
  pthread_cond_broadcast(&net->changed);
  pthread_mutex_unlock(&net->lock);
  dialer->done(dialer->owner, ours ? &ours->base : NULL, why);
  pthread_mutex_lock(&net->lock);
  dialer->running--;
  pthread_cond_broadcast(&net->changed);
}

static const char *name_of(const char *url) {
  if (strncmp(url, "mem://", 6) == 0 && url[6]) return url + 6;
  fprintf(stderr, "link_mem: %s: want mem://<name>\n", url);
  return NULL;
}

static tether_code dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer) {
  (void)tls;
  const char *name = name_of(url);
  if (!name || !net_in_use) return TETHER_INVALID_ARGUMENT;
  tth_dialer *made = calloc(1, sizeof *made);
  if (!made || !(made->name = strdup(name))) tst_mem_misuse("out of memory");
  made->net = net_in_use;
  pthread_mutex_lock(&made->net->lock);
  made->next = made->net->dialers;
  made->net->dialers = made;
  pthread_mutex_unlock(&made->net->lock);
  *dialer = made;
  return TETHER_OK;
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  tst_mem_net *net = dialer->net;
  pthread_mutex_lock(&net->lock);
  dialer->done = done;
  dialer->owner = owner;
  dialer->running++;
  dialer->end_ns = tether_time_add(tst_mem_now_locked(net), timeout_ns);
  tst_mem_push_locked(net, &dialer->attempt, tst_mem_event_new(ATTEMPT, NULL, 0), tst_mem_now_locked(net));
  pthread_mutex_unlock(&net->lock);
}

static void dialer_free(tth_dialer *dialer) {
  if (!dialer) return;
  tst_mem_net *net = dialer->net;
  pthread_mutex_lock(&net->lock);
  if (dialer->attempt.first) {
    mem_event *attempt = tst_mem_pop_locked(&dialer->attempt);
    pthread_mutex_unlock(&net->lock);
    dialer->done(dialer->owner, NULL, "the client is closing");
    free(attempt);
    pthread_mutex_lock(&net->lock);
    dialer->running--;
  }
  while (dialer->running > 0) pthread_cond_wait(&net->changed, &net->lock);
  tth_dialer **at = &net->dialers;
  while (*at != dialer) at = &(*at)->next;
  *at = dialer->next;
  pthread_cond_broadcast(&net->changed);
  pthread_mutex_unlock(&net->lock);
  free(dialer->name);
  free(dialer);
}

static tether_code listen_on(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link), void *owner,
                             tth_listener **listener) {
  (void)tls;
  const char *name = name_of(url);
  if (!name || !net_in_use) return TETHER_INVALID_ARGUMENT;
  tth_listener *made = calloc(1, sizeof *made);
  if (!made || !(made->name = strdup(name))) tst_mem_misuse("out of memory");
  made->net = net_in_use;
  made->accepted = accepted;
  made->owner = owner;
  pthread_mutex_lock(&made->net->lock);
  bool taken = listener_locked(made->net, name) != NULL;
  if (!taken) {
    made->next = made->net->listeners;
    made->net->listeners = made;
  }
  pthread_mutex_unlock(&made->net->lock);
  if (taken) {
    free(made->name);
    free(made);
    return TETHER_UNAVAILABLE;
  }
  *listener = made;
  return TETHER_OK;
}

static uint16_t listener_port(const tth_listener *listener) {
  (void)listener;
  return 0;
}

static void listener_free(tth_listener *listener) {
  if (!listener) return;
  tst_mem_net *net = listener->net;
  pthread_mutex_lock(&net->lock);
  tth_listener **at = &net->listeners;
  while (*at != listener) at = &(*at)->next;
  *at = listener->next;
  while (listener->calling) pthread_cond_wait(&net->changed, &net->lock);
  pthread_cond_broadcast(&net->changed);
  pthread_mutex_unlock(&net->lock);
  free(listener->name);
  free(listener);
}

const tth_transport tst_transport_mem = {.dialer_new = dialer_new,
                                         .dial = dial,
                                         .dialer_free = dialer_free,
                                         .listen = listen_on,
                                         .listener_port = listener_port,
                                         .listener_free = listener_free};
