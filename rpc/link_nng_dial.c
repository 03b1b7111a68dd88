/* rpc/link_nng_dial.c: connecting. An attempt is nng's connect and then the exchange of greetings, within one time
 * limit; it ends with one call of `done` on one of nng's threads.
 *
 *   dial ──> connecting ──> greeting ──> done(link)
 *                │              └──────> done(NULL, why): silence, another protocol, TLS
 *                └─────────────────────> done(NULL, why): refused, timed out, no such host
 *
 * dialer_free closes what the attempt is waiting for and waits until `done` has returned. */
#include <limits.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rpc/link_nng.h"

struct tth_dialer {
  nng_stream_dialer *dialer;
  nng_aio *aio;
  tth_nng_kind kind;
  tth_nng_tls secured;

  /* The attempt under way's. */
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
  int64_t end_ns;

  pthread_mutex_t lock;
  pthread_cond_t idle;
  unsigned running;       /* attempts whose done has not returned; more than one if done dials again */
  tth_nng_link *greeting; /* the link whose greetings are being exchanged */
  bool closing;
};

static int64_t real_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * TETHER_SEC + now.tv_nsec;
}

/* Ends the attempt. */
static void finish(tth_dialer *dialer, tth_link *link, const char *why) {
  dialer->done(dialer->owner, link, why);
  pthread_mutex_lock(&dialer->lock);
  if (--dialer->running == 0) pthread_cond_broadcast(&dialer->idle);
  pthread_mutex_unlock(&dialer->lock);
}

static void greeted(void *owner, tth_nng_link *link, const char *failure) {
  tth_dialer *dialer = owner;
  pthread_mutex_lock(&dialer->lock);
  dialer->greeting = NULL;
  if (dialer->closing) failure = "the client is closing";
  pthread_mutex_unlock(&dialer->lock);
  tth_link *opened = tth_nng_link_public(link);
  if (!failure) {
    finish(dialer, opened, NULL);
    return;
  }
  char why[TTH_LINK_NNG_WHY];
  snprintf(why, sizeof why, "%s", failure);
  opened->ops->free(opened);
  finish(dialer, NULL, why);
}

static void connected(void *arg) {
  tth_dialer *dialer = arg;
  int error = nng_aio_result(dialer->aio);
  if (error) {
    tth_tls_why why; /* of wss: the handshake is nng's affair */
    bool tls = tth_nng_tls_last_failure(&dialer->secured, &why);
    finish(dialer, NULL, error == NNG_ECLOSED ? "the client is closing" : tls ? why.text : tth_nng_why(error));
    return;
  }
  tth_nng_link *link = tth_nng_link_new(nng_aio_get_output(dialer->aio, 0), dialer->kind);
  if (!link) {
    finish(dialer, NULL, "out of memory");
    return;
  }
  int64_t left_ns = dialer->end_ns == TETHER_FOREVER ? TETHER_FOREVER : dialer->end_ns - real_now_ns();
  pthread_mutex_lock(&dialer->lock);
  dialer->greeting = link;
  if (dialer->closing) tth_nng_link_abort(link, "the client is closing");
  pthread_mutex_unlock(&dialer->lock);
  tth_nng_link_greet(link, left_ns, greeted, dialer);
}

tether_code tth_nng_dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer) {
  tth_dialer *made = calloc(1, sizeof *made);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = tth_nng_dialer_alloc(url, tls, &made->dialer, &made->kind, &made->secured);
  if (code == TETHER_OK && nng_aio_alloc(&made->aio, connected, made) != 0) {
    nng_stream_dialer_free(made->dialer);
    tth_nng_tls_close(&made->secured);
    code = TETHER_RESOURCE_EXHAUSTED;
  }
  if (code != TETHER_OK) {
    free(made);
    return code;
  }
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->idle, NULL);
  *dialer = made;
  return TETHER_OK;
}

void tth_nng_dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                  void *owner) {
  dialer->done = done;
  dialer->owner = owner;
  dialer->end_ns = tether_time_add(real_now_ns(), timeout_ns);
  pthread_mutex_lock(&dialer->lock);
  dialer->running++;
  pthread_mutex_unlock(&dialer->lock);
  int64_t timeout_ms = timeout_ns <= 0 ? 1 : (timeout_ns - 1) / TETHER_MS + 1;
  nng_aio_set_timeout(dialer->aio, timeout_ms > INT_MAX ? NNG_DURATION_INFINITE : (nng_duration)timeout_ms);
  nng_stream_dialer_dial(dialer->dialer, dialer->aio);
}

void tth_nng_dialer_free(tth_dialer *dialer) {
  if (!dialer) return;
  nng_stream_dialer_close(dialer->dialer);
  pthread_mutex_lock(&dialer->lock);
  dialer->closing = true;
  if (dialer->greeting) tth_nng_link_abort(dialer->greeting, "the client is closing");
  while (dialer->running > 0) pthread_cond_wait(&dialer->idle, &dialer->lock);
  pthread_mutex_unlock(&dialer->lock);
  nng_aio_free(dialer->aio);
  nng_stream_dialer_free(dialer->dialer);
  tth_nng_tls_close(&dialer->secured);
  pthread_cond_destroy(&dialer->idle);
  pthread_mutex_destroy(&dialer->lock);
  free(dialer);
}
