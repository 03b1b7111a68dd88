/* Calls, at the client.
 *
 * Happy path: a root, or a child of a handler, starts with a random deadline, reserve and request; its answer comes; it
 * ends once. On the way it may be cancelled, at random or aimed at its answer, its handler's return or its deadline.
 * Every end must have a reason that the simulator knows of, and the cause that goes with it (promise 3). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

#define METHOD(name, stream_flags, more)                                                                  \
  {                                                                                                       \
    .path = name, .request = &testing__v1__request__descriptor, .reply = &testing__v1__reply__descriptor, \
    .flags = (stream_flags) | (more)                                                                      \
  }
#define METHODS(prefix, more)                                                                          \
  {                                                                                                    \
    METHOD(prefix "/Unary", 0, more), METHOD(prefix "/Up", TETHER_METHOD_CLIENT_STREAMING, more),      \
        METHOD(prefix "/Down", TETHER_METHOD_SERVER_STREAMING, more),                                  \
        METHOD(prefix "/Both", TETHER_METHOD_CLIENT_STREAMING | TETHER_METHOD_SERVER_STREAMING, more), \
  }
const tether_method sim_methods[2][SIM_KINDS] = {METHODS("/sim.Inline", TETHER_METHOD_INLINE),
                                                 METHODS("/sim.Pooled", 0)};

/* ---- Values -------------------------------------------------------------------------------- */

