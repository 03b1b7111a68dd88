/* rpc/session_clock.h: time across a connection: what a client knows of its server's clock, what HEADERS say of the
 * time that is left, and what the server makes of that. Wall clocks play no part, and nothing here reads a clock. */
#ifndef TETHER_RPC_SESSION_CLOCK_H
#define TETHER_RPC_SESSION_CLOCK_H

#include <tether/base.h>

/* ---- Stamps -------------------------------------------------------------------------------- */

#define TTH_STAMPS_SIZE ((size_t)32)

/* What PING and PONG carry (protocol.md, "Clock"). */
typedef struct tth_stamps {
  int64_t ping_left_ns; /* on the asking side's clock; it knows its PONG by this */
  int64_t ping_came_ns; /* the other two on the answering side's; 0: it does not stamp */
  int64_t pong_left_ns;
} tth_stamps;

/* Writes a payload of TTH_STAMPS_SIZE bytes; reads one of any length: what is missing is 0. */
void tth_stamps_put(uint8_t *to, const tth_stamps *stamps);
tth_stamps tth_stamps_get(const uint8_t *from, size_t len);

/* ---- The estimate -------------------------------------------------------------------------- */

/* How often the peer is asked before its answers are used. */
#define TTH_CLOCK_BURST 4

/* So long after an answer the next question may go along with other traffic. */
#define TTH_CLOCK_PERIOD_NS (1 * TETHER_SEC)

/* What one side knows of the other's clock. {0}: nothing, and it does not ask. */
typedef struct tth_peer_clock {
  bool running;                 /* may ask */
  bool known;                   /* there is a sample: */
  int64_t offset_ns;            /* the peer's clock minus ours */
  int64_t rtt_ns;               /* what the answer took, less the time it spent at the peer */
  int64_t at_ns;                /* when it came */
  int64_t ping_ns;              /* our stamp in the PING under way; 0: none */
  int64_t answered_ns;          /* when the last PONG came */
  unsigned burst;               /* this many answers more before the sample is used */
  int64_t late_ns, late_dev_ns; /* by how much answers come after the deadline that the peer was given, once it has
                                   passed: mean and mean deviation; 0: none has yet */
} tth_peer_clock;

/* The peer may be asked from now on; never again. */
void tth_peer_clock_start(tth_peer_clock *clock);
void tth_peer_clock_stop(tth_peer_clock *clock);

/* Whether a PING should leave now. `company`: other things leave too. */
TETHER_MUST_USE bool tth_peer_clock_due(const tth_peer_clock *clock, int64_t now_ns, bool company);

/* A PING with this stamp has left. */
void tth_peer_clock_asked(tth_peer_clock *clock, int64_t stamp_ns);

/* A PONG has come. Stamps that cannot be true, or answer nothing, teach nothing. */
void tth_peer_clock_answered(tth_peer_clock *clock, const tth_stamps *stamps, int64_t now_ns);

/* The answer to a call came so long after the deadline that the peer was given for it. */
void tth_peer_clock_late(tth_peer_clock *clock, int64_t late_ns);

/* The peer's clock at our `now_ns`; INT64_MIN: not known. */
TETHER_MUST_USE int64_t tth_peer_clock_at(const tth_peer_clock *clock, int64_t now_ns);

/* ---- The time that is left ----------------------------------------------------------------- */

/* What the server is told when `left_ns`, more than 0, are left: less than that by the reserve (tth_out), never 0. */
TETHER_MUST_USE int64_t tth_peer_clock_timeout(const tth_peer_clock *clock, int64_t left_ns, int64_t reserve_ns);

/* The deadline of a call that had `timeout_ns` left when it was sent. `sent_at_ns` is that moment on our clock; what
 * has passed since, on the way and in queues, is charged to the call. INT64_MIN: not known, nothing is charged. */
int64_t tth_deadline_of(int64_t timeout_ns, int64_t sent_at_ns, int64_t now_ns);

#endif
