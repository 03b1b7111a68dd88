/* Processes: what each has open, and what happens to them.
 *
 *   alive ──killed──> dead, its connections closed or silent ──what it had is dropped──> restarted, or dead to the end
 *     └──shut down: GOAWAY, a grace, cancels; then a new server──┘
 *
 * A killed process's objects cannot vanish from this one: they are dropped a moment later, when its connections are
 * gone and nothing of it can be heard any more. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

/* ---- Open and close ------------------------------------------------------------------------- */

static tether_limits random_limits(void) {
  sim_chance *chance = &sim->chance;
  tether_limits limits = {.max_message_bytes = 512 * 1024};
  if (sim_may(40)) limits.connection_window_bytes = 512 * 1024;
  if (sim_may(20)) limits.stream_window_bytes = 64 * 1024 + sim_below(chance, 256 * 1024);
  if (sim_may(40)) limits.max_streams = 1 + sim_below(chance, 5);
  return limits;
}

void sim_process_init(int index) {
  sim_process *process = &sim->processes[index];
  *process = (sim_process){.index = index, .tier = index, .name = {'p', (char)('0' + index)}};
  if (sim->tiered) {
    const sim_process *before = index > 0 ? process - 1 : NULL;
    bool full = before && index >= 3 && process[-3].tier == before->tier;
    process->tier = !before ? 0 : before->tier + (full || sim_may(40));
  }
  sim->tier_count = process->tier + 1;
  process->skew_ns = sim_between(&sim->chance, -900 * TETHER_SEC, 3600 * TETHER_SEC);
  process->drift_ppm = sim_between(&sim->chance, -50, 50); /* at most 100 apart (rpc/session_clock.c) */
}

void sim_process_open(sim_process *process) {
  static const tether_served_method served[] = {
      {&sim_methods[0][SIM_UNARY], sim_handle}, {&sim_methods[0][SIM_UP], sim_handle},
      {&sim_methods[0][SIM_DOWN], sim_handle},  {&sim_methods[0][SIM_BOTH], sim_handle},
      {&sim_methods[1][SIM_UNARY], sim_handle}, {&sim_methods[1][SIM_UP], sim_handle},
      {&sim_methods[1][SIM_DOWN], sim_handle},  {&sim_methods[1][SIM_BOTH], sim_handle}};
  process->max_timeout_ns = sim_may(10) ? sim_spread(&sim->chance, 20 * TETHER_MS, TETHER_SEC) : 0;
  const tether_server_options options = {
      .limits = random_limits(),
      .keys = sim_keys,
      .interceptors = sim_watchers,
      .max_timeout_ns = process->max_timeout_ns,
      .keepalive.time_ns = TETHER_FOREVER, /* what is forgotten is not to be found by it */
  };
  char url[] = "mem://0-0";
  sim_enter(process);
  process->served++;
  process->handlers_begun = 0;
  process->max_streams = options.limits.max_streams ? options.limits.max_streams : 1024;
  if (tth_server_open_on(&sim_transport, &options, &process->server) != TETHER_OK ||
      tether_server_add(process->server, served, 8, NULL, process) != TETHER_OK)
    sim_wrong(NULL, "%s cannot be opened", process->name);
  url[8] = process->name[1];
  for (int i = 0; i < sim->process_count; i++) {
    url[6] = (char)('0' + i);
    if (i != process->index && tether_server_listen(process->server, url) != TETHER_OK)
      sim_wrong(NULL, "%s cannot listen", process->name);
  }
}

/* Their addresses, in any order. */
static void list_tier(const sim_process *from, int tier, char *list) {
  int members[SIM_PROCESSES], count = 0;
  for (int i = 0; i < sim->process_count; i++) {
    if (sim->processes[i].tier != tier || i == from->index) continue;
    int at = (int)sim_below(&sim->chance, (uint32_t)++count);
    members[count - 1] = members[at];
    members[at] = i;
  }
  for (int i = 0; i < count; i++) list += sprintf(list, "%smem://%d-%d", i > 0 ? "," : "", from->index, members[i]);
}

tether_client *sim_process_client(sim_process *from, int tier) {
  tether_client **client = &from->clients[tier];
  sim_chance *chance = &sim->chance;
  if (*client) return *client;
  char list[SIM_PROCESSES * 10], policy[512];
  list_tier(from, tier, list);
  const tether_client_options options = {
      .limits = random_limits(),
      .interceptors = sim_watchers,
      .service_config = sim_call_policy(chance, policy, sizeof policy),
      .backoff_initial_ns = sim_spread(chance, TETHER_MS, 300 * TETHER_MS),
      .backoff_max_ns = TETHER_SEC,
      .connect_timeout_ns = sim_spread(chance, 200 * TETHER_MS, 5 * TETHER_SEC),
      .balancing = sim->tiered ? (tether_balancing)sim_below(chance, 3) : 0,
      .lazy = sim->tiered && sim_may(20),
      .idle_timeout_ns = sim->tiered && sim_may(20) ? sim_spread(chance, TETHER_MS, TETHER_SEC) : 0};
  if (tth_client_open_on(&sim_transport, list, &options, client) != TETHER_OK)
    sim_wrong(NULL, "%s cannot open a client", from->name);
  return *client;
}

