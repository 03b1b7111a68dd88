/* The session's input side: from bytes to events.
 *
 * Happy path (server): HELLO, then for each call HEADERS -> event, MESSAGE (or slices, put together) -> event; the
 * owner finishes the stream. (Client): HEADERS, MESSAGE and TRAILERS of streams it opened -> events. Failures: a batch
 * that does not consist of whole frames, a frame before HELLO, a HELLO that does not parse, HEADERS on an id that is
 * not new, messages that contradict themselves, come after END or are more than the window allows, and out of memory
 * break the session: one BROKEN event, and only this connection suffers. Frames for streams that are gone, or whose
 * owner has no use for them, are skipped unseen: they may have crossed the stream's end on the wire. */
#include "rpc/session.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/large.h"
#include "rpc/link.h"
#include "rpc/reuse.h"
#include "rpc/session_impl.h"
#include "rpc/unpack.h"
#include "rpc/utf8.h"
#include "tether/v1/frames.pb-c.h"

/* HELLO and GOAWAY are small; more is not worth reading. */
#define SMALL_PAYLOAD ((size_t)4096)

tth_session *tth_session_new(tth_role role, const tether_limits *limits) {
  tth_session *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  session->role = role;
  session->limits = *limits;
  tth_windows_init(session);
  session->writable.kind = TTH_LIST_WRITABLE;
  session->peer_limits = session->limits;
  session->control_end = &session->control;

  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  hello.version = 1;
  hello.origin = (char *)tth_utf8_text(tether_origin());
  hello.has_max_message_bytes = hello.has_max_metadata_bytes = hello.has_max_streams = true;
  hello.has_stream_window_bytes = true;
  hello.stream_window_bytes = (uint32_t)session->limits.stream_window_bytes;
  hello.max_message_bytes = limits->max_message_bytes;
  hello.max_metadata_bytes = limits->max_metadata_bytes;
  hello.max_streams = role == TTH_SERVER ? limits->max_streams : 0;
  uint8_t payload[512];
  size_t len = tether__v1__hello__pack(&hello, payload);
  if (tth_session_control(session, TTH_HELLO, 0, payload, len)) return session;
  tth_session_free(session);
  return NULL;
}

void tth_session_free(tth_session *session) {
  if (!session) return;
  while (tth_session_pop_user(session)) continue;
  for (tth_stream *stream; (stream = tth_streams_any(&session->streams));) {
    tth_streams_remove(&session->streams, stream);
    tth_stream_free(session, stream);
  }
  tth_streams_fini(&session->streams);
  free(session->tombstones);
  tth_out_free(session->control);
  free(session);
}

const tether_limits *tth_session_peer_limits(const tth_session *session) { return &session->peer_limits; }
const char *tth_session_peer_origin(const tth_session *session) { return session->peer_origin; }
bool tth_session_going_away(const tth_session *session) { return session->going_away; }
size_t tth_session_stream_count(const tth_session *session) { return session->streams.count + session->queued.count; }

void *tth_session_any_user(const tth_session *session) {
  if (session->queued.first) return session->queued.first->user;
  for (size_t i = 0; i < session->streams.capacity; i++)
    if (session->streams.slots[i] && session->streams.slots[i]->user) return session->streams.slots[i]->user;
  return NULL;
}

void tth_session_input(tth_session *session, const uint8_t *batch, size_t len, int64_t now_ns) {
  session->input = batch;
  session->input_len = len;
  session->input_ns = now_ns;
}

static bool broken(tth_session *session, tth_event *event, const char *why) {
  session->broken = true;
  session->input_len = 0;
  *event = (tth_event){.type = TTH_EVENT_BROKEN, .bytes = (const uint8_t *)why, .len = strlen(why)};
  return true;
}

static void learn_limits(tth_session *session, const Tether__V1__Hello *hello) {
  if (hello->has_max_message_bytes && hello->max_message_bytes > 0)
    session->peer_limits.max_message_bytes = hello->max_message_bytes;
  if (hello->has_max_metadata_bytes && hello->max_metadata_bytes > 0)
    session->peer_limits.max_metadata_bytes = hello->max_metadata_bytes;
  if (session->peer_limits.max_metadata_bytes > TTH_METADATA_MOST)
    session->peer_limits.max_metadata_bytes = TTH_METADATA_MOST;
  size_t origin_len = hello->origin ? strlen(hello->origin) : 0;
  if (origin_len < TTH_ORIGIN_SIZE) memcpy(session->peer_origin, hello->origin ? hello->origin : "", origin_len + 1);
  session->peer_limits.max_streams = hello->has_max_streams ? hello->max_streams : session->limits.max_streams;
  session->peer_limits.stream_window_bytes = TTH_WINDOW_LEAST;
  if (hello->has_stream_window_bytes && hello->stream_window_bytes > TTH_WINDOW_LEAST)
    session->peer_limits.stream_window_bytes = hello->stream_window_bytes;
}

