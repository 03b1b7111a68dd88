/* Handlers, at the server: none has a thread; they begin, go on in events, and end.
 *
 *   begins ──> makes 0 to 4 calls, one by one or together ──> works ──> returns
 *      └──────────── its context ends: it returns at once, soon, slowly or only when everything is to finish
 *
 * Checked here: a handler begins once, after its call was sent, not after its stop was reported, within the
 * connection's slots; its deadline is the caller's (promise 2), its values are those that may be there (promise 5); its
 * context ends for a reason that the simulator knows of, with the cause that the caller's side has (promises 1 and 3).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

/* ---- The end ------------------------------------------------------------------------------- */

static void group_done(tether_code code, void *data) {
  sim_call *c = data;
  (void)code;
  tether_group *group = c->group;
  c->group = NULL;
  tether_group_free(group);
}

/* No more calls are made. */
static void close_group(sim_call *c) {
  if (!c->group || c->group_closed) return;
  c->group_closed = true;
  if (tether_group_on_done(c->group, group_done, c) != TETHER_OK) sim_wrong(c, "its group is closed already");
}

/* The status that an end of this context means. */
static tether_code code_of(sim_call *c, const tether_cause *cause, tether_code err) {
  switch (tether_cause_get_code(cause)) {
    case TETHER_CAUSE_DEADLINE:
      return TETHER_DEADLINE_EXCEEDED;
    case TETHER_CAUSE_PEER_LOST:
      return c->wire->ends[TTH_SERVER].closed ? TETHER_UNAVAILABLE : err;
    case TETHER_CAUSE_SHUTDOWN:
      return c->server_call->s.told ? TETHER_UNAVAILABLE : err; /* else it is another's shutdown */
    default:
      return err;
  }
}

static void fill_reply(sim_call *c, Testing__V1__Reply *reply) {
  if (!reply) return;
  reply->count = (uint32_t)c->number;
  reply->body = sim_body(c, false, 0);
}

static void mark_finished(sim_call *c) {
  c->finished = true;
  c->finished_ns = sim->now_ns;
  c->wire->running--;
  sim_call_changed(c);
}

void sim_handler_finish(sim_call *c, tether_code code) {
  if (c->finished) return;
  sim_enter(c->to);
  /* While this thread stops, another attempt may come. */
  tether_call *call = c->server_call;
  tether_ctx *scope = c->scope;
  tether_code err = tether_ctx_err(c->ctx);
  if (err != TETHER_OK && !c->cut) { /* nobody has been told yet */
    c->cut = true;
    c->cut_why = sim_keep_cause(tether_ctx_cause(c->ctx));
  }
  tether_code ends = c->cut ? code_of(c, c->cut_why, err) : code;
  c->server_code = ends;
  sim_trace(c->to, c, "handler returns %s%s", tether_code_name(ends), c->cut ? ", cut" : "");
  mark_finished(c);
  (void)tether_after_stop(&c->after);
  close_group(c);
  c->server_call = NULL;
  c->scope = NULL;
  tether_call_ref(call);
  tether_call_finish(call, code);
  if (tether_call_code(call) != ends)
    sim_wrong(c, "its handler returned, and %s is recorded instead of %s", tether_code_name(tether_call_code(call)),
              tether_code_name(ends));
  tether_call_unref(call);
  tether_ctx_free(scope);
}

static void finish_later(void *data, uint64_t number) {
  sim_call *c = data;
  (void)number;
  if (c->finished || !c->begun) return; /* an earlier attempt's */
  c->returned_alone = sim->stops = true;
  sim_handler_finish(c, c->cut ? TETHER_CANCELLED : c->outcome);
}

/* Whoever aims at a return has the CANCEL arrive about then. */
static void finish_in(sim_call *c, int64_t delay_ns) {
  int64_t way_ns = c->wire->ends[TTH_CLIENT].delay_ns;
  sim_later(delay_ns, finish_later, c, 0);
  if (c->aimed_at != SIM_RETURN || c->ended) return;
  sim->totals->aimed++;
  sim_call_cancel_later(c, delay_ns - way_ns + sim_between(&c->chance, -50, 50) * TETHER_US);
}

