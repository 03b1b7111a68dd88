/* The session's output side: from queued streams to batches.
 *
 * Order within a batch: control frames, then CANCELs, then WINDOWs, then HEADERS of new streams as far as the peer's
 * limit allows, then one piece of each ready stream in turn until the batch is full. So a CANCEL passes everything that
 * is queued, and a long message holds up nobody: it leaves a slice at a time. A piece leaves when the stream's credit
 * covers all of it; until then the stream is not among the ready. */
#include <stdlib.h>
#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/session_impl.h"
#include "tether/v1/frames.pb-c.h"

/* Origin <= 255, text <= 1023 (tether_cause_new) and their protobuf tags, with room to spare. */
#define CANCEL_MAX (TTH_FRAME_HEADER + 1400)

#define WINDOW_MAX (TTH_FRAME_HEADER + 6)

#define PING_LEN (TTH_FRAME_HEADER + TTH_STAMPS_SIZE)

/* Headers.timeout_ns and sent_at_ns: the first fields, fixed64, each behind one byte of tag. */
#define TIMEOUT_AT (TTH_FRAME_HEADER + 1)
#define SENT_AT (TIMEOUT_AT + 8 + 1)

bool tth_session_control(tth_session *session, tth_frame_type type, uint32_t stream, const uint8_t *payload,
                         size_t len) {
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + len, false);
  if (!out) return false;
  tth_frame_put(out->data, (uint32_t)len, type, 0, stream);
  memcpy(out->data + TTH_FRAME_HEADER, payload, len);
  *session->control_end = out;
  session->control_end = &out->next;
  session->pending += out->len;
  return true;
}

bool tth_session_refuse(tth_session *session, uint32_t stream, tether_code code, const char *message) {
  Tether__V1__Trailers trailers = TETHER__V1__TRAILERS__INIT;
  trailers.code = code;
  trailers.message = (char *)message;
  trailers.has_unaccepted = trailers.unaccepted = code == TETHER_UNAVAILABLE;
  uint8_t payload[256];
  size_t len = tether__v1__trailers__pack(&trailers, payload);
  if (!tth_session_control(session, TTH_TRAILERS, stream, payload, len)) return false;
  session->refusals++;
  return true;
}

void tth_session_verdict(tth_session *session, uint32_t stream, tether_code from, tether_code to) {
  Tether__V1__Verdict verdict = TETHER__V1__VERDICT__INIT;
  verdict.from = from;
  verdict.to = to;
  uint8_t payload[64];
  /* Without memory the server's record stays as it is. */
  bool told = tth_session_control(session, TTH_VERDICT, stream, payload, tether__v1__verdict__pack(&verdict, payload));
  session->corrected |= told;
}

bool tth_session_corrected(const tth_session *session) { return session->corrected; }

void tth_session_say_goaway(tth_session *session, uint32_t last_stream, const char *message) {
  Tether__V1__Goaway goaway = TETHER__V1__GOAWAY__INIT;
  goaway.last_stream = last_stream;
  goaway.message = (char *)message;
  uint8_t payload[256];
  bool told = tth_session_control(session, TTH_GOAWAY, 0, payload, tether__v1__goaway__pack(&goaway, payload));
  (void)told;
}

void tth_session_ping(tth_session *session) { session->ping_owed = true; }

/* It says that everything before it has left; streams that wait for credit are not done. */
static bool ping_may_leave(const tth_session *session) { return session->ping_owed && session->blocked == 0; }

size_t tth_session_pending(const tth_session *session) {
  size_t pending = session->pending;
  if (session->cancels.first) pending += CANCEL_MAX;
  pending += session->owed.count * WINDOW_MAX;
  if (ping_may_leave(session)) pending += PING_LEN;
  if (session->pong_owed) pending += PING_LEN;
  if (session->life.ask) pending += PING_LEN;
  if (tth_peer_clock_due(&session->clock, 0, false)) pending += PING_LEN;
  return pending;
}

static size_t piece_size(const tth_out *out) {
  if (!out) return 0;
  if (!out->sliced) return out->len;
  size_t left = out->len - out->sent;
  return TTH_FRAME_HEADER + 4 + (left < TTH_SLICE ? left : TTH_SLICE);
}

size_t tth_session_min_fill(const tth_session *session) {
  size_t need = CANCEL_MAX;
  const tth_out *firsts[] = {session->control, session->queued.first ? session->queued.first->out : NULL,
                             session->ready.first ? session->ready.first->out : NULL};
  for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
    if (piece_size(firsts[i]) > need) need = piece_size(firsts[i]);
  return need;
}

/* A batch being written. */
struct batch {
  uint8_t *to;
  size_t room;
};

static void wrote(struct batch *batch, size_t len) {
  batch->to += len;
  batch->room -= len;
}

static bool write_stamps(struct batch *batch, tth_frame_type type, const tth_stamps *stamps) {
  if (batch->room < PING_LEN) return false;
  tth_frame_put(batch->to, TTH_STAMPS_SIZE, type, 0, 0);
  tth_stamps_put(batch->to + TTH_FRAME_HEADER, stamps);
  wrote(batch, PING_LEN);
  return true;
}

