/* The simulation: a loop that chooses, by the seed, between letting one side of one stream act, delivering one batch,
 * moving time, and a fault. Handlers are inline and return at once (deferred), so that nothing has a thread. */
#include "tests/support/stream_sim.h"

#include <stdlib.h>

#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/session_impl.h"
#include "tests/support/ctx_sim.h"
#include "tests/support/stream_sim_impl.h"

#define STEPS_MOST 4000000
#define MESSAGE_MOST ((size_t)512 * 1024)

struct world *stream_sim_world;

/* ---- One step ------------------------------------------------------------------------------ */

static void stalled(struct world *w) {
  for (int i = 0; i < w->started; i++) {
    const struct stream *s = &w->streams[i];
    if (is_over(&s->client) && (!s->answered || s->finished)) continue;
    stream_sim_wrong(s, "stalled. Client sent %u of %u%s, received %u%s; server %s sent %u of %u%s, received %u%s",
                     s->client.sent, s->client.to_send, s->client.send_waits ? " (waits)" : "", s->client.received,
                     s->client.recv_waits ? " (waits)" : "", s->answered ? "" : "(not there)", s->server.sent,
                     s->server.to_send, s->server.send_waits ? " (waits)" : "", s->server.received,
                     s->server.recv_waits ? " (waits)" : "");
  }
  stream_sim_wrong(NULL, "stalled");
}

/* Lets one side act that can, searching from a random place. */
static bool act_somewhere(struct world *w) {
  if (w->started == 0) return false;
  uint32_t n = 2 * (uint32_t)w->started, from = below(w, n);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = (from + i) % n;
    struct stream *s = &w->streams[at / 2];
    bool client = at % 2 == 0;
    if (!stream_sim_may_act(s, client)) continue;
    stream_sim_act(w, s, client);
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
    stream_sim_start_next(w);
  } else if (dice < 2) {
    go_wrong(w);
  } else if (dice < 600) {
    if (act_somewhere(w) || tst_link_mem_step(w->net) || sleep_until_next(w)) return;
    if (w->started < w->count)
      stream_sim_start_next(w);
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
    stream_sim_world->link = stream_sim_world->ending ? NULL : link;
    stream_sim_world->totals->connections += !stream_sim_world->ending;
  }
  dialed(owner, link, why);
  if (link && stream_sim_world->ending) tst_mem_break(link);
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
  static const testing_v1_echo_service service = {.inline_chat = stream_sim_chat};
  /* Without timers that always go on, so that what nobody will ever wake is seen. */
  const tether_server_options server = {.limits = random_limits(w), .keepalive.time_ns = TETHER_FOREVER};
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
    if (tth_session_stream_count(session) != 0) stream_sim_wrong(NULL, "the %s has streams left", whose);
    if (session->queued.first || session->blocked > 0) stream_sim_wrong(NULL, "the %s has output left", whose);
    if (session->waiting.first || session->owed.first) stream_sim_wrong(NULL, "the %s has windows left to give", whose);
    if (session->pending > 0) stream_sim_wrong(NULL, "the %s has %zu bytes to send", whose, session->pending);
    if (!fresh || session->budget != fresh->budget || session->growth_left != fresh->growth_left)
      stream_sim_wrong(NULL, "the %s's budget is not whole", whose);
    tth_session_free(fresh);
  }
  if (conn) tth_conn_unlock(conn);
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

void stream_sim_random(void *bytes, size_t len) {
  static uint64_t none = 1;
  uint64_t *state = stream_sim_world ? &stream_sim_world->library_random : &none;
  for (uint8_t *at = bytes; len > 0; len--) *at++ = (uint8_t)next_random(state);
}

bool stream_sim_run(uint64_t seed, stream_sim_faults faults, stream_sim_totals *totals, char *why, size_t why_size) {
  static struct world w;
  w = (struct world){.random = mix(seed),
                     .library_random = mix(~seed),
                     .faults = faults,
                     .totals = totals,
                     .why = why,
                     .why_size = why_size};
  w.release_ns = w.timer_ns = TETHER_FOREVER;
  stream_sim_world = &w;
  *why = 0;
  stream_sim_make_pattern();
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
  if (!*why && w.link) check_session(w.client->subchannels[0]->conn, "client");
  if (!*why && w.link) check_session(w.server->conns, "server");
  for (int i = 0; i < w.count && !*why; i++) stream_sim_check_stream(&w, &w.streams[i]);
  close_world(&w);
  if (ctx_sim_teardown(NULL) != 0) stream_sim_wrong(NULL, "contexts or timers are left");
  return !*why;
}
