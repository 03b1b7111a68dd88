/* The cluster's transport: that of tests/support/link_mem.h, with attempts that take their time, fail as the faults
 * say, and connections of which everything is known. Process p listens for process q on mem://q-p.
 *
 *   dial ──a round trip──> is there anybody? ──yes──> link_mem's dial ──> accepted: a wire ──> done
 *              ^                │ no: "connection refused"
 *              └──partitioned───┘ until the attempt's time is over: "timed out" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

/* Ours, under the name that the library knows. */
typedef struct sim_dialer {
  struct sim_dialer *next;
  sim_process *from, *to;
  int life; /* of `from` */
  tth_dialer *inner;
  bool pending, gone;
  uint64_t attempt; /* counts */
  int64_t give_up_ns;
  void (*done)(void *owner, tth_link *link, const char *why);
  void *owner;
} sim_dialer;

typedef struct sim_listener {
  sim_process *from, *to;
  tth_listener *inner;
  void (*accepted)(void *owner, tth_link *link);
  void *owner;
} sim_listener;

static sim_dialer *of(tth_dialer *dialer) { return (sim_dialer *)(void *)dialer; }

/* mem://<from>-<to> */
static void parse(const char *url, sim_process **from, sim_process **to) {
  *from = &sim->processes[url[6] - '0'];
  *to = &sim->processes[url[8] - '0'];
}

/* ---- Connections --------------------------------------------------------------------------- */

bool sim_wire_is_live(const sim_wire *wire) {
  return !wire->doomed && !wire->ends[TTH_CLIENT].closed && !wire->ends[TTH_SERVER].closed;
}

static void init_end(sim_wire *wire, tth_role role, sim_process *process, tth_link *link) {
  sim_chance *chance = &sim->chance;
  sim_end *end = &wire->ends[role];
  *end = (sim_end){.wire = wire, .role = role, .process = process, .link = link, .first_window = TTH_WINDOW_LEAST};
  end->delay_ns = sim_between(chance, sim->least_delay_ns, sim->most_delay_ns);
  if (sim_may(50)) end->jitter_ns = sim_between(chance, 0, sim->most_delay_ns - end->delay_ns);
  tst_mem_delay(link, end->delay_ns);
  if (sim_may(40)) tst_mem_room(link, sim_may(60) ? 0 : sim_below(chance, 256 * 1024));
  tst_mem_watch_link(link, &sim_wire_watch, end);
}

static void on_accepted(void *owner, tth_link *link) {
  sim_listener *listener = owner;
  sim_wire *wire = calloc(1, sizeof *wire);
  if (!wire) abort();
  wire->number = ++sim->wire_count;
  wire->next = sim->wires;
  sim->wires = wire;
  wire->free_at_ns = sim->now_ns;
  init_end(wire, TTH_SERVER, listener->to, link);
  init_end(wire, TTH_CLIENT, listener->from, tst_mem_other_end(link));
  sim_trace(listener->from, NULL, "w%d: connected to %s", wire->number, listener->to->name);
  sim_wires_hold();
  sim_enter(listener->to);
  listener->accepted(listener->owner, link);
}

void sim_wires_settle(void) {
  for (sim_wire *wire = sim->wires; wire; wire = wire->next) {
    for (int role = 0; role < 2; role++) {
      sim_end *end = &wire->ends[role];
      if (end->session || end->closed || !end->started) continue;
      tth_conn *conn = tst_mem_owner(end->link);
      end->session = tth_conn_lock(conn); /* readable from here on: there is one thread */
      tth_conn_unlock(conn);
    }
  }
}

void sim_wires_hold(void) {
  for (sim_wire *wire = sim->wires; wire; wire = wire->next) {
    if (wire->ghost) continue;
    for (int role = 0; role < 2; role++) {
      sim_end *end = &wire->ends[role], *other = &wire->ends[!role];
      bool held = end->process->peers[other->process->index].cut;
      if (held == end->held || other->closed) continue;
      end->held = held;
      wire->free_at_ns = sim->now_ns;
      tst_mem_hold_incoming(other->link, held);
      sim_trace(end->process, NULL, "w%d: %s to %s", wire->number, held ? "held" : "flows again", other->process->name);
    }
  }
}

void sim_wire_break(sim_wire *wire) {
  sim_end *end = &wire->ends[wire->ends[TTH_CLIENT].closed ? TTH_SERVER : TTH_CLIENT];
  if (end->closed) return;
  sim_trace(NULL, NULL, "w%d: breaks", wire->number);
  wire->doomed = true;
  tst_mem_break(end->link);
}

void sim_wire_vanish(sim_wire *wire, tth_role gone) {
  if (!sim_wire_is_live(wire)) return;
  sim_trace(wire->ends[gone].process, NULL, "w%d: breaks at this end, the other hears nothing", wire->number);
  wire->doomed = wire->ghost = true;
  tst_mem_vanish(wire->ends[gone].link);
}

void sim_wire_close(sim_wire *wire, tth_role by) {
  if (!sim_wire_is_live(wire)) return;
  wire->doomed = true;
  tth_link *link = wire->ends[by].link;
  link->ops->close(link);
}

