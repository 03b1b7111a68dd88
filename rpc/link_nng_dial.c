/* rpc/link_nng_dial.c: connecting. An attempt is nng's connect and then the exchange of greetings, within one time
 * limit; it ends with one call of `done` on one of nng's threads.
 *
 *   dial ──> connecting ──> greeting ──> done(link)
 *                │              └──────> done(NULL, why): silence, another protocol, TLS
 *                └─────────────────────> done(NULL, why): refused, timed out, no such host
 *
 * dialer_free closes what the attempt is waiting for and waits until `done` has returned.
 *
 * An attempt that nng gives up for its time leaves a callback behind in nng's dialer, which takes the next attempt for
 * its own: that one ends well and without a stream, and one after it finds nng's lists in disorder. So after such an
 * attempt nng's dialer is replaced. The old one is freed when the next one is replaced: by then nothing is left in it
 * to wait for. */
#include <limits.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/link_nng.h"
#include "rpc/real_time.h"

/* nng's dialer with what it was made with. */
typedef struct dialing {
  nng_stream_dialer *dialer;
  tth_nng_tls secured;
} dialing;

struct tth_dialer {
  char *url;
  tth_tls *tls; /* a reference; may be NULL */
  nng_aio *aio;
  tth_nng_kind kind;

  /* The attempt under way's. */
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
  int64_t end_ns;

  pthread_mutex_t lock;
  pthread_cond_t idle;
  dialing now, worn;
  bool timed_out;         /* the last attempt has, so `now` is worn */
  unsigned running;       /* attempts whose done has not returned; more than one if done dials again */
  tth_nng_link *greeting; /* the link whose greetings are being exchanged */
  bool closing;
};

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
    bool tls = tth_nng_tls_last_failure(&dialer->now.secured, &why);
    dialer->timed_out = error == NNG_ETIMEDOUT;
    finish(dialer, NULL, error == NNG_ECLOSED ? "the client is closing" : tls ? why.text : tth_nng_why(error));
    return;
  }
  dialer->timed_out = false;
  tth_nng_link *link = tth_nng_link_new(nng_aio_get_output(dialer->aio, 0), dialer->kind);
  if (!link) {
    finish(dialer, NULL, "out of memory");
    return;
  }
  int64_t left_ns = dialer->end_ns == TETHER_FOREVER ? TETHER_FOREVER : dialer->end_ns - tth_real_now_ns();
  pthread_mutex_lock(&dialer->lock);
  dialer->greeting = link;
  if (dialer->closing) tth_nng_link_abort(link, "the client is closing");
  pthread_mutex_unlock(&dialer->lock);
  tth_nng_link_greet(link, NULL, left_ns, greeted, dialer);
}

static void dialing_fini(dialing *d) {
  if (!d->dialer) return;
  nng_stream_dialer_free(d->dialer);
  tth_nng_tls_close(&d->secured);
}

/* Replaces nng's dialer; returns what is to be freed without the lock. Without memory all stays as it is. */
static dialing renew_locked(tth_dialer *dialer) {
  dialing fresh = {0}, old = {0};
  if (dialer->closing) return old;
  if (tth_nng_dialer_alloc(dialer->url, dialer->tls, &fresh.dialer, &dialer->kind, &fresh.secured) != TETHER_OK)
    return old;
  old = dialer->worn;
  dialer->worn = dialer->now;
  dialer->now = fresh;
  dialer->timed_out = false;
  return old;
}

tether_code tth_nng_dialer_new(const char *url, tth_tls *tls, tth_dialer **dialer) {
  tth_dialer *made = calloc(1, sizeof *made);
  if (!made) return TETHER_RESOURCE_EXHAUSTED;
  tether_code code = tth_nng_dialer_alloc(url, tls, &made->now.dialer, &made->kind, &made->now.secured);
  if (code == TETHER_OK && (!(made->url = strdup(url)) || nng_aio_alloc(&made->aio, connected, made) != 0))
    code = TETHER_RESOURCE_EXHAUSTED;
  if (code != TETHER_OK) {
    dialing_fini(&made->now);
    free(made->url);
    free(made);
    return code;
  }
  made->tls = tls ? tth_tls_ref(tls) : NULL;
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->idle, NULL);
  *dialer = made;
  return TETHER_OK;
}

void tth_nng_dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                  void *owner) {
  dialer->done = done;
  dialer->owner = owner;
  dialer->end_ns = tether_time_add(tth_real_now_ns(), timeout_ns);
  dialing old = {0};
  pthread_mutex_lock(&dialer->lock);
  dialer->running++;
  if (dialer->timed_out) old = renew_locked(dialer);
  nng_stream_dialer *now = dialer->now.dialer;
  pthread_mutex_unlock(&dialer->lock);
  dialing_fini(&old);
  int64_t timeout_ms = timeout_ns <= 0 ? 1 : (timeout_ns - 1) / TETHER_MS + 1;
  nng_aio_set_timeout(dialer->aio, timeout_ms > INT_MAX ? NNG_DURATION_INFINITE : (nng_duration)timeout_ms);
  nng_stream_dialer_dial(now, dialer->aio);
}

void tth_nng_dialer_free(tth_dialer *dialer) {
  if (!dialer) return;
  pthread_mutex_lock(&dialer->lock);
  dialer->closing = true;
  nng_stream_dialer *now = dialer->now.dialer;
  pthread_mutex_unlock(&dialer->lock);
  nng_stream_dialer_close(now);
  pthread_mutex_lock(&dialer->lock);
  if (dialer->greeting) tth_nng_link_abort(dialer->greeting, "the client is closing");
  while (dialer->running > 0) pthread_cond_wait(&dialer->idle, &dialer->lock);
  pthread_mutex_unlock(&dialer->lock);
  nng_aio_free(dialer->aio);
  dialing_fini(&dialer->now);
  dialing_fini(&dialer->worn);
  tth_tls_unref(dialer->tls);
  free(dialer->url);
  pthread_cond_destroy(&dialer->idle);
  pthread_mutex_destroy(&dialer->lock);
  free(dialer);
}