bool sim_tier_has_failed(const sim_process *from, int tier) {
  bool all = true;
  for (int i = 0; i < sim->process_count; i++)
    if (sim->processes[i].tier == tier && i != from->index) all = all && from->peers[i].trouble;
  return all;
}

bool sim_tier_has_trouble(const sim_process *from, int tier) {
  bool any = false;
  for (int i = 0; i < sim->process_count; i++)
    if (sim->processes[i].tier == tier && i != from->index) any = any || from->peers[i].trouble;
  return any;
}

static void close_client(sim_process *process, int tier) {
  tether_client *client = process->clients[tier];
  if (!client) return;
  process->clients[tier] = NULL;
  for (int i = 0; i < sim->call_count; i++)
    if (sim->calls[i].client == client && !sim->calls[i].ended) sim->calls[i].client_closed = true;
  sim_enter(process);
  tether_client_close(client);
  for (int i = 0; i < sim->call_count; i++)
    if (sim->calls[i].client == client) sim->calls[i].client = NULL;
  sim_enter(process);
}

void sim_process_close(sim_process *process) {
  process->busy = true;
  for (int i = 0; i < sim->tier_count; i++) close_client(process, i);
  sim_enter(process);
  tether_server_close(process->server);
  process->server = NULL;
  process->busy = false;
}

/* ---- Death --------------------------------------------------------------------------------- */

static void break_ghost(void *data, uint64_t number) {
  (void)number;
  sim_wire_break(data);
}

/* The other end notices when its own keepalive, or its user, gives up. */
static void vanish(sim_wire *wire, tth_role gone) {
  sim_wire_vanish(wire, gone);
  sim->totals->vanished++;
  int64_t left_ns = sim->end_ns > sim->now_ns ? sim->end_ns - sim->now_ns : 0;
  int64_t after_ns = sim_spread(&sim->chance, TETHER_MS, 2 * TETHER_SEC);
  sim_later(after_ns < left_ns ? after_ns : left_ns, break_ghost, wire, 0);
}

static void restart(void *data, uint64_t number) {
  sim_process *process = data;
  (void)number;
  if (!process->dead) return;
  sim_trace(process, NULL, "is restarted");
  process->dead = false;
  process->life++;
  sim->totals->restarts++;
  sim_process_open(process);
}

/* What was its memory goes. */
static void drop(void *data, uint64_t number) {
  sim_process *process = data;
  (void)number;
  sim_enter(process);
  while (process->first_task) {
    tether_task *task = process->first_task;
    process->first_task = task->next;
    if (!process->first_task) process->last_task = &process->first_task;
    task->run(task);
  }
  for (int i = 0; i < sim->call_count; i++) {
    sim_call *c = &sim->calls[i];
    if (c->to == process && c->begun && c->served == process->served) sim_handler_finish(c, TETHER_ABORTED);
  }
  if (tth_server_calls(process->server) != 0) sim_wrong(NULL, "%s is dead and has calls left", process->name);
  sim_process_close(process);
  process->dropped = true;
  if (sim->draining || sim_may(80))
    sim_later(sim_spread(&sim->chance, TETHER_US, 300 * TETHER_MS), restart, process, 0);
}

static void kill_process(sim_process *process) {
  bool power = sim_may(30);
  sim_trace(process, NULL, power ? "loses power" : "is killed");
  process->dead = true;
  process->dropped = false;
  sim->totals->kills++;
  for (sim_wire *wire = sim->wires; wire; wire = wire->next) {
    for (int role = 0; role < 2; role++) {
      if (wire->ends[role].process != process || wire->ends[role].closed) continue;
      if (wire->doomed)
        sim_wire_break(wire);
      else if (power)
        vanish(wire, (tth_role)role);
      else
        sim_wire_close(wire, (tth_role)role);
    }
  }
  sim_later(TETHER_US, drop, process, 0);
}

/* ---- Faults -------------------------------------------------------------------------------- */

static sim_process *random_process(void) {
  return &sim->processes[sim_below(&sim->chance, (uint32_t)sim->process_count)];
}

static sim_wire *random_wire(void) {
  uint32_t count = 0;
  sim_wire *chosen = NULL;
  for (sim_wire *wire = sim->wires; wire; wire = wire->next)
    if (sim_wire_is_live(wire) && sim_below(&sim->chance, ++count) == 0) chosen = wire;
  return chosen;
}

static void heal(void *data, uint64_t number) {
  (void)data;
  (void)number;
  if (!sim->heal_ns || sim->now_ns < sim->heal_ns) return;
  sim->heal_ns = 0;
  for (int i = 0; i < sim->process_count; i++)
    for (int j = 0; j < sim->process_count; j++) sim->processes[i].peers[j].cut = false;
  sim_wires_hold();
}

