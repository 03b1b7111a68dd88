#include "tests/support/session_pair.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/ctx_test.h"

/* Of a message, only what stands at these distances is written and checked: long ones stay cheap. */
#define STRIDE ((size_t)4096)

static uint8_t mark(size_t message, size_t at) { return (uint8_t)(message * 7 + at / STRIDE + 1); }

static tth_role other(tth_role role) { return role == TTH_CLIENT ? TTH_SERVER : TTH_CLIENT; }

/* ---- The pair ------------------------------------------------------------------------------ */

tst_pair *tst_pair_new(const tether_limits *client, const tether_limits *server) {
  static const tether_limits usual = {.max_message_bytes = 4 << 20,
                                      .max_metadata_bytes = 8192,
                                      .max_unpacked_bytes = 16 << 20,
                                      .max_streams = 1024,
                                      .connection_window_bytes = 64 << 20};
  tst_pair *pair = calloc(1, sizeof *pair);
  assert_non_null(pair);
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    const tether_limits *given = role == TTH_CLIENT ? client : server;
    tether_limits limits = given ? *given : usual;
    if (limits.max_message_bytes == 0) limits.max_message_bytes = usual.max_message_bytes;
    if (limits.max_streams == 0) limits.max_streams = usual.max_streams;
    pair->session[role] = tth_session_new((tth_role)role, &limits);
    assert_non_null(pair->session[role]);
  }
  tst_pair_run(pair);
  return pair;
}

tst_pair *tst_pair_with_budget(size_t bytes) {
  const tether_limits limits = {.max_message_bytes = 4 << 20, .connection_window_bytes = bytes};
  return tst_pair_new(NULL, &limits);
}

void tst_pair_free(tst_pair *pair) {
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    while (tth_session_pop_user(pair->session[role])) continue;
    tth_session_free(pair->session[role]);
    tst_frames_fini(&pair->wire[role]);
  }
  for (size_t i = 0; i < pair->count; i++) {
    for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
      free(pair->calls[i].way[role].lens);
      free(pair->calls[i].way[role].costs);
    }
  }
  free(pair);
}

/* ---- Sending ------------------------------------------------------------------------------- */

tst_call *tst_pair_call(tst_pair *pair) {
  assert_true(pair->count < TST_CALLS);
  tst_call *call = &pair->calls[pair->count];
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + 4, false);
  assert_non_null(out);
  tth_frame_put(out->data, 4, TTH_HEADERS, 0, 0);
  tth_put32(out->data + TTH_FRAME_HEADER, (uint32_t)pair->count++);
  call->at[TTH_CLIENT] = tth_session_open(pair->session[TTH_CLIENT], call, out);
  assert_non_null(call->at[TTH_CLIENT]);
  return call;
}

tst_call *tst_pair_reading_call(tst_pair *pair) {
  tst_call *call = tst_pair_call(pair);
  call->reads[TTH_CLIENT] = call->reads[TTH_SERVER] = true;
  return call;
}

static tth_out *message(size_t number, size_t len, uint8_t flags) {
  bool sliced = len > TTH_SLICE;
  tth_out *out = tth_out_new(sliced ? len : TTH_FRAME_HEADER + len, sliced);
  assert_non_null(out);
  uint8_t *to = out->data + (sliced ? 0 : TTH_FRAME_HEADER);
  out->flags = flags;
  if (!sliced) tth_frame_put(out->data, (uint32_t)len, TTH_MESSAGE, flags, 0);
  for (size_t at = 0; at < len; at += STRIDE) to[at] = mark(number, at);
  if (len > 0) to[len - 1] = mark(number, len - 1);
  return out;
}

void tst_pair_send(tst_pair *pair, tst_call *call, tth_role sender, size_t len, bool end) {
  tst_way *way = &call->way[sender];
  assert_true(call->at[sender] && !way->end_sent);
  if (way->sent == way->room) {
    way->room = way->room ? 2 * way->room : 16;
    way->lens = realloc(way->lens, way->room * sizeof *way->lens);
    way->costs = realloc(way->costs, way->room * sizeof *way->costs);
    assert_true(way->lens && way->costs);
  }
  way->end_sent = end;
  tth_session_send(pair->session[sender], call->at[sender], message(way->sent, len, end ? TTH_FLAG_END : 0));
  way->lens[way->sent++] = len;
}

void tst_pair_end(tst_pair *pair, tst_call *call, tth_role sender) {
  bool server = sender == TTH_SERVER;
  tth_out *out = tth_out_new(TTH_FRAME_HEADER + (server ? 2 : 0), false);
  assert_non_null(out);
  call->way[sender].end_sent = true;
  if (server) {
    tth_frame_put(out->data, 2, TTH_TRAILERS, 0, 0);
    memcpy(out->data + TTH_FRAME_HEADER, "\x08\x00", 2);
    tth_session_finish(pair->session[sender], call->at[sender], out);
    call->at[sender] = NULL;
  } else {
    tth_frame_put(out->data, 0, TTH_MESSAGE, TTH_FLAG_END | TTH_FLAG_BARE, 0);
    tth_session_send(pair->session[sender], call->at[sender], out);
  }
}

