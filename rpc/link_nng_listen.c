/* rpc/link_nng_listen.c: accepting, on a thread per listener; each connection then exchanges greetings on its own, and
 * only peers that have greeted reach `accepted`.
 *
 *   accept ──> first look (link_nng_look.c) ──> link ──greetings exchanged──> accepted
 *     ^                └──> closed               └──silence, another protocol──> closed
 *     └── the next: when it comes, or in rounds
 *
 * What strangers can cost: a connection that has not greeted has a small link and a descriptor, for 10 s. There are
 * at most GREETING_MAX of them; one more pushes out the oldest, so a flood of silent connections delays nobody who
 * greets promptly. Out of descriptors, the oldest is pushed out too and accepting pauses for a moment. Log lines are
 * limited per second.
 *
 * While strangers fail often, accepting goes in rounds: twenty times a second all that have connected meanwhile are
 * accepted on this thread, which has nng's poller woken once a round and not for each (why that is worth it:
 * link_nng_look.c). Who greets then waits 50 ms longer at most. */
#include <nng/nng.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "rpc/link_nng.h"
#include "rpc/real_time.h"
#include "rpc/resolver.h"

#define GREETING_MAX 256
#define LINES_PER_SECOND 20
#define NO_DESCRIPTOR_NS (50 * TETHER_MS)

/* Failed handshakes: so often for long, so many at once. More are remembered up to a point, and then accepting goes in
 * rounds. */
#define FAILURE_NS (100 * TETHER_MS)
#define FAILURES_AT_ONCE 20
#define FAILURES_MOST 40
#define ROUND_NS (50 * TETHER_MS)
#define ROUND_MANY 32 /* found in one: the next comes sooner, as only 128 can wait */

struct tth_listener {
  nng_stream_listener *listener;
  nng_aio *aio; /* the thread's; without a callback */
  tth_nng_kind kind;
  tth_nng_tls secured;
  char *url;
  uint16_t port;
  void (*accepted)(void *owner, tth_link *link);
  void *owner;
  bool accepting; /* there is a thread */
  pthread_t thread;
  _Atomic int64_t patience_ns; /* for a greeting; 0: tth_link_nng_greeting_timeout_ns */

  pthread_mutex_t lock;
  pthread_cond_t changed;     /* running is 0, or closing; on CLOCK_MONOTONIC */
  tth_nng_list_node greeting; /* oldest first */
  unsigned greeting_count;
  unsigned running; /* links whose greeting or accepted call has not ended */
  bool closing;
  int64_t failed_ns; /* when the failures remembered are forgotten, each for FAILURE_NS */
  int64_t second;    /* of the log lines counted */
  unsigned lines;
};

/* ---- The list of greeting links (under lock) ------------------------------------------------ */

static void append_locked(tth_listener *listener, tth_nng_link *link) {
  tth_nng_list_node *node = tth_nng_link_node(link), *head = &listener->greeting;
  *node = (tth_nng_list_node){head->prev, head};
  head->prev->next = node;
  head->prev = node;
  listener->greeting_count++;
}

/* Idempotent. */
static void remove_locked(tth_listener *listener, tth_nng_link *link) {
  tth_nng_list_node *node = tth_nng_link_node(link);
  if (!node->next) return;
  node->prev->next = node->next;
  node->next->prev = node->prev;
  *node = (tth_nng_list_node){NULL, NULL};
  listener->greeting_count--;
}

static void push_out_oldest_locked(tth_listener *listener) {
  tth_nng_list_node *node = listener->greeting.next;
  if (node == &listener->greeting) return;
  tth_nng_link *link = tth_nng_link_of_node(node);
  remove_locked(listener, link);
  tth_nng_link_abort(link, "pushed out by newer connections before it had greeted");
}

/* Whether a line may be written now. */
static bool may_log_locked(tth_listener *listener, unsigned *left_out) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *left_out = 0;
  if (now.tv_sec != listener->second) {
    if (listener->lines > LINES_PER_SECOND) *left_out = listener->lines - LINES_PER_SECOND;
    listener->second = now.tv_sec;
    listener->lines = 0;
  }
  return ++listener->lines <= LINES_PER_SECOND;
}

/* ---- Accepting ------------------------------------------------------------------------------ */

/* A stranger has failed: remembers it and writes a line, unless it left without a word: that is a health check or
 * another server's look at our socket file. */
static void failed(tth_listener *listener, const char *peer, const char *failure, bool unheard) {
  unsigned left_out = 0;
  int64_t now_ns = tth_real_now_ns(), most_ns = now_ns + (FAILURES_MOST - 1) * FAILURE_NS;
  pthread_mutex_lock(&listener->lock);
  if (listener->failed_ns < now_ns) listener->failed_ns = now_ns;
  if (listener->failed_ns > most_ns) listener->failed_ns = most_ns;
  listener->failed_ns += FAILURE_NS;
  bool log = !unheard && !listener->closing && may_log_locked(listener, &left_out);
  pthread_mutex_unlock(&listener->lock);
  if (left_out) tth_nng_log(listener->url, "%u more connections closed without a line each", left_out);
  if (log) tth_nng_log(listener->url, "closed %s: %s", peer, failure);
}

