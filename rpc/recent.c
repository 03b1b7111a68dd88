/* A decaying histogram. Slot 4 * e + f holds what took (4 + f) / 4 * 2^e microseconds or more. */
#include "rpc/recent.h"

static unsigned slot_of(int64_t took_ns) {
  uint64_t us = took_ns > TETHER_US ? (uint64_t)(took_ns / TETHER_US) : 1;
  unsigned doublings = 63 - (unsigned)__builtin_clzll(us);
  unsigned quarter = (unsigned)(doublings >= 2 ? us >> (doublings - 2) : us << (2 - doublings)) & 3;
  unsigned slot = 4 * doublings + quarter;
  return slot < TTH_RECENT_SLOTS ? slot : TTH_RECENT_SLOTS - 1;
}

static int64_t least_of(unsigned slot) {
  int64_t quarters = (int64_t)(4 + slot % 4) << (slot / 4);
  return quarters * TETHER_US / 4;
}

static void halve(tth_recent *recent) {
  recent->count = 0;
  for (unsigned i = 0; i < TTH_RECENT_SLOTS; i++) recent->count += recent->slots[i] /= 2;
}

void tth_recent_add(tth_recent *recent, int64_t took_ns, int64_t now_ns) {
  if (recent->count == 0 || now_ns - recent->added_ns > TTH_RECENT_FORGET_NS)
    *recent = (tth_recent){.halved_ns = now_ns};
  if (recent->count >= TTH_RECENT_MOST || now_ns - recent->halved_ns >= TETHER_SEC) {
    halve(recent);
    recent->halved_ns = now_ns;
  }
  recent->slots[slot_of(took_ns)]++;
  recent->count++;
  recent->added_ns = now_ns;
}

int64_t tth_recent_quantile(const tth_recent *recent, unsigned per_cent) {
  if (recent->count < TTH_RECENT_LEAST) return 0;
  uint64_t below = (uint64_t)recent->count * per_cent / 100, seen = 0;
  unsigned slot = 0;
  while (slot < TTH_RECENT_SLOTS - 1 && (seen += recent->slots[slot]) <= below) slot++;
  return least_of(slot);
}