void sim_handler_give_up(sim_call *c) { finish_in(c, sim_spread(&c->chance, 1 * TETHER_US, 5 * TETHER_MS)); }

/* ---- Being cut ----------------------------------------------------------------------------- */

/* Promises 1 and 3: why the context ended is what the caller's side says, or the simulator knows better. */
static void check_why(sim_call *c) {
  tether_cause_code code = tether_cause_get_code(c->cut_why);
  bool told = c->cancel_step && c->ended &&
              (c->why ? sim_same_cause(c->cut_why, c->why) : sim_same_cause(c->cut_why, tether_cause_canceled()));
  bool expired = code == TETHER_CAUSE_DEADLINE && sim->now_ns >= c->server_deadline_ns;
  bool lost = code == TETHER_CAUSE_PEER_LOST && c->wire->ends[TTH_SERVER].closed &&
              strcmp(tether_cause_origin(c->cut_why), c->to->name) == 0;
  bool shutdown = code == TETHER_CAUSE_SHUTDOWN && c->to->stopping;
  if (c->detached_ns && !expired && !shutdown) sim_wrong(c, "detached, and cut with its caller");
  if (!told && !expired && !lost && !shutdown)
    sim_wrong(c, "its handler's context ended for no reason (%s, %s, from %s)", tether_cause_code_name(code),
              tether_cause_text(c->cut_why), tether_cause_origin(c->cut_why));
}

static void on_ctx_done(void *data) {
  sim_call *c = data;
  if (c->finished) return;
  sim_enter(c->to);
  if (c->cut) sim_wrong(c, "its context ended twice");
  c->cut = true;
  c->cut_why = sim_keep_cause(tether_ctx_cause(c->ctx));
  sim->totals->cut++;
  sim_trace(c->to, c, "handler's context ends: %s, %s, from %s",
            tether_cause_code_name(tether_cause_get_code(c->cut_why)), tether_cause_text(c->cut_why),
            tether_cause_origin(c->cut_why));
  check_why(c);
  sim_call_changed(c);
  close_group(c);
  if (c->manner == SIM_AT_ONCE)
    sim_handler_finish(c, TETHER_CANCELLED);
  else if (c->manner == SIM_SOON)
    finish_in(c, sim_spread(&c->chance, 1 * TETHER_US, 200 * TETHER_US));
  else if (c->manner == SIM_SLOWLY || sim->draining)
    finish_in(c, sim_spread(&c->chance, 1 * TETHER_MS, 300 * TETHER_MS));
}

/* ---- Going on ------------------------------------------------------------------------------ */

/* What it set out to do is done. */
static void work_done(sim_call *c) {
  if (c->finished || c->cut || c->returning) return;
  c->returning = true;
  if (c->manner == SIM_NEVER && !sim->draining) return; /* whatever it does, it takes for ever */
  int64_t delay_ns = c->work_ns;
  if (c->aims && c->deadline_ns != TETHER_FOREVER && !sim->draining) {
    int64_t at_ns =
        sim_percent(&c->chance, 50) ? c->server_deadline_ns : c->deadline_ns - c->wire->ends[TTH_SERVER].delay_ns;
    int64_t in_ns = at_ns - sim->now_ns + sim_between(&c->chance, -50, 50) * TETHER_US;
    if (at_ns != TETHER_FOREVER && in_ns > 0 && in_ns < 2 * TETHER_SEC) delay_ns = in_ns;
  }
  finish_in(c, delay_ns);
}

static void consider(sim_call *c) {
  bool waits = c->children_ended < c->children || c->children < c->children_wanted;
  bool streams = c->kind != SIM_UNARY && !sim_stream_is_over(&c->server_side);
  if (!c->deferred || (!c->hasty && (waits || streams))) return;
  work_done(c);
}

void sim_handler_streamed(sim_call *c) { consider(c); }

