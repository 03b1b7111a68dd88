/* What goes over the connections, seen from outside: frames are read as they leave and as they arrive, with no help
 * from the sessions that made them.
 *
 * Checked here: a call leaves once; its deadline loses nothing but what is meant to (promise 2); nothing follows an end
 * or a cancel; a stream is answered once, and not before its handler has returned; nobody sends more than the credit it
 * was given (promise 6). Clocks: each process has a clock of its own; since points in time cross the wire in few
 * places only, they are shifted there, and the processes' code can share one clock. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"
#include "tether/v1/frames.pb-c.h"

static const char *const names[] = {"0",      "HELLO", "HEADERS", "MESSAGE", "TRAILERS", "CANCEL",
                                    "WINDOW", "PING",  "PONG",    "GOAWAY",  "VERDICT"};

int64_t sim_wire_bound_ns(const sim_wire *wire) {
  const sim_end *a = &wire->ends[TTH_CLIENT], *b = &wire->ends[TTH_SERVER];
  int64_t there = a->delay_ns + a->jitter_ns, back = b->delay_ns + b->jitter_ns;
  return 2 * (there > back ? there : back) + TETHER_US;
}

static sim_stream *stream_of(sim_wire *wire, uint32_t id) {
  return id > 0 && id <= wire->stream_count ? &wire->streams[id - 1] : NULL;
}

static sim_stream *add_stream(sim_wire *wire, uint32_t id, sim_call *call) {
  if (id != wire->stream_count + 1) sim_wrong(call, "stream %" PRIu32 " after stream %zu", id, wire->stream_count);
  sim_stream *grown = realloc(wire->streams, id * sizeof *grown);
  if (!grown) abort();
  wire->streams = grown;
  wire->stream_count = id;
  grown[id - 1] = (sim_stream){.call = call};
  return &grown[id - 1];
}

/* ---- Clocks -------------------------------------------------------------------------------- */

static int64_t clock_ns(const sim_process *process) {
  return sim->now_ns + process->skew_ns + (sim->now_ns - sim->begun_ns) / 1000000 * process->drift_ppm;
}

/* What the server's clock is ahead of the client's. */
static int64_t ahead_ns(const sim_wire *wire) {
  return clock_ns(wire->ends[TTH_SERVER].process) - clock_ns(wire->ends[TTH_CLIENT].process);
}

static void shift(uint8_t *bytes, int64_t by_ns) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
  if (value == 0) return;
  value += (uint64_t)by_ns;
  for (int i = 7; i >= 0; i--, value >>= 8) bytes[i] = (uint8_t)value;
}

/* Points of the server's time, from the clock that the processes share to the one they would have: a PONG's stamps when
 * the server sends them, and back, in HEADERS, when the client does. */
static void shift_stamps(const sim_end *end, uint8_t *batch, size_t len) {
  tth_frame frame;
  for (; tth_frame_get(batch, len, &frame);
       batch += TTH_FRAME_HEADER + frame.length, len -= TTH_FRAME_HEADER + frame.length) {
    uint8_t *payload = batch + TTH_FRAME_HEADER;
    if (frame.type == TTH_PONG && end->role == TTH_SERVER) {
      shift(payload + 8, ahead_ns(end->wire));
      shift(payload + 16, ahead_ns(end->wire));
    } else if (frame.type == TTH_HEADERS && end->role == TTH_CLIENT && payload[0] == 0x09 && payload[9] == 0x11) {
      uint64_t sent_at = 0;
      for (int i = 7; i >= 0; i--) sent_at = sent_at << 8 | payload[10 + i];
      if (sent_at == (uint64_t)INT64_MIN) continue;
      sent_at -= (uint64_t)ahead_ns(end->wire);
      for (int i = 0; i < 8; i++) payload[10 + i] = (uint8_t)(sent_at >> (8 * i));
    }
  }
}

/* What the client's estimate of the server's clock may be wrong by: half of the best round trip, and what the clocks
 * may have drifted since. */
static int64_t error_bound_ns(const sim_wire *wire) {
  return wire->error_ns + (sim->now_ns - wire->error_at_ns) / 10000;
}