/* ---- Dialling ------------------------------------------------------------------------------ */

static void trouble(const sim_dialer *dialer) { dialer->from->peers[dialer->to->index].trouble = true; }

static void on_dialed(void *owner, tth_link *link, const char *why) {
  sim_dialer *dialer = owner;
  sim_enter(dialer->from);
  if (!link) {
    trouble(dialer);
    sim_trace(dialer->from, NULL, "no connection to %s: %s", dialer->to->name, why);
  }
  sim_wire *wire = sim->wires;
  while (link && wire->ends[TTH_CLIENT].link != link) wire = wire->next;
  dialer->done(dialer->owner, link, why);
  if (!link) return;
  if (!wire->ends[TTH_CLIENT].started) wire->ends[TTH_CLIENT].closed = true; /* nobody wanted it: it is freed */
  if (dialer->from->dead) sim_wire_close(wire, TTH_CLIENT);                  /* it died meanwhile */
}

static void attempt(void *data, uint64_t number) {
  sim_dialer *dialer = data;
  const sim_process *from = dialer->from, *to = dialer->to;
  if (!dialer->pending || dialer->attempt != number || from->dead || dialer->life != from->life) return;
  bool cut = from->peers[to->index].cut || to->peers[from->index].cut;
  if (cut && sim->now_ns < dialer->give_up_ns) {
    int64_t again_ns = sim->heal_ns < dialer->give_up_ns ? sim->heal_ns : dialer->give_up_ns;
    sim_later(again_ns - sim->now_ns, attempt, dialer, number);
    return;
  }
  dialer->pending = false;
  if (cut)
    on_dialed(dialer, NULL, "timed out");
  else if (to->dead)
    on_dialed(dialer, NULL, "connection refused");
  else
    tst_transport_mem.dial(dialer->inner, dialer->give_up_ns - sim->now_ns, on_dialed, dialer);
}

static tether_code dialer_new(const char *url, tth_tls *tls, tth_dialer **result) {
  sim_dialer *dialer = calloc(1, sizeof *dialer);
  if (!dialer) abort();
  tether_code code = tst_transport_mem.dialer_new(url, tls, &dialer->inner);
  if (code != TETHER_OK) abort();
  parse(url, &dialer->from, &dialer->to);
  dialer->life = dialer->from->life;
  dialer->life = dialer->from->life;
  dialer->next = sim->dialers;
  sim->dialers = dialer;
  *result = (tth_dialer *)(void *)dialer;
  return TETHER_OK;
}

static void dial(tth_dialer *base, int64_t timeout_ns, void (*done)(void *owner, tth_link *link, const char *why),
                 void *owner) {
  sim_dialer *dialer = of(base);
  dialer->pending = true;
  dialer->done = done;
  dialer->owner = owner;
  dialer->give_up_ns = tether_time_add(sim->now_ns, timeout_ns);
  int64_t trip_ns = 2 * sim_between(&sim->chance, sim->least_delay_ns, sim->most_delay_ns);
  sim_later(trip_ns < timeout_ns ? trip_ns : timeout_ns, attempt, dialer, ++dialer->attempt);
}

/* Its memory stays until the end: events may still name it. */
static void dialer_free(tth_dialer *base) {
  if (!base) return;
  sim_dialer *dialer = of(base);
  bool pending = dialer->pending;
  dialer->pending = false;
  if (pending) dialer->done(dialer->owner, NULL, "the client is closing");
  tst_transport_mem.dialer_free(dialer->inner);
}

/* ---- Listening ----------------------------------------------------------------------------- */

static tether_code listen_on(const char *url, tth_tls *tls, void (*accepted)(void *owner, tth_link *link), void *owner,
                             tth_listener **result) {
  sim_listener *listener = calloc(1, sizeof *listener);
  if (!listener) abort();
  parse(url, &listener->from, &listener->to);
  listener->accepted = accepted;
  listener->owner = owner;
  tether_code code = tst_transport_mem.listen(url, tls, on_accepted, listener, &listener->inner);
  if (code == TETHER_OK)
    *result = (tth_listener *)(void *)listener;
  else
    free(listener);
  return code;
}

static uint16_t listener_port(const tth_listener *listener) {
  (void)listener;
  return 0;
}

static void listener_free(tth_listener *base) {
  sim_listener *listener = (sim_listener *)(void *)base;
  if (!listener) return;
  tst_transport_mem.listener_free(listener->inner);
  free(listener);
}

const tth_transport sim_transport = {.dialer_new = dialer_new,
                                     .dial = dial,
                                     .dialer_free = dialer_free,
                                     .listen = listen_on,
                                     .listener_port = listener_port,
                                     .listener_free = listener_free};

void sim_transport_free(void) {
  for (sim_wire *wire; (wire = sim->wires);) {
    sim->wires = wire->next;
    free(wire->streams);
    free(wire);
  }
  for (sim_dialer *dialer; (dialer = sim->dialers);) {
    sim->dialers = dialer->next;
    free(dialer);
  }
}