static void start_child(void *data, uint64_t number) {
  sim_call *c = data;
  (void)number;
  if (c->finished || c->cut || !c->begun || c->children >= c->children_wanted) return;
  sim_enter(c->to);
  /* It, and even this attempt, may end before this returns. */
  int attempt = c->retried;
  c->children++;
  bool started = sim_call_start(c, NULL);
  if (c->finished || c->retried != attempt) return;
  if (!started) {
    c->children--;
    c->children_wanted = c->children;
  }
  if (c->children >= c->children_wanted)
    close_group(c);
  else if (!c->one_by_one)
    sim_later(sim_percent(&c->chance, 60) ? 0 : sim_spread(&c->chance, 1 * TETHER_US, 5 * TETHER_MS), start_child, c,
              0);
  consider(c);
}

void sim_handler_child_ended(sim_call *c, sim_call *child) {
  c->children_ended++;
  if (c->finished) return;
  if (child->code != TETHER_OK && sim_percent(&c->chance, 20)) c->outcome = TETHER_ABORTED;
  if (c->one_by_one && c->children < c->children_wanted) sim_later(0, start_child, c, 0);
  consider(c);
}

/* ---- The beginning ------------------------------------------------------------------------- */

/* Promise 2: the deadline that a call is to have here. */
static int64_t expected_deadline_ns(const sim_call *c) {
  int64_t deadline_ns = TETHER_FOREVER;
  int64_t most_ns = c->to->max_timeout_ns ? c->arrived_ns + c->to->max_timeout_ns : TETHER_FOREVER;
  if (c->detached_ns) {
    deadline_ns = c->arrived_ns + c->detached_ns;
  } else if (c->deadline_ns != TETHER_FOREVER) {
    /* Not corrected for transit, it is late by that; else by what the estimate is wrong, which wire.c bounds. A moment
     * in the future counts as now. */
    int64_t transit_ns = c->arrived_ns - c->left_ns;
    int64_t off_ns = c->estimate_ns != INT64_MIN && c->error_ns < transit_ns ? c->error_ns : transit_ns;
    deadline_ns = tether_time_add(c->left_ns + c->budget_ns, off_ns);
  }
  return deadline_ns < most_ns ? deadline_ns : most_ns;
}

static void check_deadline(sim_call *c) {
  int64_t expected_ns = expected_deadline_ns(c);
  c->server_deadline_ns = tether_ctx_deadline_ns(c->ctx);
  if (c->server_deadline_ns != expected_ns)
    sim_wrong(c, "its deadline is %" PRId64 " ns later than it should be", c->server_deadline_ns - expected_ns);
}

/* Promise 5. */
static void check_values(sim_call *c) {
  uintptr_t all = (uintptr_t)tether_ctx_value(c->ctx, &sim_key_all),
            hop = (uintptr_t)tether_ctx_value(c->ctx, &sim_key_hop);
  if (all != (uintptr_t)c->root->number + 1) sim_wrong(c, "the root's value has become %" PRIuPTR, all);
  if (hop != c->hop_value) sim_wrong(c, "its one-hop value is %" PRIuPTR " instead of %" PRIuPTR, hop, c->hop_value);
  if (tether_ctx_value(c->ctx, &sim_key_local)) sim_wrong(c, "a local value has travelled");
  if (tether_ctx_value(c->ctx, &sim_key_secret)) sim_wrong(c, "a secret value has travelled");
}

static void check_request(sim_call *c, const Testing__V1__Request *request) {
  bool streams_up = c->kind == SIM_UP || c->kind == SIM_BOTH;
  if ((request == NULL) != streams_up) sim_wrong(c, "a request where there is none, or none");
  if (!request) return;
  ProtobufCBinaryData body = sim_body(c, true, 0);
  if (request->width != (uint32_t)c->number || request->body.len != body.len ||
      (body.len > 0 && memcmp(request->body.data, body.data, body.len) != 0))
    sim_wrong(c, "its request is another's, or not whole");
}