void tst_pair_cancel(tst_pair *pair, tst_call *call) {
  call->cancelled = true;
  (void)tth_session_cancel(pair->session[TTH_CLIENT], call->at[TTH_CLIENT], NULL, 0);
  call->at[TTH_CLIENT] = NULL;
}

size_t tst_pair_fill(tst_pair *pair, tth_role sender, size_t room) {
  tth_session *session = pair->session[sender];
  tst_frames *wire = &pair->wire[sender];
  if (tth_session_pending(session) == 0) return 0;
  if (room < tth_session_min_fill(session)) room = tth_session_min_fill(session);
  if (wire->len + room > wire->room) {
    wire->room = 2 * (wire->len + room);
    wire->bytes = realloc(wire->bytes, wire->room);
    assert_non_null(wire->bytes);
  }
  size_t len = tth_session_fill(session, 0, wire->bytes + wire->len, room);
  wire->len += len;
  for (tst_call *call; (call = tth_session_next_writable(session));) call->writable[sender]++;
  return len;
}

/* ---- Receiving ----------------------------------------------------------------------------- */

size_t tst_pair_read(tst_pair *pair, tst_call *call, tth_role reader, size_t most) {
  tst_way *way = &call->way[other(reader)];
  size_t n = 0;
  for (; n < most && way->read < way->received; n++) way->untold += way->costs[way->read++];
  if (way->untold > pair->gather && call->at[reader]) {
    tth_session_consumed(pair->session[reader], call->at[reader], (size_t)way->untold);
    way->untold = 0;
  }
  return n;
}

static void on_message(tst_pair *pair, tst_call *call, tth_role reader, const tth_event *event) {
  tst_way *way = &call->way[other(reader)];
  assert_true(way->received < way->sent && !way->ended);
  size_t number = way->received, len = way->lens[number];
  assert_int_equal(event->len, len);
  for (size_t at = 0; at < len; at += STRIDE)
    if (at + 1 < len) assert_int_equal(event->bytes[at], mark(number, at));
  if (len > 0) assert_int_equal(event->bytes[len - 1], mark(number, len - 1));
  /* The last message is to be given back if it has some of the budget. */
  assert_true(event->cost > 0 || event->end);
  way->costs[way->received++] = event->cost;
  way->ended = event->end;
  free(event->owned);
  if (call->reads[reader]) tst_pair_read(pair, call, reader, 1);
}

static void on_event(tst_pair *pair, tth_role role, const tth_event *event) {
  tst_call *call = event->user;
  switch (event->type) {
    case TTH_EVENT_HEADERS:
      if (role == TTH_CLIENT) break;
      call = &pair->calls[tth_get32(event->bytes)];
      call->at[TTH_SERVER] = event->stream;
      event->stream->user = call;
      break;
    case TTH_EVENT_MESSAGE:
      on_message(pair, call, role, event);
      break;
    case TTH_EVENT_END:
      assert_false(call->way[other(role)].ended);
      call->way[other(role)].ended = true;
      break;
    case TTH_EVENT_OVERSIZE:
      call->oversize[role] = true;
      break;
    case TTH_EVENT_TRAILERS:
      call->trailers = true;
      call->at[TTH_CLIENT] = NULL;
      break;
    case TTH_EVENT_CANCEL:
      call->told = true;
      break;
    case TTH_EVENT_BROKEN:
      pair->broken[role] = (const char *)event->bytes;
      break;
    default:
      break;
  }
}

size_t tst_pair_deliver(tst_pair *pair, tth_role sender, size_t most) {
  tst_frames *wire = &pair->wire[sender];
  tth_role role = other(sender);
  tth_frame frame = {0};
  size_t n = 0, len = 0;
  for (; n < most && len < wire->len; n++) {
    assert_true(tth_frame_get(wire->bytes + len, wire->len - len, &frame));
    len += TTH_FRAME_HEADER + frame.length;
    if (frame.type == TTH_WINDOW) pair->windows_sent[sender]++;
  }
  if (n == 0) return 0;
  tth_session_input(pair->session[role], wire->bytes, len, 0);
  for (tth_event event; tth_session_next_event(pair->session[role], &event);) {
    on_event(pair, role, &event);
    tth_out_free(event.kept);
  }
  wire->len -= len;
  memmove(wire->bytes, wire->bytes + len, wire->len);
  return n;
}