static bool on_hello(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (session->hello_seen) return broken(session, event, "a second HELLO");
  char memory[1024], why[8];
  ProtobufCMessage *message = NULL;
  tth_arena arena;
  tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
  bool parsed =
      frame->length <= SMALL_PAYLOAD && tth_unpack(&tether__v1__hello__descriptor, frame->payload, frame->length,
                                                   16 * SMALL_PAYLOAD, &arena, why, sizeof why, &message) == TETHER_OK;
  bool known = parsed && ((const Tether__V1__Hello *)message)->version == 1;
  if (known) learn_limits(session, (const Tether__V1__Hello *)message);
  tth_arena_fini(&arena);
  if (!parsed) return broken(session, event, "a HELLO that does not parse");
  if (!known) return broken(session, event, "a HELLO of a version other than 1");
  if (session->peer_limits.stream_window_bytes > TTH_CREDIT_MOST) return broken(session, event, "a window beyond 2^31");
  session->hello_seen = true;
  if (session->role == TTH_CLIENT) tth_peer_clock_start(&session->clock);
  *event = (tth_event){.type = TTH_EVENT_HELLO};
  return true;
}

static bool take_tombstone(tth_session *session, uint32_t id) {
  for (unsigned i = 0; session->tombstones && i < TTH_TOMBSTONES; i++) {
    if (session->tombstones[i] != id) continue;
    session->tombstones[i] = 0;
    return true;
  }
  return false;
}

/* Whether the next frame is this stream's only message, as for most unary calls. */
static bool message_follows(const tth_session *session, uint32_t stream) {
  tth_frame next;
  return session->input_len > 0 && tth_frame_get(session->input, session->input_len, &next) &&
         next.type == TTH_MESSAGE && next.stream == stream && next.flags == TTH_FLAG_END;
}

/* A new stream at the server. Refused ones are answered here. */
static bool on_request(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (frame->stream == 0 || !tth_id_is_newer(frame->stream, session->last_stream))
    return broken(session, event, "HEADERS on a stream id that is not new");
  session->last_stream = frame->stream;
  session->life.used_ns = session->input_ns;
  tether_code refuse = TETHER_OK;
  const char *message = NULL;
  if (take_tombstone(session, frame->stream)) {
    refuse = TETHER_CANCELLED;
    message = "cancelled before it arrived";
  } else if (session->going_away) {
    refuse = TETHER_UNAVAILABLE;
    message = "the server is shutting down";
  } else if (session->streams.count >= session->limits.max_streams) {
    refuse = TETHER_UNAVAILABLE;
    message = "more calls on this connection than the server announced";
  }
  if (refuse != TETHER_OK) {
    /* As many as a client within its limit can have under way when our GOAWAY crosses them. */
    size_t most = session->limits.max_streams > TTH_REFUSALS ? session->limits.max_streams : TTH_REFUSALS;
    if (session->refusals >= most) return broken(session, event, "too many calls beyond the limit");
    if (!tth_session_refuse(session, frame->stream, refuse, message)) return broken(session, event, "out of memory");
    *event = (tth_event){.type = TTH_EVENT_REFUSED, .to = refuse};
    return true;
  }
  tth_stream *stream = tth_streams_reserve(&session->streams, 1) ? tth_stream_new() : NULL;
  if (!stream) return broken(session, event, "out of memory");
  stream->id = frame->stream;
  stream->state = TTH_STREAM_OPEN;
  stream->out_end = &stream->out;
  tth_streams_add(&session->streams, stream);
  tth_window_open(session, stream);
  stream->ended = frame->flags & TTH_FLAG_END;
  *event = (tth_event){.type = TTH_EVENT_HEADERS,
                       .stream = stream,
                       .bytes = frame->payload,
                       .len = frame->length,
                       .came_ns = session->input_ns,
                       .end = stream->ended,
                       .whole = message_follows(session, stream->id)};
  return true;
}

