/* Streaming calls: what either side sends and reads, in turns that the simulator grants.
 *
 *   turn ──a try is not done──> waits ──`ready`──> turn ... ──end or cut──> over
 *
 * Checked here: messages arrive whole and in order, a stream that was cut never looks like one that ended, `ready` is
 * told to who asked and to nobody else. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

#define PATTERN ((size_t)512 * 1024)

static void turn(void *data, uint64_t number);

ProtobufCBinaryData sim_body(const sim_call *call, bool up, uint32_t index) {
  static uint8_t pattern[PATTERN];
  uint64_t seed = sim_mix(call->chance_seed ^ ((uint64_t)index << 1 | up));
  size_t len = call->body_bytes ? seed % call->body_bytes : 0;
  for (uint64_t i = 0, state = 1; pattern[PATTERN - 1] == 0 && i < PATTERN; i++) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    pattern[i] = (uint8_t)(state >> 56 | 1);
  }
  return (ProtobufCBinaryData){.data = pattern + (seed >> 32) % (PATTERN - len), .len = len};
}

bool sim_stream_is_over(const sim_side *side) { return side->send_over && side->recv_over; }

static sim_process *process_of(const sim_side *side) { return side->client ? side->call->from : side->call->to; }

/* What the message takes of a window: its frames with their headers, and the length before the first of several. */
static uint64_t cost_of(const ProtobufCMessage *message) {
  uint64_t len = protobuf_c_message_get_packed_size(message);
  if (len <= TTH_SLICE) return TTH_FRAME_HEADER + len;
  return 4 + len + (len + TTH_SLICE - 1) / TTH_SLICE * TTH_FRAME_HEADER;
}

/* ---- Turns --------------------------------------------------------------------------------- */

static bool may_act(const sim_side *side) {
  return (!side->send_over && !side->send_waits) || (!side->recv_over && !side->recv_waits);
}

static void next_turn(sim_side *side) {
  if (side->turning || !may_act(side)) return;
  side->turning = true;
  sim_later(side->pace_ns ? sim_between(&side->call->chance, 0, side->pace_ns) : 0, turn, side, 0);
}

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  sim_side *side = data;
  (void)call;
  if (what == TETHER_CAN_RECV) {
    if (!side->recv_waits) sim_wrong(side->call, "told that it can receive, which it did not ask");
    side->recv_waits = false;
  } else if (what == TETHER_CAN_SEND) {
    if (!side->send_waits) sim_wrong(side->call, "told that it can send, which it did not ask");
    side->send_waits = false;
  }
  next_turn(side);
}

static tether_call *call_of(const sim_side *side) { return side->client ? side->call->call : side->call->server_call; }

static void send_one(sim_side *side) {
  sim_call *c = side->call;
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
  bool done;
  if (side->sent == side->to_send) {
    if (side->client) tether_call_close_send(call_of(side));
    side->send_over = true;
    return;
  }
  request.body = reply.body = sim_body(c, side->client, side->sent + 1);
  request.width = reply.count = side->sent;
  tether_code code = tether_call_try_send(
      call_of(side), side->client ? (const ProtobufCMessage *)&request : (const ProtobufCMessage *)&reply, &done);
  if (!done) {
    side->send_waits = true;
    sim->totals->send_waits++;
  } else if (code == TETHER_OK) {
    side->sent++;
  } else {
    side->send_over = true; /* the receives say why */
  }
}

static void take_message(sim_side *side, const ProtobufCMessage *message) {
  sim_call *c = side->call;
  const Testing__V1__Request *request = (const Testing__V1__Request *)message;
  const Testing__V1__Reply *reply = (const Testing__V1__Reply *)message;
  uint32_t index = side->client ? reply->count : request->width;
  const ProtobufCBinaryData *body = side->client ? &reply->body : &request->body;
  ProtobufCBinaryData expected = sim_body(c, !side->client, side->received + 1);
  if (index != side->received) sim_wrong(c, "message %" PRIu32 " in place of %" PRIu32, index, side->received);
  if (body->len != expected.len || (body->len > 0 && memcmp(body->data, expected.data, body->len) != 0))
    sim_wrong(c, "message %" PRIu32 " is not as it was sent", index);
  side->received++;
  side->read_cost += cost_of(message);
  sim->totals->messages++;
  sim->totals->bytes += body->len;
}

/* The peer has sent everything, it says. */
static void take_end(sim_side *side) {
  sim_call *c = side->call;
  const sim_side *peer = side->client ? &c->server_side : &c->client_side;
  if (side->client && (!c->ended || c->code != TETHER_OK)) sim_wrong(c, "a clean end of a call that has not ended OK");
  if (!side->client && !peer->send_over) sim_wrong(c, "an end that the caller has not sent");
  if (side->received != peer->sent)
    sim_wrong(c, "a clean end after %" PRIu32 " of %" PRIu32 " messages", side->received, peer->sent);
  side->recv_over = true;
  if (side->client) side->send_over = true;
}

static void recv_one(sim_side *side) {
  sim_call *c = side->call;
  const ProtobufCMessage *message = NULL;
  bool done;
  tether_code code = tether_call_try_recv(call_of(side), &message, &done);
  if (!done) {
    side->recv_waits = true;
  } else if (code != TETHER_OK) {
    bool known = side->client ? c->ended && c->code == code : tether_ctx_err(c->ctx) != TETHER_OK;
    if (!known) sim_wrong(c, "%s receives %s", side->client ? "the client" : "the handler", tether_code_name(code));
    side->recv_over = side->send_over = true;
  } else if (message) {
    take_message(side, message);
  } else {
    take_end(side);
  }
}

static void turn(void *data, uint64_t number) {
  sim_side *side = data;
  sim_call *c = side->call;
  (void)number;
  side->turning = false;
  if (!side->client && c->finished) return;
  sim_enter(process_of(side));
  for (uint32_t acts = 1 + sim_below(&c->chance, 4); acts > 0 && may_act(side); acts--) {
    bool send = !side->send_over && !side->send_waits, recv = !side->recv_over && !side->recv_waits;
    if (send && recv) send = sim_percent(&c->chance, 50);
    if (send)
      send_one(side);
    else
      recv_one(side);
  }
  if (side->client && c->ended && !side->receives) side->send_over = true;
  if (!side->client && sim_stream_is_over(side)) sim_handler_streamed(c);
  next_turn(side);
}

void sim_stream_begin(sim_call *c, bool client) {
  sim_side *side = client ? &c->client_side : &c->server_side;
  sim_chance *chance = &c->chance;
  bool up = c->kind == SIM_UP || c->kind == SIM_BOTH, down = c->kind == SIM_DOWN || c->kind == SIM_BOTH;
  *side = (sim_side){.call = c, .client = client};
  side->receives = client ? down : up;
  bool sends = client ? up : down;
  side->send_over = !sends;
  side->recv_over = !side->receives;
  if (sends && !sim_percent(chance, 15)) side->to_send = sim_below(chance, 14);
  if (sim_percent(chance, 60)) side->pace_ns = sim_spread(chance, 1 * TETHER_US, 5 * TETHER_MS);
  tether_call_on_ready(call_of(side), on_ready, side);
  next_turn(side);
}