static void on_pong(sim_wire *wire, const tth_frame *frame) {
  tth_stamps stamps = tth_stamps_get(frame->payload, frame->length);
  int64_t trip_ns = (sim->now_ns - stamps.ping_left_ns) - (stamps.pong_left_ns - stamps.ping_came_ns);
  bool stale = wire->trips > 0 && sim->now_ns - wire->error_at_ns > 9 * TETHER_SEC; /* the client may begin anew */
  wire->answers = stale ? 1 : wire->answers + 1;
  if (trip_ns < 0 || stamps.ping_left_ns > sim->now_ns) return; /* stamps differ, though no time passes */
  if (wire->trips++ > 0 && !stale && error_bound_ns(wire) <= trip_ns / 2) return;
  wire->error_ns = trip_ns / 2;
  wire->error_at_ns = sim->now_ns;
}

/* ---- HEADERS ------------------------------------------------------------------------------- */

static sim_call *call_of(const Tether__V1__Headers *headers) {
  for (size_t i = 0; i < headers->n_metadata; i++) {
    const Tether__V1__Entry *entry = headers->metadata[i];
    if (strcmp(entry->key, SIM_CALL_KEY) != 0) continue;
    char text[8] = "";
    memcpy(text, entry->value.data, entry->value.len < 7 ? entry->value.len : 7);
    return &sim->calls[atoi(text)];
  }
  sim_wrong(NULL, "HEADERS of a call that nobody made");
}

/* Promise 2: the server is given what is left, less what is kept for the answer's way. */
static void check_budget(sim_call *c, const Tether__V1__Headers *headers) {
  if (headers->has_timeout_ns != (c->deadline_ns != TETHER_FOREVER))
    sim_wrong(c, "%s", headers->has_timeout_ns ? "a timeout from nowhere" : "the deadline is not sent");
  c->budget_ns = headers->has_timeout_ns ? headers->timeout_ns : TETHER_FOREVER;
  c->estimate_ns = headers->has_sent_at_ns ? headers->sent_at_ns : INT64_MIN;
  if (!headers->has_timeout_ns) return;
  int64_t left_ns = c->deadline_ns - sim->now_ns, kept_ns = left_ns - c->budget_ns;
  if (left_ns <= 0) sim_wrong(c, "sent %" PRId64 " ns after its deadline", -left_ns);
  if (kept_ns < 0) sim_wrong(c, "sent with %" PRId64 " ns of %" PRId64, c->budget_ns, left_ns);
  int64_t most_ns = c->reserve_ns < 0 ? 0 : c->reserve_ns > 0 ? c->reserve_ns : left_ns / 8;
  if (c->reserve_ns > left_ns / 2) most_ns = left_ns / 2;
  if (kept_ns > most_ns) sim_wrong(c, "%" PRId64 " ns of %" PRId64 " are kept back", kept_ns, left_ns);
}

/* The client's guess of the server's clock, against the truth. */
static void check_estimate(const sim_wire *wire, sim_call *c) {
  if (c->estimate_ns == INT64_MIN) {
    bool known =
        wire->answers >= TTH_CLOCK_BURST && wire->trips > 0 && sim->now_ns - wire->error_at_ns < 5 * TETHER_SEC;
    if (known && c->deadline_ns != TETHER_FOREVER) sim_wrong(c, "the server's clock is known, and not used");
    return;
  }
  if (wire->trips == 0) sim_wrong(c, "an estimate of the server's clock from nothing");
  int64_t most_ns = error_bound_ns(wire) + TETHER_US;
  c->error_ns = c->estimate_ns - sim->now_ns - ahead_ns(wire);
  sim->totals->estimated++;
  if (c->error_ns > most_ns || c->error_ns < -most_ns)
    sim_wrong(c, "the server's clock is estimated %" PRId64 " ns off, at most %" PRId64 " would do", c->error_ns,
              most_ns);
}

static void on_request(sim_wire *wire, const tth_frame *frame) {
  Tether__V1__Headers *headers = tether__v1__headers__unpack(NULL, frame->length, frame->payload);
  if (!headers) sim_wrong(NULL, "HEADERS that do not parse");
  sim_call *c = call_of(headers);
  if (c->left_ns && c->call && c->call->c.retrying) sim_call_attempt_over(c);
  if (c->left_ns) sim_wrong(c, "sent twice");
  if (c->ended) sim_wrong(c, "sent though it has ended");
  c->wire = wire;
  c->to = wire->ends[TTH_SERVER].process;
  if (c->to->tier != c->tier) sim_wrong(c, "sent to another tier than %d", c->tier);
  c->left_ns = sim->now_ns;
  sim->totals->elsewhere += c->given_back && c->given_back != c->to;
  sim->totals->requeued += !c->given_back && c->call && c->call->c.moves && c->retried == 0;
  c->given_back = NULL;
  add_stream(wire, frame->stream, c);
  check_budget(c, headers);
  check_estimate(wire, c);
  tether__v1__headers__free_unpacked(headers, NULL);
}

