/* The simulation: a loop that chooses, by the seed, between letting one side of one stream act, delivering one batch,
 * moving time, and a fault. Handlers are inline and return at once (deferred), so that nothing has a thread. */
#include "tests/support/stream_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/session_impl.h"
#include "testing.tether.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/link_mem.h"

#define STEPS_MOST 4000000
#define MESSAGE_MOST ((size_t)512 * 1024)
#define PATTERN ((size_t)1024 * 1024)
#define NUMBER_KEY "x-stream"

/* One side of a stream. */
struct end {
  tether_call *call;
  uint32_t to_send, sent, received;
  uint32_t appetite;                    /* percent of the chances to read that it takes */
  bool send_over, send_waits;           /* sends nothing more; waits for `ready` */
  bool recv_over, recv_waits, recv_end; /* has no more to receive; waits; because the peer has said so */
  tether_code code;                     /* of the receive that failed */
};

struct stream {
  int number;
  uint64_t seed;
  struct end client, server;
  bool answered, finished;       /* the handler was entered; and is through */
  uint32_t cancel_at, answer_at; /* after so many messages sent and received; received. UINT32_MAX: never */
  int64_t timeout_ns;
  tether_code answer; /* what the handler finishes with */
  tether_code cut;    /* why the handler was cut: the code, */
  tether_cause_code cause;
};

struct world {
  uint64_t random;
  stream_sim_faults faults;
  stream_sim_totals *totals;
  tst_mem_net *net;
  tether_server *server;
  tether_client *client;
  tth_link *link;         /* the client's newest; NULL while it has none */
  tth_link *ghost;        /* the server's end of a link whose other end has vanished */
  int64_t release_ns;     /* what is held is let go, and ghosts are broken; TETHER_FOREVER: there is none */
  int64_t timer_ns;       /* the next armed */
  int64_t break_after_ns; /* since the last break, at least */
  bool broke, ending;
  struct stream streams[STREAM_SIM_MOST];
  int count, started;
  char *why;
  size_t why_size;
};

static struct world *world;
static uint8_t pattern[PATTERN];

/* ---- Chance -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t value) {
  value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
  return value ^ value >> 31;
}

static uint64_t next_random(uint64_t *state) { return mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }

static uint32_t below(struct world *w, uint32_t n) { return (uint32_t)(next_random(&w->random) % n); }
static bool chance(struct world *w, uint32_t percent) { return below(w, 100) < percent; }

static void make_pattern(void) {
  uint64_t state = 1;
  if (pattern[0] == 1) return;
  for (size_t i = 0; i < PATTERN; i += 8) {
    uint64_t word = next_random(&state);
    memcpy(pattern + i, &word, 8);
  }
  pattern[0] = 1;
}

/* The body of a message follows from its place: few are long, many are short, some lie about the length of a slice. */
static ProtobufCBinaryData body_of(const struct stream *s, bool up, uint32_t index) {
  uint64_t state = s->seed ^ ((uint64_t)index << 1 | up);
  uint32_t kind = (uint32_t)(next_random(&state) % 100);
  uint64_t length = next_random(&state);
  size_t len = kind < 40   ? length % 100
               : kind < 70 ? length % 5000
               : kind < 82 ? 16 * 1024 - 40 + length % 80
               : kind < 96 ? length % (100 * 1024)
                           : length % (400 * 1024);
  return (ProtobufCBinaryData){.data = pattern + next_random(&state) % (PATTERN - len), .len = len};
}

/* ---- What is wrong ------------------------------------------------------------------------- */

static void wrong(const struct stream *s, const char *format, ...) TETHER_PRINTF(2, 3);
static void wrong(const struct stream *s, const char *format, ...) {
  va_list args;
  if (*world->why) return; /* the first counts */
  int len = snprintf(world->why, world->why_size, "stream %d: ", s ? s->number : -1);
  va_start(args, format);
  vsnprintf(world->why + len, world->why_size - (size_t)len, format, args);
  va_end(args);
}