/* Whether accepting goes in rounds. Not over TLS and ws, where an accept cannot be tried without waiting for it. */
static bool fail_often(tth_listener *listener) {
  if (listener->kind.tls || listener->kind.ws) return false;
  pthread_mutex_lock(&listener->lock);
  bool often = listener->failed_ns - tth_real_now_ns() > FAILURES_AT_ONCE * FAILURE_NS;
  pthread_mutex_unlock(&listener->lock);
  return often;
}

static void greeted(void *owner, tth_nng_link *link, const char *failure) {
  tth_listener *listener = owner;
  tth_link *opened = tth_nng_link_public(link);
  pthread_mutex_lock(&listener->lock);
  remove_locked(listener, link);
  bool closing = listener->closing;
  pthread_mutex_unlock(&listener->lock);
  if (failure) failed(listener, opened->ops->peer(opened), failure, tth_nng_link_left_unheard(link));
  if (failure || closing)
    opened->ops->free(opened);
  else
    listener->accepted(listener->owner, opened);
  pthread_mutex_lock(&listener->lock);
  if (--listener->running == 0) pthread_cond_broadcast(&listener->changed);
  pthread_mutex_unlock(&listener->lock);
}

/* Whether the stream is still one, after a first look. */
static bool looks_right(tth_listener *listener, nng_stream *stream, tth_nng_look *look) {
  char peer[128];
  if (listener->kind.tls || listener->kind.ws || tth_nng_look_at(stream, listener->aio, look)) return true;
  tth_nng_name_peer(stream, listener->kind, peer, sizeof peer);
  nng_stream_close(stream); /* now: the free gets to it later */
  failed(listener, peer, look->why, look->unheard);
  nng_stream_free(stream);
  return false;
}

static void welcome(tth_listener *listener, nng_stream *stream) {
  tth_nng_look look = {0};
  if (!looks_right(listener, stream, &look)) return;
  tth_nng_link *link = tth_nng_link_new(stream, listener->kind);
  if (!link) return;
  pthread_mutex_lock(&listener->lock);
  if (listener->greeting_count == GREETING_MAX) push_out_oldest_locked(listener);
  append_locked(listener, link);
  listener->running++;
  if (listener->closing) tth_nng_link_abort(link, "the server is closing");
  pthread_mutex_unlock(&listener->lock);
  int64_t patience_ns = atomic_load(&listener->patience_ns);
  tth_nng_link_greet(link, &look, patience_ns > 0 ? patience_ns : atomic_load(&tth_link_nng_greeting_timeout_ns),
                     greeted, listener);
}

static bool is_closing(tth_listener *listener) {
  pthread_mutex_lock(&listener->lock);
  bool closing = listener->closing;
  pthread_mutex_unlock(&listener->lock);
  return closing;
}

/* Until the time is over, or the listener is closing. */
static void pause_for(tth_listener *listener, int64_t ns) {
  int64_t until_ns = tether_time_add(tth_real_now_ns(), ns);
  struct timespec until = {.tv_sec = (time_t)(until_ns / TETHER_SEC), .tv_nsec = (long)(until_ns % TETHER_SEC)};
  pthread_mutex_lock(&listener->lock);
  while (!listener->closing && pthread_cond_timedwait(&listener->changed, &listener->lock, &until) == 0) continue;
  pthread_mutex_unlock(&listener->lock);
}

static void accept_failed(tth_listener *listener, int error) {
  unsigned left_out;
  pthread_mutex_lock(&listener->lock);
  bool log = !listener->closing && may_log_locked(listener, &left_out);
  push_out_oldest_locked(listener);
  pthread_mutex_unlock(&listener->lock);
  if (log) tth_nng_log(listener->url, "cannot accept: %s", nng_strerror(error));
  pause_for(listener, NO_DESCRIPTOR_NS);
}

/* Accepts the next connection, if there is one or if it is to be waited for. False: none. */
static bool accept_next(tth_listener *listener, bool wait) {
  nng_stream_listener_accept(listener->listener, listener->aio);
  if (!wait) nng_aio_abort(listener->aio, NNG_ECANCELED);
  nng_aio_wait(listener->aio);
  int error = nng_aio_result(listener->aio);
  if (!error)
    welcome(listener, nng_aio_get_output(listener->aio, 0));
  else if (error != NNG_ECANCELED)
    accept_failed(listener, error);
  return !error;
}

static void *accept_all(void *arg) {
  tth_listener *listener = arg;
  (void)pthread_setname_np(pthread_self(), "tether:accept");
  while (!is_closing(listener)) {
    if (!fail_often(listener)) {
      (void)accept_next(listener, true);
      continue;
    }
    unsigned found = 0;
    while (!is_closing(listener) && accept_next(listener, false)) found++;
    pause_for(listener, found < ROUND_MANY ? ROUND_NS : ROUND_NS / 10);
  }
  return NULL;
}