/* ---- The ends of streams -------------------------------------------------------------------- */

/* Everything below a call whose cancel waited for it has stopped. */
static void confirm(sim_call *c) {
  c->stopped = true;
  sim->totals->stops_confirmed++;
  for (int i = 0; i < sim->call_count; i++) {
    sim_call *d = &sim->calls[i], *above = d;
    while (above && above != c) above = above->parent;
    if (!above) continue;
    if (d->begun && !d->finished) sim_wrong(d, "runs though call %d is reported stopped with all below it", c->number);
    d->stopped = true;
  }
}

static void on_trailers(sim_call *c, sim_stream *stream, const tth_frame *frame, bool leaves) {
  Tether__V1__Trailers *trailers = tether__v1__trailers__unpack(NULL, frame->length, frame->payload);
  if (!trailers) sim_wrong(c, "TRAILERS that do not parse");
  if (stream->answered[!leaves]) sim_wrong(c, "answered twice");
  stream->answered[!leaves] = true;
  if (leaves) {
    if (c->begun && !c->finished) sim_wrong(c, "answered before its handler has returned");
    c->trailers_left = true;
    c->trailers_left_ns = sim->now_ns;
    c->told = c->recorded = (tether_code)trailers->code;
    if (c->begun && trailers->code != (uint32_t)c->server_code)
      sim_wrong(c, "recorded %s, told %s", tether_code_name(c->server_code), tether_code_name(c->told));
    if (c->aimed_at == SIM_ANSWER && !c->ended) {
      sim->totals->aimed++;
      sim_call_cancel_later(c, c->wire->ends[TTH_SERVER].this_delay_ns + sim_between(&c->chance, -50, 50) * TETHER_US);
    }
  } else {
    c->trailers_arrived = c->stopped = true;
    c->trailers_arrived_ns = sim->now_ns;
    c->unaccepted = trailers->unaccepted;
    sim->totals->unaccepted += c->unaccepted;
    const struct tth_retrying *retrying = c->call->c.retrying; /* below earlier attempts something may run yet */
    bool earlier = retrying && atomic_load(&retrying->running) > 0;
    if (c->cancel_why && c->wait_ns > 0 && trailers->running == 0 && !earlier) confirm(c);
    sim_call_changed(c);
  }
  tether__v1__trailers__free_unpacked(trailers, NULL);
}

static void on_verdict(sim_call *c, const tth_frame *frame, bool leaves) {
  Tether__V1__Verdict *verdict = tether__v1__verdict__unpack(NULL, frame->length, frame->payload);
  if (!verdict) sim_wrong(c, "a VERDICT that does not parse");
  if (leaves) sim->totals->corrected++;
  if (c->unaccepted) sim_wrong(c, "a verdict about a call that was not accepted");
  if (!c->ended || verdict->to != (uint32_t)c->code) sim_wrong(c, "a verdict other than the caller's");
  if (verdict->from != (uint32_t)c->told) sim_wrong(c, "a verdict about another status than was told");
  if (!leaves) c->recorded = (tether_code)verdict->to;
  tether__v1__verdict__free_unpacked(verdict, NULL);
}

/* ---- Messages and credit -------------------------------------------------------------------- */

static void on_message(sim_call *c, sim_stream *stream, const tth_frame *frame, tth_role sender, bool leaves) {
  struct sim_way *way = &stream->way[sender];
  uint64_t cost = frame->flags & TTH_FLAG_BARE ? 0 : TTH_FRAME_HEADER + frame->length;
  if (!leaves) {
    way->arrived += cost;
    return;
  }
  if (way->ended) sim_wrong(c, "a message after END");
  if (sender == TTH_CLIENT && stream->cancelled) sim_wrong(c, "a message after CANCEL");
  if (sender == TTH_SERVER && stream->answered[0]) sim_wrong(c, "a message after TRAILERS");
  way->ended = frame->flags & TTH_FLAG_END;
  way->left += cost;
  uint64_t window = c->wire->ends[!sender].first_window;
  if (way->left > window + way->credited)
    sim_wrong(c, "%" PRIu64 " bytes sent with credit for %" PRIu64, way->left, window + way->credited);
}

