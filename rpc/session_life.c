/* How long a connection lives: signs of life, age, idleness, and how it ends. Nothing here reads a clock or sends: time
 * comes in with every batch and every tick, and PINGs and GOAWAYs leave with the next fill.
 *
 *   OPEN ──drain──> ASKED ──PONG, or 5 s──> LAST ──no streams (tick)──> LEAVING ──its PONG, or 1 s──> closed
 *     │                                       │ grace over                 ^
 *     │                                       └──────────> closed          │
 *     └──────────────── thrown out: too many PINGs, too many connections ──┘
 *
 *   ASKED    GOAWAY has said: open nothing more. What was on its way meanwhile is still accepted, and the PING behind
 *            it is answered when nothing more can come: so no call of a client is lost to a drain
 *   LAST     GOAWAY has said which stream was the last; later ones are refused
 *   LEAVING  input is skipped, but for the client's last words on calls that were answered (VERDICT); the close waits
 *            until the peer has read why
 *
 * Keepalive (gRFC A8): whatever comes is a sign of life. After keepalive_ns without one a PING leaves; after
 * keepalive_timeout_ns more without one the peer is taken for gone. So a peer that vanished is noticed after the sum of
 * both. Nothing is noted for that on the way of a call: the tick looks at when the last batch came.
 *
 * Who is asked too often (A8 too): a PING that comes sooner than permit_ns after the one before is a strike, as is, if
 * that is not permitted, any sooner than two hours while there are no streams. Any frame of a stream, either way,
 * forgives all strikes; so the questions about the clock, a few at once and later only beside such frames, come to
 * nothing. */
#include <string.h>

#include "rpc/session_impl.h"

/* How long a drain waits for the answer to its PING. gRPC's. */
#define ASKED_BOUND_NS (5 * TETHER_SEC)

/* How long a peer may take to read why it is thrown out. */
#define LEAVING_BOUND_NS (1 * TETHER_SEC)

/* In LAST a tick looks this often whether there are streams. */
#define LOOK_NS (1 * TETHER_SEC)

/* gRPC's two, and the questions of a new connection about the clock. */
#define STRIKES_MOST (2 + TTH_CLOCK_BURST)

/* The least between PINGs without streams, where they are not permitted. gRPC's. */
#define ALONE_NS (2 * 3600 * TETHER_SEC)

void tth_session_live(tth_session *session, const tth_life_limits *limits, int64_t age_ns, int64_t now_ns) {
  tth_life *life = &session->life;
  life->limits = *limits;
  life->born_ns = life->used_ns = session->input_ns = now_ns;
  life->age_at_ns = tether_time_add(now_ns, age_ns);
}

const char *tth_session_why(const tth_session *session) { return session->life.why ? session->life.why : ""; }

/* ---- Being asked --------------------------------------------------------------------------- */

bool tth_life_pinged(tth_session *session) {
  tth_life *life = &session->life;
  if (life->limits.permit_ns == 0) return true;
  bool alone = session->streams.count == 0 && !life->limits.permit_without_calls;
  int64_t least_ns = alone ? ALONE_NS : life->limits.permit_ns;
  bool soon = life->pinged_ns != 0 && session->input_ns - life->pinged_ns < least_ns;
  life->pinged_ns = session->input_ns;
  return !soon || ++life->strikes <= STRIKES_MOST;
}

int64_t tth_life_calmed(const tth_session *session) {
  int64_t asked_ns = session->life.limits.keepalive_ns;
  return tether_time_add(asked_ns, asked_ns);
}

/* ---- Ending -------------------------------------------------------------------------------- */

void tth_session_drain(tth_session *session, const char *why, int64_t now_ns) {
  tth_life *life = &session->life;
  if (life->stage != TTH_LIFE_OPEN || session->going_away) return;
  life->stage = TTH_LIFE_ASKED;
  life->why = why;
  life->until_ns = tether_time_add(now_ns, ASKED_BOUND_NS);
  life->ask = true;
  life->drain_stamp_ns = tether_time_add(session->stamp_ns, 1); /* of this PING or of a later one */
  tth_session_say_goaway(session, session->last_stream + INT32_MAX, why);
}

void tth_session_goaway(tth_session *session, const char *why) {
  tth_life *life = &session->life;
  if (session->going_away) return;
  session->going_away = true;
  if (life->stage < TTH_LIFE_LAST) life->stage = TTH_LIFE_LAST;
  if (!life->why) life->why = why;
  tth_session_say_goaway(session, session->last_stream, life->why);
}

void tth_session_throw_out(tth_session *session, const char *why, int64_t now_ns) {
  tth_life *life = &session->life;
  life->why = why;
  tth_session_goaway(session, why);
  life->stage = TTH_LIFE_LEAVING;
  life->until_ns = tether_time_add(now_ns, LEAVING_BOUND_NS);
  tth_session_ping(session);
}

