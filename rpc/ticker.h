/* rpc/ticker.h: a timer that is asked again and again when it wants to be called next. One context's deadline, armed
 * only while there is something to wait for: with nothing, it rests until it is kicked. */
#ifndef TETHER_RPC_TICKER_H
#define TETHER_RPC_TICKER_H

#include <pthread.h>
#include <tether/ctx.h>

typedef struct tth_ticker {
  /* Called without locks, never two at once; returns when to be called next, TETHER_FOREVER: when it is kicked. On the
   * timer thread, or on one that kicks. Must not block. */
  int64_t (*tick)(void *owner);
  /* Called once after the last tick, when it was stopped, or with `memory`: there was none for the timer, and ticks
   * were still wanted. */
  void (*ended)(void *owner, bool memory);
  void *owner;

  pthread_mutex_t mu;
  /* under mu */
  bool begun;   /* it was kicked */
  bool running; /* somebody ticks or arms */
  bool armed;   /* nobody does, and the timer will */
  bool again;   /* whoever runs is to tick once more */
  bool stopped, over;
  /* of whoever runs */
  tether_ctx *ctx;
  tether_after after;
} tth_ticker;

void tth_ticker_init(tth_ticker *ticker, int64_t (*tick)(void *owner), void (*ended)(void *owner, bool memory),
                     void *owner);
void tth_ticker_fini(tth_ticker *ticker);

/* Ticks now, the first time too. Nothing happens once it has ended. */
void tth_ticker_kick(tth_ticker *ticker);

/* No tick begins any more, and `ended` follows: before the return, or when the running tick is over; of a ticker that
 * was not kicked yet, when it is. */
void tth_ticker_stop(tth_ticker *ticker);

#endif