/* From the receiver of messages to their sender. */
static void on_window(sim_call *c, sim_stream *stream, const tth_frame *frame, tth_role from, bool leaves) {
  struct sim_way *way = &stream->way[!from];
  Tether__V1__Window *window = tether__v1__window__unpack(NULL, frame->length, frame->payload);
  if (!window) sim_wrong(c, "a WINDOW that does not parse");
  if (window->bytes == 0) sim_wrong(c, "an empty WINDOW");
  if (leaves)
    sim->totals->windows++;
  else
    way->credited += window->bytes;
  tether__v1__window__free_unpacked(window, NULL);
}

/* ---- Frames -------------------------------------------------------------------------------- */

static void on_hello(sim_end *end, const tth_frame *frame) {
  Tether__V1__Hello *hello = tether__v1__hello__unpack(NULL, frame->length, frame->payload);
  if (!hello) sim_wrong(NULL, "a HELLO that does not parse");
  if (hello->stream_window_bytes > TTH_WINDOW_LEAST) end->first_window = hello->stream_window_bytes;
  tether__v1__hello__free_unpacked(hello, NULL);
}

/* The client is about to learn that a stream was not accepted: its call is as if it had never left, unless that cannot
 * be. `refused`: by TRAILERS, which moves a call once. */
static void drop_if_not_accepted(sim_wire *wire, sim_stream *stream, bool refused) {
  sim_call *c = stream->call;
  if (stream->dropped || c->ended || c->wire != wire || !c->call->stream || !c->call->stream->keeps) return;
  if (refused && c->call->c.refused) return;
  if (c->begun) sim_wrong(c, "its handler has begun, and it is told not to be accepted");
  stream->dropped = true;
  c->wire = NULL;
  c->given_back = c->to;
  c->left_ns = c->arrived_ns = 0;
  c->trailers_left = false;
  c->told = c->recorded = TETHER_OK;
  sim->totals->moved++;
}

static void on_goaway(sim_wire *wire, const tth_frame *frame) {
  Tether__V1__Goaway *goaway = tether__v1__goaway__unpack(NULL, frame->length, frame->payload);
  if (!goaway) sim_wrong(NULL, "a GOAWAY that does not parse");
  for (size_t id = 1; id <= wire->stream_count; id++)
    if (id > goaway->last_stream) drop_if_not_accepted(wire, &wire->streams[id - 1], false);
  tether__v1__goaway__free_unpacked(goaway, NULL);
}

static bool is_unaccepted(const tth_frame *frame) {
  Tether__V1__Trailers *trailers = tether__v1__trailers__unpack(NULL, frame->length, frame->payload);
  if (!trailers) sim_wrong(NULL, "TRAILERS that do not parse");
  bool unaccepted = trailers->unaccepted;
  tether__v1__trailers__free_unpacked(trailers, NULL);
  return unaccepted;
}

static void on_call_frame(sim_end *from, const tth_frame *frame, bool leaves) {
  sim_wire *wire = from->wire;
  sim_stream *stream = stream_of(wire, frame->stream);
  if (!stream)
    sim_wrong(NULL, "w%d: %s on stream %" PRIu32 ", which there is not", wire->number, names[frame->type],
              frame->stream);
  sim_call *c = stream->call;
  if (frame->type == TTH_TRAILERS && !leaves && is_unaccepted(frame)) drop_if_not_accepted(wire, stream, true);
  if (leaves && (frame->type == TTH_HEADERS || frame->type == TTH_TRAILERS)) from->stops = true;
  if (stream->dropped) return;
  switch (frame->type) {
    case TTH_HEADERS:
      if (from->role == TTH_CLIENT && !leaves) c->arrived_ns = sim->now_ns;
      break;
    case TTH_MESSAGE:
      on_message(c, stream, frame, from->role, leaves);
      break;
    case TTH_TRAILERS:
      on_trailers(c, stream, frame, leaves);
      break;
    case TTH_CANCEL:
      if (leaves && stream->cancelled) sim_wrong(c, "cancelled twice");
      if (!leaves && !c->ended) sim_wrong(c, "CANCEL of a call that has not ended");
      stream->cancelled = true;
      if (!leaves) c->cancel_step = sim->steps;
      if (!leaves) sim_call_changed(c);
      break;
    case TTH_WINDOW:
      on_window(c, stream, frame, from->role, leaves);
      break;
    case TTH_VERDICT:
      on_verdict(c, frame, leaves);
      break;
    default:
      sim_wrong(c, "a frame of type %u", frame->type);
  }
}