bool tth_life_answered(tth_session *session, int64_t stamp_ns) {
  tth_life *life = &session->life;
  if (life->stage != TTH_LIFE_ASKED || stamp_ns < life->drain_stamp_ns) return false;
  tth_session_goaway(session, life->why);
  return true;
}

/* ---- Time ---------------------------------------------------------------------------------- */

/* Each of these looks at one thing: true if it ends the connection, with `why`; else *next_ns is made no later than
 * when to look again. */

static bool before(int64_t at_ns, int64_t now_ns, int64_t *next_ns) {
  if (now_ns >= at_ns) return false;
  if (at_ns < *next_ns) *next_ns = at_ns;
  return true;
}

static bool is_unheard(tth_session *session, int64_t now_ns, int64_t *next_ns) {
  tth_life *life = &session->life;
  const tth_life_limits *limits = &life->limits;
  if (!session->hello_seen && !before(tether_time_add(life->born_ns, limits->hello_ns), now_ns, next_ns)) return true;
  if (limits->keepalive_ns == TETHER_FOREVER) return false;
  if (life->asked_ns != 0 && session->input_ns < life->asked_ns)
    return !before(tether_time_add(life->asked_ns, limits->keepalive_timeout_ns), now_ns, next_ns);
  life->asked_ns = 0;
  if (before(tether_time_add(session->input_ns, limits->keepalive_ns), now_ns, next_ns)) return false;
  bool wanted = session->role == TTH_SERVER || limits->without_calls || tth_session_stream_count(session) > 0;
  if (wanted) {
    life->asked_ns = now_ns;
    life->strikes = 0; /* beside its answer the peer may have questions of its own */
    /* A PING behind everything else is owed, or under way: it asks as well, and its answer must not be another's. */
    life->ask = !session->ping_owed && session->barrier_ns == 0;
  }
  (void)before(tether_time_add(now_ns, wanted ? limits->keepalive_timeout_ns : limits->keepalive_ns), now_ns, next_ns);
  return false;
}

static bool is_over(tth_session *session, int64_t now_ns, int64_t *next_ns) {
  tth_life *life = &session->life;
  if (life->stage == TTH_LIFE_OPEN) return false;
  if (life->stage == TTH_LIFE_LEAVING) return !before(life->until_ns, now_ns, next_ns);
  if (life->stage == TTH_LIFE_ASKED && !before(life->until_ns, now_ns, next_ns)) tth_session_goaway(session, life->why);
  if (life->stage == TTH_LIFE_LAST && life->grace_at_ns != 0)
    (void)before(tether_time_add(now_ns, LOOK_NS), now_ns, next_ns);
  return life->grace_at_ns != 0 && !before(life->grace_at_ns, now_ns, next_ns);
}

/* Drains a connection that is old or idle. */
static void retire(tth_session *session, int64_t now_ns, int64_t *next_ns) {
  tth_life *life = &session->life;
  if (session->role != TTH_SERVER || life->stage != TTH_LIFE_OPEN) return;
  bool busy = tth_session_stream_count(session) > 0;
  const char *why = NULL;
  if (!before(life->age_at_ns, now_ns, next_ns))
    why = "max_age";
  else if (!before(tether_time_add(busy ? now_ns : life->used_ns, life->limits.idle_ns), now_ns, next_ns))
    why = "max_idle";
  if (!why) return;
  tth_session_drain(session, why, now_ns);
  life->grace_at_ns = tether_time_add(now_ns, life->limits.age_grace_ns);
  (void)before(life->until_ns, now_ns, next_ns);
}

tth_tick tth_session_tick(tth_session *session, int64_t now_ns, int64_t *next_ns) {
  tth_life *life = &session->life;
  *next_ns = TETHER_FOREVER;
  if (life->stage != TTH_LIFE_LEAVING && is_unheard(session, now_ns, next_ns)) {
    life->why = session->hello_seen ? "keepalive: nothing came for too long, nor an answer to a PING"
                                    : "no HELLO within the handshake timeout";
    return TTH_TICK_DEAD;
  }
  retire(session, now_ns, next_ns);
  if (is_over(session, now_ns, next_ns)) return TTH_TICK_CLOSE;
  bool leaves = life->stage == TTH_LIFE_LAST && life->grace_at_ns != 0 && tth_session_stream_count(session) == 0;
  if (!leaves) return TTH_TICK_NOTHING;
  life->stage = TTH_LIFE_LEAVING;
  life->until_ns = tether_time_add(now_ns, LEAVING_BOUND_NS);
  (void)before(life->until_ns, now_ns, next_ns);
  return TTH_TICK_LEAVE;
}