void tst_pair_run(tst_pair *pair) {
  for (bool moved = true; moved;) {
    moved = false;
    for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
      size_t filled = tst_pair_fill(pair, (tth_role)role, 256 * 1024);
      if (tst_pair_deliver(pair, (tth_role)role, SIZE_MAX) > 0 || filled > 0) moved = true;
    }
    const char *wrong = tst_pair_wrong(pair);
    if (wrong) fail_msg("%s", wrong);
  }
}

void tst_pair_hang_up(tst_pair *pair, tst_call *call) {
  if (call->at[TTH_CLIENT] && !call->way[TTH_CLIENT].end_sent) tst_pair_end(pair, call, TTH_CLIENT);
  if (call->at[TTH_SERVER]) tst_pair_end(pair, call, TTH_SERVER);
  tst_pair_run(pair);
}

/* ---- What must hold ------------------------------------------------------------------------ */

uint64_t tst_pair_unread(const tst_pair *pair, tth_role role) {
  uint64_t sum = 0;
  const tth_streams *streams = &pair->session[role]->streams;
  for (size_t i = 0; i < streams->capacity; i++)
    if (streams->slots[i]) sum += streams->slots[i]->in.unread;
  return sum;
}

static uint64_t whole_budget(const tth_session *session) {
  uint64_t longest = session->limits.max_message_bytes;
  longest += 4 + (longest + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER;
  return session->limits.connection_window_bytes > longest ? session->limits.connection_window_bytes : longest;
}

uint64_t tst_pair_taken(const tst_pair *pair, tth_role role) {
  return whole_budget(pair->session[role]) - pair->session[role]->budget;
}

/* What frames on the wire add to a stream's credit (WINDOW) or take from it (MESSAGE). */
static uint64_t on_wire(const tst_pair *pair, tth_role sender, tth_frame_type type, uint32_t stream) {
  const tst_frames *wire = &pair->wire[sender];
  uint64_t sum = 0;
  size_t at = 0;
  for (tth_frame frame; tst_frames_find(wire->bytes, wire->len, &at, type, stream, &frame);) {
    if (type == TTH_MESSAGE && !(frame.flags & TTH_FLAG_BARE)) sum += TTH_FRAME_HEADER + frame.length;
    if (type != TTH_WINDOW) continue;
    Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame.length, frame.payload);
    assert_non_null(window);
    sum += window->bytes;
    tether__v1__window__free_unpacked(window, NULL);
  }
  return sum;
}

/* One stream of one receiver. */
static const char *wrong_with(const tst_pair *pair, tth_role role, const tth_stream *stream) {
  const tth_session *session = pair->session[role];
  const tth_window *in = &stream->in;
  uint64_t size = session->limits.stream_window_bytes + in->grown + in->reserved;
  if ((uint64_t)in->unread + in->credit > size) return "more unread and credit than the window";
  if (in->partial > in->unread || in->promised > in->reserved) return "parts larger than the whole";
  if (stream->queued > 0 && !stream->listed[TTH_LIST_OUTPUT] && !stream->blocked) return "output forgotten";
  const tth_stream *from = tth_streams_find(&pair->session[other(role)]->streams, stream->id);
  if (!from || stream->discard || stream->ended || stream->state == TTH_STREAM_CANCELLED) return NULL;
  if (from->send_credit + on_wire(pair, role, TTH_WINDOW, stream->id) +
          on_wire(pair, other(role), TTH_MESSAGE, stream->id) !=
      in->credit)
    return "both sides disagree about the credit";
  return NULL;
}

const char *tst_pair_wrong(const tst_pair *pair) {
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    const tth_session *session = pair->session[role];
    uint64_t taken = 0, grown = 0;
    if (pair->broken[role]) return pair->broken[role];
    for (size_t i = 0; i < session->streams.capacity; i++) {
      const tth_stream *stream = session->streams.slots[i];
      if (!stream) continue;
      const char *wrong = wrong_with(pair, (tth_role)role, stream);
      if (wrong) return wrong;
      taken += stream->in.grown + stream->in.reserved;
      grown += stream->in.grown;
    }
    if (taken != tst_pair_taken(pair, (tth_role)role)) return "the budget leaks";
    if (grown > session->budget + taken || session->growth_left > session->budget + taken) return "growth";
    if (tst_pair_unread(pair, (tth_role)role) >
        session->streams.count * session->limits.stream_window_bytes + whole_budget(session))
      return "more unread than all windows and the budget";
  }
  return NULL;
}

void tst_pair_assert_settled(const tst_pair *pair) {
  for (int role = TTH_CLIENT; role <= TTH_SERVER; role++) {
    assert_int_equal(tst_pair_taken(pair, (tth_role)role), 0);
    assert_int_equal(pair->session[role]->waiting.count, 0);
    assert_int_equal(tth_session_pending(pair->session[role]), 0);
  }
}
