/* Windows: how much of a stream may be on its way or unread, in bytes of MESSAGE frames, headers included.
 *
 * The receiver's count of one stream; nothing but WINDOW adds to credit, and nothing but the owner takes from unread:
 *
 *       WINDOW leaves            MESSAGE comes              the owner has used it
 *   room ───────────> credit ───────────────────> unread ────────────────────────> room
 *
 *   |<──── credit + unread + room = the size: first window + grown + reserved ────>|
 *
 * Room is granted once it is half of the size: few frames, and a sender is never stopped by a reader that keeps up.
 * Beyond the first window a stream takes from the connection's budget, in two ways:
 *
 *   grown     the reader keeps up and the sender is short: the window doubles. Given back after END.
 *   reserved  the credit does not cover a message that has begun, which is more than half of the window: room for the
 *             rest of it, and no more, so that a stream that falls silent afterwards keeps nothing of the budget
 *
 *               first slice          the budget has it,            last slice          used by the owner
 *   (ordinary) ────────────> WAITING ──────────────────> PROMISED ───────────> unread ───────────────────> (ordinary)
 *                               └──────── room enough meanwhile, or the stream ends ──────────^
 *
 * Streams that wait are served in the order in which they began to. One that waits holds nothing but what its unread
 * messages need, and what may go into grown windows leaves room for the longest message: so the first always gets what
 * it wants once the owners have used what they have, and nobody waits for ever. A stream holds a reservation for one
 * message at a time: a slow reader cannot collect the budget of all.
 *
 * What a connection holds unread is thus at most a first window for each stream, and the budget.
 *
 * The sender's count is one number, the credit it has left. Failures: a frame beyond the credit breaks the connection,
 * as does credit beyond 2^31 - 1. */
#include "rpc/session.h"
#include "rpc/session_impl.h"
#include "rpc/unpack.h"
#include "tether/v1/frames.pb-c.h"