static bool is_over(const struct end *end) { return end->send_over && end->recv_over; }

static void stalled(struct world *w) {
  for (int i = 0; i < w->started; i++) {
    const struct stream *s = &w->streams[i];
    if (is_over(&s->client) && (!s->answered || s->finished)) continue;
    wrong(s, "stalled. Client sent %u of %u%s, received %u%s; server %s sent %u of %u%s, received %u%s", s->client.sent,
          s->client.to_send, s->client.send_waits ? " (waits)" : "", s->client.received,
          s->client.recv_waits ? " (waits)" : "", s->answered ? "" : "(not there)", s->server.sent, s->server.to_send,
          s->server.send_waits ? " (waits)" : "", s->server.received, s->server.recv_waits ? " (waits)" : "");
  }
  wrong(NULL, "stalled");
}

/* ---- Messages ------------------------------------------------------------------------------ */

static void on_ready(tether_call *call, tether_ready_for what, void *data) {
  struct end *end = data;
  (void)call;
  if (what == TETHER_CAN_RECV) {
    if (!end->recv_waits) wrong(NULL, "`ready` to receive, which nobody asked for");
    end->recv_waits = false;
  } else if (what == TETHER_CAN_SEND) {
    if (!end->send_waits) wrong(NULL, "`ready` to send, which nobody asked for");
    end->send_waits = false;
  }
}

static struct end *end_of(struct stream *s, bool client) { return client ? &s->client : &s->server; }

/* A message that has come must be the next one, whole. */
static void check_message(struct stream *s, bool client, uint32_t index, const ProtobufCBinaryData *body) {
  struct end *end = end_of(s, client);
  ProtobufCBinaryData expected = body_of(s, !client, end->received);
  if (index != end->received) wrong(s, "message %u in place of %u", index, end->received);
  if (body->len != expected.len || (body->len > 0 && memcmp(body->data, expected.data, body->len) != 0))
    wrong(s, "message %u of %zu bytes is not as it was sent (%zu)", index, body->len, expected.len);
  end->received++;
  world->totals->messages++;
  world->totals->bytes += body->len;
}

static void send_one(struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  bool done = true;
  tether_code code;
  if (end->sent == end->to_send) {
    if (client) tether_call_close_send(end->call);
    end->send_over = true;
    return;
  }
  ProtobufCBinaryData body = body_of(s, client, end->sent);
  if (client) {
    Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
    request.width = end->sent;
    request.body = body;
    code = testing_v1_echo_inline_chat_try_send_request(end->call, &request, &done);
  } else {
    Testing__V1__Reply reply = TESTING__V1__REPLY__INIT;
    reply.count = end->sent;
    reply.body = body;
    code = testing_v1_echo_inline_chat_try_send_reply(end->call, &reply, &done);
  }
  if (!done) {
    end->send_waits = true;
    world->totals->send_waits++;
  } else if (code == TETHER_OK) {
    end->sent++;
  } else {
    end->send_over = true; /* the receives say why */
  }
}

static void recv_one(struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  const Testing__V1__Request *request = NULL;
  const Testing__V1__Reply *reply = NULL;
  bool done = true;
  tether_code code = client ? testing_v1_echo_inline_chat_try_recv_reply(end->call, &reply, &done)
                            : testing_v1_echo_inline_chat_try_recv_request(end->call, &request, &done);
  if (!done) {
    end->recv_waits = true;
  } else if (code != TETHER_OK) {
    end->code = code;
    end->recv_over = end->send_over = true;
  } else if (request) {
    check_message(s, false, request->width, &request->body);
  } else if (reply) {
    check_message(s, true, reply->count, &reply->body);
  } else {
    end->recv_over = end->recv_end = true;
    if (client) end->send_over = true;
  }
}

/* ---- The server ---------------------------------------------------------------------------- */

