/* One input: greetings or none, then steps; at the end handlers finish, both connections break, and the client closes.
 * Then the server has no calls, and each call of the client has ended once. wire_check looks at every byte that either
 * sends. */
#include "tests/fuzz/call_world.h"

#include <stdlib.h>
#include <string.h>
#include <tether/clock.h>
#include <tether/ledger.h>

#define STEPS_MOST 1000
#define MEMORY_MOST ((size_t)8 * 1024 * 1024)

world the_world;

/* Small, so that small inputs reach them. */
const tether_limits world_limits = {.max_message_bytes = 40000,
                                    .max_metadata_bytes = 2000,
                                    .max_unpacked_bytes = 200000,
                                    .max_streams = 6,
                                    .max_forward_bytes = 1000,
                                    .stream_window_bytes = 65536,
                                    .connection_window_bytes = 200000};

/* ---- Time ---------------------------------------------------------------------------------- */

static int64_t clock_ns = 1000 * TETHER_SEC;

static int64_t now(void *data) {
  (void)data;
  return clock_ns;
}

static void pass(world *w, int64_t ns) {
  /* Ten million inputs must not use up the clock. */
  if (ns > 30 * TETHER_SEC) ns = 30 * TETHER_SEC;
  clock_ns += ns;
  while (tether_clock_run_due() <= clock_ns) continue;
  tst_link_mem_pump(w->net);
}

/* ---- Peers --------------------------------------------------------------------------------- */

static void listen_to(side *s) {
  wire_check_sent(&s->wire, s->peer.heard.bytes, s->peer.heard.len);
  s->peer.heard.len = 0;
}

static void say(side *s) {
  size_t len;
  uint8_t *batch = hostile_take(&s->says, &len);
  if (!batch) return;
  wire_check_delivered(&s->wire, batch, len);
  tst_mem_peer_say(&s->peer, batch, len);
  free(batch);
}

/* A new connection. The client's comes when it tries again. */
static void connect(world *w, side *s) {
  bool up = s == &w->up;
  s->there = true;
  s->held = false;
  wire_check_init(&s->wire, up ? TTH_SERVER : TTH_CLIENT, &world_limits);
  s->wire.checks_messages = true;
  FUZZ_CHECK(up ? tst_mem_peer_dial(&s->peer, w->net, "mem://up")
                : tst_mem_peer_listen(&s->peer, w->net, "mem://down"));
}

static void hang_up(side *s) {
  if (!s->there) return;
  tst_link_mem_pump(s->peer.net);
  listen_to(s);
  tst_mem_peer_fini(&s->peer);
  s->there = false;
}

static void hold(side *s) {
  tth_link *other = s->peer.link && !s->peer.closed ? tst_mem_other_end(s->peer.link) : NULL;
  if (!other) return;
  s->held = !s->held;
  tst_mem_hold(other, s->held);
}

/* ---- Steps --------------------------------------------------------------------------------- */

static void peer_act(world *w, side *s, uint8_t step) {
  if (!s->there) return;
  switch (step) {
    case 0:
    case 1:
      hostile_frame(&s->says, &w->in);
      break;
    case 2:
      hostile_message(&s->says, &w->in);
      break;
    case 3:
      hostile_raw(&s->says, &w->in);
      break;
    case 4:
      say(s);
      break;
    case 5:
      hostile_pong(&s->says, s->wire.asked, &w->in);
      break;
    case 6:
      hold(s);
      break;
    default:
      hang_up(s);
      connect(w, s);
      break;
  }
}

static void step(world *w) {
  uint8_t what = fuzz_byte(&w->in);
  switch (what >> 6) {
    case 0:
      peer_act(w, w->up.there && (!w->down.there || what & 8) ? &w->up : &w->down, what % 8);
      break;
    case 1:
      if (w->server) handler_act(w, what % 64);
      break;
    case 2:
      if (w->client) caller_act(w, what % 64);
      break;
    default:
      pass(w, fuzz_span_ns(&w->in));
      break;
  }
  tst_link_mem_pump(w->net);
  if (w->up.there) listen_to(&w->up);
  if (w->down.there) listen_to(&w->down);
}

/* ---- An input ------------------------------------------------------------------------------ */