static void trace_frame(const sim_end *from, const tth_frame *frame, bool leaves) {
  const sim_end *to = &from->wire->ends[!from->role];
  sim_stream *stream = stream_of(from->wire, frame->stream);
  char what[64] = "";
  if (frame->type == TTH_MESSAGE || frame->type == TTH_WINDOW)
    snprintf(what, sizeof what, " %" PRIu32 " bytes%s%s", frame->length,
             frame->flags & TTH_FLAG_MORE ? ", more follow" : "", frame->flags & TTH_FLAG_END ? ", END" : "");
  sim_trace_line(leaves ? from->process : to->process, stream ? stream->call : NULL, "w%d: %s %s %s%s",
                 from->wire->number, names[frame->type], leaves ? "leaves for" : "arrives from",
                 leaves ? to->process->name : from->process->name, what);
}

static void on_frames(sim_end *from, const uint8_t *batch, size_t len, bool leaves) {
  tth_frame frame;
  for (; len > 0; batch += TTH_FRAME_HEADER + frame.length, len -= TTH_FRAME_HEADER + frame.length) {
    if (!tth_frame_get(batch, len, &frame) || frame.type < TTH_HELLO || frame.type > TTH_VERDICT)
      sim_wrong(NULL, "w%d: a batch that is not made of frames", from->wire->number);
    sim->totals->frames++;
    if (leaves && frame.type == TTH_HEADERS && from->role == TTH_CLIENT) on_request(from->wire, &frame);
    if (sim->trace) trace_frame(from, &frame, leaves);
    if (frame.type == TTH_HELLO && leaves) on_hello(from, &frame);
    if (frame.type == TTH_PONG && !leaves && from->role == TTH_SERVER) on_pong(from->wire, &frame);
    if (frame.type == TTH_GOAWAY && !leaves) on_goaway(from->wire, &frame);
    if (frame.type == TTH_GOAWAY && !leaves)
      from->wire->ends[TTH_CLIENT].process->peers[from->process->index].trouble = true;
    if (frame.stream != 0) on_call_frame(from, &frame, leaves);
  }
}

/* ---- Watching links ------------------------------------------------------------------------- */

static void on_sends(void *data, uint8_t *batch, size_t len) {
  sim_end *end = data;
  end->started = end->sending = true;
  end->stops = false;
  end->this_delay_ns = end->delay_ns + (end->jitter_ns ? sim_between(&sim->chance, 0, end->jitter_ns) : 0);
  tst_mem_delay(end->link, end->this_delay_ns);
  on_frames(end, batch, len, true);
  shift_stamps(end, batch, len);
}

/* Whatever a thread does behind a call or an answer may come after the reply to it. Not behind a CANCEL: who takes the
 * reply to that waits for the thread that sent it. */
static void on_left(void *data) {
  sim_end *end = data;
  if (end->stops) sim_may_stop(end->process);
}

static void on_receives(void *data, const uint8_t *batch, size_t len) {
  sim_end *end = data;
  sim_enter(end->process);
  on_frames(&end->wire->ends[!end->role], batch, len, false);
}

static void on_sent(void *data) {
  sim_end *end = data;
  sim_enter(end->process);
  end->sending = false;
}

static void on_closed(void *data, const char *why) {
  sim_end *end = data;
  sim_enter(end->process);
  sim_trace(end->process, NULL, "w%d: closed: %s", end->wire->number, why);
  end->closed = true;
  end->session = NULL;
  if (end->role == TTH_CLIENT) end->process->peers[end->wire->ends[TTH_SERVER].process->index].trouble = true;
  for (size_t i = 0; i < end->wire->stream_count; i++) sim_call_changed(end->wire->streams[i].call);
}

const tst_mem_watch sim_wire_watch = {
    .sends = on_sends, .left = on_left, .receives = on_receives, .sent = on_sent, .closed = on_closed};