static tether_code chat(const tether_ctx *ctx, tether_call *call, void *data) {
  struct world *w = data;
  (void)ctx;
  const char *number = tether_metadata_get(tether_call_metadata(call), NUMBER_KEY, NULL);
  struct stream *s = number ? &w->streams[atoi(number)] : NULL;
  if (!s || s->answered) {
    wrong(s, "a handler runs that was not called, or twice");
    return TETHER_INTERNAL;
  }
  s->answered = true;
  s->server.call = call;
  tether_call_defer(call);
  tether_call_on_ready(call, on_ready, &s->server);
  return TETHER_OK;
}

/* Ends the handler, and checks what it saw. */
static void finish(struct stream *s) {
  struct end *end = &s->server;
  tether_call *call = end->call;
  const tether_ctx *ctx = tether_call_ctx(call);
  s->cut = tether_ctx_err(ctx); /* a cut that nobody has looked for counts too */
  if (s->cut != TETHER_OK) s->cause = tether_cause_get_code(tether_ctx_cause(ctx));
  if (end->recv_end && (!s->client.send_over || end->received != s->client.to_send))
    wrong(s, "a clean end after %u of %u requests", end->received, s->client.to_send);
  if (end->recv_over && !end->recv_end && s->cut == TETHER_OK)
    wrong(s, "the handler's receive failed with %s, but it was not cut", tether_code_name(end->code));
  tether_call_ref(call);
  tether_call_finish(call, s->answer);
  if (s->cut == TETHER_OK && tether_call_code(call) != s->answer)
    wrong(s, "finished with %s, recorded %s", tether_code_name(s->answer), tether_code_name(tether_call_code(call)));
  tether_call_unref(call);
  s->finished = true;
}

/* ---- The client ---------------------------------------------------------------------------- */

static void start_next(struct world *w) {
  struct stream *s = &w->streams[w->started++];
  char number[16];
  tether_metadata *metadata = tether_metadata_new();
  snprintf(number, sizeof number, "%d", s->number);
  if (!metadata || tether_metadata_add(metadata, NUMBER_KEY, number) != TETHER_OK) abort();
  const tether_call_options options = {.metadata = metadata, .wait_for_ready = true, .timeout_ns = s->timeout_ns};
  s->client.call = testing_v1_echo_client_inline_chat_start(w->client, tether_ctx_background(), &options, NULL, NULL);
  tether_call_on_ready(s->client.call, on_ready, &s->client);
  tether_metadata_free(metadata);
}

/* ---- One step ------------------------------------------------------------------------------ */

static bool may_act(const struct stream *s, const struct end *end, bool client) {
  if (!end->call || (!client && s->finished)) return false;
  if (!client && (is_over(end) || end->received >= s->answer_at)) return true; /* to finish */
  return (!end->send_over && !end->send_waits) || (!end->recv_over && !end->recv_waits);
}

static void act(struct world *w, struct stream *s, bool client) {
  struct end *end = end_of(s, client);
  if (!client && (is_over(end) || end->received >= s->answer_at)) {
    finish(s);
    return;
  }
  if (client && end->sent + end->received >= s->cancel_at) {
    s->cancel_at = UINT32_MAX;
    tether_call_cancel(end->call, NULL);
  }
  bool send = !end->send_over && !end->send_waits, recv = !end->recv_over && !end->recv_waits;
  if (send && recv) send = chance(w, 50);
  if (send)
    send_one(s, client);
  else if (recv && chance(w, end->appetite))
    recv_one(s, client);
}

/* Lets one side act that can, searching from a random place. */
static bool act_somewhere(struct world *w) {
  if (w->started == 0) return false;
  uint32_t n = 2 * (uint32_t)w->started, from = below(w, n);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = (from + i) % n;
    struct stream *s = &w->streams[at / 2];
    bool client = at % 2 == 0;
    if (!may_act(s, end_of(s, client), client)) continue;
    act(w, s, client);
    return true;
  }
  return false;
}

