/* The peer's clock, from PING and PONG.
 *
 *   ours    t1 ───────────PING──────────┐              ┌──────────PONG─────────> t4
 *   peer's                              └─> t2 ──── t3 ┘
 *
 * If both ways took the same, the peer's clock was (t2 - t1 + t3 - t4) / 2 ahead of ours. They may not have; but the
 * error is at most half of the round trip (t4 - t1) - (t3 - t2), and grows from then on as the clocks drift apart. So
 * the sample with the least sum of both is kept, and samples that were held up behind data change nothing, however
 * many come in a row. One is enough to throw it out where it cannot be true any more: a machine was suspended.
 *
 *   stopped ──start──> burst ──TTH_CLOCK_BURST answers──> in use ──(an answer to a stale one)──> burst
 *
 * In a burst each answer makes the next question leave, and the sample is not used: the first may have met a thread
 * that was just starting. After that a question goes along with other traffic only: a quiet connection stays quiet.
 * Failures: a peer that does not answer, or not truly, is not asked again before it does, and gets the plain time that
 * is left. Whatever it says, it moves its own calls' deadlines only. */
#include "rpc/session_clock.h"

#include <string.h>

/* Crystals are better than this, one against the other. */
#define DRIFT_PPM 100

/* A sample is stale when the drift may have become the larger part of its error. So much of it is always good enough.
 */
#define DRIFT_OK_NS (1 * TETHER_MS)

/* No clock that began at boot is beyond (73 years), and below it no sum overflows. */
#define STAMP_MOST (INT64_MAX / 4)

/* What an answer needs besides half a round trip: to be written, scheduled, and read. More where it has been seen to
 * need more; a handler that does not stop is no reason to keep back for ever. */
#define RESERVE_MARGIN_NS (1 * TETHER_MS)
#define LATE_MOST_NS (100 * TETHER_MS)

/* ---- Stamps -------------------------------------------------------------------------------- */

static void put64(uint8_t *to, int64_t value) {
  for (int i = 0; i < 8; i++) to[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
}

static int64_t get64(const uint8_t *from) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | from[i];
  return (int64_t)value;
}

void tth_stamps_put(uint8_t *to, const tth_stamps *stamps) {
  put64(to, stamps->ping_left_ns);
  put64(to + 8, stamps->ping_came_ns);
  put64(to + 16, stamps->pong_left_ns);
  put64(to + 24, 0);
}

tth_stamps tth_stamps_get(const uint8_t *from, size_t len) {
  uint8_t bytes[TTH_STAMPS_SIZE] = {0};
  if (len > 0) memcpy(bytes, from, len < sizeof bytes ? len : sizeof bytes);
  return (tth_stamps){
      .ping_left_ns = get64(bytes), .ping_came_ns = get64(bytes + 8), .pong_left_ns = get64(bytes + 16)};
}

/* ---- The estimate -------------------------------------------------------------------------- */

void tth_peer_clock_start(tth_peer_clock *clock) {
  clock->running = true;
  clock->burst = TTH_CLOCK_BURST;
}

void tth_peer_clock_stop(tth_peer_clock *clock) { clock->running = false; }

bool tth_peer_clock_due(const tth_peer_clock *clock, int64_t now_ns, bool company) {
  if (!clock->running || clock->ping_ns != 0) return false;
  return clock->burst > 0 || (company && now_ns - clock->answered_ns >= TTH_CLOCK_PERIOD_NS);
}

void tth_peer_clock_asked(tth_peer_clock *clock, int64_t stamp_ns) { clock->ping_ns = stamp_ns; }

static int64_t drift_ns(const tth_peer_clock *clock, int64_t now_ns) {
  int64_t age_ns = now_ns - clock->at_ns;
  return age_ns > 0 ? age_ns / (1000000 / DRIFT_PPM) : 0;
}