/* Returns the stamp; 0: it does not fit. */
static int64_t write_ping(tth_session *session, int64_t now_ns, struct batch *batch) {
  int64_t next_ns = tether_time_add(session->stamp_ns, 1), stamp_ns = now_ns > next_ns ? now_ns : next_ns;
  if (!write_stamps(batch, TTH_PING, &(tth_stamps){.ping_left_ns = stamp_ns})) return 0;
  session->stamp_ns = stamp_ns;
  return stamp_ns;
}

/* For keepalive, a drain or the clock, whoever asks: the peer answers the latest PING only. */
static void write_question(tth_session *session, int64_t now_ns, struct batch *batch) {
  int64_t stamp_ns = write_ping(session, now_ns, batch);
  if (stamp_ns == 0) return;
  session->life.ask = false;
  tth_peer_clock_asked(&session->clock, stamp_ns);
}

/* The peer answers the latest PING only: from here on that must be this one. */
static void write_barrier(tth_session *session, int64_t now_ns, struct batch *batch) {
  int64_t stamp_ns = write_ping(session, now_ns, batch);
  if (stamp_ns == 0) return;
  session->barrier_ns = stamp_ns;
  session->ping_owed = session->corrected = false;
  tth_peer_clock_stop(&session->clock);
}

/* Whether anything leaves now that makes the peer forgive a PING: calls that wait for a slot, or that are over before
 * they have left, do not. */
static bool has_company(const tth_session *session, int64_t now_ns) {
  const tth_stream *next = session->queued.first;
  bool opens = next && !session->going_away && session->streams.count < session->peer_limits.max_streams &&
               next->out->deadline_ns > now_ns;
  return session->control || session->cancels.first || session->owed.first || session->ready.first || opens;
}

static bool write_control(tth_session *session, int64_t now_ns, struct batch *batch) {
  bool company = has_company(session, now_ns);
  for (tth_out *out; (out = session->control);) {
    if (out->len > batch->room) return false;
    memcpy(batch->to, out->data, out->len);
    wrote(batch, out->len);
    session->pending -= out->len;
    if (out->data[4] == TTH_TRAILERS) session->refusals--;
    session->control = out->next;
    if (!session->control) session->control_end = &session->control;
    tth_out_free_one(out);
  }
  /* After HELLO, which is the first of the above. */
  session->pong.pong_left_ns = now_ns;
  if (session->pong_owed) session->pong_owed = !write_stamps(batch, TTH_PONG, &session->pong);
  if (session->life.ask || tth_peer_clock_due(&session->clock, now_ns, company)) write_question(session, now_ns, batch);
  return true;
}

static bool write_cancels(tth_session *session, struct batch *batch) {
  while (session->cancels.first) {
    if (batch->room < CANCEL_MAX) return false;
    tth_stream *stream = tth_list_pop(&session->cancels);
    Tether__V1__Cause cause = TETHER__V1__CAUSE__INIT;
    tth_cause_to_wire(stream->cause, &cause);
    Tether__V1__Cancel cancel = TETHER__V1__CANCEL__INIT;
    cancel.cause = &cause;
    cancel.has_wait_ns = stream->wait_ns > 0;
    cancel.wait_ns = stream->wait_ns;
    size_t len = tether__v1__cancel__pack(&cancel, batch->to + TTH_FRAME_HEADER);
    tth_frame_put(batch->to, (uint32_t)len, TTH_CANCEL, 0, stream->id);
    wrote(batch, TTH_FRAME_HEADER + len);
  }
  return true;
}

static bool write_windows(tth_session *session, struct batch *batch) {
  while (session->owed.first) {
    if (batch->room < WINDOW_MAX) return false;
    Tether__V1__Window window = TETHER__V1__WINDOW__INIT;
    uint32_t stream;
    if (!tth_window_next(session, &stream, &window.bytes)) break;
    size_t len = tether__v1__window__pack(&window, batch->to + TTH_FRAME_HEADER);
    tth_frame_put(batch->to, (uint32_t)len, TTH_WINDOW, 0, stream);
    wrote(batch, TTH_FRAME_HEADER + len);
  }
  return true;
}

static void put_fixed64(uint8_t *to, int64_t value) {
  for (int i = 0; i < 8; i++) to[i] = (uint8_t)((uint64_t)value >> (8 * i));
}

/* Copies whole frames, filling in the stream id and the time that is left now. Returns what they cost. */
static size_t write_frames(const tth_session *session, tth_stream *stream, int64_t now_ns, struct batch *batch) {
  const tth_out *out = stream->out;
  size_t cost = 0;
  memcpy(batch->to, out->data, out->len);
  for (size_t at = 0; at < out->len;) {
    tth_put32(batch->to + at + 8, stream->id);
    cost += tth_frame_cost(batch->to + at);
    at += TTH_FRAME_HEADER + tth_get32(batch->to + at);
  }
  if (out->deadline_ns != TETHER_FOREVER) {
    int64_t left_ns = out->deadline_ns - now_ns; /* > 0: checked before the stream was opened */
    int64_t timeout_ns = tth_peer_clock_timeout(&session->clock, left_ns, out->reserve_ns);
    stream->told_ns = tether_time_add(now_ns, timeout_ns);
    stream->measures = out->reserve_ns == 0;
    put_fixed64(batch->to + TIMEOUT_AT, timeout_ns);
    put_fixed64(batch->to + SENT_AT, tth_peer_clock_at(&session->clock, now_ns));
  }
  wrote(batch, out->len);
  return cost;
}