static bool on_headers(tth_session *session, const tth_frame *frame, tth_event *event) {
  tth_stream *stream = tth_streams_find(&session->streams, frame->stream);
  if (session->role == TTH_SERVER) {
    if (stream) return broken(session, event, "HEADERS twice on a stream");
    return on_request(session, frame, event);
  }
  if (!stream || !stream->user) return false;
  tth_stream_commit(session, stream);
  *event = (tth_event){
      .type = TTH_EVENT_HEADERS, .stream = stream, .user = stream->user, .bytes = frame->payload, .len = frame->length};
  return true;
}

static bool oversize(tth_session *session, tth_stream *stream, size_t len, tth_event *event) {
  stream->discard = true;
  tth_stream_drop_message(stream);
  tth_window_close(session, stream);
  *event = (tth_event){.type = TTH_EVENT_OVERSIZE, .stream = stream, .user = stream->user, .len = len};
  return true;
}

/* A whole message: in the frame, or in `owned`. */
static bool message_event(tth_session *session, tth_stream *stream, const tth_frame *frame, uint8_t *owned,
                          tth_event *event) {
  bool end = frame->flags & TTH_FLAG_END;
  uint64_t cost = tth_window_message(session, stream, end);
  *event = (tth_event){.type = TTH_EVENT_MESSAGE,
                       .stream = stream,
                       .user = stream->user,
                       .bytes = owned ? owned : frame->payload,
                       .owned = owned,
                       .len = owned ? stream->message_len : frame->length,
                       .cost = (size_t)cost,
                       .end = end};
  return true;
}

void tth_stream_drop_message(tth_stream *stream) {
  tth_large_free(stream->message);
  stream->message = NULL;
  stream->message_capacity = 0;
}

/* Room for `len` more bytes of the stream's message. It grows with what has come, not with what was announced: a peer
 * pays for what it fills, unless there is a piece that nobody uses. */
static bool make_room(tth_stream *stream, size_t len) {
  size_t need = stream->message_len + len, capacity = 2 * (size_t)stream->message_capacity;
  if (stream->message && need <= stream->message_capacity) return true;
  if (capacity < need) capacity = need;
  if (capacity < 2 * TTH_SLICE) capacity = 2 * TTH_SLICE;
  if (capacity > stream->message_total) capacity = stream->message_total;
  if (capacity == 0) capacity = 1;
  uint8_t *grown = tth_large_grow(stream->message, stream->message_len, &capacity, stream->message_total);
  if (!grown) return false;
  stream->message = grown;
  stream->message_capacity = (uint32_t)capacity;
  return true;
}

static bool on_slice(tth_session *session, tth_stream *stream, const tth_frame *frame, tth_event *event) {
  const uint8_t *bytes = frame->payload;
  size_t len = frame->length;
  if (frame->flags & TTH_FLAG_FIRST) {
    if (stream->message || len < 4) return broken(session, event, "a message begins inside another");
    stream->message_total = tth_get32(bytes);
    stream->message_len = 0;
    if (stream->message_total > session->limits.max_message_bytes)
      return oversize(session, stream, stream->message_total, event);
    bytes += 4;
    len -= 4;
  } else if (!stream->message) {
    return broken(session, event, "a slice of a message that has not begun");
  }
  size_t left = stream->message_total - stream->message_len;
  if (len > left) return broken(session, event, "a message longer than announced");
  if (!make_room(stream, len)) return broken(session, event, "out of memory");
  if (len) memcpy(stream->message + stream->message_len, bytes, len);
  stream->message_len += (uint32_t)len;
  if (frame->flags & TTH_FLAG_MORE) {
    tth_window_slice(session, stream, frame->flags & TTH_FLAG_FIRST);
    return false;
  }
  if (len < left) return broken(session, event, "a message shorter than announced");
  uint8_t *message = stream->message;
  stream->message = NULL;
  stream->message_capacity = 0;
  return message_event(session, stream, frame, message, event);
}

/* END alone. */
static bool on_bare(tth_session *session, tth_stream *stream, const tth_frame *frame, tth_event *event) {
  if (frame->flags != (TTH_FLAG_END | TTH_FLAG_BARE) || frame->length > 0 || stream->message)
    return broken(session, event, "a bare MESSAGE that is not just END");
  stream->ended = true;
  tth_window_close(session, stream);
  *event = (tth_event){.type = TTH_EVENT_END, .stream = stream, .user = stream->user, .end = true};
  return true;
}