static bool start_accepting(tth_listener *listener) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  listener->accepting = pthread_create(&listener->thread, NULL, accept_all, listener) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return listener->accepting;
}

/* ---- Operations ----------------------------------------------------------------------------- */

/* nng takes a path that refuses connections for a dead server's socket and removes it, whatever it is: a plain file
 * refuses as well. */
static bool path_is_other_file(const tth_listener *listener) {
  struct stat status;
  const char *path = strstr(listener->url, "://");
  if (!listener->kind.ipc || strncmp(listener->url, "abstract", 8) == 0 || !path) return false;
  return lstat(path + 3, &status) == 0 && !S_ISSOCK(status.st_mode);
}

/* For the log: "tcp://host:0" becomes the address that was picked. Without memory it stays as it is. */
static void name_port(tth_listener *listener) {
  char *colon = strrchr(listener->url, ':'), *named;
  if (strtoul(colon + 1, NULL, 10) != 0) return;
  if (asprintf(&named, "%.*s:%u%s", (int)(colon - listener->url), listener->url, listener->port,
               colon + 1 + strspn(colon + 1, "0123456789")) < 0)
    return;
  free(listener->url);
  listener->url = named;
}

static tether_code bind_and_accept(tth_listener *listener) {
  if (path_is_other_file(listener)) {
    tth_nng_log(listener->url, "cannot listen: the path is in use and not a socket");
    return TETHER_UNAVAILABLE;
  }
  int error = nng_stream_listener_listen(listener->listener), port;
  if (error == NNG_ENOMEM) return TETHER_RESOURCE_EXHAUSTED;
  if (error) {
    tth_nng_log(listener->url, "cannot listen: %s", nng_strerror(error));
    return TETHER_UNAVAILABLE;
  }
  if (!listener->kind.ipc && nng_stream_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0) {
    listener->port = (uint16_t)port;
    name_port(listener);
  }
  return start_accepting(listener) ? TETHER_OK : TETHER_RESOURCE_EXHAUSTED;
}

static void release(tth_listener *listener) {
  nng_aio_free(listener->aio);
  nng_stream_listener_free(listener->listener);
  tth_nng_tls_close(&listener->secured);
  pthread_cond_destroy(&listener->changed);
  pthread_mutex_destroy(&listener->lock);
  free(listener->url);
  free(listener);
}

static tether_code nng_listen_on(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link),
                                 void *owner, tth_listener **listener) {
  tth_listener *made = calloc(1, sizeof *made);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  pthread_mutex_init(&made->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&made->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  made->greeting = (tth_nng_list_node){&made->greeting, &made->greeting};
  made->accepted = accepted;
  made->owner = owner;
  tether_code code = tth_nng_listener_alloc(url, tls, &made->listener, &made->kind, &made->secured);
  if (code == TETHER_OK && (!(made->url = strdup(url)) || nng_aio_alloc(&made->aio, NULL, NULL) != 0))
    code = TETHER_RESOURCE_EXHAUSTED;
  if (code == TETHER_OK) code = bind_and_accept(made);
  if (code == TETHER_OK)
    *listener = made;
  else
    release(made);
  return code;
}

static void nng_listener_patience(tth_listener *listener, int64_t timeout_ns) {
  atomic_store(&listener->patience_ns, timeout_ns);
}

static uint16_t nng_listener_port(const tth_listener *listener) { return listener->port; }

static void nng_listener_free(tth_listener *listener) {
  if (!listener) return;
  pthread_mutex_lock(&listener->lock);
  listener->closing = true;
  pthread_cond_broadcast(&listener->changed);
  pthread_mutex_unlock(&listener->lock);
  nng_stream_listener_close(listener->listener); /* an accept ends; not nng's over ws */
  /* Elsewhere the aio must not be ended from here: it may be at a stream that its thread frees meanwhile. */
  if (listener->kind.ws) nng_aio_stop(listener->aio);
  if (listener->accepting) pthread_join(listener->thread, NULL); /* who was accepted meanwhile is closed there */
  pthread_mutex_lock(&listener->lock);
  for (tth_nng_list_node *node = listener->greeting.next; node != &listener->greeting; node = node->next)
    tth_nng_link_abort(tth_nng_link_of_node(node), "the server is closing");
  while (listener->running > 0) pthread_cond_wait(&listener->changed, &listener->lock);
  pthread_mutex_unlock(&listener->lock);
  release(listener);
}

const tth_transport tth_transport_nng = {.resolver = &tth_resolver_system,
                                         .dialer_new = tth_nng_dialer_new,
                                         .dial = tth_nng_dial,
                                         .dialer_free = tth_nng_dialer_free,
                                         .listen = nng_listen_on,
                                         .listener_patience = nng_listener_patience,
                                         .listener_port = nng_listener_port,
                                         .listener_free = nng_listener_free};
