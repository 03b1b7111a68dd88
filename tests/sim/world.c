/* The simulation's loop, and a seed from beginning to end.
 *
 * Happy path: open every process, plan the roots and the faults, step until the end of the active phase; then
 * everything that was broken is mended, handlers that never return do, and steps go on until all calls are over. What
 * is open then is closed as a program would, and nothing may be left. Failures: whatever is found wrong ends the
 * process at once (sim_wrong); so does a cluster that does not come to rest. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <tether/clock.h>
#include <unistd.h>

#include "tests/sim/world.h"

#define BEGIN_NS (100000 * TETHER_SEC) /* more than clocks are apart */
#define STEPS_MOST 2000000
/* After the active phase. Deadlines of calls are far sooner or far later, so a call that waits for its own shows. */
#define DRAIN_NS (20 * TETHER_SEC)
#define STOPPED_MOST 3

sim_world *sim;

/* ---- What is wrong, and what happened ------------------------------------------------------- */

void sim_trace_line(const sim_process *process, const sim_call *call, const char *format, ...) {
  va_list args;
  fprintf(sim->trace, "%14.6f  %-3s ", (double)(sim->now_ns - BEGIN_NS) / 1e6, process ? process->name : "");
  if (call)
    fprintf(sim->trace, "c%-3d ", call->number);
  else
    fprintf(sim->trace, "     ");
  va_start(args, format);
  vfprintf(sim->trace, format, args);
  va_end(args);
  fputc('\n', sim->trace);
}

void sim_wrong(const sim_call *call, const char *format, ...) {
  sim_report *report = sim->report;
  va_list args;
  int len = snprintf(report->why, sizeof report->why, "at %.6f ms: ", (double)(sim->now_ns - BEGIN_NS) / 1e6);
  if (call)
    len += snprintf(report->why + len, sizeof report->why - (size_t)len, "call %d (%s to %s): ", call->number,
                    call->from->name, call->to->name);
  va_start(args, format);
  vsnprintf(report->why + len, sizeof report->why - (size_t)len, format, args);
  va_end(args);
  if (sim->trace) {
    fprintf(sim->trace, "WRONG %s\n", report->why);
    fflush(sim->trace);
  }
  _exit(SIM_WRONG);
}

void sim_enter(sim_process *process) {
  if (process == sim->current) return;
  sim->current = process;
  tether_origin_set(process ? process->name : "tm");
}

/* ---- Events: a binary heap ------------------------------------------------------------------ */

static bool is_before(const sim_event *a, const sim_event *b) {
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->rank < b->rank;
}

static void swap(sim_event *a, sim_event *b) {
  sim_event held = *a;
  *a = *b;
  *b = held;
}

void sim_later(int64_t delay_ns, void (*run)(void *data, uint64_t number), void *data, uint64_t number) {
  sim_world *w = sim;
  if (w->event_count == w->event_room) {
    w->event_room = w->event_room ? 2 * w->event_room : 256;
    w->events = realloc(w->events, w->event_room * sizeof *w->events);
    if (!w->events) abort();
  }
  size_t at = w->event_count++;
  w->events[at] = (sim_event){.at_ns = tether_time_add(w->now_ns, delay_ns > 0 ? delay_ns : 0),
                              .rank = sim_mix(w->seed ^ ++w->events_made),
                              .run = run,
                              .data = data,
                              .number = number};
  for (; at > 0 && is_before(&w->events[at], &w->events[(at - 1) / 2]); at = (at - 1) / 2)
    swap(&w->events[at], &w->events[(at - 1) / 2]);
}

static sim_event pop_event(sim_world *w) {
  sim_event first = w->events[0];
  w->events[0] = w->events[--w->event_count];
  for (size_t at = 0;;) {
    size_t least = at, left = 2 * at + 1;
    if (left < w->event_count && is_before(&w->events[left], &w->events[least])) least = left;
    if (left + 1 < w->event_count && is_before(&w->events[left + 1], &w->events[least])) least = left + 1;
    if (least == at) return first;
    swap(&w->events[at], &w->events[least]);
    at = least;
  }
}

/* ---- Time ---------------------------------------------------------------------------------- */

static int64_t clock_now(void *data) {
  (void)data;
  return sim->now_ns;
}

/* Timers are looked after a little late, as a thread would. */
static void note_timer(int64_t deadline_ns) {
  sim_world *w = sim;
  if (deadline_ns >= w->timer_ns) return;
  w->timer_ns = deadline_ns;
  int64_t late_ns = w->timer_slack_ns ? sim_between(&w->chance, 0, w->timer_slack_ns) : 0;
  w->timer_run_ns = tether_time_add(deadline_ns, late_ns);
}

static void wake_at(void *data, int64_t deadline_ns) {
  (void)data;
  note_timer(deadline_ns);
}

static void run_timers(void) {
  sim_enter(NULL);
  sim->timer_ns = sim->timer_run_ns = TETHER_FOREVER;
  note_timer(tether_clock_run_due());
}

