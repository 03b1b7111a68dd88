/* rpc/recent.h: how long recent things took: a histogram that forgets. No clock, no lock. */
#ifndef TETHER_RPC_RECENT_H
#define TETHER_RPC_RECENT_H

#include <tether/base.h>

/* Four slots for each doubling, from a microsecond to half an hour. */
#define TTH_RECENT_SLOTS 124

/* After so long without news all is forgotten. */
#define TTH_RECENT_FORGET_NS (2 * TETHER_SEC)

/* So many count, or those of a few seconds if they are fewer. */
#define TTH_RECENT_MOST 256

/* Of fewer nothing is said. */
#define TTH_RECENT_LEAST 16

/* {0} is empty. */
typedef struct tth_recent {
  uint16_t slots[TTH_RECENT_SLOTS];
  uint32_t count;
  int64_t halved_ns, added_ns;
} tth_recent;

/* Notes one. Older ones lose half of their weight every second, and with every 128 that come. */
void tth_recent_add(tth_recent *recent, int64_t took_ns, int64_t now_ns);

/* What `per_cent` of them did not exceed, rounded down by at most a fifth; 0: there are too few. */
int64_t tth_recent_quantile(const tth_recent *recent, unsigned per_cent);

#endif