static bool on_message(tth_session *session, const tth_frame *frame, tth_event *event) {
  tth_stream *stream = tth_streams_find(&session->streams, frame->stream);
  /* The owner of a new stream sets `user` before it asks for the next event, so none means: not interested. */
  if (!stream || !stream->user || stream->discard) return false;
  tth_stream_commit(session, stream);
  if (stream->ended) return broken(session, event, "a MESSAGE after END");
  if (frame->flags & TTH_FLAG_BARE) return on_bare(session, stream, frame, event);
  if (!tth_window_take(stream, frame->length)) return broken(session, event, "more than the window allows");
  if ((frame->flags & (TTH_FLAG_FIRST | TTH_FLAG_MORE)) || stream->message)
    return on_slice(session, stream, frame, event);
  if (frame->length > session->limits.max_message_bytes) return oversize(session, stream, frame->length, event);
  return message_event(session, stream, frame, NULL, event);
}

static bool on_window(tth_session *session, const tth_frame *frame, tth_event *event) {
  tth_stream *stream = tth_streams_find(&session->streams, frame->stream);
  const char *wrong = stream ? tth_window_received(session, stream, frame) : NULL;
  return wrong ? broken(session, event, wrong) : false;
}

static bool on_trailers(tth_session *session, const tth_frame *frame, tth_event *event) {
  tth_stream *stream = tth_streams_find(&session->streams, frame->stream);
  if (session->role == TTH_SERVER || !stream) return false;
  bool bound = !stream->cause || tether_cause_get_code(stream->cause) == TETHER_CAUSE_DEADLINE;
  if (stream->measures && bound && session->input_ns > stream->told_ns)
    tth_peer_clock_late(&session->clock, session->input_ns - stream->told_ns);
  *event = (tth_event){.type = TTH_EVENT_TRAILERS,
                       .user = stream->user ? stream->user : stream->late,
                       .bytes = frame->payload,
                       .len = frame->length,
                       .stream_id = stream->id,
                       .left_ns = stream->left_ns,
                       .told_ns = stream->told_ns,
                       .kept = stream->user ? tth_stream_take_request(session, stream) : NULL};
  tth_streams_remove(&session->streams, stream);
  tth_stream_free(session, stream);
  return event->user;
}

static bool on_verdict(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (session->role == TTH_CLIENT) return false;
  char memory[256], why[8];
  ProtobufCMessage *message = NULL;
  tth_arena arena;
  tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
  bool parsed =
      frame->length <= SMALL_PAYLOAD && tth_unpack(&tether__v1__verdict__descriptor, frame->payload, frame->length,
                                                   SMALL_PAYLOAD, &arena, why, sizeof why, &message) == TETHER_OK;
  const Tether__V1__Verdict *verdict = (const Tether__V1__Verdict *)message;
  if (parsed)
    *event = (tth_event){.type = TTH_EVENT_VERDICT, .from = (tether_code)verdict->from, .to = (tether_code)verdict->to};
  parsed = parsed && verdict->from <= TETHER_UNAUTHENTICATED && verdict->to <= TETHER_UNAUTHENTICATED;
  tth_arena_fini(&arena);
  if (!parsed) return broken(session, event, "a VERDICT that does not parse");
  bool answered = frame->stream != 0 && !tth_id_is_newer(frame->stream, session->last_stream) &&
                  !tth_streams_find(&session->streams, frame->stream);
  return answered || broken(session, event, "a VERDICT on a stream that was not answered");
}

static bool on_cancel(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (session->role == TTH_CLIENT) return false;
  tth_stream *stream = tth_streams_find(&session->streams, frame->stream);
  if (!stream) {
    if (!tth_id_is_newer(frame->stream, session->last_stream)) return false; /* it crossed our TRAILERS */
    if (!session->tombstones && !(session->tombstones = calloc(TTH_TOMBSTONES, sizeof *session->tombstones)))
      return broken(session, event, "out of memory");
    session->tombstones[session->tombstone_next++ % TTH_TOMBSTONES] = frame->stream;
    return false;
  }
  if (stream->state == TTH_STREAM_FINISHED) { /* the reply is not wanted any more; TRAILERS free the slot */
    tth_stream_keep_trailers(session, stream);
    return false;
  }
  if (stream->cancel_seen) return false; /* one says it all */
  stream->cancel_seen = stream->discard = true;
  tth_stream_drop_message(stream);
  tth_window_close(session, stream);
  tth_stream_drop_out(session, stream); /* the peer takes nothing more, and gives no credit */
  if (!stream->user) return false;
  *event = (tth_event){
      .type = TTH_EVENT_CANCEL, .stream = stream, .user = stream->user, .bytes = frame->payload, .len = frame->length};
  return true;
}