/* Moves both times on. */
static void move(struct world *w, int64_t ns) {
  w->timer_ns = ctx_sim_advance(ns);
  tst_link_mem_advance(w->net, tether_now_ns());
}

/* ---- Faults -------------------------------------------------------------------------------- */

static void release(struct world *w) {
  w->release_ns = TETHER_FOREVER;
  if (w->ghost) tst_mem_break(w->ghost);
  w->ghost = NULL;
  if (!w->link) return;
  tst_mem_hold(w->link, false);
  if (tst_mem_other_end(w->link)) tst_mem_hold(tst_mem_other_end(w->link), false);
}

static void hamper(struct world *w, tth_link *link) {
  if (!link) return;
  if (chance(w, 60)) tst_mem_delay(link, chance(w, 30) ? 0 : below(w, 50) * TETHER_MS);
  if (chance(w, 40)) tst_mem_room(link, chance(w, 50) ? 0 : below(w, 512 * 1024));
  if (chance(w, 20)) {
    tst_mem_hold(link, true);
    w->release_ns = tether_now_ns() + below(w, 2000) * TETHER_MS;
  }
}

static void break_link(struct world *w) {
  tth_link *link = w->link, *other = link ? tst_mem_other_end(link) : NULL;
  if (!link || w->ghost) return;
  release(w); /* what is held now would stay so */
  w->link = NULL;
  w->broke = true;
  if (other && chance(w, 30)) {
    w->ghost = other;
    w->release_ns = tether_now_ns() + below(w, 3000) * TETHER_MS;
    tst_mem_vanish(link);
  } else {
    tst_mem_break(link);
  }
  w->break_after_ns = tether_now_ns() + below(w, 500) * TETHER_MS;
}

static void go_wrong(struct world *w) {
  if (w->faults.breaks && tether_now_ns() >= w->break_after_ns && chance(w, 30)) break_link(w);
  if (w->faults.delays && w->link && w->release_ns == TETHER_FOREVER) {
    hamper(w, w->link);
    hamper(w, tst_mem_other_end(w->link));
  }
}

/* ---- The loop ------------------------------------------------------------------------------ */

/* Nobody can act: time moves to where something happens. false: nothing ever will. */
static bool sleep_until_next(struct world *w) {
  int64_t now_ns = tether_now_ns(), next_ns = tst_mem_net_next_ns(w->net);
  if (w->timer_ns < next_ns) next_ns = w->timer_ns;
  if (w->release_ns < next_ns) next_ns = w->release_ns;
  if (next_ns == TETHER_FOREVER) return false;
  move(w, next_ns > now_ns ? next_ns - now_ns : 0);
  return true;
}

static bool all_over(const struct world *w) {
  if (w->started < w->count || w->release_ns != TETHER_FOREVER || tst_mem_net_next_ns(w->net) != TETHER_FOREVER)
    return false;
  for (int i = 0; i < w->count; i++)
    if (!is_over(&w->streams[i].client) || (w->streams[i].answered && !w->streams[i].finished)) return false;
  return true;
}

static void step(struct world *w) {
  uint32_t dice = below(w, 1000);
  if (tether_now_ns() >= w->release_ns) release(w);
  if (w->started < w->count && dice % 50 == 0) {
    start_next(w);
  } else if (dice < 2) {
    go_wrong(w);
  } else if (dice < 600) {
    if (act_somewhere(w) || tst_link_mem_step(w->net) || sleep_until_next(w)) return;
    if (w->started < w->count)
      start_next(w);
    else if (!all_over(w))
      stalled(w);
  } else if (dice < 960) {
    (void)tst_link_mem_step(w->net);
  } else {
    move(w, below(w, 1000) * TETHER_US);
  }
}

/* ---- Setting up and taking stock ----------------------------------------------------------- */

static void (*dialed)(void *owner, tth_link *link, const char *why);

static void note_link(void *owner, tth_link *link, const char *why) {
  if (link) {
    world->link = world->ending ? NULL : link;
    world->totals->connections += !world->ending;
  }
  dialed(owner, link, why);
  if (link && world->ending) tst_mem_break(link);
}