/* The peer's HELLO, of one that takes little or much; 15: the input brings its own, or none. */
static void greet(side *s, uint8_t code) {
  static const uint32_t streams[] = {6, 1, 0, UINT32_MAX};
  Tether__V1__Hello hello = TETHER__V1__HELLO__INIT;
  if (!s->there || (code & 15) == 15) return;
  hello.version = 1;
  hello.has_max_streams = true;
  hello.max_streams = streams[code & 3];
  hello.has_max_message_bytes = hello.has_max_metadata_bytes = code & 4;
  hello.max_message_bytes = hello.max_metadata_bytes = 100;
  hello.has_stream_window_bytes = code & 8;
  hello.stream_window_bytes = 1 << 20;
  tst_frames_add(&s->says.batch, TTH_HELLO, 0, 0, &hello.base);
  say(s);
}

static void end(world *w) {
  handler_end(w);
  hang_up(&w->up);
  hang_up(&w->down);
  if (w->client) tether_client_close(w->client);
  w->client = NULL;
  caller_end(w);
  hostile_fini(&w->up.says);
  hostile_fini(&w->down.says);
  if (w->server) FUZZ_CHECK(tth_server_calls(w->server) == 0);
}

void world_run(bool client, const uint8_t *input, size_t size) {
  world *w = &the_world;
  size_t before = fuzz_allocated();
  w->in = (fuzz_input){input, size};
  memset(&w->up.says, 0, sizeof w->up.says);
  memset(&w->down.says, 0, sizeof w->down.says);
  memset(w->handled, 0, sizeof w->handled);
  memset(w->made, 0, sizeof w->made);
  if (w->server) connect(w, &w->up);
  if (client) {
    const tether_client_options options = {.limits = world_limits};
    connect(w, &w->down);
    FUZZ_CHECK(tth_client_open_on(&tst_transport_mem, "mem://down", &options, &w->client) == TETHER_OK);
    tst_link_mem_pump(w->net);
  }
  uint8_t greeting = fuzz_byte(&w->in);
  greet(&w->up, greeting);
  greet(&w->down, greeting >> 4);
  for (unsigned i = 0; i < STEPS_MOST && w->in.left > 0; i++) {
    step(w);
    FUZZ_CHECK(fuzz_allocated() <= before + MEMORY_MOST);
  }
  if (w->up.there) say(&w->up);
  if (w->down.there) say(&w->down);
  end(w);
}

void world_init(bool server) {
  world *w = &the_world;
  const tether_clock clock = {.now_ns = now};
  const tether_server_options options = {.limits = world_limits, .max_workers = 1};
  FUZZ_CHECK(tether_clock_set(&clock) == TETHER_OK);
  w->net = tst_mem_net_new(true);
  tst_mem_net_use(w->net);
  if (!server) return;
  FUZZ_CHECK(tth_server_open_on(&tst_transport_mem, &options, &w->server) == TETHER_OK);
  world_serve(w->server);
  FUZZ_CHECK(tether_server_listen(w->server, "mem://up") == TETHER_OK);
}

/* ---- Reading ------------------------------------------------------------------------------- */

void world_read_metadata(const tether_metadata *metadata) {
  size_t size = 0;
  for (size_t i = 0; i < tether_metadata_count(metadata); i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    fuzz_read(entry.value, entry.len + 1);
    size += strlen(entry.key) + entry.len + 32;
  }
  FUZZ_CHECK(size == tether_metadata_size(metadata) && size <= world_limits.max_metadata_bytes);
}

void world_read_ledger(const tether_ledger *ledger) {
  const tether_ledger *row;
  tether_phase phase;
  int64_t spent_ns;
  char text[4000];
  if (!ledger) return;
  size_t len = tether_ledger_text(ledger, 40, text, sizeof text);
  FUZZ_CHECK(strlen(text) == (len < sizeof text ? len : sizeof text - 1));
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  FUZZ_CHECK(spent_ns >= 0 && *tether_phase_text(phase));
}

void world_fill_body(world *w, ProtobufCBinaryData *body) {
  static uint8_t bytes[UINT16_MAX + 1];
  uint32_t code = fuzz_number(&w->in, 2);
  *body = (ProtobufCBinaryData){.data = bytes, .len = code & 1 ? code : code >> 6};
}
