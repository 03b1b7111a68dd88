/* Reading ledgers: the tree of rows, who is to blame, the waterfall.
 *
 * The root row is what this process knows of its own call; the rows below come out of TRAILERS, level by level, each
 * level's bytes nested in the one above. What does not parse is left out, what is too deep is counted: a ledger never
 * fails a call. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/cause_wire.h"
#include "rpc/client_call.h"
#include "rpc/recorder.h"

const char *tether_phase_text(tether_phase phase) {
  static const char *const texts[] = {
      "nowhere",      "connecting",     "queued here",           "in flight",
      "queued there", "in the handler", "waiting for an answer", "in attempts that failed",
      "resolving"};
  return (size_t)phase < sizeof texts / sizeof *texts ? texts[phase] : "elsewhere";
}

/* ---- The tree ------------------------------------------------------------------------------ */

static const char *text_of(const char *text) { return text ? text : ""; }

/* A duration that a peer told: sums of some hundred do not overflow. */
static int64_t told_ns(int64_t ns) { return ns < 0 ? 0 : ns > INT64_MAX >> 8 ? INT64_MAX >> 8 : ns; }

static int64_t at_least_0(int64_t ns) { return ns > 0 ? ns : 0; }

/* A part is no more than the whole, whatever a peer tells. */
static int64_t part_of(int64_t whole_ns, int64_t ns) { return ns < whole_ns ? ns : whole_ns; }

static void set_cause(tether_ledger *row, const Tether__V1__Cause *cause) {
  tether_cause *known = tth_cause_from_wire(cause);
  row->cause = tether_cause_get_code(known);
  row->origin = cause ? text_of(cause->origin) : "";
  row->text = cause ? text_of(cause->text) : "";
  tether_cause_unref(known);
}

static tether_code code_of(uint32_t told) {
  return told <= TETHER_UNAUTHENTICATED ? (tether_code)told : TETHER_UNKNOWN;
}

static void add_hop(tether_call *call, tether_ledger *row, const ProtobufCBinaryData *bytes, int depth);

/* `over_ns`: when the time for it was over, after the start of its caller. */
static const tether_ledger *row_of_leg(tether_call *call, const Tether__V1__Leg *leg, int64_t over_ns, int depth) {
  tether_ledger *row = tether_call_alloc(call, sizeof *row);
  if (!row) return NULL;
  row->method = text_of(leg->method);
  row->hop = text_of(leg->peer);
  row->started_ns = told_ns(leg->started_ns);
  row->took_ns = told_ns(leg->took_ns);
  row->late_ns = part_of(row->took_ns, at_least_0(tether_time_add(row->started_ns, row->took_ns) - over_ns));
  row->waited_ns = told_ns(leg->waited_ns);
  row->connected = !leg->unconnected;
  row->retried_ns = part_of(row->waited_ns, told_ns(leg->retried_ns));
  row->resolving_ns = part_of(row->waited_ns - row->retried_ns, told_ns(leg->resolving_ns));
  row->attempts = leg->has_attempts ? leg->attempts : row->connected;
  row->before = code_of(leg->before);
  row->code = code_of(leg->code);
  set_cause(row, leg->cause);
  if (leg->has_hop) add_hop(call, row, &leg->hop, depth + 1);
  return row;
}

/* What the server said of the row's call, and the rows below. */
static void add_hop(tether_call *call, tether_ledger *row, const ProtobufCBinaryData *bytes, int depth) {
  ProtobufCMessage *message;
  char why[8];
  if (bytes->len > TTH_LEDGER_MOST) return;
  if (tth_call_unpack(call, &tether__v1__hop__descriptor, bytes->data, bytes->len, 16 * TTH_LEDGER_MOST, why,
                      sizeof why, &message) != TETHER_OK)
    return;
  const Tether__V1__Hop *hop = (const Tether__V1__Hop *)message;
  size_t legs = depth < TTH_LEDGER_DEPTH ? hop->n_legs : 0; /* deeper ones are only counted */
  const tether_ledger **children = tether_call_alloc(call, (legs + 1) * sizeof *children);
  if (!children) return;
  if (hop->name) row->hop = hop->name;
  row->answered = true;
  row->budget_ns = hop->has_budget_ns ? told_ns(hop->budget_ns) : TETHER_FOREVER;
  row->queue_ns = told_ns(hop->queue_ns);
  row->own_ns = told_ns(hop->own_ns);
  row->wasted_ns = told_ns(hop->wasted_ns);
  row->detached = hop->detached;
  row->cut = hop->cut + (hop->n_legs - legs);
  row->children = children;
  int64_t in_time_ns = hop->wasted_ns > 0 ? at_least_0(row->own_ns - row->wasted_ns) : TETHER_FOREVER;
  for (size_t i = 0; i < legs; i++) {
    children[row->child_count] = row_of_leg(call, hop->legs[i], in_time_ns, depth);
    if (children[row->child_count])
      row->child_count++;
    else
      row->cut++;
  }
}