/* Some cannot reach the others, in one direction or both. */
static void partition(void) {
  uint32_t side = 1 + sim_below(&sim->chance, (1U << sim->process_count) - 2), ways = sim_below(&sim->chance, 3);
  if (sim->heal_ns) return;
  sim->totals->partitions++;
  for (int i = 0; i < sim->process_count; i++)
    for (int j = 0; j < sim->process_count; j++) {
      bool out = (side >> i & 1) && !(side >> j & 1), in = (side >> j & 1) && !(side >> i & 1);
      sim->processes[i].peers[j].cut = (out && ways != 1) || (in && ways != 2);
    }
  int64_t lasts_ns = sim_spread(&sim->chance, 100 * TETHER_US, 2 * TETHER_SEC);
  if (sim->now_ns + lasts_ns > sim->end_ns) lasts_ns = sim->end_ns - sim->now_ns;
  sim->heal_ns = sim->now_ns + lasts_ns;
  sim_trace(NULL, NULL, "a partition, until %.6f", (double)(sim->heal_ns - sim->begun_ns) / 1e6);
  sim_wires_hold();
  sim_later(lasts_ns, heal, NULL, 0);
}

static void break_some(void) {
  sim_wire *wire = random_wire();
  if (!wire) return;
  if (sim_may(30)) {
    vanish(wire, sim_may(50) ? TTH_CLIENT : TTH_SERVER);
  } else {
    sim->totals->breaks++;
    sim_wire_break(wire);
  }
}

static void kill_some(void) {
  sim_process *process = random_process();
  int alive = 0;
  for (int i = 0; i < sim->process_count; i++) alive += !sim->processes[i].dead;
  if (!process->dead && !process->busy && alive > 2) kill_process(process);
}

static void shut_down(void *data, uint64_t number) {
  sim_process *process = data;
  (void)number;
  if (sim->draining || process->dead || process->busy || sim->closings >= 3) return;
  int64_t grace_ns = sim_may(sim->tiered ? 60 : 30) ? 0 : sim_spread(&sim->chance, TETHER_MS, 500 * TETHER_MS);
  sim_trace(process, NULL, "shuts down, grace %.3f ms", (double)grace_ns / 1e6);
  process->busy = process->stopping = true;
  sim->closings++;
  sim->totals->shutdowns++;
  sim_enter(process);
  tether_server_shutdown(process->server, grace_ns);
  sim_enter(process);
  tether_server_close(process->server);
  sim_trace(process, NULL, "has shut down, and serves again");
  sim_process_open(process);
  sim->closings--;
  process->busy = process->stopping = false;
}

static void call_it(void *data, uint64_t number) {
  (void)number;
  (void)sim_call_start(NULL, data);
}

/* Where others can take them, calls are on their way to it. */
static void shut_down_some(void) {
  sim_process *process = random_process();
  int64_t delay_ns = sim->tiered ? sim_between(&sim->chance, 0, sim->most_delay_ns) : 0;
  for (uint32_t n = sim->tiered ? sim_below(&sim->chance, 8) : 0; n > 0; n--)
    sim_later(sim_between(&sim->chance, 0, delay_ns + sim->most_delay_ns), call_it, process, 0);
  sim_later(delay_ns, shut_down, process, 0);
}

static void close_some(void) {
  sim_process *process = random_process();
  int tier = (int)sim_below(&sim->chance, (uint32_t)sim->tier_count);
  if (process->dead || process->busy || !process->clients[tier] || sim->closings >= 3) return;
  sim_trace(process, NULL, "closes its client of tier %d", tier);
  process->busy = true;
  sim->closings++;
  sim->totals->closes++;
  close_client(process, tier);
  sim->closings--;
  process->busy = false;
}

static void (*const faults[])(void) = {partition, break_some, kill_some, shut_down_some, close_some};

static void fail(void *data, uint64_t number) {
  (void)data;
  if (!sim->draining) faults[number]();
}

void sim_faults_plan(void) {
  const bool on[] = {sim->faults.partitions, sim->faults.breaks, sim->faults.deaths, sim->faults.shutdowns,
                     sim->faults.closes};
  for (size_t i = 0; i < sizeof on / sizeof *on; i++)
    for (uint32_t n = on[i] ? 1 + sim_below(&sim->chance, 4) : 0; n > 0; n--)
      sim_later(sim_between(&sim->chance, 0, sim->end_ns - sim->now_ns), fail, NULL, i);
}

void sim_faults_mend(void) {
  if (sim->heal_ns) sim->heal_ns = sim->now_ns;
  heal(NULL, 0);
  for (sim_wire *wire = sim->wires; wire; wire = wire->next)
    if (wire->ghost) sim_wire_break(wire);
  for (int i = 0; i < sim->process_count; i++)
    if (sim->processes[i].dead && sim->processes[i].dropped) restart(&sim->processes[i], 0);
}
