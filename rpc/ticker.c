/* A timer that goes on by itself.
 *
 *   IDLE ──kick, stop──> RUNNING ──armed──> ARMED ──time, kick, stop──> RUNNING ──stopped, no memory──> OVER
 *    ^                   │ ^   │
 *    └──no next time─────┘ └───┘ kicked, or time came, meanwhile
 *
 * Whoever moves it to RUNNING ticks and arms; everybody else leaves `again`. So ticks never overlap, a timer that runs
 * out while it is being armed is no special case, and neither is a callback that comes from inside arming it. */
#include "rpc/ticker.h"

void tth_ticker_init(tth_ticker *ticker, int64_t (*tick)(void *owner), void (*ended)(void *owner, bool memory),
                     void *owner) {
  *ticker = (tth_ticker){.tick = tick, .ended = ended, .owner = owner};
  pthread_mutex_init(&ticker->mu, NULL);
}

void tth_ticker_fini(tth_ticker *ticker) { pthread_mutex_destroy(&ticker->mu); }

static void run(tth_ticker *ticker);

/* Takes over, unless somebody is at it; true: the caller runs. */
static bool take(tth_ticker *ticker, bool from_timer) {
  pthread_mutex_lock(&ticker->mu);
  bool idle = !ticker->running && !ticker->over, armed = ticker->armed;
  if (!idle) ticker->again = true;
  if (idle) {
    ticker->begun = ticker->running = true;
    ticker->armed = false;
  }
  pthread_mutex_unlock(&ticker->mu);
  /* Else the timer's own callback may be on its way: it finds somebody running, and is not waited for long. */
  if (idle && armed && !from_timer) (void)tether_after_stop_wait(&ticker->after);
  return idle;
}

static void on_time(void *data) {
  tth_ticker *ticker = data;
  if (take(ticker, true)) run(ticker);
}

/* false: no memory. */
static bool arm(tth_ticker *ticker, int64_t at_ns) {
  ticker->ctx = tether_ctx_with_deadline(tether_ctx_background(), at_ns);
  if (tether_ctx_err(ticker->ctx) == TETHER_CANCELLED) return false;
  tether_ctx_after_func(ticker->ctx, &ticker->after, NULL, on_time, ticker);
  return true;
}

static void end(tth_ticker *ticker, bool memory) {
  pthread_mutex_lock(&ticker->mu);
  ticker->running = false;
  bool had = !ticker->over;
  ticker->over = true;
  pthread_mutex_unlock(&ticker->mu);
  if (had) ticker->ended(ticker->owner, memory);
}

static void run(tth_ticker *ticker) {
  for (;;) {
    pthread_mutex_lock(&ticker->mu);
    ticker->again = false;
    bool stopped = ticker->stopped;
    pthread_mutex_unlock(&ticker->mu);
    tether_ctx_free(ticker->ctx);
    ticker->ctx = NULL;
    int64_t at_ns = stopped ? TETHER_FOREVER : ticker->tick(ticker->owner);
    bool wanted = at_ns != TETHER_FOREVER, memory = wanted && !arm(ticker, at_ns);
    if (stopped || memory) {
      tether_ctx_free(ticker->ctx);
      ticker->ctx = NULL;
      end(ticker, memory);
      return;
    }
    pthread_mutex_lock(&ticker->mu);
    bool done = !ticker->again && !ticker->stopped;
    if (done) {
      ticker->running = false;
      ticker->armed = wanted;
    }
    pthread_mutex_unlock(&ticker->mu);
    if (done) return;
    if (wanted) (void)tether_after_stop_wait(&ticker->after); /* what it has begun has left `again` and gone */
  }
}

void tth_ticker_kick(tth_ticker *ticker) {
  if (take(ticker, false)) run(ticker);
}

void tth_ticker_stop(tth_ticker *ticker) {
  pthread_mutex_lock(&ticker->mu);
  ticker->stopped = true;
  bool begun = ticker->begun;
  pthread_mutex_unlock(&ticker->mu);
  if (begun) tth_ticker_kick(ticker);
}