const tether_ledger *tether_call_ledger(tether_call *call) {
  if (call->role != TTH_CLIENT || (atomic_load(&call->state) & TTH_CALL_PHASE) != TTH_CALL_ENDED) return NULL;
  if (call->c.answer) return tether_call_ledger(call->c.answer); /* of the attempt that counts */
  return call->c.ended_ns ? tth_call_ledger(call) : NULL;        /* else it succeeded and did not ask */
}

const tether_ledger *tth_call_ledger(tether_call *call) {
  bool late = atomic_load(&call->c.gone) == TTH_GONE_ANSWERED && call->c.late_hop.data;
  const ProtobufCBinaryData *hop = late ? &call->c.late_hop : &call->c.hop;
  const tether_ledger *known = atomic_load(&call->c.ledgers[late]);
  if (known) return known;
  tether_ledger *row = tether_call_alloc(call, sizeof *row);
  if (!row) return NULL;
  row->method = call->path;
  row->hop = tth_call_hop(call);
  row->took_ns = call->c.ended_ns - call->c.started_ns;
  row->late_ns = part_of(row->took_ns, tth_client_call_late_ns(call, call->c.ended_ns));
  row->connected = call->conn || tth_client_call_attempts(call) > 0;
  row->waited_ns = call->c.left_ns ? call->c.left_ns - call->c.started_ns : row->took_ns;
  row->retried_ns = tth_client_call_retried_ns(call, &row->before);
  row->resolving_ns = call->c.resolving_ns;
  row->attempts = tth_client_call_attempts(call);
  row->code = call->code;
  row->cause = tether_cause_get_code(call->cause);
  row->origin = tether_cause_origin(call->cause);
  row->text = tether_cause_text(call->cause);
  if (hop->data) add_hop(call, row, hop, 0);
  if (!atomic_compare_exchange_strong(&call->c.ledgers[late], &known, row)) return known;
  return row;
}

/* ---- Times --------------------------------------------------------------------------------- */

/* On the way there and back, of so much in all; with a server that said nothing all of its time is that. */
static int64_t flight_ns(const tether_ledger *row, int64_t took_ns, int64_t queue_ns) {
  int64_t there = row->answered ? tether_time_add(queue_ns, row->own_ns) : 0;
  return at_least_0(took_ns - row->waited_ns - there);
}

/* The handler's time in which none of its calls ran, and its context had not ended. Children come in the order started.
 */
static int64_t alone_ns(const tether_ledger *row) {
  int64_t covered = 0, end = 0, own_ns = at_least_0(row->own_ns - row->wasted_ns);
  for (size_t i = 0; i < row->child_count; i++) {
    const tether_ledger *child = row->children[i];
    int64_t from = child->started_ns > end ? child->started_ns : end;
    int64_t to = tether_time_add(child->started_ns, child->took_ns);
    if (to > own_ns) to = own_ns;
    if (to <= from) continue;
    covered += to - from;
    end = to;
  }
  return at_least_0(own_ns - covered);
}

struct blame {
  const tether_ledger *row;
  tether_phase phase;
  int64_t spent_ns;
};

static int64_t in_time_ns(const tether_ledger *row) { return row->took_ns - row->late_ns; }

/* In the server's queue, while there was something left to wait for. */
static int64_t queue_in_time_ns(const tether_ledger *row) { return part_of(row->budget_ns, row->queue_ns); }

/* What a row spent after its caller had left, or should have, is not the caller's. */
static void consider(struct blame *most, const tether_ledger *row, tether_phase phase, int64_t spent_ns) {
  spent_ns = part_of(in_time_ns(row), spent_ns);
  if (spent_ns > most->spent_ns) *most = (struct blame){row, phase, spent_ns};
}

static void find_blame(struct blame *most, const tether_ledger *row) {
  consider(most, row, TETHER_PHASE_RETRYING, row->retried_ns);
  consider(most, row, TETHER_PHASE_RESOLVING, row->resolving_ns);
  consider(most, row, row->connected ? TETHER_PHASE_QUEUED_HERE : TETHER_PHASE_CONNECTING,
           row->waited_ns - row->retried_ns - row->resolving_ns);
  consider(most, row, row->answered ? TETHER_PHASE_IN_FLIGHT : TETHER_PHASE_WAITING,
           flight_ns(row, in_time_ns(row), queue_in_time_ns(row)));
  if (!row->answered) return;
  consider(most, row, TETHER_PHASE_QUEUED_THERE, queue_in_time_ns(row));
  consider(most, row, TETHER_PHASE_HANDLER, alone_ns(row));
  for (size_t i = 0; i < row->child_count; i++) find_blame(most, row->children[i]);
}

void tether_ledger_blame(const tether_ledger *ledger, const tether_ledger **row, tether_phase *phase,
                         int64_t *spent_ns) {
  struct blame most = {.row = ledger};
  find_blame(&most, ledger);
  *row = most.row;
  *phase = most.phase;
  *spent_ns = most.spent_ns;
}

/* ---- The waterfall ------------------------------------------------------------------------- */

enum { NAME_COLUMN = 40 };