static void check_begin(sim_call *c, sim_process *process) {
  if (c->to != process) sim_wrong(c, "begins at %s", process->name);
  if (c->begun) sim_wrong(c, "begins twice");
  if (!c->arrived_ns) sim_wrong(c, "begins before it arrived");
  if (c->stopped) sim_wrong(c, "begins after its end was acknowledged");
  if (c->wire->ends[TTH_SERVER].closed && !c->detached_ns) sim_wrong(c, "begins though its connection is gone");
  if (c->cancel_step && c->cancel_step < sim->steps && !c->detached_ns) sim_wrong(c, "begins after its cancel arrived");
  if (tether_ctx_err(c->ctx) != TETHER_OK) sim_wrong(c, "begins with a context that has ended");
  if (++c->wire->running > (int)process->max_streams)
    sim_wrong(c, "the %dth handler of a connection for %" PRIu32, c->wire->running, process->max_streams);
  if (c->wire->running == (int)process->max_streams) sim->totals->slots_full++;
}

static void plan(sim_call *c) {
  sim_chance *chance = &c->chance;
  if (c->depth < 4 && !sim_percent(chance, 25)) c->children_wanted = (int)sim_below(chance, c->depth == 0 ? 5 : 4);
  c->one_by_one = sim_percent(chance, 35);
  c->hasty = sim_percent(chance, 12);
  if (c->children_wanted == 0) return;
  if (c->children_wanted > 1 && sim_percent(chance, 30)) {
    if (tether_group_new(c->ctx, &c->group) != TETHER_OK) abort();
    uint32_t rule = sim_below(chance, 3);
    if (rule == 1 && tether_group_set_rule(c->group, TETHER_GROUP_ENOUGH, 1) != TETHER_OK) abort();
    if (rule == 2 && tether_group_set_rule(c->group, TETHER_GROUP_COLLECT, 0) != TETHER_OK) abort();
    sim->totals->groups++;
  } else if (sim_percent(chance, 20)) {
    c->scope = tether_ctx_with_timeout(c->ctx, sim_spread(chance, 100 * TETHER_US, 200 * TETHER_MS));
  }
  sim_later(sim_percent(chance, 50) ? 0 : sim_spread(chance, 1 * TETHER_US, 10 * TETHER_MS), start_child, c, 0);
}

tether_code sim_handle(const tether_ctx *ctx, tether_call *call, const ProtobufCMessage *request,
                       ProtobufCMessage *reply, const void *service, void *data) {
  const char *number = tether_metadata_get(tether_call_metadata(call), SIM_CALL_KEY, NULL);
  (void)service;
  if (!number) sim_wrong(NULL, "a handler of a call that nobody made");
  sim_call *c = &sim->calls[atoi(number)];
  sim_process *process = data;
  if (process->dead) return TETHER_ABORTED; /* a detached one, whose process is being dropped */
  c->ctx = ctx;
  check_begin(c, process);
  c->begun = true;
  c->began_ns = sim->now_ns;
  c->served = process->served;
  process->handlers_begun++;
  sim->totals->handlers++;
  check_deadline(c);
  check_values(c);
  check_request(c, (const Testing__V1__Request *)request);
  sim_trace(process, c, "handler begins, deadline %.6f",
            c->server_deadline_ns == TETHER_FOREVER ? -1 : (double)(c->server_deadline_ns - sim->begun_ns) / 1e6);
  fill_reply(c, (Testing__V1__Reply *)reply);
  if (c->kind == SIM_UNARY && c->work_ns == 0 && c->manner != SIM_NEVER && sim_percent(&c->chance, 40)) {
    c->server_code = c->outcome; /* without a pause */
    mark_finished(c);
    sim_trace(process, c, "handler returns %s", tether_code_name(c->outcome));
    return c->outcome;
  }
  c->deferred = true;
  c->server_call = call;
  (void)tether_call_defer(call);
  tether_ctx_after_func(ctx, &c->after, NULL, on_ctx_done, c);
  plan(c);
  if (c->kind != SIM_UNARY) sim_stream_begin(c, false);
  consider(c);
  return TETHER_OK;
}