static bool on_goaway(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (session->role == TTH_SERVER) return false;
  char memory[512], why[8];
  ProtobufCMessage *message = NULL;
  tth_arena arena;
  tth_arena_init(&arena, memory, sizeof memory, SIZE_MAX);
  bool parsed =
      frame->length <= SMALL_PAYLOAD && tth_unpack(&tether__v1__goaway__descriptor, frame->payload, frame->length,
                                                   16 * SMALL_PAYLOAD, &arena, why, sizeof why, &message) == TETHER_OK;
  const Tether__V1__Goaway *goaway = (const Tether__V1__Goaway *)message;
  *event = (tth_event){.type = TTH_EVENT_GOAWAY};
  if (parsed) {
    event->stream_id = goaway->last_stream;
    if (goaway->message && strcmp(goaway->message, TTH_TOO_MANY_PINGS) == 0)
      event->keepalive_ns = tth_life_calmed(session);
  }
  tth_arena_fini(&arena);
  if (!parsed) return broken(session, event, "a GOAWAY that does not parse");
  session->going_away = true;
  return true;
}

static bool on_ping(tth_session *session, const tth_frame *frame, tth_event *event) {
  if (!tth_life_pinged(session)) {
    static const char why[] = TTH_TOO_MANY_PINGS;
    tth_session_throw_out(session, why, session->input_ns);
    *event = (tth_event){.type = TTH_EVENT_THROWN, .bytes = (const uint8_t *)why, .len = sizeof why - 1};
    return true;
  }
  if (frame->length > TTH_STAMPS_SIZE) return false;
  session->pong = tth_stamps_get(frame->payload, frame->length);
  session->pong.ping_came_ns = session->input_ns;
  session->pong_owed = true;
  return false;
}

static bool on_pong(tth_session *session, const tth_frame *frame, tth_event *event) {
  tth_stamps stamps = tth_stamps_get(frame->payload, frame->length);
  tth_peer_clock_answered(&session->clock, &stamps, session->input_ns);
  if (tth_life_answered(session, stamps.ping_left_ns)) {
    *event = (tth_event){.type = TTH_EVENT_DRAINED};
    return true;
  }
  if (session->barrier_ns == 0 || stamps.ping_left_ns != session->barrier_ns) return false;
  session->barrier_ns = 0;
  *event = (tth_event){.type = TTH_EVENT_PONG};
  return true;
}

/* One frame; true if it gave an event. Types it does not know are skipped: they are how the protocol grows. */
static bool on_frame(tth_session *session, const tth_frame *frame, tth_event *event) {
  bool leaving = session->life.stage == TTH_LIFE_LEAVING, verdict = frame->type == TTH_VERDICT && session->hello_seen;
  if (leaving && frame->type != TTH_PONG && !verdict) return false;
  if (!session->hello_seen && frame->type != TTH_HELLO && !leaving)
    return broken(session, event, "the first frame is not HELLO");
  if (frame->type < TTH_PING || verdict) tth_life_used(session);
  switch (frame->type) {
    case TTH_HELLO:
      return on_hello(session, frame, event);
    case TTH_HEADERS:
      return on_headers(session, frame, event);
    case TTH_MESSAGE:
      return on_message(session, frame, event);
    case TTH_TRAILERS:
      return on_trailers(session, frame, event);
    case TTH_CANCEL:
      return on_cancel(session, frame, event);
    case TTH_VERDICT:
      return on_verdict(session, frame, event);
    case TTH_WINDOW:
      return on_window(session, frame, event);
    case TTH_PING:
      return on_ping(session, frame, event);
    case TTH_PONG:
      return on_pong(session, frame, event);
    case TTH_GOAWAY:
      return on_goaway(session, frame, event);
    default:
      return false;
  }
}

bool tth_session_next_event(tth_session *session, tth_event *event) {
  *event = (tth_event){.type = TTH_EVENT_NONE};
  while (session->input_len > 0 && !session->broken) {
    tth_frame frame;
    if (!tth_frame_get(session->input, session->input_len, &frame))
      return broken(session, event, "a batch that is not made of whole frames");
    session->input += TTH_FRAME_HEADER + frame.length;
    session->input_len -= TTH_FRAME_HEADER + frame.length;
    if (on_frame(session, &frame, event)) return true;
  }
  return false;
}