struct text {
  char *to;
  size_t room, len;
};

static void put(struct text *text, const char *format, ...) TETHER_PRINTF(2, 3);
static void put(struct text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t room = text->room > text->len ? text->room - text->len : 0;
  int len = vsnprintf(room ? text->to + text->len : NULL, room, format, args);
  va_end(args);
  if (len > 0) text->len += (size_t)len;
}

static void put_char(struct text *text, char c) {
  if (text->len + 1 < text->room) {
    text->to[text->len] = c;
    text->to[text->len + 1] = 0;
  }
  text->len++;
}

/* How far a row's name is moved to the right: no farther than leaves half of its column. */
static int indent(int depth) { return 2 * depth < NAME_COLUMN / 2 ? 2 * depth : NAME_COLUMN / 2; }

/* One stretch of a bar, up to `to_ns`. */
static int put_bar(struct text *text, char with, int at, int64_t to_ns, int64_t total_ns, int width) {
  bool inside = to_ns > 0 && to_ns < total_ns; /* a peer's number may be any */
  int to = inside ? (int)((double)to_ns / (double)total_ns * width + 0.5) : to_ns > 0 && total_ns > 0 ? width : 0;
  for (; at < to && at < width; at++) put_char(text, with);
  return at;
}

static void put_row(struct text *text, const tether_ledger *row, int depth, int64_t start_ns, int64_t total_ns,
                    int width) {
  int64_t flight = flight_ns(row, row->took_ns, row->queue_ns);
  int64_t sent = start_ns + row->waited_ns, arrived = sent + (row->answered ? flight / 2 : flight);
  int64_t began = arrived + row->queue_ns, ended = began + row->own_ns;
  char name[64];
  snprintf(name, sizeof name, "%*s%s", indent(depth), "", row->method);
  put(text, "%-*.*s %9.2f ms |", NAME_COLUMN, NAME_COLUMN, name, (double)row->took_ns / 1e6);
  int at = put_bar(text, ' ', 0, start_ns, total_ns, width);
  at = put_bar(text, '!', at, start_ns + row->retried_ns, total_ns, width);
  at = put_bar(text, '?', at, start_ns + row->retried_ns + row->resolving_ns, total_ns, width);
  at = put_bar(text, '.', at, sent, total_ns, width);
  at = put_bar(text, '-', at, arrived, total_ns, width);
  at = put_bar(text, '~', at, began, total_ns, width);
  at = put_bar(text, '#', at, ended, total_ns, width);
  at = put_bar(text, '-', at, start_ns + row->took_ns, total_ns, width);
  put_bar(text, ' ', at, total_ns, total_ns, width);
  put(text, "| %s", row->hop);
  if (row->answered && row->budget_ns != TETHER_FOREVER) put(text, ", had %.2f ms", (double)row->budget_ns / 1e6);
  put(text, ": %s", tether_code_name(row->code));
  if (row->cause != TETHER_CAUSE_NONE) put(text, " (%s)", tether_cause_code_name(row->cause));
  if (row->retried_ns > 0) put(text, ", sent %u times, before %s", row->attempts, tether_code_name(row->before));
  if (row->late_ns > 0) put(text, ", seen %.2f ms late", (double)row->late_ns / 1e6);
  if (row->wasted_ns > 0) put(text, ", %.2f ms wasted", (double)row->wasted_ns / 1e6);
  if (row->detached) put(text, ", detached");
  put(text, "\n");
  for (size_t i = 0; i < row->child_count; i++)
    put_row(text, row->children[i], depth + 1, began + row->children[i]->started_ns, total_ns, width);
  if (row->cut) put(text, "%*s%zu more\n", indent(depth + 1), "", row->cut);
}

static int64_t retried_ns(const tether_ledger *row) { return row->retried_ns; }
static int64_t row_resolving_ns(const tether_ledger *row) { return row->resolving_ns; }

/* Whether any row has some of it. */
static bool has(const tether_ledger *row, int64_t (*some_ns)(const tether_ledger *row)) {
  bool found = some_ns(row) > 0;
  for (size_t i = 0; i < row->child_count && !found; i++) found = has(row->children[i], some_ns);
  return found;
}

size_t tether_ledger_text(const tether_ledger *ledger, int width, char *buf, size_t size) {
  struct text text = {.to = buf, .room = size};
  const tether_ledger *row;
  tether_phase phase;
  int64_t spent_ns;
  put_row(&text, ledger, 0, 0, ledger->took_ns, width < 1 ? 1 : width > 200 ? 200 : width);
  tether_ledger_blame(ledger, &row, &phase, &spent_ns);
  put(&text, "most of it: %.2f ms %s, %s at %s\n", (double)spent_ns / 1e6, tether_phase_text(phase), row->method,
      *row->hop ? row->hop : "no server");
  put(&text, ". waits here, - on the way, ~ queued there, # handler%s%s\n",
      has(ledger, row_resolving_ns) ? ", ? resolving" : "", has(ledger, retried_ns) ? ", ! attempts that failed" : "");
  return text.len;
}
