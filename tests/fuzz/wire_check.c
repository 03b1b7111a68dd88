#include "tests/fuzz/wire_check.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tether/v1/frames.pb-c.h"

void wire_check_init(wire_check *check, tth_role role, const tether_limits *own) {
  memset(check, 0, offsetof(wire_check, streams));
  check->role = role;
  check->max_streams = own->max_streams;
  check->max_window = TTH_WINDOW_LEAST;
  check->max_message = own->max_message_bytes;
}

static wire_stream *find(const wire_check *check, uint32_t id) {
  for (size_t i = check->count; i-- > 0;)
    if (check->streams[i].id == id) return (wire_stream *)&check->streams[i];
  return NULL;
}

/* NULL: there are too many to follow. */
static wire_stream *find_or_add(wire_check *check, uint32_t id) {
  wire_stream *stream = find(check, id);
  if (stream) return stream;
  if (check->count == WIRE_STREAMS) {
    check->too_many = true;
    return NULL;
  }
  stream = &check->streams[check->count++];
  *stream = (wire_stream){.id = id};
  return stream;
}

bool wire_check_is_open(const wire_check *check, uint32_t id) {
  const wire_stream *stream = find(check, id);
  return stream && stream->opens > stream->ends;
}

/* A stream begins, or may have begun: its id had been given back. */
static void begin(wire_stream *stream) {
  if (stream->opens++ > stream->ends) return;
  *stream = (wire_stream){
      .id = stream->id, .opens = stream->opens, .ends = stream->ends, .early = stream->early, .credit = stream->credit};
}

/* ---- What it is told ----------------------------------------------------------------------- */

static void learn(wire_check *check, const tth_frame *frame) {
  Tether__V1__Hello *hello = tether__v1__hello__unpack(NULL, frame->length, frame->payload);
  if (!hello) return;
  uint64_t streams = hello->has_max_streams ? hello->max_streams : check->max_streams;
  uint64_t message = hello->max_message_bytes ? hello->max_message_bytes : check->max_message;
  if (!check->knows_limits || streams > check->max_streams) check->max_streams = streams;
  if (!check->knows_limits || message > check->max_message) check->max_message = message;
  if (hello->stream_window_bytes > check->max_window) check->max_window = hello->stream_window_bytes;
  check->knows_limits = true;
  tether__v1__hello__free_unpacked(hello, NULL);
}

/* Credit that comes before its stream, or for none, is the sender's loss: it counts all the same. */
static void credit(wire_check *check, const tth_frame *frame) {
  wire_stream *stream = find_or_add(check, frame->stream);
  Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame->length, frame->payload);
  if (stream && window) stream->credit += window->bytes;
  tether__v1__window__free_unpacked(window, NULL);
}

static void delivered(wire_check *check, const tth_frame *frame) {
  wire_stream *stream;
  switch (frame->type) {
    case TTH_HELLO:
      learn(check, frame);
      break;
    case TTH_PING:
      check->pings++;
      break;
    case TTH_WINDOW:
      credit(check, frame);
      break;
    case TTH_HEADERS:
      if (check->role == TTH_SERVER && (stream = find_or_add(check, frame->stream))) begin(stream);
      break;
    case TTH_TRAILERS:
      stream = check->role == TTH_CLIENT ? find_or_add(check, frame->stream) : NULL;
      if (!stream) break;
      if (stream->ends == stream->opens) {
        stream->early = true;
        break;
      }
      stream->ends++;
      if (!stream->early) check->lived--;
      break;
    default:
      break;
  }
}

void wire_check_delivered(wire_check *check, const uint8_t *batch, size_t len) {
  for (tth_frame frame; tth_frame_get(batch, len, &frame);) {
    delivered(check, &frame);
    batch += TTH_FRAME_HEADER + frame.length;
    len -= TTH_FRAME_HEADER + frame.length;
  }
}

/* ---- What it says -------------------------------------------------------------------------- */

#define MUST(so, frame, why)                                                                                   \
  do {                                                                                                         \
    if (!(so))                                                                                                 \
      fuzz_fail("sent a frame of type %u, flags %u, %u bytes on stream %u: %s", (frame)->type, (frame)->flags, \
                (unsigned)(frame)->length, (unsigned)(frame)->stream, why);                                    \
  } while (0)

static void parses(const tth_frame *frame, const ProtobufCMessageDescriptor *type) {
  ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, frame->length, frame->payload);
  MUST(message, frame, "does not parse");
  protobuf_c_message_free_unpacked(message, NULL);
}

static void opened(wire_check *check, const tth_frame *frame) {
  parses(frame, &tether__v1__headers__descriptor);
  if (check->role == TTH_SERVER) {
    MUST(check->too_many || wire_check_is_open(check, frame->stream), frame, "on no stream");
    return;
  }
  MUST(check->knows_limits, frame, "before the peer's HELLO");
  MUST(frame->stream != 0 && (int32_t)(frame->stream - check->last) > 0, frame, "an id that is not new");
  MUST(++check->lived <= check->max_streams, frame, "more streams at once than the peer takes");
  check->last = frame->stream;
  wire_stream *stream = find_or_add(check, frame->stream);
  if (stream) begin(stream);
  if (stream && stream->early) check->lived--; /* it may be over as soon as it has begun */
}

