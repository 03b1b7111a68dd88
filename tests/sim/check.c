/* What must hold after every step, and at the end. */
#include <inttypes.h>

#include "tests/sim/world.h"

/* ---- Calls that changed --------------------------------------------------------------------- */

void sim_call_changed(sim_call *call) {
  if (call->changed) return;
  call->changed = true;
  sim->changed[sim->changed_count++] = call;
}

/* Whether its handler runs under a context that has not ended. */
static bool is_uncut(const sim_call *c) { return c->begun && !c->finished && tether_ctx_err(c->ctx) == TETHER_OK; }

/* Promise 1, within a process: a handler's end or cut is the end of all its calls; and from a connection to its
 * handlers: its loss, or a CANCEL, is their cut. */
static void check_call(sim_call *c) {
  if (c->finished || c->cut) {
    for (int i = c->number + 1; i < sim->call_count; i++) {
      const sim_call *child = &sim->calls[i];
      if (child->parent == c && !child->ended && child->from_life == child->from->life)
        sim_wrong(child, "goes on though its caller's handler %s", c->finished ? "has returned" : "was cut");
    }
  }
  if (!is_uncut(c) || c->detached_ns) return;
  if (c->cancel_step) sim_wrong(c, "its handler goes on though CANCEL has come");
  if (c->wire->ends[TTH_SERVER].closed) sim_wrong(c, "its handler goes on though its connection is gone");
}

void sim_check_stop(void *data, uint64_t number) {
  sim_call *c = data;
  const sim_wire *wire = c->wire;
  (void)number;
  if (c->finished || c->cut || wire->ends[TTH_SERVER].closed) return;
  bool held = wire->ends[TTH_CLIENT].held || wire->ends[TTH_SERVER].held || wire->ghost;
  int64_t since_ns = wire->free_at_ns > c->ended_ns ? wire->free_at_ns : c->ended_ns;
  int64_t clear_ns = since_ns + sim_wire_bound_ns(wire);
  /* It was found to be out of its own time before the news came: the timer is yet to tell it. */
  if (c->begun && tether_ctx_err(c->ctx) == TETHER_DEADLINE_EXCEEDED) {
    int64_t told_ns = c->server_deadline_ns + sim->timer_slack_ns + TETHER_US;
    if (clear_ns < told_ns) clear_ns = told_ns;
  }
  if (held || sim->now_ns < clear_ns) {
    sim_later(held ? sim_wire_bound_ns(wire) + TETHER_MS : clear_ns - sim->now_ns, sim_check_stop, c, 0);
    return;
  }
  if (c->begun)
    sim_wrong(c, "its handler goes on, %" PRId64 " ns after the call ended with %s", sim->now_ns - c->ended_ns,
              tether_code_name(c->code));
  c->stopped = true;
}

/* ---- Sessions ------------------------------------------------------------------------------ */

/* An idle link leaves nothing unsaid. */
static void check_idle(const sim_end *end) {
  const tth_session *s = end->session;
  const char *left = NULL;
  if (s->control || s->pong_owed) left = "control frames";
  if (s->cancels.first) left = "CANCELs";
  if (s->ready.first) left = "messages or answers";
  bool may_open = s->hello_seen && !s->going_away && s->streams.count < s->peer_limits.max_streams;
  for (const tth_stream *stream = s->queued.first; may_open && stream; stream = stream->places[TTH_LIST_OUTPUT].next)
    if (stream->out->deadline_ns > sim->now_ns) left = "calls";
  if (s->ping_owed && s->blocked == 0) left = "a PING";
  if (left)
    sim_wrong(NULL, "w%d: %s has %s to send and nothing on its way", end->wire->number, end->process->name, left);
}