/* ---- Steps --------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

bool sim_step(int64_t until_ns) {
  sim_world *w = sim;
  int64_t net_ns = tst_mem_net_next_ns(w->net), event_ns = w->event_count ? w->events[0].at_ns : TETHER_FOREVER;
  int64_t next_ns = least(least(net_ns, event_ns), w->timer_run_ns);
  if (next_ns == TETHER_FOREVER && until_ns == TETHER_FOREVER) return false;
  bool in_time = next_ns <= until_ns;
  if (!in_time) next_ns = until_ns;
  if (next_ns > w->now_ns) {
    w->now_ns = next_ns;
    tst_mem_net_move(w->net, next_ns);
  }
  if (!in_time) return false;
  w->totals->steps++;
  if (++w->steps == STEPS_MOST) sim_wrong(NULL, "no end after %d steps", STEPS_MOST);
  int due[3], count = 0;
  if (net_ns <= w->now_ns) due[count++] = 0;
  if (event_ns <= w->now_ns) due[count++] = 1;
  if (w->timer_run_ns <= w->now_ns) due[count++] = 2;
  bool stops = w->stops; /* of the step that this one is nested in */
  w->stops = false;
  int chosen = due[count > 1 ? sim_below(&w->chance, (uint32_t)count) : 0];
  if (chosen == 0) {
    (void)tst_link_mem_step(w->net);
  } else if (chosen == 1) {
    sim_event event = pop_event(w);
    event.run(event.data, event.number);
  } else {
    run_timers();
  }
  w->stops = stops;
  sim_wires_settle();
  sim_check_step();
  return true;
}

void sim_may_stop(sim_process *process) {
  sim_world *w = sim;
  if (!w->stops || w->stopped == STOPPED_MOST || process->dead || !sim_may(20)) return;
  bool busy = process->busy;
  process->busy = true; /* nobody kills or closes what a thread of it is in */
  w->stopped++;
  w->totals->overtaken++;
  int64_t until_ns = w->now_ns + sim_spread(&w->chance, TETHER_US, 20 * TETHER_MS);
  sim_trace(process, NULL, "a thread stops until %.6f", (double)(until_ns - w->begun_ns) / 1e6);
  while (sim_step(until_ns)) continue;
  w->stopped--;
  process->busy = busy;
  sim_enter(process);
}

/* ---- The phases ---------------------------------------------------------------------------- */

static void start_root(void *data, uint64_t number) {
  (void)data;
  (void)number;
  (void)sim_call_start(NULL, NULL);
}

static void plan_delays(sim_world *w) {
  static const struct {
    int64_t least_ns, most_ns;
  } kinds[] = {{0, 0}, {10 * TETHER_US, 300 * TETHER_US}, {500 * TETHER_US, 20 * TETHER_MS}, {0, 40 * TETHER_MS}};
  uint32_t kind = sim_below(&w->chance, 4);
  w->least_delay_ns = kinds[kind].least_ns;
  w->most_delay_ns = kinds[kind].most_ns;
  w->timer_slack_ns = sim_may(50) ? 0 : 200 * TETHER_US;
}

/* The active phase is over: from here on nothing fails, and what waits for ever does not any more. */
static void drain(void *data, uint64_t number) {
  sim_world *w = sim;
  (void)data;
  (void)number;
  sim_trace(NULL, NULL, "-- the end of faults; everything is to finish");
  w->draining = true;
  sim_faults_mend();
  for (int i = 0; i < w->call_count; i++) {
    sim_call *c = &w->calls[i];
    if (c->begun && !c->finished && c->manner == SIM_NEVER) sim_handler_give_up(c);
  }
}

static void plan(sim_world *w) {
  w->process_count = 3 + (int)sim_below(&w->chance, SIM_PROCESSES - 2);
  w->ring = sim_may(50);
  w->close = sim_may(30);
  w->tiered = sim_may(50);
  plan_delays(w);
  w->call_most = w->close ? SIM_CALLS : (int)sim_spread(&w->chance, 4, SIM_CALLS);
  int64_t active_ns = sim_spread(&w->chance, 5 * TETHER_MS, 3 * TETHER_SEC);
  w->end_ns = w->now_ns + active_ns;
  if (sim_may(55))
    w->faults = (sim_faults){.partitions = sim_may(40),
                             .breaks = sim_may(40),
                             .deaths = sim_may(40),
                             .shutdowns = sim_may(w->tiered ? 60 : 30),
                             .closes = sim_may(25)};
  for (int i = 0; i < w->process_count; i++) sim_process_init(i);
  for (int i = 0; i < w->process_count; i++) sim_process_open(&w->processes[i]);
  int roots = 1 + (int)sim_below(&w->chance, w->close ? SIM_CALLS : 12);
  for (int i = 0; i < roots; i++)
    sim_later(sim_may(40) ? 0 : sim_between(&w->chance, 0, active_ns), start_root, NULL, 0);
  sim_faults_plan();
  sim_later(active_ns, drain, NULL, 0);
}