static size_t encode(const void *value, uint8_t *buf, size_t size) {
  uintptr_t number = (uintptr_t)value;
  if (size >= 2) memcpy(buf, (uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
  return 2;
}

static void *decode(const uint8_t *bytes, size_t len) {
  return len == 2 ? (void *)(uintptr_t)(bytes[0] << 8 | bytes[1]) : NULL;
}

#define KEY(text, how) \
  { .name = text, .forward = how, .encode = encode, .decode = decode }
const tether_key sim_key_all = KEY("x-all", TETHER_FORWARD_ALL), sim_key_hop = KEY("x-hop", TETHER_FORWARD_ONE_HOP),
                 sim_key_local = KEY("x-local", TETHER_FORWARD_LOCAL),
                 sim_key_secret = KEY("x-secret", TETHER_FORWARD_SECRET);
const tether_key *const sim_keys[] = {&sim_key_all, &sim_key_hop, &sim_key_local, &sim_key_secret, NULL};

/* One more layer; the reference moves up. */
static const tether_ctx *with(const tether_ctx *ctx, const tether_key *key, uintptr_t value) {
  const tether_ctx *child = tether_ctx_with_value(ctx, key, (void *)value);
  tether_ctx_unref(ctx);
  return child;
}

/* What the call runs under: what its caller has, and for a root values of every kind. */
static const tether_ctx *context(sim_call *c) {
  const tether_ctx *ctx;
  if (c->parent) {
    const sim_call *p = c->parent;
    ctx = tether_ctx_ref(p->group ? tether_group_ctx(p->group) : p->scope ? p->scope : p->ctx);
  } else {
    c->own = tether_ctx_with_cancel(tether_ctx_background());
    ctx = with(tether_ctx_ref(c->own), &sim_key_all, (uintptr_t)c->number + 1);
    ctx = with(ctx, &sim_key_local, 7);
    ctx = with(ctx, &sim_key_secret, 8);
  }
  if (!sim_percent(&c->chance, 40)) return ctx;
  c->hop_value = (uintptr_t)c->number + 1000;
  return with(ctx, &sim_key_hop, c->hop_value);
}

/* ---- Cancelling ---------------------------------------------------------------------------- */

static tether_cause *cancel_cause(sim_call *c) {
  static const tether_cause_code codes[] = {TETHER_CAUSE_CALLER, TETHER_CAUSE_CALLER, TETHER_CAUSE_OTHER,
                                            TETHER_CAUSE_SHED, TETHER_CAUSE_HEDGE_LOST};
  if (sim_percent(&c->chance, 20)) return tether_cause_ref(tether_cause_canceled());
  return tether_cause_newf(codes[sim_below(&c->chance, 5)], "call %d is cancelled", c->number);
}

static void cancel(void *data, uint64_t number) {
  sim_call *c = data;
  (void)number;
  c->cancelled_ns = sim->now_ns;
  if (c->ended || c->from->dead || c->from->life != c->from_life) return;
  sim_enter(c->from);
  c->cancel_why = cancel_cause(c);
  if (sim_percent(&c->chance, 40)) {
    c->wait_ns = sim_spread(&c->chance, 100 * TETHER_US, 200 * TETHER_MS);
    atomic_store(&c->call->c.wait_ns, c->wait_ns); /* as tether_call_cancel_and_wait does, which blocks */
  }
  sim_trace(c->from, c, "is cancelled%s", c->wait_ns ? ", waiting for everything below" : "");
  if (c->own && sim_percent(&c->chance, 70))
    tether_ctx_cancel_cause(c->own, c->cancel_why);
  else
    tether_call_cancel(c->call, c->cancel_why);
  /* One that was found to be out of its own time before hears it from the timer. */
  bool expired = sim->now_ns >= c->deadline_ns && sim->now_ns <= c->deadline_ns + sim->timer_slack_ns;
  if (!c->ended && !expired) sim_wrong(c, "cancelled, and has not ended");
}

void sim_call_cancel_later(sim_call *call, int64_t delay_ns) { sim_later(delay_ns, cancel, call, 0); }

/* ---- The end ------------------------------------------------------------------------------- */

tether_cause *sim_keep_cause(const tether_cause *cause) {
  if (!cause) return NULL;
  return tether_cause_new(tether_cause_get_code(cause), tether_cause_origin(cause), tether_cause_text(cause));
}

bool sim_same_cause(const tether_cause *a, const tether_cause *b) {
  tether_cause_code code = tether_cause_get_code(a);
  if (code != tether_cause_get_code(b)) return false;
  /* The origin of a deadline is whoever is asked first: each hop has its own timer. */
  return code == TETHER_CAUSE_DEADLINE || (strcmp(tether_cause_origin(a), tether_cause_origin(b)) == 0 &&
                                           strcmp(tether_cause_text(a), tether_cause_text(b)) == 0);
}

/* Something else may have ended it while the answer was being taken from a batch. */
static bool is_answered(const sim_call *c) {
  bool late = c->told == TETHER_CANCELLED && c->code == TETHER_DEADLINE_EXCEEDED && sim->now_ns >= c->deadline_ns;
  return c->trailers_arrived && (c->code == c->told || late);
}

/* Promise 3 where TRAILERS ended the call: what they say is what the handler's side knows. */
static void check_answered(sim_call *c) {
  if (c->code == TETHER_OK && (!c->finished || c->cut)) sim_wrong(c, "OK, but its handler was cut");
  if (c->code != TETHER_OK && c->cut && !sim_same_cause(c->why, c->cut_why))
    sim_wrong(c, "ended by %s (%s, from %s), its handler by %s (%s, from %s)",
              tether_cause_code_name(tether_cause_get_code(c->why)), tether_cause_text(c->why),
              tether_cause_origin(c->why), tether_cause_code_name(tether_cause_get_code(c->cut_why)),
              tether_cause_text(c->cut_why), tether_cause_origin(c->cut_why));
  if (!c->begun && c->code != TETHER_DEADLINE_EXCEEDED && c->code != TETHER_UNAVAILABLE && c->code != TETHER_CANCELLED)
    sim_wrong(c, "answered %s without a handler: %s", tether_code_name(c->code), tether_call_message(c->ending));
}

static void check_lost(sim_call *c) {
  bool troubled = c->left_ns ? c->from->peers[c->to->index].trouble : sim_tier_has_failed(c->from, c->tier);
  bool known = troubled || c->client_closed;
  tether_cause_code code = tether_cause_get_code(c->why);
  if (!known) sim_wrong(c, "UNAVAILABLE for no reason: %s", tether_call_message(c->ending));
  if (code == TETHER_CAUSE_PEER_LOST && strcmp(tether_cause_origin(c->why), c->from->name) != 0)
    sim_wrong(c, "its connection was lost, says %s", tether_cause_origin(c->why));
  if (c->left_ns && !c->wire->ends[TTH_CLIENT].closed) sim_wrong(c, "lost, though its connection is open");
}

/* Promise 3 where this side ended the call. */
static void check_cut(sim_call *c) {
  bool asked = c->cancel_why && sim_same_cause(c->why, c->cancel_why);
  bool above = tether_ctx_err(c->under) != TETHER_OK && sim_same_cause(c->why, tether_ctx_cause(c->under));
  bool closed = c->client_closed && c->code == TETHER_CANCELLED;
  bool expired = c->code == TETHER_DEADLINE_EXCEEDED && tether_cause_get_code(c->why) == TETHER_CAUSE_DEADLINE;
  if (expired && !above && sim->now_ns < c->deadline_ns)
    sim_wrong(c, "expired %" PRId64 " ns early", c->deadline_ns - sim->now_ns);
  if (!asked && !above && !closed && !expired)
    sim_wrong(c, "ended %s for no reason (%s, %s, from %s): %s", tether_code_name(c->code),
              tether_cause_code_name(tether_cause_get_code(c->why)), tether_cause_text(c->why),
              tether_cause_origin(c->why), tether_call_message(c->ending));
}

/* Nothing is to end at its own deadline while its answer could have been here. */
static void check_waited(sim_call *c) {
  if (!c->trailers_left || c->kind != SIM_UNARY || !sim_wire_is_live(c->wire) || c->wire->ends[TTH_SERVER].held) return;
  int64_t from_ns = c->trailers_left_ns > c->wire->free_at_ns ? c->trailers_left_ns : c->wire->free_at_ns;
  if (c->ended_ns > from_ns + 2 * sim_wire_bound_ns(c->wire) && c->body_bytes < TTH_SLICE)
    sim_wrong(c, "its answer of %" PRId64 " ns ago has not arrived", c->ended_ns - c->trailers_left_ns);
}

static bool is_told_by(const sim_call *c, const char *hop) {
  return strcmp(hop, c->to->name) == 0 || strcmp(hop, "tm") == 0; /* a timer's end may be written by no process */
}

/* Promise 3: where the time went. */
static void check_ledger(sim_call *c) {
  const tether_ledger *ledger = tether_call_ledger(c->ending), *row;
  if (!ledger && (c->code != TETHER_OK || c->explain))
    sim_wrong(c, "ended %s without a ledger", tether_code_name(c->code));
  if (!ledger) return;
  if (ledger->took_ns != c->ended_ns - c->started_ns || ledger->code != c->code ||
      ledger->cause != tether_cause_get_code(c->why))
    sim_wrong(c, "the ledger tells of another call");
  tether_phase phase;
  int64_t spent_ns;
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  if (spent_ns > ledger->took_ns) sim_wrong(c, "%" PRId64 " ns of %" PRId64 " were spent", spent_ns, ledger->took_ns);
  if (!ledger->answered || !c->begun || !is_answered(c)) return;
  if (!is_told_by(c, ledger->hop)) sim_wrong(c, "its ledger comes from %s", ledger->hop);
  if (ledger->own_ns != c->finished_ns - c->began_ns || ledger->queue_ns != c->began_ns - c->arrived_ns)
    sim_wrong(c, "the ledger's times of the handler are not its own");
  /* A handler that returns inside the end of its context, or of its group's, does so before all its calls have ended.
   */
  size_t rows = ledger->child_count + ledger->cut;
  if (rows > (size_t)c->children || (rows < (size_t)c->children && c->returned_alone))
    sim_wrong(c, "%zu calls in the ledger of %d", ledger->child_count + ledger->cut, c->children);
}

static void count(sim_call *c) {
  sim_totals *totals = sim->totals;
  totals->ok += c->code == TETHER_OK;
  totals->cancelled += c->code == TETHER_CANCELLED;
  totals->expired += c->code == TETHER_DEADLINE_EXCEEDED;
  totals->unavailable += c->code == TETHER_UNAVAILABLE;
  totals->failed += c->code != TETHER_OK && c->code != TETHER_CANCELLED && c->code != TETHER_DEADLINE_EXCEEDED &&
                    c->code != TETHER_UNAVAILABLE;
  totals->unsent += c->left_ns == 0;
}

static void check_reply(sim_call *c) {
  const Testing__V1__Reply *reply = (const Testing__V1__Reply *)tether_call_reply(c->ending);
  if (c->code != TETHER_OK || c->kind == SIM_DOWN || c->kind == SIM_BOTH) {
    if (reply) sim_wrong(c, "a reply beside %s", tether_code_name(c->code));
    return;
  }
  ProtobufCBinaryData body = sim_body(c, false, 0);
  if (!reply || reply->count != (uint32_t)c->number || reply->body.len != body.len ||
      (body.len > 0 && memcmp(reply->body.data, body.data, body.len) != 0))
    sim_wrong(c, "its reply is another's, or not whole");
}

static void on_done(tether_call *call, void *data) {
  sim_call *c = data;
  if (c->ended) sim_wrong(c, "ended twice");
  sim_enter(c->from);
  c->ended = true;
  c->ended_ns = sim->now_ns;
  c->code = tether_call_code(call);
  c->why = sim_keep_cause(tether_call_cause(call));
  c->ending = call;
  const struct tth_retrying *retrying = call->c.retrying;
  if (retrying && retrying->backoff_count > c->retried) {
    sim_call_attempt_over(c);
    c->between = atomic_load(&retrying->waiting);
  }
  sim_trace(c->from, c, "ends %s: %s", tether_code_name(c->code), tether_call_message(call));
  check_reply(c);
  if (is_answered(c))
    check_answered(c);
  else if (c->code == TETHER_UNAVAILABLE)
    check_lost(c);
  else
    check_cut(c);
  if (!c->trailers_arrived && c->left_ns && c->code != TETHER_UNAVAILABLE) check_waited(c);
  check_ledger(c);
  c->ending = NULL;
  count(c);
  sim_call_changed(c);
  if (!c->trailers_arrived && c->left_ns && !c->detached_ns)
    sim_later(sim_wire_bound_ns(c->wire), sim_check_stop, c, 0);
  if (c->parent) sim_handler_child_ended(c->parent, c);
}

bool sim_call_is_over(const sim_call *c) {
  if (!c->ended || (c->begun && !c->finished)) return false;
  if (c->kind == SIM_UNARY) return true;
  return sim_stream_is_over(&c->client_side);
}

void sim_call_release(sim_call *c) {
  tether_call_unref(c->call);
  tether_ctx_free(c->own);
  tether_ctx_unref(c->under);
  tether_cause_unref(c->why);
  tether_cause_unref(c->cut_why);
  tether_cause_unref(c->cancel_why);
}

/* ---- Attempts ------------------------------------------------------------------------------ */

void sim_call_attempt_over(sim_call *c) {
  if (!c->trailers_arrived || c->told != TETHER_ABORTED || c->recorded != TETHER_ABORTED)
    sim_wrong(c, "tried again though its attempt was not answered ABORTED");
  if (c->begun && (!c->finished || c->cut)) sim_wrong(c, "tried again while its handler runs");
  if (c->retried == 4) sim_wrong(c, "a sixth attempt");
  if (tether_ctx_err(c->under) != TETHER_OK && !c->ended) sim_wrong(c, "tried again though its context has ended");
  sim->totals->retried++;
  c->retried_to[c->retried] = c->to;
  c->retried_served[c->retried++] = c->served;
  c->wire = NULL;
  c->left_ns = c->arrived_ns = c->trailers_left_ns = c->trailers_arrived_ns = 0;
  c->trailers_left = c->trailers_arrived = c->stopped = false;
  c->begun = c->deferred = c->returning = c->finished = c->returned_alone = c->group_closed = false;
  c->children = c->children_ended = c->children_wanted = 0;
  c->began_ns = c->finished_ns = 0;
  if (sim_percent(&c->chance, 60)) c->outcome = TETHER_OK;
}

/* The policy of a client, for unary calls: of those that end otherwise nothing is left when the next attempt begins. */
const char *sim_call_policy(sim_chance *chance, char *text, size_t size) {
  if (!sim_percent(chance, 50)) return NULL;
  snprintf(text, size,
           "{\"methodConfig\": [{\"name\": [{\"service\": \"sim.Inline\", \"method\": \"Unary\"}, {\"service\": "
           "\"sim.Pooled\", \"method\": \"Unary\"}], \"retryPolicy\": {\"maxAttempts\": %u, \"initialBackoff\": "
           "\"0.%06us\", \"maxBackoff\": \"0.5s\", \"backoffMultiplier\": 2, \"retryableStatusCodes\": "
           "[\"ABORTED\"]}}]%s}",
           2 + sim_below(chance, 5), 1 + sim_below(chance, 50000),
           sim_percent(chance, 30) ? ", \"retryThrottling\": {\"maxTokens\": 4, \"tokenRatio\": 0.5}" : "");
  return text;
}

/* ---- The start ----------------------------------------------------------------------------- */

static void plan(sim_call *c) {
  sim_chance *chance = &c->chance;
  c->kind = sim_percent(chance, 65) ? SIM_UNARY : (sim_kind)(1 + sim_below(chance, 3));
  c->manner = sim_percent(chance, 40)   ? SIM_AT_ONCE
              : sim_percent(chance, 60) ? SIM_SOON
              : sim_percent(chance, 85) ? SIM_SLOWLY
                                        : SIM_NEVER;
  static const tether_code failures[] = {TETHER_ABORTED, TETHER_NOT_FOUND, TETHER_DATA_LOSS};
  c->outcome = sim_percent(chance, 80) ? TETHER_OK : failures[sim_below(chance, 3)];
  c->work_ns = sim_percent(chance, 30) ? 0 : sim_spread(chance, 1 * TETHER_US, 60 * TETHER_MS);
  c->aims = sim_percent(chance, sim->close ? 50 : 15);
  c->patient = sim_percent(chance, 60);
  if (sim_percent(chance, 30))
    c->reserve_ns = sim_percent(chance, 50) ? -1 : sim_spread(chance, 10 * TETHER_US, 5 * TETHER_MS);
  if (c->kind == SIM_UNARY && sim_percent(chance, 8))
    c->detached_ns = sim_spread(chance, 1 * TETHER_MS, 500 * TETHER_MS);
  c->body_bytes = sim_percent(chance, 70)   ? sim_below(chance, 600)
                  : sim_percent(chance, 70) ? sim_below(chance, 40 * 1024)
                                            : sim_below(chance, 200 * 1024);
  c->pooled = sim_percent(chance, 25);
  c->explain = sim_percent(chance, 30);
}

/* Neighbours are called most where there is a ring: many calls on few connections. */
static sim_process *other_than(const sim_process *process) {
  if (sim->ring && sim_may(80)) return &sim->processes[(process->index + 1) % sim->process_count];
  uint32_t chosen = sim_below(&sim->chance, (uint32_t)sim->process_count - 1);
  return &sim->processes[chosen + (chosen >= (uint32_t)process->index)];
}

static sim_call *new_call(sim_call *parent, const sim_process *to) {
  sim_process *from = parent ? parent->to : &sim->processes[sim_below(&sim->chance, (uint32_t)sim->process_count)];
  if (sim->draining || sim->call_count == sim->call_most || from->dead || from == to) return NULL;
  sim_call *c = &sim->calls[sim->call_count];
  *c = (sim_call){.number = sim->call_count++, .parent = parent, .from = from};
  c->to = to ? &sim->processes[to->index] : other_than(from);
  c->tier = c->to->tier; /* whoever of it */
  c->depth = parent ? parent->depth + 1 : 0;
  c->root = parent ? parent->root : c;
  c->from_life = from->life;
  c->chance.state = c->chance_seed = sim_mix(sim->seed ^ (uint64_t)c->number << 32);
  plan(c);
  return c;
}

/* The time a call is given: none, short, or so long that only something lost would use it up. */
static int64_t timeout(sim_call *c) {
  uint32_t dice = sim_below(&c->chance, 100);
  return dice < 25 ? 0 : dice < 45 ? 100 * TETHER_SEC : sim_spread(&c->chance, 200 * TETHER_US, 2 * TETHER_SEC);
}

static void aim(sim_call *c) {
  uint32_t dice =
      sim->close && !sim_percent(&c->chance, 30) ? 15 + sim_below(&c->chance, 23) : sim_below(&c->chance, 100);
  if (dice < 15) {
    sim_call_cancel_later(c, sim_spread(&c->chance, 10 * TETHER_US, 1 * TETHER_SEC));
  } else if (dice < 25) {
    c->aimed_at = SIM_ANSWER;
  } else if (dice < 32) {
    c->aimed_at = SIM_RETURN;
  } else if (dice < 38 && c->deadline_ns != TETHER_FOREVER) {
    sim->totals->aimed++;
    sim_call_cancel_later(c, c->deadline_ns - sim->now_ns + sim_between(&c->chance, -50, 50) * TETHER_US);
  }
}

static void start(sim_call *c) {
  char number[8];
  Testing__V1__Request request = TESTING__V1__REQUEST__INIT;
  tether_metadata *metadata = tether_metadata_new();
  snprintf(number, sizeof number, "%d", c->number);
  if (!metadata || tether_metadata_add(metadata, SIM_CALL_KEY, number) != TETHER_OK) abort();
  request.width = (uint32_t)c->number;
  request.body = sim_body(c, true, 0);
  const tether_call_options options = {.timeout_ns = timeout(c),
                                       .wait_for_ready = c->patient,
                                       .metadata = metadata,
                                       .reserve_ns = c->reserve_ns,
                                       .detached_ns = c->detached_ns,
                                       .explain = c->explain,
                                       .group = c->parent ? c->parent->group : NULL};
  c->started_ns = sim->now_ns;
  c->deadline_ns = options.timeout_ns ? tether_time_add(sim->now_ns, options.timeout_ns) : TETHER_FOREVER;
  if (tether_ctx_deadline_ns(c->under) < c->deadline_ns) c->deadline_ns = tether_ctx_deadline_ns(c->under);
  bool streams_up = c->kind == SIM_UP || c->kind == SIM_BOTH;
  sim_trace(c->from, c, "starts to tier %d, %s%s%s, under c%d, deadline %.6f", c->tier,
            sim_methods[c->pooled][c->kind].path, c->patient ? ", patient" : "", c->detached_ns ? ", detached" : "",
            c->parent ? c->parent->number : -1,
            c->deadline_ns == TETHER_FOREVER ? -1 : (double)(c->deadline_ns - sim->begun_ns) / 1e6);
  sim->starting = c;
  sim->stops = true;
  c->call = tether_call_start(c->client, c->under, &sim_methods[c->pooled][c->kind],
                              streams_up ? NULL : (const ProtobufCMessage *)&request, &options, on_done, c);
  sim->starting = NULL;
  sim->stops = false;
  tether_metadata_free(metadata);
}

sim_call *sim_call_start(sim_call *parent, const sim_process *to) {
  sim_call *c = new_call(parent, to);
  if (!c) return NULL;
  sim_enter(c->from);
  c->client = sim_process_client(c->from, c->tier);
  c->under = context(c);
  sim->totals->calls++;
  sim->totals->detached += c->detached_ns > 0;
  if (c->kind != SIM_UNARY) sim->totals->streams++;
  start(c);
  if (c->kind != SIM_UNARY) sim_stream_begin(c, true);
  if (!c->ended) aim(c);
  return c;
}