static bool stale(const tth_peer_clock *clock, int64_t now_ns) {
  int64_t ok_ns = clock->rtt_ns / 2 > DRIFT_OK_NS ? clock->rtt_ns / 2 : DRIFT_OK_NS;
  return drift_ns(clock, now_ns) > ok_ns;
}

static void take_sample(tth_peer_clock *clock, int64_t offset_ns, int64_t rtt_ns, int64_t now_ns) {
  int64_t error_ns = clock->rtt_ns / 2 + drift_ns(clock, now_ns), apart_ns = offset_ns - clock->offset_ns;
  if (apart_ns < 0) apart_ns = -apart_ns;
  bool contradicts = apart_ns > error_ns + rtt_ns / 2;
  if (clock->known && rtt_ns / 2 > error_ns && !contradicts) return;
  clock->known = true;
  clock->offset_ns = offset_ns;
  clock->rtt_ns = rtt_ns;
  clock->at_ns = now_ns;
}

void tth_peer_clock_answered(tth_peer_clock *clock, const tth_stamps *stamps, int64_t now_ns) {
  int64_t t1 = stamps->ping_left_ns, t2 = stamps->ping_came_ns, t3 = stamps->pong_left_ns, t4 = now_ns;
  if (clock->ping_ns == 0 || t1 != clock->ping_ns) return;
  clock->ping_ns = 0;
  clock->answered_ns = now_ns;
  if (clock->known && stale(clock, now_ns)) {
    clock->known = false;
    clock->burst = TTH_CLOCK_BURST;
  }
  if (clock->burst > 0) clock->burst--;
  if (t2 <= 0 || t3 < t2 || t3 > STAMP_MOST || t4 < t1 || t4 > STAMP_MOST || t4 - t1 < t3 - t2) return;
  take_sample(clock, (t2 - t1 + t3 - t4) / 2, (t4 - t1) - (t3 - t2), now_ns);
}

/* As TCP estimates its round trips (RFC 6298, section 2). */
void tth_peer_clock_late(tth_peer_clock *clock, int64_t late_ns) {
  if (late_ns > LATE_MOST_NS) late_ns = LATE_MOST_NS;
  if (clock->late_ns == 0) {
    clock->late_ns = late_ns;
    clock->late_dev_ns = late_ns / 2;
    return;
  }
  int64_t apart_ns = late_ns - clock->late_ns;
  clock->late_dev_ns += ((apart_ns < 0 ? -apart_ns : apart_ns) - clock->late_dev_ns) / 4;
  clock->late_ns += apart_ns / 8;
}

int64_t tth_peer_clock_at(const tth_peer_clock *clock, int64_t now_ns) {
  if (!clock->known || clock->burst > 0 || stale(clock, now_ns)) return INT64_MIN;
  return tether_time_add(now_ns, clock->offset_ns);
}

/* ---- The time that is left ----------------------------------------------------------------- */

static int64_t measured_reserve_ns(const tth_peer_clock *clock) {
  int64_t way_ns = (clock->known ? clock->rtt_ns / 2 : 0) + RESERVE_MARGIN_NS;
  int64_t late_ns = clock->late_ns + 4 * clock->late_dev_ns;
  return way_ns > late_ns ? way_ns : late_ns;
}

int64_t tth_peer_clock_timeout(const tth_peer_clock *clock, int64_t left_ns, int64_t reserve_ns) {
  int64_t most_ns = left_ns / (reserve_ns == 0 ? 8 : 2);
  if (reserve_ns == 0) reserve_ns = measured_reserve_ns(clock);
  if (reserve_ns < 0) reserve_ns = 0;
  return left_ns - (reserve_ns < most_ns ? reserve_ns : most_ns);
}

int64_t tth_deadline_of(int64_t timeout_ns, int64_t sent_at_ns, int64_t now_ns) {
  /* A stamp from the future is the estimate's error. */
  int64_t from_ns = sent_at_ns == INT64_MIN || sent_at_ns > now_ns ? now_ns : sent_at_ns;
  return tether_time_add(from_ns, timeout_ns);
}