static void dial(tth_dialer *dialer, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  dialed = done;
  tst_transport_mem.dial(dialer, timeout_ns, note_link, owner);
}

static void plan(struct world *w) {
  static const uint32_t appetites[] = {1, 10, 50, 100};
  w->count = 1 + (int)below(w, STREAM_SIM_MOST);
  for (int i = 0; i < w->count; i++) {
    struct stream *s = &w->streams[i];
    *s =
        (struct stream){.number = i, .seed = next_random(&w->random), .cancel_at = UINT32_MAX, .answer_at = UINT32_MAX};
    uint32_t up = chance(w, 20) ? 0 : below(w, 30), down = chance(w, 20) ? 0 : below(w, 30);
    s->client.to_send = up;
    s->server.to_send = down;
    s->client.appetite = appetites[below(w, 4)];
    s->server.appetite = appetites[below(w, 4)];
    if (!w->faults.cuts) continue;
    if (chance(w, 20)) s->cancel_at = below(w, up + down + 1);
    if (chance(w, 20)) s->answer_at = below(w, up + 1);
    if (chance(w, 20)) s->timeout_ns = (1 + below(w, 300)) * TETHER_MS;
    if (chance(w, 20)) s->answer = TETHER_ABORTED;
  }
}

static tether_limits random_limits(struct world *w) {
  tether_limits limits = {.max_message_bytes = MESSAGE_MOST};
  if (chance(w, 50)) limits.connection_window_bytes = MESSAGE_MOST;
  if (chance(w, 30)) limits.stream_window_bytes = 64 * 1024 + below(w, 256 * 1024);
  if (chance(w, 30)) limits.max_streams = 1 + below(w, 6);
  return limits;
}

static bool open_world(struct world *w) {
  static tth_transport transport;
  static const testing_v1_echo_service service = {.inline_chat = chat};
  const tether_server_options server = {.limits = random_limits(w)};
  const tether_client_options client = {.limits = random_limits(w)};
  transport = tst_transport_mem;
  transport.dial = dial;
  w->net = tst_mem_net_new(true);
  tst_mem_net_use(w->net);
  tst_mem_net_shuffle(w->net, next_random(&w->random));
  return tth_server_open_on(&transport, &server, &w->server) == TETHER_OK &&
         testing_v1_echo_register(w->server, &service, w) == TETHER_OK &&
         tether_server_listen(w->server, "mem://s") == TETHER_OK &&
         tth_client_open_on(&transport, "mem://s", &client, &w->client) == TETHER_OK;
}

/* A connection without streams has its whole budget, owes nothing and waits for nothing. */
static void check_session(tth_conn *conn, const char *whose) {
  tth_session *session = conn ? tth_conn_lock(conn) : NULL;
  if (session) {
    tth_session *fresh = tth_session_new(session->role, &session->limits);
    if (tth_session_stream_count(session) != 0) wrong(NULL, "the %s has streams left", whose);
    if (session->queued.first || session->blocked > 0) wrong(NULL, "the %s has output left", whose);
    if (session->waiting.first || session->owed.first) wrong(NULL, "the %s has windows left to give", whose);
    if (session->pending > 0) wrong(NULL, "the %s has %zu bytes to send", whose, session->pending);
    if (!fresh || session->budget != fresh->budget || session->growth_left != fresh->growth_left)
      wrong(NULL, "the %s's budget is not whole", whose);
    tth_session_free(fresh);
  }
  if (conn) tth_conn_unlock(conn);
}