/* The next slice of a message. Returns what it costs. */
static size_t write_slice(struct batch *batch, tth_out *out, uint32_t id) {
  bool first = out->sent == 0;
  size_t head = TTH_FRAME_HEADER + (first ? 4 : 0), left = out->len - out->sent;
  size_t len = left < TTH_SLICE ? left : TTH_SLICE;
  bool last = len == left;
  uint8_t flags = (uint8_t)((first ? TTH_FLAG_FIRST : 0) | (last ? out->flags : TTH_FLAG_MORE));
  tth_frame_put(batch->to, (uint32_t)(head - TTH_FRAME_HEADER + len), TTH_MESSAGE, flags, id);
  if (first) tth_put32(batch->to + TTH_FRAME_HEADER, (uint32_t)out->len);
  memcpy(batch->to + head, out->data + out->sent, len);
  out->sent += len;
  wrote(batch, head + len);
  return head + len;
}

/* One piece of the stream's output, which its credit covers; false if it does not fit. */
static bool write_piece(tth_session *session, tth_stream *stream, int64_t now_ns, struct batch *batch) {
  tth_out *out = stream->out;
  size_t before = out->sent;
  if (piece_size(out) > batch->room) return false; /* no crumbs */
  tth_life_used(session);
  if (out->sliced) {
    stream->send_credit -= (uint32_t)write_slice(batch, out, stream->id);
  } else {
    stream->send_credit -= (uint32_t)write_frames(session, stream, now_ns, batch);
    out->sent = out->len;
  }
  size_t left = out->sent - before;
  if (out->sent == out->len) {
    stream->out = out->next;
    if (!stream->out) stream->out_end = &stream->out;
    if (stream->keeps)
      tth_stream_keep(session, stream, out);
    else
      tth_out_free_one(out);
  }
  tth_stream_out_left(session, stream, left);
  return true;
}

static uint32_t next_id(const tth_session *session) {
  uint32_t id = session->last_stream + 1;
  while (id == 0 || tth_streams_find(&session->streams, id)) id++;
  return id;
}

/* Opens queued streams. One whose time has run out is not opened: its owner's timer is about to cancel it, and the
 * server never hears of it. Half of the batch is left to streams that are under way, lest new calls hold up a long
 * message for ever. */
static bool write_new_streams(tth_session *session, int64_t now_ns, struct batch *batch) {
  if (!session->hello_seen || session->going_away) return true;
  tth_stream_list expired = {0};
  bool fits = true;
  size_t keep = session->ready.first ? batch->room / 2 : 0;
  while (fits && session->queued.first && session->streams.count < session->peer_limits.max_streams) {
    tth_stream *stream = session->queued.first;
    if (stream->out->deadline_ns <= now_ns) {
      tth_list_push(&expired, tth_list_pop(&session->queued));
      continue;
    }
    fits = piece_size(stream->out) + keep <= batch->room;
    if (!fits) break;
    stream->id = next_id(session);
    tth_streams_add(&session->streams, stream); /* there is room since it was opened: a fill has no memory to ask for */
    session->last_stream = stream->id;
    (void)tth_list_pop(&session->queued);
    stream->state = TTH_STREAM_OPEN;
    stream->left_ns = now_ns;
    tth_window_open(session, stream);
    write_piece(session, stream, now_ns, batch);
    tth_stream_make_ready(session, stream);
  }
  for (tth_stream *stream; (stream = tth_list_pop(&expired));) tth_list_push(&session->queued, stream);
  return fits || keep > 0;
}

static bool write_ready(tth_session *session, int64_t now_ns, struct batch *batch) {
  while (session->ready.first) {
    tth_stream *stream = session->ready.first;
    if (!write_piece(session, stream, now_ns, batch)) return false;
    (void)tth_list_pop(&session->ready);
    tth_stream_make_ready(session, stream);
    if (!stream->out && stream->state == TTH_STREAM_FINISHED) {
      session->life.used_ns = now_ns;
      tth_streams_remove(&session->streams, stream);
      tth_stream_free(session, stream);
    }
  }
  return true;
}

size_t tth_session_fill(tth_session *session, int64_t now_ns, uint8_t *buf, size_t size) {
  struct batch batch = {.to = buf, .room = size};
  bool urgent = session->cancels.first; /* takes no data along: the receiver handles a batch once all of it is there */
  if (!session->broken && write_control(session, now_ns, &batch) && write_cancels(session, &batch) &&
      write_windows(session, &batch) && !urgent && write_new_streams(session, now_ns, &batch) &&
      write_ready(session, now_ns, &batch) && ping_may_leave(session))
    write_barrier(session, now_ns, &batch);
  return size - batch.room;
}