/* What slices of a message of `left` bytes cost. */
static uint64_t slices_cost(uint64_t left) { return left + (left + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER; }

/* The limits below keep a window with the longest message on top of it under 2^32. */
void tth_windows_init(tth_session *session) {
  tether_limits *limits = &session->limits;
  if (limits->stream_window_bytes < TTH_WINDOW_LEAST) limits->stream_window_bytes = TTH_WINDOW_LEAST;
  if (limits->stream_window_bytes > TTH_FIRST_WINDOW_MOST) limits->stream_window_bytes = TTH_FIRST_WINDOW_MOST;
  if (limits->max_message_bytes > TTH_MESSAGE_MOST) limits->max_message_bytes = TTH_MESSAGE_MOST;
  uint64_t longest = 4 + slices_cost(limits->max_message_bytes);
  session->budget = limits->connection_window_bytes > longest ? limits->connection_window_bytes : longest;
  session->growth_left = session->budget - longest;
  session->waiting.kind = TTH_LIST_WAITING;
  session->owed.kind = TTH_LIST_OWED;
}

void tth_window_open(tth_session *session, tth_stream *stream) {
  stream->in.credit = (uint32_t)session->limits.stream_window_bytes;
  stream->send_credit = (uint32_t)session->peer_limits.stream_window_bytes;
}

/* ---- The receiver -------------------------------------------------------------------------- */

/* The window without what is reserved. */
static uint64_t own(const tth_session *session, const tth_stream *stream) {
  return session->limits.stream_window_bytes + stream->in.grown;
}

static uint64_t size_of(const tth_session *session, const tth_stream *stream) {
  return own(session, stream) + stream->in.reserved;
}

/* What may be granted. */
static uint64_t room(const tth_session *session, const tth_stream *stream) {
  uint64_t most = size_of(session, stream) - stream->in.unread;
  if (most > TTH_CREDIT_MOST) most = TTH_CREDIT_MOST;
  return most > stream->in.credit ? most - stream->in.credit : 0;
}

/* What is still to come of a message that has begun. */
static uint64_t rest_of(const tth_stream *stream) {
  return stream->message ? slices_cost(stream->message_total - stream->message_len) : 0;
}

static bool takes_more(const tth_stream *stream) { return !stream->discard && !stream->ended; }

/* Grants what there is room for if it is time to. While a message is coming, the rest of it is what counts: half of the
 * size may be more than is left, and the owner cannot use half a message. */
static void offer(tth_session *session, tth_stream *stream) {
  uint64_t some = room(session, stream), size = size_of(session, stream), rest = rest_of(stream);
  uint64_t had = stream->in.credit;
  if (size > TTH_CREDIT_MOST) size = TTH_CREDIT_MOST;
  if (some == 0 || !takes_more(stream)) return;
  if (2 * some < size && (had >= rest || had + some < rest)) return;
  if (had + some >= rest) tth_list_leave(session, stream, TTH_LIST_WAITING);
  if (!stream->listed[TTH_LIST_OWED]) tth_list_push(&session->owed, stream);
}

/* Gives back to the budget what the stream does not need any more. */
static void settle(tth_session *session, tth_stream *stream) {
  tth_window *in = &stream->in;
  uint64_t used = (uint64_t)in->unread + in->credit, held = in->reserved;
  if (!takes_more(stream)) {
    session->growth_left += in->grown;
    held += in->grown;
    in->grown = 0;
  }
  uint64_t mine = own(session, stream), keep = used > mine ? used - mine : 0;
  if (keep < in->promised) keep = in->promised;
  if (held > keep) {
    session->budget += held - keep;
    held = keep;
  }
  in->reserved = (uint32_t)held;
}

/* Reserves for those who wait, the first first, as far as the budget goes. */
static void serve_waiting(tth_session *session) {
  for (tth_stream *stream; (stream = session->waiting.first);) {
    uint64_t rest = rest_of(stream), held = stream->in.reserved, more = rest > held ? rest - held : 0;
    if (more > session->budget) return;
    (void)tth_list_pop(&session->waiting);
    session->budget -= more;
    stream->in.reserved = (uint32_t)(held + more);
    stream->in.promised = (uint32_t)rest;
    offer(session, stream);
  }
}

bool tth_window_take(tth_stream *stream, size_t len) {
  uint64_t cost = TTH_FRAME_HEADER + (uint64_t)len;
  if (cost > stream->in.credit) return false;
  stream->in.credit -= (uint32_t)cost;
  stream->in.unread += (uint32_t)cost;
  stream->in.partial += (uint32_t)cost;
  return true;
}

void tth_window_slice(tth_session *session, tth_stream *stream, bool first) {
  uint64_t rest = rest_of(stream);
  /* Half of the window always becomes free as the owner uses what is there; more may not (it gathers costs). */
  bool is_long = stream->in.partial + rest > own(session, stream) / 2;
  if (first && stream->in.credit < rest && is_long) tth_list_push(&session->waiting, stream);
  offer(session, stream);
  serve_waiting(session);
}

/* The message that was coming is here, or never will be. */
static void message_over(tth_session *session, tth_stream *stream) {
  stream->in.partial = stream->in.promised = 0;
  tth_list_leave(session, stream, TTH_LIST_WAITING);
}

uint64_t tth_window_message(tth_session *session, tth_stream *stream, bool end) {
  tth_window *in = &stream->in;
  uint32_t cost = in->partial;
  message_over(session, stream);
  if (!end) return cost;
  /* The last message costs no credit any more; what it has of the budget it keeps until it has been used. */
  bool counts = in->unread > own(session, stream);
  if (!counts) in->unread -= cost;
  stream->ended = true;
  tth_window_close(session, stream);
  return counts ? cost : 0;
}

void tth_window_close(tth_session *session, tth_stream *stream) {
  tth_window *in = &stream->in;
  in->unread -= in->partial;
  in->credit = 0;
  message_over(session, stream);
  tth_list_leave(session, stream, TTH_LIST_OWED);
  if (in->grown || in->reserved) settle(session, stream);
  serve_waiting(session);
}

void tth_window_release(tth_session *session, tth_stream *stream) {
  stream->discard = true;
  stream->in.unread = stream->in.partial;
  tth_window_close(session, stream);
}

/* Doubles the window of a reader that keeps up with a sender that is short of credit. */
static void grow(tth_session *session, tth_stream *stream) {
  tth_window *in = &stream->in;
  uint64_t more = own(session, stream);
  if (more >= TTH_WINDOW_MOST || 4 * (uint64_t)in->unread >= size_of(session, stream)) return;
  if (4 * (uint64_t)in->credit >= more) return;
  if (more > TTH_WINDOW_MOST - more) more = TTH_WINDOW_MOST - more;
  if (session->waiting.first || more > session->growth_left || more > session->budget) return;
  session->budget -= more;
  session->growth_left -= more;
  in->grown += (uint32_t)more;
}

void tth_session_consumed(tth_session *session, tth_stream *stream, size_t cost) {
  tth_window *in = &stream->in;
  if (cost > in->unread - in->partial) cost = in->unread - in->partial;
  in->unread -= (uint32_t)cost;
  if (takes_more(stream)) grow(session, stream);
  settle(session, stream);
  offer(session, stream);
  serve_waiting(session);
}

bool tth_window_next(tth_session *session, uint32_t *id, uint32_t *bytes) {
  for (tth_stream *stream; (stream = tth_list_pop(&session->owed));) {
    uint32_t some = (uint32_t)room(session, stream);
    if (some == 0) continue; /* it was for a message that did not need all of it */
    stream->in.credit += some;
    *id = stream->id;
    *bytes = some;
    return true;
  }
  return false;
}

/* ---- The sender ---------------------------------------------------------------------------- */

const char *tth_window_received(tth_session *session, tth_stream *stream, const tth_frame *frame) {
  char memory[256], why[8];
  ProtobufCMessage *message = NULL;
  tth_arena arena;
  tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
  bool parsed = tth_unpack(&tether__v1__window__descriptor, frame->payload, frame->length, 4096, &arena, why,
                           sizeof why, &message) == TETHER_OK;
  uint64_t bytes = parsed ? ((const Tether__V1__Window *)message)->bytes : 0;
  tth_arena_fini(&arena);
  if (!parsed) return "a WINDOW that does not parse";
  if (bytes > TTH_CREDIT_MOST - stream->send_credit) return "a window beyond 2^31";
  stream->send_credit += (uint32_t)bytes;
  tth_stream_make_ready(session, stream);
  return NULL;
}