/* What the two sides of a stream saw must agree. */
static void check_stream(struct world *w, struct stream *s) {
  tether_code code = tether_call_code(s->client.call);
  stream_sim_totals *totals = w->totals;
  bool ok = code == TETHER_OK;
  totals->streams++;
  if (s->client.recv_end != ok)
    wrong(s, "received %s, ended %s", s->client.recv_end ? "all" : "not all", tether_code_name(code));
  if (!ok && s->client.code != code) wrong(s, "received %s", tether_code_name(s->client.code));
  if (s->server.received > s->client.sent || s->client.received > s->server.sent) wrong(s, "more than was sent");
  if (ok || (code == s->answer && s->finished && s->cut == TETHER_OK)) {
    if (!s->finished || s->cut != TETHER_OK) wrong(s, "%s though the handler was cut", tether_code_name(code));
    if (ok && s->answer != TETHER_OK) wrong(s, "OK though the handler said otherwise");
    if (s->client.received != s->server.sent)
      wrong(s, "an end after %u of %u replies", s->client.received, s->server.sent);
    if (s->server.recv_end)
      totals->whole++;
    else
      totals->early++;
    return;
  }
  /* Cut: the handler is too, with the reason, unless it was through by itself. */
  tether_cause_code cause = TETHER_CAUSE_NONE;
  if (code == TETHER_CANCELLED && w->faults.cuts) {
    cause = TETHER_CAUSE_CALLER;
    totals->cancelled++;
  } else if (code == TETHER_DEADLINE_EXCEEDED && s->timeout_ns) {
    cause = TETHER_CAUSE_DEADLINE;
    totals->expired++;
  } else if (code == TETHER_UNAVAILABLE && w->broke) {
    cause = TETHER_CAUSE_PEER_LOST;
    totals->lost++;
  } else {
    wrong(s, "ended %s: %s", tether_code_name(code), tether_call_message(s->client.call));
  }
  bool late =
      s->cause == TETHER_CAUSE_DEADLINE && s->timeout_ns;     /* a handler that hears nothing goes by its own clock */
  bool lost = s->cause == TETHER_CAUSE_PEER_LOST && w->broke; /* or loses the connection before the CANCEL comes */
  if (s->answered && s->cut != TETHER_OK && s->cause != cause && !late && !lost)
    wrong(s, "ended %s at the client, by cause %s at the server", tether_code_name(code),
          tether_cause_code_name(s->cause));
}

static void close_world(struct world *w) {
  w->ending = true;
  for (int i = 0; i < w->count; i++) {
    struct stream *s = &w->streams[i];
    if (s->client.call && !is_over(&s->client)) tether_call_cancel(s->client.call, NULL);
    if (s->answered && !s->finished) tether_call_finish(s->server.call, TETHER_CANCELLED);
    tether_call_unref(s->client.call);
  }
  release(w);
  if (w->link) tst_mem_break(w->link);
  move(w, 0);
  tether_client_close(w->client);
  tether_server_close(w->server);
  tst_mem_net_free(w->net);
}

bool stream_sim_run(uint64_t seed, stream_sim_faults faults, stream_sim_totals *totals, char *why, size_t why_size) {
  static struct world w;
  w = (struct world){.random = mix(seed), .faults = faults, .totals = totals, .why = why, .why_size = why_size};
  w.release_ns = w.timer_ns = TETHER_FOREVER;
  world = &w;
  *why = 0;
  make_pattern();
  if (ctx_sim_setup(NULL) != 0) abort();
  plan(&w);
  if (!open_world(&w)) abort();
  w.break_after_ns = tether_now_ns() + below(&w, 500) * TETHER_MS;
  move(&w, 0);
  for (int steps = 0; !*why && !(all_over(&w) && !act_somewhere(&w)); steps++) {
    if (steps == STEPS_MOST) stalled(&w);
    step(&w);
    totals->steps++;
  }
  if (!*why && w.link) check_session(w.client->conn, "client");
  if (!*why && w.link) check_session(w.server->conns, "server");
  for (int i = 0; i < w.count && !*why; i++) check_stream(&w, &w.streams[i]);
  close_world(&w);
  if (ctx_sim_teardown(NULL) != 0) wrong(NULL, "contexts or timers are left");
  return !*why;
}