static bool is_at_rest(const sim_world *w) {
  if (!w->draining || w->changed_count) return false;
  for (int i = 0; i < w->process_count; i++)
    if (w->processes[i].busy || w->processes[i].dead || w->processes[i].first_task) return false;
  for (int i = 0; i < w->call_count; i++)
    if (!sim_call_is_over(&w->calls[i])) return false;
  return true;
}

static void stalled(const sim_world *w) {
  for (int i = 0; i < w->call_count; i++) {
    const sim_call *c = &w->calls[i];
    if (sim_call_is_over(c)) continue;
    sim_wrong(
        c,
        "stalled: kind %d, %s at the client, %s, handler %s%s; client sent %u received %u, server sent %u received %u",
        c->kind, c->ended ? tether_code_name(c->code) : "running",
        !c->left_ns        ? "not sent"
        : c->trailers_left ? "answered"
                           : "sent",
        !c->begun     ? "not begun"
        : c->finished ? "finished"
                      : "running",
        c->cut ? " (cut)" : "", c->client_side.sent, c->client_side.received, c->server_side.sent,
        c->server_side.received);
  }
  sim_wrong(NULL, "stalled, though all calls are over");
}

/* Some call waits for a slot. */
static bool is_full(const sim_world *w) {
  for (const sim_wire *wire = w->wires; wire; wire = wire->next) {
    const tth_session *s = wire->ends[TTH_CLIENT].session;
    if (s && s->queued.first && s->streams.count >= s->peer_limits.max_streams) return true;
  }
  return false;
}

/* Calls that hold slots may wait for each other in a circle, which is their own fault, not the library's. */
static void break_circle(sim_world *w) {
  if (w->circle || !is_full(w)) stalled(w);
  w->circle = true;
  w->totals->circles++;
  sim_trace(NULL, NULL, "-- calls wait for each other's slots: all roots are cancelled");
  for (int i = 0; i < w->call_count; i++)
    if (!w->calls[i].parent && !w->calls[i].ended) sim_call_cancel_later(&w->calls[i], 0);
}

static void run_to_rest(sim_world *w) {
  while (!is_at_rest(w))
    if (!sim_step(w->end_ns + (w->circle ? 2 : 1) * DRAIN_NS)) break_circle(w);
  /* Answers to what was cancelled, and verdicts, are still on their way. */
  int64_t until_ns = w->now_ns + 4 * w->most_delay_ns + TETHER_SEC;
  while (sim_step(until_ns)) continue;
}

static void close_all(sim_world *w) {
  sim_trace(NULL, NULL, "-- closing");
  for (int i = 0; i < w->process_count; i++) sim_process_close(&w->processes[i]);
  while (sim_step(w->now_ns + 4 * w->most_delay_ns + TETHER_MS)) continue;
  for (int i = 0; i < w->call_count; i++) sim_call_release(&w->calls[i]);
  w->running = false;
  for (sim_wire *wire = w->wires; wire; wire = wire->next)
    for (int role = 0; role < 2; role++)
      if (!wire->ends[role].closed) sim_wrong(NULL, "connection %d is left", wire->number);
  sim_transport_free();
  tst_mem_net_free(w->net);
  free(w->events);
}

void sim_run(uint64_t seed, FILE *trace, sim_report *report) {
  static sim_world world;
  sim_world *w = sim = &world;
  size_t live = tether_ctx_live_count();
  *w = (sim_world){.seed = seed, .chance = {sim_mix(seed + 1)}, .trace = trace, .report = report};
  w->totals = &report->totals;
  report->seed = seed;
  w->now_ns = w->begun_ns = BEGIN_NS;
  w->timer_ns = w->timer_run_ns = TETHER_FOREVER;
  w->current = &w->processes[SIM_PROCESSES - 1]; /* so that entering none is a change */
  const tether_clock clock = {.now_ns = clock_now, .wake_at = wake_at};
  if (tether_clock_set(&clock) != TETHER_OK) sim_wrong(NULL, "a deadline is armed before the first");
  w->running = true;
  w->net = tst_mem_net_new(true);
  tst_mem_net_use(w->net);
  tst_mem_net_shuffle(w->net, sim_next(&w->chance));
  tst_mem_net_move(w->net, w->now_ns);
  sim_enter(NULL);
  plan(w);
  run_to_rest(w);
  sim_check_end();
  close_all(w);
  sim_check_watched();
  if (tether_ctx_live_count() != live) sim_wrong(NULL, "%zu contexts are left", tether_ctx_live_count() - live);
  if (tether_clock_set(NULL) != TETHER_OK) sim_wrong(NULL, "a deadline is left armed");
  w->totals->seeds++;
  w->totals->processes += (uint64_t)w->process_count;
  w->totals->time_ns += w->now_ns - BEGIN_NS;
  sim = NULL;
}