static void slice(const wire_check *check, wire_stream *stream, const tth_frame *frame) {
  uint64_t len = frame->length;
  if (!stream->in_message) {
    stream->total = len;
    stream->sent = 0;
    if (frame->flags & TTH_FLAG_FIRST) {
      MUST(len >= 4 && (frame->flags & TTH_FLAG_MORE), frame, "a first slice without its length, or alone");
      stream->total = tth_get32(frame->payload);
      len -= 4;
    } else {
      MUST(!(frame->flags & TTH_FLAG_MORE), frame, "a slice of a message that has not begun");
    }
    MUST(!check->checks_messages || stream->total <= check->max_message, frame, "a message longer than the peer takes");
  } else {
    MUST(!(frame->flags & TTH_FLAG_FIRST), frame, "a message inside another");
  }
  MUST(len <= TTH_SLICE, frame, "a slice that holds up others");
  stream->sent += len;
  stream->in_message = frame->flags & TTH_FLAG_MORE;
  MUST(stream->in_message ? stream->sent < stream->total : stream->sent == stream->total, frame,
       "a message of another length than announced");
}

static void message(const wire_check *check, wire_stream *stream, const tth_frame *frame) {
  MUST(!stream->ended, frame, "after END");
  MUST(!stream->cancelled, frame, "after CANCEL");
  stream->ended = frame->flags & TTH_FLAG_END;
  if (frame->flags & TTH_FLAG_BARE) {
    MUST(frame->flags == (TTH_FLAG_BARE | TTH_FLAG_END) && frame->length == 0, frame, "a bare frame that says more");
    MUST(!stream->in_message, frame, "END inside a message");
    return;
  }
  stream->spent += TTH_FRAME_HEADER + frame->length;
  MUST(stream->spent <= stream->credit + check->max_window, frame, "more than the credit");
  slice(check, stream, frame);
}

/* A frame of a stream other than HEADERS. */
static void on_stream(wire_check *check, const tth_frame *frame) {
  wire_stream *stream = find(check, frame->stream);
  MUST(stream && stream->opens > 0, frame, "on no stream");
  bool client = check->role == TTH_CLIENT, open = stream->opens > stream->ends;
  MUST(client ? frame->type != TTH_TRAILERS : frame->type != TTH_CANCEL && frame->type != TTH_VERDICT, frame,
       "from the wrong side");
  MUST(client || open, frame, "after TRAILERS"); /* a client may not have read them */
  switch (frame->type) {
    case TTH_MESSAGE:
      message(check, stream, frame);
      break;
    case TTH_TRAILERS:
      parses(frame, &tether__v1__trailers__descriptor);
      stream->ends++;
      break;
    case TTH_CANCEL:
      parses(frame, &tether__v1__cancel__descriptor);
      MUST(!stream->cancelled, frame, "again");
      stream->cancelled = true;
      break;
    case TTH_VERDICT:
      parses(frame, &tether__v1__verdict__descriptor);
      MUST(!open || stream->early, frame, "before TRAILERS");
      break;
    default:
      parses(frame, &tether__v1__window__descriptor);
      MUST(!stream->cancelled, frame, "after CANCEL");
      break;
  }
}

static void of_connection(wire_check *check, const tth_frame *frame) {
  switch (frame->type) {
    case TTH_HELLO:
      MUST(!check->greeted, frame, "again");
      parses(frame, &tether__v1__hello__descriptor);
      check->greeted = true;
      break;
    case TTH_PING:
      MUST(frame->length == sizeof check->asked, frame, "of another length than 32");
      memcpy(check->asked, frame->payload, sizeof check->asked);
      break;
    case TTH_PONG:
      MUST(frame->length == 32, frame, "of another length than 32");
      MUST(++check->pongs <= check->pings, frame, "without a PING");
      break;
    case TTH_GOAWAY:
      parses(frame, &tether__v1__goaway__descriptor);
      MUST(check->role == TTH_SERVER && check->goaways < 2, frame, "from a client, or a third time");
      check->goaways++;
      break;
    default:
      MUST(false, frame, "of no known type");
  }
}

static void sent(wire_check *check, const uint8_t *at, const tth_frame *frame) {
  MUST(at[6] == 0 && at[7] == 0, frame, "reserved bits that are not 0");
  MUST(check->greeted || frame->type == TTH_HELLO, frame, "before HELLO");
  MUST(frame->type == TTH_MESSAGE || frame->flags == 0, frame, "flags that mean nothing there");
  if (frame->type == TTH_HEADERS)
    opened(check, frame);
  else if (frame->stream == 0)
    of_connection(check, frame);
  else if (!check->too_many)
    on_stream(check, frame);
}

void wire_check_sent(wire_check *check, const uint8_t *batch, size_t len) {
  for (tth_frame frame; len > 0;) {
    if (!tth_frame_get(batch, len, &frame)) fuzz_fail("sent a batch that is not made of whole frames");
    sent(check, batch, &frame);
    batch += TTH_FRAME_HEADER + frame.length;
    len -= TTH_FRAME_HEADER + frame.length;
  }
}