static uint64_t whole_budget(const tth_session *s) {
  uint64_t longest = s->limits.max_message_bytes;
  longest += 4 + (longest + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER;
  return s->limits.connection_window_bytes > longest ? s->limits.connection_window_bytes : longest;
}

/* Promise 6: windows are never more than they say, never negative, and what has come is counted until it is read. */
static void check_stream(const sim_end *end, const tth_stream *stream) {
  const tth_session *s = end->session;
  const tth_window *in = &stream->in;
  const sim_stream *seen = stream->id <= end->wire->stream_count ? &end->wire->streams[stream->id - 1] : NULL;
  uint64_t size = s->limits.stream_window_bytes + in->grown + in->reserved;
  if (!seen) sim_wrong(NULL, "w%d: a stream that nobody opened", end->wire->number);
  sim_call *c = seen->call;
  if ((uint64_t)in->unread + in->credit > size) sim_wrong(c, "more unread and credit than its window");
  if (in->partial > in->unread || in->promised > in->reserved) sim_wrong(c, "parts of a window larger than the whole");
  if (stream->queued > TTH_SEND_HIGH + 512 * 1024) sim_wrong(c, "%zu bytes are queued", stream->queued);
  if (stream->queued > 0 && !stream->listed[TTH_LIST_OUTPUT] && !stream->blocked) sim_wrong(c, "output forgotten");
  if (stream->send_credit > TTH_CREDIT_MOST) sim_wrong(c, "negative credit");
  const sim_side *side = end->role == TTH_CLIENT ? &c->client_side : &c->server_side;
  uint64_t arrived = seen->way[!end->role].arrived;
  if (stream->discard || stream->ended || stream->state != TTH_STREAM_OPEN || c->kind == SIM_UNARY) return;
  if (in->unread + side->read_cost < arrived)
    sim_wrong(c, "%" PRIu64 " bytes are unread, and %" PRIu32 " are counted", arrived - side->read_cost, in->unread);
}

static void check_session(const sim_end *end) {
  const tth_session *s = end->session;
  uint64_t taken = 0;
  for (size_t i = 0; i < s->streams.capacity; i++) {
    if (!s->streams.slots[i]) continue;
    check_stream(end, s->streams.slots[i]);
    taken += s->streams.slots[i]->in.grown + s->streams.slots[i]->in.reserved;
  }
  if (taken + s->budget != whole_budget(s)) sim_wrong(NULL, "w%d: the budget of windows leaks", end->wire->number);
  if (end->role == TTH_CLIENT && s->hello_seen && s->streams.count > s->peer_limits.max_streams)
    sim_wrong(NULL, "w%d: %zu streams of %u", end->wire->number, s->streams.count, s->peer_limits.max_streams);
}

void sim_check_step(void) {
  sim_world *w = sim;
  for (int i = 0; i < w->changed_count; i++) {
    w->changed[i]->changed = false;
    check_call(w->changed[i]);
  }
  w->changed_count = 0;
  bool deep = w->steps % 16 == 0;
  for (sim_wire *wire = w->wires; wire; wire = wire->next) {
    for (int role = 0; role < 2; role++) {
      sim_end *end = &wire->ends[role];
      if (!end->session || wire->doomed) continue;
      if (end->session->broken) sim_wrong(NULL, "w%d: %s finds the protocol broken", wire->number, end->process->name);
      if (!end->sending) check_idle(end);
      if (deep || w->current == end->process) check_session(end);
    }
  }
}

/* ---- The end ------------------------------------------------------------------------------- */

/* A connection without calls has its whole budget, owes nothing and waits for nothing. */
static void check_settled(const sim_end *end) {
  const tth_session *s = end->session;
  int number = end->wire->number;
  if (tth_session_stream_count(s) != 0)
    sim_wrong(NULL, "w%d: %s has %zu streams left", number, end->process->name, tth_session_stream_count(s));
  if (s->blocked || s->pending || s->waiting.first || s->owed.first)
    sim_wrong(NULL, "w%d: %s has something left to send", number, end->process->name);
  if (s->budget != whole_budget(s)) sim_wrong(NULL, "w%d: %s's budget is not whole", number, end->process->name);
}

/* Its handler's own answer and its deadline, or a cancel, came within so short a time of each other. What is answered
 * to a deadline or a cancel, by a handler that was cut or without one, comes close to it by itself. */
static bool is_near(int64_t a_ns, int64_t b_ns) {
  return a_ns - b_ns <= SIM_CROSSING_NS && b_ns - a_ns <= SIM_CROSSING_NS;
}
static bool crossed(const sim_call *c) {
  if (!c->begun || c->cut) return false;
  int64_t cut_ns = c->code == TETHER_CANCELLED || c->code == TETHER_DEADLINE_EXCEEDED ? c->ended_ns : 0;
  if (c->deadline_ns != TETHER_FOREVER && is_near(c->trailers_arrived_ns, c->deadline_ns)) return true;
  return (c->cancelled_ns && is_near(c->trailers_arrived_ns, c->cancelled_ns)) ||
         (cut_ns && c->told != c->code && is_near(c->trailers_arrived_ns, cut_ns));
}

/* Promise 4. What the connection was lost for, nobody can agree about. And promise 3: an answer that came after the end
 * is in the ledger. */
static void check_verdict(const sim_call *c) {
  if (!c->left_ns || !sim_wire_is_live(c->wire)) return;
  if (!c->trailers_arrived) sim_wrong(c, "was never answered");
  sim->totals->crossings += crossed(c);
  if (c->unaccepted) return; /* neither side counts it */
  const tether_ledger *ledger = c->explain && c->begun ? tether_call_ledger(c->call) : NULL;
  if (ledger && !ledger->answered) sim_wrong(c, "answered, and the ledger does not know");
  if (c->recorded != c->code)
    sim_wrong(c, "%s at the client, %s at the server", tether_code_name(c->code), tether_code_name(c->recorded));
}

/* The same from the counters: those of one server and of all its clients. */
static void check_counters(sim_process *process) {
  tether_server_stats server;
  uint64_t known[TETHER_CODES] = {0}, unknown = 0, more = 0;
  if (tether_server_get_stats(process->server, NULL, &server) != TETHER_OK) sim_wrong(NULL, "no counters");
  if (server.running) sim_wrong(NULL, "%s counts %u handlers", process->name, server.running);
  if (server.started != process->handlers_begun)
    sim_wrong(NULL, "%s counts %" PRIu64 " handlers of %" PRIu64, process->name, server.started,
              process->handlers_begun);
  for (int i = 0; i < sim->call_count; i++) {
    const sim_call *c = &sim->calls[i];
    for (int attempt = 0; attempt < c->retried; attempt++)
      known[TETHER_ABORTED] += c->retried_to[attempt] == process && c->retried_served[attempt] == process->served;
    if (c->to != process || !c->arrived_ns || c->unaccepted || (c->begun && c->served != process->served)) continue;
    if (c->begun && sim_wire_is_live(c->wire))
      known[c->code]++;
    else
      unknown++;
  }
  for (int code = 0; code < TETHER_CODES; code++) {
    if (server.ended[code] < known[code])
      sim_wrong(NULL, "%s counts %" PRIu64 " %s of %" PRIu64, process->name, server.ended[code],
                tether_code_name((tether_code)code), known[code]);
    more += server.ended[code] - known[code];
  }
  if (more > unknown) sim_wrong(NULL, "%s counts %" PRIu64 " calls too many", process->name, more - unknown);
}

static void check_client(const sim_process *process, int tier) {
  tether_client *client = process->clients[tier];
  tether_client_stats counted;
  uint64_t known[TETHER_CODES] = {0}, unsent = 0;
  if (!client) return;
  for (int i = 0; i < sim->call_count; i++) {
    const sim_call *c = &sim->calls[i];
    if (c->client != client) continue;
    known[TETHER_ABORTED] += (uint64_t)c->retried;
    if (c->left_ns && !c->unaccepted)
      known[c->code]++;
    else if (!c->between)
      unsent++;
  }
  tether_client_get_stats(client, &counted);
  for (int code = 0; code < TETHER_CODES; code++)
    if (counted.ended[code] != known[code])
      sim_wrong(NULL, "%s counts %" PRIu64 " %s of %" PRIu64 " for tier %d", process->name, counted.ended[code],
                tether_code_name((tether_code)code), known[code], tier);
  if (counted.unsent != unsent)
    sim_wrong(NULL, "%s counts %" PRIu64 " unsent of %" PRIu64, process->name, counted.unsent, unsent);
}

void sim_check_end(void) {
  for (const sim_wire *wire = sim->wires; wire; wire = wire->next)
    for (int role = 0; role < 2; role++)
      if (wire->ends[role].session) check_settled(&wire->ends[role]);
  for (int i = 0; i < sim->call_count; i++) check_verdict(&sim->calls[i]);
  for (int i = 0; i < sim->process_count; i++) {
    check_counters(&sim->processes[i]);
    for (int j = 0; j < sim->tier_count; j++) check_client(&sim->processes[i], j);
  }
}
